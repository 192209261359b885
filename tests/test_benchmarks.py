"""What lies beside the package imports names that the package has: benchmarks, notebooks and deployments do not rot."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
FILES = sorted(
    path
    for folder in ("benchmarks", "deploy", "notebooks")
    for kind in ("*.py", "*.ipynb")
    for path in (REPOSITORY / folder).rglob(kind)
    if "venv" not in path.as_posix()
)


def code_of(path: Path) -> str:
    if path.suffix == ".py":
        return path.read_text()
    cells = json.loads(path.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def imported(code: str) -> Iterator[tuple[str, str]]:
    """Yield each module of this package that code imports, and the name that it takes from it."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "counterpoise":
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.partition(".")[0] == "counterpoise")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_what_is_imported_is_there(path: Path) -> None:
    for module, name in imported(code_of(path)):
        assert find_spec(module) is not None, f"there is no module {module}"
        assert not name or hasattr(import_module(module), name) or find_spec(f"{module}.{name}"), (
            f"{module} has no {name}"
        )


def test_an_import_of_what_is_not_there_is_found() -> None:
    names = list(imported("import counterpoise.nn\nfrom counterpoise.errors import InputError, nothing\nimport torch"))
    assert names == [("counterpoise.nn", ""), ("counterpoise.errors", "InputError"), ("counterpoise.errors", "nothing")]
