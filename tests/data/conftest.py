"""Real data, where a machine has them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from counterpoise.data.faces import MARKER


@pytest.fixture(scope="session")
def raw() -> Callable[[str], Path]:
    """Find the folder of a real data set under COUNTERPOISE_RAW or data/01_raw, or skip the test."""

    def find(name: str) -> Path:
        root = Path(os.environ.get("COUNTERPOISE_RAW") or Path(__file__).parents[2] / "data" / "01_raw")
        folder = root / name
        if not folder.is_dir() or not any(folder.glob("*.txt")) or (folder / MARKER).exists():
            pytest.skip(f"no real {name} data in {root} (COUNTERPOISE_RAW names another place)")
        return folder

    return find
