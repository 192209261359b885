"""A small experiment with the shape of a real one: six variants, ten seeds, numbers of the size that Adult gives."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from counterpoise.reporting import ReportContext, Section, build, claims, figures, tables
from counterpoise.reporting.sections.heads import fisher_diagonal

SEEDS = 10
GROUPS = ("Female", "Male")
CLASSES = ("<=50K", ">50K")
VARIANTS = {
    "pretrained": ("pretrained", None, None),
    "tl": ("tl", None, None),
    "svd_r1": ("svd", None, 1),
    "svd_r2": ("svd", None, 2),
    "win_r1_a0.5": ("win", 0.5, 1),
    "win_r2_a0.5": ("win", 0.5, 2),
}
# (mean, deviation shared by the variants of a seed, deviation of the variant)
SCALES = {
    "err": (15.6, 0.5, 0.05),
    "delta_eo": (0.19, 0.03, 0.004),
    "delta_dp": (0.18, 0.02, 0.003),
    "auc": (0.9, 0.01, 0.001),
}
PUBLISHED = [
    {"variant": "pretrained", "paper": "win", "table": "T3", "method": "pretrained"},
    {"variant": "win_r2_a0.5", "paper": "win", "table": "T3", "method": "win"},
]
CLAIMS = [
    {
        "claim": f"WIN has a lower {symbol} than {other} (Section 4.2)",
        "metric": metric,
        "left": {"method": "win", "rank": 2},
        "right": {"method": method, **rank},
        "claimed": "lower",
    }
    for other, method, rank in (
        ("TL", "tl", {}),
        ("f+SVD", "svd", {"rank": 2}),
        ("the pretrained model", "pretrained", {}),
    )
    for metric, symbol in (("err", "error"), ("delta_eo", "ΔEO"), ("delta_dp", "ΔDP"))
]


REPAIRS = {  # variant: (method, balanced accuracy, AOD, epoch kept, critic's ratio, needs the group)
    "baseline": ("baseline", 0.80, -0.19, None, None, False),
    "threshold": ("threshold", 0.60, 0.02, None, None, False),
    "reject_option": ("reject_option", 0.81, 0.03, None, None, True),
    "adversarial_finetuning": ("adversarial_finetuning", 0.63, 0.04, 30, 0.98, False),
    "adversarial_finetuning_last": ("adversarial_finetuning", 0.66, 0.09, 90, 0.98, False),
    "mask_only": ("mask_only", 0.78, -0.02, 9, None, False),
    "netaug": ("netaug", 0.79, 0.03, 0, None, False),
    "netaug_last": ("netaug", 0.77, -0.04, 90, None, False),
    "random_mask": ("random_mask", 0.59, 0.02, 12, 0.30, False),
}


@dataclass(frozen=True)
class Repaired:
    """The frames of an experiment on repairs, for two parts of equal numbers but for a shift."""

    metrics: pd.DataFrame
    repairs: pd.DataFrame
    curves: pd.DataFrame
    layers: pd.DataFrame
    agreement: pd.DataFrame
    objectives: dict[str, dict[str, Any]]


VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """What the tests ask of a page: balanced tags, attributes, text outside scripts, and the scripts themselves."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def long_frame(values: dict[str, dict[str, list[float]]], split: str = "test") -> pd.DataFrame:
    """{variant: {metric: value of each seed}} as the long frame of a run."""
    rows = [
        (*_described(variant), seed, split, metric, value)
        for variant, by_metric in values.items()
        for metric, series in by_metric.items()
        for seed, value in enumerate(series)
    ]
    columns = ["method", "variant", "alpha", "rank", "constraint", "strength", "seed", "split", "metric", "value"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype({"alpha": "Float64", "rank": "Int64", "constraint": "string", "strength": "Float64"})


def _described(variant: str) -> tuple[Any, ...]:
    method, alpha, rank = VARIANTS[variant]
    return method, variant, alpha, rank, None, None


@pytest.fixture(scope="session")
def read_page() -> type[Page]:
    return Page


@pytest.fixture(scope="session")
def built(context: ReportContext) -> tuple[str, dict[str, Any]]:
    """The report of `context`: its page and its document."""
    return build(context)


@pytest.fixture(scope="session")
def page(built: tuple[str, dict[str, Any]], read_page: Any) -> Any:
    return read_page(built[0])


@pytest.fixture
def make_metrics() -> Any:
    return long_frame


@pytest.fixture(scope="session")
def metrics() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    shared = {metric: rng.normal(0, scale[1], SEEDS) for metric, scale in SCALES.items()}
    values = {
        variant: {
            metric: list(
                mean + shared[metric] + rng.normal(0, own, SEEDS) + (mean * 0.03 if variant == "pretrained" else 0)
            )
            for metric, (mean, _, own) in SCALES.items()
        }
        for variant in VARIANTS
    }
    return pd.concat([long_frame(values), long_frame(values, split="validation")], ignore_index=True)


@pytest.fixture(scope="session")
def history() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = []
    for variant, (method, *_) in VARIANTS.items():
        if method == "pretrained":
            continue
        for seed in range(3):
            error = 15.5 + np.exp(-np.arange(1, 21) / 4) + rng.normal(0, 0.05, 20)
            chosen = int(error.argmin())
            rows += [
                (method, variant, seed, epoch + 1, 0.3 + np.exp(-epoch / 3) / 10, error[epoch], epoch == chosen)
                for epoch in range(20)
            ]
    return pd.DataFrame(rows, columns=["method", "variant", "seed", "epoch", "loss", "validation_err", "chosen"])


@pytest.fixture(scope="session")
def fisher() -> np.ndarray:
    return np.random.default_rng(2).lognormal(-6, 1.5, size=(SEEDS, 2, 20, 2))


@pytest.fixture(scope="session")
def predictions() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    parts = []
    for variant in ("tl", "win_r2_a0.5"):
        for seed in range(3):
            y, s = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
            prediction = np.where(rng.random(400) < 0.85, y, 1 - y)
            part = pd.DataFrame({"y": y, "s": s, "prediction": prediction}).assign(seed=seed, split="test")
            parts.append(part.assign(method=VARIANTS[variant][0], variant=variant))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="session")
