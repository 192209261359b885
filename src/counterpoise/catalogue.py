"""Every method, one row each: its name, how it is drawn, and the function that runs it.

Pure data, on the ground floor: validation of names, the order in which methods run, reports, colours and titles read
these rows and name no method themselves. To add a method: a module in `methods/` with a function
`run(problem, settings, earlier) -> list[Result]` (`counterpoise.methods.repair`), and a row here; for a peer, the
function `fit(peer, setup) -> Decide` of `methods/peers/<name>.py`, and a row here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from counterpoise.errors import InputError, shown, suggest

Family = Literal["heads", "peers", "weights", "gates"]


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        name: in configuration, predictions and metrics.
        title: in tables and legends. phrase: within a sentence; the title by default.
        family: what it works on: `heads` and `peers` on frozen features, `weights` of whole networks, or `gates`, which
            leave weights out of a frozen network.
        run: `module:function`, below `counterpoise.methods`; of what only names a result, empty.
        colour: a name of `reporting._theme.PALETTE`. symbol: one of plotly's. Methods of one colour differ by symbol.
        paper: whose idea it is; None for peers and for what this project adds.
        needs_group: whether it asks for the group of everyone whom it classifies.
        binary: whether it is defined for two classes alone; like the next four said of peers.
        linear: whether it stands on logistic regression alone.
        constrained: whether it has a variant for demographic parity (dp) and one for equalised odds (eo).
        exact: whether it knows no tolerance: the gap is to be zero.
        needs_cells: whether it needs rows of every class in every group.
        penalised: whether it trains under a penalty of a strength, where a rule has a bound; said of a frontier's.
        control: not a method of any paper; run to show what the parts of other methods contribute.
        beside: the method that a control is compared with in words.
        base: the model before any repair.
        reference: the plain form of its family's idea, which others are compared with.
        mask: what the mask that it discovers is called in figures; the title by default.
        in_maps: whether a figure shows its accuracy by class and group.
        compact: whether its sub-network leaves as a small network; what is wholly pruned leaves so in any case.
        after: methods whose results it uses, which have to be run too.
        bank_title: of its whole grid, where `title` names one model of it.
    """

    name: str
    title: str
    family: Family
    run: str = ""
    phrase: str = ""
    colour: str = "neutral"
    symbol: str = "circle"
    paper: Literal["win", "altering", "ffw"] | None = None
    needs_group: bool = False
    binary: bool = False
    linear: bool = False
    constrained: bool = False
    exact: bool = False
    needs_cells: bool = False
    penalised: bool = False
    control: bool = False
    beside: str = ""
    base: bool = False
    reference: bool = False
    mask: str = ""
    in_maps: bool = False
    compact: bool = False
    after: tuple[str, ...] = ()
    bank_title: str = ""


