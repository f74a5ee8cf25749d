"""A survey's page opened in a browser, filled, and its file read."""

from __future__ import annotations

import contextlib
import json
import re
import uuid
from datetime import datetime

from scoft_training import survey_html as room
from scoft_training.survey_html import survey_html

DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@contextlib.contextmanager
def opened(browser, path, data, **options):
    """Open the page from its file, without a network; fail on any request and any error in it."""
    path.write_text(survey_html(data), encoding="utf-8")
    context = browser.new_context(**{"offline": True, **DESKTOP, **options})
    try:
        yield page_of(context, path)
    finally:
        context.close()


def page_of(context, path):
    """Open the page in a context; what it asks for and what goes wrong is kept at the page."""
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.asked, page.wrong = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("console", lambda message: page.wrong.append(message.text))
    page.goto(path.as_uri())
    return page


def modules(page, *names):
    """Make modules callable in an empty page, each named after those that it imports."""
    joined = "\n".join(room._scoped(name, room._read(f"{name}.mjs")) for name in names)
    known = ", ".join(f"module_{name}" for name in names)
    page.evaluate(f"() => {{ {joined}\nObject.assign(globalThis, {known}); }}")


def unharmed(page, path):
    """Whether nothing but the file itself and its own pictures were loaded, and nothing failed."""
    asked = [one for one in page.asked if not one.startswith(("data:image/", "blob:"))]
    return asked == [path.as_uri()] * len(asked) and page.wrong == []


def begun(page, culture="Aruna, the north", years=""):
    page.check("#agree")
    page.fill("#culture", culture)
    page.fill("#years", years)
    page.locator("button[type=submit]").click()
    page.locator(".pick").first.wait_for()


def next_one(page):
    page.locator(".bar .next").click()


def to_overview(page):
    page.locator(".progress .quiet").click()
    page.locator(".overview").wait_for()


def saved(page):
    """Save the file on the last step; return its name and what it holds."""
    with page.expect_download() as waiting:
        page.locator(".overview .primary").first.click()
    download = waiting.value
    return download.suggested_filename, json.loads(download.path().read_text(encoding="utf-8"))


def shown(page):
    """Return the pictures' addresses as they stand on the page."""
    return page.locator(".pick img").evaluate_all("all => all.map(one => one.src)")


def ids_shown(page, data):
    of_source = {source: one for one, source in data["pictures"].items()}
    return [of_source[source] for source in shown(page)]


def page_shown(page, data):
    """Return the id of the page that is shown."""
    first = ids_shown(page, data)[0]
    return next(one["page"] for one in data["pages"] if first in one["pictures"])


def badges(page):
    return page.locator(".pick .badge").all_inner_texts()


def aloud(page):
    return " ".join(page.locator("[role=status]").inner_text().split())


def drag(page, source, target):
    start, end = source.bounding_box(), target.bounding_box()
    page.mouse.move(start["x"] + 20, start["y"] + 20)
    page.mouse.down()
    page.mouse.move(start["x"] + 60, start["y"] + 40)
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2, steps=3)
    page.mouse.up()


def check_file(name, file, data):
    """Hold a file against the contract: every field, type and relation."""
    assert set(file) == {
        "format",
        "version",
        "survey",
        "culture",
        "language",
        "participant",
        "declared",
        "consent",
        "started",
        "finished",
        "page_order",
        "pages",
        "comment",
    }
    assert (file["format"], file["version"]) == ("scoft-survey-answers", 1)
    assert [file[key] for key in ("survey", "culture", "language")] == [
        data[key] for key in ("survey", "culture", "language")
    ]
    assert uuid.UUID(file["participant"]).version == 4
    assert str(uuid.UUID(file["participant"])) == file["participant"]
    slug = re.sub(r"\W+", "-", data["culture"].lower()).strip("-")[:60]
    assert name == f"answers-{slug}-{file['participant'][:8]}.json"
    assert set(file["declared"]) == {"culture", "country", "years"}
    assert file["consent"]["agreed"] is True
    times = [file["consent"]["at"], file["started"], *filter(None, [file["finished"]])]
    assert times == sorted(times)
    assert all(datetime.fromisoformat(time.replace("Z", "+00:00")).tzinfo for time in times)
    pictures = {one["page"]: one["pictures"] for one in data["pages"]}
    assert len(set(file["page_order"])) == len(file["page_order"])
    assert set(file["page_order"]) <= set(pictures)
    seen = [one["page"] for one in file["pages"]]
    assert seen == [page for page in file["page_order"] if page in seen]
    for page in file["pages"]:
        _check_page(page, pictures[page["page"]], data)


def _check_page(page, pictures, data):
    assert set(page) == {"page", "order", "seconds", "comment", "items"}
    assert sorted(page["order"]) == pictures
    assert list(page["items"]) == data["items"]
    seconds = [item["seconds"] for item in page["items"].values()]
    assert min(seconds) >= 0
    assert abs(page["seconds"] - sum(seconds)) <= 0.1 * len(seconds)
    for item in page["items"].values():
        assert set(item["ranks"]) <= set(pictures)
        ranks = sorted(item["ranks"].values())
        if len(ranks) == len(pictures):
            assert ranks == [1 + sum(other < one for other in ranks) for one in ranks]
