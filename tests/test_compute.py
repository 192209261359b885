"""`replicate`: the same results, in order, wherever the tasks run."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from counterpoise import compute
from counterpoise.compute import as_completed, replicate
from counterpoise.errors import InputError
from counterpoise.hooks.session import Memory
from counterpoise.nn.fast import memory

LOCAL = ("serial", "threads", "processes")


@pytest.mark.parametrize("backend", LOCAL)
def test_results_are_in_order_and_shared_values_arrive(backend: str) -> None:
    table = torch.arange(5.0)
    results = replicate(lambda row, values, scale: scale * values[row], range(5), shared=(table, 2.0), backend=backend)
    assert results == [0.0, 2.0, 4.0, 6.0, 8.0]


def test_results_come_as_they_are_done() -> None:
    def sleep_then_name(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    found = list(as_completed(sleep_then_name, [0.3, 0.0], backend="threads", workers=2))
    assert found == [(1, 0.0), (0, 0.3)]


@pytest.mark.parametrize("backend", LOCAL)
def test_each_task_that_is_done_is_counted(backend: str) -> None:
    counted: list[int] = []
    assert replicate(lambda item: item, [3, 1, 2], backend=backend, on_done=counted.append) == [3, 1, 2]
    assert counted == [1, 2, 3]


@pytest.mark.parametrize("backend", LOCAL)
def test_tasks_run_on_the_threads_asked_for_and_leave_the_caller_its_own(backend: str) -> None:
    torch.set_num_threads(2)
    try:
        seen = replicate(lambda _: torch.get_num_threads(), range(2), backend=backend)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert seen == [1, 1]


def test_memory_is_given_back_after_each_task_and_node(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(memory, "_glibc", lambda: SimpleNamespace(malloc_trim=asked.append))
    replicate(abs, [-1, 2], backend="serial")
    Memory().after_node_run()
    assert asked == [0, 0, 0]
    monkeypatch.setattr(memory, "_glibc", lambda: None)  # another C library
    assert replicate(abs, [-1], backend="serial") == [1]


def test_a_random_stream_is_the_same_on_all_backends() -> None:
    def draw(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(64, 64, generator=generator) @ torch.randn(64, 64, generator=generator)

    first, *others = [torch.stack(replicate(draw, range(3), backend=backend)) for backend in LOCAL]
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("backend", LOCAL)
def test_an_error_in_a_task_is_the_callers(backend: str) -> None:
    def fail(item: int) -> int:
        raise InputError(f"item {item} cannot be used")

    with pytest.raises(InputError, match="item 1 cannot be used"):
        replicate(fail, [1], backend=backend)


def test_no_items_give_no_results() -> None:
    assert replicate(abs, [], backend="serial") == []


def test_unknown_backend_is_named() -> None:
    with pytest.raises(InputError, match=r"compute.backend: found 'proceses'.*did you mean 'processes'"):
        replicate(abs, [1], backend="proceses")


def test_a_scheduler_that_is_not_there_is_noticed_at_once() -> None:
    pytest.importorskip("distributed", reason="needs the extra 'dask'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    started = time.perf_counter()
    with pytest.raises(InputError, match=f"no Dask scheduler answers at {address!r}"):
        replicate(abs, [1], backend="dask", address=address)
    assert time.perf_counter() - started < compute.CONNECT_SECONDS
    with pytest.raises(InputError, match="is not set"):
        replicate(abs, [1], backend="dask")


def test_a_cluster_of_one_core_computes_and_not_this_process(cluster: Any) -> None:
    (seen,) = set(replicate(lambda _: os.getpid(), range(2), backend="dask", address=cluster.address))
    assert seen == cluster.workers[0].pid


def test_what_tasks_share_is_sent_again_if_it_died_with_its_only_holder(tmp_path: Path, cluster: Any) -> None:
    go_on = tmp_path / "go on"

    def first_at_once(item: int, table: torch.Tensor) -> float:
        while item and not go_on.exists():
            time.sleep(0.01)
        return float(table[item])

    results = {}
    for position, value in as_completed(
        first_at_once, range(6), shared=(torch.arange(6.0),), backend="dask", address=cluster.address
    ):
        if not results:
            cluster.kill(0)
            cluster.add_worker()
            cluster.wait_for_workers(1)
            go_on.touch()
        results[position] = value
    assert results == {item: float(item) for item in range(6)}


def test_the_extra_is_named_where_dask_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"counterpoise\[dask\]"):
        replicate(abs, [1], backend="dask", address="tcp://127.0.0.1:8786")


def _end_yourself(item: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_a_process_that_the_system_ends_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"compute.workers: a process was ended from outside, .* try fewer"):
        replicate(_end_yourself, range(2), backend="processes", workers=2)
    assert replicate(abs, [-1, 2], backend="processes", workers=2) == [1, 2], "the next call has new ones"


def test_what_a_task_writes_into_a_shared_tensor_stays_in_its_process() -> None:
    table = torch.arange(6.0)
    zeros = replicate(lambda _, values: float(values.zero_().sum()), range(2), shared=(table,), backend="processes")
    assert zeros == [0.0, 0.0]
    assert table.equal(torch.arange(6.0))
    assert replicate(lambda i, values: float(values[i]), [4], shared=(table,), backend="processes") == [4.0]
