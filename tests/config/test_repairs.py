"""Blocks of settings of repairs: which method reads which, how they merge, and what is said of a mistake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pydantic import ValidationError

from counterpoise.catalogue import Family, methods_of
from counterpoise.config.repairs import FAMILIES, Repairs, block_classes
from counterpoise.errors import InputError
from counterpoise.methods.gates.gating import GateSettings
from counterpoise.methods.gates.heads import HeadSettings
from counterpoise.methods.gates.lastlayer import BankSettings, RefitSettings
from counterpoise.methods.gates.schedules import Geometric, Stalling, StraightThrough
from counterpoise.methods.repair import settings_class
from counterpoise.methods.weights.adversarial import Adversarial
from counterpoise.methods.weights.inprocessing import Contested, InProcessing
from counterpoise.methods.weights.netaug import NetAug

CONF = Path(__file__).parents[2] / "conf"


def settings(*methods: str, epochs: int | None = None, **blocks: Any) -> dict[str, Any]:
    """Return the settings of methods and of those they come after."""
    rows, names = methods_of(*FAMILIES), [*methods]
    for name in names:
        names += [other for other in rows[name].after if other not in names]
    return Repairs.model_validate({"methods": names, **blocks}).settings(epochs)


class TestDefaults:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_without_blocks_are_those_of_the_dataclasses(self, family: Family) -> None:
        rows = methods_of(family)
        for name, value in settings(*rows).items():
            kind = settings_class(rows[name])
            assert value == (None if kind is None else kind())

    def test_every_setting_of_every_method_may_stand_in_its_block(self) -> None:
        """What a method is run with is what its block says, key by key."""
        for name, row in methods_of(*FAMILIES).items():
            if (kind := settings_class(row)) is not None:
                block = {
                    part.name: getattr(kind(), part.name)
                    for part in fields(kind)
                    if not is_dataclass(getattr(kind(), part.name))
                }
                assert settings(name, **{name: block})[name] == kind()


class TestMerging:
    def test_a_block_is_of_every_method_whose_dataclass_extends_it(self) -> None:
        """Blocks of what a dataclass extends, then its own, then the method's: the last one counts."""
        blocks: dict[str, Any] = {
            "adversarial": {"epochs": 7, "pressure": 3.0, "lr": 0.5},
            "netaug": {"epochs": 5, "diversity": 0.2},
        }
        read = settings("adversarial_finetuning", "netaug", "noise_graft", noise_graft={"lr": 0.25}, **blocks)
        assert read["adversarial_finetuning"] == Adversarial(epochs=7, pressure=3.0, lr=0.5)
        assert read["netaug"] == NetAug(epochs=5, pressure=3.0, lr=0.5, diversity=0.2)
        assert read["noise_graft"] == Adversarial(epochs=7, pressure=3.0, lr=0.25)

    def test_a_block_of_what_extends_another_is_not_of_the_other(self) -> None:
        blocks = {"in_processing": {"epochs": 7}, "contested": {"epochs": 3, "strength": 0.3}}
        read = settings("domain_independent", "uniform_confusion", **blocks)
        assert read["domain_independent"] == InProcessing(epochs=7)
        assert read["uniform_confusion"] == Contested(epochs=3, strength=0.3)

    def test_a_block_within_a_setting_is_read_below_the_setting(self) -> None:
        """A second discovery of masks has the settings of the first, but for what the graft says of it."""
        read = settings("external_graft", masks={"epochs": 3, "lr": 0.5}, external_graft={"masks": {"lr": 0.25}})
        assert (read["mask_only"].epochs, read["mask_only"].lr) == (3, 0.5)
        assert (read["external_graft"].masks.epochs, read["external_graft"].masks.lr) == (3, 0.25)

    def test_readers_of_all_gates_are_one_block(self) -> None:
        read = settings("vanilla", "ffw", "refit", reader={"most": 9}, ffw={"judge": {"patience": 2}})
        assert read["vanilla"] == read["refit"].judge == read["ffw"].head == HeadSettings(most=9)
        assert read["ffw"].judge == HeadSettings(most=9, patience=2)

    def test_a_method_s_block_changes_one_key_of_a_setting_with_several(self) -> None:
        temperature = {"kind": "stalling", "patience": 3, "first": 2.0}
        read = settings(
            "ffw", "ffw_strong", gates={"temperature": temperature}, ffw_strong={"temperature": {"patience": 8}}
        )
        assert read["ffw"].temperature == Stalling(patience=3, first=2.0)
        assert read["ffw_strong"].temperature == Stalling(patience=8, first=2.0)

    def test_environments_replace_single_keys(self) -> None:
        """As Kedro's loader reads the files: what `smoke` leaves out is base's."""
        from counterpoise.settings import CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS

        base, smoke = (
            CONFIG_LOADER_CLASS(str(CONF), env=env, **CONFIG_LOADER_ARGS)["parameters"]["repairs"]["digits"]
            for env in ("base", "smoke")
        )
        changed, before = (Repairs.model_validate(block).settings(None)["ffw_structured"] for block in (smoke, base))
        assert (
            changed.temperature.epochs == smoke["ffw_structured"]["temperature"]["epochs"] < before.temperature.epochs
        )
        assert changed.temperature.factor == before.temperature.factor != Geometric().factor
        assert changed.granularity == before.granularity != GateSettings().granularity


