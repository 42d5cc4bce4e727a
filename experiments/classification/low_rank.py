"""Halves the multiply-accumulates: kernels become products of thinner ones (SVD, Tucker-2), fine-tuned, then int8.

make train-low_rank DATA=path/to/images WEIGHTS=trained.h5
make train-low_rank SET="recipe.0.macs=0.4 recipe.0.method=spatial"

Both steps learn from the baseline's soft labels as well. Beside it the float model with the same extra epochs on labels
alone, and a narrower ResNet50 of as many multiply-accumulates, trained from nothing for the same epochs.

Measured 2026-11-25 on 2 cores, seed 0: low_rank/litert_int8 scores 94.6 %, +1.99 (+0.85 to +3.32) points against
float, 7.1x smaller (1,055 test examples).
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.networks.backbones import ResNet
from tfmo_drive.steps.distill import Distill
from tfmo_drive.steps.low_rank import LowRank
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.classification import Classification
from tfmo_drive.training.distillation import SoftLabels

TEACHER = SoftLabels(augmented_copies=1)
UNTAUGHT = SoftLabels(augmented_copies=1, alpha=0.0)

EXPERIMENT = Experiment(
    task=Classification(),
    recipe=(
        LowRank(macs=0.499, epochs=2, distill=TEACHER),  # the file counts its preprocessing too
        QuantizeAware(epochs=1, distill=TEACHER),
    ),
    controls={
        "longer_training": (Train(epochs=3, learning_rate=0.02),),
        "equal_size": (
            Distill(student=ResNet(width=0.7), epochs=2, distill=UNTAUGHT),
            QuantizeAware(epochs=1, distill=UNTAUGHT),
        ),
    },
    targets=(LiteRTInt8(),),
    expect=Expect(score_drop=0.005, macs_ratio=0.5),
)
