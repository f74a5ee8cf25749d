"""Inception-v3 is torch-fidelity's own, with weights from a file that is read safely."""

from __future__ import annotations

import pytest
import torch
from drawings import drawing
from small_networks import write_inception_file
from torchvision.transforms.functional import to_tensor

from scoft_training import inception_network
from scoft_training.errors import ConfigError, ModelFileError
from scoft_training.inception_network import INCEPTION
from scoft_training.metric_networks import load_metric_network


def load(weights, **options):
    return load_metric_network(
        "inception", weights=weights, device="cpu", allow_download=False, **options
    )


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    return tmp_path_factory.mktemp("inception") / INCEPTION.file_names[0]


@pytest.fixture(scope="module")
def reference(weights_file):
    """torch-fidelity's own network, with the weights in the file."""
    return write_inception_file(weights_file)


@pytest.fixture(scope="module")
def network(weights_file, reference):
    return load(weights_file)


def test_its_vectors_are_torch_fidelitys_of_the_pictures_bytes(network, reference):
    from torchvision.transforms.functional import pil_to_tensor

    pictures = [drawing(seed, (120, 90)) for seed in range(2)]
    got = network.embed(torch.stack([to_tensor(picture) for picture in pictures]))
    (wanted,) = reference(torch.stack([pil_to_tensor(picture) for picture in pictures]))
    assert got.shape == (2, 2048)
    # The features have a spread of their own: equality says something.
    assert wanted.std() > 0.05
    torch.testing.assert_close(got, wanted, rtol=0, atol=0)


def test_its_resizing_is_not_antialiased(network):
    """Every second column is black: antialiased they would mix to grey, here they alternate."""
    stripes = torch.zeros(1, 3, 598, 598)
    stripes[..., 1::2] = 1.0
    black = torch.zeros(1, 3, 598, 598)
    # TensorFlow 1 takes pixel 2 i for place i of 299 from 598: only the black columns.
    torch.testing.assert_close(network.embed(stripes), network.embed(black))


def test_a_safe_copy_of_the_weights_is_the_same_network(reference, network, tmp_path):
    from safetensors.torch import save_file

    tensors = {n: t.contiguous() for n, t in reference.state_dict().items()}
    del tensors["Conv2d_1a_3x3.bn.num_batches_tracked"]
    save_file(tensors, tmp_path / "any.safetensors")
    assert load(tmp_path / "any.safetensors").digest == network.digest


def test_its_convention_names_both_tools(network):
    assert (network.name, network.dim) == ("inception", 2048)
    assert "as torch-fidelity does it" in network.convention
    assert "clean-fid resizes with antialiasing" in network.convention


def test_double_precision_is_refused_because_torch_fidelity_has_none(weights_file):
    with pytest.raises(ConfigError) as caught:
        load(weights_file, dtype=torch.float64)
    assert str(caught.value) == (
        "The metric network 'inception' runs in float32 only, as torch-fidelity does, but got "
        "torch.float64. Choose float32."
    )


def test_other_weights_are_refused_by_name(reference, tmp_path):
    tensors = dict(reference.state_dict())
    tensors["fc.weight"] = torch.zeros(10, 2048)
    torch.save(tensors, tmp_path / "w.pth")
    with pytest.raises(ModelFileError) as caught:
        load(tmp_path / "w.pth")
    assert str(caught.value).startswith(
        f"{tmp_path / 'w.pth'}: does not hold the weights of torch-fidelity's Inception-v3: size "
        "mismatch for fc.weight"
    )
    assert str(caught.value).endswith(
        "Name the right file, or leave the path empty to have it looked for."
    )


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a weights file was unpickled",))


def test_a_file_with_more_than_tensors_is_not_opened(tmp_path):
    torch.save({"fc.weight": Bomb()}, tmp_path / "w.pth")
    with pytest.raises(ModelFileError, match="holds other objects than tensors"):
        load(tmp_path / "w.pth")


def test_nothing_is_fetched_by_torch_fidelity_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SCOFT_MODELS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(
        "torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url",
        lambda *_, **__: pytest.fail("torch-fidelity went to the network"),
    )
    with pytest.raises(ModelFileError, match=r"releases/download/v0\.2\.0/weights-inception"):
        load(None)


def test_pytorch_fids_copy_in_torchs_folder_is_found(tmp_path, monkeypatch, weights_file, network):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SCOFT_MODELS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / INCEPTION.file_names[1]).symlink_to(weights_file)
    assert load(None).digest == network.digest


def test_the_public_names_are_pinned():
    assert inception_network.__all__ == ["INCEPTION", "InceptionNetwork", "load_inception"]
