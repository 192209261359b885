"""Every count-based metric against fairlearn, scikit-learn, and what must hold whatever the data."""

from __future__ import annotations

import itertools
import warnings

import fairlearn.metrics as fl
import numpy as np
import pytest
import sklearn.metrics as sk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise import fairness
from counterpoise.errors import InputError
from counterpoise.fairness import METRICS, UndefinedMetricWarning, confusion_counts
from counterpoise.fairness.metrics import COUNT_METRICS

SIGNED = {"spd", "eod", "aod"}
few = settings(deadline=None, max_examples=25, derandomize=True)


@st.composite
def samples(draw, max_groups=4, max_classes=2):
    """y, prediction, s as int64 tensors, and G, k; every (group, class) cell has a sample."""
    G, k = draw(st.integers(2, max_groups)), draw(st.integers(2, max_classes))
    cells = list(itertools.product(range(G), range(k)))
    cells += draw(st.lists(st.sampled_from(cells), max_size=40))
    prediction = draw(st.lists(st.integers(0, k - 1), min_size=len(cells), max_size=len(cells)))
    s, y = torch.tensor(cells).unbind(1)
    return y, torch.tensor(prediction), s, G, k


def metric(name, sample):
    y, prediction, s, G, k = sample
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        return COUNT_METRICS[name](confusion_counts(y, prediction, s, groups=G, classes=k)).item()


def one_vs_rest(y, prediction, k):
    """(y, prediction) as 0/1 arrays for each positive class."""
    return [(np.asarray(y == c, int), np.asarray(prediction == c, int)) for c in ([1] if k == 2 else range(k))]


def rates_of(rate, y, prediction, s):
    """A rate of fairlearn's in each group, without the cost of its MetricFrame."""
    groups = np.asarray(s)
    return np.array([rate(y[groups == group], prediction[groups == group]) for group in np.unique(groups)])


def largest_by_hand(per_class_rates, combine):
    """Largest |combine(differences)| over classes and pairs i < j, with its sign; rates: [class][rate][group]."""
    values = [
        combine(*(rate[i] - rate[j] for rate in rates))
        for rates in per_class_rates
        for i, j in itertools.combinations(range(len(rates[0])), 2)
    ]
    return max(values, key=abs)


class TestPerformance:
    @few
    @given(samples(max_classes=4))
    def test_as_scikit_learn(self, sample):
        y, prediction, _, _, k = sample
        weighted = sk.f1_score(y, prediction, average="weighted", zero_division=0)
        assert metric("err", sample) == pytest.approx(100 - 100 * weighted)
        assert metric("accuracy", sample) == pytest.approx(sk.accuracy_score(y, prediction))
        assert metric("balanced_accuracy", sample) == pytest.approx(sk.balanced_accuracy_score(y, prediction))
        f1 = sk.f1_score(y, prediction, zero_division=0) if k == 2 else weighted
        assert metric("f1", sample) == pytest.approx(f1)

    @few
    @given(samples(max_classes=3))
    def test_worst_group_as_fairlearn(self, sample):
        y, prediction, s, _, _ = sample
        frame = fl.MetricFrame(
            metrics=sk.accuracy_score, y_true=y.numpy(), y_pred=prediction.numpy(), sensitive_features=s.numpy()
        )
        assert metric("worst_group_accuracy", sample) == pytest.approx(frame.group_min())


