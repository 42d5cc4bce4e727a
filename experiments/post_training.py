"""No training at all: the baseline through every post-training quantization, as a yardstick for the rest.

make train-post_training DATA=path/to/images WEIGHTS=trained.h5

Measured 2026-11-24 on 2 cores, seed 0: baseline/litert_int8 scores 92.9 %, +0.28 (-0.28 to +0.85) points against
float, 3.9x smaller (1,055 test examples).
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.targets.litert import LiteRTDynamic, LiteRTFloat16, LiteRTFloat32, LiteRTInt8, LiteRTInt16x8
from tfmo_drive.targets.onnx import OnnxFloat32, OnnxInt8
from tfmo_drive.tasks.classification import Classification

EXPERIMENT = Experiment(
    task=Classification(),
    targets=(
        LiteRTFloat32(), LiteRTFloat16(), LiteRTDynamic(), LiteRTInt8(), LiteRTInt16x8(), OnnxFloat32(), OnnxInt8(),
    ),
    expect=Expect(target="litert_int8", score_drop=0.01, size_ratio=0.30),
)  # fmt: skip
