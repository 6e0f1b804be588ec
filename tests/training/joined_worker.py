"""What each process of test_distributed runs under torchrun: one training, whose outcome it writes by its rank."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from foveal.training.distributed import World
from foveal.training.loop import fit
from small_training import CONFIG, NETWORK, Seen, some_digits


def main(folder: Path) -> None:
    world, seen = World.here("cpu"), Seen()
    history = fit(NETWORK, some_digits(), CONFIG, callbacks=[seen], world=world)
    assert history.module is not None
    tensors = {name: tensor.contiguous() for name, tensor in history.module.state_dict().items()}
    rows = {"rows": torch.tensor(seen.rows), "val_loss": torch.tensor([row.val_loss for row in history.epochs])}
    train_loss = {"train_loss": torch.tensor([row.train_loss for row in history.epochs])}
    save_file(tensors | rows | train_loss, folder / f"rank{world.rank}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
