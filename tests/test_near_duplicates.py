"""Pictures and captions that repeat each other."""

import io

import pytest
from drawings import drawing
from PIL import Image, ImageEnhance, ImageOps

from scoft_training.near_duplicates import (
    Pair,
    folded,
    groups_of,
    near_captions,
    near_pictures,
    perceptual_hashes,
)


def hashes(*pictures):
    return [perceptual_hashes(picture.convert("L")) for picture in pictures]


def as_jpeg(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=15)
    return Image.open(buffer).convert("RGB")


@pytest.mark.parametrize(
    "change",
    [
        as_jpeg,
        lambda picture: picture.resize((picture.width // 4, picture.height // 4)),
        lambda picture: ImageEnhance.Brightness(picture).enhance(1.2),
        lambda picture: picture.convert("L").convert("RGB"),
    ],
)
def test_a_changed_copy_is_found_and_nothing_else(change):
    pictures = [drawing(seed) for seed in range(6)]
    found = near_pictures(hashes(*pictures, change(pictures[2])), most=10)
    assert [(pair.one, pair.other, pair.mirrored) for pair in found] == [(2, 6, False)]


def test_a_mirrored_copy_is_found_and_called_so():
    one, other = drawing(1), drawing(2)
    (found,) = near_pictures(hashes(one, other, ImageOps.mirror(one)), most=10)
    assert found == Pair(0, 2, 0.0, mirrored=True)


def test_pictures_of_one_colour_are_near_nothing():
    plain = Image.new("RGB", (80, 60), "red")
    assert perceptual_hashes(plain.convert("L")) == ("", "")
    assert near_pictures(hashes(plain, plain), most=20) == []


def test_bits_are_counted_across_blocks_of_rows():
    # 0b111 differs from 0 in three bits; 600 rows are more than are compared at once.
    known = [("ffffffffffffffff", "ffffffffffffffff")] * 2 + [("", "")] * 598
    known[0] = ("0000000000000000", "ffff0000ffff0000")
    known[599] = ("0000000000000007", "ffff0000ffff0007")
    assert near_pictures(known, most=3) == [Pair(0, 599, 3.0)]
    assert near_pictures(known, most=2) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cafe\u0301 in the Rain!", "caf\u00e9 in the rain"),
        ("\uff28\uff41\uff4e\uff42\uff4f\uff4b", "hanbok"),
        ("می‌خواهم", "میخواهم"),
    ],
)
def test_spellings_of_one_caption_are_equal(one, other):
    assert folded(one) == folded(other)
    assert near_captions([one, other], least=1.0) == [Pair(0, 1, 0.0)]


def test_vowels_of_indic_scripts_are_kept():
    assert folded("की") != folded("का")


def test_captions_that_share_most_letters_are_near_in_any_script():
    captions = [
        "a woman in a red hanbok walks through the palace gate",
        "a woman in a blue hanbok walks through the palace gate",
        "a bowl of soup on a wooden table",
        "붉은 한복을 입은 여인이 궁궐 문을 지나 걸어간다",
        "붉은 한복을 입은 여인이 궁궐 문을 지나 걸어갔다",
        "",
        "",
    ]
    found = near_captions(captions, least=0.75)
    assert [(pair.one, pair.other) for pair in found] == [(0, 1), (3, 4)]
    assert all(0 < pair.distance <= 0.25 for pair in found)


def test_overlap_is_jaccard_of_runs_of_three_letters():
    # " abc " has " ab", "abc", "bc "; " abd " has " ab", "abd", "bd ": one of five.
    assert near_captions(["abc", "abd"], least=0.2) == [Pair(0, 1, pytest.approx(0.8))]
    assert near_captions(["abc", "abd"], least=0.21) == []


def test_groups_join_over_others():
    pairs = [Pair(4, 7, 0), Pair(1, 2, 0), Pair(2, 7, 0), Pair(5, 6, 0)]
    assert groups_of(pairs) == [(1, 2, 4, 7), (5, 6)]
