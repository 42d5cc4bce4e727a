"""Zeroes two of every four weights along the input channels (2:4), the pattern that sparse matrix units read.

make train-pruned_2x4 DATA=path/to/images WEIGHTS=trained.h5

It learns from the baseline's soft labels as well; beside it the float model with the same extra epochs on labels alone.
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.classification import Classification
from tfmo_drive.training.distillation import SoftLabels

EXPERIMENT = Experiment(
    task=Classification(),
    recipe=(
        Prune(pattern="2:4", schedule="constant", epochs=1, learning_rate=0.02, distill=SoftLabels(augmented_copies=2)),
    ),
    controls={"longer_training": (Train(epochs=1, learning_rate=0.02),)},
    targets=(LiteRTFloat32(), LiteRTInt8()),
    expect=Expect(score_drop=0.01, size_ratio=0.30),
)
