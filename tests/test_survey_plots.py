"""The plots of a survey: what they show is in the result, and they stay readable."""

import dataclasses

import pytest
from drawn_plots import dots, fields, texts, words
from made_survey_results import ITEMS, MODELS, made_result

from scoft_training.plot_colours import two_colours
from scoft_training.survey_matrices import MOST_PEOPLE, group_agreement
from scoft_training.survey_plots import result_plots
from scoft_training.survey_records import Estimate, SurveyResult


@pytest.fixture(scope="module")
def result():
    return made_result()


@pytest.fixture(scope="module")
def plots(result):
    return {name: plot.svg() for name, plot in result_plots(result)}


def test_groups_come_before_what_is_pooled_and_all_the_papers_figures_are_there(plots):
    names = list(plots)
    assert names[:3] == ["groups", "average-ranks", "win-rates"]
    assert {"agreement-groups", "position"} <= set(names)
    assert {"average-ranks-korea", "ranks-나이지리아", "win-rates-stereotypes"} <= set(names)
    for number, name in (
        (5, "ranks"),
        (10, "vote"),
        (11, "noisy-bradley-terry"),
        (12, "agreement-people"),
        (13, "first-places"),
    ):
        assert f"figure {number};" in words(plots[name]), name


def test_average_ranks_stand_where_they_are_from_1_to_n(result, plots):
    # Ticks of the axis are at 1 and 4; a dot lies in proportion between them.
    means = [
        one.average_rank.mean for item in (None, *ITEMS) for one in result.slice(item=item).models
    ]
    places = [x for x, _ in dots(plots["average-ranks"])]
    slope = (places[1] - places[0]) / (means[1] - means[0])
    assert places == pytest.approx(
        [places[0] + slope * (mean - means[0]) for mean in means], abs=0.1
    )
    assert all(f"{mean:.2f}" in texts(plots["average-ranks"]) for mean in means)


def test_win_rates_are_numbers_in_per_cent_with_what_may_be_chance_in_brackets(result):
    rates = {
        pair: Estimate(0.62, 0.4 if pair[0] == "SD" else 0.55, 0.7)
        for pair in result.slice().win_rates
    }
    whole = dataclasses.replace(result.slice(), win_rates=rates)
    changed = dataclasses.replace(result, slices=(whole, *result.slices[1:]))
    svg = dict(result_plots(changed))["win-rates"].svg()
    assert texts(svg).count("62") == 9
    assert texts(svg).count("(62)") == 3
    assert "in brackets where chance alone may have decided" in words(svg)
    assert [field[4] for field in fields(svg)].count(two_colours(0.62)) == 12


def test_the_vote_shows_places_of_every_group_and_item(result, plots):
    shown = [text for text in texts(plots["vote"]) if text.rstrip("=").isdigit()]
    # Four groups with everyone, five blocks, four models.
    assert len(shown) == 4 * 5 * 4
    assert shown[:4] == ["1", "2", "3=", "3="]
    assert "Korea: +MPC 1, +MP 2, +M 3=, SD 3=" in words(plots["vote"])


def test_agreement_of_groups_is_the_mean_over_pairs_of_people():
    people = [("a", "x"), ("b", "x"), ("c", "y")]
    result = made_result(groups={"x": 2, "y": 1})
    assert [person.group for person in result.people] == [group for _, group in people]
    changed = dataclasses.replace(
        result, agreement=((None, 0.8, 0.2), (0.8, None, 0.5), (0.2, 0.5, None))
    )
    assert group_agreement(changed) == [
        [pytest.approx(0.8), pytest.approx(0.35)],
        [pytest.approx(0.35), None],
    ]


def test_many_people_are_shown_as_groups(result):
    few = [name for name, _ in result_plots(made_result(groups={"a": 50, "b": 50}))]
    assert "agreement-people" in few
    names = [name for name, _ in result_plots(made_result(groups={"a": 51, "b": MOST_PEOPLE - 50}))]
    assert "agreement-people" not in names
    assert "agreement-groups" in names


def test_twelve_groups_and_nine_models_fit():
    models = tuple(f"korea-mpc step {at}00 of the run" for at in range(9))
    result = made_result(models=models, groups={f"Culture {at}": 3 for at in range(12)})
    plots = dict(result_plots(result))
    svg = plots["groups"].svg()
    assert plots["groups"].height < 700
    assert {f"Culture {at}" for at in range(12)} <= set(texts(svg))
    assert [text for text in texts(svg) if text.startswith("…")][:2] == ["…000…", "…100…"]
    assert min(field[2] for field in fields(svg)) > 18


@pytest.mark.parametrize(
    "changes",
    [
        {"groups": {"Korea": 1}},
        {"groups": {"Korea": 5}, "items": ("stereotypes",)},
        {"models": ("a", "b"), "groups": {"x": 2, "y": 1}, "pages": 1},
        {"models": ("<script>", "نموذج", "$x$"), "groups": {"<b>": 2, "العربية": 3}},
    ],
)
def test_small_and_strange_results_are_drawn(changes):
    result = made_result(**changes)
    found = result_plots(result)
    assert len({name for name, _ in found}) == len(found)
    for _, plot in found:
        svg = plot.svg()
        assert "<script>" not in svg
        assert "nan" not in svg.lower()
        assert "None" not in texts(svg)
    names = [name for name, _ in found]
    assert ("groups" in names) == (len(result.groups) > 1)


def test_what_was_not_found_has_no_plot(result):
    empty = dataclasses.replace(result, position_bias=(), agreement=((None,) * 16,) * 16)
    bare = dataclasses.replace(
        empty,
        slices=tuple(
            dataclasses.replace(part, nbt_order=(), vote_order=()) for part in result.slices
        ),
    )
    names = [name for name, _ in result_plots(bare)]
    assert not {"vote", "noisy-bradley-terry", "position", "agreement-people"} & set(names)
    fields_of = {field.name: () for field in dataclasses.fields(SurveyResult)}
    assert result_plots(SurveyResult(**fields_of | {"group_by": "culture", "settings": {}})) == []


def test_places_are_shown_on_an_axis_on_which_little_looks_little(plots):
    places = [x for x, _ in dots(plots["position"])]
    assert max(places) - min(places) < 80
    assert {"place 1", "place 4", "2.00", "3.00"} <= set(texts(plots["position"]))


def test_models_keep_their_order(plots):
    shown = [text for text in texts(plots["first-places"]) if text in MODELS]
    assert shown == list(MODELS) * 5
