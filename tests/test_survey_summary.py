"""What the terminal says of a survey: disagreement first, nothing that cannot be told."""

from dataclasses import replace

import pytest
from made_survey_results import MODELS, made_result

from scoft_training.survey_records import Estimate, Finding
from scoft_training.survey_summary import summary


def block(text, heading):
    """The lines below a heading, up to the next empty one."""
    return next(one for one in text.split("\n\n") if one.split("\n")[0] == heading).split("\n")[1:]


def test_the_groups_disagreement_stands_before_any_order_of_all():
    result = made_result()
    text = summary(result)
    assert text.startswith(f"All questions: {result.disagreements[0].sentence}\n")
    assert text.index("put SD first") < text.index("+MPC > +MP")


def test_items_that_disagree_alike_share_a_line_and_others_have_their_own():
    result = made_result()
    whole, *items = result.disagreements
    said = "The same winners, and disagreement: "
    assert f"{said}Description and Image Alignment, Cultural Representation, St" in summary(result)
    other = replace(items[0], winners={"Korea": ("SD",)}, sentence="Korea is by itself.")
    agrees = replace(items[1], disagree=False, sentence="All put X first.")
    text = summary(replace(result, disagreements=(whole, other, agrees, *items[2:])))
    assert "Description and Image Alignment: Korea is by itself.\n" in text
    assert f"{said}Stereotypes, Offensiveness\n" in text
    assert "All put X first." not in text


def test_items_may_disagree_where_everything_together_does_not():
    result = made_result()
    whole, item, *_ = result.disagreements
    calm = replace(whole, disagree=False, sentence="All put X first.")
    text = summary(replace(result, disagreements=(calm, item)))
    assert text.startswith("All questions: All put X first.\n")
    assert f"Description and Image Alignment: {item.sentence}\n" in text


@pytest.mark.parametrize(
    ("heading", "item"),
    [("All questions", None), ("Cultural Representation", "representation")],
)
def test_each_item_has_its_table(heading, item):
    result = made_result()
    lines = block(summary(result), heading)
    part = result.slice(None, item)
    assert lines[0].split() == [
        *("average", "rank", "pairs", "won", "came", "first"),
        *("Noisy", "Bradley-Terry", "MMSR", "and", "vote"),
    ]
    for line, one in zip(lines[1:5], part.models, strict=True):
        rank, won = one.average_rank, one.win_rate
        assert line.split()[0] == one.model
        assert f"{rank.mean:.2f} ({rank.low:.2f} to {rank.high:.2f})" in line
        assert f"{100 * won.mean:.0f} % ({100 * won.low:.0f} to {100 * won.high:.0f})" in line
    assert f"W {part.kendalls_w:.2f} with 16.0 people a page" in lines[-1]


def test_methods_that_agree_share_a_line():
    result = made_result()
    lines = block(summary(result), "All questions")
    assert f"  By average rank, and by Noisy Bradley-Terry: {' > '.join(MODELS)}" in lines
    assert "  By MMSR and vote: +MPC > +MP > +M = SD" in lines
    whole = replace(result.slices[0], vote_order=result.slices[0].average_order)
    lines = block(summary(replace(result, slices=(whole, *result.slices[1:]))), "All questions")
    assert f"  By all three methods: {' > '.join(MODELS)}" in lines


def test_what_one_person_cannot_tell_is_said():
    text = summary(made_result(groups={"Korea": 1}, findings=(), differences=()))
    assert "none" not in text.lower()
    assert "nan" not in text.lower()
    assert "In brackets" not in text
    assert "In brackets: the 95 % interval" in summary(made_result())
    lines = block(text, "All questions")
    best = made_result(groups={"Korea": 1}).slice().models[0]
    won, first = (f"{100 * one.mean:.0f}" for one in (best.win_rate, best.first_share))
    assert lines[1].split() == [
        *("+MPC", f"{best.average_rank.mean:.2f}", won, "%", first, "%", "-"),
        *(f"{100 * best.vote_wins:.0f}", "%"),
    ]
    assert "  By Noisy Bradley-Terry: cannot be told" in lines
    assert "  The vote: majority: MMSR needs three people or more" in lines
    assert any("Agreement on a page: cannot be told" in line for line in lines)


