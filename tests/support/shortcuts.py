"""What tests have in common is done once: configuration is read, types are looked up, data are generated."""

from __future__ import annotations

import fcntl
import io
import pickle
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

LONGEST_FIRST = (
    "hooks/test_retraining_run.py",
    "test_packaging.py",
    "pipelines/frontier/test_nodes.py",
    "test_notebook.py",
    "test_cli.py",
    "tracking/test_services.py",
    "hooks/test_provenance.py",
    "pipelines/repair/test_weights.py",
    "pipelines/test_assemble.py",
    "pipelines/extract_features/test_nodes.py",
)
"""Files of tests that take about half a minute each."""

SHORT = 1000
"""Characters of a file that is parsed as fast as copied."""


def read_configuration_once(patch: pytest.MonkeyPatch) -> None:
    """Sessions with the same files, environment and overrides share what Kedro made of them, in two seconds each.

    Others share the files that are the same.
    """
    from kedro.config import OmegaConfigLoader
    from omegaconf import OmegaConf

    known: dict[str, bytes] = {}
    read = OmegaConfigLoader.__getitem__

    def remember(self: OmegaConfigLoader, name: str) -> Any:
        source = Path(self.conf_source)
        if name not in {"parameters", "catalog"} or name in self or not source.is_dir():
            return read(self, name)
        texts = {
            str(file.relative_to(source)): file.read_text()
            for file in sorted(source.rglob("*.yml"))
            if file.name.startswith((name, "globals"))
        }
        if any("oc.env" in text for text in texts.values()):
            return read(self, name)
        key = repr((name, texts, self.env, self.base_env, self.default_run_env, self.runtime_params))
        if key not in known:
            known[key] = pickle.dumps(read(self, name))
        return pickle.loads(known[key])

    load, parsed = OmegaConf.load, dict[str, bytes]()

    def parse(stream: Any) -> Any:
        text = stream.getvalue() if isinstance(stream, io.StringIO) else ""
        if len(text) < SHORT:
            return load(stream)
        if text not in parsed:
            parsed[text] = pickle.dumps(load(stream))
        return pickle.loads(parsed[text])

    patch.setattr(OmegaConfigLoader, "__getitem__", remember)
    patch.setattr(OmegaConf, "load", parse)


def read_types_once(patch: pytest.MonkeyPatch) -> None:
    """What Kedro does anew in every session and what comes out the same: the types of the parameters that nodes read,
    and two thousand attempts to import a library that is not installed, one for each parameter."""
    from kedro.pipeline import Node
    from kedro.validation.type_extractor import TypeExtractor

    known: dict[int, tuple[Node, dict[str, type]]] = {}
    extract = TypeExtractor._extract_types_from_node

    def remember(self: TypeExtractor, node: Node) -> dict[str, type]:
        if id(node) not in known:
            known[id(node)] = node, extract(self, node)  # the node lives on, so that its id is no other's
        return known[id(node)][1]

    patch.setattr(TypeExtractor, "_extract_types_from_node", remember)
    if find_spec("ibis") is None:
        patch.setitem(sys.modules, "ibis", None)


def generate_data_once(patch: pytest.MonkeyPatch, shared: Path) -> None:
    """A project is given a copy of what was generated with the same options for another one, of any worker."""
    from counterpoise.artifacts.datasets import GeneratedFolder

    generate = GeneratedFolder.load

    def copy(self: GeneratedFolder) -> Path:
        folder, identity = Path(self._filepath), self.identity(str)
        if folder.exists():  # is left alone, or refused
            return generate(self)
        drawn = shared / f"generated-{identity}"
        with alone(drawn.with_suffix(".lock")):
            if not drawn.exists():
                generate(GeneratedFolder(str(drawn), self._generator, self._options))
        folder.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copytree(drawn, folder))

    patch.setattr(GeneratedFolder, "load", copy)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Let one process at a time in."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
