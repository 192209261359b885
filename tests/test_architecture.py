"""The rules that the folders promise: who may import whom, what stands beside what, what the configuration names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from kedro.utils import load_obj

import counterpoise
from counterpoise.artifacts import datasets as storage
from counterpoise.catalogue import METHODS
from counterpoise.data import READERS
from counterpoise.experiments import DEFAULT, EXPERIMENTS, Experiment
from counterpoise.pipeline_registry import register_pipelines
from counterpoise.pipelines.assemble import artifact, blocks, owner, parameter, raw_of, stages

PACKAGE = Path(counterpoise.__file__).parent
REPOSITORY = PACKAGE.parents[1]
MODULES = sorted(PACKAGE.rglob("*.py"))

EVERY_ROOM = {
    *("pipelines", "config", "artifacts", "tracking", "retraining", "features", "reporting", "methods", "data"),
    *("nn", "fairness"),
}
MAY_IMPORT = {
    "nn": set(),
    "fairness": set(),
    "data": {"fairness"},
    "methods": {"nn", "fairness"},
    "features": {"nn", "fairness"},
    "reporting": {"fairness"},
    "config": {"data", "methods", "retraining", "nn", "fairness"},
    "artifacts": {"methods", "retraining", "features", "nn", "fairness"},
    "pipelines": {"config", "artifacts", "methods", "retraining", "features", "reporting", "data", "nn", "fairness"},
    "tracking": set(),
    "retraining": {"fairness"},
    "hooks": EVERY_ROOM,
    "commands": {*EVERY_ROOM, "hooks"},
}
SHARED = {"errors", "bounds", "catalogue", "atomic", "compute"}
"""Root modules that every room may import; those that know the project may also import its own."""
PROJECT = {
    **{room: {"experiments"} for room in ("pipelines", "config")},
    **{room: {"experiments", "registered", "pipeline_registry"} for room in ("hooks", "commands")},
}

FOREIGN = {
    "nn": {"kedro", "kedro_datasets", "mlflow", "pandas"},
    "methods": {"kedro", "kedro_datasets", "mlflow", "pandas"},
    "fairness": {"kedro", "kedro_datasets", "mlflow"},
    "retraining": {"kedro", "kedro_datasets", "mlflow", "pandas"},
    "data": {"kedro", "kedro_datasets", "mlflow"},
    "reporting": {"kedro", "kedro_datasets", "mlflow"},
    "tracking": {"kedro", "kedro_datasets"},
}
FILELESS = ("nn", "methods", "fairness", "retraining")
OPENERS = {"pathlib", "os", "io", "tempfile", "shutil", "pickle", "safetensors"}
"""Libraries through which files are opened."""
REGISTERED = register_pipelines()
LONGEST = 400
"""Lines of a file that one still reads."""


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> list[str]:
    """Return the dotted names that a module imports, in functions too."""
    names = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)} imports relatively"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_import_only_downwards(room: str) -> None:
    allowed = {room, *MAY_IMPORT[room], *SHARED, *PROJECT.get(room, set())}
    wrong = [
        (name(path), module)
        for path in (PACKAGE / room).rglob("*.py")
        for module in imports(path)
        if module.split(".")[0] in FOREIGN.get(room, set())
        or (module.startswith("counterpoise.") and module.split(".")[1] not in allowed)
    ]
    assert wrong == []


METHOD_ROOMS = {
    "heads": set(),
    "rules": {"heads"},
    "bases": {"heads", "rules"},
    "peers": {"heads"},
    "weights": set(),
    "gates": {"heads"},
    "selection": {"frontier"},
}
"""Which rooms of `methods` a room of it imports; `frontier`, a module beside them, stands on several."""


def run_time_imports(path: Path) -> Iterator[str]:
    """Yield what a module imports when it runs: not what is there for a type checker alone."""
    tree = ast.parse(path.read_text())  # is changed, so that it is no one else's
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_rooms_of_methods_import_only_downwards() -> None:
    """What all rooms share stands on none of them."""
    wrong = []
    for path in (PACKAGE / "methods").rglob("*.py"):
        room, *below = path.relative_to(PACKAGE / "methods").parts
        modules = [module for module in run_time_imports(path) if module.startswith("counterpoise.methods.")]
        rooms = {module.split(".")[2] for module in modules} & {*METHOD_ROOMS, "frontier"}
        allowed = {room, *METHOD_ROOMS[room]} if below else set()
        if room not in ("frontier.py", "__init__.py") and not rooms <= allowed:
            wrong.append((name(path), rooms - allowed))
    assert wrong == []


def test_the_rule_of_methods_would_notice() -> None:
    assert {path.name for path in (PACKAGE / "methods").iterdir() if (path / "__init__.py").exists()} == {*METHOD_ROOMS}
    ground = set(run_time_imports(PACKAGE / "methods" / "bases" / "ground.py"))
    assert "counterpoise.methods.rules.joint.GroupTrees" in ground
    problem = PACKAGE / "methods" / "heads" / "problem.py"
    assert "counterpoise.methods.bases.ground.Ground" in set(imports(problem)) - set(run_time_imports(problem))


@pytest.mark.parametrize("room", FILELESS)
def test_rooms_that_compute_open_no_files(room: str) -> None:
    wrong = []
    for path in (PACKAGE / room).rglob("*.py"):
        calls = {ast.unparse(node.func) for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)}
        opened = calls & {"open", "torch.load", "torch.save", "torch.hub.load"}
        opened |= {module.split(".")[0] for module in imports(path)} & OPENERS
        wrong += [(name(path), opened)] if opened else []
    assert wrong == []


def test_the_rule_would_notice() -> None:
    """Every room is known, and the names that the rule compares are those that modules import."""
    assert {path.relative_to(PACKAGE).parts[0] for path in MODULES if path.parent != PACKAGE} == set(MAY_IMPORT)
    assert "counterpoise.errors.InputError" in set(imports(PACKAGE / "config" / "parameters.py"))
    assert "counterpoise.nn.Factors" in set(imports(PACKAGE / "methods" / "heads" / "variants.py"))
    assert "mlflow.entities.Metric" in set(imports(PACKAGE / "tracking" / "store.py"))


@pytest.mark.parametrize("folder", ["src/counterpoise", "tests", "benchmarks"])
def test_files_are_short_and_say_what_they_are(folder: str) -> None:
    lines = {path: path.read_text().count("\n") for path in (REPOSITORY / folder).rglob("*.py")}
    assert {str(path): count for path, count in lines.items() if count > LONGEST} == {}
    assert [str(path) for path in lines if path.name != "__init__.py" and not ast.get_docstring(parsed(path))] == []


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
class TestExperiments:
    def test_assembles_into_stages_in_order(self, experiment: Experiment) -> None:
        pipeline = REGISTERED[experiment.name]
        order = list(dict.fromkeys(name for name, _ in stages(experiment)))
        assert {stage_of(node) for node in pipeline.nodes} == set(order)
        for node in pipeline.nodes:
            makers = [other for other in pipeline.nodes if set(other.outputs) & set(node.inputs)]
            assert all(order.index(stage_of(maker)) <= order.index(stage_of(node)) for maker in makers)

    def test_reads_blocks_that_are_there(self, experiment: Experiment, base: dict[str, Any]) -> None:
        learnt = next(kind for kind in ("repairs", "frontier", "variants") if getattr(experiment, kind))
        for kind in ("dataset", "evidence", learnt):
            block: Any = base
            for part in parameter(kind, experiment).split("."):
                block = block[part]
            assert block
            assert kind == "evidence" or blocks({parameter(kind, experiment): block}, experiment)[kind] == block
            assert kind != "dataset" or block["reader"] in READERS
        bases = (experiment.network, experiment.boosting, experiment.backbone, experiment.convnet)
        trains_bases = experiment.frontier is not None and not experiment.images
        assert sum(kind is not None for kind in bases) == (0 if trains_bases else 1)

    def test_leaves_the_contract(self, experiment: Experiment, catalog: DataCatalog) -> None:
        """Every result is a file at the place that DESIGN.md gives it."""
        made = REGISTERED[experiment.name].all_outputs()
        paths = {storage.path_of(catalog.get(name)) for name in made}
        assert None not in paths, "an output is not in the catalog"
        results = {str(path).removeprefix(f"{REPOSITORY}/") for path in paths}
        own = experiment.name
        owners = [owner(experiment, part) for part in experiment.parts] or [own]
        heads = HEAD_MODELS if experiment.frontier is None else FRONTIER_MODELS
        if experiment.repairs is not None:
            heads = REPAIRED_MODELS
        tables = REPORTS if experiment.frontier is None else (*REPORTS, *FRONTIER_TABLES)
        assert results >= {
            *(f"data/06_models/{name}/{file}" for name in owners for file in heads),
            f"data/07_model_output/{own}/predictions.parquet",
            *(f"data/08_reporting/{own}/{name}" for name in tables),
        }
        assert len(paths) == len(made), "two outputs are the same file"

    def test_reads_what_is_made_or_raw(self, experiment: Experiment) -> None:
        pipeline = REGISTERED[experiment.name]
        free = {name for name in pipeline.inputs() if not name.startswith("params:")}
        shared = {"feature_cache", "training_states", artifact(experiment.name, "run")}
        assert free <= {*shared, *(raw_of(experiment, part) for part in (None, *experiment.parts))}

    def test_a_part_is_a_namespace(self, experiment: Experiment) -> None:
        """Kedro-Viz shows one box for each part; what the parts share, and the report, stand beside them."""
        boxes = {str(node.namespace).split(".")[0] for node in REGISTERED[experiment.name].nodes}
        shared = {"data_audit", "data_split", "extract_features", "fairness_report", "read_pixels"}
        keys = {part.key for part in experiment.parts}
        assert boxes - shared == keys if keys else boxes == {name for name, _ in stages(experiment)}
        if experiment.divides("dataset"):
            assert boxes == {*keys, "fairness_report"}


REPORTS = ("metrics.parquet", "summary.csv", "claims.csv", "report.html", "report.json", "model_card.md")
HEAD_MODELS = ["pretrained.safetensors", "finetuned_heads.safetensors"]
FRONTIER_MODELS = [*(f"{name}.safetensors" for name in ("bases", "frontier_models", "chosen_models")), "model"]
REPAIRED_MODELS = [f"{name}.safetensors" for name in ("pretrained", "repaired", "masks", "compact_networks")]
FRONTIER_TABLES = ("frontier.parquet", "selection.csv", "tolerances.csv", "hypervolumes.csv", "judged_counts.parquet")


def stage_of(node: Node) -> str:
    """Return the stage of a node: a part's key stands beside it in the namespace."""
    return next(name for name in str(node.namespace).split(".") if (PACKAGE / "pipelines" / name).is_dir())


