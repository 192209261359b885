"""The exported model answers as the base and head it was taken from, in MLflow and without this package."""

from __future__ import annotations

import json
import math
import os
import pickletools
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from kedro.io import DatasetError

from counterpoise.artifacts.datasets import Checkpoint, SafetensorsDataset, as_header
from counterpoise.artifacts.serving import CODE, Servable, ServableDataset
from counterpoise.cli import sentence
from counterpoise.config.parameters import Dataset
from counterpoise.data.encoding import EXAMPLE_ROWS
from counterpoise.errors import InputError
from counterpoise.methods.bases import ground as grounds
from counterpoise.methods.bases.ground import Bases, margins
from counterpoise.methods.bases.perceptron import PerceptronBase
from counterpoise.nn import Examples
from counterpoise.pipelines.select.export import CHOSEN, export_model, exported_choice
from counterpoise.pipelines.shared.arrays import feature_matrix
from counterpoise.pipelines.shared.bases import read_bases, write_bases

WEIGHTS = "artifacts/model.safetensors"
TOLERANCE = 1e-6
THRESHOLD = 0.4
ADULT = Dataset(
    title="drawn rows",
    reader="adult",
    origin="here",
    label="income",
    positive=">50K",
    classes=("<=50K", ">50K"),
    sensitive="sex",
    groups=("Female", "Male"),
    group_names=("women", "men"),
    split={"fractions": {"pretrain": 0.5, "task": 0.5}, "task": {"train": 2, "validation": 1, "test": 1}},
)


def loaded(folder: Path) -> Any:
    """Load the folder as MLflow does."""
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(folder))


def rows_of(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the samples as a caller who knows nothing of classes and groups has them."""
    return samples.drop(columns=["y", "s"]).astype("float64")


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """Two replicates' perceptrons on drawn columns, each with a head that was chosen; the second is the best."""
    generator = torch.Generator().manual_seed(0)
    x = 2 + 3 * torch.randn(400, 4, generator=generator)
    y = (x[:, 0] + x[:, 1] + torch.randn(400, generator=generator) > 4).long()
    s = (x[:, 2] > 2).long()
    seeds, rows, watched = [3, 8], torch.arange(250), torch.arange(250, 400)
    settings = Bases(perceptron=PerceptronBase(widths=(5,), epochs=3, batch_size=64))
    bases = [
        [grounds.fit("perceptron", settings, Examples(x, y, s), rows, watched, groups=2, classes=2, seed=seed)]
        for seed in seeds
    ]
    header: dict[str, Any] = {"seeds": seeds, "digests": {"samples": "abc"}}
    heads = {
        f"{CHOSEN}.{seed}.head": ground.head + 0.2 * torch.randn(len(ground.head), generator=generator)
        for seed, (ground,) in zip(seeds, bases, strict=True)
    }
    samples = pd.DataFrame(x.numpy(), columns=["age", "hours", "wage", "years"]).assign(y=y.numpy(), s=s.numpy())
    return {
        "samples": samples,
        "bases": write_bases(bases, **header),
        "chosen_models": Checkpoint(heads, as_header(architecture="chosen", **header)),
        "selection": selection(seeds, err=[15.0, 14.0]),
        "dataset": ADULT,
        "run": {"experiment": "drawn"},
    }


def selection(seeds: list[int], err: list[float], bias: list[float] | None = None, meets: bool = True) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "seed": seeds,
            "family": CHOSEN,
            "variant": "perceptron_heads_eo_0.07_wd1",
            "base": "perceptron",
            "constraint": "eo",
            "strength": 0.07,
            "threshold": THRESHOLD,
            "tolerance": 0.05,
            "criterion": "delta_eo",
            "validation_err": err,
            "validation_bias": bias or [0.01] * len(seeds),
            "meets": meets,
        }
    )


@pytest.fixture(scope="module")
def model(results: dict[str, Any]) -> Servable:
    return export_model(**results)


