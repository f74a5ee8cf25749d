"""Which checkpoint is suggested, on numbers made by hand."""

import pytest

from scoft_training.checkpoint_choice import CurvePoint, curves, run_ids, run_name, suggest
from scoft_training.grids import GridModel
from scoft_training.score_records import Difference, MetricValue, ModelScores, Scores


def scored(step, knows=None, copies=None, forgot=None, *, wide=1.0, run_id="run", name=None):
    """One model; `knows` has an interval of +- `wide`, or none where that is None."""
    metrics = []
    if knows is not None:
        ends = (None, None) if wide is None else (knows - wide, knows + wide)
        metrics.append(MetricValue("kid_reference", "KID", knows, *ends))
    if copies is not None:
        metrics.append(MetricValue("similarity_dino_vits16", "DINO", copies))
        metrics.append(MetricValue("similarity_dreamsim", "DreamSim", 1 - copies))
    if forgot is not None:
        metrics.append(MetricValue("kid_general", "KID", forgot))
    if step is None:
        return ModelScores(GridModel(name or "base"), tuple(metrics))
    model = GridModel(name or f"step {step}", "ab", 1.0, step, run_id)
    return ModelScores(model, tuple(metrics))


def test_of_those_that_know_as_well_the_one_that_copies_least_is_taken():
    models = [
        scored(100, 30.0, 0.2, 1.0),  # knows measurably less: 29 > 20
        scored(200, 20.9, 0.5, 2.0),
        scored(300, 20.0, 0.8, 3.0),
        scored(400, 20.8, 0.6, 1.0),
    ]

    suggestion = suggest(models)

    assert (suggestion.model, suggestion.step) == ("step 200", 200)
    assert suggestion.reason == (
        "3 of 4 checkpoints know the culture as well as the best one, step 300, as far as the "
        "intervals tell, and of these it copies least: KID to held-out pictures 20.9 (19.9 to "
        "21.9), likeness to training pictures 0.500, KID to general pictures 2.00; step 300: KID "
        "to held-out pictures 20.0 (19.0 to 21.0), likeness to training pictures 0.800, KID to "
        "general pictures 3.00."
    )


def test_the_best_one_is_taken_where_no_other_reaches_it():
    suggestion = suggest([scored(100, 25.0, 0.1), scored(200, 20.0, 0.9)])

    assert suggestion.step == 200
    assert "step 200 knows the culture best of 2 checkpoints, and the others" in suggestion.reason


def kid_difference(model, baseline, value, wide):
    return Difference(model, baseline, "kid_reference", value, value - wide, value + wide)


@pytest.mark.parametrize("turned", [False, True])
def test_differences_tell_apart_what_the_models_own_intervals_do_not(turned):
    models = [scored(100, 21.0, 0.1, wide=9.0), scored(200, 20.0, 0.9, wide=9.0)]
    other = Difference("step 100", "step 200", "kid_general", 0.0, -1.0, 1.0)

    def suggested(wide):
        pair = ("step 100", "step 200", 1.0) if not turned else ("step 200", "step 100", -1.0)
        return suggest(models, [other, kid_difference(*pair, wide)]).step

    assert suggest(models).step == 100
    assert suggested(0.5) == 200
    assert suggested(1.5) == 100
    # An interval that just reaches 0 holds it.
    assert suggested(1.0) == 100


def test_a_difference_without_an_interval_tells_nothing():
    models = [scored(100, 21.0, 0.1, wide=9.0), scored(200, 20.0, 0.9, wide=9.0)]
    difference = Difference("step 100", "step 200", "kid_reference", 1.0)

    assert suggest(models, [difference]).step == 100


@pytest.mark.parametrize(
    ("models", "step", "words"),
    [
        ([(200, 20.0, 0.5, 2.0), (100, 20.5, 0.5, 3.0)], 200, "copy as little it forgot least"),
        (
            [(200, 20.0, 0.5, 2.0), (100, 20.5, 0.5, 2.0)],
            100,
            "copy as little none forgot less and it is the earliest:",
        ),
        ([(200, 20.0, None, 2.0), (100, 20.5, None, 3.0)], 200, "forgot least (copying was not"),
        ([(200, 20.0), (100, 20.5)], 100, "it is the earliest (copying was not measured)"),
        ([(200, 20.0, 0.5), (100, 20.5)], 200, "it copies least"),
        ([(200, 20.0, 0.9), (100, 20.0, 0.9)], 100, "copy as little it is the earliest:"),
        (
            [(200, 20.0, None, 2.0), (100, 20.5, None, 2.0)],
            100,
            "of these none forgot less and it is the earliest (copying was not measured)",
        ),
    ],
)
def test_ties_go_to_the_one_that_forgot_least_then_to_the_earliest(models, step, words):
    suggestion = suggest([scored(*one) for one in models])

    assert suggestion.step == step
    assert words in suggestion.reason


