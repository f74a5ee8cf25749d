"""Perceptual networks: pictures in [0, 1] -> features, and the distance between two sets of them.

Every network is frozen and stays in eval mode; gradients go to the pictures only. A network's
library is imported when that network is chosen. Where its weights lie is the matter of `weights`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .errors import ConfigError, ModelFileError, unknown_name
from .files import digest_json, digest_tensors
from .weights import WeightsSpec, fill_network, find_weights, load_tensors

__all__ = [
    "BackboneLoader",
    "BackboneRequest",
    "ClipBackbone",
    "LpipsBackbone",
    "PerceptualBackbone",
    "backbone_description",
    "backbone_names",
    "load_backbone",
    "load_clip",
    "register_backbone",
]


class PerceptualBackbone(nn.Module):
    """One frozen network behind the one interface that losses, filter and metrics use.

    Args:
        name: under which it is registered.
        network: holds the weights, on CPU and in the file's number formats; it is cast to `dtype`.
        settings: everything else that decides the features, for the digest.
        dtype: of the network. Preprocessing and distances are float32, or float64 with float64.
        image_size: side to which pictures are resized; None leaves them as they are.
        constants: small tensors beside the network, which stay float32 or wider.

    Attributes:
        digest: sha256 over weights (names, shapes, values) and settings, `dtype` among them. Files
            that hold the same values in fp16 and in fp32 have the same digest.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        *,
        settings: Mapping[str, Any],
        dtype: torch.dtype,
        image_size: int | None = None,
        constants: Mapping[str, Tensor],
    ) -> None:
        super().__init__()
        self.name = name
        self.image_size = image_size
        self.dtype = dtype
        self.wide_dtype = torch.float64 if dtype == torch.float64 else torch.float32
        identity = {
            **settings,
            "class": type(self).__name__,
            "dtype": str(dtype),
            "image_size": image_size,
        }
        self.digest = _digest({**network.state_dict(), **constants}, identity)
        self.network = network.to(dtype)
        for key, value in constants.items():
            self.register_buffer(key, value.to(self.wide_dtype), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the features of pictures.

        Args:
            images: (batch, 3, height, width) in [0, 1].

        Returns:
            Tensors of shape (batch, ...); differentiable in images.

        Raises:
            ConfigError: images have another shape.
        """
        raise NotImplementedError

    def distance(self, features: list[Tensor], other: list[Tensor]) -> Tensor:
        """Return S, (batch,), zero for equal features; here the mean of squared differences.

        It is computed in float32 or wider, whatever the features are in.
        """
        return _sum(
            (self._wide(one) - self._wide(two)).square().flatten(1).mean(dim=1)
            for one, two in zip(features, other, strict=True)
        )

    def train(self, mode: bool = True) -> PerceptualBackbone:  # noqa: ARG002 - the base class's
        """Stay in eval mode: a batch norm that follows the batch would be another network."""
        return super().train(False)

    def _wide(self, tensor: Tensor) -> Tensor:
        return tensor.to(torch.promote_types(tensor.dtype, self.wide_dtype))

    def _checked(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 3:
            raise ConfigError(
                f"`images` must be (batch, 3, height, width) but got {tuple(images.shape)}. Pass "
                "pictures with three colour channels, and one alone as a batch of one."
            )
        return images.to(self.wide_dtype)


class ClipBackbone(PerceptualBackbone):
    """CLIP's picture tower up to its last map: convolutions or transformer tokens.

    Of the ResNet: layer4(layer3(layer2(layer1(stem(x))))), without the attention pool
    (CLIPConv, section 4.3). Of the transformer: all tokens after the last block, before the final
    norm, as in the authors' code. Distances are means of squared differences.

    Attributes:
        mean: of CLIP's pictures, (3, 1, 1).
        std: likewise.
    """

    mean: Tensor
    std: Tensor

    def features(self, images: Tensor) -> list[Tensor]:
        """Return one tensor: (batch, channels, rows, columns) or (batch, tokens, channels)."""
        pixel_values = self.preprocess(images).to(self.dtype)
        network: Any = self.network
        if hasattr(network, "layer4"):
            stem = network.stem(pixel_values)
            return [network.layer4(network.layer3(network.layer2(network.layer1(stem))))]
        answer = network.forward_intermediates(
            pixel_values,
            indices=1,  # the last one
            intermediates_only=True,
            output_fmt="NLC",
            output_extra_tokens=True,
        )
        tokens = [answer["image_intermediates_prefix"][0], answer["image_intermediates"][0]]
        return [torch.cat(tokens, dim=1)]

    def preprocess(self, images: Tensor) -> Tensor:
        """Resize the whole picture to the network's square (bicubic, antialiased), and normalise.

        CLIP's own preprocessing also clamps and rounds to 8 bits, which has no gradient. A picture
        that is not square is squeezed.
        """
        images = self._checked(images)
        for dim in (-2, -1):
            if images.shape[dim] != self.image_size:
                matrix = _resize_matrix(
                    images.shape[dim], int(self.image_size or 0), images.dtype, images.device
                )
                images = torch.tensordot(images, matrix, dims=([dim], [1])).movedim(-1, dim)
        return (images - self.mean) / self.std


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
        return _sum(
            (self._wide(one) - self._wide(two)).square().sum(dim=1).mean(dim=(1, 2))
            for one, two in zip(features, other, strict=True)
        )


@dataclass(frozen=True)
class BackboneRequest:
    """What a loader is asked for; the fields are those of `load_backbone`."""

    dtype: torch.dtype
    weights: Path | None = None
    allow_download: bool = True
    search_folders: Sequence[Path] = ()

    def find(self, spec: WeightsSpec) -> Path:
        """Return the file with the weights that `spec` describes, by `find_weights`."""
        return find_weights(
            spec,
            explicit=self.weights,
            allow_download=self.allow_download,
            search_folders=self.search_folders,
        )


BackboneLoader = Callable[[BackboneRequest], PerceptualBackbone]
"""Builds a backbone on CPU; the network's library is imported inside."""


@dataclass(frozen=True)
class _Entry:
    loader: BackboneLoader
    description: str


_REGISTRY: dict[str, _Entry] = {}


def register_backbone(name: str, loader: BackboneLoader, *, description: str) -> None:
    """Make a backbone known under `name`, in place of one that had that name before."""
    _REGISTRY[name] = _Entry(loader, description)


def backbone_names() -> tuple[str, ...]:
    """Return the registered names, in the order of their registration."""
    return tuple(_REGISTRY)


def backbone_description(name: str) -> str:
    """Return the sentence that a backbone was registered with.

    Raises:
        ConfigError: there is no backbone of that name.
    """
    return _entry(name).description


def load_backbone(
    name: str,
    *,
    weights: Path | None = None,
    device: torch.device | str,
    dtype: torch.dtype,
    allow_download: bool = True,
    search_folders: Sequence[Path] = (),
) -> PerceptualBackbone:
    """Return a registered backbone, ready on `device`; global random state is left alone.

    Args:
        name: one of `backbone_names()`.
        weights: its file or folder; None looks for it (`weights.find_weights`).
        device: where it is to compute.
        dtype: of the network; pictures and distances stay float32 or wider.
        allow_download: whether missing weights may be fetched.
        search_folders: parents of helpers' folders, say the host's models/scoft.

    Raises:
        ConfigError: no backbone of that name, or its library is not installed.
        ModelFileError: its weights are not found or are not its.
    """
    entry = _entry(name)
    try:
        # The canvas runs in inference mode, whose tensors no gradient can pass; and the libraries'
        # constructors draw random weights, which are overwritten.
        with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
            request = BackboneRequest(dtype, weights, allow_download, search_folders)
            return entry.loader(request).to(device=device)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The perceptual backbone {name!r} needs the Python package {error.name!r}, which is "
            "not installed. Run `pip install -r requirements.txt`, or choose another backbone."
        ) from error


