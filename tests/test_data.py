"""A dataset is read as written, all that is wrong is said at once, and nothing is changed."""

import dataclasses
import hashlib
import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from scoft_training import captions, cli, data, data_checks, data_rows, draws
from scoft_training.data import (
    RowPictures,
    count_by_category,
    dataset_digest,
    load_row_pictures,
    read_dataset,
    report,
    report_json,
)
from scoft_training.data_checks import Problem
from scoft_training.data_rows import CATEGORIES, PREFIX_CATEGORIES, DatasetCard
from scoft_training.errors import DatasetError


@pytest.fixture
def make(tmp_path):
    """Writes a dataset: `make(row, row, ..., card=...)`; its pictures lie there already."""
    root = tmp_path / "korea"

    def picture(path, size=(12, 8), shade=0):
        """A picture of its own: no two calls with other shades give the same bytes."""
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (shade, 100, 50)).save(root / path)

    for index, name in enumerate("abc"):
        picture(f"train/images/{name}.png", shade=index)
    for index in range(2):
        picture(f"negative_images/n{index}.png", shade=100 + index)

    def write(*rows, card=None, split="train"):
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (root / split).mkdir(parents=True, exist_ok=True)
        (root / split / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        if card is not None:
            text = card if isinstance(card, str) else json.dumps(card)
            (root / "card.json").write_text(text, encoding="utf-8")
        return root

    write.root = root
    write.picture = picture
    return write


def row(name="a", **columns):
    """A row without fault, changed by `columns`; a column of ... is left out."""
    values = {"file_name": f"images/{name}.png", "text": f"caption of {name}"} | columns
    return {key: value for key, value in values.items() if value is not ...}


def found(dataset, kind):
    """The single problem of a kind."""
    (problem,) = [problem for problem in dataset.problems if problem.kind == kind]
    return problem


def assert_error(dataset, kind, sentence, number=1):
    """The dataset's only error: its row is out, and the sentence is the whole of the message."""
    (problem,) = dataset.errors
    assert problem == Problem(number, kind, True, problem.message)
    assert problem.message == sentence
    assert number not in [row.number for row in dataset.rows]


def test_every_column_arrives_under_its_name(make):
    root = make(
        "",  # a blank line counts as a line, as in an editor
        row(
            "a",
            text="  김치찌개 in a pot ",
            blip_text=["a pot of soup", "soup on a table"],
            negative_imgpath=["negative_images/n1.png", "negative_images/n0.png"],
            category="food_drink",
            era="traditional",
            culture="Korea",
            source_url="https://example.org/a",
            credit="Kim",
            licence="CC BY 4.0",
            consent=True,
            include=True,
            depth="negative_images/depth.png",
            colour={"deep": [1, 2]},
        ),
    )
    Image.new("L", (12, 8)).save(root / "negative_images/depth.png")
    dataset = read_dataset(root, needs_generic_captions=True, needs_negatives=True)
    assert dataset.problems == ()
    (only,) = dataset.rows
    sha256 = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*.png")}
    first, second = root / "negative_images/n1.png", root / "negative_images/n0.png"
    assert dataclasses.asdict(only) == {
        "number": 2,
        "where": "metadata.jsonl, row 2:",
        "file_name": "images/a.png",
        "image_path": root / "train/images/a.png",
        "sha256": sha256[root / "train/images/a.png"],
        "cultural_caption": "김치찌개 in a pot",
        "generic_captions": ("a pot of soup", "soup on a table"),
        "negative_paths": (first, second),
        "negative_sha256s": (sha256[first], sha256[second]),
        "depth_path": root / "negative_images/depth.png",
        "category": "food_drink",
        "category_guessed": False,
        "era": "traditional",
        "culture": "Korea",
        "source_url": "https://example.org/a",
        "credit": "Kim",
        "licence": "CC BY 4.0",
        "consent": True,
        "extra": {"colour": {"deep": [1, 2]}},
        "drawn_negatives": 0,
    }


def test_null_and_empty_optional_columns_are_absent(make):
    names = ("category", "era", "culture", "source_url", "credit", "licence", "sha256", "depth")
    empty = dict.fromkeys(names, "") | {"blip_text": "", "negative_imgpath": []}
    nulls = dict.fromkeys((*names, "blip_text", "negative_imgpath", "consent", "include"))
    dataset = read_dataset(make(row("a", **empty), row("b", **nulls)))
    assert dataset.problems == ()
    for read in dataset.rows:
        assert read.generic_captions == read.negative_paths == ()
        assert (read.category, read.era, read.depth_path) == (None, None, None)


def test_a_single_generic_caption_may_be_a_string(make):
    (only,) = read_dataset(make(row(blip_text="a pot of soup"))).rows
    assert only.generic_captions == ("a pot of soup",)


def test_utf8_with_bom_and_windows_line_ends_is_read(make):
    root = make(row("a", text="한복"), row("b"))
    path = root / "train/metadata.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert [read.cultural_caption for read in read_dataset(root).rows] == ["한복", "caption of b"]


def test_a_line_separator_inside_a_caption_does_not_end_the_line(make):
    root = make('{"file_name": "images/a.png", "text": "one\u2028two"}', row("b"))
    assert [read.number for read in read_dataset(root).rows] == [1, 2]


def test_backslashes_separate_folders(make):
    (only,) = read_dataset(make(row(file_name=r"images\a.png"))).rows
    assert only.image_path == make.root / "train/images/a.png"


def test_another_split_is_read_on_request(make):
    make.picture("test/images/t.png", shade=9)
    make(row(file_name="images/t.png"), split="test")
    dataset = read_dataset(make.root, "test")
    assert (dataset.split, dataset.name, len(dataset.rows)) == ("test", "korea", 1)


def test_the_card_is_read(make):
    card = {"culture": "Korea", "suffix": "in Korea", "credits": "Kim", "pages": 3}
    read = read_dataset(make(row(), card=card)).card
    assert read == DatasetCard(
        culture="Korea", suffix="in Korea", credits=("Kim",), extra={"pages": 3}
    )


def test_rows_left_out_are_counted_and_not_judged(make):
    dataset = read_dataset(make(row("a"), row("gone", include=False)))
    assert (len(dataset.rows), dataset.excluded, dataset.problems) == (1, 1, ())


@pytest.mark.parametrize("prefix", PREFIX_CATEGORIES)
def test_a_prefix_tells_the_category_and_is_marked_as_a_guess(make, prefix):
    make.picture(f"train/images/{prefix}7.png", shade=8)
    make.picture(f"train/images/{prefix.lower()}8.png", shade=9)
    dataset = read_dataset(
        make(
            row(file_name=f"images/{prefix}7.png"),
            row("b"),
            row(file_name=f"images/{prefix.lower()}8.png", text="lower"),
        )
    )
    guessed, other, also_guessed = dataset.rows
    for read in (guessed, also_guessed):
        assert (read.category, read.category_guessed) == (PREFIX_CATEGORIES[prefix], True)
    assert (other.category, other.category_guessed) == (None, False)
    assert found(dataset, "category-guessed") == Problem(
        None,
        "category-guessed",
        False,
        "metadata.jsonl: the category of 2 of 3 rows is guessed from the file name (row 1: "
        f"{PREFIX_CATEGORIES[prefix]}). Write `category` where that is wrong.",
    )


def test_a_stated_category_beats_the_prefix(make):
    make.picture("train/images/RELIG_45.png", shade=8)
    dataset = read_dataset(make(row(file_name="images/RELIG_45.png", category="food_drink")))
    assert (dataset.rows[0].category, dataset.rows[0].category_guessed) == ("food_drink", False)
    assert dataset.problems == ()


def test_categories_are_the_papers_nine_in_its_order():
    assert CATEGORIES[0] == "food_drink"
    assert CATEGORIES[-1] == "religion_festival"
    assert set(PREFIX_CATEGORIES.values()) == set(CATEGORIES)
    assert len(CATEGORIES) == 9


def test_reading_leaves_the_dataset_as_it_was(make):
    root = make(row("a", negative_imgpath=["negative_images/n0.png"]), row("b", text=""))

    def state():
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in root.rglob("*")}

    before = state()
    dataset = read_dataset(root)
    load_row_pictures(dataset.rows[0], resolution=8, crop_mode="center", seed=0)
    report(dataset)
    assert state() == before


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere: there is no such folder\. Check the path"):
        read_dataset(tmp_path / "nowhere")


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "set.zip").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"set.zip is not a folder\. Pass the folder that holds"):
        read_dataset(tmp_path / "set.zip")


