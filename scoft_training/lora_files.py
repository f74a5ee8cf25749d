"""The LoRA file: one `.safetensors`, its key names, alpha and header, and the same LoRA on a UNet.

Lives here: writing and reading that file, and copying a LoRA between it, a peft adapter and plain
weights. Not here: making the adapter (`models`) and what a resume needs besides (`checkpoints`).

A LoRA layer adds strength * alpha / rank * up @ down to one weight. In memory its name is the
module's path in diffusers' UNet; files spell it in these ways, all of them read, the first written:

    lora_unet_<path with _>.lora_down.weight, .lora_up.weight, .alpha       kohya and most UIs
    base_model.model.<path>.lora_A.weight, .lora_B.weight (or .lora_A.default.weight)        peft
    unet.<path>.lora_A.weight, unet.<path>.lora.down.weight, <...>.processor.to_q_lora.down.weight
    diffusion_model.<path>.lora_down.weight                        ComfyUI, with LDM's block names

`<path>` may be diffusers' or LDM's (`input_blocks.1.1...`) in each of them.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import math
import platform
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from . import __version__
from .errors import ConfigError, ModelFileError, OutputError, unknown_name
from .files import write_aside

__all__ = [
    "MAX_HEADER_BYTES",
    "Lora",
    "LoraLayer",
    "TrainingRecord",
    "applied_lora",
    "load_into_adapter",
    "lora_digest",
    "lora_from_adapter",
    "lora_from_state_dict",
    "lora_metadata",
    "lora_state_dict",
    "merge_lora",
    "read_lora",
    "read_metadata",
    "write_lora",
]

_log = logging.getLogger(__name__)

MAX_HEADER_BYTES = 1_000_000
"""Longest header written: ComfyUI shows no metadata of a file whose header is above 1 MB."""

_FORMAT_HEADER_BYTES = 100_000_000  # safetensors itself refuses longer ones
_PICKLE_SUFFIXES = (".bin", ".ckpt", ".pkl", ".pt", ".pth")
_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x04")
_ADAPTER_RECORD = "lora_adapter_metadata"

_PAIR_KEY = re.compile(r"(.+?)[._]lora[._](down|up|A|B)(?:\.[^.]+)?\.weight")
_ALPHA_KEY = re.compile(r"(.+?)(?:[._]lora)?\.alpha")
_UNET_PREFIX = re.compile(
    r"(?:base_model\.model\.)?(?:unet\.|lora_unet_|(?:model\.)?diffusion_model\.)?"
)
_OTHER_NETWORKS = ("lora_te", "text_encoder", "bundle_emb.")
_PARTS = {"down": "down", "A": "down", "up": "up", "B": "up"}
_OTHER_KINDS = {
    "DoRA": r"dora_scale|lora_magnitude_vector",
    "LoHa": r"\.hada_",
    "LoKr": r"\.lokr_",
    "OFT": r"\.oft_",
    "Tucker-decomposed LoCon": r"\.lora_mid\.",
    "GLoRA": r"\.[ab][12]\.weight$",
    "(IA)^3": r"\.on_input$",
    "full weight": r"\.(?:diff|diff_b|w_norm|b_norm|set_weight)$",
}

_Weighted: TypeAlias = "nn.Linear | nn.Conv2d"


@dataclass(frozen=True)
class LoraLayer:
    """The update alpha / rank * up @ down of one weight.

    `down` is (rank, in) for a linear layer and (rank, in, height, width) for a convolution; `up` is
    (out, rank) or (out, rank, 1, 1).
    """

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        """Inner size of the product."""
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        """The factor alpha / rank."""
        return self.alpha / self.rank


@dataclass(frozen=True)
class Lora:
    """A whole LoRA: layers by the path of their module in diffusers' UNet, and header strings."""

    layers: Mapping[str, LoraLayer]
    metadata: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """What a run says about itself in its LoRA's header; see `lora_metadata`.

    `family` is sd1, sd2 or sdxl; `started` and `finished` are ISO dates; `category_counts` counts
    pictures per category, and captions have no place here. `credits` holds only names that the
    dataset card or a row's `credit` gives.
    """

    config: Mapping[str, Any]
    run_id: str
    dataset_digest: str
    picture_sha256: tuple[str, ...]
    culture: str
    suffix: str
    category_counts: Mapping[str, int]
    final_losses: Mapping[str, float]
    credits: tuple[str, ...]
    licences: tuple[str, ...]
    base_name: str
    family: str
    prediction_type: str
    resolution: int
    steps: int
    learning_rate: float
    rank: int
    alpha: float
    num_pictures: int
    started: str
    finished: str
    title: str


