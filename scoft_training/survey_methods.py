"""How a survey's numbers are made, in plain words, and the paper's own beside them."""

from __future__ import annotations

from collections.abc import Iterator

from .survey_document import Chapter, Folded, Listing, Part, Table, Words
from .survey_records import SurveyResult
from .survey_wording import question, short_names

__all__ = ["methods_chapters"]

_PAPER_ITEMS = ("alignment", "representation", "stereotypes", "offensiveness")

_PAPER_AVERAGES = {
    "SD": (3.09, 3.07, 2.98, 3.07),
    "SD+M": (2.57, 2.56, 2.66, 2.59),
    "SD+MP": (2.33, 2.35, 2.34, 2.30),
    "SD+MPC": (1.83, 1.84, 1.91, 1.78),
}
"""Table 1 of the paper, a column an item."""

_METHODS = (
    (
        "Average rank",
        "the mean of the ranks as people gave them; 1 is best. Pictures that share a rank share "
        "the better one (1, 1, 3, 4). Where a page shows fewer models, its ranks end earlier.",
    ),
    (
        "Pairs won",
        "every ranking is taken apart into pairs of pictures. The share says how often a model's "
        "picture stood before another's; a tie is half a win for both.",
    ),
    (
        "Came first",
        "the share of its rankings in which a model has rank 1, shared first ranks included, so "
        "that the shares of all models may add up to more than 100\u00a0%.",
    ),
    (
        "MMSR and vote",
        "MMSR (Ma and Olshevsky 2020) finds from the agreement of people alone how reliable each "
        "of them is. With these weights people vote on every pair of pictures; ties say nothing. "
        "The models are ordered by how many others they beat in most of the votes, then by votes "
        "won. People who share no page, directly or through others, are weighed apart; where they "
        "are too few for that, all count the same, and the report says so.",
    ),
    (
        "Noisy Bradley-Terry",
        "a strength for each model, fitted so that the stronger wins more often (Bradley and "
        "Terry 1952), while each person follows that in a share of the answers only and takes the "
        "picture shown first with a probability of their own in the rest. The score is "
        "how often the model would beat a picture of middling strength. Ties are half a win each.",
    ),
    (
        "Limit of both",
        "they take for granted that there is one right order. MMSR weighs down whoever differs "
        "from those they share pages with; Noisy Bradley-Terry takes for chance what differs from "
        "everyone's order. A minority with a view of its own loses there, which the paper states "
        "as a limit of its own survey. So this report shows first where groups disagree, and each "
        "group by itself; average ranks and pairs won count everybody alike.",
    ),
    (
        "Brackets",
        "intervals over people: how far the numbers could lie elsewhere had other people of the "
        "same groups been asked. People are drawn anew many times (bootstrap), each with all of "
        "their answers; the ends are Student's t with that spread. Where all say the same, the "
        "interval allows for as large a share of others as so many people can miss, and that of "
        "Noisy Bradley-Terry for how little so few answers bound a strength. Pages and "
        "pictures are taken as they are: other prompts might give other numbers.",
    ),
    (
        "Kendall's W",
        "how alike the people of a page rank its pictures, corrected for ties (Kendall and "
        "Babington Smith 1939), the mean over pages and questions that two or more people ranked.",
    ),
    (
        "Agreement of two people",
        "the share of pairs of pictures, among those that both ranked, of which they say the same.",
    ),
    (
        "Places",
        "the order of the pictures is drawn by lot for each person and page. Drawing it again many "
        "times tells how far the ranks at each place differ by chance (p). The p of the single "
        "questions is Holm's (1979), which allows for asking several.",
    ),
    (
        "Whether groups disagree",
        "people are dealt out to groups at random many times; p is how often the groups then lie "
        "as far apart as they do. Also Holm's for the single questions. A large p shows no "
        "difference, which is not the same as showing that there is none.",
    ),
)


def methods_chapters(result: SurveyResult) -> Iterator[Chapter]:
    """Yield the paper's numbers, the methods and the settings.

    Args:
        result: of an analysis.
    """
    if any(item in result.items for item in _PAPER_ITEMS) and result.slices:
        yield Chapter("paper", "The paper's own numbers", list(_paper(result)))
    yield Chapter("methods", "How the numbers are made", [Listing(_METHODS)])
    if result.settings:
        rows = [(name, str(value) or "-") for name, value in result.settings.items()]
        settings = Table(("setting", "value"), rows, words=(1,))
        yield Chapter("settings", "Settings", [Folded("What was set", [settings])])


def _paper(result: SurveyResult) -> Iterator[Part]:
    yield Words(
        "Not comparable: these come from other people, prompts, pictures and models. They show "
        "what such a survey can look like."
    )
    items = [item for item in _PAPER_ITEMS if item in result.items]
    own = [
        (shown, *(_average(result, model, item) for item in items))
        for model, shown in short_names(result.models).items()
    ]
    paper = [
        (
            f"the paper's {name}",
            *(f"{averages[_PAPER_ITEMS.index(item)]:.2f}" for item in items),
        )
        for name, averages in _PAPER_AVERAGES.items()
    ]
    yield Table(
        ("model", *map(question, items)),
        [*own, *paper],
        caption="Average ranks, 1 is best; the paper's are of its table 1",
    )
    yield Words(
        "The paper asked 51 people of five countries, who made 766 comparisons. Its averages add "
        "up to less than 10 for each question, so its answers held ties. In offensiveness +M was "
        "put before SD in 63\u00a0% of pairs, +MP before +M in 56\u00a0%, and +MPC before +MP in "
        "62\u00a0%."
    )


def _average(result: SurveyResult, model: str, item: str) -> str:
    part = result.slice(item=item)
    found = [one for one in part.models if one.model == model] if part is not None else []
    return f"{found[0].average_rank.mean:.2f}" if found else "-"
