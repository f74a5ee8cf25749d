"""The base model: UNet, VAE, caption encoder and noise schedule; where they come from.

Loading, number format, device and the attached LoRA are this room's matter. What is done with the
networks is not.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .caption_encoders import CaptionEncoder, ClipCaptionEncoder, SdxlCaptionEncoder
from .draws import generator
from .errors import ConfigError, ModelFileError, unknown_name
from .files import digest_json, digest_tensors
from .single_file_networks import checkpoint_parts, vae_dtype
from .single_files import FILE_SUFFIXES

__all__ = [
    "LORA_TARGETS",
    "BaseModel",
    "NoiseSchedule",
    "attach_lora",
    "base_digest",
    "detach_lora",
    "hub_snapshot",
    "load_base",
    "lora_parameters",
    "on_device",
    "register_base",
    "resolve_device",
    "resolve_precision",
    "vae_dtype",
]

logger = logging.getLogger(__name__)

LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
"""The attention projections that get a LoRA (SCoFT, section 4.1, and the authors' code)."""

_PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
_SDXL_PARTS = ("text_encoder_2", "tokenizer_2")
_DTYPES = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp64": torch.float64,
}


@dataclass(frozen=True)
class NoiseSchedule:
    """The forward process of the base model.

    Attributes:
        alphas_cumprod: (num_train_timesteps,) abar_t, falling, in [0, 1], float64.
        prediction_type: "epsilon" or "v_prediction".
    """

    alphas_cumprod: Tensor
    prediction_type: str

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return z_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) eps for t of shape (batch,)."""
        signal = self.alphas_cumprod.to(latents)[timesteps].view(-1, 1, 1, 1)
        return signal.sqrt() * latents + (1 - signal).sqrt() * noise


@dataclass(frozen=True)
class BaseModel:
    """A text-to-image model, frozen.

    Attributes:
        name: shown to people and written into the LoRA file; never a path.
        family: "sd1", "sd2" or "sdxl".
        unet: diffusers' UNet2DConditionModel.
        vae: diffusers' AutoencoderKL.
        captions: the caption encoder.
        schedule: the noise schedule.
        digest: of all weights and of the schedule; enters the run id.
    """

    name: str
    family: str
    unet: Any
    vae: Any
    captions: CaptionEncoder
    schedule: NoiseSchedule
    digest: str

    @property
    def scaling_factor(self) -> float:
        """What a VAE latent is multiplied by before the UNet sees it."""
        return float(self.vae.config.scaling_factor)

    @property
    def reads_sizes(self) -> bool:
        """Whether the UNet asks for `size_ids` beside the captions, as SDXL's does."""
        return bool(self.unet.config.addition_embed_type == "text_time")

    @property
    def decoder_parts(self) -> tuple[Any, ...]:
        """What of the VAE is needed to decode."""
        return self.vae.decoder, self.vae.post_quant_conv

    @property
    def vae_scale_factor(self) -> int:
        """Pixels per latent place."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))


BaseLoader = Callable[[torch.dtype], BaseModel]
_BASES: dict[str, BaseLoader] = {}


def register_base(name: str, loader: BaseLoader) -> None:
    """Make `load_base(name)` call `loader(dtype)`; a later registration replaces an earlier one."""
    _BASES[name] = loader


def load_base(source: str | Path, *, dtype: torch.dtype, allow_download: bool = True) -> BaseModel:
    """Load a base model onto the CPU, frozen.

    Args:
        source: a registered name; a folder in diffusers' layout; a single checkpoint file in the
            layout of the original releases, `.safetensors` or `.ckpt`; or a hub id such as
            `owner/name`.
        dtype: of every weight.
        allow_download: whether a hub id that is not in the local cache may be fetched.

    Raises:
        ModelFileError: nothing is there, a part is missing, or the family is not supported.
    """
    if str(source) in _BASES:
        return _BASES[str(source)](dtype)
    folder = Path(source).expanduser()
    if folder.is_dir():
        return _load_folder(folder, folder.resolve().name, dtype)
    if folder.is_file():
        return _load_file(folder, dtype)
    if folder.suffix in FILE_SUFFIXES:
        raise ModelFileError(f"{folder}: there is no such file. Name an existing checkpoint.")
    if re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)):
        parts = (*_PARTS, *_SDXL_PARTS)
        patterns = [f"{part}/{name}" for part in parts for name in ("*.json", "*.txt")]
        patterns += ["model_index.json"]
        patterns += [f"{part}/diffusion_pytorch_model.safetensors" for part in ("unet", "vae")]
        patterns += [f"{part}/model.safetensors" for part in ("text_encoder", "text_encoder_2")]
        snapshot = hub_snapshot(
            str(source),
            patterns,
            what="Base model",
            size="5 GB, SDXL 14 GB",
            allow_download=allow_download,
        )
        return _load_folder(snapshot, str(source).split("/")[1], dtype)
    known = f" {unknown_name('base model', str(source), _BASES)}" if _BASES else ""
    raise ModelFileError(
        f"{source}: no such folder. Name a folder in diffusers' layout (with "
        f"{', '.join(f'{part}/' for part in _PARTS)}), a checkpoint file or a hub id such as "
        f"owner/name.{known}"
    )


def hub_snapshot(
    repository: str, patterns: Sequence[str], *, what: str, size: str, allow_download: bool
) -> Path:
    """Return the local copy of a hub repository, fetched if that is allowed.

    Args:
        repository: `owner/name`.
        patterns: what is read of it; name safetensors only, so that no pickle is ever fetched.
        what: what it holds, for the message, say "Base model".
        size: about how much is fetched, say "5 GB".
        allow_download: whether a repository that is not cached may be fetched.

    Raises:
        ModelFileError: it is not cached and was not fetched.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        if allow_download:
            logger.info("Fetching %s from the hub if it is not cached (some %s)", repository, size)
        return Path(
            snapshot_download(
                repository, allow_patterns=list(patterns), local_files_only=not allow_download
            )
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = (
            "could not be fetched" if allow_download else "is not cached, and downloads are off"
        )
        raise ModelFileError(
            f"{what} {repository}: no folder of that name, and the hub repository {reason} "
            f"({type(error).__name__}). Fetch https://huggingface.co/{repository} into a folder "
            "and name that folder."
        ) from error


def _load_folder(folder: Path, name: str, dtype: torch.dtype) -> BaseModel:
    family = _folder_family(folder)
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

    unet = _load_part(UNet2DConditionModel, folder / "unet", dtype)
    with _translated(folder / "vae"):
        force_upcast = AutoencoderKL.load_config(folder / "vae").get("force_upcast", True)
    wide_enough = vae_dtype(family, dtype, force_upcast=force_upcast)
    vae = _load_part(AutoencoderKL, folder / "vae", wide_enough)
    with _translated(folder / "scheduler"):
        scheduler = DDIMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
    if unet.config.in_channels != vae.config.latent_channels:
        raise ModelFileError(
            f"{folder / 'unet'}: the UNet takes {unet.config.in_channels} channels where the VAE "
            f"makes {vae.config.latent_channels}, as inpainting models do; only plain "
            "text-to-image models can be trained. Choose another base model."
        )
    if scheduler.config.prediction_type not in ("epsilon", "v_prediction"):
        raise ModelFileError(
            f"{folder / 'scheduler'}: prediction type {scheduler.config.prediction_type!r} is not "
            "supported, only epsilon and v_prediction. Choose another base model."
        )
    captions = _folder_captions(folder, family, dtype)
    schedule = NoiseSchedule(scheduler.alphas_cumprod.double(), scheduler.config.prediction_type)
    digest = base_digest(unet, vae, captions, schedule)
    if family == "sd1" and unet.config.cross_attention_dim == 1024:
        family = "sd2"
    return BaseModel(name, family, unet, vae, captions, schedule, digest)


def _folder_family(folder: Path) -> str:
    """Say "sdxl" or "sd1", which stands for 2.x, too, by the folders that are there.

    Raises:
        ModelFileError: one is missing, or it is the refiner.
    """
    sdxl = any((folder / part).is_dir() for part in _SDXL_PARTS)
    if sdxl and not (folder / "text_encoder").is_dir():
        raise ModelFileError(
            f"{folder}: this is SDXL's refiner (it has text_encoder_2 alone), which only finishes "
            "pictures. Choose the SDXL base model."
        )
    needed = (*_PARTS, *(_SDXL_PARTS if sdxl else ()))
    for part in needed:
        if not (folder / part).is_dir():
            raise ModelFileError(
                f"{folder / part}: missing. A base model in diffusers' layout needs the folders "
                f"{', '.join(needed)}; put the missing one there or name another folder."
            )
    return "sdxl" if sdxl else "sd1"


def _folder_captions(folder: Path, family: str, dtype: torch.dtype) -> CaptionEncoder:
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    def tokenizer(part: str) -> Any:
        with _translated(folder / part):
            return CLIPTokenizer.from_pretrained(folder / part, local_files_only=True)

    first = _load_part(CLIPTextModel, folder / "text_encoder", dtype)
    if family != "sdxl":
        return ClipCaptionEncoder(first, tokenizer("tokenizer"))
    second = _load_part(CLIPTextModelWithProjection, folder / "text_encoder_2", dtype)
    return SdxlCaptionEncoder(first, second, tokenizer("tokenizer"), tokenizer("tokenizer_2"))


def _load_file(path: Path, dtype: torch.dtype) -> BaseModel:
    parts = checkpoint_parts(path, dtype)
    captions: CaptionEncoder
    if parts.family == "sdxl":
        captions = SdxlCaptionEncoder(*parts.text_encoders, *parts.tokenizers)
    else:
        captions = ClipCaptionEncoder(*parts.text_encoders, *parts.tokenizers)
    schedule = NoiseSchedule(parts.alphas_cumprod.double(), parts.prediction_type)
    digest = base_digest(parts.unet, parts.vae, captions, schedule)
    # A link's own name: in the hub's cache the file behind it is named by its digest.
    return BaseModel(path.stem, parts.family, parts.unet, parts.vae, captions, schedule, digest)


def base_digest(unet: Any, vae: Any, captions: CaptionEncoder, schedule: NoiseSchedule) -> str:
    """Return the digest of all that a base model is, for the run id."""
    return digest_json(
        [
            digest_tensors(unet.state_dict()),
            digest_tensors(vae.state_dict()),
            captions.digest,
            digest_tensors({"alphas_cumprod": schedule.alphas_cumprod}),
            schedule.prediction_type,
            float(vae.config.scaling_factor),
        ]
    )


def _load_part(part_class: Any, folder: Path, dtype: torch.dtype) -> Any:
    keyword = "dtype" if part_class.__module__.startswith("transformers") else "torch_dtype"
    with _translated(folder), torch.random.fork_rng(devices=[]):
        part = part_class.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, **{keyword: dtype}
        )
    return part.requires_grad_(False).eval()