def write_lora(path: Path, lora: Lora, *, dtype: torch.dtype = torch.float32) -> None:
    """Write one `.safetensors` file with kohya's key names, aside and renamed.

    A header that would exceed `MAX_HEADER_BYTES` loses the ends of its longest lists, then whole
    values; `scoft.trimmed` says which, and a warning is logged.

    Args:
        path: final place, ending in `.safetensors`.
        lora: layers and header strings.
        dtype: number format of `lora_down` and `lora_up`.

    Raises:
        ConfigError: the LoRA has no layers.
        OutputError: another ending, or the file cannot be written.
    """
    if path.suffix != ".safetensors":
        raise OutputError(f"{path}: a LoRA file must end in .safetensors. Choose such a name.")
    if not lora.layers:
        raise ConfigError(f"{path}: the LoRA has no layers, so there is nothing to write.")
    tensors = lora_state_dict(lora, dtype=dtype)
    # diffusers refuses kohya keys beside peft's own record, whose alphas are in the keys by now.
    kept = {key: text for key, text in lora.metadata.items() if key != _ADAPTER_RECORD}
    metadata = _trimmed(kept, MAX_HEADER_BYTES - _entries_bytes(tensors))
    write_aside(path, lambda aside: save_file(tensors, aside, metadata=metadata))


def read_lora(path: Path, unet: nn.Module) -> Lora:
    """Read a LoRA file in any of the spellings of this room's docstring.

    Only the names and shapes of `unet` are looked at: kohya's keys have lost their dots, which only
    the list of modules can restore. A missing alpha means scale 1, unless diffusers' header record
    or peft's `adapter_config.json` beside the file gives one. Text-encoder layers are left out,
    with a warning in the log.

    Args:
        path: a `.safetensors` file.
        unet: the UNet the LoRA is for, with or without peft adapters, on any device.

    Raises:
        ModelFileError: not a readable LoRA file, of another kind, or made for another UNet.
    """
    metadata = read_metadata(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            # Cloned, since these tensors are views of the file, which Windows then cannot replace.
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}
    except (OSError, SafetensorError) as error:
        raise ModelFileError(
            f"{path}: is damaged ({error}). Download or copy the file again."
        ) from error
    config_file = path.with_name("adapter_config.json")
    if path.name == "adapter_model.safetensors" and config_file.is_file():
        record = config_file.read_text(encoding="utf-8", errors="replace")
        metadata = {_ADAPTER_RECORD: record, **metadata}
    return lora_from_state_dict(tensors, unet, metadata=metadata, where=str(path))


