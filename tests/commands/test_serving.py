"""The model behind an alias: who answers while it moves, and what malformed requests hear."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from counterpoise.commands.serving import FollowedAlias, loader, resolver
from counterpoise.errors import InputError
from counterpoise.tracking import TrackingSettings, sqlite_uri

CODE = """
import mlflow
import pandas as pd


class Constant(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: pd.DataFrame, params=None):
        return pd.DataFrame({{"prediction": [{answer}] * len(model_input)}})


mlflow.models.set_model(Constant())
"""
ROW = json.dumps({"dataframe_records": [{"age": 30}]})


@pytest.fixture(scope="module")
def settings(smoke: Any, tmp_path_factory: pytest.TempPathFactory) -> TrackingSettings:
    """A registry with two versions of the model `loans`, which answer 1 and 2; the alias names the first."""
    from mlflow.tracking import MlflowClient

    folder = tmp_path_factory.mktemp("registry")
    shutil.copy(smoke.path / "mlflow.db", folder)  # making one takes seconds
    uri = sqlite_uri(folder / "mlflow.db")
    client = MlflowClient(uri)
    client.create_registered_model("loans")
    for answer in (1, 2):
        code = folder / f"model_{answer}.py"
        code.write_text(CODE.format(answer=answer))
        place = folder / f"version_{answer}"
        save(place, code)
        client.create_model_version("loans", str(place))
    client.set_registered_model_alias("loans", "champion", "1")
    return TrackingSettings(uri, "trial", 1)


def save(place: Path, code: Path, *helpers: Path) -> None:
    """Save a model of MLflow's whose column is `age`."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    signature = ModelSignature(Schema([ColSpec("long", "age")]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would like an example of the input
        mlflow.pyfunc.save_model(
            str(place),
            python_model=str(code),
            code_paths=[str(helper) for helper in helpers] or None,
            signature=signature,
            pip_requirements=["mlflow"],
        )


def move(settings: TrackingSettings, version: int) -> None:
    from mlflow.tracking import MlflowClient

    MlflowClient(settings.uri).set_registered_model_alias("loans", "champion", str(version))


