"""No run may say what did not happen: what is read from an earlier run must be what this one would have made."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

import counterpoise
from counterpoise.artifacts.lineage import FOLDER, Record, parse_record, source_digest
from counterpoise.config.parameters import Parameters, check
from counterpoise.errors import InputError
from counterpoise.experiments import EXPERIMENTS
from counterpoise.hooks.provenance import RunDescription
from counterpoise.hooks.run_lineage import PARAMS, Lineage, software
from counterpoise.hooks.slices import Command
from counterpoise.pipeline_registry import register_pipelines

WIN = register_pipelines()["win_adult"]
STARTS = list({node.namespace: node.name for node in WIN.nodes}.values())
"""A node of each stage."""

PATIENCE = 120
"""Seconds after which a command of these tests is stuck."""


class Opened:
    """A project in which win_adult was run, and its parameters and catalog as a session sees them."""

    def __init__(self, project: Any) -> None:
        from kedro.framework.session import KedroSession

        project.bootstrap()
        self.project = project
        with KedroSession.create(project.path, env="smoke", runtime_params={"tracking": False}) as session:
            context = session.load_context()
            self.parameters: dict[str, Any] = context.config_loader["parameters"]
            self.catalog: DataCatalog = context.catalog
        self.checked = check(self.parameters)

    def lineage(
        self, pipeline: Pipeline, parameters: Mapping[str, Any] | Parameters | None = None, **params: Any
    ) -> Lineage:
        """Return the lineage of a run of some nodes, before its first."""
        checked = parameters if isinstance(parameters, Parameters) else check(parameters or self.parameters)
        command = Command({"runtime_params": params}, "smoke", ["win_adult"])
        return Lineage(checked, pipeline, self.catalog, command, "no commit")


@pytest.fixture(scope="module")
def opened(smoke: Any) -> Opened:
    return Opened(smoke)


@pytest.fixture
def finished(project: Any, smoke: Any) -> Opened:
    """A copy that a test may alter."""
    shutil.copytree(smoke.data, project.data)
    return Opened(project)


def leaves(block: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the paths of all values in nested blocks."""
    if isinstance(block, Mapping) and block:
        for key, value in block.items():
            yield from leaves(value, (*path, key))
    else:
        yield path


def changed(value: Any) -> Any:
    """Return another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 0.5
    if isinstance(value, list):
        return value[::-1] if len(value) > 1 else [*value, *value]
    return f"{value} changed"


def replaced(blocks: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return blocks with another value at a path."""
    first, *rest = path
    return dict(blocks) | {first: replaced(blocks[first], tuple(rest), value) if rest else value}


READ = sorted({name.removeprefix(PARAMS) for node in WIN.nodes for name in node.inputs if name.startswith(PARAMS)})
"""The blocks that win_adult's nodes read."""


def settings(opened: Opened) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """Yield block, path and another value of each setting that win_adult reads and that may be something else."""
    for block in READ:
        value: Any = opened.parameters
        for part in block.split("."):
            value = value[part]
        for path in leaves(value, tuple(block.split("."))):
            old: Any = opened.parameters
            for part in path:
                old = old[part]
            try:
                check(replaced(opened.parameters, path, changed(old)))
            except InputError:
                continue  # not a value that a user can give
            yield block, path, changed(old)


def test_every_setting_at_every_stage(opened: Opened) -> None:
    """A slice is refused exactly if a node that it leaves out, and whose results it reads, reads what has changed.

    Which nodes these are is asked of Kedro's graph; the records are not.
    """
    tried = 0
    for block, path, value in settings(opened):
        parameters = check(replaced(opened.parameters, path, value))
        if parameters == opened.checked:
            continue
        for start in STARTS:
            part = WIN.from_nodes(start)
            read = part.inputs() & WIN.all_outputs()
            before = WIN.to_outputs(*read).nodes if read else []
            stale = block != "compute" and any(f"{PARAMS}{block}" in node.inputs for node in before)
            lineage = opened.lineage(part, parameters)
            tried += 1
            if not stale:
                lineage.require_inputs()
                continue
            with pytest.raises(InputError) as caught:
                lineage.require_inputs()
            told = str(caught.value)
            assert f"was made with {'.'.join(path)[: len(block)]}" in told
            assert "the parameters now say" in told
            assert "\n" not in told
    assert tried > 100


