"""Experiments: many trainings compared. Repeated trials, exact statistics, several comparisons."""

from cvhelpers.experiments.comparisons import bootstrap_interval, compare_all, holm, mcnemar
from cvhelpers.experiments.statistics import Comparison, compare, verdict
from cvhelpers.experiments.trials import Trials, run_trials

__all__ = [
    "Comparison",
    "Trials",
    "bootstrap_interval",
    "compare",
    "compare_all",
    "holm",
    "mcnemar",
    "run_trials",
    "verdict",
]
