"""The gate: what it promotes, refuses and waits with, and the sentences that say why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from counterpoise.errors import InputError
from counterpoise.retraining.evidence import Evidence, collect
from counterpoise.retraining.gate import (
    Check,
    Decision,
    Gate,
    chance,
    decide,
    enough_rows,
    examine,
    reason,
    sentence,
    subject,
    verdicts,
)

LEVEL = 0.001
GATE = Gate(tolerances={"delta_dp": 0.1, "delta_eo": 0.15})


def evidence(
    error: float = 0.15,
    *,
    rows: int = 6000,
    group_changes: tuple[float, float] = (0.0, 0.0),
    first_error: float | None = None,
    gap: float = 0.0,
    batches: int = 2,
) -> Evidence:
    """Return expected counts: the champion errs at 0.15, the challenger at `error` (+ its group's change)."""
    per_cell = rows / batches / 4
    wrong = np.broadcast_to(error + np.array(group_changes)[:, None], (2, 2)).copy()
    wrong += gap * np.array([[-0.5, 0.5], [0.5, -0.5]])  # group 1 is chosen more often

    def pairs(other: float) -> np.ndarray:
        table = np.stack([0.04 + other - wrong.clip(max=other), 0 * wrong, 0.04 + (wrong - other).clip(min=0)], axis=-1)
        table[..., 1] = 1 - table.sum(-1)
        return np.round(np.repeat(per_cell * table[None], batches, axis=0)).astype(int)

    confusion = np.stack(
        [np.stack([1 - wrong[:, 0], wrong[:, 0]], -1), np.stack([wrong[:, 1], 1 - wrong[:, 1]], -1)], 1
    )
    tables = np.round(np.repeat(per_cell * confusion[None], batches, axis=0)).astype(int)
    return Evidence(pairs(0.15 if first_error is None else first_error), pairs(0.15), tables)


def outcomes(seen: Evidence, gate: Gate = GATE, level: float = LEVEL) -> dict[str, str]:
    return {check.name: check.outcome for check in decide(seen, gate, level=level).checks}


def test_a_better_challenger_is_promoted() -> None:
    decision = decide(evidence(0.13), GATE, level=LEVEL)
    assert decision.verdict == "promote"
    assert decision.reason == "Promoted on 6,000 labelled rows: all 10 checks passed at significance 0.001."
    assert {check.outcome for check in decision.checks} == {"passed"}


def test_a_group_that_is_harmed_refuses_although_the_error_falls() -> None:
    decision = decide(evidence(0.13, group_changes=(0.08, -0.08)), GATE, level=LEVEL, groups=["Female", "Male"])
    assert decision.verdict == "refuse"
    assert "Error of group Female against the first champion" in decision.reason
    assert "shown to exceed the limit of 3 points" in decision.reason


def test_estimates_are_the_challengers_error_less_the_others() -> None:
    """And bounds of them are above; without rows there is no estimate."""
    seen = evidence(0.13, group_changes=(0.05, -0.05), first_error=0.16)
    measured = {check.name: check for check in decide(seen, GATE, level=LEVEL).checks}
    for other, change in (("champion", -0.02), ("first", -0.03)):
        for name, expected in (("", change), ("_group_0", change + 0.05), ("_group_1", change - 0.05)):
            check = measured[f"error_{other}{name}"]
            assert check.estimate == pytest.approx(expected, abs=0.001)
            assert check.bound > check.estimate
    assert measured["error_newest"].estimate == pytest.approx(-0.02, abs=0.001)
    pairs = seen.against_champion.copy()
    pairs[-1] = 0
    newest = decide(replace(seen, against_champion=pairs), GATE, level=LEVEL).checks[7]
    assert (newest.name, newest.estimate, newest.outcome) == ("error_newest", None, "passed")


def test_a_bias_beyond_its_tolerance_refuses() -> None:
    decision = decide(evidence(0.13, gap=0.2), GATE, level=LEVEL)
    assert decision.verdict == "refuse"
    assert "Bias delta_dp: +0.2" in decision.reason


def test_the_first_champion_stops_what_the_present_one_would_let_pass() -> None:
    """Equal to the present champion, which is a point and a half worse than the first."""
    found = outcomes(evidence(0.15, rows=40_000, first_error=0.12))
    assert found["error_champion"] == "passed"
    assert found["error_first"] == "failed"
    assert decide(evidence(0.15, rows=40_000, first_error=0.12), GATE, level=LEVEL).verdict == "refuse"


def test_few_rows_wait_until_patience_ends() -> None:
    seen = replace(evidence(0.13, rows=600), waiting=70)
    decisions = [decide(seen, GATE, level=LEVEL, looks=looks) for looks in range(4)]
    assert [decision.verdict for decision in decisions] == ["wait", "wait", "wait", "refuse"]
    assert decisions[0].reason.startswith("Waiting after decision 1 of 4 on 600 labelled rows: ")
    assert decisions[3].reason.startswith("Refused after decision 4 of 4 on 600 labelled rows: ")
    assert decisions[0].reason.endswith("70 rows wait for their labels.")


def test_harm_on_the_newest_rows_alone_refuses() -> None:
    seen, worse = evidence(0.12, batches=5, rows=10_000), evidence(0.25, batches=5, rows=10_000)
    tables = {name: getattr(seen, name).copy() for name in ("against_first", "against_champion", "confusion")}
    for name, table in tables.items():
        table[-1] = getattr(worse, name)[-1]
    decision = decide(Evidence(**tables), GATE, level=LEVEL)
    assert {check.name for check in decision.checks if check.outcome == "failed"} == {"error_newest"}
    assert decision.verdict == "refuse"


@pytest.mark.parametrize(("bound", "value"), [("rows_per_group", 3001), ("rows_per_cell", 1501)])
def test_too_few_rows_of_a_group_or_class_wait_whatever_they_show(bound: str, value: int) -> None:
    gate = replace(GATE, **{bound: value})
    assert outcomes(evidence(0.13), gate)["rows"] == "undecided"
    assert decide(evidence(0.13), gate, level=LEVEL).verdict == "wait"
    assert not enough_rows(evidence(0.13), gate)
    assert enough_rows(evidence(0.13), replace(gate, **{bound: value - 1}))


def test_enough_rows_are_those_of_each_group_and_of_each_class_in_it() -> None:
    """Of two weeks: 80 of the first group, 30 of them of its second class; and as many of the second as there are."""
    week = np.array([[[15, 10], [5, 10]], [[70, 30], [20, 30]]])
    seen = Evidence(*[np.zeros((2, 2, 2, 3), dtype=int)] * 2, np.stack([week, week]))
    for bound, number in (("rows_per_group", 80), ("rows_per_cell", 30)):
        for asked in (number, number + 1):
            gate = replace(GATE, tolerances={}, **{"rows_per_group": 1, "rows_per_cell": 1, bound: asked})
            assert enough_rows(seen, gate) == (asked == number)
            row_check = next(check for check in decide(seen, gate, level=LEVEL).checks if check.name == "rows")
            assert row_check.outcome == ("passed" if asked == number else "undecided")
    pairs, confusion = (np.stack([one, 2 * one, one]) for one in (seen.against_first, seen.confusion))
    assert enough_rows(Evidence(pairs, pairs, confusion), replace(GATE, rows_per_group=81)).tolist() == [
        False,
        True,
        False,
    ]
    assert row_check.estimate == 80


def test_a_check_passes_where_its_bound_is_within_the_limit() -> None:
    for seen in (evidence(0.13), evidence(0.15, rows=2000), evidence(0.16, gap=0.08)):
        for check in decide(seen, GATE, level=LEVEL).checks:
            if check.log10_e is not None:
                assert (check.outcome == "passed") == (check.bound <= check.limit), check.name
                assert (check.outcome == "passed") == (check.log10_e >= check.needed), check.name


def test_many_challengers_at_once_are_decided_as_one_by_one() -> None:
    seen = [evidence(0.13), evidence(0.15, rows=400), evidence(0.13, group_changes=(0.08, -0.08)), evidence(0.16)]
    parts = ("against_first", "against_champion", "confusion")
    together = Evidence(*(np.stack([getattr(one, part) for one in seen]) for part in parts))
    for many, *singly in zip(examine(together, GATE), *(examine(one, GATE) for one in seen), strict=True):
        for name in ("estimate", "log_e", "log_harm"):
            np.testing.assert_allclose(getattr(many, name), [getattr(one, name) for one in singly], err_msg=many.name)
    looks, level = np.array([0, 3, 1, 0]), np.array([0.001, 0.01, 0.02, 0.001])
    promoted, refused = verdicts(together, GATE, level=level, looks=looks)
    single = [
        decide(one, GATE, level=float(a), looks=int(k)).verdict for one, a, k in zip(seen, level, looks, strict=True)
    ]
    assert ["promote" if p else "refuse" if r else "wait" for p, r in zip(promoted, refused, strict=True)] == single
    assert {*single} == {"promote", "refuse", "wait"}


def test_a_challenger_without_significance_is_never_promoted() -> None:
    promoted, _ = verdicts(evidence(0.05, rows=60_000), GATE, level=np.array(0.0), looks=np.array(0))
    assert not promoted


def test_a_model_at_the_margin_is_promoted_as_rarely_as_its_significance_says() -> None:
    """Each of 2,000 challengers errs one point more than both champions; four looks each."""
    gate, level = Gate(tolerances={}, group_margin=1.0), 0.05
    pairs = np.random.default_rng(2).multinomial(125, [0.04, 0.91, 0.05], size=(2000, 4, 2, 2))
    ever = np.zeros(2000, dtype=bool)
    for looks in range(4):
        seen = Evidence(*[pairs[:, : looks + 1]] * 2, np.full((2000, looks + 1, 2, 2, 2), 62))
        promoted, _ = verdicts(seen, gate, level=np.full(2000, level), looks=np.full(2000, looks))
        ever |= promoted
    assert 0 < ever.mean() < level


def test_the_names_are_those_that_records_and_reports_use() -> None:
    expected = ["error_first", "error_first_group_0", "error_first_group_1"]
    expected += [name.replace("first", "champion") for name in expected]
    assert [item.name for item in examine(evidence(), GATE)] == [*expected, "error_newest", "delta_dp", "delta_eo"]


class TestBadInput:
    @pytest.mark.parametrize(
        ("settings", "sentence"),
        [
            ({"tolerances": {"delta_pd": 0.1}}, r"gate: tolerances names 'delta_pd' \(did you mean 'delta_dp'"),
            ({"tolerances": {"delta_dp": 0.0}}, "tolerances.delta_dp is 0, expected a number above 0"),
            ({"error_margin": -0.1}, "gate: error_margin is -0.1"),
            ({"significance": 1.0}, "gate: significance is 1.0"),
            ({"patience": 0}, "gate: patience is 0"),
        ],
    )
    def test_names_the_setting(self, settings: dict, sentence: str) -> None:
        with pytest.raises(InputError, match=sentence):
            Gate(**settings)

    def test_names_a_level_that_is_none(self) -> None:
        with pytest.raises(InputError, match="level is 0"):
            decide(evidence(), GATE, level=0.0)

    def test_names_evidence_without_rows(self) -> None:
        empty = evidence(rows=0)
        with pytest.raises(InputError, match="no labelled row"):
            decide(empty, GATE, level=LEVEL)


def test_biases_are_those_of_the_groups_that_are_compared() -> None:
    """A third group of a dozen rows, all wrong: it is in the errors, and in no bias."""
    seen = evidence(0.13)
    apart = {name: np.zeros_like(getattr(seen, name)[:, :1]) for name in ("against_first", "against_champion")}
    apart["confusion"] = np.zeros_like(seen.confusion[:, :1])
    apart["confusion"][..., 0, 1], apart["against_first"][..., 2], apart["against_champion"][..., 2] = 12, 6, 6
    three = {name: np.concatenate([getattr(seen, name), few], axis=1) for name, few in apart.items()}
    before = {item.name: item for item in examine(seen, GATE)}
    after = {item.name: item for item in examine(Evidence(**three, compared=[0, 1]), GATE)}
    every = {item.name: item for item in examine(Evidence(**three), GATE)}
    for metric in GATE.tolerances:
        assert after[metric].log_e == before[metric].log_e
        assert after[metric].estimate == before[metric].estimate
        assert every[metric].log_e != before[metric].log_e
    assert after["error_first"].estimate > before["error_first"].estimate
    assert not enough_rows(Evidence(**three, compared=[0, 1]), GATE), "the gate still asks rows of every group"


EASY = Gate(error_margin=0.01, group_margin=0.03, tolerances={"delta_dp": 0.5}, patience=1)
SMALL = 0.002
WEEKS = 200
ERROR, LOST, IMPROVEMENT = 0.2, 0.02, 0.02


def rows(number: int, generator: np.random.Generator, gained: float) -> Evidence:
    """Rows on which the challenger alone is right, or alone wrong, with these probabilities."""
    y, s = generator.integers(0, 2, number), generator.integers(0, 2, number)
    place = generator.random(number)
    champion_wrong = place < ERROR
    challenger_wrong = (champion_wrong & (place >= gained)) | (place >= 1 - LOST)
    champion, challenger = (np.where(wrong, 1 - y, y) for wrong in (champion_wrong, challenger_wrong))
    return collect(y, s, first=champion, champion=champion, challenger=challenger, groups=2, classes=2)


def as_good(number: int, gained: float = LOST, batches: int = 1) -> Evidence:
    """A challenger with the champion's error, in each group and class, but for what it is right in alone."""
    cell = number // batches // 4
    lost, won, wrong = round(LOST * cell), round(gained * cell), round((ERROR + LOST - gained) * cell)
    paired = np.tile([won, cell - won - lost, lost], (batches, 2, 2, 1))
    confusion = np.array([[[[cell - wrong, wrong], [wrong, cell - wrong]]] * 2] * batches)
    return Evidence(paired, paired, confusion)


@pytest.mark.parametrize(("number", "low", "high"), [(400, 0.0, 0.1), (1200, 0.2, 0.8), (20_000, 0.99, 1.0)])
def test_it_is_the_share_of_promotions(number: int, low: float, high: float) -> None:
    generator = np.random.default_rng(0)
    seen = as_good(number)
    expected = chance(seen, EASY, level=SMALL, improvement=IMPROVEMENT)
    drawn = [rows(number, generator, LOST + IMPROVEMENT) for _ in range(WEEKS)]
    fields = ("against_first", "against_champion", "confusion")
    together = Evidence(*(np.stack([getattr(evidence, name) for evidence in drawn]) for name in fields))
    level, looks = np.full(WEEKS, SMALL), np.zeros(WEEKS, dtype=np.int64)
    share = verdicts(together, EASY, level=level, looks=looks)[0].mean()
    assert low <= expected <= high
    assert expected == pytest.approx(share, abs=0.12)


def test_biases_are_those_of_the_challenger_and_draws_repeat() -> None:
    seen = as_good(20_000)
    strict = Gate(error_margin=0.01, group_margin=0.03, tolerances={"delta_dp": 0.001}, patience=1)
    assert chance(seen, strict, level=SMALL) == 0
    assert chance(seen, EASY, level=SMALL, draws=20) == chance(seen, EASY, level=SMALL, draws=20)
    assert chance(seen, EASY, level=SMALL, improvement=0.0, draws=50) <= chance(seen, EASY, level=SMALL, draws=50)


def test_the_imagined_model_is_compared_with_the_champion_whatever_the_challenger_gained() -> None:
    """What it is right in alone goes by the champion's errors; biases are far from their limit here."""
    expected = chance(as_good(1200), EASY, level=SMALL)
    assert 0.2 < expected < 0.8
    assert chance(as_good(1200, gained=0.01), EASY, level=SMALL) == expected
    assert chance(as_good(1200, batches=3), EASY, level=SMALL) == pytest.approx(expected, abs=0.1)


def test_each_group_and_class_has_as_many_rows_as_in_the_evidence() -> None:
    """Not as many as are predicted to be of the class; a class without rows is no error."""
    confusion = np.array([[[[4800, 1200], [200, 1800]]] * 2])
    paired = np.stack([200 + 0 * confusion[..., 0], confusion.sum(-1) - 400, 200 + 0 * confusion[..., 0]], axis=-1)
    for few, promoted in ((2000, True), (2001, False)):
        gate = replace(EASY, rows_per_cell=few)
        assert (chance(Evidence(paired, paired, confusion), gate, level=SMALL, draws=50) > 0.5) == promoted
    confusion[:, 0, 1], paired[:, 0, 1] = 0, 0
    assert chance(Evidence(paired, paired, confusion), EASY, level=SMALL, draws=50) == 0


@pytest.mark.parametrize(("wrong", "won", "lost", "low", "high"), [(10_000, 0, 10_000, 0, 0.1), (0, 20_000, 0, 0.9, 1)])
def test_the_improvement_is_where_the_champion_errs(wrong: int, won: int, lost: int, low: float, high: float) -> None:
    """Each group has to gain; in the second one the champion is always right although the challenger errs, or errs
    where the challenger is always right. In two batches of 50,000 rows of each group and class."""
    cell = 50_000
    groups = np.array([[20_000, 1000, 1000], [wrong, won, lost]])  # 40% of the first one are wrong
    pairs = np.stack([groups[:, 1], cell - groups[:, 1] - groups[:, 2], groups[:, 2]], axis=-1)[:, None].repeat(2, 1)
    right = cell - groups[:, 0]
    confusion = np.stack([np.stack([right, cell - right], -1), np.stack([cell - right, right], -1)], axis=1)
    seen = Evidence(np.stack([pairs] * 2), np.stack([pairs] * 2), np.stack([confusion] * 2))
    gate = replace(EASY, group_margin=0.0, tolerances={})
    assert low <= chance(seen, gate, level=SMALL, draws=50) <= high


def test_a_champion_without_errors_cannot_be_improved_on() -> None:
    confusion = np.tile(np.array([[5000, 0], [0, 5000]]), (1, 2, 1, 1))
    paired = np.tile([0, 5000, 0], (1, 2, 2, 1))
    seen = Evidence(paired, paired, confusion)
    assert chance(seen, EASY, level=SMALL, draws=5) == chance(seen, EASY, level=SMALL, draws=5, improvement=0.0) == 1


UNDECIDED = Check("error_first_group_1", "undecided", 0.012, 0.045, 0.03, 1.5, 3.0, "")
BIAS = Check("delta_dp", "passed", 0.04, 0.08, 0.1, 4.0, 3.0, "")
NEWEST = Check("error_newest", "passed", -0.002, None, 0.01, None, None, "")


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (
            UNDECIDED,
            "Error of group Male against the first champion: +1.2 points, at most 4.5 points; "
            "not yet shown to be within the limit of 3 points.",
        ),
        (BIAS, "Bias delta_dp: +0.04, at most 0.08; within the limit of 0.1."),
        (replace(BIAS, outcome="failed"), "Bias delta_dp: +0.04, at most 0.08; shown to exceed the limit of 0.1."),
        (
            NEWEST,
            "Error against the champion on the newest rows: -0.2 points; not shown to exceed the limit of 1 points.",
        ),
        (
            replace(NEWEST, estimate=None),
            "Error against the champion on the newest rows: no rows; not shown to exceed the limit of 1 points.",
        ),
    ],
)
def test_a_check_says_what_it_shows(check: Check, expected: str) -> None:
    assert sentence(check, ["Female", "Male"]) == expected


