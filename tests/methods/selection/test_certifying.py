"""What certificates rest on: an order that their judges do not know, and rows that settle nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from counterpoise.errors import InputError
from counterpoise.fairness import delta_eo
from counterpoise.fairness.certify import certify
from counterpoise.methods.selection.candidates import Candidates, ours
from counterpoise.methods.selection.certifying import Certificates, certificates, one_of_each
from counterpoise.methods.selection.measuring import counts_of
from counterpoise.methods.selection.settings import Judge, Names
from counterpoise.nn import Examples

R, TRAIN, VALIDATION = 2, 6000, 6000
ROWS = TRAIN + VALIDATION
POPULATION = Names("drawn rows", ("no", "yes"), ("a", "b"))
SETTINGS = Judge(tolerance=0.2, certify=0.9, smoothing=0.0)
HELD_OUT = {"hold_out": 0.2}
GAPS = {"fair": 0.0, "middling": 0.1, "unfair": 0.5}
"""By how much a group's rates differ, for each class: ΔEO is twice that. The less fair, the better they predict."""


class Outcomes:
    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        variants = {name: {"method": "bias_scores", "base": "linear", "constraint": "eo"} for name in GAPS}
        self.tensors = tensors
        self.header = {"variants": variants, "thresholds": [0.0]}


@pytest.fixture(scope="module")
def data() -> Examples:
    generator = torch.Generator().manual_seed(0)
    y, s = (torch.randint(2, (ROWS,), generator=generator) for _ in range(2))
    return Examples(torch.empty(ROWS, 0), y, s)


@pytest.fixture(scope="module")
def members() -> dict[str, torch.Tensor]:
    orders = torch.stack([torch.randperm(ROWS, generator=torch.Generator().manual_seed(seed)) for seed in range(R)])
    return {"train": orders[:, :TRAIN], "validation": orders[:, TRAIN:]}


@pytest.fixture(scope="module")
def outcomes(data: Examples, members: dict[str, torch.Tensor]) -> Outcomes:
    """Models that are right with a probability of 0.6 + gap / 2, and in group b predict class 1 oftener by the gap."""
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for part, rows in members.items():
        y, s = data.y[rows], data.s[rows]
        scores = []
        for gap in GAPS.values():
            rate = torch.where(y == 1, 0.6 + gap / 2, 0.4 - gap / 2) + gap * (s - 0.5)
            scores.append(torch.where(torch.rand(rate.shape, generator=generator) < rate, 0.9, 0.1))
        tensors[f"{part}.score"] = torch.stack(scores, dim=1)
    return Outcomes(tensors)


def certified(candidates: Candidates, data: Examples, members: dict[str, torch.Tensor], **judging: Any) -> Certificates:
    return certificates(candidates, data, members, POPULATION, replace(SETTINGS, **judging), HELD_OUT)


@pytest.mark.parametrize(
    ("tolerance", "expected"),
    [(0.02, []), (0.15, ["fair"]), (0.4, ["fair", "middling"]), (1.5, ["fair", "middling", "unfair"])],
)
def test_fair_models_are_certified_and_unfair_ones_are_not(
    outcomes: Outcomes, data: Examples, members: dict[str, torch.Tensor], tolerance: float, expected: list[str]
) -> None:
    result = certified(ours(outcomes), data, members, tolerance=tolerance)
    assert result.certified.tolist() == [[name in expected for name in GAPS]] * R


def test_what_it_takes_grows_as_the_tolerance_falls(
    outcomes: Outcomes, data: Examples, members: dict[str, torch.Tensor]
) -> None:
    wide, narrow = (certified(ours(outcomes), data, members, tolerance=each).needed for each in (0.3, 0.03))
    assert wide.shape == narrow.shape == (R, 2, 2)
    assert (narrow > 50 * wide).all(), "about the inverse square"


