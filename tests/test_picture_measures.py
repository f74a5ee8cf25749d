"""A picture's numbers, and the file that keeps them."""

import json
import threading

import pytest
from drawings import drawing
from PIL import Image, ImageFilter

from scoft_training.config import ReportConfig
from scoft_training.picture_measures import (
    QUALITY,
    PictureMeasures,
    measure_picture,
    read_measures,
    write_measures,
)

ONE = PictureMeasures(300, 200, 12.5, "00ff00ff00ff00ff", "ff00ff00ff00ff00")
LIMIT = ReportConfig().least_sharpness


@pytest.mark.parametrize("seed", range(8))
def test_the_threshold_parts_drawings_from_blurred_ones(seed):
    picture = drawing(seed)
    assert measure_picture(picture).sharpness > LIMIT
    assert measure_picture(picture.filter(ImageFilter.GaussianBlur(3))).sharpness < LIMIT


def test_a_sharp_part_before_a_soft_background_is_sharp():
    sharp = drawing(3, (1024, 1024))
    soft = sharp.filter(ImageFilter.GaussianBlur(8))
    soft.paste(sharp.crop((300, 300, 700, 700)), (300, 300))
    assert measure_picture(soft).sharpness > LIMIT


def test_sharpness_is_that_of_the_picture_as_training_sees_it():
    picture = drawing(5, (600, 600))
    larger = picture.resize((2400, 2400), Image.Resampling.BICUBIC)
    assert measure_picture(larger).sharpness > LIMIT


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (5, 3), (70, 64)])
def test_the_smallest_pictures_are_measured(size):
    found = measure_picture(Image.new("RGB", size, "blue"))
    assert (found.width, found.height, found.sharpness, found.hash) == (*size, 0.0, "")


def test_what_a_square_keeps():
    assert PictureMeasures(900, 300, 1, "", "").kept_by_crop == pytest.approx(1 / 3)


def test_measures_come_back_and_add_up(tmp_path):
    write_measures(tmp_path, {"a": ONE})
    write_measures(tmp_path, {"b": ONE})
    assert read_measures(tmp_path) == {"a": ONE, "b": ONE}


def test_threads_lose_nothing(tmp_path):
    threads = [
        threading.Thread(target=write_measures, args=(tmp_path, {str(number): ONE}))
        for number in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_measures(tmp_path)) == 12


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1, "pictures": {"a": 3}}'])
def test_a_damaged_file_counts_as_none_and_is_replaced(tmp_path, text):
    (tmp_path / QUALITY).write_text(text)
    assert read_measures(tmp_path) == {}
    write_measures(tmp_path, {"a": ONE})
    assert read_measures(tmp_path) == {"a": ONE}


def test_numbers_of_another_definition_are_not_used(tmp_path):
    write_measures(tmp_path, {"a": ONE})
    values = json.loads((tmp_path / QUALITY).read_text())
    (tmp_path / QUALITY).write_text(json.dumps({**values, "version": 0}))
    assert read_measures(tmp_path) == {}