def read_metadata(path: Path) -> dict[str, str]:
    """Return the header strings of a `.safetensors` file, without reading its tensors.

    Raises:
        ModelFileError: missing, a pickle, not a safetensors file, or cut short.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(9)
            length = int.from_bytes(start[:8], "little")
            looks_right = start[8:] == b"{" and length <= _FORMAT_HEADER_BYTES
            text = start[8:] + file.read(length - 1) if looks_right else b""
    except FileNotFoundError as error:
        raise ModelFileError(f"{path}: there is no such file. Check the name.") from error
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror}).") from error
    if path.suffix.lower() in _PICKLE_SUFFIXES or (
        not looks_right and start.startswith(_PICKLE_STARTS)
    ):
        raise ModelFileError(
            f"{path}: is a pickle, which can run code when opened, so it is not read. Use the "
            ".safetensors file of this LoRA, or convert it in a place you trust."
        )
    if not looks_right:
        raise ModelFileError(
            f"{path}: is not a safetensors file, whatever its name. Download it again; a web page "
            "or a Git LFS pointer was perhaps saved in its place."
        )
    expected = 8 + length
    if size >= expected:
        try:
            header = json.loads(text)
            metadata = header.pop("__metadata__", None) or {}
            expected += max((entry["data_offsets"][1] for entry in header.values()), default=0)
            metadata = {str(key): str(value) for key, value in metadata.items()}
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise ModelFileError(
                f"{path}: its safetensors header is damaged. Download or copy the file again."
            ) from error
    if size < expected:
        raise ModelFileError(
            f"{path}: is cut short: {size} bytes of at least {expected}. Download or copy it again."
        )
    return metadata


def lora_state_dict(lora: Lora, *, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Return the tensors of the file under kohya's keys: what ComfyUI calls a LORA_MODEL."""
    tensors: dict[str, Tensor] = {}
    for name, layer in sorted(lora.layers.items()):
        key = "lora_unet_" + name.replace(".", "_")
        for part, tensor in (("lora_down", layer.down), ("lora_up", layer.up)):
            copied = tensor.detach().to("cpu", dtype, copy=True).contiguous()
            tensors[f"{key}.{part}.weight"] = copied
        alpha = torch.tensor(layer.alpha, dtype=torch.float32)
        if alpha.item() != layer.alpha:  # an alpha like 0.1 would not come back as it was
            alpha = alpha.new_tensor(layer.alpha, dtype=torch.float64)
        tensors[f"{key}.alpha"] = alpha
    return tensors


def lora_from_state_dict(
    tensors: Mapping[str, Tensor],
    unet: nn.Module,
    *,
    metadata: Mapping[str, str] | None = None,
    where: str = "LoRA",
) -> Lora:
    """Read a LoRA from tensors by name, say a file's or ComfyUI's LORA_MODEL; see `read_lora`.

    `where` begins every message. The returned tensors are those of `tensors`, reshaped where a 1x1
    convolution is spelled as a linear layer or the other way round.

    Raises:
        ModelFileError: as `read_lora`.
    """
    metadata = dict(metadata or {})
    weights = _weights(unet)
    modules = _spellings(weights)
    found: dict[str, dict[str, Tensor]] = {}
    unmatched: dict[str, None] = {}
    other_networks = 0
    for key, tensor in tensors.items():
        if key.startswith(_OTHER_NETWORKS):
            other_networks += 1
            continue
        if match := _PAIR_KEY.fullmatch(key):
            part = _PARTS[match[2]]
        elif match := _ALPHA_KEY.fullmatch(key):
            part = "alpha"
        else:
            raise ModelFileError(_not_a_lora(key, tensors, where))
        spelled = _UNET_PREFIX.sub("", match[1], count=1).replace(".processor.", ".")
        spelled = spelled.replace(".", "_")
        name = modules.get(spelled) or modules.get(f"{spelled}_0")  # attention's old `to_out`
        if name is None:
            unmatched[match[1]] = None
        elif found.setdefault(name, {}).setdefault(part, tensor) is not tensor:
            raise ModelFileError(
                f"{where}: holds layer '{name}' twice, the second time as '{key}'."
            )
    if unmatched:
        raise ModelFileError(
            f"{where}: {len(unmatched)} of {len(unmatched) + len(found)} LoRA layers match no "
            f"module of this UNet, for example '{next(iter(unmatched))}'. {_other_base(metadata)}"
        )
    if not found:
        raise ModelFileError(
            f"{where}: has no LoRA keys for a UNet, and {other_networks} for a text encoder. "
            "Choose a LoRA file that trains the UNet."
        )
    if other_networks:
        _log.warning(
            "%s: %d text-encoder tensors are ignored; only the UNet's LoRA is used.",
            where,
            other_networks,
        )
    recorded_alpha = _recorded_alphas(metadata, where)
    layers = {}
    for name, parts in sorted(found.items()):
        if missing := [part for part in ("down", "up") if part not in parts]:
            raise ModelFileError(
                f"{where}: layer '{name}' has no `lora_{missing[0]}`, so the file is incomplete. "
                "Download or copy it again."
            )
        alpha = parts.get("alpha")
        if alpha is not None and alpha.numel() != 1:
            raise ModelFileError(
                f"{where}: alpha of layer '{name}' must be one number but has shape "
                f"{tuple(alpha.shape)}. Use another file."
            )
        rank = parts["down"].shape[0] if parts["down"].ndim else 0
        value = recorded_alpha(name, rank) if alpha is None else float(alpha.item())
        layers[name] = LoraLayer(parts["down"], parts["up"], value)
    return Lora(_fitted(layers, weights, where=where, metadata=metadata), metadata)


