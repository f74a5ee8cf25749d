"""LPIPS on VGG16 as a perceptual network: what it computes, and loading it.

Not here: CLIP (`clip_networks`) and the name to choose it by (`backbones`). lpips and torchvision
are imported when it is loaded.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor

from .backbone_interface import BackboneRequest, PerceptualBackbone
from .weights import WeightsSpec, fill_network, load_tensors

__all__ = ["VGG16", "LpipsBackbone", "load_lpips"]

VGG16 = WeightsSpec(
    name="lpips",
    file_names=("vgg16-397923af.pth",),
    url="https://download.pytorch.org/models/vgg16-397923af.pth",
    sha256="397923af",
    in_torch_hub=True,
)


class LpipsBackbone(PerceptualBackbone):
    """LPIPS on VGG16 (Zhang et al. 2018), version 0.1, at the pictures' own size.

    d = sum_l mean_hw sum_c w_lc (f_lc(x) - f_lc(y))^2, f normalised over channels. The features
    are sqrt(w) f, so that those of fixed pictures can be kept; at 512 x 512 they are 128 MB a
    picture in float32.

    Attributes:
        shift: LPIPS' own normalisation of [-1, 1], (1, 3, 1, 1).
        scale: likewise.
        root_weight_0: sqrt(w_0), (1, channels, 1, 1), and so on to root_weight_4.
    """

    shift: Tensor
    scale: Tensor

    def features(self, images: Tensor) -> list[Tensor]:
        """Return five tensors (batch, channels, height / 2^l, width / 2^l), float32 or wider."""
        pixel_values = ((2 * self._checked(images) - 1) - self.shift) / self.scale
        layers = [self._wide(layer) for layer in self.network(pixel_values.to(self.dtype))]
        # vector_norm has gradient 0 at 0, where the square root of lpips' own code gives NaN.
        return [
            getattr(self, f"root_weight_{index}")
            * (layer / (torch.linalg.vector_norm(layer, dim=1, keepdim=True) + 1e-10))
            for index, layer in enumerate(layers)
        ]

    def distance(self, features: list[Tensor], other: list[Tensor]) -> Tensor:
        """Return LPIPS, (batch,): summed over channels and layers, averaged over places."""
        terms = [
            (self._wide(one) - self._wide(two)).square().sum(dim=1).mean(dim=(1, 2))
            for one, two in zip(features, other, strict=True)
        ]
        return torch.stack(terms).sum(dim=0)


def load_lpips(request: BackboneRequest) -> LpipsBackbone:
    """Return LPIPS on torchvision's VGG16; its own linear weights come with the package lpips.

    Raises:
        ModelFileError: VGG16 is not found, or the file holds another network.
    """
    import lpips

    path = request.find(VGG16)
    trunk_tensors = {
        _vgg_slice_key(key): value
        for key, value in load_tensors(path, sha256=VGG16.sha256).items()
        if not key.startswith("classifier.")
    }
    # The parts of lpips.LPIPS(net="vgg"), which itself would fetch VGG16 or draw it at random.
    with warnings.catch_warnings(), torch.device("meta"):
        # lpips 0.1.4 calls torchvision with arguments that torchvision has since renamed.
        warnings.simplefilter("ignore", UserWarning)
        trunk = lpips.pretrained_networks.vgg16(pretrained=False)
    fill_network(trunk, trunk_tensors, path=path, expected="torchvision's VGG16")
    scaling = lpips.ScalingLayer()
    constants = {"shift": scaling.shift, "scale": scaling.scale}
    linear = load_tensors(Path(lpips.__file__).with_name("weights") / "v0.1" / "vgg.pth")
    for index in range(trunk.N_slices):
        constants[f"root_weight_{index}"] = linear[f"lin{index}.model.1.weight"].double().sqrt()
    return LpipsBackbone(VGG16.name, trunk, settings={}, dtype=request.dtype, constants=constants)


def _vgg_slice_key(key: str) -> str:
    """Turn torchvision's `features.<n>.weight` into lpips' `slice<k>.<n>.weight`."""
    parts = key.split(".")
    if parts[0] != "features" or len(parts) != 3 or not parts[1].isdecimal():
        return key
    # lpips cuts VGG16 behind relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3.
    number = 1 + sum(int(parts[1]) >= first for first in (4, 9, 16, 23))
    return f"slice{number}.{parts[1]}.{parts[2]}"
