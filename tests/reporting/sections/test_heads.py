"""Figures of the Fisher information: sorted means and ranges."""

from __future__ import annotations

import numpy as np
import pytest

from counterpoise.reporting.sections.heads import fisher_diagonal


def test_fisher_heat_maps_hold_the_sorted_mean(fisher: np.ndarray) -> None:
    one = fisher[:1]
    figure = fisher_diagonal(one, ("Female", "Male"))
    pooled = np.sqrt(one[0].sum(-1)).sum(0)  # over classes, then groups
    order = sorted(range(20), key=lambda feature: -pooled[feature])
    for group, heat_map in enumerate(figure.select_traces({"type": "heatmap"})):
        np.testing.assert_allclose(10 ** np.asarray(heat_map.z), one[0, group][order].T)
        line = next(trace for trace in figure.select_traces({"name": ("Female", "Male")[group]}) if trace.showlegend)
        np.testing.assert_allclose(line.y, np.sqrt(one[0, group].sum(-1))[order])


def test_fisher_band_is_the_range_of_the_replicates(fisher: np.ndarray) -> None:
    figure = fisher_diagonal(fisher, ("a", "b"))
    low, high, mean = (np.asarray(trace.y) for trace in figure.select_traces({"name": "a"}))
    assert (low <= mean).all()
    assert (mean <= high).all()
    assert (low < high).any()


def test_fisher_of_a_large_head_is_averaged_and_a_dead_unit_left_empty() -> None:
    fisher = np.ones((1, 2, 600, 100))
    fisher[:, :, -300:] = 0
    heat_map = next(fisher_diagonal(fisher, ("a", "b")).select_traces({"type": "heatmap"}))
    z = np.asarray(heat_map.z)
    assert z.shape == (32, 256)
    assert np.isnan(z[:, -1]).all()
    np.testing.assert_allclose(z[:, 0], 0)


def test_fisher_needs_a_name_for_every_group(fisher: np.ndarray) -> None:
    with pytest.raises(ValueError, match="2 groups"):
        fisher_diagonal(fisher, ("Female",))


def test_classes_are_categories_by_name_or_number() -> None:
    """A linear axis of two classes would go from −1 to 2."""
    fisher = np.random.default_rng(0).random((2, 2, 6, 2))
    for names, shown in ((("no", "yes"), ["no", "yes"]), ((), ["0", "1"])):
        figure = fisher_diagonal(fisher, ("a", "b"), names)
        heat = next(figure.select_traces({"type": "heatmap"}))
        assert list(heat.y) == shown
        assert figure.layout.yaxis.type == "category"
