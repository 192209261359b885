"""Copy the tables of finished runs into docs/results and write the page that shows them.

    python benchmarks/collect_results.py [data/laptop]

Reads 08_reporting of the folder, of `data` if none is named; an experiment that has not been run there keeps the tables
that the documentation has of it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import torch

from counterpoise.artifacts.datasets import Checkpoint, read_checkpoint
from counterpoise.experiments import EXPERIMENTS, Experiment, Part
from counterpoise.pipelines.repair.nodes import describe_masks, read_masks
from counterpoise.reporting import wording

ROOT = Path(__file__).parents[1]
DATA = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "data"
PAGES = ROOT / "docs" / "results"
RUNS, MODELS = DATA / "08_reporting", DATA / "06_models"
COPIED = ("claims.csv", "selection.csv", "hypervolume_differences.csv")
METRICS = ("err", "delta_eo", "delta_dp")
TABLES = {
    "Repairs in the paper's form": "repairs",
    "Repairs": "how_chosen",
    "The best epoch beside the last": "best_and_last",
    "Quality of the critic": "critic",
    "What pruning saves": "costs",
}
"""Tables of reports on repairs, by title; those of a part are `how_chosen_<part>`."""
FOUND = "Sub-networks"
OF_SUBNETWORKS = ("accuracy", "conflicting_accuracy", "unbiased_average", "information")
BESIDE = ("best_and_last", "critic", "costs", "mask_agreement", "pruned_layers")
FIRST, SECOND = "mask_only", "external_graft"
"""Methods whose masks are two discoveries of one network."""
LONGEST = 40
"""Variants that a table of the page shows; a longer one is left to its file."""

INTRODUCTION = """# Results

Measured on real data, mean ± standard deviation on the test part, with what the paper prints in brackets: ten seeds,
five of `frontier_lfwa`, and three where whole ResNets were trained (`alter_cifar10s`, `alter_cifar10s_skew`,
`teacher_prune_cifar10s`, `alter_celeba`, `ffw_celeba`, `ffw_corrupted_cifar10`);
these, `ffw_biased_mnist` and `ffw_multicolor_mnist` at the CPU size of the environment `laptop`.
The files behind each table lie beside this page, which is written by `benchmarks/collect_results.py`. What follows from
the numbers is in [Replication](../replication.md), [The frontier](../frontier.md) and
[Altering the weights](../altering.md), [Unbiased sub-networks](../subnetworks.md).

The experiments on images ran in the environment `laptop`: the first 10,000 CelebA faces at half size, 13,224 LFW faces,
features of EfficientNet-Lite0 at 128 pixels in float32; the paper uses ResNet-18 and all of CelebA. The attribute Heavy
Makeup of this LFW sample is a stand-in, the score of a linear classifier. `architectures_celeba` and
`architectures_lfwa` need weights that torchvision downloads and have not been run; `architectures_celeba_lite` and
`architectures_lfwa_lite` ask the same of three networks whose weights are packages.
"""


def collect(experiment: Experiment) -> None:
    """Copy an experiment's small tables."""
    source, target = RUNS / experiment.name, PAGES / experiment.name
    if not (source / "summary.csv").is_file():
        return
    if json.loads((source / "report.json").read_text())["lineage"]["environment"] == "smoke":
        return
    target.mkdir(parents=True, exist_ok=True)
    summary = pd.read_csv(source / "summary.csv")
    keep = [*METRICS, "auc", "balanced_accuracy", "leakage"]
    gates = "information" in set(summary["metric"])
    if gates:
        keep += OF_SUBNETWORKS
    summary[summary["metric"].isin(keep)].to_csv(target / "summary.csv", index=False, float_format="%.6g")
    for name in COPIED:
        if (source / name).is_file():
            pd.read_csv(source / name).to_csv(target / name, index=False, float_format="%.6g")
    if gates:
        subnetworks(source, target)
    elif experiment.repairs is not None:
        repairs(source, target)
    if (source / "tolerances.csv").is_file():
        sweep = pd.read_csv(source / "tolerances.csv")
        keys = ["family", "criterion", "tolerance"]
        means = sweep.groupby(keys, sort=False)[["test_err", "test_bias", "meets"]].mean().reset_index()
        means.to_csv(target / "tolerances.csv", index=False, float_format="%.6g")


def subnetworks(source: Path, target: Path) -> None:
    """Write the tables of a report on sub-networks, those of all parts in one."""
    tables = json.loads((source / "report.json").read_text())["tables"]
    frames = {table["title"]: pd.DataFrame(table["rows"], columns=table["columns"]) for table in tables}
    for title, name in TABLES.items():
        if title in frames:
            frames[title].to_csv(target / f"{name}.csv", index=False)
    parts = {title.partition(": ")[2]: frame for title, frame in frames.items() if title.startswith(FOUND)}
    for part, frame in parts.items():
        if part:
            frame.insert(0, "Part", part)
    pd.concat(parts.values()).to_csv(target / "subnetworks.csv", index=False)


