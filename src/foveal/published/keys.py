"""What publishers call our tensors: for each family the step from our names to theirs.

Publishers count from 0, we from 1. Where theirs is an unnamed sequence (``features.3``), the number is the place of our
step among those of the same scope, in the order of the graph, activations and pooling included.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

from foveal.graph import Graph
from foveal.published.entry import Keys

Rule = tuple[str, str | Callable[[re.Match[str]], str]]
"""A pattern and what takes its place."""


def _renamed(name: str, rules: Sequence[Rule]) -> str:
    name = re.sub(r"\bblock(\d+)", lambda found: str(int(found[1]) - 1), name)
    for pattern, theirs in rules:
        name = re.sub(pattern, theirs, name)
    return name


def _by_rules(*rules: Rule) -> Keys:
    """Keys by `rules`, one after the other, once ``block1`` has become ``0``."""
    return lambda graph: partial(_renamed, rules=rules)


def _by_blocks(
    name: Callable[[int, int, int], str], inside: Callable[[list[str]], dict[str, str]], *rules: Rule
) -> Keys:
    """Keys where a block's name or its steps' depend on the blocks before it or on the steps around.

    Parameters
    ----------
    name : from the block's number in the whole network, its stage, and its number in that, all from 1.
    inside : from the steps of a block, in order, to what the publisher calls those with weights.
    rules : for what is not in a block.
    """

    def keys(graph: Graph) -> Callable[[str], str]:
        blocks: dict[str, list[str]] = {}
        for node in graph.nodes:
            if found := re.match(r"(stage\d+\.block\d+)\.(.+)", node.name):
                blocks.setdefault(found[1], []).append(found[2])
        table: dict[str, str] = {}
        for number, (block, steps) in enumerate(blocks.items(), start=1):
            theirs = name(number, *map(int, re.findall(r"\d+", block)))
            table |= {f"{block}.{step}": f"{theirs}.{called}" for step, called in inside(steps).items()}

        def key(ours: str) -> str:
            step, _, tensor = ours.rpartition(".")
            return f"{table[step]}.{tensor}" if step in table else _renamed(ours, rules)

        return key

    return keys


# ---- networks in one sequence -----------------------------------------------------------------------------------


def sequential(graph: Graph) -> Callable[[str], str]:
    """torchvision's AlexNet, VGG and SqueezeNet: ``features.3`` or ``features.3.squeeze``, and ``classifier.6``."""
    steps = list(dict.fromkeys(".".join(node.name.split(".")[:2]) for node in graph.nodes))
    first = steps.index("head.flatten") + 1 if "head.dense1" in steps else steps.index("head.dropout")
    rules = ((r"squeeze\.conv", "squeeze"), (r"expand(\d)\.conv", r"expand\1x\1"))

    def key(ours: str) -> str:
        step = ".".join(ours.split(".")[:2])
        place = steps.index(step)
        theirs = f"classifier.{place - first}" if step.startswith("head.") else f"features.{place}"
        return _renamed(ours.replace(step, theirs), rules)

    return key


# ---- residual networks and DenseNet -----------------------------------------------------------------------------

_RESIDUAL = ((r"^stage", "layer"), (r"shortcut\.conv", "downsample.0"), (r"shortcut\.bn", "downsample.1"))

resnet = _by_rules((r"^stem\.(conv|bn)", r"\g<1>1"), *_RESIDUAL, (r"^head\.dense", "fc"))
"""torchvision's ResNet, ResNeXt and Wide-ResNet."""

senet = _by_rules(
    (r"^stem\.(conv|bn)(\d?)", lambda found: f"layer0.{found[1]}{found[2] or 1}"),
    *_RESIDUAL,
    (r"gate\.squeeze", "se_module.fc1"),
    (r"gate\.excite", "se_module.fc2"),
    (r"^head\.dense", "last_linear"),
)
"""Cadene's SENet, SE-ResNet and SE-ResNeXt, which are timm's ``legacy_``."""

densenet = _by_rules(
    (r"^stem\.conv", "features.conv0"),
    (r"^stem\.bn", "features.norm0"),
    (r"^stage(\d)\.layer", r"features.denseblock\1.denselayer"),
    (r"^transition(\d)\.(?:bn|(conv))", lambda found: f"features.transition{found[1]}.{found[2] or 'norm'}"),
    (r"^top\.bn", "features.norm5"),
    (r"\.bn(\d)", r".norm\1"),
    (r"^head\.dense", "classifier"),
)
"""torchvision's DenseNet; its published files have ``norm.1`` for ``norm1``, which `foveal.checkpoints` evens out."""


# ---- inception --------------------------------------------------------------------------------------------------