# fmt: off
METHODS = (
    Method("pretrained", "Pretrained", "heads", phrase="the pretrained model", symbol="x", base=True),
    Method("tl", "TL (plain fine-tuning)", "heads", run="heads.finetuning:run", phrase="plain fine-tuning (TL)",
           colour="blue", bank_title="TL heads"),
    Method("svd", "f+SVD", "heads", run="heads.finetuning:run", colour="orange", bank_title="f+SVD heads"),
    Method("win", "WIN", "heads", run="heads.finetuning:run", colour="green", paper="win", bank_title="WIN heads"),
    Method("retrain", "Retrain (whole network)", "heads", run="heads.retraining:run",
           phrase="retraining the whole network", colour="vermillion"),
    Method("unrepaired", "Unrepaired base", "heads", run="frontier:run", phrase="the unrepaired base",
           symbol="x"),
    Method("leaves", "Refitted leaves", "heads", run="frontier:run", phrase="refitted leaves", colour="green",
           penalised=True),
    Method("heads", "Penalised heads", "heads", run="frontier:run", phrase="penalised heads", colour="blue",
           penalised=True),
    Method("bias_scores", "Bias scores", "heads", run="frontier:run", phrase="rules in bias scores", colour="orange"),
    Method("constant", "Constant (majority class)", "heads", phrase="the constant predictor",
           symbol="line-ew-open", control=True),
    Method("chosen", "Ours, chosen", "heads", phrase="our choice on the frontier", colour="vermillion", symbol="star",
           bank_title="All our models"),
    Method("chosen_leaves", "Ours, refitted leaves", "heads", phrase="our choice among refitted leaves", colour="green",
           symbol="star"),
    Method("chosen_heads", "Ours, penalised heads", "heads", phrase="our choice among penalised heads", colour="blue",
           symbol="star"),
    Method("chosen_bias_scores", "Ours, bias scores", "heads", phrase="our choice among rules in bias scores",
           colour="orange", symbol="star"),
    Method("plain", "Plain", "peers", run="peers.run:run", phrase="a plain classifier", symbol="square"),
    Method("reweighing", "Reweighing", "peers", run="peers.run:run", phrase="reweighing", colour="sky",
           symbol="triangle-down"),
    Method("leace", "LEACE", "peers", run="peers.run:run", colour="sky", symbol="triangle-up", linear=True),
    Method("balanced_refit", "Group-balanced refit", "peers", run="peers.run:run",
           phrase="a refit on group-balanced rows", colour="sky", symbol="square", binary=True,
           linear=True, needs_cells=True),
    Method("hsic", "HSIC penalty", "peers", run="peers.run:run", phrase="an HSIC penalty", colour="purple",
           symbol="triangle-up", binary=True, linear=True, constrained=True),
    Method("exponentiated_gradient", "ExponentiatedGradient", "peers", run="peers.run:run", colour="purple",
           symbol="square", binary=True, constrained=True),
    Method("linear_postprocessing", "Linear post-processing", "peers", run="peers.run:run",
           phrase="linear post-processing", colour="purple", symbol="diamond", binary=True,
           constrained=True, needs_cells=True),
    Method("threshold_optimizer", "ThresholdOptimizer", "peers", run="peers.run:run", colour="sky",
           symbol="diamond", needs_group=True, binary=True, constrained=True, exact=True, needs_cells=True),
    Method("error_parity", "Error parity", "peers", run="peers.run:run", phrase="error-parity post-processing",
           colour="sky", symbol="cross", needs_group=True, binary=True, constrained=True, needs_cells=True),
    Method("baseline", "Baseline", "weights", run="weights.baseline:baseline", phrase="the baseline", symbol="x",
           base=True),
    Method("threshold", "Baseline + Φ threshold", "weights", run="weights.baseline:threshold",
           phrase="the baseline with a Φ threshold", symbol="cross", control=True),
    Method("uniform_confusion", "Uniform confusion", "weights", run="weights.uniform_confusion:uniform_confusion",
           phrase="uniform confusion", colour="purple"),
    Method("adversarial_debiasing", "Adversarial debiasing", "weights",
           run="weights.adversarial_debiasing:adversarial_debiasing", phrase="adversarial debiasing", colour="purple",
           symbol="square"),
    Method("domain_discriminative", "Domain-discriminative", "weights", run="weights.domains:domain_discriminative",
           phrase="domain-discriminative training", colour="purple", symbol="triangle-up"),
    Method("domain_independent", "Domain-independent", "weights", run="weights.domains:domain_independent",
           phrase="domain-independent training", colour="purple", symbol="diamond"),
    Method("reject_option", "Reject option", "weights", run="weights.postprocessing:reject_option",
           phrase="the reject option", colour="sky", needs_group=True),
    Method("equalized_odds_postprocessing", "Equalized odds", "weights", run="weights.postprocessing:equalized_odds",
           phrase="equalized odds post-processing", colour="sky", symbol="square", needs_group=True),
    Method("calibrated_equalized_odds", "Calibrated equalized odds", "weights",
           run="weights.postprocessing:calibrated_equalized_odds", phrase="calibrated equalized odds", colour="sky",
           symbol="triangle-up", needs_group=True),
    Method("random_perturbation", "Random perturbation", "weights", run="weights.perturbation:random_perturbation",
           phrase="random perturbation", colour="orange"),
    Method("layerwise_optimization", "Layer-wise optimization", "weights",
           run="weights.layerwise:layerwise_optimization", phrase="layer-wise optimization", colour="orange",
           symbol="square"),
    Method("adversarial_finetuning", "AdvFt", "weights", run="weights.finetuning:adversarial_finetuning",
           colour="orange", symbol="diamond"),
    Method("adversarial_finetuning_exact", "AdvFt, exact critic", "weights",
           run="weights.finetuning:exact_finetuning", phrase="AdvFt with an exact critic",
           colour="orange", symbol="diamond-open"),
    Method("mask_only", "Mask only", "weights", run="weights.discovery:mask_only", phrase="the mask alone",
           mask="the mask", colour="green", paper="altering", control=True),
    Method("mask_only_paper", "Mask only, the paper's reading", "weights", run="weights.discovery:mask_only_paper",
           phrase="the mask alone, in the paper's reading,", mask="the paper's reading",
           colour="green", symbol="circle-open", paper="altering"),
    Method("prune_adversarial_finetuning", "Prune + AdvFt", "weights", run="weights.finetuning:pruned_finetuning",
           colour="green", symbol="diamond", paper="altering", after=("mask_only",), reference=True),
    Method("noise_graft", "Noise graft", "weights", run="weights.grafting:noise_grafting", phrase="the noise graft",
           colour="blue", symbol="triangle-down", paper="altering", after=("mask_only",)),
    Method("internal_graft", "Internal graft", "weights", run="weights.grafting:internal_grafting",
           phrase="the internal graft", colour="blue", symbol="triangle-up", paper="altering", after=("mask_only",)),
    Method("external_graft", "External graft", "weights", run="weights.grafting:external_grafting",
           mask="a second discovery",
           phrase="the external graft", colour="blue", symbol="square", paper="altering", after=("mask_only",)),
    Method("netaug", "NetAug", "weights", run="weights.netaug:network_augmentation", colour="blue", symbol="star",
           paper="altering", after=("mask_only",)),
    Method("random_mask", "Random mask + AdvFt", "weights", run="weights.finetuning:random_finetuning",
           phrase="a random mask + AdvFt", colour="vermillion", control=True, after=("mask_only",),
           beside="prune_adversarial_finetuning"),
    Method("direct_penalty", "Direct penalty, no pruning", "weights", run="weights.finetuning:direct_penalty",
           phrase="a direct penalty without pruning", colour="vermillion", symbol="diamond", control=True,
           beside="prune_adversarial_finetuning"),
    Method("teacher_pruning", "Teacher pruning", "weights", phrase="teacher pruning", colour="yellow",
           paper="altering"),
    Method("prune_guided_by_adversarial_finetuning", "Pruned, guided by AdvFt", "weights",
           run="weights.discovery:teacher_pruning", phrase="pruning guided by AdvFt", colour="yellow",
           symbol="diamond", paper="altering", after=("prune_adversarial_finetuning",)),
    Method("prune_guided_by_external_graft", "Pruned, guided by external graft", "weights",
           run="weights.discovery:teacher_pruning", phrase="pruning guided by the external graft", colour="yellow",
           symbol="square", paper="altering", after=("external_graft",)),
    Method("prune_guided_by_netaug", "Pruned, guided by NetAug", "weights", run="weights.discovery:teacher_pruning",
           phrase="pruning guided by NetAug", colour="yellow", symbol="star", paper="altering", after=("netaug",)),
    Method("vanilla", "Vanilla", "gates", run="gates.vanilla:vanilla", phrase="the vanilla network", symbol="x",
           base=True, in_maps=True),
    Method("ffw", "FFW", "gates", run="gates.extraction:extract", colour="vermillion", paper="ffw",
           reference=True, in_maps=True, compact=True),
    Method("ffw_strong", "FFW, strong γ", "gates", run="gates.extraction:extract", phrase="FFW with a strong γ",
           colour="orange", symbol="diamond"),
    Method("ffw_best_reader", "FFW, against the best reader", "gates", run="gates.extraction:extract",
           phrase="FFW against the best reader", colour="purple", symbol="square"),
    Method("ffw_structured", "FFW, structured", "gates", run="gates.extraction:extract", phrase="structured FFW",
           colour="sky", symbol="triangle-down", in_maps=True, compact=True),
    Method("ffw_without_information", "FFW, γ = 0", "gates", run="gates.extraction:extract", phrase="FFW with γ = 0",
           colour="yellow", symbol="cross"),
    Method("magnitude_mask", "Magnitude mask", "gates", run="gates.extraction:magnitude_gates",
           phrase="a magnitude mask", symbol="square", control=True, after=("ffw",)),
    Method("chance_mask", "Random mask", "gates", run="gates.extraction:random_gates", phrase="a random mask",
           symbol="diamond", control=True, after=("ffw",)),
    Method("refit", "Last layer refitted", "gates", run="gates.lastlayer:refit", phrase="a refitted last layer",
           colour="blue", symbol="square", in_maps=True),
    Method("svd", "f+SVD", "gates", run="gates.lastlayer:refit", colour="orange", bank_title="f+SVD heads"),
    Method("win", "WIN", "gates", run="gates.lastlayer:refit", colour="green", paper="win", bank_title="WIN heads"),
    Method("leace", "LEACE", "gates", run="gates.lastlayer:erased", colour="sky", symbol="triangle-up"),
    Method("bank", "Chosen from the bank", "gates", run="gates.lastlayer:bank",
           phrase="the last layer chosen from the bank", colour="green", symbol="star"),
)
# fmt: on
"""In the order in which tables list them and stages run them, but for what comes `after` others. A method that works on
heads and on gated networks alike has two rows."""

