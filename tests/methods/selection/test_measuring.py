"""What candidates are measured and judged by, against loops over rows."""

from __future__ import annotations

from dataclasses import replace

import fairlearn.metrics as fl
import numpy as np
import pytest
import sklearn.metrics as sk
import torch

from counterpoise.errors import InputError
from counterpoise.methods.selection import measuring
from counterpoise.methods.selection.candidates import Candidates, constant, ours, theirs
from counterpoise.methods.selection.measuring import AXES, JUDGED, counts_of, judged_counts, measure
from counterpoise.methods.selection.settings import Judge, Names
from counterpoise.nn import Examples

R, ROWS = 2, 400
POPULATION = Names("drawn rows", ("no", "yes"), ("a", "b"))
THRESHOLDS = (-0.5, 0.0, 0.7)
VARIANTS = {
    name: {"method": method, "base": "linear", "constraint": "eo", "strength": strength, "scores": method == "plain"}
    for name, method, strength in (("head", "heads", 0.1), ("rule", "bias_scores", 0.05), ("peer", "plain", None))
}


class Outcomes:
    """Scores of drawn models, as a checkpoint has them."""

    def __init__(self, names: tuple[str, ...], *, decided: bool) -> None:
        generator = torch.Generator().manual_seed(len(names))
        parts = {"validation": 60, "test": 80} | ({} if decided else {"train": 120})
        shapes = {part: (R, len(names), rows) for part, rows in parts.items()}
        self.tensors = {f"{part}.score": torch.rand(shape, generator=generator) for part, shape in shapes.items()}
        if decided:
            for part, shape in shapes.items():
                self.tensors[f"{part}.prediction"] = torch.randint(2, shape, generator=generator).to(torch.uint8)
        self.header = {"variants": {name: VARIANTS[name] for name in names}, "thresholds": list(THRESHOLDS)}


@pytest.fixture(scope="module")
def data() -> Examples:
    generator = torch.Generator().manual_seed(0)
    y, s = (torch.randint(2, (ROWS,), generator=generator) for _ in range(2))
    return Examples(torch.empty(ROWS, 0), y, s)


@pytest.fixture(scope="module")
def members() -> dict[str, torch.Tensor]:
    orders = torch.stack([torch.randperm(ROWS, generator=torch.Generator().manual_seed(seed)) for seed in range(R)])
    return {"train": orders[:, :120], "validation": orders[:, 120:180], "test": orders[:, 180:260]}


@pytest.fixture(scope="module")
def candidates() -> Candidates:
    return ours(Outcomes(("head", "rule"), decided=False))


