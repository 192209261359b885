"""The templates' common vocabulary: how numbers and names are written is decided in `wording`, not in a template."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from counterpoise.reporting import wording

_FOLDER: Final = "templates"
_NUMBER: Final = re.compile(rf"[+−<]?[ \u00a0]?\d|{wording.NOT_AVAILABLE}$|$")
_DENSE_FROM: Final = 7
"""Columns beyond which a table is set small, so that it is no wider than the page."""
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]#|~])")


def render(template: str, **content: Any) -> str:
    """Fill in a template. HTML escapes by itself; a Markdown template passes what comes from outside through `md`."""
    return _environment(autoescape=".html" in template).get_template(template).render(**content)


def resource(name: str) -> str:
    """The text of a file beside the templates."""
    return (files(__package__) / _FOLDER / name).read_text(encoding="utf-8")


def escape_markdown(value: Any) -> str:
    """Text that Markdown shows as it is: on one line, with neither markup nor HTML of its own."""
    return html.escape(_MARKDOWN.sub(r"\\\1", " ".join(str(value).split())), quote=False)


def numeric_columns(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[bool]:
    """Which columns of a table of text hold nothing but numbers: these are set flush right."""
    return [bool(rows) and all(_NUMBER.match(row[place]) for row in rows) for place in range(len(columns))]


def unbroken(cell: str) -> str:
    """Keep what a number is made of on one line: it may break before a bracket, not around ±, `to` and `of`."""
    return re.sub(r"(?<=\d) (±|to|of) (?=[+−\d])", "\u00a0\\1\u00a0", cell)


@cache
def _environment(*, autoescape: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__, _FOLDER),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "md": escape_markdown,
        "unbroken": unbroken,
        "method_title": wording.method_title,
        "metric_label": wording.metric_label,
        "gap_label": wording.gap_label,
        "p_value": wording.p_value,
    }
    environment.globals |= {
        "number": wording.number,
        "plus_minus": wording.plus_minus,
        "reported": wording.reported,
        "interval": wording.interval,
        "interval_title": wording.interval_title,
        "level_title": wording.level_title,
        "is_missing": wording.is_missing,
        "numeric_columns": numeric_columns,
        "dense_from": _DENSE_FROM,
    }
    return environment
