"""Removes most channels of the MobileNetV2 detector, then int8; aims at 1/16 of the float bytes.

Which channels go is decided over all layers together, by how much the loss would change (`Taylor`): equal shares, as
`detection_channels_quantized` takes them from a wide ResNet50, leave a narrow network nothing to start from. They go in
four rounds. What is left learns mostly what the float detector says, on 24 augmented copies of each image: a few
hundred photographs are soon known by heart.

make train-detection_mobilenet_channels DATA=path/to/voc WEIGHTS=runs/detection_mobilenet/stages/0_baseline/model.h5

Measured 2026-12-01 on 2 cores, seed 0: detection_mobilenet_channels/litert_int8 scores 57.2 %, -2.34 (-4.15 to
-0.54) points against float, 16x smaller, 4.2x faster on 2 threads (175 test examples).
"""

from tfmo_drive.experiments.detection import MOBILENET, MOBILENET_TRAINING

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.networks.backbones import MobileNetV2
from tfmo_drive.steps.channel_pruning import ChannelPruning
from tfmo_drive.steps.distill import Distill
from tfmo_drive.steps.train import Train
from tfmo_drive.surgery.importance import Taylor
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.training.distillation import SoftLabels

BATCHES = {"batch_size": 16, "optimizer": "adam", "learning_rate": 0.001, "warmup_epochs": 1.0}
TAUGHT = {"distill": SoftLabels(alpha=0.9, temperature=1.0, augmented_copies=24), **BATCHES}
ROUNDS = {"rounds": 4, "epochs_between": 2, "epochs": 10}
SECOND = {"epochs": 60, "averaged_epochs": 15}

EXPERIMENT = Experiment(
    task=MOBILENET,
    training=MOBILENET_TRAINING,
    recipe=(
        ChannelPruning(parameters=0.2, importance=Taylor(images=512), allocation="global", **ROUNDS, **TAUGHT),
        Train(**SECOND, **TAUGHT),
    ),
    controls={
        "from_nothing": (
            Distill(
                student=MobileNetV2(width=0.35),
                epochs=3 * ROUNDS["epochs_between"] + ROUNDS["epochs"] + SECOND["epochs"],
                averaged_epochs=SECOND["averaged_epochs"],
                distill=SoftLabels(alpha=0.0, augmented_copies=24),
                **BATCHES,
            ),
        ),
    },
    targets=(LiteRTFloat32(), LiteRTInt8()),
    measures=MEASURES,
    expect=Expect(score_drop=0.02, size_ratio=0.0625),
)