googlenet = _by_rules(
    (r"^stage(\d)\.(\d)", lambda found: f"inception{int(found[1]) + 2}{'abcde'[int(found[2])]}"),
    (r"branch([23])\.(conv|bn)(\d)", lambda found: f"branch{found[1]}.{int(found[3]) - 1}.{found[2]}"),
    (r"branch4\.", "branch4.1."),
    (r"^stem\.(conv|bn)(\d)", r"conv\2.\1"),
    (r"^(aux\d)\.(conv|bn)", r"\1.conv.\2"),
    (r"^(aux\d)\.dense", r"\1.fc"),
    (r"^head\.dense", "fc"),
)
"""torchvision's GoogLeNet, with or without its auxiliary heads."""

_MIXED = {
    "5b": "1x1 5x5 3x3dbl", "5c": "1x1 5x5 3x3dbl", "5d": "1x1 5x5 3x3dbl",
    "6a": "3x3 3x3dbl",
    "6b": "1x1 7x7 7x7dbl", "6c": "1x1 7x7 7x7dbl", "6d": "1x1 7x7 7x7dbl", "6e": "1x1 7x7 7x7dbl",
    "7a": "3x3 7x7x3",
    "7b": "1x1 3x3 3x3dbl", "7c": "1x1 3x3 3x3dbl",
}  # fmt: skip
_STEM = ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3")


def _mixed(found: re.Match[str]) -> str:
    """``Mixed_6b.branch7x7`` for the second branch of the second block of stage 2."""
    stage, block, branch = map(int, found.groups())
    name = [name for name in _MIXED if name[0] == str(stage + 4)][block]
    return f"Mixed_{name}.branch{(*_MIXED[name].split(), '_pool')[branch - 1]}"


inception_v3 = _by_rules(
    (r"^stage(\d)\.(\d)\.branch([123])", _mixed),
    (r"^stage(\d)\.(\d)\.branch(4)", _mixed),
    (r"(branch\w+)\.(conv|bn)(\d)", r"\1_\3.\2"),
    (r"(branch1x1|6a\.branch3x3)_1", r"\1"),
    (r"3x3\.(conv|bn)_(?:r|(c))\w+", lambda found: f"3x3_2{'b' if found[2] else 'a'}.{found[1]}"),
    (r"3x3dbl\.(conv|bn)_(?:r|(c))\w+", lambda found: f"3x3dbl_3{'b' if found[2] else 'a'}.{found[1]}"),
    (r"^stem\.(conv|bn)(\d)", lambda found: f"Conv2d_{_STEM[int(found[2]) - 1]}.{found[1]}"),
    (r"^aux\.(conv|bn)(\d)", lambda found: f"AuxLogits.conv{int(found[2]) - 1}.{found[1]}"),
    (r"^aux\.dense", "AuxLogits.fc"),
    (r"^head\.dense", "fc"),
)
"""torchvision's Inception v3, with or without its auxiliary head."""


inception_resnet_v2 = _by_rules(
    (r"^stem\.(conv|bn)(\d)", lambda found: f"conv2d_{_STEM[int(found[2]) - 1][:2]}.{found[1]}"),
    (r"^stem\.branch", "mixed_5b.branch"),
    (r"^stage2\.halving", "mixed_6a"),
    (r"^stage3\.halving", "mixed_7a"),
    (r"^stage3\.last", "block8"),
    (r"^stage1", "repeat"),
    (r"^stage([23])", lambda found: f"repeat_{int(found[1]) - 1}"),
    (r"branch(\d)\.(conv|bn)(\d)", lambda found: f"branch{int(found[1]) - 1}.{int(found[3]) - 1}.{found[2]}"),
    (r"(?<!7a\.)branch0\.0", "branch0"),
    (r"5b\.branch3\.0", "5b.branch3.1"),
    (r"\.mix\.", ".conv2d."),
    (r"^top", "conv2d_7b"),
    (r"^head\.dense", "classif"),
)
"""timm's Inception-ResNet v2, which is Google's release."""


def _separable(steps: list[str]) -> dict[str, str]:
    """The shortcut has names of its own; the rest is a sequence in which depthwise and pointwise are one step."""
    sequence = [step for step in steps if not step.startswith(("shortcut", "pointwise"))]
    called = {"shortcut.conv": "skip", "shortcut.bn": "skipbn"}
    for place, step in enumerate(sequence):
        if step.startswith("depthwise"):
            called |= {step: f"rep.{place}.conv1", f"pointwise{step[-1]}": f"rep.{place}.pointwise"}
        else:
            called[step] = f"rep.{place}"
    return called


xception = _by_blocks(
    lambda number, _stage, _block: f"block{number}",
    _separable,
    (r"^stem\.", ""),
    (r"^top\.bn(\d)", lambda found: f"bn{int(found[1]) + 2}"),
    (r"^top\.depthwise(\d)", lambda found: f"conv{int(found[1]) + 2}.conv1"),
    (r"^top\.pointwise(\d)", lambda found: f"conv{int(found[1]) + 2}.pointwise"),
    (r"^head\.dense", "fc"),
)
"""Cadene's Xception, which is timm's ``legacy_xception``."""


