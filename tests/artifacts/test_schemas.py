"""The catalog's schemas accept what the project writes and refuse one mistake at a time, as Kedro would run them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.validation.exceptions import DataValidationError
from kedro.validation.pandera_validator import pandera_adapter

from counterpoise.artifacts import schemas, schemas_repairs
from counterpoise.data import SPLITS, adult, encode
from counterpoise.data.generate.adult import write_adult


def validate(schema: str, table: pd.DataFrame) -> pd.DataFrame:
    validator = pandera_adapter(getattr(schemas, schema), {})
    assert validator is not None
    return validator.validate(table)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("adult")
    write_adult(folder)
    return adult.read(folder)


@pytest.fixture(scope="module")
def samples(table: pd.DataFrame) -> pd.DataFrame:
    return encode(table, source="adult", label="income", positive=">50K", sensitive="sex", groups=["Female", "Male"])


def metrics() -> pd.DataFrame:
    """Two variants; TL has none of the settings, and one of its values is null (an absent group)."""
    return pd.DataFrame(
        {
            "method": ["tl", "win"],
            "variant": ["tl", "win_r2_a0.5"],
            "seed": [0, 0],
            "split": ["test", "test"],
            "metric": ["err", "err"],
            "value": [np.nan, 15.8],
            "alpha": [np.nan, 0.5],
            "rank": pd.array([None, 2], dtype="Int64"),
            "constraint": pd.array([None, None], dtype="str"),
            "strength": [np.nan, np.nan],
        }
    )


def predictions() -> pd.DataFrame:
    texts = {"method": ["tl"] * 2, "variant": ["tl"] * 2, "seed": [0, 0], "split": ["test"] * 2}
    return pd.DataFrame({**texts, "row": [3, 5], "y": [0, 1], "s": [1, 0], "score": [0.2, 0.7], "prediction": [0, 1]})


def summary() -> pd.DataFrame:
    texts = {"method": ["win"], "variant": ["win_r2_a0.5"], "metric": ["err"]}
    numbers = {"mean": [15.8], "std": [0.3], "ci_low": [15.6], "ci_high": [16.0], "n": [10]}
    return pd.DataFrame({**texts, **numbers, "reported": [15.829], "reported_std": [np.nan]})


def claims() -> pd.DataFrame:
    texts = {"claim": ["WIN errs less than TL"], "metric": ["err"]}
    numbers = {"difference": [-0.1], "ci_low": [-0.3], "ci_high": [0.1], "p": [0.2], "p_holm": [0.6]}
    return pd.DataFrame({**texts, **numbers, "verdict": ["not distinguishable"]})


def frontier() -> pd.DataFrame:
    bases = pd.array([None, "boosted"], dtype="str")
    return metrics().assign(base=bases, weight_decay=[np.nan, 0.01], threshold=[np.nan, -0.4])


def selection() -> pd.DataFrame:
    """What we and a peer, which has no threshold of ours, chose in one replicate."""
    return pd.DataFrame(
        {
            "family": ["chosen", "plain"],
            "seed": [3, 3],
            "variant": ["boosted_leaves_eo_0.2_wd10_t-0.4", "plain_columns_logistic"],
            "method": ["leaves", "plain"],
            "base": pd.array(["boosted", None], dtype="str"),
            "constraint": pd.array(["eo", None], dtype="str"),
            "strength": [0.2, np.nan],
            "weight_decay": [10.0, np.nan],
            "model": pd.array(["boosted_leaves_eo_0.2_wd10", "plain_columns_logistic"], dtype="str"),
            "threshold": [-0.4, np.nan],
            "own": [True, False],
            "needs_group": [False, False],
            "criterion": ["delta_eo"] * 2,
            "tolerance": [0.05, 0.05],
            "bound": [0.04, np.nan],
            "validation_err": [16.0, 15.5],
            "validation_bias": [0.03, 0.2],
            "meets": [True, False],
            "test_err": [16.1, 15.8],
            "test_bias": [0.06, 0.19],
            "holds": [False, False],
            "certified": pd.array([None, None], dtype="boolean"),
        }
    )


def tolerances() -> pd.DataFrame:
    texts = {"family": ["chosen"] * 2, "criterion": ["delta_eo"] * 2, "tolerance": [0.05, 0.1], "seed": [3, 3]}
    return pd.DataFrame({**texts, "meets": [True, True], "test_err": [16.1, 15.9], "test_bias": [0.06, 0.11]})


def hypervolumes() -> pd.DataFrame:
    return pd.DataFrame({"method": ["chosen"], "seed": [3], "bias": ["delta_eo"], "hypervolume": [1.2]})


def differences() -> pd.DataFrame:
    return claims().drop(columns=["claim", "metric"])


def hypervolume_differences() -> pd.DataFrame:
    keys = pd.DataFrame({"bias": ["delta_eo"], "left": ["chosen"], "right": ["leace"]})
    return pd.concat([keys, differences()], axis=1)


def judged_counts() -> pd.DataFrame:
    return pd.DataFrame(
        {"family": ["chosen"] * 2, "seed": [3, 3], "s": [0, 0], "y": [1, 1], "prediction": [0, 1], "rows": [4, 9]}
    )


CONTRACT = {
    "Metrics": metrics,
    "Predictions": predictions,
    "Summary": summary,
    "Claims": claims,
    "Frontier": frontier,
    "Selection": selection,
    "Tolerances": tolerances,
    "Hypervolumes": hypervolumes,
    "HypervolumeDifferences": hypervolume_differences,
    "JudgedCounts": judged_counts,
}


def test_the_readers_table_and_samples_pass_unchanged(table: pd.DataFrame, samples: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(validate("AdultTable", table), table)
    pd.testing.assert_frame_equal(validate("Samples", samples), samples)
    images = samples[["y", "s"]].assign(image="a/0.png")
    pd.testing.assert_frame_equal(validate("Samples", images), images)
    second_bias = images.assign(right=np.int64(3))
    pd.testing.assert_frame_equal(validate("Samples", second_bias), second_bias)


def test_the_real_files_pass() -> None:
    validate("AdultTable", adult.read(Path(__file__).parents[2] / "data" / "01_raw" / "adult"))


@pytest.mark.parametrize(
    ("column", "value", "check"),
    [
        ("age", 16, "in_range"),
        ("age", 40.0, "int64"),
        ("fnlwgt", 0, "greater_than"),
        ("education-num", 17, "in_range"),
        ("capital-gain", -1, "in_range"),
        ("capital-loss", 5000, "in_range"),
        ("hours-per-week", 100, "in_range"),
        ("sex", "male", "isin"),
        ("income", "<=50K.", "isin"),
        ("race", None, "not_nullable"),
        ("workclass", 3, "str"),
    ],
)
def test_a_wrong_adult_value_is_refused(table: pd.DataFrame, column: str, value: Any, check: str) -> None:
    with pytest.raises(DataValidationError, match=column) as caught:
        validate("AdultTable", table.assign(**{column: value}))
    assert any(check in str(failure.check) for failure in caught.value.failures)


def test_renamed_extra_and_reordered_adult_columns_are_refused(table: pd.DataFrame) -> None:
    for wrong in (table.rename(columns={"sex": "gender"}), table.assign(more=1), table[table.columns[::-1]]):
        with pytest.raises(DataValidationError):
            validate("AdultTable", wrong)


def wrong_samples(samples: pd.DataFrame) -> dict[str, pd.DataFrame]:
    infinite, missing = samples.copy(), samples.copy()
    infinite.loc[3, "age"] = np.inf
    missing.loc[3, "age"] = np.nan
    return {
        "infinite": infinite,
        "missing": missing,
        "double precision": samples.astype({"age": "float64"}),
        "whole numbers": samples.astype({"age": "int64"}),
        "negative class": samples.assign(y=-1),
        "negative group": samples.assign(s=-1),
        "half a class": samples.assign(y=0.5),
        "no group": samples.drop(columns="s"),
        "image and features": samples.assign(image="a.png"),
        "neither": samples[["y", "s"]],
    }


@pytest.mark.parametrize("mistake", list(wrong_samples(pd.DataFrame({"age": np.ones(4, "float32"), "y": 0, "s": 0}))))
def test_wrong_samples_are_refused(samples: pd.DataFrame, mistake: str) -> None:
    with pytest.raises(DataValidationError):
        validate("Samples", wrong_samples(samples)[mistake])


@pytest.mark.parametrize("schema", CONTRACT)
def test_contract_tables_pass_and_come_back_from_disk(schema: str, tmp_path: Path) -> None:
    table = CONTRACT[schema]()
    checked = validate(schema, table)
    pd.testing.assert_frame_equal(checked, table)
    checked.to_parquet(tmp_path / "a.parquet")
    checked.to_csv(tmp_path / "a.csv", index=False)
    pd.testing.assert_frame_equal(validate(schema, pd.read_parquet(tmp_path / "a.parquet")), table)
    pd.testing.assert_frame_equal(validate(schema, pd.read_csv(tmp_path / "a.csv")), table)


@pytest.mark.parametrize("schema", CONTRACT)
def test_contract_columns_are_exact(schema: str) -> None:
    table = CONTRACT[schema]()
    for wrong in (
        table.assign(more=1),
        table[table.columns[::-1]],
        table.drop(columns="metric", errors="ignore").iloc[:, 1:],
    ):
        with pytest.raises(DataValidationError):
            validate(schema, wrong)


@pytest.mark.parametrize(
    ("schema", "change"),
    [
        ("Metrics", {"split": "val"}),
        ("Metrics", {"seed": -1}),
        ("Metrics", {"seed": 0.5}),
        ("Metrics", {"value": np.inf}),
        ("Metrics", {"value": "low"}),
        ("Metrics", {"alpha": 1.5}),
        ("Metrics", {"rank": 1.5}),
        ("Metrics", {"rank": 0}),
        ("Metrics", {"strength": -0.1}),
        ("Metrics", {"method": "win", "variant": "win_r2_a0.5"}),  # the same measurement twice
        ("Predictions", {"row": 3}),  # the same sample twice
        ("Predictions", {"score": np.nan}),
        ("Predictions", {"score": np.inf}),
        ("Predictions", {"prediction": 0.5}),
        ("Predictions", {"y": -1}),
        ("Summary", {"ci_low": 15.9}),
        ("Summary", {"ci_high": 15.7}),
        ("Summary", {"std": -0.1}),
        ("Summary", {"n": -1}),
        ("Summary", {"variant": ""}),
        ("Frontier", {"weight_decay": -0.1}),
        ("Frontier", {"threshold": "low"}),
        ("Frontier", {"method": "win", "variant": "win_r2_a0.5"}),
        ("Selection", {"family": "chosen"}),  # two choices in one replicate
        ("Selection", {"meets": False}),
        ("Selection", {"holds": True}),
        ("Selection", {"validation_bias": -0.03}),
        ("Selection", {"test_err": np.nan}),  # of a choice that was made
        ("Selection", {"variant": None}),  # no choice, and yet its values
        ("Selection", {"model": None}),  # of a choice of ours
        ("Selection", {"tolerance": 0.0}),
        ("Tolerances", {"tolerance": 0.05}),
        ("Tolerances", {"test_bias": -0.1}),
        ("Hypervolumes", {"hypervolume": -0.1}),
        ("Hypervolumes", {"hypervolume": np.nan}),
        ("HypervolumeDifferences", {"p_holm": 0.1}),
        ("HypervolumeDifferences", {"ci_high": -0.2}),
        ("JudgedCounts", {"rows": 0}),
        ("JudgedCounts", {"prediction": 1}),  # the same cell twice
        ("JudgedCounts", {"s": -1}),
        ("Claims", {"verdict": "true"}),
        ("Claims", {"p": 1.2, "p_holm": 1.2}),
        ("Claims", {"p_holm": 0.1}),
        ("Claims", {"difference": 0.1, "ci_high": 0.05}),
    ],
)
def test_one_mistake_in_a_contract_table_is_refused(schema: str, change: dict[str, Any]) -> None:
    with pytest.raises(DataValidationError):
        validate(schema, CONTRACT[schema]().assign(**change))


def test_unknown_results_are_null_not_refused() -> None:
    numbers = ["mean", "std", "ci_low", "ci_high", "reported"]
    assert validate("Summary", summary().assign(**dict.fromkeys(numbers, np.nan)))[numbers].isna().to_numpy().all()
    numbers = ["difference", "ci_low", "ci_high", "p", "p_holm"]
    assert validate("Claims", claims().assign(**dict.fromkeys(numbers, np.nan)))[numbers].isna().to_numpy().all()


@pytest.mark.parametrize("part", SPLITS)
def test_the_parts_are_those_of_the_splits(part: str) -> None:
    validate("Metrics", metrics().assign(split=part))


def repairs() -> pd.DataFrame:
    """A model that an objective chose, a frozen network whose bias is measured, and a sub-network of it."""
    return pd.DataFrame(
        {
            "method": ["netaug", "vanilla", "ffw"],
            "variant": ["netaug_last", "vanilla", "ffw"],
            "seed": [0, 0, 0],
            "epoch": pd.array([80, None, 7], dtype="Int64"),
            "epochs": pd.array([80, None, 11], dtype="Int64"),
            "needs_group": [False, False, False],
            "alpha": [np.nan, np.nan, 0.5],
            "rank": pd.array([None, None, 3], dtype="Int64"),
            "threshold": [0.48, np.nan, np.nan],
            "phi": [0.0, np.nan, np.nan],
            "performance": [0.71, np.nan, np.nan],
            "bias": [-0.06, np.nan, np.nan],
            "chosen_on": pd.array([1200, None, None], dtype="Int64"),
            "pruned": [0.1, np.nan, np.nan],
            "critic_ratio": [1.3, np.nan, np.nan],
            "sparsity": [np.nan, np.nan, 0.42],
            "information": [np.nan, 0.9, 0.01],
            "leakage": [np.nan, 1.0, 0.2],
            "conflicting_accuracy": [np.nan, 0.3, np.nan],
            "unbiased_average": [np.nan, 0.4, np.nan],
        }
    )


def validate_repairs(table: pd.DataFrame) -> pd.DataFrame:
    validator = pandera_adapter(schemas_repairs.Repairs, {})
    assert validator is not None
    return validator.validate(table)


def test_repairs_pass_and_come_back_from_disk(tmp_path: Path) -> None:
    table = repairs()
    pd.testing.assert_frame_equal(validate_repairs(table), table)
    table.to_parquet(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(validate_repairs(pd.read_parquet(tmp_path / "a.parquet")), table)


@pytest.mark.parametrize(
    "change",
    [
        {"variant": "ffw"},  # twice with one seed
        {"method": ""},
        {"seed": -1},
        {"epoch": 0},
        {"epoch": 90},  # of 80
        {"threshold": 1.1},
        {"phi": -0.1},
        {"bias": -1.5},
        {"chosen_on": 0},
        {"chosen_on": pd.array([None, None, None], dtype="Int64")},  # the first is then judged by nothing
        {"pruned": 12.0},  # in percent
        {"sparsity": 1.1},
        {"information": 1.01},
        {"information": -0.01},
        {"leakage": -0.1},
        {"conflicting_accuracy": 93.0},  # in percent
        {"unbiased_average": np.inf},
        {"more": 1},
    ],
)
def test_one_mistake_in_repairs_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DataValidationError):
        validate_repairs(repairs().assign(**change))