def context(
    metrics: pd.DataFrame, history: pd.DataFrame, fisher: np.ndarray, predictions: pd.DataFrame
) -> ReportContext:
    summary = tables.summary(metrics, PUBLISHED)
    verdicts = claims.evaluate(metrics, CLAIMS)
    floor = {variant: {"delta_eo": 0.033, "delta_dp": 0.007} for variant in VARIANTS}
    counts = [("pretrain", 16276), ("train", 8000), ("validation", 3250), ("test", 6710)]
    splits = [
        (split, group, label, int(rows * (0.3, 0.7)[group] * (0.76, 0.24)[label]))
        for split, rows in counts
        for group in range(2)
        for label in range(2)
    ]
    return ReportContext(
        experiment="win_adult",
        title="Does weight importance neutralization make fine-tuning fairer on Adult?",
        dataset="Adult (45,222 complete rows)",
        summary=summary,
        claims=verdicts,
        claim_specs=CLAIMS,
        sections=[
            Section("performance", figures.performance(metrics, summary, noise_floor=floor)),
            Section("paired-differences", figures.paired_differences(verdicts)),
            Section("fisher-diagonal", fisher_diagonal(fisher, GROUPS, CLASSES)),
            Section("learning-curves", figures.learning_curves(history)),
        ],
        splits=pd.DataFrame(splits, columns=["split", "group", "label", "rows"]),
        settings={
            "finetune": {"optimizer": "adam", "lr": 0.001, "epochs": 20},
            "win": {"alpha": [0.5], "ranks": [1, 2]},
        },
        noise_floor=floor,
        lineage={
            "git_commit": "0123abc",
            "data_digest": "sha256:9f86d081884c7d65",
            "environment": "Linux, 2 cores, CPU",
            "seeds": list(range(SEEDS)),
            "command": "kedro run --pipelines=win_adult",
            "versions": {"torch": "2.15.0", "kedro": "1.7.0"},
        },
        group_names=GROUPS,
        class_names=CLASSES,
        sensitive="sex",
        target="income",
        notes=["The columns fnlwgt and sex are no inputs."],
        group_rates=tables.group_rates(predictions, classes=2),
    )


