"""`counterpoise init`: what it writes is read as it was meant, and is enough for a run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result

from counterpoise import registered
from counterpoise.cli import cli
from counterpoise.config.data import Dataset
from counterpoise.config.experiments import rows
from counterpoise.config.parameters import Seeds
from counterpoise.data import encode, read
from counterpoise.data.encode import feature_names
from counterpoise.pipelines.data_split.nodes import encode_samples, split_to_compare

ROWS = 600


def loans(**columns: Any) -> pd.DataFrame:
    draw = np.random.default_rng(1)
    gender, income = draw.choice(["female", "male"], ROWS), draw.normal(3, 1, ROWS).round(3)
    repaid = np.where(income + draw.normal(0, 0.3, ROWS) + 0.5 * (gender == "male") > 3.2, "yes", "no")
    table = {
        "customer": np.arange(ROWS),
        "age": draw.integers(18, 80, ROWS),
        "income": income,
        "housing": draw.choice(["own", "rent", "family"], ROWS),
        "gender": gender,
        "repaid": repaid,
    }
    return pd.DataFrame(table | columns)


@pytest.fixture
def init(project: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    """Run `counterpoise init` on a table in a project of the test's own."""
    project.bootstrap()
    monkeypatch.chdir(project.path)

    def call(table: pd.DataFrame | None, *options: str, file: str = "loans.csv") -> Result:
        if table is not None:
            table.to_csv(file, index=False)
        defaults = {"--label": "repaid", "--sensitive": "gender"}
        words = [word for key, value in defaults.items() if key not in options for word in (key, value)]
        return CliRunner().invoke(cli, ["init", file, *words, *options])

    yield call
    registered.declare(())


def written(project: Any, name: str = "own") -> tuple[dict[str, Any], Dataset]:
    """Return the file that was written, and its data set as a run reads it."""
    content = yaml.safe_load((project.path / f"conf/local/parameters_{name}.yml").read_text())
    return content, Dataset.model_validate(content["datasets"][name])


def samples(project: Any, name: str = "own") -> pd.DataFrame:
    """Return the data as the stage data_split encodes them."""
    from counterpoise.pipelines.data_split.nodes import encode_samples, read_table

    _, dataset = written(project, name)
    table, _ = read_table(project.path / "data/01_raw" / name, dataset)
    return encode_samples(table, dataset)


def test_what_it_writes_is_a_data_set_and_two_experiments(project: Any, init: Callable[..., Result]) -> None:
    result = init(loans())
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-2:] == [
        "  kedro run --pipelines=frontier_own",
        "  kedro run --pipelines=win_own",
    ]
    content, dataset = written(project)
    assert (dataset.positive, dataset.classes, dataset.groups) == ("yes", ("no", "yes"), ("female", "male"))
    assert dataset.drop == ("customer",)
    assert [row.name for row in rows(content)] == ["frontier_own", "win_own"]
    assert {row.evidence for row in rows(content)} == {None}
    features = samples(project)
    assert list(features) == ["age", "income", "housing=family", "housing=own", "housing=rent", "y", "s"]
    assert features["y"].tolist() == (loans()["repaid"] == "yes").astype(int).tolist()


def test_tables_live_side_by_side_and_nothing_is_overwritten(project: Any, init: Callable[..., Result]) -> None:
    for name in ("one", "two"):
        assert init(loans(), "--name", name).exit_code == 0
    names = [row.name for row in registered.experiments()]
    assert [name for name in names if name.endswith(("_one", "_two"))] == [
        *("frontier_one", "win_one"),
        *("frontier_two", "win_two"),
    ]
    before = (project.path / "conf/local/parameters_one.yml").read_text()
    again = init(loans(), "--name", "one", "--positive", "no")
    assert re.search(
        r"^Error: conf/local/parameters_one\.yml: is there already, expected a new --name, or", again.output
    )
    assert (project.path / "conf/local/parameters_one.yml").read_text() == before
    assert init(loans(), "--name", "one", "--positive", "no", "--force").exit_code == 0
    assert written(project, "one")[1].positive == "no"


def test_numbers_that_seem_to_stand_for_missing_ones_are_so_once_the_user_says_it(
    project: Any, init: Callable[..., Result]
) -> None:
    ages = loans()["age"].where(np.arange(ROWS) % 9 > 0, 999)
    result = init(loans(age=ages))
    assert f"999 ({(ages == 999).sum()} rows) may stand for missing" in result.output
    assert samples(project)["age"].max() == 999, "a proposal alone changes nothing"
    path = project.path / "conf/local/parameters_own.yml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("    options:")]
    path.write_text("\n".join(line.replace("    # options:", "    options:") for line in lines))
    assert samples(project)["age"].max() == ages[ages < 999].max()
    assert samples(project)["age_missing"].sum() == (ages == 999).sum()


