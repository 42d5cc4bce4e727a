"""Says operations on tensors (keras.ops, and Python's operators) in built-in layers of Keras 2.

What no built-in layer says is TensorFlow's function of the same meaning, called on Keras tensors: Keras 2 has a layer
for each such call.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from tf_keras.src.layers.core.tf_op_layer import SlicingOpLambda, TFOpLambda

from tfmo_drive.base.keras2 import keras
from tfmo_drive.keras3 import activations
from tfmo_drive.keras3.differences import Differs

layers = keras.layers


@dataclasses.dataclass(frozen=True)
class Operation:
    """An `Operation` is one call of a Keras 3 operation, with what it reads."""

    kind: str
    config: dict[str, Any]
    """Settings by their names in Keras 3."""
    given: list[Any]
    """Tensors of Keras 2, numbers and lists."""
    shape: tuple[int | None, ...]
    """The shape of the answer, the batch first."""
    name: str
    """The name of the layer that ends it."""
    free: Callable[[str], str]
    """Makes of a name one that no other layer has."""

    @property
    def x(self) -> Any:
        """Returns the only tensor that is read."""
        tensor, *others = self.given
        if not _is_tensor(tensor) or any(_is_tensor(one) for one in others):
            raise Differs(f"no built-in layer of Keras 2 is {self.kind} of these arguments")
        return tensor

    @property
    def sides(self) -> tuple[int | None, ...]:
        """Returns the shape of the only tensor, the batch first."""
        return tuple(self.x.shape)

    def axes(self) -> list[int]:
        """Returns the setting `axis` as a list of numbers that are not below 0."""
        axis, rank = self.config.get("axis"), len(self.sides)
        found = range(rank) if axis is None else axis if isinstance(axis, list) else [axis]
        return sorted(one % rank for one in found)


def applied(operation: Operation) -> Any:
    """Returns the tensor of Keras 2 that the operation gives; raises Differs where no built-in layer is the same."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", operation.kind).lower()
    if operation.kind in _OPERATIONS:
        made = _OPERATIONS[operation.kind](operation)
    elif name in activations.KNOWN and _plain_activation(operation):
        made = activations.in_turn(activations.applied(name, operation.name, operation.free), operation.x)
    else:
        made = None
    if made is None and operation.kind in _FUNCTIONS:
        made = _FUNCTIONS[operation.kind](operation)
    if made is None:
        raise Differs(f"no built-in layer of Keras 2 is keras.ops.{name} with these arguments")
    return made


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "dtype")


def _plain_activation(operation: Operation) -> bool:
    """Says whether the settings are those of the activation by the same name."""
    usual = {"axis": -1, "alpha": 1.0, "approximate": False, "negative_slope": 0.2}
    return all(name == "name" or usual.get(name) == value for name, value in operation.config.items())


def _scaled(operation: Operation, x: Any, scale: Any, offset: Any = 0.0) -> Any:
    return layers.Rescaling(scale, offset, name=operation.name)(x)


def _constant(value: Any) -> bool:
    """Says whether the value is a number, or a list of one for each channel."""
    return isinstance(value, int | float) or (isinstance(value, list) and all(isinstance(one, float) for one in value))


def _negative(value: Any) -> Any:
    return [-one for one in value] if isinstance(value, list) else -value


def _inverse(value: Any) -> Any:
    return [1 / one for one in value] if isinstance(value, list) else 1 / value


def _of_two(kind: type, with_constant: Callable[[Operation, Any, Any, bool], Any]) -> Callable[[Operation], Any]:
    """Returns a rule for an operation on two tensors, or on a tensor and a constant.

    Args:
        kind: The layer that does it to two tensors, or None.
        with_constant: Is given the operation, the tensor, the constant, and whether the constant comes first.
    """

    def rule(operation: Operation) -> Any:
        one, other = operation.given[:2]
        if _is_tensor(one) and _is_tensor(other):
            same_rank = len(one.shape) == len(other.shape)
            return kind(name=operation.name)([one, other]) if kind and same_rank else None
        tensor, constant = (one, other) if _is_tensor(one) else (other, one)
        return with_constant(operation, tensor, constant, constant is one) if _constant(constant) else None

    return rule


def _add(operation, x, constant, first):
    return _scaled(operation, x, 1.0, constant)


def _subtract(operation, x, constant, first):
    return _scaled(operation, x, -1.0, constant) if first else _scaled(operation, x, 1.0, _negative(constant))


def _multiply(operation, x, constant, first):
    return _scaled(operation, x, constant)


def _divide(operation, x, constant, first):
    return None if first else _scaled(operation, x, _inverse(constant))


def _at_least(operation, x, constant, first):
    return layers.ReLU(name=operation.name)(x) if constant == 0 else None


def _none(operation, x, constant, first):
    return None