@pytest.fixture(scope="session")
def repaired() -> Repaired:
    return repaired_frames({"sex": 0.0, "race": 0.01}, seeds=4)


@pytest.fixture(scope="session")
def make_repaired() -> Any:
    return repaired_frames


def repaired_frames(parts: dict[str, float], *, seeds: int, repairs: dict[str, tuple[Any, ...]] = REPAIRS) -> Repaired:
    """Frames whose seeds lie evenly around the means given in `repairs`; `parts`: name → what is added to all of them.

    The bias is 0.0012 larger in size for each seed from the second on, so that means are known by hand.
    """
    measured, chosen, curves, layers, agreement = [], [], [], [], []
    for part, shift in parts.items():
        metric = "spd" if part == "race" else "aod"
        for name, (method, performance, bias, epoch, ratio, group) in repairs.items():
            variant = f"{part}/{name}" if part else name
            last = epoch == 90
            for seed in range(seeds):
                reached = performance + shift + 0.002 * (seed - (seeds - 1) / 2)
                gap = bias + np.sign(bias) * (shift + 0.0012 * seed)
                for split, values in (
                    ("test", {"balanced_accuracy": reached, "accuracy": reached + 0.05, metric: gap}),
                    ("validation", {"balanced_accuracy": 0.1, "accuracy": 0.1, metric: 0.5}),
                ):
                    measured += [(method, variant, seed, split, key, value, part) for key, value in values.items()]
                within = abs(gap) < 0.03
                kept = pd.NA if epoch is None else epoch if last else epoch + seed
                chosen.append(
                    {
                        "method": method,
                        "variant": variant,
                        "seed": seed,
                        "threshold": 0.3 + seed / 10,
                        "epoch": kept,
                        "epochs": pd.NA if epoch is None else 90,
                        "phi": reached if within else 0.0,
                        "performance": reached,
                        "bias": gap,
                        "chosen_on": 900,
                        "needs_group": group,
                        "part": part,
                        "pruned": 0.07 if name == "mask_only" else np.nan,
                        "critic_ratio": ratio or np.nan,
                    }
                )
                if epoch is not None and not last:
                    for at in range(0, 91, 10):
                        figures_at = {"judgement": 0.5 + at / 1000, "bias": -0.1 + at / 1000, "performance": 0.6}
                        figures_at |= {"loss": 1 / (1 + at), **({"critic_ratio": 1 - at / 1000} if ratio else {})}
                        curves += [(variant, seed, at, key, value, part) for key, value in figures_at.items()]
        for mask, share in (("mask_only", 0.1), ("random_mask", 0.2)):
            layers += [
                (mask, f"layers.{place}", place, seed, share + place / 100 + seed / 1000, part)
                for place in range(3)
                for seed in range(seeds)
            ]
            agreement += [
                (mask, left, right, 0.5 + left / 10 + right / 100, 0.04, part)
                for left in range(seeds)
                for right in range(left + 1, seeds)
            ]
    keys = ["method", "variant", "seed", "split", "metric", "value", "part"]
    return Repaired(
        metrics=pd.DataFrame(measured, columns=keys),
        repairs=pd.DataFrame(chosen).astype({"epoch": "Int64", "epochs": "Int64"}),
        curves=pd.DataFrame(curves, columns=["variant", "seed", "epoch", "figure", "value", "part"]),
        layers=pd.DataFrame(layers, columns=["mask", "layer", "position", "seed", "pruned", "part"]),
        agreement=pd.DataFrame(agreement, columns=["mask", "left", "right", "iou", "chance", "part"]),
        objectives={
            part: {
                "bias": "spd" if part == "race" else "aod",
                "performance": "balanced_accuracy",
                "tolerance": 0.05,
                "margin": 0.02,
            }
            for part in parts
        },
    )


