"""One training: the loop, its schedules, its measures, its checkpoints; frozen features."""

from cvhelpers.data.features import FeatureBatches
from cvhelpers.training.checkpoints import (
    load_weights,
    read_checkpoint,
    save_checkpoint,
)
from cvhelpers.training.features import frozen_features
from cvhelpers.training.history import History
from cvhelpers.training.loop import evaluate, fit, predict
from cvhelpers.training.metrics import confusion_counts
from cvhelpers.training.schedules import EarlyStopping, one_cycle, plateau

__all__ = [
    "EarlyStopping",
    "FeatureBatches",
    "History",
    "confusion_counts",
    "evaluate",
    "fit",
    "frozen_features",
    "load_weights",
    "one_cycle",
    "plateau",
    "predict",
    "read_checkpoint",
    "save_checkpoint",
]
