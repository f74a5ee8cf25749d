"""What a set shows, beside CCUB."""

import dataclasses

import pytest
from drawings import drawing, write_set

from scoft_training.coverage import CCUB_COUNTS, CCUB_SIZES, ccub_reference, coverage_of
from scoft_training.data import read_dataset
from scoft_training.data_rows import CATEGORIES, DatasetCard


def dataset_of(tmp_path, categories, *, culture=None, eras=()):
    pictures = [drawing(number, (64, 64)) for number in range(len(categories))]
    found = read_dataset(write_set(tmp_path / "set", pictures))
    eras = [*eras, *[None] * (len(categories) - len(eras))]
    rows = tuple(
        dataclasses.replace(row, category=category, era=era)
        for row, category, era in zip(found.rows, categories, eras, strict=True)
    )
    return dataclasses.replace(found, rows=rows, card=DatasetCard(culture=culture))


def test_the_paper_s_table_adds_up():
    assert {name: sum(counts) for name, counts in CCUB_COUNTS.items()} == {
        "Korea": 162,
        "China": 189,
        "Nigeria": 140,
        "Mexico": 134,
        "India": 148,
    }
    assert all(len(counts) == len(CATEGORIES) for counts in CCUB_COUNTS.values())
    assert CCUB_SIZES == (134, 189)


@pytest.mark.parametrize(
    ("culture", "name"),
    [
        ("Korea", "CCUB Korea"),
        ("South Korean", "CCUB Korea"),
        ("chinese", "CCUB China"),
        ("Mexican", "CCUB Mexico"),
        ("Aruna (invented)", None),
        ("Japan", None),
        (None, None),
    ],
)
def test_a_culture_is_compared_with_its_own_counts_where_there_are_some(culture, name):
    found = ccub_reference(culture)
    assert (found and found.name) == name


def test_gaps_are_counted_at_the_present_size_and_at_the_papers(tmp_path):
    categories = ["food_drink"] * 8 + ["city"] * 2 + [None] * 3
    found = coverage_of(dataset_of(tmp_path, categories, culture="Korea"))
    assert [one.name for one in found.references] == ["CCUB Korea", "all of CCUB"]
    # Ten rows have a category. Food: 34 of 162 of 10 is 2.1; of 134, 28.1. People: 22 of 162 of
    # 10 is 1.4. City: 21 of 162 of 10 is 1.3, and 24 of 189 and so on for all five.
    food, people, city = (
        found.categories[name] for name in ("food_drink", "people_actions", "city")
    )
    assert (food.total, food.share, food.verdict) == (8, 0.8, "more")
    assert (food.comparisons[0].expected, food.comparisons[0].lacking) == (2, 0)
    assert food.comparisons[0].lacking_at_paper_size == 28 - 8
    assert (people.comparisons[0].lacking, people.verdict) == (1, "none")
    assert (city.comparisons[0].lacking, city.share) == (0, 0.2)
    # All of CCUB: 33 + 34 + 21 + 22 + 19 = 129 of 773.
    assert food.comparisons[1].share == pytest.approx(129 / 773)
    assert sum(found.unknown.values()) == 3


def test_under_half_of_what_is_expected_is_few(tmp_path):
    categories = ["food_drink"] * 28 + ["people_actions"] * 2 + ["clothing"] * 3
    found = coverage_of(dataset_of(tmp_path, categories)).categories
    # Of 33: people 114 / 773 is 4.9, clothing 100 / 773 is 4.3.
    assert found["people_actions"].verdict == "few"
    assert found["clothing"].verdict == "fewer"


def test_eras_and_rights_are_counted(tmp_path):
    dataset = dataset_of(tmp_path, ["city"] * 4, eras=("modern", "traditional", "modern"))
    rows = (
        dataclasses.replace(dataset.rows[0], credit="Mina", consent="by letter"),
        *dataset.rows[1:],
    )
    found = coverage_of(dataclasses.replace(dataset, rows=rows))
    assert found.eras == {"traditional": 1, "modern": 2, "unstated": 1}
    assert found.categories["city"].eras == found.eras
    assert found.rights == {"credit": 1, "licence": 0, "consent": 1, "source_url": 0}


def test_an_empty_set_has_shares_of_zero(tmp_path):
    dataset = dataset_of(tmp_path, ["city"])
    found = coverage_of(dataclasses.replace(dataset, rows=()))
    assert {of.share for of in found.categories.values()} == {0.0}
    assert {of.verdict for of in found.categories.values()} == {"none"}