@pytest.fixture(scope="session")
def make_frontier() -> Any:
    return frontier_frames


def frontier_frames(*, seeds: int, heads: tuple[str, ...] = ("tl", "svd", "win")) -> SimpleNamespace:
    """Frames in which each method has two heads, and chooses the one that is fairer and has the higher error."""
    rng = np.random.default_rng(4)
    grid, chosen, areas = [], [], []
    for place, method in enumerate(heads):
        for seed in range(seeds):
            for head, err, gap in (("a", 15.0 + place, 0.2), ("b", 16.0 + place, 0.1)):
                values = {"err": err + rng.normal(0, 0.1), "delta_eo": gap + rng.normal(0, 0.01)}
                grid += [(method, f"{method}_{head}", seed, "test", key, value, 0.25) for key, value in values.items()]
            chosen.append((seed, f"chosen_{method}", f"{method}_b", values["err"], values["delta_eo"]))
            areas.append((method, seed, "delta_eo", 1.0 + place + rng.normal(0, 0.1)))
    picks = pd.DataFrame(chosen, columns=["seed", "method", "variant", "err", "delta_eo"])
    names = {"method": "family", "err": "test_err", "delta_eo": "test_bias"}
    limits = {"criterion": "delta_eo", "tolerance": 0.1, "meets": True, "needs_group": False}
    columns = ["method", "variant", "seed", "split", "metric", "value", "strength"]
    return SimpleNamespace(
        grid=pd.DataFrame(grid, columns=columns),
        chosen=picks,
        selection=picks.rename(columns=names).assign(**limits),
        areas=pd.DataFrame(areas, columns=["method", "seed", "bias", "hypervolume"]),
    )


@pytest.fixture(scope="session")
def make_biased() -> Any:
    return biased_frames


def biased_frames(*, seeds: int, methods: tuple[str, ...] = ("vanilla", "ffw", "refit")) -> SimpleNamespace:
    """Frames of sub-networks, of which the first method has no gates."""
    rng, figures = np.random.default_rng(5), ("accuracy", "sparsity", "information", "temperature")
    measured, found, curves, layers, said = [], [], [], [], []
    for place, method in enumerate(methods):
        for seed in range(seeds):
            accuracy, gates = 0.6 + 0.1 * place + rng.normal(0, 0.01), place > 0
            measured.append((method, method, seed, "test", "accuracy", accuracy))
            epoch, sparsity = (7, 0.4) if gates else (pd.NA, np.nan)
            left = {"information": 0.5, "leakage": 0.4, "conflicting_accuracy": accuracy, "unbiased_average": accuracy}
            found.append((method, method, seed, epoch, 11 if gates else pd.NA, sparsity, *left.values()))
            if gates:
                curves += [(method, seed, at, figure, at / 10) for at in range(1, 11) for figure in figures]
                layers += [(method, f"conv{at}", at, seed, 0.1 * at) for at in range(3)]
            said += [(method, method, seed, y, s, rng.integers(2)) for y in range(2) for s in range(2)]
    left_of_bias = ("information", "leakage", "conflicting_accuracy", "unbiased_average")
    keys = ["method", "variant", "seed"]
    return SimpleNamespace(
        metrics=pd.DataFrame(measured, columns=[*keys, "split", "metric", "value"]),
        repairs=pd.DataFrame(found, columns=[*keys, "epoch", "epochs", "sparsity", *left_of_bias]).astype(
            {"epoch": "Int64", "epochs": "Int64"}
        ),
        curves=pd.DataFrame(curves, columns=["variant", "seed", "epoch", "figure", "value"]),
        layers=pd.DataFrame(layers, columns=["mask", "layer", "position", "seed", "pruned"]),
        predictions=pd.DataFrame(said, columns=[*keys, "y", "s", "prediction"]),
    )
