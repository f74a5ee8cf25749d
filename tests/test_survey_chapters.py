"""What the report says of models, in sentences that the numbers bear."""

import dataclasses
import math

import pytest
from made_survey_results import made_result

from scoft_training.survey_chapters import agreement_words, lead, models_chapters
from scoft_training.survey_document import Boxed, Folded, Listing, Table, Words
from scoft_training.survey_methods import methods_chapters
from scoft_training.survey_records import Estimate


def parts_of(result, name):
    (chapter,) = (one for one in models_chapters(result) if one.name == name)
    return chapter.parts


def sentences(parts):
    found = []
    for part in parts:
        if isinstance(part, Words):
            found.append(part.text)
        if isinstance(part, Boxed):
            found += part.sentences
        if isinstance(part, Listing):
            found += [f"{name}: {text}" if name else text for name, text in part.entries]
    return found


def tables(result, name):
    return [part for part in parts_of(result, name) if isinstance(part, Table)]


def whole_with(result, **changes):
    whole = dataclasses.replace(result.slice(), **changes)
    return dataclasses.replace(result, slices=(whole, *result.slices[1:]))


def test_the_lead_counts_people_groups_rankings_pairs_and_ties():
    result = whole_with(made_result(groups={"a": 3, "b": 2}, pages=5), ties=7)
    said = lead(result)
    # 5 people x 5 pages x 4 items = 100 rankings of 4 pictures, 6 pairs each.
    assert said == (
        "5 people from 2 cultures ranked pictures by 4 models 100 times. That is 600 pairs of "
        "pictures compared, 7 pairs of them tied."
    )
    assert "3 people from 1 country" in lead(made_result(groups={"a": 3}, group_by="country"))


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (Estimate(0.62, 0.55, 0.69), "in 62 % of pairs (55 to 69)."),
        (Estimate(0.62, 0.45, 0.69), "in 62 % of pairs (45 to 69); chance alone can explain that."),
        (Estimate(0.62), "in 62 % of pairs; too few people to tell how far chance decided."),
    ],
)
def test_who_is_put_before_whom_is_said_with_how_sure_it_is(rate, said):
    result = made_result()
    result = whole_with(result, win_rates=dict.fromkeys(result.slice().win_rates, rate))
    assert f"People put +MPC before +MP {said}".replace("62 ", "62\u00a0") in sentences(
        parts_of(result, "everyone")
    )


def test_methods_that_give_one_order_are_named_together():
    orders = {"average_order": (("a",), ("b",)), "nbt_order": (("a",), ("b",))}
    result = made_result(models=("a", "b"))
    told = sentences(
        parts_of(whole_with(result, **orders, vote_order=(("a",), ("b",))), "everyone")
    )
    assert "By all three methods: a > b" in told
    told = sentences(parts_of(whole_with(result, **orders, vote_order=(("a", "b"),)), "everyone"))
    assert "By average rank, and by Noisy Bradley-Terry: a > b" in told
    assert "By MMSR and vote: a = b" in told
    told = sentences(parts_of(whole_with(result, **orders, vote_order=()), "everyone"))
    assert "By MMSR and vote: cannot be told" in told


def test_why_the_vote_was_a_majority_is_said():
    result = whole_with(made_result(), vote_method="majority in Korea: only two people")
    assert "How the vote was weighed: majority in Korea: only two people" in sentences(
        parts_of(result, "everyone")
    )


def test_a_difference_that_chance_may_have_made_is_not_called_one():
    result = made_result()
    changed = [
        dataclasses.replace(one, p_value=p, disagree=True, sentence="s")
        for one, p in zip(result.disagreements, (0.2, 0.2, 0.05, None, 0.001), strict=True)
    ]
    (table,) = (
        part
        for part in parts_of(dataclasses.replace(result, disagreements=tuple(changed)), "groups")
        if isinstance(part, Table)
    )
    assert [row[1:3] for row in table.rows] == [
        ("not shown", "0.2"),
        ("yes", "0.05"),
        ("cannot be told", "-"),
        ("yes", "0.001"),
    ]
    assert table.rows[0][3] == "+MPC (Korea and Mexico); SD (나이지리아)"


