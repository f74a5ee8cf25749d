"""The survey's page as it is seen and heard: sizes, directions, light and dark."""

import pytest
from made_survey_page import made_data, picture_data
from survey_filling import DESKTOP, PHONE, badges, begun, opened, saved, shown, to_overview

from scoft_training.survey_texts import survey_texts

ENGLISH = survey_texts("en").texts


@pytest.fixture
def path(tmp_path):
    return tmp_path / "survey.html"


def test_right_to_left_is_the_mirror_and_arrows_follow_reading(browser, path):
    data = made_data("ar")
    with opened(browser, path, data, **PHONE) as page:
        begun(page)
        assert page.evaluate("getComputedStyle(document.documentElement).direction") == "rtl"
        places = [one.bounding_box()["x"] for one in page.locator(".place").all()]
        assert places == sorted(places, reverse=True)
        first, second = (page.locator(".pick").nth(at).bounding_box()["x"] for at in (0, 1))
        assert first > second
        back, forward = (
            page.locator(".bar .buttons button").nth(at).bounding_box()["x"] for at in (0, 1)
        )
        assert back > forward
        pick = page.locator(".pick").first
        pick.press("2")
        pick.press("ArrowLeft")
        assert pick.get_attribute("aria-label") == standing(page, data, 3)
        pick.press("ArrowRight")
        pick.press("ArrowRight")
        assert pick.get_attribute("aria-label") == standing(page, data, 1)
        page.locator(".enlarge").first.click()
        page.keyboard.press("ArrowLeft")
        assert page.locator(".enlarged img").get_attribute("src") == shown(page)[1]
        width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1]


def standing(page, data, rank):
    """Return what is said of the first of four pictures, in the page's language and digits."""
    written = page.evaluate(
        "all => all.map((one) => new Intl.NumberFormat('ar').format(one))", [rank, 4]
    )
    text, letters = data["texts"]["picture.placed"], data["texts"]["picture.letters"].split()
    for name, value in zip(("letter", "rank", "count"), (letters[0], *written), strict=True):
        text = text.replace(f"{{{name}}}", value)
    return text


axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")


