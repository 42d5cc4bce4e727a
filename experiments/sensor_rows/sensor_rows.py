"""Classifies rows of sensor readings, 100 columns to 50 units: half of the weights become zero, int8 keeps them.

Built-in rows (what a car's sensors read over a second, to its manoeuvre), or any table. Beside it the float network
with the same extra epochs. The board feeds raw float32 numbers; mean and scale are in the file.

make train-sensor_rows
make train-sensor_rows DATA=rows.parquet SET="task.columns.target=gear task.network.units=100,50"
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.sensor_rows.sensor_rows import SensorRows

EXPERIMENT = Experiment(
    task=SensorRows(),
    training=Train(epochs=12, learning_rate=0.05, batch_size=256),
    recipe=(
        Prune(sparsity=0.5, epochs=6, learning_rate=0.02, batch_size=256),
        QuantizeAware(epochs=2, learning_rate=0.002, batch_size=256, preserve="sparsity", calibration_images=1024),
    ),
    controls={"longer_training": (Train(epochs=8, learning_rate=0.02, batch_size=256),)},
    targets=(LiteRTInt8(calibration_images=1024),),
    expect=Expect(score_drop=0.01, keras_gap=0.005, size_ratio=0.50),
)
