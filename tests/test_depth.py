"""Depth lies on its picture pixel for pixel, survives its file, and is refused with a sentence."""

import pytest
import torch
from PIL import Image
from random_stack import random_controlnet, save_random_base, save_random_controlnet

from scoft_training import control_models
from scoft_training.control_models import (
    MIDAS,
    ControlNet,
    load_controlnet,
    load_depth,
    register_controlnet,
    register_depth,
    require_fitting,
)
from scoft_training.depth import DepthEstimator, load_depth_picture, save_depth_picture
from scoft_training.errors import ModelFileError
from scoft_training.files import digest_tensors
from scoft_training.models import load_base


class Grey(torch.nn.Module):
    """The grey value as depth; refuses sides that are no multiples of 32, as MiDaS would."""

    def forward(self, images):
        assert images.shape[-1] % 32 == 0 == images.shape[-2] % 32
        assert images.min() >= -1
        assert images.max() <= 1
        return images.mean(1)


GREY = DepthEstimator(Grey(), digest="grey")


@pytest.mark.parametrize("side", [64, 72, 104, 120])
def test_a_step_edge_lands_on_its_own_column(side):
    image = torch.full((3, side, side), 0.2)
    column = side // 2 + 3
    image[:, :, column:] = 0.7
    depth = GREY.estimate(image)
    assert depth.shape == (1, side, side)
    assert (depth[0, :, :column] == 0).all()
    assert (depth[0, :, column:] == 1).all()


def test_only_the_picture_itself_is_normalised_not_its_padding():
    class Corner(torch.nn.Module):
        def forward(self, images):
            depth = images.mean(1)
            depth[:, 72:, :] = 99.0
            return depth

    image = torch.linspace(0.25, 0.75, 72).expand(3, 72, 72)
    depth = DepthEstimator(Corner(), digest="corner").estimate(image)
    torch.testing.assert_close(depth[0, 0], torch.linspace(0, 1, 72))


def test_constant_depth_is_flat_and_nonsense_is_refused():
    assert (GREY.estimate(torch.full((3, 72, 72), 0.4)) == 0).all()

    class Broken(torch.nn.Module):
        def forward(self, images):
            return images.mean(1) / 0

    with pytest.raises(ModelFileError, match="not finite.*fetch them again"):
        DepthEstimator(Broken(), digest="broken").estimate(torch.full((3, 64, 64), 0.5))


def test_pictures_smaller_than_their_padding_are_padded_too():
    assert GREY.estimate(torch.rand(3, 8, 8)).shape == (1, 8, 8)


def test_sixteen_bits_survive_the_file(tmp_path):
    depth = torch.linspace(0, 1, 64 * 64).reshape(1, 64, 64)
    save_depth_picture(tmp_path / "depth.png", depth)
    with Image.open(tmp_path / "depth.png") as image:
        assert image.mode.startswith("I;16")
    assert (load_depth_picture(tmp_path / "depth.png") - depth).abs().max() <= 0.5 / 65535 + 1e-7


def test_a_controlnet_is_read_from_its_folder_and_does_something(tmp_path):
    save_random_controlnet(tmp_path / "control")
    state = torch.random.get_rng_state()
    loaded = load_controlnet(tmp_path / "control", dtype=torch.float32)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert loaded.name == "control"
    made = random_controlnet()
    assert digest_tensors(loaded.network.state_dict()) == digest_tensors(made.state_dict())
    assert loaded.digest == ControlNet.of("other name", made).digest
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())
    down, middle = loaded.network(
        torch.zeros(1, 4, 8, 8),
        torch.tensor([5]),
        encoder_hidden_states=torch.zeros(1, 3, 32),
        controlnet_cond=torch.rand(1, 3, 64, 64),
        return_dict=False,
    )
    assert middle.abs().sum() > 0
    assert all(part.abs().sum() > 0 for part in down)


