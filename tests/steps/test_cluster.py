"""Clustering as a step: counts by hand, what stays untouched, resuming, and what is left of it in the int8 file."""

from __future__ import annotations

import dataclasses
import gzip
import re
from types import SimpleNamespace

import numpy as np
import pytest

from tfmo_drive.contracts import BrokenPromise
from tfmo_drive.networks import layers
from tfmo_drive.runtimes import artifact_metadata
from tfmo_drive.steps.cluster import Cluster, _in_channels, _in_integers
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.surgery import clusters
from tfmo_drive.targets.litert import LiteRTFloat16, LiteRTFloat32, LiteRTInt8
from tfmo_drive.targets.onnx import OnnxFloat32, OnnxInt8

FAST = {"epochs": 1, "batch_size": 64, "learning_rate": 0.02}
SPARSE = Prune(sparsity=0.7, epochs=0)
CLUSTERED = Cluster(clusters=6, preserve="sparsity", **FAST)


def values(model) -> dict[str, np.ndarray]:
    return {kernel.name: kernel.variable.numpy() for kernel in layers.kernels(model)}


def test_global_counts_by_hand():
    """The typical size is exp(0.2 ln 100 + 0.8 ln 400) = 303.1, counts are 16 sqrt(303.1 / size), bits 4 on average."""
    step = Cluster(clusters=16, scope="global")
    found = step.counts({"a": 100, "b": 400})
    assert found == {"a": 28, "b": 14}
    assert 100 * np.log2(28) + 400 * np.log2(14) == pytest.approx(500 * 4, rel=0.01)
    assert Cluster(clusters=16).counts({"a": 100, "b": 400}) == {"a": 16, "b": 16}
    assert step.counts({"tiny": 9, "huge": 10**8}) == {"tiny": 255, "huge": 16}
    assert step.counts({}) == {}


def test_one_shot_clustering_rounds_kernels_and_leaves_the_rest(tiny_baseline, context):
    step = Cluster(clusters=5, epochs=0, skip=("logits",))
    rounded = step(tiny_baseline, context())
    step.check(rounded)
    old, new = values(tiny_baseline), values(rounded)
    np.testing.assert_array_equal(old.pop("logits"), new.pop("logits"))
    for name, kernel in new.items():
        found = np.unique(kernel)
        assert len(found) == 5, name
        np.testing.assert_allclose(kernel, found[np.abs(old[name][..., None] - found).argmin(-1)], atol=1e-6)
    for before, after in zip(tiny_baseline.weights, rounded.weights, strict=True):
        if "kernel" not in before.name:
            np.testing.assert_array_equal(before, after, err_msg=before.name)


def test_kernels_share_under_a_global_count(tiny_baseline, context):
    step = Cluster(clusters=8, scope="global", epochs=0)
    rounded = step(tiny_baseline, context())
    step.check(rounded)
    found = {name: len(np.unique(kernel)) for name, kernel in values(rounded).items()}
    sizes = {name: kernel.size for name, kernel in values(rounded).items()}
    assert found[min(sizes, key=sizes.get)] > 8 > found[max(sizes, key=sizes.get)]
    with pytest.raises(BrokenPromise, match=re.escape("7 shared weights per kernel on average")):
        dataclasses.replace(step, clusters=7).check(rounded)


@pytest.fixture(scope="module")
def chain(tiny_baseline, context):
    """Prune -> Cluster -> QuantizeAware, every step's model; the last in both ways of preserving."""
    sparse = SPARSE(tiny_baseline, context())
    clustered = CLUSTERED(sparse, context())
    quantized = {kept: QuantizeAware(preserve=kept, **FAST)(clustered, context())
                 for kept in ("sparsity+clusters", "sparsity")}  # fmt: skip
    return {"sparse": sparse, "clustered": clustered, **quantized}


def test_zeros_stay_zero_while_shared_weights_train(chain):
    sparse, clustered = values(chain["sparse"]), values(chain["clustered"])
    SPARSE.check(chain["clustered"])
    CLUSTERED.check(chain["clustered"])
    at_once = [np.unique(clusters.first_values(kernel, 6, CLUSTERED.start, True)) for kernel in sparse.values()]
    for (name, kernel), first in zip(clustered.items(), at_once, strict=True):
        assert (kernel[sparse[name] == 0] == 0).all(), name
        assert not np.isin(np.unique(kernel)[np.unique(kernel) != 0], first).any(), f"{name} did not train"


def test_quantize_aware_training_moves_the_values_and_keeps_who_shares_them(chain):
    for name, kernel in values(chain["sparsity+clusters"]).items():
        before = values(chain["clustered"])[name]
        after = {value: np.unique(kernel[before == value]) for value in np.unique(before)}
        assert {len(members) for members in after.values()} == {1}, name
        assert after.get(0, 0) == 0, name
        still = [value for value, members in after.items() if value and members == value]
        assert len(still) <= 1, f"{name}: a step of one value may be less than float32 holds, not of {still}"
    SPARSE.check(chain["sparsity+clusters"])
    CLUSTERED.check(chain["sparsity+clusters"])


def test_a_broken_promise_says_what_was_promised_and_what_is(chain):
    with pytest.raises(BrokenPromise, match=r"^Cluster promised .*; .* are allowed\.$"):
        CLUSTERED.check(chain["sparsity"])


@pytest.fixture(scope="module")
def file(chain, context, tmp_path_factory):
    """file(stage, target) -> the artifact."""
    return lambda stage, target: target(chain[stage], tmp_path_factory.mktemp("file"), context())


