"""What models say of the test rows, in the form of the contract's `predictions.parquet`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Integer
from pandas.api.types import union_categoricals
from torch import Tensor

from counterpoise.artifacts.predictions import COLUMNS, compact, models_of
from counterpoise.methods.repair import Result
from counterpoise.nn import Examples


def predictions_of_results(
    data: Examples, results: Sequence[Result], seeds: Sequence[int], members: Int[Tensor, "R n"]
) -> pd.DataFrame:
    """Return what the models of results have said of the test rows, model by model, seed by seed.

    The score is the probability of class 1 of two, or of the likeliest of more. A result whose name says more than its
    method has the fact `method`.
    """
    frames = [
        frame
        for result in results
        for frame in predictions_of_network(
            data,
            str(result.facts.get("method", result.name)),
            result.name,
            seeds,
            members,
            result.score,
            result.prediction,
        )
    ]
    return joined(frames)


def predictions_of(
    data: Examples,
    method: str,
    variant: str,
    seed: int,
    members: Int[Tensor, "n"],
    score: Float[Tensor, "n"],
    prediction: Integer[Tensor, "n"],
) -> pd.DataFrame:
    """Return what one model has said of the test rows `members`, as small as `compact` makes it."""
    columns = {
        "seed": np.full(len(members), seed),
        "row": members.numpy(),
        "y": data.y[members].numpy(),
        "s": data.s[members].numpy(),
        "score": score.numpy(),
        "prediction": prediction.long().numpy(),
    }
    texts = {"method": method, "variant": variant, "split": "test"}
    first = np.zeros(len(members), dtype=np.int8)
    categories = {name: pd.Categorical.from_codes(first, categories=pd.Index([text])) for name, text in texts.items()}
    numbers = {name: compact(pd.Series(values)) for name, values in columns.items()}
    return pd.DataFrame(categories | numbers, columns=list(COLUMNS))


def joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the frames of several models as one, texts as categories; column by column, and the frames are empty then.

    Of a million rows this table is the largest of a run: it is never in memory twice.
    """
    columns: dict[str, np.ndarray | pd.Categorical[Any]] = {}
    for name in COLUMNS:
        parts = [compact(frame.pop(name)) for frame in frames]
        if COLUMNS[name] == "str":
            columns[name] = union_categoricals(parts, sort_categories=True)
        else:
            columns[name] = np.concatenate([part.to_numpy() for part in parts])
    frames.clear()
    return pd.DataFrame(columns, copy=False)


def counted(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return how many rows each model predicts so, by split, group and class, in the column `rows`.

    Args:
        predictions: `grouped`.
    """
    frames = []
    cell = ["split", "s", "y", "prediction"]
    for (method, variant, seed), model in models_of(predictions):
        counts = predictions.iloc[model].groupby(cell, observed=True).size().rename("rows").reset_index()
        frames.append(counts.astype({"split": "str"}).assign(method=method, variant=variant, seed=seed))
    return pd.concat(frames, ignore_index=True)[["method", "variant", "seed", *cell, "rows"]]


def predictions_of_network(
    data: Examples,
    method: str,
    variant: str,
    seeds: Sequence[int],
    members: Int[Tensor, "R n"],
    score: Float[Tensor, "R n k"],
    prediction: Integer[Tensor, "R n"],
) -> list[pd.DataFrame]:
    """Return what models have said, seed by seed; of many classes the score is that of the likeliest."""
    highest = score.amax(dim=-1) if score.shape[-1] > 1 else score.squeeze(-1)
    return [
        predictions_of(data, method, variant, seed, members[r], highest[r], prediction[r])
        for r, seed in enumerate(seeds)
    ]