def lora_from_adapter(unet: nn.Module, adapter_name: str = "default") -> Lora:
    """Copy peft's LoRA layers out of a UNet, to the CPU, detached and sorted by name.

    Raises:
        ConfigError: the UNet has no adapter of that name.
    """
    layers = {}
    for name, module in _adapter(unet, adapter_name).items():
        down, up = (
            side[adapter_name].weight.detach().to("cpu", copy=True).contiguous()
            for side in (module.lora_A, module.lora_B)
        )
        layers[name] = LoraLayer(down, up, _adapter_alpha(module, adapter_name))
    return Lora(layers, {})


def load_into_adapter(unet: nn.Module, lora: Lora, adapter_name: str = "default") -> None:
    """Copy a LoRA into a peft adapter of the same layers, rank and alpha.

    Everything is compared before anything is copied, so a refused call changes nothing.

    Raises:
        ConfigError: no such adapter, or layers, rank, alpha or shapes differ.
    """
    adapter = _adapter(unet, adapter_name)
    if differing := sorted(adapter.keys() ^ lora.layers.keys()):
        owner = "the LoRA" if differing[0] in lora.layers else "the adapter"
        raise ConfigError(
            f"The LoRA has {len(lora.layers)} layers and the adapter to be filled "
            f"{len(adapter)}: '{differing[0]}' is only in {owner}. Start from a LoRA of the same "
            "layers, or from none."
        )
    for name, module in adapter.items():
        layer = lora.layers[name]
        rank, alpha = module.r[adapter_name], _adapter_alpha(module, adapter_name)
        if layer.rank != rank:
            raise ConfigError(
                f"The LoRA has rank {layer.rank} at '{name}', but `rank` is {rank}. Set `rank` to "
                f"{layer.rank}, or start from another LoRA."
            )
        # Loosely, since a file in half precision rounds its alpha.
        if not math.isclose(layer.alpha, alpha, rel_tol=1e-3):
            raise ConfigError(
                f"The LoRA has alpha {layer.alpha:g} at '{name}', but `alpha` is {alpha:g}. Set "
                f"`alpha` to {layer.alpha:g}, or start from another LoRA."
            )
        for tensor, side in ((layer.down, module.lora_A), (layer.up, module.lora_B)):
            if tensor.shape != side[adapter_name].weight.shape:
                raise ConfigError(
                    f"The LoRA has shape {tuple(tensor.shape)} at '{name}', but the adapter has "
                    f"{tuple(side[adapter_name].weight.shape)}. Start from a LoRA of this model."
                )
    with torch.no_grad():
        for name, module in adapter.items():
            module.lora_A[adapter_name].weight.copy_(lora.layers[name].down)
            module.lora_B[adapter_name].weight.copy_(lora.layers[name].up)


