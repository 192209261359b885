"""The project outside its repository: the wheel in an environment of its own, its configuration, an image."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]
PATIENCE = 300
"""Seconds after which a command of these tests is stuck."""

COMMANDS = {
    "module": ("python", "-m", "counterpoise", "run"),
    "module, as Kedro runs packages": ("python", "-m", "counterpoise"),
}


@dataclass(frozen=True)
class Package:
    """An environment with the wheel installed, and what `kedro package` lays beside the wheel."""

    programs: Path
    configuration: Path

    def __call__(self, folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run an installed program in a folder; nothing but the wheel provides the project."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            [self.programs / program, *arguments],
            cwd=folder,
            env=environment | {"OMP_NUM_THREADS": "1", "KEDRO_DISABLE_TELEMETRY": "1"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """What `kedro package` makes, by the same build backend, which is here already and is not downloaded."""
    folder = tmp_path_factory.mktemp("package")
    source, dist, environment = folder / "source", folder / "dist", folder / "environment"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    shutil.copytree(REPOSITORY / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    dist.mkdir()
    subprocess.run([sys.executable, "-c", build, dist], cwd=source, check=True, capture_output=True)
    (wheel,) = dist.glob("counterpoise-*.whl")

    venv.create(environment, with_pip=False)
    (site,) = environment.glob("lib/python*/site-packages")
    # What the project depends on; of this folder Python reads no further .pth files, so not the project itself.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    install = ("install", "--quiet", "--no-deps", "--no-index", "--ignore-installed", str(wheel))
    python = environment / "bin" / "python"
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True, capture_output=True)

    archive = dist / "conf-counterpoise.tar.gz"
    with tarfile.open(archive, "w:gz") as file:  # as Kedro does: without conf/local/*.yml
        local = re.compile(r"conf/local/.*\.yml")
        file.add(REPOSITORY / "conf", "conf", filter=lambda entry: None if local.fullmatch(entry.name) else entry)
    return Package(environment / "bin", archive)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_mistake_is_the_same_sentence_outside_the_repository(
    package: Package, command: tuple[str, ...], tmp_path: Path
) -> None:
    options = ("--env=smoke", "--pipelines=win_adlt", f"--conf-source={package.configuration}")
    assert sentence(package(tmp_path, *command, *options)) == (
        "there is no pipeline 'win_adlt' (did you mean 'win_adult'?)"
    )


def test_a_mistake_is_the_same_sentence_inside_the_repository(package: Package, project: Any) -> None:
    assert sentence(package(project.path, "counterpoise", "run", "--env=prd")) == (
        f"there is no environment 'prd' in {project.path / 'conf'} (did you mean 'prod'?)"
    )


def test_a_run_beside_an_unpacked_configuration(package: Package, tmp_path: Path) -> None:
    with tarfile.open(package.configuration) as file:
        file.extractall(tmp_path, filter="data")
    options = ("--env=smoke", "--pipelines=win_adult", "--params=tracking=false,seeds=1")
    run = package(tmp_path, "python", "-m", "counterpoise", *options, "--to-nodes=data_split.describe_data")
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "data" / "smoke" / "05_model_input" / "win_adult" / "data_summary.json").exists()


def test_a_whole_run_with_the_archive(package: Package, tmp_path: Path) -> None:
    """Templates, published numbers and the list of pipelines are in the wheel."""
    options = ("--env=smoke", "--pipelines=win_adult", "--params=tracking=false,seeds=2")
    run = package(tmp_path, "counterpoise", "run", f"--conf-source={package.configuration}", *options)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "data" / "smoke" / "08_reporting" / "win_adult" / "report.html").exists()


def test_without_a_configuration_the_sentence_says_how_to_name_one(package: Package, tmp_path: Path) -> None:
    assert sentence(package(tmp_path, "counterpoise", "run")) == (
        f"{tmp_path / 'conf'}: no such folder, expected the configuration of a project: run inside the project, "
        "or name its configuration with --conf-source"
    )


def test_without_a_command_there_is_help(package: Package, tmp_path: Path) -> None:
    run = package(tmp_path, "counterpoise")
    assert re.search(r"run +Run a pipeline\.", run.stdout + run.stderr)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("version: 1\n\tloggers: {}\n", r"conf/logging\.yml, line 2: is not YAML \(.*"),
        ("version: 3\n", r"conf/logging\.yml: Unsupported version: 3, expected .*"),
    ],
)
def test_a_broken_configuration_of_logging(package: Package, project: Any, content: str, message: str) -> None:
    """Kedro reads this file when it is imported, before any command."""
    (project.path / "conf" / "logging.yml").write_text(content)
    assert re.fullmatch(message, sentence(package(project.path, "counterpoise", "run", "--env=smoke")))


def sentence(run: subprocess.CompletedProcess[str]) -> str:
    """Return what a command has ended with."""
    assert run.returncode == 1
    assert "Traceback" not in run.stdout + run.stderr
    return run.stderr.splitlines()[-1].removeprefix("Error: ")


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile with their arguments, continued lines joined, comments left out."""
    lines = [line for line in (REPOSITORY / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def arguments(name: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == name]


def sent(path: str) -> bool:
    """Whether .dockerignore lets a file through: the last pattern that fits it or a folder of it decides."""
    through = True
    for line in (REPOSITORY / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if not line or line.startswith("#"):
            continue
        above = [path, *map(str, PurePosixPath(path).parents)]
        names = PurePosixPath(path).parts if pattern.startswith("**/") else ()
        fits = any(fnmatch(each, pattern) and each.count("/") == pattern.count("/") for each in above)
        if fits or any(fnmatch(each, pattern.removeprefix("**/")) for each in names):
            through = line.startswith("!")
    return through


def test_an_image_never_runs_as_root() -> None:
    names = [instruction for instruction, _ in instructions()]
    assert arguments("USER") == ["counterpoise"]
    assert not {"RUN", "COPY", "ADD"} & set(names[names.index("USER") :])
    assert names.index("USER") < names.index("CMD")
    assert any("useradd" in command and "--uid 10001" in command for command in arguments("RUN"))


def test_an_image_is_made_of_files_that_are_tracked_and_sent() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    tracked = listed.stdout.splitlines()
    copied = [source for each in arguments("COPY") for source in shlex.split(each)[:-1]]
    assert {"src", "conf", "requirements.lock", "pyproject.toml"} <= set(copied)
    for source in copied:
        files = [path for path in tracked if PurePosixPath(path).is_relative_to(source)]
        assert files, f"{source} is not tracked"
        assert [path for path in files if not sent(path) and path != "conf/local/.gitkeep"] == []


@pytest.mark.parametrize(
    "path",
    [
        "conf/local/credentials.yml",
        ".git/config",
        "mlflow.db",
        "data/01_raw/loans/loans.csv",
        "src/x/__pycache__/a.pyc",
    ],
)
def test_secrets_and_data_do_not_reach_the_builder(path: str) -> None:
    assert not sent(path)


def test_an_image_begins_from_a_name_without_a_registry() -> None:
    (base,) = arguments("FROM")
    assert "/" not in base
    assert "PYTHON=3.11" in arguments("ARG")


@pytest.mark.parametrize(
    ("device", "index", "message"),
    [("cpu", "", "DEVICE=cpu needs TORCH_INDEX"), ("gpu", "", "DEVICE is gpu, expected cuda or cpu"), ("cuda", "", "")],
)
def test_what_an_image_installs(device: str, index: str, message: str, tmp_path: Path) -> None:
    """The shell of the Dockerfile, with a pip that only writes down what it is asked for."""
    (tmp_path / "requirements.lock").write_text((REPOSITORY / "requirements.lock").read_text())
    run = _install(tmp_path, device, index)
    assert (run.returncode == 0) is (not message)
    assert message in run.stdout
    if device == "cuda":
        assert (tmp_path / "others").read_text() == (tmp_path / "requirements.lock").read_text()


def test_an_image_for_cpus_has_no_library_of_cuda(tmp_path: Path) -> None:
    lock = (REPOSITORY / "requirements.lock").read_text()
    (tmp_path / "requirements.lock").write_text(lock)
    assert _install(tmp_path, "cpu", "https://wheels.example").returncode == 0
    torch, others = ((tmp_path / name).read_text().splitlines() for name in ("torch", "others"))
    assert [line.split("==")[0] for line in torch] == ["torch", "torchvision"]
    assert not [line for line in others if re.match("nvidia|cuda|triton|torch", line)]
    missing = set(lock.splitlines()) - set(torch) - set(others)
    assert all(re.match("nvidia-|cuda-|triton==", line) for line in missing)
    assert {"numpy", "kedro", "mlflow"} <= {line.split("==")[0] for line in others}


def _install(folder: Path, device: str, index: str) -> subprocess.CompletedProcess[str]:
    (command,) = [each for each in arguments("RUN") if "requirements.lock" in each]
    command = command.replace("/tmp/", f"{folder}/").replace(f"rm -f {folder}/torch {folder}/others", "true")
    script = f'pip() {{ echo pip "$@"; }}\n{command}'
    environment = os.environ | {"DEVICE": device, "TORCH_INDEX": index}
    return subprocess.run(["sh", "-c", script], cwd=folder, env=environment, capture_output=True, text=True)
