"""Converts the baseline by every post-training quantization, without any training, as a yardstick for the rest.

make train-post_training DATA=path/to/images WEIGHTS=trained.h5

Measured 2026-11-30 on 2 cores, seed 0: baseline/litert_int8 scores 92.8 %, +0.19 (-0.38 to +0.76) points against
float, 3.9x smaller, 5.2x faster on 2 threads (1,055 test examples).
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
