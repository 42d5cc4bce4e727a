"""Makes a `.tflite` a Keras model of one layer that LiteRT runs: scored and described like any other, not changed.

Its input is what the file's own first operator takes, preprocessed float32; integers are converted on the way, with the
file's own scales.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.runtimes.flatbuffer_edit import Exposed, unpack
from tfmo_drive.runtimes.given_tflite import GivenTFLite

_open: dict[str, GivenTFLite] = {}
"""The files that are models of this process, by their digests: a layer's description must not hold a file."""


@keras.utils.register_keras_serializable("tfmo_drive")
class TFLiteGraph(keras.layers.Layer):
    """Runs a whole `.tflite`, example by example: float32 [b, ...] to one output, or several."""

    def __init__(self, file: GivenTFLite, **more: Any) -> None:
        super().__init__(**more)
        self.file = file
        self._runs: Exposed | None = None

    @property
    def unchangeable(self) -> str:
        """Returns why no step can change the model, and what to do."""
        return (
            f"{self.file.name}, which is a .tflite: its layers are finished. Give the Keras model that it was made "
            "from, or no steps (--experiment=post_training)."
        )

    def call(self, inputs: tf.Tensor) -> list[tf.Tensor]:
        """Returns the outputs, float32, in the order of the file's."""
        shapes = list(self.file.outputs.values())
        made = tf.nest.flatten(tf.numpy_function(self._answers, [inputs], [tf.float32] * len(shapes)))
        for tensor, shape in zip(made, shapes, strict=True):
            tensor.set_shape([inputs.shape[0], *shape])
        return made

    def _answers(self, batch: np.ndarray) -> list[np.ndarray]:
        if self._runs is None:
            model = unpack(self.file.content)
            self._runs = Exposed(model, [int(number) for number in model.subgraphs[0].outputs])
        found = [self._runs(one[None]) for one in batch]
        shapes = self.file.outputs.values()
        return [
            np.concatenate([one[place] for one in found]) if found else np.zeros((0, *shape), np.float32)
            for place, shape in enumerate(shapes)
        ]

    def get_config(self) -> dict[str, Any]:
        """Returns the layer's settings, with the file's digest in place of the file."""
        return super().get_config() | {"digest": self.file.digest, "computes": self.file.computes}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TFLiteGraph:
        """Returns the layer of a file that is open in this process; raises BadInput for another."""
        rest = {key: value for key, value in config.items() if key not in ("digest", "computes")}
        if config.get("digest") not in _open:
            raise BadInput("it only stands for a .tflite. Give that file itself.")
        return cls(_open[config["digest"]], **rest)


@keras.utils.register_keras_serializable("tfmo_drive")
class TFLiteOutput(keras.layers.Layer):
    """Gives an output of a `.tflite` its name; `symbol` is TensorFlow's name of the operator that it comes from."""

    def __init__(self, symbol: str = "", **more: Any) -> None:
        super().__init__(**more)
        self.symbol = symbol or "unknown"

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns its input."""
        return inputs

    def get_config(self) -> dict[str, Any]:
        """Returns the layer's settings."""
        return super().get_config() | {"symbol": self.symbol}


def model_of(file: GivenTFLite) -> keras.Model:
    """Returns the file as a Keras model, [b, ...] to its outputs by their names."""
    _open[file.digest] = file
    inputs = keras.Input(file.input_shape, name="given_input")
    made = TFLiteGraph(file, name="tflite_graph")(inputs)
    outputs = [TFLiteOutput(file.makers[name], name=name)(one) for name, one in zip(file.outputs, made, strict=True)]
    name = re.sub(r"\W", "_", file.path.stem)
    return keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0], name=name)


def file_of(model: keras.Model) -> GivenTFLite | None:
    """Returns the `.tflite` that a model is, or None of any other model."""
    return next((layer.file for layer in model.layers if isinstance(layer, TFLiteGraph)), None)
