"""Experiments on object detection; their float baselines are trained alike."""

from tfmo_drive.steps.train import Train

TRAINING = Train(epochs=60, batch_size=8, learning_rate=0.02, warmup_epochs=1.0)
"""How a float baseline is trained where none is given."""
