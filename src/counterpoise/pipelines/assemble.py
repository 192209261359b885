"""Bind the stages to an experiment: data sets get the experiment's name, parameters point to the blocks it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, Literal, NamedTuple

from kedro.pipeline import Pipeline

from counterpoise.config.retrained import RETRAINED
from counterpoise.experiments import BLOCKS, Experiment, Part, raw_folder

SHARED = frozenset({"seeds", "epochs", "pretrain", "finetune", "report", "compute", "selection", "peers"})
"""Blocks of parameters that all experiments read, unless their row chooses another one."""

CHOSEN = tuple(kind for kind in BLOCKS if kind != "evidence")
"""Blocks of parameters that results depend on, and that an experiment's row or one of its parts chooses."""


OF_THE_ROWS = frozenset({"samples", "encoding", "splits", "data_summary", "data_audit"})
"""Artifacts that the parts of an experiment share, unless they differ in their data."""

OF_ALL = frozenset({"feature_cache", "training_states"})
"""Artifacts that all experiments share."""


class Stage(NamedTuple):
    """A stage, the rows that have it, and how its pipeline is made for one of them.

    once_for: whether it exists once for the experiment, for each data set, for each part, or for each `backbone`: for
        each part, but outside of its namespace, since the rows that all parts share are drawn from what it can read.
    """

    name: str
    when: Callable[[Experiment], bool]
    create: Callable[[Experiment], Pipeline]
    once_for: Literal["experiment", "data", "backbone", "part"] = "part"


def _stage(name: str) -> Any:
    """Import the pipeline of a stage when it is put together: its nodes need torch, and names of artifacts do not."""
    return import_module(f"{__package__}.{name}.pipeline")


def _always(_: Experiment) -> bool:
    return True


def _trains(experiment: Experiment) -> bool:
    return experiment.variants is not None or experiment.frontier is not None or experiment.repairs is not None


def _audits(experiment: Experiment) -> bool:
    return not _trains(experiment)


def _refuses_small_groups(experiment: Experiment) -> bool:
    """Whether two groups have to be large enough: not of an audit, which compares none, nor of a scheduled retraining,
    which is not to end because of the rows that have arrived."""
    return _trains(experiment) and experiment.name != RETRAINED


def _heads(experiment: Experiment) -> bool:
    return experiment.variants is not None


def _frontier(experiment: Experiment) -> bool:
    return experiment.frontier is not None


def _has_objective(experiment: Experiment) -> bool:
    return experiment.objective is not None or experiment.divides("objective")


def _ready(experiment: Experiment) -> bool:
    """Whether a frontier stands on features that come ready, and not on the columns of a table."""
    return experiment.images or experiment.base == "model"


def _shared_backbone(experiment: Experiment) -> bool:
    return experiment.backbone is not None and not _backbones(experiment)


def _backbones(experiment: Experiment) -> bool:
    return experiment.divides("backbone")


def _report(experiment: Experiment, templates: Iterable[tuple[Stage, Pipeline]]) -> Pipeline:
    """Return the report of what the other stages leave, once for the experiment or once for each of its parts."""
    once = {f"params:{kind}" for kind in BLOCKS if getattr(experiment, kind) or experiment.divides(kind)}
    divided: set[str] = set()
    for stage, template in templates:
        if stage.once_for == "data" and not experiment.divides("dataset"):
            once |= template.datasets()
        else:
            divided |= template.all_outputs()
    parts = {part.name: part.key for part in experiment.parts}
    return _stage("fairness_report").create_pipeline(once, divided, parts=parts, view=experiment.view)


STAGES = (
    Stage("extract_features", _shared_backbone, lambda _: _stage("extract_features").create_pipeline(), "data"),
    Stage("extract_features", _backbones, lambda _: _stage("extract_features").read_pipeline(), "data"),
    Stage("read_pixels", lambda e: e.convnet is not None, lambda _: _stage("read_pixels").create_pipeline(), "data"),
    Stage(
        "data_split",
        _always,
        lambda e: _stage("data_split").create_pipeline(images=e.images, compares=_refuses_small_groups(e)),
        "data",
    ),
    Stage("extract_features", _backbones, lambda _: _stage("extract_features").extract_pipeline(), "backbone"),
    Stage("data_audit", _always, lambda e: _stage("data_audit").create_pipeline(images=e.images), "data"),
    Stage("data_audit", _audits, lambda _: _stage("data_audit").page_pipeline(), "experiment"),
    Stage(
        "pretrain",
        _trains,
        lambda e: _stage("pretrain").create_pipeline(e.base, networks=e.repairs is not None, frontier=_frontier(e)),
    ),
    Stage("group_fisher", _heads, lambda _: _stage("group_fisher").create_pipeline()),
    Stage("weighted_svd", _heads, lambda e: _stage("weighted_svd").create_pipeline(trained=e.base == "model")),
    Stage(
        "finetune",
        _heads,
        lambda e: _stage("finetune").create_pipeline(retrain=e.retrain is not None),
    ),
    Stage("frontier", _frontier, lambda e: _stage("frontier").create_pipeline(ready=_ready(e))),
    Stage("peers", _frontier, lambda e: _stage("peers").create_pipeline(ready=_ready(e))),
    Stage("select", _frontier, lambda e: _stage("select").create_pipeline(ready=_ready(e), base=e.base)),
    Stage(
        "repair",
        lambda e: e.repairs is not None,
        lambda e: _stage("repair").create_pipeline(images=e.images, objective=_has_objective(e)),
    ),
)
"""The stages before the report, in order: an experiment has those that the fields of its row ask for."""


