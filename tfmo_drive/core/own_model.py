"""Reading a trained baseline: weights for a network of ours, or a user's own functional Keras 2 model."""

from __future__ import annotations

from pathlib import Path

import h5py

from tfmo_drive.contracts import BadInput
from tfmo_drive.core import graph
from tfmo_drive.core.class_names import quoted
from tfmo_drive.core.images import PREPROCESSINGS
from tfmo_drive.core.keras2 import keras
from tfmo_drive.core.run_folder import read_facts

_HOW_TO_SAVE = "Give a file that tf_keras wrote with model.save('model.h5') or model.save_weights('weights.h5')."

_CUSTOM_LAYER = "A custom layer is not known here: replace it by built-in Keras layers, or save the model without it."


def is_whole_model(path: Path, setting: str = "task.baseline") -> bool:
    """Whether the file holds a model (its layers and weights) rather than weights alone. BadInput if it is neither."""
    if not path.exists():
        raise BadInput(f"{setting}: there is no {path}. Give a Keras 2 .h5 file or a SavedModel folder.")
    if path.suffix == ".keras":
        raise BadInput(
            f"{setting}: {path} is a Keras 3 file, and tfmot works on Keras 2. Save it again with tf_keras: "
            "model.save('model.h5') under TF_USE_LEGACY_KERAS=1 (rebuild the model there and load its weights)."
        )
    if path.is_dir():
        if not (path / "saved_model.pb").is_file() or not (path / "keras_metadata.pb").is_file():
            raise BadInput(
                f"{setting}: {path} is not a Keras 2 SavedModel (it needs saved_model.pb and keras_metadata.pb, as "
                "model.save(folder, save_format='tf') of tf_keras writes)."
            )
        return True
    try:
        with h5py.File(path) as file:
            if str(file.attrs.get("keras_version", "2")).startswith("3"):
                raise BadInput(f"{setting}: {path} was written by Keras 3. {_HOW_TO_SAVE}")
            if "model_config" in file.attrs:
                return True
            if "layer_names" in file.attrs:
                return False
    except OSError as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{setting}: {path} is not a Keras 2 .h5 file ({reason}). {_HOW_TO_SAVE}") from error
    raise BadInput(f"{setting}: {path} is HDF5, but holds neither a Keras model nor Keras weights. {_HOW_TO_SAVE}")


def is_stage(path: Path) -> bool:
    """Whether the file is a stage of an earlier run, which says how its inputs were made and what its outputs mean."""
    return path.name == "model.h5" and (path.parent / "stage.json").is_file()


def refuse_other_stage(
    path: Path, preprocessing: str, labels: list[str] | None, setting: str = "task.baseline"
) -> None:
    """BadInput where an earlier run's stage was trained on other inputs or outputs than the task has."""
    facts = read_facts(path.parent)
    if facts.get("preprocessing", preprocessing) != preprocessing:
        advice = (
            f"Add --set=task.preprocessing_name={facts['preprocessing']}."
            if facts["preprocessing"] in PREPROCESSINGS
            else "Give the data and the splits that it was trained on."
        )
        raise BadInput(
            f"{setting}: {path} was trained on {facts['preprocessing']} preprocessing, the task has {preprocessing}. "
            + advice
        )
    if (facts.get("labels") or labels) != labels:
        raise BadInput(
            f"{setting}: {path} was trained on other classes, or in another order ({quoted(facts['labels'])}). "
            "Name them in its order with --set=task.classes=classes.txt."
        )


def read_model(path: Path, size: int, outputs: int, setting: str = "task.baseline", rows: bool = False) -> keras.Model:
    """A user's functional model, flat (models inside it are opened): input [b, size, size, 3] (rows: [b, size]), output
    [b, outputs].

    Raises BadInput that says what does not fit.
    """
    try:
        model = keras.models.load_model(str(path), compile=False)
    except Exception as error:  # Keras raises many kinds for what it cannot deserialize
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{setting}: {path} cannot be rebuilt: {reason} {_CUSTOM_LAYER}") from error
    _refuse_subclassed(model, f"{setting}: {path}")
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    # A SavedModel brings its custom layers back as traced functions, which no step can copy or quantise.
    revived = [type(layer).__name__ for layer in graph.flat_layers(model) if "saved_model" in type(layer).__module__]
    if revived:
        raise BadInput(f"{setting}: {path} has the layer {revived[0]}. {_CUSTOM_LAYER}")
    subject = f"{setting}: {path}"
    _check_ends(model, subject)
    (_check_row if rows else _check_image)(model, subject, size)
    if model.output_shape[1:] != (outputs,):
        raise BadInput(
            f"{subject} gives outputs of shape {model.output_shape[1:]}, the data has "
            f"{f'{outputs} classes' if outputs > 1 else 'one number to predict'}. "
            "Give the data the model was trained on, or its class names with --set=task.classes=classes.txt."
        )
    try:
        model = graph.flat(model)
    except BadInput as error:
        raise BadInput(f"{subject}: {error} Give every layer a name of its own.") from error
    model.trainable = True  # a backbone frozen for transfer learning must follow what a step does to it
    return model


def _refuse_subclassed(model: keras.Model, subject: str, inside: str = "is"):
    if not getattr(model, "_is_graph_network", False):
        raise BadInput(
            f"{subject} {inside} a subclassed model, whose graph no step can see. Make it functional: "
            "keras.Model(inputs, outputs) from its layers."
        )
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _refuse_subclassed(layer, subject, f"holds {layer.name},")


def _check_ends(model: keras.Model, subject: str):
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise BadInput(
            f"{subject} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; the task "
            "takes one input and gives one vector."
        )


def _check_row(model: keras.Model, subject: str, size: int):
    if model.input_shape[1:] != (size,):
        raise BadInput(
            f"{subject} takes inputs of shape {model.input_shape[1:]}, the task gives rows of {size} columns. "
            "Say which with --set=task.columns.inputs=a,b,c."
        )


def _check_image(model: keras.Model, subject: str, size: int):
    if len(model.input_shape) != 4 or None in model.input_shape[1:]:
        raise BadInput(
            f"{subject} takes inputs of shape {model.input_shape[1:]}, not images of one size. Build it "
            f"with keras.Input(({size}, {size}, 3))."
        )
    height, width, channels = model.input_shape[1:]
    if (height, width, channels) != (size, size, 3):
        raise BadInput(
            f"{subject} takes images of {height}x{width}x{channels}, the task gives {size}x{size}x3. "
            + (f"Add --set=task.image_size={height}." if (height, channels) == (width, 3) else "It must be square RGB.")
        )
