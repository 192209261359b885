"""Small steps run on one thread, large ones on those that there are."""

from __future__ import annotations

import pytest
import torch

from counterpoise.nn.threads import WORTH_SHARING, threads_for


@pytest.fixture
def two_threads() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("operations", "threads"), [(WORTH_SHARING - 1, 1), (WORTH_SHARING, 2)])
def test_only_what_is_worth_it_is_shared_and_the_number_comes_back(operations: int, threads: int) -> None:
    with threads_for(operations):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 2
    with pytest.raises(ValueError, match="within"), threads_for(operations):
        raise ValueError("within")
    assert torch.get_num_threads() == 2
