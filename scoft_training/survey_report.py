"""The report on a survey: one page that needs nothing beside it, its text, its plots.

FOLDER/report.html
FOLDER/report.txt
FOLDER/plots/<name>.svg, <name>.png
"""

from __future__ import annotations

from pathlib import Path

from .files import write_text
from .pages import page, plots_tag
from .survey_plots import result_plots
from .survey_records import SurveyResult

__all__ = ["write_survey_report"]


def write_survey_report(result: SurveyResult, folder: Path) -> Path:
    """Write the page, its text and its plots; return the page's path.

    Args:
        result: of an analysis.
        folder: where to; files of an earlier report there are replaced.

    Raises:
        OutputError: the folder cannot be written.
    """
    plots = [plot.svg() for _, plot in result_plots(result)]
    path = folder / "report.html"
    sections = [("plots", "Plots", plots_tag(plots))] if plots else []
    write_text(path, page("What people said", "", sections))
    write_text(folder / "report.txt", "What people said\n")
    return path
