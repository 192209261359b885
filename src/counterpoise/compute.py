"""One function over many items: in this process, on threads, in processes of this machine, or on a Dask cluster.

    losses = replicate(train_network, seeds, shared=(table,), backend="dask", address="tcp://10.0.0.5:8786")

Each task computes on the same number of threads wherever it runs, so that its result is the same to the bit wherever
the processors are the same. On several cores, whole tasks side by side on one thread each are also faster than one task
on all: no core waits for another inside a layer. What tasks share goes to the processes through a file, so that this is
no module of `nn`, which opens none.
"""

from __future__ import annotations

import logging
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import cloudpickle  # type: ignore[import-untyped]
import torch
from joblib import Parallel, delayed, parallel_config

from counterpoise.errors import InputError, suggest
from counterpoise.nn.fast.memory import give_memory_back

Item = TypeVar("Item")
Result = TypeVar("Result")

BACKENDS = ("processes", "threads", "serial", "dask")
_JOBLIB = {"processes": "loky", "threads": "threading", "serial": "sequential"}

CONNECT_SECONDS = 5
"""How long a scheduler, and then its first worker, may take to answer."""

FRUITLESS_ATTEMPTS = 3
"""How often in a row tasks that Dask gave up are handed in again without any being done."""

_log = logging.getLogger(__name__)


def replicate(
    function: Callable[..., Result],
    items: Iterable[Item],
    *,
    shared: Sequence[Any] = (),
    backend: str = "processes",
    address: str | None = None,
    workers: int | None = None,
    threads: int = 1,
    on_done: Callable[[int], object] | None = None,
) -> list[Result]:
    """Return `[function(item, *shared) for item in items]`, computed side by side.

    Args:
        function: what to compute; an error it raises ends the call and is raised here.
        items: small things, one per task: a seed, a range of rows.
        shared: what every task needs, however large: sent once to each worker, not with each task.
        backend: `processes` (of this machine), `threads`, `serial`, or `dask`.
        address: the Dask scheduler's, such as `tcp://host:8786`.
        workers: how many tasks at a time; by default the number of cores. A Dask cluster uses all it has.
        threads: how many threads torch may use within a task.
        on_done: called after each task with the number of those done.

    A Dask worker that dies takes no result with it: its tasks run again elsewhere, and what tasks share is sent again
    where it was lost.

    Raises:
        InputError: an unknown backend, or a scheduler that is not given, does not answer, or has no workers.
    """
    results: dict[int, Result] = {}
    for position, result in as_completed(
        function, items, shared=shared, backend=backend, address=address, workers=workers, threads=threads
    ):
        results[position] = result
        if on_done is not None:
            on_done(len(results))
    return [results[position] for position in range(len(results))]


def as_completed(
    function: Callable[..., Result],
    items: Iterable[Item],
    *,
    shared: Sequence[Any] = (),
    backend: str = "processes",
    address: str | None = None,
    workers: int | None = None,
    threads: int = 1,
) -> Iterator[tuple[int, Result]]:
    """Yield `(position, function(items[position], *shared))` as each is done; see `replicate`."""
    if backend not in BACKENDS:
        raise InputError(f"compute.backend: found {backend!r}, expected one of {BACKENDS}{suggest(backend, BACKENDS)}")
    tasks = {position: _Task(function, position, item, threads) for position, item in enumerate(items)}
    fruitless = 0
    while tasks:
        try:
            for position, result in _run(list(tasks.values()), shared, backend, address, workers):
                del tasks[position]
                fruitless = 0
                yield position, result
        except CancelledError:
            # What tasks share is no task itself: Dask cannot make it again when its last copy dies with a worker, and
            # gives up what depends on it.
            fruitless += 1
            if fruitless > FRUITLESS_ATTEMPTS:
                raise
            _log.warning("a Dask worker died with what %d tasks share: it is sent again", len(tasks))


def _run(
    tasks: Sequence[Callable[..., tuple[int, Result]]],
    shared: Sequence[Any],
    backend: str,
    address: str | None,
    workers: int | None,
) -> Iterator[tuple[int, Result]]:
    """Yield what the tasks return, each as it is done."""
    with ExitStack() as stack:
        stack.enter_context(_restored_torch_threads())
        if backend == "dask":
            client = stack.enter_context(_client(address))
            config = stack.enter_context(parallel_config("dask", client=client, scatter=list(shared) or None))
            cores = config["backend"].effective_n_jobs
            # joblib would compute here what it has a single core for.
            config["backend"].effective_n_jobs = lambda wanted: max(2, cores(wanted))
        else:
            stack.enter_context(parallel_config(_JOBLIB[backend], n_jobs=workers or -1))
        if backend == "processes" and shared:
            shared = stack.enter_context(_spilled(shared))
        # One task at a time: they are long, and a batch of them would be lost with its worker.
        run = Parallel(return_as="generator_unordered", batch_size=1)
        try:
            yield from run(delayed(task)(*shared) for task in tasks)
        except BrokenProcessPool:
            raise InputError(
                "compute.workers: a process was ended from outside, as the system does when memory runs out, expected "
                "memory for all that run side by side; try fewer (1), or fewer rows (split.max_rows)"
            ) from None


@dataclass(frozen=True, eq=False)
class _Task(Generic[Item, Result]):
    """A function and its item, which travel together, and again if a worker dies.

    (As an argument of its own, joblib would put a large item on a single Dask worker, to be lost with it.)
    """

    function: Callable[..., Result]
    position: int
    item: Item
    threads: int

    def __call__(self, *shared: Any) -> tuple[int, Result]:
        torch.set_num_threads(self.threads)
        result = self.function(self.item, *(_read(one.path) if isinstance(one, _Spilled) else one for one in shared))
        give_memory_back()
        return self.position, result


@dataclass(frozen=True)
class _Spilled:
    """A shared value that each process of this machine reads from a file, once."""

    path: str


@contextmanager
def _spilled(values: Sequence[Any]) -> Iterator[list[_Spilled]]:
    with tempfile.TemporaryDirectory(prefix="counterpoise-") as folder:
        paths = [Path(folder) / f"{position}.pt" for position in range(len(values))]
        for path, value in zip(paths, values, strict=True):
            torch.save(value, path, pickle_module=cloudpickle)
        yield [_Spilled(str(path)) for path in paths]


@lru_cache(maxsize=8)
def _read(path: str) -> Any:
    """Return a shared value, whose tensors stay in the file until they are used: the processes share its pages."""
    return torch.load(path, mmap=True, weights_only=False)  # written by the parent process, moments ago


@contextmanager
def _restored_torch_threads() -> Iterator[None]:
    """Undo what tasks that run in this process set."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _client(address: str | None) -> Iterator[Any]:
    """Connect to a Dask scheduler that has workers."""
    if address is None:
        raise InputError("compute.address: is not set, expected the Dask scheduler's, such as 'tcp://host:8786'")
    try:
        from distributed import Client
        from distributed.comm.addressing import get_address_host_port
    except ImportError:
        raise InputError(
            "compute.backend: 'dask' needs the package 'distributed', which is not installed, expected it from "
            "`pip install counterpoise[dask]`"
        ) from None
    try:
        # Dask itself retries until its time is up; a refused connection is news at once.
        socket.create_connection(get_address_host_port(address), timeout=CONNECT_SECONDS).close()
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"compute.address: no Dask scheduler answers at {address!r} within {CONNECT_SECONDS} s "
            f"({str(error) or type(error).__name__}), expected a running one, such as 'tcp://host:8786'"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            raise InputError(
                f"compute.address: the Dask scheduler at {address!r} has no workers, expected at least one"
            ) from None
        yield client