def test_a_controlnet_that_is_none_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="no such folder.*config.json"):
        load_controlnet(tmp_path / "nothing", dtype=torch.float32)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelFileError, match=r"config.json: missing.*put the missing one there"):
        load_controlnet(tmp_path / "empty", dtype=torch.float32)
    (tmp_path / "file.safetensors").write_bytes(b"x")
    with pytest.raises(ModelFileError, match="cannot be read as safetensors.*fetch it again"):
        load_controlnet(tmp_path / "file.safetensors", dtype=torch.float32)
    save_random_base(tmp_path / "base")
    with pytest.raises(ModelFileError, match="this is a UNet2DConditionModel, not a Contr"):
        load_controlnet(tmp_path / "base" / "unet", dtype=torch.float32)
    save_random_controlnet(tmp_path / "broken")
    weights = tmp_path / "broken" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelFileError, match="broken: could not be loaded"):
        load_controlnet(tmp_path / "broken", dtype=torch.float32)
    with pytest.raises(ModelFileError, match="owner/name: no folder.*downloads are off"):
        load_controlnet("owner/name", dtype=torch.float32, allow_download=False)


def test_a_controlnet_for_another_base_is_refused(tmp_path):
    save_random_base(tmp_path / "base")
    base = load_base(tmp_path / "base", dtype=torch.float32)
    network = random_controlnet()
    require_fitting(ControlNet.of("fits", network), base)
    network.register_to_config(cross_attention_dim=1024)
    base.unet.register_to_config(cross_attention_dim=768)
    with pytest.raises(
        ModelFileError, match=r"this ControlNet is for Stable Diffusion 2\.x but the base .*1\.x"
    ):
        require_fitting(ControlNet.of("other", network), base)
    network.register_to_config(cross_attention_dim=768, layers_per_block=2)
    with pytest.raises(ModelFileError, match="layers_per_block is 2 where the base base has 1"):
        require_fitting(ControlNet.of("other", network), base)
    network.register_to_config(layers_per_block=1, conditioning_channels=1)
    with pytest.raises(ModelFileError, match="a condition of 1 channels.*depth comes with 3"):
        require_fitting(ControlNet.of("other", network), base)


def test_others_can_be_registered(monkeypatch):
    monkeypatch.setattr(control_models, "_DEPTHS", {})
    monkeypatch.setattr(control_models, "_CONTROLNETS", {})
    made = ControlNet.of("small", random_controlnet())
    register_depth("grey", lambda: GREY)
    register_controlnet("small", lambda dtype: made)
    assert load_depth("grey") is GREY
    assert load_controlnet("small", dtype=torch.float32) is made
    with pytest.raises(ModelFileError, match="Did you mean 'small'"):
        load_controlnet("smal", dtype=torch.float32)


def test_midas_that_is_nowhere_or_another_network_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ModelFileError, match="no weights of midas.*dpt_hybrid-midas-501f0c75.pt"):
        load_depth(tmp_path)
    torch.save({"weight": torch.zeros(2)}, tmp_path / MIDAS.file_names[0])
    with pytest.raises(ModelFileError, match="does not hold the weights of MiDaS DPT-Hybrid"):
        load_depth(tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:timm")
def test_midas_is_the_network_of_its_detector(tmp_path):
    torch.manual_seed(3)
    network = control_models._empty_midas()
    # Random weights stand in for the real file: names, shapes and the way through are what counts.
    # The last layer is lifted, since the ReLU behind it would leave nothing of random numbers.
    network.scratch.output_conv[4].bias.data += 9
    path = tmp_path / MIDAS.file_names[0]
    torch.save({name: value.half() for name, value in network.state_dict().items()}, path)
    del network

    state = torch.random.get_rng_state()
    estimator = load_depth(tmp_path)
    assert torch.equal(torch.random.get_rng_state(), state)
    image = torch.rand(3, 72, 72)
    found = estimator.estimate(image)
    assert found.shape == (1, 72, 72)
    assert (found.min(), found.max()) == (0, 1)

    from controlnet_aux.midas import MidasDetector

    detector = MidasDetector.from_pretrained(str(tmp_path))
    padded = torch.nn.functional.pad(2 * image[None] - 1, (0, 24, 0, 24), mode="reflect")
    expected = detector.model(padded)[:, :72, :72]
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    torch.testing.assert_close(found, expected)
