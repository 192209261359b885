"""`python -m counterpoise` and `counterpoise`: run a pipeline where Kedro's own command is not at hand."""

from __future__ import annotations

import sys
from pathlib import Path

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project


def main() -> None:
    """Run the project's `run` command with the arguments of the command line."""
    configure_project(Path(__file__).parent.name)
    find_run_command(Path(__file__).parent.name)(sys.argv[1:])


if __name__ == "__main__":
    main()
