"""Zeroes 90 % of the weights, shares eight values in each kernel, then int8; aims at 1/25 of the gzipped bytes.

This is Deep Compression (Han, Mao & Dally 2016).

make train-deep_compression DATA=path/to/images WEIGHTS=trained.h5
make train-deep_compression SET="recipe.0.sparsity=0.92 recipe.1.clusters=6"

Why these numbers: 1/25 of the float file's 78.4 MB of gzip is 3.14 MB. Names, scales and biases of the int8 file gzip
to 0.30 MB, which leaves 0.97 bits for each of 23.5 million weights. A fraction z of zeros, and H bits of entropy in the
others, cost h(z) + (1 - z) H, where h is the entropy of a coin and h(0.9) = 0.47; gzip takes about 1.3 times that. Of
the baseline's own weights, pruned by LAMP and not trained, gzip makes, in MB of kernels:

    zeros                        85 %    90 %
    int8, channel by channel     5.52    4.03
    16 values per kernel         3.69    2.76
    8 values on average          3.41    2.61    with a quarter of the rounding error of 8 for each, which make 2.47

So the zeros do most of it and the values the rest. Beside it: the float model with the same extra epochs on labels
alone, and the same zeros in int8 without shared weights, which says what the sharing saves and costs.

Measured 2026-11-25 on 2 cores, seed 0: deep_compression/litert_int8 scores 93.5 %, +0.85 (-1.04 to +2.75) points
against float, 3.9x smaller (1,055 test examples).
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.steps.cluster import Cluster
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.classification import Classification
from tfmo_drive.training.distillation import SoftLabels

TEACHER = SoftLabels(augmented_copies=1)
PRUNED = Prune(sparsity=0.9, allocation="lamp", epochs=3, learning_rate=0.02, distill=TEACHER)
RATE = 0.005

EXPERIMENT = Experiment(
    task=Classification(),
    recipe=(
        PRUNED,
        Cluster(clusters=8, scope="global", preserve="sparsity", epochs=1, learning_rate=RATE, distill=TEACHER),
        QuantizeAware(epochs=1, learning_rate=RATE, preserve="sparsity+clusters", distill=TEACHER),
    ),
    controls={
        "longer_training": (Train(epochs=5, learning_rate=0.02),),
        "unclustered": (PRUNED, QuantizeAware(epochs=2, learning_rate=RATE, preserve="sparsity", distill=TEACHER)),
    },
    targets=(LiteRTInt8(),),
    expect=Expect(score_drop=0.01, gzip_ratio=0.04),
)