class TestFairness:
    @few
    @given(samples())
    def test_as_fairlearn(self, sample):
        y, prediction, s = (part.numpy() for part in sample[:3])
        given_s = {"y_true": y, "y_pred": prediction, "sensitive_features": s}
        assert metric("delta_dp", sample) == pytest.approx(fl.demographic_parity_difference(**given_s))
        odds = fl.equalized_odds_difference(**given_s)
        assert metric("equalized_odds_difference", sample) == pytest.approx(odds)
        if prediction.any():
            assert metric("disparate_impact", sample) == pytest.approx(fl.demographic_parity_ratio(**given_s))

    @few
    @given(samples(max_classes=3))
    def test_gaps_by_hand_from_fairlearns_rates(self, sample):
        y, prediction, s, _, k = sample
        versus = one_vs_rest(y, prediction, k)
        selection = [[rates_of(fl.selection_rate, *pair, s)] for pair in versus]
        odds = [
            [rates_of(rate, *pair, s) for rate in (fl.true_positive_rate, fl.false_positive_rate)] for pair in versus
        ]
        assert abs(metric("spd", sample)) == pytest.approx(abs(largest_by_hand(selection, lambda d: d)))
        expected_eo = largest_by_hand(odds, lambda tpr, fpr: abs(tpr) + abs(fpr))
        assert metric("delta_eo", sample) == pytest.approx(expected_eo)
        assert abs(metric("eod", sample)) == pytest.approx(abs(largest_by_hand(odds, lambda tpr, fpr: tpr)))
        expected_aod = largest_by_hand(odds, lambda tpr, fpr: (tpr + fpr) / 2)
        assert abs(metric("aod", sample)) == pytest.approx(abs(expected_aod))

    @few
    @given(samples(max_groups=2))
    def test_signed_metrics_are_group_0_minus_group_1(self, sample):
        y, prediction, s, _, _ = sample
        pair = (y.numpy(), prediction.numpy())
        selection, tpr, fpr = (
            float(-np.diff(rates_of(rate, *pair, s))[0])
            for rate in (fl.selection_rate, fl.true_positive_rate, fl.false_positive_rate)
        )
        assert metric("spd", sample) == pytest.approx(selection)
        assert metric("eod", sample) == pytest.approx(tpr)
        assert metric("aod", sample) == pytest.approx((tpr + fpr) / 2)
        assert metric("delta_eo", sample) == pytest.approx(abs(tpr) + abs(fpr))

    def test_by_hand(self):
        # group 0: TPR 3/4, FPR 1/2, selection 5/8; group 1: TPR 1/4, FPR 1/4, selection 1/4
        counts = torch.tensor([[[2, 2], [1, 3]], [[3, 1], [3, 1]]])
        expected = {
            "spd": 3 / 8, "delta_dp": 3 / 8, "eod": 1 / 2, "aod": 3 / 8, "delta_eo": 3 / 4,
            "equalized_odds_difference": 1 / 2, "disparate_impact": 2 / 5, "worst_group_accuracy": 1 / 2,
            "accuracy": 9 / 16, "balanced_accuracy": 9 / 16, "f1": 8 / 15,
            # of 9 predictions of class 0 three are in group 0, of 7 of class 1 five
            "mean_bias": (abs(3 / 9 - 1 / 2) + abs(5 / 7 - 1 / 2)) / 2,
        }  # fmt: skip
        assert {name: getattr(fairness, name)(counts).item() for name in expected} == pytest.approx(expected)

    def test_delta_eo_of_three_groups_is_the_worst_pair_not_the_sum_of_the_worst_gaps(self):
        # TPR .5, .9, .5 and FPR .1, .1, .5: |ΔTPR| and |ΔFPR| of .4 belong to different pairs; pair (1, 2) has both
        table = [[[9, 1], [5, 5]], [[9, 1], [1, 9]], [[5, 5], [5, 5]]]
        assert fairness.delta_eo(torch.tensor(table)).item() == pytest.approx(0.8)
        apart = [[[9, 1], [5, 5]], [[9, 1], [1, 9]], [[5, 5], [7, 3]]]
        assert fairness.delta_eo(torch.tensor(apart)).item() == pytest.approx(0.4 + 0.6)
        shared = [[[5, 5], [5, 5]], [[9, 1], [5, 5]], [[7, 3], [1, 9]]]
        assert fairness.delta_eo(torch.tensor(shared)).item() == pytest.approx(0.2 + 0.4)  # not 0.4 + 0.4

    def test_mean_bias_of_a_colour_blind_and_of_a_segregated_classifier(self):
        blind = torch.tensor([[[50, 10], [20, 20]], [[50, 10], [20, 20]]])
        segregated = torch.tensor([[[60, 0], [40, 0]], [[0, 60], [0, 40]]])
        assert fairness.mean_bias(blind).item() == 0
        assert fairness.mean_bias(segregated).item() == 0.5


class TestInvariance:
    @few
    @given(samples(max_classes=3), st.randoms(use_true_random=False))
    def test_order_of_samples(self, sample, random):
        y, prediction, s, G, k = sample
        order = random.sample(range(len(y)), len(y))
        shuffled = (y[order], prediction[order], s[order], G, k)
        for name in COUNT_METRICS:
            assert metric(name, shuffled) == pytest.approx(metric(name, sample), nan_ok=True)

    @few
    @given(samples())
    def test_no_metric_leaves_its_bounds(self, sample):
        for name in COUNT_METRICS:
            low, high = METRICS[name].bounds
            value = metric(name, sample)
            assert value != value or low - 1e-9 <= value <= high + 1e-9

    @few
    @given(samples(max_classes=3))
    def test_names_of_groups(self, sample):
        y, prediction, s, G, k = sample
        renamed = (y, prediction, G - 1 - s, G, k)
        for name in COUNT_METRICS:
            before, after = metric(name, sample), metric(name, renamed)
            if name in SIGNED and G == 2:
                before = -before
            elif name in SIGNED:
                before, after = abs(before), abs(after)
            assert after == pytest.approx(before, nan_ok=True)

    @few
    @given(samples(max_groups=2))
    def test_equal_groups_are_fair(self, sample):
        y, prediction, s, _, k = sample
        one = confusion_counts(y, prediction, torch.zeros_like(s), groups=1, classes=k)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            for name in ("delta_dp", "delta_eo", "spd", "eod", "aod", "equalized_odds_difference", "mean_bias"):
                value = getattr(fairness, name)(torch.cat([one, one]))
                assert value.isnan() or value.item() == METRICS[name].perfect


