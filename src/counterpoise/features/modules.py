"""A user's network of a table: built by a function of theirs or read from a `torch.export` file, cut before its head.

    network = cut(build("network:scorer", {"width": 32}, folder), folder / "scorer.safetensors", sample=x[:8])
    network.features(x) @ network.weight.T + network.bias        # what the network says, [N, k]

No pickle is read but by `torch.load(weights_only=True)` (`features.weights`). The function is the user's code, which
the configuration names, and runs.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from counterpoise.errors import InputError, reason, shown, suggest
from counterpoise.features.weights import State, fit_state, read_state

LOG = logging.getLogger(__name__)

ROWS_PER_CHUNK = 4096
SAMPLE = 256
"""Rows on which a network is tried before all rows go through it."""

LISTED = 5
"""How many layers a sentence names: the last ones."""

ALIKE = 1e-3
"""How far features of rows may depend on the rows beside them, relative to the largest: sums have another order."""

ANSWERS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "logits": lambda z: z,
    "sigmoid": torch.sigmoid,
    "softmax": lambda z: z.softmax(-1),
    "log-softmax": lambda z: z.log_softmax(-1),
}
"""What a network may make of its head's output: the head's decisions are the network's."""

_PASSED_ON = ("view", "reshape", "flatten", "squeeze", "sigmoid", "softmax", "log_softmax", "_softmax", "_log_softmax")
"""Operations of an exported graph after the head that do not change which class is the likeliest."""


class Headless(nn.Module):
    """What the head of a network sees, [n, d].

    Args:
        head: the name of the head; None where the network ends before it.
    """

    def __init__(self, network: nn.Module, head: str | None) -> None:
        super().__init__()
        self.network, self.head = network, head

    def forward(self, x: Tensor) -> Tensor:
        if self.head is None:
            answer = self.network(x)
            return (answer[0] if isinstance(answer, list | tuple) else answer).flatten(1)
        seen: list[Tensor] = []
        layer = self.network.get_submodule(self.head)
        with layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])):
            self.network(x)
        return seen[-1].flatten(1)


class Program(Headless):
    """What the head of a `torch.export` file sees.

    Its graph has no modes, and cannot be pickled: another process reads the file again.
    """

    def __init__(self, graph: nn.Module, path: Path, sample: Tensor) -> None:
        super().__init__(graph, None)
        self._read = path.resolve(), sample

    def train(self, mode: bool = True) -> Program:
        """Return the same: dropout and batch statistics are as they were exported."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _body_of, self._read


def _body_of(path: Path, sample: Tensor) -> Headless:
    return read_program(path, sample).body


@dataclass(frozen=True, eq=False)
class Cut:
    """A network whose last linear layer is apart.

    Attributes:
        body: rows to what the head sees.
        name: the head's, within the network.
        weight, bias: of the head.
        state: of the whole network, by the user's names; empty where only the head is known by name.
    """

    body: Headless
    name: str
    weight: Float[Tensor, "k d"]
    bias: Float[Tensor, "k"]
    state: State

    @property
    def obstacle(self) -> str | None:
        """Why another weight and bias of the head cannot be written into the state; None if they can."""
        if not self.state:
            return None
        weight = self.state.get(f"{self.name}.weight")
        if weight is None:
            return (
                "has a weight that is computed from others (a parametrization), expected a plain one: remove it first"
            )
        if f"{self.name}.bias" not in self.state:
            return "has no bias, which a repaired head needs, expected one: build it with a bias of zeros"
        for name, tensor in self.state.items():
            if tensor.data_ptr() == weight.data_ptr() and name != f"{self.name}.weight":
                return f"shares its weight with {name!r}, which a repair would change too, expected a copy of its own"
        return None

    def features(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "N d"]:
        """Return what the head sees of rows."""
        with torch.inference_mode():
            return torch.cat([self.body(rows).float() for rows in x.split(ROWS_PER_CHUNK)]).clone()


def build(path: str, arguments: Mapping[str, Any], folder: Path) -> nn.Module:
    """Call the function that makes a network.

    Args:
        path: `package.module:function`, or a class.
        folder: where the module may lie, beside what is installed.

    Raises:
        InputError: there is no such function, it fails, or it makes no network.
    """
    module, _, name = path.partition(":")
    sys.path.insert(0, str(folder))
    try:
        network = getattr(importlib.import_module(module), name)(**arguments)
    except ModuleNotFoundError as error:
        raise InputError(f"module: there is no {shown(error.name)}, expected it installed or in {folder}") from None
    except AttributeError as error:
        raise InputError(
            f"module: {path} cannot be had ({reason(error)}), expected `package.module:function`"
        ) from None
    except Exception as error:
        raise InputError(f"module: {path} fails with {shown(dict(arguments))} ({reason(error)})") from error
    finally:
        sys.path.remove(str(folder))
    if not isinstance(network, nn.Module):
        raise InputError(f"module: {path} makes a {type(network).__name__}, expected a torch.nn.Module")
    return network


def cut(
    network: nn.Module, weights: Path | None, sample: Float[Tensor, "n ..."], *, head: str | None = None, source: str
) -> Cut:
    """Load weights into a network, and cut it before its head.

    Args:
        weights: a state dict; None takes the network as its function made it.
        sample: a few rows.
        head: the name of the last linear layer; None looks for it.

    Raises:
        InputError: the weights do not fit, the network fails on the sample, has no such layer, or does not say the same
            of a row whatever rows are beside it.
    """
    network.eval()
    if any(is_lazy(tensor) for tensor in (*network.parameters(), *network.buffers())):
        _tried(network, sample, source)  # which gives its layers their sizes
    network.requires_grad_(False)
    if weights is not None:
        state = fit_state(network, read_state(weights), source=str(weights), architecture=source)
        network.load_state_dict(state)
    name = find_head(network, sample, head, source)
    layer = network.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    bias = torch.zeros(layer.out_features) if layer.bias is None else layer.bias.detach()

    state = {key: tensor.detach() for key, tensor in network.state_dict().items()}
    part = Cut(Headless(network, name), name, layer.weight.detach().float(), bias.float(), state)
    return _row_by_row(part, sample, source)


def find_head(network: nn.Module, sample: Float[Tensor, "n ..."], head: str | None, source: str) -> str:
    """Return the name of the linear layer whose output is the network's, as it is or as probabilities.

    Of a head that is named, the network may make anything, such as one of several answers.
    """
    linear = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    if head is not None and head not in linear:
        raise InputError(f"head: {source} has no linear layer {shown(head)}{suggest(head, linear)}")
    if not linear:
        raise InputError(f"{source}: has no linear layer, expected a network that ends in one")
    outputs: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: outputs.update({name: output}))
        for name, module in linear.items()
    ]
    try:
        answer = _tried(network, sample, source)
    finally:
        for hook in hooks:
            hook.remove()
    if head is not None:
        if head not in outputs:
            raise InputError(f"head: {source} does not use its layer {shown(head)} on a row, expected one that it uses")
        if isinstance(answer, Tensor) and not _is_of(outputs[head], answer):
            LOG.warning(
                "%s: its answer is another than that of its layer %r alone, which counts here, as `head` names it",
                source,
                head,
            )
        return head
    answer = _one_answer(answer, sample, source)
    for name, output in reversed(outputs.items()):  # in the order in which they ran
        if _is_of(output, answer):
            return name
    listed = ", ".join([*(["…"] if len(linear) > LISTED else []), *[*linear][-LISTED:]])
    raise InputError(
        f"{source}: its answer of the shape {list(answer.shape)} is not that of a linear layer ({listed}), "
        "expected a network that ends in one, or its name as `head` (of a backbone `layer`)"
    )


def _is_of(output: Tensor, answer: Tensor) -> bool:
    """Whether an answer is a layer's output, as it is or as probabilities."""
    if output.numel() != answer.numel() or len(output) != len(answer):
        return False
    flat, said = output.reshape(len(answer), -1), answer.reshape(len(answer), -1)
    return any(torch.allclose(of(flat), said, atol=1e-6) for of in ANSWERS.values())


