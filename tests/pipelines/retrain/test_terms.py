"""What may not change in the middle of a history: one sentence says what did, and since when."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from counterpoise.config.parameters import Dataset
from counterpoise.config.retraining import Retraining
from counterpoise.errors import InputError
from counterpoise.pipelines.retrain.partitions import take_partitions
from counterpoise.pipelines.retrain.terms import data_terms, require_terms
from counterpoise.retraining.history import Record, from_lines, rollback, start, to_line

from .conftest import WEEKS

AT = "2026-03-02T06:00:00+00:00"
FIRST = f"{WEEKS[0]}-abcd"


@pytest.fixture
def begun(inbox: dict[str, Path], raw: Path, dataset: Dataset, retraining: Retraining) -> tuple[Record, ...]:
    """A history that was begun with these settings, as its file has it."""
    name = next(iter(inbox))
    batch, _ = take_partitions({name: inbox[name]}, inbox, {}, (), raw, dataset, retraining)
    records = start(FIRST, at=AT, terms=batch["terms"])
    return from_lines([to_line(record) for record in records])


def gate(retraining: Retraining, **limits: Any) -> Retraining:
    return retraining.model_copy(update={"gate": type(retraining.gate)(**{**vars(retraining.gate), **limits})})


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        ({"groups": ("f", "m", "x"), "group_names": ("women", "men", "others")}, "groups is ['f', 'm', 'x'], expected"),
        ({"groups": ("m", "f"), "group_names": ("men", "women")}, "groups is ['m', 'f'], expected ['f', 'm']"),
        ({"groups": (("f", "x"), "m")}, "groups is [['f', 'x'], 'm'], expected ['f', 'm']"),
        ({"sensitive": "home", "groups": ("own", "rent")}, "groups is ['own', 'rent'], expected ['f', 'm']"),
        ({"sensitive": "age", "bands": (40.0,)}, "bands is [40.0], expected []"),
        ({"scored_only": (None,)}, "scored_only is [None], expected []"),
        ({"min_test_rows": 500}, "min_test_rows is 500, expected 30"),
        ({"classes": ("no", "late", "yes"), "positive": None}, "classes is ['no', 'late', 'yes'], expected"),
        ({"label": "home", "positive": "own", "classes": ("rent", "own")}, "expected ['no', 'yes']"),
    ],
)
def test_groups_and_classes_stay(
    block: dict[str, Any],
    sentence: str,
    begun: tuple[Record, ...],
    inbox: dict[str, Path],
    raw: Path,
    dataset: Dataset,
    retraining: Retraining,
) -> None:
    changed = dataset.model_copy(update=block)
    with pytest.raises(InputError) as error:
        take_partitions(inbox, inbox, {}, begun, raw, changed, retraining)
    assert sentence in str(error.value)
    assert f"the retraining of {WEEKS[0]}" in str(error.value)
    with pytest.raises(InputError, match="begin a new history"):  # as the monitor asks
        require_terms(begun, data_terms(changed))
    require_terms((), data_terms(changed))


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"error_margin": 0.21}, "retraining.gate.error_margin is 0.21, expected at most 0.2"),
        ({"group_margin": 0.31}, "retraining.gate.group_margin is 0.31, expected at most 0.3"),
        ({"significance": 0.06}, "retraining.gate.significance is 0.06, expected at most 0.05"),
        ({"tolerances": {"delta_dp": 0.95}}, "tolerances is {'delta_dp': 0.95}, expected at most {'delta_dp': 0.9}"),
        ({"tolerances": {"delta_eo": 0.1}}, "tolerances is {'delta_eo': 0.1}, expected at most {'delta_dp': 0.9}"),
        ({"tolerances": {}}, "tolerances is {}, expected at most"),
        ({"error_margin": 0.1, "group_margin": 0.1, "significance": 0.01}, None),
        ({"tolerances": {"delta_dp": 0.5, "delta_eo": 0.2}}, None),
        ({"rows_per_group": 10**6, "horizon": 5}, None),
    ],
)
def test_limits_become_stricter_only(
    limits: dict[str, Any],
    sentence: str | None,
    begun: tuple[Record, ...],
    inbox: dict[str, Path],
    raw: Path,
    dataset: Dataset,
    retraining: Retraining,
) -> None:
    changed = gate(retraining, **limits)
    if sentence is None:
        stricter = take_partitions(inbox, inbox, {}, begun, raw, dataset, changed)[0]["terms"]
        later = Record(1, "decision", AT, FIRST, "Why.", WEEKS[1], "b", "refuse", 0.01, terms=stricter)
        take_partitions(inbox, inbox, {}, (*begun, later), raw, dataset, retraining)  # and back to the first ones
        return
    with pytest.raises(InputError) as error:
        take_partitions(inbox, inbox, {}, begun, raw, dataset, changed)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda table: table.assign(town="a"), "rows have got ['town'] among the columns"),
        (lambda table: table.drop(columns="home"), "rows have lost ['home'] among the columns"),
        (lambda table: table.rename(columns={"home": "house"}), "have got ['house'] and have lost ['home']"),
        (lambda table: table.assign(income=table["income"] + 1), "rows are not those that they were"),
        (lambda table: table[:-1], "rows are not those that they were"),
        (lambda table: table[list(table)[::-1]][::-1], None),
    ],
)
def test_the_rows_of_the_experiment_stay(
    change: Any,
    sentence: str | None,
    begun: tuple[Record, ...],
    inbox: dict[str, Path],
    raw: Path,
    dataset: Dataset,
    retraining: Retraining,
) -> None:
    """Who is held out goes by a hash of all columns: with another one, champions have learnt from those who decide."""
    change(pd.read_csv(raw / "loans.csv")).to_csv(raw / "loans.csv", index=False)
    if sentence is None:  # columns and rows in another order are the same
        take_partitions(inbox, inbox, {}, begun, raw, dataset, retraining)
        return
    with pytest.raises(InputError) as error:
        take_partitions(inbox, inbox, {}, begun, raw, dataset, retraining)
    assert sentence in str(error.value)


def test_the_held_out_share_stays(
    begun: tuple[Record, ...], inbox: dict[str, Path], raw: Path, dataset: Dataset, retraining: Retraining
) -> None:
    for share in (0.2, 0.4):
        changed = retraining.model_copy(update={"held_out": share})
        with pytest.raises(InputError, match=rf"retraining.held_out is {share}, expected 0.3 as in the retraining of"):
            take_partitions(inbox, inbox, {}, begun, raw, dataset, changed)


def test_a_history_from_before_terms_were_recorded_goes_on(
    begun: tuple[Record, ...], inbox: dict[str, Path], raw: Path, dataset: Dataset, retraining: Retraining
) -> None:
    line = {name: value for name, value in json.loads(to_line(begun[0])).items() if name != "terms"}
    old = from_lines([json.dumps(line)])
    terms = take_partitions(inbox, inbox, {}, old, raw, dataset, retraining)[0]["terms"]
    decided = Record(1, "decision", AT, "b", "Why.", WEEKS[1], "b", "promote", 0.01, terms=terms)
    later = rollback((*old, decided), at=AT, reason="By hand.")
    require_terms(later, terms)
    with pytest.raises(InputError, match=rf"label is 'x', expected 'paid' as in the retraining of {WEEKS[1]}"):
        require_terms(later, terms | {"label": "x"})
