"""`kedro run`, except that a user's mistake ends in one sentence and not in a traceback.

`kedro run`, `counterpoise run` and `python -m counterpoise run` are this one command.
"""

from __future__ import annotations

import errno
import inspect
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import click
import yaml
from kedro import runner as runners
from kedro.config import MissingConfigException
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import KedroCliError
from kedro.io import DatasetError
from kedro.utils import load_obj
from kedro.validation.exceptions import DataValidationError
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

import counterpoise
from counterpoise import registered
from counterpoise.config.loader import read_run_options
from counterpoise.errors import Ending, InputError, one_line, shown, suggest

DEFECTS = (AttributeError, NameError, AssertionError, NotImplementedError)
"""What only a mistake in code raises; Kedro calls it an error of the data set in whose methods it happens."""

REFUSED = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENAMETOOLONG}
)
"""What an operating system refuses whatever the code does: permissions, space, names."""

OUT_OF_MEMORY = re.compile("can't allocate memory|out of memory", re.IGNORECASE)
"""What torch says, in a RuntimeError, where it has no more memory."""

CREDENTIALS = "Unable to find credentials"
"""How Kedro's KeyError begins that says which credentials the catalog asks for in vain."""

PACKAGE = Path(counterpoise.__file__).parent


def warn_in_sentences() -> None:
    """Let the project's own warnings be shown as what they say, without the file and line of code that says it."""
    warnings.formatwarning = _formatted(warnings.formatwarning)


def _formatted(others: Callable[..., str]) -> Callable[..., str]:
    if getattr(others, "of_the_project", False):
        return others

    def formatted(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        ours = category.__module__.partition(".")[0] == PACKAGE.name or Path(filename).is_relative_to(PACKAGE)
        return f"{message}\n" if ours else others(message, category, filename, lineno, line)

    formatted.of_the_project = True  # type: ignore[attr-defined]
    return formatted


def sentence(error: BaseException) -> str | None:
    """Return what to tell the user about an error that is theirs to mend, or None for a defect of ours."""
    errors = list(_chain(error))
    for cause in errors:
        if isinstance(cause, InputError):
            return str(cause)
    for cause in errors:
        if text := _of_a_library(cause):
            return text
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it comes from, as a traceback shows them."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _of_a_library(error: BaseException) -> str | None:
    if isinstance(error, DataValidationError) and error.failures:
        failure = error.failures[0]
        column = f"column {failure.column!r}: " if failure.column else ""
        examples = ", ".join(map(shown, failure.failure_examples)) or "a table"
        return (
            f"{error.dataset_name}: {column}found {examples} ({failure.failure_count:,} rows), "
            f"expected {one_line(failure.check or failure.message)} ({error.validator})"
        )
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and OUT_OF_MEMORY.search(str(error))):
        reason = one_line(str(error), 150) or "Python has none left"
        return f"there is not enough memory ({reason}), expected more, or fewer seeds, smaller batches or networks"
    if isinstance(error, OSError) and error.errno in REFUSED and error.filename is not None:
        return f"{error.filename}: {error.strerror}, expected a place that this user may read and write, with space"
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):  # of a folder that was copied
        _, path, why = error.args[0][0]
        return one_line(f"{path}: {why}, expected a place that this user may read and write, with space")
    if isinstance(error, DatasetError) and not any(isinstance(cause, DEFECTS) for cause in _chain(error)):
        return one_line(str(error))
    if isinstance(error, MissingConfigException):
        return one_line(str(error))
    if isinstance(error, KeyError) and str(error.args[:1]).startswith(CREDENTIALS, 2):
        return one_line(str(error.args[0]).split(":")[0]) + ", which the catalog names, in conf/*/credentials.yml"
    return None


RUNNERS = ("SequentialRunner", "ThreadRunner", "ParallelRunner")
DEFAULT_RUNNER = RUNNERS[0]


@contextmanager
def _sentences() -> Iterator[None]:
    """Turn errors that the user can correct into exceptions that click prints without a traceback."""
    warn_in_sentences()
    try:
        yield
    except KedroCliError as error:  # prints the name of its class, and how to see the traceback
        raise click.ClickException(one_line(error.message)) from error
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Ending as ending:
        click.echo(str(ending))
        raise click.exceptions.Exit(ending.status) from None
    except Exception as error:
        if text := sentence(error):
            raise click.ClickException(text) from error
        raise


