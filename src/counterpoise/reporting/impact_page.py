"""The auditor's page: what each category of people receives from the models, as the rules ask for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from counterpoise.catalogue import BASES, CHOSEN, UNREPAIRED
from counterpoise.fairness.impact import SMALL, UNKNOWN, lowest
from counterpoise.reporting import tables_frontier, tables_impact
from counterpoise.reporting._frames import rows_of
from counterpoise.reporting.audit_page import PageSection, page
from counterpoise.reporting.context import Table
from counterpoise.reporting.report import plain
from counterpoise.reporting.wording import enumerate_words, number, p_value

NO_ADVICE: Final = (
    "This page is arithmetic in the words of these rules. It is no legal advice, and no bias audit by an independent "
    "auditor as Local Law 144 demands one: whether a rule applies to a system, and what follows, is for a lawyer."
)

RULES: Final = (
    (
        "New York City Local Law 144 of 2021 (Administrative Code § 20-870 ff.), 6 RCNY § 5-300",
        "Definitions. Selection rate: the share of a category that is selected, or given a classification. Scoring "
        "rate: the share with a score above the sample's median score. Impact ratio: a category's rate divided by that "
        "of the most selected, or highest scoring, category.",
    ),
    (
        "6 RCNY § 5-301 (b), (c)",
        "Rates and impact ratios by sex, by race and ethnicity, and by their intersections; the number of people who "
        "fall in an unknown category and are in none of these.",
    ),
    (
        "6 RCNY § 5-301 (d)",
        "An independent auditor may leave out of the impact ratios a category of less than 2% of the data, with a "
        "justification, its number of people and its rate.",
    ),
    (
        "6 RCNY § 5-302, § 5-303",
        "Whether data are historical or test data; a published summary with the source and explanation of the data, "
        "the numbers of people, rates and ratios of all categories, the date of the audit and the distribution date.",
    ),
    (
        "29 CFR 1607.4 D",
        "A rate below four fifths of the highest is generally regarded as evidence of adverse impact; smaller "
        "differences may count if they are significant statistically and in practice, larger ones may not if numbers "
        "are small. The guidelines name no test: Fisher's exact test and the z test are what is commonly used.",
    ),
    (
        "29 CFR 1607.3 B",
        "Of procedures that serve the purpose about equally well, the one with less adverse impact: the alternatives.",
    ),
)
"""Which rule asks for what, in our words."""

_PROFILE: Final = "Purpose, data and limits"
_ASKS: Final = ("Rule", "What it asks for, and where it stands here")
_MOST_SHOWN: Final = 4
_MOST_OVERVIEW: Final = 24


@dataclass(frozen=True, eq=False)
class ImpactAudit:
    """What the page is written from.

    Attributes:
        label, classes, sensitive: columns of the data (of joined groups, those that they are joined of); of two classes
            the second is being selected.
        impact: `method, variant, seed` and `fairness.impact.COLUMNS`; empty where there are not two classes.
        alternatives: of a frontier, see `find_alternatives` of the stage.
        scored_only: of a frontier, see `score_apart` of the stage: groups that are scored and not compared.
        exported_seed: the replicate of the exported model, which is shown; None takes the first.
        data_summary: of the stage data_split.
    """

    experiment: str
    title: str
    dataset: str
    origin: str
    label: str
    classes: tuple[str, ...]
    sensitive: tuple[str, ...]
    impact: pd.DataFrame
    alternatives: pd.DataFrame | None
    scored_only: pd.DataFrame | None
    most_extra_error: float
    exported_seed: int | None
    data_summary: Mapping[str, Any]
    lineage: Mapping[str, Any]
    level: float

    @property
    def selected(self) -> str:
        return f"predicted to be {self.classes[1]} ({self.label})"

    @property
    def seed(self) -> int:
        """The replicate that is shown."""
        return int(self.impact["seed"].iloc[0]) if self.exported_seed is None else self.exported_seed

    @property
    def shown(self) -> pd.DataFrame:
        return self.impact[self.impact["seed"] == self.seed]

    @property
    def leading(self) -> list[str]:
        """The variants that are shown in full: the choice and its base, or the first of each method."""
        variants = self.shown.drop_duplicates("variant")
        names = variants["variant"].tolist()
        if CHOSEN in names:
            return [name for name in (CHOSEN, UNREPAIRED, BASES["heads"]) if name in names][:2]
        return variants.drop_duplicates("method")["variant"].tolist()[:_MOST_SHOWN]


def impact_page(audit: ImpactAudit) -> str:
    """Return the page of HTML."""
    facts = {
        "Experiment": audit.experiment,
        "Data set": audit.dataset,
        "Attributes": ", ".join(audit.sensitive),
    }
    if audit.impact.empty:
        sections = [PageSection("answer", "In short", [_undefined(audit), NO_ADVICE])]
        return page(f"Impact audit: {audit.title}", "impact audit", facts, sections, audit.lineage)
    facts |= {"Selected": audit.selected, "People": f"{_people(audit):,} (test part of seed {audit.seed})"}
    overview = tables_impact.categories_at_a_glance(audit.impact, audit.seed, audit.level)
    long_overview = len(overview.rows) > _MOST_OVERVIEW
    others = [name for name in audit.shown["variant"].unique() if name not in audit.leading]
    sections = [
        PageSection("answer", "In short", _findings(audit), is_list=True),
        PageSection(
            "rates",
            "Rates by category",
            _notes(audit),
            tables=[table for name in audit.leading for table in _tables(audit, name)],
            folded={f"{len(others)} further models": [table for name in others for table in _tables(audit, name)]}
            if others
            else {},
        ),
        PageSection(
            "models",
            "All models",
            tables=[] if long_overview else [overview],
            folded={f"{len(overview.rows)} rows": [overview]} if long_overview else {},
        ),
        *_apart(audit),
        *_alternatives(audit),
        PageSection("profile", "Bias profile", tables=[Table(_PROFILE, "", ("What", "Statement"), profile(audit))]),
        PageSection("rules", "Which rule asks for what", [NO_ADVICE], tables=[Table("Rules", "", _ASKS, RULES)]),
    ]
    return page(f"Impact audit: {audit.title}", "impact audit", facts, sections, audit.lineage)


def document(audit: ImpactAudit) -> dict[str, Any]:
    """Return the page's content as plain JSON values; null stands for what is not known or not defined."""
    if audit.impact.empty:
        findings: Sequence[str] = (_undefined(audit),)
        seed = None
    else:
        findings, seed = _findings(audit), audit.seed
    content: dict[str, Any] = plain(
        {
            "experiment": audit.experiment,
            "title": audit.title,
            "dataset": audit.dataset,
            "sensitive": audit.sensitive,
            "selected": None if audit.impact.empty else audit.selected,
            "level": audit.level,
            "seed": seed,
            "findings": findings,
            "categories": _records(audit.impact),
            "alternatives": None if audit.alternatives is None else audit.alternatives.to_dict("records"),
            "scored_only": None if audit.scored_only is None else _records(audit.scored_only),
            "most_extra_error": audit.most_extra_error,
            "profile": {} if audit.impact.empty else dict(profile(audit)),
            "rules": [{"rule": rule, "asks": asks} for rule, asks in RULES],
            "no_legal_advice": NO_ADVICE,
            "lineage": audit.lineage,
        }
    )
    return content


