import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.data.layouts.steering_log import list_log
from tfmo_drive.tasks.lane_keeping.steering_balance import balanced_order, shares


def test_shares_by_hand():
    truth = np.array([[0.0]] * 16 + [[-0.5]] * 4 + [[1.0]])
    found = shares(truth, (0.1, 0.7))  # sqrt of 16, 4 and 1: 4, 2 and 1 of 7
    assert [found[:16].sum(), found[16:20].sum(), found[20]] == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    assert len(set(found[:16].tolist())) == 1


def test_an_edge_belongs_to_the_curve():
    assert shares(np.array([0.0, 0.0, 0.0, 0.0, 0.5]), (0.5,))[-1] == pytest.approx(1 / 3)


def test_a_frame_that_comes_again_does_not_come_at_once():
    order = balanced_order(np.array([0.0] * 400 + [0.9] * 20), 0, 0)
    assert len(set(order.tolist())) < 0.9 * len(order) and np.mean(np.diff(order) == 0) < 0.02


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.05, -0.3, 0.9]), min_size=1, max_size=80), st.integers(0, 99))
def test_a_frame_comes_as_often_as_its_share_says(truth, seed):
    order = balanced_order(np.array(truth), seed, 0)
    counts = np.bincount(order, minlength=len(truth))
    expected = shares(np.array(truth)) * len(truth)
    assert order.shape == (len(truth),) and order.dtype == np.int64
    assert (counts >= np.floor(expected - 1e-9)).all() and (counts <= np.ceil(expected + 1e-9)).all()


def test_an_epoch_is_its_seed_and_number():
    truth = np.where(np.arange(200) % 4, 0.0, 0.5)
    assert (balanced_order(truth, 1, 2) == balanced_order(truth, 1, 2)).all()
    assert (balanced_order(truth, 1, 2) != balanced_order(truth, 1, 3)).any()
    assert (balanced_order(truth, 1, 2) != balanced_order(truth, 2, 2)).any()


def test_every_straight_frame_comes_in_some_epoch():
    truth = np.where(np.arange(200) % 4, 0.0, 0.5)
    seen = set(np.concatenate([balanced_order(truth, 0, epoch) for epoch in range(12)]).tolist())
    assert seen == set(range(200))


@pytest.mark.real
def test_curves_of_the_simulators_log_come_as_often_as_the_docstring_says(shared):
    truth = list_log(shared / "data/lane_udacity_sim")["train"].labels
    straight = np.abs(truth[:, 0]) < 0.04
    shown = balanced_order(truth, 0, 0)
    assert [straight.mean(), straight[shown].mean()] == pytest.approx([0.72, 0.42], abs=0.01)
    assert [np.abs(truth).mean(), np.abs(truth[shown]).mean()] == pytest.approx([0.09, 0.19], abs=0.005)
    assert np.bincount(shown).max() == 3
