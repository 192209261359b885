"""Records say what an artifact was made from, and notice when they or their files are not what they were."""

from __future__ import annotations

import json
import py_compile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.artifacts.lineage import (
    Record,
    differences,
    parse_record,
    record_path,
    sha256_of,
    source_digest,
)
from counterpoise.errors import InputError

RECORD = Record(
    node="pretrain.train_networks",
    parameters={"seeds": [0, 1], "pretrain": {"epochs": 10, "optimizer": {"lr": 0.1}}},
    raw={"adult__raw": "12ab"},
    artifact="win_adult__pretrained",
    runs=({"command": "kedro run", "code": "c0de", "versions": {"torch": "2"}},),
    inputs={"win_adult__samples": "34cd"},
    sha256="56ef",
)


def test_a_record_is_read_as_it_was_written() -> None:
    assert parse_record(RECORD.text(), "here") == RECORD


CHANGES: dict[str, dict[str, Any]] = {
    "node": {"node": "pretrain.other"},
    "parameters": {"parameters": {"seeds": [0, 1], "pretrain": {"epochs": 10, "optimizer": {"lr": 0.2}}}},
    "raw": {"raw": {"adult__raw": "12ac"}},
    "artifact": {"artifact": "win_adult__features"},
    "code": {"runs": ({"command": "kedro run", "code": "c0df", "versions": {"torch": "2"}},)},
    "inputs": {"inputs": {"win_adult__samples": "34ce"}},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_digest_is_of_all_that_results_depend_on(change: dict[str, Any]) -> None:
    assert replace(RECORD, **change).digest != RECORD.digest


def test_the_digest_is_not_of_how_the_run_was_started() -> None:
    other = replace(RECORD, runs=({"command": "kedro run --pipelines=x", "code": "c0de", "versions": {}},))
    assert other.digest == RECORD.digest


@pytest.mark.parametrize("position", range(0, len(RECORD.text()), 7))
def test_a_record_that_was_altered_never_says_anything_else(position: int) -> None:
    """It is refused, or it says the same: what runs are called is not part of the lineage."""
    text = RECORD.text()
    altered = text[:position] + chr((ord(text[position]) + 1) % 128) + text[position + 1 :]
    with suppress(InputError):
        record = parse_record(altered, "place.json")
        assert (record.parameters, record.raw, record.inputs) == (RECORD.parameters, RECORD.raw, RECORD.inputs)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "7", '"x"', "{", RECORD.text()[:-2]])
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^p: is damaged"):
        parse_record(text, "p")


def test_a_record_stands_beside_its_file() -> None:
    assert record_path(PurePosixPath("a/b/x.parquet")) == PurePosixPath("a/b/.lineage/x.parquet.json")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("xyz", min_size=1, max_size=1), inner),
    max_leaves=6,
)
BLOCKS = st.dictionaries(st.sampled_from(["seeds", "datasets.adult", "report"]), VALUES)


@given(BLOCKS, BLOCKS)
def test_there_are_differences_where_blocks_differ(before: dict[str, Any], now: dict[str, Any]) -> None:
    same = json.dumps(before, sort_keys=True) == json.dumps(now, sort_keys=True)
    different = list(differences(before, now))
    assert (not different) == (same or before == now)
    for difference in different:
        assert before.get(difference.block) != now.get(difference.block) or difference.block not in {*before} & {*now}
        assert difference.setting.startswith(difference.block)


def test_a_difference_names_the_setting_and_both_values() -> None:
    before = {"datasets.adult": {"sensitive": "sex", "drop": ["a"]}}
    (difference,) = differences(before, {"datasets.adult": {"sensitive": "race", "drop": ["a"]}})
    assert str(difference) == "datasets.adult.sensitive = 'sex', the parameters now say 'race'"


def test_long_values_are_shortened_and_on_one_line() -> None:
    (difference,) = differences({"a": "x\ny" * 100}, {"a": list(range(1000))})
    assert len(str(difference)) < 200
    assert "\n" not in str(difference)


def test_where_the_work_is_done_is_no_difference() -> None:
    assert list(differences({"compute": {"backend": "serial"}}, {"compute": {"backend": "dask"}})) == []


def test_bounds_that_were_kept_are_no_difference() -> None:
    before = {"datasets.adult": {"limits": {"columns": 10}, "label": "x"}, "backbones.probe": {"verify": True}}
    now = {"datasets.adult": {"limits": {"columns": 20}, "label": "x"}, "backbones.probe": {"verify": False}}
    assert list(differences(before, now)) == []
    assert list(differences(before, now | {"datasets.adult": {"label": "y"}})) != []


def test_the_digest_of_a_folder_is_of_names_and_contents(tmp_path: Path) -> None:
    seen = set()
    for name, content in (("a", "1"), ("a", "2"), ("b", "2"), ("c/a", "2")):
        folder = tmp_path / str(len(seen))
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(content)
        seen.add(sha256_of(folder))
    assert len(seen) == 4


def test_loading_the_code_in_a_folder_does_not_change_its_digest(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("x = 1")
    before = sha256_of(tmp_path)
    py_compile.compile(str(tmp_path / "code.py"))
    assert (tmp_path / "__pycache__").is_dir()
    assert sha256_of(tmp_path) == before


def test_the_version_of_the_code_is_that_of_its_sources(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    before = source_digest(tmp_path)
    (tmp_path / "a.pyc").write_text("anything")
    assert source_digest(tmp_path) == before
    (tmp_path / "a.py").write_text("x = 2")
    assert source_digest(tmp_path) != before
