"""What models say of the test rows, in the form of the contract's `predictions.parquet`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Integer
from pandas.api.types import union_categoricals
from torch import Tensor

from counterpoise.methods.repair import Result
from counterpoise.nn import Examples

COLUMNS = ("method", "variant", "seed", "split", "row", "y", "s", "score", "prediction")


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
    """Return what one model has said of the test rows `members`, texts as categories; see `joined`."""
    columns = {
        "row": members.numpy(),
        "y": data.y[members].numpy(),
        "s": data.s[members].numpy(),
        "score": score.numpy(),
        "prediction": prediction.long().numpy(),
    }
    texts = {"method": method, "variant": variant, "split": "test"}
    first = np.zeros(len(members), dtype=np.int8)
    categories = {name: pd.Categorical.from_codes(first, categories=pd.Index([text])) for name, text in texts.items()}
    return pd.DataFrame(columns | categories).assign(seed=seed)[list(COLUMNS)]


def joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the frames of several models as one, with texts as such; column by column, and the list is empty then.

    Of a million rows this table is the largest of a run: it is never in memory twice.
    """
    columns: dict[str, Any] = {}
    for name in COLUMNS:
        parts = [frame.pop(name) for frame in frames]
        if isinstance(parts[0].dtype, pd.CategoricalDtype):
            columns[name] = union_categoricals(parts).astype("str")
        else:
            columns[name] = np.concatenate([part.to_numpy() for part in parts])
    frames.clear()
    return pd.DataFrame(columns, copy=False)


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
