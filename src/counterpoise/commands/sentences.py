"""What the command line says of warnings, and of errors that are the user's to mend; others keep their traceback."""

from __future__ import annotations

import errno
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from kedro.config import MissingConfigException
from kedro.io import DatasetError
from kedro.validation.exceptions import DataValidationError

import counterpoise
from counterpoise.errors import InputError, one_line, shown

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