def test_without_intervals_only_the_best_value_counts():
    models = [scored(100, 20.001, 0.1, wide=None), scored(200, 20.0, 0.9, wide=None)]

    suggestion = suggest(models)

    assert suggestion.step == 200
    # Nothing is called measurable that no interval tells.
    assert "knows the culture best of 2 checkpoints, by the mere numbers" in suggestion.reason
    assert "measurably" not in suggestion.reason
    # A difference with an interval does.
    differences = [kid_difference("step 100", "step 200", 0.001, 0.0005)]
    assert "the others measurably less" in suggest(models, differences).reason


def test_one_checkpoint_is_suggested_as_the_only_one():
    suggestion = suggest([scored(None, 40.0, 0.1), scored(300, 20.0, 0.5)])

    assert suggestion.step == 300
    assert suggestion.reason.startswith("step 300 is the only checkpoint that was measured:")


def test_a_model_without_a_step_is_never_suggested_but_compared_with():
    models = [scored(None, 20.5, 0.0), scored(100, 20.0, 0.4), scored(200, 20.2, 0.3)]

    suggestion = suggest(models)

    assert suggestion.step == 200
    assert "No checkpoint knows the culture measurably better than base, 20.5 (19.5 to 21.5)" in (
        suggestion.reason
    )
    assert "measurably better" not in suggest([scored(None, 40.0), *models[1:]]).reason
    clear = [kid_difference("step 100", "base", -0.5, 0.4)]
    assert "measurably better" not in suggest(models, clear).reason


def test_nothing_is_suggested_where_nothing_tells():
    assert suggest([]) is None
    assert suggest([scored(None, 20.0, 0.5)]) is None
    assert suggest([scored(100, None, 0.5), scored(200, None, 0.4)]) is None


def test_a_checkpoint_that_was_not_measured_is_passed_over():
    assert suggest([scored(100, None, 0.1), scored(200, 20.0, 0.5)]).step == 200


def made_scores(*models):
    return Scores("grid", "miniature", {}, models)


def test_curves_go_by_step_from_the_base():
    scores = made_scores(
        scored(200, 20.0, 0.5), scored(None, 30.0, 0.1, 0.0), scored(100, 25.0, 0.3, 1.0)
    )

    found = curves(scores)

    assert found["knows"] == [
        CurvePoint(0, 30.0, 29.0, 31.0),
        CurvePoint(100, 25.0, 24.0, 26.0),
        CurvePoint(200, 20.0, 19.0, 21.0),
    ]
    assert [point.value for point in found["copies"]] == [0.1, 0.3, 0.5]
    assert [point.step for point in found["forgot"]] == [0, 100]


def test_curves_of_several_runs_are_told_apart():
    scores = made_scores(
        scored(100, 25.0, run_id="one"), scored(100, 24.0, run_id="two", name="other")
    )

    assert run_ids(scores) == ("one", "two")
    assert [point.value for point in curves(scores, "two")["knows"]] == [24.0]


def test_there_are_no_curves_without_steps():
    assert curves(made_scores(scored(None, 20.0))) == {"copies": [], "knows": [], "forgot": []}


@pytest.mark.parametrize(
    ("names", "run_id", "called"),
    [
        (["plain step 100", "plain step 200"], "0ffe1cd8", "plain"),
        (["step 100", "step 200"], "0ffe1cd8", "0ffe1cd8"),
        (["a step 100", "b step 200"], "0ffe1cd8", "0ffe1cd8"),
        (["mine", "his"], "0ffe1cd8", "0ffe1cd8"),
        (["step 100", "step 200"], None, "checkpoints"),
    ],
)
def test_a_run_is_called_what_its_checkpoints_names_begin_with(names, run_id, called):
    models = [
        scored(100 * number, 20.0, run_id=run_id, name=name)
        for number, name in enumerate(names, start=1)
    ]
    other = scored(100, 20.0, run_id="other", name="other step 100")
    scores = Scores("grid", "base", {}, (scored(None, 30.0), *models, other))
    assert run_name(scores, run_id) == called
