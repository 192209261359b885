"""The answer of a frontier says what the frames say, and warns exactly where there is something to beware of."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from counterpoise.errors import InputError
from counterpoise.reporting import answer_frontier

SEEDS = 4
CLASSES = ("no", "yes")


def selection(**columns: Any) -> pd.DataFrame:
    """A choice of ours that nothing is to be said against, and its unrepaired base."""
    ours = {
        "family": "chosen",
        "seed": range(SEEDS),
        "variant": "leaves_0.2",
        "method": "win",
        "base": "boosted",
        "constraint": "eo",
        "strength": 0.2,
        "weight_decay": 0.01,
        "needs_group": False,
        "criterion": "delta_eo",
        "tolerance": 0.05,
        "validation_err": 15.0,
        "validation_bias": 0.04,
        "test_err": [16.0, 16.2, 16.1, 16.1],
        "test_bias": [0.04, 0.05, 0.03, 0.06],
    }
    base = {"family": "unrepaired", "method": "tl", "constraint": None, "strength": np.nan, "validation_err": 14.5}
    base |= {"validation_bias": 0.2, "test_err": 15.5, "test_bias": 0.19}
    return pd.concat([pd.DataFrame(ours | columns), pd.DataFrame(ours | base)], ignore_index=True)


def frontier(**columns: Any) -> pd.DataFrame:
    grid = [
        ("win", "boosted", constraint, strength, decay)
        for constraint in ("eo", "dp")
        for strength in (0.05, 0.2, 0.8)
        for decay in (0.0, 0.001, 0.01, 0.1)
    ]
    frame = pd.DataFrame(grid, columns=["method", "base", "constraint", "strength", "weight_decay"])
    return frame.assign(**columns)


def predictions(*, positive: int = 20, variants: tuple[str, ...] = ("chosen", "unrepaired")) -> pd.DataFrame:
    """A hundred rows in each seed, `positive` of them predicted 1; a quarter of each group is of class 1."""
    row = np.arange(100)
    one = pd.DataFrame({"y": (row % 4 == 0).astype(int), "s": row // 50, "prediction": (row < positive).astype(int)})
    return pd.concat(
        [
            one.assign(variant=variant, method=variant, seed=seed, split="test")
            for variant in variants
            for seed in range(SEEDS)
        ],
        ignore_index=True,
    )


def said(chosen: pd.DataFrame, grid: pd.DataFrame | None = None, floor: float = 0.02, **rows: Any) -> tuple[str, ...]:
    answers = predictions(**rows)
    models = answer_frontier.models(chosen, answers)
    grid = frontier() if grid is None else grid
    return answer_frontier.findings(models, chosen, grid, answers, {"delta_eo": floor}, CLASSES)


def warnings_of(sentences: tuple[str, ...]) -> list[str]:
    return [sentence for sentence in sentences if sentence.startswith("Beware")]


def test_the_headline_says_cost_and_gain_on_test() -> None:
    models = answer_frontier.models(selection(), predictions())
    assert answer_frontier.headline(models, selection()) == (
        "Under ΔEO ≤ 0.05, the choice costs 0.60 points of error (15.50% → 16.10%) and takes ΔEO from 0.190 to 0.045 "
        "on test."
    )


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"test_err": 15.0}, "saves 0.50 points of error (15.50% → 15.00%) and takes"),
        ({"test_err": 15.5}, "leaves the error at 15.50% and takes"),
        ({"test_bias": 0.25}, "and raises ΔEO from 0.190 to 0.250"),
        ({"test_bias": np.nan}, "; ΔEO cannot be measured on test"),
    ],
)
def test_the_headline_does_not_flatter(columns: dict[str, Any], words: str) -> None:
    chosen = selection(**columns)
    assert words in answer_frontier.headline(answer_frontier.models(chosen, predictions()), chosen)


def test_the_choice_is_named_and_judged_and_nothing_else_is_said_where_all_is_well() -> None:
    assert said(selection()) == (
        "Chosen, of 4 seeds: WIN on boosted trees for EO in 4.",
        "As judged on validation, it costs 0.50 points of error (14.50% → 15.00%) and takes ΔEO from 0.200 to 0.040.",
    )


def test_a_nearly_constant_choice_is_said() -> None:
    (warning,) = warnings_of(said(selection(), positive=1))
    assert "nearly constant in 4 of 4 seeds: it predicts no for 99.0% of the test rows" in warning
    assert "always predicting one class errs " in warning
    assert not warnings_of(said(selection(), positive=2))  # 2% is not under 2%


def test_a_tolerance_below_the_noise_floor_is_said() -> None:
    (warning,) = warnings_of(said(selection(), floor=0.06))
    assert (
        "the tolerance 0.05 is below the noise floor: a perfectly fair model would measure ΔEO of about 0.060"
        in warning
    )


@pytest.mark.parametrize(
    ("method", "columns", "words"),
    [
        ("heads", {"strength": 0.8}, "in 4 of 4 seeds: strength 0.8 on EO is the largest tried (4 of 4)"),
        ("bias_scores", {"strength": [0.05, 0.2, 0.2, 0.2]}, "strength 0.05 on EO is the smallest tried (1 of 4)"),
        ("heads", {"weight_decay": 0.1}, "weight decay 0.1 on EO is the largest tried"),
        ("leaves", {"weight_decay": 0.001}, "weight decay 0.001 on EO is the smallest tried"),
    ],
)
def test_a_choice_on_the_edge_of_its_grid_is_said(method: str, columns: dict[str, Any], words: str) -> None:
    (warning,) = warnings_of(said(selection(method=method, **columns), frontier(method=method)))
    assert words in warning


@pytest.mark.parametrize(("method", "strength"), [("heads", 0.05), ("leaves", 0.05), ("bias_scores", 0.8)])
def test_next_to_no_penalty_and_to_no_bound_is_no_edge(method: str, strength: float) -> None:
    """A weaker penalty than the weakest is none, and a looser bound is that of the unrepaired model: both are tried."""
    assert not warnings_of(said(selection(method=method, strength=strength), frontier(method=method)))


def test_no_penalty_at_all_and_another_grid_are_no_edge() -> None:
    assert not warnings_of(said(selection(weight_decay=0.0)))
    assert not warnings_of(said(selection(base="linear")))  # of whose grid nothing is known
    wider = pd.concat([frontier(method="heads"), frontier(method="heads", base="linear", strength=99.0)])
    assert warnings_of(said(selection(method="heads", strength=0.8), wider))


def test_a_tolerance_that_rarely_holds_is_said() -> None:
    (warning,) = warnings_of(said(selection(test_bias=[0.04, 0.06, 0.07, 0.08])))
    assert warning == "Beware: ΔEO ≤ 0.05 holds on test in 1 of 4 seeds."
    assert not warnings_of(said(selection(test_bias=[0.04, 0.06, 0.07, 0.01])))


def test_a_bound_below_the_tolerance_is_said() -> None:
    said_so = [line for line in said(selection(bound=[0.02, 0.03, 0.03, 0.04])) if "luckiest" in line]
    assert said_so[0].endswith("what is judged had to be within 0.030 (mean of the seeds).")
    assert not any("luckiest" in line for line in said(selection(bound=0.05)))


def test_choices_that_differ_between_seeds_are_said() -> None:
    grid = pd.concat([frontier(), frontier(strength=0.001), frontier(strength=99.0)])
    (warning,) = warnings_of(said(selection(strength=[0.05, 0.8, 0.2, 0.2]), grid))
    assert warning == "Beware: the choice differs much between seeds: strengths go from 0.05 to 0.8."
    (warning,) = warnings_of(said(selection(method=["win", "win", "svd", "tl"])))
    assert "no kind of model is chosen in more than 2 of 4" in warning


def test_references_stand_there_in_any_case() -> None:
    ours = selection()
    ours = ours[ours["family"] == "chosen"]
    models = answer_frontier.models(ours, predictions(variants=("chosen", "pretrained")))
    assert set(models["family"]) == {"chosen", "constant", "pretrained"}
    constant = models[models["family"] == "constant"]
    share = 0.75  # of the majority class: its F1 is 2p / (1 + p), that of the other 0, weighted by their shares
    assert constant["test_err"].to_list() == pytest.approx([100 - 100 * share * 2 * share / (1 + share)] * SEEDS)
    assert constant["test_bias"].eq(0).all()
    assert constant["validation_err"].isna().all()
    assert "As judged on validation, its error is 15.00% and its ΔEO 0.040." in said(
        ours, variants=("chosen", "pretrained")
    )
    measured = pd.concat([selection(), selection().head(SEEDS).assign(family="constant", test_err=1.0)])
    kept = answer_frontier.models(measured, predictions())
    assert kept.loc[kept["family"] == "constant", "test_err"].eq(1.0).all()


def test_missing_settings_and_no_choice_are_no_crash() -> None:
    bare = selection().drop(columns=["method", "base", "constraint", "strength", "weight_decay"])
    assert said(bare)[0] == "Chosen, of 4 seeds: leaves_0.2 in 4."
    none = selection(variant=None, test_err=np.nan, test_bias=np.nan)
    assert said(none) == ()
    assert answer_frontier.headline(answer_frontier.models(none, predictions()), none) == ""


def test_bad_frames_are_refused() -> None:
    with pytest.raises(InputError, match="selection: the column 'test_bias' is missing"):
        answer_frontier.models(selection().drop(columns="test_bias"), predictions())
    with pytest.raises(InputError, match="2 pairs of criterion and tolerance, expected one"):
        answer_frontier.limits_of(selection(tolerance=[0.1, 0.05, 0.05, 0.05]))


def test_gaps_on_test_are_also_said_without_what_chance_adds() -> None:
    """Of a choice that decides by lot nothing is left; of a base that takes one group alone, nearly all."""
    rng = np.random.default_rng(3)
    answers = predictions()
    lot, group = rng.integers(0, 2, len(answers)), answers["s"].to_numpy()
    answers["prediction"] = np.where(answers["variant"] == "chosen", lot, np.where(lot, group, 1 - answers["y"] % 2))
    chosen = selection().assign(criterion="delta_dp")
    models = answer_frontier.models(chosen, answers)

    def sentence(floor: float) -> str:
        sentences = answer_frontier.findings(models, chosen, frontier(), answers, {"delta_dp": floor}, CLASSES)
        return " ".join(each for each in sentences if each.startswith("Without what chance adds"))

    numbers = re.search(r"is ([.0-9]+) before and ([.0-9]+) after", sentence(0.08))
    assert numbers
    raw = answers.groupby(["variant", "seed", "s"])["prediction"].mean().unstack()
    gaps = (raw[1] - raw[0]).abs().groupby("variant").mean()
    assert float(numbers[1]) == pytest.approx(gaps["unrepaired"], abs=0.05)
    assert float(numbers[2]) < gaps["chosen"] - 0.03
    assert sentence(np.nan) == ""
