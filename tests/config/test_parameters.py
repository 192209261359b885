"""What the files under conf/ may say."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.config.loader import ConfigLoader
from counterpoise.config.parameters import Block, Parameters, Seeds, check
from counterpoise.errors import InputError, suggest
from counterpoise.methods.heads.variants import Variants
from counterpoise.settings import CONFIG_LOADER_ARGS

CONF = Path(__file__).parents[2] / "conf"
VARIABLES = {"COUNTERPOISE_ROOT": "/srv/results", "MLFLOW_TRACKING_URI": "http://tracking.example:5000"}
"""What conf/prod reads from the environment of the process."""


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


def load(environment: str) -> dict[str, Any]:
    """Return an environment's parameters as Kedro reads them."""
    arguments = CONFIG_LOADER_ARGS | {"default_run_env": environment}
    loader = ConfigLoader(str(CONF), env=environment, **arguments)
    return dict(loader["parameters"])


@pytest.fixture(scope="module")
def base() -> dict[str, Any]:
    return load("base")


@pytest.mark.parametrize("environment", sorted(path.name for path in CONF.iterdir() if path.is_dir()))
def test_every_environment_is_valid(environment: str) -> None:
    assert isinstance(check(load(environment)), Parameters)


def test_base_is_at_paper_scale(base: dict[str, Any]) -> None:
    parameters = check(base)
    assert parameters.seeds.root == tuple(range(10))
    assert parameters.variants["win"] == Variants(("tl", "svd", "win"), (1, 2), (0.5,), ("mean",))
    assert parameters.datasets["adult"].groups == ("Female", "Male")


@pytest.mark.parametrize("environment", ["laptop", "prod", "smoke"])
def test_environments_only_override(environment: str, base: dict[str, Any]) -> None:
    """A block or key that base does not have could be read by nobody."""

    def foreign(override: Any, original: Any, path: str = "") -> list[str]:
        if not isinstance(override, dict):
            return []
        return [
            found
            for key, value in override.items()
            for found in ([f"{path}{key}"] if key not in original else foreign(value, original[key], f"{path}{key}."))
        ]

    assert foreign(_own(environment), base) == []


def prod() -> ConfigLoader:
    return ConfigLoader(str(CONF), env="prod", **CONFIG_LOADER_ARGS)


def test_prod_only_moves_places(base: dict[str, Any]) -> None:
    assert {path.name for path in (CONF / "prod").iterdir()} == {"globals.yml", "mlflow.yml"}
    assert load("prod") == base
    catalog, tracking = prod()["catalog"], prod()["mlflow"]
    assert catalog["{folder}__raw"]["filepath"] == "data/01_raw/{folder}"
    assert catalog["training_states"]["filepath"].startswith("/srv/results/")
    places = [entry["filepath"] for name, entry in catalog.items() if "__raw" not in name and "filepath" in entry]
    assert places
    assert all(place.startswith("/srv/results/") for place in places)
    assert set(tracking) == set(ConfigLoader(str(CONF), env="base", **CONFIG_LOADER_ARGS)["mlflow"])
    assert tracking["tracking_uri"] == "http://tracking.example:5000"


@pytest.mark.parametrize(("variable", "kind"), [("COUNTERPOISE_ROOT", "catalog"), ("MLFLOW_TRACKING_URI", "mlflow")])
def test_prod_needs_its_variables(monkeypatch: pytest.MonkeyPatch, variable: str, kind: str) -> None:
    monkeypatch.delenv(variable)
    with pytest.raises(InputError, match=rf"conf/prod/\w+\.yml, line \d: .*missing value .*'{variable}' not found"):
        _ = prod()[kind]


def _own(environment: str) -> dict[str, Any]:
    import yaml

    own: dict[str, Any] = {}
    for path in (CONF / environment).glob("parameters*.yml"):
        own |= yaml.safe_load(path.read_text())
    # What only some environments set: keys with a default in the model.
    for block in own.get("backbones", {}).values():
        for key in ("image_size", "shard_size", "batch_size", "precision"):
            block.pop(key, None)
    return own