class Running:
    """An application on a port of this machine, in a thread."""

    def __init__(self, app: Any) -> None:
        import uvicorn

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.server = uvicorn.Server(uvicorn.Config(app, port=self.port, log_level="critical", lifespan="off"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def ask(self, body: str, kind: str = "application/json") -> tuple[int, Any, str | None]:
        """Return the status, the answer and the version that gave it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("POST", "/invocations", body, {"Content-Type": kind})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        text = content.decode()
        said = json.loads(text) if text.startswith("{") else {"message": text}
        return answer.status, said, answer.getheader("x-model-version")


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def followed(settings: TrackingSettings, said: list[str]) -> FollowedAlias:
    return FollowedAlias(resolver(settings, "loans", "champion"), loader(settings, "loans"), said.append)


@pytest.fixture(scope="module")
def running(followed: FollowedAlias) -> Iterator[Running]:
    running = Running(followed)
    yield running
    running.server.should_exit = True
    running.thread.join()


def test_no_request_is_lost_while_the_alias_moves(
    running: Running, followed: FollowedAlias, settings: TrackingSettings
) -> None:
    answers: list[tuple[int, Any, str | None]] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            answers.append(running.ask(ROW))

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    for version in (2, 1, 2):
        move(settings, version)
        followed.follow()
        seen = len(answers)
        while len(answers) < seen + 5:
            time.sleep(0.01)
    ended.set()
    for thread in asking:
        thread.join()
    assert {status for status, _, _ in answers} == {200}
    assert {version for _, _, version in answers} == {"1", "2"}
    assert all(answer["predictions"] == [{"prediction": int(version)}] for _, answer, version in answers)
    assert answers[-1][2] == "2"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("", "application/json"),
        ("{", "application/json"),
        ("[]", "application/json"),
        ("null", "application/json"),
        ("3", "application/json"),
        ('{"rows": []}', "application/json"),
        ('{"dataframe_records": 3}', "application/json"),
        ('{"dataframe_split": {"columns": ["age"], "data": 3}}', "application/json"),
        ('{"dataframe_split": {"columns": ["age"], "data": [[1, 2]]}}', "application/json"),
        ('{"dataframe_records": [{"height": 30}]}', "application/json"),
        ('{"dataframe_records": [{"age": "old"}]}', "application/json"),
        (ROW, "text/html"),
        (ROW, "nonsense"),
        ("\x00\x01", "application/x-parquet"),
        ("\x00\x01", "application/vnd.apache.parquet"),
        ("\xff", "application/json"),
        ("\xff", "text/csv"),
        ("[" * 100_000, "application/json"),
        ("", "text/csv"),
        ('a,"b\n1', "text/csv"),
    ],
)
def test_a_malformed_body_is_refused_in_a_sentence(running: Running, body: str, kind: str) -> None:
    status, answer, _ = running.ask(body, kind)
    assert 400 <= status < 500
    assert len(answer["message"].split()) > 3
    assert "Traceback" not in answer["message"]
    assert running.ask(ROW)[0] == 200


class TestFollow:
    """Without MLflow: what is loaded when."""

    def followed(self, versions: list[Any], said: list[str]) -> FollowedAlias:
        def resolve() -> str:
            answer = versions.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return str(answer)

        def load(version: str) -> Any:
            if version == "bad":
                raise OSError("no such file")
            return lambda *_: version

        return FollowedAlias(resolve, load, said.append)

    def test_a_version_that_cannot_be_loaded_changes_nothing_and_is_said_once(self) -> None:
        said: list[str] = []
        followed = self.followed(["1", "bad", "bad", "2", "bad"], said)
        for _ in range(4):
            followed.follow()
        complaint = "version {} goes on (no such file)"
        assert said == ["version 1 answers", complaint.format(1), "version 2 answers", complaint.format(2)]

    def test_a_registry_that_is_away_changes_nothing(self) -> None:
        said: list[str] = []
        followed = self.followed(["1", InputError("away"), "1"], said)
        followed.follow()
        followed.follow()
        assert (followed.served.version, said[1:]) == ("1", ["version 1 goes on (away)"])

    def test_the_same_version_is_loaded_once(self) -> None:
        followed = self.followed(["1", "1"], [])
        served = followed.served
        followed.follow()
        assert followed.served is served


@pytest.mark.parametrize(("name", "alias"), [("loans", "winner"), ("cars", "champion")])
def test_without_an_alias_there_is_a_sentence(settings: TrackingSettings, name: str, alias: str) -> None:
    with pytest.raises(InputError, match=f"{name} has no alias '{alias}'"):
        resolver(settings, name, alias)()


def test_a_registry_that_cannot_be_reached_is_a_sentence_without_the_password() -> None:
    settings = TrackingSettings("http://me:s3cret-word@127.0.0.1:9", "trial", 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(InputError, match="cannot be reached") as caught:
            resolver(settings, "loans", "champion")()
    assert "s3cret" not in str(caught.value)


def test_the_code_of_a_version_is_not_that_of_the_one_before(tmp_path: Path, settings: TrackingSettings) -> None:
    """Each version has modules of its own beside it, under the same names."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(settings.uri)
    client.create_registered_model("helpers")
    for answer in (1, 2):
        helper = tmp_path / str(answer) / "answers_of_this_version.py"
        helper.parent.mkdir()
        helper.write_text(f"ANSWER = {answer}")
        code = helper.with_name("model.py")
        code.write_text("from answers_of_this_version import ANSWER\n" + CODE.format(answer="ANSWER"))
        place = tmp_path / f"version_{answer}"
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(helper.parent))
            save(place, code, helper)
            sys.modules.pop("answers_of_this_version", None)
        client.create_model_version("helpers", str(place))
    client.set_registered_model_alias("helpers", "champion", "1")
    followed = FollowedAlias(resolver(settings, "helpers", "champion"), loader(settings, "helpers"), lambda _: None)
    running = Running(followed)
    assert running.ask(ROW)[1]["predictions"] == [{"prediction": 1}]
    client.set_registered_model_alias("helpers", "champion", "2")
    followed.follow()
    assert running.ask(ROW)[1]["predictions"] == [{"prediction": 2}]
    running.server.should_exit = True
