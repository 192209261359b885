"""predictions → metrics → summary and claims → sections → report, model card, figures."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.fairness_report.apart import score_apart
from counterpoise.pipelines.fairness_report.impact import assess, find_alternatives, write_impact_page
from counterpoise.pipelines.fairness_report.nodes import ReportWriter, floors, measure, pick_examples, summarize
from counterpoise.pipelines.fairness_report.parts import join_data, join_parts, project
from counterpoise.reporting.sections import VIEW, Producer, applicable

JOINED = ("metrics", "predictions", "learning_curves", "repairs", "curves", "pruned_layers", "mask_agreement", "costs")
"""Tables of the parts that leave the experiment as one, where the parts make them."""

FACTS = ("summary", "claims", "predictions", "noise_floors", "data_summary", "run")
SETTINGS = ("params:dataset", "params:report")
"""What every report is written from."""

EVIDENCE = "params:evidence"
"""What an experiment's claims and published numbers are written from, where `shared` has it."""


def create_pipeline(
    shared: Collection[str],
    divided: Collection[str],
    *,
    parts: Mapping[str, str] | None = None,
    view: str | None = None,
) -> Pipeline:
    """Return the stage with unbound names.

    Args:
        shared: artifacts that the experiment has once, and `params:<block>` of the blocks that its row chooses.
        divided: artifacts that each of its parts has; without parts those of the stages within.
        parts: name → key of the experiment's parts, whose results are measured apart and joined.
        view: the figure that shows the parts side by side.
    """
    keys = [f"{key}__" for key in (parts or {}).values()] or [""]
    nodes = [_measured(key, shared, divided) for key in keys]
    divided = {*divided, "metrics"}
    if parts:
        joined = [kind for kind in JOINED if kind in divided]
        nodes += [Node(join_parts, _of_all(kind, keys), kind, name=f"join_{kind}") for kind in joined]
        if "data_summary" in divided:
            nodes.append(Node(join_data, _of_all("data_summary", keys), "data_summary", name="join_data_summary"))
    summarized = {"metrics": "metrics", "report": "params:report"}
    if EVIDENCE in shared:
        summarized["evidence"] = EVIDENCE
    nodes += [
        Node(summarize, summarized, ["summary", "claims"], name="summarize"),
        Node(floors, ["predictions", "params:dataset", "run"], "noise_floors", name="noise_floors"),
    ]
    if "backbone_head" in {*shared, *divided}:
        shown = ["predictions", "samples", "raw", "params:dataset", "params:report"]
        nodes.append(Node(pick_examples, shown, "example_images", name="pick_examples"))
        shared = {*shared, "example_images"}
    if view == "representation":
        nodes += [_projected(key, divided) for key in keys]
        divided = {*divided, "components"}
    if {"params:variants", "params:frontier"} & set(shared):
        nodes += _impact(shared, divided)
        shared = {*shared, *(name for node in nodes for name in node.outputs if name == "scored_only")}
    producers = applicable({*shared, *divided, *FACTS, f"{VIEW}{view}"})
    return Pipeline([*nodes, _report(producers, keys, {*shared, *divided}, divided)])


def _of_all(kind: str, keys: Collection[str]) -> dict[str, str]:
    """Return the inputs of a node that joins what all parts have of one kind."""
    return {name: name for name in ("run", *(f"{key}{kind}" for key in keys))}


def _measured(key: str, shared: Collection[str], divided: Collection[str]) -> Node:
    """Measure one part; of an experiment on heads the features too."""
    inputs = {"predictions": f"{key}predictions", "dataset": "params:dataset", "report": "params:report"}
    heads = "chosen_models" if "chosen_models" in divided else "finetuned_heads"
    if heads in divided:
        names = {"samples": "samples", "splits": "splits", "heads": heads}
        if "features" in {*shared, *divided}:  # a frontier on a table has bases of several kinds
            names["features"] = "features"
        inputs |= {argument: _of(name, key, divided) for argument, name in names.items()}
    inputs |= {name: f"{key}{name}" for name in ("repairs", "retrained") if name in divided}
    return Node(measure, inputs, f"{key}metrics", name=f"measure_{key.removesuffix('__')}".removesuffix("_"))


def _impact(shared: Collection[str], divided: Collection[str]) -> list[Node]:
    """Say what every category of people receives from the models; with a frontier, which other models there are."""
    settings = {name.removeprefix("params:"): name for name in SETTINGS}
    assessed = settings | {name: name for name in ("predictions", "samples")}
    if "readable" not in {*shared, *divided}:  # else an image that could not be read is a row of the table alone
        assessed["table"] = "table"
    page = settings | {name: name for name in ("impact", "data_summary", "run")}
    nodes = [Node(assess, assessed, "impact", name="assess_impact")]
    if {"frontier_outcomes", "selection", "model"} <= set(divided):
        compared = ["frontier_outcomes", "selection", "samples", "splits", "params:dataset"]
        nodes.append(Node(find_alternatives, compared, "alternatives", name="find_alternatives"))
        page |= {name: name for name in ("alternatives", "model")}
        if "table" in assessed:
            apart = ["raw", *SETTINGS, "model"]
            nodes.append(Node(score_apart, apart, "scored_only", name="score_apart"))
            page |= {"scored_only": "scored_only"}
    return [*nodes, Node(write_impact_page, page, ["impact_html", "impact_json"], name="write_impact_page")]


def _projected(key: str, divided: Collection[str]) -> Node:
    inputs = [_of(name, key, divided) for name in ("pretrained", "features", "samples", "splits")]
    return Node(project, inputs, f"{key}components", name=f"project_{key.removesuffix('__')}")


def _of(name: str, key: str, divided: Collection[str]) -> str:
    return f"{key}{name}" if name in divided else name


def _report(producers: list[Producer], keys: list[str], available: set[str], divided: Collection[str]) -> Node:
    """Hand over what the sections take, and save the figures among them, each under its name."""
    names = sorted({name for producer in producers for name in producer.takes if name in available})
    of_parts = [name for name in names if name in divided and name not in (*JOINED, *FACTS)]
    inputs = {name: name for name in (*FACTS, *names) if name not in of_parts}
    inputs |= {f"{key}{name}": f"{key}{name}" for name in of_parts for key in keys}
    inputs |= {name.removeprefix("params:"): name for name in (*SETTINGS, *({EVIDENCE} & available))}
    figures = {producer.name: f"figure_{producer.name}" for producer in producers if producer.is_figure}
    documents = {name: name for name in ("report_html", "report_json", "model_card")}
    writer = ReportWriter(tuple(producers), tuple(of_parts))
    return Node(writer.write_report, inputs, figures | documents, name="write_report")
