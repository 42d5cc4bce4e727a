"""Teaches a small backbone by the ResNet50 detector: scores and boxes, and features inside and around the boxes.

Beside it the same student by soft labels alone, and by the truth alone, on the same augmented copies.

make train-detection_distilled
make train-detection_distilled DATA=path/to/coco WEIGHTS=runs/detection/stages/0_baseline/model.h5
"""

from tfmo_drive.experiments.detection import TRAINING

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.measures.robustness import Robustness
from tfmo_drive.measures.temporal import Temporal
from tfmo_drive.networks.backbones import ResNet
from tfmo_drive.steps.distill import Distill
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.detection.detection import Detection
from tfmo_drive.training.distillation import Features, SoftLabels

PLACES = tuple((name, name) for name in ("detection_relu16", "detection_relu8", "detection_smooth_relu"))
LABELS = {"alpha": 0.5, "temperature": 1.0, "augmented_copies": 8}
STUDENT = {
    "student": ResNet(blocks=(1, 1, 1, 1), width=0.25), "epochs": 30, "learning_rate": 0.02, "warmup_epochs": 2.0,
    "batch_size": 16,
}  # fmt: skip

EXPERIMENT = Experiment(
    task=Detection(),
    training=TRAINING,
    recipe=(Distill(**STUDENT, distill=SoftLabels(**LABELS, features=Features(pairs=PLACES, places="objects"))),),
    controls={
        "soft_labels_alone": (Distill(**STUDENT, distill=SoftLabels(**LABELS)),),
        "untaught": (Distill(**STUDENT, distill=SoftLabels(**LABELS | {"alpha": 0.0})),),
    },
    targets=(LiteRTFloat32(), LiteRTInt8()),
    measures=(*MEASURES, Robustness(), Temporal()),
    expect=Expect(over_control=0.0),
)