class Command(click.Command):
    """A command that ends in one sentence on a user's mistake, in its options or in its work."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with _sentences():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with _sentences():
            return super().invoke(ctx)


@click.group(name="counterpoise", context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Repair the fairness of trained classifiers: run experiments on the data of this project."""


def _run(**options: Any) -> Any:
    from counterpoise.hooks.slices import chosen, combined  # imports torch: `--help` does without

    registered.read(options["conf_source"], options["env"])
    names = [name for name in [options["pipeline"], *(options["pipelines"] or [])] if name]
    chosen(combined(names), options)
    require_runner(options["runner"], options["runner_params"] or {})
    if dict(options["params"] or {}).get("reuse") is True:  # Kedro's own option, made safe by the lineage
        options["only_missing_outputs"] = True
    run = kedro_run.callback
    assert run is not None
    return run(**options)


def require_runner(name: str | None, arguments: Mapping[str, Any]) -> None:
    """Raise InputError unless there is a runner of this name that takes these arguments."""
    try:
        runner = load_obj(name or DEFAULT_RUNNER, runners.__name__)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise InputError(f"--runner: there is no runner {shown(name)}{suggest(name, RUNNERS)}") from error
    if not (isinstance(runner, type) and issubclass(runner, runners.AbstractRunner)):
        raise InputError(f"--runner: {shown(name)} is not a Kedro runner{suggest(None, RUNNERS)}")
    accepted = list(inspect.signature(runner).parameters)
    for key, value in arguments.items():
        if key not in accepted:
            raise InputError(f"--runner-params: {name or DEFAULT_RUNNER} takes no {shown(key)}{suggest(key, accepted)}")
        if key == "max_workers" and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise InputError(f"--runner-params: max_workers is {shown(value)}, expected a number of at least 1")
        if key == "is_async" and not isinstance(value, bool):
            raise InputError(f"--runner-params: is_async is {shown(value)}, expected true or false")


_BRACKET = re.compile(r"[][{}]")


def _items(text: str) -> list[str]:
    """Divide `a=1,b=[2,3]` at the commas outside brackets: Kedro divides at every one, and takes no lists.

    Raises:
        ValueError: brackets do not match, or an item is no `key=value`.
    """
    items, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if depth < 0:
            break
        if letter == "," and depth == 0:
            items.append("")
        else:
            items[-1] += letter
    if depth:
        raise ValueError("its brackets do not match")
    items = [item.strip() for item in items if item.strip()]
    if wrong := [item for item in items if not re.match(r"[^=\s][^=]*=", item)]:
        raise ValueError(f"{shown(wrong[0])} is not key=value")
    return items


