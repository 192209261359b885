"""Gates learnt on unbiased rows: keep the task, close what carries the bias (FFW; METHODS.md part 3, 3 to 5).

Everything is frozen, batch norm included; what is learned is one number per gate. The loss is α CE(y) + γ I(b, b̂); its
gradient is taken with respect to the gates alone, while the head that makes b̂ follows on its own, by steps on each
batch and a fit to its plateau before every epoch.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterpoise.bounds import Bounded, Count, NotNegative, Positive
from counterpoise.methods.gates.biases import biases_of
from counterpoise.methods.gates.heads import BiasHeads, HeadSettings, held_out_information
from counterpoise.methods.gates.information import readable_share
from counterpoise.methods.gates.schedules import Geometric, Stalling, StraightThrough
from counterpoise.methods.outputs import decisions, task_loss
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import under
from counterpoise.methods.tuning import features_of
from counterpoise.nn.epochs import Figures
from counterpoise.nn.gates import activation_sizes, forward, gate, gated_channels
from counterpoise.nn.networks import Networks, Output, State, evaluate, require_maskable
from counterpoise.nn.optimizers import Optimizer
from counterpoise.nn.threads import FORWARD_AND_BACKWARD

LOG = logging.getLogger(__name__)

Gates = dict[str, Float[Tensor, "R ..."]]
"""By name: of weights, their own shape; of the channels after activation i, `CHANNELS` + i, [R, C]."""

CHANNELS = "channels"

Granularity = Literal["weights", "channels", "kernels"]
"""What one gate opens or closes; see `GateSettings`."""

CONVOLUTION = 5
"""Axes of the stacked weights of a convolution, [R, out, in, height, width]."""


@dataclass(frozen=True)
class GateSettings(Bounded):
    """How gates are learnt; defaults are METHODS.md's `cpu`, unstructured.

    Attributes:
        granularity: `weights`: one gate per weight of linear and convolutional layers. `channels`: one per channel
            after each activation and, of the last layer, one per weight: it has few, and closing them costs no
            structure. `kernels`: these, one per kernel of every convolution (what one channel is told by another), and
            of the first convolution, which has few as well and decides what of a colour gets in, one per weight.
        reader: what γ is the price of: I of the head that is trained beside the gates, or the share of the bias that
            the best linear reader of a batch explains, which asks for batches of far more rows than features.
        task_weight, gamma: of the task's loss (the paper's α) and of what is said of the bias (γ).
        lr, schedule, weight_decay: of Adam on the gates.
        temperature: the schedule of τ.
        initial: the gates at the start; 0 is fully open, and one step away from closed.
        head_rows: of the rows that gates are learnt on, how many the head is fitted to before every epoch.
        head: how it is fitted. judge: of the heads that the finished sub-network is judged by.
    """

    block: ClassVar[str] = "gates"
    granularity: Granularity = "weights"
    reader: Literal["head", "best"] = "head"
    task_weight: NotNegative = 1.0
    gamma: NotNegative = 1.0
    lr: Positive = 0.03
    schedule: Literal["constant", "cosine"] = "constant"
    weight_decay: NotNegative = 0.0
    batch_size: Count = 100
    temperature: Stalling | Geometric | StraightThrough = field(default_factory=Geometric)
    initial: NotNegative = 0.0
    head_rows: Count = 3000
    head: HeadSettings = field(default_factory=HeadSettings)
    judge: HeadSettings = field(default_factory=HeadSettings)


class GateTraining:
    """The gates of a frozen network; see `nn.epochs.Trainee`. Its outcome are the open gates, bool, `Gates` by name."""

    def __init__(self, problem: Problem, settings: GateSettings, *, steps: int) -> None:
        self.problem, self.settings = problem, settings
        self.network = problem.network().eval()
        require_maskable(self.network)
        self.weights = self.network.weights()
        shapes = gate_shapes(problem, self.network, settings.granularity)
        device = self.network.device
        self.m = {
            name: torch.full(shape, settings.initial, device=device).requires_grad_() for name, shape in shapes.items()
        }
        optimizer = Optimizer(
            lr=settings.lr, weight_decay=settings.weight_decay, schedule=settings.schedule, fused=True
        )
        self.move = optimizer.build(self.m.values(), steps)
        features = features_of(self.network, problem.examples, problem.pretrain)
        if settings.reader == "best" and settings.batch_size <= features:
            LOG.warning(
                "gates: the best reader of a batch of %d rows with %d features can read any bias, whatever gates are "
                "closed; batch_size should be well above the number of features",
                settings.batch_size,
                features,
            )
        self.heads = BiasHeads(len(problem.seeds), features, problem.values, settings.head, device)
        self.temperature, self.lowest, self.stalled = settings.temperature.start, torch.inf, 0
        self.operations = FORWARD_AND_BACKWARD * settings.batch_size * max(w.numel() for w in self.weights.values())
        self.head_rows = problem.fit[:, : settings.head_rows]

    def begin_epoch(self, epoch: int) -> None:
        """Fit the head to what the gates let through now."""
        if self.settings.reader == "head" and self.settings.gamma:
            with torch.no_grad():
                z = self.evaluate(self.head_rows, hard=self.settings.temperature.hard).features
            self.heads.fit(z.to(self.network.device), biases_of(self.problem, self.head_rows).to(self.network.device))

    def step(self, x: Tensor, y: Int[Tensor, "R B"], s: Int[Tensor, "R B"], rows: Int[Tensor, "R B"]) -> Figures:
        opened = self.opened(hard=self.settings.temperature.hard)
        output = self.forward(x, opened)
        biases = biases_of(self.problem, rows).to(x.device)
        value = self.settings.task_weight * task_loss(output.logits, y)
        price = torch.zeros_like(value)
        if self.settings.gamma:
            price = self.information(output.features, biases)
            value = value + self.settings.gamma * price
        for m, gradient in zip(self.m.values(), torch.autograd.grad(value.sum(), list(self.m.values())), strict=True):
            assert m.grad is not None
            m.grad.copy_(gradient)
        self.move()
        if self.settings.gamma and self.settings.reader == "head":
            self.heads.step(output.features, biases)
        return {"loss": value.detach(), "information_in_training": price.detach()}

    def information(self, z: Float[Tensor, "R B d"], biases: Int[Tensor, "K R B"]) -> Float[Tensor, "R"]:
        """Return how much the features say about the biases, as a mean over them; gradients reach z."""
        if self.settings.reader == "head":
            return self.heads.information(z, biases)
        each = [readable_share(z, b, count) for b, count in zip(biases, self.problem.values, strict=True)]
        return torch.stack(each).mean(dim=0)

    def opened(self, *, hard: bool) -> Gates:
        """Return how far each gate is open."""
        return {name: gate(m, self.temperature, hard=hard) for name, m in self.m.items()}

    def forward(self, x: Tensor, opened: Gates) -> Output:
        return gated_forward(self.network, self.weights, x, opened)

    @torch.no_grad()
    def evaluate(self, rows: Int[Tensor, "R n"], *, hard: bool = True) -> Output:
        """Return what the gated networks say of rows, on the CPU."""
        return evaluate_gated(self.problem, self.network, rows, self.opened(hard=hard))

    @torch.no_grad()
    def judge(self) -> Figures:
        """Return the figures of the hard gates on the validation rows, and let the temperature follow them."""
        output = self.evaluate(self.problem.select)
        y, _ = self.problem.labels(self.problem.select)
        loss = task_loss(output.logits, y)
        with torch.enable_grad():
            information = held_out_information(self.problem, output.features, self.problem.select, self.settings.head)
        accuracy = (decisions(output.logits) == y).double().mean(dim=1)
        judgement = -(self.settings.task_weight * loss + self.settings.gamma * information)
        figures = {
            "judgement": judgement,
            "validation_loss": loss,
            "information": information,
            "accuracy": accuracy,
            "sparsity": closed_share(self.outcome()),
            "temperature": torch.full_like(loss, self.temperature),
        }
        if not self.settings.temperature.hard:
            soft = decisions(self.evaluate(self.problem.select, hard=False).logits)
            figures["soft_accuracy"] = (soft == y).double().mean(dim=1)
        self._follow(float(information.mean()))
        return figures

    def _follow(self, information: float) -> None:
        if information < self.lowest * (1 - PROGRESS):
            self.lowest, self.stalled = information, 0
        else:
            self.stalled += 1
        temperature = self.settings.temperature.after(self.temperature, self.stalled)
        if temperature < self.temperature:
            self.lowest, self.stalled = torch.inf, 0
        self.temperature = temperature

    def ended(self) -> bool:
        """Whether the temperature says that it is enough."""
        return self.settings.temperature.ended(self.temperature)

    def outcome(self) -> State:
        return {name: m.detach() >= 0 for name, m in self.m.items()}

    def state(self) -> State:
        state = {f"m.{name}": m.detach().clone() for name, m in self.m.items()} | self.heads.state()
        state |= {f"optimizer.{name}": tensor for name, tensor in self.move.state().items()}
        return state | {"schedule": torch.tensor([self.temperature, self.lowest, self.stalled], dtype=torch.float64)}

    def load(self, state: State) -> None:
        with torch.no_grad():
            for name, value in under("m", state).items():
                self.m[name].copy_(value)
        self.heads.load(state)
        self.move.load(under("optimizer", state))
        self.temperature, self.lowest, stalled = state["schedule"].tolist()
        self.stalled = int(stalled)


PROGRESS = 0.05
"""By how much, relatively, the information must fall to count as falling (METHODS.md part 3, 5)."""


def gate_shapes(problem: Problem, network: Networks, granularity: Granularity) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a network's gates by name; those of kernels broadcast over the weights."""
    weights = {name: tuple(weight.shape) for name, weight in network.weights().items()}
    if granularity == "weights":
        return weights
    x, _, _ = problem.examples.take(problem.pretrain[:, :1])
    sizes = activation_sizes(network, x)
    shapes: dict[str, tuple[int, ...]] = {f"{CHANNELS}{i}": (network.replicates, size) for i, size in enumerate(sizes)}
    weightwise = [network.maskable()[-1]]
    if granularity == "kernels":
        convolutions = [name for name in network.maskable() if len(weights[name]) == CONVOLUTION]
        shapes |= {name: (*weights[name][:3], 1, 1) for name in convolutions}
        weightwise += convolutions[:1]
    return shapes | {name: weights[name] for name in weightwise}


