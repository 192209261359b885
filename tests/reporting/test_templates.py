"""Templates of the report's page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from counterpoise.reporting._templates import _environment, numeric_columns, resource, unbroken
from counterpoise.reporting.context import Table


def test_columns_of_numbers_are_flush_right_and_numbers_unbroken() -> None:
    rows = [("1 head", "16.04 ± 0.35 (16.676 ± 0.313)", "no", "n/a"), ("TL", "−0.25 (−0.40 to −0.10)", "3", "< 0.001")]
    assert numeric_columns(("a", "b", "c", "d"), rows) == [False, True, False, True]
    assert numeric_columns(("a",), []) == [False]
    assert numeric_columns(("a", "p"), [("f", "<\u00a00.001"), ("m", "n/a")]) == [False, True]
    assert [unbroken(cell).replace("\u00a0", "_") for cell in (*(row[1] for row in rows), "3 of 4 seeds to TL")] == [
        "16.04_±_0.35 (16.676_±_0.313)",
        "−0.25 (−0.40_to_−0.10)",
        "3_of_4 seeds to TL",
    ]


def test_a_head_is_flush_with_what_stands_below_it() -> None:
    """Names of rows are flush left, numbers or not: categories of a sensitive column may be 1, 2, 3."""
    table = Table("by region", "", ("category", "rate"), [("1", "0.25"), ("2", "0.5")])
    html = str(_environment(autoescape=True).get_template("macros.html.j2").module.plain_table(table))  # type: ignore[attr-defined]
    flush_right = re.findall(r"<th( class=\"n\")?>", html)
    assert flush_right == ["", ' class="n"']
    assert re.findall(r'<th scope="row"([^>]*)>', html) == [' class="wide"'] * 2


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize(
    ("status", "strangers"),
    [
        ("", None),
        ("window.counterpoiseStatus = null", None),
        ("window.counterpoiseStatus = {}", None),
        ('window.counterpoiseStatus = {"metrics": "12ab", "other": "1"}', None),
        ('window.counterpoiseStatus = {"metrics": "ffff", "summary": "34cd"}', "metrics"),
        ('window.counterpoiseStatus = {"metrics": "ffff", "summary": "ffff"}', "metrics, summary"),
    ],
)
def test_files_of_another_run_are_named(status: str, strangers: str | None) -> None:
    page = """
        const window = {}, banner = {hidden: true, textContent: ""};
        const texts = {artifacts: {textContent: '{"metrics": "12ab", "summary": "34cd"}'}, strangers: banner};
        const document = {getElementById: (name) => texts[name]};
    """
    script = f"{page}\n{status}\n{resource('status_check.js')}\nconsole.log(JSON.stringify(banner))"
    run = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    banner = json.loads(run.stdout)
    assert banner["hidden"] == (strangers is None)
    assert banner["textContent"].endswith(f"do not belong to it: {strangers}." if strangers else "")
