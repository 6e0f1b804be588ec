"""What each label in the report means: one place, so that a label without a definition is an error."""

from __future__ import annotations

GLOSSARY: dict[str, tuple[str, str]] = {
    "accuracy": ("accuracy", "The share of photos whose named class is the true one."),
    "baseline": (
        "always the same answer",
        "What a classifier would score that ignores the photo and always names the class most frequent in training.",
    ),
    "calibration": (
        "calibration error",
        "How far confidence and accuracy are apart, averaged over the photos in bins of equal size (expected "
        "calibration error). 0 is ideal.",
    ),
    "candidate": (
        "candidate",
        "A combination of features, view, head and penalty that was tried. Candidates are compared by cross-validation "
        "on the training part alone; the test part plays no role.",
    ),
    "cam": (
        "class activation map",
        "Where in the photo the evidence for the named class was: the features at each place, weighted as the head "
        "weighs them (Zhou et al. 2016). It is exact for a linear head on averaged features, at the coarse grid of the "
        "last layer.",
    ),
    "confidence": (
        "confidence",
        "The probability the classifier gives to the class it names, after calibration by temperature.",
    ),
    "confusion": (
        "confusion matrix",
        "Counts of test photos by true class (rows) and named class (columns). Right answers are on the diagonal.",
    ),
    "cross-validation": (
        "cross-validation",
        "The training part is cut into folds; each fold is scored by a head that was fitted on the others. Photos of "
        "one group are always in the same fold.",
    ),
    "doubt": (
        "label in doubt",
        "A photo whose label gets little probability from heads that never saw it, while another class gets much. "
        "Often the label is wrong, the photo shows both, or it is a hard one: look before you change it.",
    ),
    "engine": ("engine", "The program that ran the network over the photos."),
    "f1": ("F1", "The harmonic mean of precision and recall: 2 x right / (photos of the class + photos named so)."),
    "features": (
        "features",
        "What the network computes from a photo before it decides. The network stays as it was published; "
        "only the head on top of it is fitted to your photos.",
    ),
    "group": (
        "group",
        "Photos that belong together (one object, one place, one burst) and must not be split between training and "
        "test. Near-duplicates always form a group.",
    ),
    "head": ("head", "The small linear classifier on the features: ridge regression or logistic regression."),
    "interval": (
        "95 % interval",
        "The range of true values that the counts leave plausible (Wilson's score interval). It covers chance in the "
        "choice of test photos, not photos of another kind.",
    ),
    "known-rejected": (
        "known photos turned away",
        "The share of photos of the trained classes that are answered with “none of these”. Lower is better.",
    ),
    "learning-curve": (
        "learning curve",
        "Accuracy on photos not fitted on, for heads fitted on growing parts of the training photos. Where it still "
        "rises at the right end, more photos should help.",
    ),
    "log-loss": (
        "log loss",
        "The mean of -ln(probability given to the true class). It punishes confident mistakes; 0 is ideal, and "
        "guessing evenly among c classes gives ln c.",
    ),
    "near-duplicate": (
        "near-duplicate",
        "Two files that show nearly the same picture: resized, saved again, slightly cropped or taken in one burst.",
    ),
    "penalty": ("penalty", "How strongly the head is pulled towards small weights. Larger means simpler."),
    "precision": ("precision", "Of the photos named as this class, the share that are of it."),
    "precision-bits": (
        "number format",
        "bf16 is faster and coarser than f32. Some photos are recomputed in f32, and the changes are stated: flips are "
        "photos whose named class changed.",
    ),
    "probability": ("probability", "What the head gives to a class, after calibration. All classes sum to 1."),
    "recall": ("recall", "Of the photos of this class, the share that were named as it."),
    "reliability": (
        "reliability diagram",
        "Test photos sorted by confidence and cut into bins of equal size; each bin's accuracy over its mean "
        "confidence. On the diagonal, “80 % sure” is right 80 % of the time.",
    ),
    "seed": ("seed", "The number that fixes every random choice. Same seed, same split, same folds."),
    "stage": ("stage", "A step of the run, timed on the clock."),
    "support": ("support", "How many test photos a number is based on."),
    "temperature": (
        "temperature",
        "The one number the scores are divided by before they become probabilities, fitted on out-of-fold scores so "
        "that confidence matches accuracy (Guo et al. 2017).",
    ),
    "test": (
        "sealed test part",
        "Photos set apart before anything was fitted or chosen, and opened once, at the end.",
    ),
    "threshold": ("threshold", "Below this the answer is “none of these” instead of a class."),
    "unknown-accepted": (
        "strangers let in",
        "The share of photos of a class it was not trained on that still get a name. Measured by leaving each class "
        "out in turn. Lower is better.",
    ),
    "view": (
        "view",
        "What the head was trained on: the photos as they are (plain), or also mirrored left to right (flip).",
    ),
}
"""id -> (term, definition); the report lists them in this order."""

_SHARED = (
    "accuracy", "baseline", "calibration", "confidence", "confusion", "f1", "interval", "log-loss", "precision",
    "recall", "reliability", "support", "test",
)  # fmt: skip
_OF_TRAINING = {
    "augmentation": (
        "augmentation",
        "Random changes to training photos, drawn anew in every epoch, that leave the class as it is: shifts, mirror "
        "images, cut-outs. Validation and test photos are never changed.",
    ),
    "epoch": ("epoch", "One pass over the training part, in batches of a few photos each, in an order of its own."),
    "loss": (
        "loss",
        "What training makes small: the mean of -ln(probability given to the true class). In training it includes "
        "label smoothing, if there is any.",
    ),
    "macs": ("MACs", "Multiply-accumulates of convolutions and dense layers for one photo."),
    "overfitting": (
        "overfitting",
        "The training loss falls on while the validation loss rises: the network learns its photos by heart.",
    ),
    "parameters": ("parameters", "The numbers that training sets."),
    "rate": ("learning rate", "How far the weights move in a step, for a gradient of a given size."),
    "temperature": (
        "temperature",
        "The one number the scores are divided by before they become probabilities, fitted on the validation part so "
        "that confidence matches accuracy (Guo et al. 2017); 1 without such a part.",
    ),
    "validation": (
        "validation part",
        "Photos that are not trained on. They show how the training goes, and choose the epoch and the temperature.",
    ),
}
TRAINING_GLOSSARY = dict(sorted(({key: GLOSSARY[key] for key in _SHARED} | _OF_TRAINING).items()))
"""Likewise of a training from scratch."""
