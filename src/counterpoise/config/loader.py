"""Kedro's reader of the files under conf/, whose complaints name the file and the line.

Kedro's own forgets which file it was in, or ends in an error of its code, for most of what YAML can get wrong.
https://docs.kedro.org/en/stable/configure/configuration_basics/
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import yaml
from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import GrammarParseError, InterpolationResolutionError, OmegaConfBaseException

from counterpoise.config.experiments import every, rows
from counterpoise.config.parts import merged, with_parts
from counterpoise.config.retrained import RETRAINED, row_of, with_retraining
from counterpoise.errors import InputError, one_line, shown, suggest
from counterpoise.experiments import EXPERIMENTS, Experiment

_INDEX = re.compile(r"\[?(?P<index>\d+)\]?\.?(?P<rest>.*)", re.DOTALL)
"""The head of a path inside a list, as OmegaConf (`[0].a`) or Kedro writes it."""

_NULL, _INT, _FLOAT, _BOOL = (f"tag:yaml.org,2002:{kind}" for kind in ("null", "int", "float", "bool"))


_DECLARES = {
    name: re.compile(rb"""^\s*["'{]*\s*""" + name.encode() + rb"""["']?\s*:""", re.MULTILINE)
    for name in ("experiments", RETRAINED)
}
"""Files that may have a block of this name."""

SHARED_PLACE = ("base", "local")
"""Environments whose results lie in one place: local only adds what is the user's own."""


class Source(NamedTuple):
    """Where a configuration is, in which environment, and from which directory it was asked for."""

    conf: str
    environment: str | None
    directory: Path


