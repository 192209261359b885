"""The experiments at hand follow the configuration of the run, and Kedro's pipelines follow them."""

from __future__ import annotations

from typing import Any

import pytest
from kedro.framework.project import pipelines

from counterpoise import registered
from counterpoise.config.retrained import RETRAINED
from counterpoise.errors import InputError
from counterpoise.experiments import EXPERIMENTS
from counterpoise.hooks.slices import combined

ROW = {"title": "Mine?", "dataset": "adult", "network": "mlp2", "variants": "tl"}


pytestmark = pytest.mark.usefixtures("registered_as_before")


@pytest.fixture
def here(project: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project with an experiment in conf/local and one in conf/smoke; the process is in it."""
    project.bootstrap()
    project.configure("local", "parameters_mine.yml", {"experiments": {"mine": ROW}})
    project.configure("smoke", "parameters_tiny.yml", {"experiments": {"tiny": ROW}})
    monkeypatch.chdir(project.path)
    monkeypatch.delenv("KEDRO_ENV", raising=False)
    return project


def names() -> list[str]:
    further = registered.experiments()[len(EXPERIMENTS) :]
    return [experiment.name for experiment in further if experiment.name != RETRAINED]


def test_without_a_session_kedro_lists_those_of_the_default_environment(here: Any) -> None:
    assert names() == ["mine"]
    assert "mine" in pipelines
    assert "tiny" not in pipelines


def test_the_environment_variable_chooses(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDRO_ENV", "smoke")
    assert names() == ["tiny"]


def test_a_session_without_hooks_chooses(here: Any) -> None:
    """Kedro-Viz makes one, and then looks at the pipelines."""
    from kedro.framework.session import KedroSession

    with KedroSession.create(here.path, env="smoke") as session:
        session._get_config_loader()
        assert names() == ["tiny"]
        assert "tiny" in pipelines
    registered.read()
    assert names() == ["mine"]


def test_pipelines_that_were_put_together_for_others_are_not_kept(here: Any) -> None:
    registered.read(environment="smoke")
    assert {name in pipelines for name in ("tiny", "win_adult")} == {True}
    registered.read()
    assert "tiny" not in pipelines
    assert {tag for node in pipelines["mine"].nodes for tag in node.tags} >= {"mine"}


def test_another_configuration_is_read(here: Any, tmp_path: Any) -> None:
    registered.read(str(here.path / "conf"), "smoke")
    assert names() == ["tiny"]
    with pytest.raises(InputError, match="no such folder, expected the configuration of a project"):
        registered.read(str(tmp_path / "nowhere"))


def test_a_folder_without_configuration_declares_nothing(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    registered.read()
    assert names() == []


def test_a_run_without_evidence_leaves_a_report_without_claims(here: Any) -> None:
    here.run("tiny")
    report = here.file("08_reporting/tiny/report.html").read_text()
    assert "Mine?" in report
    assert 'id="results"' in report
    assert "#claims" not in report
    assert "Claims tested" not in here.file("08_reporting/tiny/model_card.md").read_text()
    assert here.file("08_reporting/tiny/claims.csv").read_text().count("\n") == 1


def test_the_experiment_that_is_retrained_is_one_more(here: Any) -> None:
    here.configure("local", "parameters_retraining.yml", {"retraining": {"experiment": "mine"}})
    registered.read()
    base, row = registered.retrained(), registered.experiments()[-1]
    assert base is not None
    assert (base.name, row.name, row.dataset, row.variants) == ("mine", RETRAINED, RETRAINED, base.variants)
    assert {"retrain", "monitor", "rollback"} <= set(pipelines)
    assert RETRAINED not in pipelines
    assert "adult__raw" in pipelines["retrain"].inputs()


def test_a_pipeline_of_another_environment_is_found_there(here: Any) -> None:
    registered.read(environment="laptop")
    assert registered.declared_by("mine") == "local"
    assert registered.declared_by("audit_adult") == "local"
    assert registered.declared_by("tiny") == "smoke"
    assert registered.declared_by("nobody") is None
    with pytest.raises(InputError, match=r"no pipeline 'mine' in this environment \(conf/local declares it, for itsel"):
        combined(["mine"])
    registered.read()
    assert registered.declared_by("mine") is None, "it is at hand"


def test_what_is_wrong_in_another_environment_is_nobody_s_business(here: Any) -> None:
    here.configure("local", "parameters_mine.yml", {"experiments": {"mine": {"titel": "Mine?"}}})
    registered.read(environment="laptop")
    assert registered.declared_by("mine") is None
