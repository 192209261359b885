"""The experiments at hand: those of source, and those that conf/ declares in the environment of the run.

Kedro asks for pipelines before it reads parameters, and does not say of which configuration: `kedro registry list` has
no session at all. So the command line reads the declarations first (`read`), a session announces those that it has
(`declare`), and without either the project's own conf/ is read in the environment that KEDRO_ENV names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from kedro.framework.project import pipelines, settings
from kedro.utils import find_kedro_project

from counterpoise.experiments import EXPERIMENTS, Experiment


class _Declared(NamedTuple):
    project: Path
    experiments: tuple[Experiment, ...]


_declared: _Declared | None = None


def experiments() -> tuple[Experiment, ...]:
    """Return all experiments: those of source, then those of conf/.

    Raises:
        InputError: a row of conf/ is wrong.
    """
    if _declared is None or _declared.project != _project():
        read()
    assert _declared is not None
    return (*EXPERIMENTS, *_declared.experiments)


def read(conf_source: str | None = None, environment: str | None = None) -> None:
    """Declare what the files of a configuration do; the project's own `conf`, if it has one, unless another is named.

    Raises:
        InputError: there is no such configuration, or a row is wrong.
    """
    source = conf_source or str(_project() / settings.CONF_SOURCE)
    if conf_source is None and not Path(source).is_dir():
        declare(())
        return
    loader = settings.CONFIG_LOADER_CLASS(
        conf_source=source, env=environment or os.environ.get("KEDRO_ENV"), **settings.CONFIG_LOADER_ARGS
    )
    declare(loader.experiments())


def declare(rows: tuple[Experiment, ...]) -> None:
    """Make these the experiments of conf/; pipelines that were put together for others are put together anew."""
    global _declared
    before = _declared.experiments if _declared is not None else None
    _declared = _Declared(_project(), rows)
    if before is not None and before != rows:
        pipelines.configure(f"{__package__}.pipeline_registry")


def _project() -> Path:
    return Path(find_kedro_project(Path.cwd()) or Path.cwd()).resolve()
