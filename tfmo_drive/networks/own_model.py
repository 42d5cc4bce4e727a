"""Reads a trained baseline: weights for a network of ours, or a user's own model of Keras 2 or 3."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

from tfmo_drive.base import finite
from tfmo_drive.base.given_file import reading, reads, reason
from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.outputs import names
from tfmo_drive.base.run_folder import read_facts
from tfmo_drive.contracts import BadInput
from tfmo_drive.data import preprocessing_text
from tfmo_drive.data.class_names import quoted
from tfmo_drive.data.images import MODES
from tfmo_drive.keras3 import archive, rebuilt
from tfmo_drive.keras3.exported import OTHER_PYTHON
from tfmo_drive.networks import (
    foreign_files,
    given_outputs,
    graph,
    operator_layers,
    plain_layers,
    shape_advice,
    shipped_layers,
    whole_precision,
)
from tfmo_drive.networks.hdf5_file import refuse_endless
from tfmo_drive.networks.model_code import refuse_code
from tfmo_drive.runtimes import given_tflite, tflite_model

_HOW_TO_SAVE = (
    "Give a file that model.save('model.keras') or model.save('model.h5') wrote, or of Keras 2 "
    "model.save_weights('weights.h5')."
)
_CUSTOM_LAYER = "A custom layer is not known here: replace it by built-in Keras layers, or save the model without it."
_OF_EXPORT = (
    "Save the model itself, model.save('model.keras'), or convert the folder, as tf.lite.TFLiteConverter"
    ".from_saved_model(folder).convert() does, and give the .tflite."
)
_UNKNOWN_CLASS = re.compile(r"Unknown (?:layer|object|\w+ function): '?\"?([\w.>]+)")
"""What Keras says of a class that it does not know, before it explains at length how one is made known."""
BOTH = "--set=task.inputs=image,speed"
"""What a user types so that a task that knows of speeds gives them to the model too."""
_UNITS = ("scale", "offset", "unit")
"""What of an output's `decode` says how its numbers are meant."""


def is_whole_model(path: Path, setting: str = "task.baseline") -> bool:
    """Says whether the file holds a model (its layers and weights) rather than weights alone.

    Raises BadInput for neither.
    """
    if not path.exists():
        raise BadInput(f"{setting}: there is no {path}. Give a .keras, .h5 or .tflite file, or a SavedModel.")
    foreign_files.refuse(path, setting)
    if given_tflite.is_tflite(path):
        return True
    if path.suffix == ".keras":
        _refuse_version(archive.described(path, setting, _HOW_TO_SAVE)[0], f"{setting}: {path}")
        return True
    if path.is_dir():
        if (path / "saved_model.pb").is_file() and not (path / "keras_metadata.pb").is_file():
            raise BadInput(f"{setting}: {path} is a SavedModel without Keras's layers, as exports are. {_OF_EXPORT}")
        if not (path / "saved_model.pb").is_file():
            raise BadInput(f"{setting}: {path} is a folder, and no SavedModel (there is no saved_model.pb in it).")
        return True
    with reading(path, "a Keras .h5 file", _HOW_TO_SAVE, setting):
        refuse_endless(path, setting)
        with h5py.File(path) as file:
            _refuse_version(_version(path), f"{setting}: {path}")
            if "model_config" in file.attrs:
                return True
            if "layer_names" in file.attrs:
                return False
            if "layers" in file:
                raise BadInput(
                    f"{setting}: {path} holds weights alone, as Keras 3 writes them, and they name no layer. Save the "
                    "whole model: model.save('model.keras')."
                )
    raise BadInput(f"{setting}: {path} is HDF5, but holds neither a Keras model nor Keras weights. {_HOW_TO_SAVE}")


def _version(path: Path) -> str:
    """Returns the version of Keras that wrote the file, as it says itself; "2" where it says nothing."""
    if path.suffix == ".keras":
        return archive.described(path, "", "")[0]
    if path.is_dir():
        return "2"
    with h5py.File(path) as file:
        version = file.attrs.get("keras_version", "2")
        return version.decode() if isinstance(version, bytes) else str(version)


def _refuse_version(version: str, subject: str) -> None:
    major = version.split(".")[0]
    if major == "1":
        raise BadInput(
            f"{subject} was written by Keras {version}, whose layers have other names and settings. Load it with Keras "
            "2.0 to 2.2, which translates them, and save it again: model.save('model.h5')."
        )
    if major not in ("2", "3"):
        raise BadInput(f"{subject} was written by Keras {version}, which is not known here. {_HOW_TO_SAVE}")


def is_stage(path: Path) -> bool:
    """Says whether the file is a stage of an earlier run.

    A stage tells how its inputs were made and what its outputs mean.
    """
    return made_here(path) or (path.name == "model.h5" and (path.parent / "stage.json").is_file())