def merge_lora(unet: nn.Module, lora: Lora, strength: float = 1.0) -> None:
    """Add strength * alpha / rank * up @ down to the plain weights, in place.

    Computed in float32 or wider and rounded once to the weight's own dtype. Layers wrapped by peft
    are changed underneath the adapter. It cannot be taken back exactly; see `applied_lora`.

    Raises:
        ModelFileError: a layer is not in this UNet or has another shape; no weight has changed.
    """
    weights = _weights(unet)
    with torch.no_grad():
        for name, layer in _fitted(lora.layers, weights, where="LoRA", metadata={}).items():
            weight = weights[name].weight
            dtype = torch.promote_types(weight.dtype, torch.float32)
            dtype = torch.promote_types(layer.up.dtype, dtype)
            up, down = (
                tensor.flatten(1).to(weight.device, dtype) for tensor in (layer.up, layer.down)
            )
            update = (strength * layer.scale * (up @ down)).reshape(weight.shape)
            weight.copy_(weight.to(dtype) + update)


@contextmanager
def applied_lora(unet: nn.Module, lora: Lora, strength: float = 1.0) -> Iterator[None]:
    """Merge a LoRA for the length of a `with` block, then put the weights back bit for bit.

    Copies of the touched weights wait in main memory, since subtracting the update again would
    leave rounding behind.

    Raises:
        ModelFileError: as `merge_lora`.
    """
    weights = _weights(unet)
    _fitted(lora.layers, weights, where="LoRA", metadata={})
    originals = {name: weights[name].weight.detach().to("cpu", copy=True) for name in lora.layers}
    try:
        merge_lora(unet, lora, strength)
        yield
    finally:
        with torch.no_grad():
            for name, original in originals.items():
                weights[name].weight.copy_(original)


def lora_digest(lora: Lora) -> str:
    """Return the sha256 over names, shapes, dtypes, bytes and alphas; the header does not count."""
    digest = hashlib.sha256()
    for name, layer in sorted(lora.layers.items()):
        for tensor in (layer.down, layer.up):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            flat = tensor.detach().cpu().contiguous().flatten()
            digest.update(flat.view(torch.uint8).numpy().tobytes())
        digest.update(struct.pack("<d", layer.alpha))
    return digest.hexdigest()


_FAMILIES = {
    # family and whether it predicts v -> kohya's version string and the model spec's architecture
    ("sd1", False): ("sd_v1", "stable-diffusion-v1/lora"),
    ("sd1", True): ("sd_v1_v", "stable-diffusion-v1/lora"),
    ("sd2", False): ("sd_v2", "stable-diffusion-v2-512/lora"),
    ("sd2", True): ("sd_v2_v", "stable-diffusion-v2-768-v/lora"),
    ("sdxl", False): ("sdxl_base_v1-0", "stable-diffusion-xl-v1-base/lora"),
    ("sdxl", True): ("sdxl_base_v1-0", "stable-diffusion-xl-v1-base/lora"),
}


