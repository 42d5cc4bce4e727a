"""Measures what int8 costs the layers of a given float `.tflite`, whose graph has no layers to reason about any more.

The file is quantised as it would be, and each operator's rounding is measured by itself (runtimes.layer_errors).
"""

from __future__ import annotations

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.commands.lint.int8_forecast import Finding
from tfmo_drive.contracts import BadInput, Preprocessing
from tfmo_drive.conversion import conversion
from tfmo_drive.conversion.freezing import freeze
from tfmo_drive.conversion.tflite_target import converting
from tfmo_drive.runtimes.given_tflite import FLOAT32, GivenTFLite
from tfmo_drive.runtimes.layer_errors import LayerError, layer_errors

NOISY_DB = 20.0
"""The signal to noise below which a layer is reported: that from which `ledger` says that two layers differ."""
_IMAGES = 32
"""The number of inputs on which layers are measured."""
_BIT_DB = 20 * np.log10(2)
_MEND = "LiteRTMixed, which keeps it in float; or FoldBatchNorm and Equalize on the Keras model"


def faults(file: GivenTFLite, model: keras.Model, preprocessing: Preprocessing, raw: np.ndarray) -> tuple[Finding, ...]:
    """Returns a finding for each layer that int8 costs much, the dearest first.

    Args:
        file: The file.
        model: The file as a model.
        preprocessing: The task's preprocessing.
        raw: The calibration set, raw inputs [n, ...].

    Raises:
        BadInput: The file does not compute in float32, or cannot be quantised.
    """
    if file.computes != FLOAT32:
        raise BadInput(f"{file.name} is {file.computes} already. Give the float model that it was made of.")
    frozen = freeze(model, preprocessing)
    with converting("lint", file.name):
        integer = conversion.quantized(conversion.calibrated(frozen, raw), frozen)
        errors = layer_errors(conversion.base(frozen), integer, frozen.fed(raw[:_IMAGES]))
    noisy = sorted((one for one in errors if one.sqnr_db < NOISY_DB), key=lambda one: one.sqnr_db)
    return tuple(_finding(one) for one in noisy)


def _finding(error: LayerError) -> Finding:
    message = (
        f"in int8 the {error.operator} is {error.sqnr_db:.1f} dB above its own rounding; {NOISY_DB:g} dB and more are "
        "usual."
    )
    return Finding("noisy layer", error.layer, message, (NOISY_DB - error.sqnr_db) / _BIT_DB, _MEND)
