"""A small table, its partitions, and settings to retrain on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from counterpoise.config.parameters import Dataset
from counterpoise.config.retraining import Retraining

WEEKS = ("2026-03-02", "2026-03-09", "2026-03-16")


def loans(number: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": generator.integers(18, 90, number),
            "income": generator.normal(size=number).round(6),
            "home": generator.choice(["own", "rent"], number),
            "sex": generator.choice(["f", "m"], number),
            "paid": generator.choice(["no", "yes"], number),
        }
    )


@pytest.fixture
def dataset() -> Dataset:
    return Dataset.model_validate(
        {
            "title": "loans",
            "reader": "table",
            "options": {"files": "loans.csv"},
            "label": "paid",
            "positive": "yes",
            "classes": ["no", "yes"],
            "sensitive": "sex",
            "groups": ["f", "m"],
            "group_names": ["women", "men"],
            "origin": "a test",
            "split": {"fractions": {"pretrain": 0.5, "task": 0.5}, "task": {"train": 1, "validation": 1, "test": 1}},
        }
    )


@pytest.fixture
def retraining() -> Retraining:
    return Retraining.model_validate(
        {
            "experiment": "win_loans",
            "model_name": "loans",
            "min_rows": 50,
            "held_out": 0.3,
            "window": 2,
            "gate": {"error_margin": 0.2, "group_margin": 0.3, "tolerances": {"delta_dp": 0.9}, "patience": 1},
        }
    )


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    loans(400, 0).to_csv(tmp_path / "loans.csv", index=False)
    return tmp_path


@pytest.fixture
def inbox(tmp_path: Path) -> dict[str, Path]:
    """Three partitions by name."""
    paths: dict[str, Any] = {}
    for number, week in enumerate(WEEKS, start=1):
        path = tmp_path / f"loans-{week}.csv"
        loans(120, number).to_csv(path, index=False)
        paths[path.stem] = path
    return paths
