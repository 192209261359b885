"""Would the tests notice a flipped sign? One operator, comparison, number or name is changed at a time, and tests run.

    python benchmarks/mutants.py src/counterpoise/fairness/metrics.py --sample 40
    python benchmarks/mutants.py src/counterpoise/retraining/*.py --sample 20 --to /tmp/mutants.jsonl

The tests of a module are the file of tests that mirrors it and all others of its room, or `--tests`. They are imported
and run once, to see which of them execute which lines. For each change these run, the mirroring file's and the shortest
first, in a fork where the code of the changed function is replaced: a change costs what its tests cost. What an import
computes (constants, classes, defaults) is changed in a copy of `src`, which is imported again with its tests.
A change that no test notices is printed with its line: either a test is missing, or the change means nothing (a
tolerance of rounding, a longer list of steps). What a test starts as a command of its own runs the unchanged module.
On two busy cores a change of `methods/rules/joint.py` took 1.4 s, after 40 s in which its tests were imported and run;
importing each change again took 21 s.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import functools
import gc
import importlib
import inspect
import json
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

from mutations import Mutant, Places, mutants

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "src" / "counterpoise"
TESTS = REPOSITORY / "tests"
LIBRARIES = "numpy", "pandas", "pytest", "scipy.stats", "sklearn.linear_model", "torch"

NOTICED, SURVIVED, UNREACHED, ENDLESS = "noticed", "survived", "not executed", "did not end"
STATUS = {0: SURVIVED, None: ENDLESS}
PATIENCE, GRACE = 4, 10.0
"""A run is stopped after so many times the time of the unchanged module's tests, and so many seconds more."""
AT_IMPORT = -1
"""What stands for a test where an import executes a line."""
NOT_REPLACED = 64
"""The exit status of a fork that finds no function to change."""


class Module:
    """A module, the changes of it that are tried, and its tests."""

    def __init__(self, path: Path, options: argparse.Namespace) -> None:
        """Read it and draw changes."""
        self.path, self.text = path, path.read_text()
        within = path.relative_to(PACKAGE)
        self.mirrored = TESTS / within.parent / f"test_{within.stem.lstrip('_')}.py"
        room = options.tests or ([TESTS / within.parent] if within.parent.parts else [])
        self.tests = tuple(sorted({path.resolve() for path in [self.mirrored, *room] if path.exists()}))
        self.mutants = [mutant for mutant in mutants(self.text) if not options.lines or mutant.line in options.lines]
        if options.sample is not None and options.sample < len(self.mutants):
            drawn = random.Random(options.seed).sample(self.mutants, options.sample)
            self.mutants = sorted(drawn, key=lambda mutant: mutant.begin)
        places, self._functions, self._statements = Places(self.text), list[range](), list[range]()
        for node in ast.walk(ast.parse(self.text)):
            if isinstance(node, ast.FunctionDef):
                self._functions.append(range(places.begin(node.body[0]), places.end(node)))
            if isinstance(node, ast.stmt):
                body: list[ast.stmt] = getattr(node, "body", [])
                last = max(body[0].lineno - 1, node.lineno) if body else node.end_lineno or node.lineno
                self._statements.append(range(node.lineno, last + 1))

    def in_function(self, mutant: Mutant) -> bool:
        """Whether a change is one of a function's body."""
        return any(mutant.begin in function for function in self._functions)

    def executing(self, line: int, executed: Mapping[int, set[int]]) -> set[int]:
        """Return the tests that execute a line, of an expression of many lines any; which does each line is given."""
        statement = max((lines for lines in self._statements if line in lines), key=lambda lines: lines.start)
        return executed.get(line) or {number for other in statement for number in executed.get(other, ())}


@dataclass(frozen=True)
class Answer:
    """How the tests of a change ended, or, without a status, the tests for which it is to be imported again."""

    status: str
    seconds: float = 0.0
    tests: Sequence[str] = ()
    limit: float = 0.0


