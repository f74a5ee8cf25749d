"""answers.csv, made by us or by hand: what counts, what is left out, and by which sentence."""

import dataclasses

import numpy as np
import pytest
from made_answers import made_survey

from scoft_training.answer_records import competition_ranks, in_order, ranking_fault, who_of
from scoft_training.errors import SurveyError
from scoft_training.survey_answers import Answer, read_answers, write_answers

HEAD = "participant,page,item,model,rank"


def read(tmp_path, *lines, head=HEAD):
    path = tmp_path / "hand.csv"
    path.write_text("\n".join((head, *lines)) + "\n", encoding="utf-8")
    return read_answers(path)


def ranking(ranks, participant="p1", page="1", item="alignment", models="ABCD"):
    return [f"{participant},{page},{item},{model},{rank}" for model, rank in zip(models, ranks)]  # noqa: B905


@pytest.mark.parametrize("ties", [0.0, 0.4])
def test_what_is_written_is_read_again(tmp_path, ties):
    answers = made_survey(ties=ties).answers
    write_answers(tmp_path / "answers.csv", answers)
    assert read_answers(tmp_path / "answers.csv") == (in_order(answers), [])


def test_strangers_names_are_written_harmlessly_and_come_back(tmp_path):
    names = ["=HYPERLINK(1)", "+1", "-", "@x", "'s Hertogenbosch", 'a "b", c;d', "\uff1dx", "김"]
    answers = [
        Answer(name, name, name, "1", name, "alignment", model, place, place, 0.1 + 0.2)
        for name in names
        for place, model in enumerate(("SD", "+M", "=MP"), start=1)
    ]
    path = tmp_path / "answers.csv"
    write_answers(path, answers)
    for line in path.read_text(encoding="utf-8-sig").splitlines()[1:]:
        assert not any(cell.strip('"').startswith(tuple("=+-@\uff1d")) for cell in line.split(","))
    found, _ = read_answers(path)
    assert found == in_order(
        # One page name in many cultures is many pages, unless they say the same prompt.
        dataclasses.replace(one, page=f"1 ({one.culture})")
        for one in answers
    )


def test_five_columns_are_enough_and_others_are_passed_over(tmp_path):
    head = "note,Rank,MODEL,item,page,participant,note"
    lines = ["x,2,B,Cultural Representation,1,p1,=1+1", ",1.0,A,REPRESENTATION,1,p1,"]
    answers, findings = read(tmp_path, *lines, head=head)
    assert findings == []
    assert [(one.item, one.model, one.rank) for one in answers] == [
        ("representation", "A", 1),
        ("representation", "B", 2),
    ]
    assert {
        (one.culture, one.country, one.prompt, one.position, one.seconds) for one in answers
    } == {("", "", "", None, None)}


def test_the_order_of_lines_changes_nothing(tmp_path):
    lines = [*ranking("1224"), *ranking("1134", "p2"), *ranking("4321", "p1", "2")]
    first = read(tmp_path, *lines)
    for seed in range(5):
        assert read(tmp_path, *np.random.default_rng(seed).permutation(lines)) == first


@pytest.mark.parametrize("ranks", ["1234", "4321", "1224", "1134", "1133", "1114", "1111", "2113"])
def test_possible_ranks(tmp_path, ranks):
    answers, findings = read(tmp_path, *ranking(ranks))
    if ranks == "2113":
        assert not answers
        assert "Write 1-1-3-4" in findings[0].sentence
    else:
        assert [one.rank for one in answers] == list(map(int, ranks))
        assert not findings


@pytest.mark.parametrize(
    ("ranks", "line", "sentence"),
    [
        (["1", "1", "2", "3"], 2, "1-1-2-3 are no ranks of 4 pictures"),
        (["1", "2", "3", "5"], 2, "The rank 5 of 'D' is none of 1 to 4"),
        (["0", "1", "2", "3"], 2, "The rank '0' is no whole number from 1"),
        (["1", "2", "2.5", "4"], 4, "The rank '2.5' is no whole number"),
        (["1", "2", "3", "x"], 5, "The rank 'x' is no whole number"),
        (["1", "-2", "3", "4"], 3, "The rank '-2' is no whole number"),
        (["1", "2", "nan", "4"], 4, "The rank 'nan' is no whole number"),
        (["1", "2", "", "4"], 4, "The rank of 'C' is missing"),
        (["1"], 2, "It ranks one picture alone"),
    ],
)
def test_an_impossible_ranking_is_left_out_alone(tmp_path, ranks, line, sentence):
    answers, findings = read(tmp_path, *ranking(ranks), *ranking("1234", "p2"))
    assert {one.participant for one in answers} == {"p2"}
    (finding,) = findings
    assert (finding.kind, finding.where) == ("left out", f"hand.csv, line {line}")
    assert finding.sentence.startswith(sentence)
    assert finding.sentence.endswith("p1, page 1, alignment, does not count so.")


