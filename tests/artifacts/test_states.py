"""States of trainings under way: what was saved comes back, or nothing does."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from counterpoise.artifacts.states import TrainingStates

STATE = {"epoch": 3, "highest": torch.tensor([0.5, 0.25]), "trainee": {"total": torch.arange(2000.0)}}


def saved(state: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def flipped(content: bytes, place: float) -> bytes:
    """Flip a bit, so far from the beginning."""
    position = int(place * len(content))
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


def test_a_state_comes_back_until_the_folder_is_deleted(tmp_path: Path) -> None:
    states = TrainingStates(tmp_path / "stage")
    assert states.load("base") is None
    states.save("base", STATE)
    states.save("base", STATE | {"epoch": 4})
    loaded = states.load("base")
    assert loaded is not None
    assert loaded["epoch"] == 4
    assert torch.equal(loaded["trainee"]["total"], STATE["trainee"]["total"])  # type: ignore[index]
    assert states.load("other") is None
    states.delete()
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = TrainingStates(tmp_path)
    states.save("base", STATE)

    def broken(state: object, file: Path) -> None:
        file.write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", broken)
        with pytest.raises(OSError, match="disk full"):
            states.save("base", STATE | {"epoch": 4})
    loaded = states.load("base")
    assert loaded is not None
    assert loaded["epoch"] == 3


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "one byte": lambda content: content[:1],
    "only a checksum": lambda content: content[-32:],
    "truncated": lambda content: content[: len(content) // 2],
    "one byte short": lambda content: content[:-1],
    "one byte more": lambda content: content + b"x",
    "zeroed half": lambda content: content[: len(content) // 2] + bytes(len(content) - len(content) // 2),
    "other bytes": lambda content: b"x" * len(content),
    **{f"bit {place}": partial(flipped, place=place) for place in (0.0, 0.3, 0.6, 0.9, 0.9999)},
    "written anew": lambda content: saved(torch.load(io.BytesIO(content[:-32])) | {"highest": torch.zeros(2)}),
    "empty state": lambda _: saved({}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_state_is_discarded(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    states = TrainingStates(tmp_path)
    states.save("base", STATE)
    path = states.path("base")
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert states.load("base") is None
    assert re.search(r"base\.pt: .*; the state is discarded, the training starts again", caplog.text)
