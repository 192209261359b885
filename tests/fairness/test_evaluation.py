"""`evaluate` is the single metrics, for a whole bank at once."""

from __future__ import annotations

import pytest
import torch

from counterpoise.errors import InputError
from counterpoise.fairness import auc, confusion_counts, evaluate, metrics

R, V, N = 2, 3, 200


@pytest.fixture
def bank(generator):
    y, s = torch.randint(2, (2, N), generator=generator)
    score = torch.rand(R, V, N, generator=generator)
    return {"y": y, "s": s, "prediction": (score > 0.5).long(), "score": score}


def test_everything_that_labels_predictions_and_scores_allow(bank):
    mask = (torch.arange(R * N) % 3 > 0).reshape(R, 1, N)
    values = evaluate(**bank, groups=2, classes=2, mask=mask)
    assert set(values) == {*metrics.COUNT_METRICS, "auc"}
    counts = confusion_counts(bank["y"], bank["prediction"], bank["s"], groups=2, classes=2, mask=mask)
    for name, value in values.items():
        expected = auc(bank["y"], bank["score"], mask) if name == "auc" else getattr(metrics, name)(counts)
        assert value.dtype == torch.float64
        assert torch.equal(value, expected)


def test_a_bank_equals_its_heads_one_by_one(bank):
    values = evaluate(**bank, groups=2, classes=2)
    for r in range(R):
        for v in range(V):
            head = {**bank, "prediction": bank["prediction"][r, v], "score": bank["score"][r, v]}
            for name, value in evaluate(**head, groups=2, classes=2).items():
                assert value == values[name][r, v]


def test_scores_are_left_out_where_they_are_missing_or_mean_nothing(bank):
    assert "auc" not in evaluate(bank["y"], bank["s"], bank["prediction"], groups=2, classes=2)
    y = torch.arange(N) % 3
    assert "auc" not in evaluate(y, bank["s"], y.expand(R, V, N), bank["score"], groups=2, classes=3)


def test_only_the_metrics_asked_for_in_that_order(bank):
    assert list(evaluate(**bank, groups=2, classes=2, names=["auc", "err"])) == ["auc", "err"]


@pytest.mark.parametrize(
    ("name", "hint"), [("delta_e0", "did you mean 'delta_eo'"), ("leakage", "'leakage' cannot be")]
)
def test_a_metric_that_cannot_be_computed_is_named(bank, name, hint):
    with pytest.raises(InputError, match=hint):
        evaluate(**bank, groups=2, classes=2, names=[name])
