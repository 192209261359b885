"""Tables of parts: before and after fine-tuning, and numbers of parameters."""

from __future__ import annotations

import pandas as pd

from counterpoise.reporting import tables_parts


def summary_of(rows: dict[tuple[str, str, str], tuple[float, float, float, float]]) -> pd.DataFrame:
    """{(method, variant, metric): (mean, std, reported, reported_std)}."""
    columns = ["method", "variant", "metric", "mean", "std", "reported", "reported_std"]
    return pd.DataFrame([(*key, *value) for key, value in rows.items()], columns=columns)


NAN = float("nan")


def test_before_and_after_in_blocks() -> None:
    summary = summary_of(
        {
            ("pretrained", "dp_0.5/pretrained", "err"): (17.0, 0.1, NAN, NAN),
            ("pretrained", "eo_0.1/pretrained", "err"): (16.9, 0.2, 16.835, NAN),
            ("pretrained", "eo_0.1/pretrained", "delta_eo"): (0.071, 0.02, 0.068, NAN),
            ("win", "dp_0.5/win_r2", "delta_dp"): (0.17, 0.02, NAN, NAN),
            ("win", "eo_0.1/win_r2", "err"): (16.5, 0.3, 16.676, 0.313),
        }
    )
    table = tables_parts.before_after(summary, parts=["eo_0.1"])
    assert table.columns == ("Pretrained", "Method", "Error (%)", "ΔEO", "ΔDP")
    assert table.rows == [
        ("EO 0.1", "Pretrained", "16.90 ± 0.20 (16.835)", "0.071 ± 0.020 (0.068)", "n/a"),
        ("", "WIN", "16.50 ± 0.30 (16.676 ± 0.313)", "n/a", "n/a"),
        ("DP 0.5", "Pretrained", "17.00 ± 0.10", "n/a", "n/a"),
        ("", "WIN", "n/a", "n/a", "0.170 ± 0.020"),
    ]


def test_parameter_counts_beside_the_papers() -> None:
    summary = summary_of(
        {
            ("svd", "svd_r2", "err"): (15.6, 0.5, NAN, NAN),
            ("win", "win_r1_a0.5", "err"): (15.6, 0.5, NAN, NAN),
            ("win", "win_r2_a0.5", "err"): (15.5, 0.5, 15.829, 0.34),
            ("retrain", "retrain_eo_0.1", "err"): (16.7, 0.2, 16.763, 0.223),
        }
    )
    table = tables_parts.parameter_counts(summary, {"svd_r2": 46, "win_r2_a0.5": 46, "retrain_eo_0.1": 2142})
    assert [row[:3] for row in table.rows] == [
        ("f+SVD", "46", "15.60 ± 0.50"),
        ("WIN: win_r1_a0.5", "n/a", "15.60 ± 0.50"),
        ("WIN: win_r2_a0.5", "46 (46)", "15.50 ± 0.50 (15.829 ± 0.340)"),
        ("Retrain (whole network)", "2,142 (742)", "16.70 ± 0.20 (16.763 ± 0.223)"),
    ]
