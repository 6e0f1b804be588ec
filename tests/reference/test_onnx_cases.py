"""ONNX's own backend cases, which the onnx wheel brings: every one of each operator that is ours, none left out.

Operators that move values in more ways than ours do (Slice, Pad, Reshape, Resize) are none of them; ours are held
against PyTorch in `test_pairs`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx_cases import MODELS, cases_of, check, check_model, kinds_of
from onnx_in_ops import MOVING, RUN

OURS = [folder for folder in MODELS if kinds_of(folder) & RUN.keys() and kinds_of(folder) <= (RUN | MOVING).keys()]


@pytest.mark.parametrize("kind", RUN)
def test_every_case_of(kind: str) -> None:
    assert cases_of(kind)
    for case in cases_of(kind):
        check(case, RUN[kind])


@pytest.mark.parametrize("folder", OURS, ids=lambda folder: folder.name)
def test_layers_and_expressions_that_pytorch_wrote(folder: Path) -> None:
    check_model(folder, RUN | MOVING)


def test_there_are_such_models() -> None:
    assert {"test_Conv3d_dilated_strided", "test_MaxPool2d_stride_padding_dilation"} <= {folder.name for folder in OURS}
