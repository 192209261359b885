"""The papers' algorithms in plain torch, one module per idea; and the pass of a frozen backbone. No Kedro."""

from counterpoise.methods.fisher import group_fisher, importance
from counterpoise.methods.neutralize import neutralize
from counterpoise.methods.penalties import cross_entropy, penalized
from counterpoise.methods.variants import Variant, head_bank
from counterpoise.methods.weighted_svd import weighted_svd

__all__ = [
    "Variant",
    "cross_entropy",
    "group_fisher",
    "head_bank",
    "importance",
    "neutralize",
    "penalized",
    "weighted_svd",
]
