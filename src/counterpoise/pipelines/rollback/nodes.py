"""The previous champion, put back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from counterpoise.pipelines.retrain.evaluation import Registry
from counterpoise.pipelines.retrain.promotion import UNREGISTERED
from counterpoise.retraining.history import Record, champion, rollback


def put_back(history: Sequence[Record]) -> tuple[Record, ...]:
    """Return the history after the previous champion was put back.

    Raises:
        InputError: the first champion is the present one, or there is none.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    present = champion(history)
    return rollback(history, at=now, reason=f"Rolled back by hand, in the place of {present}.")


def point(history: Sequence[Record], registry: Registry | None) -> dict[str, Any]:
    """Point the aliases where the history says; return them."""
    if registry is None:
        return UNREGISTERED
    return {"registered": None, "aliases": registry.point(champion(history), None)}
