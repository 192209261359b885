"""The exported model as MLflow runs it, without the project that trained it: a copy of this file lies in its folder.

It turns rows of a table, as its file has them, into features, and classifies these. It needs MLflow, numpy, pandas and
safetensors, and LightGBM where the model is trees. `counterpoise.artifacts.serving` copies it; nothing here imports it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from pandas.api import types
from safetensors import safe_open

RULE_SCALE = 4.0
"""The scores of a rule times this are what the softmax is taken of; see `methods.rules.linear`."""

LONGEST = 40
"""Characters of a value that a message shows."""

IGNORE, REFUSE = "ignore", "refuse"
"""What becomes of a category that the model was not trained on: none of its column's features is 1, or an error."""

EXPECTED = {
    "number": "a finite number",
    "boolean": "a truth value",
    "date": "a date as in 2024-12-31",
    "category": "a text, a number or a truth value",
}
TRUTH = {"true": 1.0, "false": 0.0}
CSV_MISSING = {"None", "NULL", "null", "NA", "N/A", "n/a", "NaN", "nan", "<NA>", "#N/A", "#NA", "-nan", "-NaN"}
"""Texts that pandas, with which MLflow reads CSV, takes for missing values."""


class Encoding:
    """From the columns of a table to features in single precision, as `data.encoding` describes them."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        self.entries = [_with_lookups(entry) for entry in described["columns"]]
        self.columns = list(dict.fromkeys(entry["column"] for entry in self.entries))
        self.features = [name for entry in self.entries for name in entry["features"]]
        self.has_categories = any(entry["kind"] == "category" for entry in self.entries)
        self.missing = frozenset(described["missing"])
        self.missing_numbers = [float(text) for text in self.missing if re.fullmatch(r"[+-]?[0-9.]*[0-9]", text)]
        self.decimal, self.thousands = described["decimal"], described["thousands"]
        self.units = "".join(described.get("units", ()))
        groups = rf"|[0-9]{{1,3}}(?:{re.escape(self.thousands)}[0-9]{{3}})+" if self.thousands else ""
        point = re.escape(self.decimal)
        self.number = re.compile(rf"[+-]?(?:(?:[0-9]+{groups})(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?")

    def encode(self, rows: pd.DataFrame, unknown: str = IGNORE) -> tuple[np.ndarray, list[str]]:
        """Return the features of rows, [N, D], and of each row the columns whose category is unknown, joined by commas.

        Raises:
            MlflowException: a column is not there or there twice, or a value is none that the model can take.
        """
        _require_one_each(rows, self.columns)
        x = np.zeros((len(rows), len(self.features)), dtype=np.float32)
        unseen: list[list[str]] = [[] for _ in range(len(rows))]
        first = 0
        for entry in self.entries:
            block = x[:, first : first + len(entry["features"])]
            first += len(entry["features"])
            values = _with_gaps(rows[entry["column"]], entry)
            if entry["indicator"]:
                values = pd.Series([self._is_missing(value) for value in values], dtype="bool")
            if entry["kind"] == "category":
                for row in self._categorise(values, entry, block):
                    if unknown == REFUSE:
                        raise _refused(
                            f"{_cell(entry['column'], values.iloc[row], row)}, expected one of the "
                            f"{len(entry['features'])} categories that the model was trained on"
                        )
                    unseen[row].append(entry["column"])
            else:
                block[:, 0] = self._numbers(values, entry)
        return x, [", ".join(dict.fromkeys(names)) for names in unseen]

    def treated(self, rows: pd.DataFrame, names: list[str], gaps: Mapping[str, str]) -> pd.DataFrame:
        """Return columns of the file as they were learnt from: numbers in double precision, gaps filled but for `gaps`.

        Raises MlflowException where a column is not there or there twice, or misses a value that nothing stands for.
        """
        entries = {entry["column"]: entry for entry in self.entries if not entry["indicator"]}
        _require_one_each(rows, names)
        columns = {}
        for name in names:
            entry = entries.get(name, {"column": name, "kind": "category", "fill": None, "categories": []})
            filled = {**entry, "fill": np.nan} if name in gaps else entry
            values = [self._treated(value, row, filled) for row, value in enumerate(_with_gaps(rows[name], entry))]
            columns[name] = pd.Series(values, dtype=gaps.get(name), index=rows.index)
        return pd.DataFrame(columns, index=rows.index)

    def _treated(self, value: Any, row: int, entry: Mapping[str, Any]) -> Any:
        if self._is_missing(value):
            if entry["fill"] is None:
                raise _refused(_no_value(entry, row))
            return entry["fill"]
        if entry["kind"] in ("number", "boolean"):
            number = self._number(value, row, entry)
            return bool(number) if entry["kind"] == "boolean" else number
        return value.lstrip() if isinstance(value, str) else value

    def _numbers(self, values: pd.Series, entry: Mapping[str, Any]) -> np.ndarray:
        """Return a column of numbers, truth values or dates in single precision, [N]."""
        name, kind = entry["column"], entry["kind"]
        if types.is_numeric_dtype(values) and not types.is_complex_dtype(values) and kind != "date":
            numbers = values.to_numpy(dtype=np.float64, na_value=np.nan).copy()
            numbers[np.isin(numbers, self.missing_numbers)] = np.nan
        else:
            convert = self._days if kind == "date" else self._number
            numbers = np.array([convert(value, row, entry) for row, value in enumerate(values)], dtype=np.float64)
        missing = np.isnan(numbers)
        if missing.any():
            if entry["fill"] is None:
                raise _refused(_no_value(entry, int(missing.argmax())))
            numbers[missing] = entry["fill"]
        with np.errstate(over="ignore"):
            single = numbers.astype(np.float32)
        (row,) = np.nonzero(~np.isfinite(single))
        if len(row):
            raise _refused(f"{_cell(name, values.iloc[row[0]], row[0])}, expected a finite number (below 3.4e38)")
        return single

    def _number(self, value: Any, row: int, entry: Mapping[str, Any]) -> float:
        """Return a number or what a text says in the notation of the file; what is missing is NaN."""
        if self._is_missing(value):
            return np.nan
        if isinstance(value, str):
            text = value.strip()
            if entry["kind"] == "boolean" and text.lower() in TRUTH:
                return TRUTH[text.lower()]
            text = self._without_unit(text)
            if self.number.fullmatch(text):
                return float(text.replace(self.thousands or "", "").replace(self.decimal, "."))
        elif not isinstance(value, bytes | bytearray | list | tuple | dict | complex):
            with suppress(TypeError, ValueError, OverflowError):
                return np.inf if np.isnan(number := float(value)) else number
        raise _refused(f"{_cell(entry['column'], value, row)}, expected {EXPECTED[entry['kind']]}")

    def _without_unit(self, text: str) -> str:
        """Return a number without the sign before or behind it: 5.5 for "5.5%"."""
        signs = [sign for sign in text if sign in self.units]
        if len(signs) != 1 or signs[0] not in (text[-1], *text.lstrip("+-")[:1]):
            return text
        before, _, behind = text.partition(signs[0])
        return before.rstrip() + behind.lstrip()

    def _days(self, value: Any, row: int, entry: Mapping[str, Any]) -> float:
        """Return a date as days since 1970-01-01, UTC; what is missing is NaN."""
        if self._is_missing(value):
            return np.nan
        if not isinstance(value, int | float | np.number):
            with suppress(TypeError, ValueError, OverflowError):
                at = pd.to_datetime(value, format="ISO8601" if isinstance(value, str) else None, utc=True)
                return float((at - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1))
        raise _refused(f"{_cell(entry['column'], value, row)}, expected {EXPECTED['date']}")

    def _categorise(self, values: pd.Series, entry: Mapping[str, Any], block: np.ndarray) -> list[int]:
        """Set the feature of each row's category to 1 in a block of zeros [N, C]; return the rows that have none."""
        codes: dict[Any, int | None] = {}
        unknown = []
        for row, value in enumerate(values):
            key = (type(value), value) if isinstance(value, str | int | float | np.generic) else None
            if key is None or key not in codes:
                code = self._code(value, row, entry)
                if key is not None:
                    codes[key] = code
            else:
                code = codes[key]
            if code is None:
                unknown.append(row)
            else:
                block[row, code] = 1
        return unknown

    def _code(self, value: Any, row: int, entry: Mapping[str, Any]) -> int | None:
        """Return the number of a value's category: of its text as it is, without leading spaces, or as a number."""
        places, numbers = entry["places"], entry["numbers"]
        if self._is_missing(value):
            if entry["fill"] is None:
                raise _refused(_no_value(entry, row))
            return places.get(entry["fill"], places.get(entry["rare"]))
        if isinstance(value, bytes | bytearray | list | tuple | dict):
            raise _refused(f"{_cell(entry['column'], value, row)}, expected {EXPECTED['category']}")
        text = _name_of(value)
        for spelling in (text, text.lstrip(), text.strip().capitalize() if text.strip().lower() in TRUTH else text):
            if spelling in places:
                return int(places[spelling])
        number = text.strip()
        if self.number.fullmatch(number):
            place = numbers.get(float(number.replace(self.thousands or "", "").replace(self.decimal, ".")))
            if place is not None:
                return int(place)
        return places.get(entry["rare"])

    def _is_missing(self, value: Any) -> bool:
        if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
            return True
        if isinstance(value, str):
            return value in self.missing or value.strip() in self.missing
        return bool(self.missing_numbers) and isinstance(value, int | float) and value in self.missing_numbers


