"""glibc is asked to keep freed memory, and to give it back; where there is none, nothing is done."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from counterpoise.nn.fast import memory


@pytest.fixture(autouse=True)
def asked_anew() -> Any:
    memory.keep_freed_memory.cache_clear()
    yield
    memory.keep_freed_memory.cache_clear()


def library(refused: set[int]) -> tuple[SimpleNamespace, list[tuple[int, int]]]:
    """Return a C library that refuses some sizes, and what it is asked."""
    asked: list[tuple[int, int]] = []

    def mallopt(name: int, size: int) -> int:
        asked.append((name, size))
        return int(size not in refused or name != memory.M_MMAP_THRESHOLD)

    return SimpleNamespace(mallopt=mallopt, malloc_trim=lambda size: asked.append(("trim", size))), asked


def test_the_largest_size_that_is_granted_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for refused, granted in ((set(), memory.LARGEST[:1]), ({memory.LARGEST[0]}, memory.LARGEST)):
        libc, asked = library(refused)
        monkeypatch.setattr(memory, "_glibc", lambda libc=libc: libc)
        memory.keep_freed_memory.cache_clear()
        assert memory.keep_freed_memory()
        assert asked == [*((memory.M_MMAP_THRESHOLD, size) for size in granted), (memory.M_TRIM_THRESHOLD, memory.KEPT)]
        assert memory.keep_freed_memory()
        assert len(asked) == len(granted) + 1, "once in a process"


def test_a_library_that_grants_no_size_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    libc, asked = library({*memory.LARGEST})
    monkeypatch.setattr(memory, "_glibc", lambda: libc)
    assert not memory.keep_freed_memory()
    assert (memory.M_TRIM_THRESHOLD, memory.KEPT) not in asked


def test_another_c_library_is_asked_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_glibc", lambda: None)
    assert not memory.keep_freed_memory()
    memory.give_memory_back()


def test_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    libc, asked = library(set())
    monkeypatch.setattr(memory, "_glibc", lambda: libc)
    memory.give_memory_back()
    assert asked == [("trim", 0)]
