"""Says in metres how far the nearest road user is, by a small network, in float and in int8 without training.

Where a road user stands in the picture tells its distance, so features are flattened, not averaged over the picture.
A few hundred frames are learnt by heart; some thousands teach it.

make train-distance
make train-distance DATA=path/to/distances.csv SET=task.columns.number=metres

Measured 2026-11-30 on 2 cores, seed 0: baseline/litert_int8 scores 72.3 %, +0.07 (-0.30 to +0.36) points against
float, 3.9x smaller, 2.4x faster on 2 threads, 2.4x faster each on what suits it best (600 test examples).
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.measures.temporal import Temporal
from tfmo_drive.networks.backbones import SmallCNN
from tfmo_drive.scenes.frames import Frames
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.distance import DistanceToObject

EXPERIMENT = Experiment(
    task=DistanceToObject(
        network=SmallCNN(filters=(16, 32, 64)),
        scenes=Frames(train=4000, val=300, test=600),
    ),
    training=Train(epochs=24, batch_size=32, learning_rate=0.01, averaged_epochs=6),
    targets=(LiteRTFloat32(), LiteRTInt8()),
    measures=(*MEASURES, Temporal()),
    expect=Expect(target="litert_int8", error_rise=0.1, size_ratio=0.3),
)
