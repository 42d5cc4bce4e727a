"""Gives every pixel a class by a small U-Net (Ronneberger et al. 2015), trained from nothing and on for int8.

Its answer is as fine as the image: nothing is enlarged behind it, which is what the maps handed across are for. They
are also what a board must keep: the finest ones are the peak of its memory.

make train-unet
make train-unet SET=task.network.filters=8,16,32,64 WORKDIR=runs/unet_half
make train-unet DATA=path/to/camvid SET="task.image_size=96,128"
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.networks.backbones import UNet
from tfmo_drive.scenes.frames import Frames
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.segmentation.segmentation import Segmentation

TUNED = {"epochs": 1, "batch_size": 8, "learning_rate": 0.001}

EXPERIMENT = Experiment(
    task=Segmentation(image_size=(64, 96), network=UNet(), scenes=Frames(train=800, val=64, test=200)),
    training=Train(epochs=8, batch_size=8, learning_rate=0.02, warmup_epochs=1.0),
    recipe=(QuantizeAware(**TUNED),),
    controls={"longer_training": (Train(**TUNED),)},
    targets=(LiteRTInt8(),),
    measures=MEASURES,
    expect=Expect(score_drop=0.02, size_ratio=0.3, baseline_score=0.45),
)
