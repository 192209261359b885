"""`kedro run` as everywhere, except that a mistake of the user's ends in one sentence and not in a traceback."""

from __future__ import annotations

from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.io import DatasetError
from kedro.validation.exceptions import DataValidationError

from counterpoise.errors import InputError, suggest
from counterpoise.experiments import EXPERIMENTS, FETCHABLE

PIPELINES = (
    "__default__",
    *(experiment.name for experiment in EXPERIMENTS),
    *(f"fetch_{dataset}" for dataset in FETCHABLE),
    "report_all",
)


@click.group(name="counterpoise")
def cli() -> None:
    """Commands of this project."""


def sentence(error: BaseException) -> str | None:
    """Return what to tell the user about an error that is theirs to mend, or None for a defect of ours."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InputError):
            return str(cause)
        cause = cause.__cause__
    if isinstance(error, DataValidationError) and error.failures:
        failure = error.failures[0]
        column = f"column {failure.column!r}: " if failure.column else ""
        examples = ", ".join(map(repr, failure.failure_examples)) or "a table"
        return (
            f"{error.dataset_name}: {column}found {examples} ({failure.failure_count:,} rows), "
            f"expected {failure.check or failure.message} ({error.validator})"
        )
    if isinstance(error, DatasetError):
        return " ".join(str(error).split())
    return None


def _run(**options: Any) -> Any:
    run = kedro_run.callback
    assert run is not None
    names = [name for name in [options["pipeline"], *(options["pipelines"] or [])] if name]
    for name in names:
        if name not in PIPELINES:
            raise click.ClickException(f"there is no pipeline {name!r}{suggest(name, PIPELINES)}")
    if len(names) > 1:  # the same stage, and so the same names of nodes, would be in the graph more than once
        raise click.ClickException(f"there are {len(names)} pipelines ({', '.join(names)}), expected one for each run")
    if dict(options["params"] or {}).get("reuse") is True:  # Kedro's own option, made safe by the lineage
        options["only_missing_outputs"] = True
    try:
        return run(**options)
    except Exception as error:
        if told := sentence(error):
            raise click.ClickException(told) from error
        raise


cli.add_command(
    click.Command("run", callback=_run, params=kedro_run.params, help=kedro_run.help, short_help=kedro_run.short_help)
)