@pytest.fixture(scope="module")
def folder(model: Servable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as it was saved; tests only read it."""
    path = tmp_path_factory.mktemp("models") / "model"
    ServableDataset(str(path)).save(model)
    return path


class TestPredictions:
    def test_are_those_of_the_base_and_its_head(self, results: dict[str, Any], folder: Path) -> None:
        ((_,), (ground,)) = read_bases(results["bases"], groups=2, classes=2)
        x = feature_matrix(results["samples"])
        head = results["chosen_models"].tensors[f"{CHOSEN}.8.head"]
        expected = margins(head, *ground.base.view(x)).double().sigmoid().numpy()
        answer = loaded(folder).predict(rows_of(results["samples"]))
        assert list(answer) == ["prediction", "score", "probability_<=50K", "probability_>50K"]
        assert answer["probability_>50K"].to_numpy() == pytest.approx(expected, abs=TOLERANCE)
        assert answer["probability_<=50K"].to_numpy() == pytest.approx(1 - expected, abs=TOLERANCE)
        assert answer["score"].tolist() == answer["probability_>50K"].tolist()
        assert set(answer["prediction"]) == {"<=50K", ">50K"}
        cut = 1 / (1 + math.exp(-THRESHOLD))
        assert ((answer["score"] > cut) == (answer["prediction"] == ">50K")).all()
        assert (answer["score"] > 0.5).sum() > (answer["score"] > cut).sum() > 0

    def test_need_neither_the_group_nor_an_order_of_columns(self, results: dict[str, Any], folder: Path) -> None:
        samples, served = results["samples"].head(20).astype("float64"), loaded(folder)
        expected = served.predict(rows_of(samples))
        pd.testing.assert_frame_equal(served.predict(samples[samples.columns[::-1]]), expected)

    def test_a_column_that_is_missing_is_named(self, model: Servable, folder: Path) -> None:
        from mlflow.exceptions import MlflowException

        first = model.columns[0]
        for frame in (
            model.example.drop(columns=first),
            model.example.rename(columns={first: "another"}),
        ):
            with pytest.raises(MlflowException, match=rf"(?s)schema.*missing inputs \['{first}'\]"):
                loaded(folder).predict(frame)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_a_value_that_is_no_number_is_named(self, value: float, model: Servable, folder: Path) -> None:
        from mlflow.exceptions import MlflowException

        frame = model.example.copy()
        frame.iloc[2, 1] = value
        said = f"found '{value}' in row 2" if math.isinf(value) else "the value in row 2 is missing"
        with pytest.raises(MlflowException, match=rf"'{model.columns[1]}': {said}, expected a finite"):
            loaded(folder).predict(frame)

    def test_every_answer_is_finite_or_an_error(self, model: Servable, folder: Path) -> None:
        from mlflow.exceptions import MlflowException

        served, refusals = loaded(folder), list[str]()
        for exponent in range(-308, 309, 28):
            frame = model.example.head(1) * 0 + 10.0**exponent
            try:
                numbers = served.predict(frame).drop(columns="prediction")
            except MlflowException as error:
                refusals.append(str(error))
            else:
                assert exponent < 39
                assert numbers.map(math.isfinite).all(axis=None)
        assert len(refusals) == 10
        assert all("expected a finite number" in said and "\n" not in said for said in refusals)

    def test_no_rows_have_no_answers(self, model: Servable, folder: Path) -> None:
        assert len(loaded(folder).predict(model.example.head(0))) == 0

    @pytest.mark.parametrize("value", ["red", "1e999", "=1+1", [1.0], "x" * 500, 10**400, "two\nlines"])
    def test_what_is_no_number_is_refused_in_one_short_sentence(
        self, value: Any, model: Servable, folder: Path
    ) -> None:
        """By the code itself, whatever has been checked before it."""
        from mlflow.exceptions import MlflowException

        frame = model.example.astype(object)
        frame.iat[2, 1] = value
        code = loaded(folder).unwrap_python_model()
        with pytest.raises(
            MlflowException, match=rf"^column '{model.columns[1]}': found .* in row 2, expected a fin"
        ) as raised:
            code.predict(None, frame)
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 200

    def test_a_column_that_is_there_twice_or_not_at_all_is_named(self, model: Servable, folder: Path) -> None:
        from mlflow.exceptions import MlflowException

        code, frame, first = loaded(folder).unwrap_python_model(), model.example, model.columns[0]
        for rows, found in ((pd.concat([frame, frame[[first]]], axis=1), 2), (frame.drop(columns=first), 0)):
            with pytest.raises(MlflowException, match=rf"^column '{first}': found {found} of this name, expected one"):
                code.predict(None, rows)


def test_mlflow_predicts_without_this_package_and_without_torch(model: Servable, folder: Path, tmp_path: Path) -> None:
    """The command line, on the example as CSV, in a process that cannot import what trained the model."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in ("counterpoise", "torch"):
        (hidden / f"{name}.py").write_text(f"raise ImportError('{name} is not here')")
    given, answer = tmp_path / "rows.csv", tmp_path / "answer.json"
    model.example.to_csv(given, index=False)
    elsewhere = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    arguments = ["--env-manager", "local", "-m", elsewhere, "-i", given, "-t", "csv", "-o", answer]
    subprocess.run(
        [Path(sys.executable).with_name("mlflow"), "models", "predict", *arguments],
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(hidden), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
    )
    found = pd.DataFrame(json.loads(answer.read_text())["predictions"])
    expected = loaded(folder).predict(model.example)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, check_exact=False, rtol=1e-12)


