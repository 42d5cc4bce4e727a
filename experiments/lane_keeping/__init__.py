"""Experiments on lane keeping; their float baselines are trained alike."""

from tfmo_drive.steps.train import Train

TRAINING = Train(epochs=60, batch_size=32, learning_rate=0.012, warmup_epochs=1.0)
"""How a float baseline is trained where none is given."""
