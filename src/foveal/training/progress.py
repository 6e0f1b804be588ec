"""What a training tells while it goes: events for `foveal.runlog`."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict

from foveal.training.callbacks import Callback
from foveal.training.state import Training

ENOUGH = 8  # batches before anything is forecast
_RECENT = 50  # stretches that the forecast is made from
_STRETCH = 0.1  # seconds


class Progress(Callback):
    """Tells ``fit`` before the first step (``resume`` before that where it goes on), ``step`` every tenth of a second,
    and ``epoch`` after each; and ``note`` whatever the history gets to note.

    Batches are timed in stretches of a tenth of a second, or of one batch, at whose end the device is waited for.

    Parameters
    ----------
    tell : called with an event's name and its fields.
    """

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell
        self._recent: deque[float] = deque(maxlen=_RECENT)  # seconds a batch
        self._seen = self._batches = 0  # in all, and of this stretch
        self._since = 0.0
        self._noted = 0

    def begin(self, training: Training) -> None:
        if training.global_step:
            self._tell("resume", epoch=training.epoch, step=training.step)
        self._tell(
            "fit", epochs=training.config.epochs, steps=training.steps, pictures=len(training.data.train),
            parameters=sum(each.numel() for each in training.module.parameters() if each.requires_grad),
            device=training.device.type, precision=training.choices.precision, layout=training.choices.layout,
            processes=training.world.size,
        )  # fmt: skip
        self._note(training)

    def before_step(self, training: Training) -> None:
        if not self._batches:
            self._since = time.perf_counter()

    def after_step(self, training: Training) -> None:
        self._note(training)
        self._batches += 1
        if time.perf_counter() - self._since < _STRETCH and training.step < training.steps:
            return
        loss = float(training.loss)
        self._recent.append((time.perf_counter() - self._since) / self._batches)
        self._seen, self._batches = self._seen + self._batches, 0
        a_batch = len(training.data.train) / training.steps
        self._tell(
            "step", epoch=training.epoch + 1, epochs=training.config.epochs, done=training.step, total=training.steps,
            loss=loss, images_per_second=round(a_batch / statistics.median(self._recent), 1), left=self._left(training),
        )  # fmt: skip

    def after_epoch(self, training: Training) -> None:
        self._note(training)
        left = 0.0 if training.stop else self._left(training)
        row = asdict(training.history.epochs[-1])
        self._tell("epoch", took=row.pop("seconds"), **row, epochs=training.config.epochs, left=left)

    def _note(self, training: Training) -> None:
        for note in training.history.notes[self._noted :]:
            self._tell("note", text=note)
            self._noted += 1

    def _left(self, training: Training) -> float | None:
        """Seconds that the batches left will take, each as the median of recent ones; None before there are enough."""
        if self._seen < ENOUGH:
            return None
        left = training.config.epochs * training.steps - training.global_step
        return round(left * statistics.median(self._recent), 3)
