"""Gives every pixel a class by Fast-SCNN (Poudel et al. 2019), a network made for that speed, and on for int8.

Beside `unet` it has less than a tenth of the multiply-accumulates a pixel, and answers at stride 8: thin things are
lost first.

make train-fast_scnn
make train-fast_scnn DATA=path/to/camvid SET="task.image_size=192,256"
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.networks.backbones import FastSCNN
from tfmo_drive.scenes.frames import Frames
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.segmentation.segmentation import Segmentation

TUNED = {"epochs": 2, "batch_size": 8, "learning_rate": 0.001}

EXPERIMENT = Experiment(
    task=Segmentation(image_size=(128, 192), network=FastSCNN(), scenes=Frames(train=800, val=64, test=200)),
    training=Train(epochs=16, batch_size=8, learning_rate=0.03, warmup_epochs=1.0),
    recipe=(QuantizeAware(**TUNED),),
    controls={"longer_training": (Train(**TUNED),)},
    targets=(LiteRTInt8(),),
    measures=MEASURES,
    expect=Expect(score_drop=0.02, size_ratio=0.35, baseline_score=0.45),
)
