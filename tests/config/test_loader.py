"""What is wrong in a file under conf/ is a sentence with the file and the line, whatever it is."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf.errors import OmegaConfBaseException

from counterpoise.config.loader import ConfigLoader, fault_of, line_of, read_run_options
from counterpoise.errors import InputError
from counterpoise.settings import CONFIG_LOADER_ARGS

KINDS = ("parameters", "catalog", "globals", "mlflow", "credentials")

GOOD = {
    "parameters": "first: {second: 1}\n",
    "catalog": "table: {type: pandas.CSVDataset, filepath: x.csv}\n",
    "globals": "root: data\n",
    "mlflow": "tracking_uri: here\n",
    "credentials": "server: {password: secret}\n",
}

BROKEN = {
    "tab": (b"a: 1\n\tb: 2\n", 2, r"found character '\\t'"),
    "open bracket": (b"a: 1\nb: [1\n", 3, "begun in line 2, expected ',' or '\\]'"),
    "open brace": (b"b: {c: 1\n\n\n", 4, "begun in line 1"),
    "open quote": (b"a: 1\nb: 'x\n", 3, "begun in line 2, found unexpected end"),
    "two colons": (b"a: b: c\n", 1, "mapping values are not allowed here"),
    "indentation": (b"a:\n  b: 1\n c: 2\n", 3, "is not YAML"),
    "a key twice": (b"a: 1\nb: 2\na: 3\n", 3, "found duplicate key a"),
    "an inner key twice": (b"a:\n  b: 1\n  b: 2\n", 3, "found duplicate key b"),
    "Latin-1": ("a: 1\nb: Zürich\n".encode("latin-1"), 2, "byte 0xfc is not UTF-8"),
    "UTF-16": ("a: 1\n".encode("utf-16"), 1, "is not UTF-8"),
    "a list on top": (b"- a\n- b\n", 1, "found a list, expected keys with values"),
    "a text on top": (b"\nonly words\n", 2, "found the text 'only words'"),
    "a number on top": (b"3\n", 1, "found the text '3'"),
    "NUL": (b"a: 1\nb: x\0\n", 2, r"character U\+0000 is not allowed"),
    "a control character": (b"a: \x07\n", 1, r"character U\+0007 is not allowed"),
    "a tag": (b"a: !secret 3\n", 1, "could not determine a constructor"),
    "code": (b"a: 1\nb: !!python/object/apply:os.system [ls]\n", 2, "could not determine a constructor"),
    "an alias of nothing": (b"a: *b\n", 1, "found undefined alias"),
    "two documents": (b"a: 1\n---\nb: 2\n", 2, "expected a single document"),
    "no text as key": (b"a: 1\n2: b\n", 2, "the key '2' is not a text"),
    "an empty key": (b"? \n: 3\n", 1, "is not a text"),
    "a list as key": (b"? [a]\n: 3\n", 1, "found unhashable key"),
    "a set": (b"a: !!set {x}\n", 1, "the value of 'a' cannot be read"),
    "hundreds of brackets": (b"a: " + b"[" * 700 + b"]" * 700, 1, "nested too deeply"),
    "a number of thousands of digits": (b"a: " + b"9" * 5000, 1, "digits"),
}

TAKEN_AS_KEYS = {"a text on top", "no text as key"}
"""What Kedro reads as keys, in some kinds of files; what reads their values complains."""

UNRESOLVED = {
    "no such key": (b"a: {b: 1}\nc:\n  title: costs ${USD} a day\n", 3, "'c.title' refers with"),
    "not closed": (b"a: 1\nc: ['x', '${']\n", 2, r"'c\[1\]' refers with"),
    "no such resolver": (b"a: ${env:HOME}\n", 1, "Unsupported interpolation type env"),
    "itself": (b"\na: ${a}\n", 2, "Recursive"),
    "no such global": (b"a: ${globals:nowhere}\n", 1, "Globals key 'nowhere' not found"),
}


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A configuration without faults: a base and an environment that overrides nothing."""
    folder = tmp_path / "conf"
    for environment in ("base", "trial", "local"):
        (folder / environment).mkdir(parents=True)
    for kind, text in GOOD.items():
        (folder / "base" / f"{kind}.yml").write_text(text)
    return folder