@contextlib.contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """Turn a library's exception about a missing or broken file into one sentence."""
    try:
        yield
    # Loaders of three libraries raise OSError, ValueError, KeyError, SafetensorError and others.
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelFileError(
            f"{folder}: could not be loaded ({reason}). It must hold a config and safetensors "
            "weights as diffusers' save_pretrained writes them; put them there."
        ) from error


def resolve_device(device: str) -> torch.device:
    """Return the device of a name: auto (a GPU if there is one), cpu, cuda, cuda:1, mps ...

    Of several processes that `accelerate launch` or torchrun started on a machine, each gets the
    GPU of its own number for auto and cuda.

    Raises:
        ConfigError: there is no such device here.
    """
    own = os.environ.get("LOCAL_RANK", "")
    if device == "auto":
        if not torch.cuda.is_available():
            return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
        device = "cuda"
    # Left to torch, all processes would first open the first GPU, and hold some of its memory.
    if device == "cuda" and own.isdigit():
        device = f"cuda:{own}"
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"Device {device!r} cannot be used here ({str(error).splitlines()[0]}). Use auto or "
            "cpu."
        ) from error
    return chosen


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the dtype of the frozen networks on `device`.

    Raises:
        ConfigError: the device has no such arithmetic.
    """
    if precision == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if precision == "fp64" and device.type != "cpu":
        raise ConfigError("`precision` fp64 is for the CPU only; use bf16, fp16 or fp32 here.")
    if precision == "fp16" and device.type == "cpu":
        raise ConfigError("`precision` fp16 needs a GPU; use fp32 or bf16 on the CPU.")
    return _DTYPES[precision]


@contextlib.contextmanager
def on_device(network: Any, device: torch.device) -> Iterator[None]:
    """Keep a network on `device` for the length of a block, then send it back to the CPU."""
    network.to(device)
    try:
        yield
    finally:
        network.to(torch.device("cpu"))
        if device.type == "cuda":
            torch.cuda.empty_cache()


def attach_lora(unet: Any, *, rank: int, alpha: float, seed: int, dtype: torch.dtype) -> None:
    """Add a fresh LoRA to the UNet's attention projections; it changes nothing until trained.

    Down-projections are drawn as in Hu et al. 2021 (Kaiming uniform) from the seed and the layer's
    name alone, up-projections are zero; nothing reads global random state.

    Args:
        unet: diffusers UNet without an adapter; its own weights are frozen.
        rank: rank of every layer.
        alpha: the update is scaled by alpha / rank.
        seed: the run's seed.
        dtype: of the LoRA weights, float32 or float64.
    """
    from peft import LoraConfig

    unet.requires_grad_(False)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(LORA_TARGETS))
    with torch.random.fork_rng(devices=[]):
        unet.add_adapter(config)
    for name, parameter in lora_parameters(unet).items():
        parameter.data = parameter.data.to(dtype)
        if ".lora_A." in name:
            down = torch.empty(parameter.shape, dtype=torch.float64)
            draw = generator(seed, "lora", name)
            torch.nn.init.kaiming_uniform_(down, a=math.sqrt(5), generator=draw)
            parameter.data.copy_(down)


def detach_lora(unet: Any) -> None:
    """Take the LoRA off again; the UNet is then what it was before `attach_lora`."""
    if getattr(unet, "peft_config", None):
        unet.unload_lora()


def lora_parameters(unet: Any) -> dict[str, torch.nn.Parameter]:
    """Return the trainable LoRA weights by name, in order of the names."""
    found = {name: parameter for name, parameter in unet.named_parameters() if ".lora_" in name}
    return dict(sorted(found.items()))
