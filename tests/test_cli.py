"""`kedro run`: a mistake of the user's is a sentence, a defect of ours is a traceback, a killed run is no harm."""

from __future__ import annotations

import errno
import re
import shlex
import shutil
import signal
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result
from kedro import KedroDeprecationWarning
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import pipelines
from kedro.io import DatasetError
from kedro.pipeline import Node, Pipeline
from kedro.validation.exceptions import CheckFailure, DataValidationError

from counterpoise import pipeline_registry
from counterpoise.cli import cli, run, sentence, warn_in_sentences
from counterpoise.errors import InputError
from counterpoise.fairness import UndefinedMetricWarning

PATIENCE = 120
"""Seconds after which a command of these tests is stuck."""


def test_the_command_takes_what_kedro_run_takes() -> None:
    def said(options: list[Any]) -> list[tuple[Any, ...]]:
        return [(option.name, option.opts, option.help, option.type, option.default) for option in options]

    assert said(run.params) == said(kedro_run.params)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seeds=[1,2]", {"seeds": [1, 2]}),
        ("seeds=[20240101],epochs=2", {"seeds": [20240101], "epochs": 2}),
        ("a.b={x: 1, y: [2,3]}, c=x", {"a": {"b": {"x": 1, "y": [2, 3]}}, "c": "x"}),
        ("a=[[1,2],[3]],", {"a": [[1, 2], [3]]}),
    ],
)
def test_lists_on_the_command_line(text: str, expected: dict[str, Any]) -> None:
    (option,) = [option for option in cli.commands["run"].params if option.name == "params"]
    assert option.callback is not None
    assert option.callback(click.Context(cli.commands["run"]), option, text) == expected


@pytest.mark.parametrize("text", ["seeds=[1", "seeds=1]", "[1]", "a=[1],b", "a=]["])
def test_brackets_that_do_not_match_or_stand_alone_are_one_sentence(text: str) -> None:
    (option,) = [option for option in cli.commands["run"].params if option.name == "params"]
    assert option.callback is not None
    with pytest.raises(InputError, match=r"^--params: .* cannot be read \(.*\), expected key=value,key=value$"):
        option.callback(click.Context(cli.commands["run"]), option, text)


def test_kedro_finds_the_command_of_a_package() -> None:
    assert find_run_command("counterpoise") is cli.commands["run"]


