"""Perspective crops: drawn from one generator, shared by both sides, open to gradients."""

import pytest
import torch

from scoft_training import augmentations
from scoft_training.augmentations import (
    Augmentation,
    augment,
    average_over_augmentations,
    draw_augmentations,
)
from scoft_training.errors import ConfigError


def pictures(batch, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 3, height, width, generator=generator, dtype=torch.float64)


def test_draws_follow_the_generator_only_and_stay_in_their_ranges():
    before = torch.random.get_rng_state()
    drawn = draw_augmentations(200, 50, 70, torch.Generator().manual_seed(3))
    assert drawn == draw_augmentations(200, 50, 70, torch.Generator().manual_seed(3))
    assert drawn != draw_augmentations(200, 50, 70, torch.Generator().manual_seed(4))
    assert torch.equal(torch.random.get_rng_state(), before)
    # A fresh start of the same stream: the first draws do not depend on the count.
    assert drawn[:3] == draw_augmentations(3, 50, 70, torch.Generator().manual_seed(3))
    # Half of half a side: 0.5 * 25 -> 12 rows, 0.5 * 35 -> 17 columns. The crop: the square root
    # of 0.8 * 3500 is 52.9, more than the height, so 50.
    lows = [[0, 0], [69 - 17, 0], [69 - 17, 49 - 12], [0, 49 - 12]]
    highs = [[17, 12], [69, 12], [69, 49], [17, 49]]
    corners = torch.tensor([augmentation.corners for augmentation in drawn])
    assert torch.equal(corners.amin(0), torch.tensor(lows))
    assert torch.equal(corners.amax(0), torch.tensor(highs))
    assert {(one.top, one.side) for one in drawn} == {(0, 50)}
    assert {one.left for one in drawn} == set(range(21))


def test_the_crop_of_a_square_has_0_8_of_its_area():
    (drawn,) = draw_augmentations(1, 64, 64, torch.Generator().manual_seed(0))
    # sqrt(0.8) * 64 = 57.2
    assert drawn.side == 57


def still(height, width, top, left, side):
    corners = ((0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1))
    return Augmentation(height, width, corners, top, left, side)


def test_views_come_picture_by_picture_and_are_the_crops_they_say():
    images = pictures(3, 20, 24)
    views = augment(images, [still(20, 24, 1, 2, 13), still(20, 24, 7, 11, 13)], size=13)
    assert views.shape == (6, 3, 13, 13)
    torch.testing.assert_close(views[0], images[0, :, 1:14, 2:15])
    torch.testing.assert_close(views[1], images[0, :, 7:20, 11:24])
    torch.testing.assert_close(views[4], images[2, :, 1:14, 2:15])


def test_a_perspective_moves_the_corners_where_it_says_and_leaves_black():
    images = torch.ones(1, 3, 41, 41, dtype=torch.float64)
    corners = ((10, 0), (40, 0), (40, 40), (10, 40))
    view = augment(images, [Augmentation(41, 41, corners, 0, 0, 41)], size=41)
    # The left edge moves from column 0 to column 10; what it uncovers is black.
    assert view[..., :9].abs().max() < 1e-9
    assert view[..., 12:39].min() > 1 - 1e-9


def test_both_sides_share_their_views_and_one_alone_gives_the_same():
    drawn = draw_augmentations(4, 40, 40, torch.Generator().manual_seed(1))
    images = pictures(2, 40, 40)
    views = augment(images, drawn, size=19)
    torch.testing.assert_close(augment(images.clone(), drawn, size=19), views, rtol=0, atol=0)
    torch.testing.assert_close(augment(images[1:], drawn, size=19), views[4:])
    assert augment(images, drawn).shape == (8, 3, 224, 224)


def test_the_gradient_passes_through_the_views():
    drawn = draw_augmentations(3, 17, 17, torch.Generator().manual_seed(6))
    images, target = pictures(2, 17, 17).requires_grad_(), pictures(6, 11, 11, seed=1)
    (gradient,) = torch.autograd.grad((augment(images, drawn, size=11) * target).sum(), images)
    direction = pictures(2, 17, 17, seed=2) - 0.5
    # The views are linear in the pictures.
    wanted = (augment(direction, drawn, size=11) * target).sum()
    torch.testing.assert_close((gradient * direction).sum(), wanted)
    assert gradient.abs().amax(dim=(1, 2, 3)).min() > 0


def test_distances_are_averaged_per_picture():
    distances = torch.tensor([1.0, 2.0, 6.0, 10.0, 20.0, 60.0])
    torch.testing.assert_close(average_over_augmentations(distances, 3), torch.tensor([3.0, 30.0]))


def test_augmentations_of_another_size_are_refused():
    drawn = draw_augmentations(1, 30, 40, torch.Generator().manual_seed(0))
    with pytest.raises(ConfigError) as caught:
        augment(pictures(1, 40, 30), drawn)
    assert str(caught.value) == (
        "The augmentations were drawn for pictures of 30 x 40 pixels, but these have 40 x 30. Draw "
        "them for the size of the pictures."
    )


def test_the_public_names_are_pinned():
    assert augmentations.__all__ == [
        "Augmentation",
        "augment",
        "average_over_augmentations",
        "draw_augmentations",
    ]
