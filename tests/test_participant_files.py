"""What a participant sends back: what counts of it, and the sentence about what does not."""

import json
import re

import pytest
from made_answers import made_survey

from scoft_training.answer_records import in_order
from scoft_training.errors import SurveyError
from scoft_training.json_lines import parse_located
from scoft_training.participant_files import read_participant
from scoft_training.survey_key import ITEMS

NAME = "answers-Korea-1a2b3c4d.json"
SURVEY = made_survey(cultures={"Korea": 1, "Mexico": 1}, pages=2)
KEY = SURVEY.key
WHOLE = 2 * 4 * 4


def file_with(**values):
    return SURVEY.file_of(0) | values


def read(file, **settings):
    text = file if isinstance(file, str) else json.dumps(file, **({"indent": 1} | settings))
    return read_participant(text.encode("utf-8", "surrogatepass"), NAME, KEY)


def spoilt(change, **settings):
    """Return what is read of a file whose first page's first item was changed."""
    file = SURVEY.file_of(0)
    page = file["pages"][0]
    item = page["items"]["alignment"]
    change(file=file, page=page, item=item, ranks=item["ranks"])
    return read(file, **settings)


@pytest.mark.parametrize("person", [0, 1])
def test_a_whole_file_gives_everything_that_was_answered(person):
    sheet = read(SURVEY.file_of(person))
    own = [one for one in SURVEY.answers if one.participant == SURVEY.people[person]]
    assert in_order(sheet.answers) == in_order(own)
    assert not sheet.findings
    assert sheet.person.finished == SURVEY.file_of(person)["finished"]
    assert (sheet.person.years, sheet.person.language) == (20 + person, "en")


def test_what_people_wrote_is_kept_apart_from_the_answers():
    file = SURVEY.file_of(0)
    file["comment"] = " =1+1\r\nand\x1b[2J more "
    file["pages"][1]["comment"] = "예쁘다"
    file["pages"][0]["comment"] = " \n"
    pages = {page.page: page.prompt for page in KEY.pages}
    found = [(one.page, one.prompt, one.text) for one in read(file).comments]
    page = file["pages"][1]["page"]
    assert found == [(page, pages[page], "예쁘다"), ("", "", "=1+1\nand [2J more")]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", ", line 1: the file is empty"),
        ("no JSON", r", line 1: this is not valid JSON \(Expecting value, character 1\)"),
        ("[1]", ": this is JSON, but not the answers of a participant"),
        ("{}", ": this is JSON, but not the answers of a participant"),
        ('{"format": "x",\n "format": "y"}', ", line 1: 'format' stands twice in one object"),
        ('{"a":' * 100_000, ": this is nested too deeply"),
        ('{"a": 1' + "0" * 5000 + "}", ": this holds a number of thousands of digits"),
    ],
)
def test_what_is_no_such_file_is_refused(text, sentence):
    with pytest.raises(SurveyError, match=NAME + sentence):
        read(text)