def made_here(path: Path) -> bool:
    """Says whether the file is a `.tflite` of this program, which takes raw inputs and says what its outputs mean.

    Raises BadInput where one was changed since it was written.
    """
    return path.is_file() and given_tflite.is_tflite(path) and bool(given_tflite.metadata(path))


def units(metadata: Mapping[str, Any]) -> dict[str, float | str]:
    """Returns the settings of a task's metadata that give a model's numbers their meaning.

    A stage's file must agree with them.
    """
    parts = metadata.get("parts") or {"": metadata}
    said = {
        f"{part}.{key}".lstrip("."): one.get("decode", {}).get(key) for part, one in parts.items() for key in _UNITS
    }
    return {name: value for name, value in said.items() if value is not None}


def refuse_other_stage(
    path: Path, preprocessing: str, metadata: Mapping[str, Any], setting: str = "task.baseline"
) -> None:
    """Raises BadInput where an earlier run's stage was trained on other inputs or outputs than the task has.

    Args:
        path: The stage's model.
        preprocessing: The name of the task's preprocessing.
        metadata: The task's metadata.
        setting: The setting that names the model, with which the line begins.
    """
    labels, known = metadata.get("labels"), units(metadata)
    facts = _facts(given_tflite.metadata(path)) if made_here(path) else read_facts(path.parent)
    if facts.get("preprocessing", preprocessing) != preprocessing:
        advice = (
            f"Add --set=task.preprocessing_name={facts['preprocessing']}."
            if preprocessing_text.is_known(facts["preprocessing"])
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
    if facts.get("units", known) != known:
        raise BadInput(
            f"{setting}: {path} was trained to give numbers of another unit ({_said(facts['units'])}) than the task's "
            f"({_said(known)}). Give the data and the settings that it was trained with."
        )


def _facts(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a file's metadata says, as the facts of a stage."""
    return {"labels": metadata.get("labels"), "units": units(metadata)}


def _said(values: Mapping[str, float | str]) -> str:
    told = {name: value if isinstance(value, str) else f"{value:g}" for name, value in values.items()}
    return ", ".join(f"{name} {value}" for name, value in told.items()) or "none"


@dataclasses.dataclass(frozen=True)
class Signature:
    """Describes the shapes that a model must take and give for one example."""

    input: tuple[int, ...]
    """(height, width, channels) for images, (columns,) for rows."""
    outputs: Mapping[str, tuple[int, ...]]
    """Shapes by name; where there is only one, it may be called anything."""
    some: bool = False
    """Whether some of the outputs are enough, if the model gives them these names."""
    inputs: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    """The shapes of several inputs by name; of only one, which may be called anything, {}."""
    order: tuple[str, ...] | None = None
    """The outputs' names in the model's order (networks.given_outputs); (): not said, None: no setting says it."""

    @classmethod
    def of(cls, model: keras.Model, some: bool = False) -> Signature:
        """Returns the signature of `model`."""
        shapes = {name: tuple(one.shape[1:]) for name, one in zip(names(model), model.outputs, strict=True)}
        taken = {name: tuple(one.shape[1:]) for name, one in zip(model.input_names, model.inputs, strict=True)}
        return cls(next(iter(taken.values())), shapes, some, taken if len(taken) > 1 else {})

    def asked_of(self, model: keras.Model) -> Signature:
        """Returns the signature to ask of `model`.

        That is this one, or only those outputs that the model names, where some are enough.
        """
        given = names(model)
        if not self.some or not set(given) <= set(self.outputs):
            return self
        return dataclasses.replace(self, outputs={name: self.outputs[name] for name in given})


def load(path: Path, setting: str, allow_code: bool) -> keras.Model:
    """Returns the whole model in a `.keras` or HDF5 file of Keras 2 or 3, or in a SavedModel folder.

    Raises BadInput where it holds code that would run (model_code), unless `allow_code`, and where Keras cannot build
    it.
    """
    if not allow_code:
        refuse_code(path, setting)
    if _version(path).startswith("3"):
        return rebuilt.read(path, setting, allow_code)
    if path.suffix == ".keras":
        refuse_endless(path, setting)
    try:
        known = shipped_layers.CLASSES
        return keras.models.load_model(str(path), custom_objects=known, compile=False, safe_mode=not allow_code)
    except Exception as error:  # Keras raises many kinds for what it cannot deserialize
        advice = OTHER_PYTHON if "marshal" in str(error) else _CUSTOM_LAYER
        unknown = _UNKNOWN_CLASS.search(str(error))
        why = f"it has {unknown[1]}, which is none of Keras's own" if unknown else reason(error)
        raise BadInput(f"{setting}: {path} cannot be rebuilt: {why}. {advice}") from error


@reads("a model that can be taken", "Save it again with tf_keras.")
def read_model(
    path: Path, signature: Signature, setting: str = "task.baseline", *, allow_code: bool = False
) -> keras.Model:
    """Returns a user's functional model, flat, whose inputs and outputs fit the signature.

    Args:
        path: A `.keras` or HDF5 file, or a SavedModel folder.
        signature: The shapes that it must take and give.
        setting: The setting that names the model, with which the line begins.
        allow_code: Whether code inside the file, such as a Lambda layer's, may run.

    Raises:
        BadInput: Something does not fit, a layer's weights are not finite, or the file holds code and must not.
    """
    subject = f"{setting}: {path}"
    if given_tflite.is_tflite(path):
        if signature.order:
            raise BadInput(f"{subject} is a .tflite, whose outputs keep their names. Leave task.given_outputs out.")
        return _fitting(tflite_model.model_of(given_tflite.read(path, setting)), subject, signature)
    model = functional(load(path, setting, allow_code), subject)
    # A SavedModel brings its custom layers back as traced functions, which no step can copy or quantise.
    revived = [type(layer).__name__ for layer in graph.flat_layers(model) if "saved_model" in type(layer).__module__]
    if revived:
        raise BadInput(f"{subject} has the layer {revived[0]}. {_CUSTOM_LAYER}")
    model = given_outputs.named(model, signature.order, signature.outputs, subject)
    model, signature = _sized(model, signature.input), signature.asked_of(model)
    _fitting(model, subject, signature)
    model = _plain(keras.Model(model.inputs, model.outputs, name=model.name), subject)
    if _one_for_two(Signature.of(model), signature):
        model = given_outputs.of_one_sigmoid(model, subject)
    model.trainable = True  # a backbone frozen for transfer learning must follow what a step does to it
    return model


def _fitting(model: keras.Model, subject: str, signature: Signature) -> keras.Model:
    """Returns the model; raises BadInput where its inputs and outputs are not those of the signature."""
    signature = signature.asked_of(model)
    _check_count(model, subject, signature)
    if signature.inputs:
        _check_several(model, subject, signature.inputs)
    else:
        (_check_row if len(signature.input) == 1 else _check_image)(model, subject, signature.input)
    _check_outputs(model, subject, signature)
    if tflite_model.file_of(model) and _one_for_two(Signature.of(model), signature):
        raise BadInput(
            f"{subject} gives one number for two classes. Convert a model that gives both: keras.layers.Concatenate()"
            "([1 - model.output, model.output])."
        )
    return model


def taken(model: keras.Model, subject: str) -> keras.Model:
    """Returns a user's model in memory as `read_model` gives it from a file: functional, flat, in new variables.

    Raises BadInput, which begins with `subject`, for a subclassed model, and weights that are not finite.
    """
    model = _plain(graph.copied(functional(model, subject)), subject)
    model.trainable = True
    return model


def functional(model: keras.Model, subject: str) -> keras.Model:
    """Returns the model itself, the functional one of a Sequential, or, of half precision, a copy in float32.

    Raises BadInput where there is none.
    """
    if isinstance(model, keras.Sequential) and not model.inputs:
        raise BadInput(f"{subject} does not know the shape of its input. Begin it with keras.Input(shape).")
    _refuse_subclassed(model, subject)
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    return whole_precision.in_float32(model, subject)


def _plain(model: keras.Model, subject: str) -> keras.Model:
    """Returns the flat model, every layer one operator; raises BadInput for equal names and weights not finite."""
    try:
        model = plain_layers.split(operator_layers.opened(graph.flat(model)))
    except BadInput as error:
        raise BadInput(f"{subject}: {error} Give every layer a name of its own.") from error
    finite.refuse_weights(model, subject)
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


def _sized(model: keras.Model, shape: tuple[int, ...]) -> keras.Model:
    """Returns the model itself, or one for images of this shape where it takes some of any size."""
    taken = model.inputs[0].shape[1:] if len(model.inputs) == 1 else ()
    open_ = None in taken and len(taken) == len(shape) == 3
    if not open_ or any(side not in (None, wanted) for side, wanted in zip(taken, shape, strict=True)):
        return model
    image = keras.Input(shape, name=model.input_names[0])
    return graph.flat(keras.Model(image, model(image), name=model.name))


def _check_count(model: keras.Model, subject: str, signature: Signature):
    count, several = len(signature.outputs), signature.inputs
    if len(model.inputs) != max(1, len(several)) or len(model.outputs) != count:
        taken = f"{len(several)} inputs ({quoted(list(several))})" if several else "one input"
        wanted = "one output" if count == 1 else f"{count} outputs: {quoted(list(signature.outputs))}"
        steers = count == 1 and not several and len(model.inputs) == 2
        advice = f" Lane keeping takes a speed too: {BOTH}." if steers else ""
        if count > 1 and [tuple(one.shape[1:]) for one in model.outputs] == [(count,)]:
            advice += _order_advice(signature)
        elif len(model.inputs) > 1 and not several and not steers:
            advice += f" {shape_advice.on_inputs(list(Signature.of(model).outputs.values()))}"
        elif len(model.outputs) != count > 1:
            advice += f" {shape_advice.on_outputs(Signature.of(model).outputs, signature.outputs)}"
        raise BadInput(
            f"{subject} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; the task "
            f"takes {taken} and gives {wanted}.{advice}"
        )


def _check_several(model: keras.Model, subject: str, wanted: Mapping[str, tuple[int, ...]]):
    found = Signature.of(model).inputs
    if found != wanted:
        raise BadInput(
            f"{subject} takes {dict(found)}, the task {dict(wanted)}. Name and shape its inputs so, as in "
            f"keras.Input({next(iter(wanted.values()))}, name={next(iter(wanted))!r})."
        )


def _check_outputs(model: keras.Model, subject: str, signature: Signature):
    found = Signature.of(model).outputs
    if len(found) > 1 and found != signature.outputs:
        alike = sorted(found.values()) == sorted(signature.outputs.values())
        raise BadInput(
            f"{subject} gives {dict(found)}, the task {dict(signature.outputs)}."
            + (alike and _order_advice(signature) or f" {shape_advice.on_outputs(found, signature.outputs)}")
        )
    if _one_for_two(Signature.of(model), signature):
        return
    (shape, *others), (wanted, *_) = found.values(), signature.outputs.values()
    if not others and shape != wanted:
        said = (f"{wanted[-1]} classes" if wanted[-1] > 1 else "one number to predict") if len(wanted) == 1 else wanted
        advice = shape_advice.on_output(shape, wanted)
        raise BadInput(f"{subject} gives outputs of shape {shape}, the data has {said}. {advice}")


def _order_advice(signature: Signature) -> str:
    """Returns how a user says which output is which; "" where no setting takes it."""
    if signature.order is None:
        return ""
    return f" Say which is which, in the model's order: --set=task.given_outputs={','.join(signature.outputs)}."


def _one_for_two(given: Signature, wanted: Signature) -> bool:
    """Says whether a model gives one number where the data has two classes, of an image or of each pixel."""
    shapes = [list(signature.outputs.values()) for signature in (given, wanted)]
    return shapes == [[(*shape[:-1], end)] for shape in shapes[1][:1] for end in (1, 2)]


def refuse_channels_first(shape: tuple[int | None, ...], subject: str):
    """Raises BadInput, which begins with `subject`, for a model whose images are of shape (channels, height, width)."""
    raise BadInput(
        f"{subject} takes channels first, {'x'.join(map(str, shape))}, as PyTorch does; images come channels last. "
        "Make it again so: onnx2tf does, and litert_torch.to_channel_last_io(model, args=[0])."
    )


def _check_row(model: keras.Model, subject: str, shape: tuple[int, ...]):
    if model.input_shape[1:] != shape:
        raise BadInput(
            f"{subject} takes inputs of shape {model.input_shape[1:]}, the task gives rows of {shape[0]} columns. "
            "Say which with --set=task.columns.inputs=a,b,c."
        )


def _check_image(model: keras.Model, subject: str, shape: tuple[int, ...]):
    if len(model.input_shape) != 4 or None in model.input_shape[1:]:
        raise BadInput(
            f"{subject} takes inputs of shape {model.input_shape[1:]}, not images of one size. "
            + shape_advice.on_input(model.input_shape[1:], shape)
        )
    height, width, channels = model.input_shape[1:]
    if (height, width, channels) == (shape[2], *shape[:2]) != shape:
        refuse_channels_first((height, width, channels), subject)
    if (height, width, channels) != shape:
        square = height == width and shape[0] == shape[1]  # a task on square images may take one number
        size = height if square else f"{height},{width}"
        sized = f"Add --set=task.image_size={size}." if (height, width) != shape[:2] else ""
        raise BadInput(
            f"{subject} takes images of {height}x{width}x{channels}, the task gives {'x'.join(map(str, shape))}. "
            + " ".join(filter(None, (sized, _coloured(channels, shape[2]))))
        )


def _coloured(channels: int, given: int) -> str:
    """Returns what to type so that images have as many channels as a model takes; "" where they have them."""
    if channels == given:
        return ""
    if channels not in MODES:
        return "Build it for 1 channel (grey), 3 (RGB) or 4 (RGB and alpha)."
    text = preprocessing_text.EXAMPLES[channels]
    return f"Say how its {MODES[channels]} was made, as --set=task.preprocessing_name={text}."
