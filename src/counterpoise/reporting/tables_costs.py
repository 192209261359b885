"""What pruning saves: the pruned networks, and the same without the units and filters that can be cut out."""

from __future__ import annotations

import pandas as pd

from counterpoise.reporting._outcomes import title_of, with_part
from counterpoise.reporting.context import Table
from counterpoise.reporting.tables import written_mean
from counterpoise.reporting.wording import number, part_title

COST_KEYS = (
    *("method", "variant", "seed", "parameters", "parameters_compact", "nonzero", "macs", "macs_compact"),
    *("latency", "latency_compact", "latency_ratio", "batch", "difference", "compared"),
)
LITTLE = 0.05
"""A saving below this share of the multiplications is called little."""


def saving_table(costs: pd.DataFrame) -> Table:
    """One row per pruned network: numbers stored, multiplications and time with and without what can be cut out.

    Args:
        costs: one row per variant and seed with `COST_KEYS`; times in milliseconds.

    Raises:
        InputError: a missing column.
    """
    frame = with_part(costs, COST_KEYS, "costs")
    parts = any(frame["part"])
    rows = []
    for _, seeds in frame.groupby("variant", sort=False):
        first = seeds.iloc[0]
        rows.append(
            (
                title_of(first["name"], first["method"]),
                *([part_title(first["part"])] if parts else []),
                f"{first['parameters']:,}",
                _percent(1 - seeds["nonzero"] / seeds["parameters"]),
                _percent(1 - seeds["parameters_compact"] / seeds["parameters"]),
                f"{first['macs']:,}",
                _percent(1 - seeds["macs_compact"] / seeds["macs"]),
                f"{number(seeds['latency'].median())} → {number(seeds['latency_compact'].median())}",
                written_mean(seeds["latency_ratio"]),
                f"{seeds['difference'].max():.1g}",
            )
        )
    return Table(
        title="What pruning saves",
        note=_note(frame),
        columns=(
            *("Network", *(["Part"] if parts else []), "Parameters", "Of them zero", "Parameters cut out"),
            *("Multiply-adds", "Multiply-adds cut out", "Latency (ms)", "Latency, after / before"),
            "Largest difference",
        ),
        rows=rows,
    )


def _note(costs: pd.DataFrame) -> str:
    if costs.empty:
        return ""
    batch = " or ".join(f"{size:,}" for size in sorted(costs["batch"].unique()))
    compared = " or ".join(f"{rows:,}" for rows in sorted(costs["compared"].unique()))
    return (
        "Zeros alone save neither time nor memory. A unit or filter can be cut out without a change of the outputs if "
        "all its weights are pruned, or if nothing uses its output; then its other parameters go too. "
        f"{_verdict(costs)} Mean ± standard deviation over the seeds; numbers of parameters and multiply-adds (for one "
        f"row; two FLOPs each) are those before. Latency: a pass of {batch} rows on one thread, before → after, median "
        "over the seeds of the median of passes that took turns, and the ratio of the two: below 1 is faster; on a "
        "busy machine it varies by a few percent. Largest difference: between the outputs before and after, on "
        f"{compared} test rows."
    )


def _verdict(costs: pd.DataFrame) -> str:
    """Say how much was saved."""
    saved = 1 - costs["macs_compact"] / costs["macs"]
    uncut = int((costs["parameters_compact"] == costs["parameters"]).sum())
    sentence = f"{uncut} of {len(costs)} networks have none; at most {saved.max():.1%} of the multiply-adds are saved"
    if saved.max() < LITTLE:
        return f"{sentence}, which is little: masks that prune single weights leave few units empty."
    return f"{sentence}."


def _percent(shares: pd.Series) -> str:
    return f"{written_mean(100 * shares, 'err')}%"  # with the decimals of percentages
