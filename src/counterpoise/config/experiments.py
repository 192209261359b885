"""Experiments of conf/: rows under `experiments` of `parameters*.yml`, which join the table in source.

    experiments:
      frontier_loans: {title: How fair can a classifier of loans be?, dataset: loans, frontier: own}

The keys are the fields of `counterpoise.experiments.Experiment`; `evidence` and all that has a default may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Annotated, Any, get_type_hints

from pydantic import BeforeValidator, Field, PlainValidator, ValidationError, create_model

from counterpoise.config.data import Settings
from counterpoise.config.mistakes import sentence_of
from counterpoise.errors import InputError, shown
from counterpoise.experiments import EXPERIMENTS, RESERVED, Experiment, Part

Place = Callable[[str], str]
"""Path of a value → where it is written, for a sentence: a file and a line."""

NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")
"""Names of experiments: of pipelines, folders, and entries of the catalog, where two underscores are a sign."""

RESERVED_PREFIXES = ("fetch_", "audit_")
"""How the names of pipelines begin that follow from the data sets."""

WAYS = ("frontier", "variants", "repairs")
"""What an experiment does with a base; a row chooses one."""

TRAINED = ("trees", "model", "backbone")
BASES = {"variants": ("network", "boosting", *TRAINED), "repairs": ("network", "convnet"), "frontier": TRAINED}
"""What each of these may stand on; a frontier without one that comes trained trains bases on a table."""


def _choice(value: Any) -> Any:
    if not isinstance(value, str | Mapping):
        raise ValueError("expected the name of a block, or settings that are merged over the experiment's")  # noqa: TRY004
    return value


def _settings_of(row: type, **replaced: Any) -> type[Settings]:
    """Return the model of the blocks that become a row: its fields, but for the name where a key says it."""
    hints = get_type_hints(row) | replaced
    definitions: dict[str, Any] = {
        field.name: (hints[field.name], ... if field.default is MISSING else field.default)
        for field in fields(row)
        if hints[field.name] is not None
    }
    return create_model(row.__name__, __base__=Settings, **definitions)


_CHOICES = {field.name: Annotated[Any, PlainValidator(_choice)] for field in fields(Part) if field.name != "name"}
PartRow = _settings_of(Part, **_CHOICES)
ExperimentRow = _settings_of(Experiment, name=None, parts=tuple[PartRow, ...])  # type: ignore[valid-type]


def _named(rows: Any) -> Any:
    for name in rows if isinstance(rows, Mapping) else ():
        if not NAME.fullmatch(str(name)):
            raise ValueError(f"the name {shown(name)} has other signs than letters, digits and single underscores")
        if str(name) in {experiment.name for experiment in EXPERIMENTS}:
            raise ValueError(f"{shown(name)} is an experiment of the project, expected a name that is not taken")
        if str(name) in RESERVED or str(name).startswith(RESERVED_PREFIXES):
            raise ValueError(f"{shown(name)} is the name of a stage or of another pipeline, expected one of its own")
    return rows


class Rows(Settings):
    """The block `experiments`."""

    experiments: Annotated[dict[str, ExperimentRow], BeforeValidator(_named)] = Field(default={})  # type: ignore[valid-type]


def rows(parameters: Mapping[str, Any], place: Place = lambda _: "conf") -> tuple[Experiment, ...]:
    """Return the experiments that parameters declare, in their order.

    Raises:
        InputError: a row has an unknown or missing field or a wrong value, does nothing or two things, or has a name
            that is taken; the sentence begins with the place of the row.
    """
    block = {"experiments": parameters.get("experiments") or {}}
    try:
        checked = Rows.model_validate(block)
    except ValidationError as error:
        path = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
        sentence = sentence_of(error, Rows).removeprefix("conf: ")
        raise InputError(f"{_nearest(path, place)}: {sentence}") from None
    declared = []
    for name, row in checked.experiments.items():
        values = {key: getattr(row, key) for key in ExperimentRow.model_fields}
        parts = tuple(Part(**{key: getattr(part, key) for key in PartRow.model_fields}) for part in values["parts"])
        experiment = Experiment(name=name, **values | {"parts": parts})
        if fault := _fault(experiment):
            raise InputError(f"{place(f'experiments.{name}')}: experiment {name!r} {fault}")
        declared.append(experiment)
    return tuple(declared)


def every(parameters: Mapping[str, Any], place: Place = lambda _: "conf") -> tuple[Experiment, ...]:
    """Return the experiments of source, then those that parameters declare."""
    return (*EXPERIMENTS, *rows(parameters, place))


def _nearest(path: str, place: Place) -> str:
    """Return where a value is written, or the block that lacks it."""
    while path and place(path) == "conf":
        path = path.rpartition(".")[0]
    return place(path) if path else "conf"


def _fault(experiment: Experiment) -> str | None:
    """Return what does not fit together in a row, None if all does."""
    ways = [way for way in WAYS if getattr(experiment, way) is not None]
    if len(ways) != 1:
        return f"has {' and '.join(ways) or 'none of them'}, expected one of {', '.join(WAYS)}"
    (way,) = ways
    every_base = dict.fromkeys(base for bases in BASES.values() for base in bases)
    bases = [base for base in every_base if getattr(experiment, base) is not None or experiment.divides(base)]
    accepted = BASES[way]
    if (wrong := [base for base in bases if base not in accepted]) or len(bases) > 1:
        return f"has {way} with {' and '.join(wrong or bases)}, expected one of {', '.join(accepted)}"
    if not bases and way != "frontier":
        return f"has {way} without a base, expected one of {', '.join(accepted)}"
    if experiment.retrain is not None and way != "variants":
        return f"has retrain with {way}, expected it beside variants"
    if len({part.key for part in experiment.parts}) < len(experiment.parts):
        return "has two parts of one name, expected different ones"
    return None
