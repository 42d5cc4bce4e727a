"""Teaches a student of 1/28 of the parameters by the baseline, then int8, beside the same without a teacher.

make train-distilled_quantized DATA=path/to/images WEIGHTS=trained.h5
make train-distilled_quantized DATA=path/to/images WEIGHTS=trained.h5 SEED=1 WORKDIR=runs/distilled_quantized_1

Measured 2026-11-24 on 2 cores, seed 0: distilled_quantized/litert_int8 scores 94.4 %, +1.80 (-0.85 to +4.55) points
against float, 110x smaller (1,055 test examples).
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.steps.distill import Distill
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.classification import Classification
from tfmo_drive.training.distillation import SoftLabels

EXPERIMENT = Experiment(
    task=Classification(),
    recipe=(Distill(epochs=6, distill=SoftLabels(augmented_copies=2)), QuantizeAware(epochs=1)),
    controls={
        "untaught": (Distill(epochs=6, distill=SoftLabels(augmented_copies=2, alpha=0.0)), QuantizeAware(epochs=1))
    },
    targets=(LiteRTInt8(),),
    expect=Expect(parameter_ratio=0.05, over_control=0.0, size_ratio=0.01, latency_ratio=0.05),
)
