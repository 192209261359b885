"""Which errors are sentences for the user, and which keep their traceback."""

from __future__ import annotations

import errno
import shutil
import warnings
from itertools import pairwise

import pytest
from kedro.io import DatasetError
from kedro.validation.exceptions import CheckFailure, DataValidationError

from counterpoise.commands import sentences
from counterpoise.commands.sentences import sentence, warn_in_sentences
from counterpoise.errors import InputError
from counterpoise.fairness import UndefinedMetricWarning


def chained(*errors: Exception) -> Exception:
    """Return the first error, each with the next as its cause."""
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return errors[0]


def test_the_sentence_of_an_input_error_however_deep() -> None:
    error = chained(DatasetError("Failed while loading"), ValueError("wrapped"), InputError("x.csv: no such file"))
    assert sentence(error) == "x.csv: no such file"


def test_what_kedro_says_of_a_dataset_on_one_line() -> None:
    assert sentence(DatasetError("Failed while saving\n  data to 'x'.")) == "Failed while saving data to 'x'."


def test_what_a_schema_refuses() -> None:
    failure = CheckFailure("age failed", "ge(17)", "age", 3, [5, 6])
    error = DataValidationError("no", dataset_name="table", validator="schemas.Table", failures=[failure])
    assert sentence(error) == "table: column 'age': found 5, 6 (3 rows), expected ge(17) (schemas.Table)"


@pytest.mark.parametrize("error", [KeyError("x"), chained(RuntimeError("a"), TypeError("b"))])
def test_a_defect_of_ours_keeps_its_traceback(error: Exception) -> None:
    assert sentence(error) is None


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(PermissionError(errno.EACCES, "Permission denied", "data/x"), id="permission"),
        pytest.param(OSError(errno.ENOSPC, "No space left on device", "data/x"), id="disk full"),
        pytest.param(OSError(errno.EFBIG, "File too large", "data/x"), id="limit of a file's size"),
        pytest.param(OSError(errno.EROFS, "Read-only file system", "data/x"), id="read-only"),
        pytest.param(OSError(errno.ENAMETOOLONG, "File name too long", "data/x"), id="long name"),
    ],
)
def test_what_the_operating_system_refuses(error: OSError) -> None:
    assert str(sentence(chained(RuntimeError("a"), error))).startswith(f"data/x: {error.strerror}, expected a place")


def test_a_folder_that_cannot_be_copied() -> None:
    error = shutil.Error([("a", "data/x", "No space left on device"), ("b", "data/y", "No space left on device")])
    assert str(sentence(chained(RuntimeError("a"), error))).startswith("data/x: No space left on device, expected a")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_no_memory_is_no_defect(error: Exception) -> None:
    assert str(sentence(error)).startswith("there is not enough memory (")


def test_a_defect_in_a_data_set_keeps_its_traceback() -> None:
    assert sentence(chained(DatasetError("Failed while saving"), AttributeError("ours"))) is None


def test_credentials_that_nobody_has_given() -> None:
    error = KeyError("Unable to find credentials 'bucket': check your data catalog")
    assert sentence(error) == (
        "Unable to find credentials 'bucket', which the catalog names, in conf/*/credentials.yml"
    )


def test_warnings_of_the_project_are_their_sentences_and_others_name_their_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    for _ in range(2):  # every session of a process asks for it
        warn_in_sentences()
    here, ours = ("/a/library.py", 7), (sentences.__file__, 7)
    assert warnings.formatwarning("A class is absent.", UndefinedMetricWarning, *here) == "A class is absent.\n"
    assert warnings.formatwarning("Few rows.", UserWarning, *ours) == "Few rows.\n"
    assert warnings.formatwarning("Old.", DeprecationWarning, *here).startswith("/a/library.py:7: DeprecationWarning")
