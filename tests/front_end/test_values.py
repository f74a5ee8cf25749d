"""Numbers, a run's state, presets and ids: the modules that draw nothing."""

from __future__ import annotations

import pytest
from made import history, step
from stand_in import RUN


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("formatBytes(512)", "512 B"),
        ("formatBytes(7.5 * 2**30)", "7.50 GiB"),
        ("formatBytes(150.4 * 2**20)", "150 MiB"),
        ("formatBytes(null)", "\u2013"),
        ("formatDuration(0.347)", "0.35 s"),
        ("formatDuration(41.2)", "41 s"),
        ("formatDuration(125)", "2 min 05 s"),
        ("formatDuration(1790)", "30 min"),
        ("formatDuration(3599)", "1 h 00 min"),
        ("formatDuration(7500)", "2 h 05 min"),
        ("formatDuration(100000)", "1 d 4 h"),
        ("formatNumber(0.0001)", "1e-4"),
        ("formatNumber(0.000123)", "1.23e-4"),
        ("formatNumber(0.12345)", "0.123"),
        ("formatNumber(0)", "0"),
        ("formatNumber(NaN)", "\u2013"),
    ],
)
def test_numbers_are_written_for_people(page, call, text):
    assert page.evaluate(f"scoft.{call}") == text


def test_smoothing_by_hand(page):
    points = [[1, 1.0], [5, 3.0], [6, 5.0]]
    # m = 0.5, 1.75, 3.375 with w = 0.5; divided by 1 - 0.5, 0.75, 0.875.
    smoothed = page.evaluate("(points) => scoft.smooth(points, 0.5)", points)
    assert smoothed == [[1, 1], [5, pytest.approx(7 / 3)], [6, pytest.approx(27 / 7)]]
    assert page.evaluate("(points) => scoft.smooth(points, 0)", points) == points


def test_a_constant_curve_stays_where_it_is_at_every_smoothing(page):
    smoothed = page.evaluate("scoft.smooth([[1, 2], [2, 2], [3, 2]], 0.99)")
    assert [value for _, value in smoothed] == [pytest.approx(2)] * 3


def test_thinning_keeps_every_peak_and_both_ends(page):
    points = [[x, 0.5] for x in range(10_000)]
    points[1234][1], points[8765][1] = 9.0, -9.0
    thinned = page.evaluate("(points) => scoft.thin(points, 100, [0, 10000])", points)
    assert len(thinned) <= 400
    assert [1234, 9] in thinned
    assert [8765, -9] in thinned
    assert [thinned[0][0], thinned[-1][0]] == [0, 9999]
    assert thinned == sorted(thinned)


def test_decades_are_equally_far_apart_on_a_logarithmic_scale(page):
    places = page.evaluate("[0.01, 0.1, 1, 10].map(scoft.scale([0.01, 10], [300, 0], true))")
    assert places == [pytest.approx(value) for value in (300, 200, 100, 0)]
    places = page.evaluate("[0, 5, 10].map(scoft.scale([0, 10], [300, 0]))")
    assert places == [300, 150, 0]


def test_tick_marks_are_round_numbers(page):
    assert page.evaluate("scoft.linearTicks([0, 1], 5)") == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert page.evaluate("scoft.linearTicks([1, 740], 4, true)") == [200, 400, 600]
    assert page.evaluate("scoft.linearTicks([1, 4], 8, true)") == [1, 2, 3, 4]
    assert page.evaluate("scoft.logTicks([0.005, 2], 4)") == [0.01, 0.1, 1]
    assert page.evaluate("scoft.logTicks([0.15, 0.6], 4)") == [0.2, 0.5]


def test_a_flat_curve_gets_a_range_with_tick_marks(page):
    for values in ([0.2, 0.2], [0.2, 0.2 - 2**-55], [0, 0], [-3, -3]):
        low, high = page.evaluate("(values) => scoft.domainOf(values)", values)
        assert low <= min(values) < high
        ticks = page.evaluate("(domain) => scoft.linearTicks(domain, 4)", [low, high])
        assert 2 <= len(ticks) <= 6


def test_what_a_scale_cannot_show_is_left_out(page):
    points = [[1, 0.5], [2, None], [3, 0], [4, -1]]
    assert page.evaluate("(points) => scoft.drawable(points, true)", points) == [[1, 0.5]]
    linear = page.evaluate("(points) => scoft.drawable(points, false)", points)
    assert linear == [[1, 0.5], [3, 0], [4, -1]]


def reduced(page, *events, then="state"):
    return page.evaluate(
        f"(events) => {{ const state = events.reduce(scoft.reduce, scoft.emptyState());"
        f" return {then}; }}",
        list(events),
    )


