"""Predicts a car's speed one second ahead from rows of CAN, IMU and radar readings, in int8.

The built-in rows without DATA; with it the logs of drives (comma2k19), whose other target is the steering angle, or any
table with a number to predict. The output is in standard deviations: the file's metadata says how to decode it.

make train-sensor_speed DATA=../shared/data/comma2k19_example
make train-sensor_speed DATA=../shared/data/comma2k19_example SET=task.columns.target=steering WORKDIR=runs/steering
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.networks.networks import DenseLayers
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.sensor_rows.sensor_rows import SensorRows
from tfmo_drive.tasks.sensor_rows.sensor_series import Series

EXPERIMENT = Experiment(
    task=SensorRows(
        predicts="number",
        network=DenseLayers(units=(16,)),  # a minute's drive teaches more units nothing but itself
        series=Series(train=6_000, val=2_000, test=4_000),
    ),
    training=Train(epochs=30, learning_rate=0.02, batch_size=32),
    recipe=(QuantizeAware(epochs=2, learning_rate=0.002, batch_size=32, calibration_images=1024),),
    controls={"longer_training": (Train(epochs=2, learning_rate=0.002, batch_size=32),)},
    targets=(LiteRTInt8(calibration_images=1024),),
    expect=Expect(score_drop=0.01, keras_gap=0.005),
)
