"""Parts of experiments read the experiment's block with the settings of their row, and of an environment, merged in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from counterpoise.config.loader import ConfigLoader
from counterpoise.config.parameters import check
from counterpoise.config.parts import merged, with_parts
from counterpoise.errors import InputError
from counterpoise.experiments import EXPERIMENTS
from counterpoise.pipelines.assemble import blocks, parameter
from counterpoise.settings import CONFIG_LOADER_ARGS

CONF = Path(__file__).parents[2] / "conf"
SKEWS = "parts.alter_cifar10s_skew"


def load(environment: str = "base", **params: Any) -> dict[str, Any]:
    arguments = CONFIG_LOADER_ARGS | {"default_run_env": environment}
    return ConfigLoader(str(CONF), env=environment, runtime_params=params, **arguments)["parameters"]


def test_every_part_reads_its_rows_settings_and_else_the_experiments() -> None:
    parameters = check(load())
    for experiment in EXPERIMENTS:
        for part in experiment.parts:
            for kind, settings in part.overrides.items():
                path = parameter(kind, experiment, part)
                effective = parameters.at(path).model_dump(mode="json")
                shared = parameters.at(parameter(kind, experiment)).model_dump(mode="json")
                assert effective == merged(shared, settings)
                assert blocks({path: effective}, experiment) == {
                    other.name: {kind: effective} if other is part else {} for other in experiment.parts
                }


def test_an_override_of_the_experiments_block_reaches_all_parts() -> None:
    """Whether an environment or --params says it; what the row says of the part stays."""
    parameters = check(load("smoke", datasets={"cifar10s": {"split": {"test_per_class": 7}}}))
    splits = [parameters.at(f"{SKEWS}.{key}.dataset.split") for key in ("80", "90", "99")]
    assert [split.skew for split in splits] == [0.8, 0.9, 0.97]  # smoke says 97
    assert {split.test_per_class for split in splits} == {7}
    assert {split.validation_per_cell for split in splits} == {6}


@pytest.mark.parametrize("name", ["99", 99])
def test_one_part_is_overridden_by_its_key(name: str | int) -> None:
    changed = {"alter_cifar10s_skew": {name: {"dataset": {"split": {"skew": 0.6}}}}}
    parameters = with_parts(load() | {"parts": changed})
    of = parameters["parts"]["alter_cifar10s_skew"]
    assert [of[key]["dataset"]["split"]["skew"] for key in ("80", "90", "99")] == [0.8, 0.9, 0.6]
    assert with_parts(parameters) == parameters, "Kedro may ask for them twice"


def test_on_the_command_line() -> None:
    given = {"alter_cifar10s_skew": {"99": {"dataset": {"split": {"skew": 0.6}}}}}
    assert check(load("smoke", parts=given)).at(f"{SKEWS}.99.dataset.split.skew") == 0.6


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"alter_adlt": {}}, r"unknown parameter 'alter_adlt' in 'parts' \(did you mean 'alter_adult'"),
        ({"alter_adult": {"sx": {}}}, r"unknown parameter 'sx' in 'parts\.alter_adult' \(did you mean 'sex'"),
        ({"alter_cifar10s_skew": {"99%": {}}}, r"unknown parameter '99%' in '.*skew' \(did you mean '99'"),
        (
            {"alter_adult": {"sex": {"objective": {"margin": 0}}}},
            r"unknown parameter 'objective' in 'parts\.alter_adult\.sex' \(known: dataset\)",
        ),
        ({"alter_adult": 3}, r"parameter 'parts\.alter_adult' is 3, expected names with settings"),
        (
            {"alter_adult": {"sex": {"dataset": 3}}},
            r"parameter 'parts\.alter_adult\.sex\.dataset' is 3, exp",
        ),
        (
            {"alter_adult": {"sex": {"dataset": {"labl": "x"}}}},
            r"unknown parameter 'labl' in 'parts\.alter_adult\.sex\.dataset' \(did you mean 'label'",
        ),
        (
            {"alter_cifar10s_skew": {"80": {"dataset": {"split": {"skew": 2}}}}},
            r"parameter 'parts\.alter_cifar10s_skew\.80\.dataset\.split\.skew' is 2: input should be less than 1",
        ),
    ],
)
def test_a_mistake_is_one_sentence(parts: dict[str, Any], sentence: str, preflight: Callable[..., None]) -> None:
    with pytest.raises(InputError, match=f"^conf: {sentence}"):
        check(with_parts(load() | {"parts": parts}))
    with pytest.raises(InputError, match=f"^conf: {sentence}"):
        preflight({"parts": parts})


def test_a_mistake_in_the_experiments_block_is_that_blocks() -> None:
    with pytest.raises(InputError, match=r"^conf: parameter 'datasets\.cifar10s\.split\.fit_share' is 3"):
        check(load(datasets={"cifar10s": {"split": {"fit_share": 3}}}))
    for broken in ({"cifar10s": 3}, 3):
        with pytest.raises(InputError, match=r"^conf: parameter 'datasets"):
            check(with_parts(load() | {"datasets": broken}))
