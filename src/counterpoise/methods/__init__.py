"""The papers' algorithms in plain torch, one module per idea; and the pass of a frozen backbone. No Kedro."""

from counterpoise.methods.cells import cell_sizes, fold_numbers, require_cells
from counterpoise.methods.heads.erasure import fit_eraser
from counterpoise.methods.heads.fisher import group_fisher, importance
from counterpoise.methods.heads.neutralize import neutralize
from counterpoise.methods.heads.peers import (
    PEERS,
    Outcome,
    Peer,
    choose_regularization,
    choose_replicate_regularization,
    fit_peer,
    fit_replicate,
    peer_grid,
    require_rows,
    reweighing,
)
from counterpoise.methods.heads.penalized_bank import (
    GridPoint,
    TrainedBank,
    penalty_grid,
    train_bank,
    train_replicate,
)
from counterpoise.methods.heads.penalties import Constraint, cross_entropy, penalized
from counterpoise.methods.heads.variants import Variant, head_bank
from counterpoise.methods.heads.weighted_svd import weighted_svd

__all__ = [
    "PEERS",
    "Constraint",
    "GridPoint",
    "Outcome",
    "Peer",
    "TrainedBank",
    "Variant",
    "cell_sizes",
    "choose_regularization",
    "choose_replicate_regularization",
    "cross_entropy",
    "fit_eraser",
    "fit_peer",
    "fit_replicate",
    "fold_numbers",
    "group_fisher",
    "head_bank",
    "importance",
    "neutralize",
    "peer_grid",
    "penalized",
    "penalty_grid",
    "require_cells",
    "require_rows",
    "reweighing",
    "train_bank",
    "train_replicate",
    "weighted_svd",
]
