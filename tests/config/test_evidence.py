"""Claims and published numbers are written once and multiplied out, over values and over parts."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from counterpoise.config.evidence import Evidence

CLAIM: dict[str, Any] = {
    "claim": "lower",
    "metric": "err",
    "left": {"variant": "a"},
    "right": {"variant": "b"},
    "claimed": "lower",
}


def test_the_last_name_varies_fastest_and_words_stand_in_sentences_only() -> None:
    varied = CLAIM | {
        "claim": "a lower {metric} at rank {rank}",
        "metric": "{metric}",
        "left": {"method": "win", "rank": "{rank}"},
        "each": {"rank": [1, 8], "metric": {"err": "error", "auc": "AUC"}},
    }
    claims = Evidence.model_validate({"claims": [varied]}).claims
    assert [(claim.claim, claim.metric, claim.left["rank"]) for claim in claims] == [
        ("a lower error at rank 1", "err", 1),
        ("a lower AUC at rank 1", "auc", 1),
        ("a lower error at rank 8", "err", 8),
        ("a lower AUC at rank 8", "auc", 8),
    ]


def test_several_vary_together_within_what_a_block_or_a_part_says() -> None:
    group = {
        "each": {"x": ["a", "b"]},
        "of": [CLAIM | {"claim": "{bias} of {x}"}, CLAIM | {"claim": "{y}{x}", "each": {"y": [0, 1]}}],
    }
    evidence = Evidence.model_validate({"each": {"bias": {"aod": "AOD"}}, "claims": [group]})
    assert [claim.claim for claim in evidence.claims] == ["AOD of a", "0a", "1a", "AOD of b", "0b", "1b"]
    of_parts = CLAIM | {"claim": "|{bias}|", "metric": "{bias}", "right": {"variant": "{part}"}}
    parts = {"sex": {"bias": {"aod": "AOD"}}, "race": {"bias": {"spd": "SPD"}}}
    evidence = Evidence.model_validate({"parts": parts, "claims": [of_parts]})
    assert [(claim.claim, claim.metric, claim.right["variant"]) for claim in evidence.claims] == [
        ("Sex: |AOD|", "aod", "sex/sex"),
        ("Race: |SPD|", "spd", "race/race"),
    ]
    assert evidence.parts == ("sex", "race")


@pytest.mark.parametrize("each", [["err"], {"metric": "err"}, "err"])
def test_each_without_lists_is_refused(each: Any) -> None:
    for block in ({"claims": [CLAIM | {"each": each}]}, {"claims": [CLAIM], "each": each}):
        with pytest.raises(ValidationError, match=r"each has .*'err'.*, expected names with a list of values"):
            Evidence.model_validate(block)


def test_an_unknown_key_is_refused_wherever_it_stands() -> None:
    for item in (CLAIM | {"on": "err"}, {"each": {"x": [1]}, "of": [CLAIM | {"on": "err"}]}):
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            Evidence.model_validate({"claims": [item]})


def test_evidence_of_several_parts_is_said_once() -> None:
    printed = {"variant": "a", "paper": "win", "table": "T1", "method": "tl", "setting": "protected={part}"}
    block = {
        "parts": ["sex", "race"],
        "claims": [
            {**CLAIM, "claim": "of both", "left": {"variant": "sex/a"}, "right": {"variant": "race/a"}},
            CLAIM,
            {**CLAIM, "metric": "auc", "for": ["race"]},
            {**CLAIM, "metric": "f1"},
        ],
        "published": [printed],
    }
    evidence = Evidence.model_validate(block)
    assert [
        (claim.claim, claim.metric, claim.left["variant"], claim.right["variant"]) for claim in evidence.claims
    ] == [
        ("Sex: lower", "err", "sex/a", "sex/b"),
        ("Sex: lower", "f1", "sex/a", "sex/b"),
        ("Race: lower", "err", "race/a", "race/b"),
        ("Race: lower", "auc", "race/a", "race/b"),
        ("Race: lower", "f1", "race/a", "race/b"),
        ("of both", "err", "sex/a", "race/a"),
    ]
    assert [(row.variant, row.setting) for row in evidence.published] == [
        ("sex/a", "protected=sex"),
        ("race/a", "protected=race"),
    ]


@pytest.mark.parametrize(
    ("parts", "message"), [(["sex", "race"], r"claims: for is \['rice'\] \(did you mean 'race'"), ([], "for")]
)
def test_evidence_for_a_part_that_is_not_there_is_refused(parts: list[str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Evidence.model_validate({"parts": parts, "claims": [{**CLAIM, "for": ["rice"]}]})
