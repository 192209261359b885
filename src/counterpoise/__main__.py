"""`counterpoise` and `python -m counterpoise`: the project's commands, for use without Kedro's own.

A project that was packaged (`kedro package`) is run like this, beside a folder `conf` or with `--conf-source`:
https://docs.kedro.org/en/stable/deploy/package_a_project/
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from counterpoise.errors import one_line

HELP = ("-h", "--help")


def main(arguments: Sequence[str] | None = None, **options: Any) -> Any:
    """Run the command that the arguments name; without arguments, those of the command line.

    Options without a command before them are those of `run`, which is how Kedro runs packaged projects.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0].startswith("-") and words[0] not in HELP:
        words.insert(0, "run")
    with _logging_of_kedro():
        from kedro.framework.project import configure_project
    configure_project(Path(__file__).parent.name)
    from counterpoise.cli import cli

    return cli(words, prog_name="counterpoise", **options)


@contextmanager
def _logging_of_kedro() -> Iterator[None]:
    """End in a sentence if the configuration of logging is wrong, which Kedro reads when it is imported."""
    try:
        yield
    except ImportError:
        raise
    except Exception as error:
        path = Path(os.environ.get("KEDRO_LOGGING_CONFIG") or "conf/logging.yml")
        if not path.is_file():
            raise
        from counterpoise.config.loader import fault_of

        fault = fault_of(path.read_bytes())
        reason = f", {fault}" if fault else f": {one_line(str(error))}, expected what logging.config.dictConfig reads"
        sys.exit(f"Error: {path}{reason}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["run"])
