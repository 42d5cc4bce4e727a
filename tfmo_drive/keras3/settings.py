"""Turns a layer of Keras 3, told by class and settings, into the built-in layer of Keras 2 that is the same."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tfmo_drive.base.keras2 import keras
from tfmo_drive.keras3 import activations
from tfmo_drive.keras3.differences import Differs

layers = keras.layers
_RENAMED = {"LeakyReLU": {"negative_slope": "alpha"}}
_LEFT_OUT = ("dtype", "seed", "name", "defaults", "invert")
"""Settings that do not make the model: everything is float32, chance has no state here, names are given anew."""
_OF_EVERY_LAYER = ("trainable", "activity_regularizer")
_OF_RECURRENT = ("zero_output_for_mask",)
"""Settings that Keras 2 takes among its other arguments."""


def layer(told: dict[str, Any], name: str, shown: bool, free: Callable[[str], str]) -> list[Callable[..., Any]]:
    """Returns what is called in place of the layer: it, then, where that must stand alone, what its activation is.

    Args:
        told: The layer's class, settings and defaults, as `keras3.program` writes them.
        name: The layer's name, which the one with the weights keeps, or, where the answer is `shown`, the last one.
        shown: Whether the layer's answer is an output of the model.
        free: Makes of a name one that no other layer has.

    Raises:
        Differs: Keras 2 has no such layer, or not with these settings.
    """
    config, activation = told["config"], told["config"].get("activation")
    as_layer = isinstance(activation, dict) and activation.get("module") == "keras.layers"
    if not as_layer and (activation is None or "recurrent_activation" in config or _same(activation)):
        return [_built(told, name)]
    body, end = name, name
    if told["class"] != "Activation":
        kind = activation["class_name"].lower() if as_layer else _known(activation)
        body, end = (free(f"{name}_linear"), name) if shown else (name, free(f"{name}_{kind}"))
    behind = [_built(_inner(activation), end)] if as_layer else activations.applied(_known(activation), end, free)
    if body == end:
        return behind
    return [_built(told | {"config": config | {"activation": "linear"}}, body), *behind]


def _built(told: dict[str, Any], name: str) -> keras.layers.Layer:
    if told["class"] == "Lambda":
        return _lambda(told["config"], name)
    if told["class"] == "LayerScale":  # keras.applications' own, in ConvNeXt: a factor for each channel
        return layers.DepthwiseConv2D(1, use_bias=False, name=name)
    kind = getattr(layers, told["class"], None)
    if kind is None or not told["module"].startswith("keras."):
        raise Differs(f"Keras 2 has no layer {told['class']}")
    return kind(**_adapted(kind, told), name=name)


def _lambda(config: dict[str, Any], name: str) -> keras.layers.Layer:
    """Returns the layer with the Python code of the file, which is handed on only where it may run."""
    function = config["function"]
    if not isinstance(function, dict) or function.get("class_name") != "__lambda__":
        raise Differs("its function is not in the file")
    code = [function["config"][part] for part in ("code", "defaults", "closure")]
    unknown = {"module": None, "output_shape": None, "output_shape_type": "raw", "output_shape_module": None}
    return layers.Lambda.from_config(
        {**unknown, "name": name, "function": code, "function_type": "lambda", "arguments": config["arguments"] or {}}
    )


def _adapted(kind: type, told: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings as Keras 2 calls them; raises Differs for one that it lacks and that asks for something."""
    taken = _parameters(kind)
    found = {}
    for name, value in told["config"].items():
        name = _RENAMED.get(told["class"], {}).get(name, name)
        if name in _LEFT_OUT or name.endswith("_initializer"):  # the weights are moved
            continue
        if name in taken:
            found[name] = _value(name, value)
        elif not _is_off(name, value) and value != told["defaults"].get(name):
            raise Differs(f"Keras 2 has no {told['class']} with {name}={value!r}")
    return found


def _is_off(name: str, value: Any) -> bool:
    """Says whether a setting that Keras 2 lacks asks for what Keras 2 does."""
    return value is None or value is False or (name, value) == ("data_format", "channels_last")


def _parameters(kind: type) -> set[str]:
    own = [one for one in kind.__mro__ if "__init__" in vars(one) and one.__module__.startswith("tf_keras.src.layers")]
    named = {name for one in own for name in inspect.signature(one.__init__).parameters}
    recurrent = _OF_RECURRENT if issubclass(kind, layers.RNN) else ()
    return {*named, *_OF_EVERY_LAYER, *recurrent} - {"self", "kwargs"}


def _value(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_value(name, one) for one in value]
    if name in ("activation", "recurrent_activation") and value is not None:
        if not _same(value):
            raise Differs(f"Keras 2 has no {name} {_known(value)} inside a layer")
        return activations.SAME[value]
    if isinstance(value, dict) and value.get("module") == "keras.layers":
        return _built(_inner(value), value["config"]["name"])
    return value


def _inner(value: dict[str, Any]) -> dict[str, Any]:
    return {
        "class": value["class_name"],
        "module": "keras.layers",
        "config": value["config"],
        "defaults": value["defaults"],
    }


def _same(activation: Any) -> bool:
    return isinstance(activation, str) and activation in activations.SAME


def _known(activation: Any) -> str:
    name = activation if isinstance(activation, str) else activation.get("config", activation.get("class_name"))
    if name not in activations.KNOWN:
        raise Differs(f"Keras 2 has no activation {name}")
    return name
