import numpy as np
import pytest

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.layouts.steering_log import list_log
from tfmo_drive.tasks.lane_keeping.steering_score import SteeringScale, of_steering, spread_of

SCALE = SteeringScale(spread=0.5, degrees=20.0, curve_degrees=2.0)
TRUTH = np.array([0.0, 0.2, -0.4, 0.1, 0.0])
ANSWERS = np.array([[0.1], [0.1], [0.2], [0.1], [-0.9]])
GROUPS = np.array([7, 7, 7, 8, 8])


def test_scores_and_degrees_by_hand():
    judged = of_steering(ANSWERS, TRUTH[:, None], GROUPS, SCALE)
    assert judged.values.tolist() == pytest.approx([0.8, 0.8, 0.0, 1.0, 0.0])
    assert judged.more["mean_absolute_error"] == pytest.approx(1.7 / 5)
    assert judged.more["error_degrees"] == pytest.approx(20 * 1.7 / 5)


def test_curves_are_steered_more_than_their_angle():
    more = of_steering(ANSWERS, TRUTH, GROUPS, SCALE).more  # curves: 0.2 (4 degrees), -0.4 (8); 0.1 is 2 degrees
    assert more["error_curves_degrees"] == pytest.approx(20 * (0.1 + 0.6) / 2)
    assert more["score_curves"] == pytest.approx(0.4) and more["wrong_sign_curves"] == 0.5
    straight = of_steering(0 * TRUTH, TRUTH, GROUPS, SCALE)
    assert more["score_straight"] == straight.score == pytest.approx((1 + 0.6 + 0.2 + 0.8 + 1) / 5)
    assert straight.more["wrong_sign_curves"] == 0.0


def test_jitter_is_between_neighbours_of_one_group():
    more = of_steering(ANSWERS, TRUTH, GROUPS, SCALE).more
    # errors 0.1, -0.1, 0.6 | 0, -0.9; answers 0.1, 0.1, 0.2 | 0.1, -0.9; truth 0, 0.2, -0.4 | 0.1, 0
    assert more["jitter_degrees"] == pytest.approx(20 * (0.2 + 0.7 + 0.9) / 3)
    assert more["jitter_answer_degrees"] == pytest.approx(20 * (0.0 + 0.1 + 1.0) / 3)
    assert more["jitter_truth_degrees"] == pytest.approx(20 * (0.2 + 0.6 + 0.1) / 3)


def test_a_steady_error_does_not_jitter():
    more = of_steering(TRUTH + 0.05, TRUTH, GROUPS, SCALE).more
    assert more["jitter_degrees"] == pytest.approx(0) and more["error_degrees"] == pytest.approx(1.0)


def test_what_there_is_none_of_is_left_out():
    more = of_steering(np.zeros(3), np.zeros(3), np.arange(3), SCALE).more
    assert more == {"mean_absolute_error": 0.0, "error_degrees": 0.0}


def test_the_spread_is_about_straight_ahead():
    assert spread_of(np.array([[0.6], [0.8], [0.0], [0.0]])) == pytest.approx(0.5)
    with pytest.raises(BadInput, match="all steered straight ahead"):
        spread_of(np.zeros(4))


@pytest.mark.parametrize("wrong", [{"spread": 0}, {"degrees": -1}, {"curve_degrees": 25}, {"curve_degrees": -1}])
def test_scales_that_measure_nothing_are_refused(wrong):
    with pytest.raises(BadInput, match=f"SteeringScale.{next(iter(wrong))} must be"):
        SteeringScale(**{"spread": 0.2} | wrong)


@pytest.mark.real
def test_always_straight_ahead_scores_what_the_docstring_says(shared):
    listing = list_log(shared / "data/lane_udacity_sim")
    test = listing["test"]
    scale = SteeringScale(spread=spread_of(listing["train"].labels))
    judged = of_steering(np.zeros(len(test)), test.labels, test.groups, scale)
    assert judged.values.mean() == pytest.approx(0.79, abs=0.01)
    assert judged.more["score_curves"] == pytest.approx(0.26, abs=0.01)
    assert judged.more["error_curves_degrees"] > 6 and judged.more["jitter_truth_degrees"] > 2