class Room:
    """A plugin of pytest: tests of the same modules run once unchanged, and then for each change in a fork."""

    def __init__(self, modules: Sequence[Module], budget: float, answers: int) -> None:
        """Take modules, the seconds that the tests of a change may take, and where to write pickled answers."""
        self._modules, self._budget, self._answers = modules, budget, os.fdopen(answers, "wb")
        self._files = {str(module.path) for module in modules}
        self._executed: dict[str, dict[int, set[int]]] = {file: defaultdict(set) for file in self._files}
        self._seconds: list[float] = []
        self._number, self._failed, self._changed = AT_IMPORT, list[str](), False
        sys.settrace(self._called)

    def _called(self, frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        return self._traced if code.co_filename in self._files and code.co_flags & inspect.CO_OPTIMIZED else None

    def _traced(self, frame: FrameType, event: str, argument: Any) -> Any:
        self._executed[frame.f_code.co_filename][frame.f_lineno].add(self._number)
        return self._traced

    def pytest_runtest_logreport(self, report: Any) -> None:
        """End a fork at the first test that notices its change."""
        if report.failed and self._changed:
            os._exit(1)
        if report.failed:
            self._failed.append(report.nodeid)

    def pytest_runtestloop(self, session: Any) -> bool:
        """Answer for each change how it ends, or with which tests to import it again."""
        with tempfile.NamedTemporaryFile() as file:
            status = ended(fork(functools.partial(self._measure, session.items, Path(file.name))))
            executed, self._seconds, failed, imports = pickle.loads(Path(file.name).read_bytes())
        if status or failed:
            raise RuntimeError(f"the tests of the unchanged modules ended with {status}; failed: {', '.join(failed)}")
        for name in imports:  # now, not in each fork
            with contextlib.suppress(Exception), warnings.catch_warnings(action="ignore"):
                importlib.import_module(name)
        sys.settrace(None)
        for file, lines in executed.items():
            for line, numbers in lines.items():
                self._executed[file][line] |= numbers
        gc.unfreeze()  # tests/conftest.py has frozen what it imported, which the search would not see
        functions = [o for o in gc.get_objects() if type(o) is FunctionType and o.__code__.co_filename in self._files]
        gc.freeze()
        for module in self._modules:
            for mutant in module.mutants:
                pickle.dump(self._answer(module, mutant, session.items, functions), self._answers)
                self._answers.flush()
        return True

    def _answer(
        self, module: Module, mutant: Mutant, items: Sequence[Any], functions: Sequence[FunctionType]
    ) -> Answer:
        executed = self._executed[str(module.path)]
        numbers = module.executing(mutant.line, executed)
        began = time.monotonic()
        if module.in_function(mutant) and AT_IMPORT not in numbers:
            chosen, limit = self._chosen(numbers, module, items)
            if not chosen:
                return Answer(UNREACHED)
            status = ended(fork(functools.partial(self._notice, module, mutant, chosen, functions)), limit)
            if status != NOT_REPLACED:
                return Answer(STATUS.get(status, NOTICED), time.monotonic() - began)
        numbers = set().union(*executed.values()) - {AT_IMPORT} or set(range(len(items)))
        chosen, limit = self._chosen(numbers, module, items)
        return Answer("", time.monotonic() - began, [item.nodeid for item in chosen], limit)

    def _measure(self, items: Sequence[Any], file: Path) -> int:
        """Run all tests, each as if it were the only one, and write what they execute and how long they take."""
        before = set(sys.modules)
        caches = [o for o in gc.get_objects() if type(o) is functools._lru_cache_wrapper and self._of_room(o)]
        for self._number, item in enumerate(items):
            for cache in caches:
                cache.cache_clear()
            began = time.monotonic()
            sys.settrace(self._called)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            sys.settrace(None)
            self._seconds.append(time.monotonic() - began)
        imports = [name for name in list(sys.modules) if name not in before]
        file.write_bytes(pickle.dumps((self._executed, self._seconds, self._failed, imports)))
        return 0

    def _of_room(self, cache: Any) -> bool:
        """Whether a cache is of the package or of a room of tests; what all tests share is not what they test."""
        file = Path(getattr(inspect.unwrap(cache), "__code__", cache).__code__.co_filename)
        return PACKAGE in file.parents or (TESTS in file.parents and file.parent not in (TESTS, TESTS / "support"))

    def _chosen(self, numbers: set[int], module: Module, items: Sequence[Any]) -> tuple[list[Any], float]:
        """Return tests, those that mirror the module and the shortest first, and after how many seconds to stop."""

        def order(number: int) -> tuple[bool, float]:
            return items[number].path != module.mirrored, self._seconds[number]

        chosen, seconds = [], 0.0
        for number in sorted(numbers, key=order):
            if not chosen or seconds + self._seconds[number] <= self._budget:
                chosen.append(items[number])
                seconds += self._seconds[number]
        return chosen, PATIENCE * seconds + GRACE

    def _notice(self, module: Module, mutant: Mutant, items: Sequence[Any], functions: Sequence[FunctionType]) -> int:
        """Change a function and run tests until one fails."""
        self._changed = True
        if not replace(module, mutant, functions):
            return NOT_REPLACED
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        return 0


class Examples:
    """A plugin of pytest: examples that show a change need not be small, and are not kept for the unchanged module."""

    def pytest_collection(self) -> None:
        """Set this before tests are imported."""
        from hypothesis import Phase, settings

        settings.register_profile("mutants", database=None, phases=[Phase.explicit, Phase.generate])
        settings.load_profile("mutants")


def replace(module: Module, mutant: Mutant, functions: Sequence[FunctionType]) -> int:
    """Replace the code of the functions that a change concerns; return their number."""
    loader = next(m for m in list(sys.modules.values()) if getattr(m, "__file__", "") == str(module.path)).__loader__
    texts = module.text, mutant.applied(module.text)
    before, after = (list(_codes(loader.source_to_code(text.encode(), str(module.path)))) for text in texts)
    replaced = 0
    for old, new in zip(before, after, strict=False):
        for function in functions if old != new else []:
            if function.__code__ == old:
                function.__code__ = new
                replaced += 1
    return replaced


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def fork(work: Callable[[], int], log: Path = Path(os.devnull)) -> int:
    """Begin work in a process of its own, which ends with what it returns; what it says goes into a file."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        with log.open("w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        status = work()
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def ended(child: int, limit: float = float("inf")) -> int | None:
    """Return the exit status of a process; None if it is stopped after so many seconds."""
    began = time.monotonic()
    while time.monotonic() - began < limit:
        process, status = os.waitpid(child, os.WNOHANG)
        if process:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def run(tests: Sequence[object], source: Path, plugin: Callable[[], object] | None = None) -> int:
    """Run tests with the package of a folder in this process, which has not imported it."""
    os.environ["PYTHONPATH"] = str(source)
    sys.path.insert(0, str(source))
    import pytest

    plugins = [Examples(), plugin()] if plugin else [Examples()]
    return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *map(str, tests)], plugins=plugins))


def answers(modules: Sequence[Module], budget: float, log: Path) -> Iterator[tuple[Module, Mutant, Answer]]:
    """Yield each change of modules with the same tests, and how these end."""
    reading, writing = os.pipe()
    plugin = functools.partial(Room, modules, budget, writing)
    tests = dict.fromkeys(path for module in modules for path in module.tests)
    child = fork(functools.partial(run, tests, PACKAGE.parent, plugin), log)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        for module in modules:
            for mutant in module.mutants:
                try:
                    yield module, mutant, pickle.load(file)
                except EOFError:
                    sys.exit(log.read_text())
    ended(child)


def main() -> None:
    """Read arguments, change modules and say what no test noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="+", type=Path)
    parser.add_argument("--tests", nargs="+", type=Path, help="tests instead of those of the module's room")
    parser.add_argument("--sample", type=int, help="changes of each module, drawn at random; all if left out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lines", nargs="+", type=int, help="lines to change, all if left out")
    parser.add_argument("--budget", type=float, default=60, help="seconds of tests that a change is worth")
    parser.add_argument("--to", type=Path, help="a file for one line of JSON a change")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for library in LIBRARIES:
        __import__(library)
    modules = [Module(path.resolve(), options) for path in options.modules]
    os.chdir(REPOSITORY)
    rooms: dict[Path, list[Module]] = defaultdict(list)
    for module in modules:
        rooms[module.path.parent].append(module)
    counts: dict[Path, Counter[str]] = defaultdict(Counter)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
        source = Path(folder) / "src"
        shutil.copytree(PACKAGE, source / PACKAGE.name)
        for room in rooms.values():
            later = []
            for module, mutant, answer in answers(room, options.budget, Path(folder) / "log"):
                if answer.status:
                    report(module, mutant, answer, options.to)
                    counts[module.path][answer.status] += 1
                else:
                    later.append((module, mutant, answer))
            for module, mutant, answer in later:
                answer = imported_again(module, mutant, answer, source)
                report(module, mutant, answer, options.to)
                counts[module.path][answer.status] += 1
    for path, numbers in counts.items():
        described = ", ".join(f"{number} {status}" for status, number in sorted(numbers.items()))
        print(f"{path.relative_to(REPOSITORY)}: {numbers.total()} changes: {described}")