def faults(page):
    """Return the faults of the page as it is."""
    found = axe_playwright.Axe().run(page).response
    assert len(found["passes"]) > 10, "axe looked at nothing"
    return [
        (fault["id"], node["html"][:200], node["failureSummary"])
        for fault in found["violations"]
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize(
    ("language", "device", "scheme"),
    [("en", DESKTOP, "light"), ("ar", PHONE, "dark")],
    ids=["desktop", "phone"],
)
def test_no_step_has_a_fault_for_axe(browser, path, language, device, scheme):
    data = made_data(language, allow_ties=True, form_target="https://example.org/form")
    data["pages"] = [{**one, "translation": "in other words"} for one in data["pages"]]
    with opened(browser, path, data, color_scheme=scheme, **device) as page:
        page.locator("#resume").evaluate("one => { one.closest('details').open = true; }")
        assert faults(page) == []
        page.locator("button[type=submit]").click()
        assert page.locator(".wrong:visible").count() == 2
        assert faults(page) == []
        begun(page)
        assert faults(page) == []
        for at, key in enumerate("112"):
            page.locator(".pick").nth(at).press(key)
        page.locator(".comment summary").click()
        page.mouse.move(0, 0)
        page.wait_for_timeout(300)
        assert faults(page) == []
        page.locator(".enlarge").first.click()
        assert faults(page) == []
        page.keyboard.press("Escape")
        page.reload()
        assert faults(page) == []
        page.locator(".notice button").click()
        page.wait_for_timeout(300)
        assert faults(page) == []
        page.keyboard.press("Escape")
        to_overview(page)
        page.locator(".overview details summary").click()
        saved(page)
        page.wait_for_timeout(300)
        assert faults(page) == []
        page.locator(".danger").click()
        page.wait_for_timeout(300)
        assert faults(page) == []


@pytest.mark.parametrize("language", ["en", "ko", "zh", "es", "hi", "ar"])
def test_every_step_fits_a_small_phone_in_every_language(browser, path, language):
    long = "Donaudampfschifffahrtsgesellschaft" * 3
    data = made_data(language, count=5, allow_ties=True, title=long, contact=long)
    data["pages"][0]["prompt"] = data["pages"][1]["prompt"] = long
    with opened(
        browser, path, data, **{**PHONE, "viewport": {"width": 320, "height": 640}}
    ) as page:
        fits(page)
        begun(page, culture=long)
        for at in range(5):
            page.locator(".pick").nth(at).click()
        fits(page)
        targets = page.locator("button:visible, summary:visible")
        boxes = targets.evaluate_all(
            "all => all.map((one) => one.getBoundingClientRect().toJSON())"
        )
        assert min(min(box["width"], box["height"]) for box in boxes) >= 44
        to_overview(page)
        fits(page)
        assert page.wrong == []


def fits(page):
    width, least = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= least == 320


def test_the_larger_picture_is_the_one_that_was_asked_for(browser, path):
    with opened(browser, path, made_data()) as page:
        begun(page)
        page.get_by_role("button", name="Enlarge picture C").click()
        dialog = page.locator("dialog")
        sources = shown(page)
        assert dialog.locator("img").get_attribute("src") == sources[2]
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert dialog.locator("img").get_attribute("src") == sources[0]
        assert dialog.get_by_role("heading").inner_text() == "Picture A"
        dialog.get_by_role("button", name=ENGLISH["picture.previous"]).click()
        assert dialog.locator("img").get_attribute("src") == sources[3]
        box = dialog.locator("img").bounding_box()
        assert min(box["width"], box["height"]) > 500
        page.keyboard.press("Escape")
        dialog.wait_for(state="detached")
        name = page.evaluate("document.activeElement.getAttribute('aria-label')")
        assert name == "Enlarge picture C"
        assert badges(page) == ["", "", "", ""]


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (360, 640)], ids=["desktop", "narrow"])
def test_nothing_that_the_keyboard_reaches_stands_behind_the_bar(browser, path, width, height):
    data = made_data(pages=1)
    data["pages"][0]["prompt"] = "a market on a Sunday, " * 23
    with opened(browser, path, data, viewport={"width": width, "height": height}) as page:
        begun(page)
        for at in range(4):
            page.locator(".pick").nth(at).press(str(at + 1))
        page.locator("h1").evaluate("one => { one.tabIndex = -1; one.focus(); }")
        page.evaluate("scrollTo(0, 0)")
        reached = []
        while True:
            page.keyboard.press("Tab")
            name, bottom, bar = page.evaluate(
                """() => {
                     const bar = document.querySelector(".bar");
                     const one = document.activeElement;
                     const name = bar.contains(one) ? "" : one.ariaLabel ?? one.textContent;
                     return [name, ...[one, bar].map((it, at) =>
                       it.getBoundingClientRect()[at ? "top" : "bottom"])];
                   }"""
            )
            if not name:
                break
            reached.append(name)
            assert bottom <= bar + 2, name
        assert reached[-2:] == [ENGLISH["rank.clear"], ENGLISH["page.comment"]]


def test_the_keyboard_is_explained_in_a_narrow_window_and_not_on_a_phone(browser, path):
    for device, seen in (({"viewport": {"width": 640, "height": 400}}, True), (PHONE, False)):
        with opened(browser, path, made_data(), **device) as page:
            begun(page)
            assert page.get_by_text(ENGLISH["rank.how_keyboard"]).is_visible() == seen


def test_letters_are_as_large_as_somebody_has_set_the_browser(browser, path):
    with opened(browser, path, made_data()) as page:
        size = "parseFloat(getComputedStyle(document.querySelector('main p')).fontSize)"
        usual = page.evaluate(size)
        page.evaluate("document.documentElement.style.fontSize = '32px'")
        assert page.evaluate(size) == pytest.approx(2 * usual)


def test_small_pictures_show_their_pixels(browser, path):
    data = made_data()
    small = {one: picture_data(at * 17, side=32) for at, one in enumerate(data["pictures"])}
    for pictures, rendering in ((data["pictures"], "auto"), (small, "pixelated")):
        with opened(browser, path, {**data, "pictures": pictures}) as page:
            begun(page)
            image = page.locator(".pick img").first
            page.wait_for_function("document.querySelector('.pick img').complete")
            assert image.evaluate("one => getComputedStyle(one).imageRendering") == rendering