def lora_metadata(record: TrainingRecord) -> dict[str, str]:
    """Return a trained LoRA's header: `ss_*` and `modelspec.*` as managers read, and `scoft.*`.

    Anything in `record` that is a path keeps its last component only, credits and licences
    excepted: those are the words of the dataset. Empty values are left out.

    Raises:
        ConfigError: `family` is unknown.
    """
    families = list(dict.fromkeys(family for family, _ in _FAMILIES))
    if record.family not in families:
        raise ConfigError(unknown_name("model family", record.family, families))
    predicts_v = record.prediction_type == "v_prediction"
    version, architecture = _FAMILIES[record.family, predicts_v]
    config = record.config
    batch_size = config.get("batch_size", 1) * config.get("gradient_accumulation_steps", 1)
    licences, credits = (
        list(dict.fromkeys(map(_text, texts))) for texts in (record.licences, record.credits)
    )
    values: dict[str, Any] = {
        "ss_base_model_version": version,
        "ss_network_module": "networks.lora",
        "ss_network_dim": record.rank,
        "ss_network_alpha": record.alpha,
        "ss_output_name": record.title,
        "ss_sd_model_name": re.split(r"[\\/]", record.base_name)[-1],
        "ss_v2": str(record.family == "sd2"),
        "ss_resolution": f"({record.resolution}, {record.resolution})",
        "ss_num_train_images": record.num_pictures,
        "ss_num_epochs": math.ceil(record.steps * batch_size / max(1, record.num_pictures)),
        "ss_steps": record.steps,
        "ss_max_train_steps": record.steps,
        "ss_total_batch_size": batch_size,
        "ss_learning_rate": record.learning_rate,
        "ss_unet_lr": record.learning_rate,
        "ss_lr_scheduler": config.get("lr_scheduler", ""),
        "ss_optimizer": config.get("optimizer", ""),
        "ss_seed": config.get("seed", ""),
        "ss_tag_frequency": {record.culture or "scoft": dict(record.category_counts)},
        "ss_training_started_at": _epoch_seconds(record.started),
        "ss_training_finished_at": _epoch_seconds(record.finished),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": architecture,
        "modelspec.implementation": "diffusers",
        "modelspec.title": record.title,
        "modelspec.date": record.finished,
        "modelspec.resolution": f"{record.resolution}x{record.resolution}",
        "modelspec.prediction_type": "v" if predicts_v else record.prediction_type,
        "modelspec.trigger_phrase": record.suffix,
        "scoft.version": __version__,
        "scoft.run_id": record.run_id,
        "scoft.config": config,
        "scoft.dataset_digest": record.dataset_digest,
        "scoft.culture": record.culture,
        "scoft.category_counts": record.category_counts,
        "scoft.final_losses": record.final_losses,
        "scoft.software": _software(),
    }
    plain = {key: _plain(value) for key, value in values.items()} | {
        "modelspec.license": "; ".join(licences),
        "scoft.credits": credits,
        "scoft.licences": licences,
        "scoft.picture_sha256": list(record.picture_sha256),
    }
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in plain.items()
        if value not in ("", [], {})
    }


def _weights(unet: nn.Module) -> dict[str, _Weighted]:
    """Return linear layers and convolutions by path, as if no peft adapter were attached."""
    return {
        name.removesuffix(".base_layer"): module
        for name, module in unet.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d)) and not re.search(r"\.lora_[AB]\.", name)
    }


def _adapter(unet: nn.Module, adapter_name: str) -> dict[str, Any]:
    """Return peft's layers that hold the adapter, sorted by path."""
    wrapped = {name: module for name, module in unet.named_modules() if hasattr(module, "lora_A")}
    found = {
        name: module for name, module in sorted(wrapped.items()) if adapter_name in module.lora_A
    }
    if not found:
        known = sorted({known for module in wrapped.values() for known in module.lora_A})
        if not known:
            raise ConfigError("The UNet has no LoRA adapter. Attach one before this call.")
        raise ConfigError(unknown_name("LoRA adapter", adapter_name, known))
    return found


def _adapter_alpha(module: Any, adapter_name: str) -> float:
    rank, scale = module.r[adapter_name], module.scaling[adapter_name]
    alpha = float(module.lora_alpha[adapter_name])
    # scale * rank alone can miss alpha by a rounding, and alpha alone misses rsLoRA and set_scale.
    return alpha if alpha / rank == scale else float(scale * rank)


def _spellings(names: Iterable[str]) -> dict[str, str]:
    """Map every module, spelled as diffusers and as LDM do, with _ for dots, to its path."""
    names = list(names)
    layers = sum(bool(re.fullmatch(r"down_blocks\.0\.resnets\.\d+\.conv1", name)) for name in names)
    attending = {match[0] for name in names if (match := re.match(r"up_blocks\.\d+\.att", name))}
    spelled = {}
    for name in names:
        if ldm := _ldm_name(name, layers, attending):
            spelled[ldm.replace(".", "_")] = name
    return spelled | {name.replace(".", "_"): name for name in names}


_LDM_NAMES = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_BLOCK_NAME = re.compile(
    r"(down_block|mid_block|up_block)s?\.(?:(\d+)\.)?"
    r"(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)"
)


