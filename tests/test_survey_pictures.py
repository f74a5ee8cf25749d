"""Pictures for a survey's page: alike in all but what they show."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from survey_grid import picture, save_telling

from scoft_training.errors import DatasetError
from scoft_training.survey_pictures import is_pixel_art, page_pictures

SECRETS = (b"Zweitmodell", b"software", b"parameters", b"tEXt", b"iTXt", b"iCCP", b"ICC_PROFILE")


def decoded(url):
    """Return the kind, the bytes and the picture of a `data:` URL."""
    head, _, text = url.partition(",")
    assert head.endswith(";base64")
    data = base64.b64decode(text)
    image = Image.open(io.BytesIO(data))
    image.load()
    return head.removeprefix("data:image/").removesuffix(";base64"), data, image


def files(folder, **sizes):
    """Write telling pictures of these sizes; return their paths by name."""
    found = {}
    for name, size in sizes.items():
        found[name] = folder / f"{name}.png"
        save_telling(picture(name, size=size), found[name], "Zweitmodell")
    return found


@pytest.mark.parametrize("lossless", [True, False])
def test_nothing_but_the_pixels_comes_along(tmp_path, lossless):
    paths = files(tmp_path, a=(200, 160), b=(200, 160))
    raw = paths["a"].read_bytes()
    assert b"Zweitmodell" in raw
    assert b"iCCP" in raw
    assert b"eXIf" in raw
    made = page_pictures(paths, longest=160, lossless=lossless, where="The prompt 'x'").urls
    for url in made.values():
        kind, data, image = decoded(url)
        assert kind == ("png" if lossless else "jpeg")
        assert not [secret for secret in SECRETS if secret in data]
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert dict(image.getexif()) == {}
        assert image.size == (160, 128)


def test_a_jpegs_comment_is_gone_too(tmp_path):
    paths = {name: tmp_path / f"{name}.jpg" for name in "ab"}
    for name, path in paths.items():
        picture(name).save(path, comment=b"by Zweitmodell")
    for url in page_pictures(paths, longest=512, lossless=False, where="x").urls.values():
        _, data, image = decoded(url)
        assert b"Zweitmodell" not in data
        assert "comment" not in image.info


def test_all_are_encoded_alike_wherever_they_come_from(tmp_path):
    paths = {"a": tmp_path / "a.png", "b": tmp_path / "b.jpg", "c": tmp_path / "c.webp"}
    for name, path in paths.items():
        picture(name).save(path)
    made = page_pictures(paths, longest=512, lossless=False, where="x").urls
    # All that stands before the pixels: tables, sizes, and nothing beside them.
    heads = {decoded(url)[1].partition(b"\xff\xda")[0] for url in made.values()}
    assert len(heads) == 1
    images = [decoded(url)[2] for url in made.values()]
    assert {image.format for image in images} == {"JPEG"}
    assert len({repr(image.quantization) for image in images}) == 1
    assert len({repr(image.layer) for image in images}) == 1


def test_sizes_of_a_page_agree_and_none_is_enlarged(tmp_path):
    paths = files(tmp_path, a=(96, 96), b=(200, 200), c=(130, 130))
    made = page_pictures(paths, longest=512, lossless=True, where="x").urls
    assert {decoded(url)[2].size for url in made.values()} == {(96, 96)}
    made = page_pictures(paths, longest=64, lossless=True, where="x").urls
    assert {decoded(url)[2].size for url in made.values()} == {(64, 64)}


def test_a_small_picture_is_kept_pixel_by_pixel(tmp_path):
    paths = files(tmp_path, a=(32, 32), b=(32, 32))
    made = page_pictures(paths, longest=512, lossless=True, where="x").urls
    for name in paths:
        assert np.array_equal(np.asarray(decoded(made[name])[2]), picture(name, size=(32, 32)))


def test_jpeg_keeps_what_people_see(tmp_path):
    paths = files(tmp_path, a=(160, 160), b=(160, 160))
    image = decoded(page_pictures(paths, longest=512, lossless=False, where="x").urls["a"])[2]
    before, after = (np.asarray(one, dtype=float) for one in (picture("a"), image))
    assert np.abs(before - after).mean() < 1.5


def test_sizes_that_differed_are_told(tmp_path):
    paths = files(tmp_path, a=(96, 96), b=(200, 200), c=(96, 96))
    alike = {name: paths[name] for name in "ac"}
    for shown, apart in ((paths, True), (alike, False)):
        # Also where all of them are scaled: their sharpness differs.
        for longest in (64, 512):
            made = page_pictures(shown, longest=longest, lossless=True, where="x")
            assert made.scaled_apart is apart


def test_a_picture_of_nothing_but_detail_is_encoded(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    made = page_pictures({"a": tmp_path / "a.png"}, longest=512, lossless=False, where="x")
    kind, data, image = decoded(made.urls["a"])
    assert (kind, image.size) == ("jpeg", (300, 300))
    assert len(data) > 300 * 300


def test_shapes_that_would_tell_pictures_apart_are_refused(tmp_path):
    paths = files(tmp_path, a=(160, 160), b=(200, 100))
    with pytest.raises(DatasetError, match="The prompt 'x': .* x .* pixels, another one"):
        page_pictures(paths, longest=512, lossless=False, where="The prompt 'x'")


def test_a_damaged_picture_is_named(tmp_path):
    paths = files(tmp_path, a=(160, 160), b=(160, 160))
    paths["b"].write_bytes(paths["b"].read_bytes()[:900])
    with pytest.raises(DatasetError, match="b.png"):
        page_pictures(paths, longest=512, lossless=False, where="x")


@pytest.mark.parametrize(
    ("sides", "longest", "small"),
    [((32, 64), 512, True), ((32, 160), 512, False), ((160, 160), 96, True), ((128,), 512, True)],
)
def test_what_is_shown_pixel_by_pixel_is_decided_by_the_largest(tmp_path, sides, longest, small):
    paths = files(tmp_path, **{f"p{n}": (side, side) for n, side in enumerate(sides)})
    assert is_pixel_art(list(paths.values()), longest) is small