def _clip(operation: Operation) -> Any:
    low, high = operation.config.get("x_min"), operation.config.get("x_max")
    if isinstance(low, list) or isinstance(high, list) or low is None or high is None or low >= high:
        return None
    if low == 0:
        return layers.ReLU(float(high), name=operation.name)(operation.x)
    moved = layers.Rescaling(1.0, -float(low), name=operation.free(f"{operation.name}_1"))(operation.x)
    bounded = layers.ReLU(float(high - low), name=operation.free(f"{operation.name}_2"))(moved)
    return _scaled(operation, bounded, 1.0, float(low))


def _reshape(operation: Operation) -> Any:
    """Keeps the batch and gives the rest another shape; the order of numbers stays."""
    before, after = operation.sides[1:], operation.shape[1:]
    if operation.shape[0] is not None or None in before or None in after or math.prod(before) != math.prod(after):
        return None
    return layers.Reshape(after, name=operation.name)(operation.x)


def _transpose(operation: Operation) -> Any:
    axes = operation.config.get("axes")
    return layers.Permute(axes[1:], name=operation.name)(operation.x) if axes and axes[0] == 0 else None


def _pooled(kinds: dict[int, type]) -> Callable[[Operation], Any]:
    """Returns the rule of a mean or maximum over all places of a map."""

    def rule(operation: Operation) -> Any:
        rank = len(operation.sides)
        if rank not in kinds or operation.axes() != list(range(1, rank - 1)) or operation.config.get("initial"):
            return None
        return kinds[rank](keepdims=bool(operation.config.get("keepdims")), name=operation.name)(operation.x)

    return rule


def _concatenate(operation: Operation) -> Any:
    return layers.Concatenate(axis=operation.config.get("axis", -1), name=operation.name)(operation.given[0])


def _pad(operation: Operation) -> Any:
    widths = operation.config.get("pad_width")
    if operation.config.get("mode") != "constant" or len(operation.sides) != 4 or not isinstance(widths, list):
        return None
    around = [[one, one] if isinstance(one, int) else one for one in widths]
    if len(around) != 4 or any(around[0]) or any(around[3]) or operation.config.get("constant_values"):
        return None
    return layers.ZeroPadding2D(around[1:3], name=operation.name)(operation.x)


def _item(operation: Operation) -> Any:
    """Takes a window out of a map: slices of step 1 over height and width, all of the batch and the channels."""
    x, key = operation.given[:2]
    slices = isinstance(key, list) and all(isinstance(one, dict) and "slice" in one for one in key)
    if not _is_tensor(x) or len(x.shape) != 4 or not slices:
        return None
    bounds = [one["slice"] for one in key] + [[None, None, None]] * (4 - len(key))
    (batch, *window, channels), sides = bounds, x.shape[1:3]
    whole, steps = [None, None, None], {step for *_, step in window}
    if (batch, channels) != (whole, whole) or None in sides or steps - {None, 1}:
        return None
    found = [slice(*one).indices(side) for one, side in zip(window, sides, strict=True)]
    cropped = [[start, side - stop] for (start, stop, _), side in zip(found, sides, strict=True)]
    return layers.Cropping2D(cropped, name=operation.name)(x)


def _resize(operation: Operation) -> Any:
    """Resizes as `Resizing` does, without antialiasing and without another aspect."""
    config = operation.config
    if any(config.get(name) for name in ("antialias", "crop_to_aspect_ratio", "pad_to_aspect_ratio")):
        return None
    if config.get("data_format") == "channels_first":
        return None
    return layers.Resizing(*config["size"], interpolation=config["interpolation"], name=operation.name)(operation.x)


def _window(kinds: dict[int, type]) -> Callable[[Operation], Any]:
    def rule(operation: Operation) -> Any:
        kind, config = kinds.get(len(operation.sides)), operation.config
        settings = {name: config.get(name) for name in ("pool_size", "strides", "padding")}
        return kind(**settings, name=operation.name)(operation.x) if kind else None

    return rule


def _cast(operation: Operation) -> Any:
    """Leaves numbers as they are: everything that is a float is float32 here."""
    both = (operation.x.dtype.name, str(operation.config.get("dtype")))
    floats = all("float" in one for one in both)
    return layers.Activation("linear", name=operation.name)(operation.x) if floats else None


def _power(operation: Operation) -> Any:
    x, exponent = operation.given[:2]
    return layers.Multiply(name=operation.name)([x, x]) if _is_tensor(x) and exponent == 2 else None