def test_a_folder_without_metadata_is_told_what_to_hold(tmp_path):
    with pytest.raises(DatasetError, match=r"no train/metadata.jsonl\. Write one line per picture"):
        read_dataset(tmp_path)


def test_the_splits_own_folder_is_recognised(make):
    root = make(row())
    with pytest.raises(DatasetError, match=rf"This is the split's own folder; pass {root} instead"):
        read_dataset(root / "train")


def test_the_splits_that_exist_are_named(make):
    make(row(), split="test")
    with pytest.raises(DatasetError, match=r"The splits here are test; pass one of them\."):
        read_dataset(make.root)


def test_utf8_that_is_spoilt_in_one_line_is_refused_with_its_number(make):
    root = make(row("a", text="김치찌개"), row("b", text="비빔밥"))
    path = root / "train/metadata.jsonl"
    spoilt = json.dumps(row("c", text="떡국"), ensure_ascii=False).encode("cp949")
    text = path.read_text(encoding="utf-8").encode("utf-8").decode("unicode_escape")
    path.write_bytes(text.encode("utf-8", "surrogatepass") + spoilt)
    with pytest.raises(DatasetError, match=r"^metadata.jsonl: line 3 is not UTF-8"):
        read_dataset(root)


def test_metadata_that_cannot_be_opened_is_named(make):
    (make.root / "train/metadata.jsonl").mkdir()
    with pytest.raises(DatasetError, match=r"metadata.jsonl cannot be opened .* you may read"):
        read_dataset(make.root)