class TestKinds:
    def test_a_kind_chooses_the_dataclass_and_the_default_stands_for_none(self) -> None:
        for block, expected in (
            ({}, Geometric()),
            ({"epochs": 4}, Geometric(epochs=4)),
            ({"kind": "geometric", "factor": 0.5}, Geometric(factor=0.5)),
            ({"kind": "stalling", "patience": 3}, Stalling(patience=3)),
            ({"kind": "straight_through"}, StraightThrough()),
        ):
            assert settings("ffw", gates={"temperature": block})["ffw"].temperature == expected

    @pytest.mark.parametrize("kind", [Stalling, StraightThrough])
    def test_another_kind_keeps_nothing_of_the_one_below(self, kind: Any) -> None:
        """A factor of one schedule says nothing of another's."""
        below = {"temperature": {"kind": "geometric", "factor": 0.7, "epochs": 3}}
        read = settings("ffw", "ffw_structured", gates=below, ffw_structured={"temperature": {"kind": kind.kind}})
        assert read["ffw"].temperature == Geometric(factor=0.7, epochs=3)
        assert read["ffw_structured"].temperature == kind()


class TestEpochs:
    def test_a_number_stands_in_for_all_numbers_of_epochs(self) -> None:
        rows = methods_of(*FAMILIES)
        for read, value in settings(*rows, epochs=2).items():
            for part in _parts(value):
                assert getattr(part, "epochs", 2) == 2, read

    def test_and_for_nothing_else(self) -> None:
        read = settings("ffw", "netaug", epochs=2, ffw={"gamma": 7.0}, netaug={"diversity": 0.3})
        assert read["ffw"] == GateSettings(gamma=7.0, temperature=Geometric(epochs=2))
        assert read["netaug"] == NetAug(epochs=2, diversity=0.3)


def _parts(value: Any) -> list[Any]:
    """Return settings and all dataclasses within them."""
    if not is_dataclass(value):
        return []
    return [value, *(inner for part in fields(value) for inner in _parts(getattr(value, part.name)))]


class TestBlocks:
    def test_are_of_every_method_with_settings_and_of_every_class_they_extend(self) -> None:
        classes = block_classes()
        for name, row in methods_of(*FAMILIES).items():
            kind = settings_class(row)
            assert (name in classes) == (kind is not None)
            for base in () if kind is None else kind.__mro__:
                if "block" in vars(base):
                    assert classes[base.block] is base

    def test_a_block_of_a_class_s_name_is_that_class_s(self) -> None:
        """`bank` is a method and the block of its dataclass; `masks` and `reader` stand within others."""
        assert block_classes()["bank"] is BankSettings
        assert block_classes()["refit"] is RefitSettings
        assert {"masks", "reader"} <= block_classes().keys() - methods_of(*FAMILIES).keys()

    def test_have_bounds_that_pydantic_reads_from_the_dataclasses(self) -> None:
        """A bound that is broken by a block alone names the place in the file, not the dataclass."""
        for name, kind in block_classes().items():
            for part in fields(kind):
                if get_type_hints(kind)[part.name] is int:
                    with pytest.raises(ValidationError) as caught:
                        Repairs.model_validate({"methods": ["baseline"], name: {part.name: -1}})
                    assert caught.value.errors()[0]["loc"] == (name, part.name)


