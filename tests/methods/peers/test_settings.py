"""The grid of peers: names that say the settings, and settings that leave none."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest

from counterpoise.errors import InputError
from counterpoise.methods.peers.settings import PEERS, Boosting, Peer, Peers, Reduction, Reductions, peer_grid

from .conftest import SMALL


def test_every_row_of_the_catalogue_is_fitted_by_the_module_of_its_name() -> None:
    for name in PEERS:
        fit = import_module(f"counterpoise.methods.peers.{name}").fit
        assert list(inspect.signature(fit).parameters) == ["peer", "setup"]


def test_the_grid_has_a_name_for_each_setting() -> None:
    names = [peer.name for peer in peer_grid(SMALL, columns=True)]
    assert names == sorted(set(names))
    on_features = ["balanced_refit", "leace", "plain", "reweighing"]
    constrained = ("error_parity", "exponentiated_gradient", "linear_postprocessing")
    variants = [f"{method}_{{base}}_{constraint}_0.05" for method in constrained for constraint in ("dp", "eo")]
    variants += ["threshold_optimizer_{base}_dp", "threshold_optimizer_{base}_eo"]
    hsic = [f"hsic_{{base}}_{constraint}_10" for constraint in ("dp", "eo")]
    linear = [f"{name}_{{base}}" for name in on_features] + variants + hsic
    boosted = ["plain_{base}", "reweighing_{base}", *variants]
    expected = [name.format(base=base) for base in ("features_logistic", "columns_logistic") for name in linear]
    expected += [name.format(base="columns_boosted") for name in boosted]
    assert names == sorted(expected)


def test_images_have_no_columns() -> None:
    assert {peer.input for peer in peer_grid(SMALL, columns=False)} == {"features"}


def test_who_needs_the_group_has_no_score_to_cut_elsewhere() -> None:
    for peer in peer_grid(SMALL, columns=True):
        assert peer.needs_group == (peer.method in {"threshold_optimizer", "error_parity"})
        assert peer.settings["scores"] != peer.settings["needs_group"]


def test_a_reduction_that_is_switched_off() -> None:
    settings = Peers(methods=("plain", "exponentiated_gradient"), exponentiated_gradient=Reductions(boosted=None))
    grid = peer_grid(settings, columns=True)
    reduced = [peer for peer in grid if peer.method == "exponentiated_gradient"]
    assert {peer.estimator for peer in reduced} == {"logistic"}
    assert len(reduced) == 2 * 2 * len(Reduction().tolerances)


@pytest.mark.parametrize(
    ("settings", "columns"),
    [
        ({"inputs": ("columns",)}, False),
        ({"inputs": ("features",), "estimators": ("boosted",)}, True),
        ({"methods": ("leace",), "estimators": ("boosted",)}, True),
    ],
)
def test_settings_that_leave_no_peer(settings: dict[str, Any], columns: bool) -> None:
    with pytest.raises(InputError, match=r"leave no peer, expected at least one that stands on the inputs"):
        peer_grid(Peers(**settings), columns=columns)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tolerances": (0.1, 0.05)}, r"tolerances are \[0.1, 0.05\], expected increasing numbers"),
        ({"hsic": (1.0, 1.0)}, r"hsic is \[1.0, 1.0\], expected increasing numbers"),
        ({"methods": ("leace", "leace")}, "method leace is given more than once"),
        ({"methods": ("leece",)}, r"methods has 'leece' \(did you mean 'leace'\?\)"),
        ({"inputs": ("columns", "columns")}, r"inputs is \['columns', 'columns'\], expected each value once"),
        ({"folds": 1}, "folds is 1, expected 2 or more"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Peers(**settings)


def test_a_tree_has_leaves() -> None:
    with pytest.raises(InputError, match="leaves has 1, expected 2 or more"):
        Boosting(leaves=(1, 4))


def test_a_method_without_what_it_needs() -> None:
    with pytest.raises(InputError, match="peer hsic_features_logistic: has no constraint or no strength"):
        _ = Peer("hsic").bound
