"""Trains the float baseline and converts it for float targets; nothing is compressed.

make train-baseline DATA=path/to/images
make train-baseline DATA=path/to/images WEIGHTS=trained.h5      # already trained: convert and measure only
make train-baseline SET="task.weights=path/to/resnet50_notop.h5 training.epochs=10"
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.targets.litert import LiteRTFloat16, LiteRTFloat32
from tfmo_drive.targets.onnx import OnnxFloat32
from tfmo_drive.tasks.classification import Classification

EXPERIMENT = Experiment(
    task=Classification(),
    targets=(LiteRTFloat32(), LiteRTFloat16(), OnnxFloat32()),
    expect=Expect(score_drop=0.005, keras_gap=0.005),  # float files say what the Keras model says
)
