"""Real data, where a machine has them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from counterpoise.data.faces import MARKER


@pytest.fixture(scope="session")
def raw() -> Callable[..., Path]:
    """Find the folder of a real data set under COUNTERPOISE_RAW or data/01_raw, or skip the test.

    It is told from an empty one by what it `holds`, a pattern.
    """

    def find(name: str, holds: str = "*.txt") -> Path:
        root = Path(os.environ.get("COUNTERPOISE_RAW") or Path(__file__).parents[2] / "data" / "01_raw")
        folder = root / name
        if not folder.is_dir() or not any(folder.glob(holds)) or (folder / MARKER).exists():
            pytest.skip(f"no real {name} data in {root} (COUNTERPOISE_RAW names another place)")
        return folder

    return find