class TestAbsence:
    @pytest.mark.parametrize(
        ("name", "counts", "said"),
        [
            ("delta_dp", [[[3, 1], [1, 3]], [[0, 0], [0, 0]]], "group 1"),
            ("worst_group_accuracy", [[[3, 1], [1, 3]], [[0, 0], [0, 0]]], "group 1"),
            ("mean_bias", [[[3, 1], [1, 3]], [[0, 0], [0, 0]]], "group 1"),
            ("delta_eo", [[[3, 1], [1, 3]], [[3, 1], [0, 0]]], "class 1 in group 1"),
            ("aod", [[[0, 0], [1, 3]], [[3, 1], [1, 1]]], "class 0 in group 0"),
            ("eod", [[[3, 1], [0, 0]], [[3, 1], [1, 1]]], "class 1 in group 0"),
            ("equalized_odds_difference", [[[3, 1], [0, 0]], [[3, 1], [1, 1]]], "class 1 in group 0"),
            ("balanced_accuracy", [[[3, 1], [0, 0]], [[3, 1], [0, 0]]], "class 1"),
            ("f1", [[[3, 1], [0, 0]], [[3, 1], [0, 0]]], "class 1"),
            ("disparate_impact", [[[3, 0], [1, 0]], [[3, 0], [1, 0]]], "predictions of class 1"),
            ("mean_bias", [[[3, 0], [1, 0]], [[3, 0], [1, 0]]], "predictions of class 1"),
            ("accuracy", [[[0, 0], [0, 0]], [[0, 0], [0, 0]]], "every sample"),
            ("err", [[[0, 0], [0, 0]], [[0, 0], [0, 0]]], "every sample"),
        ],
    )
    def test_gives_nan_and_one_warning_that_names_it(self, name, counts, said):
        whole = [[[3, 1], [1, 3]], [[2, 2], [1, 1]]]
        batch = torch.tensor([whole, counts, counts])
        with pytest.warns(UndefinedMetricWarning, match=f"{name} is undefined .* in 2 of 3 .*{said}[.,]") as record:
            value = getattr(fairness, name)(batch)
        assert len(record) == 1
        assert value.isnan().tolist() == [False, True, True]

    def test_only_the_metrics_that_need_it(self):
        counts = torch.tensor([[[3, 1], [1, 3]], [[3, 1], [0, 0]]])  # group 1 has no positive
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            undefined = {name for name, function in COUNT_METRICS.items() if function(counts).isnan()}
        assert undefined == {"delta_eo", "eod", "aod", "equalized_odds_difference"}

    def test_f1_without_predicted_positives_is_zero(self):
        assert fairness.f1(torch.tensor([[[3, 0], [1, 0]]])).item() == 0

    def test_one_group_cannot_be_compared(self):
        with pytest.raises(InputError, match="1 group, expected at least 2"):
            fairness.delta_dp(torch.tensor([[[3, 0], [1, 0]]]))


OTHERS = ("auc", "leakage", "information", "conflict_gap", "conflicting_accuracy", "unbiased_average")


def test_every_metric_explains_itself():
    assert next(iter(METRICS)) == "err"
    assert set(METRICS) == {*COUNT_METRICS, *OTHERS}
    for name, info in METRICS.items():
        assert info.name == name
        assert info.title
        assert info.definition.endswith((".", ")."))
        assert info.unit in ("%", "")
        assert (info.lower_is_better is None) == (name in SIGNED)


@pytest.mark.parametrize("name", sorted(COUNT_METRICS))
def test_the_perfect_value_is_what_a_perfect_classifier_gets(name):
    perfect = torch.tensor([[[6, 0], [0, 4]], [[6, 0], [0, 4]]])
    assert COUNT_METRICS[name](perfect).item() == METRICS[name].perfect
