"""A rollback is a record first, then an alias."""

from __future__ import annotations

from typing import Any

import pytest

from counterpoise.errors import InputError
from counterpoise.pipelines.rollback.nodes import point, put_back
from counterpoise.retraining.history import Record, champion, start

AT = "2026-03-02T06:00:00+00:00"


class Registry:
    """What it was told."""

    def __init__(self) -> None:
        self.pointed: list[Any] = []

    def fetch(self, model: str, folder: Any) -> None: ...

    def record(self, entry: Any) -> dict[str, Any]:
        return {}

    def point(self, champion: str, challenger: str | None) -> dict[str, Any]:
        self.pointed.append((champion, challenger))
        return {"champion": 1}


def test_the_previous_champion_is_put_back_and_pointed_to() -> None:
    history = (*start("a", at=AT), Record(1, "decision", AT, "b", "Why.", "2026-03-09", "b", "promote", 0.01))
    after, registry = put_back(history), Registry()
    assert champion(after) == "a"
    assert "in the place of b" in after[-1].reason
    assert point(after, registry) == {"registered": None, "aliases": {"champion": 1}}
    assert registry.pointed == [("a", None)]
    assert point(after, None)["aliases"] == {}
    with pytest.raises(InputError, match="'a' is the first champion"):
        put_back(after)