CHOSEN = "chosen"
"""What is chosen on a frontier among all models of ours."""
UNREPAIRED = "unrepaired"
CONSTANT = "constant"
"""What a choice is read beside: its base as it was trained, and the majority class for everyone."""
THRESHOLD = "threshold"
"""What repairs of whole networks are read beside: the baseline with nothing but its threshold moved. If that is
enough, no weights need to be repaired."""

BY_NAME: dict[str, Method] = {method.name: method for method in reversed(METHODS)}
"""The row that says how a method is shown: of two with one name the first."""

BASES: dict[Family, str] = {method.family: method.name for method in METHODS if method.base}
REFERENCES: dict[Family, str] = {method.family: method.name for method in METHODS if method.reference}
"""By family: what it starts from, and the plain form of its idea."""

PAPERS: dict[Family, str] = {method.family: method.paper for method in reversed(METHODS) if method.paper}
"""The paper whose idea a family is about."""

FACTORED = frozenset({"svd", "win"})
"""Methods that begin with the factors of a weighted SVD of the head: what its algebra implies is about the two."""


def methods_of(*families: Family) -> dict[str, Method]:
    """Return the methods of some families that can be run, by name."""
    return {method.name: method for method in METHODS if method.family in families and method.run}


def run_by(function: str) -> tuple[str, ...]:
    """Return the names of the methods that one function runs."""
    return tuple(dict.fromkeys(method.name for method in METHODS if method.run == function))


def require_names(names: Sequence[str], methods: Collection[str]) -> None:
    """Raise InputError unless the names are among those of methods, each once."""
    for name in names:
        if name not in methods:
            raise InputError(f"methods has {shown(name)}{suggest(name, methods)}")
        if names.count(name) > 1:
            raise InputError(f"method {name} is given more than once")


def in_order(names: Iterable[str], *families: Family) -> list[Method]:
    """Return methods of some families in the order in which they run: each after those whose results it uses.

    Args:
        names: known ones; those that a method comes after are among them.
    """
    wanted = set(names)
    waiting = [method for name, method in methods_of(*families).items() if name in wanted]
    ordered: dict[str, Method] = {}
    while waiting:
        ready = next(method for method in waiting if ordered.keys() >= set(method.after))
        ordered[ready.name] = ready
        waiting.remove(ready)
    return list(ordered.values())
