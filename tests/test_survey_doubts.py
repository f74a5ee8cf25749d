"""What the report says of how far to trust it."""

import dataclasses

from made_survey_results import made_result

from scoft_training.survey_document import Boxed, Folded, Listing, Table, Words
from scoft_training.survey_doubts import doubts_chapters


def parts_of(result, name):
    return next((one.parts for one in doubts_chapters(result) if one.name == name), None)


def texts(parts):
    found = [part.text for part in parts if isinstance(part, Words)]
    found += [text for part in parts if isinstance(part, Boxed) for text in part.sentences]
    return found + [
        f"{name}: {text}"
        for part in parts
        if isinstance(part, Listing)
        for name, text in part.entries
    ]


def with_places(result, p_value):
    moved = [
        dataclasses.replace(one, average_ranks=(2.1, 2.5, 2.6, 2.8), p_value=p)
        for one, p in zip(result.position_bias, (p_value, 1, 1, 1, 1), strict=True)
    ]
    return dataclasses.replace(result, position_bias=tuple(moved))


def test_places_that_moved_the_ranks_are_told_with_best_and_worst():
    said = texts(parts_of(with_places(made_result(), 0.004), "places"))
    assert (
        "All questions: pictures at place 1 got rank 2.10 in the mean, those at place 4 rank 2.80 "
        "(p = 0.004)."
    ) in said
    assert sum("got rank" in one for one in said) == 1


def test_places_that_moved_nothing_are_told_so_and_unknown_ones_too():
    said = texts(parts_of(with_places(made_result(), 0.06), "places"))
    assert said[0].startswith("No sign of it")
    assert "p = 0.06 or more" in said[0]
    unknown = parts_of(dataclasses.replace(made_result(), position_bias=()), "places")
    assert "cannot be told" in texts(unknown)[0]


def test_who_contradicts_the_others_may_be_a_minority():
    result = made_result(groups={"Korea": 4})
    skills = (0.5, -0.3, None, 1.0)
    people = [
        dataclasses.replace(one, vote_skill=skill, flags=())
        for one, skill in zip(result.people, skills, strict=True)
    ]
    parts = parts_of(dataclasses.replace(result, people=tuple(people)), "persons")
    (listing,) = (part for part in parts if isinstance(part, Listing))
    assert listing.entries == [
        (
            "person 2 (Korea)",
            "Says the opposite of the others more often than the same (weight -0.30).",
        )
    ]
    assert any("That may be the view of a minority, and no error" in one for one in texts(parts))
    (folded,) = (part for part in parts if isinstance(part, Folded))
    assert [row[0] for row in folded.parts[0].rows] == [one.name for one in people]


def test_many_people_to_look_at_are_all_named_most_of_them_when_asked():
    result = made_result(groups={"Korea": 20})
    people = tuple(dataclasses.replace(one, flags=("why.", "because")) for one in result.people)
    parts = parts_of(dataclasses.replace(result, people=people), "persons")
    (listing,) = (part for part in parts if isinstance(part, Listing))
    more = next(part for part in parts if isinstance(part, Folded))
    named = [*listing.entries, *more.parts[0].entries]
    assert len(listing.entries) == 12
    assert [name for name, _ in named] == [f"{one.name} (Korea)" for one in people]
    assert named[0][1].startswith("why. because.")


def test_nobody_odd_is_said_too():
    result = made_result(groups={"Korea": 2})
    people = tuple(dataclasses.replace(one, flags=(), vote_skill=None) for one in result.people)
    said = texts(parts_of(dataclasses.replace(result, people=people), "persons"))
    assert said[0] == "Nobody's answers look odd."
    assert not any("minority" in one for one in said)


def test_groups_that_share_no_page_are_not_compared():
    result = made_result(groups={"a": 2, "b": 2})
    apart = tuple(
        tuple(share if one // 2 == other // 2 else None for other, share in enumerate(row))
        for one, row in enumerate(result.agreement)
    )
    said = texts(parts_of(dataclasses.replace(result, agreement=apart), "agreement"))
    assert any("ranked no page in common" in one for one in said)
    assert not any("in common" in one for one in texts(parts_of(result, "agreement")))


def test_crowd_kit_is_told_of_only_where_it_was_asked():
    result = made_result(groups={"a": 3})
    (table,) = (part for part in parts_of(result, "crowd-kit") if isinstance(part, Table))
    assert table.rows[0][:3] == ("MMSR", "everyone", "Description and Image Alignment")
    assert table.rows[0][5] == result.differences[0].sentence
    same = dataclasses.replace(result, differences=())
    assert texts(parts_of(same, "crowd-kit"))[0].startswith("Nowhere")
    assert parts_of(dataclasses.replace(same, settings={"engine": "scoft"}), "crowd-kit") is None


def test_without_findings_there_is_no_chapter_of_them():
    assert parts_of(made_result(groups={"a": 2}, findings=()), "findings") is None
