"""The paper's numbers: what belongs together agrees with itself, and names find their rows."""

import pytest

from scoft_training.paper_figures import paper_overall, paper_per_culture

CULTURES = ("china", "KR", "nigeria", "in", "Mexico")


@pytest.mark.parametrize("arm", ["SD", "m", "mp", "sd+mpc"])
@pytest.mark.parametrize("key", ["kid_reference", "kid_general", "clip_score"])
def test_the_mean_over_cultures_is_the_overall_number(key, arm):
    """Table 1 is table 4's mean, as far as digits tell."""
    values = [paper_per_culture(key, arm, culture) for culture in CULTURES]
    assert len(values) == 5
    assert sum(values) / 5 == pytest.approx(paper_overall(1, arm)[key], abs=6e-3)


def test_names_that_the_paper_does_not_have_get_nothing():
    assert paper_overall(1, "mpc-last") == {}
    assert paper_overall(2, "base") == {}
    assert paper_per_culture("kid_reference", "m", "avelun") is None
    assert paper_per_culture("diversity_test", "m", "korea") is None


def test_the_memorization_loss_copies_less_in_every_row():
    without, with_it = paper_overall(2, "ldm"), paper_overall(2, "m")
    assert without.keys() == with_it.keys()
    for key in without:
        lower = key.startswith("similarity_") or key == "clip_score"
        assert (with_it[key] < without[key]) == lower