@pytest.fixture
def invoke(project: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `counterpoise run` with options in a project, in this process."""
    project.bootstrap()
    monkeypatch.chdir(project.path)

    def call(*options: str, env: str = "smoke") -> Result:
        return CliRunner().invoke(cli, ["run", f"--env={env}", *options])

    return call


def said(result: Result) -> str:
    """Return the sentence that a command has ended with."""
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit), result.exception
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert result.output.endswith(f"{line}\n")
    return line.removeprefix("Error: ")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--pipelines=win_adlt", r"there is no pipeline 'win_adlt' \(did you mean 'win_adult'\?\)"),
        ("--pipelines=win_adult,qqqq", r"there is no pipeline 'qqqq' \(known: win_adult, .* and \d+ more\)"),
        ("--pipelines=" + "x" * 5000, r"there is no pipeline 'xxx.*…x+' \(known"),
        (
            "--pipelines=win_adult,frontier_adult",
            r"cannot run together \(they share the node 'data_[a-z_.]+' and \d+ more\), expected one",
        ),
        ("--pipelines=win_adult,report_all", r"\(report_all reads what win_adult writes\), .* win_adult first"),
        (
            "--pipelines=win_celeba,fetch_celeba",
            r"\(win_celeba reads what fetch_celeba writes\), .* fetch_celeba first",
        ),
        ("--from-nodes=finetune.train_head", r"--from-nodes: .* no node .* \(did you mean 'finetune\.train_heads'\?\)"),
        ("--to-nodes=train_heads", r"--to-nodes: .* no node 'train_heads' \(did you mean 'finetune\.train_heads'\?\)"),
        ("--nodes=a,b", r"--nodes: the pipeline has no node 'a' \(known: data_split\.read_table, "),
        ("--tags=finetun", r"--tags: the pipeline has no tag 'finetun' \(did you mean 'finetune'\?\)"),
        ("--namespaces=fintune", r"--namespaces: .* no namespace 'fintune' \(did you mean 'finetune'\?\)"),
        ("--from-inputs=win_adult__split", r"--from-inputs: .* no data set .* \(did you mean 'win_adult__splits'\?\)"),
        ("--to-outputs=metrics", r"--to-outputs: .* no data set 'metrics' \(did you mean 'win_adult__metrics'\?\)"),
        ("--runner=Sequential", r"--runner: there is no runner 'Sequential' \(did you mean 'SequentialRunner'\?\)"),
        ("--runner=no.such.Class", r"--runner: there is no runner 'no\.such\.Class' \(known: SequentialRunner, "),
        ("--runner=.", r"--runner: there is no runner '\.'"),
        ("--runner=os.system", r"--runner: 'os\.system' is not a Kedro runner"),
        (
            "--runner-params=max_workers=2",
            r"--runner-params: SequentialRunner takes no 'max_workers' \(known: is_async",
        ),
        ("--runner-params=is_async=perhaps", r"--runner-params: is_async is 'perhaps', expected true or false"),
        ("--runner-params=x=[1", r"--runner-params: 'x=\[1' cannot be read \(expected ',' or '\]'"),
        ("--conf-source=nowhere", "Invalid value for '--conf-source': Path 'nowhere' does not exist"),
        ("--load-versions=nothing", r"Expected the form of 'load_versions' to be .*found nothing instead"),
        ("--load-versions=x:../y", r"Version string '\.\./y' is not allowed"),
        (
            "--params=seeds=[1",
            r"--params: 'seeds=\[1' cannot be read \(its brackets do not match\), expected key=value",
        ),
        ("--params=seeds", r"Item `seeds` must contain a key and a value"),
        ("--params==3", "cannot be an empty string"),
        ("--params=seeds={a", r"--params: 'seeds=\{a' cannot be read"),
        ("--params=seeds='1", r"--params: \"seeds='1\" cannot be read"),
        ("--params=seeds=${x}", r"--params: the value of 'seeds' refers with \$\{…\} to a missing value"),
        (
            "--params=seeds=20240101",
            r"'seeds' is 20240101: expected a number of seeds .* seeds=\[20240101\] for this one",
        ),
        ("--params=" + "x" * 5000 + "=3", r"unknown parameter 'xxx.*…x+'"),
        ("--config=nowhere.yml", r"Invalid value for '--config'.*nowhere\.yml' does not exist"),
        ("--async=3", "does not take a value"),
        ("--nothing", "No such option"),
    ],
)
def test_a_wrong_option_is_one_sentence(invoke: Callable[..., Result], option: str, message: str) -> None:
    assert re.search(message, said(invoke(option)))


def test_options_that_leave_no_node(invoke: Callable[..., Result]) -> None:
    assert "leave no node to run" in said(invoke("--tags=data_split", "--nodes=finetune.train_heads"))
    assert "takes no 'workers' (did you mean 'max_workers'?)" in said(
        invoke("--runner=ThreadRunner", "--runner-params=workers=2")
    )
    assert "max_workers is 0, expected a number of at least 1" in said(
        invoke("--runner=ThreadRunner", "--runner-params=max_workers=0")
    )


def test_an_environment_that_does_not_exist(invoke: Callable[..., Result]) -> None:
    assert re.search(
        r"no environment 'pilot' in .*conf \(known: base, laptop, local, prod, smoke\)", said(invoke(env="pilot"))
    )


@pytest.mark.parametrize(
    ("block", "field", "message"),
    [
        ({"trees": "a.txt"}, "model", "models.scorer holds trees, expected mine to name it under `trees`"),
        ({"sklearn": "a.skops"}, "trees", "models.scorer holds no trees, expected mine to name it under `model`"),
        (None, "trees", "models has no block 'scorer', which mine reads"),
    ],
)
@pytest.mark.usefixtures("registered_as_before")
def test_a_model_that_a_row_names_wrongly_is_one_sentence(
    invoke: Callable[..., Result], project: Any, block: dict[str, str] | None, field: str, message: str
) -> None:
    """Kedro compares blocks with what nodes take before a run begins, and would say it in pydantic's words."""
    row = {"title": "Mine", "dataset": "adult", "frontier": "own", "peers": "own", field: "scorer"}
    given = {"models": {"scorer": block} if block else {}, "experiments": {"mine": row}}
    (project.path / "conf" / "smoke" / "parameters_mine.yml").write_text(yaml.safe_dump(given))
    assert message in said(invoke("--pipelines=mine"))


@pytest.mark.parametrize(
    ("environment", "file"),
    [
        *(("base", "parameters.yml"), ("smoke", "parameters.yml"), ("base", "catalog.yml")),
        *(("smoke", "globals.yml"), ("base", "mlflow.yml"), ("smoke", "credentials.yml")),
    ],
)  # of the other places see config/test_loader.py
def test_a_broken_file_is_one_sentence(
    invoke: Callable[..., Result], project: Any, environment: str, file: str
) -> None:
    (project.path / "conf" / environment / file).write_text("a: 1\n\tb: 2\n")
    assert said(invoke()).startswith(f"conf/{environment}/{file}, line 2: is not YAML (")


def test_a_file_of_options(invoke: Callable[..., Result], project: Any) -> None:
    options = project.path / "options.yml"
    options.write_text("run:\n\ttags: x\n")
    assert "options.yml, line 2: is not YAML" in said(invoke(f"--config={options}"))
    options.write_text("run:\n  tags: finetun\n")
    assert "no tag 'finetun'" in said(invoke(f"--config={options}"))


def test_what_no_run_has_made_yet_is_named_with_the_command_that_makes_it(
    invoke: Callable[..., Result], project: Any
) -> None:
    options = ("--from-nodes=pretrain.train_networks", "--pipelines=win_adult", "--params=tracking=false,seeds=1")
    sentence, command = said(invoke(*options)).split("; run ")
    rows = project.data / "02_intermediate" / "adult.parquet"
    assert sentence == f"{rows}: is not there yet, expected what the node 'data_split.read_table' makes"
    kedro, run, environment, *further = shlex.split(command)
    assert (kedro, run, environment) == ("kedro", "run", "--env=smoke")
    *same, missing = further
    assert same == ["--pipelines=win_adult", "--params=tracking=false,seeds=1"]
    option, _, outputs = missing.partition("=")
    assert option == "--to-outputs"
    assert {"adult__table", "win_adult__data_audit", "win_adult__samples", "win_adult__splits"} <= set(
        outputs.split(",")
    )
    assert invoke(*further).exception is None
    assert rows.exists()
    assert invoke("--to-nodes=pretrain.train_networks", *options).exception is None


def test_a_pipeline_of_the_user_can_be_run(
    invoke: Callable[..., Result], project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered = pipeline_registry.register_pipelines()
    added = {
        "mine": Pipeline([Node(lambda settings: len(settings), "params:report", "counted", name="count")]),
        "others": Pipeline([Node(lambda settings: len(settings), "params:compute", "number", name="number")]),
        "late": Pipeline([Node(lambda counted: counted, "counted", "copied", name="copy")]),
        "lost": Pipeline([Node(lambda table: table, "nothing", "something", name="look")]),
    }
    monkeypatch.setattr(pipeline_registry, "register_pipelines", lambda: registered | added)
    pipelines.configure("counterpoise.pipeline_registry")
    try:
        for names in ("mine", "mine,others"):
            assert invoke(f"--pipelines={names}", "--params=tracking=false").exception is None
        assert "no pipeline 'min' (did you mean 'mine'?)" in said(invoke("--pipelines=min"))
        assert said(invoke("--pipelines=late")) == (
            "counted: is not kept in a file, expected what the node 'count' makes; "
            "run kedro run --env=smoke --pipelines=mine"
        )
        assert said(invoke("--pipelines=lost")).startswith("'nothing' is in no catalog file, and no pipeline makes it")
    finally:
        pipelines.configure("counterpoise.pipeline_registry")


def test_the_deprecated_option_goes_on_working(invoke: Callable[..., Result]) -> None:
    with pytest.warns(KedroDeprecationWarning, match="use '--pipelines' instead"):
        result = invoke("--pipeline=win_adult", "--params=sedes=3")
    assert "unknown parameter 'sedes'" in said(result)
    assert "no pipeline 'win_adlt'" in said(invoke("--pipeline=win_adlt"))


def test_a_defect_is_a_traceback(invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("ours")

    monkeypatch.setattr("counterpoise.hooks.slices.chosen", fail)
    assert isinstance(invoke().exception, KeyError)


def test_a_mistake_ends_the_command_with_one_sentence(project: Any) -> None:
    command = project.start("run", "--env=smoke", "--params=sedes=3")
    output, error = command.communicate(timeout=PATIENCE)
    assert command.returncode == 1
    assert "Error: conf: unknown parameter 'sedes' (did you mean 'seeds'?)" in " ".join(error.split())
    assert "Traceback" not in output + error
    assert not project.data.exists()


def test_a_run_after_a_killed_one_gives_the_same_files(project: Any, smoke: Any) -> None:
    """kill -9 while the heads are trained; the other run was never disturbed, in another process, and tracked."""
    command = project.start("run", "--env=smoke", "--params=tracking=false,finetune.epochs=100000")
    deadline = time.monotonic() + PATIENCE
    while not list(project.data.glob("06_models/*/head_bank.safetensors")):
        assert command.poll() is None, command.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    command.send_signal(signal.SIGKILL)
    command.communicate(timeout=PATIENCE)
    assert command.returncode == -signal.SIGKILL
    early = {"status.js", "audit.json", "audit.json.json"}  # what the page looks at, and what the data say
    assert {path.name for path in project.data.glob("0[78]_*/**/*.*") if path.is_file()} <= early

    again = project.start("run", "--env=smoke", "--params=tracking=false")
    output, error = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, error
    assert "win_r2_a0.5" in output
    assert not (project.path / "mlflow.db").exists()
    assert project.leftovers() == []
    for name in SAME:
        assert project.file(name).read_bytes() == smoke.file(name).read_bytes(), name


SAME = (
    "08_reporting/*/summary.csv",
    "08_reporting/*/claims.csv",
    "08_reporting/*/metrics.parquet",
    "07_model_output/*/predictions.parquet",
    "07_model_output/*/learning_curves.parquet",
    "06_models/*/pretrained.safetensors",
    "06_models/*/finetuned_heads.safetensors",
)


def chained(*errors: Exception) -> Exception:
    """Return the first error, each with the next as its cause."""
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return errors[0]


def test_the_sentence_of_an_input_error_however_deep() -> None:
    error = chained(DatasetError("Failed while loading"), ValueError("wrapped"), InputError("x.csv: no such file"))
    assert sentence(error) == "x.csv: no such file"


def test_what_kedro_says_of_a_dataset_on_one_line() -> None:
    assert sentence(DatasetError("Failed while saving\n  data to 'x'.")) == "Failed while saving data to 'x'."


def test_what_a_schema_refuses() -> None:
    failure = CheckFailure("age failed", "ge(17)", "age", 3, [5, 6])
    error = DataValidationError("no", dataset_name="table", validator="schemas.Table", failures=[failure])
    assert sentence(error) == "table: column 'age': found 5, 6 (3 rows), expected ge(17) (schemas.Table)"


@pytest.mark.parametrize("error", [KeyError("x"), chained(RuntimeError("a"), TypeError("b"))])
def test_a_defect_of_ours_keeps_its_traceback(error: Exception) -> None:
    assert sentence(error) is None


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(PermissionError(errno.EACCES, "Permission denied", "data/x"), id="permission"),
        pytest.param(OSError(errno.ENOSPC, "No space left on device", "data/x"), id="disk full"),
        pytest.param(OSError(errno.EFBIG, "File too large", "data/x"), id="limit of a file's size"),
        pytest.param(OSError(errno.EROFS, "Read-only file system", "data/x"), id="read-only"),
        pytest.param(OSError(errno.ENAMETOOLONG, "File name too long", "data/x"), id="long name"),
    ],
)
def test_what_the_operating_system_refuses(error: OSError) -> None:
    assert str(sentence(chained(RuntimeError("a"), error))).startswith(f"data/x: {error.strerror}, expected a place")


def test_a_folder_that_cannot_be_copied() -> None:
    error = shutil.Error([("a", "data/x", "No space left on device"), ("b", "data/y", "No space left on device")])
    assert str(sentence(chained(RuntimeError("a"), error))).startswith("data/x: No space left on device, expected a")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_no_memory_is_no_defect(error: Exception) -> None:
    assert str(sentence(error)).startswith("there is not enough memory (")


def test_a_defect_in_a_data_set_keeps_its_traceback() -> None:
    assert sentence(chained(DatasetError("Failed while saving"), AttributeError("ours"))) is None


def test_credentials_that_nobody_has_given() -> None:
    error = KeyError("Unable to find credentials 'bucket': check your data catalog")
    assert sentence(error) == (
        "Unable to find credentials 'bucket', which the catalog names, in conf/*/credentials.yml"
    )


def test_warnings_of_the_project_are_their_sentences_and_others_name_their_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    for _ in range(2):  # every session of a process asks for it
        warn_in_sentences()
    here, ours = ("/a/library.py", 7), (pipeline_registry.__file__, 7)
    assert warnings.formatwarning("A class is absent.", UndefinedMetricWarning, *here) == "A class is absent.\n"
    assert warnings.formatwarning("Few rows.", UserWarning, *ours) == "Few rows.\n"
    assert warnings.formatwarning("Old.", DeprecationWarning, *here).startswith("/a/library.py:7: DeprecationWarning")