def imported_again(module: Module, mutant: Mutant, asked: Answer, source: Path) -> Answer:
    """Change a module in a copy of the package and run the tests that were named."""
    copied, began = source / module.path.relative_to(PACKAGE.parent), time.monotonic()
    for bytecode in copied.parent.glob(f"__pycache__/{copied.stem}.*"):
        bytecode.unlink()  # goes by whole seconds
    copied.write_text(mutant.applied(module.text))
    status = ended(fork(functools.partial(run, asked.tests, source)), asked.limit)
    copied.write_text(module.text)
    return Answer(STATUS.get(status, NOTICED), time.monotonic() - began)


def report(module: Module, mutant: Mutant, answer: Answer, to: Path | None) -> None:
    """Print what no test noticed, and write a line of JSON."""
    place = f"{module.path.relative_to(REPOSITORY)}:{mutant.line}"
    if answer.status in {SURVIVED, UNREACHED}:
        line = module.text.splitlines()[mutant.line - 1].strip()
        print(f"{place}: {answer.status}: {mutant.before!r} -> {mutant.after!r}: {line}", flush=True)
    if to:
        with to.open("a") as file:
            record = {"place": place, "status": answer.status, "seconds": round(answer.seconds, 1), **asdict(mutant)}
            print(json.dumps(record), file=file)


if __name__ == "__main__":
    main()
