"""What tests of several rooms describe alike."""

from __future__ import annotations

from typing import Any

from counterpoise.config.parameters import Dataset


def loans(**changes: Any) -> Dataset:
    """Return the block of a table of loans: women and men, repaid or not."""
    block = {
        "title": "loans",
        "reader": "table",
        "options": {"files": "t.csv"},
        "origin": "made up",
        "label": "repaid",
        "positive": "yes",
        "classes": ["no", "yes"],
        "sensitive": "sex",
        "groups": ["f", "m"],
        "group_names": ["women", "men"],
        "split": {"fractions": {"pretrain": 0.5, "task": 0.5}, "task": {"train": 2, "validation": 1, "test": 1}},
    }
    return Dataset.model_validate(block | changes)
