"""The pictures of a folder: which count, in which order, and what is said where there are none."""

import os
import shutil

import pytest
from drawings import drawing

from scoft_training import picture_folders
from scoft_training.errors import DatasetError
from scoft_training.files import file_sha256
from scoft_training.picture_folders import PictureFile, pictures_of_folder


def write(folder, *names):
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        drawing(number, (60, 48)).save(path, format="PNG")


def test_pictures_of_all_folders_come_with_their_digests(tmp_path):
    write(tmp_path, "a.png", "in/b.JPG", "in/deep/c.webp", "d.tif")
    pictures = pictures_of_folder(tmp_path)
    assert {file.path.name for file in pictures} == {"a.png", "b.JPG", "c.webp", "d.tif"}
    assert all(file.sha256 == file_sha256(file.path) for file in pictures)


def test_other_files_hidden_ones_and_what_systems_leave_are_passed_over(tmp_path):
    write(tmp_path, "a.png", "._a.png", ".thumbs/b.png", "__MACOSX/c.png", "@eaDir/a.png/d.png")
    (tmp_path / "captions.txt").write_text("a")
    (tmp_path / "png").write_text("a")
    assert [file.path for file in pictures_of_folder(tmp_path)] == [tmp_path / "a.png"]


def test_the_order_is_that_of_the_content_and_not_of_the_names(tmp_path):
    write(tmp_path / "one", "a.png", "b.png", "c.png", "d.png")
    digests = [file.sha256 for file in pictures_of_folder(tmp_path / "one")]
    (tmp_path / "two" / "inner").mkdir(parents=True)
    for old, new in (("a", "inner/z"), ("b", "k"), ("c", "inner/b"), ("d", "a")):
        shutil.copy(tmp_path / "one" / f"{old}.png", tmp_path / "two" / f"{new}.png")
    moved = pictures_of_folder(tmp_path / "two")
    assert [file.sha256 for file in moved] == digests == sorted(digests)
    assert [file.path for file in moved] != sorted(file.path for file in moved)


def test_a_picture_that_lies_there_twice_is_listed_twice(tmp_path):
    write(tmp_path, "a.png")
    shutil.copy(tmp_path / "a.png", tmp_path / "b.png")
    first, second = pictures_of_folder(tmp_path)
    assert first.sha256 == second.sha256
    assert [first.path.name, second.path.name] == ["a.png", "b.png"]


def test_a_folder_that_is_none_is_named(tmp_path):
    write(tmp_path, "a.png")
    for path, words in ((tmp_path / "gone", "does not exist"), (tmp_path / "a.png", "is a file")):
        with pytest.raises(DatasetError) as caught:
            pictures_of_folder(path)
        assert str(caught.value) == (
            f"{path}: this folder {words}. Name a folder with pictures in it."
        )


def test_a_folder_without_pictures_says_what_would_count(tmp_path):
    (tmp_path / "notes.txt").write_text("a")
    with pytest.raises(DatasetError) as caught:
        pictures_of_folder(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: this folder holds no picture, neither directly nor in the folders in it. Put "
        "pictures there that end in one of .avif, .bmp, .gif, .jpeg, .jpg, .png, .tif, .tiff, "
        ".webp."
    )


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DatasetError, match=r"a\.png: cannot be opened \(No such file"):
        pictures_of_folder(tmp_path)


def test_links_to_folders_are_not_followed(tmp_path):
    write(tmp_path, "a.png")
    os.symlink(tmp_path, tmp_path / "again")
    assert len(pictures_of_folder(tmp_path)) == 1


def test_it_can_be_stopped(tmp_path):
    write(tmp_path, "a.png", "b.png")
    with pytest.raises(KeyboardInterrupt):
        pictures_of_folder(tmp_path, check_stop=lambda: (_ for _ in ()).throw(KeyboardInterrupt))


def test_the_public_names_are_pinned():
    assert picture_folders.__all__ == ["PictureFile", "pictures_of_folder"]
    assert PictureFile.__dataclass_fields__.keys() == {"path", "sha256"}