def _records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def profile(audit: ImpactAudit) -> list[tuple[str, str]]:
    """The bias profile: purpose, data and limits, as pairs of a heading and a paragraph."""
    left_out = audit.data_summary["left_out"]
    without_group = sum(cell["rows"] for cell in left_out.get("cells", []) if cell["group"] is None)
    unknown = int(audit.shown.loc[audit.shown["category"] == UNKNOWN, "people"].to_numpy().max(initial=0))
    return [
        ("Purpose", f"{audit.title} The models predict {audit.label}; whoever is {audit.selected} counts as selected."),
        (
            "Direction",
            f"The ratios presume that being {audit.classes[1]} is to a person's advantage. If it is a burden, the "
            "category with the highest rate is the one that is worse off.",
        ),
        ("Source of the data", f"{audit.dataset}: {audit.origin}"),
        (
            "Kind of data",
            f"In the rules' words test data, not historical data of a tool in use: {_people(audit):,} rows that no "
            "model was trained on or chosen by, of a random split stratified by class and group.",
        ),
        ("Rows left out", left_out.get("sentence") or "None."),
        (
            "Unknown",
            f"{unknown:,} people who were assessed are of an unknown category; {without_group:,} rows of the source "
            f"have no group and were not assessed.{_apart_in_words(audit)}",
        ),
        (
            "Categories under 2%",
            "Shown with their numbers, rates and ratios; a second ratio leaves them out, since a rate of few people is "
            "mostly chance and may be the highest by chance.",
        ),
        (
            "Limits of the intervals",
            "They treat people as drawn independently, and the most selected category as given, although it was found "
            "in the same sample. Tests are of single comparisons, not corrected for their number.",
        ),
        (
            "Limits of the replicates",
            "Seeds split the same data again, so that their range says how much depends on the split and the training, "
            "not what other people would receive.",
        ),
        (
            "Limits of the measures",
            "Rates do not ask who deserved what: labels may carry bias themselves, and a ratio of 1 does not make "
            "errors equal. The report has the gaps in error rates.",
        ),
        (
            "To be added by the auditor",
            "The date of the audit, the distribution date of the tool, and who is independent.",
        ),
    ]


def _undefined(audit: ImpactAudit) -> str:
    return (
        f"There are {len(audit.classes)} classes: selection rates are defined for two, of which one is being selected, "
        "so this page has no rates."
    )


