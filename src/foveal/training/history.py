"""What a training was like, epoch by epoch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


TIMED = ("seconds", "images_per_second")  # what of an epoch is never twice the same


@dataclass(frozen=True)
class Epoch:
    """One pass over the training part.

    Attributes
    ----------
    epoch : counted from 1.
    train_loss, train_accuracy : means over the steps, as the weights were then, on pictures as they were augmented,
        label smoothing included; the accuracy is None where pictures are mixed.
    val_loss, val_accuracy : of the weights after it, on the validation part as it is; None without one.
    lr : of its last step.
    seconds : on the clock, of the steps alone; `images_per_second` follows from it.
    """

    epoch: int
    train_loss: float
    train_accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    lr: float
    seconds: float
    images_per_second: float


@dataclass(frozen=True)
class Finding:
    """Something that `foveal.training.alarms` saw.

    Attributes
    ----------
    kind : a short name, the same for every network: ``"one class"``.
    epoch : after which it was seen, counted from 1.
    title : what is the case, with its numbers; `advice` : what would change it.
    """

    kind: str
    epoch: int
    title: str
    advice: str


@dataclass
class History:
    """The account of a training.

    Attributes
    ----------
    epochs : one row each.
    stopped : why it ended before its last epoch, or None.
    best_epoch : the one whose weights were kept (counted from 1): the one of least validation loss under `patience`,
        else the last.
    notes : what went otherwise than asked: a checkpoint that could not be written, say.
    alarms : what `foveal.training.alarms.Alarms` saw, if that was among the callbacks.
    module : the trained module, in evaluation mode.
    """

    epochs: list[Epoch] = field(default_factory=list)
    stopped: str | None = None
    best_epoch: int = 0
    notes: list[str] = field(default_factory=list)
    alarms: list[Finding] = field(default_factory=list)
    module: nn.Module | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "stopped": self.stopped,
            "best_epoch": self.best_epoch,
            "notes": self.notes,
            "alarms": [asdict(finding) for finding in self.alarms],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> History:
        return cls(
            [Epoch(**row) for row in data["epochs"]],
            data["stopped"],
            data["best_epoch"],
            data["notes"],
            [Finding(**row) for row in data["alarms"]],
        )
