"""Every row of the catalogue that works on frozen features names a function of the interface that all methods share."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from counterpoise.catalogue import methods_of, require_names, run_by
from counterpoise.errors import InputError


@pytest.mark.parametrize("path", sorted({row.run for row in methods_of("heads", "peers").values()}))
def test_a_row_names_a_function_of_the_interface(path: str) -> None:
    module, _, function = path.partition(":")
    run = getattr(import_module(f"counterpoise.methods.{module}"), function)
    assert list(inspect.signature(run).parameters) == ["problem", "settings", "earlier"]


def test_a_function_runs_the_methods_whose_rows_name_it() -> None:
    assert run_by("heads.retraining:run") == ("retrain",)
    assert run_by("nowhere:run") == ()


@pytest.mark.parametrize(
    ("names", "message"),
    [(["lease"], r"methods has 'lease' \(did you mean 'leace'\?\)"), (["leace"] * 2, "leace is given more than once")],
)
def test_names_that_are_no_methods_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        require_names(names, methods_of("peers"))
