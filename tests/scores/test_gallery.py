"""Examples as pictures: who drew what, and that only what is shown is read and predicted."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tfmo_drive.scores.gallery import Gallery


class _Examples:
    """Image i is all i; its target is 10 i."""

    groups = np.arange(50)
    attributes = {"weather": np.array(["rain"] * 20 + ["fog"] * 30), "time of day": np.array(["day"] * 49 + ["night"])}

    def __init__(self):
        self.asked: list[int] = []

    def __len__(self):
        return 50

    def read(self, indices):
        self.asked += indices.tolist()
        images = np.broadcast_to(indices.astype(np.uint8)[:, None, None, None], (len(indices), 4, 6, 3))
        return images, {"mark": 10 * indices}


class _Artifact:
    """Says a number more than the image is."""

    name, path = "says", None

    def __init__(self, more: int):
        self.more, self.batches = more, []

    def predict(self, batch):
        self.batches.append(len(batch))
        return {"mark": batch[:, 0, 0, 0].astype(int) + self.more}


def _task(drawn):
    examples, drawing = _Examples(), {"rendered": drawn, "rendered_truth": drawn} if drawn else {}
    task = SimpleNamespace(examples=lambda split: examples, **drawing)
    task.offers = lambda protocol: isinstance(task, protocol)
    return task


def _marked(image, said):
    """Twice as wide, and painted with what is said."""
    return np.full((4, 12, 3), said["mark"], np.uint8)


@pytest.fixture
def artifacts():
    return {"baseline/float": _Artifact(1), "baseline/int8": _Artifact(2), "pruned/int8": _Artifact(3)}


def test_truth_float_and_the_row_stand_side_by_side(artifacts):
    found = Gallery(_task(_marked), artifacts).panels("pruned/int8", [7, 3])
    assert [{title: int(picture[0, 0, 0]) for title, picture in one.items()} for one in found] == [
        {"truth": 70, "float": 8, "compressed": 10}, {"truth": 30, "float": 4, "compressed": 6},
    ]  # fmt: skip
    assert found[0]["truth"].shape == (4, 12, 3)


def test_only_what_is_shown_is_read_and_predicted_and_only_by_the_two(artifacts):
    task = _task(_marked)
    Gallery(task, artifacts).panels("pruned/int8", [7, 3])
    assert task.examples("test").asked == [7, 3]
    assert [one.batches for one in artifacts.values()] == [[2], [], [2]]


def test_the_float_row_is_not_shown_beside_itself(artifacts):
    (found,) = Gallery(_task(_marked), artifacts).panels("baseline/float", [5])
    assert list(found) == ["truth", "float"]


def test_a_task_that_draws_nothing_has_no_panels_and_predicts_nothing(artifacts):
    assert Gallery(_task(None), artifacts).panels("pruned/int8", [5]) == []
    assert Gallery(_task(_marked), artifacts).panels("pruned/int8", []) == []
    assert all(one.batches == [] for one in artifacts.values())


def test_ordinary_examples_are_the_first_of_each_slice_then_evenly_spaced():
    gallery = Gallery(_task(_marked), {})
    # Fog begins at 20, rain and day at 0, night at 49; then 0, 9.8, 19.6, 29.4, 39.2, 49 without what is there.
    assert gallery.ordinary(2) == [20, 0]
    assert gallery.ordinary(6) == [20, 0, 49, 9, 19, 29]