def _row_by_row(part: Cut, sample: Float[Tensor, "n ..."], source: str) -> Cut:
    """Return a network that says the same of a row again, whatever rows are beside it."""
    half = len(sample) // 2
    together, *halves = (
        _tried(part.body, rows, source) for rows in (sample, sample[:half], sample[half:]) if len(rows)
    )
    apart, together = torch.cat(halves).float().nan_to_num(), together.float().nan_to_num()
    if not torch.allclose(apart, together, rtol=ALIKE, atol=ALIKE * float(together.abs().max())):
        raise InputError(
            f"{source}: says something else of the same rows among others (dropout, or statistics of the batch, in its "
            "forward?), expected a network as `eval()` leaves it"
        )
    return part


def read_program(path: Path, sample: Float[Tensor, "n ..."]) -> Cut:
    """Read a `torch.export` file, and cut its graph before its last linear layer.

    Raises:
        InputError: it cannot be read, fails on the sample, or its answer is not that of a linear layer.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected what torch.export.save writes")
    logging.disable(logging.WARNING)  # torch would log its own traceback
    try:
        graph: Any = torch.export.load(path).module()
    except Exception as error:  # of damaged archives nearly anything
        raise InputError(f"{path}: cannot be read ({reason(error)}), expected what torch.export.save writes") from None
    finally:
        logging.disable(logging.NOTSET)
    _one_answer(_tried(graph, sample, str(path)), sample, str(path))
    (output,) = (node for node in graph.graph.nodes if node.op == "output")
    node = output.args[0]
    while isinstance(node, list | tuple):
        node = node[0]
    while any(f".{name}." in f".{node.target}." for name in _PASSED_ON):
        node = node.args[0]
    if "linear" not in str(node.target):
        raise InputError(f"{path}: its answer is that of {node.target}, expected that of a linear layer")
    seen, weight, *bias = node.args
    output.args = ((seen,),) if isinstance(output.args[0], list | tuple) else (seen,)
    tensors = [_attribute(graph, each.target).detach().float() for each in (weight, *bias) if each is not None]
    graph.graph.eliminate_dead_code()
    graph.recompile()

    zeros = torch.zeros(len(tensors[0]))
    name = str(weight.target).removesuffix(".weight")
    body = Program(graph, path, sample)
    return _row_by_row(Cut(body, name, tensors[0], [*tensors, zeros][1], {}), sample, str(path))


def _attribute(graph: Any, path: str) -> Tensor:
    value = graph
    for name in path.split("."):
        value = getattr(value, name)
    assert isinstance(value, Tensor)
    return value


def _tried(network: Callable[[Tensor], Any], sample: Tensor, source: str) -> Any:
    """Return what a network says of a few rows."""
    try:
        with torch.inference_mode():
            return network(sample)
    except Exception as error:
        raise InputError(
            f"{source}: fails on a sample of the shape {list(sample.shape)} ({reason(error)}), expected a network that "
            "takes such rows"
        ) from None


def _one_answer(answer: Any, sample: Tensor, source: str) -> Tensor:
    """Return an answer that is one tensor, with a row for each row."""
    if not isinstance(answer, Tensor) or len(answer) != len(sample):
        shape = list(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise InputError(
            f"{source}: answers a sample of the shape {list(sample.shape)} with {shape}, expected a tensor with a row "
            "for each row, or of a module the name of its last linear layer as `head` (of a backbone `layer`)"
        )
    return answer
