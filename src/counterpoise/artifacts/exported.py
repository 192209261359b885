"""The exported model as MLflow runs it, without the project that trained it: a copy of this file lies in its folder.

It needs MLflow, numpy, pandas and safetensors, and LightGBM where the model is trees.
`counterpoise.artifacts.serving` copies it; nothing here imports it.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from safetensors import safe_open

RULE_SCALE = 4.0
"""The scores of a rule times this are what the softmax is taken of; see `methods.rules.bias_scores`."""

LONGEST = 40
"""Characters of a value that a message shows."""


class ExportedModel(PythonModel):
    """A perceptron, a linear head or boosted trees; or a rule that decides by their probabilities and the groups'.

    Of a perceptron: standardise, then Linear and ReLU in turn, the last Linear giving logits.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Read the weights, which are the artifact `model`."""
        with safe_open(context.artifacts["model"], framework="numpy") as file:
            header = json.loads(file.metadata()["counterpoise"])
            self.tensors = {name: file.get_tensor(name).astype(np.float64) for name in file.keys()}  # noqa: SIM118
        self.columns, self.classes = header["columns"], header["classes"]
        self.depth = sum(name.startswith("weights.") for name in self.tensors)
        self.temperatures = header.get("temperatures")
        self.trees = _trees(context, "trees")
        self.group_trees = _trees(context, "group_trees")

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Classify rows.

        Args:
            model_input: one row per sample; columns beside those of the signature are ignored.

        Returns:
            `prediction`, the class; `score`, the probability of the second of two classes, of the predicted one of
            more; `probability_<class>` for each class.

        Raises:
            MlflowException: a column is missing or there twice, a value is no finite number, or one is so large that
                the model has no answer.
        """
        x = self._numbers(model_input)
        probability = self.probabilities(x)
        (row,) = np.nonzero(~np.isfinite(probability).all(axis=1))
        if len(row):
            column = int(np.abs(self._standardised(x[row[:1]])).argmax())  # an overflow is the largest too
            raise _refused(
                f"row {row[0]}: its numbers are too large for the model to answer, above all {x[row[0], column]:g} in "
                f"the column {self.columns[column]!r}, expected numbers like those that it was trained on"
            )
        predicted = probability.argmax(axis=1)
        score = probability[:, 1] if len(self.classes) == 2 else probability.max(axis=1)
        answer = {"prediction": np.array(self.classes, dtype=object)[predicted], "score": score}
        return pd.DataFrame(
            answer | {f"probability_{name}": probability[:, k] for k, name in enumerate(self.classes)},
            index=model_input.index,
        )

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Return a number for each class, [N, k], of rows [N, D]; not finite in a row whose numbers overflow.

        They sum to one, and the highest is what is decided: the softmax of the logits, or of a rule's scores.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            logits, features = self._logits(x)
            if "rule" not in self.tensors:
                return _softmax(logits)
            of_class, of_group = self.temperatures
            joint = _softmax(logits / of_class)[:, :, None] * _softmax(self._group_odds(x, features) / of_group)
            return _softmax(RULE_SCALE * (joint.reshape(len(x), -1) @ self.tensors["rule"]))

    def _logits(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the logits [N, k], and what the last layer sees."""
        if self.trees is not None:
            return _log_odds(self.trees, x), x
        x = self._standardised(x)
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

    def _standardised(self, x: np.ndarray) -> np.ndarray:
        if "mean" not in self.tensors:
            return x
        with np.errstate(over="ignore", invalid="ignore"):
            return (x - self.tensors["mean"]) / self.tensors["scale"]

    def _numbers(self, rows: pd.DataFrame) -> np.ndarray:
        """Return the model's columns of rows as finite numbers, [N, D]."""
        for name in self.columns:
            if (count := int((rows.columns == name).sum())) != 1:
                raise _refused(f"column {name!r}: found {count} of this name, expected one")
        columns = [_column(rows[name], name) for name in self.columns]
        x = np.stack(columns, axis=1) if columns else np.empty((len(rows), 0))
        row, column = np.nonzero(~np.isfinite(x))
        if len(row):
            raise _refused(
                f"column {self.columns[column[0]]!r}: found {x[row[0], column[0]]} in row {row[0]}, expected a finite "
                "number"
            )
        return x


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


def _column(values: pd.Series, name: str) -> np.ndarray:
    """Return a column as float64, [N]; what is missing is NaN."""
    try:
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError, OverflowError):
        for row, value in enumerate(values):
            try:
                float(value)
            except (TypeError, ValueError, OverflowError):
                shown = " ".join(str(value).split())
                shown = shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…"
                raise _refused(f"column {name!r}: found {shown!r} in row {row}, expected a finite number") from None
        raise _refused(f"column {name!r}: found {values.dtype} values, expected finite numbers") from None


def _refused(reason: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(reason)


set_model(ExportedModel())
