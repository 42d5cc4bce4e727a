"""Steers by PilotNet (Bojarski et al. 2016), 252,219 parameters from nothing, trained on under fake quantisation.

The network sees 66 x 200 pixels, as in the paper. ELU is a table in int8, ReLU is not. It has no BatchNorm, so it takes
Adam; a few hundred frames are learnt by heart, some thousands teach it.

make train-pilotnet
make train-pilotnet SET=task.network.activation=relu WORKDIR=runs/pilotnet_relu
make train-pilotnet DATA=path/to/driving_log
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.measures.temporal import Temporal
from tfmo_drive.networks.backbones import PilotNet
from tfmo_drive.scenes.frames import Frames
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping

ADAM = {"batch_size": 32, "optimizer": "adam"}
TUNED = {"epochs": 2, "learning_rate": 0.0002, **ADAM}

EXPERIMENT = Experiment(
    task=LaneKeeping(image_size=(66, 200), network=PilotNet(), scenes=Frames(train=3000, val=200, test=400)),
    training=Train(epochs=12, learning_rate=0.001, warmup_epochs=1.0, averaged_epochs=3, **ADAM),
    recipe=(QuantizeAware(**TUNED),),
    controls={"longer_training": (Train(**TUNED),)},
    targets=(LiteRTInt8(),),
    measures=(*MEASURES, Temporal()),
    expect=Expect(score_drop=0.02, size_ratio=0.3, baseline_score=0.6),
)