def repairs(source: Path, target: Path) -> None:
    """Write the tables of a report on repairs, and what its masks prune and share."""
    for table in json.loads((source / "report.json").read_text())["tables"]:
        name = TABLES.get(table["title"]) or f"how_chosen_{Part(table['title'].removeprefix('Repairs: ')).key}"
        pd.DataFrame(table["rows"], columns=table["columns"]).to_csv(target / f"{name}.csv", index=False)
    owners = [path for path in MODELS.glob(f"{source.name}*") if path.name.partition("__")[0] == source.name]
    found = {path.name.partition("__")[2]: read_checkpoint(path / "masks.safetensors") for path in sorted(owners)}
    described = {part: describe_masks(masks) for part, masks in found.items()}
    layers = pd.concat([own.assign(part=part) for part, (own, _) in described.items()])
    keys = ["part", "mask", "position", "layer"]
    means = layers.groupby(keys, sort=False)["pruned"].agg(["mean", "std"]).reset_index()
    means.to_csv(target / "pruned_layers.csv", index=False, float_format="%.6g")
    pairs = [own.assign(part=part, networks="two") for part, (_, own) in described.items()]
    pairs += [one_network(masks).assign(part=part, networks="one") for part, masks in found.items()]
    by = pd.concat(pairs).groupby(["part", "networks", "mask"])
    shared = by[["iou", "chance"]].agg(["mean", "min", "max"])
    shared.columns = ["_".join(name) for name in shared.columns]
    shared.insert(0, "pairs", by.size())
    shared.reset_index().to_csv(target / "mask_agreement.csv", index=False, float_format="%.6g")


def one_network(masks: Checkpoint) -> pd.DataFrame:
    """Return how far two discoveries agree that started from the same network: `mask, iou, chance`, a row per seed."""
    pairs, by_name = [], read_masks(masks)
    if SECOND not in by_name:
        return pd.DataFrame(columns=["mask", "iou", "chance"])
    for place, seed in enumerate(masks.header["seeds"]):
        both = {
            name: torch.stack([mask[place] for mask in same])
            for name, *same in zip(by_name[FIRST], by_name[FIRST].values(), by_name[SECOND].values(), strict=True)
        }
        tensors = {f"both.{name}": pair for name, pair in both.items()}
        header = masks.header | {"seeds": [seed, seed], "layers": {"both": list(both)}}
        pairs.append(describe_masks(Checkpoint(tensors, header))[1])
    return pd.concat(pairs).assign(mask=f"{FIRST} and {SECOND}")


def section(experiment: Experiment) -> str:
    """Return an experiment's part of the page."""
    folder = PAGES / experiment.name
    if not (folder / "summary.csv").is_file():
        return ""
    summary = pd.read_csv(folder / "summary.csv")
    lines = [f"## `{experiment.name}`", "", experiment.title, ""]
    variants = list(dict.fromkeys(summary["variant"]))
    if experiment.repairs is not None:
        shown = next(folder / name for name in ("subnetworks.csv", "repairs.csv") if (folder / name).is_file())
        table = pd.read_csv(shown, dtype=str, keep_default_na=False)
        escaped = [[cell.replace("|", "\\|") for cell in row] for row in [list(table), *table.to_numpy().tolist()]]
        lines += ["| " + " | ".join(escaped[0]) + " |", "|" + "---|" * table.shape[1]]
        lines += ["| " + " | ".join(row) + " |" for row in escaped[1:]]
        files = [*sorted(folder.glob("how_chosen*.csv")), *(folder / f"{name}.csv" for name in BESIDE)]
        links = [f"[{file.name}]({experiment.name}/{file.name})" for file in files if file.is_file()]
        lines += ["", f"How each was chosen, and what else is known of them: {', '.join(links)}."]
    elif len(variants) <= LONGEST:
        lines += ["| variant | " + " | ".join(map(wording.metric_label, METRICS)) + " |", "|---|---|---|---|"]
        for variant in variants:
            own = summary[summary["variant"] == variant].set_index("metric")
            lines.append(f"| {variant} | " + " | ".join(_cell(own, metric) for metric in METRICS) + " |")
    else:
        lines.append(f"{len(variants)} variants: [summary.csv]({experiment.name}/summary.csv).")
        spread = summary[summary["metric"].isin(METRICS)].groupby("metric", sort=False)["mean"].agg(["min", "max"])
        lines += ["", "| | lowest mean | highest mean |", "|---|---|---|"]
        lines += [
            f"| {wording.metric_label(str(metric))} | {wording.number(row['min'], str(metric))} "
            f"| {wording.number(row['max'], str(metric))} |"
            for metric, row in spread.iterrows()
        ]
    claims = pd.read_csv(folder / "claims.csv")
    if len(claims):
        counts = ", ".join(f"{verdict}: {count}" for verdict, count in claims["verdict"].value_counts().items())
        lines += ["", f"Claims tested: {len(claims)} ({counts}): [claims.csv]({experiment.name}/claims.csv)."]
    for figure in sorted((PAGES / "figures").glob(f"{experiment.name}-*.png")):
        lines += ["", f"![{experiment.title}](figures/{figure.name})"]
    return "\n".join([*lines, ""])


def _cell(own: pd.DataFrame, metric: str) -> str:
    if metric not in own.index:
        return "n/a"
    row = own.loc[metric]
    ours = wording.plus_minus(row["mean"], row["std"], metric)
    if pd.isna(row["reported"]):
        return ours
    return f"{ours} ({wording.reported(row['reported'], row['reported_std'], metric)})"


def main() -> None:
    for experiment in EXPERIMENTS:
        collect(experiment)
    sections = [section(experiment) for experiment in EXPERIMENTS]
    (PAGES / "index.md").write_text("\n".join([INTRODUCTION, *filter(None, sections)]))


if __name__ == "__main__":
    main()
