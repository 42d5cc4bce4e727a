"""Rebuilds a Keras 3 model in Keras 2, layer by layer, and proves by its answers that it is the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfmo_drive.base import finite
from tfmo_drive.base.given_file import reason
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.spelling import free_name
from tfmo_drive.contracts import BadInput
from tfmo_drive.keras3 import operations, settings
from tfmo_drive.keras3.differences import Differs
from tfmo_drive.keras3.exported import Exported, exported
from tfmo_drive.keras3.program import DRAWS, sampled

_TOLERANCE = 1e-4
"""How far an answer may be from Keras 3's, as a part of the answers' range."""
_ROUNDING = 1e-6
"""How far it may be as a part of its size, where all answers are alike: float32 rounds by 1e-7."""
_MANY, _MOST = 16, 5e-3
"""How many times as far it may be as rounding the inputs alone moves it, for every layer rounds; and the most of the
answers' range that this may be."""


def read(path: Path, setting: str, allow_code: bool) -> keras.Model:
    """Returns the model in a file that Keras 3 wrote, in Keras 2: functional, flat, with equal answers.

    Args:
        path: A `.keras` or `.h5` file.
        setting: The setting that names it, with which a line begins.
        allow_code: Whether code inside the file, such as a Lambda layer's, may run.

    Raises:
        BadInput: The file is damaged, Keras 2 has no such layer (the line names it), weights are not finite, or the
            rebuilt model gives other answers.
    """
    return rebuilt(exported(path, setting, allow_code), f"{setting}: {path}")


def rebuilt(told: Exported, subject: str) -> keras.Model:
    """Returns the model in Keras 2; raises BadInput, which begins with `subject`, where that cannot be, or differs."""
    builder = Builder(told)
    for number in builder.needed:
        layer = builder.layer_of(number)
        try:
            builder.add(number)
        except Exception as error:  # Keras raises what it likes of settings that it does not expect
            why = str(error) if isinstance(error, Differs) else reason(error)
            raise BadInput(
                f'{subject} was written by Keras 3, and its layer "{layer["name"]}" ({layer["class"]}) cannot be '
                f"rebuilt in Keras 2, on which tfmot works: {why}. Replace it by built-in layers that both have."
            ) from error
    model = builder.model()
    finite.refuse_weights(model, subject)
    for number, ours, theirs, rounding in builder.answers(model):
        if not _equal(ours, theirs, rounding):
            what = "the model" if number is None else f'the layer "{builder.layer_of(number)["name"]}"'
            raise BadInput(
                f"{subject} was written by Keras 3, and {what} gives other answers when it is rebuilt in Keras 2, on "
                "which tfmot works. Replace it by built-in layers that both have."
            )
    return model


class Builder:
    """A `Builder` makes the calls of an exported model again, with layers of Keras 2."""

    def __init__(self, told: Exported):
        self.told, self.description = told, told.description
        self.taken: set[str] = set()
        self.tensors: dict[int, Any] = {}
        self.inputs: list[Any] = []
        self.made: dict[int, list[Any]] = {}
        self.layers: dict[int, list[Callable[..., Any]]] = {}
        self.named = [_name(layer["name"]) for layer in self.description["layers"]]
        self.needed = _needed(self.description)
        outputs = set(self.description["outputs"])
        self.shown = {call["layer"] for call in self.description["calls"] if outputs & set(call["outputs"])}
        for one in self.description["inputs"]:
            dtype = "float32" if "float" in one["dtype"] else one["dtype"]
            made = keras.Input(one["shape"][1:], dtype=dtype, name=self._free(_name(one["name"])))
            self.inputs.append(made)
            self.tensors[one["tensor"]] = made

    def layer_of(self, number: int) -> dict[str, Any]:
        """Returns what the file says of the layer that the call of this number calls."""
        return self.description["layers"][self.description["calls"][number]["layer"]]

    def add(self, number: int) -> None:
        """Adds one call, and the layer at its first; raises Differs, or what Keras raises, where that cannot be."""
        call, told = self.description["calls"][number], self.layer_of(number)
        args, kwargs = self._filled(call["args"]), self._filled({"dict": _arguments(call, told)})
        if told["is_layer"]:
            answer = self._called(call["layer"], args, kwargs)
        else:
            answer = operations.applied(self._operation(call, args, kwargs))
        self.made[number] = tf.nest.flatten(answer)
        self.tensors.update(zip(call["outputs"], self.made[number], strict=True))

    def _called(self, key: int, args: list[Any], kwargs: dict[str, Any]) -> Any:
        first = key not in self.layers
        if first:
            name, told = self._free(self.named[key]), self.description["layers"][key]
            self.layers[key] = settings.layer(told, name, key in self.shown, self._free)
        body, *behind = self.layers[key]
        answer = body(*args, **kwargs)
        if first and isinstance(body, keras.layers.Layer):
            self._move_weights(body, self.description["layers"][key]["weights"])
        for one in behind:
            answer = one(answer)
        return answer

    def model(self) -> keras.Model:
        """Returns the model of all calls."""
        outputs = [self.tensors[one] for one in self.description["outputs"]]
        single = [one if len(one) > 1 else one[0] for one in (self.inputs, outputs)]
        return keras.Model(*single, name=_name(self.description["name"]))

    def answers(self, model: keras.Model) -> Iterator[tuple[int | None, np.ndarray, np.ndarray, float]]:
        """Yields the number of a call, or None for an output, its answers in Keras 2 and in Keras 3, and its rounding.

        The rounding is how far Keras 3's own answers move where every input is the float32 beside it.
        """
        arrays = self.told.arrays
        probe = keras.Model(model.inputs, [*model.outputs, *(one for made in self.made.values() for one in made)])
        for kind in DRAWS:
            inputs = [tf.constant(arrays[f"input_{kind}_{place}"]) for place in range(len(model.inputs))]
            with tf.device("/CPU:0"):  # a GPU may round to 10 bits
                found = iter([one.numpy() for one in probe(inputs, training=False)])
            outputs = [next(found) for _ in model.outputs]
            for number, made in self.made.items():
                for place in range(len(made)):
                    key = f"call_{kind}_{number}_{place}"
                    yield number, sampled(next(found)), arrays[key], float(arrays[f"rounding_{key}"])
            for place, output in enumerate(outputs):
                key = f"output_{kind}_{place}"
                yield None, output, arrays[key], float(arrays[f"rounding_{key}"])

    def _operation(self, call: dict[str, Any], args: list[Any], kwargs: dict[str, Any]) -> operations.Operation:
        layer = self.description["layers"][call["layer"]]
        return operations.Operation(
            kind=layer["class"],
            config={**kwargs, **layer["config"]},
            given=args,
            shape=tuple(call["shapes"][0]),
            name=self._free(self.named[call["layer"]]),
            free=self._free,
        )

    def _move_weights(self, layer: keras.layers.Layer, told: list[dict[str, Any]]) -> None:
        left = [(one["name"].split("/")[-1], self.told.arrays[one["array"]]) for one in told]
        layer.set_weights([_taken(weight, left) for weight in layer.weights])
        if left:
            raise Differs(f"Keras 2's has no weight {left[0][0]}")

    def _filled(self, value: Any) -> Any:
        """Returns arguments of a call as they were, with the tensors of Keras 2 in them."""
        if isinstance(value, list):
            return [self._filled(one) for one in value]
        if not isinstance(value, dict) or "slice" in value or "ellipsis" in value:
            return value
        if "tensor" in value:
            return self.tensors[value["tensor"]]
        if "dict" in value:
            return {name: self._filled(one) for name, one in value["dict"].items()}
        return value["array"]

    def _free(self, name: str) -> str:
        self.taken.add(found := free_name(name, self.taken))
        return found


