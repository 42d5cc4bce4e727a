"""Experiments on semantic segmentation; their float baselines are trained alike."""

from tfmo_drive.steps.train import Train

TRAINING = Train(epochs=40, batch_size=16, learning_rate=0.05, warmup_epochs=1.0)
"""How a float baseline is trained where none is given."""