def test_a_file_that_was_cut_off_is_told_wherever_it_ends():
    text = json.dumps(SURVEY.file_of(0), indent=1)
    for end in range(2, len(text) - 1, 7):
        line = 1 + text[:end].count("\n")
        with pytest.raises(SurveyError, match="line \\d+: the file ends in the middle") as error:
            read(text[:end])
        assert abs(int(re.search("line (\\d+)", str(error.value))[1]) - line) <= 1


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"format": "other"}, "not the answers of a participant"),
        ({"version": 2}, "it is of version 2, and 1 is read here"),
        ({"survey": "0" * 16}, f'it answers the survey "{"0" * 16}", and the key is that of'),
        ({"survey": None}, "it answers the survey null"),
        ({"consent": None}, "it does not say that the participant agreed"),
        ({"consent": {"agreed": False}}, "it does not say that the participant agreed"),
        ({"consent": {"agreed": "true"}}, "it does not say that the participant agreed"),
        ({"consent": [True]}, "it does not say that the participant agreed"),
        ({"participant": ""}, "`participant` is missing"),
        ({"participant": 7}, "`participant` is missing"),
        ({"culture": "Koera"}, "Unknown culture of the survey 'Koera'.*Did you mean 'Korea'"),
        ({"pages": {}}, "`pages` is no list"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused(values, sentence):
    with pytest.raises(SurveyError, match=f"{NAME}: .*{sentence}"):
        read(file_with(**values))


@pytest.mark.parametrize("values", [{"declared": None}, {"declared": [1]}, {"page_order": 3}])
def test_what_is_only_told_beside_the_ranks_may_be_of_any_kind(values):
    values |= {"finished": 12, "started": "yesterday", "language": None, "comment": {}}
    sheet = read(file_with(**values))
    assert len(sheet.answers) == WHOLE
    assert (sheet.person.finished, sheet.person.started, sheet.person.language) == ("", "", "")


@pytest.mark.parametrize(("said", "years"), [(7.5, 7.5), (0, 0), (-1, None), (999, None)])
@pytest.mark.parametrize("literal", [None, "NaN", "Infinity", "1e999", "true", '"7"'])
def test_years_are_a_number_that_can_be(said, years, literal):
    file = file_with(declared={"culture": " 한국\u202e ", "country": "x" * 999, "years": said})
    text = json.dumps(file)
    if literal is not None:
        text, years = text.replace(f'"years": {said}', f'"years": {literal}'), None
    person = read(text).person
    assert (person.declared_culture, len(person.country), person.years) == ("한국", 200, years)


def test_a_rank_may_be_written_in_any_way_that_means_it():
    def change(ranks, **_):
        for picture, rank in list(ranks.items()):
            ranks[picture] = {1: 1.0, 2: "2", 3: 3, 4: "4.0"}[rank]

    assert in_order(spoilt(change).answers) == in_order(read(SURVEY.file_of(0)).answers)


def picture(ranks, at=0):
    return list(ranks)[at]


CHANGES = {
    "a rank of another kind": (
        lambda ranks, **_: ranks.update({picture(ranks): True}),
        "The rank true of '[0-9a-f]{8}' is no whole number",
    ),
    "half a rank": (lambda ranks, **_: ranks.update({picture(ranks): 1.5}), "The rank 1.5 of"),
    "no number": (
        lambda ranks, **_: ranks.update({picture(ranks): float("nan")}),
        "The rank NaN of",
    ),
    "a list": (lambda ranks, **_: ranks.update({picture(ranks): [1]}), "The rank \\[1\\] of"),
    "rank 0": (lambda ranks, **_: ranks.update({picture(ranks): 0}), "The rank 0 of"),
    "rank 5": (lambda ranks, **_: ranks.update({picture(ranks): 5}), "The rank 5 of"),
    "a rank of many digits": (
        lambda ranks, **_: ranks.update({picture(ranks): 10**400}),
        "The rank 100000000000000000000000000000000000000… of '[0-9a-f]{8}' is no whole number",
    ),
    "a rank beyond all numbers": (
        lambda ranks, **_: ranks.update({picture(ranks): float("inf")}),
        "The rank Infinity of '[0-9a-f]{8}' is no whole number of 1 to 4",
    ),
    "a rank that is absent": (
        lambda ranks, **_: ranks.pop(picture(ranks)),
        "It ranks 3 of 4 pictures only",
    ),
    "an empty rank": (
        lambda ranks, **_: ranks.update({picture(ranks): None}),
        "It ranks 3 of 4 pictures only",
    ),
    "a picture of another page": (
        lambda file, ranks, **_: ranks.update({file["pages"][1]["order"][0]: 1}),
        "The picture '[0-9a-f]{8}' is none of the page's",
    ),
    "a gap": (
        lambda ranks, **_: ranks.update(dict(zip(ranks, (1, 1, 2, 3), strict=True))),
        "1-1-2-3 are no ranks of 4 pictures.*Write 1-1-3-4",
    ),
    "no ranks": (lambda item, **_: item.pop("ranks"), "There are no `ranks`"),
    "ranks as a list": (lambda item, **_: item.update(ranks=[1, 2, 3, 4]), "There are no `ranks`"),
    "an item as a list": (
        lambda page, **_: page["items"].update(alignment=[1]),
        "There are no `ranks`",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_ranking_with_a_fault_is_left_out_alone_and_told_by_its_line(name):
    change, sentence = CHANGES[name]
    sheet = spoilt(change)
    assert len(sheet.answers) == WHOLE - 4
    (finding,) = sheet.findings
    assert finding.kind == "left out"
    assert re.match(sentence, finding.sentence)
    page = SURVEY.file_of(0)["pages"][0]["page"]
    assert finding.sentence.endswith(f"Page {page}, alignment, does not count so.")
    # One line of JSON tells nothing; then it is the page's number alone.
    assert finding.where.endswith("page 1")
    (finding,) = spoilt(change, indent=None).findings
    assert finding.where == f"{NAME}, page 1"


def test_the_line_that_is_told_is_the_line_of_the_ranks():
    sheet = spoilt(CHANGES["rank 5"][0])
    file = SURVEY.file_of(0)
    CHANGES["rank 5"][0](ranks=file["pages"][0]["items"]["alignment"]["ranks"])
    lines = json.dumps(file, indent=1).split("\n")
    line = 1 + next(at for at, text in enumerate(lines) if '"ranks"' in text)
    assert sheet.findings[0].where == f"{NAME}, line {line}, page 1"


def test_objects_know_their_lines_whatever_stands_in_the_texts_between():
    text = '{"a": "{\\"}\\\\",\n "b": [{},\n {"c": {"d": "}{"}}],\n "e":\n {}}'
    found = parse_located(text, where="x")
    assert [found.line, *(one.line for one in found["b"])] == [1, 2, 3]
    assert (found["b"][1]["c"].line, found["e"].line) == (3, 5)


def test_many_open_quotation_marks_are_refused_at_once():
    with pytest.raises(SurveyError, match="not valid JSON|ends in the middle"):
        parse_located('{"a": "' + '\\"' * 2_000_000, where="x")


PAGES = {
    "unknown": (lambda page, **_: page.update(page="00000000"), "The page '00000000' is none"),
    "nameless": (lambda page, **_: page.pop("page"), "The page '' is none of the survey's"),
    "no object": (lambda file, **_: file["pages"].insert(0, 7), "The page '' is none of"),
    "another culture's": (
        lambda page, **_: page.update(page=KEY.pages[-1].page),
        "The page [0-9a-f]{8} is one of Mexico, the file of Korea",
    ),
    "no items": (lambda page, **_: page.update(items=None), "The page [0-9a-f]{8} has no `items`"),
    "twice": (
        lambda file, page, **_: file["pages"].append(dict(page)),
        "The page [0-9a-f]{8} stands here a second time",
    ),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_cannot_count_is_told_and_the_others_count(name):
    change, sentence = PAGES[name]
    sheet = spoilt(change)
    (finding, *rest) = sheet.findings
    assert re.match(sentence, finding.sentence)
    assert len(sheet.answers) == (WHOLE if name in ("no object", "twice") else WHOLE // 2)
    assert finding.where.endswith("page 3" if name == "twice" else "page 1")
    assert [one.sentence[:40] for one in rest] == (
        [] if len(sheet.answers) == WHOLE else ["4 of 8 rankings are not answered, 1 of 2"]
    )


def test_an_unknown_item_is_told():
    sheet = spoilt(lambda page, **_: page["items"].update(beauty={"ranks": {"x": 1}}))
    assert len(sheet.answers) == WHOLE
    assert "Unknown item 'beauty'. Use one of alignment" in sheet.findings[0].sentence


def test_half_filled_files_count_for_what_they_hold():
    file = file_with(finished=None)
    del file["pages"][1]
    items = file["pages"][0]["items"]
    items["offensiveness"]["ranks"] = {}
    items["stereotypes"]["ranks"] = dict.fromkeys(items["stereotypes"]["ranks"])
    items["alignment"]["ranks"].popitem()
    sheet = read(file)
    assert {one.item for one in sheet.answers} == {"representation"}
    assert [one.sentence[:56] for one in sheet.findings] == [
        "It ranks 3 of 4 pictures only. Page " + file["pages"][0]["page"] + ", alignment,"[:12],
        "6 of 8 rankings are not answered, 2 of 2 pages not compl",
    ]


def test_an_order_that_cannot_be_leaves_the_places_open():
    for order in (None, [], ["x"] * 4, [1, 2, 3, 4], [["a"]]):
        sheet = spoilt(lambda page, order=order, **_: page.update(order=order))
        assert len(sheet.answers) == WHOLE
        assert sum(one.position is None for one in sheet.answers) == WHOLE // 2
        assert [one.kind for one in sheet.findings] == ["flagged"]
        assert "`order` does not hold the pictures" in sheet.findings[0].sentence


@pytest.mark.parametrize("seconds", [None, "7", -1, float("inf"), True, 10**400])
def test_a_time_that_cannot_be_is_not_known(seconds):
    sheet = spoilt(lambda item, **_: item.update(seconds=seconds))
    first = [one for one in sheet.answers if one.seconds is None]
    assert len(first) == 4
    assert {one.item for one in first} == {"alignment"}


def test_the_digest_tells_a_doubled_file_however_it_is_laid_out():
    file = SURVEY.file_of(0)
    assert read(file).digest == read(file, indent=None).digest
    assert read(file).digest != read(file_with(comment="!")).digest
    bom = b"\xef\xbb\xbf" + json.dumps(file).replace(", ", ",\r\n").encode()
    assert read_participant(bom, NAME, KEY).digest == read(file).digest


def test_a_culture_of_many_letters_is_the_keys():
    survey = made_survey(cultures={"k" * 300: 1}, pages=1)
    sheet = read_participant(json.dumps(survey.file_of(0)).encode(), NAME, survey.key)
    assert {one.culture for one in sheet.answers} == {"k" * 300}


def test_bytes_that_are_no_text_are_told_as_damage():
    with pytest.raises(SurveyError, match=f"{NAME}: this is no text .* Ask for the file anew"):
        read_participant(bytes(range(256)) * 8, NAME, KEY)
    file = file_with(comment="예쁘다, 서울에서 본 것과 같다")
    text = json.dumps(file, indent=1, ensure_ascii=False).encode()
    at = text.index("예".encode())
    line = 1 + text[:at].count(b"\n")
    with pytest.raises(SurveyError, match=f"{NAME}, line {line}: this is no text"):
        read_participant(text[: at + 1] + text[at + 2 :], NAME, KEY)


def test_an_encoding_that_an_editor_changed_is_told_since_words_may_be_wrong():
    file = file_with(comment="시장이 정말 예쁘다, 서울에서 본 것과 같다")
    text = json.dumps(file, ensure_ascii=False)
    sheet = read_participant(text.encode("cp949"), NAME, KEY)
    assert sheet.comments[0].text == file["comment"]
    (finding,) = sheet.findings
    assert (finding.kind, finding.where) == ("flagged", NAME)
    assert "was read as cp949, a guess" in finding.sentence
    assert not read_participant(text.encode("utf-16"), NAME, KEY).findings


def test_half_characters_do_not_stop_anything():
    sheet = read(file_with(comment="\ud800!", declared={"culture": "\udfffx", "country": "y"}))
    assert sheet.comments[0].text == "!"
    assert sheet.person.declared_culture == "x"


def test_all_items_are_read():
    assert {one.item for one in read(SURVEY.file_of(0)).answers} == set(ITEMS)
