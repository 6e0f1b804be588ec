"""The real command line in processes of its own: help, formats, exit codes, what goes to stdout, and a terminal."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

import foveal
from small_photos import command, on_terminal, pieces, refused, run, save

VERBS = ["train", "predict", "evaluate", "check", "demo"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, photo_folder: Path) -> Path:
    return foveal.train(photo_folder, tmp_path_factory.mktemp("cli") / "run").bundle


@pytest.mark.parametrize("verb", VERBS)
def test_help(verb: str) -> None:
    done = run(verb, "--help")
    assert done.returncode == 0 and f"foveal {verb}" in done.stdout and done.stderr == ""


def test_help_names_every_command_and_no_command_shows_it() -> None:
    done = run("-h")
    assert done.returncode == 0 and all(verb in done.stdout for verb in VERBS)
    assert run().returncode == 2
    version = run("--version")
    assert (version.returncode, version.stdout) == (0, f"foveal {foveal.__version__}\n")


def test_the_installed_command_is_the_same() -> None:
    script = Path(sys.executable).with_name("foveal")
    if not script.exists():
        pytest.skip("not installed as a command")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"foveal {foveal.__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "Did you mean 'train'?"),
        (["train", "x", "--nope"], "No such option: --nope"),
        (["train", "x", "--test", "many"], "Invalid value for '--test'"),
        (["train", "x", "--threads", "0"], "Invalid value for '--threads'"),
        (["train", "x", "--seed", "-1"], "Invalid value for '--seed'"),
        (["predict", "x"], "Missing argument"),
    ],
)
def test_usage_that_makes_no_sense(words: list[str], message: str) -> None:
    done = run(*words)
    assert done.returncode == 2 and message in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--test", "0"], "--test 0.0: expected a share between 0 and 1, such as 0.2"),
        (["--budget", "-1"], "--budget -1.0: expected seconds above 0"),
        (["--precision", "x"], "--precision 'x'; expected one of auto, bf16, f32"),
        (["--backbone", "eficientnet_lite0"], "unknown backbone 'eficientnet_lite0'; did you mean efficientnet_lite0 "),
        (["--backbone", "lenet4", "--weights", "x"], "unknown backbone 'lenet4'; did you mean lenet"),
        (["--group-by", "["], "not a regular expression"),
        (["--out", "."], "lies in the folder of the photos"),
    ],
)
def test_options_that_make_no_sense(photo_folder: Path, tmp_path: Path, options: list[str], message: str) -> None:
    out = [] if "--out" in options else ["--out", tmp_path / "run"]
    assert message in refused(run("train", photo_folder, *out, *options, cwd=photo_folder), 2)


def test_weights_that_do_not_fit(photo_folder: Path, tmp_path: Path) -> None:
    for content, message in ((None, "mine.pth: no such file"), (b"text", "mine.pth: not a file of weights (")):
        if content:
            (tmp_path / "mine.pth").write_bytes(content)
        words = ("train", photo_folder, "--out", tmp_path / "run", "--weights", tmp_path / "mine.pth")
        assert message in refused(run(*words), 4)


@pytest.mark.parametrize("verb", ["predict", "evaluate", "check"])
def test_formats_that_are_none(bundle: Path, photo_folder: Path, verb: str) -> None:
    words = [photo_folder] if verb == "check" else [bundle, photo_folder]
    assert "--format 'xml'; expected" in refused(run(verb, *words, "--format", "xml"), 2)


def test_train_names_the_score_and_the_places(photo_folder: Path, tmp_path: Path) -> None:
    done = run("train", photo_folder, "--out", "run [x]", cwd=tmp_path)
    assert done.returncode == 0
    result = json.loads((tmp_path / "run [x]" / "result.json").read_text())
    assert f"{result['test']['correct']}/{result['test']['total']}" in done.stdout
    assert "run [x]/report.html" in done.stdout
    assert "foveal predict 'run [x]/bundle' PHOTO..." in done.stdout
    assert "36 photos in 3 classes" in done.stderr and "s on this machine" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert result["command"] == f"foveal train {photo_folder} --out 'run [x]'"


def test_quiet_prints_nothing(photo_folder: Path, tmp_path: Path) -> None:
    done = run("train", photo_folder, "--out", tmp_path / "run", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_debug_adds_the_traceback(tmp_path: Path) -> None:
    for words in (["--debug", "train"], ["train", "--debug"]):
        done = run(*words, tmp_path / "nothing")
        assert done.returncode == 3 and "Traceback" in done.stderr and "\nerror: " in done.stderr


def test_predictions_in_every_format_agree(bundle: Path, photo_files: list[Path]) -> None:
    some = photo_files[::9]
    expected = foveal.load(bundle).predict(some)
    lines = [json.loads(line) for line in run("predict", bundle, *some, "--format", "json").stdout.splitlines()]
    assert lines == [{"path": str(path)} | said.to_json() for path, said in zip(some, expected, strict=True)]
    done = run("predict", bundle, *some, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["path"], row["label"], float(row["probability"]), row["unknown"], row["error"]) for row in rows] == [
        (str(path), said.label, pytest.approx(said.probability, abs=1e-6), str(said.unknown).lower(), "")
        for path, said in zip(some, expected, strict=True)
    ]
    table = [line.split("\t") for line in run("predict", bundle, *some).stdout.splitlines()]
    assert [row[:3] for row in table] == [
        [str(path), said.label, f"{100 * said.probability:.1f} %"] for path, said in zip(some, expected, strict=True)
    ]


def test_predict_takes_folders_and_a_list_on_stdin(bundle: Path, photo_folder: Path, photo_files: list[Path]) -> None:
    done = run("predict", bundle, photo_folder / "cat", "--format", "json")
    cats = [json.loads(line)["path"] for line in done.stdout.splitlines()]
    assert cats == [str(path) for path in photo_files if path.parent.name == "cat"]
    given = f"{photo_files[20]}\n\n{photo_folder / 'cat'}\r\n"
    done = run("predict", bundle, "-", photo_files[-1], "--format", "json", input=given)
    paths = [json.loads(line)["path"] for line in done.stdout.splitlines()]
    assert paths == [str(photo_files[20]), *cats, str(photo_files[-1])]
    for words in (["-"], [photo_folder.parent / "empty"]):
        (photo_folder.parent / "empty").mkdir(exist_ok=True)
        assert "no pictures there" in refused(run("predict", bundle, *words, input=""), 3)


def test_a_missing_photo_is_an_answer_and_exit_code_3(bundle: Path, photo_files: list[Path]) -> None:
    done = run("predict", bundle, "nope.jpg", photo_files[0])
    assert done.returncode == 3
    assert done.stdout.splitlines()[0] == "nope.jpg\terror\tthe file cannot be read (No such file or directory)"
    assert done.stdout.splitlines()[1].startswith(f"{photo_files[0]}\t")


@pytest.mark.parametrize("words", [["predict"], ["predict", "--format", "json"], ["evaluate"]])
def test_a_reader_that_leaves_early(bundle: Path, photo_folder: Path, words: list[str]) -> None:
    arguments = command(words[0], bundle, *[photo_folder] * (1 if words[0] == "evaluate" else 3), *words[1:])
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout and process.stderr
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), complaint) == (0, b"")


def test_a_closed_stdout(bundle: Path, photo_files: list[Path]) -> None:
    words = " ".join(command("predict", bundle, photo_files[0]))
    done = subprocess.run(["sh", "-c", f"{words} >&-"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_evaluate_as_json_is_what_python_gets(bundle: Path, photo_folder: Path) -> None:
    done = run("evaluate", bundle, photo_folder, "--format", "json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == json.loads(json.dumps(foveal.evaluate(bundle, photo_folder)))


def test_check_as_json_is_what_python_gets(photo_folder: Path) -> None:
    found = json.loads(run("check", photo_folder, "--format", "json", "--quiet").stdout)
    expected = foveal.check(photo_folder).to_json()
    assert found.pop("seconds") > 0 and expected.pop("seconds")
    assert found == expected


def test_a_terminal_gets_a_bar_with_the_speed_and_no_hostile_codes(tmp_path: Path) -> None:
    evil = "\x1b]0;title\x07[red]x"
    for label in ("cat", "coffee", evil):
        for number, piece in enumerate(pieces("gravel" if label == evil else label, 40, seed=61)):
            save(piece, tmp_path / "photos" / label / f"{number}[/].jpg")
    code, shown = on_terminal("train", tmp_path / "photos", "--out", tmp_path / "run")
    assert code == 0, shown
    assert "reading photos" in shown and "images/s" in shown and "120/120" in shown
    assert "\x1b]0;" not in shown and "\x07" not in shown
    assert r"\x1b]0;title\x07[red]x" in shown  # the class, as text, in the table
    assert "\x1b[" in shown  # colour
    code, plain = on_terminal("evaluate", tmp_path / "run", tmp_path / "photos", env={"NO_COLOR": "1"})
    assert code == 0 and "\x1b[3" not in plain and "cat" in plain


def test_demo_writes_photographs_and_trains_on_them(tmp_path: Path) -> None:
    done = run("demo", tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    report = tmp_path / "demo" / "run" / "report.html"
    assert done.stdout.rstrip().endswith(f"Open the report: {report}") and report.is_file()
    assert len(list((tmp_path / "demo" / "photos").rglob("*.jpg"))) > 100
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photos").mkdir()
    (tmp_path / "mine" / "photos" / "letter.txt").write_text("keep")
    assert "holds no demo" in refused(run("demo", tmp_path / "mine"), 5)
