"""Fragility by hand, on artifacts whose answer is a number of the pixels they see."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.contracts import Artifact, BadInput, Context, Evaluation, Examples, Preprocessing
from tfmo_drive.measures.corruptions import CORRUPTIONS, corrupt
from tfmo_drive.measures.robustness import Robustness


class Greys(Examples):
    """Example i is a picture of the value 100 + i."""

    groups = np.arange(30)

    def __len__(self):
        return 30

    def read(self, indices):
        indices = np.asarray(indices)
        return np.tile((100 + indices).astype(np.uint8)[:, None, None, None], (1, 16, 16, 3)), indices


class Brightness:
    """The score is the mean of what is said."""

    preprocessing = Preprocessing("none")

    def __init__(self):
        self.asked = []

    def examples(self, split):
        assert split == "test"
        return Greys()

    def identity(self):
        return {}

    def score(self, outputs, targets):
        self.asked.append(targets)
        return Evaluation(outputs, outputs, {}).score


class Says(Artifact):
    """`answer` of the mean grey level of each image, in 0..1."""

    name, runtime, threads, path = "says", "table", 1, None

    def __init__(self, answer):
        self.answer, self.seen = answer, []

    def predict(self, batch):
        self.seen.append(batch.copy())
        return self.answer(batch.reshape(len(batch), -1).mean(axis=1) / 255)

    def runner(self, example, threads=None):
        raise NotImplementedError

    def weights(self):
        raise NotImplementedError

    def macs(self):
        raise NotImplementedError


MEASURE = Robustness(corruptions=("brightness", "contrast"), severities=(1, 5), examples=12)


@pytest.fixture
def context(tmp_path):
    return Context(Brightness(), None, (), tmp_path, 0)


def test_numbers_by_hand(context):
    """The reference does not mind; the other says half of the brightness.

    `brightness` raises that, and `contrast` leaves it alone: a grey picture has none.
    """
    steady, ours = Says(lambda grey: np.full(len(grey), 0.8)), Says(lambda grey: grey / 2)
    row = MEASURE(ours, steady, context)
    table = np.array([row["robustness"]["scores"][name] for name in ("brightness", "contrast")])
    clean = row["robustness"]["clean"]
    np.testing.assert_allclose(table[1], clean, atol=1e-6)
    assert clean < table[0, 0] < table[0, 1]
    assert row["corruption_score"] == pytest.approx(table.mean())
    assert row["corruption_delta"] == pytest.approx(table.mean() - 0.8)
    assert row["fragility"] == pytest.approx((clean - table.mean()) - 0)
    assert row["worst_corruption"].startswith("contrast")
    assert row["worst_corruption_delta"] == pytest.approx(clean - 0.8)
    assert row["robustness"]["examples"] == 12 and row["robustness"]["severities"] == (1, 5)


def test_the_worst_is_named_with_its_severity(context):
    reference, ours = Says(lambda grey: np.full(len(grey), 0.5)), Says(lambda grey: 1 - grey)
    row = MEASURE(ours, reference, context)
    assert row["worst_corruption"] == "brightness 5"
    assert row["worst_corruption_delta"] == pytest.approx(row["robustness"]["scores"]["brightness"][1] - 0.5)


def test_against_itself_nothing_is_fragile(context):
    one = Says(lambda grey: grey)
    row = MEASURE(one, one, context)
    assert row["corruption_delta"] == row["fragility"] == row["worst_corruption_delta"] == 0
    assert len(one.seen) == 5, "clean, and two corruptions of two severities, once"


def test_both_files_see_the_same_pixels_and_the_reference_is_run_once(context):
    reference, ours, others = (Says(lambda grey: grey) for _ in range(3))
    MEASURE(ours, reference, context)
    MEASURE(others, reference, context)
    assert len(reference.seen) == len(ours.seen) == len(others.seen) == 5
    for one, other, third in zip(reference.seen, ours.seen, others.seen, strict=True):
        assert np.array_equal(one, other) and np.array_equal(one, third)
    indices = context.task.asked[0]
    assert len(indices) == 12 and (np.diff(indices) > 0).all()
    expected = corrupt(Greys().read(indices)[0], "brightness", 5, 0, indices)
    assert np.array_equal(reference.seen[1], expected)


def test_another_seed_takes_other_examples(context, tmp_path):
    MEASURE(Says(lambda grey: grey), Says(lambda grey: grey), context)
    other = Context(Brightness(), None, (), tmp_path, 1)
    MEASURE(Says(lambda grey: grey), Says(lambda grey: grey), other)
    assert not np.array_equal(context.task.asked[0], other.task.asked[0])


def test_rows_of_numbers_are_not_corrupted(context, monkeypatch):
    monkeypatch.setattr(Brightness, "preprocessing", Preprocessing("none", input_range=None, dtype="float32"))
    assert MEASURE(Says(lambda grey: grey), Says(lambda grey: grey), context) == {}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"corruptions": ("fgo",)}, 'Robustness.corruptions: no "fgo". Did you mean "fog"'),
        ({"corruptions": ()}, "Robustness.corruptions must name one or more of gaussian_noise, .* got none"),
        ({"severities": ()}, r"Robustness.severities must be among 1..5, got \(\)"),
        ({"severities": (0, 1)}, r"Robustness.severities must be among 1..5, got \(0, 1\)"),
        ({"examples": 0}, "Robustness.examples must be at least 1, got 0"),
    ],
)
def test_bad_settings_are_refused(settings, words):
    with pytest.raises(BadInput, match=words):
        Robustness(**settings)
    assert Robustness().corruptions == CORRUPTIONS


def test_examples_with_nothing_to_be_found_say_nothing_of_robustness():
    class Empty(Brightness):
        def score(self, outputs, targets):
            return float("nan")

    context = Context(Empty(), None, (), None, 0)
    artifact = Says(lambda grey: grey)
    assert Robustness(corruptions=CORRUPTIONS[:1], severities=(1,), examples=4)(artifact, artifact, context) == {}
