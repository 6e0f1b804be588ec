"""``foveal race``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

FORMATS = ("text", "json")


def race(
    track: Annotated[str, typer.Argument(help="bowl, rosenbrock or saddle; or digits, a small network.")] = "bowl",
    rules: Annotated[
        str | None, typer.Option(help="Some of sgd,momentum,nesterov,adagrad,rmsprop,adam.", show_default="all")
    ] = None,
    steps: Annotated[int, typer.Option(help="Of each optimizer.")] = 100,
    lr: Annotated[
        str | None, typer.Option(help="0.01 for all, or sgd=0.1,adam=0.01.", show_default="each track's own")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the network's first weights and its batches.")] = 0,
    format: Annotated[str, typer.Option(help=" or ".join(FORMATS) + ".")] = "text",
    out: Annotated[Path | None, typer.Option(help="The plot: FILE.png, .svg or .pdf.")] = None,
) -> None:
    """Race the optimizers from one start with the same batches."""
    from foveal.cli.pictures import PLOTS, check_suffix, save_plot
    from foveal.cli.show import out as say
    from foveal.errors import UsageError
    from foveal.reference.updates import RULES
    from foveal.teaching import race as racing

    check_suffix(out, *PLOTS)
    if format not in FORMATS:
        raise UsageError(f"--format {format!r:.40}; expected one of {', '.join(FORMATS)}")
    if seed < 0:
        raise UsageError(f"--seed {seed}; expected a whole number from 0")
    chosen = [rule.strip() for rule in rules.split(",")] if rules is not None else list(RULES)
    result = racing.race(
        track, rules=tuple(chosen), steps=steps, rates=_rates(lr) if lr is not None else None, seed=seed
    )
    if format == "json":
        say(json.dumps(result.to_json()))
    else:
        for line in racing.race_lines(result):
            say(line)
    if out:
        from foveal.teaching.race_plot import plot

        save_plot(plot(result), out)


def _rates(said: str) -> float | dict[str, float]:
    from foveal.errors import UsageError

    try:
        if "=" not in said:
            return float(said)
        pairs = [part.split("=") for part in said.split(",")]
        return {rule.strip(): float(rate) for rule, rate in pairs}
    except ValueError:
        raise UsageError(f"--lr {said!r:.60}; expected a number, or one by rule: sgd=0.1,adam=0.01") from None