class TestFolder:
    def test_says_what_the_model_reads_and_answers(self, model: Servable, folder: Path) -> None:
        described = loaded(folder).metadata
        assert described.get_input_schema().input_names() == list(model.columns)
        assert {str(kind) for kind in described.get_input_schema().input_types()} == {"Any"}
        assert [parameter.name for parameter in described.get_params_schema().params] == ["unknown"]
        assert described.get_output_schema().input_names()[:2] == ["prediction", "score"]
        assert described.metadata["experiment"] == "drawn"
        assert described.metadata["criterion"] == "delta_eo"
        assert described.metadata["digests"] == model.metadata["digests"]
        example = described.load_input_example(str(folder))
        pd.testing.assert_frame_equal(example.astype("float64"), model.example)
        assert len(example) == EXAMPLE_ROWS

    def test_pins_what_a_prediction_needs(self, folder: Path) -> None:
        names = [line.partition("==")[0] for line in (folder / "requirements.txt").read_text().split()]
        assert sorted(names) == ["mlflow", "numpy", "pandas", "safetensors"]

    def test_holds_no_pickle_and_no_path_of_this_machine(self, folder: Path) -> None:
        files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
        assert {"MLmodel", CODE.name, "model.safetensors", "input_example.json"} <= {path.name for path in files}
        for path in files:
            content = path.read_bytes()
            assert not _is_pickle(content), path
            for place in (CODE.parent, folder.parent, Path("/tmp")):
                assert str(place).encode() not in content, path

    def test_the_check_for_pickles_would_notice(self) -> None:
        import pickle

        assert _is_pickle(pickle.dumps({"weights": [1.0]}))

    def test_two_saves_have_the_same_weights_and_code(self, model: Servable, folder: Path, tmp_path: Path) -> None:
        ServableDataset(str(tmp_path / "again")).save(model)
        for name in (WEIGHTS, CODE.name, "requirements.txt", "input_example.json"):
            assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def _is_pickle(content: bytes) -> bool:
    try:
        return sum(1 for _ in pickletools.genops(content)) > 0
    except Exception:  # whatever the disassembler stumbles over is no pickle
        return content.startswith(b"PK")


