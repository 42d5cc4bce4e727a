"""Zeroes half of the weights by magnitude, up a ramp: smaller once compressed for transport, not faster.

    make train-pruned DATA=path/to/images WEIGHTS=trained.h5
    make train-pruned SET="recipe.0.sparsity=0.7"

It learns from the baseline's soft labels as well. Beside it the float model with the same extra epochs on labels alone:
what these epochs would have been worth without pruning.
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
    recipe=(Prune(sparsity=0.5, epochs=1, learning_rate=0.02, distill=SoftLabels(augmented_copies=2)),),
    controls={"longer_training": (Train(epochs=1, learning_rate=0.02),)},
    targets=(LiteRTFloat32(), LiteRTInt8()),
    expect=Expect(score_drop=0.01, size_ratio=0.30),
)
