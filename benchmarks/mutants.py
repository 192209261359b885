"""Would the tests notice a flipped sign? One operator, comparison, number or name is changed at a time, and tests run.

    python benchmarks/mutants.py src/counterpoise/fairness/metrics.py --sample 40
    python benchmarks/mutants.py src/counterpoise/retraining/*.py --sample 20 --to /tmp/mutants.jsonl

A module is changed in a copy of `src`. Its tests are the file of tests that mirrors it; what that lets pass is tried
again with all tests of the same room, or with `--tests`. A change that no test notices is printed with its line: either
a test is missing, or the change means nothing (a tolerance of rounding, a longer list of steps).
Each run is a fork of one process that has imported the libraries, so that a change costs what its tests cost.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "src" / "counterpoise"
LIBRARIES = "numpy", "pandas", "pytest", "scipy.stats", "sklearn.linear_model", "torch"

OPERATORS: dict[type[ast.AST], tuple[str, str]] = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.FloorDiv: ("//", "*"),
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.And: ("and", "or"), ast.Or: ("or", "and"),
    ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"),
}  # fmt: skip
OPPOSITE_ORDER = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
NAMES = {"min": "max", "max": "min", "amin": "amax", "amax": "amin", "argmin": "argmax", "argmax": "argmin",
         "any": "all", "all": "any", "sum": "mean", "mean": "sum", "floor": "ceil", "ceil": "floor",
         "log": "exp", "exp": "log", "minimum": "maximum", "maximum": "minimum"}  # fmt: skip
SURVIVED, NOTICED, ENDLESS = "survived", "noticed", "did not end"
PATIENCE, GRACE = 4, 20.0
"""A run is stopped after so many times the time of the unchanged module's tests, and so many seconds more."""


@dataclass(frozen=True)
class Mutant:
    """A change of one place: characters `begin` to `end` of a module become `after`."""

    begin: int
    end: int
    line: int
    before: str
    after: str

    def applied(self, text: str) -> str:
        """Return the module's text with the change."""
        return text[: self.begin] + self.after + text[self.end :]


class Places:
    """Where characters stand that the syntax tree gives as lines and bytes."""

    def __init__(self, text: str) -> None:
        """Take a module's text."""
        self.text = text
        self._lines = text.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def of(self, line: int, column: int) -> int:
        """Return the position of a column, counted in bytes of UTF-8, of a line, counted from 1."""
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())

    def begin(self, node: ast.expr) -> int:
        """Return where an expression begins."""
        return self.of(node.lineno, node.col_offset)

    def end(self, node: ast.expr) -> int:
        """Return where an expression ends."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.of(node.end_lineno, node.end_col_offset)


def mutants(text: str) -> list[Mutant]:
    """Return all changes of a module, without those of hints, sentences of errors and other texts."""
    places = Places(text)
    return [mutant for node in _evaluated(ast.parse(text)) for mutant in _changes(node, places)]


def _evaluated(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes whose values a computation takes: no hints, no errors, no formatted texts, no checks of types."""
    yield node
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns", "decorator_list", "bases"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            type_checking = isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING"
            if isinstance(child, ast.AST) and not isinstance(child, ast.Raise | ast.JoinedStr) and not type_checking:
                yield from _evaluated(child)


def _changes(node: ast.AST, places: Places) -> Iterator[Mutant]:
    match node:
        case ast.BinOp(left=left, op=operator, right=right):
            yield from _between(left, right, operator, places)
        case ast.BoolOp(op=operator, values=[first, second, *_]):
            yield from _between(first, second, operator, places)
        case ast.Compare(left=left, ops=[operator, *_], comparators=[right, *_]):
            yield from _between(left, right, operator, places)
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand):
            begin, end = places.begin(node), places.begin(operand)
            yield _mutant(places, begin, end, "")
        case ast.Constant(value=bool() as value):
            yield _mutant(places, places.begin(node), places.end(node), str(not value))
        case ast.Constant(value=int() as value):
            yield _mutant(places, places.begin(node), places.end(node), str(value + 1))
        case ast.Constant(value=float() as value) if value and abs(value) > 1e-6:  # smaller ones are of rounding
            yield _mutant(places, places.begin(node), places.end(node), repr(value * 1.5))
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in NAMES:
            end = places.end(node.func)
            yield _mutant(places, end - len(name), end, NAMES[name])
        case ast.Call(func=ast.Name(id="abs") | ast.Attribute(value=ast.Name(), attr="abs"), args=[argument]):
            yield _mutant(places, places.begin(node), places.begin(argument), "(")


