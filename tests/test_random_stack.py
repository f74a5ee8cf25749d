"""The random stack: real classes, aligned pictures."""

import torch
from PIL import Image
from random_stack import draw_demo_dataset, save_random_clip

from scoft_training.data import load_row_pictures, read_dataset
from scoft_training.files import file_sha256


def test_the_drawn_set_is_usable_and_always_the_same(tmp_path):
    for name in ("one", "two"):
        draw_demo_dataset(tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    # Pictures, negatives and depth of 12 rows, pictures and depth of 4, and three JSON files.
    assert len(files) == 12 + 24 + 12 + 4 + 4 + 3
    for path in files:
        assert file_sha256(tmp_path / "one" / path) == file_sha256(tmp_path / "two" / path)
    for split, count in (("train", 12), ("test", 4)):
        dataset = read_dataset(
            tmp_path / "one", split, needs_generic_captions=True, needs_negatives=split == "train"
        )
        dataset.require_usable()
        assert len(dataset.rows) == count


def test_negatives_stand_where_their_picture_stands(tmp_path):
    draw_demo_dataset(tmp_path / "d")
    row = read_dataset(tmp_path / "d").rows[0]
    pictures = load_row_pictures(row, resolution=160, crop_mode="center", seed=0)
    # The sky is the only part without an edge of the subject; where it ends is the outline.
    outline = (pictures.image - pictures.image[:, :1, :1]).abs().sum(0) > 0.05
    for negative in pictures.negatives:
        same = (negative - negative[:, :1, :1]).abs().sum(0) > 0.05
        agreement = (outline & same).sum() / (outline | same).sum()
        assert agreement > 0.9


def test_depth_lies_on_its_picture_and_is_nearest_at_the_subject(tmp_path):
    draw_demo_dataset(tmp_path / "d")
    row = read_dataset(tmp_path / "d").rows[0]
    pictures = load_row_pictures(row, resolution=160, crop_mode="center", seed=0)
    sky = pictures.image[:, :1, :1]
    subject = ((pictures.image - sky).abs().sum(0) > 0.05)[:120]
    near = (pictures.depth[0] > 0.7)[:120]
    assert (subject & near).sum() / (subject | near).sum() > 0.95


def test_a_drawn_picture_is_a_picture(tmp_path):
    draw_demo_dataset(tmp_path / "d", num_pictures=3)
    with Image.open(read_dataset(tmp_path / "d").rows[0].image_path) as image:
        assert len(image.convert("RGB").getcolors(256)) >= 4


def test_the_random_clip_goes_through_the_real_loading_code(tmp_path):
    from scoft_training.backbones import load_backbone

    save_random_clip(tmp_path / "clip")
    backbone = load_backbone(
        "clipconv",
        weights=tmp_path / "clip",
        device="cpu",
        dtype=torch.float32,
        allow_download=False,
    )
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    (features,) = backbone.features(images)
    assert features.shape[0] == 2
    assert backbone.distance([features[:1]], [features[1:]]).item() > 0
