"""Whose pictures, under which licence and with whose consent; a refusal counts everywhere."""

import json

import pytest
from drawings import write_set

from scoft_training.data import read_dataset
from scoft_training.data_rows import DatasetCard, refuses_consent
from scoft_training.overlays import Overlay, add_statement, overlaid
from scoft_training.rights import CreditGroup, consent_counts, credit_groups, licence_counts

ROWS = [
    {"credit": "김", "licence": "CC0", "consent": True},
    {"credit": "김", "licence": "CC0", "consent": "Yes"},
    {"credit": "Ana", "consent": " only here "},
    {},
]


def colours(count):
    from PIL import Image

    return [Image.new("RGB", (12, 8), (40 * number, 9, 90)) for number in range(count)]


@pytest.fixture
def make(tmp_path):
    def make(rows):
        write_set(tmp_path / "set", colours(len(rows)))
        path = tmp_path / "set" / "train" / "metadata.jsonl"
        lines = [
            json.dumps(json.loads(line) | row)
            for line, row in zip(path.read_text().splitlines(), rows, strict=True)
        ]
        path.write_text("\n".join(lines))
        return read_dataset(tmp_path / "set")

    return make


def test_credit_licence_and_consent_are_counted(make):
    rows = make(ROWS).rows
    card = DatasetCard(licence="CC-BY")
    assert credit_groups(rows, card) == (
        CreditGroup("김", "CC0", 2),
        CreditGroup("Ana", "CC-BY", 1),
        CreditGroup(None, "CC-BY", 1),
    )
    assert licence_counts(rows, card) == {"CC-BY": 2, "CC0": 2}
    assert list(licence_counts(rows, DatasetCard())) == ["CC0", "not stated"]
    assert consent_counts(rows) == {"given": 2, "only here": 1, "not stated": 1}


@pytest.mark.parametrize("refusal", [False, "no", " Refused ", "FALSE"])
def test_a_row_whose_consent_is_refused_is_left_out_and_said_so(make, refusal):
    dataset = make([*ROWS[:3], {"consent": refusal, "include": True}])
    assert [row.number for row in dataset.rows] == [1, 2, 3]
    assert dataset.excluded == 1
    (warning,) = [problem for problem in dataset.problems if problem.kind == "no-consent"]
    assert warning.row == 4
    assert warning.message.startswith(
        "metadata.jsonl, row 4: `consent` is false, so the picture is"
    )


def test_a_refusal_in_the_work_folder_counts_like_one_in_the_dataset(make, tmp_path):
    dataset = make(ROWS)
    refused = dataset.rows[1].sha256
    for include in (None, True):
        add_statement(
            tmp_path / "work",
            Overlay(
                sha256=refused, by="K", at="2026-11-25", why="x", consent=False, include=include
            ),
        )
        rows = overlaid(dataset, tmp_path / "work").rows
        assert [row.number for row in rows] == [1, 3, 4]


def test_words_that_are_no_refusal_are_none():
    assert not any(map(refuses_consent, (None, True, "yes", "", "no faces please", 0)))