def test_places_that_moved_the_ranks_are_told_of_each_item():
    result = made_result()
    assert (
        "Place on the page, all questions: no sign that it moved the ranks (p = 0.37)"
        in summary(result)
    )
    moved = replace(result.position_bias[3], p_value=0.05, average_ranks=(2.1, 2.5, 2.6, 2.8))
    text = summary(replace(result, position_bias=(*result.position_bias[:3], moved)))
    assert (
        "Place on the page, stereotypes: moved the ranks (p = 0.05); average rank from first to "
        "last place 2.10, 2.50, 2.60, 2.80"
    ) in text
    assert "alignment: no sign" not in text
    assert "not known" in summary(replace(result, position_bias=()))


def test_the_first_findings_are_told_and_the_others_counted():
    findings = tuple(Finding("left out", f"line {n}", "Mend it.") for n in range(1, 9))
    text = summary(made_result(findings=findings))
    lines = block(text, "Answers to look at: 8 left out")
    assert lines[0] == "  left out: line 1: Mend it."
    assert lines[-1] == "  and 3 more, in the report"
    assert len(lines) == 6
    assert "look at" not in summary(made_result(findings=()))


def test_crowd_kit_is_told_of_only_where_it_was_asked():
    result = made_result()
    assert "    crowd-kit: failed: no convergence" in summary(result)
    assert summary(replace(result, differences=())).endswith("crowd-kit gives the same answers")
    settings = {**result.settings, "engine": "scoft"}
    assert "crowd-kit" not in summary(replace(result, differences=(), settings=settings))


def test_names_cannot_steer_the_terminal():
    text = summary(made_result(models=("a\x1b[2J", "b\n\rc"), groups={"x\x07": 2}))
    assert not [one for one in text if not one.isprintable() and one != "\n"]
    assert "b  c" in text


def test_a_vote_that_is_weighed_as_everywhere_is_told_once():
    result = made_result()
    apart = "MMSR for 16 people in 3 groups that share no page"
    slices = [replace(part, vote_method=apart) for part in result.slices]
    slices[2] = replace(slices[2], vote_method="16 people with equal weight: Few.")
    text = summary(replace(result, slices=tuple(slices)))
    assert f"  The vote: {apart}" in block(text, "All questions")
    assert text.count(apart) == 1
    assert "  The vote: 16 people with equal weight: Few." in block(text, "Cultural Representation")
    assert "The vote" not in summary(result)


def test_people_who_contradict_the_others_are_told_before_any_order():
    result = made_result(groups={"Korea": 4})
    agreeing = tuple(replace(one, vote_skill=1.0) for one in result.people)
    assert "minority" not in summary(replace(result, people=agreeing))
    people = (replace(agreeing[0], vote_skill=-0.5), *agreeing[1:])
    said = "1 of 4 people says the opposite of those who ranked the same pages"
    assert summary(replace(result, people=people)).startswith(said)


def test_a_group_whose_answers_count_for_chance_is_told():
    result = made_result()
    people = tuple(
        replace(one, nbt_skill=0.1 if one.group == "Mexico" else 0.8) for one in result.people
    )
    said = "takes most answers of people of Mexico for chance"
    assert said in summary(replace(result, people=people))
    people = tuple(replace(one, nbt_skill=0.8) for one in people)
    assert "for chance" not in summary(replace(result, people=people))


def test_what_chance_alone_can_explain_is_told_below_an_order():
    result = made_result()
    sure = dict.fromkeys(result.slice().win_rates, Estimate(0.7, 0.6, 0.8))
    for rates, said in (
        (sure, None),
        (sure | {("+M", "SD"): Estimate(0.6, 0.4, 0.8)}, "Chance alone can explain: +M before SD"),
    ):
        whole = replace(result.slice(), win_rates=rates)
        lines = block(summary(replace(result, slices=(whole,))), "All questions")
        found = [line.strip() for line in lines if "Chance" in line]
        assert found == ([said] if said else [])


def test_long_names_are_short_in_tables_and_told_once():
    names = tuple(f"stable-diffusion-v1-5-step-{at}000-fp16.safetensors" for at in (1, 2))
    text = summary(made_result(models=names, groups={"a": 2}))
    assert "\u20261000\u2026 > \u20262000\u2026" in text
    assert f"\u20261000\u2026 is {names[0]}" in text
    text = summary(made_result(models=("a" * 300, "b" * 300), groups={"a": 2}))
    tables = text[text.index("\nAll questions") :]
    assert max(map(len, tables.split("\n"))) < 160


def test_how_few_people_a_group_has_is_told():
    text = summary(made_result(groups={"a": 10, "b": 9}))
    assert "Fewer than 10 people: b; the next answers may change what they say" in text
    assert "Fewer" not in summary(made_result(groups={"a": 10}))
