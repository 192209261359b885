"""A user's network: made by a function or read from a file, and cut before its head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from counterpoise.errors import InputError
from counterpoise.features.modules import build, cut, find_head, read_program

X = torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
CODE = """
from torch import nn

def scorer(width=4):
    return nn.Sequential(nn.Linear(5, width), nn.ReLU(), nn.Linear(width, 2))

def nothing():
    return 3
"""


class Answering(nn.Module):
    """A network with a layer that does not lead to its answer, which may be squeezed or a probability."""

    def __init__(self, answer: Callable[[Tensor], Tensor], outputs: int = 1) -> None:
        super().__init__()
        self.hidden, self.out, self.beside = nn.Linear(5, 6), nn.Linear(6, outputs), nn.Linear(6, outputs)
        self.answer = answer

    def forward(self, x: Tensor) -> Tensor:
        h = self.hidden(x).relu()
        z = self.out(h)
        self.beside(h)
        return self.answer(z)


@pytest.mark.parametrize(
    ("answer", "outputs"),
    [
        (lambda z: z, 3),
        (lambda z: z.squeeze(-1), 1),
        (lambda z: z.squeeze(-1).sigmoid(), 1),
        (lambda z: z.softmax(-1), 2),
        (lambda z: z.log_softmax(-1), 4),
    ],
)
def test_the_head_is_the_layer_whose_output_is_the_answer(answer: Callable[[Tensor], Tensor], outputs: int) -> None:
    network = Answering(answer, outputs)
    part = cut(network, None, X[:4], source="network")
    assert part.name == "out"
    logits = part.features(X) @ part.weight.T + part.bias
    torch.testing.assert_close(answer(logits), network(X).detach())


def test_the_head_may_be_named() -> None:
    network = Answering(lambda z: z * z + 1)
    with pytest.raises(InputError, match=r"answer of the shape \[4, 1\] is not that of a linear layer \(hidden"):
        cut(network, None, X[:4], source="network")
    part = cut(network, None, X[:4], head="out", source="network")
    torch.testing.assert_close(part.features(X), network.hidden(X).relu().detach())


@pytest.mark.parametrize("answer", [lambda z: (z, z.exp()), lambda z: {"logits": z, "loss": None}])
def test_of_a_network_with_several_answers_the_head_is_named(answer: Callable[[Tensor], Any]) -> None:
    network = Answering(answer)
    with pytest.raises(InputError, match=r"n: answers .* with (tuple|dict), expected a tensor .*as `head`"):
        cut(network, None, X[:4], source="n")
    part = cut(network, None, X[:4], head="out", source="n")
    torch.testing.assert_close(part.features(X), network.hidden(X).relu().detach())


@pytest.mark.parametrize(("answer", "warned"), [(lambda z: z.sigmoid(), 0), (lambda z: z + 1, 1)])
def test_a_named_head_that_is_not_all_of_the_answer_is_said(
    answer: Callable[[Tensor], Tensor], warned: int, caplog: pytest.LogCaptureFixture
) -> None:
    cut(Answering(answer), None, X[:4], head="out", source="n")
    assert caplog.text.count("n: its answer is another than that of its layer 'out' alone") == warned


class Always(nn.Module):
    """A layer that is always in training, whatever `eval()` says."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer.train()(x)


@pytest.mark.parametrize("layer", [nn.Dropout(), nn.BatchNorm1d(6)])
def test_a_network_that_says_something_else_of_rows_among_others_is_refused(layer: nn.Module, tmp_path: Path) -> None:
    def built(part: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Linear(5, 6), part, nn.Linear(6, 2))

    with pytest.raises(InputError, match="n: says something else of the same rows among others"):
        cut(built(Always(layer)), None, X, source="n")
    cut(built(layer), None, X, source="n")
    rows = {"input": {0: torch.export.Dim("rows")}}
    torch.export.save(torch.export.export(built(layer).train(), (X,), dynamic_shapes=rows), tmp_path / "n.pt2")
    with pytest.raises(InputError, match=r"n\.pt2: says something else of the same rows among others"):
        read_program(tmp_path / "n.pt2", X)


def test_a_program_of_so_many_rows_alone_is_refused(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(nn.Linear(5, 2), (X,)), tmp_path / "n.pt2")
    with pytest.raises(InputError, match=r"n\.pt2: fails on a sample of the shape \[4, 5\]"):
        read_program(tmp_path / "n.pt2", X)


