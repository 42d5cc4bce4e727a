"""Compares what to prune by: magnitude, gradient, SNIP, magnitude after training under a penalty, or chance.

All get the same two epochs and the same sparsity, every kernel the same fraction; the recipe is by magnitude.

make train-criteria DATA=path/to/images WEIGHTS=trained.h5
make train-criteria CONTROLS=gradient,chance SET=recipe.0.sparsity=0.9
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.steps.criteria import SNIP, Chance, Gradient
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.regularize import Regularize
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.classification import Classification

SPARSITY = 0.8

EXPERIMENT = Experiment(
    task=Classification(),
    recipe=(Prune(sparsity=SPARSITY, epochs=2),),
    controls={
        "gradient": (Prune(sparsity=SPARSITY, epochs=2, criterion=Gradient()),),
        "snip": (Prune(sparsity=SPARSITY, epochs=2, criterion=SNIP()),),
        "regularized": (Regularize(penalty="l1", epochs=1), Prune(sparsity=SPARSITY, epochs=1)),
        "chance": (Prune(sparsity=SPARSITY, epochs=2, criterion=Chance()),),
    },
    targets=(LiteRTFloat32(), LiteRTInt8()),
    expect=Expect(score_drop=0.03, gzip_ratio=0.15),
)