class TestDataset:
    def test_what_is_saved_is_loaded(self, model: Servable, folder: Path) -> None:
        dataset = ServableDataset(str(folder))
        assert dataset.exists()
        back = dataset.load()
        for (weight, bias), (own_weight, own_bias) in zip(back.layers, model.layers, strict=True):
            assert torch.equal(weight, own_weight)
            assert torch.equal(bias, own_bias)
        for name in ("mean", "scale"):
            assert torch.equal(getattr(back, name), getattr(model, name))
        pd.testing.assert_frame_equal(back.example, model.example)
        for name in ("encoding", "classes", "label", "experiment", "threshold", "metadata"):
            assert getattr(back, name) == getattr(model, name)

    def test_a_save_replaces_the_whole_folder(self, model: Servable, folder: Path, tmp_path: Path) -> None:
        path = Path(shutil.copytree(folder, tmp_path / "model"))
        (path / "stale").touch()
        (tmp_path / ".model.4194305.part" / "artifacts").mkdir(parents=True)  # of a process that cannot be running
        ServableDataset(str(path)).save(replace(model, label="wage"))
        assert ServableDataset(str(path)).load().label == "wage"
        assert not (path / "stale").exists()
        assert [left.name for left in tmp_path.iterdir()] == ["model"]

    def test_a_failed_save_leaves_the_folder_that_was_there(
        self, model: Servable, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The disk fills up after MLflow has written most of the folder."""
        from mlflow.models import Model

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        path = Path(shutil.copytree(folder, tmp_path / "model"))
        before = (path / "MLmodel").read_bytes()
        monkeypatch.setattr(Model, "save", full)
        with pytest.raises(DatasetError) as caught:
            ServableDataset(str(path)).save(replace(model, label="wage"))
        assert sentence(caught.value) == (
            f"{path}: cannot be written (No space left on device), expected space and a writable folder"
        )
        assert (path / "MLmodel").read_bytes() == before
        assert [left.name for left in tmp_path.iterdir()] == ["model"]

    def test_another_checkpoint_is_refused(self, folder: Path, tmp_path: Path) -> None:
        path = Path(shutil.copytree(folder, tmp_path / "model"))
        SafetensorsDataset(str(path / WEIGHTS)).save(Checkpoint({}, as_header(architecture="heads")))
        with pytest.raises(DatasetError) as caught:
            ServableDataset(str(path)).load()
        told = sentence(caught.value)
        assert told is not None
        assert told.endswith("has the architecture 'heads', expected 'exported'")


class TestExport:
    def test_takes_the_median_error_among_those_that_meet_the_tolerance(self) -> None:
        table = selection([3, 4, 5, 6], err=[15.0, 16.0, 14.0, 13.0], bias=[0.04, 0.01, 0.2, 0.02])
        table["meets"] = [True, True, False, True]
        others = table.assign(family="chosen_heads", validation_err=1.0)
        chosen = exported_choice(pd.concat([others, table]))
        assert (chosen["seed"], chosen["validation_err"], chosen["meets"]) == (3, 15.0, True)

    def test_takes_the_lowest_bias_if_none_meets_it(self) -> None:
        table = selection([3, 4, 5], err=[15.0, 16.0, 14.0], bias=[0.3, 0.1, float("nan")], meets=False)
        chosen = exported_choice(table.assign(strength=None))
        assert (chosen["seed"], chosen["meets"], chosen["strength"]) == (4, False, None)

    def test_an_image_model_reads_features(self, results: dict[str, Any], tmp_path: Path) -> None:
        """Of heads that are padded to the widest replicate's, the zeros before the intercept do not count."""
        generator = torch.Generator().manual_seed(4)
        n, d = 120, 6
        x = torch.randn(2, n, d, generator=generator)
        data = Examples(x, (x[0, :, 0] > 0).long(), (x[0, :, 1] > 0).long())
        rows, watched = torch.arange(80), torch.arange(80, n)
        bases = [
            [grounds.fit("frozen", Bases(), data.replicate(r), rows, watched, groups=2, classes=2, seed=r)]
            for r in range(2)
        ]
        header = {name: results["bases"].header[name] for name in ("seeds", "digests")}
        head = torch.randn(d + 1, generator=generator)
        padded = torch.cat([head[:-1], torch.zeros(3), head[-1:]])
        samples = pd.DataFrame({"image": [f"{i}.jpg" for i in range(n)], "y": data.y.numpy(), "s": data.s.numpy()})
        exported = export_model(
            **results
            | {
                "samples": samples,
                "features": Checkpoint({"features": x[1]}, header),
                "bases": write_bases(bases, **header),
                "chosen_models": Checkpoint({f"{CHOSEN}.8.head": padded}, as_header(architecture="chosen", **header)),
                "selection": selection([3, 8], err=[15.0, 14.0]).assign(base="frozen", threshold=0.0),
            }
        )
        assert exported.columns == ("f0", "f1", "f2", "f3", "f4", "f5")
        assert exported.example.to_numpy().tolist() == x[1, :EXAMPLE_ROWS].double().tolist()
        ServableDataset(str(tmp_path / "model")).save(exported)
        answer = loaded(tmp_path / "model").predict(pd.DataFrame(x[1].double().numpy(), columns=list(exported.columns)))
        expected = margins(head, *bases[1][0].base.view(x[1])).double().sigmoid().numpy()
        assert answer["score"].to_numpy() == pytest.approx(expected, abs=TOLERANCE)

    def test_more_classes_score_the_predicted_one(self, model: Servable, tmp_path: Path) -> None:
        weight, bias = model.layers[-1]
        third = torch.cat([weight, weight[:, :1].neg()], dim=1), torch.cat([bias, bias[:1] + 1])
        more = replace(model, layers=(*model.layers[:-1], third), classes=("a", "b", "c"), threshold=0.0)
        ServableDataset(str(tmp_path / "model")).save(more)
        found = loaded(tmp_path / "model").predict(model.example)
        shares = found[["probability_a", "probability_b", "probability_c"]]
        assert found["score"].tolist() == shares.max(axis=1).tolist()
        assert ("probability_" + found["prediction"]).tolist() == shares.idxmax(axis=1).tolist()
        assert shares.sum(axis=1).tolist() == pytest.approx([1.0] * EXAMPLE_ROWS)

    def test_models_of_another_run_are_refused(self, results: dict[str, Any]) -> None:
        old = results["chosen_models"]
        seeds = [seed + 1 for seed in old.header["seeds"]]
        with pytest.raises(InputError, match=r"chosen_models.safetensors has the seeds .* expected"):
            export_model(**results | {"chosen_models": replace(old, header=old.header | {"seeds": seeds})})
