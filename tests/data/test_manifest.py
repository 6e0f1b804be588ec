import json

import pytest

from foveal.data.manifest import columns, read_manifest
from foveal.data.scan import scan
from foveal.errors import DataError

ROWS = [
    {"path": "b.jpg", "label": "dog", "split": "test", "group": "g1", "note": "x"},
    {"path": "sub/a, 1.jpg", "label": "cat", "split": "Train", "group": "", "note": ""},
    {"path": "c.jpg", "label": "7", "split": "valid", "group": "g2", "note": "y"},
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    for row in ROWS:
        (tmp_path / row["path"]).touch()
    return tmp_path


def table(separator):
    quoted = [[f'"{cell}"' for cell in row.values()] for row in ROWS]
    return "\n".join(separator.join(cells) for cells in [list(ROWS[0]), *quoted]) + "\n"


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


CONTENTS = {
    "m.csv": table(","),
    "m.CSV": b"\xef\xbb\xbf" + table(",").replace("\n", "\r\n").encode(),
    "m.tsv": table("\t").replace("path", " Path "),
    "m.jsonl": "\n".join(json.dumps(row) for row in ROWS).replace('"7"', "7") + "\n\n",
}


@pytest.mark.parametrize("name", CONTENTS)
def test_every_format_says_the_same(folder, name):
    dataset = scan(write(folder, name, CONTENTS[name]))
    assert (dataset.kind, dataset.classes, dataset.refused) == ("manifest", ("7", "cat", "dog"), ())
    assert [(item.path, item.label, item.split, item.group) for item in dataset.items] == [
        (folder / "b.jpg", "dog", "test", "g1"),
        (folder / "c.jpg", "7", "val", "g2"),
        (folder / "sub/a, 1.jpg", "cat", "train", None),
    ]
    assert columns(dataset.root) == {"path", "label", "split", "group", "note"}
    assert [item.group for item in scan(dataset.root, "note").items] == ["x", "y", None]


def test_missing_files_and_folders_are_refused_and_their_class_is_known(folder):
    path = write(folder, "m.csv", f"path,label\n{folder}/b.jpg,dog\nnowhere.jpg,fox\nsub,cat\n")
    dataset = read_manifest(path)
    assert [item.path.name for item in dataset.items] == ["b.jpg"]
    assert dataset.classes == ("cat", "dog", "fox")
    assert {one.path.name: one.reason for one in dataset.refused} == {
        "nowhere.jpg": "no such file",
        "sub": "a folder, not a photo",
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "m.csv",
            "path;label\nb.jpg;dog\n",
            "line 1: the columns are path;label; expected a header line with exactly one column path and one label",
        ),
        ("m.csv", "file,label\nb.jpg,dog\n", "expected a header line with exactly one column path"),
        ("m.csv", "path,label,label\n", "expected a header line with exactly one column label"),
        ("m.csv", "path,label\nb.jpg,dog\n\nb.jpg,\n", "line 4: no label; expected a path and a label on every line"),
        ("m.csv", "path,label\n,dog\n", "line 2: no path; expected"),
        ("m.csv", "path,label\nb.jpg\n", "line 2: no label; expected"),
        ("m.csv", "path,label\nb,1.jpg,dog\n", "line 2: 3 values under 2 columns; expected put values"),
        ("m.csv", 'path,label\n"b.jpg,dog\n', "cannot be parsed"),
        ("m.csv", "path,label\nb.jpg,\0\n", "line 2: label holds a NUL character"),
        ("m.csv", "path,label,split\nb.jpg,dog,tset\n", "line 2: split is 'tset'; expected train, val or test"),
        ("m.csv", "path,label,split\nb.jpg,dog,test\nc.jpg,cat,\n", "line 3: split is given on some lines only"),
        (
            "m.csv",
            b"path,label\nb.jpg,dog\n\xff.jpg,cat\n",
            "line 3: not UTF-8 text; expected save the manifest as UTF-8",
        ),
        ("m.csv", "", "the manifest lists no photos; expected columns path,label[,split][,group]"),
        ("m.csv", "path,label\nx.jpg,cat\n", "none of its 1 files can be used, the first is"),
        ("m.jsonl", '{"path": "b.jpg", "label": "dog"}\n{"path": \n', "line 2: bad JSON"),
        ("m.jsonl", "[" * 100_000, "line 1: bad JSON"),
        ("m.jsonl", '["b.jpg", "dog"]\n', "line 1: not a JSON object"),
        ("m.jsonl", '{"path": "b.jpg"}\n', "line 1: no label"),
        ("m.jsonl", '{"path": 3, "label": "dog"}\n', "line 1: path is 3; expected text"),
        ("m.jsonl", '{"path": "b.jpg", "label": ["\\u001b[31m"]}\n', "line 1: label is ['\\x1b[31m']; expected text"),
        ("m.xlsx", "x", "not a folder and not a manifest; expected a folder of class folders, .csv, .tsv or .jsonl"),
        ("b.jpg", "", "not a folder and not a manifest"),
    ],
)
def test_damaged_manifests_name_the_line(folder, name, content, message):
    with pytest.raises(DataError) as error:
        scan(write(folder, name, content))
    assert name in str(error.value)
    assert message in str(error.value)
    assert "\x1b" not in str(error.value)
