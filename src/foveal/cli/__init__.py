"""The command line: each command parses, calls the function that Python users call, and prints.

Exit codes: 0 done, 1 any other error of ours, 2 usage, 3 data or pictures, 4 graph, weights or bundle, 5 output,
6 a missing extra, 7 a training that cannot go on, 70 a fault in Foveal itself, 130 interrupted (`foveal.errors`).
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

import typer

from foveal.cli.check import check
from foveal.cli.code import code
from foveal.cli.compare import compare
from foveal.cli.demo import demo
from foveal.cli.evaluate import evaluate
from foveal.cli.exercise import exercise
from foveal.cli.filter import filter_
from foveal.cli.inspect import inspect
from foveal.cli.layer import layer
from foveal.cli.lr_find import lr_find
from foveal.cli.open_unit import open_unit
from foveal.cli.pool import pool
from foveal.cli.predict import predict
from foveal.cli.preview import preview
from foveal.cli.race import race
from foveal.cli.reproduce import reproduce
from foveal.cli.shift import shift
from foveal.cli.show import writing
from foveal.cli.train import train
from foveal.cli.tune import tune
from foveal.cli.zoo import zoo
from foveal.errors import FovealError
from foveal.text import printable

_MAIN_THREAD = threading.main_thread().ident or 0

app = typer.Typer(
    name="foveal",
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS: tuple[Callable[..., None], ...] = (
    *(train, predict, evaluate, check, demo, inspect, layer, code, zoo),
    *(preview, reproduce, compare, tune, exercise, pool, shift, race),
)
for command in _COMMANDS:
    app.command(no_args_is_help=command not in (demo, layer, zoo, race))(command)
app.command("lr-find", no_args_is_help=True)(lr_find)
app.command("open", no_args_is_help=True)(open_unit)
app.command("filter", no_args_is_help=True)(filter_)


@app.callback(invoke_without_command=True)
def foveal(
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error. May stand anywhere."),
) -> None:
    """A folder of photos in, a classifier to trust out. Start with: foveal demo"""
    if version:
        from foveal import __version__

        print(f"foveal {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; every error becomes one message and an exit code."""
    debug = "--debug" in sys.argv
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    if sys.stdout is None:  # closed by whoever started us
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for as long as the process lives
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
        sys.unraisablehook = _swallowed
    try:
        code = app(arguments, prog_name="foveal", standalone_mode=False)
        if code == 130:  # what Typer makes of Ctrl-C
            raise KeyboardInterrupt
        with writing():
            sys.stdout.flush()
        sys.exit(code or 0)
    except (KeyboardInterrupt, typer.Abort):
        _fail(f"stopped{_kept(arguments)}", 130)
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, FovealError):
            _fail(str(error), error.exit_code)
        if show := getattr(error, "show", None):  # Typer's own complaints about usage
            show()
            sys.exit(2)
        _fail(f"a fault in Foveal ({type(error).__name__}: {error}); --debug shows where, please report it", 70)


def _kept(arguments: list[str]) -> str:
    """What an interrupted command has kept, and how to go on."""
    if arguments[:1] == ["train"] and any(word.startswith("--from-scratch") for word in arguments):
        return "; the same command with --resume goes on from the last checkpoint (one an epoch, and every half minute)"
    keeps = arguments[:1] in (["train"], ["check"], ["demo"], ["compare"], ["tune"])
    goes_on = (keeps or arguments[:2] == ["exercise", "pooling"]) and "--no-cache" not in arguments
    return "; what was computed is kept, and the same command goes on from there" * goes_on


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, but only after an import: inside one it can leave Python's import lock taken."""
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _interrupt_again()
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _swallowed(what: sys.UnraisableHookArgs) -> None:
    """Repeat an interrupt that arrived in a callback from C, which can only report an exception, not raise it."""
    if issubclass(what.exc_type, KeyboardInterrupt):
        _interrupt_again()
    else:
        sys.__unraisablehook__(what)


def _interrupt_again() -> None:
    """Send Ctrl-C again in a moment, in a way that also ends what the main thread waits for, where there is one."""

    def interrupt() -> None:
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(_MAIN_THREAD, signal.SIGINT)
        else:
            _thread.interrupt_main()

    threading.Timer(0.02, interrupt).start()


def _fail(message: str, code: int) -> NoReturn:
    lines = [printable(line, limit=2000) for line in message.splitlines()] or [""]
    print("\n       ".join(["error: " + lines[0], *lines[1:]]), file=sys.stderr)
    sys.exit(code)
