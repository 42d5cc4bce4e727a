"""Removes four fifths of the channels, zeroes half of the rest, shares sixteen values in each kernel, then int8.

What `deep_compression` saves is for gzip alone; here the model is faster too. The aim: 1/100 of the gzip bytes.

make train-channels_deep_compression DATA=path/to/images WEIGHTS=trained.h5

Measured 2026-11-25 on 2 cores, seed 0: channels_deep_compression/litert_int8 scores 94.5 %, +1.90 (0.00 to +3.89)
points against float, 82x smaller (1,055 test examples).
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.steps.channel_pruning import ChannelPruning
from tfmo_drive.steps.cluster import Cluster
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.classification import Classification
from tfmo_drive.training.distillation import SoftLabels

TEACHER = SoftLabels(augmented_copies=4)
RATE = 0.005

EXPERIMENT = Experiment(
    task=Classification(),
    recipe=(
        ChannelPruning(pruning_ratio=0.8, epochs=14, warmup_epochs=2.0, learning_rate=0.05, distill=TEACHER),
        Prune(sparsity=0.5, allocation="lamp", epochs=3, learning_rate=0.01, distill=TEACHER),
        Cluster(clusters=16, preserve="sparsity", epochs=1, learning_rate=RATE, distill=TEACHER),
        QuantizeAware(epochs=1, learning_rate=RATE, preserve="sparsity+clusters", distill=TEACHER),
    ),
    targets=(LiteRTInt8(),),
    expect=Expect(score_drop=0.01, gzip_ratio=0.01, latency_ratio=0.05),
)