def read(conf: Path, kind: str, env: str | None = "trial", **params: Any) -> dict[str, Any]:
    return ConfigLoader(conf, env, runtime_params=params, **CONFIG_LOADER_ARGS)[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_right_is_read_as_kedro_reads_it(conf: Path, kind: str) -> None:
    assert read(conf, kind) == OmegaConfigLoader(conf, "trial", **CONFIG_LOADER_ARGS)[kind] != {}


SLOW = "hundreds of brackets"
"""Half a second for PyYAML each time, and read by the same lines as the other faults: in two places."""

PLACES = [(kind, environment) for kind in KINDS for environment in ("base", "trial")]
FAULTY = [
    *((fault, *place) for fault in sorted(set(BROKEN) - TAKEN_AS_KEYS - {SLOW}) for place in PLACES),
    *((SLOW, *place) for place in (("parameters", "base"), ("globals", "trial"))),
]


@pytest.mark.parametrize(("fault", "kind", "environment"), FAULTY)
def test_a_broken_file_is_named_with_the_line(conf: Path, kind: str, environment: str, fault: str) -> None:
    raw, line, message = BROKEN[fault]
    (conf / environment / f"{kind}.yml").write_bytes(raw)
    with pytest.raises(InputError, match=message) as caught:
        read(conf, kind)
    assert str(caught.value).startswith(f"conf/{environment}/{kind}.yml, line {line}: ")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("fault", BROKEN)
def test_every_fault_has_a_line_and_a_reason(fault: str) -> None:
    raw, line, message = BROKEN[fault]
    text = fault_of(raw)
    assert text is not None
    assert text.startswith(f"line {line}: ")
    assert re.search(message, text)


@given(st.binary(max_size=200))
def test_any_bytes_are_yaml_or_a_sentence(raw: bytes) -> None:
    text = fault_of(raw)
    assert text is None or (text.startswith("line ") and text.isprintable())


@given(st.text(alphabet="ab:[]{}'\"#-\n\t ${}&*!|>?,.0", max_size=40))
def test_any_text_is_yaml_or_a_sentence(text: str) -> None:
    fault = fault_of(text.encode())
    assert fault is None or (fault.startswith("line ") and fault.isprintable())


@pytest.mark.parametrize("kind", ["parameters", "catalog", "mlflow", "globals"])
@pytest.mark.parametrize("fault", UNRESOLVED)
def test_a_reference_to_nothing_is_named_with_the_line(conf: Path, kind: str, fault: str) -> None:
    raw, line, message = UNRESOLVED[fault]
    (conf / "base" / f"{kind}.yml").write_bytes(raw)
    with pytest.raises(InputError, match=message) as caught:
        read(conf, kind)
    assert str(caught.value).startswith(f"conf/base/{kind}.yml, line {line}: ")
    assert r"\${…} stands for the text itself" in str(caught.value)


def test_what_the_sentence_advises_is_right(conf: Path) -> None:
    (conf / "base" / "parameters.yml").write_text(r"title: costs \${USD}" + "\n")
    assert read(conf, "parameters") == {"title": "costs ${USD}"}


def test_a_reference_on_the_command_line_is_not_blamed_on_a_file(conf: Path) -> None:
    with pytest.raises(InputError, match=r"^--params: the value of 'first.second' refers with"):
        read(conf, "parameters", first={"second": "${nothing}"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("root: 3\n", "globals has 3 under 'root', expected text"),
        ("root: [data]\n", r"globals has \['data'\] under 'root', expected text"),
        ("root:\n", "globals has None under 'root', expected text"),
        ("root: ''\n", "globals has '' under 'root', expected text"),
    ],
)
def test_globals_that_are_no_text_are_refused(conf: Path, content: str, message: str) -> None:
    (conf / "base" / "globals.yml").write_text(content)
    with pytest.raises(InputError, match=message):
        read(conf, "parameters")


def test_an_entry_of_the_catalog_without_a_block_is_refused(conf: Path) -> None:
    (conf / "base" / "catalog.yml").write_text("table: x.csv\n")
    with pytest.raises(InputError, match=r"catalog has 'x\.csv' under 'table', expected a block with a type"):
        read(conf, "catalog")


def test_a_key_in_two_files_of_one_environment(conf: Path) -> None:
    (conf / "base" / "parameters_more.yml").write_text(GOOD["parameters"])
    with pytest.raises(InputError, match=r"Duplicate keys found in .*: first.second"):
        read(conf, "parameters")


NAMES = st.sampled_from(["a", "b", "kind"])
LEAVES = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["", "x", "???"]) | st.lists(st.integers(0, 1))
BLOCKS = st.dictionaries(NAMES, st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=3)))


