"""What all tests share: one thread, generators, and copies of the project in which runs may write."""

from __future__ import annotations

import atexit
import gc
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from forking import Command, Forks
from shortcuts import LONGEST_FIRST, alone, generate_data_once, read_configuration_once, read_types_once

if TYPE_CHECKING:
    import pandas as pd
    import torch

REPOSITORY = Path(__file__).parents[1]
gc.disable()  # of what is imported and collected nothing can go

ENVIRONMENT = {"KEDRO_DISABLE_TELEMETRY": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}


def pytest_configure(config: pytest.Config) -> None:
    """Check types, before the package is imported; not in the process that only hands tests to workers, which wait for
    it: it imports no library."""
    if config.getoption("numprocesses", None) is None or hasattr(config, "workerinput"):
        from type_checks import install

        install()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no worker ends long after the others."""
    order = {name: position for position, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0].removeprefix("tests/"), len(order)))


def pytest_collection_finish() -> None:
    """Let the garbage collector begin, among the objects of tests alone: searching the others takes a second."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    gc.enable()


def pytest_sessionfinish() -> None:
    """Let libraries that count what they leak find nothing."""
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tiny tensors are slower on several threads than on one."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def generator() -> torch.Generator:
    """A generator of its own for each test."""
    import torch

    return torch.Generator().manual_seed(20240301)


@cache
def forks() -> Forks:
    """The process from which this one's commands are forked."""
    started = Forks(REPOSITORY)
    atexit.register(started.close)
    return started


