"""Every mistake that a user can make ends in one sentence, before any training, and leaves nothing behind."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from kedro.framework.cli.utils import _split_params

from counterpoise.cli import cli
from counterpoise.config.parameters import Dataset
from counterpoise.errors import InputError
from counterpoise.pipelines.data_split.nodes import encode_samples, read_table

REPOSITORY = Path(__file__).parents[1]
ROWS = 600

Command = Callable[..., Result]


@pytest.fixture
def kedro_run(project: Any, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return the command `kedro run` in a project of the test's own, in this process."""
    project.bootstrap()
    monkeypatch.chdir(project.path)

    def run(*arguments: str, env: str = "smoke", params: str = "") -> Result:
        given = ",".join(filter(None, ["tracking=false", params]))
        return CliRunner().invoke(cli, ["run", f"--env={env}", f"--params={given}", *arguments])

    return run


def refused(result: Result, *words: str) -> str:
    """Check that a command has ended in one sentence with these words in it; return the sentence."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = re.findall(r"^Error: .*$", result.stderr, flags=re.MULTILINE)
    assert "Traceback" not in result.output
    for word in words:
        assert word in line
    return line


def all_of(beginning: str, *words: str) -> str:
    """Return a pattern of one line that has all the words, in any order."""
    return f"^{re.escape(beginning)}" + "".join(rf"(?=.*{re.escape(word)})" for word in words) + ".*$"


PARAMETERS = {
    "seed=3": ["unknown parameter 'seed'", "did you mean 'seeds'"],
    "finetune.epoch=3": ["unknown parameter 'epoch' in 'finetune'", "did you mean 'epochs'"],
    "finetune.optimizer.rate=3": ["unknown parameter 'rate' in 'finetune.optimizer'"],
    "finetune.epochs=0": ["'finetune.epochs' is 0", "greater than or equal to 1"],
    "finetune.epochs=many": ["'finetune.epochs' is 'many'", "integer"],
    "variants.win.methods=wim": ["'wim'", "did you mean 'win'"],
    "variants.win.neutralizers=harmonious": ["'harmonious'", "did you mean 'harmonic'"],
    "variants.win.ranks=0": ["variants.win.ranks", "is 0", "greater than or equal to 1"],
    "variants.win.ranks=-1": ["variants.win.ranks", "is -1", "greater than or equal to 1"],
    "variants.win.ranks=3": ["rank 3", "expected 1 … 2"],
    "variants.win.alphas=1.5": ["variants.win.alphas", "is 1.5", "less than or equal to 1"],
    "variants.win.alphas=-0.1": ["variants.win.alphas", "is -0.1", "greater than or equal to 0"],
    "pretrain.optimizer.lr=nan": ["'pretrain.optimizer.lr'", "nan"],
    "seeds=0": ["'seeds'", "from 1 to 1,000"],
    "seeds=-2": ["'seeds'", "from 1 to 1,000"],
    "seeds=1.5": ["'seeds' is 1.5", "expected a number of seeds"],
    "datasets.adult.split.fractions.pretrain=0.7": ["datasets.adult.split", "sum to 1.1", "expected 1"],
    "datasets.adult.split.task.test=0": ["datasets.adult.split.task.test", "is 0", "greater than 0"],
    "report.level=1": ["'report.level' is 1", "less than 1"],
    "selection.criterion=delta_oe": ["criterion is 'delta_oe'", "did you mean 'delta_eo'"],
    "selection.criterion=leakage": [
        "parameter 'selection': criterion is 'leakage'",
        "frozen features that all heads share",
        "delta_eo",
    ],
    "selection.smoothing=-1": ["'selection.smoothing' is -1", "greater than or equal to 0"],
    "frontiers.tables.folds=1": ["folds is 1", "expected 0 or at least 2"],
    "selection.tolerance=0": ["'selection.tolerance' is 0", "greater than 0"],
    "selection.tolerance=nan": ["'selection.tolerance'", "nan"],
    "selection.validation=all": ["'selection.validation' is 'all'", "pooled"],
    "frontiers.tables.strengths=-0.1": ["frontiers.tables.strengths", "is -0.1", "greater than or equal to 0"],
    "frontiers.tables.strengths=nan": ["frontiers.tables.strengths", "nan", "finite number"],
    "frontiers.tables.strengths=0.1": ["strengths are [0.1]", "expected 0 among them"],
    "frontiers.tables.thresholds=0.5": ["thresholds are [0.5]", "expected 0 among them"],
    "frontiers.tables.hold_out=0.9": ["hold_out is 0.9", "expected at most"],
    "frontiers.tables.constraints=eop": ["frontiers.tables.constraints", "'eop'"],
    "tracking=perhaps": ["'tracking' is 'perhaps'", "boolean"],
}


OF_AN_ENVIRONMENT: list[tuple[dict[str, Any], list[str]]] = [
    ({"seeds": [4, 7, 4]}, ["'seeds'", "seed 4 is given more than once"]),
    ({"seeds": []}, ["'seeds'", "at least one seed"]),
    ({"seeds": [1, -1]}, ["seeds", "it has -1", "expected whole numbers from 0 to"]),
    ({"frontiers": {"tables": {"strengths": [0, 0.2, 0.1]}}}, ["strengths are [0.0, 0.2, 0.1]", "increasing"]),
    ({"frontiers": {"tables": {"strengths": [0, 0.2, 0.2]}}}, ["strengths are [0.0, 0.2, 0.2]", "increasing"]),
    (
        {"frontiers": {"tables": {"strengths": [0, float("nan")]}}},
        ["frontiers.tables.strengths.1", "finite number"],
    ),
    ({"frontiers": {"tables": {"thresholds": []}}}, ["frontiers.tables.thresholds", "at least 1 item"]),
    (
        {"datasets": {"adult": {"further_sensitive": {"race": ["White", "Black"]}}}},
        ["datasets.adult", "further_sensitive is of images alone", "several columns in 'sensitive'"],
    ),
    ({"datasets": {"adult": {"group_names": ["women"]}}}, ["datasets.adult.group_names", "at least 2"]),
]


@pytest.mark.parametrize("params", ["seed=3", "variants.win.ranks=3"])
def test_wrong_parameters_end_the_command_before_anything_is_read(
    kedro_run: Command, project: Any, params: str
) -> None:
    """One that is wrong in itself, and one that does not fit the others."""
    refused(kedro_run(params=params), "conf:", *PARAMETERS[params])
    assert not project.data.exists()


def test_so_do_those_of_an_environment(kedro_run: Command, project: Any) -> None:
    given, words = OF_AN_ENVIRONMENT[0]
    project.configure("own", "parameters.yml", given)
    refused(kedro_run(env="own"), "conf:", *words)
    assert not project.data.exists()


@pytest.mark.parametrize("params", PARAMETERS)
def test_wrong_parameters(preflight: Callable[..., None], params: str) -> None:
    """As the command line reads them."""
    with pytest.raises(InputError, match=all_of("conf:", *PARAMETERS[params])):
        preflight(_split_params(None, None, params))


@pytest.mark.parametrize(("given", "words"), OF_AN_ENVIRONMENT, ids=str)
def test_wrong_parameters_that_no_command_line_can_say(
    preflight: Callable[..., None], given: dict[str, Any], words: Sequence[str]
) -> None:
    with pytest.raises(InputError, match=all_of("conf:", *words)):
        preflight(given)


def test_an_unknown_pipeline_gets_the_closest_name(kedro_run: Command) -> None:
    refused(kedro_run("--pipelines=win_adlt"), "'win_adlt'", "did you mean 'win_adult'")


def test_two_experiments_in_one_run(kedro_run: Command) -> None:
    refused(kedro_run("--pipelines=win_adult,win_celeba"), "cannot run together", "win_adult, win_celeba")


def test_an_unknown_reader_gets_the_closest_name(kedro_run: Command, project: Any) -> None:
    refused(kedro_run(params="datasets.adult.reader=adlt"), "'adlt'", "did you mean 'adult'")
    assert list(project.data.glob("0[2-8]_*/**/*.*")) == []


def people() -> pd.DataFrame:
    """Return a table from which a classifier can be trained."""
    generator = np.random.default_rng(0)
    tall, group = generator.normal(size=ROWS), generator.choice(["a", "b"], ROWS)
    return pd.DataFrame({"height": tall, "weight": generator.normal(size=ROWS), "group": group}).assign(
        outcome=np.where(tall + (group == "a") + generator.normal(size=ROWS) > 0.5, "yes", "no"),
    )


OWN_DATASET: dict[str, Any] = {
    "title": "people",
    "reader": "table",
    "options": {"files": ["people.csv"]},
    "origin": "a test",
    "label": "outcome",
    "positive": "yes",
    "classes": ["no", "yes"],
    "sensitive": "group",
    "groups": ["a", "b"],
    "group_names": ["A", "B"],
    "split": {"fractions": {"pretrain": 0.5, "task": 0.5}, "task": {"train": 2, "validation": 1, "test": 1}},
}


@pytest.fixture
def own_table(project: Any) -> Any:
    """The project with an environment `own` whose data set is a CSV file of the user's."""
    raw = project.path / "people"
    raw.mkdir()
    people().to_csv(raw / "people.csv", index=False)
    catalog = {
        "adult__raw": {"type": "counterpoise.artifacts.datasets.RawFolder", "filepath": str(raw)},
        "adult__table": {
            "type": "counterpoise.artifacts.datasets.ParquetDataset",
            "filepath": "data/02_intermediate/own.parquet",
        },
    }
    dataset = OWN_DATASET | {"checksums": None, "drop": []}  # Adult has some
    project.configure("own", "catalog.yml", catalog)
    project.configure("own", "parameters.yml", {"seeds": 2, "epochs": 1, "datasets": {"adult": dataset}})
    return project


