"""Compares what to prune by, as `criteria` does, in a small network on rows of sensor readings, 100 to 50 units.

All get the same six epochs and the same sparsity, every kernel the same fraction; the recipe is by magnitude.

make train-criteria_rows
make train-criteria_rows SET="recipe.0.sparsity=0.5 controls.chance.0.sparsity=0.5" CONTROLS=chance
make train-criteria_rows DATA=path/to/comma2k19 SET=task.predicts=number WORKDIR=runs/criteria_speed

Measured 2026-11-29 on 2 cores, seed 0: criteria_rows/litert_int8 scores 82.0 %, -1.50 (-2.61 to -0.40) points
against float, 2.0x smaller, 1.1x faster on 2 threads, 1.3x faster each on what suits it best (12,000 test
examples).
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.steps.criteria import SNIP, Chance, Gradient
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.regularize import Regularize
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.sensor_rows.sensor_rows import SensorRows

PRUNED = {"sparsity": 0.9, "epochs": 6, "learning_rate": 0.02, "batch_size": 256}
SEEN = 4096

EXPERIMENT = Experiment(
    task=SensorRows(),
    training=Train(epochs=12, learning_rate=0.05, batch_size=256),
    recipe=(Prune(**PRUNED),),
    controls={
        "gradient": (Prune(**PRUNED, criterion=Gradient(images=SEEN)),),
        "snip": (Prune(**PRUNED, criterion=SNIP(images=SEEN)),),
        "regularized": (
            Regularize(penalty="l1", epochs=3, learning_rate=0.02, batch_size=256),
            Prune(**PRUNED | {"epochs": 3}),
        ),
        "chance": (Prune(**PRUNED, criterion=Chance()),),
        "longer_training": (Train(epochs=6, learning_rate=0.02, batch_size=256),),
    },
    targets=(LiteRTFloat32(), LiteRTInt8(calibration_images=1024)),
    expect=Expect(score_drop=0.03, gzip_ratio=0.25),
)
