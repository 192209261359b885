"""What the library class says of each group, and which groups it compares."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from counterpoise import estimators
from counterpoise.errors import InputError
from counterpoise.estimators import FairFrontier
from counterpoise.methods.frontier import Frontier
from counterpoise.methods.rules.bias_scores import BiasScores

N = 900

Table = tuple[pd.DataFrame, np.ndarray, pd.Series]


@pytest.fixture(scope="module")
def table() -> Table:
    """Return a column, classes and groups, which differ in it."""
    rng = np.random.default_rng(0)
    s = pd.Series(np.where(rng.random(N) < 0.4, "women", "men"))
    income = rng.normal(size=N) + 0.9 * (s == "men")
    return pd.DataFrame({"income": income}), np.where(income + rng.normal(size=N) > 0.6, "yes", "no"), s


def test_a_small_group_is_reported_and_not_compared(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimators, "STRENGTHS", (0.0, 0.3, 1.0))
    monkeypatch.setattr(estimators, "Frontier", partial(Frontier, bias_scores=BiasScores(levels=(0.05, 0.1), draws=4)))
    frame, y, s = table
    few = s.mask(np.arange(N) % 45 == 0, "others")  # 20 of 900 rows
    model = FairFrontier(0.1, "delta_dp", "linear", folds=2).fit(frame, y, sensitive_features=few)
    rates = model.rates_.set_index("group")
    assert rates["compared"].to_dict() == {"men": True, "others": False, "women": True}
    assert rates.loc["others", "rows"] == 20
    gap = abs(rates.loc["men", "selected"] - rates.loc["women", "selected"])
    assert gap == pytest.approx(model.choice_["delta_dp"], abs=0.05)  # the latter without what chance adds
    assert ">others (not compared)<" in model.report(tmp_path / "report.html").read_text()


def test_two_groups_have_to_be_large_enough(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimators.frontier, "train_bases", None)
    frame, y, s = table
    few = s.mask(s == "women", "men").mask(np.arange(N) % 45 == 0, "others")
    message = (
        r"sensitive_features: groups with fewer than 30 rows to be judged by are not compared; these are 'others' "
        r"\(20\), expected two groups to compare: join groups, or compare all with min_group_rows=0"
    )
    with pytest.raises(InputError, match=message):
        FairFrontier().fit(frame, y, sensitive_features=few)
    with pytest.raises(InputError, match=r"'men' \(\d+\), 'others' \(\d\), expected two"):  # a fifth judges
        FairFrontier(folds=0, min_group_rows=300).fit(frame, y, sensitive_features=few)