@pytest.mark.parametrize(
    ("line", "end"),
    [
        ('{"text": ', "is not valid JSON (Expecting value, line 1 character 10 of it)."),
        ("[1]", 'is not a JSON object. Write {"name": value, ...}.'),
        (r'{"text": "\ud83d"}', r"holds half a character (a lone \ud800 to \udfff)."),
        ("[" * 100_000, "cannot be read ("),
    ],
)
def test_a_line_that_is_no_object_is_an_error_of_its_row(make, line, end):
    dataset = read_dataset(make(row("a"), line, row("b")))
    (problem,) = dataset.errors
    assert (problem.row, problem.kind) == (2, "broken-json")
    assert problem.message.startswith(f"metadata.jsonl, row 2: this {end}")
    assert [read.number for read in dataset.rows] == [1, 3]


@pytest.mark.parametrize("value", [..., None, ""])
def test_a_row_needs_a_file_name(make, value):
    assert_error(
        read_dataset(make(row(file_name=value))),
        "no-file-name",
        "metadata.jsonl, row 1: `file_name` is missing. Write the picture's path inside the "
        "split's folder.",
    )


@pytest.mark.parametrize(("value", "fault"), [("", "empty"), (" ", "empty"), (..., "missing")])
def test_a_row_needs_a_caption(make, value, fault):
    assert_error(
        read_dataset(make(row(text=value))),
        "no-caption",
        f"metadata.jsonl, row 1: `text` is {fault}. Each image needs its cultural caption: write "
        "one, there or in the review desk, or leave the picture out.",
    )


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("file_name", 5, "text in quotes but got 5."),
        ("text", ["a"], 'text in quotes but got ["a"].'),
        ("blip_text", ["a", 2], "text or a list of texts but got 2."),
        ("blip_text", 2, "text or a list of texts but got 2."),
        ("negative_imgpath", "n.png", 'a list of texts but got "n.png".'),
        ("negative_imgpath", [["n.png"]], 'a list of texts but got ["n.png"].'),
        ("category", True, "text in quotes but got true."),
        ("era", 1, "text in quotes but got 1."),
        ("culture", {}, "text in quotes but got {}."),
        ("source_url", 1, "text in quotes but got 1."),
        ("credit", 1, "text in quotes but got 1."),
        ("licence", 1, "text in quotes but got 1."),
        ("sha256", 1, "text in quotes but got 1."),
        ("depth", 1, "text in quotes but got 1."),
        ("include", "false", 'true or false but got "false".'),
        ("consent", 1, "text, true or false but got 1."),
    ],
)
def test_a_value_of_the_wrong_type_is_one_error(make, column, value, expected):
    assert_error(
        read_dataset(make(row(**{column: value})), needs_generic_captions=column == "blip_text"),
        "wrong-type",
        f"metadata.jsonl, row 1: `{column}` must be {expected} Write it so, or leave it out.",
    )


def test_a_missing_picture_is_named(make):
    assert_error(
        read_dataset(make(row("zzz"))),
        "missing-picture",
        "metadata.jsonl, row 1: `images/zzz.png` does not exist. Put the picture there, or remove "
        "its mention.",
    )


@pytest.mark.parametrize("name", ["A.png", "a.PNG", "a.jpg"])
def test_a_picture_that_differs_in_case_or_ending_is_suggested(make, name):
    if (make.root / "train/images" / name).exists():
        pytest.skip("this file system folds case")
    assert_error(
        read_dataset(make(row(file_name=f"images/{name}"))),
        "missing-picture",
        f"metadata.jsonl, row 1: `images/{name}` does not exist. Did you mean `a.png`?",
    )


def test_a_folder_in_place_of_a_picture_is_named(make):
    assert_error(
        read_dataset(make(row(file_name="images"))),
        "missing-picture",
        "metadata.jsonl, row 1: `images` is not a file. Write the path of a picture.",
    )


@pytest.mark.parametrize(
    ("column", "value"),
    [("file_name", "x" * 5000), ("negative_imgpath", ["x" * 5000]), ("depth", "x" * 5000)],
)
def test_a_name_longer_than_the_system_allows_is_a_missing_file(make, column, value):
    (problem,) = read_dataset(make(row(**{column: value}))).errors
    assert problem.kind.startswith("missing-")


@pytest.mark.parametrize("cut", [0, 45])
def test_a_damaged_picture_is_an_error_of_its_row(make, cut):
    root = make(row("a"), row("b"))
    path = root / "train/images/a.png"
    path.write_bytes(path.read_bytes()[:cut])
    dataset = read_dataset(root)
    (problem,) = dataset.errors
    assert (problem.row, problem.kind) == (1, "unreadable-picture")
    assert problem.message.startswith("metadata.jsonl, row 1: `images/a.png` ")
    assert [read.number for read in dataset.rows] == [2]
    assert read_dataset(root, check_pictures=False).problems == ()


OUTSIDE = {
    "../korea/train/images/a.png": "leads out of the dataset's folder.",
    "images/../images/a.png": "leads out of the dataset's folder.",
    "..\\secret.png": "leads out of the dataset's folder.",
    "/etc/passwd": "is an absolute path.",
    "C:\\a.png": "is an absolute path.",
    "C:a.png": "is an absolute path.",
    "\\\\server\\share\\a.png": "is an absolute path.",
    "//server/share/a.png": "is an absolute path.",
    "images/a.png\0.jpg": "is not a file's path.",
    ".": "is not a file's path.",
}