def test_validation_labels_change_certificates_and_not_the_order(
    outcomes: Outcomes, data: Examples, members: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    from counterpoise.methods.selection import certifying

    tested: list[list[int]] = []

    def recorded(*arguments: Any) -> torch.Tensor:
        tested.append(list(arguments[6]))
        return counts_of(*arguments)

    monkeypatch.setattr(certifying, "counts_of", recorded)
    other = Examples(data.x, data.y.clone(), data.s)
    validation = members["validation"][0]
    other.y[validation] = torch.where(data.s[validation] == 1, 1 - data.y[validation], data.y[validation])
    first = {part: rows[:1] for part, rows in members.items()}
    alone = ours(Outcomes({name: tensor[:1] for name, tensor in outcomes.tensors.items()}))
    before, after = (certified(alone, each, first, tolerance=0.4) for each in (data, other))
    assert tested == [[0, 1], [0, 1]], "from fair to unfair"
    assert before.certified.tolist() == [[True, True, False]]
    assert not after.certified.any()


def test_cross_fitted_labels_settle_the_order(
    outcomes: Outcomes, data: Examples, members: dict[str, torch.Tensor]
) -> None:
    """With labels that say nothing, no model looks fair and accurate; which are tested then is another matter."""
    first = {part: rows[:1] for part, rows in members.items()}
    alone = ours(Outcomes({name: tensor[:1] for name, tensor in outcomes.tensors.items()}))
    before = certified(alone, data, first, tolerance=0.4)
    train = first["train"][0]
    y = data.y.clone()
    y[train] = 1 - y[train]
    after = certified(alone, replace(data, y=y), first, tolerance=0.4)
    assert before.certified.tolist() == [[True, True, False]]
    assert after.certified.tolist() == [[True, False, False]], "the fairest errs least: it dominates the others"


def test_a_certificate_is_that_of_a_fixed_sequence_on_validation_rows(
    outcomes: Outcomes, data: Examples, members: dict[str, torch.Tensor]
) -> None:
    candidates = ours(outcomes)
    result = certified(candidates, data, members, tolerance=0.4)
    for r, rows in enumerate(members["validation"]):
        counts = counts_of(candidates, ("validation",), r, data, rows, POPULATION, [0, 1])
        assert (delta_eo(counts) < 0.4).all()
        expected = certify(counts, "delta_eo", 0.4, level=0.9, order=range(2)).certified
        assert result.certified[r, :2].equal(expected)


def test_replicates_do_not_notice_each_other(
    outcomes: Outcomes, data: Examples, members: dict[str, torch.Tensor]
) -> None:
    both = certified(ours(outcomes), data, members, tolerance=0.4)
    second = ours(Outcomes({name: tensor[1:] for name, tensor in outcomes.tensors.items()}))
    alone = certified(second, data, {part: rows[1:] for part, rows in members.items()}, tolerance=0.4)
    assert alone.certified[0].equal(both.certified[1])
    assert alone.needed[0].equal(both.needed[1])


def test_alike_rows_of_one_person_certify_no_more_than_one_of_them(
    outcomes: Outcomes, data: Examples, members: dict[str, torch.Tensor]
) -> None:
    """Few validation rows, each of them eight times, as rows of a person: the certificate is that of the few."""
    people, times = 150, 8
    one = {"train": members["train"], "validation": members["validation"][:, :people]}
    repeated = one | {"validation": one["validation"].repeat(1, times)}
    fewer, more = (
        ours(Outcomes(dict(outcomes.tensors) | {"validation.score": scores, "test.score": scores}))
        for scores in (
            outcomes.tensors["validation.score"][..., :people],
            outcomes.tensors["validation.score"][..., :people].repeat(1, 1, times),
        )
    )
    by_person = replace(data, unit=torch.arange(ROWS))
    expected = certified(fewer, data, one, tolerance=0.4)
    as_rows, as_people = (certified(more, each, repeated, tolerance=0.4) for each in (data, by_person))
    assert as_people.certified.equal(expected.certified)
    assert as_people.needed.equal(expected.needed)
    assert as_rows.certified.sum() > expected.certified.sum(), "eight times as many rows, if they were new ones"


def test_one_row_of_each_person_is_drawn_whichever_it_is() -> None:
    unit = torch.arange(300) // 3
    kept = one_of_each(unit, 300)
    assert unit[kept].equal(torch.arange(100))
    assert (kept.view(100, 3).sum(dim=0) > 20).all(), "not the first one always"
    assert one_of_each(None, 4).all()


@pytest.mark.parametrize(("hold_out", "folds"), [(0, True), (0.2, False), (0, False)])
def test_without_rows_to_certify_with_it_is_refused_in_one_sentence(
    outcomes: Outcomes, data: Examples, members: dict[str, torch.Tensor], hold_out: float, folds: bool
) -> None:
    tensors = {name: tensor for name, tensor in outcomes.tensors.items() if folds or not name.startswith("train")}
    with pytest.raises(InputError, match=r"selection\.certify is 0\.9, .*hold_out above 0 .*folds of 2") as caught:
        certificates(ours(Outcomes(tensors)), data, members, POPULATION, SETTINGS, {"hold_out": hold_out})
    assert "\n" not in str(caught.value)
