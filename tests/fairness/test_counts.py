"""Confusion counts: against scikit-learn, along batch axes, under masks, and with values out of range."""

from __future__ import annotations

from inspect import unwrap

import numpy as np
import pytest
import sklearn.metrics as sk
import torch

from counterpoise.errors import InputError
from counterpoise.fairness import _counts, confusion_counts

R, V, N, G, K = 3, 4, 50, 3, 3


def draw(generator, high, *shape):
    return torch.randint(high, shape, generator=generator)


def test_each_group_is_scikit_learns_confusion_matrix(generator):
    y, prediction, s = draw(generator, K, N), draw(generator, K, N), draw(generator, G, N)
    counts = confusion_counts(y, prediction, s, groups=G, classes=K)
    for group in range(G):
        expected = sk.confusion_matrix(y[s == group], prediction[s == group], labels=range(K))
        np.testing.assert_array_equal(counts[group], expected)


@pytest.mark.parametrize("shape", [(N,), (R, 1, N), (1, V, N), (R, V, N)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_batch_axes_equal_a_loop(generator, shape, dtype, monkeypatch):
    monkeypatch.setattr(_counts, "SAMPLES_AT_ONCE", 5 * N)  # several chunks, the last one short
    prediction = draw(generator, K, R, V, N).to(dtype)
    y, s = draw(generator, K, *shape).to(dtype), draw(generator, G, *shape).to(dtype)
    mask = torch.rand(shape, generator=generator) < 0.7
    counts = confusion_counts(y, prediction, s, groups=G, classes=K, mask=mask)
    assert counts.shape == (R, V, G, K, K)
    y, s, mask = (part.expand(R, V, N) for part in (y, s, mask))
    for r in range(R):
        for v in range(V):
            kept = mask[r, v]
            part = (y[r, v][kept], prediction[r, v][kept], s[r, v][kept])
            assert torch.equal(counts[r, v], confusion_counts(*part, groups=G, classes=K))


def test_what_is_masked_is_not_read(generator):
    y, prediction, s = draw(generator, K, N), draw(generator, K, V, N), draw(generator, G, N)
    mask = torch.arange(N) < 30
    expected = confusion_counts(y[:30], prediction[:, :30], s[:30], groups=G, classes=K)
    for padding in (-1, 99):
        y[30:], s[30:], prediction[:, 30:] = padding, padding, padding
        assert torch.equal(confusion_counts(y, prediction, s, groups=G, classes=K, mask=mask), expected)


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 5)])
def test_nothing_to_count(shape):
    nothing = torch.zeros(shape, dtype=torch.int64)
    counts = confusion_counts(nothing, nothing, nothing, groups=2, classes=2)
    assert counts.shape == (*shape[:-1], 2, 2, 2)
    assert counts.sum() == 0


@pytest.mark.parametrize("name", ["y", "prediction", "s"])
@pytest.mark.parametrize("wrong", [-1, 2])
def test_values_out_of_range_are_named(name, wrong):
    values = {key: torch.tensor([0, 1, 1]) for key in ("y", "prediction", "s")}
    values[name][1] = wrong
    with pytest.raises(InputError, match=f"^{name} holds {wrong}, expected whole numbers from 0 to 1"):
        confusion_counts(**values, groups=2, classes=2)


def test_lengths_that_differ_are_named():
    long, short = torch.zeros(3, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    with pytest.raises(InputError, match=r"s has shape \[1\], expected one that broadcasts to \[3\]"):
        unwrap(confusion_counts)(long, long, short, groups=2, classes=2)  # without the tests' shape checks
