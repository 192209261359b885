"""What classifiers say: with two classes, the form for more says the same."""

from __future__ import annotations

import pytest
import torch

from counterpoise.methods.answers import LOST, Answers, answers_in_order, collected, padded, result_of, tensors_of


@pytest.fixture
def log_odds(generator: torch.Generator) -> torch.Tensor:
    return 3 * torch.randn(4, 3, 50, generator=generator)


def test_of_two_classes_both_forms_say_the_same(log_odds: torch.Tensor) -> None:
    margins = log_odds[:, 0]
    binary = Answers(margins.double().sigmoid().float())
    general = Answers.of(torch.stack([torch.zeros_like(margins), margins], dim=1))
    assert general.decided.equal(binary.decided)
    torch.testing.assert_close(general.score, torch.maximum(binary.score, 1 - binary.score))


def test_the_score_is_the_probability_of_the_decided_class(log_odds: torch.Tensor) -> None:
    answers = Answers.of(log_odds)
    probability = log_odds.double().softmax(dim=1)
    for v, n in ((0, 0), (3, 49)):
        label = int(answers.decided[v, n])
        assert log_odds[v, label, n] == log_odds[v, :, n].max()
        assert answers.score[v, n] == pytest.approx(float(probability[v, label, n]))
    assert answers[1].score.equal(answers.score[1])
    assert answers[1].decided.equal(answers.decided[1])


def test_folds_come_back_in_the_order_of_the_rows(log_odds: torch.Tensor) -> None:
    fold = torch.arange(50) % 3
    answers = Answers.of(log_odds)
    again = answers_in_order([Answers.of(log_odds[..., fold == number]) for number in range(3)], fold)
    assert again.score.equal(answers.score)
    assert again.decided.equal(answers.decided)


def test_a_model_that_diverged_decides_nothing(log_odds: torch.Tensor) -> None:
    log_odds[2, 1, 7] = torch.nan
    for answers in (Answers.of(log_odds), Answers(log_odds[:, 1].sigmoid())):
        assert (answers.decided[2] == LOST).all()
        assert (answers.decided[:2] >= 0).all()


@pytest.mark.parametrize("several", [False, True])
def test_results_carry_decisions_where_scores_are_not_enough(log_odds: torch.Tensor, several: bool) -> None:
    each = Answers.of(log_odds) if several else Answers(log_odds[:, 0].sigmoid())
    model = {"head": torch.zeros(2, 3)}
    said = [[each[0:1], each[2:3]], [each[1:2], each[3:4]]]
    both = {part: collected(said, len(said), [0, 1]) for part in ("validation", "test")}
    results = [
        result_of(name, {"method": name}, {part: answers.of_model(v) for part, answers in both.items()}, model)
        for v, name in enumerate("ab")
    ]
    tensors = tensors_of(results, test=True)
    expected = {"validation.score", "test.score"} | ({"validation.prediction", "test.prediction"} if several else set())
    assert set(tensors) == expected
    assert tensors["test.score"].shape == (2, 2, 50)
    assert results[1].prediction[0].equal(each.decided[2])
    if several:
        assert tensors["validation.prediction"][1, 0].equal(each.decided[1])
        assert tensors["test.prediction"][0, 1].equal(each.decided[2])


def test_what_is_collected_in_order_is_stacked_without_a_copy(log_odds: torch.Tensor) -> None:
    """Four banks of one model each, of two replicates; model 1 of a replicate has the first place."""
    each = Answers(log_odds[:, 0].sigmoid())
    both = collected([[each[0:1], each[2:3]], [each[1:2], each[3:4]]], 2, [1, 0])
    assert both.score[:, 0].equal(each.score[2:])
    assert both.score[:, 1].equal(each.score[:2])
    results = [result_of(f"{v}", {}, {"test": both.of_model(v)}, {}) for v in (0, 1)]
    assert tensors_of(results, test=True)["test.score"].data_ptr() == both.score.data_ptr()
    crossed = tensors_of(results[::-1], test=True)["test.score"]
    assert crossed.data_ptr() != both.score.data_ptr()
    assert crossed.equal(both.score.flip(1))


def test_padded_heads_give_what_heads_give_on_padded_features(generator: torch.Generator) -> None:
    heads = [torch.randn(width + 1, 3, generator=generator) for width in (2, 5)]
    features = [torch.randn(4, width, generator=generator) for width in (2, 5)]
    together = padded(heads)
    for head, wide, x in zip(heads, together, features, strict=True):
        filled = torch.cat([x, torch.ones(4, len(wide) - 1 - x.shape[1]), torch.ones(4, 1)], dim=1)
        torch.testing.assert_close(filled @ wide, torch.cat([x, torch.ones(4, 1)], dim=1) @ head)
