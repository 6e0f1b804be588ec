"""A comparison as one self-contained HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from foveal.experiments.comparing import Comparison, Entrant, counted, method, remark
from foveal.experiments.estimates import percents
from foveal.report.charts import Axes
from foveal.report.charts import percents as ticks
from foveal.report.curves import accuracy_curve, loss_curve, nice_ticks
from foveal.report.render import page_style, page_templates
from foveal.report.wording import short
from foveal.svg import tag
from foveal.text import printable

if TYPE_CHECKING:
    from markupsafe import Markup

MEANINGS = {
    "accuracy": ("test accuracy", "The share of test pictures whose named class is the true one; the mean over seeds."),
    "difference": (
        "difference",
        "How much a network is above the first one. Both are compared with the same seed, so with the same batches, "
        "and the mean of these differences has an interval of its own; if that holds 0, chance may explain them.",
    ),
    "interval": (
        "95 % interval",
        "Of several repetitions, Student's t interval of their mean: what other seeds would change. It says nothing of "
        "other test pictures. Of a single repetition, Wilson's interval for its counts, which says that and nothing of "
        "other seeds.",
    ),
    "loss": ("test loss", "The mean of -log(probability of the true class) over the test pictures, in nats."),
    "macs": ("MACs", "Multiply-accumulates of convolutions and dense layers for one picture, bias excluded."),
    "parameters": ("parameters", "Trainable values."),
    "seconds": ("seconds", "Of a training's steps, on this machine: the median over repetitions."),
    "test": ("test part", "Pictures that no training has seen. Whoever chooses by them has used them up."),
    "validation": (
        "validation accuracy",
        "The same on pictures kept apart from training, to choose by; of the weights that each training kept.",
    ),
}


def page(found: Comparison) -> str:
    """The page, readable without JavaScript and network, light and dark, printable."""
    from markupsafe import Markup

    first, *others = found.entrants
    templates = page_templates({}, {}, MEANINGS, "picture")
    templates.filters["estimate"] = percents
    return templates.get_template("comparison.html").render(
        c=found, first=first, others=others, finding=finding(found), method=method(found), counted=counted(found),
        remark=remark(found), chart_of_all=Markup(chart(found)), curves=curves, style=page_style(),
    )  # fmt: skip


def finding(found: Comparison) -> str:
    """Which networks differ from the first by more than chance explains."""
    first, *others = found.entrants
    if found.repetitions == 1:
        return "One training each, so what another seed would change is not known"
    clear = []
    for each in others:
        less = each.less(first, "test_accuracy")
        if less.low is not None and less.high is not None and not less.low <= 0 <= less.high:
            way = "better" if less.mean > 0 else "worse"
            clear.append(f"{short(each.name)} is {100 * abs(less.mean):.2f} points {way}")
    if not clear:
        return f"No network is clearly better or worse than {short(first.name)}"
    return f"{'; '.join(clear)} than {short(first.name)}"


def chart(found: Comparison) -> str:
    """Test accuracies as SVG: a dot for every repetition, the mean with its interval as a whisker."""
    rows = [(each, each.test_accuracy) for each in found.entrants]
    ends = [v for each, e in rows for v in (*each.values("test_accuracy"), e.low, e.high) if v is not None]
    across = [tick for tick in nice_ticks(min(ends), max(ends)) if 0 <= tick <= 1]
    across = across if len(across) > 1 else [0.0, 1.0]
    names = [printable(each.name, limit=24) for each in found.entrants]
    axes = Axes(440, 40 * len(rows), (min(across[0], *ends), max(across[-1], *ends)), (len(rows) - 0.5, -0.5))
    axes.left = 24 + round(7.4 * max(map(len, names)))
    parts = axes.frame(ticks(across), [(float(i), name) for i, name in enumerate(names)], "test accuracy", "")
    for i, (each, estimate) in enumerate(rows):
        y = axes.y(i)
        if estimate.low is not None and estimate.high is not None:
            low, high = axes.x(estimate.low), axes.x(estimate.high)
            parts.append(tag("path", class_="whisker", d=f"M{low:.1f} {y - 5:.1f}v10M{low:.1f} {y:.1f}H{high:.1f}"
                             f"M{high:.1f} {y - 5:.1f}v10"))  # fmt: skip
        parts += [
            tag("circle", tag("title", escape(f"seed {run.seed}: {100 * run.test_accuracy:.2f} %")), class_="bar",
                cx=axes.x(run.test_accuracy), cy=y + 9, r=3)
            for run in each.repetitions
        ]  # fmt: skip
        hint = tag("title", escape(f"{names[i]}: {percents(estimate)}"))
        parts.append(tag("circle", hint, class_="mark", cx=axes.x(estimate.mean), cy=y, r=5))
    return axes.svg("Test accuracy of each network: small dots are repetitions, the large one is their mean", parts)


def curves(entrant: Entrant) -> list[Markup]:
    """Loss and accuracy by epoch of the first repetition."""
    from markupsafe import Markup

    history = entrant.repetitions[0].history
    rows = history.to_json()["epochs"]
    drawn = (loss_curve(rows, history.best_epoch), accuracy_curve(rows, history.best_epoch))
    return [Markup(each) for each in drawn if each]
