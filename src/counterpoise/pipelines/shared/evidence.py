"""Which of an experiment's claims and published numbers apply to the variants that are run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from counterpoise.config.parameters import Evidence
from counterpoise.errors import InputError
from counterpoise.methods.heads.problem import PRETRAINED

LOG = logging.getLogger(__name__)


def applicable(evidence: Evidence, run: Mapping[str, Mapping[str, Any]]) -> Evidence:
    """Keep the claims whose two sides are among the variants, and the published numbers of variants that are run.

    So that a run with other ranks than the paper's still ends in a report: what it cannot test it does not test.

    Args:
        run: settings of the variants by name (`heads.settings_of`).

    Raises:
        InputError: a side of a claim fits several variants; it would not be clear which one is meant.
    """
    claims = [claim for claim in evidence.claims if _one(claim.left, run, claim) and _one(claim.right, run, claim)]
    if left_out := len(evidence.claims) - len(claims):
        LOG.info("%d of %d claims are about variants that are not run", left_out, len(evidence.claims))
    published = [row for row in evidence.published if row.variant in run or row.variant == PRETRAINED]
    return evidence.model_copy(update={"claims": tuple(claims), "published": tuple(published)})


def _one(selector: Mapping[str, Any], run: Mapping[str, Mapping[str, Any]], claim: Any) -> bool:
    """Whether a selector fits one variant; none is no error, several are."""
    matches = [
        name
        for name, settings in run.items()
        if all(({"variant": name} | dict(settings)).get(key) == value for key, value in selector.items())
    ]
    if len(matches) > 1:
        raise InputError(
            f"conf: the claim {claim.claim!r} compares {dict(selector)}, which fits {', '.join(matches)}; expected one"
        )
    return bool(matches)