def _people(audit: ImpactAudit) -> int:
    first = audit.shown[audit.shown["variant"] == audit.shown["variant"].iloc[0]]
    return int(first[first["attribute"] == first["attribute"].iloc[0]]["people"].sum())


def _findings(audit: ImpactAudit) -> list[str]:
    """What the page says of the leading models, attribute by attribute."""
    sentences = []
    for variant in audit.leading:
        shown = audit.shown[audit.shown["variant"] == variant]
        for row in rows_of(lowest(shown)):
            top = shown[(shown["attribute"] == row.attribute) & (shown["impact_ratio"] == 1)]["category"]
            rates = shown[(shown["attribute"] == row.attribute)].set_index("category")["selection_rate"]
            if top.empty or row.category == top.iloc[0]:
                continue
            verdict = "below" if row.below_four_fifths else "not below"
            sentences.append(
                f"{tables_impact.model_name(shown)}, by {row.attribute}: the lowest impact ratio is "
                f"{number(row.impact_ratio)} ({row.category}, {rates[row.category]:.1%} selected, beside "
                f"{top.iloc[0]}, {rates[top.iloc[0]]:.1%}), {verdict} four fifths; Fisher's exact test "
                f"{p_value(row.fisher_p, named=True)}."
            )
    small = audit.shown[audit.shown["small"] & (audit.shown["variant"] == audit.leading[0])]
    if len(small):
        named = enumerate_words([f"{row.category} ({row.people})" for row in rows_of(small)][:6])
        sentences.append(f"Under {SMALL:.0%} of the people are {named}{' and others' if len(small) > 6 else ''}.")
    if audit.alternatives is not None:
        sentences.append(_alternatives_in_words(audit))
    return [*sentences, NO_ADVICE]


def _notes(audit: ImpactAudit) -> list[str]:
    return [
        f"Who is {audit.selected} is selected. Intervals at {audit.level:.0%}: Wilson's of a rate, Katz's (delta "
        "method on the logarithm) of a ratio. Tests compare a category with the most selected one, two-sided.",
        "A score is the probability of being selected; the scoring rate is the share above the median of all people.",
    ]


def _tables(audit: ImpactAudit, variant: str) -> list[Table]:
    shown = audit.shown[audit.shown["variant"] == variant]
    return [*tables_impact.rates(shown), *tables_impact.scores(shown)]


def _apart(audit: ImpactAudit) -> list[PageSection]:
    if audit.scored_only is None or audit.scored_only.empty:
        return []
    table = tables_frontier.apart_table(
        audit.scored_only, audit.classes, " and ".join(audit.sensitive), level=audit.level
    )
    return [PageSection("apart", "Unknown and further categories", tables=[table])]


def _apart_in_words(audit: ImpactAudit) -> str:
    if audit.scored_only is None or audit.scored_only.empty:
        return ""
    people = enumerate_words([f"{row.group} ({row.rows:,})" for row in rows_of(audit.scored_only)])
    return f" The exported model scores these as well, and they are compared with nobody: {people}."


def _alternatives(audit: ImpactAudit) -> list[PageSection]:
    if audit.alternatives is None:
        return []
    alternatives = audit.alternatives[audit.alternatives["seed"] == audit.seed]
    note = (
        f"Models of the frontier with a higher impact ratio of the groups than the chosen one and at most "
        f"{_points(audit)} more error, both on the validation rows of the replicate, and none of them "
        "better in both. Beside it, what they come to on test."
    )
    return [
        PageSection(
            "alternatives",
            "Less discriminatory alternatives",
            [note, _alternatives_in_words(audit)],
            tables=[tables_impact.alternatives(alternatives)] if len(alternatives) > 1 else [],
        )
    ]


def _alternatives_in_words(audit: ImpactAudit) -> str:
    assert audit.alternatives is not None
    alternatives = audit.alternatives[(audit.alternatives["seed"] == audit.seed)]
    others = alternatives[~alternatives["is_chosen"].astype(bool)]
    if others.empty:
        return f"No model of the frontier has a higher impact ratio than the chosen one at {_points(audit)} more error."
    first, chosen = others.iloc[0], alternatives[alternatives["is_chosen"].astype(bool)].iloc[0]
    return (
        f"{len(others)} alternative{'s' if len(others) > 1 else ''} on the frontier, found on the validation rows. On "
        f"test the first comes to an impact ratio of {number(first['test_impact_ratio'])} (chosen: "
        f"{number(chosen['test_impact_ratio'])}) at an error of {first['test_err']:.2f}% ({chosen['test_err']:.2f}%); "
        f"{int(others['holds'].astype(bool).sum())} of {len(others)} have a higher ratio and no more than the allowed "
        "error there too."
    )


def _points(audit: ImpactAudit) -> str:
    return f"{audit.most_extra_error:g} point{'' if audit.most_extra_error == 1 else 's'}"
