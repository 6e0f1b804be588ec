"""The exercises by name."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from foveal.errors import UnknownName, UsageError

EXERCISES = {"pooling": "pooling", "fooling": "fooling", "zeros": "symmetry", "sigmoid": "vanishing"}
"""The module of each, whose function of that name does it."""


def exercise(name: str, **options: Any) -> Any:
    """Do an exercise of the lectures.

    Parameters
    ----------
    name : ``pooling``, three networks side by side; ``fooling``, hyperparameters chosen on the wrong pictures;
        ``zeros``, weights that begin alike; ``sigmoid``, gradients that vanish.
    options : of the exercise's function; None for its own default.

    Returns
    -------
    What the function gives: ``str(result)``, ``result.to_json()`` and ``result.plot()`` show it.

    Raises
    ------
    UnknownName : no such exercise.
    UsageError : an option that it does not have.
    """
    if name not in EXERCISES:
        raise UnknownName("exercise", name, EXERCISES)
    function = getattr(import_module(f"foveal.experiments.{EXERCISES[name]}"), EXERCISES[name])
    takes = inspect.signature(function).parameters
    given = {option: value for option, value in options.items() if value is not None}
    for option in given:
        if option not in takes:
            known = ", ".join(each for each in takes if each not in ("out", "observer"))
            raise UsageError(f"the exercise {name} has no option {option}; it has {known}")
    return function(**given)
