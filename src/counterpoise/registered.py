"""The experiments at hand: those of source, and those that conf/ declares in the environment of the run.

Kedro asks for pipelines before it reads parameters, and does not say of which configuration: `kedro registry list` has
no session at all, and `kedro viz` one without hooks. So what counts is the configuration of the latest session
(`ConfigLoader.latest`), or what the command line says (`read`); without either the project's own conf/ in the
environment that KEDRO_ENV names.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from kedro.framework.project import pipelines, settings
from kedro.utils import find_kedro_project

from counterpoise.config.loader import ConfigLoader, Source
from counterpoise.config.retrained import retrained as as_retrained
from counterpoise.errors import InputError
from counterpoise.experiments import EXPERIMENTS, Experiment

_declared: tuple[Source, tuple[Experiment, ...], Experiment | None] | None = None


def experiments() -> tuple[Experiment, ...]:
    """Return all experiments: those of source, then those of conf/, then the one that is retrained, as it is retrained.

    Raises:
        InputError: a row of conf/ is wrong.
    """
    _, rows, base = _of_source()
    return (*EXPERIMENTS, *rows, *([as_retrained(base)] if base is not None else []))


def retrained() -> Experiment | None:
    """Return the experiment that is retrained, as its row stands; raises InputError as `experiments`."""
    return _of_source()[2]


def _of_source() -> tuple[Source, tuple[Experiment, ...], Experiment | None]:
    source = _at_hand()
    if _declared is None or _declared[0] != source:
        declare(*_read(source))
    assert _declared is not None
    return _declared


def read(conf_source: str | None = None, environment: str | None = None) -> None:
    """Make the experiments of this configuration, unless it is said the project's own, those at hand.

    Raises:
        InputError: there is no such configuration, or a row is wrong.
    """
    ConfigLoader.latest = _source(conf_source, environment)
    if conf_source is not None:
        ConfigLoader(conf_source, environment, **settings.CONFIG_LOADER_ARGS)  # is there such a folder?
    declare(*_read(ConfigLoader.latest))


def declared_by(name: str) -> str | None:
    """Return another environment that declares this experiment, or the audit of what it reads; None for none."""
    source = _at_hand()
    at_hand = {
        source.environment or settings.CONFIG_LOADER_ARGS["default_run_env"],
        settings.CONFIG_LOADER_ARGS["base_env"],
    }
    folders = sorted(Path(source.conf).iterdir()) if "://" not in source.conf and Path(source.conf).is_dir() else []
    for folder in folders:
        if folder.is_dir() and folder.name not in at_hand:
            with suppress(InputError):  # what is wrong there is not asked for
                rows, _ = _read(source._replace(environment=folder.name))
                if name in {given for row in rows for given in (row.name, f"audit_{row.dataset}")}:
                    return folder.name
    return None


def declare(rows: tuple[Experiment, ...], base: Experiment | None = None) -> None:
    """Make these the experiments of conf/ and the one that is retrained; pipelines of others are put together anew."""
    global _declared
    before = _declared[1:] if _declared is not None else None
    _declared = _at_hand(), rows, base
    if before is not None and before != (rows, base):
        pipelines.configure(f"{__package__}.pipeline_registry")


def _at_hand() -> Source:
    latest = ConfigLoader.latest
    return latest if latest is not None and latest.directory == Path.cwd() else _source(None, None)


def _source(conf_source: str | None, environment: str | None) -> Source:
    project = Path(find_kedro_project(Path.cwd()) or Path.cwd()).resolve()
    conf = conf_source or str(project / settings.CONF_SOURCE)
    return Source(conf, environment or os.environ.get("KEDRO_ENV"), Path.cwd())


def _read(source: Source) -> tuple[tuple[Experiment, ...], Experiment | None]:
    if "://" not in source.conf and not Path(source.conf).exists():
        return (), None
    loader = ConfigLoader(source.conf, source.environment, **settings.CONFIG_LOADER_ARGS)
    return loader.experiments(), loader.retrained()
