"""Rescues a model that was made hard for int8 on purpose, without training or labels, by 200 calibration images.

make train-post_training_hard DATA=path/to/images WEIGHTS=trained.h5
make train-post_training_hard DATA=path/to/images WEIGHTS=trained.h5 SET="recipe.0.decades=4 controls.hard.0.decades=4"

`Spread` rescales channels by random factors over several powers of ten: the same function in float, but one scale for
a whole tensor rounds most channels away. `hard` is that model as it is, the recipe its rescue; `baseline` is the plain
model, `plain_rescued` the rescue done to it. litert_int8 is plain; litert_mixed keeps the worst layers in float.

Measured 2026-11-25 on 2 cores, seed 0: post_training_hard/litert_mixed scores 92.5 %, -0.09 (-0.47 to +0.28) points
against float, 3.9x smaller (1,055 test examples).
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.steps.correct_bias import CorrectBias
from tfmo_drive.steps.equalize import Equalize
from tfmo_drive.steps.spoilers.spread import Spread
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8, LiteRTMixed
from tfmo_drive.tasks.classification import Classification

IMAGES = 200
RESCUE = (Equalize(calibration_images=IMAGES), CorrectBias(calibration_images=IMAGES))

EXPERIMENT = Experiment(
    task=Classification(),
    recipe=(Spread(), *RESCUE),
    controls={"hard": (Spread(),), "plain_rescued": RESCUE},
    targets=(LiteRTFloat32(), LiteRTInt8(calibration_images=IMAGES), LiteRTMixed(calibration_images=IMAGES)),
    expect=Expect(score_drop=0.01, size_ratio=0.30),
)
