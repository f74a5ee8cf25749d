"""The LoRA file: one `.safetensors`, written, read and recognised by its key names.

Lives here: writing and reading that file, whatever spelling its keys have. Not here: names alone
(`lora_names`), other styles written (`lora_conversion`), what the header says (`lora_metadata`), a
LoRA on a UNet (`lora_layers`), making the adapter (`models`) and what a resume needs besides
(`checkpoints`).

In memory a layer's name is the module's path in diffusers' UNet; files spell it in these ways, all
of them read, the first written:

    lora_unet_<path with _>.lora_down.weight, .lora_up.weight, .alpha       kohya and most UIs
    base_model.model.<path>.lora_A.weight, .lora_B.weight (or .lora_A.default.weight)        peft
    unet.<path>.lora_A.weight, unet.<path>.lora.down.weight, <...>.processor.to_q_lora.down.weight
    diffusion_model.<path>.lora_down.weight                        ComfyUI, with LDM's block names

`<path>` may be diffusers' or LDM's (`input_blocks.1.1...`) in each of them.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .errors import ConfigError, ModelFileError, OutputError
from .files import write_aside
from .lora_layers import Lora, LoraLayer, fitted_layers, other_base_advice, weights_by_path
from .lora_metadata import MAX_HEADER_BYTES, trimmed_metadata
from .lora_names import module_of, spelled_modules
from .lora_records import ADAPTER_RECORD, AdapterRecord, read_record

__all__ = [
    "alpha_tensor",
    "gather_parts",
    "layers_from_parts",
    "lora_from_state_dict",
    "lora_state_dict",
    "read_lora",
    "read_metadata",
    "read_tensors",
    "write_lora",
]

_log = logging.getLogger(__name__)

_FORMAT_HEADER_BYTES = 100_000_000  # safetensors itself refuses longer ones
_PICKLE_SUFFIXES = (".bin", ".ckpt", ".pkl", ".pt", ".pth")
_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x04")

_PAIR_KEY = re.compile(r"(.+?)[._]lora(?:_linear_layer)?[._](down|up|A|B)(?:\.[^.]+)?\.weight")
_ALPHA_KEY = re.compile(r"(.+?)(?:[._]lora)?\.alpha")
_PREFIX = re.compile(
    r"(?:base_model\.model\.)?(?:unet\.|lora_unet_|(?:model\.)?diffusion_model\."
    r"|lora_te[12]?_|text_encoder(?:_2)?\.)?"
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
    kept = {key: text for key, text in lora.metadata.items() if key != ADAPTER_RECORD}
    metadata = trimmed_metadata(kept, MAX_HEADER_BYTES - _entries_bytes(tensors))
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
    tensors, metadata = read_tensors(path)
    config_file = path.with_name("adapter_config.json")
    if path.name == "adapter_model.safetensors" and config_file.is_file():
        record = config_file.read_text(encoding="utf-8", errors="replace")
        metadata = {ADAPTER_RECORD: record, **metadata}
    return lora_from_state_dict(tensors, unet, metadata=metadata, where=str(path))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return a `.safetensors` file's tensors, on the CPU, and its header strings.

    Raises:
        ModelFileError: as `read_metadata`, or damaged.
    """
    metadata = read_metadata(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            # Cloned, since these tensors are views of the file, which Windows then cannot replace.
            return {key: file.get_tensor(key).clone() for key in file.keys()}, metadata
    except (OSError, SafetensorError) as error:
        raise ModelFileError(
            f"{path}: is damaged ({error}). Download or copy the file again."
        ) from error


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
        tensors[f"{key}.alpha"] = alpha_tensor(layer.alpha)
    return tensors


def alpha_tensor(alpha: float) -> Tensor:
    """Return alpha as a file holds it: float32, or float64 if it would not come back as it was."""
    tensor = torch.tensor(alpha, dtype=torch.float32)
    return tensor if tensor.item() == alpha else torch.tensor(alpha, dtype=torch.float64)


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
    weights = weights_by_path(unet)
    modules = spelled_modules(weights)
    own = {key: tensor for key, tensor in tensors.items() if not key.startswith(_OTHER_NETWORKS)}
    found, unmatched = gather_parts(own, lambda spelled: module_of(spelled, modules), where=where)
    if unmatched:
        raise ModelFileError(
            f"{where}: {len(unmatched)} of {len(unmatched) + len(found)} LoRA layers match no "
            f"module of this UNet, for example '{unmatched[0]}'. {other_base_advice(metadata)}"
        )
    other_networks = len(tensors) - len(own)
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
    record = read_record(metadata.get(ADAPTER_RECORD, "{}"), "unet", where)
    layers = layers_from_parts(found, record, where=where)
    return Lora(fitted_layers(layers, weights, where=where, metadata=metadata), metadata)


def gather_parts(
    tensors: Mapping[str, Tensor], path_of: Callable[[str], str | None], *, where: str
) -> tuple[dict[str, dict[str, Tensor]], list[str]]:
    """Sort the tensors of one network's LoRA by layer and part, whatever spelling they have.

    Args:
        tensors: by key.
        path_of: a module's name, spelled with _ for dots and without a prefix, -> its path or None.
        where: begins every message.

    Returns:
        Tensors by part (down, up, alpha) by path, and the names for which there is no path.

    Raises:
        ModelFileError: a key is not a plain LoRA's, or a layer is there twice.
    """
    found: dict[str, dict[str, Tensor]] = {}
    unmatched: dict[str, None] = {}
    for key, tensor in tensors.items():
        if match := _PAIR_KEY.fullmatch(key):
            part = _PARTS[match[2]]
        elif match := _ALPHA_KEY.fullmatch(key):
            part = "alpha"
        else:
            raise ModelFileError(_not_a_lora(key, tensors, where))
        spelled = _PREFIX.sub("", match[1], count=1).replace(".processor.", ".")
        name = path_of(spelled.replace(".", "_"))
        if name is None:
            unmatched[match[1]] = None
        elif found.setdefault(name, {}).setdefault(part, tensor) is not tensor:
            raise ModelFileError(
                f"{where}: holds layer '{name}' twice, the second time as '{key}'."
            )
    return found, list(unmatched)


def layers_from_parts(
    found: Mapping[str, Mapping[str, Tensor]], record: AdapterRecord, *, where: str
) -> dict[str, LoraLayer]:
    """Return the layers that `gather_parts` found, sorted; an alpha not there is the record's.

    Raises:
        ModelFileError: a layer is incomplete, or its alpha is not one number.
    """
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
        value = record.alpha_of(name, rank) if alpha is None else float(alpha.item())
        layers[name] = LoraLayer(parts["down"], parts["up"], value)
    return layers


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


def _entries_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Return an upper bound of the header's bytes besides the metadata."""
    offsets = len(str(sum(tensor.nbytes for tensor in tensors.values())))
    framing = len('"":{"dtype":"BF16","shape":[],"data_offsets":[,]},') + 2 * offsets
    names = sum(len(key) + len(str(tuple(tensor.shape))) for key, tensor in tensors.items())
    return 64 + names + framing * len(tensors)  # the outer braces, __metadata__ and padding