def test_history_and_live_messages_become_each_step_once(page):
    seen = page.evaluate(
        """([snapshot, live]) => {
            const state = live.reduce(scoft.reduce, scoft.emptyState());
            return scoft.mergeHistory(state, snapshot, 0);
        }""",
        [history(5), [step(5, losses={"ldm": 7}), step(6), step(5, losses={"ldm": 8})]],
    )
    assert [row["step"] for row in seen["rows"]] == [1, 2, 3, 4, 5, 6]
    assert seen["rows"][4]["losses"] == {"ldm": 8}
    assert seen["rows"][0]["losses"] == {"ldm": 0.9}
    assert seen["status"] == "running"
    assert seen["steps"] == 3000


def test_a_step_that_comes_twice_in_the_history_counts_as_it_came_last(page):
    snapshot = history(3)
    snapshot["history"]["step"] = [1, 2, 2]
    rows = page.evaluate("({ history }) => scoft.historyRows(history)", snapshot)
    assert [row["step"] for row in rows] == [1, 2]
    assert rows[1]["losses"]["ldm"] == pytest.approx(0.5 + 0.4 / 3)


def test_missing_terms_make_no_points(page):
    snapshot = history(4, perceptual=[None, 0.8, None, 0.6])
    snapshot["history"]["grad_norm"] = [0.1, None, 0.3, 0.4]
    curves = page.evaluate(
        """(snapshot) => {
            const state = scoft.mergeHistory(scoft.emptyState(), snapshot);
            return [scoft.curves(state, "losses"), scoft.curves(state, "gradient")];
        }""",
        snapshot,
    )
    losses = {curve["key"]: curve for curve in curves[0]}
    assert list(losses) == ["ldm", "perceptual", "total_loss"]
    assert losses["perceptual"]["points"] == [[2, 0.8], [4, 0.6]]
    assert losses["perceptual"]["sparse"]
    assert not losses["ldm"]["sparse"]
    assert curves[1][0]["points"] == [[1, 0.1], [3, 0.3], [4, 0.4]]


def test_time_left_counts_quick_and_slow_steps_apart(page):
    slow = {"ldm": 0.5, "perceptual": 0.8}
    events = [
        step(number, steps=20, seconds=5 if number % 4 == 0 else 1, losses=number % 4 == 0 and slow)
        for number in range(1, 11)
    ]
    # Steps 11 to 20 are to come: 12, 16 and 20 take 5 s, the other seven 1 s.
    assert reduced(page, *events, then="scoft.secondsLeft(state)") == 22
    assert reduced(page, *events, then="scoft.secondsPerStep(state)") == 2
    # One slow step alone, the fourth: 8, 12, 16 and 20 may be, and eleven quick ones.
    assert reduced(page, *events[:5], then="scoft.secondsLeft(state)") == 31
    # Where the first was slow and five were not, every sixth is taken to be: 7, 13 and 19.
    first = step(1, steps=20, seconds=5, losses=slow)
    quick = [step(number, steps=20) for number in range(2, 7)]
    assert reduced(page, first, *quick, then="scoft.secondsLeft(state)") == 3 * 5 + 11
    assert reduced(page, *events[:3], then="scoft.secondsLeft(state)") == 17
    assert reduced(page, then="scoft.secondsLeft(state)") is None


def test_a_killed_run_goes_on_from_its_checkpoint(page):
    settings = {"event": "settings", "run": RUN, "start_step": 2, "steps": 9, "device": "cpu"}
    rows = reduced(page, *[step(n) for n in (1, 2, 3, 4)], settings, step(3), then="state.rows")
    assert [row["step"] for row in rows] == [1, 2, 3]


def test_another_run_begins_without_what_the_last_one_left(page):
    begun = [
        step(1),
        {"event": "finished", "run": RUN, "step": 1, "name": "lora.safetensors"},
        {"event": "warning", "message": "Rows differ."},
        {"event": "phase", "phase": "load models", "done": 0, "total": 1},
    ]
    state = reduced(page, *begun)
    assert (state["status"], state["rows"], state["run"]) == ("preparing", [], None)
    assert state["warnings"] == ["Rows differ."]
    state = reduced(page, *begun, step(1, run="f" * 16))
    assert (state["run"], len(state["rows"])) == ("f" * 16, 1)
    assert state["warnings"] == ["Rows differ."]


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([{"event": "stopped", "run": RUN, "step": 2, "message": "Stopped."}], "stopped"),
        ([{"event": "failed", "message": "No memory."}], "failed"),
        ([{"event": "interrupted"}], "interrupted"),
        ([{"event": "stopped", "run": RUN, "message": "M"}, {"event": "interrupted"}], "stopped"),
        ([{"event": "checkpoint", "run": RUN, "step": 2}], "running"),
        ([{"event": "of a later version", "run": RUN}], "running"),
    ],
)
def test_how_a_run_ends(page, events, status):
    assert reduced(page, step(1), step(2), *events, then="state.status") == status