def load_clip(spec: WeightsSpec, model_name: str, request: BackboneRequest) -> ClipBackbone:
    """Return the picture tower of a CLIP in open_clip's or openai's form; its text is dropped.

    A folder in open_clip's own form (open_clip_config.json beside open_clip_model.safetensors)
    decides the sizes, the picture's included; else they are those of open_clip's `model_name`,
    which decides between ResNet and transformer in any case. The backbone is called `spec.name`.
    The weights of the attention pool or the final norm and projection may be missing.

    Raises:
        ModelFileError: not found, or not the weights of that kind of network.
    """
    import open_clip

    path = request.find(spec)
    model_config = open_clip.get_model_config(model_name)
    preprocess_config: dict[str, Any] = {}
    origin = f"CLIP {model_name.removesuffix('-quickgelu')}"
    is_resnet = isinstance(model_config["vision_cfg"]["layers"], list)
    config_path = path.with_name("open_clip_config.json")
    if path.name.startswith("open_clip_") and config_path.is_file():
        model_config, preprocess_config = _read_config(config_path)
        origin = f"the CLIP that {config_path.name} describes"
    kind = "ModifiedResNet" if is_resnet else "VisionTransformer"
    try:
        # On meta nothing is allocated or drawn, and the text tower costs nothing.
        with torch.device("meta"):
            network = open_clip.CLIP(
                model_config["embed_dim"],
                vision_cfg=model_config["vision_cfg"],
                text_cfg={"layers": 1},
                quick_gelu=model_config.get("quick_gelu", False),
            ).visual
        constants = {
            key: torch.tensor(preprocess_config.get(key, default), dtype=torch.float64).view(
                3, 1, 1
            )
            for key, default in (
                ("mean", open_clip.OPENAI_DATASET_MEAN),
                ("std", open_clip.OPENAI_DATASET_STD),
            )
        }
        image_size = int(model_config["vision_cfg"].get("image_size", 224))
    # What a config file says reaches constructors that check little, so every kind is translated.
    except Exception as error:
        raise ModelFileError(
            f"{config_path}: describes no CLIP that open_clip can build ({error!r}). Name a folder "
            f"that open_clip saved, with a {kind} for pictures."
        ) from error
    if type(network).__name__ != kind:
        raise ModelFileError(
            f"{config_path}: describes a {type(network).__name__}, but the perceptual backbone "
            f"{spec.name!r} needs a {kind}. Name another folder, or choose another backbone."
        )
    unused: tuple[str, ...] = ("attnpool.",)
    settings: dict[str, Any] = {}
    if is_resnet:
        network.attnpool = None
    else:
        network.ln_post, network.proj, network.attn_pool = nn.Identity(), None, None
        unused = ("ln_post.", "proj", "attn_pool")
        vision = open_clip.CLIPVisionCfg(**model_config["vision_cfg"])
        settings = {**asdict(vision), "quick_gelu": bool(model_config.get("quick_gelu"))}
    tensors = {
        key.removeprefix("visual."): value
        for key, value in load_tensors(path, sha256=spec.sha256).items()
        if key.startswith("visual.") and not key.removeprefix("visual.").startswith(unused)
    }
    fill_network(network, tensors, path=path, expected=f"{origin} ({kind})")
    return ClipBackbone(
        spec.name,
        network,
        settings=settings,
        dtype=request.dtype,
        image_size=image_size,
        constants=constants,
    )


