"""What a run says in MLflow: its name, description, tags, parameters, metrics and data, as plain values."""

from __future__ import annotations

import getpass
import json
import math
import posixpath
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from counterpoise.tracking import processes

PER_SEED_VARIANTS = 16
"""A method with more variants than this logs their means only; the metrics file has every seed."""

PARAM_LENGTH, KEY_LENGTH, TAG_LENGTH, NAME_LENGTH = 500, 250, 5000, 120
"""The longest parameter, key and tag that every MLflow store takes, and the longest name that one still reads."""

COLUMNS = ("method", "variant", "metric", "mean", "std")
"""Of a table of results, those that are logged."""

DIGEST_LENGTH, SCHEMA_LENGTH = 36, 60_000
"""MLflow's limits on a data set."""

COLUMN_TYPES = {"bool": "boolean", "int32": "integer", "int64": "long", "float": "float", "double": "double"}
"""MLflow's words for Arrow's types; every other is a string."""


@dataclass(frozen=True)
class Results:
    """What one experiment of a run has measured.

    metrics: per seed, `method`, `variant`, `metric`, `seed`, `value`.
    summary: `mean` and `std` of each; None computes them here.
    headline: of each method with several variants the one that stands for it, chosen before anything was measured.
    leading: the metrics that come first, in order.
    subject: the variant that the experiment is about.
    answer: one sentence.
    """

    metrics: pd.DataFrame
    summary: pd.DataFrame | None = None
    data_summary: Mapping[str, Any] = field(default_factory=dict)
    headline: Mapping[str, str] = field(default_factory=dict)
    leading: Sequence[str] = ()
    subject: str | None = None
    answer: str | None = None

    def table(self) -> pd.DataFrame:
        """Return `method`, `variant`, `metric`, `mean` and `std`, one row each."""
        if self.summary is not None:
            return self.summary
        values = self.metrics.groupby(["method", "variant", "metric"], sort=False)["value"]
        return values.agg(["mean", "std"]).reset_index()


def run_name(name: str, runs: Sequence[Mapping[str, Any]]) -> str:
    """Return what the run is called in lists: its experiments, what was set for it, and whether it is partial."""
    lineage = runs[0]["lineage"]
    overrides = [item for item in _overrides(str(lineage["command"])) if not item.startswith("tracking=")]
    marks = [*overrides, *(["partial"] if lineage.get("partial") else [])]
    title = f"{name} ({', '.join(marks)})" if marks else name
    return title if len(title) <= NAME_LENGTH else f"{title[: NAME_LENGTH - 1]}…"