def test_an_answer_is_older_than_the_messages_that_came_while_it_was_under_way(page):
    finished = {"event": "finished", "run": RUN, "step": 3000, "name": "lora.safetensors"}
    merge = """([snapshot, event]) => {
        const before = scoft.reduce(scoft.emptyState(), { event: "step", losses: {}, step: 1 });
        const after = event ? scoft.reduce(before, event) : before;
        return scoft.mergeHistory(after, snapshot, before.events).status;
    }"""
    assert page.evaluate(merge, [history(3), finished]) == "finished"
    assert page.evaluate(merge, [history(3) | {"state": "stopped"}, None]) == "stopped"


def test_a_preset_fills_its_widgets_and_puts_back_what_others_set(page):
    changes = page.evaluate(
        """() => {
            const widgets = [
                { name: "preset", value: "mpc" }, { name: "margin", value: -1 },
                { name: "optimizer", value: "adamw" }, { name: "steps", value: 77 },
            ];
            const other = { margin: -1, optimizer: "adamw" };
            const presets = { mpc: { margin: 0.2 }, other, custom: {} };
            const defaults = { margin: 0.2, optimizer: "adam", steps: 3000 };
            const of = (chosen) =>
                scoft.presetChanges(widgets, presets, chosen, (name) => defaults[name])
                    .map(([widget, value]) => [widget.name, value]);
            return [of("mpc"), of("other"), of("custom"), of("unknown")];
        }"""
    )
    assert changes == [[["margin", 0.2], ["optimizer", "adam"]], [], [], []]


def test_only_choosing_another_preset_fills_and_loading_a_workflow_does_not(page, server):
    server.presets = {"mpc": {"rank": 32}, "paper": {"rank": 16}, "custom": {}}
    values = page.evaluate(
        """async () => {
            const told = [];
            const callback = (value) => told.push(value);
            const chooser = { name: "preset", value: "paper", callback };
            const rank = { name: "rank", value: 4 };
            const node = { widgets: [chooser, rank] };
            scoft.attachPresets(node, () => server.presets(), () => {});
            const seen = [];
            const choose = async (value) => {
                chooser.value = value;
                chooser.callback(value);
                await new Promise((resolve) => setTimeout(resolve, 100));
                seen.push(rank.value);
            };
            await choose("paper");                // as at each queueing
            chooser.value = "mpc"; rank.value = 7;
            node.onConfigure({});                 // a saved workflow
            await choose("mpc");
            await choose("paper");                // a person
            return [seen, told];
        }"""
    )
    assert values == [[4, 7, 16], ["paper", "mpc", "paper"]]


def test_a_run_that_told_its_end_is_not_stopping_when_the_answer_comes_late(page):
    status = page.evaluate(
        """(events) => events.reduce(scoft.reduce, scoft.emptyState()).status""",
        [step(1), {"event": "stopped", "step": 1, "message": "Stopped."}, {"event": "stopping"}],
    )
    assert status == "stopped"


@pytest.mark.parametrize("order", [["preset", "rank"], ["rank", "preset"]])
def test_a_graph_in_api_form_sets_all_widgets_at_once_and_no_preset_steps_in(page, server, order):
    server.presets = {"mpc": {"rank": 32}, "paper": {"rank": 16}, "custom": {}}
    seen = page.evaluate(
        """async (order) => {
            const widgets = [{ name: "preset", value: "paper" }, { name: "rank", value: 4 }];
            const node = { widgets };
            scoft.attachPresets(node, () => server.presets(), () => {});
            const set = (name, value) => {
                const widget = widgets.find((one) => one.name === name);
                widget.value = value;
                widget.callback?.(value);
            };
            const settled = () => new Promise((resolve) => setTimeout(resolve, 100));
            const values = { preset: "mpc", rank: 5 };
            for (const name of order) set(name, values[name]);
            await settled();
            const loaded = widgets[1].value;
            set("preset", "paper");               // a person, later
            await settled();
            return [loaded, widgets[1].value];
        }""",
        order,
    )
    assert seen == [5, 16]


def test_execution_ids_lead_into_subgraphs_and_back(page):
    found = page.evaluate(
        """() => {
            const inner = { id: 3 };
            const subgraph = { nodes: [inner], getNodeById: (id) => (id === 3 ? inner : null) };
            const outer = { id: 7, subgraph };
            const getNodeById = (id) => (id === 7 ? outer : null);
            const graph = { nodes: [{ id: 3 }, outer], getNodeById };
            return [
                scoft.findNode(graph, "7:3") === inner, scoft.findNode(graph, "7:4"),
                scoft.findNode(graph, "9:3"), scoft.executionIdOf(graph, inner),
                scoft.executionIdOf(graph, {}),
            ];
        }"""
    )
    assert found == [True, None, None, "7:3", None]


def test_the_queue_says_whose_messages_come(page, server):
    ask = "async () => { const owner = new scoft.Owner(api); return owner.workflow(); }"
    assert page.evaluate(ask) is None
    extra = {"extra_pnginfo": {"workflow": {"id": "workflow-1"}}}
    server.queue_running = [[1, "prompt", {}, extra, ["3"]]]
    assert page.evaluate(ask) == "workflow-1"
