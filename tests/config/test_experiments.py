"""Experiments of conf/: rows that are as good as those in source, and sentences for those that are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from counterpoise.config.experiments import every, rows
from counterpoise.config.loader import ConfigLoader
from counterpoise.errors import InputError
from counterpoise.experiments import EXPERIMENTS, Experiment, Part
from counterpoise.settings import CONFIG_LOADER_ARGS

HEADS = {"title": "Heads?", "dataset": "adult", "network": "mlp2", "variants": "win"}


def declared(**changes: Any) -> tuple[Experiment, ...]:
    row = {key: value for key, value in (HEADS | changes).items() if value != "absent"}
    return rows({"experiments": {"mine": row}})


def test_a_row_is_what_the_same_row_in_source_would_be() -> None:
    (row,) = declared(parts=[{"name": "plain"}, {"name": "eo_0.1", "penalty": "eo_01", "network": {"width": 4}}])
    parts = (Part("plain"), Part("eo_0.1", penalty="eo_01", network={"width": 4}))
    assert row == Experiment("mine", "Heads?", "adult", network="mlp2", variants="win", parts=parts)
    assert row.evidence is None
    assert every({"experiments": {"mine": HEADS}}) == (*EXPERIMENTS, *declared())
    assert rows({}) == rows({"experiments": None}) == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"datset": "x"}, r"^conf: unknown parameter 'datset' in 'experiments\.mine' \(did you mean 'dataset'\?\)$"),
        ({"dataset": "absent"}, r"^conf: parameter 'experiments\.mine\.dataset' is missing$"),
        ({"dataset": 3}, r"^conf: parameter 'experiments\.mine\.dataset' is 3: input should be a valid string$"),
        ({"variants": "absent"}, r"'mine' has none of them, expected one of frontier, variants, repairs$"),
        ({"frontier": "own"}, r"'mine' has frontier and variants, expected one of"),
        (
            {"network": "absent"},
            r"has variants without a base, expected one of network, boosting, trees, model, backbone$",
        ),
        ({"boosting": "trees"}, r"'mine' has variants with network and boosting, expected one of network, boosting"),
        (
            {"variants": "absent", "frontier": "own"},
            r"has frontier with network, expected one of trees, model, backbone$",
        ),
        ({"network": "absent", "convnet": "faces"}, r"'mine' has variants with convnet, expected one of network"),
        ({"view": "part"}, r"'experiments\.mine\.view' is 'part' \(did you mean 'parts'\?\)"),
        (
            {"parts": [{"name": "a", "network": 3}]},
            r"experiments\.mine\.parts\.0\.network' is 3: expected the name of a",
        ),
        ({"parts": [{"name": "a.1"}, {"name": "a1"}]}, r"has two parts of one name, expected different ones$"),
        ({"variants": "absent", "repairs": "tables", "retrain": "penalties"}, r"has retrain with repairs, expected it"),
    ],
)
def test_a_wrong_row_is_one_sentence(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        declared(**changes)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("win_adult", "'win_adult' is an experiment of the project, expected a name that is not taken"),
        ("select", "'select' is the name of a stage or of another pipeline"),
        ("fetch_x", "'fetch_x' is the name of a stage or of another pipeline"),
        ("report_all", "'report_all' is the name of a stage"),
        ("a__b", "'a__b' has other signs than letters, digits and single underscores"),
        ("a.b", "'a.b' has other signs"),
        ("../a", "has other signs"),
        ("_", "has other signs"),
    ],
)
def test_names_that_are_taken_or_would_mean_something_else(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        rows({"experiments": {name: HEADS}})


def test_stages_are_reserved_names() -> None:
    from counterpoise.experiments import RESERVED
    from counterpoise.pipelines.assemble import STAGES

    assert {stage.name for stage in STAGES} < RESERVED


def written(conf: Path, **files: Any) -> None:
    for name, content in files.items():
        path = conf / name.replace("_", "/", 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".yml").write_text(content if isinstance(content, str) else yaml.safe_dump(content))


def loader(conf: Path, env: str | None = None) -> ConfigLoader:
    return ConfigLoader(str(conf), env=env, **CONFIG_LOADER_ARGS)


def test_the_loader_merges_environments_and_reads_only_the_block(tmp_path: Path) -> None:
    other = HEADS | {"title": "Other?"}
    written(
        tmp_path,
        base_parameters={"experiments": {"shared": HEADS}, "datasets": "${globals:missing}"},
        local_parameters_loans={"experiments": {"loans": HEADS}},
        local_parameters_shops={"experiments": {"shops": HEADS}},
        prod_parameters={"experiments": {"shared": {"title": "Other?"}}},
    )
    assert [row.name for row in loader(tmp_path).experiments()] == ["shared", "loans", "shops"]
    assert [(row.name, row.title) for row in loader(tmp_path, "prod").experiments()] == [("shared", other["title"])]


@pytest.mark.parametrize("complete", [False, True])
def test_the_sentence_names_the_file_and_the_line(tmp_path: Path, complete: bool) -> None:
    text = "# mine\nexperiments:\n  loans:\n    title: Loans?\n    dataset: loans\n    frontier: own\n    sede: 3\n"
    written(tmp_path, base_parameters={"seeds": 3}, local_parameters_loans=text)
    with pytest.raises(
        InputError,
        match=rf"^{tmp_path.name}/local/parameters_loans.yml, line 7: unknown parameter 'sede' in 'experiments.loans'",
    ):
        loader(tmp_path)["parameters"] if complete else loader(tmp_path).experiments()


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    written(tmp_path, base_parameters="experiments: [\n", local_parameters={})
    with pytest.raises(InputError, match=r"base/parameters\.yml, line \d: is not YAML"):
        loader(tmp_path).experiments()
