"""Removes four fifths of a segmenter's backbone, then int8; aims at 1/16 of the float bytes, 1/10 of the latency.

The channels go in three rounds, with training between, because going all at once loses more. The decoder keeps its 64
channels: all that the backbone's up to 2,048 found goes through them, and they cost little. `Train` is the learning
rate's second cosine (Loshchilov & Hutter 2017).

make train-segmentation_channels_quantized
make train-segmentation_channels_quantized DATA=path/to/camvid WEIGHTS=runs/segmentation/stages/0_baseline/model.h5

Measured 2026-11-28 on 2 cores, seed 0: segmentation_channels_quantized/litert_int8 scores 52.2 %, -1.60 (-2.58 to
-0.59) points against float, 78x smaller (101 test examples).
"""

from tfmo_drive.experiments.segmentation import TRAINING

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.measures.robustness import Robustness
from tfmo_drive.measures.temporal import Temporal
from tfmo_drive.steps.channel_pruning import ChannelPruning
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.segmentation.segmentation import Segmentation
from tfmo_drive.training.distillation import SoftLabels

TAUGHT = {"batch_size": 16, "distill": SoftLabels(alpha=0.5, temperature=1.0, augmented_copies=12)}
DECODER = (*(f"segmentation_lateral{stride}_conv" for stride in (4, 8, 16, 32)), "segmentation_smooth_conv")
ROUNDS = {"rounds": 3, "epochs_between": 12, "epochs": 180, "learning_rate": 0.05, "warmup_epochs": 2.0}

EXPERIMENT = Experiment(
    task=Segmentation(),
    training=TRAINING,
    recipe=(
        ChannelPruning(pruning_ratio=0.8, skip=DECODER, **ROUNDS, **TAUGHT),
        Train(epochs=120, learning_rate=0.04, warmup_epochs=1.0, **TAUGHT),
        QuantizeAware(epochs=4, learning_rate=0.002, **TAUGHT),
    ),
    targets=(LiteRTInt8(),),
    measures=(*MEASURES, Robustness(), Temporal()),
    expect=Expect(score_drop=0.02, size_ratio=0.0625, latency_ratio=0.1),
)