def _templates(experiment: Experiment) -> list[tuple[Stage, Pipeline]]:
    """Return an experiment's stages with their pipelines, unbound, in order; the report's follows from the others."""
    before = [(stage, stage.create(experiment)) for stage in STAGES if stage.when(experiment)]
    if _audits(experiment):
        return before
    report = Stage("fairness_report", _always, lambda e: _report(e, before), "experiment")
    return [*before, (report, report.create(experiment))]


def stages(experiment: Experiment) -> list[tuple[str, Pipeline]]:
    """Return the names of an experiment's stages with their pipelines, unbound, in order."""
    return [(stage.name, template) for stage, template in _templates(experiment)]


def assemble(experiment: Experiment) -> Pipeline:
    """Return the experiment's pipeline: a part is a namespace, which Kedro-Viz shows as one box, its stages within."""
    bound = []
    for stage, template in _templates(experiment):
        once = stage.once_for == "experiment" or (stage.once_for == "data" and not experiment.divides("dataset"))
        parts = () if once else experiment.parts
        bound += [_bind(stage, template, experiment, part) for part in parts or (None,)]
    return Pipeline(bound)


def audits(experiments: Iterable[Experiment]) -> tuple[Experiment, ...]:
    """Return an audit of each data set that experiments read as a table; what parts change in it is not audited."""
    tables = (each.dataset for each in experiments if not each.images and not each.divides("dataset"))
    return tuple(
        Experiment(name=f"audit_{dataset}", title="What do the data say before any model is trained?", dataset=dataset)
        for dataset in dict.fromkeys(tables)
    )


def artifact(owner: str, name: str) -> str:
    """Return an artifact's name in the catalog; Kedro keeps the dot for namespaces."""
    return f"{owner}__{name}"


def owner(experiment: Experiment, part: Part) -> str:
    """Return the name under which a part's own artifacts stand in the catalog."""
    return artifact(experiment.name, part.key)


def table_of(experiment: Experiment, part: Part | None = None) -> str:
    """Return the name under which a table stands in the catalog: the block's, or the part's that changes the block."""
    if part is None or part.dataset is None or isinstance(part.dataset, str):
        return _block(experiment, part)
    return owner(experiment, part)


def raw_of(experiment: Experiment, part: Part | None = None) -> str:
    """Return the name of the raw files in the catalog."""
    return artifact(raw_folder(_block(experiment, part)), "raw")


def _block(experiment: Experiment, part: Part | None) -> str:
    return part.dataset if part is not None and isinstance(part.dataset, str) else experiment.dataset


def parameter(name: str, experiment: Experiment, part: Part | None = None) -> str:
    """Return the path of the block that the stages' `params:<name>` stands for in this experiment or part of it."""
    if part is not None and name in part.overrides:
        return f"parts.{experiment.name}.{part.key}.{name}"
    chosen = getattr(part, name, None) or getattr(experiment, name, None)
    return name if chosen is None else f"{BLOCKS[name]}.{chosen}"  # without a choice, all experiments read one block


def blocks(read: Mapping[str, Any], experiment: Experiment) -> dict[str, Any]:
    """Return the blocks of parameters that were read, under the names the stages use; a part's own under its name.

    Args:
        read: path of a block (`parameter`) → its value.
    """
    named = {name: parameter(name, experiment) for name in sorted({*SHARED, *CHOSEN})}
    settings = {name: read[path] for name, path in named.items() if path in read}
    for part in experiment.parts:
        chosen = {name: parameter(name, experiment, part) for name in CHOSEN if getattr(part, name, None) is not None}
        settings[part.name] = {name: read[path] for name, path in chosen.items() if path in read}
    return settings


def _bind(stage: Stage, template: Pipeline, experiment: Experiment, part: Part | None) -> Pipeline:
    def dataset(name: str) -> str:
        if name in OF_ALL:
            return name
        if name == "raw":
            return raw_of(experiment, part)
        if name == "model_files":
            return artifact(str(experiment.trees or experiment.model), "raw")
        if name in {"table", "left_out"}:
            return artifact(table_of(experiment, part), name)
        if name == "readable" and part is None and _backbones(experiment):
            return artifact(owner(experiment, experiment.parts[0]), name)
        if part is None or name == "run" or (name in OF_THE_ROWS and not experiment.divides("dataset")):
            return artifact(experiment.name, name)
        if name in {"features", "backbone_head"} and _shared_backbone(experiment):
            return artifact(experiment.name, name)
        return artifact(owner(experiment, part), name)

    inputs = template.inputs()
    path = [stage.name] if part is None else [part.key, stage.name]
    return Pipeline(
        template,
        namespace=".".join(reversed(path) if stage.once_for == "backbone" else path),
        inputs={name: dataset(name) for name in inputs if not name.startswith("params:")},
        outputs={name: dataset(name) for name in template.all_outputs()},
        parameters={
            name: f"params:{parameter(name.removeprefix('params:'), experiment, part)}"
            for name in inputs
            if name.startswith("params:")
        },
        tags=[stage.name, experiment.name],
    )
