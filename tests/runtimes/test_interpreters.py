"""As many interpreters as threads: the same answers in the same order, and all outputs by name."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from tfmo_drive.contracts import BadInput
from tfmo_drive.runtimes.interpreters import LiteRTArtifact
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8


@pytest.fixture(scope="module", params=[LiteRTFloat32(), LiteRTInt8(calibration_images=8)], ids=lambda one: one.name)
def path(request, detector, tmp_path_factory):
    place = detector()
    return request.param(place.baseline, tmp_path_factory.mktemp("file"), place).path


@pytest.fixture(scope="module")
def images(detector):
    return detector().task.examples("test").read(np.arange(7))[0]


@pytest.mark.parametrize("kernels", ["xnnpack", "reference"])
def test_several_threads_give_what_one_gives(path, images, kernels):
    """Images are shared out among interpreters of one thread each; the reference kernels are exact in any order."""
    alone = LiteRTArtifact(path, threads=1, kernels=kernels).outputs(images)
    assert list(alone) == ["scores", "boxes"] and alone["boxes"].shape == (7, 16, 24, 4)
    for threads in (2, 3, 9):  # more than images too
        found = LiteRTArtifact(path, threads=threads, kernels=kernels).outputs(images)
        for name, values in alone.items():
            np.testing.assert_array_equal(found[name], values, err_msg=f"{name} on {threads} threads")


def test_every_image_has_its_own_place(path, images):
    artifact = LiteRTArtifact(path, threads=2)
    together, back = artifact.predict(images), artifact.predict(images[::-1])
    for name, values in together.items():
        np.testing.assert_array_equal(values, back[name][::-1])
        assert np.abs(values[0] - values[1]).max() > 0, "two images differ"
        np.testing.assert_array_equal(artifact.predict(images[3:4])[name], values[3:4])


def test_no_image_is_no_output(path, images):
    found = LiteRTArtifact(path, threads=2).predict(images[:0])
    assert {name: one.shape for name, one in found.items()} == {"scores": (0, 16, 24, 6), "boxes": (0, 16, 24, 4)}


def test_timing_and_predicting_do_not_disturb_one_another(path, images):
    artifact = LiteRTArtifact(path, threads=2)
    before, run = artifact.predict(images), artifact.runner(images[2])
    run()
    after = artifact.predict(images)
    run()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


def test_it_is_timed_on_as_many_threads_as_one_asks_for_and_nothing_more_stays_open(path, images):
    artifact = LiteRTArtifact(path, threads=2)
    before = artifact.predict(images[:1])
    held = [artifact._interpreter, *artifact._workers]
    opened = [artifact.runner(images[0], threads).__self__ for threads in (None, 1, 2, 3)]
    assert opened[:3] == [held[0], held[1], held[0]] and opened[3] not in held
    left, _ = weakref.ref(opened.pop()), gc.collect()
    assert left() is None and [artifact._interpreter, *artifact._workers] == held
    for name, values in artifact.predict(images[:1]).items():
        np.testing.assert_array_equal(values, before[name])


def test_a_fault_in_a_worker_is_not_lost(tmp_path, images):
    (tmp_path / "broken.tflite").write_bytes(b"no model")
    with pytest.raises(BadInput, match="broken.tflite is not a TensorFlow Lite model"):
        LiteRTArtifact(tmp_path / "broken.tflite", threads=2).predict(images)