def test_a_ranking_without_any_rank_was_not_answered(tmp_path):
    answers, findings = read(tmp_path, *ranking(["", "", "", ""]), *ranking("1234", "p2"))
    assert {one.participant for one in answers} == {"p2"}
    assert findings == []


def test_a_line_without_a_name_or_with_an_unknown_item_is_told(tmp_path):
    lines = [",1,alignment,A,1", "p1,,alignment,A,1", "p1,1,alignmnt,A,1", "p1,1,,A,1", "p1,1,x"]
    answers, findings = read(tmp_path, *lines, *ranking("1234", "p2"))
    assert {one.participant for one in answers} == {"p2"}
    told = {one.where: one.sentence for one in findings}
    assert told["hand.csv, line 2"] == "`participant` is empty. Write it, or remove the line."
    assert told["hand.csv, line 3"] == "`page` is empty. Write it, or remove the line."
    assert "Did you mean 'alignment'?" in told["hand.csv, line 4"]
    assert told["hand.csv, line 5"].startswith("`item` is empty.")
    assert told["hand.csv, line 6"].startswith("`model` is empty.")


def test_a_picture_twice_counts_once_if_it_says_the_same(tmp_path):
    answers, findings = read(tmp_path, *ranking("1234"), "p1,1,alignment,B,2")
    assert [one.rank for one in answers] == [1, 2, 3, 4]
    assert [(one.where, one.sentence) for one in findings] == [
        ("hand.csv, line 6", "It repeats line 3, and counts once. Nothing has to be done.")
    ]
    answers, findings = read(tmp_path, *ranking("1234"), "p1,1,alignment,B,3")
    assert not answers
    assert findings[0].where == "hand.csv, line 6"
    assert "another rank than in line 3" in findings[0].sentence


def test_one_misspelt_model_does_not_spoil_the_page_for_the_others(tmp_path):
    lines = [*ranking("1234"), *ranking("4321", "p2"), *ranking("1234", "p3", models="ABCd")]
    answers, findings = read(tmp_path, *lines)
    assert {one.participant for one in answers} == {"p1", "p2"}
    assert findings[0].where == "hand.csv, line 10"
    assert "Unknown model of this page 'd'. Use one of A, B, C, D." in findings[0].sentence
    answers, findings = read(tmp_path, *lines[:8], *ranking("123", "p3"))
    assert {one.participant for one in answers} == {"p1", "p2"}
    assert "'D', which the page shows too, is missing" in findings[0].sentence


def test_of_two_sets_as_frequent_the_models_of_the_other_pages_are_right(tmp_path):
    lines = [*ranking("1234", models="ABCd"), *ranking("1234", "p2"), *ranking("1234", "p1", "2")]
    answers, _ = read(tmp_path, *lines)
    assert {(one.participant, one.page) for one in answers} == {("p2", "1"), ("p1", "2")}


def test_pages_may_show_different_numbers_of_models(tmp_path):
    answers, findings = read(tmp_path, *ranking("1234"), *ranking("132", page="2"))
    assert len(answers) == 7
    assert not findings


def test_a_number_in_two_cultures_is_two_people_and_two_pages(tmp_path):
    head = f"{HEAD},culture"
    korea = [f"{line},Korea" for line in ranking("1234", "7")]
    mexico = [f"{line},Mexico" for line in ranking("4321", "7")]
    answers, findings = read(tmp_path, *korea, *mexico, head=head)
    assert {(one.participant, one.page) for one in answers} == {
        ("7 (Korea)", "1 (Korea)"),
        ("7 (Mexico)", "1 (Mexico)"),
    }
    assert [(one.kind, one.where) for one in findings] == [
        ("flagged", "participant 7"),
        ("flagged", "page 1"),
    ]
    assert "7 (Korea), 7 (Mexico)" in findings[0].sentence
    with_prompt = [f"{line},a market" for line in korea + mexico]
    answers, findings = read(tmp_path, *with_prompt, head=f"{head},prompt")
    assert {one.page for one in answers} == {"1"}
    assert [one.where for one in findings] == ["participant 7"]


def test_many_names_are_told_in_one_sentence(tmp_path):
    lines = [
        f"{line},{culture}"
        for culture in ("Korea", "")
        for number in range(5)
        for line in ranking("1234", f"{number}", f"{number}")
    ]
    # Lines without a culture are their participant's, unless that has lines of two.
    lines += [f"{line},Mexico" for number in range(5) for line in ranking("1234", number, number)]
    _, findings = read(tmp_path, *lines, head=f"{HEAD},culture")
    assert [one.where for one in findings] == [
        "participant 0, 1, 2 and 2 more",
        "page 0, 1, 2 and 2 more",
    ]
    assert "0 (Korea), 0 (Mexico), 0 (no culture)" in findings[0].sentence
    assert "(no culture, Korea, Mexico)" in findings[1].sentence