def test_a_table_of_ones_own_runs(own_table: Any, kedro_run: Command) -> None:
    result = kedro_run("--to-nodes=finetune.train_heads", env="own")
    assert result.exit_code == 0, result.output
    assert own_table.file("06_models/*/finetuned_heads.safetensors", "own").exists()


def put(column: str, value: Any, rows: Any = 5) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return a function that puts a value into some rows of a column."""

    def altered(table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype({column: object})
        table.loc[rows, column] = value
        return table

    return altered


TABLES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], list[str]]] = {
    "renamed label": (lambda t: t.rename(columns={"outcome": "outcme"}), ["'outcome'", "did you mean 'outcme'"]),
    "missing group column": (lambda t: t.drop(columns="group"), ["people", "'group'", "missing"]),
    "unknown label": (put("outcome", "maybe"), ["'outcome'", "3 values", "'maybe'", "'yes'"]),
    "unknown group": (put("group", "c"), ["'group'", "'c'", "1 rows", "'a', 'b'"]),
    "empty group": (lambda t: t[t["group"] == "a"], ["'group'", "never is 'b'"]),
    "one-class group": (
        lambda t: t[(t["group"] == "a") | (t["outcome"] == "yes")],
        ["'group'", "'b'", "one class of 'outcome'"],
    ),
    "infinity": (put("height", "inf", 7), ["'height'", "inf", "row 7", "finite"]),
    "constant column": (lambda t: t.assign(weight=2.5), ["'weight'", "2.5 in every row", "different values"]),
    "no rows": (lambda t: t.iloc[:0], ["people.csv"]),
}


@pytest.mark.parametrize("mistake", TABLES)
def test_wrong_tables_are_one_sentence_of_the_stage_that_reads_them(tmp_path: Path, mistake: str) -> None:
    alter, words = TABLES[mistake]
    alter(people()).to_csv(tmp_path / "people.csv", index=False)
    dataset = Dataset.model_validate(OWN_DATASET)
    with pytest.raises(InputError, match=all_of("", *words)):
        encode_samples(read_table(tmp_path, dataset)[0], dataset)


@pytest.mark.parametrize("mistake", ["renamed label", "one-class group"])
def test_wrong_tables_end_the_command_before_any_training(own_table: Any, kedro_run: Command, mistake: str) -> None:
    """One that is refused as it is read, and one as it is encoded."""
    alter, words = TABLES[mistake]
    alter(people()).to_csv(own_table.path / "people" / "people.csv", index=False)
    refused(kedro_run(env="own"), *words)
    assert list(own_table.data.glob("06_models/**/*.safetensors")) == []
    assert own_table.leftovers() == []


def test_a_missing_file(own_table: Any, kedro_run: Command) -> None:
    (own_table.path / "people" / "people.csv").unlink()
    refused(kedro_run(env="own"), "people.csv", "no such file")


@pytest.fixture
def adult(project: Any) -> Path:
    """The folder of the real Adult files in a project of the test's own."""
    return Path(shutil.copytree(REPOSITORY / "data" / "01_raw" / "adult", project.path / "data" / "01_raw" / "adult"))


