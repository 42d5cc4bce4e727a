"""Every task's own network, folded or as it was built: the int8 file says what the fake-quantised model says."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base import outputs
from tfmo_drive.base.recipe import apply_steps
from tfmo_drive.contracts import Context
from tfmo_drive.networks.integers import quantize_scheme
from tfmo_drive.steps.fold_batch_norm import FoldBatchNorm
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.targets.litert import LiteRTInt8

FAST = QuantizeAware(epochs=0, calibration_images=32)
LEAST_DB = 25.0


@pytest.mark.parametrize("steps", [(FAST,), (FoldBatchNorm(), FAST)], ids=["as_built", "folded"])
def test_the_file_of_a_quantised_model_holds_what_was_quantised(steps, task, model, tmp_path):
    place = Context(task, model, (), tmp_path, 0)
    if any(step.idle(model) for step in steps):
        pytest.skip("there is nothing to fold")
    made = list(apply_steps(steps, model, place))[-1][2]
    assert quantize_scheme.float_kernels(made) == []
    artifact = LiteRTInt8()(made, tmp_path, place)
    kernels = {name: value for name, value in artifact.weights().items()
               if value.ndim >= 2 and name.split("/")[0] != "preprocessing"}  # fmt: skip
    assert {value.dtype for value in kernels.values()} == {np.dtype(np.int8)}
    assert len(kernels) == sum(len(getattr(layer, "_weight_vars", ())) for layer in made.layers)
    raw = task.examples("train").read(np.arange(16))[0]
    exact = outputs.flat(outputs.named(made, made(task.preprocessing(raw), training=False)))
    for name, wanted, found in zip(outputs.names(made), exact, outputs.flat(artifact.predict(raw)), strict=True):
        noise = np.square(wanted.numpy() - found, dtype=np.float64).sum()
        signal = np.square(wanted.numpy(), dtype=np.float64).sum()
        assert 10 * np.log10(signal / max(noise, 1e-20)) >= LEAST_DB, name
