"""A training under way: the module, its optimizer, and where in the run it stands."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveal.build import build
from foveal.datasets.pictures import Pictures, PictureSet
from foveal.errors import UsageError
from foveal.graph import Graph
from foveal.initializing import initialize
from foveal.ops import Dropout, LogSoftmax, Softmax
from foveal.rewriting import for_training
from foveal.shapes import text
from foveal.text import plural, printable
from foveal.training.augmentation import augment, parse
from foveal.training.averaging import Averaged
from foveal.training.batches import batches, order, share, steps_of
from foveal.training.choices import LAYOUTS, Choices, choose, lay, propose_batch
from foveal.training.config import Config
from foveal.training.distributed import World
from foveal.training.dry_run import dry_run
from foveal.training.history import Epoch, History
from foveal.training.memory import check_fits, evaluated, fitting_batch
from foveal.training.optimizers import make_optimizer
from foveal.training.pooled import join_pools
from foveal.training.schedules import Schedule
from foveal.zoo import MODELS, create_graph
from foveal.zoo.entry import Draw, Init

GLOROT = Init("Glorot & Bengio (2010), equation 16, as in Keras", conv=Draw("glorot"), dense=Draw("glorot"))

LARGEST_TRIED = 512  # pictures a step, where the batch size is left open


class Training:
    """What a step changes, and what callbacks look at.

    Attributes
    ----------
    graph : of the network, or None where a module came from elsewhere.
    module : what is trained; `compute` is what a step calls: the module, or what joins the processes around it.
    config, data, choices, world, device : what stays as it is.
    optimizer, schedule : their states change; `averaged` likewise, None without ``config.ema``.
    epoch, step, steps : epochs done, steps done of this one, steps that one has.
    rows, loss : of the last step: which training pictures, and their mean loss, () on the device.
    sums : (3,) float64 of this epoch: losses, right answers, pictures; `seconds` spent in its steps.
    history : of the epochs done.
    best : the tensors of the epoch of least validation loss, under ``config.patience``.
    stop : why to stop after this step, or None.
    """

    def __init__(
        self,
        network: Graph | nn.Module,
        data: PictureSet,
        config: Config,
        *,
        choices: Choices | None = None,
        world: World | None = None,
    ) -> None:
        self.data, self.world = data, world or World.here(config.device)
        if not config.batch_size:
            config, choices = _sized(network, data, config, choices, self.world)
        self.config = config
        self.device, self.steps = self.world.device, steps_of(len(data.train), config.batch_size)
        _check_parts(data, config, self.steps, self.world)
        self.epoch = self.step = 0
        self._augmentations, self._layout = parse(config.augment), torch.channels_last
        self._mean, self._std = (self._channels(each) for each in (data.mean, data.std))
        self._x, self._y = self._held(data.train)
        self.graph = _checked(network, data, config) if isinstance(network, Graph) else None
        few, _ = self.prepared(torch.arange(min(len(self._y) // self.steps, 2)), augmented=False)
        self.module = self._placed(self.graph or network, few)
        self.choices = self.world.agreed(choices or self._chosen())
        lay(self.module, self.choices.layout)
        self._layout = LAYOUTS[self.choices.layout]
        self.optimizer = make_optimizer(self.module, config)
        self.compute = self.world.joined(self.module, few)
        self.schedule = Schedule(self.optimizer, config, self.steps)
        self.averaged = Averaged(self.module, config.ema) if config.ema is not None else None
        self.history = History()
        self.best: dict[str, Tensor] | None = None
        self.rows, self.loss = torch.empty(0, dtype=torch.int64), torch.tensor(float("nan"))
        self.sums, self.seconds = torch.zeros(3, dtype=torch.float64, device=self.device), 0.0
        self.stop: str | None = None

    def _placed(self, network: Graph | nn.Module, few: Tensor) -> nn.Module:
        """The module on its device, once it is known to fit into memory and to take pictures, such as `few`."""
        if isinstance(network, Graph):
            check_fits(for_training(network), network.name, self.config, self.world)
            module = _built(network, self.config.seed)
        elif self.config.dropout is not None:
            raise UsageError(f"dropout = {self.config.dropout}: for graphs; in a module of PyTorch, set its own")
        else:
            module = network
        activations = dry_run(module.to(self.device), few, len(self.data.classes))
        if module is network:
            check_fits(module, type(module).__name__, self.config, self.world, activations=activations)
        return module

    def _chosen(self) -> Choices:
        """What a probe with as many pictures as a process has of a batch finds quickest; two, for batch norms."""
        count = max(self.config.batch_size // self.world.size, 2)
        return choose(self.module, self.prepared(torch.arange(min(len(self._y), count))), self.config, self.device)

    @property
    def global_step(self) -> int:
        return self.epoch * self.steps + self.step

    @property
    def mixed(self) -> bool:
        """Whether targets are shares of classes, so that no answer is plainly right."""
        return any(each.mixes for each in self._augmentations)

    def remaining(self) -> tuple[Tensor, ...]:
        """The batches of this epoch that are still to come, of all processes together."""
        return batches(order(len(self._y), self.config.seed, self.epoch), self.config.batch_size)[self.step :]

    def prepared(self, rows: Tensor, *, augmented: bool = True) -> tuple[Tensor, Tensor]:
        """Training pictures as the network takes them, and their targets: indices, or shares where they are mixed."""
        x, y = self._taken(self._x, rows), self._taken(self._y, rows)
        if augmented and self._augmentations:
            x, y = augment(
                x, y, self._augmentations, num_classes=len(self.data.classes), epoch=self.epoch, rows=rows,
                seed=self.config.seed, fill=self._mean.flatten(),
            )  # fmt: skip
        return self.normalised(x), y

    def normalised(self, x: Tensor) -> Tensor:
        """Bytes, or values on their scale, with the training part's mean taken off and in units of its deviation."""
        y = x.to(torch.float32, memory_format=self._layout, copy=True)
        return y.sub_(self._mean).div_(self._std)

    def computed(self, x: Tensor, *, joined: bool = True) -> Tensor:
        """The logits of `x`, float32, in the precision of the run; `joined` as a step of all processes together."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.choices.precision == "bf16"):
            y: Tensor = (self.compute if joined else self.module)(x)
        return y.float()

    def loss_of(self, logits: Tensor, target: Tensor, total: int) -> Tensor:
        """Its mean over the processes is the mean cross entropy over `total` pictures, some of them this process's."""
        smoothing = self.config.label_smoothing
        return F.cross_entropy(logits, target, reduction="sum", label_smoothing=smoothing) * (self.world.size / total)

    def count(self, loss: Tensor, logits: Tensor, target: Tensor, total: int, seconds: float) -> None:
        """Add a step over `total` pictures, some of them this process's, to the epoch's account."""
        summed = loss.detach() * (total / self.world.size)
        answers = target if self.mixed else logits.detach().argmax(1)
        self.loss = summed / len(target)
        self.sums[0] += summed
        self.sums[1] += (answers == target).sum()
        self.sums[2] += len(target)
        self.seconds += seconds
        self.step += 1

    def finish_epoch(self) -> None:
        """Write the epoch's account, and begin the next."""
        losses, right, pictures = self.world.total(self.sums).tolist()
        with self.kept():
            val_loss, val_accuracy = self.evaluate(self.data.val) if len(self.data.val) else (None, None)
        self.epoch, self.step = self.epoch + 1, 0
        self.history.epochs.append(
            Epoch(
                epoch=self.epoch,
                train_loss=losses / pictures,
                train_accuracy=None if self.mixed else right / pictures,
                val_loss=val_loss,
                val_accuracy=val_accuracy,
                lr=self.schedule.rate,
                seconds=self.seconds,
                images_per_second=pictures / self.seconds,
            )
        )
        self.sums, self.seconds = torch.zeros_like(self.sums), 0.0
        self.schedule.after_epoch(val_loss)
        self._judge()

    def evaluate(self, pictures: Pictures) -> tuple[float, float]:
        """Mean cross entropy and share of right answers on `pictures` as they are, over all processes."""
        sums = torch.zeros_like(self.sums)
        for logits, target in self._answers(pictures, share(torch.arange(len(pictures)), *self.world.place)):
            sums[0] += F.cross_entropy(logits, target, reduction="sum")
            sums[1] += (logits.argmax(1) == target).sum()
            sums[2] += len(target)
        loss, right, total = self.world.total(sums).tolist()
        return loss / total, right / total

    def logits(self, pictures: Pictures) -> np.ndarray:
        """(n, classes) float32 of `pictures` as they are."""
        answers = [logits.cpu() for logits, _ in self._answers(pictures, torch.arange(len(pictures)))]
        return torch.cat(answers).numpy() if answers else np.zeros((0, len(self.data.classes)), np.float32)

    def finish(self) -> None:
        """Leave in the module the weights that are kept: the best epoch's, or the averaged, or the last."""
        self.history.stopped = self.stop if self.epoch < self.config.epochs else None
        self.history.best_epoch = self.history.best_epoch or self.epoch
        if self.best is not None:
            self.module.load_state_dict(self.best)
        elif self.averaged is not None:
            self.module.load_state_dict(self.averaged.state())
        self.history.module = _original(self.graph, self.module).eval() if self.graph else self.module.eval()

    def kept(self) -> contextlib.AbstractContextManager[None]:
        """The weights that this epoch would keep, in place for a while: the averaged ones where there are any."""
        return self.averaged.swapped() if self.averaged is not None else contextlib.nullcontext()

    def _judge(self) -> None:
        """Under `patience`: keep the epoch of least validation loss, and stop when it lies too far back."""
        patience = self.config.patience
        if patience is None:
            return
        losses = np.array([epoch.val_loss for epoch in self.history.epochs], np.float64)
        best = int(np.where(np.isnan(losses), np.inf, losses).argmin()) + 1
        if best == self.epoch:
            with self.kept():
                self.best = {name: tensor.clone() for name, tensor in self.module.state_dict().items()}
            self.history.best_epoch = best
        if self.epoch - best >= patience:
            self.stop = f"no lower validation loss in {plural(patience, 'epoch')}; epoch {best} is kept"

    @torch.inference_mode()
    def _answers(self, pictures: Pictures, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits and targets of the `rows` of `pictures`, some at a time, in evaluation mode."""
        training = self.module.training
        self.module.eval()
        try:
            for part in torch.split(rows, evaluated(self.config.batch_size)) if len(rows) else ():
                few = pictures[part.numpy()]
                yield self.computed(self.normalised(self._sent(few.x)), joined=False), self._sent(few.y)
        finally:
            self.module.train(training)

    def _taken(self, values: Tensor | np.ndarray, rows: Tensor) -> Tensor:
        if isinstance(values, np.ndarray):
            return self._sent(values[rows.numpy()])
        return values.index_select(0, rows.to(self.device))

    def _sent(self, values: np.ndarray) -> Tensor:
        """`values` on the device; a GPU copies them from pinned memory while the next ones are made ready."""
        tensor = torch.from_numpy(values)
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else tensor

    def _channels(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.device).view(1, -1, 1, 1)

    def _held(self, pictures: Pictures) -> tuple[Tensor | np.ndarray, Tensor]:
        """The training part where steps take it from: on the device, unless it is the read-only map of a file."""
        labels = torch.from_numpy(pictures.y).to(self.device)
        if not pictures.x.flags.writeable or not self.world.holds(pictures.x.nbytes):
            return pictures.x, labels
        return torch.from_numpy(pictures.x).to(self.device), labels


def _sized(
    network: Graph | nn.Module, data: PictureSet, config: Config, choices: Choices | None, world: World
) -> tuple[Config, Choices]:
    """`config` with the batch size that was found quickest, or is found so now, and what else was found."""
    if choices is None or choices.batch_size is None:
        most = fitting_batch(network, config, world, min(LARGEST_TRIED, len(data.train)))
        trial = Training(network, data, replace(config, batch_size=most), choices=choices, world=world)
        example = trial.prepared(torch.arange(most // world.size or 1))
        size = propose_batch(trial.module, example, trial.choices) * world.size
        choices = replace(trial.choices, batch_size=world.agreed(size))
    return replace(config, batch_size=choices.batch_size or 1), choices


def _check_parts(data: PictureSet, config: Config, steps: int, world: World) -> None:
    """Refuse parts and batches of `data` that `config` cannot work with."""
    if not len(data.val) and (config.patience is not None or config.schedule == "plateau"):
        setting = "schedule = plateau" if config.patience is None else f"patience = {config.patience}"
        raise UsageError(f"{setting}: {printable(data.name)} has no validation part to look at; set one aside")
    if len(data.train) // steps < world.size:
        raise UsageError(
            f"batch_size = {config.batch_size}: fewer pictures than the {world.size} processes; take a larger one"
        )


def _checked(graph: Graph, data: PictureSet, config: Config) -> Graph:
    """`graph` with the dropout of `config`, if it fits `data`."""
    name = printable(data.name)
    if graph.input_shape != data.shape:
        raise UsageError(
            f"{graph.name} takes pictures of {text(graph.input_shape)}, those of {name} are {text(data.shape)}; "
            "give the network that input, or read the pictures at its size"
        )
    shapes = [graph.shapes[name] for name in graph.outputs]
    if shapes != [(len(data.classes),)]:
        classes = plural(len(data.classes), "class", "classes")
        raise UsageError(
            f"{graph.name} gives {', '.join(map(text, shapes))}, but {name} has {classes}; "
            f"end it with dense {len(data.classes)}, on one output"
        )
    last = graph.by_name[graph.outputs[0]]
    if isinstance(last.op, (Softmax, LogSoftmax)):  # the loss brings its own
        graph = graph.up_to(*last.inputs)
    if config.dropout is None:
        return graph
    if not any(isinstance(node.op, Dropout) for node in graph.nodes):
        raise UsageError(
            f"dropout = {config.dropout}: {graph.name} has no dropout to set; add one, as in > dropout 0.5"
        )
    nodes = (replace(n, op=Dropout(config.dropout)) if isinstance(n.op, Dropout) else n for n in graph.nodes)
    return replace(graph, nodes=tuple(nodes))


def _built(graph: Graph, seed: int) -> nn.Module:
    """The module that trains `graph`: rewritten to be quicker, its weights drawn as the original's."""
    original = build(graph)
    initialize(original, _init(graph), seed)
    module = build(for_training(graph))
    join_pools(module)
    module.load_state_dict(original.state_dict())
    return module


def _init(graph: Graph) -> Init:
    """As its paper has it for a network of the zoo, whatever its input and classes are; else Glorot's."""
    if graph.name not in MODELS:
        return GLOROT
    kinds = {node.name: type(node.op) for node in create_graph(graph.name).nodes}
    same = all(kinds.get(node.name) is type(node.op) for node in graph.nodes)
    return MODELS[graph.name].init if same else GLOROT


def _original(graph: Graph, module: nn.Module) -> nn.Module:
    """`graph` built with the weights of the module that trained it."""
    built = build(graph)
    built.load_state_dict(module.state_dict())
    return built