# ---- networks for small machines --------------------------------------------------------------------------------


def _branches(steps: list[str]) -> dict[str, str]:
    """Each branch is a sequence."""
    inside = {branch: [step for step in steps if step.startswith(branch)] for branch in ("branch1.", "branch2.")}
    return {step: f"{branch}{place}" for branch, own in inside.items() for place, step in enumerate(own)}


shufflenet_v2 = _by_blocks(
    lambda _number, stage, block: f"stage{stage + 1}.{block - 1}",
    _branches,
    (r"^(stem|top)\.conv", r"\1.0"),
    (r"^(stem|top)\.bn", r"\1.1"),
    (r"^stem", "conv1"),
    (r"^top", "conv5"),
    (r"^head\.dense", "fc"),
)
"""torchvision's ShuffleNet v2, which counts the stem as the first stage."""


def _units(steps: list[str], last_is_flat: bool = False) -> dict[str, str]:
    """A sequence of expanding, filtering, gating and projecting, each a sequence of convolution and norm.

    `last_is_flat` : the last convolution and norm are not in a sequence of their own.
    """
    units = list(dict.fromkeys(step.split(".")[0] for step in steps if "." in step))
    called: dict[str, str] = {}
    for place, unit in enumerate(units):
        called |= {f"{unit}.conv": f"{place}.0", f"{unit}.bn": f"{place}.1"}
        called |= {f"{unit}.squeeze": f"{place}.fc1", f"{unit}.excite": f"{place}.fc2"}
    if last_is_flat:
        called |= {"project.conv": f"{len(units) - 1}", "project.bn": f"{len(units)}"}
    return called


def _mobile(last: int) -> tuple[Rule, ...]:
    """For what is before and behind the blocks; `last` is the place of the last convolution."""
    return (
        (r"^stem\.conv", "features.0.0"),
        (r"^stem\.bn", "features.0.1"),
        (r"^top\.conv", f"features.{last}.0"),
        (r"^top\.bn", f"features.{last}.1"),
        (r"^head\.dense\.", "classifier.1."),
        (r"^head\.dense1", "classifier.0"),
        (r"^head\.dense2", "classifier.3"),
    )


mobilenet_v2 = _by_blocks(
    lambda number, _stage, _block: f"features.{number}.conv", partial(_units, last_is_flat=True), *_mobile(18)
)
"""torchvision's MobileNet v2."""

mobilenet_v3_large = _by_blocks(lambda number, _stage, _block: f"features.{number}.block", _units, *_mobile(16))
mobilenet_v3_small = _by_blocks(lambda number, _stage, _block: f"features.{number}.block", _units, *_mobile(12))
"""torchvision's MobileNet v3."""

efficientnet = _by_blocks(lambda _number, stage, block: f"features.{stage}.{block - 1}.block", _units, *_mobile(8))
"""torchvision's EfficientNet."""


def _timm_steps(steps: list[str]) -> dict[str, str]:
    """Norms by number; the first 1x1 is ``pw``, and so is the last where it is the only one."""
    units = [step.removesuffix(".conv") for step in steps if step.endswith(".conv")]
    kinds = {1: ("conv_pw",), 2: ("conv_dw", "conv_pw"), 3: ("conv_pw", "conv_dw", "conv_pwl")}[len(units)]
    called = {"gate.squeeze": "se.conv_reduce", "gate.excite": "se.conv_expand"}
    for number, (unit, kind) in enumerate(zip(units, kinds, strict=True), start=1):
        called |= {f"{unit}.conv": kind, f"{unit}.bn": f"bn{number}"}
    return called


timm_mobile = _by_blocks(
    lambda _number, stage, block: f"blocks.{stage - 1}.{block - 1}",
    _timm_steps,
    (r"^stem\.conv", "conv_stem"),
    (r"^stem\.bn", "bn1"),
    (r"^top\.conv", "conv_head"),
    (r"^top\.bn", "bn2"),
    (r"^head\.dense", "classifier"),
)
"""timm's MobileNet v1 and v2, EfficientNet and EfficientNet-Lite."""

_LITE = {
    "expand.conv": "_expand_conv", "expand.bn": "_bn0",
    "depthwise.conv": "_depthwise_conv", "depthwise.bn": "_bn1",
    "project.conv": "_project_conv", "project.bn": "_bn2",
}  # fmt: skip

efficientnet_lite = _by_blocks(
    lambda number, _stage, _block: f"_blocks.{number - 1}",
    lambda _steps: _LITE,
    (r"^stem\.conv", "_conv_stem"),
    (r"^stem\.bn", "_bn0"),
    (r"^top\.conv", "_conv_head"),
    (r"^top\.bn", "_bn1"),
    (r"^head\.dense", "_fc"),
)
"""EfficientNet-Lite in the package efficientnet-lite-pytorch."""