class ConfigLoader(OmegaConfigLoader):
    """Kedro's loader; what is wrong in a file, or an environment that does not exist, is an `InputError`.

    `${environment:}` stands for `/<environment>`, and for nothing in base and local: conf/base/globals.yml says
    `root: data${environment:}`, so that environments do not share results. One may set `root` itself.

    Attributes:
        latest: the configuration of the latest session of this process.
    """

    latest: ClassVar[Source | None] = None

    def __init__(self, conf_source: str | Path, env: str | None = None, **options: Any) -> None:
        if "://" not in str(conf_source) and not Path(conf_source).exists():
            raise InputError(
                f"{conf_source}: no such folder, expected the configuration of a project: run inside the project, or "
                "name its configuration with --conf-source"
            )
        if "runtime_params" in options:  # a session says that there are none, too
            ConfigLoader.latest = Source(str(conf_source), env, Path.cwd())
        folder = "" if env in {None, "", *SHARED_PLACE} else f"/{env}"
        OmegaConf.register_new_resolver("environment", lambda: folder, replace=True)
        self._globals: dict[str, Any] = {}  # while Kedro reads them, they may already refer to each other
        try:
            super().__init__(conf_source, env, **options)
            self._require_environment()
        except (OSError, EOFError) as error:  # an archive that is none
            reason = one_line(str(error)) or type(error).__name__
            raise InputError(
                f"{conf_source}: cannot be read ({reason}), expected a folder or an archive of configuration"
            ) from error

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return one kind of configuration, merged over the environments; parameters with the blocks of all parts.

        Raises:
            InputError: a file is not in UTF-8, is not YAML, holds no keys, or refers to a value that does not exist.
        """
        try:
            content = self._checked(key, super().__getitem__(key))
            if key != "parameters":
                return content
            expanded = with_parts(content, self._written)
            return with_retraining(expanded, every(expanded, self._written)) if RETRAINED in expanded else expanded
        except (MissingConfigException, InputError):
            raise  # Kedro does without credentials and globals
        except Exception as error:
            if key in self.config_patterns and (fault := self._fault(key, error)):
                raise InputError(fault) from error
            raise

    @staticmethod
    def _soft_merge(config: dict[str, Any], env_config: dict[str, Any], env_path: str | None = None) -> dict[str, Any]:
        """Return an environment's values over those of base, as Kedro does by way of OmegaConf, which takes longer.

        Both are resolved. What OmegaConf refuses is left to it: a list over keys, keys over a list.
        """
        try:
            return _over(config, env_config)
        except TypeError:
            return dict(OmegaConfigLoader._soft_merge(config, env_config, env_path))

    def experiments(self) -> tuple[Experiment, ...]:
        """Return the experiments that the files of parameters declare, from the files alone that have such a block.

        Kedro takes seconds to merge all parameters, and asks for the pipelines before it does.

        Raises:
            InputError: a file of these cannot be read, or a row is wrong.
        """
        return rows({"experiments": self._block("experiments")}, self._written)

    def retrained(self) -> Experiment | None:
        """Return the experiment that the block `retraining` names, None without such a block; as `experiments`."""
        block = self._block(RETRAINED)
        return row_of({RETRAINED: block}, (*EXPERIMENTS, *self.experiments())) if block else None

    def _block(self, name: str) -> dict[str, Any]:
        """Return a block of the parameters, merged over the files that have it alone where that is possible."""
        block: dict[str, Any] = {}
        for raw in self._files("parameters").values():
            if _DECLARES[name].search(raw):
                if fault_of(raw):
                    return self["parameters"].get(name) or {}  # says in which file
                content = OmegaConf.to_container(OmegaConf.load(io.StringIO(raw.decode("utf-8"))))
                further = content.get(name) if isinstance(content, dict) else None
                if not isinstance(further or {}, dict) or "${" in str(further):
                    return self["parameters"].get(name) or {}
                block = merged(block, further or {})
        return block

    def _written(self, path: str) -> str:
        return self._place(path, self._files("parameters"))

    def _require_environment(self) -> None:
        """Raise InputError unless the environment of the run has a folder."""
        name = self.env or self.default_run_env
        if not name or self._is_folder(name):
            return
        root = self._get_conf_env_path("")
        names = sorted(
            Path(entry).name for entry in self._fs.ls(root, detail=False) if self._is_folder(Path(entry).name)
        )
        raise InputError(f"there is no environment {shown(name)} in {self.conf_source}{suggest(name, names)}")

    def _is_folder(self, name: str) -> bool:
        return bool(self._fs.isdir(Path(self._get_conf_env_path(name)).as_posix()))

    @staticmethod
    def _checked(key: str, content: dict[str, Any]) -> dict[str, Any]:
        """Raise InputError for values of a type that would only fail, or be taken for text, where they are read."""
        kinds: dict[str, tuple[type, str]] = {"globals": (str, "text"), "catalog": (dict, "a block with a type")}
        kind, expected = kinds.get(key, (object, ""))
        for name, value in content.items():
            if not isinstance(value, kind) or value == "":
                raise InputError(f"conf: {key} has {shown(value)} under {shown(name)}, expected {expected}")
        return content

    def _fault(self, key: str, error: Exception) -> str | None:
        """Return a sentence on what is wrong in the files of one kind, None if nothing is."""
        files = self._files(key)
        for name, raw in files.items():
            if fault := fault_of(raw):
                return f"{name}, {fault}"
        if isinstance(error, OmegaConfBaseException):
            path = str(error.full_key or "")
            return f"{self._place(path, files)}: {_omegaconf(error, path)}"
        # Kedro's own, of a key that two files of one environment have
        return f"conf: {one_line(str(error))}" if isinstance(error, ValueError) else None

    def _place(self, path: str, files: Mapping[str, bytes]) -> str:
        """Return where the value at a path is written: on the command line, in a line of a file, or somewhere."""
        block = re.split(r"[.\[]", path)[0]
        if "${" in str((self.runtime_params or {}).get(block)):
            return "--params"
        places = [f"{name}, line {line}" for name, raw in files.items() if path and (line := line_of(raw, path))]
        return places[-1] if places else "conf"  # the run's environment comes last, and wins

    def _files(self, key: str) -> dict[str, bytes]:
        """Return the content of all files of one kind, those of the run's environment last."""
        files = {}
        for environment in dict.fromkeys([self.base_env, self.env or self.default_run_env]):
            folder = self._get_conf_env_path(environment)
            patterns = self.config_patterns[key]
            paths = {path for pattern in patterns for path in self._fs.glob(Path(f"{folder}/{pattern}").as_posix())}
            for path in sorted(paths):
                if self._is_valid_config_path(Path(path)) and not self._is_hidden(path):
                    with self._fs.open(path, "rb") as file:
                        files[f"{Path(self.conf_source).name}/{environment}/{Path(path).name}"] = file.read()
        return files


