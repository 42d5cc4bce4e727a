"""Answers steering and throttle of one image, by a small network, in float and in int8 without training.

make train-pilot_post_training
make train-pilot_post_training DATA=path/to/tub WEIGHTS=pilot.h5 SET="task.preprocessing_name=unit \\
    task.image_size=120,160 task.given_outputs=steering,throttle task.parts.1.outputs=raw"

The second takes a donkeycar tub and a pilot of one's own on images / 255, whose outputs are steering and throttle in
this order, in the tub's own units.
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.networks.backbones import SmallCNN
from tfmo_drive.scenes.frames import Frames
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping
from tfmo_drive.tasks.multi_task import MultiTask
from tfmo_drive.tasks.throttle import Throttle

EXPERIMENT = Experiment(
    task=MultiTask(
        parts=(LaneKeeping(), Throttle()),
        image_size=(64, 96),
        network=SmallCNN(filters=(16, 32, 64)),
        scenes=Frames(train=4000, val=300, test=600),
    ),
    training=Train(epochs=24, batch_size=32, learning_rate=0.003, warmup_epochs=1.0, averaged_epochs=6),
    targets=(LiteRTFloat32(), LiteRTInt8()),
    expect=Expect(target="litert_int8", score_drop=0.02, size_ratio=0.3),
)
