"""What every metric network does: pictures prepared as references do it, always one vector each."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawings import drawing
from PIL import Image
from torchvision import transforms

from scoft_training import metric_network_interface as interface
from scoft_training.errors import ConfigError
from scoft_training.metric_network_interface import (
    MetricNetwork,
    TextMetricNetwork,
    centre_cut,
    squeezed,
    to_bytes,
)

SIZES = [(97, 61), (61, 97), (130, 131), (60, 140), (300, 50), (45, 45)]


def as_images(picture):
    return transforms.functional.to_tensor(picture)[None]


def bytes_of(picture):
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


class Means(MetricNetwork):
    """Weighted means of the channels, written down where the pictures come from."""

    def __init__(self, scale=1.0, **options):
        layer = torch.nn.Linear(3, 2)
        torch.nn.init.constant_(layer.weight, scale)
        super().__init__("means", layer, convention="Means.", dim=2, **{"settings": {}, **options})
        self.seen = None

    def _vectors(self, images):
        self.seen = images
        return self.network(images.mean(dim=(2, 3)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("side", "shortest"), [(32, 32), (32, 37), (24, 31)])
def test_the_centre_is_cut_as_torchvisions_resize_and_crop_cut_it(size, side, shortest):
    picture = drawing(3, size)
    reference = transforms.Compose(
        [
            transforms.Resize(shortest, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(side),
        ]
    )
    got = to_bytes(centre_cut(as_images(picture), side, shortest))[0]
    assert torch.equal(got, bytes_of(reference(picture)))


@pytest.mark.parametrize("size", SIZES)
def test_squeezing_is_pillows_bicubic_of_the_whole_picture(size):
    picture = drawing(4, size)
    wanted = picture.resize((29, 29), Image.Resampling.BICUBIC)
    assert torch.equal(to_bytes(squeezed(as_images(picture), 29))[0], bytes_of(wanted))


@pytest.mark.parametrize(
    "prepare", [lambda images: squeezed(images, 31), lambda images: centre_cut(images, 31, 31)]
)
def test_a_picture_of_the_networks_size_stays_as_it_is(prepare):
    once = prepare(as_images(drawing(5, (90, 50))))
    assert once.shape == (1, 3, 31, 31)
    assert torch.equal(prepare(once), once)


def test_a_picture_is_prepared_once_of_whatever_size():
    class Cut(Means):
        def prepare(self, images):
            return centre_cut(images, 45, 58)

    network, small = Cut(), as_images(drawing(5, (45, 45)))
    # The part that is left of a picture of 45 pixels is enlarged, as of every other.
    prepared = network.prepare(small)
    assert not torch.equal(prepared, small)
    assert torch.equal(network.embed(small), network.embed_prepared(prepared))


def test_pictures_are_rounded_to_8_bits_on_any_path():
    # 0.5 * 255 = 127.5 rounds to the even 128; 1.01 is beyond white.
    images = torch.tensor([0.0, 0.5, 1.01]).view(1, 3, 1, 1).expand(1, 3, 4, 6)
    assert to_bytes(images)[0, :, 0, 0].tolist() == [0, 128, 255]
    network = Means()
    network.embed(images)
    assert network.seen[0, :, 0, 0].tolist() == pytest.approx([0.0, 128 / 255, 1.0])
    assert network.seen.dtype == torch.float32


def test_vectors_are_float32_without_gradient_whatever_computes_them():
    network = Means(dtype=torch.float64)
    vectors = network.embed(torch.rand(3, 3, 5, 7, requires_grad=True))
    assert network.seen.dtype == torch.float64
    assert (vectors.dtype, vectors.device.type, vectors.shape) == (torch.float32, "cpu", (3, 2))
    assert not vectors.requires_grad


def test_images_of_another_shape_are_refused():
    with pytest.raises(ConfigError) as caught:
        Means().embed(torch.zeros(3, 41, 43))
    assert str(caught.value) == (
        "`images` must be (batch, 3, height, width) but got (3, 41, 43). Pass pictures with three "
        "colour channels, and one alone as a batch of one."
    )


def test_the_digest_follows_weights_settings_and_format():
    torch.manual_seed(0)
    one = Means()
    torch.manual_seed(0)
    same = Means()
    torch.manual_seed(0)
    others = [Means(2.0), Means(settings={"layer": 3}), Means(dtype=torch.float64)]
    assert one.digest == same.digest
    assert len({one.digest, *(other.digest for other in others)}) == 4


def test_a_network_is_frozen_and_in_eval_mode():
    network = Means()
    assert not network.network.training
    assert not any(parameter.requires_grad for parameter in network.network.parameters())


def precisions():
    return torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision


def test_on_a_gpu_it_computes_in_full_float32_and_leaves_the_switches_as_they_were():
    if not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        pytest.skip("this torch has the older switches only")
    before = precisions()
    with interface._plain_arithmetic(torch.device("cuda")):
        assert precisions() == ("ieee", "ieee")
    assert precisions() == before
    assert before != ("ieee", "ieee")
    with interface._plain_arithmetic(torch.device("cpu")):
        assert precisions() == before


class Letters(TextMetricNetwork):
    """Texts as counts of letters; a text has a token a letter."""

    def __init__(self):
        counts = torch.nn.Linear(26, 26, bias=False)
        torch.nn.init.eye_(counts.weight)
        self.batches = []
        super().__init__(
            "letters",
            counts,
            settings={},
            convention="Letters.",
            dim=26,
            context_length=7,
            encode=lambda text: [ord(letter) - 97 for letter in text],
            tokenize=self.tokens,
            tower=lambda tokens: counts(torch.nn.functional.one_hot(tokens, 26).sum(1).float()),
        )

    def tokens(self, texts):
        self.batches.append(len(texts))
        return torch.tensor([self._encode(text[:2]) for text in texts])


def test_texts_are_embedded_in_batches_in_their_order():
    network = Letters()
    texts = [f"{chr(97 + index % 26)}a" for index in range(130)]
    vectors = network.embed_text(texts)
    assert network.batches == [64, 64, 2]
    assert vectors.shape == (130, 26)
    assert [int(row.nonzero().max()) for row in vectors] == [index % 26 for index in range(130)]
    assert network.embed_text([]).shape == (0, 26)


def test_texts_longer_than_the_context_are_named():
    # Seven tokens, two of them the marks: five letters fit.
    assert Letters().cut(["abcde", "abcdef", "", "abcdefgh"]) == [1, 3]


def test_the_public_names_are_pinned():
    assert interface.__all__ == [
        "MetricNetwork",
        "TextMetricNetwork",
        "centre_cut",
        "squeezed",
        "to_bytes",
    ]
