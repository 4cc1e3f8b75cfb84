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
from cvhelpers.training.losses import cross_entropy, cross_entropy_and_dice, soft_dice_loss
from cvhelpers.training.metrics import confusion_counts, mask_scores, overlaps
from cvhelpers.training.predictions import ensemble, save_predictions
from cvhelpers.training.schedules import EarlyStopping, one_cycle, plateau
from cvhelpers.training.segmentation import (
    boundary_f,
    pooled_scores,
    predict_masks,
    score_masks,
)

__all__ = [
    "EarlyStopping",
    "FeatureBatches",
    "History",
    "boundary_f",
    "confusion_counts",
    "cross_entropy",
    "cross_entropy_and_dice",
    "ensemble",
    "evaluate",
    "fit",
    "frozen_features",
    "load_weights",
    "mask_scores",
    "one_cycle",
    "overlaps",
    "plateau",
    "pooled_scores",
    "predict",
    "predict_masks",
    "read_checkpoint",
    "save_checkpoint",
    "save_predictions",
    "score_masks",
    "soft_dice_loss",
]