def gated_forward(network: Networks, weights: State, x: Tensor, opened: Gates) -> Output:
    """Evaluate a batch of a frozen network with gates."""
    return forward(network, x, *_gated(weights, opened))


@torch.no_grad()
def evaluate_gated(problem: Problem, network: Networks, rows: Int[Tensor, "R n"], opened: Gates | State) -> Output:
    """Return what a gated network says of rows, on the CPU; gates may be bools."""
    gates = {name: gate_values.to(network.device).float() for name, gate_values in opened.items()}
    of_weights, of_channels = _gated(network.weights(), gates)
    with gated_channels(network, of_channels):
        return evaluate(network, problem.examples, rows, of_weights)


def _gated(weights: State, opened: Gates) -> tuple[State, list[Tensor]]:
    """Return the weights that gates leave, and the gates of the channels."""
    of_weights = {name: weights[name] * gates for name, gates in opened.items() if not name.startswith(CHANNELS)}
    return of_weights, [gates[0] for name, gates in opened.items() if name.startswith(CHANNELS)]


def closed_share(opened: dict[str, Bool[Tensor, "R ..."]] | State) -> Float[Tensor, "R"]:
    """Return the share of all gates that are closed."""
    flat = torch.cat([gates.flatten(1) for gates in opened.values()], dim=1)
    return 1 - flat.double().mean(dim=1)