def brute_force(
    candidates: Candidates, v: int, r: int, parts: tuple[str, ...], data: Examples, members: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Count one model's decisions row by row, from its score and its settings alone."""
    counts = torch.zeros(2, 2, 2, dtype=torch.int64)
    cut = 1 / (1 + np.exp(-list(candidates.settings.values())[v]["threshold"]))
    for part in parts:
        for place, row in enumerate(members[part][r].tolist()):
            score = float(candidates.score[part][r, int(candidates.scored[v]), place])
            counts[int(data.s[row]), int(data.y[row]), int(score > cut)] += 1
    return counts


def test_decisions_of_more_classes_are_taken_as_they_are() -> None:
    outcomes = Outcomes(("head", "rule"), decided=True)
    outcomes.tensors |= {name: 2 - tensor for name, tensor in outcomes.tensors.items() if "prediction" in name}
    candidates = ours(outcomes)
    assert list(candidates.settings) == ["head", "rule"]
    assert all(model["threshold"] is None for model in candidates.settings.values())
    for r in range(R):
        expected = outcomes.tensors["test.prediction"][r].to(torch.int8)
        assert candidates.prediction("test", r).equal(expected)
    constants = constant(outcomes, 3)
    assert [constants.prediction("test", 1)[v].unique().item() for v in range(3)] == [0, 1, 2]


def test_heads_have_every_threshold_and_rules_none(candidates: Candidates) -> None:
    assert list(candidates.settings) == ["head_t-0.5", "head", "head_t+0.7", "rule"]
    assert candidates.scored.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("parts", [("validation",), ("validation", "train")])
def test_counts_are_those_of_a_loop_over_rows(
    candidates: Candidates, data: Examples, members: dict[str, torch.Tensor], parts: tuple[str, ...]
) -> None:
    for r in range(R):
        rows = torch.cat([members[part][r] for part in parts])
        counts = counts_of(candidates, parts, r, data, rows, POPULATION, range(4))
        for v in range(4):
            assert counts[v].equal(brute_force(candidates, v, r, parts, data, members))


def test_judged_counts_are_of_the_models_that_were_picked(
    candidates: Candidates, data: Examples, members: dict[str, torch.Tensor]
) -> None:
    counts = judged_counts(candidates, torch.tensor([2, 3]), data, members, POPULATION)
    for r, v in enumerate((2, 3)):
        assert counts[r].equal(brute_force(candidates, v, r, ("validation", "train"), data, members))


def test_values_are_those_of_other_libraries(
    candidates: Candidates, data: Examples, members: dict[str, torch.Tensor]
) -> None:
    measured, _ = measure(candidates, data, members, POPULATION, Judge(criterion="auc", smoothing=0.0))
    for part in ("validation", "test"):
        for r, v in np.ndindex(R, 4):
            y, s = (values[members[part][r]].numpy() for values in (data.y, data.s))
            z = candidates.prediction(part, r, [v])[0].numpy()
            error = 100 - 100 * sk.f1_score(y, z, average="weighted")
            assert float(measured[part]["err"][r, v]) == pytest.approx(error)
            gap = fl.demographic_parity_difference(y, z, sensitive_features=s)
            assert float(measured[part]["delta_dp"][r, v]) == pytest.approx(gap)
            area = sk.roc_auc_score(y, candidates.score[part][r, int(candidates.scored[v])].numpy())
            assert float(measured[part]["auc"][r, v]) == pytest.approx(area)


@pytest.mark.parametrize("cross_fitted", [False, True])
@pytest.mark.parametrize("validation", ["own", "pooled", "auto"])
def test_judged_errors_and_areas_are_means_over_rows_that_may_judge(
    candidates: Candidates, data: Examples, members: dict[str, torch.Tensor], validation: str, cross_fitted: bool
) -> None:
    """By default a replicate's own rows are enough where models are cross-fitted."""
    parts = ("validation", "train") if cross_fitted else ("validation",)
    models = replace(candidates, score={part: candidates.score[part] for part in ("test", *parts)})
    judge = Judge(criterion="auc", validation=validation, smoothing=0.0)  # type: ignore[arg-type]
    judged = measure(models, data, members, POPULATION, judge)[0][JUDGED]
    assert set(judged) == {"err", "auc", *AXES}
    own = validation == "own" or (validation == "auto" and cross_fitted)
    for chooser, v in np.ndindex(R, 4):
        errors, areas = [], []
        for r in [chooser] if own else range(R):
            rows = torch.cat([members[part][r] for part in parts])
            z = torch.cat([models.prediction(part, r, [v])[0] for part in parts])
            score = torch.cat([models.score[part][r, int(models.scored[v])] for part in parts])
            may = ~torch.isin(rows, members["test"][chooser])
            errors.append(100 - 100 * sk.f1_score(data.y[rows[may]], z[may], average="weighted"))
            areas.append(sk.roc_auc_score(data.y[rows[may]], score[may]))
        assert float(judged["err"][chooser, v]) == pytest.approx(np.mean(errors))
        assert float(judged["auc"][chooser, v]) == pytest.approx(1 - np.mean(areas))


@pytest.mark.parametrize("validation", ["own", "pooled"])
def test_what_is_judged_does_not_depend_on_the_folds(
    candidates: Candidates, data: Examples, members: dict[str, torch.Tensor], validation: str
) -> None:
    judged = [
        measure(candidates, data, members, POPULATION, Judge(validation=validation, nested_folds=folds))[0][JUDGED]  # type: ignore[arg-type]
        for folds in (0, 3, 5)
    ]
    for name, values in judged[0].items():
        for other in judged[1:]:
            assert other[name].equal(values)


def test_how_many_are_counted_at_once_changes_nothing(
    candidates: Candidates, data: Examples, members: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _ = measure(candidates, data, members, POPULATION, Judge())
    monkeypatch.setattr(measuring, "AT_ONCE", 3)
    after, _ = measure(candidates, data, members, POPULATION, Judge())
    for part, values in before.items():
        for name, tensor in values.items():
            torch.testing.assert_close(after[part][name], tensor, rtol=0, atol=0)


def test_peers_decide_as_they_do_and_with_our_thresholds(data: Examples, members: dict[str, torch.Tensor]) -> None:
    outcomes = Outcomes(("peer",), decided=True)
    candidates = theirs(outcomes, THRESHOLDS)
    assert list(candidates.settings) == ["peer", "peer_t-0.5", "peer_t+0.7"]
    assert candidates.prediction("test", 1, [0])[0].equal(outcomes.tensors["test.prediction"][1, 0].to(torch.int8))
    cut = torch.tensor(0.7).sigmoid()
    assert candidates.prediction("test", 1, [2])[0].bool().equal(outcomes.tensors["test.score"][1, 0] > cut)
    counts = judged_counts(candidates, torch.tensor([0, 0]), data, members, POPULATION)
    assert counts.sum(dim=(1, 2, 3)).tolist() == [60, 60], "peers are not cross-fitted"


def test_the_constants_err_by_the_share_of_the_other_class(data: Examples, members: dict[str, torch.Tensor]) -> None:
    both = constant(Outcomes(("head",), decided=False))
    test = measure(both, data, members, POPULATION, Judge(criterion="accuracy"))[0]["test"]
    share = data.y[members["test"]].double().mean(dim=1)
    torch.testing.assert_close(test["accuracy"], torch.stack([1 - share, share], dim=1), check_dtype=False)
    assert not test["delta_dp"].any()


def test_a_diverged_model_has_no_value(data: Examples, members: dict[str, torch.Tensor]) -> None:
    outcomes = Outcomes(("head", "rule"), decided=False)
    outcomes.tensors["train.score"][1, 1, 5] = torch.nan
    measured, _ = measure(ours(outcomes), data, members, POPULATION, Judge())
    assert measured[JUDGED]["err"].isnan().tolist() == [[False] * 4, [False] * 3 + [True]]
    assert measured["test"]["err"].isfinite().all(), "only its judges are missing"
    outcomes.tensors["train.score"][1] = torch.nan
    measured, _ = measure(ours(outcomes), data, members, POPULATION, Judge())
    assert measured[JUDGED]["delta_eo"].isnan().tolist() == [[False] * 4, [True] * 4], "which is no error of the rows"


@pytest.mark.parametrize("change", ["labels", "scores"])
def test_no_bias_depends_on_a_group_that_is_not_compared(members: dict[str, torch.Tensor], change: str) -> None:
    """Twelve or so rows of a third group: whatever they are and whatever is said of them, the biases stay."""
    generator = torch.Generator().manual_seed(0)
    y, s = (torch.randint(2, (ROWS,), generator=generator) for _ in range(2))
    s[torch.arange(ROWS) % 30 == 0] = 2
    population = Names("drawn rows", ("no", "yes"), ("a", "b", "c"), compared=(0, 1))
    outcomes = Outcomes(("head", "rule"), decided=False)
    before, folded = measure(ours(outcomes), Examples(torch.empty(ROWS, 0), y, s), members, population, Judge())
    if change == "labels":
        y = torch.where(s == 2, 1 - y, y)
    else:
        for part in ("train", "validation", "test"):
            apart = (s[members[part]] == 2).unsqueeze(1)
            score = outcomes.tensors[f"{part}.score"]
            outcomes.tensors[f"{part}.score"] = torch.where(apart, 1 - score, score)
    after, refolded = measure(ours(outcomes), Examples(torch.empty(ROWS, 0), y, s), members, population, Judge())
    for part, values in before.items():
        for name in AXES:
            assert values[name].equal(after[part][name])
        assert not values["err"].equal(after[part]["err"]), "errors are everybody's"
    assert folded is not None
    assert refolded is not None
    assert folded.compared == (0, 1)
    assert folded.judged["delta_eo"].nan_to_num().equal(refolded.judged["delta_eo"].nan_to_num())


def test_a_class_may_be_absent_in_a_group_that_is_not_compared(
    candidates: Candidates, members: dict[str, torch.Tensor]
) -> None:
    y, s = torch.arange(ROWS) % 2, (torch.arange(ROWS) // 2) % 2
    s[torch.arange(ROWS) % 20 == 0] = 2  # all of class 0
    data = Examples(torch.empty(ROWS, 0), y, s)
    names = ("a", "b", "c")
    assert measure(candidates, data, members, Names("drawn", ("no", "yes"), names, (0, 1)), Judge())[0]
    with pytest.raises(InputError, match="there is no row of 'yes' among 'c' on the validation rows"):
        measure(candidates, data, members, Names("drawn", ("no", "yes"), names), Judge())
    y[s == 1] = 0  # of two cells that are empty the one that is compared is named
    with pytest.raises(InputError, match="there is no row of 'yes' among 'b' on the validation rows"):
        measure(candidates, data, members, Names("drawn", ("no", "yes"), names, (0, 1)), Judge())