@pytest.mark.parametrize("target", [LiteRTInt8(), OnnxInt8()], ids=lambda target: target.name)
def test_the_int8_file_holds_zeros_and_shared_integers(target, file, tiny_baseline):
    artifact = file("sparsity+clusters", target)
    SPARSE.check_artifact(artifact)
    CLUSTERED.check_artifact(artifact)
    kernels = {name: value for name, value in artifact.weights().items() if layers.is_kernel(name, value)}
    assert len(kernels) == len(list(layers.kernels(tiny_baseline)))
    assert {value.dtype for value in kernels.values()} == {np.dtype(np.int8)}
    for name, kernel in kernels.items():
        assert len(np.unique(np.abs(kernel))) <= 6, name


def test_the_check_sees_integers_that_were_not_kept_together(file):
    artifact = file("sparsity", LiteRTInt8())
    SPARSE.check_artifact(artifact)
    with pytest.raises(BrokenPromise, match=r"has \d+ in .*model.tflite, 6 are allowed"):
        CLUSTERED.check_artifact(artifact)


def test_shared_integers_ship_in_fewer_bytes(file):
    """Of the weights alone: a tiny file is mostly names and scales. Large kernels gain more (experiments say)."""
    sizes = {}
    for kept in ("sparsity", "sparsity+clusters"):
        found = file(kept, LiteRTInt8()).weights()
        sizes[kept] = len(gzip.compress(b"".join(v.tobytes() for n, v in found.items() if layers.is_kernel(n, v)), 9))
    assert sizes["sparsity+clusters"] < 0.9 * sizes["sparsity"]


@pytest.mark.parametrize(
    "target", [LiteRTFloat32(), LiteRTFloat16(), LiteRTInt8(), OnnxFloat32()], ids=lambda target: target.name
)
def test_in_other_files_each_output_channel_keeps_the_promise(target, file):
    CLUSTERED.check_artifact(file("clustered", target))
    with pytest.raises(BrokenPromise, match="are allowed"):
        CLUSTERED.check_artifact(file("sparse", target))


def test_distinct_integers_by_hand():
    kernel = np.int8([[[[1, 0, 5]]], [[[-1, 0, -5]]]])  # [c_out, 1, 1, c_in], the second BatchNorm scale being negative
    assert (_in_channels(kernel), _in_integers(kernel), len(np.unique(kernel))) == (3, 3, 5)
    assert _in_integers(np.int8([[1, 2, 3], [4, 5, 6]])) == 6 and _in_channels(np.int8([[1, 2, 3], [4, 5, 6]])) == 2
    assert _in_integers(np.int8([[-128, 0], [127, 1]])) == 4


def test_the_file_says_whether_its_ranges_were_trained(file):
    paths = [file(stage, LiteRTInt8()).path for stage in ("sparse", "sparsity")]
    assert [artifact_metadata.read(path)["quantize_aware"] for path in paths] == [False, True]


def test_biases_and_depthwise_kernels_are_no_business_of_the_file_check(monkeypatch):
    many = np.arange(64, dtype=np.float32)
    found = {"a/kernel": np.zeros((2, 3, 3, 4)), "a/bias": many, "b/kernel": many.reshape(1, 2, 2, 16),
             "preprocessing/kernel": many.reshape(4, 1, 1, 16)}  # fmt: skip
    monkeypatch.setattr(artifact_metadata, "read", lambda path: {})
    Cluster(clusters=2).check_artifact(SimpleNamespace(weights=lambda: found, path="model.tflite"))


def test_interrupted_quantize_aware_training_goes_on_with_the_same_values(small_cnn, context, monkeypatch):
    """Killed as the second epoch begins. Cluster itself: tests/training/test_trained_step.py."""
    step = QuantizeAware(preserve="sparsity+clusters", **{**FAST, "epochs": 2})
    before = Cluster(clusters=6, preserve="sparsity", epochs=0)(SPARSE(small_cnn, context()), context())
    expected, place = step(before, context()), context()
    CLUSTERED.check(expected)
    begin = clusters.ShareWeights.on_epoch_begin

    def die(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt
        begin(self, epoch, logs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(clusters.ShareWeights, "on_epoch_begin", die)
        step(before, place)
    for ours, wanted in zip(step(before, place).get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, wanted)


def test_a_reloaded_stage_trained_on_keeps_zeros_and_shared_weights(chain, context, tmp_path):
    step = QuantizeAware(preserve="sparsity+clusters", **FAST)
    chain["sparsity+clusters"].save(tmp_path / "model.h5", include_optimizer=False)
    again = step.reload(chain["clustered"], tmp_path / "model.h5", context())
    for ours, wanted in zip(again.get_weights(), chain["sparsity+clusters"].get_weights(), strict=True):
        np.testing.assert_array_equal(ours, wanted)
    CLUSTERED.check(again)


def test_kernels_of_shared_weights_have_one_range_for_all_channels(chain, tiny_baseline):
    variables = {variable.name: variable.numpy() for variable in chain["sparsity+clusters"].variables}
    found = {name: ends for name, ends in variables.items() if name.endswith("kernel_max:0")}
    assert len(found) == len(list(layers.kernels(tiny_baseline)))
    for name, ends in found.items():
        assert np.ptp(ends) == 0 and ends.min() > 0, name
        np.testing.assert_array_equal(variables[name.replace("_max", "_min")], -ends)
