"""How long one row takes in the served model, beside a bare LightGBM model that MLflow serves the same way.

    python benchmarks/bench_serving.py data/06_models/frontier_adult/model rows.csv [--requests 2000]

The bare model takes encoded columns: it is the folder's own trees, or, where the model has none, 100 trees that learnt
its predictions. Both servers run at once, each in a process of its own, and are asked in turn by this one, one row per
request over one connection each. Every answer is compared with that of the model in this process.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from timing import show

WAIT = 180
"""Seconds in which a server has to answer for the first time."""
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true"}
ROUNDS, LEAVES = 100, 31
AGREEMENT = 1e-9


def bare_model(folder: Path, encoded: pd.DataFrame, predicted: np.ndarray, place: Path) -> None:
    """Save trees alone as MLflow does, for encoded columns."""
    import lightgbm
    import mlflow.lightgbm
    from mlflow.models import infer_signature

    trees = folder / "artifacts" / "trees.txt"
    if trees.is_file():
        booster = lightgbm.Booster(model_file=str(trees))
    else:
        settings = {"objective": "binary", "num_leaves": LEAVES, "num_threads": 1, "verbose": -1}
        booster = lightgbm.train(settings, lightgbm.Dataset(encoded.to_numpy(), predicted), ROUNDS)
    mlflow.lightgbm.save_model(booster, str(place), signature=infer_signature(encoded, np.zeros(1)))


@contextmanager
def server(folder: Path) -> Iterator[http.client.HTTPConnection]:
    """Serve a model in a process of its own, and connect to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("mlflow"), "models", "serve", "--env-manager", "local"]
    process = subprocess.Popen(
        [*command, "-m", folder, "-p", str(port)],
        env=os.environ | QUIET,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
        until = time.monotonic() + WAIT
        while True:
            try:
                connection.request("GET", "/ping")
                connection.getresponse().read()
                break
            except OSError:
                if time.monotonic() > until or process.poll() is not None:
                    raise
                time.sleep(0.5)
            finally:
                connection.close()  # the server ends one that waits for long; a request opens it again
        yield connection
        connection.close()
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def ask(connection: http.client.HTTPConnection, body: str) -> tuple[float, Any]:
    """Return the seconds that a request takes, and its answer; None if the server refuses it."""
    began = time.perf_counter()
    connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    took = time.perf_counter() - began
    return took, json.loads(content)["predictions"][0] if response.status == http.HTTPStatus.OK else None


def bodies(rows: pd.DataFrame) -> list[str]:
    """Return a request for each row."""
    return [
        json.dumps({"dataframe_split": json.loads(rows.iloc[[i]].to_json(orient="split"))}) for i in range(len(rows))
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", type=Path, help="the folder of an exported model")
    arguments.add_argument("rows", type=Path, help="CSV with columns as in the user's file")
    arguments.add_argument("--requests", type=int, default=2000)
    options = arguments.parse_args()
    import mlflow.pyfunc

    model = mlflow.pyfunc.load_model(str(options.model))
    rows = pd.read_csv(options.rows).sample(options.requests, replace=True, random_state=0).reset_index(drop=True)
    rows = rows[model.metadata.get_input_schema().input_names()]
    expected = model.predict(rows)
    encoded = model.unwrap_python_model().encode(rows).astype("float64")
    classes = model.metadata.metadata["classes"]
    with TemporaryDirectory() as staging, ExitStack() as stack:
        place = Path(staging) / "bare"
        bare_model(options.model, encoded, (expected["prediction"] == classes[-1]).to_numpy(dtype=float), place)
        connections = {name: stack.enter_context(server(at)) for name, at in (("ours", options.model), ("bare", place))}
        requests = {"ours": bodies(rows), "bare": bodies(encoded)}
        times: dict[str, list[float]] = {name: [] for name in connections}
        lost = dict.fromkeys(connections, 0)
        for i in range(options.requests):
            for name in ("ours", "bare") if i % 2 else ("bare", "ours"):
                took, answer = ask(connections[name], requests[name][i])
                times[name].append(took)
                if answer is None:
                    lost[name] += 1
                elif name == "ours" and abs(answer["score"] - expected["score"].iloc[i]) > AGREEMENT:
                    raise SystemExit(f"row {i}: the server says {answer}, expected {expected.iloc[i].to_dict()}")
    quantiles = {name: 1000 * np.quantile(took, [0.5, 0.99]) for name, took in times.items()}
    table = [
        [title, f"{len(times[name])}", f"{lost[name]}", *(f"{value:.1f}" for value in quantiles[name])]
        + [f"{a / b:.2f}" for a, b in zip(quantiles[name], quantiles["bare"], strict=True)]
        for name, title in (("ours", f"ours, {len(rows.columns)} columns"), ("bare", f"LightGBM, {encoded.shape[1]}"))
    ]
    columns = ["served model", "requests", "lost", "median ms", "p99 ms", "median ratio", "p99 ratio"]
    show("one row per request, beside bare trees with encoded columns", columns, table)


if __name__ == "__main__":
    main()