_MEANS = {3: layers.GlobalAveragePooling1D, 4: layers.GlobalAveragePooling2D, 5: layers.GlobalAveragePooling3D}
_LARGEST = {3: layers.GlobalMaxPooling1D, 4: layers.GlobalMaxPooling2D, 5: layers.GlobalMaxPooling3D}
_OPERATIONS: dict[str, Callable[[Operation], Any]] = {
    "Add": _of_two(layers.Add, _add),
    "Subtract": _of_two(layers.Subtract, _subtract),
    "Multiply": _of_two(layers.Multiply, _multiply),
    "Divide": _of_two(None, _divide),
    "TrueDivide": _of_two(None, _divide),
    "Maximum": _of_two(layers.Maximum, _at_least),
    "Minimum": _of_two(layers.Minimum, _none),
    "Negative": lambda operation: _scaled(operation, operation.x, -1.0),
    "Square": lambda operation: layers.Multiply(name=operation.name)([operation.x, operation.x]),
    "Power": _power,
    "Clip": _clip,
    "Elu": lambda operation: layers.ELU(operation.config.get("alpha", 1.0), name=operation.name)(operation.x),
    "LeakyRelu": lambda operation: layers.LeakyReLU(operation.config.get("negative_slope", 0.2), name=operation.name)(
        operation.x
    ),
    "Softmax": lambda operation: layers.Softmax(operation.config.get("axis", -1), name=operation.name)(operation.x),
    "Reshape": _reshape,
    "Squeeze": _reshape,
    "ExpandDims": _reshape,
    "Transpose": _transpose,
    "Mean": _pooled(_MEANS),
    "Max": _pooled(_LARGEST),
    "Amax": _pooled(_LARGEST),
    "Concatenate": _concatenate,
    "Pad": _pad,
    "GetItem": _item,
    "Resize": _resize,
    "MaxPool": _window({3: layers.MaxPooling1D, 4: layers.MaxPooling2D}),
    "AveragePool": _window({3: layers.AveragePooling1D, 4: layers.AveragePooling2D}),
    "Cast": _cast,
}


def _called(operation: Operation, function: str, *args: Any, **kwargs: Any) -> Any:
    """Returns what the TensorFlow function of that name ("math.exp") makes of these arguments."""
    return TFOpLambda.from_config({"name": operation.name, "function": function})(*args, **kwargs)


def _elementwise(function: str) -> Callable[[Operation], Any]:
    """Returns the rule of a function of one tensor, or of two of which one may be constant."""

    def rule(operation: Operation) -> Any:
        return _called(operation, function, *(np.float32(x) if isinstance(x, list) else x for x in operation.given))

    return rule


def _reduced(function: str) -> Callable[[Operation], Any]:
    """Returns the rule of a function that makes one number of those along some axes."""

    def rule(operation: Operation) -> Any:
        if operation.config.get("initial") is not None or operation.config.get("dtype"):
            return None
        keepdims = bool(operation.config.get("keepdims"))
        return _called(operation, function, operation.x, axis=operation.axes(), keepdims=keepdims)

    return rule


def _split(operation: Operation) -> Any:
    parts, axis = operation.config["indices_or_sections"], operation.config["axis"]
    if isinstance(parts, list):
        if (side := operation.sides[axis]) is None:
            return None
        parts = np.diff([0, *parts, side]).tolist()
    return _called(operation, "split", operation.x, parts, axis=axis)


def _sliced(operation: Operation) -> Any:
    x, key = operation.given[:2]
    layer = SlicingOpLambda.from_config({"name": operation.name, "function": "__operators__.getitem"})
    return layer(x, _key(key)) if _is_tensor(x) else None


def _key(key: Any) -> Any:
    """Returns what stands in the brackets behind a tensor, as Keras 2 writes it down."""
    if isinstance(key, list):
        return tuple(map(_key, key))
    if not isinstance(key, dict):
        return key
    return Ellipsis if "ellipsis" in key else dict(zip(("start", "stop", "step"), key["slice"], strict=True))


_FUNCTIONS: dict[str, Callable[[Operation], Any]] = {
    kind: _elementwise(f"math.{function}")
    for kind, function in {
        "Abs": "abs", "Absolute": "abs", "Add": "add", "Arctan": "atan", "Cos": "cos", "Divide": "divide",
        "Exp": "exp", "Log": "log", "Maximum": "maximum", "Minimum": "minimum", "Multiply": "multiply", "Power": "pow",
        "Reciprocal": "reciprocal", "Rsqrt": "rsqrt", "Sin": "sin", "Sqrt": "sqrt", "Subtract": "subtract",
        "TrueDivide": "divide",
    }.items()
} | {
    kind: _reduced(f"math.reduce_{function}")
    for kind, function in {
        "Amax": "max", "Amin": "min", "Max": "max", "Mean": "mean", "Min": "min", "Prod": "prod", "Std": "std",
        "Sum": "sum", "Var": "variance",
    }.items()
} | {
    "GetItem": _sliced,
    "Matmul": _elementwise("linalg.matmul"),
    "Split": _split,
    "Stack": lambda operation: _called(operation, "stack", operation.given[0], axis=operation.config["axis"]),
    "Tile": lambda operation: _called(operation, "tile", operation.x, operation.config["repeats"]),
}  # fmt: skip
"""Functions of TensorFlow, for what the rules above do not say in built-in layers."""