def test_layers_without_a_size_get_theirs_from_the_rows(tmp_path: Path) -> None:
    def lazy() -> nn.Module:
        return nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d(), nn.LazyLinear(2))

    first = lazy()
    first(X)
    save_file(first.state_dict(), tmp_path / "n.safetensors")
    part = cut(lazy(), tmp_path / "n.safetensors", X, source="n")
    torch.testing.assert_close(part.features(X) @ part.weight.T + part.bias, first.eval()(X).detach())


def tied() -> nn.Module:
    network = nn.Sequential(nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5))
    network[2].weight = network[0].weight
    return network


@pytest.mark.parametrize(
    ("network", "obstacle"),
    [
        (lambda: nn.Linear(5, 2), None),
        (lambda: nn.Linear(5, 2, bias=False), "has no bias"),
        (tied, "shares its weight with '0.0.weight'"),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(5, 2)), "computed from others"),
    ],
)
def test_what_keeps_a_repaired_head_out_of_the_state_is_said(
    network: Callable[[], nn.Module], obstacle: str | None
) -> None:
    part = cut(nn.Sequential(network()), None, X, source="n")
    assert (part.obstacle is None) == (obstacle is None)
    assert (obstacle or "") in (part.obstacle or "")


def test_a_program_is_cut_where_its_network_is(tmp_path: Path) -> None:
    network = Answering(lambda z: z.softmax(-1), 2).eval()
    rows = torch.export.Dim("rows")
    torch.export.save(torch.export.export(network, (X,), dynamic_shapes={"x": {0: rows}}), tmp_path / "network.pt2")
    program, module = read_program(tmp_path / "network.pt2", X[:4]), cut(network, None, X[:4], source="network")
    assert program.name == module.name
    torch.testing.assert_close(program.features(X), module.features(X))
    torch.testing.assert_close(program.weight, module.weight)
    torch.testing.assert_close(program.bias, module.bias)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    name = f"networks_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(CODE)
    return tmp_path


def test_a_function_beside_the_weights_makes_the_network(folder: Path) -> None:
    (code,) = folder.glob("*.py")
    network = build(f"{code.stem}:scorer", {"width": 7}, folder)
    state = {name: torch.full_like(tensor, 0.1) for name, tensor in network.state_dict().items()}
    save_file(state, folder / "state.safetensors")
    torch.save(state, folder / "state.pt")
    for file in ("state.safetensors", "state.pt"):
        part = cut(build(f"{code.stem}:scorer", {"width": 7}, folder), folder / file, X[:4], source="scorer")
        torch.testing.assert_close(part.weight, torch.full((2, 7), 0.1))
    wrong = {"extra": X, "2.weight": state["2.weight"], "2.bias": torch.zeros(3)}
    save_file(wrong, folder / "wrong.safetensors")
    with pytest.raises(InputError, match=r"2 .*missing.*'0\.bias'.*1 .*unknown.*'extra'.*1 .*another shape.*'2\.bias'"):
        cut(network, folder / "wrong.safetensors", X[:4], source="scorer")


@pytest.mark.parametrize(
    ("path", "arguments", "message"),
    [
        ("absent_package:scorer", {}, "module: there is no 'absent_package', expected it installed or in"),
        ("{code}:scorr", {}, "has no attribute 'scorr'"),
        ("{code}:scorer", {"depth": 2}, r"fails with {'depth': 2} \(scorer\(\) got an unexpected keyword argument"),
        ("{code}:nothing", {}, "makes a int, expected a torch.nn.Module"),
    ],
)
def test_functions_that_make_no_network_are_refused(
    folder: Path, path: str, arguments: dict[str, int], message: str
) -> None:
    (code,) = folder.glob("*.py")
    with pytest.raises(InputError, match=message):
        build(path.format(code=code.stem), arguments, folder)


@pytest.mark.parametrize(
    ("network", "head", "message"),
    [
        (
            nn.Linear(7, 2),
            None,
            r"n: fails on a sample of the shape \[4, 5\] \(.*4x5 and 7x2.*\), expected",
        ),
        (nn.ReLU(), None, "n: has no linear layer, expected a network that ends in one"),
        (nn.Linear(5, 2), "classifier", r"head: n has no linear layer 'classifier'"),
        (
            nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (2, 10)), nn.Linear(10, 2)),
            None,
            r"with \[2, 2\], expected a tensor with a row for each",
        ),
    ],
)
def test_networks_without_a_head_on_such_rows_are_refused(network: nn.Module, head: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_head(network, X[:4], head, "n")


def test_files_that_are_no_programs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"n\.pt2: no such file"):
        read_program(tmp_path / "n.pt2", X)
    (tmp_path / "n.pt2").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"n\.pt2: cannot be read"):
        read_program(tmp_path / "n.pt2", X)
