"""Pictures of every kind become upright RGB, and one crop shows the same square of each."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from scoft_training import pictures
from scoft_training.errors import ConfigError, DatasetError
from scoft_training.pictures import (
    Crop,
    companion_crop,
    crop_and_resize,
    decide_crop,
    open_depth,
    open_picture,
    same_aspect,
)

WHERE = "metadata.jsonl, row 17: `images/a.jpg`"
SHA = "ab" * 32


def opened(image, path, **options):
    image.save(path, **options)
    return open_picture(path, where=WHERE)


def colours(image):
    """All pixels, row by row."""
    assert image.mode == "RGB"
    return [tuple(pixel) for row in np.asarray(image).tolist() for pixel in row]


# How each EXIF orientation stores the upright 3 x 2 picture [[1, 2, 3], [4, 5, 6]].
STORED = {
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[3, 6], [2, 5], [1, 4]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[4, 1], [5, 2], [6, 3]],
}


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_obeyed(tmp_path, orientation, suffix):
    stored = Image.fromarray(np.array(STORED[orientation], dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = opened(stored, tmp_path / f"a.{suffix}", exif=exif)
    assert np.asarray(image)[:, :, 0].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_exif_orientation_of_a_jpeg_swaps_its_sides(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = opened(Image.new("RGB", (30, 20)), tmp_path / "a.jpg", exif=exif)
    assert image.size == (20, 30)


def test_a_broken_exif_block_counts_as_upright(tmp_path):
    image = opened(Image.new("RGB", (3, 2)), tmp_path / "a.jpg", exif=b"Exif\0\0nonsense")
    assert image.size == (3, 2)


def test_grey_keeps_its_values(tmp_path):
    assert colours(opened(Image.new("L", (1, 1), 77), tmp_path / "a.png")) == [(77, 77, 77)]
    assert colours(opened(Image.new("1", (1, 1), 1), tmp_path / "b.png")) == [(255, 255, 255)]


def test_alpha_is_composited_over_white(tmp_path):
    # 51 is a fifth of 255: 0.2 x 100 + 0.8 x 255 = 224; 0.2 x 0 + 0.8 x 255 = 204.
    image = Image.new("RGBA", (3, 1))
    image.putdata([(100, 0, 255, 51), (10, 20, 30, 255), (10, 20, 30, 0)])
    expected = [(224, 204, 255), (10, 20, 30), (255, 255, 255)]
    assert colours(opened(image, tmp_path / "a.png")) == expected


def test_grey_with_alpha_is_composited_over_white(tmp_path):
    assert colours(opened(Image.new("LA", (1, 1), (100, 51)), tmp_path / "a.png")) == [(224,) * 3]


def test_a_transparent_colour_becomes_white(tmp_path):
    image = Image.new("RGB", (2, 1), (9, 8, 7))
    image.putpixel((1, 0), (1, 2, 3))
    expected = [(9, 8, 7), (255, 255, 255)]
    assert colours(opened(image, tmp_path / "a.png", transparency=(1, 2, 3))) == expected


def palette_picture():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    return image


def test_palette_colours_are_looked_up(tmp_path):
    image = opened(palette_picture(), tmp_path / "a.png")
    assert colours(image) == [(10, 20, 30), (200, 100, 50)]


def test_a_transparent_palette_entry_becomes_white(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow warns of transparency given as bytes
        image = opened(palette_picture(), tmp_path / "a.png", transparency=b"\xff\x00")
    assert colours(image) == [(10, 20, 30), (255, 255, 255)]


def test_cmyk_becomes_rgb(tmp_path):
    # Channel = (255 - ink) (255 - black) / 255, and 204 = 0.8 x 255: full cyan leaves no red.
    image = Image.new("CMYK", (2, 1), (255, 0, 51, 0))
    image.putpixel((1, 0), (0, 0, 0, 51))
    assert colours(opened(image, tmp_path / "a.tiff")) == [(0, 255, 204), (204, 204, 204)]


def test_cmyk_jpeg_is_not_inverted(tmp_path):
    image = opened(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), tmp_path / "a.jpg")
    assert set(colours(image)) == {(255, 255, 255)}


@pytest.mark.parametrize(
    ("suffix", "dtype"), [("png", "<u2"), ("tiff", "<u2"), ("tiff", ">u2"), ("pgm", "<i4")]
)
def test_16_bit_grey_is_scaled_not_clipped(tmp_path, suffix, dtype):
    # 65535 / 255 = 257: 0, 300 / 257 = 1.17, 32768 / 257 = 127.5019, 65535 / 257 = 255.
    image = Image.fromarray(np.array([[0, 300, 32768, 65535]], dtype=dtype))
    path = tmp_path / f"a.{suffix}"
    assert colours(opened(image, path)) == [(0,) * 3, (1,) * 3, (128,) * 3, (255,) * 3]
    depth = np.asarray(open_depth(path, where=WHERE))
    np.testing.assert_allclose(depth, [[0, 300 / 65535, 32768 / 65535, 1]], rtol=1e-6)


def test_grey_beyond_16_bits_is_refused(tmp_path):
    Image.fromarray(np.array([[0, 65536]], dtype=np.int32)).save(tmp_path / "a.tiff")
    with pytest.raises(DatasetError, match=r"row 17: .* holds numbers from 0 to 65536, but grey"):
        open_picture(tmp_path / "a.tiff", where=WHERE)


def test_of_an_animation_the_first_frame_is_taken(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    image = opened(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert set(colours(image)) == {(255, 0, 0)}


def test_the_kind_is_told_from_the_bytes(tmp_path):
    Image.new("RGB", (2, 2), "red").save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert set(colours(open_picture(tmp_path / "a.jpg", where=WHERE))) == {(255, 0, 0)}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"^metadata.jsonl, row 17: `images/a.jpg` does not exi"):
        open_picture(tmp_path / "a.jpg", where=WHERE)


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(DatasetError, match=r"row 17: .* cannot be opened .* a file that you may"):
        open_picture(tmp_path, where=WHERE)


@pytest.mark.parametrize("content", [b"", b"plain text", None])
def test_what_is_no_picture_is_refused(tmp_path, content):
    if content is None:  # a format whose reader would start a program
        Image.new("RGB", (2, 2)).save(tmp_path / "a.jpg", format="EPS")
    else:
        (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DatasetError, match=r"row 17: .* is not a picture of a kind that is read"):
        open_picture(tmp_path / "a.jpg", where=WHERE)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "tiff"])
def test_half_a_picture_is_refused_even_where_a_host_told_pillow_to_accept_it(
    tmp_path, monkeypatch, suffix
):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DatasetError, match=r"^metadata.jsonl, row 17: `images/a.jpg` "):
        open_picture(path, where=WHERE)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.parametrize("host_limit", [None, 3])
def test_the_size_limit_is_ours_and_is_checked_before_decoding(tmp_path, monkeypatch, host_limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", host_limit)
    monkeypatch.setattr(pictures, "MAX_PIXELS", 12)
    Image.new("RGB", (4, 3)).save(tmp_path / "fits.png")
    Image.new("RGB", (13, 1)).save(tmp_path / "large.png")
    Image.new("RGB", (50, 50)).save(tmp_path / "huge.png")  # over twice the limit Pillow raises
    # Signature, header and the first 8 bytes of the pixels' chunk.
    (tmp_path / "header.png").write_bytes((tmp_path / "large.png").read_bytes()[:41])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_picture(tmp_path / "fits.png", where=WHERE).size == (4, 3)
        for name in ("large.png", "huge.png", "header.png"):
            with pytest.raises(DatasetError, match=r"row 17: .* has more than 0 megapixels"):
                open_picture(tmp_path / name, where=WHERE)
    assert Image.MAX_IMAGE_PIXELS == host_limit


def test_depth_keeps_16_bits_through_the_crop(tmp_path):
    # Neighbouring 16-bit values differ by 1 / 65535; 8 bits would make them equal.
    steps = np.array([[1000, 1001], [1002, 1003]], dtype=np.uint16)
    Image.fromarray(steps).save(tmp_path / "depth.png")
    depth = open_depth(tmp_path / "depth.png", where=WHERE)
    assert depth.mode == "F"
    cut = crop_and_resize(depth, Crop(0, 0, 1, 1), 2)
    assert cut.shape == (1, 2, 2)
    expected = torch.tensor([[[1000.0, 1001.0], [1002.0, 1003.0]]]) / 65535
    torch.testing.assert_close(cut, expected, rtol=0, atol=1e-7)


def test_8_bit_depth_lies_in_0_to_1(tmp_path):
    Image.new("RGB", (1, 1), (51, 51, 51)).save(tmp_path / "depth.png")
    depth = np.asarray(open_depth(tmp_path / "depth.png", where=WHERE))
    np.testing.assert_allclose(depth, [[0.2]], rtol=1e-6)


def test_coloured_depth_is_refused(tmp_path):
    Image.new("RGB", (1, 1), (1, 2, 1)).save(tmp_path / "depth.png")
    with pytest.raises(DatasetError, match=r"row 17: .* has colours, but depth must be grey"):
        open_depth(tmp_path / "depth.png", where=WHERE)


def test_float_depth_outside_0_to_1_is_refused(tmp_path):
    for index, values in enumerate(([0.0, 1.5], [0.0, float("nan")])):
        path = tmp_path / f"{index}.tiff"
        Image.fromarray(np.array([values], dtype=np.float32)).save(path)
        with pytest.raises(DatasetError, match=r"row 17: .* holds numbers .* between 0 and 1\."):
            open_depth(path, where=WHERE)


def test_the_centre_crop_leaves_out_as_much_on_both_sides():
    wide = decide_crop((10, 4), mode="center", seed=0, picture_sha256=SHA)
    assert wide == Crop(left=0.3, top=0.0, right=0.7, bottom=1.0)
    tall = decide_crop((4, 11), mode="center", seed=0, picture_sha256=SHA)
    # Seven rows are free: three above (whole pixels), four below.
    assert tall == Crop(left=0.0, top=3 / 11, right=1.0, bottom=7 / 11)


def test_random_crops_reach_both_ends_and_nothing_beyond():
    lefts = set()
    for seed in range(60):
        crop = decide_crop((6, 4), mode="random", seed=seed, picture_sha256=SHA)
        left, top, right, bottom = crop.box((6, 4))
        assert (right - left, top, bottom) == (pytest.approx(4), 0, 4)
        lefts.add(round(left, 6))
    assert lefts == {0.0, 1.0, 2.0}


def test_a_random_crop_depends_on_seed_and_picture():
    crops = {
        decide_crop((10_000, 10), mode="random", seed=seed, picture_sha256=sha).left
        for seed in (0, 1)
        for sha in ("ab" * 32, "cd" * 32)
    }
    assert len(crops) == 4


def test_a_random_crop_is_the_same_in_another_process_after_other_draws():
    script = (
        "import torch; torch.rand(3)\n"
        "from scoft_training.pictures import decide_crop\n"
        "decide_crop((999, 10), mode='random', seed=8, picture_sha256='ef')\n"
        f"print(decide_crop((1000, 10), mode='random', seed=7, picture_sha256={SHA!r}).left)"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    here = decide_crop((1000, 10), mode="random", seed=7, picture_sha256=SHA).left
    assert float(done.stdout) == here


def test_an_unknown_crop_mode_is_refused():
    with pytest.raises(ConfigError, match=r"Unknown crop mode 'centre'.*Did you mean 'center'"):
        decide_crop((3, 2), mode="centre", seed=0, picture_sha256=SHA)


def test_a_crop_at_its_own_resolution_copies_pixels():
    numbers = np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3)
    crop = decide_crop((5, 3), mode="center", seed=0, picture_sha256=SHA)
    cut = crop_and_resize(Image.fromarray(numbers), crop, 3)
    expected = torch.from_numpy(numbers[:, 1:4]).permute(2, 0, 1).float() / 255
    torch.testing.assert_close(cut, expected, rtol=0, atol=0)
    assert cut.dtype == torch.float32


def test_shrinking_is_antialiased():
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))
    cut = crop_and_resize(Image.fromarray(stripes).convert("RGB"), Crop(0, 0, 1, 1), 8)
    torch.testing.assert_close(cut, torch.full((3, 8, 8), 0.5), rtol=0, atol=0.03)


def test_enlarging_stays_in_range():
    edge = np.zeros((2, 2), dtype=np.float32)
    edge[:, 1] = 1.0
    cut = crop_and_resize(Image.fromarray(edge), Crop(0, 0, 1, 1), 16)
    assert (cut.min(), cut.max()) == (0, 1)
    assert (cut[0, 0].diff() >= 0).all()


@pytest.mark.parametrize("side", range(1, 40))
def test_a_crop_never_exceeds_a_picture_of_another_size(side):
    crop = decide_crop((3 * 7, 7), mode="random", seed=side, picture_sha256=SHA)
    crop_and_resize(Image.new("RGB", (3 * side, side)), crop, 2)


@pytest.mark.parametrize(
    ("size_a", "size_b", "same"),
    [
        ((1024, 683), (512, 341), True),  # 341.5 rounded down
        ((1024, 683), (512, 342), True),
        ((1024, 683), (512, 343), False),
        ((683, 1024), (341, 512), True),
        ((683, 1024), (339, 512), False),
        ((100, 50), (50, 100), False),
        ((100, 1000), (10, 105), True),  # 10.5 rounded down
        ((1000, 100), (105, 10), True),
        ((512, 512), (64, 64), True),
        ((513, 512), (64, 64), True),
        ((1000, 100), (100, 10), True),
        ((1000, 100), (200, 10), False),
    ],
)
def test_same_aspect_allows_one_pixel_of_the_smaller(size_a, size_b, same):
    assert same_aspect(size_a, size_b) is same
    assert same_aspect(size_b, size_a) is same


def test_a_companion_gets_the_crop_or_is_taken_whole():
    crop = decide_crop((64, 48), mode="center", seed=0, picture_sha256=SHA)
    for mode in ("center", "random"):
        assert companion_crop((32, 24), (64, 48), crop, mode=mode, where=WHERE) == crop
    whole = companion_crop((32, 32), (64, 48), crop, mode="center", where=WHERE)
    assert whole == Crop(0, 0, 1, 1)


def test_a_companion_of_another_shape_is_refused():
    crop = Crop(0, 0, 1, 1)
    with pytest.raises(DatasetError, match=r"row 17: .* is 64 x 32 pixels, but its picture 64 x"):
        companion_crop((64, 32), (64, 48), crop, mode="center", where=WHERE)
    with pytest.raises(DatasetError, match=r"32 x 32 .* does not go with crop 'random'"):
        companion_crop((32, 32), (64, 48), crop, mode="random", where=WHERE)


def test_the_public_names_are_these():
    assert sorted(pictures.__all__) == [
        "CROP_MODES",
        "Crop",
        "MAX_PIXELS",
        "companion_crop",
        "crop_and_resize",
        "decide_crop",
        "open_depth",
        "open_picture",
        "picture_kind",
        "same_aspect",
    ]


def step_edge(width, height, column, *, mode="RGB"):
    values = np.zeros((height, width), dtype=np.uint8)
    values[:, column:] = 255
    return Image.fromarray(values).convert(mode)


@pytest.mark.parametrize(("mode", "seed"), [("center", 0), ("random", 1), ("random", 2)])
def test_an_edge_lands_on_the_same_pixel_whatever_the_size(mode, seed):
    # The edge stands at 5/12 of the width. A square of 2/3 of it starts at L, so in the crop the
    # edge is at (5/12 - L) / (2/3), the same for all sizes.
    crop = decide_crop((96, 64), mode=mode, seed=seed, picture_sha256=SHA)
    expected = (5 / 12 - crop.left) / (2 / 3) * 24
    for scale in (24, 48, 96, 192, 960):
        cut = crop_and_resize(step_edge(scale, scale * 2 // 3, scale * 5 // 12), crop, 24)
        # The bright part's width is the sum of a row; overshoot and bytes cost some hundredths.
        assert float((1 - cut[0, 12]).sum()) == pytest.approx(expected, abs=0.25)
