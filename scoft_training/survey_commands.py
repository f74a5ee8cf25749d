"""The commands that ask people: `scoft survey make`, `texts`; `aggregate` has a room of its own."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TypeAlias

from .errors import ConfigError, OutputError
from .flags import add_flags, config_from_flags
from .survey_analysis_commands import add_survey_analysis
from .survey_config import SurveyConfig
from .terminal import require_one_process, show_events

__all__ = ["add_survey"]

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_OUT = Path("scoft-survey")


def add_survey(commands: _Commands) -> None:
    """Add the group of subcommands."""
    survey = commands.add_parser(
        "survey",
        help="ask people of a culture which model's pictures they find right: pages to hand out, "
        "and what their answers say",
    )
    inner = survey.add_subparsers(required=True, metavar="COMMAND")
    _add_make(inner)
    _add_texts(inner)
    add_survey_analysis(inner)


def _add_make(commands: _Commands) -> None:
    make = commands.add_parser(
        "make",
        help="make one page for each culture and language, in which pictures of a grid's models "
        "are ranked blind; the same command again keeps the survey",
        epilog="In --about and --consent, {culture}, {pages}, {minutes} and {contact} are filled "
        "in, and an empty line begins a paragraph. See docs/survey.md.",
    )
    make.add_argument(
        "grids",
        type=Path,
        nargs="+",
        metavar="GRID",
        help="folder of a grid, drawn by `scoft grid`; several, say one for each culture, must "
        "have models of the same names",
    )
    make.add_argument(
        "--out", type=Path, default=_OUT, help=f"folder of the survey (default: ./{_OUT})"
    )
    make.add_argument(
        "--culture",
        help="whose people are asked about prompts that name no culture (default: the one that "
        "the grid's other prompts name)",
    )
    make.add_argument(
        "--models", nargs="+", default=[], metavar="NAME", help="2 to 9 of them (default: all)"
    )
    make.add_argument("--title", default="", help="of the page (default: one in its language)")
    _add_text(make, "about", "what the survey is about")
    _add_text(make, "consent", "what participants agree to")
    make.add_argument(
        "--contact",
        default="",
        help="whom participants ask and send their answers to, say a name and a mail address",
    )
    make.add_argument(
        "--form-target",
        default="",
        metavar="URL",
        help="address of a server of yours to which the page can post answers as the form field "
        "`answers`, if the participant says so (default: none, people send a file)",
    )
    make.add_argument(
        "--translations",
        type=Path,
        metavar="FILE",
        help='the prompts in the page\'s languages: JSON {"ko": {"prompt": "text"}}, or CSV with '
        "prompt, language, text; a culture's name may stand among the prompts",
    )
    make.add_argument("--json-events", action="store_true", help="print one JSON event a line")
    add_flags(make.add_argument_group("pages"), SurveyConfig)
    make.set_defaults(run=_make)


def _add_text(parser: argparse.ArgumentParser, name: str, what: str) -> None:
    """Add two flags for one text of the page."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument(f"--{name}", help=f"{what} (default: a text in the page's language)")
    either.add_argument(
        f"--{name}-file", type=Path, metavar="FILE", help="the same, from a UTF-8 text file"
    )


def _add_texts(commands: _Commands) -> None:
    texts = commands.add_parser(
        "texts",
        help="print all words of the page in a language, to translate them into another one",
        epilog="When they are translated: scoft survey make ... --languages my-language.json",
    )
    texts.add_argument("language", metavar="LANGUAGE", help="en, ko, zh, es, hi or ar")
    texts.add_argument(
        "--out", type=Path, metavar="FILE", help="write them to this new .json file instead"
    )
    texts.set_defaults(run=_texts)


def _make(arguments: argparse.Namespace) -> int:
    from .survey_making import SurveyRequest, make_survey

    require_one_process("survey make")
    request = SurveyRequest(
        grids=arguments.grids,
        out=arguments.out,
        culture=arguments.culture,
        title=arguments.title,
        about=_text(arguments.about, arguments.about_file, "--about-file"),
        consent=_text(arguments.consent, arguments.consent_file, "--consent-file"),
        contact=arguments.contact,
        form_target=arguments.form_target,
        models=arguments.models,
        translations=arguments.translations,
        config=config_from_flags(SurveyConfig, arguments),
    )
    status = show_events(
        lambda stop: make_survey(request, should_stop=stop),
        arguments.json_events,
        loads_networks=False,
    )
    if status == 0 and not arguments.json_events:
        _say_what_next(arguments.out)
    return status


def _text(text: str | None, file: Path | None, flag: str) -> str:
    """Return what the organiser wrote, or an empty text for the language's own."""
    if file is None:
        return text or ""
    try:
        written = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{flag} {file}: is not encoded in UTF-8. Save it so.") from error
    except OSError as error:
        raise ConfigError(
            f"{flag} {file}: cannot be read ({error.strerror}). Name a text file."
        ) from error
    if not written.strip():
        raise ConfigError(f"{flag} {file}: is empty. Write the text there, or leave the flag out.")
    return written


def _say_what_next(out: Path) -> None:
    from .survey_key import KEY_NAME, read_key
    from .survey_making import handed_out

    key = read_key(out)
    # Quotes that every system's terminal takes.
    quoted = f'"{out / KEY_NAME}"' if " " in str(out) else out / KEY_NAME
    for culture, pages in Counter(page.culture for page in key.pages).items():
        print(f"{culture}: {pages} pages with a picture of each of {len(key.models)} models")
    for path in handed_out(out):
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    print(
        f"Hand out: give each page to people of its culture; keep {out / KEY_NAME}, which says "
        "whose picture is whose, to yourself.\n"
        "Collect: save the answers-....json files that they send back into one folder, say "
        "answers.\n"
        f"Read: scoft survey aggregate answers --key {quoted}"
    )


def _texts(arguments: argparse.Namespace) -> int:
    from .files import write_text
    from .survey_texts import language_file

    text = language_file(arguments.language).read_text(encoding="utf-8")
    out: Path | None = arguments.out
    if out is None:
        # Whatever the terminal's own encoding: the file is read as UTF-8 again.
        sys.stdout.buffer.write(text.encode("utf-8"))
        sys.stdout.flush()
        return 0
    if out.exists():
        raise OutputError(f"{out}: is there already; nothing is overwritten. Choose another name.")
    write_text(out, text)
    print(out)
    return 0
