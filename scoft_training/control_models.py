"""The networks that tell negatives where things stand: a depth ControlNet, and MiDaS.

Where they come from and whether they go with the base model. Not here: what is done with them
(`negatives`, `depth`).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .depth import DepthEstimator
from .errors import ConfigError, ModelFileError, unknown_name
from .files import digest_json, digest_tensors
from .models import BaseModel, hub_snapshot
from .single_file_networks import controlnet_of_file
from .single_files import FILE_SUFFIXES
from .weights import WeightsSpec, fill_network, find_weights, load_tensors

__all__ = [
    "MIDAS",
    "ControlNet",
    "kind_by_channels",
    "load_controlnet",
    "load_depth",
    "register_controlnet",
    "register_depth",
    "require_fitting",
]

MIDAS = WeightsSpec(
    name="midas",
    file_names=("dpt_hybrid-midas-501f0c75.pt", "dpt_hybrid-midas-501f0c75.safetensors"),
    url="https://huggingface.co/lllyasviel/Annotators/resolve/main/dpt_hybrid-midas-501f0c75.pt",
    sha256="501f0c75",
    hub_repo="lllyasviel/Annotators",
    in_torch_hub=True,
)
"""DPT-Hybrid of MiDaS 3.0, which controlnet_aux's MidasDetector uses; the digest is in its name."""

_KINDS = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "SDXL"}
_WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"


@dataclass(frozen=True)
class ControlNet:
    """A ControlNet, frozen.

    Attributes:
        name: shown to people; never a path.
        network: diffusers' ControlNetModel.
        digest: of its weights.
    """

    name: str
    network: Any
    digest: str

    @classmethod
    def of(cls, name: str, network: Any) -> ControlNet:
        """Freeze a ControlNetModel and take its digest."""
        network.requires_grad_(False).eval()
        return cls(name, network, digest_tensors(network.state_dict()))


ControlNetLoader = Callable[[torch.dtype], ControlNet]
DepthLoader = Callable[[], DepthEstimator]
_CONTROLNETS: dict[str, ControlNetLoader] = {}
_DEPTHS: dict[str, DepthLoader] = {}


def register_controlnet(name: str, loader: ControlNetLoader) -> None:
    """Make `load_controlnet(name)` call `loader(dtype)`; a later registration replaces."""
    _CONTROLNETS[name] = loader


def register_depth(name: str, loader: DepthLoader) -> None:
    """Make `load_depth(name)` call `loader()`; a later registration replaces an earlier one."""
    _DEPTHS[name] = loader


def load_controlnet(
    source: str | Path, *, dtype: torch.dtype, allow_download: bool = True
) -> ControlNet:
    """Load a ControlNet onto the CPU, frozen.

    Args:
        source: a registered name; a folder in diffusers' layout; a single file, of the original
            releases or in diffusers' layout; or a hub id such as `owner/name`.
        dtype: of every weight.
        allow_download: whether a hub id that is not in the local cache may be fetched.

    Raises:
        ModelFileError: nothing is there, or it is no ControlNet.
    """
    if str(source) in _CONTROLNETS:
        return _CONTROLNETS[str(source)](dtype)
    folder = Path(source).expanduser()
    if folder.is_dir():
        return _controlnet_of_folder(folder, folder.resolve().name, dtype)
    if folder.is_file():
        return ControlNet.of(folder.stem, controlnet_of_file(folder, dtype))
    if folder.suffix in FILE_SUFFIXES:
        raise ModelFileError(f"{folder}: there is no such file. Name an existing ControlNet.")
    if re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)):
        snapshot = hub_snapshot(
            str(source),
            ["config.json", _WEIGHTS_FILE],
            what="ControlNet",
            size="1.4 GB",
            allow_download=allow_download,
        )
        return _controlnet_of_folder(snapshot, str(source).split("/")[1], dtype)
    known = f" {unknown_name('ControlNet', str(source), _CONTROLNETS)}" if _CONTROLNETS else ""
    raise ModelFileError(
        f"{source}: no such folder. Name a ControlNet's folder in diffusers' layout (with "
        f"config.json and {_WEIGHTS_FILE}), a ControlNet's file or a hub id such as "
        f"owner/name.{known}"
    )


def kind_by_channels(context_channels: int) -> str:
    """Name a kind of model by the channels of the prompt embeddings that its UNet reads."""
    return _KINDS.get(context_channels, f"a model that reads {context_channels} channels")


