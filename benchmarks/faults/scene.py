"""What all trials share: a throw-away project, commands in it, and the count of what was right and what was wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

REPOSITORY = Path(__file__).parents[2]
KEDRO = Path(sys.executable).with_name("kedro")
END = "<!-- end -->"
QUIET = {"KEDRO_DISABLE_TELEMETRY": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
PATIENCE = 600
"""Seconds after which a command counts as stuck."""


@dataclass
class Kind:
    """One kind of fault: how often it was tried, and what went wrong."""

    name: str
    right: int = 0
    wrong: list[str] = field(default_factory=list)

    def count(self, right: bool, what: str) -> None:
        """Count one try; `what` says which, should it be wrong."""
        if right:
            self.right += 1
        else:
            self.wrong.append(what)

    def line(self) -> str:
        """Return the row of a Markdown table."""
        return f"| {self.name} | {self.right + len(self.wrong):,} | {self.right:,} | {len(self.wrong):,} |"


def tell(kinds: Iterable[Kind], head: str, begin: str, write: Path | None) -> bool:
    """Print a table of what was tried as it comes, and what was wrong; return whether anything was.

    Args:
        write: a page whose lines between `begin` and `END` become the table.
    """
    lines, wrong = [head], []
    print(head, flush=True)
    for kind in kinds:
        lines.append(kind.line())
        wrong += [f"{kind.name}: {what}" for what in kind.wrong]
        print(kind.line(), flush=True)
    for what in wrong:
        print(f"WRONG {what}")
    if write is not None:
        before, _, rest = write.read_text().partition(begin)
        _, _, after = rest.partition(END)
        write.write_text("\n".join([before + begin, *lines, END]) + after)
    return bool(wrong)


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    status: int
    output: str

    @property
    def refused(self) -> bool:
        """Whether it ended in one sentence, and in nothing that a user need not see."""
        sentences = [line for line in self.output.splitlines() if line.startswith("Error: ")]
        return self.status == 1 and len(sentences) == 1 and "Traceback" not in self.output


@dataclass(frozen=True)
class Scene:
    """A copy of the project without its data; commands run the installed package."""

    path: Path

    @property
    def results(self) -> Path:
        return self.path / "data" / "smoke"

    def start(self, *options: str, **environment: str) -> subprocess.Popen[str]:
        """Start `kedro run` in the environment smoke."""
        return subprocess.Popen(
            [KEDRO, "run", "--env=smoke", *options],
            cwd=self.path,
            env=os.environ | QUIET | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *options: str, **environment: str) -> Ended:
        """Run `kedro run` to its end."""
        process = self.start(*options, **environment)
        output, _ = process.communicate(timeout=PATIENCE)
        return Ended(process.returncode, output)

    def report(self, experiment: str = "win_adult") -> dict[str, Any]:
        """Return what the report says to machines."""
        document: dict[str, Any] = json.loads((self.results / "08_reporting" / experiment / "report.json").read_text())
        return document

    def results_of(self, experiment: str = "win_adult") -> dict[str, bytes]:
        """Return the files that hold an experiment's numbers."""
        names = ("07_model_output/{}/predictions.parquet", "08_reporting/{}/summary.csv", "08_reporting/{}/claims.csv")
        paths = [self.results / name.format(experiment) for name in names]
        return {path.name: path.read_bytes() for path in paths if path.exists()}

    def unreadable(self) -> list[str]:
        """Return the results that are not whole."""
        bad = []
        for path in self.results.glob("0[2-8]_*/**/*"):
            try:
                if path.suffix == ".parquet":
                    pd.read_parquet(path)
                elif path.suffix == ".json":
                    json.loads(path.read_text())
            except (ValueError, OSError):
                bad.append(str(path))
        return bad

    def copy(self, folder: Path) -> Scene:
        """Return a copy with all results."""
        return Scene(Path(shutil.copytree(self.path, folder)))


@contextmanager
def scene() -> Iterator[Scene]:
    """Lay out a project in a temporary folder."""
    with TemporaryDirectory(prefix="counterpoise-faults-") as folder:
        path = Path(folder) / "project"
        (path / "src").mkdir(parents=True)  # Kedro insists on the folder
        shutil.copytree(REPOSITORY / "conf", path / "conf", ignore=shutil.ignore_patterns("local"))
        (path / "conf" / "local").mkdir()
        for name in ("pyproject.toml", ".telemetry"):
            shutil.copy(REPOSITORY / name, path / name)
        yield Scene(path)