@pytest.mark.parametrize("value", OUTSIDE)
@pytest.mark.parametrize(
    ("column", "kind", "subject"),
    [
        ("file_name", "unsafe-picture-path", ""),
        ("negative_imgpath", "unsafe-negative-path", "negative "),
        ("depth", "unsafe-depth-path", "depth "),
    ],
)
def test_a_path_out_of_the_dataset_is_refused(make, column, kind, subject, value):
    written = [value] if column == "negative_imgpath" else value
    (problem,) = read_dataset(make(row(**{column: written}))).errors
    assert (problem.row, problem.kind) == (1, kind)
    shown = value.replace("\0", "\\x00")
    assert problem.message.startswith(f"metadata.jsonl, row 1: {subject}`{shown}` {OUTSIDE[value]}")


@pytest.mark.parametrize("target", ["file", "folder", "circle"])
def test_a_link_out_of_the_dataset_is_refused(make, tmp_path, target):
    root = make(row("link/a" if target == "folder" else "link"))
    outside = tmp_path / "outside"
    outside.mkdir()
    Image.new("RGB", (4, 4)).save(outside / "a.png")
    images = root / "train/images"
    if target == "folder":
        (images / "link").symlink_to(outside)
    else:
        goal = outside / "a.png" if target == "file" else images / "link.png"
        (images / "link.png").symlink_to(goal)
    (problem,) = read_dataset(root).errors
    assert problem.row == 1
    if target != "circle":
        assert problem.kind == "unsafe-picture-path"


def test_a_link_inside_the_dataset_is_followed(make):
    root = make(row("link"))
    (root / "train/images/link.png").symlink_to(root / "negative_images/n0.png")
    assert read_dataset(root).problems == ()


def test_a_dataset_reached_through_a_link_is_read(make, tmp_path):
    root = make(row())
    (tmp_path / "alias").symlink_to(root)
    dataset = read_dataset(tmp_path / "alias")
    assert (dataset.name, dataset.problems) == ("alias", ())


@pytest.mark.parametrize(("value", "fault"), [(..., "missing"), ([], "missing"), ("", "empty")])
def test_memorization_loss_needs_a_generic_caption(make, value, fault):
    root = make(row(blip_text=value), row("b", blip_text="a pot of soup"))
    assert_error(
        read_dataset(root, needs_generic_captions=True),
        "no-generic-caption",
        f"metadata.jsonl, row 1: `blip_text` is {fault}, but L_M is on and needs a generic "
        "caption. Write one, or set memorization_weight to 0.",
    )
    assert read_dataset(root).problems == ()


def test_an_unknown_category_is_an_error_with_the_nearest(make):
    assert_error(
        read_dataset(make(row(category="food_drinks"))),
        "unknown-category",
        "metadata.jsonl, row 1: Unknown category 'food_drinks'. Use one of "
        f"{', '.join(CATEGORIES)}. Did you mean 'food_drink'?",
    )


def test_an_unknown_era_is_an_error_with_the_nearest(make):
    assert_error(
        read_dataset(make(row(era="modem"))),
        "unknown-era",
        "metadata.jsonl, row 1: Unknown era 'modem'. Use one of traditional, modern. Did you mean "
        "'modern'?",
    )


def test_a_training_picture_as_a_negative_is_refused(make):
    root = make(row("a", negative_imgpath=["negative_images/copy.png"]), row("b"))
    shutil.copy(root / "train/images/b.png", root / "negative_images/copy.png")
    assert_error(
        read_dataset(root),
        "swapped-roles",
        "metadata.jsonl, row 1: negative `copy.png` is the training picture of row 2, so L_C would "
        "push away from what should be learned. Remove it from `negative_imgpath`.",
    )


@pytest.mark.parametrize(
    ("size", "crop_mode", "kind"),
    [
        ((12, 8), "center", None),
        ((6, 4), "random", None),
        ((5, 5), "center", None),
        ((5, 5), "random", "does not go with crop 'random': bring it uncropped"),
        ((12, 4), "center", "Bring it in the picture's aspect ratio, or square and cropped"),
    ],
)
@pytest.mark.parametrize("role", ["negative", "depth"])
def test_companions_have_the_pictures_shape_or_are_square(make, size, crop_mode, kind, role):
    name = "negative_images/own.png"
    root = make(row(negative_imgpath=[name]) if role == "negative" else row(depth=name))
    Image.new("L", size).save(root / name)
    dataset = read_dataset(root, crop_mode=crop_mode)
    if kind is None:
        assert dataset.problems == ()
    else:
        (problem,) = dataset.errors
        assert (problem.row, problem.kind, dataset.rows) == (1, f"{role}-shape", ())
        sizes = f"is {size[0]} x {size[1]} pixels, but its picture 12 x 8."
        assert problem.message.startswith(f"metadata.jsonl, row 1: {role} `{name}` {sizes}")
        assert kind in problem.message
        assert read_dataset(root, crop_mode=crop_mode, check_pictures=False).problems == ()


