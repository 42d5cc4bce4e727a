"""Removes most of a detector's channels, then int8; aims at 1/16 of the float bytes and 1/10 of the latency.

They go in three rounds, with training between. The pyramid keeps its 64 channels: all that the backbone's up to 2,048
found goes through them, and they cost little. What is left learns mostly what the float detector says, its scores and
its boxes (alpha 0.9), and ends in the mean of its last 60 epochs; detection_distilled learns from inside it too.
`Train` is the learning rate's second cosine (Loshchilov & Hutter 2017). int8 comes without training: after channels,
four epochs under fake quantisation lost more than int8 itself did. A few hundred images need more copies and epochs:
experiments/PERCEPTION.md has the command of its row on camvid.

make train-detection_channels_quantized
make train-detection_channels_quantized DATA=path/to/coco WEIGHTS=runs/detection/stages/0_baseline/model.h5

Measured 2026-11-28 on 2 cores, seed 0: detection_channels_quantized/litert_int8 scores 22.4 %, -0.27 (-1.15 to
+0.64) points against float, 66x smaller (300 test examples).
"""

from tfmo_drive.experiments.detection import TRAINING

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.measures.robustness import Robustness
from tfmo_drive.measures.temporal import Temporal
from tfmo_drive.networks.backbones import ResNet
from tfmo_drive.steps.channel_pruning import ChannelPruning
from tfmo_drive.steps.distill import Distill
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.detection.detection import Detection
from tfmo_drive.training.distillation import SoftLabels

BATCHES = {"batch_size": 8, "optimizer": "adam"}
TAUGHT = {"distill": SoftLabels(alpha=0.9, temperature=1.0, augmented_copies=8), **BATCHES}
LONG = {"averaged_epochs": 60, "learning_rate": 0.002, "final_learning_rate": 0.2}
SECOND = {"epochs": 120, "warmup_epochs": 1.0, **LONG}
PYRAMID = tuple(f"detection_lateral{stride}_conv" for stride in (4, 8, 16, 32))
ROUNDS = {"rounds": 3, "epochs_between": 4, "epochs": 20, "learning_rate": 0.001, "warmup_epochs": 2.0}

EXPERIMENT = Experiment(
    task=Detection(),
    training=TRAINING,
    recipe=(
        ChannelPruning(pruning_ratio=0.78, skip=PYRAMID, **ROUNDS, **TAUGHT),
        Train(**SECOND, **TAUGHT),
    ),
    controls={
        "from_nothing": (
            Distill(
                student=ResNet(width=0.25),
                epochs=2 * ROUNDS["epochs_between"] + ROUNDS["epochs"] + SECOND["epochs"],
                warmup_epochs=2.0,
                distill=SoftLabels(alpha=0.0, augmented_copies=8),
                **BATCHES,
                **LONG,
            ),
        ),
    },
    targets=(LiteRTFloat32(), LiteRTInt8()),
    measures=(*MEASURES, Robustness(), Temporal()),
    expect=Expect(score_drop=0.02, size_ratio=0.0625, latency_ratio=0.1),
)
