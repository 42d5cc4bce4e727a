"""Trains, prunes, quantises and converts a tiny network in about a minute: does it run here at all?

make smoke        # without the control
make train-smoke

Measured 2026-11-30 on 2 cores, seed 0: smoke/litert_int8 scores 66.0 %, -1.56 (-3.71 to +0.39) points against
float, 2.8x smaller, 1.8x slower on 2 threads (512 test examples).
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.networks.backbones import ResNet
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.targets.onnx import OnnxInt8
from tfmo_drive.tasks.classification import Classification, Scenes
from tfmo_drive.training.distillation import SoftLabels

EXPERIMENT = Experiment(
    task=Classification(
        image_size=32,
        network=ResNet(blocks=(1, 1), width=0.25),
        scenes=Scenes(train=1024, val=128, test=512),
    ),
    training=Train(epochs=8, learning_rate=0.05, batch_size=32),
    recipe=(
        Prune(sparsity=0.5, epochs=2, batch_size=32, distill=SoftLabels(augmented_copies=2)),
        QuantizeAware(epochs=1, batch_size=32, preserve="sparsity", calibration_images=64),
    ),
    controls={"longer_training": (Train(epochs=3, batch_size=32),)},
    small_from_nothing=False,
    targets=(OnnxInt8(), LiteRTInt8()),
    expect=Expect(score_drop=0.05, size_ratio=0.5),
)