def test_a_picture_is_not_taken_for_its_own_depth(make):
    (problem,) = read_dataset(make(row(depth="train/images/a.png"))).errors
    assert problem.kind == "unreadable-depth"
    assert "depth `train/images/a.png` has colours, but depth must be grey" in problem.message


def test_missing_companions_are_named_with_their_role(make):
    columns = {"negative_imgpath": ["negative_images/x.png"], "depth": "y.png"}
    problems = read_dataset(make(row(**columns))).errors
    assert [problem.kind for problem in problems] == ["missing-negative", "missing-depth"]
    assert "row 1: negative `negative_images/x.png` does not exist." in problems[0].message
    assert "row 1: depth `y.png` does not exist." in problems[1].message


def test_contrastive_loss_needs_one_row_with_negatives(make):
    root = make(row("a"), row("b"))
    dataset = read_dataset(root, needs_negatives=True)
    assert found(dataset, "no-negatives") == Problem(
        None,
        "no-negatives",
        True,
        "metadata.jsonl: no row has a picture in `negative_imgpath`, but L_C is on. Draw "
        "negatives, bring your own, or set contrastive_weight to 0.",
    )
    assert read_dataset(root).problems == ()
    root = make(row("a"), row("b", negative_imgpath=["negative_images/n0.png"]))
    assert read_dataset(root, needs_negatives=True).problems == ()


def test_an_empty_dataset_is_an_error(make):
    dataset = read_dataset(make(""), needs_negatives=True)
    message = "metadata.jsonl: there are no rows. Write one line per picture."
    assert dataset.problems == (Problem(None, "empty", True, message),)


def test_a_dataset_of_rows_left_out_is_an_error(make):
    dataset = read_dataset(make(row("a", include=False)), needs_negatives=True)
    (problem,) = dataset.problems
    assert (problem.row, problem.kind, problem.is_error) == (None, "all-excluded", True)
    assert problem.message.startswith(
        "metadata.jsonl: every row is left out by `include` or `consent`."
    )


@pytest.mark.parametrize(
    ("card", "kind", "sentence"),
    [
        ("{", "bad-card", "card.json: this is not valid JSON (Expecting property name"),
        ("[]", "bad-card", "card.json: this is not a JSON object."),
        ("{\0}", "bad-card", "card.json: this is not UTF-8 text."),
        ('{"culture": 5}', "wrong-type", "card.json: `culture` must be text in quotes but got 5."),
        ('{"credits": [1]}', "wrong-type", "card.json: `credits` must be text or a list of texts"),
    ],
)
def test_a_bad_card_is_an_error_of_the_dataset(make, card, kind, sentence):
    dataset = read_dataset(make(row(), card=card))
    (problem,) = dataset.problems
    assert (problem.row, problem.kind, problem.is_error) == (None, kind, True)
    assert problem.message.startswith(sentence)
    assert len(dataset.rows) == 1


def test_require_usable_says_the_first_error_and_how_many_follow(make):
    read_dataset(make(row("a"), row("b", blip_text="korean food on a table"))).require_usable()

    first = "metadata.jsonl, row 2: `text` is empty. Each image needs its cultural caption: write "
    first += "one, there or in the review desk, or leave the picture out."
    with pytest.raises(DatasetError) as raised:
        read_dataset(make(row("a"), row("b", text=""))).require_usable()
    assert str(raised.value) == first

    with pytest.raises(DatasetError) as raised:
        read_dataset(make(row("a"), row("b", text=""), row("x"))).require_usable()
    lists = f"`scoft dataset check {make.root}` lists them all."
    assert str(raised.value) == f"{first} And 1 more error: {lists}"

    with pytest.raises(DatasetError, match=r"And 2 more errors: `scoft"):
        read_dataset(make(row("a"), row("b", text=""), row("x"), "[]")).require_usable()


def assert_warning(dataset, kind, sentence, number):
    (problem,) = dataset.problems
    assert problem == Problem(number, kind, False, problem.message)
    assert problem.message == f"metadata.jsonl, row {number}: {sentence}"
    assert number in [row.number for row in dataset.rows]


@pytest.mark.parametrize(
    ("caption", "word"),
    [
        ("two women in traditional chinese dress", "chinese"),
        ("A Korean dish on a plate", "Korean"),
        ("a street in south korea", "south korea"),
        ("some koreans at a table", "koreans"),
        ("a prosthesis user in a garden", "prosthesis user"),
        ("a hall of the anywhereans", "anywhereans"),
    ],
)
def test_a_generic_caption_that_names_a_people_is_a_warning(make, caption, word):
    card = {"culture": "Prosthesis user"}
    dataset = read_dataset(make(row(blip_text=caption, culture="Anywherean"), card=card))
    assert_warning(
        dataset,
        "names-a-culture",
        f"the generic caption {caption!r} names a people or country ({word!r}). L_M and the "
        "negatives need one that does not: say what is seen.",
        1,
    )


@pytest.mark.parametrize(
    "caption",
    ["a romantic manchild in a thaicoon", "a bowl of soup and rice", "여자가 서 있다", "一碗米饭"],
)
def test_only_whole_words_name_a_people(make, caption):
    assert read_dataset(make(row(blip_text=caption))).problems == ()