def _checked(option: click.Parameter) -> click.Parameter:
    """Return an option of Kedro's; of those that are YAML, one that says what is wrong in it."""
    parse = option.callback
    if parse is None or option.name not in {"params", "runner_params", "config"}:
        return option

    def callback(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if parameter.name == "config" and value:
            read_run_options(Path(value))
        try:
            if parameter.name == "params" and isinstance(value, str) and _BRACKET.search(value):
                value = OmegaConf.to_container(OmegaConf.from_dotlist(_items(value)))
            return parse(ctx, parameter, value)
        except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
            reason = one_line(getattr(error, "problem", None) or str(error).split("\n")[0])
            raise InputError(
                f"{parameter.opts[-1]}: {shown(value)} cannot be read ({reason}), expected key=value,key=value"
            ) from error

    checked = copy(option)
    checked.callback = callback
    return checked


def _init(*, file: Path, drop: tuple[str, ...], **options: Any) -> None:
    from counterpoise.commands.first_configuration import Request, initialise  # imports pandas: `--help` does without

    dropped = tuple(name.strip() for names in drop for name in names.split(",") if name.strip())
    for line in initialise(Request(file=file, drop=dropped, **options)):
        click.echo(line)


init = Command(
    "init",
    callback=_init,
    params=[
        click.Argument(["file"], type=click.Path(path_type=Path), metavar="FILE"),
        click.Option(["--label"], required=True, metavar="COLUMN", help="What is to be predicted."),
        click.Option(
            ["--sensitive"],
            required=True,
            multiple=True,
            metavar="COLUMNS",
            help="Whose groups are compared; of several, a,b or repeated, the groups are their intersections.",
        ),
        click.Option(["--name"], default="own", show_default=True, help="What the data set is called in conf/local."),
        click.Option(["--positive"], metavar="VALUE", help="The label that is class 1; of two a likely one is taken."),
        click.Option(
            ["--drop"], multiple=True, metavar="COLUMNS", help="Columns that are no features: a,b or repeated."
        ),
        click.Option(["--sheet"], metavar="NAME", help="Of a workbook that has several."),
        click.Option(["--force"], is_flag=True, help="Write anew what is there."),
    ],
    help="Describe a table (of CSV, Excel, …) in conf/local/parameters_<name>.yml, with two experiments on it.",
    short_help="Describe your own table.",
)
cli.add_command(init)


def _export(*, experiment: str, environment: str | None, **options: Any) -> None:
    from counterpoise.commands.exporting import Request, export

    for line in export(Request(experiment=experiment, environment=environment, **options)):
        click.echo(line)


export = Command(
    "export",
    callback=_export,
    params=[
        click.Argument(["experiment"], metavar="EXPERIMENT"),
        click.Option(["--to"], required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="Of the model."),
        click.Option(["--method"], metavar="NAME", help="Variant of heads, or method of networks."),
        click.Option(["--part"], metavar="NAME", help="Of an experiment that has parts."),
        click.Option(["--seed"], type=int, metavar="SEED", help="Of heads and networks; the first one by default."),
        click.Option(["--env", "-e", "environment"], metavar="ENVIRONMENT", help="In which the experiment was run."),
    ],
    help="Write a model that a run has left as an MLflow folder that takes rows of your file, or images.",
    short_help="Export a model.",
)
cli.add_command(export)


def _plan(*, pipeline: str | None, environment: str | None, to: Path | None, check: Path | None) -> None:
    from counterpoise.commands.deployment import check_plan, plan

    if (pipeline is None) == (check is None):
        raise click.UsageError("expected either a pipeline or --check FILE")
    click.echo(check_plan(check) if check is not None else plan(str(pipeline), environment, to))


tasks = Command(
    "plan",
    callback=_plan,
    params=[
        click.Argument(["pipeline"], required=False, metavar="[PIPELINE]"),
        click.Option(["--env", "-e", "environment"], metavar="ENVIRONMENT", help="In which the tasks run."),
        click.Option(["--to"], type=click.Path(path_type=Path), metavar="FILE", help="Of the tasks, in JSON."),
        click.Option(["--check"], type=click.Path(path_type=Path), metavar="FILE", help="Check such a file."),
    ],
    help="Divide a pipeline into tasks of a scheduler, and check that nothing in memory is lost between them.",
    short_help="Divide a pipeline into tasks.",
)
cli.add_command(tasks)


def _serve(*, name: str, **options: Any) -> None:
    from counterpoise.commands.serving import serve

    serve(name, **options)


serve = Command(
    "serve",
    callback=_serve,
    params=[
        click.Argument(["name"], metavar="MODEL"),
        click.Option(["--alias"], default="champion", show_default=True, metavar="ALIAS", help="That is followed."),
        click.Option(
            ["--env", "-e", "environment"], metavar="ENVIRONMENT", help="Whose mlflow.yml names the registry."
        ),
        click.Option(["--host"], default="127.0.0.1", show_default=True, metavar="ADDRESS"),
        click.Option(["--port"], default=5001, show_default=True, type=click.IntRange(1, 65535)),
        click.Option(
            ["--seconds"],
            default=5.0,
            show_default=True,
            type=click.FloatRange(min=0.1),
            metavar="S",
            help="Between two looks at the alias.",
        ),
    ],
    help="Serve the registered model that an alias names over HTTP, and the next one once the alias moves.",
    short_help="Serve the champion.",
)
cli.add_command(serve)


def _champion(*, day: str | None, environment: str | None) -> None:
    from counterpoise.hooks.retraining_run import tenure

    champion, history = tenure(day, environment)
    click.echo(f"{champion.champion}, since {champion.since}: {champion.reason}")
    for check in history[champion.sequence].checks:
        click.echo(f"  {check.outcome:9} {check.sentence}")


champion = Command(
    "champion",
    callback=_champion,
    params=[
        click.Option(["--on", "day"], metavar="DATE", help="The end of a day (UTC), as in 2026-06-30; now by default."),
        click.Option(["--env", "-e", "environment"], metavar="ENVIRONMENT", help="In which models are retrained."),
    ],
    help="Say which model was champion on a day, since when, and why.",
    short_help="Which model was champion.",
)
cli.add_command(champion)

run = Command(
    "run",
    callback=_run,
    params=[_checked(option) for option in kedro_run.params],
    help="Run a pipeline: an experiment, the download of its data, or the overview of all reports.",
    short_help="Run a pipeline.",
)
cli.add_command(run)
