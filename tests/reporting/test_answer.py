"""The plain-language answer says what the verdicts say: direction, merit, and no more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from counterpoise.reporting import ReportContext, claims
from counterpoise.reporting.answer import _side, answer, headline


def verdicts(*names: str) -> pd.DataFrame:
    return pd.DataFrame({"verdict": list(names)}, columns=["verdict"], dtype="str")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ((), "No claim was tested."),
        (("supported",), "The claim tested is supported."),
        (("not distinguishable",), "The claim tested shows no detectable difference."),
        (("not distinguishable",) * 3, "No claim shows a detectable difference (3 tested)."),
        (
            ("supported", "contradicted", "not distinguishable", "supported"),
            "Of 4 claims tested, 2 are supported, 1 is contradicted and 1 shows no detectable difference.",
        ),
    ],
)
def test_headline_counts(names: tuple[str, ...], sentence: str) -> None:
    assert headline(verdicts(*names)) == sentence


def one_claim(context: ReportContext, metric: str, difference: float, verdict: str) -> ReportContext:
    row = ("a claim", metric, difference, difference - 0.25, difference + 0.25, 0.001, 0.001, verdict)
    spec = {"left": {"method": "win", "rank": 2}, "right": {"method": "tl"}}
    return replace(context, claims=pd.DataFrame([row], columns=list(claims.CLAIM_COLUMNS)), claim_specs=[spec])


@pytest.mark.parametrize(
    ("metric", "difference", "sentence"),
    [
        (
            "err",
            -0.5,
            "has a lower error than plain fine-tuning (TL) (better: −0.50 points, 95% interval −0.75 to −0.25).",
        ),
        (
            "err",
            0.5,
            "has a higher error than plain fine-tuning (TL) (worse: +0.50 points, 95% interval +0.25 to +0.75).",
        ),
        ("auc", 0.5, "has a higher AUC than plain fine-tuning (TL) (better: +0.500, 95% interval +0.250 to +0.750)."),
        ("auc", -0.5, "has a lower AUC than plain fine-tuning (TL) (worse: −0.500, 95% interval −0.750 to −0.250)."),
        ("spd", -0.5, "has a lower |SPD| than plain fine-tuning (TL) (better: −0.500, 95% interval −0.750 to −0.250)."),
    ],
)
def test_a_difference_is_better_or_worse_by_its_metric(
    context: ReportContext, metric: str, difference: float, sentence: str
) -> None:
    said = answer(one_claim(context, metric, difference, "supported"))
    assert said.comparisons == (f"WIN (rank 2) {sentence}",)


def test_what_is_not_distinguishable_is_never_called_better(context: ReportContext) -> None:
    said = answer(one_claim(context, "err", -0.5, "not distinguishable"))
    assert said.comparisons == ("WIN (rank 2) shows no detectable difference from plain fine-tuning (TL) on error.",)


def test_metrics_of_one_pair_share_a_sentence(context: ReportContext) -> None:
    said = answer(context)
    assert len(said.comparisons) == 3
    assert said.comparisons[0].endswith("on error, ΔEO and ΔDP.")


def test_of_many_pairs_those_that_contradict_are_said(context: ReportContext) -> None:
    row = ("a claim", "err", -0.5, -0.75, -0.25, 0.001, 0.001)
    each = ["supported", "contradicted", "not distinguishable"] * 4
    context = replace(
        context,
        claims=pd.DataFrame([(*row, verdict) for verdict in each], columns=list(claims.CLAIM_COLUMNS)),
        claim_specs=[{"left": {"method": "win", "rank": rank}, "right": {"method": "tl"}} for rank in range(12)],
    )
    assert len(answer(context).comparisons) == 12
    context = replace(
        context,
        claims=pd.concat([context.claims, context.claims.iloc[:1]]),
        claim_specs=[*context.claim_specs, {"left": {"method": "win", "rank": 12}, "right": {"method": "tl"}}],
    )
    *said, rest = answer(context).comparisons
    assert [line[:13].rstrip(" )") for line in said] == [f"WIN (rank {rank}" for rank in (1, 4, 7, 10)]
    assert rest == "The table of claims has all comparisons (13 pairs)."


def test_reservations_name_the_seeds_and_the_floor(context: ReportContext) -> None:
    seeds, floor = answer(context).reservations
    assert "10 seeds" in seeds
    fewer = (replace(context, summary=context.summary.assign(n=number)) for number in (2, 1))
    two, one = (answer(each).reservations[0] for each in fewer)
    assert ("come from 2 seeds," in two, "come from a single seed," in one) == (True, True)
    assert "0.033 for ΔEO and 0.007 for ΔDP" in floor
    apart = replace(context, left_out={"small_sentence": "Groups with fewer than 30 test rows: 'x' (12)."})
    assert answer(apart).reservations == (seeds, "Groups with fewer than 30 test rows: 'x' (12).", floor)
    unknown: dict[str, Any] = {"tl": {"delta_eo": float("nan")}}
    assert len(answer(replace(context, noise_floor=unknown)).reservations) == 1


@pytest.mark.parametrize(
    ("variant", "phrase"),
    [
        ("eo_0.1/win_r2_a0.5", "WIN (EO 0.1, r2 a0.5)"),
        ("mlp3/pretrained", "the pretrained model (MLP-3)"),
        ("adam/tl", "plain fine-tuning (TL) (Adam)"),
        ("retrain_eo_0.5", "retraining the whole network (eo 0.5)"),
        ("sex/prune_adversarial_finetuning", "Prune + AdvFt (sex)"),
        ("adversarial_finetuning_exact", "AdvFt with an exact critic"),
        ("80%/netaug_last", "NetAug (80%, last)"),
        ("ours", "ours"),
    ],
)
def test_a_variant_that_is_chosen_by_its_name_is_called_by_its_method(variant: str, phrase: str) -> None:
    assert _side({"variant": variant}) == phrase


@pytest.mark.parametrize(
    ("gaps", "words"),
    [
        ({"tl": (0.0, 0.0)}, ["Beware: plain fine-tuning (TL) predicts one class for all test rows"]),
        ({"tl": (0.0, 0.0), "win": (0.0, 0.0)}, ["Beware: every model predicts one class for all test rows"]),
        ({"tl": (0.0, 0.01)}, []),
        ({"tl": (0.01, 0.0)}, []),
    ],
)
def test_models_that_decide_nothing_are_said_to(
    context: ReportContext, gaps: dict[str, tuple[float, float]], words: list[str]
) -> None:
    rows = [
        (name, metric, *(gaps.get(name, (0.2, 0.1)) if metric == "delta_eo" else (0.0, 0.0)))
        for name in ("tl", "win")
        for metric in ("delta_dp", "delta_eo")
    ]
    summary = pd.DataFrame(rows, columns=["variant", "metric", "mean", "std"]).assign(n=3)
    said = [finding for finding in answer(replace(context, summary=summary)).findings if "one class" in finding]
    assert [sentence.partition(",")[0] for sentence in said] == words