def test_gaps_keep_their_rows(project: Any, init: Callable[..., Result]) -> None:
    table = loans()
    table.loc[:49, "income"] = np.nan
    table.loc[100:199, "housing"] = None
    table.loc[:499, "age"] = np.nan  # most of them
    table.loc[0, "gender"] = None
    assert init(table).exit_code == 0
    _, dataset = written(project)
    assert dataset.drop == ("customer", "age")
    features = samples(project)
    assert len(features) == ROWS - 1
    assert features["housing=(missing)"].sum() == 100
    assert features["income_missing"].sum() == 49
    assert features["income"][:10].nunique() == 1


def test_small_groups_are_taken_together_and_numbers_get_bands(project: Any, init: Callable[..., Result]) -> None:
    region = np.repeat(["north", "south", "east", "west", "islands"], [200, 200, 110, 60, 30])
    assert init(loans(region=region), "--sensitive", "region", "--name", "r").exit_code == 0
    _, dataset = written(project, "r")
    assert dataset.groups == ("north", "south", ("east", "islands", "west"))
    assert dataset.group_names == ("north", "south", "other")
    assert np.bincount(samples(project, "r")["s"]).tolist() == [200, 200, 200]
    assert init(loans(), "--sensitive", "age", "--name", "a").exit_code == 0
    _, dataset = written(project, "a")
    assert len(dataset.bands) == 2
    assert np.bincount(samples(project, "a")["s"]).min() > ROWS / 4


def test_groups_too_small_even_together_and_rows_without_one_are_scored_only(
    project: Any, init: Callable[..., Result]
) -> None:
    region = np.repeat(["north", "south", "east", "west"], [250, 250, 60, 30]).tolist() + [None] * 10
    assert init(loans(region=region), "--sensitive", "region", "--name", "r").exit_code == 0
    _, dataset = written(project, "r")
    assert dataset.groups == ("north", "south")
    assert dataset.scored_only == (None, "east", "west")
    assert np.bincount(samples(project, "r")["s"]).tolist() == [250, 250]


@pytest.mark.parametrize(
    ("rows", "compares_all"), [([480, 120], True), ([480, 150], True), ([480, 200], False), ([300, 60, 50, 30], True)]
)
def test_all_groups_are_compared_where_fewer_than_two_would_be(
    project: Any, init: Callable[..., Result], rows: list[int], compares_all: bool
) -> None:
    """Of 150 rows 29 or 30 are tested on, as the classes are rounded; 60, 50 and 30 are taken together."""
    region = np.repeat(["north", "south", "east", "west"][: len(rows)], rows)
    table = pd.concat([loans(), loans()], ignore_index=True)[: len(region)].assign(region=region)
    assert init(table, "--sensitive", "region", "--name", "r", "--drop", "customer").exit_code == 0
    _, dataset = written(project, "r")
    assert dataset.min_test_rows == (0 if compares_all else 30)
    split_to_compare(samples(project, "r"), dataset, Seeds((0,)))  # and nothing is refused


def test_several_sensitive_columns_are_joined(project: Any, init: Callable[..., Result]) -> None:
    table = loans(region=np.repeat(["land", "isle"], [590, 10]))
    assert init(table, "--sensitive", "gender,region", "--name", "b").exit_code == 0
    _, dataset = written(project, "b")
    assert dataset.crossed == ("gender", "region")
    assert dataset.groups == ("female, land", "male, land")
    assert dataset.scored_only == ("female, isle", "male, isle")
    assert init(table, "--sensitive", "gender", "--sensitive", "age", "--name", "c").exit_code == 0
    _, dataset = written(project, "c")
    assert len(dataset.crossed_bands["age"]) == 2
    assert len(dataset.groups) == 6
    assert "age" not in {name.split("=")[0] for name in encode_samples(table, dataset)}


def test_rare_categories_are_proposed_to_be_one(project: Any, init: Callable[..., Result]) -> None:
    town = np.array(["a"] * 290 + ["b"] * 300 + ["c"] * 5 + ["d"] * 5)
    assert init(loans(town=town)).exit_code == 0
    _, dataset = written(project)
    assert dataset.rare_categories == 10
    encoded = encode_samples(loans(town=town), dataset)
    assert encoded["town=(rare)"].sum() == 10


def test_codes_and_truth_values_are_said_with_their_types(project: Any, init: Callable[..., Result]) -> None:
    table = loans()
    numbers = loans(repaid=(table["repaid"] == "yes").astype(int), gender=(table["gender"] == "male"))
    assert init(numbers).exit_code == 0
    _, dataset = written(project)
    assert (dataset.positive, dataset.classes, dataset.groups) == (1, ("0", "1"), (False, True))
    assert samples(project)["y"].tolist() == numbers["repaid"].tolist()


