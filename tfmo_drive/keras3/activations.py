"""Says Keras 3's activations in layers of Keras 2, which lacks some and means others by the same name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfmo_drive.base.keras2 import keras

layers = keras.layers
SAME = {
    name: name
    for name in (
        "linear", "relu", "sigmoid", "tanh", "softmax", "elu", "selu", "softplus", "softsign", "exponential", "gelu",
        "mish", "log_softmax",
    )
} | {"silu": "swish", "swish": "swish"}  # fmt: skip
"""Keras 2's names of functions that both have."""
_CHAINS: dict[str, list[tuple[type, dict[str, Any]]]] = {
    "relu6": [(layers.ReLU, {"max_value": 6.0})],
    "leaky_relu": [(layers.LeakyReLU, {"alpha": 0.2})],
    "celu": [(layers.ELU, {"alpha": 1.0})],
    # Keras 2's own is clip(0.2 x + 0.5, 0, 1).
    "hard_sigmoid": [
        (layers.Rescaling, {"scale": 1.0, "offset": 3.0}),
        (layers.ReLU, {"max_value": 6.0}),
        (layers.Rescaling, {"scale": 1 / 6}),
    ],
    "hard_tanh": [
        (layers.Rescaling, {"scale": 1.0, "offset": 1.0}),
        (layers.ReLU, {"max_value": 2.0}),
        (layers.Rescaling, {"scale": 1.0, "offset": -1.0}),
    ],
    "log_sigmoid": [
        (layers.Rescaling, {"scale": -1.0}),
        (layers.Activation, {"activation": "softplus"}),
        (layers.Rescaling, {"scale": -1.0}),
    ],
}
"""Layers that one after the other are the activation."""
_GATED = {"hard_silu": "hard_sigmoid", "hard_swish": "hard_sigmoid"}
"""Activations that are x times another one of x."""
KNOWN = {*SAME, *_CHAINS, *_GATED}


def applied(name: str, last: str, free: Callable[[str], str]) -> list[Callable[[Any], Any]]:
    """Returns what, called one after the other, applies the activation `name`, one of KNOWN.

    Args:
        name: The activation as Keras 3 calls it.
        last: The name of the layer that ends it.
        free: Makes of a name one that no other layer has.
    """
    if name in SAME:
        return [layers.Activation(SAME[name], name=last)]
    if name in _CHAINS:
        *before, (kind, settings) = _CHAINS[name]
        chain = [one(**given, name=free(f"{last}_{place}")) for place, (one, given) in enumerate(before, start=1)]
        return [*chain, kind(**settings, name=last)]
    gate, product = applied(_GATED[name], free(f"{last}_gate"), free), layers.Multiply(name=last)
    return [lambda x: product([x, in_turn(gate, x)])]


def in_turn(chain: list[Callable[[Any], Any]], x: Any) -> Any:
    """Returns what the last of `chain` gives when each is called on what comes before."""
    for one in chain:
        x = one(x)
    return x
