"""Requests that are lost while the alias of a served model moves: `counterpoise serve` asked by another process.

    python benchmarks/bench_rollover.py MODEL MODEL --rows ROWS.csv [--requests 2000] [--moves 8]

The two folders (`counterpoise export`) become versions 1 and 2 of a model in a registry of its own. This process asks,
one row per request; the alias moves between the versions after every so many answers. Each answer is compared with that
of the version that its header names, in this process. Then malformed bodies are sent.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

NAME, WAIT = "loans", 300
SECONDS = "0.5"
"""Between two looks at the alias."""
MALFORMED = {
    "nothing": ("", "application/json"),
    "no JSON": ("{", "application/json"),
    "a list": ("[]", "application/json"),
    "a number": ("3", "application/json"),
    "other keys": ('{"rows": []}', "application/json"),
    "records that are none": ('{"dataframe_records": 3}', "application/json"),
    "data that are none": ('{"dataframe_split": {"columns": ["age"], "data": 3}}', "application/json"),
    "one column of many": ('{"dataframe_records": [{"age": 30}]}', "application/json"),
    "HTML": ("<p>", "text/html"),
    "no media type": ("{}", "nonsense"),
    "no Parquet": ("\x00\x01", "application/x-parquet"),
}


def project(folder: Path) -> Path:
    """Make a project whose registry is in it; return its folder."""
    root = Path(__file__).parents[1]
    (folder / "src").mkdir(parents=True)
    shutil.copytree(root / "conf", folder / "conf", ignore=shutil.ignore_patterns("local"))
    (folder / "conf" / "local").mkdir()
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(root / name, folder / name)
    return folder


def request(port: int, body: str, kind: str = "application/json") -> tuple[int, str, str | None]:
    """Return the status, the answer and the version that gave it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/invocations", body, {"Content-Type": kind})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.getheader("x-model-version")
    finally:
        connection.close()


def wait(port: int, process: subprocess.Popen[str]) -> None:
    """Wait until the server answers."""
    until = time.monotonic() + WAIT
    while time.monotonic() < until and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the server does not answer")


def main() -> None:
    """Ask, move, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs=2)
    parser.add_argument("--rows", type=Path, required=True, help="CSV with columns as in the user's file")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--moves", type=int, default=8)
    options = parser.parse_args()
    import mlflow.pyfunc
    from mlflow.tracking import MlflowClient

    models = {str(i): mlflow.pyfunc.load_model(str(path)) for i, path in enumerate(options.models, start=1)}
    names = models["1"].metadata.get_input_schema().input_names()
    rows = pd.read_csv(options.rows)[names].sample(options.requests, replace=True, random_state=0)
    rows = rows.reset_index(drop=True)
    expected = {version: model.predict(rows)["score"].to_numpy() for version, model in models.items()}
    bodies = [
        json.dumps({"dataframe_split": json.loads(rows.iloc[[i]].to_json(orient="split"))}) for i in range(len(rows))
    ]
    with TemporaryDirectory() as place:
        folder = project(Path(place) / "project")
        client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
        client.create_registered_model(NAME)
        for path in options.models:
            client.create_model_version(NAME, str(path.resolve()))
        client.set_registered_model_alias(NAME, "champion", "1")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "counterpoise", "serve", NAME, "--port", str(port), "--seconds", SECONDS]
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}, text=True
        )
        try:
            wait(port, process)
            report(client, port, bodies, expected, options.moves)
            for title, (body, kind) in MALFORMED.items():
                status, text, _ = request(port, body, kind)
                print(f"{title}: {status} {text.strip()[:200]}")
        finally:
            process.terminate()
            process.wait()


def report(client: Any, port: int, bodies: list[str], expected: dict[str, np.ndarray], moves: int) -> None:
    """Ask for all rows while the alias moves, and print what came of it."""
    versions: Counter[str | None] = Counter()
    lost = wrong = switches = 0
    times, before = [], None
    for i, body in enumerate(bodies):
        if i % (len(bodies) // (moves + 1)) == 0 and i:
            client.set_registered_model_alias(NAME, "champion", "2" if before == "1" else "1")
        began = time.perf_counter()
        try:
            status, text, version = request(port, body)
        except OSError:
            lost += 1
            continue
        times.append(time.perf_counter() - began)
        if status != http.HTTPStatus.OK:
            lost += 1
            continue
        versions[version] += 1
        switches += before is not None and version != before
        before = version
        score = json.loads(text)["predictions"][0]["score"]
        wrong += not np.isclose(score, expected[str(version)][i], atol=1e-9)
    median, tail = np.quantile(times, [0.5, 0.99]) * 1000
    print(f"{len(bodies)} requests, {lost} lost, {wrong} with another answer than the version's in Python")
    print(f"answers by version: {dict(versions)}; changes of version: {switches}")
    print(f"median {median:.1f} ms, p99 {tail:.1f} ms, longest {max(times) * 1000:.0f} ms")


if __name__ == "__main__":
    main()
