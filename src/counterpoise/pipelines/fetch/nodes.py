"""Download raw data whose terms allow it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def fetcher(dataset: str) -> Callable[[Path, dict[str, Any]], dict[str, Any]]:
    """Return the node function that fetches one data set."""

    def fetch_raw(raw: Path, options: dict[str, Any]) -> dict[str, Any]:
        from counterpoise.data.fetch import fetch  # imported here: no other pipeline downloads anything

        fetch(dataset, raw, **options.get(dataset, {}))
        return {"folder": str(raw), "entries": sorted(path.name for path in raw.iterdir())}

    return fetch_raw