def test_a_truncated_adult_file(adult: Path, kedro_run: Command, project: Any) -> None:
    whole = (adult / "adult.data").read_bytes()
    (adult / "adult.data").write_bytes(whole[: len(whole) // 2])
    refused(kedro_run(env="base"), "adult.data", "SHA-256", "expected 5b00264637db", "truncated or altered")
    assert list(project.data.glob("0[2-8]_*/**/*.*")) == []


def test_an_altered_adult_file(adult: Path, kedro_run: Command) -> None:
    whole = (adult / "adult.test").read_bytes()
    (adult / "adult.test").write_bytes(whole.replace(b"Female", b"female", 1))
    refused(kedro_run(env="base"), "adult.test", "SHA-256", "expected a2a9044bc167", "truncated or altered")


def test_a_table_that_the_schema_refuses(kedro_run: Command, project: Any) -> None:
    """Without checksums a wrong value passes the reader; the catalog's validator names its column."""
    raw = project.path / "raw"
    raw.mkdir()
    person = "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, {}, 0, 0, 40, "
    for name, end in (("adult.data", ""), ("adult.test", ".")):
        (raw / name).write_text("".join(f"{person.format('Other')}Mexico, <=50K{end}\n" for _ in range(3)))
    project.configure(
        "own",
        "catalog.yml",
        {"adult__raw": {"type": "counterpoise.artifacts.datasets.RawFolder", "filepath": str(raw)}},
    )
    project.configure("own", "parameters.yml", {"datasets": {"adult": {"checksums": None}}})
    refused(kedro_run(env="own"), "adult__table", "column 'sex'", "'Other' (6 rows)", "'Female', 'Male'")
    assert list(project.data.glob("0[2-8]_*/**/*.*")) == []


def test_an_output_folder_that_cannot_be_written(kedro_run: Command, project: Any) -> None:
    project.data.mkdir(parents=True)
    (project.data / "06_models").write_text("a file where the folder should be")
    refused(kedro_run(), "06_models", "cannot be written", "expected a writable folder")
    assert list(project.data.glob("0[1-5]_*/**/*.*")) == []


@pytest.fixture
def finished(project: Any, smoke: Any) -> Any:
    """A project in which a run has ended."""
    shutil.copytree(smoke.data, project.data)
    return project


LAST_STAGES = ("--from-nodes=weighted_svd.build_head_bank",)


def test_a_checkpoint_that_is_a_pickle(finished: Any, kedro_run: Command, tmp_path: Path) -> None:
    import pickle

    class Opened:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "executed",)

    path = finished.file("06_models/*/pretrained.safetensors")
    path.write_bytes(pickle.dumps(Opened()))
    refused(kedro_run(*LAST_STAGES), "pretrained.safetensors", "is damaged or was altered", "run `kedro run")
    assert not (tmp_path / "executed").exists()


def test_a_checkpoint_of_other_shapes(finished: Any, kedro_run: Command) -> None:
    """The features are of 20 units, the heads of 12."""
    assert kedro_run("--to-nodes=pretrain.train_networks", params="networks.mlp2.width=12").exit_code == 0
    before = finished.file("06_models/*/importance.safetensors").read_bytes()
    result = kedro_run("--from-nodes=group_fisher.compute_importance", params="networks.mlp2.width=12")
    refused(result, "features.safetensors", "networks.mlp2.width = 20, the parameters now say 12")
    assert finished.file("06_models/*/importance.safetensors").read_bytes() == before


def test_checkpoints_of_other_seeds(finished: Any, kedro_run: Command) -> None:
    result = kedro_run("--from-nodes=finetune.train_heads", params="seeds=2")
    refused(result, "seeds = [0, 1, 2], the parameters now say [0, 1]", "--from-nodes=data_split.split_samples")


def test_a_claim_that_fits_several_variants(project: Any) -> None:
    with pytest.raises(InputError, match=r"fits win_r2_a0.2, win_r2_a0.8; expected one"):
        project.run(params={"variants": {"win": {"alphas": [0.2, 0.8]}}})
    assert not project.data.exists()