def _ldm_name(name: str, layers: int, attending: set[str]) -> str | None:
    """Return the path of a module in the UNet of LDM and its heirs (SD 1, SD 2, SDXL).

    LDM numbers all layers of a side through: conv_in is input block 0, each down block then takes
    `layers` blocks and one for its downsampler, and each up block takes `layers` + 1, of which the
    last also holds the upsampler, behind its attention if the block attends.
    """
    match = _BLOCK_NAME.fullmatch(name)
    if match is None:
        return _LDM_NAMES.get(name)
    side, block, kind, index, rest = match[1], int(match[2] or 0), match[3], int(match[4]), match[5]
    rest = _LDM_NAMES.get(rest, rest)
    slot = int(kind == "attentions")
    if side == "mid_block":
        return f"middle_block.{1 if slot else 2 * index}.{rest}"
    number = block * (layers + 1) + (layers if kind.endswith("samplers") else index)
    if side == "down_block":
        return f"input_blocks.{number + 1}.{slot}.{'op' if kind == 'downsamplers' else rest}"
    if kind == "upsamplers":
        slot = 2 if f"up_blocks.{block}.att" in attending else 1
    return f"output_blocks.{number}.{slot}.{rest}"


def _fitted(
    layers: Mapping[str, LoraLayer],
    weights: Mapping[str, _Weighted],
    *,
    where: str,
    metadata: Mapping[str, str],
) -> dict[str, LoraLayer]:
    """Check every layer against the weight it changes, and give it the weight's dimensions."""
    fitted = {}
    for name, layer in layers.items():
        if name not in weights:
            raise ModelFileError(f"{where}: no module of this UNet is called '{name}'.")
        shape, down, up = weights[name].weight.shape, layer.down, layer.up
        if down.ndim < 2 or up.ndim < 2 or down.shape[0] != up.shape[1] or down.shape[0] < 1:
            raise ModelFileError(
                f"{where}: layer '{name}' has down of shape {tuple(down.shape)} and up of shape "
                f"{tuple(up.shape)}, whose ranks do not fit each other. Use another file."
            )
        inputs, up_inner = math.prod(shape[1:]), math.prod(up.shape[2:])
        if (
            (up.shape[0], up_inner) != (shape[0], 1)
            or down.shape[1] != shape[1]
            or math.prod(down.shape[1:]) != inputs
        ):
            raise ModelFileError(
                f"{where}: layer '{name}' is for a weight of shape "
                f"{(up.shape[0], *down.shape[1:])}, but this UNet's has {tuple(shape)}. "
                f"{_other_base(metadata)}"
            )
        ones = (1,) * (len(shape) - 2)
        fitted[name] = replace(
            layer,
            down=down.reshape(layer.rank, *shape[1:]),
            up=up.reshape(shape[0], layer.rank, *ones),
        )
    return fitted


def _other_base(metadata: Mapping[str, str]) -> str:
    version = metadata.get("ss_base_model_version") or metadata.get("modelspec.architecture")
    said = f" (its header says {version})" if version else ""
    return (
        f"The LoRA was made for another base model{said}: choose one made for this model, or load "
        "that base model."
    )


def _not_a_lora(key: str, tensors: Mapping[str, Tensor], where: str) -> str:
    kind = next((kind for kind, part in _OTHER_KINDS.items() if re.search(part, key)), None)
    if kind is None and not any(map(_PAIR_KEY.fullmatch, tensors)):
        return (
            f"{where}: has no LoRA keys among its {len(tensors)} tensors, which are named like "
            f"'{key}'. It seems to be another kind of model: choose a LoRA file."
        )
    return (
        f"{where}: holds {kind or 'unknown'} tensors, for example '{key}', and only plain LoRA "
        "(lora_down and lora_up, or lora_A and lora_B) can be read. Choose a plain LoRA file."
    )


