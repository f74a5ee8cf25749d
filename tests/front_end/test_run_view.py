"""The training node's view: where its run comes from, what it shows, how it stops one."""

from __future__ import annotations

import re

from made import estimate, history, previews, step, tell
from stand_in import RUN


def test_the_view_says_how_far_the_run_is(run_page):
    head = run_page.locator(".scoft-run-head")
    assert head.inner_text().split("\n")[:2] == ["Step 4 of 3000", "50 min left"]
    facts = run_page.locator(".scoft-facts dd").all_inner_texts()
    assert facts == ["1 s", "1.00 GiB", "0.2", "1e-4"]
    label = run_page.locator(".scoft-chart-svg").get_attribute("aria-label")
    assert label == "Up to step 4, logarithmic scale; newest values: L_LDM 0.5"


def test_what_the_run_will_hold_stands_there_before_its_first_step(page, server):
    server.runs[RUN] = history(1)
    page.evaluate("helpers.addTrainer()")
    facts = page.locator(".scoft-facts")
    tell(page, {"event": "phase", "node": "3", "phase": "load models", "done": 1, "total": 1})
    assert not facts.is_visible()
    tell(page, estimate())
    assert facts.locator("dt").all_inner_texts() == ["Estimate"]
    assert facts.locator("dd").all_inner_texts() == ["4.00 GiB"]
    assert facts.locator("div").get_attribute("title").split("\n") == [
        "memory balanced, at the peak",
        "weights of the UNet: 1.50 GiB",
        "L_P and L_C: 2.00 GiB",
        "Of this 2.50 GiB were to be taken, 6.00 GiB free.",
    ]
    tell(page, step(1))
    names = facts.locator("dt").all_inner_texts()
    assert names == ["Per step", "Memory", "Estimate", "Gradient", "Rate"]
    assert facts.locator("dd").all_inner_texts()[1:3] == ["1.00 GiB", "4.00 GiB"]


def test_an_estimate_that_does_not_fit_says_so(page):
    page.evaluate("helpers.addTrainer()")
    tell(page, estimate(fits=False, free_bytes=2**30))
    fact = page.locator(".scoft-facts div")
    assert fact.locator("dd").inner_text() == "⚠ 4.00 GiB"
    assert fact.get_attribute("title").endswith("lower batch_size or resolution.")


def test_a_reload_finds_the_estimate_again(page, server):
    server.runs[RUN] = history(4) | {"estimate": estimate()}
    page.evaluate("(run) => helpers.addTrainer(run)", RUN)
    page.evaluate("nodes.loaded(node)")
    page.get_by_text("Estimate").wait_for()
    # What is told anew counts before what was.
    tell(page, estimate(peak_bytes=2**31, run=RUN))
    assert "2.00 GiB" in page.locator(".scoft-facts dd").all_inner_texts()


def test_the_first_message_of_a_run_brings_what_was_before_it(run_page):
    assert run_page.evaluate("nodes.entries.get(node).state.rows.map((row) => row.step)") == [
        1,
        2,
        3,
        4,
    ]
    assert run_page.evaluate("node.properties.scoft_run") == RUN


def test_a_reload_finds_the_run_again(page, server):
    server.runs[RUN] = history(7)
    page.evaluate("(run) => helpers.addTrainer(run)", RUN)
    page.evaluate("nodes.loaded(node)")
    page.get_by_text("Step 7 of 3000").wait_for()
    tell(page, step(8))
    assert page.locator(".scoft-state").inner_text() == "Step 8 of 3000"


def test_what_the_page_saw_counts_before_what_the_workflow_saved(page, server):
    server.runs[RUN] = history(2)
    page.evaluate("(run) => helpers.addTrainer(run)", "an older one")
    page.evaluate("(run) => { kept.set('scoft_run@3', run); return nodes.loaded(node); }", RUN)
    page.get_by_text("Step 2 of 3000").wait_for()


