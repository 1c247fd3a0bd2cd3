"""Train networks: the loop, its batches, devices and checkpoints, applying what was trained, and whether it is dead."""

from novelty_utils.training.applying import apply
from novelty_utils.training.backends import pick_device
from novelty_utils.training.batches import Job, epochs_for, steps_per_epoch
from novelty_utils.training.loop import DivergedError, History, Objective, build, fit

__all__ = [
    "DivergedError",
    "History",
    "Job",
    "Objective",
    "apply",
    "build",
    "epochs_for",
    "fit",
    "pick_device",
    "steps_per_epoch",
]
