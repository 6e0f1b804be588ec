"""Weights published by torchvision; names, digits of hashes, accuracies and sizes are those of its release 0.28."""

from __future__ import annotations

from collections.abc import Iterator

from foveal.data.preprocess import Preprocessing
from foveal.published import keys
from foveal.published.entry import MEAN, STD, Keys, Pretrained

LICENCE = "torchvision's, BSD-3-Clause; trained on ImageNet, whose own terms of access apply"


def _entries(
    key: Keys,
    table: str,
    interpolation: str = "bilinear",
    mean: float | tuple[float, ...] = MEAN,
    std: float | tuple[float, ...] = STD,
    left_out: tuple[str, ...] = (),
) -> Iterator[Pretrained]:
    """From lines of: network, version of the weights, file, top-1 accuracy, side resized to, side cropped to."""
    for line in table.strip().splitlines():
        model, version, file, accuracy, resized, size = line.split()
        yield Pretrained(
            model=model,
            source=f"torchvision, IMAGENET1K_{version}",
            licence=LICENCE,
            accuracy=float(accuracy),
            preprocessing=Preprocessing(int(size), int(size) / int(resized), mean, std, interpolation),
            keys=key,
            sha256=file.rpartition("-")[2],
            url=f"https://download.pytorch.org/models/{file}.pth",
            left_out=left_out,
            name="imagenet" if version == "V1" else "imagenet_v2",
        )


ENTRIES: tuple[Pretrained, ...] = (
    *_entries(
        keys.sequential,
        """
        alexnet             V1  alexnet-owt-7be5be79         56.522  256  224
        vgg11               V1  vgg11-8a719046               69.020  256  224
        vgg11_bn            V1  vgg11_bn-6002323d            70.370  256  224
        vgg13               V1  vgg13-19584684               69.928  256  224
        vgg13_bn            V1  vgg13_bn-abd245e5            71.586  256  224
        vgg16               V1  vgg16-397923af               71.592  256  224
        vgg16_bn            V1  vgg16_bn-6c64b313            73.360  256  224
        vgg19               V1  vgg19-dcbb9e9d               72.376  256  224
        vgg19_bn            V1  vgg19_bn-c79401a0            74.218  256  224
        squeezenet1_0       V1  squeezenet1_0-b66bff10       58.092  256  224
        squeezenet1_1       V1  squeezenet1_1-b8a52dc0       58.178  256  224
        """,
    ),
    *_entries(
        keys.resnet,
        """
        resnet18            V1  resnet18-f37072fd            69.758  256  224
        resnet34            V1  resnet34-b627a593            73.314  256  224
        resnet50            V1  resnet50-0676ba61            76.130  256  224
        resnet50            V2  resnet50-11ad3fa6            80.858  232  224
        resnet101           V1  resnet101-63fe2227           77.374  256  224
        resnet101           V2  resnet101-cd907fc2           81.886  232  224
        resnet152           V1  resnet152-394f9c45           78.312  256  224
        resnet152           V2  resnet152-f82ba261           82.284  232  224
        resnext50_32x4d     V1  resnext50_32x4d-7cdf4587     77.618  256  224
        resnext50_32x4d     V2  resnext50_32x4d-1a0047aa     81.198  232  224
        resnext101_32x8d    V1  resnext101_32x8d-8ba56ff5    79.312  256  224
        resnext101_32x8d    V2  resnext101_32x8d-110c445d    82.834  232  224
        wide_resnet50_2     V1  wide_resnet50_2-95faca4d     78.468  256  224
        wide_resnet50_2     V2  wide_resnet50_2-9ba9bcbe     81.602  232  224
        wide_resnet101_2    V1  wide_resnet101_2-32ee1156    78.848  256  224
        wide_resnet101_2    V2  wide_resnet101_2-d733dc28    82.510  232  224
        """,
    ),
    *_entries(
        keys.densenet,
        """
        densenet121         V1  densenet121-a639ec97         74.434  256  224
        densenet161         V1  densenet161-8d451a50         77.138  256  224
        densenet169         V1  densenet169-b2777c0a         75.600  256  224
        densenet201         V1  densenet201-c1103571         76.896  256  224
        """,
    ),
    # Inception was made for values from -1 to 1, to which torchvision's networks bring theirs back (transform_input).
    *_entries(
        keys.googlenet,
        "googlenet           V1  googlenet-1378be20           69.778  256  224",
        mean=127.5,
        std=127.5,
        left_out=("aux1.", "aux2."),
    ),
    *_entries(
        keys.googlenet,
        "googlenet_aux       V1  googlenet-1378be20           69.778  256  224",
        mean=127.5,
        std=127.5,
    ),
    *_entries(
        keys.inception_v3,
        "inception_v3        V1  inception_v3_google-0cc3c7bd 77.294  342  299",
        mean=127.5,
        std=127.5,
        left_out=("AuxLogits.",),
    ),
    *_entries(
        keys.inception_v3,
        "inception_v3_aux    V1  inception_v3_google-0cc3c7bd 77.294  342  299",
        mean=127.5,
        std=127.5,
    ),
    *_entries(
        keys.mobilenet_v2,
        """
        mobilenet_v2        V1  mobilenet_v2-b0353104        71.878  256  224
        mobilenet_v2        V2  mobilenet_v2-7ebf99e0        72.154  232  224
        """,
    ),
    *_entries(
        keys.mobilenet_v3_large,
        """
        mobilenet_v3_large  V1  mobilenet_v3_large-8738ca79  74.042  256  224
        mobilenet_v3_large  V2  mobilenet_v3_large-5c1a4163  75.274  232  224
        """,
    ),
    *_entries(
        keys.mobilenet_v3_small,
        "mobilenet_v3_small  V1  mobilenet_v3_small-047dcff4  67.668  256  224",
    ),
    *_entries(
        keys.shufflenet_v2,
        """
        shufflenet_v2_x0_5  V1  shufflenetv2_x0.5-f707e7126e 60.552  256  224
        shufflenet_v2_x1_0  V1  shufflenetv2_x1-5666bf0f80   69.362  256  224
        shufflenet_v2_x1_5  V1  shufflenetv2_x1_5-3c479a10   72.996  232  224
        shufflenet_v2_x2_0  V1  shufflenetv2_x2_0-8be3c8ee   76.230  232  224
        """,
    ),
    *_entries(
        keys.efficientnet,
        """
        efficientnet_b0     V1  efficientnet_b0_rwightman-7f5810bc  77.692  256  224
        efficientnet_b1     V1  efficientnet_b1_rwightman-bac287d4  78.642  256  240
        efficientnet_b2     V1  efficientnet_b2_rwightman-c35c1473  80.608  288  288
        efficientnet_b3     V1  efficientnet_b3_rwightman-b3899882  82.008  320  300
        efficientnet_b4     V1  efficientnet_b4_rwightman-23ab8bcd  83.384  384  380
        """,
        interpolation="bicubic",
    ),
    *_entries(
        keys.efficientnet,
        "efficientnet_b1     V2  efficientnet_b1-c27df63c            79.838  255  240",
    ),
)