@pytest.mark.parametrize(
    "caption",
    ["btt's btt's btt's btt's btt's bt", "a red car red car red car", "the the The street"],
)
def test_a_generic_caption_that_repeats_itself_is_a_warning(make, caption):
    sentence = f"the generic caption {caption!r} repeats itself. Write a plain one instead."
    assert_warning(read_dataset(make(row(blip_text=caption))), "degenerate-caption", sentence, 1)


def test_twice_is_no_repetition(make):
    assert read_dataset(make(row(blip_text="a red car a red car by the sea"))).problems == ()


def test_a_generic_caption_of_one_word_is_a_warning(make):
    sentence = "the generic caption 'soup' is a single word. Write a plain sentence instead."
    assert_warning(read_dataset(make(row(blip_text="soup"))), "degenerate-caption", sentence, 1)


def test_an_empty_generic_caption_in_a_list_is_skipped_with_a_warning(make):
    dataset = read_dataset(make(row(blip_text=["a bowl of soup", " "])))
    sentence = "`blip_text` holds an empty caption, which is skipped. Remove it."
    assert_warning(dataset, "degenerate-caption", sentence, 1)
    assert dataset.rows[0].generic_captions == ("a bowl of soup",)


def test_the_same_caption_twice_is_a_warning(make):
    dataset = read_dataset(make(row("a", text="A hanbok"), row("b", text="a  hanbok"), row("c")))
    sentence = "the caption is that of row 1. Say what is different about this picture."
    assert_warning(dataset, "same-caption", sentence, 2)


def test_the_same_picture_twice_is_a_warning(make):
    root = make(row("a"), row("b"), row("copy"))
    shutil.copy(root / "train/images/a.png", root / "train/images/copy.png")
    sentence = "`images/copy.png` is the same picture as in row 1, and would count twice. Remove "
    sentence += "one of the rows."
    assert_warning(read_dataset(root), "same-picture", sentence, 3)


def test_another_sha256_than_the_stated_one_is_a_warning(make):
    root = make(row("a", sha256="0" * 64))
    actual = hashlib.sha256((root / "train/images/a.png").read_bytes()).hexdigest()
    dataset = read_dataset(root)
    sentence = f"`sha256` is 000000000000..., but the picture's is {actual[:12]}...: the file was "
    sentence += "changed. Look at it, then correct the column."
    assert_warning(dataset, "sha256-differs", sentence, 1)
    assert dataset.rows[0].sha256 == actual
    assert read_dataset(make(row("a", sha256=actual.upper()))).problems == ()


