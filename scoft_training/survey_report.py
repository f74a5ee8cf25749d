"""The report on a survey: one page that needs nothing beside it, its text, its plots.

    FOLDER/report.html
    FOLDER/report.txt
    FOLDER/plots/<name>.svg, <name>.png

What it says is written in `survey_chapters`, `survey_doubts` and `survey_methods`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from PIL import Image

from .errors import OutputError
from .files import write_aside, write_text
from .pages import page
from .survey_chapters import lead, models_chapters
from .survey_document import Chapter, chapters_text, parts_html
from .survey_doubts import doubts_chapters
from .survey_methods import methods_chapters
from .survey_plots import result_plots
from .survey_records import SurveyResult

__all__ = ["PLOTS_FOLDER", "REPORT", "REPORT_TEXT", "report_text", "write_survey_report"]

REPORT, REPORT_TEXT, PLOTS_FOLDER = "report.html", "report.txt", "plots"
"""Names of the page, of its text, and of the plots' folder."""

_ENDS = (".svg", ".png")

_TITLE = "What people said of the pictures"

_STYLE = """
.box { border-left: 4px solid var(--line); background: var(--card); border-radius: 4px;
  padding: .2rem 1rem; margin: 1rem 0; max-width: 48rem; }
.box p { overflow-wrap: anywhere; }
.whole { overflow-wrap: normal; }
td.words { overflow-wrap: anywhere; }
.notes li { margin: .2rem 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
details { margin: .7rem 0; }
.plots { margin: .8rem 0; }
"""


def write_survey_report(
    result: SurveyResult, folder: Path, earlier: SurveyResult | None = None
) -> Path:
    """Write the page, its text and its plots; return the page's path.

    Args:
        result: of an analysis.
        folder: where to; files of an earlier report there are replaced.
        earlier: what that report was of; its plots that this one has not are removed, and nothing
            else, for people keep drawings of their own beside them.

    Raises:
        OutputError: the folder cannot be written.
    """
    svgs = {}
    for name, plot in result_plots(result):
        svgs[name] = plot.svg()
        write_text(folder / PLOTS_FOLDER / f"{name}.svg", svgs[name])
        picture = folder / PLOTS_FOLDER / f"{name}.png"
        write_aside(picture, partial(_write_png, plot.image(960)))
    if earlier is not None:
        gone = {name for name, _ in result_plots(earlier)} - svgs.keys()
        _remove(folder / PLOTS_FOLDER / f"{name}{end}" for name in gone for end in _ENDS)
    chapters = _chapters(result)
    write_text(folder / REPORT_TEXT, chapters_text(_TITLE, lead(result), chapters, list(svgs)))
    sections = [(one.name, one.title, parts_html(one.parts, svgs)) for one in chapters]
    path = folder / REPORT
    write_text(path, page(_TITLE, lead(result), sections, style=_STYLE))
    return path


def report_text(result: SurveyResult) -> str:
    """Return the whole report as plain text, with the names of its plots.

    Args:
        result: of an analysis.
    """
    names = [name for name, _ in result_plots(result)]
    return chapters_text(_TITLE, lead(result), _chapters(result), names)


def _chapters(result: SurveyResult) -> list[Chapter]:
    return [*models_chapters(result), *doubts_chapters(result), *methods_chapters(result)]


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"{path}: an earlier report's file could not be removed ({error.strerror}). "
                "Close what shows it, and aggregate again."
            ) from error


def _write_png(picture: Image.Image, path: Path) -> None:
    picture.save(path, format="PNG")
