"""Names for what the code defines: classes, functions, variables."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection

from foveal.ops import Add, Concat, Conv, Multiply
from foveal.source.layout import camel
from foveal.source.units import Unit, numbered

STYLED = ("ResNet", "ResNeXt", "VGG", "LeNet", "AlexNet", "GoogLeNet", "MobileNet", "EfficientNet", "DenseNet",
          "SqueezeNet", "ShuffleNet", "ConvNeXt", "SENet", "WideResNet")  # fmt: skip
"""Networks as their authors write them."""

SHORT = {"BatchNorm": "bn", "MaxPool": "pool", "AvgPool": "pool", "GlobalAvgPool": "pool", "LocalResponseNorm": "lrn"}


USED = frozenset(
    "F Tensor dict f i keras layers len math max nn ops range self sequential sum super torch x zip".split()
)
"""Names that the written code itself uses."""


def network_name(name: str) -> str:
    """``resnet50_paper`` -> ``ResNet50Paper``."""
    text = camel(name)
    for styled in STYLED:
        text = re.sub(f"^(?i:{styled})(?![a-z])", styled, text)
    return text if text[:1].isalpha() else f"Network{text}"


def block_name(units: list[Unit], classes: bool) -> str:
    """What the field calls such a block, else what the network's names call it."""
    if units[0].chain:
        return identifier(_ops_in_a_row(units[0]) or _scope(units[0].scope).lower())
    branched = min((unit for unit in units if not unit.chain), key=lambda unit: len(unit.nodes))
    last = branched.scope.rpartition(".")[2]
    name = _known(branched) or (last if len(units) == 1 and last[:1].isalpha() else _scope(branched.scope))
    return camel(name) if classes else identifier(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())


def _ops_in_a_row(unit: Unit) -> str | None:
    """``conv_bn_relu`` for a few ops one after the other."""
    if any(step.unit or step.count > 1 for step in unit.steps) or len(unit.steps) > 4:
        return None
    functions = [call.function for call in unit.steps[0].calls]
    special = re.match(r"(?:layers\.)?(Same|Padded|Depthwise)", functions[-1]) if functions else None
    kinds = [type(step.nodes[0].op).__name__ for step in unit.steps]
    words = [special[1].lower()] if special else []
    if len({*kinds}) < len(kinds):
        return None
    return "_".join([*words, *(SHORT.get(kind, kind.lower()) for kind in kinds)])


def _known(unit: Unit) -> str | None:
    inside = [node for node in unit.nodes if isinstance(node.op, Conv)]
    shortcuts = [node for node in inside[1:] if not node.inputs[0].startswith(f"{unit.scope}.")]
    convs = [node.op for node in inside if isinstance(node.op, Conv) and node not in shortcuts]
    joins = [type(node.op) for node in unit.nodes if isinstance(node.op, (Add, Concat, Multiply))]
    kernels = [conv.kernel_size for conv in convs]
    if joins == [Concat] and _branches(unit) >= 3:
        return "Inception"
    if joins == [Multiply] and kernels == [1, 1]:
        return "SqueezeExcite"
    if joins not in ([Add], [Multiply, Add]):
        return None
    if any(1 < conv.groups == conv.out_channels for conv in convs):
        return "InvertedResidual"
    if len(kernels) >= 3 and kernels[0] == kernels[2] == 1:
        return "Bottleneck"
    return "BasicBlock" if len(kernels) == 2 else None


def _branches(unit: Unit) -> int:
    return max(len(step.inputs) for step in unit.steps)


def _scope(scope: str) -> str:
    """``block`` for ``stage1.block2``, ``layer_block`` for ``layer1.0``."""
    parts = [stem[0] if (stem := numbered(part)) else part for part in scope.split(".")]
    if parts[-1].strip("_")[:1].isalpha():
        return parts[-1]
    named = [part for part in parts if part.strip("_")[:1].isalpha()]
    return f"{named[-1]}_block" if named else "block"


def identifier(name: str) -> str:
    """A variable for what a dotted name names."""
    text = name.replace(".", "_")
    return text if text.isidentifier() and not keyword.iskeyword(text) else f"part_{text}"


def variable(name: str) -> str:
    """The shortest variable that still says which step it comes from: ``block5`` for ``stage2.block5``."""
    last = name.rpartition(".")[2]
    return identifier(last if last.isidentifier() else name)


def another(name: str, taken: Collection[str]) -> str:
    """`name`, or the same with a letter that no one has: ``stage_b``."""
    letters = (
        f"{name}_{letter}" if name.islower() else name + letter.upper() for letter in "bcdefghijklmnopqrstuvwxyz"
    )
    return name if name not in taken else next((text for text in letters if text not in taken), unique(name, taken))


def unique(name: str, taken: Collection[str]) -> str:
    """`name`, or with a number that no one has."""
    count, text = 1, name
    while text in taken:
        count += 1
        text = f"{name}{count}"
    return text