@pytest.mark.parametrize("size", [(160, 240), (240, 160)])
def test_a_picture_that_training_would_enlarge_is_a_warning(make, size):
    make.picture("train/images/small.png", size, shade=8)
    root = make(row("small", negative_imgpath=["negative_images/half.png"]))
    make.picture("negative_images/half.png", (size[0] // 2, size[1] // 2), shade=9)
    sentence = f"`images/small.png` is {size[0]} x {size[1]} pixels and would be enlarged to 161. "
    dataset = read_dataset(root, resolution=161)
    assert_warning(dataset, "small-picture", sentence + "Bring a larger one.", 1)
    assert read_dataset(root, resolution=160).problems == ()
    assert read_dataset(root).problems == ()
    assert read_dataset(root, resolution=161, check_pictures=False).problems == ()


def test_the_command_checks_for_the_crop_and_resolution_of_its_flags(make, capsys):
    make.picture("train/images/small.png", (160, 240), shade=8)
    make.picture("negative_images/square.png", (80, 80), shade=9)
    root = make(
        row("small", blip_text="a pot of soup", negative_imgpath=["negative_images/square.png"])
    )

    def check(*flags):
        status = cli.main(["dataset", "check", str(root), "--json", *flags])
        problems = json.loads(capsys.readouterr().out)["problems"]
        return status, [problem["kind"] for problem in problems]

    assert check() == (0, ["small-picture"])
    assert check("--resolution", "160") == (0, [])
    assert check("--resolution", "160", "--crop", "random") == (2, ["negative-shape"])


def test_problems_come_in_the_order_of_the_file_after_those_of_the_whole(make):
    root = make(row("a", text="same"), row("b", blip_text="soup", text="same"), row("x"), card="[]")
    problems = read_dataset(root).problems
    assert [problem.row for problem in problems] == [None, 2, 2, 3]


def dataset_of(make, **columns):
    negatives = ["negative_images/n0.png", "negative_images/n1.png"]
    columns = {"blip_text": ["a pot", "a bowl"], "negative_imgpath": negatives} | columns
    return read_dataset(make(row("a", **columns), row("b")))


def test_the_digest_survives_a_move_and_new_names(make, tmp_path):
    before = dataset_digest(dataset_of(make))
    moved = tmp_path / "elsewhere"
    shutil.copytree(make.root, moved)
    os.rename(moved / "train/images/a.png", moved / "train/images/z.png")
    os.rename(moved / "negative_images", moved / "others")
    path = moved / "train/metadata.jsonl"
    text = path.read_text(encoding="utf-8")
    text = text.replace("images/a.png", "images/z.png").replace("negative_images", "others")
    path.write_text(text, encoding="utf-8")
    dataset = read_dataset(moved)
    assert dataset.problems == ()
    assert dataset_digest(dataset) == before


def test_the_digest_ignores_what_does_not_train(make):
    before = dataset_digest(dataset_of(make))
    assert dataset_digest(dataset_of(make, credit="Kim", era="modern", extra=1)) == before


@pytest.mark.parametrize(
    "columns",
    [
        {"text": "another"},
        {"blip_text": ["a bowl", "a pot"]},
        {"blip_text": ["a pot"]},
        {"negative_imgpath": ["negative_images/n1.png", "negative_images/n0.png"]},
        {"negative_imgpath": ["negative_images/n0.png"]},
        {"file_name": "images/c.png"},
        {"include": False},
    ],
)
def test_the_digest_changes_with_what_trains(make, columns):
    assert dataset_digest(dataset_of(make)) != dataset_digest(dataset_of(make, **columns))


def draw(root, name, width, height, shift):
    """A ramp that no mirror image equals, of the same shape at every size, but for its shade."""
    ramp = np.tile(np.linspace(20, 200, width), (height, 1)) + shift
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ramp.astype(np.uint8)).convert("RGB").save(root / name)


@pytest.fixture
def ramps(make):
    """A row whose picture, negatives and depth show the same ramp in four sizes."""
    names = ["negative_images/n0.png", "negative_images/n1.png"]
    root = make(row("ramp", negative_imgpath=names, depth="depth/ramp.png"))
    draw(root, "train/images/ramp.png", 300, 100, 0)
    draw(root, names[0], 150, 50, 10)
    draw(root, names[1], 600, 200, 20)
    draw(root, "depth/ramp.png", 240, 80, 0)
    (only,) = read_dataset(root, crop_mode="random").rows
    return only


@pytest.mark.parametrize(("crop_mode", "seed"), [("center", 0), ("random", 3), ("random", 4)])
def test_picture_negatives_and_depth_share_one_crop(ramps, crop_mode, seed):
    pictures = load_row_pictures(ramps, resolution=16, crop_mode=crop_mode, seed=seed)
    assert pictures.image.shape == (3, 16, 16)
    assert pictures.negatives.shape == (2, 3, 16, 16)
    assert pictures.depth.shape == (1, 16, 16)
    # 180 / 255 over 48 columns: one column of 16 is worth .0147. A twentieth of it plus two
    # roundings to bytes is the tolerance.
    close = {"rtol": 0, "atol": 0.05 * 0.0147 + 2 / 255}
    torch.testing.assert_close(pictures.negatives[0], pictures.image + 10 / 255, **close)
    torch.testing.assert_close(pictures.negatives[1], pictures.image + 20 / 255, **close)
    torch.testing.assert_close(pictures.depth[0], pictures.image[0], **close)
    # The ramp's shade at the crop's first column tells where it was cut: of 200 free columns,
    # 100 at the centre, else the drawn one. Column centre 3.1 pixels in, 180 / 299 shades each.
    start = 100 if crop_mode == "center" else draws.choice(201, seed, "crop", ramps.sha256)
    shade = 20 + (start + 100 / 32 - 0.5) * 180 / 299
    assert float(pictures.image[0, 8, 0] * 255) == pytest.approx(shade, abs=1.5)


def test_a_square_negative_is_taken_as_already_cropped(make):
    root = make(row("a", negative_imgpath=["negative_images/square.png"]))
    draw(root, "negative_images/square.png", 16, 16, 0)
    (only,) = read_dataset(root).rows
    pictures = load_row_pictures(only, resolution=16, crop_mode="center", seed=0)
    expected = np.asarray(Image.open(root / "negative_images/square.png"), dtype=np.float32) / 255
    assert pictures.negatives[0].permute(1, 2, 0).numpy() == pytest.approx(expected, abs=1e-6)
    with pytest.raises(DatasetError, match=r"row 1: negative .*does not go with crop 'random'"):
        load_row_pictures(only, resolution=16, crop_mode="random", seed=0)


def test_a_row_without_negatives_and_depth_has_none(make):
    (only,) = read_dataset(make(row())).rows
    pictures = load_row_pictures(only, resolution=16, crop_mode="center", seed=0)
    assert pictures.negatives.shape == (0, 3, 16, 16)
    assert pictures.depth is None
    assert pictures.flipped().depth is None


def test_a_picture_that_went_away_after_reading_is_named(make):
    (only,) = read_dataset(make(row())).rows
    only.image_path.unlink()
    with pytest.raises(DatasetError, match=r"^metadata.jsonl, row 1: `images/a.png` does not exi"):
        load_row_pictures(only, resolution=16, crop_mode="center", seed=0)


def test_flipping_mirrors_picture_negatives_and_depth_left_to_right():
    pictures = RowPictures(
        image=torch.arange(3 * 2 * 2.0).reshape(3, 2, 2),
        negatives=torch.arange(5 * 3 * 2 * 2.0).reshape(5, 3, 2, 2),
        depth=torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]),
        # Scaled to 2 pixels of height it is 6 wide: what begins at 1 and ends at 3 begins,
        # mirrored, at 3.
        original_size=(10, 30),
        crop_top_left=(0, 1),
    )
    flipped = pictures.flipped()
    assert flipped.image[0].tolist() == [[1, 0], [3, 2]]
    assert flipped.negatives[0, 0].tolist() == [[1, 0], [3, 2]]
    assert flipped.negatives[4, 2].tolist() == [[57, 56], [59, 58]]
    assert flipped.depth.tolist() == [[[2, 1], [4, 3]]]
    assert (flipped.original_size, flipped.crop_top_left) == ((10, 30), (0, 3))
    assert pictures.depth.tolist() == [[[1, 2], [3, 4]]]