def test_classes_that_are_too_rare_are_left_out(project: Any, init: Callable[..., Result]) -> None:
    label = np.repeat(["a", "b", "c", "d"], [200, 200, 198, 2])
    result = init(loans(repaid=label))
    assert result.output.splitlines()[-2:] == [f"  kedro run --pipelines={name}_own" for name in ("frontier", "win")]
    content, dataset = written(project)
    assert (dataset.positive, dataset.classes) == (None, ("a", "b", "c"))
    assert list(content["experiments"]) == ["frontier_own", "win_own"]
    assert len(samples(project)) == ROWS - 2


def test_a_class_that_a_large_group_lacks_is_left_out_where_others_remain(
    project: Any, init: Callable[..., Result]
) -> None:
    label = np.resize(["a", "b", "c", "d"], ROWS)
    gender = np.where((label == "d") | (np.arange(ROWS) % 3 == 0), "female", "male")
    assert init(loans(repaid=label, gender=gender)).exit_code == 0
    content, dataset = written(project)
    assert dataset.classes == ("a", "b", "c")
    assert content["datasets"]["own"]["options"]["exclude"] == {"repaid": ["d"]}
    two = np.where(gender == "male", "a", np.resize(["a", "b"], ROWS))
    assert init(loans(repaid=two, gender=gender), "--name", "two").exit_code == 0
    assert written(project, "two")[1].classes == ("a", "b"), "two classes stay, and the group with them"


def test_of_small_groups_those_that_would_end_a_run_are_not_compared(project: Any, init: Callable[..., Result]) -> None:
    table = loans()
    table["town"] = [f"town {place % 12}" for place in range(ROWS)]
    table.loc[(table["town"] == "town 3") & (table.groupby("town").cumcount() > 4), "repaid"] = "no"
    table.loc[table["town"] == "town 5", "repaid"] = "yes"
    assert init(table, "--sensitive", "town").exit_code == 0
    _, dataset = written(project)
    assert len(dataset.groups) == 10
    assert dataset.scored_only == ("town 3", "town 5"), "together they are too small as well"
    encoded = samples(project)
    assert (encoded.groupby("s")["y"].agg(lambda y: min(y.sum(), (1 - y).sum())) >= 10).all()


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"repaid": "yes"}, (), "--label: column 'repaid' is 'yes' in every row, expected at least two classes"),
        (
            {"repaid": ["no"] * (ROWS - 3) + ["yes"] * 3},
            (),
            "--label: column 'repaid' has fewer than two classes of 10",
        ),
        ({"gender": "x"}, (), "--sensitive: column 'gender' is 'x' in every row, expected at least two groups"),
        ({}, ("--sensitive", "sex"), "--sensitive: the table has no column 'sex'"),
        ({}, ("--drop", "agee"), "--drop: the table has no column 'agee' (did you mean 'age'?)"),
        ({}, ("--positive", "Yes"), "--positive: column 'repaid' never is 'Yes' (did you mean 'yes'?), expected one"),
        ({}, ("--name", "adult"), "--name: there is a data set 'adult' in conf/base, expected another name"),
        ({}, ("--name", "a/b"), "--name: 'a/b' has other signs than letters, digits and single underscores"),
        (
            dict.fromkeys(("age", "income", "housing"), "the same"),
            (),
            "loans.csv: no column is left as a feature (customer: 600 different whole numbers in 600 rows, close",
        ),
        (None, (), "loans.csv: no such file"),
    ],
)
def test_what_cannot_be_described_is_one_sentence_and_leaves_nothing(
    project: Any, init: Callable[..., Result], changes: Any, options: tuple[str, ...], message: str
) -> None:
    result = init(None if changes is None else loans(**changes), *options)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {message}")
    assert result.output.count("\n") == 1
    assert not list((project.path / "conf/local").iterdir())
    assert not (project.path / "data").exists()


