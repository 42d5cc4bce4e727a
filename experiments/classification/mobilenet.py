"""Classifies by MobileNetV3 small (Howard et al. 2019): hard swish and squeeze-and-excite, trained on for int8.

It is known to lose more by int8 without training than a ResNet does, which is why training under fake quantisation
stands beside it, and beside that the same epochs in float. keras.applications builds it, so that its ImageNet weights
fit. Under fake quantisation each hard swish is three depthwise convolutions and a product, whose scales are a fifth of
the file and nearly nothing once gzipped.

make train-mobilenet
make train-mobilenet SET="task.network=MobileNetV2" WORKDIR=runs/mobilenet_v2
make train-mobilenet DATA=path/to/images SET=task.weights=mobilenet_v3_small_notop.h5
"""

from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.networks.backbones import MobileNetV3
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.classification import Classification, Scenes

TUNED = {"epochs": 1, "batch_size": 32, "learning_rate": 0.002}

EXPERIMENT = Experiment(
    task=Classification(
        network=MobileNetV3(),
        scenes=Scenes(train=1440, val=200, test=400, difficulty=0.2),
        # Few epochs, and no end of scenes: strong augmentation would only slow learning down.
        augmentation=Augmentation(shift=0.05, zoom=0.0, shear_degrees=0.0, brightness=0.0, contrast=0.0),
    ),
    training=Train(epochs=8, batch_size=32, learning_rate=0.02, warmup_epochs=1.0),
    recipe=(QuantizeAware(**TUNED),),
    controls={"longer_training": (Train(**TUNED),)},
    targets=(LiteRTInt8(),),
    expect=Expect(score_drop=0.02, size_ratio=0.35, gzip_ratio=0.35, baseline_score=0.85),
)
