"""The block `retraining`: what is retrained, on which derived data, and what cannot be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from counterpoise.config.retrained import RETRAINED, retrained, row_of, with_retraining
from counterpoise.config.retraining import Retraining
from counterpoise.errors import InputError
from counterpoise.experiments import EXPERIMENTS

ROWS = {experiment.name: experiment for experiment in EXPERIMENTS}


def parameters(experiment: str, **block: Any) -> dict[str, Any]:
    return {
        "retraining": {"experiment": experiment},
        "datasets": {"adult": {"reader": "adult", "label": "income", "checksums": {"a": "b"}, **block}},
    }


def test_the_data_of_the_experiment_are_read_from_one_file() -> None:
    derived = with_retraining(parameters("win_adult"), EXPERIMENTS)["datasets"][RETRAINED]
    assert derived == {"reader": "table", "label": "income", "options": {"files": "rows.parquet"}}


def test_what_a_table_is_read_with_stays() -> None:
    block = parameters("win_adult", reader="table", options={"files": ["a.csv", "b.csv"], "impute": ["age"]})
    options = with_retraining(block, EXPERIMENTS)["datasets"][RETRAINED]["options"]
    assert options == {"files": "rows.parquet", "impute": ["age"]}


def test_without_the_block_nothing_is_retrained() -> None:
    assert row_of({}, EXPERIMENTS) is None
    assert with_retraining({"datasets": {}}, EXPERIMENTS) == {"datasets": {}}


def test_the_row_is_retrained_as_it_stands() -> None:
    row = retrained(ROWS["frontier_adult"])
    assert (row.name, row.dataset, row.frontier) == (RETRAINED, RETRAINED, "tables")


def test_images_are_read_from_a_table_of_paths() -> None:
    block = {"reader": "lfwa", "label": "Male", "split": {"fractions": {}}}
    derived = with_retraining({"retraining": {"experiment": "win_lfwa"}, "datasets": {"lfwa": block}}, EXPERIMENTS)
    assert derived["datasets"][RETRAINED] == {**block, "reader": "image_table", "options": {"file": "rows.parquet"}}
    faces = {"reader": "image_table", "options": {"file": "faces.csv", "missing": "?"}}
    derived = with_retraining({"retraining": {"experiment": "win_lfwa"}, "datasets": {"lfwa": faces}}, EXPERIMENTS)
    assert derived["datasets"][RETRAINED]["options"] == {"file": "rows.parquet", "missing": "?"}
    for wrong in ({"reader": "cifar10s"}, {"reader": "image_table", "split": {"scheme": "aligned"}}):
        with pytest.raises(InputError, match=r"images are read by .*expected image_table, celeba, lfwa and shares"):
            with_retraining({"retraining": {"experiment": "win_lfwa"}, "datasets": {"lfwa": wrong}}, EXPERIMENTS)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("win_adlt", r"retraining.experiment is 'win_adlt' \(did you mean 'win_adult'\?\)"),
        (
            "alter_celeba",
            "'alter_celeba', expected a frontier, or heads of a network, trees or a backbone, without",
        ),
        ("fair_pretrain_adult", "without parts"),
        ("alter_compas", "expected a frontier, or heads"),
        ("ffw_celeba", "expected a frontier, or heads"),
    ],
)
def test_what_cannot_be_retrained_is_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        row_of({"retraining": {"experiment": name}}, EXPERIMENTS)


def test_a_frontier_may_stand_on_a_network_that_came_trained() -> None:
    row = replace(ROWS["frontier_adult"], name="frontier_scores", model="scores")
    assert row_of({"retraining": {"experiment": "frontier_scores"}}, [*EXPERIMENTS, row]) == row


def test_the_block_is_checked() -> None:
    block = {"experiment": "win_adult", "model_name": "income"}
    assert Retraining.model_validate(block).gate.patience == 1
    for key, value, sentence in (
        ("gate", {"patience": 4}, "patience is 4, expected 1"),
        ("gate", {"tolerances": {"delta_xy": 0.1}, "patience": 1}, "tolerances names 'delta_xy'"),
        ("held_out", 1.0, "less than 1"),
        ("window", 0, "greater than or equal to 1"),
        ("typo", 1, "Extra inputs"),
    ):
        with pytest.raises(ValueError, match=sentence):
            Retraining.model_validate({**block, key: value})
