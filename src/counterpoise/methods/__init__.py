"""The papers' algorithms in plain torch, one module per idea. No Kedro, no files."""

from counterpoise.methods.heads.fisher import group_fisher, importance
from counterpoise.methods.heads.neutralize import neutralize
from counterpoise.methods.heads.penalties import cross_entropy, penalized
from counterpoise.methods.heads.variants import Variant, head_bank
from counterpoise.methods.heads.weighted_svd import weighted_svd

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
