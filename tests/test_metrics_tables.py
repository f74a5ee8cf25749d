"""Scores in words: which way is better, what can be told of a difference, nothing left out."""

import re
from dataclasses import replace

from drawn_grid import drawn_grid, with_nearest
from made_scores import OTHER, kid, made_scores, model

from scoft_training.metrics_tables import (
    AnswerRow,
    answers,
    digits_of,
    main_models,
    report_text,
    settings_rows,
    text_table,
    with_interval,
)
from scoft_training.score_records import Difference, MetricValue, Suggestion


def test_the_three_questions_are_answered_for_each_model():
    copies, knows, forgot = answers(made_scores())
    assert [one.question for one in (copies, knows, forgot)] == [
        "Does it copy my photos?",
        "Does it know my culture?",
        "Did it forget the rest?",
    ]
    assert copies.metric == "CLIP-I similarity; lower is better"
    assert knows.metric == "KID to held-out pictures (x 1000); lower is better"
    assert [row.model for row in knows.rows] == ["base", "step 100", "step 200", "step 300", OTHER]
    assert knows.rows[0] == AnswerRow("base", "41.5 (39.5 to 43.5)")
    # A model that a metric was not measured of has no row.
    assert [row.model for row in forgot.rows] == ["base", "step 100", "step 200", "step 300"]


def said(answer):
    return {row.model: (row.words, row.difference) for row in answer.rows}


def test_a_difference_is_called_one_only_where_its_interval_leaves_out_zero():
    copies, knows, forgot = map(said, answers(made_scores()))
    # Captions differ by 0.10, 0.09, 0.10 and 0.11: t(3) * 0.00816 / 2 = 0.013 to either side.
    assert copies["step 100"] == ("copies more than base", "+0.100 (+0.087 to +0.113)")
    assert copies[OTHER][0] == "no clear difference from base"
    assert copies[OTHER][1].startswith("0.000 (-0.0")
    assert knows["step 200"] == ("knows it better than base", "-23.5 (-26.0 to -21.0)")
    assert knows[OTHER] == ("no clear difference from base", "+0.5 (-1.0 to +2.0)")
    # Without an interval nothing is judged.
    assert forgot["step 300"] == ("", "+6.75")
    text = re.sub(" {2,}", "  ", text_table(made_scores()))
    assert "6.5 (5.5 to 7.5)  difference from base: +6.75\n" in text
    assert "18.0 (16.0 to 20.0)  knows it better than base: -23.5 (-26.0 to -21.0)\n" in text


def test_verdicts_turn_with_the_sign():
    worse = Difference("step 100", "base", "kid_reference", 5.0, 4.0, 6.0)
    less = Difference("step 100", "base", "kid_general", -5.0, -6.0, -4.0)
    _, knows, forgot = map(said, answers(made_scores(differences=(worse, less))))
    assert knows["step 100"] == ("knows it less well than base", "+5.0 (+4.0 to +6.0)")
    assert forgot["step 100"] == ("keeps more than base", "-5.0 (-6.0 to -4.0)")


def test_what_was_not_measured_is_said():
    bare = made_scores(models=(model("base", None, 3.0, None, 0.5, 0.6, 0.5, 0.6),), differences=())
    assert answers(bare)[2].rows == ()
    assert "Did it forget the rest?\n  Not measured." in text_table(bare)


def test_of_many_checkpoints_the_suggested_and_last_ones_answer():
    steps = [model(f"step {n}", n, 20.0, 1.0, 0.5, 0.6, 0.5, 0.6) for n in range(100, 1600, 100)]
    models = (model("base", None, 40.0, 0.0, 0.4, 0.5, 0.4, 0.5), *steps)
    scores = made_scores(models=models, suggestion=Suggestion("step 700", 700, "why"))
    assert [one.model.name for one in main_models(scores)] == ["base", "step 700", "step 1500"]
    # The others' numbers are told all the same.
    assert "step 400" in text_table(scores)
    assert len(main_models(made_scores())) == 5


def test_a_value_without_an_interval_stands_alone():
    assert with_interval(MetricValue("k", "t", 3.0, 1.0), 1) == "3.0"
    assert digits_of([]) == 2


def test_the_widths_of_the_intervals_decide_how_exact_a_column_is():
    assert digits_of([kid("kid_reference", 286.22, 60.0), kid("kid_reference", 30.2, 20.0)]) == 0
    assert digits_of([kid("kid_reference", 286.22, 0.2)]) == 2


def test_columns_stand_below_each_other_in_any_script():
    lines = text_table(made_scores()).splitlines()
    block = lines[lines.index("Does it know my culture?") + 2 :][:5]
    # The two letters of Korean take four cells.
    assert block[4].index("42.0") == block[0].index("41.5") - 2
    assert block[1].index("24.0") == block[0].index("41.5")


def test_the_text_says_all_that_the_scores_hold(tmp_path):
    grid = drawn_grid(tmp_path / "grid")
    metric = replace(kid("kid_reference", 1.0, 0.5), key="vendi_test", title="Vendi score", unit="")
    base, *others = made_scores().models
    scores = with_nearest(
        made_scores(
            models=(replace(base, metrics=(*base.metrics, metric)), *others),
            networks={"inception": "0123"},
            picture_sets={"reference": {"pictures": 60, "digest": "ffee"}},
            versions={"torch": "2.9"},
        ),
        grid,
    )
    text = report_text(scores)
    for words in (
        "Scores of my models-0123456789abcdef, drawn with miniature",
        "Suggested: step 200\n  It copies least of those that know as well.",
        "Vendi score; lower is better\n    base  1.0 (0.5 to 1.5)",
        "(the 95 % interval)",
        "Note: KID of 40 pictures says little.",
        "Differences from base",
        "KID is unbiased.",
        "pictures 60, digest ffee",
        "2.9",
        "0123",
    ):
        assert words in text
    # `scoft takedown` finds the training pictures that the report shows by their digests.
    assert all(one.training_sha256 in text for one in scores.nearest)


def test_settings_name_each_lora_by_its_digest():
    rows = settings_rows(made_scores())
    assert ("model", "step 100", f"LoRA {'ab' * 32} at strength 1") in rows
    assert ("drawing", "inference_steps", "20") in rows
    assert not [row for row in rows if row[1] == "base" and row[0] == "model"]
