"""Means over seeds, differences paired by seed, means over cultures, and tables as text."""

import csv
import io

import pytest

from scoft_training.ablation_tables import (
    Column,
    Estimate,
    cells,
    common_keys,
    csv_table,
    markdown_table,
    mean_of_cultures,
    over_seeds,
    paired_differences,
)

# t(0.975) with 1 and 2 degrees of freedom.
T1, T2 = 12.7062, 4.30265


def test_means_and_intervals_are_over_seeds():
    table = over_seeds({"m": [{"kid": 1.0}, {"kid": 2.0}, {"kid": 6.0}]}, ["kid"])
    found = table["m"]["kid"]
    # Mean 3, deviations -2, -1, 3: variance 14 / 2, error sqrt(7 / 3).
    assert found.mean == pytest.approx(3)
    assert found.half_width == pytest.approx(T2 * (7 / 3) ** 0.5, rel=1e-5)
    assert (found.low, found.high) == (found.mean - found.half_width, found.mean + found.half_width)


def test_one_seed_tells_no_spread():
    found = over_seeds({"m": [{"kid": 1.5}]}, ["kid"])["m"]["kid"]
    assert found == Estimate(1.5, None)
    assert (found.low, found.high) == (None, None)
    assert found.text(2) == "1.50"


def test_a_figure_that_a_trial_lacks_is_no_mean_of_the_rest():
    results = {"m": [{"kid": 1.0, "clip": 2.0}, {"kid": 3.0}]}
    assert set(over_seeds(results, ["kid", "clip"])["m"]) == {"kid"}
    assert common_keys(results, ["clip", "kid"]) == ["kid"]
    both = {**results, "base": [{}, {"kid": 1.0}]}
    assert paired_differences(both, [("m", "base")], ["kid", "clip"]) == {"m - base": {}}


def test_differences_are_paired_so_what_seeds_share_drops_out():
    results = {
        "ldm": [{"kid": 100.0}, {"kid": 200.0}],
        "m": [{"kid": 90.0}, {"kid": 192.0}],
    }
    table = paired_differences(results, [("m", "ldm"), ("mp", "m")], ["kid"])
    assert list(table) == ["m - ldm"]
    assert table["m - ldm"]["kid"].mean == pytest.approx(-9)
    assert table["m - ldm"]["kid"].half_width == pytest.approx(T1, rel=1e-5)


def test_every_culture_counts_the_same_and_the_same_ones_for_every_arm():
    by_culture = {
        "korea": {"base": [{"kid": 10.0, "clip": 1.0}], "m": [{"kid": 4.0, "clip": 1.0}]},
        "india": {"base": [{"kid": 30.0, "clip": 3.0}], "m": [{"kid": 8.0}]},
    }
    means = mean_of_cultures(by_culture, ["kid", "clip", "fid"])
    assert means["base"] == [{"kid": 20.0, "clip": 1.0}]
    assert means["m"] == [{"kid": 6.0, "clip": 1.0}]


def test_a_table_has_the_columns_that_rows_have_and_the_papers_beside():
    table = {
        "base": {"kid": Estimate(30.0, 1.25), "clip": Estimate(-0.0001, None)},
        "mine": {"kid": Estimate(20.0, 0.5)},
    }
    columns = [Column("kid", "KID", 1), Column("fid", "FID"), Column("clip", "CLIP Score", 3)]
    header, rows = cells(table, columns, {"base": {"kid": "30.355"}}, "paper")
    assert header == ["arm", "KID", "paper", "CLIP Score"]
    # What rounds to zero has no sign.
    assert rows == [["base", "30.0 ± 1.2", "30.355", "0.000"], ["mine", "20.0 ± 0.5", "", ""]]
    lines = markdown_table(header, rows).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[1] == "| --- | --- | --- | --- |"
    read = list(csv.reader(io.StringIO(csv_table(header, [["a,b", 1, '"', ""]]))))
    assert read == [header, ["a,b", "1", '"', ""]]