@pytest.fixture
def mixed(make):
    make.picture("train/images/FOOD_1.png", shade=50)
    return read_dataset(
        make(
            row("a", category="city", era="modern", negative_imgpath=["negative_images/n0.png"]),
            row("b", category="city", era="traditional"),
            row(file_name="images/FOOD_1.png"),
            row("c", text="caption of c"),
            row("x"),
            row("y", include=False),
            card={"culture": "Korea"},
        )
    )


def test_rows_are_counted_by_category_and_era(mixed):
    counts = count_by_category(mixed)
    assert list(counts) == [*CATEGORIES, "unknown"]
    assert counts["city"] == {"traditional": 1, "modern": 1, "unstated": 0, "total": 2}
    assert counts["food_drink"] == {"traditional": 0, "modern": 0, "unstated": 1, "total": 1}
    assert counts["unknown"] == {"traditional": 0, "modern": 0, "unstated": 1, "total": 1}
    assert counts["nature"] == {"traditional": 0, "modern": 0, "unstated": 0, "total": 0}


def test_the_report_says_counts_then_errors_then_warnings(mixed):
    lines = report(mixed).splitlines()
    assert lines[:6] == [
        "Dataset: korea, split train",
        "Culture: Korea",
        "Rows: 4 usable, 1 with errors, 1 left out by `include` or `consent`",
        "Negatives: 1",
        "",
        "category           traditional      modern    unstated       total",
    ]
    assert [line.split() for line in lines[6:17]] == [
        ["food_drink", "0", "0", "1", "1"],
        ["people_actions", "0", "0", "0", "0"],
        ["clothing", "0", "0", "0", "0"],
        ["architecture", "0", "0", "0", "0"],
        ["city", "1", "1", "0", "2"],
        ["dance_music_art", "0", "0", "0", "0"],
        ["nature", "0", "0", "0", "0"],
        ["utensil_tool", "0", "0", "0", "0"],
        ["religion_festival", "0", "0", "0", "0"],
        ["unknown", "0", "0", "1", "1"],
        ["all", "1", "1", "2", "4"],
    ]
    error, warnings = lines[17:20], lines[20:]
    assert error[:2] == ["", "Errors: 1"]
    assert error[2].startswith("  metadata.jsonl, row 5: `images/x.png` does not exist.")
    assert warnings[:2] == ["", "Warnings: 2"]
    assert warnings[2].startswith("  metadata.jsonl: the category of 1 of 4 rows is guessed")
    assert warnings[3].startswith("  metadata.jsonl, row 3: the caption is that of row 1.")


def test_the_report_of_a_set_without_fault_says_so(make):
    assert report(read_dataset(make(row()))).endswith("\n\nErrors: none\n\nWarnings: none")


def test_the_json_report_holds_the_same(mixed):
    content = json.loads(json.dumps(report_json(mixed)))
    problems = content.pop("problems")
    assert content == {
        "name": "korea",
        "root": str(mixed.root),
        "split": "train",
        "culture": "Korea",
        "usable": False,
        "rows": 4,
        "rows_with_errors": 1,
        "excluded": 1,
        "negatives": 1,
        "categories": count_by_category(mixed),
    }
    assert [(problem["row"], problem["kind"], problem["level"]) for problem in problems] == [
        (None, "category-guessed", "warning"),
        (3, "same-caption", "warning"),
        (5, "missing-picture", "error"),
    ]
    assert [problem["message"] for problem in problems] == [
        problem.message for problem in mixed.problems
    ]


def test_warnings_leave_a_set_usable(make):
    dataset = read_dataset(make(row(blip_text="soup")))
    assert report_json(dataset)["usable"] is True


@pytest.mark.parametrize(
    ("room", "names"),
    [
        (
            data,
            "Dataset RowPictures count_by_category dataset_digest dataset_version "
            "load_row_pictures read_dataset report report_json",
        ),
        (
            data_rows,
            "CATEGORIES DatasetCard DatasetRow ERAS NO_CAPTION PREFIX_CATEGORIES RowReader "
            "read_card refuses_consent",
        ),
        (
            data_checks,
            "Columns Findings METADATA Problem as_on_disk inside missing_file parse_object place "
            "printable read_bytes read_text",
        ),
        (captions, "caption_warnings degeneracy named_culture"),
    ],
)
def test_the_public_names_are_these(room, names):
    assert sorted(room.__all__) == names.split()
