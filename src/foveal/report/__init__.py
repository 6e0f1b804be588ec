"""What a run says about itself, from its result alone: the HTML report, the model card, the lines in the terminal."""

from __future__ import annotations

from foveal.report.card import model_card
from foveal.report.render import render_report
from foveal.report.terminal import class_table, summary_lines

__all__ = ["class_table", "model_card", "render_report", "summary_lines"]