def test_a_group_without_a_name_has_its_number() -> None:
    assert subject("error_champion_group_1") == "Error of group 1 against the champion"


@pytest.mark.parametrize(
    ("verdict", "outcomes", "start", "named"),
    [
        ("promote", ("passed", "passed"), "Promoted on 1,200 labelled rows: all 2 checks passed", ()),
        ("wait", ("undecided", "passed"), "Waiting after decision 2 of 4 on 1,200 labelled rows: ", ("A",)),
        ("refuse", ("undecided", "passed"), "Refused after decision 2 of 4 on 1,200 labelled rows: ", ("A",)),
        ("refuse", ("undecided", "failed"), "Refused on 1,200 labelled rows: ", ("B",)),
    ],
)
def test_a_decision_names_the_checks_that_it_rests_on(
    verdict: str, outcomes: tuple[str, str], start: str, named: tuple[str, ...]
) -> None:
    checks = tuple(replace(BIAS, outcome=o, sentence=f"{name} is so.") for o, name in zip(outcomes, "AB", strict=True))
    text = reason(Decision(verdict, "", 0.001, 1200, 30, checks), 2, 4)
    assert text.startswith(start)
    assert text.endswith("30 rows wait for their labels.")
    assert tuple(name for name in "AB" if f"{name} is so" in text) == named


def test_the_first_champion_that_is_the_present_one_is_named_once() -> None:
    first = Check("error_first", "failed", 0.02, 0.03, 0.01, -1.0, 3.0, "A.")
    same = replace(first, name="error_champion", sentence="B.")
    bias = replace(BIAS, outcome="failed", sentence="C.")
    decision = Decision("refuse", "", 0.001, 1200, 0, (first, same, bias))
    assert reason(decision, 1, 4) == "Refused on 1,200 labelled rows: A; C."
    other = replace(decision, checks=(first, replace(same, estimate=0.021), bias))
    assert reason(other, 1, 4) == "Refused on 1,200 labelled rows: A; B; C."