WEIGHTS, GATES = "alter_compas", "ffw_multicolor_mnist"
MISTAKES: list[tuple[str, str, dict[str, Any], str]] = [
    (WEIGHTS, "tables", {"methods": ["netaugg"]}, r"methods: 'netaugg' is unknown \(did you mean 'netaug'\?\)"),
    (GATES, "digits", {"methods": ["vanila"]}, r"methods: 'vanila' is unknown \(did you mean 'vanilla'\?\)"),
    (WEIGHTS, "tables", {"methods": []}, "repairs.tables.methods' is "),
    (
        WEIGHTS,
        "tables",
        {"methods": ["mask_only", "prune_guided_by_netaug"]},
        "'prune_guided_by_netaug' comes after 'netaug', expected it among them",
    ),
    (GATES, "digits", {"methods": ["vanilla", "magnitude_mask"]}, "'magnitude_mask' comes after 'ffw', expected it"),
    (WEIGHTS, "tables", {"masx": {}}, r"unknown parameter 'masx' in 'repairs\.tables' \(did you mean 'masks'\?\)"),
    (WEIGHTS, "tables", {"baseline": {"epochs": 3}}, r"unknown parameter 'baseline' in 'repairs\.tables'"),
    (
        WEIGHTS,
        "tables",
        {"masks": {"epoch": 3}},
        r"unknown parameter 'epoch' in 'repairs\.tables\.masks' \(did you mean 'epochs'\?\)",
    ),
    (GATES, "digits", {"ffw": {"gama": 1}}, r"unknown parameter 'gama' in .*\.ffw' \(did you mean 'gamma'\?\)"),
    (
        GATES,
        "digits",
        {"gates": {"temperature": {"facto": 1}}},
        r"unknown parameter 'facto' in .*\.gates\.temperature' \(did you mean 'factor'\?\)",
    ),
    (WEIGHTS, "tables", {"masks": {"prunable": 1.5}}, r"masks\.prunable' is 1\.5: input should be less than 1"),
    (WEIGHTS, "tables", {"masks": {"epochs": "many"}}, r"masks\.epochs' is 'many': .*valid integer"),
    (WEIGHTS, "tables", {"masks": 3}, r"masks' is 3: "),
    (GATES, "digits", {"gates": {"gamma": -1}}, r"gates\.gamma' is -1: .* greater than or equal to 0"),
    (GATES, "digits", {"ffw": {"task_weight": -0.5}}, r"ffw\.task_weight' is -0\.5: .* greater than or equal to 0"),
    (GATES, "digits", {"ffw": {"granularity": "rows"}}, r"granularity' is 'rows'.*weights"),
    (GATES, "digits", {"gates": {"temperature": {"factor": 1.0}}}, r"temperature\.factor' is 1\.0: .* less than 1"),
    (
        GATES,
        "digits",
        {"gates": {"temperature": {"end": 2.0}}},
        "the last temperature is 2, expected less than the first, 1: it never",
    ),
    (
        GATES,
        "digits",
        {"ffw_strong": {"temperature": {"first": 0.001}}},
        r"the last temperature is 0\.004, expected less than the first, 0\.001",
    ),
    (
        GATES,
        "digits",
        {"gates": {"temperature": {"kind": "geometrical"}}},
        r"gates\.temperature\.kind is 'geometrical' \(did you mean 'geometric'\?\)",
    ),
    (
        GATES,
        "digits",
        {"bank": {"strengths": [0.0, 0.0]}},
        r"strengths are \[0\.0, 0\.0\], expected increasing numbers",
    ),
    (GATES, "digits", {"bank": {"strengths": [-1.0]}}, r"strengths\.0' is -1\.0: .* greater than or equal to 0"),
]


@pytest.mark.parametrize(("experiment", "name", "block", "sentence"), MISTAKES)
def test_a_mistake_is_one_sentence_that_says_where(
    experiment: str, name: str, block: dict[str, Any], sentence: str, preflight: Callable[..., None]
) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        preflight({"repairs": {name: block}}, experiment)
    assert "\n" not in str(caught.value)
    assert f"'repairs.{name}" in str(caught.value)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"objectives": {"eod": {"margin": 0.05}}}, "tolerance 0.05 is not above the margin 0.05"),
        ({"objectives": {"eod": {"bias": "mean_bias"}}}, "'mean_bias' for more than two"),
        ({"convnets": {"faces": {"width": 12}}}, "multiple of 8"),
    ],
)
def test_objectives_and_networks_are_checked_too(
    params: dict[str, Any], sentence: str, preflight: Callable[..., None]
) -> None:
    with pytest.raises(InputError, match=sentence):
        preflight(params, WEIGHTS)
