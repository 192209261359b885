"""Rows to learn from, as each replicate sees them."""

from __future__ import annotations

import pytest
import torch

from counterpoise.nn import Examples
from counterpoise.nn.examples import shuffled

R, N, D = 3, 8, 2


@pytest.fixture(params=["one matrix", "one for each replicate", "images"])
def data(request: pytest.FixtureRequest, generator: torch.Generator) -> Examples:
    shape = {"one matrix": (N, D), "one for each replicate": (R, N, D), "images": (N, 3, 2, 2)}[request.param]
    x = torch.randint(256, shape, generator=generator)
    x = x.to(torch.uint8) if len(shape) == 4 else x.float()
    return Examples(x, torch.arange(N) % 2, torch.arange(N) % 3, torch.arange(N) // 2)


def test_each_replicate_takes_its_own_rows(data: Examples, generator: torch.Generator) -> None:
    rows = torch.randint(N, (R, 5), generator=generator)
    x, y, s = data.take(rows)
    for r in range(R):
        seen = data.replicate(r)
        assert x[r].equal(seen.x[rows[r]])
        assert y[r].equal(data.y[rows[r]])
        assert s[r].equal(data.s[rows[r]])
        assert seen.units(rows[r]).equal(rows[r] // 2)


def test_a_buffer_is_written_over_and_says_the_same(data: Examples, generator: torch.Generator) -> None:
    buffer = data.buffer(R * 5)
    if data.x.ndim == 4:
        assert buffer is None
        return
    assert buffer is not None
    for batch in (5, 2):  # the last batch of an epoch is smaller
        rows = torch.randint(N, (R, batch), generator=generator)
        x = data.take(rows, buffer)[0]
        assert x.equal(data.take(rows)[0])
        assert x.untyped_storage().data_ptr() == buffer.untyped_storage().data_ptr()


def test_rows_that_belong_to_nothing_stand_for_themselves() -> None:
    nobody = torch.zeros(N, dtype=torch.long)
    assert Examples(torch.zeros(N, D), nobody, nobody).units(torch.arange(3)) is None


def test_replicates_are_shuffled_each_by_its_own_generator() -> None:
    rows = torch.arange(20).repeat(2, 1)

    def order(*seeds: int) -> torch.Tensor:
        return shuffled(rows, [torch.Generator().manual_seed(seed) for seed in seeds])

    first = order(0, 1)
    assert first.sort(dim=1).values.equal(rows)
    assert not first[0].equal(first[1])
    assert first[1].equal(order(5, 1)[1]), "a replicate's order does not depend on the others"
