"""Tables of experiments that repair whole networks."""

import pandas as pd
import pytest
from kedro.validation.exceptions import DataValidationError
from kedro.validation.pandera_validator import pandera_adapter

from counterpoise.artifacts import schemas_repairs as schemas_altering


@pytest.mark.parametrize("column", ["parameters", "macs"])
def test_cutting_out_what_is_pruned_adds_nothing(column: str) -> None:
    texts = {"method": ["netaug"], "variant": ["netaug"], "seed": [0]}
    counts = {f"{name}{state}": [90] for name in ("parameters", "nonzero", "macs") for state in ("", "_compact")}
    times = {"latency": [1.0], "latency_compact": [0.9], "latency_ratio": [0.9], "batch": [8]}
    costs = pd.DataFrame({**texts, **counts, **times, "difference": [1e-7], "compared": [100]})
    validator = pandera_adapter(schemas_altering.Costs, {})
    assert validator is not None
    pd.testing.assert_frame_equal(validator.validate(costs), costs)
    with pytest.raises(DataValidationError, match="nothing is added by cutting out"):
        validator.validate(costs.assign(**{f"{column}_compact": 91}))