def _over(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return values with what changes name replaced, at any depth; a missing value, `???`, replaces nothing.

    Raises:
        TypeError: there is a list in one where the other has keys.
    """
    merged = dict(values)
    for key, value in changes.items():
        before = values.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            merged[key] = _over(before, value)
        elif {type(before), type(value)} == {dict, list}:
            raise TypeError(f"{key}: keys and a list")
        elif value != MISSING or key not in values:
            merged[key] = value
    return merged


def fault_of(raw: bytes) -> str | None:
    """Return which line of a YAML file is wrong and why, None if it is keys and values that can be read."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        return f"line {line}: byte 0x{raw[error.start]:02x} is not UTF-8, expected a file saved as UTF-8"
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None and not isinstance(root, yaml.MappingNode):
            kind = "a list" if isinstance(root, yaml.SequenceNode) else f"the text {shown(root.value)}"
            return f"line {root.start_mark.line + 1}: found {kind}, expected keys with values (key: value)"
        if fault := _scalar_fault(root):
            return fault
        OmegaConf.load(io.StringIO(text))  # twice the same key, tags that stand for code
    except yaml.MarkedYAMLError as error:
        return _marked(error)
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        return f"line {line}: character U+{ord(text[error.position]):04X} is not allowed in YAML"
    except RecursionError:
        return "line 1: its values are nested too deeply to be read"
    except OmegaConfBaseException as error:
        path = str(error.full_key or "")
        return f"line {line_of(raw, path) or 1}: {_omegaconf(error, path)}"
    return None


def _scalar_fault(root: yaml.MappingNode | None) -> str | None:
    """Return which key is no name, or which number Python does not read."""
    nodes: list[yaml.Node] = [] if root is None else [root]
    seen = set()
    while nodes:
        node = nodes.pop()
        if id(node) in seen:  # an anchor may stand in many places, even within itself
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, _ in node.value:
                refused = {_NULL} if node is not root else {_NULL, _INT, _FLOAT, _BOOL}
                if key.tag in refused:
                    return f"line {key.start_mark.line + 1}: the key {shown(key.value)} is not a text, expected a name"
            nodes += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            nodes += node.value
        elif node.tag == _INT and len(node.value) > sys.get_int_max_str_digits():
            return f"line {node.start_mark.line + 1}: found a number of {len(node.value):,} digits"
    return None


def _marked(error: yaml.MarkedYAMLError) -> str:
    """Say what YAML itself says, with the line; of what is not closed, also the line in which it begins."""
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    begun = error.context_mark.line + 1 if error.context_mark else line
    context = f"{error.context}, begun in line {begun}, " if error.context and begun != line else ""
    return f"line {line}: is not YAML ({context}{one_line(error.problem or 'it cannot be parsed')})"


def _omegaconf(error: OmegaConfBaseException, path: str) -> str:
    """Say what OmegaConf says of one value, and how to write a text that only looks like a reference."""
    reason = one_line(str(error).split("\n")[0])
    subject = f"the value of {shown(path)}" if path else "the configuration"
    if isinstance(error, InterpolationResolutionError | GrammarParseError):
        return f"{subject} refers with ${{…}} to a missing value ({reason}); \\${{…}} stands for the text itself"
    return f"{subject} cannot be read ({reason})"


def line_of(raw: bytes, path: str) -> int | None:
    """Return the line of a YAML file in which the value at a path like `datasets.adult.groups[0]` stands, if there."""
    try:
        root = yaml.compose(raw.decode("utf-8"), Loader=yaml.SafeLoader)
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError):
        return None
    return None if root is None else _descend(root, path)


def _descend(node: yaml.Node, path: str) -> int | None:
    if not path:
        return int(node.start_mark.line) + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = str(key.value)  # may hold dots itself
            if path == name or path.startswith((f"{name}.", f"{name}[")):
                line = _descend(value, path[len(name) :].removeprefix("."))
                if line is not None:
                    return line
    elif isinstance(node, yaml.SequenceNode) and (match := _INDEX.fullmatch(path)):
        index = int(match["index"])
        return _descend(node.value[index], match["rest"]) if index < len(node.value) else None
    return None


def read_run_options(path: Path) -> Mapping[str, Any]:
    """Return the block `run` of a file of options, as `kedro run --config` reads it.

    Raises:
        InputError: the file cannot be read, is not YAML, or has no such block.
    """
    section: Literal["run"] = "run"
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if fault := fault_of(raw):
        raise InputError(f"{path}, {fault}")
    try:
        content = OmegaConf.to_container(OmegaConf.load(io.StringIO(raw.decode("utf-8"))), resolve=True)
    except OmegaConfBaseException as error:
        name = str(error.full_key or "")
        raise InputError(f"{path}, line {line_of(raw, name) or 1}: {_omegaconf(error, name)}") from error
    options = content.get(section) if isinstance(content, dict) else None
    if not isinstance(options, dict):
        raise InputError(f"{path}: has no block {section!r}, expected the options of the command under that name")
    return options
