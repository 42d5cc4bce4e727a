"""Scores by hand."""

import numpy as np
import pytest

from tfmo_drive.scores.evaluation import of_classes, of_numbers


def test_numbers_lose_their_error_in_spreads_and_never_more_than_all():
    judged = of_numbers(np.array([10.0, 11.0, 12.0, 30.0]), np.array([10.0, 10.0, 13.0, 10.0]), spread=4.0)
    assert judged.values.tolist() == [1.0, 0.75, 0.75, 0.0] and judged.per_class == {}
    assert judged.more["mean_absolute_error"] == 5.5
    assert judged.more["r2"] == pytest.approx(1 - (402 / 4) / (1.6875))


def test_answers_of_the_same_tenth_of_a_spread_are_the_same_decision():
    judged = of_numbers(np.array([1.01, 0.99, 1.06]), np.zeros(3), spread=1.0)
    assert judged.decisions.tolist() == pytest.approx([1.0, 1.0, 1.1])
    assert "r2" not in judged.more


def test_always_the_mean_of_a_normal_distribution_scores_what_the_docstring_says():
    targets = np.random.default_rng(0).normal(3, 2, 200_000)
    assert of_numbers(np.full(200_000, 3.0), targets, 2.0).values.mean() == pytest.approx(0.369, abs=0.003)


def test_classes_are_right_or_wrong_and_the_macro_average_is_over_those_present():
    judged = of_classes(np.eye(3)[[0, 0, 1, 0]], np.array([0, 0, 0, 1]), ("a", "b", "c"))
    assert judged.values.tolist() == [1, 1, 0, 0] and judged.decisions.tolist() == [0, 0, 1, 0]
    assert judged.per_class == {"a": {"score": pytest.approx(2 / 3), "examples": 3}, "b": {"score": 0, "examples": 1}}
    assert judged.more == {"score_macro": pytest.approx(1 / 3)}