def test_one_group_says_nothing_of_disagreement():
    result = made_result(groups={"Korea": 4})
    people = tuple(dataclasses.replace(one, vote_skill=1.0) for one in result.people)
    said = [
        "All answers come from one culture, so nothing can be said about whether cultures disagree."
    ]
    assert sentences(parts_of(dataclasses.replace(result, people=people), "groups")) == said
    assert [one.name for one in models_chapters(result)] == [
        "people",
        "groups",
        "everyone",
        "items",
    ]


@pytest.mark.parametrize("groups", [{"Korea": 6}, {"Korea": 3, "Mexico": 3}])
def test_a_minority_inside_a_group_is_told_before_what_is_pooled(groups):
    result = made_result(groups=groups)
    skills = (1.0, -0.2, None, -1.0, 0.0, 2.0)
    people = tuple(
        dataclasses.replace(one, vote_skill=skill)
        for one, skill in zip(result.people, skills, strict=True)
    )
    told = sentences(parts_of(dataclasses.replace(result, people=people), "groups"))
    assert (
        "2 of 6 people say the opposite of those who ranked the same pages more often than the "
        "same; that may be a minority's view. Who they are is told below."
    ) in told


def test_a_group_that_the_pooled_scores_take_for_chance_is_named():
    result = made_result(groups={"Korea": 3, "Mexico": 2, "India": 2})

    def told(skills):
        people = tuple(
            dataclasses.replace(one, nbt_skill=skill)
            for one, skill in zip(result.people, skills, strict=True)
        )
        found = sentences(parts_of(dataclasses.replace(result, people=people), "everyone"))
        return [one for one in found if "for chance" in one]

    (said,) = told((0.9, 0.8, 0.1, 0.1, 0.7, 0.1, 0.2))
    # The median of Korea is 0.8, of Mexico 0.4, of India 0.15.
    assert "most answers of people of Mexico and India for chance" in said
    assert told((0.9, 0.8, 0.1, 0.6, 0.7, None, None)) == []
    # Nobody follows it, so nobody is of another mind.
    assert told((0.3,) * 7) == []


def test_what_the_numbers_mean_stands_before_the_first_of_them():
    parts = parts_of(made_result(), "everyone")
    first = next(at for at, part in enumerate(parts) if isinstance(part, Listing))
    said = " ".join(sentences(parts[:first]))
    assert "the 95\u00a0% interval: how far the number could lie elsewhere had other people" in said
    alone = sentences(parts_of(made_result(groups={"Korea": 1}), "everyone"))
    assert not any("interval" in one for one in alone)


def test_how_the_vote_was_weighed_is_said_again_only_where_it_differs():
    result = made_result()
    slices = [dataclasses.replace(part, vote_method="apart") for part in result.slices]
    slices[2] = dataclasses.replace(slices[2], vote_method="alike")
    changed = dataclasses.replace(result, slices=tuple(slices))
    weighed = "How the vote was weighed: "
    for name, expected in (("everyone", ["apart"]), ("items", ["alike"]), ("each-group", [])):
        told = sentences(parts_of(changed, name))
        assert [one for one in told if weighed in one] == [f"{weighed}{one}" for one in expected]


def test_long_names_of_models_are_short_in_sentences_and_told_once():
    names = tuple(f"sd-v1-5_scoft-r64_step{at}00_fp16.safetensors" for at in (1, 2))
    result = made_result(models=names, groups={"a": 3})
    (table,) = (part for part in tables(result, "people") if "called here" in part.header)
    assert list(table.rows) == [("…step100…", names[0]), ("…step200…", names[1])]
    told = sentences(parts_of(result, "everyone"))
    assert any("People put …step100… before …step200… in" in one for one in told)
    assert not any(name in one for one in told for name in names)
    paper = next(methods_chapters(result)).parts
    found = [part for part in (*parts_of(result, "items"), *paper) if isinstance(part, Table)]
    assert len(found) == 5
    for part in found:
        assert {row[0] for row in part.rows[:2]} == {"…step100…", "…step200…"}
    assert not any("called here" in part.header for part in tables(made_result(), "people"))


def test_people_are_said_to_speak_for_themselves():
    told = sentences(parts_of(made_result(), "people"))
    assert any("others of the same culture may think otherwise" in one for one in told)


