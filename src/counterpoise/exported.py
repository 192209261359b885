"""The exported model as MLflow runs it, without the project that trained it: a copy of this file lies in its folder.

It needs MLflow, numpy, pandas and safetensors. `counterpoise.serving` copies it; nothing here imports it.
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


class ExportedModel(PythonModel):
    """A perceptron or a linear head: standardise, then Linear and ReLU in turn, the last Linear giving logits."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the weights, which are the artifact `model`."""
        with safe_open(context.artifacts["model"], framework="numpy") as file:
            header = json.loads(file.metadata()["counterpoise"])
            self.tensors = {name: file.get_tensor(name).astype(np.float64) for name in file.keys()}  # noqa: SIM118
        self.columns, self.classes = header["columns"], header["classes"]
        self.depth = sum(name.startswith("weights.") for name in self.tensors)

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
            MlflowException: a value is missing or infinite.
        """
        x = model_input[self.columns].to_numpy(dtype=np.float64)
        row, column = np.nonzero(~np.isfinite(x))
        if len(row):
            raise MlflowException.invalid_parameter_value(
                f"column {self.columns[column[0]]!r}: found {x[row[0], column[0]]} in row {row[0]}, expected a finite "
                "number"
            )
        probability = self.probabilities(x)
        predicted = probability.argmax(axis=1)
        score = probability[:, 1] if len(self.classes) == 2 else probability.max(axis=1)
        answer = {"prediction": np.array(self.classes, dtype=object)[predicted], "score": score}
        return pd.DataFrame(
            answer | {f"probability_{name}": probability[:, k] for k, name in enumerate(self.classes)},
            index=model_input.index,
        )

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Return the softmax over the classes, [N, k], of rows [N, D]."""
        if "mean" in self.tensors:
            x = (x - self.tensors["mean"]) / self.tensors["scale"]
        for layer in range(self.depth):
            x = np.maximum(x, 0) if layer else x
            x = x @ self.tensors[f"weights.{layer}"] + self.tensors[f"biases.{layer}"]
        odds = np.exp(x - x.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)


set_model(ExportedModel())