@dataclass(frozen=True)
class Project:
    """A copy of the project without its data; runs in it use the installed package."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> Project:
        (path / "src").mkdir(parents=True)  # Kedro insists on the folder
        shutil.copytree(REPOSITORY / "conf", path / "conf", ignore=shutil.ignore_patterns("local"))
        (path / "conf" / "local").mkdir()
        for name in ("pyproject.toml", ".telemetry"):
            shutil.copy(REPOSITORY / name, path / name)
        return cls(path)

    @property
    def data(self) -> Path:
        """Where runs of the environment smoke write."""
        return self.path / "data" / "smoke"

    def file(self, pattern: str, env: str = "smoke") -> Path:
        """Return the one file that the pattern fits among an environment's results."""
        (path,) = (self.path / "data" / env).glob(pattern)
        return path

    @property
    def predictions(self) -> pd.DataFrame:
        import pandas as pd

        return pd.read_parquet(self.file("07_model_output/*/predictions.parquet"))

    def bootstrap(self) -> None:
        """Tell Kedro of the package, once: it is the same for every copy of the project."""
        from kedro.framework import project
        from kedro.framework.startup import bootstrap_project

        if project.PACKAGE_NAME is None:
            bootstrap_project(self.path)

    def run(
        self,
        pipeline: str | None = None,
        *,
        env: str = "smoke",
        params: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Run a pipeline, not tracked unless `params` say so, in a Kedro session of this process."""
        from kedro.framework.session import KedroSession

        self.bootstrap()
        runtime_params = {"tracking": False} | dict(params or {})
        with KedroSession.create(self.path, env=env, runtime_params=runtime_params) as session:
            return session.run(pipeline_names=[pipeline] if pipeline else None, **options)

    def start(self, *arguments: str) -> Command:
        """Start the command `kedro` in a process of its own."""
        return forks().start(arguments, self.path, os.environ | ENVIRONMENT | {"OMP_NUM_THREADS": "1"})

    def configure(self, env: str, file: str, content: Mapping[str, Any]) -> None:
        """Write conf/<env>/<file>."""
        path = self.path / "conf" / env / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(dict(content)))

    def override(self, env: str, blocks: Mapping[str, Any]) -> None:
        """Merge blocks into an environment's parameters."""
        path = self.path / "conf" / env / "parameters.yml"
        settings = yaml.safe_load(path.read_text())
        for name, block in blocks.items():
            settings[name] = {**settings.get(name, {}), **block} if isinstance(block, dict) else block
        path.write_text(yaml.safe_dump(settings))

    def leftovers(self) -> list[Path]:
        """Return the files that a write has begun and not finished."""
        return [path for path in self.path.rglob("*") if path.suffix in {".part", ".probe", ".partial"}]


@pytest.fixture(autouse=True, scope="session")
def _quiet() -> Iterator[None]:
    """Nothing leaves this machine, and nothing of this machine decides where runs are logged."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(autouse=True, scope="session")
def _shortcuts(shared: Path) -> Iterator[None]:
    """What is the same in all tests is done once."""
    with pytest.MonkeyPatch.context() as patch:
        read_configuration_once(patch)
        read_types_once(patch)
        generate_data_once(patch, shared)
        yield


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of the test's own."""
    return Project.create(tmp_path / "project")


@pytest.fixture
def registered_as_before() -> Iterator[None]:
    """Leave the experiments at hand as they were: a test declares others."""
    from counterpoise import registered
    from counterpoise.config.loader import ConfigLoader

    latest = ConfigLoader.latest
    yield
    ConfigLoader.latest = latest
    registered.declare(())


@pytest.fixture(scope="session")
def preflight() -> Callable[..., None]:
    """Check parameters as a run does before its first node, without the seconds that a Kedro session takes to open.

    `given` is merged into the parameters of the environment smoke.
    """
    from counterpoise.config.parameters import check
    from counterpoise.config.parts import merged, with_parts
    from counterpoise.experiments import EXPERIMENTS
    from counterpoise.hooks.preflight import check_experiment
    from counterpoise.settings import CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS

    smoke = CONFIG_LOADER_CLASS(str(REPOSITORY / "conf"), env="smoke", **CONFIG_LOADER_ARGS)["parameters"]
    by_name = {experiment.name: experiment for experiment in EXPERIMENTS}

    def run(given: Mapping[str, Any], experiment: str = "win_adult") -> None:
        check_experiment(check(with_parts(merged(smoke, given))), by_name[experiment])

    return run


@pytest.fixture(scope="session")
def project_factory(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Project]:
    """Make projects that several tests share, by name."""
    return lambda name: Project.create(tmp_path_factory.mktemp(name) / "project")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all workers."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def tracked_before(shared: Path) -> Callable[[Path], None]:
    """Give a folder MLflow's database without a run, which takes seconds to make."""
    from counterpoise.tracking.databases import require_database
    from counterpoise.tracking.faults import quiet

    database = shared / "empty" / "mlflow.db"

    def copy(folder: Path) -> None:
        with alone(shared / "empty.lock"), quiet():
            require_database(database, "file:///nowhere")
        shutil.copy(database, folder)

    return copy


@pytest.fixture(scope="session")
def run_once(shared: Path) -> Callable[..., Project]:
    """Run a pipeline once in a project that all tests, of all workers, only read."""

    def run(name: str, pipeline: str | None = None, **params: Any) -> Project:
        with alone(shared / f"{name}.lock"):
            path = shared / name
            if not (path / "finished").exists():
                shutil.rmtree(path, ignore_errors=True)  # of a run that failed
                project = Project.create(path)
                project.run(pipeline, params=params)
                (path / "finished").touch()
        return Project(path)

    return run


@pytest.fixture(scope="session")
def smoke(run_once: Callable[..., Project]) -> Project:
    """The registered default, tracked."""
    return run_once("smoke", tracking=True)


@pytest.fixture(scope="session")
def raw() -> Callable[..., Path]:
    """Find the folder of a real data set under COUNTERPOISE_RAW or data/01_raw, or skip the test.

    It is told from an empty one by what it `holds`, a pattern.
    """
    from counterpoise.data.generate.folders import MARKER

    def find(name: str, holds: str = "*.txt") -> Path:
        root = Path(os.environ.get("COUNTERPOISE_RAW") or REPOSITORY / "data" / "01_raw")
        folder = root / name
        if not folder.is_dir() or not any(folder.glob(holds)) or (folder / MARKER).exists():
            pytest.skip(f"no real {name} data in {root} (COUNTERPOISE_RAW names another place)")
        return folder

    return find


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Cluster:
    """A Dask scheduler and worker processes on loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("dask_scheduler", "--host", self.address)

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:], "--no-dashboard"]
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def add_worker(self) -> None:
        """Start a worker of one thread."""
        options = ("--nthreads", "1", "--no-nanny", "--host", "127.0.0.1")
        self.workers.append(self._start("dask_worker", self.address, *options))

    def wait_for_workers(self, count: int) -> None:
        """Wait until the scheduler knows exactly so many."""
        from distributed import Client

        with Client(self.address, timeout=30, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=30)
            while len(client.scheduler_info()["workers"]) > count:
                time.sleep(0.05)

    def kill(self, number: int) -> None:
        """Kill a worker at once, if it is alive."""
        self.workers[number].kill()
        self.workers[number].wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with a worker that waits for work."""
    pytest.importorskip("distributed", reason="needs the extra 'dask'")
    cluster = Cluster(tmp_path)
    try:
        cluster.add_worker()
        cluster.wait_for_workers(1)
        yield cluster
    finally:
        for process in (cluster.scheduler, *cluster.workers):
            process.kill()
            process.wait()


PASSWORD = "only-for-tests"
USER = "tester"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """SQLAlchemy's address of a database of a real PostgreSQL server on loopback, which ends with the tests.

    The programs are those of Debian's package `postgresql`; a test is skipped where they are not there.
    """
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs or not (programs[-1] / "initdb").exists():
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))  # pytest's own folders are closed to other users
    port, data = free_port(), folder / "data"
    user = {"user": "postgres"} if os.geteuid() == 0 else {}  # the server refuses to run as root
    if user:
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
    password = folder / "password"
    password.write_text(PASSWORD)
    password.chmod(0o644)

    def call(*words: str) -> None:
        subprocess.run(words, check=True, cwd=folder, capture_output=True, timeout=120, **user)  # type: ignore[call-overload]

    options = ["--auth=scram-sha-256", f"--username={USER}", f"--pwfile={password}", "--no-sync"]
    call(str(programs[-1] / "initdb"), "-D", str(data), *options)
    settings = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off"
    control = str(programs[-1] / "pg_ctl")
    call(control, "-D", str(data), "-o", settings, "-l", str(folder / "log"), "-w", "start")
    try:
        yield f"postgresql+psycopg://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        call(control, "-D", str(data), "-m", "fast", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)
