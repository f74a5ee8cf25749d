"""A made-up survey's data, as `scoft survey make` hands them to the page."""

from __future__ import annotations

import base64
import io

from PIL import Image

from scoft_training.survey_key import ITEMS
from scoft_training.survey_texts import survey_texts

SURVEY = "0123456789abcdef"
PAGES = tuple(f"{number}a" * 4 for number in range(1, 10))


def picture_ids(page: int, count: int = 4) -> list[str]:
    return [f"{page + 1:02x}{number + 10:02x}cafe" for number in range(count)]


def picture_data(hue: int, side: int = 160) -> str:
    """Return a picture of one hue with a darker corner, as a data URL."""
    picture = Image.new("HSV", (side, side), (hue % 256, 140, 220))
    picture.paste((hue % 256, 200, 120), (0, side // 2, side // 2, side))
    kept = io.BytesIO()
    picture.convert("RGB").save(kept, "PNG")
    return f"data:image/png;base64,{base64.b64encode(kept.getvalue()).decode()}"


def made_data(language: str = "en", *, pages: int = 3, count: int = 4, **fields: object) -> dict:
    """Return the data of a page.

    Args:
        language: of the texts.
        pages: how many, nine at most.
        count: pictures on each.
        fields: what is to be another than usual.
    """
    texts = survey_texts(language)
    ids = [picture_ids(page, count) for page in range(pages)]
    data = {
        "format": 1,
        "survey": SURVEY,
        "culture": "Aruna (invented)",
        "language": texts.language,
        "dir": texts.direction,
        "title": texts.texts["title.default"],
        "about": texts.texts["about.default"].split("\n\n"),
        "consent": texts.texts["consent.default"].split("\n\n"),
        "contact": "survey@example.org",
        "form_target": "",
        "allow_ties": False,
        "comments": True,
        "pages_per_participant": 0,
        "items": list(ITEMS),
        "pages": [
            {"page": PAGES[page], "prompt": f"a market, {page}", "translation": "", "pictures": one}
            for page, one in enumerate(ids)
        ],
        "pictures": {
            one: picture_data(60 * number + 6 * page)
            for page, row in enumerate(ids)
            for number, one in enumerate(row)
        },
        "texts": dict(texts.texts),
    }
    return {**data, **fields}