@given(BLOCKS, BLOCKS)
def test_an_environment_is_laid_over_base_as_kedro_does(base: dict[str, Any], environment: dict[str, Any]) -> None:
    try:
        expected = OmegaConfigLoader._soft_merge(base, environment, None)
    except OmegaConfBaseException as error:
        with pytest.raises(type(error)):
            ConfigLoader._soft_merge(base, environment)
        return
    merged = ConfigLoader._soft_merge(base, environment)
    assert merged == expected
    assert list(merged) == list(expected)


def test_environments_that_do_not_fit_together(conf: Path) -> None:
    (conf / "trial" / "parameters.yml").write_text("first: [1]\n")
    with pytest.raises(InputError, match="cannot be read"):
        read(conf, "parameters")


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"credentials"}))
def test_empty_files_are_files_without_keys(conf: Path, kind: str) -> None:
    (conf / "trial" / f"{kind}.yml").write_text("")
    assert read(conf, kind) == read(conf, kind, "base")


@pytest.mark.parametrize("name", ["prod", "Base ", "base/../nowhere", "x" * 200])
def test_an_environment_that_does_not_exist(conf: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"there is no environment .*(known|did you mean)"):
        read(conf, "parameters", name)


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such folder, expected .*--conf-source"):
        read(tmp_path / "nowhere", "parameters")


def test_kedro_does_without_files_of_a_kind(conf: Path) -> None:
    (conf / "base" / "credentials.yml").unlink()
    with pytest.raises(MissingConfigException):
        read(conf, "credentials")


def test_a_secret_is_not_shown(conf: Path) -> None:
    for text in ("a: {password: hunter2}\n\tb: 2\n", "a: {password: hunter2, x: '${y}'}\n", "password: hunter2\n- 3\n"):
        (conf / "base" / "credentials.yml").write_text(text)
        with pytest.raises(InputError) as caught:
            read(conf, "credentials")
        assert "hunter2" not in str(caught.value)


def test_an_archive_is_read_like_a_folder(conf: Path, tmp_path: Path) -> None:
    archive = tmp_path / "conf-counterpoise.tar.gz"
    (conf / "trial" / "parameters.yml").write_text("first: [1\n")
    with tarfile.open(archive, "w:gz") as file:
        file.add(conf, "conf")
    assert read(archive, "parameters", "base") == read(conf, "parameters", "base")
    with pytest.raises(InputError, match=r"trial/parameters\.yml, line 2: is not YAML"):
        read(archive, "parameters")
    with pytest.raises(InputError, match=r"there is no environment 'prod'.*known: base, local, trial"):
        read(archive, "parameters", "prod")


def test_an_archive_that_is_none(tmp_path: Path) -> None:
    archive = tmp_path / "conf.tar.gz"
    archive.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"conf\.tar\.gz: cannot be read \(.*\), expected a folder or an archive"):
        read(archive, "parameters")


def test_a_defect_keeps_its_error(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise AttributeError("ours")

    loader = ConfigLoader(conf, "trial", **CONFIG_LOADER_ARGS)
    monkeypatch.setattr(OmegaConfigLoader, "_merge_and_resolve", fail)
    with pytest.raises(AttributeError, match="ours"):
        loader["mlflow"]


@pytest.mark.parametrize(
    ("path", "line"),
    [("a", 1), ("a.b", 2), ("a.b[1]", 4), ("a.b.1", 4), ("a.c.d.e", 5), ("a.b[2]", None), ("x", None), ("a.b.c", None)],
)
def test_the_line_of_a_value(path: str, line: int | None) -> None:
    assert line_of(b"a: {\n  b: [\n    1,\n    2],\n  c.d: {e: 3}}\n", path) == line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("run:\n  tags: [a\n", r"options\.yml, line 3: is not YAML"),
        ("walk:\n  tags: a\n", "has no block 'run'"),
        ("run: 3\n", "has no block 'run'"),
        ("", "has no block 'run'"),
        ("run:\n  tags: ${x}\n", r"options\.yml, line 2: the value of 'run.tags' refers"),
    ],
)
def test_a_file_of_options_that_is_wrong(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "options.yml"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_run_options(path)