def test_where_all_models_share_the_first_place_none_is_put_first():
    result = made_result()
    one = result.disagreements[1]
    winners = {"Korea": result.models, "Mexico": result.models[:1]}
    changed = (result.disagreements[0], dataclasses.replace(one, winners=winners))
    parts = parts_of(
        dataclasses.replace(result, disagreements=(*changed, *result.disagreements[2:])), "groups"
    )
    (table,) = (part for part in parts if isinstance(part, Table))
    assert table.rows[0][3] == "no model before another (Korea); +MPC (Mexico)"


def test_groups_that_agree_bring_no_reminder():
    result = made_result()
    alike = tuple(dataclasses.replace(one, disagree=False) for one in result.disagreements)
    agreeing = dataclasses.replace(result, disagreements=alike)
    said = [*sentences(parts_of(agreeing, "groups")), *sentences(parts_of(agreeing, "everyone"))]
    assert not [one for one in said if "hides" in one or "Remember" in one]


def test_the_table_of_models_holds_the_results_numbers():
    result = made_result()
    (table,) = (part for part in parts_of(result, "everyone") if isinstance(part, Table))
    for row, one in zip(table.rows, result.slice().models, strict=True):
        assert row[0] == one.model
        assert math.isclose(float(row[1].split()[0]), one.average_rank.mean, abs_tol=0.0051)
        shares = [float(cell.split("\u00a0")[0]) for cell in row[2:5]]
        wanted = [one.win_rate.mean, one.first_share.mean, one.nbt_score.mean]
        assert shares == [round(100 * share) for share in wanted]
    assert [row[5] for row in table.rows] == ["1", "2", "3 (shared)", "3 (shared)"]


def test_each_group_has_its_own_averages_under_every_question():
    result = made_result()
    tables = [part for part in parts_of(result, "each-group") if isinstance(part, Table)]
    korea = tables[0]
    assert korea.caption == "Average ranks of 7 people of Korea"
    part = result.slice("Korea", "stereotypes")
    at = korea.header.index("Stereotypes")
    assert [row[at].split()[0] for row in korea.rows] == [
        f"{one.average_rank.mean:.2f}" for one in part.models
    ]
    many = made_result(groups={f"g{at}": 2 for at in range(4)})
    assert sum(isinstance(part, Folded) for part in parts_of(many, "each-group")) == 4


def test_few_people_flags_and_who_was_left_out_are_told_at_once():
    result = made_result(groups={"Korea": 12, "Mexico": 3}, settings={"leave_out": "p7, p9"})
    said = sentences(parts_of(result, "people"))
    assert any(one.startswith("Fewer than 10 people: Mexico.") for one in said)
    assert "Left out by whoever made this report: p7, p9." in said
    (table,) = (part for part in parts_of(result, "people") if isinstance(part, Table))
    assert table.rows == [("Korea", "12", "288", "1"), ("Mexico", "3", "72", "0")]


@pytest.mark.parametrize(
    ("spearman", "word"),
    [
        (-0.5, "contradict"),
        (0.05, "hardly"),
        (0.2, "a little"),
        (0.6, "largely"),
        (0.9, "strongly"),
    ],
)
def test_agreement_goes_by_what_does_not_depend_on_how_many_they_are(spearman, word):
    part = dataclasses.replace(made_result().slice(), kendalls_w=0.5, mean_spearman=spearman)
    assert word in agreement_words(part)
    assert f"{spearman:.2f}" in agreement_words(part)


def test_agreement_that_is_not_known_is_not_invented():
    part = dataclasses.replace(made_result().slice(), kendalls_w=None, mean_spearman=None)
    assert agreement_words(part).startswith("How far people agree cannot be told")


def test_agreement_is_told_of_people_who_share_a_page():
    part = dataclasses.replace(
        made_result().slice(), mean_spearman=0.41, kendalls_w=0.47, kendalls_w_people=10.2
    )
    assert agreement_words(part) == (
        "People who ranked the same page agree somewhat: the mean correlation of two people's "
        "ranks is 0.41; Kendall's W is 0.47 with 10.2 people a page."
    )
