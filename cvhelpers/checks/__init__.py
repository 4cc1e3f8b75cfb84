"""What the notebooks' checks have in common: to look at trainings and nets from outside."""

from cvhelpers.checks.nets import agree, shaken, swapped, with_weights
from cvhelpers.checks.parts import check_augmentation, check_optimizer, check_returned
from cvhelpers.checks.recorder import handed_to_fit
from cvhelpers.checks.trainings import check_fit

__all__ = [
    "agree",
    "check_augmentation",
    "check_fit",
    "check_optimizer",
    "check_returned",
    "handed_to_fit",
    "shaken",
    "swapped",
    "with_weights",
]