def test_a_country_tells_people_apart_too_and_names_stay_unique(tmp_path):
    head = f"{HEAD},country"
    lines = [f"{line},KR" for line in ranking("1234", "7")]
    lines += [f"{line},MX" for line in ranking("1234", "7")]
    lines += [f"{line},MX" for line in ranking("1234", "7 (KR)")]
    answers, _ = read(tmp_path, *lines, head=head)
    assert {who_of(one)[0] for one in answers} == {"7 (KR)", "7 (KR)'", "7 (MX)"}


def test_culture_and_country_need_to_be_written_once_only(tmp_path):
    head = f"{HEAD},culture,country"
    lines = ranking("1234")
    lines[1] += ",Korea,KR"
    answers, findings = read(tmp_path, *lines, *ranking("1234", "p2", "2"), head=head)
    assert {(one.participant, one.culture, one.country) for one in answers} == {
        ("p1", "Korea", "KR"),
        ("p2", "", ""),
    }
    assert not findings


def test_a_country_in_other_letters_or_spaces_is_the_same_one(tmp_path):
    head = f"{HEAD},culture,country"
    lines = [f"{line},Korea,South Korea" for line in ranking("1234", "p1")]
    lines[1] = lines[1].replace("South Korea", "south  korea")
    lines += [f"{line},KOREA,South Korea" for line in ranking("1234", "p2")[:2]]
    lines += [f"{line},Korea," for line in ranking("1234", "p2")[2:]]
    answers, findings = read(tmp_path, *lines, head=head)
    assert {(one.participant, one.culture, one.country) for one in answers} == {
        ("p1", "Korea", "South Korea"),
        ("p2", "Korea", "South Korea"),
    }
    assert len(answers) == 8
    assert [(one.kind, one.where) for one in findings] == [
        ("flagged", "hand.csv, culture KOREA"),
        ("flagged", "hand.csv, country south  korea"),
    ]
    assert "It is read as 'Korea', as it is written elsewhere." in findings[0].sentence


def test_a_page_with_several_prompts_counts_as_one_and_that_is_told(tmp_path):
    lines = [f"{line},a market" for line in ranking("1234")]
    lines += [f"{line},a harbour" for line in ranking("1234", "p2")]
    lines += [f"{line}," for line in ranking("1234", "p3")]
    answers, findings = read(tmp_path, *lines, head=f"{HEAD},prompt")
    assert {one.page for one in answers} == {"1"}
    assert [(one.kind, one.where) for one in findings] == [("flagged", "page 1")]
    assert "'a harbour' and 'a market', and counts as one page" in findings[0].sentence
    assert read(tmp_path, *lines[:4], *lines[8:], head=f"{HEAD},prompt")[1] == []


def test_sentences_stay_short_whatever_stands_in_a_cell(tmp_path):
    long = "x" * 5000
    lines = [
        f"{long},{long},alignment,A,{long}",
        f"p,1,{long},A,1",
        f"q,1,alignment,{long},1",
        f"q,1,alignment,{long},2",
        *ranking("12", "r", long),
        *ranking("11", "r2", long),
        f"r3,{long},alignment,{long},1",
        f"r3,{long},alignment,A,2",
    ]
    _, findings = read(tmp_path, *lines)
    assert len(findings) == 4
    assert max(len(one.sentence) for one in findings) < 400


def test_places_count_only_if_they_are_one_each(tmp_path):
    head = f"{HEAD},position,seconds"
    good = [
        f"{line},{place},7.5" for line, place in zip(ranking("1234"), (4, 2, 1, 3), strict=True)
    ]
    bad = [f"{line},1,soon" for line in ranking("1234", "p2")]
    answers, findings = read(tmp_path, *good, *bad, head=head)
    assert [(one.position, one.seconds) for one in answers] == [
        *((place, 7.5) for place in (4, 2, 1, 3)),
        *[(None, None)] * 4,
    ]
    assert [(one.kind, one.where) for one in findings] == [("flagged", "hand.csv, line 6")]
    assert "nor in 3 further lines" in findings[0].sentence


def test_a_table_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(SurveyError, match="there is no column `model`"):
        read(tmp_path, head="participant,page,item,rank")
    with pytest.raises(SurveyError, match="cannot be opened"):
        read_answers(tmp_path / "absent.csv")


def test_competition_ranks_by_hand():
    assert competition_ranks([2, 2, 1, 7, 7, 9]) == [2, 2, 1, 4, 4, 6]
    assert ranking_fault({"A": 1, "B": 2, "C": 2, "D": 4}) is None
    assert "Write 1-1-3-3" in ranking_fault({"A": 1, "B": 1, "C": 4, "D": 4})