class ExportedModel(PythonModel):
    """A perceptron, a linear head or boosted trees; or a rule that decides by their probabilities and the groups'.

    Of a perceptron: standardise, then Linear and ReLU in turn, the last Linear giving logits.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Read the weights, which are the artifact `model`."""
        with safe_open(context.artifacts["model"], framework="numpy") as file:
            header = json.loads(file.metadata()["counterpoise"])
            self.tensors = {name: file.get_tensor(name).astype(np.float64) for name in file.keys()}  # noqa: SIM118
        self.encoding, self.classes = _encoding(context, header), header["classes"]
        self.depth = sum(name.startswith("weights.") for name in self.tensors)
        self.temperatures, self.threshold = header.get("temperatures"), header.get("threshold", 0.0)
        self.trees = _trees(context, "trees")
        self.group_trees = _trees(context, "group_trees")

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Classify rows.

        Args:
            model_input: one row per sample, columns as in the file that the model was trained on; others are ignored.
            params: `unknown`, what becomes of unknown categories: `ignore` (default) or `refuse`.

        Returns:
            `prediction`, the class; `score`, the probability of the second of two classes, of the likeliest of more;
            `probability_<class>` for each class; and, where columns have categories, `unknown_categories`, the
            names of those in which the row's category is none that the model was trained on.

        Raises:
            MlflowException: a column is not there or there twice, or a value is one that the model cannot take.
        """
        unknown = (params or {}).get("unknown", IGNORE)
        if unknown not in (IGNORE, REFUSE):
            raise _refused(f"params: 'unknown' is {_shown(unknown)}, expected {IGNORE!r} or {REFUSE!r}")
        single, unseen = self.encoding.encode(model_input, unknown)
        x = single.astype(np.float64)
        probability, decisive = self.probabilities(x)
        predicted = decisive.argmax(axis=1)
        score = probability[:, 1] if len(self.classes) == 2 else probability.max(axis=1)
        answer = {"prediction": np.array(self.classes, dtype=object)[predicted], "score": score}
        answer |= {f"probability_{name}": probability[:, k] for k, name in enumerate(self.classes)}
        if self.encoding.has_categories:
            answer["unknown_categories"] = np.array(unseen, dtype=object)
        return pd.DataFrame(answer, index=model_input.index)

    def encode(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the features of rows by name: what the LightGBM file in the folder takes, in its order."""
        return pd.DataFrame(self.encoding.encode(rows)[0], columns=self.encoding.features, index=rows.index)

    def probabilities(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the probabilities of the classes and what decides between them, each [N, k], of features [N, D].

        The highest of what decides is predicted: of two classes, the second where its log odds are above the threshold
        of the model, which the margin of its layers or trees has been reduced by. A rule decides by its scores, the
        softmax of which stands for probabilities.
        """
        logits, features = self._logits(x)
        if "rule" not in self.tensors:
            shift = np.array([0.0, self.threshold]) if self.threshold else 0.0
            return _softmax(logits + shift), logits
        of_class, of_group = self.temperatures
        joint = _softmax(logits / of_class)[:, :, None] * _softmax(self._group_odds(x, features) / of_group)
        rule = self.tensors["rule"]  # [k · G, k], or [k · G + k, k] with dither
        cells = np.hstack([*joint.transpose(1, 0, 2), _dither(joint)])[:, : len(rule)]
        scores = RULE_SCALE * (cells @ rule)
        return _softmax(scores), scores

    def _logits(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the logits [N, k], and what the last layer sees."""
        if self.trees is not None:
            return _log_odds(self.trees, x), x
        if "mean" in self.tensors:
            x = (x - self.tensors["mean"]) / self.tensors["scale"]
        for layer in range(self.depth):
            x = np.maximum(x, 0) if layer else x
            features, x = x, x @ self.tensors[f"weights.{layer}"] + self.tensors[f"biases.{layer}"]
        return x, features

    def _group_odds(self, x: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Return the log odds of the groups within each class, [N, k, G]."""
        if self.group_trees is None:
            heads = self.tensors["group_heads"]
            return np.einsum("nq,kqg->nkg", features, heads[:, :-1]) + heads[:, -1]
        odds = [
            _log_odds(self.group_trees, np.concatenate([x, np.full((len(x), 1), label)], axis=1))
            for label in range(len(self.classes))
        ]
        return np.stack(odds, axis=1)


def _with_gaps(values: pd.Series, entry: Mapping[str, Any]) -> pd.Series:
    """Return a column without what stands for a missing value in it alone, such as 999."""
    return values.mask(values.map(_name_of).isin(entry["missing"])) if "missing" in entry else values


def _require_one_each(rows: pd.DataFrame, names: list[str]) -> None:
    for name in names:
        if (count := int((rows.columns == name).sum())) != 1:
            raise _refused(f"column {name!r}: found {count} of this name, expected one")


def _encoding(context: PythonModelContext, header: Mapping[str, Any]) -> Any:
    if "images" not in header:
        encoding = Encoding(header["encoding"])
        if "body" not in header:
            return encoding
        from exported_body import Body  # type: ignore[import-not-found]  # lies in the folder too

        return Body(encoding, context.artifacts["body"], header["body"])
    from exported_images import Images  # type: ignore[import-not-found]  # lies in the folder too; it needs torch

    return Images(context.artifacts["network"], header["images"])


def _trees(context: PythonModelContext, name: str) -> Any:
    if name not in context.artifacts:
        return None
    import lightgbm

    return lightgbm.Booster(model_file=context.artifacts[name])


def _log_odds(booster: Any, x: np.ndarray) -> np.ndarray:
    """Return the log odds of trees, of one margin the first class' are zero; in float32, as they were trained."""
    if not len(x):
        return np.zeros((0, max(2, booster.num_model_per_iteration())))
    raw = np.asarray(booster.predict(x.astype(np.float32), raw_score=True, num_threads=1))
    return raw if raw.ndim == 2 else np.stack([np.zeros(len(x)), raw], axis=1)


def _softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def _with_lookups(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry with the places of its categories, by name and, of those that are numbers, by number."""
    places = {name: place for place, name in enumerate(entry["categories"])}
    numbers: dict[float, int | None] = {}
    for name, place in places.items():
        if re.fullmatch(r"[+-]?[0-9]+(?:\.[0-9]+)?", name):
            numbers[float(name)] = None if float(name) in numbers else place  # 1 and 01 are two categories
    return {**entry, "places": places, "numbers": numbers}


def _name_of(value: Any) -> str:
    """Return the name of a category, as `data.values.name_of` does."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _dither(joint: np.ndarray) -> np.ndarray:
    """Return what `methods.rules.linear.dither` does, of probabilities [N, k, G]."""
    golden = (5**0.5 - 1) / 2
    phase = np.log(joint.clip(1e-6)) @ (10 * (1 + np.arange(1, joint.shape[2] + 1) * golden % 1))
    phase = (1 - golden) * phase + golden * phase.sum(axis=1, keepdims=True)
    return -np.log(-np.log(np.abs(2 * (phase % 1) - 1).clip(1e-3, 1 - 1e-3)))


def _shown(value: Any) -> str:
    text = " ".join(str(value).split())
    return repr(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")


def _cell(name: str, value: Any, row: int) -> str:
    return f"column {name!r}: found {_shown(value)} in row {row}"


def _no_value(entry: Mapping[str, Any], row: int) -> str:
    """Say that a value is missing where no row of the training data missed one."""
    reason = f"column {entry['column']!r}: the value in row {row} is missing, expected {EXPECTED[entry['kind']]}"
    words = [name for name in entry["categories"] if name in CSV_MISSING]
    return reason + (f" (MLflow reads the category {words[0]!r} in CSV as missing: send JSON)" if words else "")


def _refused(reason: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(reason)


set_model(ExportedModel())