def require_fitting(controlnet: ControlNet, base: BaseModel) -> None:
    """Refuse a ControlNet that was made for another kind of base model.

    Raises:
        ModelFileError: naming what differs.
    """
    ours, theirs = base.unet.config, controlnet.network.config
    choose = "Choose a depth ControlNet made for the base model."
    dims = (theirs.cross_attention_dim, ours.cross_attention_dim)
    if dims[0] != dims[1]:
        kinds = [kind_by_channels(dim) for dim in dims]
        raise ModelFileError(
            f"ControlNet {controlnet.name}: this ControlNet is for {kinds[0]} but the base "
            f"{base.name} is {kinds[1]}. {choose}"
        )
    for key in ("in_channels", "block_out_channels", "down_block_types", "layers_per_block"):
        pair = [
            tuple(value) if isinstance(value := config[key], list) else value
            for config in (theirs, ours)
        ]
        if pair[0] != pair[1]:
            raise ModelFileError(
                f"ControlNet {controlnet.name}: its {key} is {pair[0]} where the base {base.name} "
                f"has {pair[1]}, so it is for another kind of model. {choose}"
            )
    channels = theirs.conditioning_channels
    scale = 2 ** (len(theirs.conditioning_embedding_out_channels) - 1)
    if channels != 3 or scale != base.vae_scale_factor:
        raise ModelFileError(
            f"ControlNet {controlnet.name}: it takes a condition of {channels} channels and "
            f"shrinks it by {scale}, but depth comes with 3 and the base {base.name} shrinks by "
            f"{base.vae_scale_factor}. {choose}"
        )


def load_depth(
    source: str | Path | None = None,
    *,
    allow_download: bool = True,
    search_folders: Sequence[Path] = (),
) -> DepthEstimator:
    """Load a depth network onto the CPU, in float32: fewer bits would show as steps in the depth.

    Args:
        source: a registered name; or MiDaS' file or folder; None looks for it
            (`weights.find_weights`).
        allow_download: whether MiDaS may be fetched (some 490 MB).
        search_folders: parents of helpers' folders, say the host's models/scoft.

    Raises:
        ConfigError: controlnet_aux is not installed.
        ModelFileError: the weights are not found or are not MiDaS'.
    """
    if source is not None and str(source) in _DEPTHS:
        return _DEPTHS[str(source)]()
    path = find_weights(
        MIDAS,
        explicit=None if source is None else Path(source),
        allow_download=allow_download,
        search_folders=search_folders,
    )
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        network = _empty_midas()
        tensors: dict[str, Tensor] = load_tensors(path)
        fill_network(network, tensors, path=path, expected="MiDaS DPT-Hybrid")
    network.float().requires_grad_(False).eval()
    digest = digest_json(["midas dpt_hybrid", digest_tensors(network.state_dict())])
    return DepthEstimator(network, digest=digest)


def _empty_midas() -> torch.nn.Module:
    """The network inside controlnet_aux's MidasDetector, before its file is read.

    The detector's own loader would unpickle the file, and its own call gives 8 bits and rounds
    sizes to multiples of 64.
    """
    try:
        with warnings.catch_warnings():
            # The package imports all of its detectors, several of which warn about what they miss.
            warnings.simplefilter("ignore")
            from controlnet_aux.midas.midas.dpt_depth import DPTDepthModel

            network: torch.nn.Module = DPTDepthModel(
                path=None, backbone="vitb_rn50_384", non_negative=True
            )
    except ImportError as error:
        raise ConfigError(
            f"Estimating depth needs the Python package controlnet_aux ({error}). Run `pip install "
            "-r requirements.txt`, or bring depth pictures along in the column `depth`."
        ) from error
    return network


def _controlnet_of_folder(folder: Path, name: str, dtype: torch.dtype) -> ControlNet:
    from diffusers import ControlNetModel

    for part in ("config.json", _WEIGHTS_FILE):
        if not (folder / part).is_file():
            raise ModelFileError(
                f"{folder / part}: missing. A ControlNet in diffusers' layout is a folder with "
                f"config.json and {_WEIGHTS_FILE}; put the missing one there or name another "
                "folder."
            )
    try:
        config = ControlNetModel.load_config(folder)
        if config.get("_class_name") != "ControlNetModel":
            raise ModelFileError(
                f"{folder}: this is a {config.get('_class_name')}, not a ControlNetModel. Name a "
                "depth ControlNet's folder."
            )
        with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
            network = ControlNetModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, torch_dtype=dtype
            )
    except ModelFileError:
        raise
    # diffusers raises OSError, ValueError, KeyError, SafetensorError and others.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelFileError(
            f"{folder}: could not be loaded ({reason}). It must hold a config and safetensors "
            "weights as diffusers' save_pretrained writes them; put them there."
        ) from error
    return ControlNet.of(name, network)