def test_a_run_of_another_server_is_forgotten_in_silence(page, server):
    server.refused = True
    page.evaluate("(run) => helpers.addTrainer(run)", "f" * 16)
    page.evaluate("nodes.loaded(node)")
    assert page.locator(".scoft-state").inner_text() == "No run yet"
    assert page.evaluate("node.properties") == {}


def test_messages_of_a_node_that_is_not_there_are_kept_for_it(run_page):
    other = step(9, run="e" * 16) | {"node": "8:1"}
    run_page.evaluate("(event) => nodes.event(event)", other)
    run_page.evaluate("(event) => nodes.event(event, 'another workflow/8:1')", other)
    assert run_page.evaluate("Object.fromEntries(kept)") == {
        "scoft_run@3": RUN,
        "scoft_run@another workflow/8:1": "e" * 16,
    }
    assert run_page.locator(".scoft-state").inner_text() == "Step 4 of 3000"


def test_the_button_stops_once_and_says_so(run_page, server):
    run_page.get_by_role("button", name="Stop and save").dblclick()
    run_page.get_by_text("Stopping …", exact=True).first.wait_for()
    assert server.wait_for_post() == [(f"/scoft/runs/{RUN}/stop", {})]
    assert run_page.locator(".scoft-stop").is_disabled()
    tell(
        run_page,
        step(5),
        {"event": "stopped", "node": "3", "run": RUN, "step": 5, "message": "Saved."},
    )
    assert run_page.locator(".scoft-state").inner_text() == "Stopped and saved"
    assert run_page.locator(".scoft-message").inner_text() == "Saved."
    assert run_page.locator(".scoft-stop").is_hidden()


def test_a_refused_stop_shows_the_sentence_and_can_be_tried_again(run_page, server):
    server.refuse = "This run is not running."
    run_page.get_by_role("button", name="Stop and save").click()
    run_page.get_by_text("This run is not running.").wait_for()
    assert run_page.get_by_role("button", name="Stop and save").is_enabled()


def test_before_a_run_has_an_id_it_cannot_be_stopped(page):
    page.evaluate("helpers.addTrainer()")
    tell(page, {"event": "phase", "node": "3", "phase": "depth", "done": 12, "total": 60})
    assert page.locator(".scoft-run-head").inner_text().split("\n")[:2] == ["Depth", "12 of 60"]
    assert page.locator(".scoft-stop").is_disabled()
    assert page.locator(".scoft-progress").evaluate("(bar) => bar.value / bar.max") == 0.2


def test_an_error_of_the_host_ends_what_would_look_as_if_it_went_on(run_page):
    run_page.evaluate("nodes.hostError('3', 'CUDA error: unspecified.')")
    run_page.get_by_text("CUDA error: unspecified.").wait_for()
    assert run_page.locator(".scoft-state").inner_text() == "Failed"


