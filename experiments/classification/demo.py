"""Does the main job in a quarter of an hour on the built-in scenes: a ResNet50 from nothing, 70 % zeros, int8.

make demo
"""

from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.classification import Classification, Scenes

EXPERIMENT = Experiment(
    task=Classification(
        scenes=Scenes(train=2880, val=300, test=1000, difficulty=0.2),
        # Few epochs, and no end of scenes: strong augmentation would only slow learning down.
        augmentation=Augmentation(shift=0.05, zoom=0.0, shear_degrees=0.0, brightness=0.0, contrast=0.0),
    ),
    training=Train(epochs=4, learning_rate=0.02, warmup_epochs=0.5, batch_size=32),
    recipe=(
        Prune(sparsity=0.7, allocation="lamp", epochs=1, learning_rate=0.02),
        QuantizeAware(epochs=1, preserve="sparsity"),
    ),
    small_from_nothing=False,
    targets=(LiteRTInt8(),),
    expect=Expect(baseline_score=0.90, score_drop=0.01, size_ratio=0.30),
)
