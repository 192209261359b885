"""What is owed to a bias: against scikit-learn, by hand, and where it is not defined."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import mutual_info_score
from torch import Tensor
from torch.nn.functional import one_hot

from counterpoise.fairness import UndefinedMetricWarning, aligned_value, conflict_gap, conflicting_accuracy, information
from counterpoise.fairness import unbiased_average as average
from counterpoise.fairness.spurious import joint


def hard(guess: Tensor, values: int) -> Tensor:
    return one_hot(guess, values).double()


class TestInformation:
    @pytest.mark.parametrize("values", [2, 3, 10])
    def test_of_hard_guesses_is_the_mutual_information_over_ln_c(self, values: int, generator: torch.Generator) -> None:
        b = torch.randint(0, values, (2, 400), generator=generator)
        noise = torch.randint(0, values, (2, 400), generator=generator)
        guess = torch.where(torch.rand(2, 400, generator=generator) < 0.6, (b + 1) % values, noise)
        found = information(hard(guess, values), b)
        for own, seen, said in zip(found, b, guess, strict=True):
            assert own.item() == pytest.approx(mutual_info_score(seen, said) / math.log(values), abs=1e-9)

    @pytest.mark.parametrize("values", [2, 7])
    def test_is_one_where_guesses_give_it_away_and_zero_where_they_say_nothing(self, values: int) -> None:
        b = torch.arange(values).repeat(values, 1)  # every value in every row, as often
        told = information(hard(b, values), b)
        torch.testing.assert_close(told, torch.ones(values, dtype=torch.float64))
        torch.testing.assert_close(information(hard((b + 1) % values, values), b), told)  # in other words
        for nothing in (torch.full((values, values, values), 1 / values), hard(torch.zeros_like(b), values)):
            assert information(nothing, b).abs().max().item() < 1e-6
        crossed = torch.arange(values).repeat_interleave(values).unsqueeze(0)
        assert information(hard(crossed, values), torch.arange(values).repeat(1, values)).abs().item() < 1e-9

    def test_of_soft_guesses_by_hand(self) -> None:
        """Two values, half of the rows each; right with a probability of 0.8: ln 2 less the entropy of 0.8."""
        b = torch.tensor([[0, 0, 1, 1]])
        guess = torch.tensor([[[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.2, 0.8]]], dtype=torch.float64)
        torch.testing.assert_close(joint(guess, b), torch.tensor([[[0.4, 0.1], [0.1, 0.4]]], dtype=torch.float64))
        expected = 1 + (0.8 * math.log(0.8) + 0.2 * math.log(0.2)) / math.log(2)
        assert information(guess, b).item() == pytest.approx(expected)

    def test_of_few_rows_is_biased_upward_by_what_is_said(self, generator: torch.Generator) -> None:
        """(C − 1)² / (2 N ln C) is the first term: exact where N is large, an upper bound where cells are empty."""
        values, draws = 10, 60
        for rows, within in ((100, 0.25), (2000, 0.05)):
            b, guess = (torch.randint(0, values, (draws, rows), generator=generator) for _ in range(2))
            mean = information(hard(guess, values), b).mean().item()
            assert mean == pytest.approx((values - 1) ** 2 / (2 * rows * math.log(values)), rel=within)

    def test_can_be_lowered_by_its_gradient(self, generator: torch.Generator) -> None:
        b = torch.randint(0, 3, (2, 40), generator=generator)
        logits = (2 * hard(b, 3) + torch.randn(2, 40, 3, generator=generator)).requires_grad_()
        assert torch.autograd.gradcheck(lambda z: information(z.softmax(dim=-1), b), (logits,), atol=1e-6)
        before = information(logits.softmax(dim=-1), b)
        (slope,) = torch.autograd.grad(before.sum(), logits)
        after = information((logits - 2 * slope).softmax(dim=-1), b)
        assert (after < before).all()
        certain = hard(b, 3).requires_grad_()  # empty cells: no NaN
        (slope,) = torch.autograd.grad(information(certain, b).sum(), certain)
        assert slope.isfinite().all()


class TestAlignedValue:
    def test_is_the_value_of_most_rows_of_a_class_whatever_their_order(self) -> None:
        y = torch.arange(3).repeat_interleave(10)
        b = torch.where(torch.arange(30) % 10 < 8, (y + 1) % 3, y)
        assert aligned_value(y, b, classes=3, values=3).tolist() == [1, 2, 0]
        order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
        assert aligned_value(y[order], b[order], classes=3, values=3).tolist() == [1, 2, 0]

    def test_is_not_the_value_that_is_frequent_everywhere(self) -> None:
        """As with blond hair: both classes are mostly of value 1, and yet 0 goes with class 0."""
        y = torch.tensor([0] * 10 + [1] * 20)
        b = torch.tensor([0] * 4 + [1] * 6 + [0] * 2 + [1] * 18)
        assert aligned_value(y, b, classes=2, values=2).tolist() == [0, 1]

    def test_a_class_or_value_without_rows_does_no_harm(self) -> None:
        found = aligned_value(torch.tensor([0, 0, 2]), torch.tensor([1, 1, 3]), classes=3, values=5)
        assert found[[0, 2]].tolist() == [1, 3]


class TestAccuracies:
    y = torch.tensor([[0, 1, 1, 0, 1, 0], [0, 1, 1, 0, 1, 0]])
    said = torch.tensor([[0, 1, 0, 1, 1, 0], [1, 1, 1, 0, 1, 0]])  # wrong in the third and fourth, and in the first
    first = torch.tensor([[0, 0, 1, 1, 0, 1]] * 2).bool()
    second = torch.tensor([[0, 1, 0, 1, 0, 1]] * 2).bool()

    def test_on_conflicting_rows_by_hand(self) -> None:
        found = conflicting_accuracy(self.y, self.said, self.first)
        assert found.tolist() == pytest.approx([1 / 3, 1.0])
        assert conflicting_accuracy(self.y, self.said, ~self.first).tolist() == pytest.approx([1.0, 2 / 3])

    def test_the_mean_over_the_cells_by_hand(self) -> None:
        """One bias: two cells of three rows. Two: rows 0 and 4, row 1, row 2, rows 3 and 5."""
        one = average(self.y, self.said, self.first.unsqueeze(0))
        assert one.tolist() == pytest.approx([(1 + 1 / 3) / 2, (2 / 3 + 1) / 2])
        two = average(self.y, self.said, torch.stack([self.first, self.second]))
        assert two.tolist() == pytest.approx([(1 + 1 + 0 + 1 / 2) / 4, (1 / 2 + 1 + 1 + 1) / 4])
        assert average(self.y, self.said, torch.stack([self.second, self.first])).tolist() == pytest.approx(two)

    def test_the_gap_is_the_largest_over_the_biases_whatever_its_direction(self) -> None:
        """The first model: 1 and 1/3 by the first bias, three of four and one of two by the second."""
        misled = torch.stack([self.first, self.second])
        accuracy = [[conflicting_accuracy(self.y, self.said, rows) for rows in (own, ~own)] for own in misled]
        expected = [max(abs(float(one[m] - other[m])) for one, other in accuracy) for m in range(2)]
        assert conflict_gap(self.y, self.said, misled).tolist() == pytest.approx(expected)
        assert conflict_gap(self.y, self.said, ~misled).tolist() == pytest.approx(expected)
        assert conflict_gap(self.y, self.said, self.first.unsqueeze(0)).tolist() == pytest.approx([2 / 3, 1 / 3])
        assert conflict_gap(self.y, self.y, misled).tolist() == [0.0, 0.0]

    def test_the_cells_count_alike_whatever_their_size(self) -> None:
        """Right in 90 aligned rows, wrong in 10 conflicting ones: a half, not nine tenths."""
        y, conflicting = torch.zeros(100, dtype=torch.int64), torch.arange(100) >= 90
        assert average(y, conflicting.long(), conflicting.unsqueeze(0)).item() == 0.5

    def test_are_null_with_a_warning_where_a_cell_is_empty(self) -> None:
        none = torch.stack([self.first[0], torch.zeros(6, dtype=torch.bool)])
        with pytest.warns(UndefinedMetricWarning, match="conflicting_accuracy.*a bias-conflicting sample"):
            found = conflicting_accuracy(self.y, self.said, none)
        assert found[0].item() == pytest.approx(1 / 3)
        assert found[1].isnan()
        with pytest.warns(UndefinedMetricWarning, match="conflict_gap.*an aligned and a conflicting sample of each"):
            assert conflict_gap(self.y, self.said, none.unsqueeze(0)).isnan().tolist() == [False, True]
        with pytest.warns(UndefinedMetricWarning, match="unbiased_average.*a cell of aligned and conflicting samples"):
            found = average(self.y, self.said, none.unsqueeze(0))
        assert found[0].item() == pytest.approx(2 / 3)
        assert found[1].isnan()
