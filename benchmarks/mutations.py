"""Changes of a module that its tests should notice, for `mutants.py`: one operator, comparison, number or name each."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

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
LONGEST_LIST = 5
"""More numbers than that are a grid of values to try: one more or less of them means nothing."""
NO_MEANING = {"strict", "stacklevel"}
"""Arguments that guard what cannot happen, or say where a message points."""


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

    def begin(self, node: ast.expr | ast.stmt) -> int:
        """Return where an expression or statement begins."""
        return self.of(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt) -> int:
        """Return where an expression or statement ends."""
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
            if isinstance(child, ast.AST) and not _without_meaning(child):
                yield from _evaluated(child)


def _without_meaning(node: ast.AST) -> bool:
    """Whether a node is there for readers of code and of messages, as a guard, or a grid of values to try."""
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.Assign(targets=[ast.Name(id="__all__")]):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "logger" | "warnings"))):
            return True
        case ast.BinOp(left=ast.Constant(value=str()) | ast.JoinedStr()):
            return True
        case ast.Tuple(elts=elements) | ast.List(elts=elements) if len(elements) > LONGEST_LIST:
            return all(isinstance(element, ast.Constant) for element in elements)
        case ast.keyword(arg=name):
            return name in NO_MEANING
    return isinstance(node, ast.Raise | ast.JoinedStr)


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
