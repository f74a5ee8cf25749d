"""Asking people: a grid made a survey that they fill, and their answers read."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from comfy_api.latest import io

from ..scoft_training.errors import ConfigError
from ..scoft_training.events import Event, WarningEvent
from ..scoft_training.survey_config import SurveyAnalysisConfig, SurveyConfig, parted
from . import host
from .live import forget_lost, open_results, open_survey, revision
from .plots import images
from .running import carry_out
from .types import ScoftGrid, require_grid
from .widgets import config_from_widgets, widgets

__all__ = ["AggregateSurvey", "MakeSurvey"]

_PHASES = ("analyse", "write the report")
_MORE_GRIDS = ("grid_2", "grid_3", "grid_4", "grid_5")


class MakeSurvey(io.ComfyNode):
    """Blind pages that people of a culture rank pictures on."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return inputs and outputs; their order is for ever."""
        return io.Schema(
            node_id="ScoftMakeSurvey",
            display_name="SCoFT Make Survey",
            category="SCoFT",
            description="Makes the pictures of a grid a survey: one page for each culture and "
            "language, that people open on a phone or a computer without a network. Nothing in it "
            "tells which model drew what; the key beside it does, so keep that to yourself.",
            is_output_node=True,
            inputs=[
                ScoftGrid.Input("grid", tooltip="Two models or more, from the same seeds."),
                *(
                    ScoftGrid.Input(
                        name, optional=True, tooltip="Of another culture, by the same models."
                    )
                    for name in _MORE_GRIDS
                ),
                io.String.Input(
                    "culture",
                    default="",
                    tooltip="Of prompts that name none, say Korea. Empty takes the dataset's.",
                ),
                *_page_words(),
                io.String.Input(
                    "form_target",
                    default="",
                    tooltip="Address of a server of yours that takes answers; empty: people send "
                    "a file.",
                ),
                io.String.Input(
                    "models",
                    multiline=True,
                    default="",
                    tooltip="Names of the models to compare, one a line; empty takes all.",
                ),
                io.String.Input(
                    "translations",
                    default="",
                    tooltip="File in ComfyUI's input folder with the prompts in the page's "
                    "languages (JSON or CSV); empty shows the prompts as they are.",
                ),
                *widgets(SurveyConfig),
                io.String.Input(
                    "survey_name",
                    default="survey",
                    tooltip="Folder below output/scoft/surveys. Other pages need another name, "
                    "since answers to the first may be out already.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="folder", tooltip="The pages are in hand-out."),
                io.String.Output(display_name="key", tooltip="For SCoFT Aggregate Survey."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(
        cls, translations: str | None = "", languages: str | None = "", **_values: Any
    ) -> Any:
        """Return what changes with the files that are named, and when pages are gone."""
        if translations is None or languages is None:
            return math.nan  # It is linked: which files it names is not known yet.
        forget_lost()
        named = [translations.strip(), *filter(_is_file_name, parted(languages))]
        return [revision("surveys"), [host.input_state(name) for name in named if name]]

    @classmethod
    def execute(
        cls,
        grid: Any,
        culture: str,
        title: str,
        about: str,
        consent: str,
        contact: str,
        form_target: str,
        models: str,
        translations: str,
        survey_name: str,
        **values: Any,
    ) -> io.NodeOutput:
        """Write the key and the pages."""
        from ..scoft_training.survey_key import KEY_NAME
        from ..scoft_training.survey_making import SurveyRequest, handed_out, make_survey

        grids = [grid, *(values[name] for name in _MORE_GRIDS if values.get(name) is not None)]
        folder = host.survey_folder(survey_name)
        request = SurveyRequest(
            grids=[require_grid(one).folder for one in grids],
            out=folder,
            culture=culture.strip() or None,
            title=title,
            about=about,
            consent=consent,
            contact=contact,
            form_target=form_target,
            models=[line.strip() for line in models.splitlines() if line.strip()],
            translations=_input(translations, "translations"),
            config=_with_own_languages(config_from_widgets(SurveyConfig, values)),
        )
        warnings: list[str] = []
        events = _noted(make_survey(request, should_stop=host.interrupted), warnings)
        carry_out(events, cls.hidden.unique_id, main="survey", work=folder)
        key, pages = folder / KEY_NAME, handed_out(folder)
        said = f"output/scoft/surveys/{folder.name}/hand-out: {', '.join(p.name for p in pages)}"
        shown = {"survey": open_survey(folder, [key, *pages]), "warnings": warnings}
        return io.NodeOutput(
            str(folder), str(key), ui={"scoft": [shown], "text": [said, *warnings]}
        )


class AggregateSurvey(io.ComfyNode):
    """Who is put first, by whom, and where groups of people disagree."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return inputs and outputs; their order is for ever."""
        return io.Schema(
            node_id="ScoftAggregateSurvey",
            display_name="SCoFT Aggregate Survey",
            category="SCoFT",
            description="Reads the files that participants sent back: average ranks, win rates, "
            "MMSR with weighted vote, Noisy Bradley-Terry, agreement, and where groups of people "
            "disagree, which it says first. Open report shows everything as a page.",
            is_output_node=True,
            inputs=[
                io.String.Input(
                    "answers",
                    default="answers",
                    tooltip="Folder in ComfyUI's input folder with the files that came back, or "
                    "one file there: .json of participants, or a .csv table.",
                ),
                io.String.Input(
                    "key",
                    default="",
                    tooltip="Connect the key of SCoFT Make Survey, or write its survey_name, or "
                    "name a survey-key.json in the input folder. Tables need none.",
                ),
                *widgets(SurveyAnalysisConfig),
                io.String.Input(
                    "results_name",
                    default="",
                    tooltip="What the folder of the results is called besides results. Two nodes "
                    "that read the same answers, say by culture and by country, need two names, "
                    "or one replaces what the other found.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="plots"),
                io.String.Output(display_name="summary"),
                io.String.Output(display_name="results", tooltip="All numbers, as JSON."),
                io.String.Output(display_name="report", tooltip="The HTML file."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(
        cls, answers: str | None = "", key: str | None = "", **_values: Any
    ) -> Any:
        """Return what changes when answers come or go, and when the report is gone."""
        if answers is None:
            return math.nan  # It is linked: whose answers they are is not known yet.
        forget_lost()
        # A key that is connected is not known yet, and its node tells when it changes.
        keys = [_key_state(key or ""), host.input_state(_key_beside(answers))]
        return [revision("results"), host.input_state(answers.strip()), keys]

    @classmethod
    def execute(cls, answers: str, key: str, results_name: str, **values: Any) -> io.NodeOutput:
        """Read the answers and write the report."""
        from ..scoft_training.survey_aggregation import AggregateRequest, aggregate, key_of
        from ..scoft_training.survey_plots import result_plots
        from ..scoft_training.survey_results import RESULTS_FILE
        from ..scoft_training.survey_summary import summary

        place = _input(answers, "answers")
        if place is None:
            raise ConfigError(
                "`answers`: is empty. Put what participants sent into a folder of ComfyUI's input "
                "folder, and write its name here."
            )
        request = AggregateRequest(
            inputs=[place],
            key=_key(key),
            config=config_from_widgets(SurveyAnalysisConfig, values),
        )
        folder = _results_folder(key_of(request), answers, results_name)
        request = dataclasses.replace(request, out=folder)
        made: list[Any] = []

        def events() -> Iterator[Any]:
            made.append((yield from aggregate(request, should_stop=host.interrupted)))

        end = carry_out(events(), cls.hidden.unique_id, main=_PHASES, work=folder)
        told, report = summary(made[-1]), Path(end.name)
        results = folder / RESULTS_FILE
        shown = {"results": open_results(folder, [results, report]), "summary": told}
        return io.NodeOutput(
            images([plot for _, plot in result_plots(made[-1])]),
            told,
            results.read_text(encoding="utf-8"),
            str(report),
            ui={"scoft": [shown], "text": [told]},
        )


def _noted(events: Iterator[Event], warnings: list[str]) -> Iterator[Event]:
    """Pass events on, and keep what the warnings among them say: people look at the node."""
    for event in events:
        if isinstance(event, WarningEvent):
            warnings.append(event.message)
        yield event


def _page_words() -> list[Any]:
    """Return the inputs of what stands on the page; empty takes texts in its language."""
    return [
        io.String.Input("title", default="", tooltip="Of the page; empty is one in its language."),
        io.String.Input(
            "about",
            multiline=True,
            default="",
            tooltip="What the survey is about; empty is a text in the page's language.",
        ),
        io.String.Input(
            "consent",
            multiline=True,
            default="",
            tooltip="What participants agree to; empty is a text in the page's language. "
            "{culture}, {pages}, {minutes} and {contact} are filled in.",
        ),
        io.String.Input(
            "contact",
            default="",
            tooltip="Whom participants ask and send their file to: a name, a mail address.",
        ),
    ]


def _is_file_name(language: str) -> bool:
    return language.lower().endswith(".json")


def _input(name: str, widget: str) -> Path | None:
    """Return what a widget names below the input folder; None where it is empty."""
    return host.input_path(name.strip(), widget) if name.strip() else None


def _with_own_languages(config: SurveyConfig) -> SurveyConfig:
    """Return the config with files of own texts taken from the input folder.

    Raises:
        ConfigError: one is not there, or the way to it holds a comma, which parts languages.
    """
    named = [
        str(host.input_path(one, "languages")) if _is_file_name(one) else one
        for one in parted(config.languages)
    ]
    if apart := next((one for one in named if "," in one), None):
        raise ConfigError(
            f"`languages`: {apart} has a comma in a folder's name, and commas part languages. Run "
            "`scoft survey make` in the folder of this file, or rename the folder."
        )
    return dataclasses.replace(config, languages=",".join(named))


def _key(text: str) -> Path | None:
    """Return the key's file: a survey's of this host by path or name, or one in the input folder.

    Raises:
        ConfigError: it is none of these.
    """
    from ..scoft_training.survey_key import KEY_NAME

    text = text.strip()
    if not text:
        return None
    path = Path(text)
    if path.is_absolute() and host.is_ours(path):
        return path
    by_name = host.output_folder() / "surveys" / text / KEY_NAME
    if path.name == text and by_name.is_file():
        return by_name
    try:
        return host.input_path(text, "key")
    except ConfigError as error:
        raise ConfigError(
            f"{error} Or connect the key of SCoFT Make Survey, or write the `survey_name` of a "
            "survey that was made here."
        ) from error


def _key_state(text: str) -> str:
    """Return what changes with a key's file; "" where there is none, which `execute` tells."""
    try:
        path = _key(text)
    except ConfigError:
        return ""
    return "" if path is None else host.state_of(path)


def _key_beside(answers: str) -> str:
    """Return where in the input folder a key lies that is found without being named."""
    from ..scoft_training.survey_key import KEY_NAME

    return (PurePosixPath(answers.strip()).parent / KEY_NAME).as_posix()


def _results_folder(key: Path | None, answers: str, results_name: str) -> Path:
    """Return where results go: beside a key of ours, else beside the surveys.

    Args:
        key: that the answers are read with.
        answers: what they are called below the input folder.
        results_name: the widget's.
    """
    name = f"results {results_name.strip()}".strip()
    if key is not None and host.is_ours(key):
        return key.parent / host.clean_name(name, "results_name")
    return host.survey_folder(f"{answers.strip()} {name}")
