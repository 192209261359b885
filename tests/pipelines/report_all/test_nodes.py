"""`report_all` reads what the experiments left, in their order, and refuses what is no report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from counterpoise.errors import InputError
from counterpoise.pipelines.report_all.nodes import summarise


def leave(folder: Path, experiment: str, content: Any = None) -> Path:
    """Write the smallest report.json of an experiment, or `content` in its place."""
    keys: dict[str, Any] = {"dataset": "d", "answer": {"headline": "h"}, "summary": [], "claims": []}
    document = {"experiment": experiment, "title": f"About {experiment}", "noise_floor": {}, "lineage": {}, **keys}
    path = folder / experiment / "report.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(document) if content is None else content)
    return path


def test_experiments_come_in_the_order_of_their_table(tmp_path: Path) -> None:
    for experiment in ("an_older_one", "win_lfwa", "win_adult", "win_celeba"):
        leave(tmp_path, experiment)
    page = summarise(tmp_path)
    places = [page.index(f"About {name}") for name in ("win_adult", "win_celeba", "win_lfwa", "an_older_one")]
    assert places == sorted(places)


def test_the_page_lies_above_the_reports_it_links(project: Any) -> None:
    leave(project.data / "08_reporting", "win_adult")
    project.run("report_all")
    page = (project.data / "08_reporting" / "index.html").read_text()
    assert 'href="win_adult/report.html"' in page
    assert project.leftovers() == []


def test_without_a_run_it_ends_with_a_sentence(project: Any) -> None:
    with pytest.raises(InputError, match=r"08_reporting: holds no <experiment>/report\.json, expected that an exp"):
        project.run("report_all")
    assert not list(project.data.rglob("index.html"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"experiment": ', r"report\.json: is not JSON"),
        ("[]", "is the report of None, expected that of 'win_adult'"),
        ('{"experiment": "win_celeba"}', "is the report of 'win_celeba', expected that of 'win_adult'"),
        ('{"experiment": "win_adult"}', "the key 'title' is missing"),
    ],
)
def test_what_is_no_report_is_named(tmp_path: Path, content: str, message: str) -> None:
    leave(tmp_path, "win_adult", content)
    with pytest.raises(InputError, match=message):
        summarise(tmp_path)