def _entry(name: str) -> _Entry:
    if name not in _REGISTRY:
        raise ConfigError(unknown_name("perceptual backbone", name, _REGISTRY))
    return _REGISTRY[name]


def _load_lpips(request: BackboneRequest) -> LpipsBackbone:
    import lpips

    path = request.find(_VGG16)
    trunk_tensors = {
        _vgg_slice_key(key): value
        for key, value in load_tensors(path, sha256=_VGG16.sha256).items()
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
    return LpipsBackbone("lpips", trunk, settings={}, dtype=request.dtype, constants=constants)


def _vgg_slice_key(key: str) -> str:
    """Turn torchvision's `features.<n>.weight` into lpips' `slice<k>.<n>.weight`."""
    parts = key.split(".")
    if parts[0] != "features" or len(parts) != 3 or not parts[1].isdecimal():
        return key
    # lpips cuts VGG16 behind relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3.
    number = 1 + sum(int(parts[1]) >= first for first in (4, 9, 16, 23))
    return f"slice{number}.{parts[1]}.{parts[2]}"


def _read_config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return dict(config["model_cfg"]), dict(config.get("preprocess_cfg", {}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(
            f"{path}: cannot be read as open_clip's config ({error!r}). It needs `model_cfg` and "
            "may have `preprocess_cfg`; save the model again with open_clip."
        ) from error


def _digest(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> str:
    # float32 holds every fp16 and bf16 number, so the file's own format does not matter.
    wide = {
        name: tensor.to(torch.promote_types(tensor.dtype, torch.float32))
        for name, tensor in tensors.items()
        if tensor.is_floating_point()
    }
    return digest_json({"weights": digest_tensors(wide), "settings": settings})


@lru_cache(maxsize=16)
def _resize_matrix(size: int, new_size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return (new_size, size): bicubic antialiased resizing of one axis as a product.

    It is torch's own interpolation, read off at the unit vectors. As a product its backward pass
    is repeatable on CUDA to the last bit, which interpolate's is not, and resumed runs rely on it.
    """
    with torch.inference_mode(False):
        units = torch.eye(size, dtype=torch.float64)[None, None]
        matrix = nn.functional.interpolate(
            units, size=(new_size, size), mode="bicubic", antialias=True
        )
        return matrix[0, 0].to(device=device, dtype=dtype)


def _sum(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum(dim=0)


def _openai_clip(name: str, file_name: str, sha256: str, hub_repo: str) -> WeightsSpec:
    return WeightsSpec(
        name=name,
        file_names=(file_name, "open_clip_model.safetensors"),
        url=f"https://openaipublic.azureedge.net/clip/models/{sha256}/{file_name}",
        sha256=sha256,
        hub_repo=hub_repo,
        shared_folders=("~/.cache/clip",),
    )


_RN101 = _openai_clip(
    "clipconv",
    "RN101.pt",
    "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599",
    "timm/resnet101_clip.openai",
)
_RN50 = _openai_clip(
    "clipconv_rn50",
    "RN50.pt",
    "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
    "timm/resnet50_clip.openai",
)
_VIT_B32 = _openai_clip(
    "clip_vit_b32",
    "ViT-B-32.pt",
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    "timm/vit_base_patch32_clip_224.openai",
)
_VGG16 = WeightsSpec(
    name="lpips",
    file_names=("vgg16-397923af.pth",),
    url="https://download.pytorch.org/models/vgg16-397923af.pth",
    sha256="397923af",
    in_torch_hub=True,
)

for _spec, _model_name, _description in (
    (_RN101, "RN101-quickgelu", "CLIPConv: last convolutions of CLIP RN101 (section 4.3)."),
    (_RN50, "RN50-quickgelu", "CLIPConv on the smaller RN50."),
    (_VIT_B32, "ViT-B-32-quickgelu", "CLIP ViT-B/32's last block, as in the authors' code."),
):
    register_backbone(_spec.name, partial(load_clip, _spec, _model_name), description=_description)
register_backbone(
    _VGG16.name, _load_lpips, description="LPIPS on VGG16, at the pictures' own size."
)