def _needed(description: dict[str, Any]) -> list[int]:
    """Returns the numbers of those calls, in order, on which an output depends."""
    wanted, found = set(description["outputs"]), []
    for number, call in reversed(list(enumerate(description["calls"]))):
        if wanted & set(call["outputs"]):
            found.append(number)
            kwargs = _arguments(call, description["layers"][call["layer"]])
            wanted |= set(_tensors([call["args"], list(kwargs.values())]))
    return found[::-1]


def _arguments(call: dict[str, Any], layer: dict[str, Any]) -> dict[str, Any]:
    """Returns the named arguments of a call.

    Masks of time steps are left out: Keras 3 writes down how they come about, Keras 2 makes them of its layers again.
    So is `training`, which Keras 3 takes from the model's call alone.
    """
    named = call["kwargs"]["dict"].items()
    if not layer["is_layer"]:
        return dict(named)
    return {name: one for name, one in named if name not in ("mask", "training") and one is not None}


def _tensors(value: Any) -> Iterator[int]:
    if isinstance(value, dict) and "tensor" in value:
        yield value["tensor"]
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _tensors(one)


def _name(name: str) -> str:
    """Returns a name with the letters that TensorFlow takes in one."""
    found = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    return found if found[:1].isalnum() else f"layer{found}"


def _taken(weight: tf.Variable, left: list[tuple[str, np.ndarray]]) -> np.ndarray:
    """Removes from `left` the first array that has the weight's own name and shape, or else its shape.

    Sides of 1 may be added: a factor for each channel, [c], is a kernel [1, 1, c, 1].
    """
    own = weight.name.split("/")[-1].split(":")[0]
    fits = [place for place, (_, array) in enumerate(left) if _sides(array) == _sides(weight)]
    named = [place for place in fits if left[place][0] == own]
    if not fits:
        raise Differs(f"Keras 2's has a weight {own} of shape {tuple(weight.shape)}, the file has none")
    return left.pop((named or fits)[0])[1].reshape(weight.shape)


def _sides(weight: Any) -> list[int]:
    return [side for side in weight.shape if side != 1]


def _equal(ours: np.ndarray, theirs: np.ndarray, rounding: float) -> bool:
    """Says whether answers are Keras 3's own, up to what rounding alone may do to these."""
    if ours.shape != theirs.shape:
        return False
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    finite_there = np.isfinite(theirs)
    if not np.array_equal(finite_there, np.isfinite(ours)):
        return False
    ours, theirs = ours[finite_there], theirs[finite_there]
    if not theirs.size:
        return True
    measured = min(_MANY * rounding, _MOST * np.ptp(theirs))
    allowed = max(_TOLERANCE * np.ptp(theirs), _ROUNDING * np.abs(theirs).max(), measured)
    return bool((np.abs(ours - theirs) <= allowed).all())
