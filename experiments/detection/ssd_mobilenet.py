"""Finds objects by SSDLite on MobileNetV2 (Liu et al. 2016, Sandler et al. 2018), from nothing, and on for int8.

Default boxes on four maps instead of one fine grid: a detector that many boards' tools know. The backbone has half of
the channels. Objects in these frames are small, half of them under 7 pixels, so the first map has stride 4, and a
default box is an object's from an overlap of 0.4 on.

make train-ssd_mobilenet
make train-ssd_mobilenet SET="task.network.width=1.0 task.image_size=192,256 task.detector.strides=8,16,32,64"
make train-ssd_mobilenet DATA=path/to/coco SET="task.image_size=192,256 task.detector.strides=8,16,32,64"
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.networks.backbones import MobileNetV2
from tfmo_drive.networks.detectors import SSD
from tfmo_drive.scenes.frames import Frames
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.detection.detection import Detection

ADAM = {"batch_size": 8, "optimizer": "adam"}
TUNED = {"epochs": 2, "learning_rate": 0.0002, **ADAM}

EXPERIMENT = Experiment(
    task=Detection(
        network=MobileNetV2(width=0.5),
        detector=SSD(overlap=0.4),
        scenes=Frames(train=1000, val=64, test=300),
    ),
    training=Train(epochs=24, learning_rate=0.002, warmup_epochs=1.0, averaged_epochs=5, **ADAM),
    recipe=(QuantizeAware(**TUNED),),
    controls={"longer_training": (Train(**TUNED),)},
    targets=(LiteRTInt8(),),
    measures=MEASURES,
    expect=Expect(score_drop=0.02, size_ratio=0.35, baseline_score=0.08),
)
