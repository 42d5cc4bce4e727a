"""Saves the models of keras3_models.py; a program, for a process of its own with Keras 3.

    keras3_writer.py FOLDER

writes FOLDER/<name>.keras (or .h5), and FOLDER/<name>.npz: random inputs, and what Keras 3 answers to them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from keras3_models import IN_HDF5, KEPT, REFUSED


def moved(keras, model):
    """Gives every weight another value, as training does; what is left at its start would be equal by chance."""
    random = np.random.default_rng(1)
    for weight in model.weights:
        values = np.asarray(weight).astype(np.float32)
        positive = any(word in weight.path for word in ("variance", "gamma"))
        noise = random.uniform(0, 0.2, values.shape) if positive else random.normal(0, 0.05, values.shape)
        learnt_of_data = weight.path.startswith("normalization")
        if np.isfinite(values).all() and "float" in str(weight.dtype) and not learnt_of_data:
            weight.assign(values + noise)


def answers(keras, model):
    """Random inputs, and what the model predicts for them."""
    random = np.random.default_rng(2)
    flat = keras.tree.flatten(getattr(model, "_functional", model)._inputs_struct)
    inputs = [
        random.integers(0, 10, (3, *one.shape[1:])).astype(one.dtype) if "int" in one.dtype
        else random.uniform(-1, 3, (3, *(side or 12 for side in one.shape[1:]))).astype(np.float32) for one in flat
    ]  # fmt: skip
    packed = keras.tree.pack_sequence_as(getattr(model, "_functional", model)._inputs_struct, inputs)
    outputs = keras.tree.flatten(model(packed, training=False))
    return {f"input_{place}": one for place, one in enumerate(inputs)} | {
        f"output_{place}": np.asarray(one).astype(np.float32) for place, one in enumerate(outputs)
    }


def main(folder: Path) -> None:
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    import keras

    for name, make in {**KEPT, **{name: make for name, (make, _) in REFUSED.items()}}.items():
        keras.utils.set_random_seed(0)
        model = make(keras)
        if name in KEPT:
            moved(keras, model)
            np.savez(folder / f"{name}.npz", **answers(keras, model))
        model.save(folder / f"{name}.keras")
        if name in IN_HDF5:
            model.save(folder / f"{name}.h5")
    keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)]).save_weights(folder / "alone.weights.h5")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
