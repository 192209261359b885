"""Claims against scipy's paired test; turning a comparison round must turn its sign and its verdict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from counterpoise.errors import InputError
from counterpoise.reporting import claims

VALUES = {
    "win_r1_a0.5": {"err": [17.1, 17.9, 18.2, 16.9, 17.0], "delta_eo": [0.21, 0.19, 0.20, 0.22, 0.18]},
    "win_r2_a0.5": {"err": [15.0, 16.1, 16.9, 15.5, 15.2], "delta_eo": [0.20, 0.21, 0.19, 0.22, 0.18]},
    "tl": {"err": [16.0, 17.2, 17.8, 16.6, 16.1], "delta_eo": [0.21, 0.20, 0.20, 0.20, 0.19]},
}
LOWER_ERROR = {
    "claim": "WIN errs less than TL",
    "metric": "err",
    "left": {"method": "win", "rank": 2},
    "right": {"method": "tl"},
    "claimed": "lower",
}
LOWER_GAP = {**LOWER_ERROR, "claim": "WIN is fairer than TL", "metric": "delta_eo"}


def test_two_claims_by_hand(make_metrics: Any) -> None:
    result = claims.evaluate(make_metrics(VALUES), [LOWER_GAP, LOWER_ERROR])
    assert list(result.columns) == ["claim", "metric", "difference", "ci_low", "ci_high", "p", "p_holm", "verdict"]
    for row, metric in zip(result.itertuples(), ("delta_eo", "err"), strict=True):
        left, right = (np.array(VALUES[variant][metric]) for variant in ("win_r2_a0.5", "tl"))
        test = stats.ttest_rel(left, right)
        interval = test.confidence_interval(0.95)
        assert row.difference == pytest.approx((left - right).mean())
        assert (row.ci_low, row.ci_high) == (pytest.approx(interval.low), pytest.approx(interval.high))
        assert row.p == pytest.approx(test.pvalue)
    gap, error = result["p"]
    assert error < gap
    assert list(result["p_holm"]) == pytest.approx([max(gap, 2 * error), 2 * error])
    assert list(result["verdict"]) == ["not distinguishable", "supported"]


def test_swapping_the_sides_flips_the_difference_and_the_verdict(make_metrics: Any) -> None:
    swapped = {**LOWER_ERROR, "left": LOWER_ERROR["right"], "right": LOWER_ERROR["left"]}
    forth, back = (claims.evaluate(make_metrics(VALUES), [claim]).iloc[0] for claim in (LOWER_ERROR, swapped))
    assert forth["difference"] < 0 < back["difference"]
    assert forth["difference"] == pytest.approx(-back["difference"])
    assert (forth["ci_low"], forth["ci_high"]) == (pytest.approx(-back["ci_high"]), pytest.approx(-back["ci_low"]))
    assert (forth["verdict"], back["verdict"]) == ("supported", "contradicted")
    assert forth["p"] == pytest.approx(back["p"])


@pytest.mark.parametrize(
    ("claimed", "verdict"), [("higher", "contradicted"), ("equal", "contradicted"), ("lower", "supported")]
)
def test_the_direction_claimed_decides(make_metrics: Any, claimed: str, verdict: str) -> None:
    assert claims.evaluate(make_metrics(VALUES), [{**LOWER_ERROR, "claimed": claimed}])["verdict"].item() == verdict


def test_pairs_are_made_by_seed_not_by_row(make_metrics: Any) -> None:
    metrics = make_metrics(VALUES)
    shuffled = metrics.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(claims.evaluate(shuffled, [LOWER_ERROR]), claims.evaluate(metrics, [LOWER_ERROR]))


def test_the_verdict_counts_how_many_claims_were_made(make_metrics: Any) -> None:
    left = np.array([15.0, 16.1, 16.9, 15.5, 15.2])
    right = left + np.array([0.1, 0.9, 0.3, 1.2, 0.5])
    metrics = make_metrics({"win_r2_a0.5": {"err": list(left)}, "tl": {"err": list(right)}})
    alone, together = (claims.evaluate(metrics, [LOWER_ERROR] * count).iloc[0] for count in (1, 3))
    assert 0.05 / 3 < alone["p"] < 0.05
    assert together["p_holm"] == pytest.approx(3 * alone["p_holm"])
    assert (alone["verdict"], together["verdict"]) == ("supported", "not distinguishable")


@pytest.mark.parametrize("metric", ["spd", "eod", "aod"])
def test_of_a_signed_bias_the_sizes_are_compared(make_metrics: Any, metric: str) -> None:
    """Biases of −0.2 and 0.05, whatever the sign of a seed: the second is the smaller one."""
    signs = np.array([-1, 1, -1, -1, 1])
    large, small = 0.2 + np.linspace(0, 0.02, 5), 0.05 + np.linspace(0.01, 0, 5)
    metrics = make_metrics({"win_r2_a0.5": {metric: list(small * signs)}, "tl": {metric: list(-large)}})
    row = claims.evaluate(metrics, [{**LOWER_ERROR, "metric": metric}]).iloc[0]
    assert row["difference"] == pytest.approx((small - large).mean())
    assert row["p"] == pytest.approx(stats.ttest_rel(small, large).pvalue)
    assert row["verdict"] == "supported"


def test_no_claims_is_an_empty_table(make_metrics: Any) -> None:
    result = claims.evaluate(make_metrics(VALUES), [])
    assert tuple(result.columns) == claims.CLAIM_COLUMNS
    assert result.empty


def test_a_null_setting_can_be_selected(make_metrics: Any) -> None:
    claim = {**LOWER_ERROR, "right": {"rank": None}}
    pd.testing.assert_frame_equal(
        claims.evaluate(make_metrics(VALUES), [claim]), claims.evaluate(make_metrics(VALUES), [LOWER_ERROR])
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"left": {"method": "win"}}, r"left side: .* leaves 2 variants .win_r1_a0.5, win_r2_a0.5., expected one"),
        ({"right": {"method": "svd"}}, r"right side: .* leaves 0 variants .none."),
        ({"left": {"methd": "win"}}, "no column 'methd' to select by .did you mean 'method'"),
        ({"left": {"seed": 0}}, "no column 'seed' to select by"),
        ({"metric": "eror"}, "the metric 'eror' was not measured .did you mean 'err'"),
        ({"claimed": "smaller"}, "'claimed' is 'smaller'"),
    ],
)
def test_a_bad_claim_is_refused_by_name(make_metrics: Any, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"claim 'WIN errs less than TL'.*{message}"):
        claims.evaluate(make_metrics(VALUES), [{**LOWER_ERROR, **change}])


def test_a_claim_without_a_side_is_refused(make_metrics: Any) -> None:
    with pytest.raises(InputError, match="the key 'right' is missing"):
        claims.evaluate(make_metrics(VALUES), [{key: LOWER_ERROR[key] for key in LOWER_ERROR if key != "right"}])


def test_sides_with_different_seeds_are_refused(make_metrics: Any) -> None:
    metrics = make_metrics(VALUES)
    lost = metrics[~((metrics["variant"] == "tl") & (metrics["seed"] == 4))]
    with pytest.raises(InputError, match="the sides have different seeds"):
        claims.evaluate(lost, [LOWER_ERROR])


def test_messages_stay_short_and_on_one_line(metrics: pd.DataFrame) -> None:
    """Whatever the names that users have given: thousands of characters, line breaks, many variants."""
    long = {"claim": "a\nclaim " * 500, "metric": "err", "left": {"alpha": None}, "right": {"method": "tl"}}
    many = [
        metrics[(metrics["variant"] == "tl") & (metrics["metric"] == "err")].assign(variant=f"{'v' * 50}\n{number}")
        for number in range(50)
    ]
    with pytest.raises(InputError) as raised:
        claims.evaluate(pd.concat(many), [{**long, "claimed": "lower"}])
    assert "leaves 50 variants" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 1000
