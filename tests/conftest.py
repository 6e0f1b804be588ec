"""What the tests share: a cache that is not the user's, a small folder of real photographs, the pretrained network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from foveal.backbones import load_backbone
from foveal.features import Backbone
from small_photos import write_folder


@pytest.fixture(scope="session", autouse=True)
def foveal_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for the whole session, also for the processes it starts: the weights are converted once."""
    folder = tmp_path_factory.mktemp("foveal-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEAL_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photos in each of three classes; not to be changed."""
    return write_folder(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="session")
def photo_files(photo_folder: Path) -> list[Path]:
    """The same as a list of files, class after class."""
    return sorted(photo_folder.glob("*/*.jpg"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch on one thread, which is quicker for small networks, above all on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def backbone(foveal_cache: Path) -> Backbone:
    """The pretrained network; its converted weights then lie in the session's cache."""
    return load_backbone("efficientnet_lite0")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="Write tests/zoo/golden.txt anew.")
