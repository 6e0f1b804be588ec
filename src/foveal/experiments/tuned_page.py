"""A search over settings as one self-contained HTML page."""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

from foveal.experiments.estimates import percents
from foveal.experiments.tuned import Tuning, settings, verdict
from foveal.report.charts import Axes
from foveal.report.charts import percents as ticks
from foveal.report.curves import nice_ticks
from foveal.report.render import page_style, page_templates
from foveal.svg import tag

MEANINGS = {
    "pruned": (
        "given up",
        "A trial is stopped after an epoch in which half of the others were better at that age (the median rule); what "
        "it would have reached is not known.",
    ),
    "test": ("test part", "Pictures that no trial has seen, opened when the winner is settled."),
    "validation": (
        "validation accuracy",
        "The share of validation pictures named right, in the best epoch. The search chooses by it, and so it flatters "
        "the winner: the highest of many scores is high by luck, too.",
    ),
}


def page(found: Tuning) -> str:
    """The page, readable without JavaScript and network, light and dark, printable."""
    from markupsafe import Markup

    templates = page_templates({}, {}, MEANINGS, "picture")
    templates.filters["estimate"] = percents
    return templates.get_template("tuning.html").render(
        t=found, finding=finding(found), verdict=verdict(found), settings=settings, style=page_style(),
        chart_of_all=Markup(chart(found)), config=Markup.escape(json.dumps(found.config.to_json(), indent=1)),
    )  # fmt: skip


def finding(found: Tuning) -> str:
    """How much the search brought over the settings that it began with."""
    first = next((trial for trial in found.trials if trial.state == "complete"), found.best)
    gain = 100 * ((found.best.accuracy or 0) - (first.accuracy or 0))
    if first.number == found.best.number:
        return "Nothing that was tried beat the settings that the search began with"
    return f"The best trial is {gain:.2f} points above the first, on the pictures it was chosen by"


def chart(found: Tuning) -> str:
    """Validation accuracy by trial as SVG, and the winner's mean on the test part as a line."""
    done = [(trial, trial.accuracy) for trial in found.counted if trial.accuracy is not None]
    values = [*(accuracy for _, accuracy in done), found.test.mean]
    up = [tick for tick in nice_ticks(min(values), max(values)) if tick <= 1]
    last = max(1, *(trial.number for trial in found.counted))
    axes = Axes(440, 220, (-0.5, last + 0.5), (min(up[0], *values), max(up[-1], *values)))
    across = [(float(n), f"{n:.0f}") for n in nice_ticks(0, last) if n == int(n) and n <= last]
    parts = axes.frame(across, ticks(up), "trial", "validation accuracy")
    y = axes.y(found.test.mean)
    hint = tag("title", escape(f"the winner on the test part: {percents(found.test)}"))
    parts.append(tag("path", hint, class_="whisker", d=f"M{axes.x(-0.5):.1f} {y:.1f}H{axes.x(last + 0.5):.1f}"))
    for trial, accuracy in done:
        said = tag("title", escape(f"trial {trial.number}: {100 * accuracy:.2f} %, {settings(trial)}"))
        whole = trial.state == "complete"
        parts.append(
            tag("circle", said, class_="mark" if whole else "bar", cx=axes.x(trial.number), cy=axes.y(accuracy),
                r=5 if whole else 3)
        )  # fmt: skip
    return axes.svg("Validation accuracy of every trial", parts)