def test_labels_of_another_type_than_the_columns_are_said_to_be(tmp_path: Path) -> None:
    loans(repaid=[0, 1] * (ROWS // 2)).to_csv(tmp_path / "loans.csv", index=False)
    table = read("table", tmp_path, files="loans.csv")
    message = r"never is '1' \(a text, while 1 is a number: quotes in YAML make a text\)"
    with pytest.raises(ValueError, match=message):
        encode(table, source="loans", label="repaid", positive="1", sensitive="gender", groups=["female", "male"])


@pytest.mark.filterwarnings("ignore::counterpoise.fairness.UndefinedMetricWarning")
def test_from_a_file_to_a_report_with_two_commands(
    project: Any, init: Callable[..., Result], caplog: pytest.LogCaptureFixture
) -> None:
    assert init(loans()).exit_code == 0
    project.run("win_own", env="local", params={"seeds": 2})
    warned = [record for record in caplog.records if record.levelname == "WARNING"]
    assert not [record.getMessage() for record in warned if not record.name.startswith("kedro_viz")]
    report = (project.path / "data/08_reporting/win_own/report.html").read_text()
    assert "Does WIN make a fine-tuned classifier of repaid fairer?" in report


def visits() -> pd.DataFrame:
    """Return loans of customers who have had several, some without a label, with columns that people have."""
    draw = np.random.default_rng(5)
    table = loans().drop(columns="customer")
    who = draw.integers(200, size=ROWS)
    table["repaid"] = table["repaid"].where(draw.random(ROWS) < 0.97)
    table.loc[table.index[:4], "gender"] = "unknown"
    table.loc[table.index[:4], "repaid"] = None
    return table.assign(
        customerId=who,
        branch_id=who % 30,
        waits=np.where(draw.random(ROWS) < 0.5, "none", (draw.integers(1, 40, ROWS) / 2).astype(str)),
        file_number=np.arange(ROWS) ** 2 + 17,
        closed=np.where(table["repaid"].isna(), "no", "yes"),
    )


def test_rows_of_one_person_are_proposed_to_stay_together(project: Any, init: Callable[..., Result]) -> None:
    result = init(visits())
    assert result.exit_code == 0, result.output
    _, dataset = written(project)
    assert dataset.together == "customerId"
    assert {"customerId", "branch_id", "file_number"} <= set(dataset.drop)
    assert dataset.categories == ("waits",), "most are numbers, so that a run would refuse them otherwise"
    assert "closed" in dataset.drop, "it is constant among the rows that have a label"
    assert set(dataset.groups) == {"female", "male"}, "no row of another group has a label"
    encoded = samples(project)
    splits = split_to_compare(encoded, dataset, Seeds((0, 1))).tensors["splits"].numpy()
    who = encoded["together"].to_numpy()
    for replicate in splits:
        parts = pd.Series(replicate[replicate < 4]).groupby(who[replicate < 4]).nunique()
        assert (parts == 1).all()
    assert not any(name.startswith(("customerId", "together")) for name in feature_names(encoded))


@pytest.mark.parametrize("name", ["id", "subject_id", "ID", "caseId", "PatientNr", "childid", "household number"])
def test_names_of_units(name: str, project: Any, init: Callable[..., Result]) -> None:
    table = loans().assign(**{name: [f"p{number % 150}" for number in range(ROWS)]})
    assert init(table).exit_code == 0
    assert written(project)[1].together == name


@pytest.mark.parametrize("name", ["paid", "covid", "idle", "humid", "grid"])
def test_names_that_only_end_like_one(name: str, project: Any, init: Callable[..., Result]) -> None:
    assert init(loans().assign(**{name: [number % 150 for number in range(ROWS)]})).exit_code == 0
    assert written(project)[1].together is None


def test_signs_codes_and_rare_names_are_what_a_run_takes(project: Any, init: Callable[..., Result]) -> None:
    table = loans(
        income=np.where(np.arange(ROWS) % 8, loans()["income"].astype(str), "-"),
        town=[f"{place % 12:03d}" for place in range(ROWS)],
        street=[f"street {place % 300}" for place in range(ROWS)],
        began=np.resize(["2024-01-01", "2024-07-01"], ROWS),
    )
    result = init(table, "--sensitive", "gender,gender")
    assert result.exit_code == 0, result.output
    content, dataset = written(project)
    assert dataset.sensitive == "gender"
    assert content["datasets"]["own"]["options"]["impute"] == ["income"]
    assert "-" in content["datasets"]["own"]["options"]["missing"]
    assert dataset.categories == ("town",)
    assert set(dataset.drop) == {"customer", "street", "began"}
    features = feature_names(samples(project))
    assert sum(name.startswith("town=") for name in features) == 12
    assert "income_missing" in features
    assert "town: category, 12 values (0, 1, 2); taken as categories: holds whole numbers that begin" in result.output
    assert "street: category" in result.output


def test_spellings_of_a_group_are_pointed_out(project: Any, init: Callable[..., Result]) -> None:
    table = loans()
    table.loc[:299, "gender"] = table.loc[:299, "gender"].str.title()
    assert init(table).exit_code == 0
    text = (project.path / "conf/local/parameters_own.yml").read_text()
    assert "# Female, female seem to be the same: join them" in text


@pytest.mark.parametrize(
    ("labels", "positive"), [(("hired", "rejected"), "hired"), (("admitted", "waiting"), "admitted")]
)
def test_class_1_is_what_people_apply_for(
    project: Any, init: Callable[..., Result], labels: tuple[str, str], positive: str
) -> None:
    assert init(loans(repaid=np.where(loans()["repaid"] == "yes", *labels))).exit_code == 0
    _, dataset = written(project)
    assert dataset.positive == positive
    assert dataset.classes[1] == positive
