"""The survey's page as one HTML file: data, style and script inside, nothing fetched.

What stands in the data is made elsewhere; how the page behaves is in `survey_page/`: plain
modules, which are joined here, so that there is no build step and nothing to install. What the
participants' file holds is told in `survey_page/answers.mjs`.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import SurveyError

__all__ = ["survey_html"]

_FOLDER = Path(__file__).with_name("survey_page")
_MODULES = (
    "chance",
    "words",
    "dom",
    "ranking",
    "answers",
    "reading",
    "memory",
    "clock",
    "files",
    "dialogs",
    "drag",
    "cards",
    "places",
    "question",
    "faults",
    "resume",
    "welcome",
    "pages",
    "sending",
    "erasing",
    "overview",
    "main",
)
"""Each before those that import it; `tests/test_survey_html.py` holds the order to the imports."""

_STYLES = ("page", "ranking", "windows")
"""What all steps share; the pictures and their places; what lies above them, and the exceptions."""

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.mjs";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const) (\w+))", re.MULTILINE)

# "<" ends a script element early; the two separators end a line in older script engines.
_UNSAFE = re.compile("[<>&\u2028\u2029]")

_PAGE = """<!doctype html>
<html lang="{language}" dir="{direction}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<div id="survey"><p class="needs-script">{needs_script}</p></div>
<script type="application/json" id="survey-data">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def survey_html(data: Mapping[str, Any]) -> str:
    """Return the page that a participant opens.

    Args:
        data: what the page is about, as JSON values: `survey`, `culture`, `language`, `dir`,
            `title`, `about`, `consent`, `contact`, `form_target`, `allow_ties`, `comments`,
            `pages_per_participant`, `items`, `pages`, `pictures` (data URLs by id) and `texts`.

    Returns:
        One HTML file. Its policy forbids every request; a form may go to the form target alone.

    Raises:
        SurveyError: the form target is no address of the web.
    """
    script, style = _script(), _style()
    return _PAGE.format(
        language=html.escape(data["language"], quote=True),
        direction=html.escape(data["dir"], quote=True),
        policy=_policy(script, style, data["form_target"]),
        title=html.escape(data["title"]),
        style=style,
        needs_script=html.escape(data["texts"]["page.needs_script"]),
        data=_escaped(json.dumps(data, ensure_ascii=False, sort_keys=True)),
        script=script,
    )


def _escaped(text: str) -> str:
    # Over a page's pictures `str.translate` takes thirty times as long.
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _policy(script: str, style: str, form_target: str) -> str:
    target = _origin(form_target) if form_target else "'none'"
    return (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; "
        f"script-src '{_digest(script)}'; form-action {target}; base-uri 'none'"
    )


def _origin(address: str) -> str:
    """Return scheme, host and port: a policy has no words for the rest, such as a query."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if parts.scheme not in ("http", "https") or not re.fullmatch(r"[\w.-]+|[0-9a-f:]+", host):
        raise SurveyError(
            f"The form target {address!r} is no address that a form can be sent to. Give one that "
            "begins with https://."
        )
    host = host.encode("idna").decode() if not host.isascii() else host
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _script() -> str:
    """Return all modules as one, each in a scope of its own."""
    return "\n" + "\n".join(_scoped(name, _read(f"{name}.mjs")) for name in _MODULES)


def _scoped(name: str, source: str) -> str:
    exported = ", ".join(_EXPORT.findall(source))
    body = _EXPORT.sub("", _IMPORT.sub(r"const {\1} = module_\2;", source))
    return f"const module_{name} = (() => {{\n{body}\nreturn {{ {exported} }};\n}})();"


@cache
def _style() -> str:
    return "\n" + "\n".join(_read(f"{name}.css") for name in _STYLES)


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
