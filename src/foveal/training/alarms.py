"""What goes wrong while a network trains, told when it shows: a loss that is no number stops, the rest is advice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from foveal.build import graph_of, unfilled
from foveal.errors import TrainingError
from foveal.graph import INPUT
from foveal.text import plural, printable
from foveal.training.batches import order
from foveal.training.callbacks import Callback
from foveal.training.history import Epoch, Finding
from foveal.training.state import Training

LOOKED_EVERY = 20  # steps on a GPU between two looks at the loss: each look waits until its queue is empty
NAMED = 5  # pictures of a batch that a message names
SAMPLE = 256  # pictures that are looked at after an epoch: a few hundredths of the smallest sets
DEAD_EVERY = 5  # epochs between two looks for dead units, the first after epoch 1
DEAD = 0.5  # share of a layer's units; a unit that lets half of its inputs through is 0 on 256 pictures by no chance
ENOUGH_STEPS = (
    200  # of the full rate, after which something must be learnt: half an epoch of CIFAR-10 in batches of 128
)
NO_BETTER = 0.98  # of the loss of answers that do not look at the picture
BARELY = 1.1  # times the share of the largest class: an accuracy above it is something learnt
RISING = 3  # epochs since the least validation loss; fewer are noise
RISE = 1.05  # of the validation loss over its least, likewise


def check_loss(training: Training, loss: Tensor, x: Tensor) -> None:
    """Stop at a loss that is no number; on a GPU looked at every `LOOKED_EVERY` steps and at the last of an epoch.

    Parameters
    ----------
    loss : () of the step under way, before the weights move.
    x : its pictures, as the network took them.

    Raises
    ------
    TrainingError : the message names the batch, the first node that went wrong and why, and what to try.
    """
    step = training.step + 1
    if training.device.type == "cuda" and step % LOOKED_EVERY and step < training.steps:
        return
    if not math.isfinite(value := loss.item()):
        _stop(training, value, x)


def check_weights(training: Training) -> None:
    """Stop at weights or running statistics that are no numbers: what the last steps of an epoch may leave.

    Raises
    ------
    TrainingError : the message names the tensor, and what to try.
    """
    for name, tensor in training.module.state_dict().items():
        if not tensor.isfinite().all():
            raise TrainingError(
                f"the last steps of epoch {training.epoch + 1} left {_word(tensor)} in {printable(name)}. "
                f"{_advice(training)}"
            )


class Alarms(Callback):
    """Looks at the network after each epoch and adds what is wrong to ``training.history.alarms``, each kind once.

    - ``one class``: after `ENOUGH_STEPS` every picture gets the same answer.
    - ``dead units``: more than `DEAD` of a layer's ReLUs are 0 on each of `SAMPLE` training pictures. A unit is a
      channel of a map, at all positions; of a module from elsewhere only ``nn.ReLU`` and ``nn.ReLU6`` are seen.
    - ``no learning``: after `ENOUGH_STEPS` the answers are no better than the shares of the classes; a run that
      has fewer is judged at its end.
    - ``overfitting``: the validation loss has risen for `RISING` epochs while the training loss fell.

    In the list of callbacks it belongs before whatever keeps the history.

    Parameters
    ----------
    tell : called with ``"alarm"`` and a finding's fields.
    """

    def __init__(self, tell: Callable[..., None] | None = None) -> None:
        self._tell = tell

    def after_epoch(self, training: Training) -> None:
        known = {finding.kind for finding in training.history.alarms}
        for kind, look in _LOOKS.items():
            if kind in known or training.world.rank:
                continue
            if seen := look(training):
                finding = Finding(kind, training.epoch, *seen)
                training.history.alarms.append(finding)
                if self._tell:
                    self._tell("alarm", **asdict(finding))


def _one_class(training: Training) -> tuple[str, str] | None:
    last = training.history.epochs[-1]
    validated = last.val_accuracy is not None
    part = training.data.val if validated else training.data.train
    accuracy = last.val_accuracy if validated else last.train_accuracy
    if not _enough(training) or (accuracy is not None and accuracy > _shares(training, part.y).max()):
        return None  # a network begins like this; or some answers differ
    some = order(len(part), training.config.seed, 0)[:SAMPLE].numpy()
    with training.kept():
        answers = training.logits(part[some]).argmax(1)
    if len(some) < 2 or (answers != answers[0]).any():
        return None
    name = printable(training.data.classes[answers[0]])
    share = (part.y == answers[0]).mean()
    return (
        f"every one of {plural(len(some), 'picture')} is taken for {name}, which {share:.1%} are",
        f"{_slower(training)}, and see that the labels belong to the pictures",
    )


def _dead_units(training: Training) -> tuple[str, str] | None:
    if (training.epoch - 1) % DEAD_EVERY:
        return None
    some = order(len(training.data.train), training.config.seed, 0)[:SAMPLE].numpy()
    with _watched(training.module) as alive, training.kept():
        training.logits(training.data.train[some])
    dead = {name: (int((~units).sum()), len(units)) for name, units in alive.items()}
    worst = sorted(
        ((count, of, name) for name, (count, of) in dead.items() if count > DEAD * of), key=lambda row: -row[0] / row[1]
    )
    if not worst:
        return None
    layers = "; ".join(f"{printable(name)}: {count} of {of}" for count, of, name in worst[:NAMED])
    more = f"; and {plural(len(worst) - NAMED, 'layer')} more" if len(worst) > NAMED else ""
    return (
        f"ReLUs that are 0 on each of {plural(len(some), 'training picture')}: {layers}{more}",
        f"{_slower(training)}; such units get no gradient and stay as they are. Batch norm before the ReLU, or a leaky "
        "one, keeps them alive",
    )


def _no_learning(training: Training) -> tuple[str, str] | None:
    config, last = training.config, training.history.epochs[-1]
    if not _enough(training):
        return None
    shares = _shares(training, training.data.train.y)
    accuracy = last.val_accuracy if last.train_accuracy is None else last.train_accuracy
    chance = _chance_loss(shares, config.label_smoothing)
    if last.train_loss < NO_BETTER * chance or (accuracy or 0) > BARELY * shares.max():
        return None
    few = "more epochs, " if training.global_step < ENOUGH_STEPS else ""
    return (
        f"nothing is learnt after {plural(training.global_step, 'step')}: a loss of {last.train_loss:.4g}, and answers "
        f"that do not look at the picture have {chance:.4g}",
        f"try {few}another rate than {_rate(training)} (foveal lr-find proposes one), see that the labels belong to "
        "the pictures, or put batch norm into a deep network",
    )


def _overfitting(training: Training) -> tuple[str, str] | None:
    epochs = training.history.epochs
    validated: list[tuple[float, Epoch]] = [(row.val_loss, row) for row in epochs if row.val_loss is not None]
    if not validated:
        return None
    least, best = min(validated, key=lambda pair: pair[0])
    last, now = validated[-1]
    if now.epoch - best.epoch < RISING or last < RISE * least or now.train_loss >= best.train_loss:
        return None
    config = training.config
    means = [] if config.augment else ["augment = 'crop 4, flip'"]
    means += [] if config.dropout else ["dropout = 0.5"]
    keep = f"epoch {best.epoch} is what patience keeps" if config.patience else f"patience = {RISING} keeps that epoch"
    return (
        f"overfitting since epoch {best.epoch}: the validation loss rose from {least:.4g} to {last:.4g} while the "
        f"training loss fell from {best.train_loss:.4g} to {now.train_loss:.4g}",
        f"{keep}; {' or '.join([*means, 'more pictures', 'a smaller network'])} puts it off",
    )


_LOOKS: dict[str, Callable[[Training], tuple[str, str] | None]] = {
    "one class": _one_class,
    "dead units": _dead_units,
    "no learning": _no_learning,
    "overfitting": _overfitting,
}
"""For each kind what looks for it after an epoch, and gives a title and advice."""


def _enough(training: Training) -> bool:
    """Whether something must be learnt by now; a short run is judged at its end."""
    steps = training.global_step - round(training.config.warmup * training.steps)
    return steps >= ENOUGH_STEPS or 1 < training.epoch == training.config.epochs


def _slower(training: Training) -> str:
    return f"try a lower rate than {_rate(training)}"


def _rate(training: Training) -> str:
    """The highest rate of the run, as a setting."""
    return f"lr = {training.optimizer.defaults['lr']:.3g}"


def _shares(training: Training, labels: np.ndarray) -> np.ndarray:
    counts: np.ndarray = np.bincount(labels, minlength=len(training.data.classes))
    return counts / len(labels)


def _chance_loss(shares: np.ndarray, smoothing: float) -> float:
    """The least loss of an answer that is the same for every picture: the entropy of the mean target."""
    mean = (1 - smoothing) * shares + smoothing / len(shares)
    mean = mean[mean > 0]
    return float(-(mean * np.log(mean)).sum())


@contextmanager
def _watched(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """For each ReLU of `module` which of its units (units,) were above 0 on any picture that passed meanwhile."""
    alive: dict[str, Tensor] = {}

    def watch(name: str) -> Callable[..., None]:
        def look(_: nn.Module, __: Any, y: Tensor) -> None:
            units = (y > 0).transpose(0, 1).flatten(1).any(1).cpu()
            shown = name if name not in alive or len(alive[name]) == len(units) else f"{name} ({len(units)})"
            alive[shown] = units | alive.get(shown, units)

        return look

    relus = [(name, each) for name, each in module.named_modules() if isinstance(each, (nn.ReLU, nn.ReLU6))]
    hooks = [each.register_forward_hook(watch(name)) for name, each in relus]
    try:
        yield alive
    finally:
        for hook in hooks:
            hook.remove()


def _stop(training: Training, loss: float, x: Tensor) -> NoReturn:
    """Raise what explains a loss that is no number."""
    if (bad := _bad(x)).any():
        raise TrainingError(
            f"{_place(training, loss, bad)}: the pictures themselves hold values that are no numbers, after augment = "
            f"{training.config.augment!r:.60}; look at some with foveal preview, and leave out what does it"
        )
    with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16, enabled=training.choices.precision == "bf16"):
        cause, wrong = _first_wrong(training, x)
    raise TrainingError(f"{_place(training, loss, wrong)}. First wrong: {cause}. {_advice(training)}")


def _advice(training: Training) -> str:
    highest, rate = (f"{each:.3g}" for each in (training.optimizer.defaults["lr"], training.schedule.rate))
    now = f" ({rate} in this step)" if rate != highest else ""
    means = [f"a lower rate than lr = {highest}{now}, such as {float(highest) / 10:.3g}"]
    means += ["clip = 1"] if training.config.clip is None else []
    means += ["precision = f32"] if training.choices.precision == "bf16" else []
    return f"Try {', or '.join(means)}; the last checkpoint of this run, if there is one, is from before and sound"


def _place(training: Training, loss: float, bad: Tensor) -> str:
    rows = training.rows[bad.cpu()].tolist()
    more = f" and {len(rows) - NAMED:,} more" if len(rows) > NAMED else ""
    seen = f" (looked at every {LOOKED_EVERY} steps on a GPU)" if training.device.type == "cuda" else ""
    return (
        f"the loss is {_word(torch.tensor(loss))} in epoch {training.epoch + 1}, step {training.step + 1} of "
        f"{training.steps}{seen}, with the training pictures {', '.join(map(str, rows[:NAMED]))}{more}"
    )


def _first_wrong(training: Training, x: Tensor) -> tuple[str, Tensor]:
    """What first gives values that are no numbers, and for which pictures of the batch, (n,) bool."""
    every = torch.ones(len(x), dtype=torch.bool)
    for name, weights, xs, y in _calls(training.module, x):
        if not y.isfinite().all():
            early = "before the first step" if training.global_step == 0 else "since a step before"
            return _cause(name, weights, xs, y, early), _bad(y) if len(y) == len(x) else every
    if training.world.size > 1:  # whose statistics come in by batch norms
        return "nothing in the pictures of this process, so see what another one says", every
    return "the loss itself, of finite logits", every


def _cause(name: str, weights: dict[str, nn.Parameter], xs: list[Tensor], y: Tensor, early: str) -> str:
    for key, tensor in weights.items():
        if not tensor.isfinite().all():
            return f"{name}, whose {key} holds {_word(tensor)} {early}"
    if not all(x.isfinite().all() for x in xs):
        return f"what reaches {name}, {_word(*xs)} from an operation outside the modules"
    largest = max((float(x.abs().max()) for x in xs), default=0.0)
    return f"{name}, {_word(y)} from finite input, the largest {largest:.3g}"


Call = tuple[str, dict[str, nn.Parameter], list[Tensor], Tensor]
"""A node's name, its weights, its inputs and its output."""


