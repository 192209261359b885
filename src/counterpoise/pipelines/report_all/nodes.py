"""One page from what every experiment has left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from counterpoise.errors import InputError
from counterpoise.experiments import DEFAULT, EXPERIMENTS
from counterpoise.reporting.report import overview


def summarise(reports_folder: Path) -> str:
    """Return the page over all experiments whose `report.json` lies in the folder.

    They have the order of experiments.py; those of conf/ follow by name.

    Raises:
        InputError: no experiment was run, or a report.json is not one.
    """
    places = {experiment.name: place for place, experiment in enumerate(EXPERIMENTS)}
    files = sorted(
        reports_folder.glob("*/report.json"),
        key=lambda file: (places.get(file.parent.name, len(places)), file.parent.name),
    )
    if not files:
        raise InputError(
            f"{reports_folder}: holds no <experiment>/report.json, expected that an experiment was run before "
            f"(kedro run --pipelines={DEFAULT})"
        )
    return overview([_read(file) for file in files])


def _read(file: Path) -> dict[str, Any]:
    """Read one document; its links must lead to the folder that it lies in."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file}: is not JSON ({error}), expected the report of an experiment") from None
    name = document.get("experiment") if isinstance(document, dict) else None
    if name != file.parent.name:
        raise InputError(
            f"{file}: is the report of {name!r}, expected that of {file.parent.name!r}, the folder's experiment"
        )
    return document
