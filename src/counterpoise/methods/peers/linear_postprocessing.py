"""The optimal rule that does not see the group: linear in p(y, s | x) (Xian and Zhao, arXiv 2405.04025)."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from jaxtyping import Float

from counterpoise.methods.heads.penalties import Constraint
from counterpoise.methods.peers.settings import Peer
from counterpoise.methods.peers.setup import Decide, Setup

PERTURBATION = 1e-6
"""How far the difference of the classes' probabilities is moved at most, so that rows alike in them differ."""


def fit(peer: Peer, setup: Setup) -> Decide:
    """Find the multipliers on training rows, with probabilities by models that have not seen them.

    The score is (1 + margin) / 2, within 0 and 1; without multipliers that is p(y = 1 | x).
    """
    constraint, tolerance = peer.bound
    joint = setup.joint_held_out
    multipliers = find_multipliers(joint, advantage(joint, setup.train.x), constraint=constraint, tolerance=tolerance)

    def decide(x: np.ndarray, _: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        joint = setup.joint(x).reshape(len(x), -1, 2)
        value = margin(joint, advantage(joint, x), multipliers)
        return ((1 + value) / 2).clip(0, 1), value > 0

    return decide


def advantage(joint: Float[np.ndarray, "n G 2"], x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n"]:
    """Return p(y = 1 | x) − p(y = 0 | x), perturbed by a function of x.

    Where many rows have the same probabilities, the rule would take all of them or none, far from the optimum, which
    divides them. The published method randomises the perturbation; here the same row is moved alike every time.
    """
    direction = np.random.default_rng(0).standard_normal(x.shape[1])
    probability = joint.sum(axis=1)
    return np.asarray(probability[:, 1] - probability[:, 0] + PERTURBATION * np.sin(x @ direction))


def margin(
    joint: Float[np.ndarray, "n G 2"],
    advantage: Float[np.ndarray, "n"],
    multipliers: Float[np.ndarray, "G 2"],
) -> Float[np.ndarray, "n"]:
    """Return the advantage of class 1 less what it costs in parity; the rule predicts 1 where this is positive."""
    return np.asarray(advantage + np.einsum("ngc,gc->n", joint, multipliers))


def find_multipliers(
    joint: Float[np.ndarray, "n G 2"],
    advantage: Float[np.ndarray, "n"],
    *,
    constraint: Constraint,
    tolerance: float,
) -> Float[np.ndarray, "G 2"]:
    """Return what p(s, y | x) counts in the rule with the fewest expected errors of those within a tolerance.

    A linear programme over the shares h_i ∈ [0, 1] in which row i is predicted 1: minimise −Σ_i h_i advantage_i / n,
    such that for each pair of groups Σ_c |q_gc − q_hc| ≤ tolerance, where q_gc = Σ_i h_i p_i(g, c) / Σ_i p_i(g, c) is
    the rate of the cell; for demographic parity that of the group, of both classes together. Its dual values at the
    definitions of the rates are the multipliers; all but a few rows have a share of 0 or 1, by the sign of the margin.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_array, hstack

    n, groups, _ = joint.shape
    cells = joint.sum(axis=2, keepdims=True) if constraint == "dp" else joint  # n, G, C
    classes = cells.shape[2]
    sizes = cells.sum(axis=0)
    rates = groups * classes
    pairs = list(combinations(range(groups), 2))
    gaps = len(pairs) * classes  # |q_gc − q_hc|, from above
    # Variables: h [n], q [G, C], gaps [pairs, C]. Definitions: Σ_i h_i p_i / Σ_i p_i − q = 0.
    shares = csr_array((cells / sizes).reshape(n, rates).T)
    definitions = hstack([shares, csr_array(-np.eye(rates)), csr_array((rates, gaps))])
    differences, sums = np.zeros((2 * gaps, rates + gaps)), np.zeros((len(pairs), rates + gaps))
    for p, (g, h) in enumerate(pairs):
        for c in range(classes):
            gap = p * classes + c
            for row, sign in ((2 * gap, 1), (2 * gap + 1, -1)):
                differences[row, [g * classes + c, h * classes + c, rates + gap]] = sign, -sign, -1
            sums[p, rates + gap] = 1
    inequalities = np.concatenate([differences, sums])
    solution = linprog(
        np.concatenate([-advantage / n, np.zeros(rates + gaps)]),
        A_ub=hstack([csr_array((len(inequalities), n)), csr_array(inequalities)]),
        b_ub=np.concatenate([np.zeros(2 * gaps), np.full(len(pairs), tolerance)]),
        A_eq=definitions,
        b_eq=np.zeros(rates),
        bounds=[(0, 1)] * n + [(None, None)] * rates + [(0, None)] * gaps,
        method="highs-ds",
        options={"presolve": False},  # takes longer than what it saves
    )
    # The reduced cost of h_i is −advantage_i / n − Σ dual · p_i / Σ p: its sign decides.
    duals = n * solution.eqlin.marginals.reshape(groups, classes) / sizes
    return np.broadcast_to(duals, (groups, 2)).copy()
