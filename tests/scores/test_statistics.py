"""Intervals: those of the books, of groups and of pairs."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.contracts import Evaluation
from tfmo_drive.scores import statistics


def mean_of(values):
    return Evaluation(np.asarray(values), np.zeros(len(values)), {}).scores


def interval(values, groups, *more, level=0.95, **settings):
    return statistics.resampled(mean_of(values), groups, *more, **settings).interval(level)


def paired(values, reference, groups):
    ours, theirs = (statistics.resampled(mean_of(side), groups) for side in (values, reference))
    return tuple((ours - theirs).numbers("delta").values())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6)), min_size=2, max_size=60), st.integers(0, 3))
def test_the_interval_holds_the_mean_and_stays_in_range(examples, seed):
    values, groups = map(np.array, zip(*examples, strict=True))
    low, high = interval(values, groups, seed, resamples=200)
    if len(set(groups.tolist())) == 1:
        assert (low, high) == (None, None)
    else:
        assert low <= values.mean() <= high
        assert values.min() - 1e-12 <= low and high <= values.max() + 1e-12


def test_the_interval_holds_a_score_that_every_resample_misses():
    """As mAP and mean IoU may: here the share of examples that are there at all, which every resample lowers."""
    low, high = statistics.resampled(lambda weights: (weights > 0).mean(axis=1), np.arange(50)).interval()
    assert 0.5 < low < 0.7 and high == 1


def test_frames_of_one_track_say_less_than_as_many_tracks():
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), 6)
    values = np.repeat(generator.random(100) < 0.9, 6).astype(float)
    by_group, by_example = interval(values, groups), interval(values, np.arange(600))
    assert by_group[1] - by_group[0] > 2 * (by_example[1] - by_example[0])  # sqrt(6) = 2.4


def test_single_examples_agree_with_scipy():
    values = np.random.default_rng(1).random(300)
    expected = scipy.stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=0)
    low, high = interval(values, np.arange(300), resamples=4000)
    assert abs(low - expected.confidence_interval.low) < 0.003
    assert abs(high - expected.confidence_interval.high) < 0.003


def test_groups_of_unequal_size_are_a_ratio_of_sums():
    values, groups = np.array([1.0, 0, 0, 0]), np.array([0, 1, 1, 1])
    assert interval(values, groups) == (0, 1)  # drawn: 0 twice 1, 1 twice 0, mixed 1/4 (not the 1/2 of equal weights)
    assert interval(values, groups, level=0.4) == (0.25, 0.25)


def test_the_interval_holds_the_truth_about_95_times_in_100():
    generator = np.random.default_rng(2)
    held = 0
    for trial in range(300):
        sizes = generator.integers(1, 8, 60)
        groups = np.repeat(np.arange(60), sizes)
        values = (np.repeat(generator.random(60), sizes) < 0.8).astype(float)
        low, high = interval(values, groups, trial, resamples=300)
        held += low <= 0.8 <= high
    assert 0.88 <= held / 300 <= 0.99


def test_equal_models_differ_by_exactly_nothing():
    values = np.random.default_rng(3).random(50)
    assert paired(values, values.copy(), np.arange(50) // 3) == (0, 0, 0)


def test_pairing_is_sharper_than_two_intervals():
    generator = np.random.default_rng(4)
    reference = (generator.random(500) < 0.8).astype(float)
    values = reference.copy()
    values[:5] = 0
    delta, delta_low, delta_high = paired(values, reference, np.arange(500))
    assert np.isclose(delta, values.mean() - reference.mean())
    low, high = interval(values, np.arange(500))
    assert delta_high - delta_low < (high - low) / 2


def test_one_group_says_nothing_of_others():
    assert paired(np.ones(5), np.zeros(5), np.zeros(5, int)) == (1, None, None)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(5).random(40)
    assert interval(values, np.arange(40), 7) == interval(values, np.arange(40), 7)
    assert interval(values, np.arange(40), 7) != interval(values, np.arange(40), 8)


def test_many_groups_are_drawn_in_bounded_pieces():
    values = (np.arange(5000) % 10 > 0).astype(float)
    low, high = interval(values, np.arange(5000), resamples=500)
    assert 0.885 < low < 0.9 < high < 0.915


def test_a_rows_numbers_are_called_after_their_key():
    found = statistics.resampled(mean_of([0.0, 1.0, 1.0]), np.arange(3))
    low, high = found.interval()
    assert found.numbers("score") == {"score": 2 / 3, "score_low": low, "score_high": high}


@pytest.mark.parametrize(
    ("values", "words"), [([], "resampled needs groups .n. of at least one example"), ([np.nan, 1.0], "a finite score")]
)
def test_what_has_no_score_is_refused(values, words):
    with pytest.raises(ValueError, match=words):
        interval(np.array(values), np.arange(len(values)))


def test_a_score_that_is_no_mean_is_asked_for_what_was_drawn():
    """Intersections over unions, as of mean IoU: a ratio of sums, and NaN where nothing is left to judge."""
    inside, whole = np.array([1.0, 3.0, 0.0, 0.0]), np.array([2.0, 4.0, 4.0, 0.0])

    def scores(weights):
        with np.errstate(invalid="ignore"):
            return (weights @ inside) / (weights @ whole)

    low, high = statistics.resampled(scores, np.arange(4)).interval()
    assert 0 <= low < 0.4 < high <= 0.75
    found = statistics.resampled(scores, np.array([0, 0, 0, 1])).interval()
    assert found == (0.4, 0.4), "a draw of nothing says nothing"


def test_groups_drawn_together_weigh_alike():
    seen = []

    def scores(weights):
        seen.append(weights)
        return np.ones(len(weights))

    statistics.resampled(scores, np.array([5, 5, 9, 9, 9]), resamples=50)
    drawn = np.concatenate(seen[1:])
    assert drawn.shape == (50, 5) and (drawn[:, 0] == drawn[:, 1]).all() and (drawn[:, 2] == drawn[:, 4]).all()
    assert (drawn[:, 0] + drawn[:, 2] == 2).all()
