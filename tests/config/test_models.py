"""The block `models`: what a model is, and which field of a row may name it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from counterpoise.config.models import ExportedProgram, Model, TorchModule, TreeFile, require_kind
from counterpoise.errors import InputError

KINDS: TypeAdapter[Any] = TypeAdapter(Model)


def test_the_key_that_is_there_says_what_a_model_is() -> None:
    assert isinstance(KINDS.validate_python({"trees": "scorer.txt", "columns": "encoded"}), TreeFile)
    assert isinstance(KINDS.validate_python({"module": "network:Scorer"}), TorchModule)
    assert isinstance(KINDS.validate_python({"program": "scorer.pt2"}), ExportedProgram)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({}, "it has none of them, expected one of trees, module, program"),
        ({"trees": "a.txt", "module": "b:c"}, "it has trees and module, expected one of"),
        ({"module": "network.Scorer"}, "should match pattern"),
        ({"trees": "a.txt", "columns": "all"}, "columns"),
        ({"trees": "a.txt", "weights": "b.pt"}, "weights"),
    ],
)
def test_other_blocks_are_refused(block: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        KINDS.validate_python(block)


def test_a_row_names_trees_and_models_under_fields_of_their_own() -> None:
    trees, module = TreeFile(trees="a.txt"), TorchModule(module="network:Scorer")
    require_kind(trees, "models.a", "win_a", trees=True)
    require_kind(module, "models.a", "win_a", trees=False)
    with pytest.raises(InputError, match=r"conf: models\.a holds no trees, expected win_a to name it under `model`"):
        require_kind(module, "models.a", "win_a", trees=True)
    with pytest.raises(InputError, match=r"conf: models\.a holds trees, expected win_a to name it under `trees`"):
        require_kind(trees, "models.a", "win_a", trees=False)
