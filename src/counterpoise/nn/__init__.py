"""Networks trained side by side, and the loop that trains them. No Kedro, no MLflow, no pandas.

Many small models are one batched computation here: axis R is the replicate (a seed), axis V the variant (a method with
its settings). The whole room is deterministic, and no model's numbers depend on which models are trained beside it.
"""

from counterpoise.nn.bank import Bank
from counterpoise.nn.examples import Examples
from counterpoise.nn.heads import Factors, HeadBank
from counterpoise.nn.mlp import StackedMLP
from counterpoise.nn.optimizers import Optimizer
from counterpoise.nn.random import generator, generators
from counterpoise.nn.training import History, Loss, fit, predict_logits

__all__ = [
    "Bank",
    "Examples",
    "Factors",
    "HeadBank",
    "History",
    "Loss",
    "Optimizer",
    "StackedMLP",
    "fit",
    "generator",
    "generators",
    "predict_logits",
]
