"""`counterpoise serve`: the model behind an alias of MLflow's registry, and the next one once the alias moves.

`mlflow models serve -m models:/NAME@champion` asks for the alias once, when it starts. This is the same application of
MLflow's, put in the place of the one before while requests go on: those under way are answered by the model that they
began with.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from counterpoise.errors import InputError, one_line
from counterpoise.tracking import TrackingSettings, require_files

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

VERSION_HEADER = b"x-model-version"
"""Header of each answer: the version that gave it."""

PATIENCE_SECONDS = 30
"""How long requests under way may take once the server is told to end."""

UNREADABLE = "The body cannot be read, expected what its media type says, with the columns of the model"


@dataclass(frozen=True)
class Served:
    """A version of the model, ready to answer."""

    version: str
    app: App


class FollowedAlias:
    """An ASGI application: that of the version which the alias names.

    Args:
        resolve: returns the version that the alias names at present.
        load: makes the application of a version.
        say: is given sentences for the log.
    """

    def __init__(self, resolve: Callable[[], str], load: Callable[[str], App], say: Callable[[str], None]) -> None:
        self.resolve, self.load, self.say = resolve, load, say
        self.failure = ""
        version = resolve()
        self.served = Served(version, load(version))
        say(f"version {version} answers")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        served = self.served  # one version for the whole of a request
        held: list[MutableMapping[str, Any]] = []

        async def marked(message: MutableMapping[str, Any]) -> None:
            """Send a part of the answer; that of an internal error waits until its reason is certain."""
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (VERSION_HEADER, served.version.encode())]
            if held or message.get("status", 0) == HTTPStatus.INTERNAL_SERVER_ERROR:
                held.append(message)
            else:
                await send(message)

        reason: Exception | None = None
        try:
            await served.app(scope, receive, marked)
        except (ValueError, RecursionError) as error:  # of a body that a library cannot read, such as JSON in JSON in …
            if not held:
                raise
            reason = error
        if reason is not None:
            headers = [(b"content-type", b"application/json"), (VERSION_HEADER, served.version.encode())]
            start = {"type": "http.response.start", "status": int(HTTPStatus.BAD_REQUEST), "headers": headers}
            body = json.dumps({"error_code": "BAD_REQUEST", "message": f"{UNREADABLE} ({one_line(str(reason))})"})
            held = [start, {"type": "http.response.body", "body": body.encode()}]
        for message in held:
            await send(message)

    def follow(self) -> None:
        """Ask for the alias once, and load the version that it names unless it is the one that answers.

        A registry or a version that fails changes nothing: the present version goes on, and the reason is said once.
        """
        version = self.served.version
        try:
            version = self.resolve()
            if version != self.served.version:
                self.served = Served(version, self.load(version))
                self.say(f"version {version} answers")
            self.failure = ""
        except Exception as error:
            failure = f"version {self.served.version} goes on ({one_line(str(error))})"
            if failure != self.failure:
                self.say(failure)
            self.failure = failure


def loader(settings: TrackingSettings, name: str) -> Callable[[str], App]:
    """Return what loads a version of a registered model as MLflow's own server does."""
    places: list[Path] = []

    def load(version: str) -> App:
        from mlflow import artifacts
        from mlflow.pyfunc import load_model, scoring_server
        from mlflow.tracking import MlflowClient

        client = MlflowClient(settings.uri)
        require_files(client.get_model_version(name, version))
        source = client.get_model_version_download_uri(name, version)
        place = Path(artifacts.download_artifacts(source, tracking_uri=settings.uri))
        for module, code in list(sys.modules.items()):  # of the version before, under names that this one may have too
            file = getattr(code, "__file__", None)
            if file and any(Path(file).is_relative_to(earlier) for earlier in places):
                del sys.modules[module]
        app: App = scoring_server.init(load_model(str(place)))
        places.append(place)
        return app

    return load


def resolver(settings: TrackingSettings, name: str, alias: str) -> Callable[[], str]:
    """Return what asks the registry for the version that an alias names.

    Raises, when it is called:
        InputError: there is no such model or alias, or the registry does not answer.
    """
    from mlflow.tracking import MlflowClient

    from counterpoise.tracking import faults
    from counterpoise.tracking.databases import require_database

    if settings.database is not None:
        with faults.quiet():
            require_database(settings.database, settings.artifacts or "")
    client = MlflowClient(settings.uri)

    def resolve() -> str:
        try:
            with faults.quiet():
                return str(client.get_model_version_by_alias(name, alias).version)
        except Exception as error:
            if getattr(error, "error_code", "") in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                place = f"MLflow at {settings.shown}"
                raise InputError(f"{place}: {name} has no alias {alias!r}, expected one that was promoted") from None
            raise InputError(faults.sentence(error, settings, "start the server again")) from None

    return resolve


def serve(name: str, *, alias: str, environment: str | None, host: str, port: int, seconds: float) -> None:
    """Serve until the process is told to end; ask for the alias every so many seconds.

    Raises:
        InputError: there is no such model or alias, or the registry does not answer.
    """
    import uvicorn

    settings = _settings(environment)

    def say(sentence: str) -> None:
        print(settings.conceal(f"{name}@{alias}: {sentence}"), flush=True)

    followed = FollowedAlias(resolver(settings, name, alias), loader(settings, name), say)
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(seconds):
            followed.follow()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    options: Mapping[str, Any] = {"log_level": "warning", "timeout_graceful_shutdown": PATIENCE_SECONDS}
    try:
        uvicorn.run(followed, host=host, port=port, **options)
    finally:
        ended.set()


def _settings(environment: str | None) -> TrackingSettings:
    from kedro.framework.session import KedroSession

    with KedroSession.create(project_path=Path.cwd(), env=environment) as session:
        context = session.load_context()  # type: ignore[attr-defined]  # Kedro's own sessions have it
        return TrackingSettings.read(context.config_loader["mlflow"], Path(context.project_path))