def _between(left: ast.expr, right: ast.expr, operator: ast.AST, places: Places) -> Iterator[Mutant]:
    """Yield the changes of an operator between two expressions."""
    if type(operator) not in OPERATORS:
        return
    before, after = OPERATORS[type(operator)]
    begin, end = places.end(left), places.begin(right)
    words = r"\s+".join(before.split())
    pattern = rf"\b{words}\b" if before[0].isalpha() else re.escape(before)
    if match := re.search(pattern, places.text[begin:end]):
        for replacement in sorted({after, OPPOSITE_ORDER.get(before, after)}):
            yield _mutant(places, begin + match.start(), begin + match.end(), replacement)


def _mutant(places: Places, begin: int, end: int, after: str) -> Mutant:
    return Mutant(begin, end, places.text.count("\n", 0, begin) + 1, places.text[begin:end], after)


def tested(module: Path) -> list[list[Path]]:
    """Return the tests of a module: those that mirror it, then all of its room."""
    within = module.relative_to(PACKAGE)
    mirrored = REPOSITORY / "tests" / within.parent / f"test_{within.stem.lstrip('_')}.py"
    room = REPOSITORY / "tests" / within.parent
    return [[path] for path in (mirrored, room) if path.exists() and path != REPOSITORY / "tests"]


def run(tests: Sequence[Path], source: Path, limit: float) -> tuple[str, float]:
    """Run tests in a fork until the first that fails; return how it ended, and its seconds."""
    began = time.monotonic()
    child = os.fork()
    if not child:
        os.setsid()
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        os.environ["PYTHONPATH"] = str(source)
        sys.path.insert(0, str(source))
        import pytest

        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *map(str, tests)])))
    while time.monotonic() - began < limit:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return (NOTICED if os.waitstatus_to_exitcode(status) else SURVIVED), time.monotonic() - began
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return ENDLESS, time.monotonic() - began


def main() -> None:
    """Read arguments, change modules and say what no test noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="+", type=Path)
    parser.add_argument("--tests", nargs="+", type=Path, help="tests for what the mirroring file lets pass")
    parser.add_argument("--sample", type=int, help="changes of each module, drawn at random; all if left out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, help="a file for one line of JSON a change")
    options = parser.parse_args()
    for library in LIBRARIES:
        __import__(library)
    os.chdir(REPOSITORY)
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        shutil.copytree(PACKAGE, source / PACKAGE.name)
        for module in map(Path.resolve, options.modules):
            tiers = tested(module)
            if options.tests:
                tiers = [*tiers[:1], [path.resolve() for path in options.tests]]
            for status in _changed(module, source, tiers, options):
                counts[status] = counts.get(status, 0) + 1
    total = sum(counts.values())
    print(f"{total} changes: {', '.join(f'{number} {status}' for status, number in sorted(counts.items()))}")


def _changed(module: Path, source: Path, tiers: list[list[Path]], options: argparse.Namespace) -> Iterator[str]:
    text = module.read_text()
    copied = source / module.relative_to(PACKAGE.parent)
    limits = []
    for tests in tiers:
        status, seconds = run(tests, source, float("inf"))
        if status != SURVIVED:
            sys.exit(f"The tests of the unchanged {module.name} fail: {', '.join(map(str, tests))}")
        limits.append(PATIENCE * seconds + GRACE)
    draw = random.Random(options.seed)
    candidates = mutants(text)
    if options.sample is not None and options.sample < len(candidates):
        candidates = sorted(draw.sample(candidates, options.sample), key=lambda mutant: mutant.begin)
    for number, mutant in enumerate(candidates):
        copied.write_text(mutant.applied(text))
        os.utime(copied, (time.time() + number, time.time() + number))  # bytecode goes by whole seconds
        status, seconds = SURVIVED, 0.0
        for tests, limit in zip(tiers, limits, strict=True):
            status, spent = run(tests, source, limit)
            seconds += spent
            if status != SURVIVED:
                break
        place = f"{module.relative_to(REPOSITORY)}:{mutant.line}"
        if status == SURVIVED:
            line = text.splitlines()[mutant.line - 1].strip()
            print(f"{place}: {mutant.before!r} -> {mutant.after!r}: {line}", flush=True)
        if options.to:
            with options.to.open("a") as file:
                record = {"place": place, "status": status, "seconds": round(seconds, 1), **asdict(mutant)}
                print(json.dumps(record), file=file)
        yield status
    copied.write_text(text)


if __name__ == "__main__":
    main()
