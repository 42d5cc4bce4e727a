"""Deep Compression (Han, Mao & Dally 2016): most weights zero, the others few values, int8; the file gzips to 1/25.

make train-deep_compression DATA=path/to/images WEIGHTS=trained.h5

DOCSTRING
"""

from tfmo_drive.compress.cluster import Cluster
from tfmo_drive.compress.prune import Prune
from tfmo_drive.compress.quantize_aware import QuantizeAware
from tfmo_drive.compress.train import Train
from tfmo_drive.core.distillation import SoftLabels
from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.classification import Classification

TEACHER = SoftLabels(views=1)
PRUNED = Prune(sparsity=0.9, allocation="lamp", epochs=3, learning_rate=0.02, distill=TEACHER)
RATE = 0.005

EXPERIMENT = Experiment(
    task=Classification(),
    recipe=(
        PRUNED,
        Cluster(clusters=8, preserve="sparsity", epochs=1, learning_rate=RATE, distill=TEACHER),
        QuantizeAware(epochs=1, learning_rate=RATE, preserve="sparsity+clusters", distill=TEACHER),
    ),
    controls={
        "longer_training": (Train(epochs=5, learning_rate=0.02),),
        "unclustered": (PRUNED, QuantizeAware(epochs=2, learning_rate=RATE, preserve="sparsity", distill=TEACHER)),
    },
    targets=(LiteRTFloat32(), LiteRTInt8()),
    expect=Expect(score_drop=0.01, gzip_ratio=0.04),
)
