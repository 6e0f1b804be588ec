"""From frozen features to a decision: ridge and logistic heads, chosen, calibrated, rejecting, diagnosed."""

from foveal.heads.calibration import fit_temperature, softmax
from foveal.heads.rejection import novelty_score
from foveal.heads.results import Candidate, Head, Selection, Validation
from foveal.heads.selection import select_head

__all__ = ["Candidate", "Head", "Selection", "Validation", "fit_temperature", "novelty_score", "select_head", "softmax"]
