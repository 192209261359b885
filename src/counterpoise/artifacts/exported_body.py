"""What a user's own model makes of rows before its head, for the exported model beside this file.

It needs torch for a network, and scikit-learn and skops for the steps of a pipeline.
`counterpoise.artifacts.serving` copies it; nothing here imports the project.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

NETWORK = "network"
ROWS_AT_ONCE = 4096


class Body:
    """Rows of a table to the features that a head reads.

    Args:
        encoding: of the table's columns (`exported.Encoding`).
        path: a file of `torch.export`, from encoded columns to features; or a pipeline in a file of skops, whose last
            step is the classifier.
        described: `kind`; `columns`, what it takes, in order; `of_file`, whether these are columns of the file rather
            than encoded ones; `named`, whether a pipeline was fitted with names; `trusted` types of skops; `outputs`;
            `gaps`, columns whose missing values a pipeline deals with itself, and their types.
    """

    def __init__(self, encoding: Any, path: str, described: Mapping[str, Any]) -> None:
        self.encoding, self.described = encoding, described
        self.has_categories = encoding.has_categories
        self.features = [f"f{i}" for i in range(described["outputs"])]
        self._transform = _network(path) if described["kind"] == NETWORK else _pipeline(path, described)

    def encode(self, rows: pd.DataFrame, unknown: str = "ignore") -> tuple[np.ndarray, list[str]]:
        """Return the features of rows, [N, d], and of each row the columns whose category is unknown.

        Raises:
            MlflowException: a column is not there or there twice, or a value is none that the model can take.
        """
        x, unseen = self.encoding.encode(rows, unknown)
        names = self.described["columns"]
        try:
            if self.described["of_file"]:
                frame = self.encoding.treated(rows, names, self.described["gaps"])
            else:
                frame = pd.DataFrame(x, columns=self.encoding.features)[names]
            outputs = self._transform(frame)
        except MlflowException:
            raise
        except Exception as error:  # whatever the steps of a pipeline raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise MlflowException.invalid_parameter_value(f"the model's own steps refuse the rows ({reason})") from None
        return outputs, unseen


def _network(path: str) -> Any:
    import torch

    module = torch.export.load(path).module()

    def transform(frame: pd.DataFrame) -> np.ndarray:
        x = torch.from_numpy(np.ascontiguousarray(frame.to_numpy(dtype=np.float32)))
        with torch.inference_mode():
            parts = [module(part).float() for part in x.split(ROWS_AT_ONCE)]
        return torch.cat(parts).numpy()

    return transform


def _pipeline(path: str, described: Mapping[str, Any]) -> Any:
    estimator = importlib.import_module("skops.io").load(path, trusted=described["trusted"])
    steps: Any = estimator[:-1] if len(getattr(estimator, "steps", ())) > 1 else None

    def transform(frame: pd.DataFrame) -> np.ndarray:
        inputs = frame if described["named"] else frame.to_numpy()
        seen: Any = inputs if steps is None else steps.transform(inputs)
        return np.asarray(seen.toarray() if hasattr(seen, "toarray") else seen, dtype=np.float32)

    return transform
