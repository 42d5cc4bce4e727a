"""Says all kinds of things that a frame shows, several at once, in float and in int8 without training.

make train-labels_post_training
make train-labels_post_training DATA=path/to/labels.csv WEIGHTS=mine.h5

A CSV has a column of 0 and 1 for each label, or one of their names between ; or |.
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.networks.backbones import SmallCNN
from tfmo_drive.scenes.frames import Frames
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.image_labels import Labels

EXPERIMENT = Experiment(
    task=Labels(
        image_size=(64, 96),
        network=SmallCNN(filters=(16, 32, 64)),
        scenes=Frames(train=4000, val=300, test=600),
    ),
    training=Train(epochs=24, batch_size=32, learning_rate=0.01, averaged_epochs=6),
    targets=(LiteRTFloat32(), LiteRTInt8()),
    expect=Expect(target="litert_int8", score_drop=0.01, size_ratio=0.3),
)