def test_names_are_unique_and_the_default_is_one_of_them() -> None:
    names = [experiment.name for experiment in EXPERIMENTS]
    assert len(set(names)) == len(names)
    assert DEFAULT in names
    assert REGISTERED["__default__"].nodes == REGISTERED[DEFAULT].nodes
    assert all(isinstance(pipeline, Pipeline) for pipeline in REGISTERED.values())


TEMPLATES: dict[str, list[Pipeline]] = {}
for _experiment in EXPERIMENTS:
    for _stage, _template in stages(_experiment):
        TEMPLATES.setdefault(_stage, []).append(_template)


@pytest.mark.parametrize("stage", TEMPLATES)
def test_a_stages_readme_names_what_comes_in_and_what_goes_out(stage: str) -> None:
    readme = (PACKAGE / "pipelines" / stage / "README.md").read_text()
    assert readme.startswith(f"# {stage}\n")
    artifacts = {name for template in TEMPLATES[stage] for name in (*template.inputs(), *template.outputs())}
    names = {name.rpartition("__")[2] for name in artifacts}  # a part's key goes before
    assert names - set(re.findall(r"`([\w:]+)`", readme)) == set()


def test_every_stage_has_a_readme() -> None:
    folders = [path.parent for path in PACKAGE.glob("pipelines/*/pipeline.py")]
    assert [folder.name for folder in folders if not (folder / "README.md").exists()] == []