def test_the_command_that_is_named_makes_the_slice_possible(opened: Opened) -> None:
    """The nodes in the sentence are those that read the setting: with them, nothing that is read is stale."""
    for _, path, value in list(settings(opened))[::7]:
        parameters = check(replaced(opened.parameters, path, value))
        for start in STARTS[::2]:
            try:
                opened.lineage(WIN.from_nodes(start), parameters).require_inputs()
            except InputError as error:
                command = str(error).partition("run `")[2].partition("`")[0]
                _, _, nodes = command.partition("--from-nodes=")
                again = WIN.from_nodes(*nodes.split(",")) if nodes else WIN
                opened.lineage(again, parameters).require_inputs()


FILES = [
    *("05_model_input/win_adult/samples.parquet", "05_model_input/win_adult/splits.safetensors"),
    *("04_feature/win_adult/features.safetensors", "06_models/win_adult/finetuned_heads.safetensors"),
    *("07_model_output/win_adult/predictions.parquet", "05_model_input/win_adult/data_summary.json"),
]


def flip(path: Path, position: float) -> None:
    """Turn one bit of a file round."""
    content = bytearray(path.read_bytes())
    content[int(position * (len(content) - 1))] ^= 16
    path.write_bytes(content)


DAMAGES = {
    "a bit at the beginning": lambda path: flip(path, 0.0),
    "a bit in the middle": lambda path: flip(path, 0.5),
    "a bit at the end": lambda path: flip(path, 1.0),
    "half of it": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "nothing": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_altered_artifact_is_noticed_where_it_is_read(finished: Opened, damage: str) -> None:
    for file in FILES:
        path = finished.project.data / file
        before = path.read_bytes()
        DAMAGES[damage](path)
        with pytest.raises(InputError, match=rf"{path.name}: is damaged or was altered.*: run `kedro run --env=smoke"):
            finished.lineage(WIN.from_nodes("fairness_report.measure")).require_inputs()
        path.write_bytes(before)
    finished.lineage(WIN.from_nodes("fairness_report.measure")).require_inputs()


def test_an_artifact_without_a_record_is_refused(finished: Opened) -> None:
    for record in finished.project.data.glob(f"05_model_input/win_adult/{FOLDER}/splits*"):
        record.unlink()
    with pytest.raises(InputError, match=r"splits\.safetensors: has no record of what it was made from: run"):
        finished.lineage(WIN.from_nodes("finetune.train_heads")).require_inputs()


def test_an_artifact_made_from_another_than_lies_there_is_refused(finished: Opened) -> None:
    """The splits were made again, with a record that fits them: the heads stand on the others."""
    folder = finished.project.data / "05_model_input" / "win_adult" / FOLDER
    record = parse_record((folder / "splits.safetensors.json").read_text(), folder)
    path = folder.parent / "splits.safetensors"
    flip(path, 1.0)
    other = replace(record, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    (folder / "splits.safetensors.json").write_text(other.text())
    with pytest.raises(InputError, match=r"was made from another win_adult__splits than the one that is there now"):
        finished.lineage(WIN.from_nodes("fairness_report.measure")).require_inputs()


def test_other_raw_files_are_noticed(finished: Opened, tmp_path: Path) -> None:
    lineage = finished.lineage(WIN.from_nodes("finetune.train_heads"))
    lineage._raw["adult__raw"] = "another digest"
    with pytest.raises(InputError, match="was made from raw files that differ from those in adult__raw"):
        lineage.require_inputs()


def test_what_is_current_need_not_be_made_again(finished: Opened) -> None:
    """Kedro asks whether outputs are there: those that would be made otherwise are not."""
    full = finished.lineage(WIN)
    assert all(full.artifacts[name].exists() for name in WIN.all_outputs())
    parameters = replaced(finished.parameters, ("variants", "win", "alphas"), [0.3])
    stale = finished.lineage(WIN, parameters)
    made_again = {name for name in WIN.all_outputs() if not stale.artifacts[name].exists()}
    after = WIN.from_nodes("weighted_svd.build_head_bank").all_outputs()
    assert made_again == after
    other_code = finished.lineage(WIN)
    other_code.run["code"] = "other"
    assert not any(other_code.artifacts[name].exists() for name in WIN.all_outputs())


def records(folder: Path) -> dict[str, Record]:
    return {
        record.artifact: record
        for path in folder.glob(f"**/{FOLDER}/*.json")
        for record in [parse_record(path.read_text(), path)]
    }


def test_every_artifact_of_a_run_has_a_record_that_chains(smoke: Any) -> None:
    found = records(smoke.data)
    assert set(found) >= {name for name in WIN.all_outputs() if "figure" not in name}
    for record in found.values():
        for name, sha256 in record.inputs.items():
            assert found[name].sha256 == sha256
            assert set(found[name].parameters) <= set(record.parameters)
    report = found["win_adult__report_html"]
    assert set(report.parameters) >= set(READ) - {"compute"}
    assert set(report.raw) == {"adult__raw"}


def test_the_code_of_a_record_is_that_of_the_whole_package() -> None:
    package = Path(counterpoise.__file__).parent
    assert (package / "nn").is_dir()
    assert software()["code"] == source_digest(package)


def test_nodes_in_other_processes_take_part(finished: Opened) -> None:
    """Kedro's ParallelRunner sends data sets to them, and with these what they know of the run."""
    path = finished.project.data / "08_reporting" / "win_adult" / FOLDER / "claims.csv.json"
    before = path.read_text()
    options = ("--env=smoke", "--params=tracking=false", "--runner=ParallelRunner", "--nodes=fairness_report.summarize")
    command = finished.project.start("run", *options)
    output = command.communicate(timeout=PATIENCE)
    assert command.returncode == 0, output
    record = parse_record(path.read_text(), path)
    assert record.digest == parse_record(before, path).digest
    assert record.runs[-1]["command"].endswith("--nodes=fairness_report.summarize --runner=ParallelRunner")


def test_a_report_of_two_commands_says_both(finished: Opened) -> None:
    """The heads come from one command, the report from another: neither speaks for all."""
    finished.project.run(params={"report": {"level": 0.9}}, from_nodes=["fairness_report.measure"])
    document = json.loads(finished.project.file("08_reporting/*/report.json").read_text())
    lineage = document["lineage"]
    assert lineage["partial"] is True
    assert lineage["commands"] == [
        "kedro run --env=smoke --pipelines=win_adult --params=tracking=true",
        "kedro run --env=smoke --pipelines=win_adult --params=tracking=false,report.level=0.9 "
        "--from-nodes=fairness_report.measure",
    ]
    assert lineage["command"] == lineage["commands"][-1]
    assert document["settings"]["report"]["level"] == 0.9


def test_a_status_beside_the_report_says_of_which_lineage_the_results_are(smoke: Any) -> None:
    folder = smoke.data / "08_reporting" / "win_adult"
    text = (folder / "status.js").read_text()
    status = json.loads(text.removeprefix("window.counterpoiseStatus = ").rstrip().removesuffix(";"))
    lineage = json.loads((folder / "report.json").read_text())["lineage"]
    shared = set(status) & set(lineage["artifacts"])
    assert {"win_adult__summary", "win_adult__claims"} <= shared
    assert all(status[name] == lineage["artifacts"][name] for name in shared)


def test_the_status_changes_before_the_results_do(finished: Opened) -> None:
    """A run that dies between two files leaves an old report that can be told from the new results."""
    parameters = replaced(finished.parameters, ("report", "leakage"), False)
    folder = finished.project.data / "08_reporting" / "win_adult"
    before = (folder / "status.js").read_text()
    lineage = finished.lineage(WIN, parameters)
    lineage.announce("win_adult__metrics")
    assert (folder / "status.js").read_text() != before


def test_the_description_is_made_of_records(opened: Opened) -> None:
    lineage = opened.lineage(WIN.from_nodes("fairness_report.measure"))
    lineage.require_inputs()
    (experiment,) = [row for row in EXPERIMENTS if row.name == "win_adult"]
    described = RunDescription(experiment, lineage).load()
    assert described["settings"]["seeds"] == [0, 1, 2]
    assert "peers" not in described["settings"]
    assert set(described["lineage"]["artifacts"]) >= {"win_adult__predictions", "win_adult__samples"}


def test_two_runs_of_one_experiment_at_once(finished: Opened) -> None:
    """The second is refused in one sentence; nothing of the first is touched."""
    project = finished.project
    first = project.start("run", "--env=smoke", "--params=tracking=false,finetune.epochs=100000")
    holder = project.data / ".locks" / "win_adult.finetune.json"
    start = time.monotonic()
    while not holder.exists() or str(first.pid) not in holder.read_text():
        assert first.poll() is None, first.communicate()
        assert time.monotonic() - start < PATIENCE
        time.sleep(0.05)
    try:
        with pytest.raises(InputError, match=rf"is being written by another run \(process {first.pid}, `kedro run"):
            project.run(params={"seeds": 2})
    finally:
        first.kill()
        first.communicate()
    project.run(params={"seeds": 1}, to_nodes=["data_split.split_samples"])
