"""How the views look: contrast in both palettes, and pictures of them for a person's eyes."""

from __future__ import annotations

import pytest
from made import history, previews
from stand_in import DATASET, RUN, SET


def contrast(page, selector):
    return page.evaluate("(selector) => helpers.lowestContrast(selector)", selector)


def clipped(page):
    """Return what reaches beyond the view's sides, in nodes of a usual and of a small width."""
    return page.evaluate(
        """async () => {
            const found = [];
            for (const width of [400, 280]) {
                document.getElementById("node").style.width = `${width}px`;
                await helpers.drawn();
                const { right } = document.querySelector(".scoft-run").getBoundingClientRect();
                for (const one of document.querySelectorAll(".scoft-run *")) {
                    const box = one.getBoundingClientRect();
                    if (box.width > 1 && box.right > right) found.push(`${width} ${one.className}`);
                }
            }
            return found;
        }"""
    )


def test_captions_of_every_script_name_a_font_that_has_it(page):
    page.evaluate("(dataset) => scoft.openGallery({ server, dataset })", DATASET)
    caption = page.locator(".scoft-cell .scoft-caption").first
    caption.wait_for()
    named = """(one, language) => {
        one.lang = language;
        return getComputedStyle(one).fontFamily;
    }"""
    script = {
        "ko": "KR",
        "ja": "JP",
        "zh": "SC",
        "zh-Hans-CN": "SC",
        "zh-TW": "TC",
        "zh-Hant": "TC",
    }
    for language, region in script.items():
        families = caption.evaluate(named, language)
        assert families.split("Noto Sans CJK ")[1].startswith(region), (language, families)
    # Where the card states no language, each of the scripts is found in one of them.
    families = caption.evaluate(named, "")
    assert all(f"Noto Sans CJK {region}" in families for region in script.values())


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_texts_stand_out_from_their_ground(page, server, tmp_path, theme):
    server.runs[RUN] = history(300, memorization=[0.02 + 0.0001 * n for n in range(300)]) | {
        "previews": previews(100, 200),
        "warnings": ["3 captions are longer than 77 tokens. Shorten them."],
    }
    page.evaluate("(run) => helpers.addTrainer(run)", RUN)
    page.evaluate("nodes.loaded(node)")
    page.locator(".scoft-preview-picture").wait_for()
    page.wait_for_load_state("networkidle")
    page.locator(".scoft-run").screenshot(path=tmp_path / f"run-{theme}.png")
    assert clipped(page) == []
    found = contrast(page, ".scoft-run")
    assert found["contrast"] >= 4.5, found
    for negatives in (None, SET):
        page.evaluate(
            "([dataset, negatives]) => scoft.openGallery({ server, dataset, negatives })",
            [DATASET, negatives],
        )
        page.wait_for_load_state("networkidle")
        name = "negatives" if negatives else "pictures"
        page.screenshot(path=tmp_path / f"{name}-{theme}.png")
        found = contrast(page, "dialog")
        assert found["contrast"] >= 4.5, found
        page.keyboard.press("Escape")