def _calls(module: nn.Module, x: Tensor) -> Iterator[Call]:
    """Every node of a graph's module in its order, or every innermost module of another's, as `x` passes in training.

    Of several processes this one goes by itself: its batch norms see its own share alone.
    """
    if not (isinstance(module, fx.GraphModule) and "foveal" in module.meta):
        yield from _module_calls(module, x)
        return
    graph = graph_of(module)
    names = tuple(node.name for node in graph.nodes)
    whole = unfilled(replace(graph, outputs=names))
    whole.load_state_dict(module.state_dict(), assign=True)
    values = {INPUT: x, **dict(zip(names, tree_leaves(whole(x)), strict=True))}
    layers = dict(whole.named_modules())
    for node in graph.nodes:
        layer = layers.get(node.weights_of or node.name)
        weights = dict(layer.named_parameters()) if layer else {}
        yield node.name, weights, [values[name] for name in node.inputs], values[node.name]


def _module_calls(module: nn.Module, x: Tensor) -> list[Call]:
    calls: list[Call] = []

    def listen(name: str) -> Callable[..., None]:
        def hear(each: nn.Module, xs: Any, y: Any) -> None:
            inputs = [leaf for leaf in tree_leaves(xs) if isinstance(leaf, Tensor)]
            outputs = [leaf for leaf in tree_leaves(y) if isinstance(leaf, Tensor)]
            calls.extend((name, dict(each.named_parameters()), inputs, output) for output in outputs)

        return hear

    leaves = [(name, each) for name, each in module.named_modules() if not list(each.children())]
    hooks = [each.register_forward_hook(listen(name or type(each).__name__)) for name, each in leaves]
    try:
        module(x)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _bad(x: Tensor) -> Tensor:
    return ~x.isfinite().flatten(1).all(1)


def _word(*tensors: Tensor) -> str:
    return "NaN" if any(tensor.isnan().any() for tensor in tensors) else "inf"