def test_the_legend_switches_curves_and_the_keyboard_reads_values(page, server):
    server.runs[RUN] = history(6, memorization=[0.01 * n for n in range(1, 7)])
    page.evaluate("(run) => helpers.addTrainer(run)", RUN)
    page.evaluate("nodes.loaded(node)")
    ldm = page.locator("path[data-key=ldm]")
    legend = page.get_by_role("button", name=re.compile("L_LDM"))
    page.wait_for_function("document.querySelectorAll('path[data-key=ldm]').length === 2")
    assert legend.get_attribute("aria-pressed") == "true"
    legend.focus()
    page.keyboard.press("Space")
    assert (ldm.count(), legend.get_attribute("aria-pressed")) == (0, "false")
    page.keyboard.press("Enter")
    assert ldm.count() == 2
    page.locator(".scoft-chart-plot").focus()
    for key in ("End", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    spoken = page.locator(".scoft-spoken").inner_text()
    assert spoken == "Step 4: L_LDM 0.6, L_M 0.04, weighted sum 0.35"
    assert page.locator(".scoft-legend-caption").inner_text() == "Values at step 4"


def test_the_chart_changes_between_scales_and_between_what_it_shows(run_page):
    label = run_page.locator(".scoft-chart-svg")
    run_page.get_by_role("checkbox", name="Log").uncheck()
    assert "linear scale" in label.get_attribute("aria-label")
    run_page.get_by_role("button", name="Gradient").click()
    assert label.get_attribute("aria-label").endswith("newest values: gradient norm 0.2")
    run_page.get_by_role("slider", name="Smooth").fill("0")
    assert run_page.locator("path[data-key=grad_norm]").count() == 1


def test_values_that_a_logarithmic_scale_has_no_place_for_are_counted(page, server):
    server.runs[RUN] = history(4, contrastive=[0.0, 0.2, 0.0, 0.1])
    page.evaluate("(run) => helpers.addTrainer(run)", RUN)
    page.evaluate("nodes.loaded(node)")
    page.get_by_text("no place for 2 values").wait_for()
    # The means are 0, 0.105, 0.066 and 0.076, of which the first alone has no place.
    line = page.locator("path.scoft-curve-contrastive:not(.scoft-faint)")
    places = [float(y) for y in re.findall(r" ([\d.-]+)", line.get_attribute("d"))]
    assert len(places) == 3
    assert places[0] < places[2] < places[1] < 150


def test_ten_thousand_steps_draw_as_few_points_as_the_width_has_room_for(page, server):
    server.runs[RUN] = history(10_000)
    page.evaluate("(run) => helpers.addTrainer(run)", RUN)
    page.evaluate("nodes.loaded(node)")
    page.wait_for_function("document.querySelectorAll('path[data-key=ldm]').length === 2")
    commands = page.locator("path[data-key=ldm]").first.evaluate(
        "(path) => path.getAttribute('d').split('L').length"
    )
    assert 100 < commands < 1500


def test_previews_follow_the_newest_until_someone_looks_back(page, server):
    server.runs[RUN] = history(9) | {"previews": previews(100, 200, 300)}
    page.evaluate("(run) => helpers.addTrainer(run)", RUN)
    page.evaluate("nodes.loaded(node)")
    picture, label = page.locator(".scoft-preview-picture"), page.locator(".scoft-preview-step")
    picture.wait_for()
    assert picture.get_attribute("src") == f"/api/scoft/runs/{RUN}/previews/step-00000300-00.png"
    later = {"event": "preview", "node": "3", "run": RUN, **previews(400)[0]}
    tell(page, later)
    assert label.inner_text() == "step 400"
    page.get_by_role("button", name="Earlier step").click()
    page.get_by_role("button", name="prompt 1 of 2").click()
    assert page.locator(".scoft-preview-caption").inner_text() == "prompt 1"
    tell(page, later | {"step": 500, "name": "previews/step-00000500-00.png"})
    assert label.inner_text() == "step 300"
    page.locator(".scoft-preview-open").click()
    page.keyboard.press("ArrowLeft")
    assert page.locator("dialog h2").inner_text() == "Step 200: base model | with the LoRA"
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")


def test_the_view_asks_for_the_height_that_it_needs_and_cleans_up(page, server):
    server.runs[RUN] = history(9) | {"previews": previews(100), "warnings": ["One.", "Two."]}
    page.evaluate("(run) => helpers.addTrainer(run)", RUN)
    before = page.evaluate("node.widget.options.getMinHeight()")
    page.evaluate("nodes.loaded(node)")
    page.locator(".scoft-warnings li").nth(1).wait_for()
    page.wait_for_function(
        "(before) => node.widget.options.getMinHeight() > before + 200", arg=before
    )
    clipped = page.evaluate(
        """() => {
            const view = document.querySelector(".scoft-run");
            view.style.height = `${node.widget.options.getMinHeight() - 20}px`;
            return view.scrollHeight - view.clientHeight;
        }"""
    )
    assert clipped == 0
    assert page.evaluate("[node.widget.serialize, node.widget.options.serialize]") == [False, False]
    page.evaluate("node.onRemoved()")
    assert page.evaluate("[node.removed, nodes.entries.size]") == [True, 0]