def _recorded_alphas(metadata: Mapping[str, str], where: str) -> Callable[[str, int], float]:
    """Return alpha by (layer, rank) as diffusers' or peft's record has it, or else the rank."""
    try:
        record = {
            key.removeprefix("unet."): value
            for key, value in json.loads(metadata.get(_ADAPTER_RECORD, "{}")).items()
        }
        default = record.get("lora_alpha")
        default = None if default is None else float(default)
        # A pattern may leave out the beginning of a layer's path: peft's own rule.
        patterns = [
            (re.compile(rf"(?:.*\.)?(?:{pattern})$"), float(value))
            for pattern, value in (record.get("alpha_pattern") or {}).items()
        ]
    except (ValueError, TypeError, AttributeError, re.error) as error:
        raise ModelFileError(
            f"{where}: its record of alpha ({_ADAPTER_RECORD} or adapter_config.json) cannot be "
            "read. Save the LoRA again with the program that made it."
        ) from error

    def alpha(name: str, rank: int) -> float:
        value = next((value for pattern, value in patterns if pattern.match(name)), default)
        if value is None:
            return float(rank)
        # rsLoRA divides by the root of the rank.
        return value * math.sqrt(rank) if record.get("use_rslora") else value

    return alpha


def _entries_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Return an upper bound of the header's bytes besides the metadata."""
    offsets = len(str(sum(tensor.nbytes for tensor in tensors.values())))
    framing = len('"":{"dtype":"BF16","shape":[],"data_offsets":[,]},') + 2 * offsets
    names = sum(len(key) + len(str(tuple(tensor.shape))) for key, tensor in tensors.items())
    return 64 + names + framing * len(tensors)  # the outer braces, __metadata__ and padding


def _trimmed(metadata: Mapping[str, str], room: int) -> dict[str, str]:
    """Return the metadata within `room` bytes of JSON, shortened from its longest value on."""
    kept = dict(metadata)
    notes: dict[str, str] = {}
    totals: dict[str, int] = {}
    while (excess := _json_bytes(kept | _trim_note(notes)) - room) > 0 and kept:
        longest = max(kept, key=lambda key: len(kept[key].encode()))
        entries = _json_list(kept[longest])
        total = totals.setdefault(longest, len(entries))
        share = max(0.0, 1 - excess / _json_bytes(kept[longest]))
        count = min(int(len(entries) * share), len(entries) - 1)
        if count > 0:
            kept[longest] = json.dumps(entries[:count], ensure_ascii=False)
            notes[longest] = f"first {count} of {total} kept"
        else:
            del kept[longest]
            notes[longest] = "left out"
    if notes:
        _log.warning("The LoRA's header was too long and lost some of its entries: %s.", notes)
    return kept | _trim_note(notes)


def _trim_note(notes: Mapping[str, str]) -> dict[str, str]:
    reason = "a header above 1 MB is not shown by ComfyUI"
    return {"scoft.trimmed": json.dumps({"reason": reason, **notes})} if notes else {}


def _json_bytes(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _json_list(text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return []
    return value if isinstance(value, list) else []


_PATH = re.compile(r"file:|~?[\\/]|\.\.?[\\/]|[A-Za-z]:[\\/]|\S+[\\/].*\.\w{2,11}$")


def _text(value: Any) -> str:
    """Return a value as text that UTF-8 can hold, which a file name's bytes need not be."""
    return str(value).encode("utf-8", "replace").decode()


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it, every path in it cut down to its last component."""
    if isinstance(value, Mapping):
        return {str(_plain(str(key))): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    text = _text(value)
    return re.split(r"[\\/]", text.rstrip("\\/"))[-1] if _PATH.match(text) else text


def _epoch_seconds(date: str) -> str:
    """Return an ISO date as kohya writes it; without a zone it is taken as UTC."""
    moment = datetime.fromisoformat(date.replace("Z", "+00:00"))  # Python 3.10 knows no Z
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return str(zoned.timestamp())


def _software() -> dict[str, str]:
    versions = {"scoft": __version__, "python": platform.python_version()}
    for package in ("torch", "diffusers", "peft", "transformers", "safetensors"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
