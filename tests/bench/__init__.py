"""Speed, measured as ratios within one run (`make bench`); no tests."""

import tfmo_drive  # noqa: F401  (selects Keras 2 before tfmot or tf2onnx import TensorFlow)
