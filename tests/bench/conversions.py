"""Conversions: from one frozen graph, against one SavedModel round trip per artifact."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tf2onnx

from tests.bench.interleaving import ratio, turns
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import Context
from tfmo_drive.targets.litert import LiteRTDynamic, LiteRTFloat16, LiteRTFloat32, LiteRTInt8, LiteRTInt16x8
from tfmo_drive.targets.onnx import OnnxFloat32
from tfmo_drive.tasks.classification import Classification, Scenes
from tfmo_drive.training import trained_step

IMAGES = 100
INT16X8 = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8


def _context(workdir: str) -> Context:
    task = Classification(scenes=Scenes(train=256, val=64, test=64))
    return Context(task, task.build(), (), Path(workdir), seed=0)


def _copies(context: Context, count: int) -> Iterator[keras.Model]:
    """A new model for each turn, so that nothing frozen or converted before is found again; made before the clock."""
    return iter([trained_step.copy(context.baseline) for _ in range(count)])


def _ours(model: keras.Model, context: Context, targets) -> None:
    for target in targets:
        with tempfile.TemporaryDirectory() as folder:
            target(model, Path(folder), dataclasses.replace(context, baseline=model))


def _from_keras_model(model: keras.Model, context: Context, integer=False, types=(), optimized=True) -> None:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT] if optimized else []
    converter.target_spec.supported_types = list(types)
    if integer:
        pixels = context.task.preprocessing(context.calibration(IMAGES))
        converter.representative_dataset = lambda: ([image[None]] for image in pixels)
        converter.target_spec.supported_ops = [integer]
    if integer == tf.lite.OpsSet.TFLITE_BUILTINS_INT8:
        converter.inference_input_type = converter.inference_output_type = tf.int8
    converter.convert()


def _stock_int8(model: keras.Model, context: Context) -> None:
    _from_keras_model(model, context, integer=tf.lite.OpsSet.TFLITE_BUILTINS_INT8)


def _stock_artifacts(model: keras.Model, context: Context) -> None:
    _from_keras_model(model, context, optimized=False)
    _from_keras_model(model, context, types=[tf.float16])
    _from_keras_model(model, context)
    _stock_int8(model, context)
    _from_keras_model(model, context, integer=INT16X8)
    model.output_names = [model.layers[-1].name]  # tf2onnx reads an attribute that Keras 2 names so
    tf2onnx.convert.from_keras(model, [tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="image")])


def int8_conversion(rounds: int = 3) -> dict:
    """Full-integer int8 with 100 calibration images, freezing included."""
    with tempfile.TemporaryDirectory() as workdir:
        context = _context(workdir)
        targets, models = (LiteRTInt8(calibration_images=IMAGES),), _copies(context, 2 * rounds)
        runs = {
            "ours": lambda: _ours(next(models), context, targets),
            "reference": lambda: _stock_int8(next(models), context),
        }
        return ratio(turns(runs, rounds), 0.40)


def all_artifacts(rounds: int = 2) -> dict:
    """Five LiteRT files and the float ONNX of one model."""
    targets = (LiteRTFloat32(), LiteRTFloat16(), LiteRTDynamic(), LiteRTInt8(), LiteRTInt16x8(), OnnxFloat32())
    with tempfile.TemporaryDirectory() as workdir:
        context = _context(workdir)
        models = _copies(context, 2 * rounds)
        runs = {
            "ours": lambda: _ours(next(models), context, targets),
            "reference": lambda: _stock_artifacts(next(models), context),
        }
        return ratio(turns(runs, rounds), 0.40)