@given(st.integers(1, 50))
def test_a_number_of_seeds_counts_from_zero(count: int) -> None:
    assert Seeds(count).root == tuple(range(count))  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=8, unique=True))
def test_a_list_of_seeds_is_itself(seeds: list[int]) -> None:
    assert Seeds(tuple(seeds)).root == tuple(seeds)


def changed(base: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return the parameters with one value changed."""
    copy = deepcopy(base)
    *parents, last = path.split(".")
    block = copy
    for parent in parents:
        block = block[parent]
    block[last] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("sedes", 1, r"conf: unknown parameter 'sedes' \(did you mean 'seeds'\?\)"),
        ("pretrain.epoch", 1, r"conf: unknown parameter 'epoch' in 'pretrain' \(did you mean 'epochs'\?\)"),
        ("networks.mlp2.wdith", 1, r"unknown parameter 'wdith' in 'networks.mlp2' \(did you mean 'width'\?\)"),
        ("seeds", True, r"'seeds' is True: expected a number of seeds or a list of seeds"),
        ("seeds", [2**32], r"'seeds' is \[4294967296\]: it has 4294967296, expected .* from 0 to 4,294,967,295"),
        ("seeds", [0, -1], r"it has -1, expected whole numbers from 0 to"),
        ("seeds", [0, 1.5], r"it has 1\.5, expected whole numbers"),
        ("seeds", [0, "1"], r"it has '1', expected whole numbers"),
        ("seeds", [0, True], r"it has True, expected whole numbers"),
        ("seeds", [[0]], r"it has \[0\], expected whole numbers"),
        ("seeds", [None], r"it has None, expected whole numbers"),
        ("seeds", [3, 1, 3], "seed 3 is given more than once"),
        ("seeds", [], "at least one seed is needed"),
        ("seeds", list(range(1001)), "1,001 seeds, expected at most 1,000"),
        ("seeds", list(range(10**6)), "1,000,000 seeds, expected at most 1,000"),
        ("seeds", 1001, r"is 1001: .* from 1 to 1,000, or a list of seeds: seeds=\[1001\] for this one seed"),
        ("seeds", 20240101, r"is 20240101: .* from 1 to 1,000, .*: seeds=\[20240101\] for this one seed"),
        ("seeds", 10**9, r"seeds=\[1000000000\] for this one seed"),
        ("seeds", 2**32, r"is 4294967296: .* from 1 to 1,000, .*: seeds=\[0\] for one seed"),
        pytest.param("seeds", 10**5000, r"too long to show.* from 1 to 1,000, .*: seeds=\[0\] for one seed", id="huge"),
        ("seeds", 0, r"is 0: .* from 1 to 1,000, .*: seeds=\[0\] for this one seed"),
        ("seeds", -3, r"is -3: .* from 1 to 1,000, .*: seeds=\[0\] for one seed"),
        ("seeds", 3.0, r"is 3\.0: expected a number of seeds or a list"),
        ("seeds", float("nan"), r"is nan: expected a number of seeds or a list"),
        ("seeds", "3", r"is '3': expected a number of seeds or a list"),
        ("seeds", "x" * 10**6, r"is 'x+…x+': expected a number of seeds or a list"),
        ("seeds", None, r"is None: expected a number of seeds or a list"),
        ("seeds", {"a": 1}, "'seeds': expected a number of seeds or a list"),
        ("networks.mlp2.width", 10**12, r"width' is 1000000000000: input should be less than or equal to 100000"),
        ("networks.mlp2.layers", 10**9, r"layers' is 1000000000: input should be less than or equal to 1000"),
        ("report.examples", 10**9, r"examples' is 1000000000: input should be less than or equal to 1000"),
        ("selection.criterion", "delta" * 10**5, r"criterion is 'delta.*…"),
        ("frontiers.tables.strengths", list(range(10**4, 0, -1)), r"strengths are \[.*…\], expected increasing"),
        ("x\ny", 3, r"unknown parameter 'x\\ny'"),
        ("networks.mlp2.layers", 1, r"'networks.mlp2.layers' is 1: input should be greater than or equal to 2"),
        ("datasets.adult.split.fractions", {"pretrain": 1.0}, r"fractions lacks task"),
        ("datasets.adult.split.fractions.task", 0.5, r"the fractions sum to 1.1, expected 1"),
        ("datasets.adult.groups", ["Female"], r"'datasets.adult.groups' is \['Female'\]"),
        ("datasets.adult.group_names", ["a", "b", "c"], r"2 groups have 3 group_names"),
        ("datasets.adult.classes", ["a", "b", "c"], r"3 classes with 'positive', expected 2"),
        ("datasets.adult.classes", ["a", "a"], r"class 'a' is given more than once"),
        ("datasets.adult.split.scheme", "domain", r"scheme is 'domain' \(did you mean 'domains'\?\)"),
        ("datasets.celeba.image_range", [1, 1], r"image_range is \[1.0, 1.0\], expected"),
        (
            "datasets.celeba.limits",
            {"image_pixels": 0},
            r"image_pixels' is 0: input should be greater than or equal to 1",
        ),
        ("datasets.cifar10s.split.skew", 1, r"'datasets.cifar10s.split.skew' is 1: input should be less than 1"),
        ("datasets.cifar10s.split.skew", 0.49, r"split.skew' is 0.49: input should be greater than or equal to 0.5"),
        ("datasets.cifar10s.split.skw", 1, r"'skw' in 'datasets.cifar10s.split' \(did you mean 'skew'\?\)"),
        (
            "datasets.cifar10s.split.majority",
            {"colour": ["cat"], "gray": []},
            r"names 'gray' \(did you mean 'grey'\?\)",
        ),
        (
            "datasets.cifar10s.split.majority.grey",
            ["cat"],
            r"majority has the classes .*expected each of 'classes' once",
        ),
        (
            "datasets.cifar10s.split.images_per_class",
            1,
            r"images_per_class' is 1: input should be greater than or equal",
        ),
        (
            "datasets.biased_mnist.split.rho",
            1.0,
            r"split\.rho' is 1\.0: expected a share of at least 0 and less than 1",
        ),
        ("datasets.biased_mnist.split.rho", True, r"split\.rho' is True: expected a share"),
        ("datasets.biased_mnist.split.rho", {"color": 0.9}, r"split\.rho names color, expected colour"),
        ("datasets.multicolor_mnist.split.rho", 0.9, r"split\.rho is 0\.9, expected one for each of left, right"),
        ("datasets.multicolor_mnist.split.rho.right", -0.1, r"'right' has -0\.1, expected a share of at least 0"),
        (
            "datasets.multicolor_mnist.further_sensitive.right",
            ["ink", "pink"],
            r"'right' has 2 groups, expected one for each of the 10 classes, in their order",
        ),
        ("datasets.biased_mnist.split.gates", 0, r"split\.gates' is 0: input should be greater than or equal to 1"),
        ("datasets.celeba_blond.split.per_cell", {"test": 1}, r"per_cell lacks train, validation"),
        ("datasets.celeba_blond.split.per_cell.train", 1.5, r"per_cell\.train' is 1\.5: expected a number of rows, at"),
        (
            "datasets.celeba_blond.split.per_cell.test",
            0,
            r"per_cell\.test' is 0: expected a number of rows, at least 1",
        ),
        ("finetune.optimizer.rate", 1, r"'rate' in 'finetune.optimizer' \(did you mean 'name'\?\)"),
        (
            "frontiers.tables.bases.perceptron.epoch",
            1,
            r"'epoch' in 'frontiers.tables.bases.perceptron' \(did you mean 'epochs'",
        ),
        ("convnets.faces.widht", 8, r"'widht' in 'convnets.faces' \(did you mean 'width'"),
        ("penalties.eo_01", 3, r"'penalties.eo_01' is 3: input should be a dictionary"),
        ("finetune.optimizer.name", "adan", r"'finetune.optimizer.name' is 'adan' \(did you mean 'adam'\?\)"),
        ("variants.win.alphas", [0.5, 1.01], r"'variants.win.alphas.1' is 1.01: input should be less than or equal"),
        ("report.level", float("nan"), r"'report.level' is nan"),
        ("repairs.digits.methods", [], r"repairs\.digits\.methods' is \[\]"),
        ("repairs.digits.ffw_strong.gamma", -1.0, r"digits\.ffw_strong\.gamma' is -1\.0: .*greater than or equal to 0"),
        ("repairs.digits.ffw_strong.lr", 0.0, r"digits\.ffw_strong\.lr' is 0\.0: .*greater than 0"),
        (
            "repairs.digits.ffw_strong.temperature",
            {"kind": "stalling", "factor": 1.0},
            r"temperature\.factor' is 1\.0: input should be less than 1",
        ),
        (
            "repairs.digits.ffw_strong.temperature",
            {"kind": "geometric", "end": 1.0},
            "the last temperature is 1, expected less than the first, 1: it never falls",
        ),
        (
            "repairs.digits.ffw_strong.temperature",
            {"kind": "straight_through", "factor": 0.5},
            "unknown parameter 'factor' in 'repairs.digits.ffw_strong.temperature'",
        ),
        ("finetune", {"batch_size": None}, r"parameter 'finetune.epochs' is missing"),
    ],
)
def test_a_mistake_is_one_sentence(base: dict[str, Any], path: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        check(changed(base, path, value))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "path",
    [
        "frontiers.tables.kinds",
        "frontiers.tables.strengths",
        "finetune.epochs",
        "datasets.adult.label",
        "variants.win.methods",
    ],
)
def test_a_key_that_is_needed_and_mistyped_is_named(base: dict[str, Any], path: str) -> None:
    block, _, key = path.rpartition(".")
    mistyped = changed(base, f"{path}x", None)
    inner = mistyped
    for name in block.split("."):
        inner = inner[name]
    inner[f"{key}x"] = inner.pop(key)
    with pytest.raises(InputError, match=rf"unknown parameter '{key}x' in '{block}' \(did you mean '{key}'\?\)"):
        check(mistyped)


def test_fractions_may_be_rounded(base: dict[str, Any]) -> None:
    thirds = changed(base, "datasets.adult.split.fractions", {"pretrain": 0.3333333, "task": 0.6666667})
    assert check(thirds).datasets["adult"].split.fractions["task"] == 0.6666667


def test_one_value_stands_for_a_list_of_one() -> None:
    block = {"methods": "win", "ranks": 3, "alphas": 0.2, "neutralizers": "minimum"}
    assert Block[Variants].model_validate(block).root == Variants(("win",), (3,), (0.2,), ("minimum",))


@pytest.mark.parametrize(("inputs", "classes", "most"), [(20, 2, 2), (3, 1000, 3), (4, 4, 4)])
def test_ranks_reach_the_smaller_side_of_the_head(inputs: int, classes: int, most: int) -> None:
    Variants(methods=("svd",), ranks=(1, most)).require_ranks(inputs=inputs, classes=classes)
    with pytest.raises(InputError, match=f"rank {most + 1}, expected 1 … {most}"):
        Variants(methods=("svd",), ranks=(1, most + 1)).require_ranks(inputs=inputs, classes=classes)


def test_the_closest_name_is_suggested_and_all_are_listed_if_none_is_close() -> None:
    assert suggest("hepochs", ["seeds", "epochs"]) == " (did you mean 'epochs'?)"
    assert suggest("qqq", ["seeds", "epochs"]) == " (known: seeds, epochs)"
