"""Takes a user's own loss and metric as Keras does, checks them, and tells them by a digest that follows their code."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from tfmo_drive.base.given_file import reason
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.tasks.arrays.any_keras import is_of_keras_3

Loss = str | Callable[[Any, Any], Any]


@dataclasses.dataclass(frozen=True)
class ErrorMetric:
    """Measures by an error of one's own, the lower the better; reports print its mean in its unit.

    Args:
        function: (targets, outputs) to the error of each example, at least 0 and finite.
        zero_at: The error from which an example scores 0: its score is 1 - error / zero_at, at least 0.
        unit: The unit, as reports print it ("m"); "" where there is none.

    Raises:
        BadInput: `zero_at` is not above 0.

    Example:
        >>> import numpy as np
        >>> import tfmo_drive as td
        >>> away = td.ErrorMetric(lambda truth, answers: np.abs(truth - answers).max(1), zero_at=10.0, unit="m")
        >>> away.unit
        'm'
    """

    function: Callable[[np.ndarray, np.ndarray], np.ndarray]
    zero_at: float
    unit: str = ""

    def __post_init__(self):
        if not 0 < self.zero_at < np.inf:
            raise BadInput(f"ErrorMetric.zero_at must be an error above 0, got {self.zero_at}.")


Metric = Callable[[np.ndarray, np.ndarray], np.ndarray] | ErrorMetric


def loss(given: Loss) -> Callable[[Any, Any], Any]:
    """Returns (targets, outputs) to a scalar, in TensorFlow, of a Keras loss, its name, or a function of one's own.

    Raises BadInput for what is none of them.
    """
    if is_of_keras_3(given):
        raise BadInput(
            f"compress: loss is of Keras 3 ({type(given).__name__}), and training is in Keras 2. Give its name, a loss "
            "of tf_keras, or a function (targets, outputs) in TensorFlow."
        )
    try:
        found = keras.losses.get(given)
    except ValueError as error:
        raise BadInput(f"compress: loss: {reason(error)}. Give a loss of tf_keras, or a function.") from error
    if not callable(found):
        raise BadInput(f"compress: loss must be a loss of Keras or a function (targets, outputs), got {given!r}.")
    return lambda targets, outputs: tf.reduce_mean(found(targets, outputs))


def measured(metric: Metric, targets: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
    """Returns what a metric says of each example, as an Evaluation's values, errors and unit.

    Args:
        metric: numpy or TensorFlow code: (targets [n, ...], outputs float32 [n, ...]) to [n].
        targets: The targets as the user gave them.
        outputs: The model's outputs.

    Raises:
        BadInput: There is not one number for each example, or it is out of its range.
    """
    if isinstance(metric, ErrorMetric):
        errors = _of_each(metric.function, targets, outputs, np.inf, "be at least 0 and finite: it is an ErrorMetric")
        return {"values": np.maximum(0.0, 1 - errors / metric.zero_at), "errors": errors, "unit": metric.unit}
    wanted = "lie in [0, 1], higher is better; an error is given as td.ErrorMetric(it, zero_at=...)"
    return {"values": _of_each(metric, targets, outputs, 1.0, wanted), "errors": None, "unit": ""}


def _of_each(function: Callable, targets: np.ndarray, outputs: np.ndarray, most: float, wanted: str) -> np.ndarray:
    """Returns what a function says of each example, float64 [n] in [0, most]; raises BadInput, which says `wanted`."""
    found = np.asarray(function(targets, outputs), np.float64)
    if found.shape != (len(outputs),):
        raise BadInput(
            f"compress: metric must return one number for each example, [{len(outputs)}], got {list(found.shape)}. "
            "Leave the mean over the examples to the report, which needs its interval."
        )
    if not np.isfinite(found).all() or found.min() < 0 or found.max() > most:
        raise BadInput(f"compress: metric must {wanted}. Got {found.min():g}..{found.max():g}.")
    return found


def digest(given: Any) -> str:
    """Returns a hex digest of a loss or a metric: its configuration, or its code and what that closes over; "" of None.

    What it reads of its module is not seen.
    """
    if given is None or isinstance(given, str):
        return given or ""
    if isinstance(given, ErrorMetric):
        return f"{digest(given.function)} {given.zero_at} {given.unit}".strip()
    if isinstance(given, keras.losses.Loss):
        said = json.dumps(keras.losses.serialize(given), sort_keys=True, default=repr)
    else:
        said = repr(list(_said(given)))
    return hashlib.sha256(said.encode()).hexdigest()[:20]


def _said(given: Any) -> list[Any]:
    """What a function does, in texts that are equal in every process for equal code."""
    code = getattr(given, "__code__", None)
    if not isinstance(code, types.CodeType):
        return [type(given).__module__, type(given).__qualname__, getattr(given, "__name__", repr(given))]
    cells = [cell.cell_contents for cell in given.__closure__ or ()]
    bound_to = repr(getattr(given, "__self__", None))
    return [_of_code(code), given.__defaults__, given.__kwdefaults__, bound_to, *map(repr, cells)]


def _of_code(code: types.CodeType) -> list[Any]:
    inside = [_of_code(one) if isinstance(one, types.CodeType) else repr(one) for one in code.co_consts]
    return [code.co_code.hex(), code.co_names, inside]
