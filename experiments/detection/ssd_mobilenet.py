"""Finds objects by SSDLite on MobileNetV2 (Liu et al. 2016, Sandler et al. 2018), from nothing, and on for int8.

Default boxes on four maps instead of one fine grid: a detector that many boards' tools know. The backbone has half of
the channels; the first map has stride 8, because objects in these frames are small.

make train-ssd_mobilenet
make train-ssd_mobilenet SET="task.network.width=1.0 task.image_size=192,256"
make train-ssd_mobilenet DATA=path/to/coco SET="task.image_size=192,256 task.weights=mobilenet_v2_0.5_notop.h5"
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.networks.backbones import MobileNetV2
from tfmo_drive.networks.ssd import SSD
from tfmo_drive.scenes.frames import Frames
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.detection.detection import Detection

ADAM = {"batch_size": 16, "optimizer": "adam"}

EXPERIMENT = Experiment(
    task=Detection(network=MobileNetV2(width=0.5), detector=SSD(), scenes=Frames(train=1000, val=64, test=300)),
    training=Train(epochs=24, learning_rate=0.002, warmup_epochs=1.0, averaged_epochs=5, **ADAM),
    recipe=(QuantizeAware(epochs=2, learning_rate=0.0002, **ADAM),),
    targets=(LiteRTInt8(),),
    measures=MEASURES,
    expect=Expect(score_drop=0.02, size_ratio=0.35),
)
