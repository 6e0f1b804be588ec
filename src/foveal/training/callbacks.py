"""What stands beside the loop: a callback is told of every step and may look, write or stop, but not compute a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foveal.training.state import Training


class Callback:
    """Told how a training goes; every method may be left as it is.

    To stop the training after the step under way, set ``training.stop`` to the reason.
    """

    def begin(self, training: Training) -> None:
        """Before the first step of this process, which after a resumption is not the first of the run."""

    def before_step(self, training: Training) -> None:
        """Before a batch is drawn; whatever takes random numbers here does not change the step."""

    def after_step(self, training: Training) -> None:
        """The weights have moved; ``training.global_step`` is the number of steps done."""

    def after_epoch(self, training: Training) -> None:
        """``training.history.epochs[-1]`` is the epoch's account, ``training.epoch`` the number of epochs done."""

    def end(self, training: Training) -> None:
        """After the last step, the weights that are kept in place; not called after an error."""