ENVIRONMENTS = sorted(path.name for path in (REPOSITORY / "conf").iterdir() if path.is_dir())


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_catalog_names_classes_validators_and_generators_that_exist(environment: str) -> None:
    for file in (REPOSITORY / "conf" / environment).glob("catalog*.yml"):
        for entry in yaml.safe_load(file.read_text()).values():
            validator = entry.get("validator")
            if isinstance(validator, dict):
                validator = validator["class"]
            dotted = filter(None, [entry["type"], entry.get("generator"), validator])
            assert all(callable(load_obj(path)) for path in dotted)
            assert "layer" in entry["metadata"]["kedro-viz"]


@pytest.fixture(scope="module")
def base() -> dict[str, Any]:
    blocks: dict[str, Any] = {}
    for path in sorted((REPOSITORY / "conf" / "base").glob("parameters*.yml")):
        blocks |= yaml.safe_load(path.read_text())
    return blocks


@pytest.fixture(scope="module")
def catalog() -> DataCatalog:
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(REPOSITORY)
    with KedroSession.create(REPOSITORY, env="base") as session:
        return session.load_context().catalog


PAPERS = {method.paper for method in METHODS if method.paper}
OF_PAPERS = (
    "methods/heads",
    "methods/weights",
    "methods/gates",
    "catalogue.py",
    "experiments.py",
    "commands/first_configuration.py",
)
"""Where papers are named: their families' modules, the catalogue, the experiments (those of a first configuration too);
and the evidence in conf/."""


def names_in(path: Path) -> Iterator[str]:
    """Yield the names and texts of a module's code; docstrings and comments cite their sources."""
    tree = parsed(path)
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=word) | ast.arg(arg=word) | ast.Attribute(attr=word) | ast.alias(name=word):
                yield word
            case ast.FunctionDef(name=word) | ast.ClassDef(name=word):
                yield word
            case ast.Constant(value=str(word)) if id(node) not in texts:
                yield word
    yield from path.relative_to(PACKAGE).with_suffix("").parts


def test_no_paper_is_named_outside_its_family() -> None:
    wrong = [
        (name(path), papers)
        for path in MODULES
        if not name(path).startswith(OF_PAPERS)
        and (papers := PAPERS & {word for text in names_in(path) for word in re.split(r"[\W_]+", text.lower())})
    ]
    assert wrong == []
