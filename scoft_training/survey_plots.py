"""The plots of a survey's result, like the paper's figures 5 and 10 to 13."""

from __future__ import annotations

from .plots import Plot, interval_plot
from .survey_records import SurveyResult

__all__ = ["result_plots"]


def result_plots(result: SurveyResult) -> list[tuple[str, Plot]]:
    """Return plots with the names of their files, without endings, in the report's order.

    Args:
        result: of an analysis.
    """
    whole = result.slice()
    if whole is None or not whole.models:
        return []
    ranks = [(one.model, one.average_rank) for one in whole.models]
    rows = [(name, rank.mean, rank.low, rank.high) for name, rank in ranks]
    return [("average-ranks", interval_plot("Average ranks", "1 is best", rows, digits=2))]