def _overrides(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError:  # a quote without its other
        return []
    for i, word in enumerate(words):
        if word == "--params" and i + 1 < len(words):
            return words[i + 1].split(",")
        if word.startswith("--params="):
            return word.removeprefix("--params=").split(",")
    return []


def tags_of(runs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the tags that the parent and its children share."""
    lineage = runs[0]["lineage"]
    tags = {
        "mlflow.source.name": str(lineage["command"]),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": str(lineage["git_commit"]).split(" ")[0],
        "mlflow.user": _user(),
        "git_commit": str(lineage["git_commit"]),
        "environment": str(lineage["environment"]),
        **processes.this_process(),
    }
    if lineage.get("run_id"):
        tags["run_id"] = str(lineage["run_id"])
    if lineage.get("partial"):
        tags["partial"] = "true"
    return {key: value[:TAG_LENGTH] for key, value in tags.items()}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container whose user has no name
        return "unknown"


def params_of(runs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the settings, flat; of several experiments, each under its name."""
    several = len(runs) > 1
    return {
        allowed(key): str(value)[:PARAM_LENGTH]
        for run in runs
        for key, value in flat(run["settings"], f"{run['experiment']}." if several else "")
    }


def description(runs: Sequence[Mapping[str, Any]], results: Sequence[Results] = ()) -> str:
    """Return the parent's description in Markdown: the question, the answer, the headline metrics, the command."""
    lineage = runs[0]["lineage"]
    lines = [f"## {run['title']}" for run in runs if run.get("title")]
    if lineage.get("partial"):
        lines.append("**A partial run**: some stages ran, the others' results are those of earlier runs.")
    for result in results:
        lines += [result.answer] if result.answer else []
        lines += [_results_table(result)] if result.leading else []
        if data := result.data_summary.get("title"):
            lines.append(f"Data: {data}, {result.data_summary['rows']:,} rows.")
    if seeds := lineage.get("seeds"):
        lines.append(f"Seeds: {len(seeds)}. Environment: {lineage['environment']}.")
    commands = lineage.get("commands") or [lineage["command"]]
    texts = commands.values() if isinstance(commands, Mapping) else commands
    lines.append("\n".join(["```bash", *dict.fromkeys(map(str, texts)), "```"]))
    return "\n\n".join(lines)[:TAG_LENGTH]


def _results_table(result: Results) -> str:
    table = _of_headlines(result)
    rows = [f"| method | {' | '.join(result.leading)} |", "|---" * (len(result.leading) + 1) + "|"]
    for (method, variant), cells in table.groupby(["method", "variant"], sort=False):
        numbers = cells[["metric", "mean", "std"]].to_numpy().tolist()
        of_metric = {metric: _cell(mean, std) for metric, mean, std in numbers}
        name = str(method) if method == variant else f"{method} ({variant})"
        values = [of_metric.get(metric, "") for metric in result.leading]
        rows.append(f"| {' | '.join([name.replace('|', ' '), *values])} |")
    return "\n".join(rows)


def _cell(mean: float, std: float) -> str:
    return f"{mean:.4g} ± {std:.2g}" if math.isfinite(std) else f"{mean:.4g}" if math.isfinite(mean) else ""


def _of_headlines(result: Results) -> pd.DataFrame:
    """Return the rows of the variants that stand for their methods; a method of one variant stands for itself."""
    table = result.table()
    alone = table.groupby("method")["variant"].transform("nunique") == 1
    return table[alone | (table["variant"] == table["method"].map(dict(result.headline)))]


def parent_metrics(result: Results, time: int, prefix: str = "") -> list[list[Any]]:
    """Return the headline metrics: the subject's under their plain names, each method's under its own."""
    table = _of_headlines(result)
    table = table[table["metric"].isin(result.leading)]
    values = [
        (f"{owner}{metric}_{kind}", value)
        for method, variant, metric, mean, std in table[list(COLUMNS)].to_numpy().tolist()
        for owner in (f"{method}/", *(("",) if variant == result.subject else ()))
        for kind, value in (("mean", mean), ("std", std))
    ]
    return points(((f"{prefix}{key}", value, 0) for key, value in values), time)


def method_metrics(result: Results, method: str, time: int) -> list[list[Any]]:
    """Return a method's means, deviations and values per seed (step = seed), variant by variant.

    The names are plain if there is one variant, and for the one that stands for the method; those of several stand
    under the variant's.
    """
    table = result.table()
    table = table[table["method"] == method]
    variants = list(table["variant"].unique())
    headline = result.headline.get(method)

    def prefixes(variant: str) -> list[str]:
        names = [f"{variant}/"] if len(variants) > 1 else []
        return [*names, *([""] if len(variants) == 1 or variant == headline else [])]

    values: list[tuple[str, float, int]] = []
    for variant, metric, mean, std in table[["variant", "metric", "mean", "std"]].to_numpy().tolist():
        for prefix in prefixes(variant):
            values += [(f"{prefix}{metric}_mean", mean, 0), (f"{prefix}{metric}_std", std, 0)]
    of_method = result.metrics[result.metrics["method"] == method]
    if len(variants) > PER_SEED_VARIANTS:
        of_method = of_method[of_method["variant"] == headline]
    for variant, metric, value, seed in of_method[["variant", "metric", "value", "seed"]].to_numpy().tolist():
        if len(variants) > PER_SEED_VARIANTS:
            values.append((metric, value, seed))
        else:
            values += [(f"{prefix}{metric}", value, seed) for prefix in prefixes(variant)]
    return points(values, time)


def points(values: Iterable[tuple[str, float, int]], time: int) -> list[list[Any]]:
    """Return metrics as MLflow takes them: key, value, time in ms, step; what is not a number is left out."""
    return [[allowed(key), float(value), time, int(step)] for key, value, step in values if math.isfinite(value)]


def dataset(name: str, summary: Mapping[str, Any], source: Path | None, samples: Path | None) -> dict[str, str]:
    """Return MLflow's description of a data set.

    Args:
        name: of the data set.
        summary: `data_summary.json`.
        source: the folder of raw files.
        samples: the rows that experiments read, a Parquet file; only its columns' names and types are read.
    """
    described = {
        "name": name,
        "digest": str(summary["digest"])[:DIGEST_LENGTH],
        "source_type": "local",
        "source": json.dumps({"uri": str(source) if source else name}),
        "profile": json.dumps({key: summary[key] for key in ("title", "rows", "features") if key in summary}),
    }
    if samples is not None and samples.is_file():
        from pyarrow import parquet

        columns = [
            {"type": COLUMN_TYPES.get(str(column.type), "string"), "name": column.name, "required": not column.nullable}
            for column in parquet.read_schema(samples)
        ]
        schema = json.dumps({"mlflow_colspec": columns})
        if len(schema) <= SCHEMA_LENGTH:
            described["schema"] = schema
    return described


def model(folder: Path) -> dict[str, Any]:
    """Return an exported model's name, parameters and metrics, as its `MLmodel` has them."""
    from mlflow.models import Model

    metadata = Model.load(folder).metadata or {}
    numbers = {
        key: float(value)
        for key, value in metadata.items()
        if key.startswith(("test_", "validation_")) and isinstance(value, int | float) and math.isfinite(value)
    }
    settings = {key: value for key, value in metadata.items() if key not in numbers and not isinstance(value, Mapping)}
    return {
        "name": re.sub(r"[/:.%\"']", "_", str(metadata.get("experiment", folder.parent.name))),
        "params": {allowed(key): str(value)[:PARAM_LENGTH] for key, value in settings.items() if value is not None},
        "metrics": numbers,
    }


def allowed(key: str) -> str:
    """Return `key` as MLflow takes it: with `_` for other signs, of a part that is called '99.5%', say, and no `..`."""
    parts = re.sub(r"[^\w\-. :/]", "_", key).split("/")
    named = "/".join("_" if part.strip() in {"", ".", ".."} else part for part in parts)
    return posixpath.normpath(named)[:KEY_LENGTH].rstrip("/")


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Yield the leaves of nested settings under dotted names."""
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{name}.")
        else:
            yield name, value
