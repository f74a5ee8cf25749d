"""The analysis puts numbers where they belong, whatever the answers lack."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from made_answers import made_survey

from scoft_training import survey_analysis
from scoft_training.errors import ConfigError, SurveyError
from scoft_training.events import PhaseEvent, StopRequested
from scoft_training.survey_analysis import analyse
from scoft_training.survey_config import SurveyAnalysisConfig
from scoft_training.survey_key import ITEMS
from scoft_training.survey_records import Difference, Finding
from scoft_training.survey_report import report_text
from scoft_training.survey_results import result_from_json, result_to_json
from scoft_training.survey_summary import summary

CONFIG = SurveyAnalysisConfig(resamples=100)
REVERSED = {
    "Korea": (-1.5, -0.5, 0.5, 1.5),
    "Mexico": (-1.5, -0.5, 0.5, 1.5),
    "나이지리아": (1.5, 0.5, -0.5, -1.5),
}


def analysed(answers, config=CONFIG, findings=(), **others):
    made = []

    def events():
        made.append((yield from analyse(answers, findings, config, **others)))

    list(events())
    # Whatever is analysed can be written down, and is the same when read again.
    assert result_from_json(result_to_json(made[0]), where="here") == made[0]
    return made[0]


@pytest.fixture(scope="module")
def survey():
    return made_survey(strengths=REVERSED, ties=0.15, seed=3)


@pytest.fixture(scope="module")
def result(survey):
    return analysed(survey.answers)


def chosen(survey, group, item):
    return [
        one for one in survey.answers if group in (None, one.culture) and item in (None, one.item)
    ]


def ranks_of_rankings(answers):
    """{(participant, page, item): {model: rank}}, by plain loops."""
    found = {}
    for one in answers:
        found.setdefault((one.participant, one.page, one.item), {})[one.model] = one.rank
    return found


def test_there_is_a_slice_of_everything_each_item_each_group_and_both(survey, result):
    groups = sorted(survey.cultures)
    assert [(one.group, one.item) for one in result.slices] == [
        (None, None),
        *((None, item) for item in ITEMS),
        *((group, None) for group in groups),
        *itertools.product(groups, ITEMS),
    ]
    assert result.groups == tuple(groups)
    assert result.items == ITEMS


def test_figures_are_those_of_the_slice_counted_by_plain_loops(survey, result):
    for part in result.slices:
        rankings = list(ranks_of_rankings(chosen(survey, part.group, part.item)).values())
        assert part.rankings == len(rankings)
        assert part.comparisons == 6 * len(rankings)
        pairs = [pair for one in rankings for pair in itertools.combinations(one.values(), 2)]
        assert part.ties == sum(one == other for one, other in pairs)
        for one in part.models:
            ranks = [ranking[one.model] for ranking in rankings]
            assert one.average_rank.mean == pytest.approx(np.mean(ranks), abs=1e-12)
            assert one.first_share.mean == pytest.approx(np.mean(np.equal(ranks, 1)), abs=1e-12)
            assert one.rank_counts == tuple(ranks.count(rank) for rank in (1, 2, 3, 4))
        for (row, column), rate in part.win_rates.items():
            won = [np.sign(one[column] - one[row]) for one in rankings]
            assert rate.mean == pytest.approx(np.mean(won) / 2 + 0.5, abs=1e-12)
        for (row, column), difference in part.rank_differences.items():
            ranks = [one[row] - one[column] for one in rankings]
            assert difference.mean == pytest.approx(np.mean(ranks), abs=1e-12)
        assert len(part.win_rates) == len(part.rank_differences) == 12


def test_models_stand_in_the_order_of_everything_and_slices_have_their_own(result):
    averages = [one.average_rank.mean for one in result.slices[0].models]
    assert averages == sorted(averages)
    assert {tuple(one.model for one in part.models) for part in result.slices} == {result.models}
    assert result.slice("Korea").average_order[0] == ("+MPC",)
    assert result.slice("나이지리아").average_order[0] == ("SD",)
    for part in (result.slice("Korea"), result.slice("나이지리아")):
        assert part.average_order[0] == part.nbt_order[0] == part.vote_order[0]
        best = max(part.models, key=lambda one: one.nbt_score.mean)
        assert (best.model,) == part.nbt_order[0]
        assert best.vote_wins == max(one.vote_wins for one in part.models)


def test_planted_disagreement_is_found_and_named(result):
    whole = result.disagreements[0]
    assert whole.item is None
    assert whole.disagree
    assert whole.winners["나이지리아"] == ("SD",)
    assert whole.winners["Korea"] == whole.winners["Mexico"] == ("+MPC",)


def test_intervals_hold_their_number_and_narrow_with_people(result):
    for part in result.slices:
        for one in part.models:
            for estimate in (one.average_rank, one.first_share, one.win_rate, one.nbt_score):
                assert estimate.low <= estimate.mean <= estimate.high
    korea, everybody = result.slice("Korea").models, result.slice("Korea", "alignment").models
    assert len(korea) == len(everybody)
    wide = [one.average_rank.high - one.average_rank.low for one in everybody]
    narrow = [one.average_rank.high - one.average_rank.low for one in korea]
    # Four items of the same people tell more than one.
    assert np.mean(narrow) < np.mean(wide)


def test_the_order_of_answers_does_not_matter(survey, result):
    shuffled = list(survey.answers)
    np.random.default_rng(1).shuffle(shuffled)
    assert analysed(shuffled) == result


def test_another_seed_moves_the_ends_alone(survey, result):
    other = analysed(survey.answers, replace(CONFIG, seed=1))
    one, same = other.slices[0].models[0], result.slices[0].models[0]
    assert one.average_rank.mean == same.average_rank.mean
    assert one.average_rank != same.average_rank


def test_people_have_their_group_flags_and_agreement_in_one_order(survey, result):
    assert sorted(one.name for one in result.people) == sorted(survey.people)
    groups = [one.group for one in result.people]
    assert groups == sorted(groups)
    by_name = {one.name: at for at, one in enumerate(result.people)}
    rankings = ranks_of_rankings(survey.answers)
    first, second = survey.people[:2]
    same = []
    for person, page, item in rankings:
        if person != first:
            continue
        mine, theirs = rankings[first, page, item], rankings[second, page, item]
        for a, b in itertools.combinations(mine, 2):
            signs = np.sign(mine[a] - mine[b]), np.sign(theirs[a] - theirs[b])
            same.append(1 - abs(signs[0] - signs[1]) / 2)
    share = result.agreement[by_name[first]][by_name[second]]
    assert share == pytest.approx(np.mean(same), abs=1e-12)
    assert all(row[at] is None for at, row in enumerate(result.agreement))
    # People of two cultures share no page.
    stranger = next(one.name for one in result.people if one.group == "나이지리아")
    assert result.agreement[by_name[first]][by_name[stranger]] is None
    flagged = analysed(survey.answers, flags={second: ("all pages alike",)})
    assert [one.name for one in flagged.people if one.flags == ("all pages alike",)] == [second]


def test_a_spammer_is_told_by_skill_and_bias():
    skills, biases = np.full(12, 0.95), np.full(12, 0.5)
    skills[4], biases[4] = 0.02, 0.97
    made = made_survey(cultures={"Korea": 12}, skills=skills, biases=biases, pages=8, seed=2)
    result = analysed(made.answers)
    (spammer,) = [one for one in result.people if one.name == made.people[4]]
    others = [one for one in result.people if one.name != made.people[4]]
    assert spammer.nbt_skill < min(one.nbt_skill for one in others)
    assert spammer.nbt_bias > 0.8
    assert spammer.vote_skill < min(one.vote_skill for one in others)


def test_findings_and_settings_are_handed_on(survey):
    finding = Finding("left out", "answers.csv, line 3", "There is no rank. Write one.")
    result = analysed(survey.answers, findings=(finding,))
    assert result.findings == (finding,)
    assert result.settings["resamples"] == 100
    assert result.settings["confidence"] == 0.95


def test_countries_make_groups_too(survey):
    result = analysed(survey.answers, replace(CONFIG, group_by="country"))
    assert result.group_by == "country"
    assert result.groups == tuple(sorted(f"Land of {one}" for one in survey.cultures))


def test_crowd_kit_is_asked_once_a_slice_and_only_where_it_is_wanted(survey, monkeypatch):
    asked = []

    def differences(compared, nbt, vote, *, group, item):
        asked.append((group, item))
        assert len(compared.left) == 6 * len(ranks_of_rankings(chosen(survey, group, item)))
        assert len(nbt.scores) == len(vote.wins) == 4
        return [Difference("MMSR", group, item, "a", "b", "It differs.")]

    monkeypatch.setattr(survey_analysis, "crowd_kit_differences", differences)
    assert analysed(survey.answers).differences == ()
    assert not asked
    result = analysed(survey.answers, replace(CONFIG, engine="crowd-kit"))
    assert asked == [(part.group, part.item) for part in result.slices]
    assert [(one.group, one.item) for one in result.differences] == asked


def test_one_person_has_no_intervals_no_agreement_and_no_model_of_people():
    made = made_survey(cultures={"Korea": 1}, pages=3)
    result = analysed(made.answers)
    assert result.disagreements == ()
    for part in result.slices:
        assert part.kendalls_w is None
        assert part.mean_spearman is None
        assert part.nbt_order == ()
        for one in part.models:
            assert one.nbt_score is None
            assert one.average_rank.low is None
        assert part.average_order
    (person,) = result.people
    assert (person.agreement, person.nbt_skill, person.nbt_bias) == (None, None, None)
    assert result.agreement == ((None,),)


def test_people_who_all_say_the_same_leave_a_strength_open():
    made = made_survey(cultures={"Korea": 5}, strengths=(0.0, 40.0, 80.0, 120.0), skills=1.0)
    part = analysed(made.answers).slice("Korea", "alignment")
    best, second, *_ = part.models
    assert (best.win_rate.mean, best.win_rate.high) == (1, 1)
    # No resample moves these; five people do not fix them all the same.
    assert best.nbt_score.low < best.nbt_score.mean - 0.1
    assert best.nbt_score.high > 0.99
    assert second.nbt_score.low < 0.5 < second.nbt_score.mean < 0.9 < second.nbt_score.high


def test_a_person_for_each_group_cannot_be_tested_but_is_told():
    made = made_survey(cultures={"Korea": 1, "Mexico": 1}, pages=2)
    result = analysed(made.answers)
    assert [one.p_value for one in result.disagreements] == [None] * 5
    assert all(one.sentence for one in result.disagreements)


def test_how_people_were_weighed_is_told_by_those_who_were_weighed_alike():
    made = made_survey(cultures={"Korea": 7, "Mexico": 6, "Fiji": 1, "Oman": 1}, pages=4, seed=2)
    result = analysed(made.answers)
    assert result.slice("Korea").vote_method == "MMSR"
    few = "Only one person compared these pictures; weighing people against each other takes"
    assert result.slice("Fiji").vote_method == f"1 person with equal weight: {few} 6 or more."
    assert result.slice().vote_method == (
        "MMSR for 13 people (in 2 groups that share no page); 2 people (in 2 groups that share no "
        f"page) with equal weight: {few} 6 or more."
    )


@pytest.mark.parametrize("people", [1, 4])
def test_where_all_is_tied_there_is_one_tier_and_no_vote(people):
    made = made_survey(cultures={"Korea": people}, pages=3)
    result = analysed([replace(one, rank=1) for one in made.answers])
    for part in result.slices:
        assert part.average_order == (tuple(sorted(result.models)),)
        assert part.ties == part.comparisons
        assert part.vote_order == ()
        assert part.vote_method == "nobody ranked one picture before another, so there is no vote"
        assert part.kendalls_w is None
        assert {one.vote_wins for one in part.models} == {None}
        assert {one.win_rate.mean for one in part.models} == {0.5}
        assert len(part.nbt_order) == (1 if people > 1 else 0)


def test_one_page_and_two_models_are_enough():
    made = made_survey(
        cultures={"Korea": 3}, models=("a", "b"), strengths=(0.0, 9.0), pages=1, skills=1.0
    )
    result = analysed(made.answers)
    assert result.models == ("b", "a")
    assert result.slices[0].kendalls_w == 1
    assert result.slices[0].win_rates["b", "a"].mean == 1


def test_missing_items_and_groups_make_no_slice(survey):
    answers = [
        one for one in survey.answers if one.culture != "Mexico" or one.item == "stereotypes"
    ]
    result = analysed(answers)
    assert result.slice("Mexico", "stereotypes") is not None
    assert result.slice("Mexico", "alignment") is None
    assert result.slice("Korea", "alignment") is not None
    one_item = analysed([one for one in survey.answers if one.item == "stereotypes"])
    assert one_item.items == ("stereotypes",)


def test_a_model_that_a_group_never_saw_is_absent_there(survey):
    kept = [one for one in survey.answers if one.culture != "Korea" or one.model != "+M"]
    ranked = ranks_of_rankings(kept)
    answers = [
        replace(
            one,
            rank=1
            + sum(rank < one.rank for rank in ranked[one.participant, one.page, one.item].values()),
        )
        for one in kept
    ]
    result = analysed(answers)
    assert {one.model for one in result.slice("Korea").models} == {"SD", "+MP", "+MPC"}
    assert "+M" not in itertools.chain(*result.slice("Korea").average_order)
    assert "+M" not in itertools.chain(*result.slice("Korea").vote_order)
    assert "+M" not in itertools.chain(*result.slice("Korea").nbt_order)
    assert len(result.slice("Korea").win_rates) == 6
    assert len(result.slice("Mexico").win_rates) == 12
    assert len(result.slice().models) == 4


def test_without_places_there_is_no_bias_to_tell(survey):
    result = analysed([replace(one, position=None) for one in survey.answers])
    assert result.position_bias == ()
    assert {one.nbt_bias for one in result.people} == {None}
    assert None not in {one.nbt_skill for one in result.people}


@pytest.mark.parametrize(
    "fields",
    [
        {"cultures": {"Korea": 1}, "pages": 1},
        {"cultures": {"Korea": 1, "Mexico": 1}, "pages": 1},
        {"cultures": {"Korea": 2}, "models": ("a", "b"), "strengths": (0, 1), "pages": 1},
        {"cultures": {"Korea": 3, "Mexico": 2}, "pages": 2, "ties": 1.0},
    ],
)
def test_few_answers_are_told_without_words_for_no_number(fields):
    answers = made_survey(**fields).answers
    for some in (answers, [replace(one, position=None, country="") for one in answers]):
        result = analysed(some)
        for text in (summary(result), report_text(result)):
            assert not re.search(r"\bnan\b|\bNone\b|\binf\b", text)


def test_no_answers_and_other_groups_are_refused(survey):
    with pytest.raises(SurveyError, match="no answers"):
        analysed([])
    with pytest.raises(ConfigError, match="Unknown group"):
        analysed(survey.answers, replace(CONFIG, group_by="language"))


def test_it_tells_how_far_it_is_and_stops_when_asked(survey):
    events = list(analyse(survey.answers, (), CONFIG))
    assert events[0] == PhaseEvent("analyse", 0, 21)
    assert events[-1] == PhaseEvent("analyse", 21, 21)
    asked = []

    def check_stop():
        asked.append(1)
        if len(asked) == 3:
            raise StopRequested

    with pytest.raises(StopRequested):
        list(analyse(survey.answers, (), CONFIG, check_stop=check_stop))
    assert len(asked) == 3
