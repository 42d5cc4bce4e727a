"""ONNX targets: the same numbers as LiteRT, integer weights in the int8 file, metadata inside."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.contracts import BadInput
from tfmo_drive.runtimes import artifact_metadata, onnx_file
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.targets.onnx import OnnxFloat32, OnnxInt8


def test_float_onnx_says_what_litert_says(model, context, images, expected):
    ours = OnnxFloat32()(model, context.workdir, context)
    litert = LiteRTFloat32()(model, context.workdir, context)
    assert np.allclose(ours.predict(images), expected(model, images), atol=1e-4)
    assert ours.macs() == litert.macs()
    kernels, theirs = ours.weights(), litert.weights()
    assert {k for k in kernels if k.endswith("/kernel")} == {k for k in theirs if k.endswith("/kernel")}
    assert sum(v.size for v in kernels.values()) == sum(v.size for v in theirs.values())


@pytest.mark.parametrize("which", ["model", "aware"])
def test_int8_onnx_holds_the_integers_of_the_int8_tflite(which, request, context, images):
    network = request.getfixturevalue(which)
    ours = OnnxInt8(calibration_images=20)(network, context.workdir, context)
    litert = LiteRTInt8(calibration_images=20)(network, context.workdir, context)
    end = artifact_metadata.read(ours.path)["tensors"]["inputs"][0]
    assert (end["name"], end["dtype"], end["scale"], end["zero_point"]) == ("image", "int8", 1.0, -128)
    assert {v.dtype.name for v in ours.weights().values()} <= {"int8", "int32"}
    assert sorted(np.abs(v.astype(int)).sum() for v in ours.weights().values()) == sorted(
        np.abs(v.astype(int)).sum() for v in litert.weights().values()
    )
    step = onnx_file.quantization(ours.path)["logits"][0]
    assert np.abs(ours.predict(images) - litert.predict(images)).max() <= 3 * step
    assert ours.macs() == litert.macs()


def test_metadata_names_the_target(model, context):
    described = artifact_metadata.read(OnnxFloat32()(model, context.workdir, context).path)
    assert described["target"] == "onnx_float32" and described["labels"][0] == "a"
    assert described["tensors"]["inputs"] == [{"name": "image", "shape": [1, 32, 32, 3], "dtype": "float32"}]
    assert described["tensors"]["outputs"] == [{"name": "logits", "shape": [1, 5], "dtype": "float32"}]


def test_float_onnx_refuses_a_quantize_aware_model(aware, context):
    with pytest.raises(BadInput, match="Use OnnxInt8"):
        OnnxFloat32()(aware, context.workdir, context)


def test_bad_settings_are_refused():
    with pytest.raises(BadInput, match="OnnxFloat32.threads must be at least 1, got 0"):
        OnnxFloat32(threads=0)
    with pytest.raises(BadInput, match="OnnxInt8.calibration_images must be at least 1, got -1"):
        OnnxInt8(calibration_images=-1)
