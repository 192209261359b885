"""`counterpoise init` on names that mean something to YAML, OmegaConf or a comment: a run reads them as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from counterpoise import registered
from counterpoise.cli import cli
from counterpoise.config.data import Dataset
from counterpoise.config.loader import ConfigLoader

ROWS = 200
NAMES = [
    *("a.b", "a/b", "a,b", "a: b", "# a", "- a", "'a'", '"a"', "{a}", "[a]", "*", "&a", "!a", "%a", "@a", "|", "a\\b"),
    *(
        "null",
        "True",
        "1",
        "1.0",
        "1e3",
        "0x1",
        "2024-01-01",
        "=",
        "~",
        "lambda",
        "y",
        "s",
        "image",
        "ä ö",
        "日本",
        "a\u00a0b",
    ),
    *("${a}", "${oc.env:HOME}", "$a", "a\nb", "a\r\nb", "a\tb", "a\u2028b", "a\x85b", "a\x07b", "a" * 300),
]


def configuration(project: Any, table: pd.DataFrame, label: str, sensitive: str, file: str = "t.parquet") -> Dataset:
    """Return the data set that `init` writes, as Kedro's loader reads it."""
    table.to_parquet(project.path / file)
    words = ["init", str(project.path / file), "--label", label, "--sensitive", sensitive, "--force"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, (result.output, result.exception)
    loader = ConfigLoader(str(project.path / "conf"), base_env="base", default_run_env="local")
    return Dataset.model_validate(loader["parameters"]["datasets"]["own"])


@pytest.fixture
def here(project: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    project.bootstrap()
    monkeypatch.chdir(project.path)
    yield project
    registered.declare(())


@pytest.mark.parametrize("name", NAMES)
def test_any_text_may_be_a_column_a_class_a_group_and_a_category(here: Any, name: str) -> None:
    draw = np.random.default_rng(3)
    table = pd.DataFrame(
        {
            "label": draw.choice([name, "other class"], ROWS),
            "group": draw.choice([name, "other group"], ROWS),
            f"{name} 1": ["constant"] * ROWS,
            f"{name} 2": draw.choice([name, "x", None], ROWS),
            name: draw.normal(size=ROWS),
        }
    )
    dataset = configuration(here, table, "label", "group")
    assert {name, "other class"} == {dataset.positive, *dataset.classes}
    assert set(dataset.groups) == {name, "other group"}
    assert dataset.drop == (f"{name} 1",)
    assert dataset.options["missing_category"] == {f"{name} 2": "(missing)"}
    renamed = table.rename(columns={name: "x", "label": name, "group": f"{name}'s group"})
    again = configuration(here, renamed, name, f"{name}'s group")
    assert (again.label, again.sensitive) == (name, f"{name}'s group")


@pytest.mark.parametrize("name", [name for name in NAMES if not {*"/\\:"} & {*name} and len(name) < 200])
def test_any_text_may_be_the_name_of_a_file(here: Any, name: str) -> None:
    draw = np.random.default_rng(3)
    table = pd.DataFrame({"y": draw.integers(0, 2, ROWS), "s": draw.integers(0, 2, ROWS), "x": draw.normal(size=ROWS)})
    file = f"{name}.parquet"
    assert configuration(here, table, "y", "s", file).options["files"] == file
    assert Path("data/01_raw/own", file).is_file()


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([True, False] * 100).mask(np.arange(ROWS) % 9 == 0),
        pd.Series([1, 2] * 100, dtype="Int64").mask(np.arange(ROWS) % 9 == 0),
        pd.Series([1.0, 2.0] * 100),
        pd.Series([0.5, 1.5] * 100, dtype="float32"),
        pd.Series(["a", "b"] * 100, dtype="category"),
    ],
)
def test_groups_and_classes_of_any_type_are_written(here: Any, column: pd.Series) -> None:
    other = np.random.default_rng(3).permutation(column.dropna().to_numpy().repeat(2)[:ROWS])
    table = pd.DataFrame({"y": other, "s": column, "x": np.arange(ROWS) / 7})
    dataset = configuration(here, table, "y", "s")
    assert list(dataset.groups) == sorted(column.dropna().unique().tolist())
    assert dataset.positive in set(other.tolist())
