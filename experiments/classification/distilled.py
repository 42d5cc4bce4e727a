"""Teaches a student of 1/28 of the parameters by the baseline, beside the same student without a teacher.

make train-distilled DATA=path/to/images WEIGHTS=trained.h5
make train-distilled SET="recipe.0.distill.temperature=2 recipe.0.distill.alpha=0.7"
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.steps.distill import Distill
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.classification import Classification
from tfmo_drive.training.distillation import SoftLabels

EXPERIMENT = Experiment(
    task=Classification(),
    recipe=(Distill(epochs=6, distill=SoftLabels(augmented_copies=2)),),
    controls={"untaught": (Distill(epochs=6, distill=SoftLabels(augmented_copies=2, alpha=0.0)),)},
    targets=(LiteRTFloat32(), LiteRTInt8()),
    expect=Expect(parameter_ratio=0.05, over_control=0.0, size_ratio=0.01),
)
