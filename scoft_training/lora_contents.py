"""Everything that a LoRA file holds, in any style: text encoders, header, records.

Lives here: reading it, and telling for which model it is. Not here: writing it in another style
(`lora_conversion`), and a LoRA for training (`lora_files`), for which text encoders do not matter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from .errors import ModelFileError
from .lora_files import gather_parts, layers_from_parts, lora_from_state_dict, read_tensors
from .lora_layers import LoraLayer, weights_by_path
from .lora_names import (
    COMPONENTS,
    SPELLINGS,
    ldm_names,
    module_of,
    spelled_modules,
    text_encoder_path,
)
from .lora_origins import ORIGIN, Layers, Origin, every_layer, noted_origin, read_origin
from .lora_records import ADAPTER_RECORD, read_record, recorded_name
from .unet_layouts import LAYOUTS, layout_unet

__all__ = ["ADAPTER_CONFIG", "ADAPTER_MODEL", "LoraFile", "read_lora_file"]

ADAPTER_MODEL = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"

_FAMILY_NAMES = {
    # what a header says of the base model begins so
    "sd1": ("sd_v1", "stable-diffusion-v1"),
    "sd2": ("sd_v2", "stable-diffusion-v2"),
    "sdxl": ("sdxl", "stable-diffusion-xl"),
}
_TEXT_PREFIXES = {
    "text_encoder": ("lora_te_", "lora_te1_", "text_encoder."),
    "text_encoder_2": ("lora_te2_", "text_encoder_2."),
}
_OTHER_PREFIXES = ("lora_te", "text_encoder", "bundle_emb.")


@dataclass(frozen=True)
class LoraFile:
    """Everything that a LoRA file, or peft's folder, holds.

    `family` is a name in `LAYOUTS`, or None for another UNet; `spelling` a name in `SPELLINGS`, or
    None for one that is only read. `layers` has every layer by component and path: in diffusers'
    UNet, or in a text encoder from `encoder` on; `ldm` has LDM's path of the UNet's modules.
    `metadata` are the header strings without diffusers' record and without `origin`.
    """

    family: str | None
    spelling: str | None
    layers: Layers
    ldm: Mapping[str, str]
    metadata: Mapping[str, str]
    origin: Origin | None


@dataclass(frozen=True)
class _Source:
    """One network's part: tensors by the file's keys, header, and the record of rank and alpha."""

    tensors: Mapping[str, Tensor]
    header: Mapping[str, str]
    record: str | None


def read_lora_file(path: Path, *, unet: nn.Module | None = None) -> LoraFile:
    """Read a LoRA in any spelling that `read_lora` knows, text encoders included.

    Args:
        path: a `.safetensors` file, or peft's folder, or `adapter_model.safetensors` in it.
        unet: the UNet that it is for; None chooses among `LAYOUTS` by names and shapes.

    Raises:
        ModelFileError: not a plain LoRA, of another layout, or with layers of unknown names.
    """
    sources = _sources(path)
    header = sources["unet"].header
    family = None
    if unet is None:
        family, unet = _family(sources["unet"], header, str(path))
    layers = {"unet": _unet_layers(sources["unet"], unet, str(path))}
    for component in COMPONENTS[1:]:
        if component in sources:
            layers[component] = _text_layers(sources[component], component, str(path))
    for component, name, layer in every_layer(layers):
        if not math.isfinite(layer.alpha):
            raise ModelFileError(
                f"{path}: alpha of layer '{component}.{name}' is {layer.alpha}. Use another file."
            )
    ldm = ldm_names(weights_by_path(unet))
    spelling = _spelling(sources, layers, ldm, is_folder=_folder(path) is not None)
    origin = read_origin(header.get(ORIGIN))
    if origin is None and spelling is not None:
        is_peft = SPELLINGS[spelling].style == "peft"
        text_sources = {name: own for name, own in sources.items() if name != "unet" and is_peft}
        origin = noted_origin(
            spelling,
            layers,
            {name: own.tensors for name, own in sources.items()},
            ldm,
            record=header.get(ADAPTER_RECORD),
            configs={name: own.record or "" for name, own in sources.items() if is_peft},
            headers={name: own.header for name, own in text_sources.items()},
        )
    metadata = {key: text for key, text in header.items() if key not in (ADAPTER_RECORD, ORIGIN)}
    return LoraFile(family, spelling, layers, ldm, metadata, origin)


def _folder(path: Path) -> Path | None:
    """Return peft's folder, if the path is one or the file in one."""
    if path.is_dir():
        return path
    beside = path.with_name(ADAPTER_CONFIG)
    return path.parent if path.name == ADAPTER_MODEL and beside.is_file() else None


def _sources(path: Path) -> dict[str, _Source]:
    folder = _folder(path)
    if folder is None:
        return _split(*read_tensors(path), where=str(path))
    sources = {}
    for component in COMPONENTS:
        place = folder if component == "unet" else folder / component
        if component != "unet" and not place.exists():
            continue
        for name in (ADAPTER_MODEL, ADAPTER_CONFIG):
            if not (place / name).is_file():
                raise ModelFileError(
                    f"{place}: has no {name}, so it is not a folder of peft's. Name a LoRA file, "
                    f"or a folder with {ADAPTER_MODEL} and {ADAPTER_CONFIG}."
                )
        try:
            record = (place / ADAPTER_CONFIG).read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelFileError(
                f"{place / ADAPTER_CONFIG}: cannot be read as UTF-8 ({error}). Copy it again."
            ) from error
        sources[component] = _Source(*read_tensors(place / ADAPTER_MODEL), record)
    return sources


def _split(
    tensors: Mapping[str, Tensor], header: Mapping[str, str], *, where: str
) -> dict[str, _Source]:
    """Sort a single file's tensors by component."""
    parts: dict[str, dict[str, Tensor]] = {"unet": {}}
    for key, tensor in tensors.items():
        named = (name for name, own in _TEXT_PREFIXES.items() if key.startswith(own))
        component = next(named, "unet")
        if component == "unet" and key.startswith(_OTHER_PREFIXES):
            raise ModelFileError(
                f"{where}: holds '{key}', which belongs to neither a UNet nor one of the two text "
                "encoders of Stable Diffusion, and would be lost. Use another file."
            )
        parts.setdefault(component, {})[key] = tensor
    record = header.get(ADAPTER_RECORD)
    return {name: _Source(own, header, record) for name, own in parts.items()}


def _family(source: _Source, header: Mapping[str, str], where: str) -> tuple[str, nn.Module]:
    """Return the family whose UNet has all of the layers, the header's own first, and the UNet."""
    parts, _ = gather_parts(source.tensors, lambda spelled: spelled, where=where)
    said = header.get("ss_base_model_version") or header.get("modelspec.architecture", "")
    for family in sorted(LAYOUTS, key=lambda name: not said.startswith(_FAMILY_NAMES[name])):
        unet = layout_unet(family)
        if _fits(parts, unet):
            return family, unet
    raise ModelFileError(
        f"{where}: its layers ({len(parts)}, for example '{next(iter(parts))}') are not those of a "
        "UNet of Stable Diffusion 1.x, 2.x or SDXL. Say with --base which base model it was made "
        "for."
    )


def _fits(parts: Mapping[str, Mapping[str, Tensor]], unet: nn.Module) -> bool:
    weights = weights_by_path(unet)
    modules = spelled_modules(weights)
    for spelled, tensors in parts.items():
        path = module_of(spelled, modules)
        if path is None:
            return False
        shape = weights[path].weight.shape
        if "up" in tensors and tensors["up"].shape[:1] != shape[:1]:
            return False
        if "down" in tensors and math.prod(tensors["down"].shape[1:]) != math.prod(shape[1:]):
            return False
    return True


def _unet_layers(source: _Source, unet: nn.Module, where: str) -> Mapping[str, LoraLayer]:
    metadata = {key: text for key, text in source.header.items() if key != ADAPTER_RECORD}
    if source.record is not None:
        metadata[ADAPTER_RECORD] = source.record
    return lora_from_state_dict(source.tensors, unet, metadata=metadata, where=where).layers


def _text_layers(source: _Source, component: str, where: str) -> dict[str, LoraLayer]:
    parts, unknown = gather_parts(source.tensors, text_encoder_path, where=where)
    if unknown:
        raise ModelFileError(
            f"{where}: no module of a CLIP text encoder is called '{unknown[0]}', so that layer "
            "would be lost. Use another file."
        )
    whole = {recorded_name(component, path): own for path, own in parts.items()}
    record = read_record(source.record or "{}", component, where)
    layers = {}
    for name, layer in layers_from_parts(whole, record, where=where).items():
        if layer.down.ndim != 2 or layer.up.ndim != 2 or layer.rank != layer.up.shape[1]:
            raise ModelFileError(
                f"{where}: layer '{name}' has down of shape {tuple(layer.down.shape)} and up of "
                f"shape {tuple(layer.up.shape)}, which do not fit each other. Use another file."
            )
        layers[name.removeprefix("text_model.")] = layer
    return layers


def _spelling(
    sources: Mapping[str, _Source], layers: Layers, ldm: Mapping[str, str], *, is_folder: bool
) -> str | None:
    """Return the spelling that gives exactly the keys of the file, alphas being free to miss."""
    for name, spelling in SPELLINGS.items():
        if (spelling.style == "peft") != is_folder:
            continue
        for component, by_path in layers.items():
            keys = {
                part: {spelling.key(component, path, part, ldm) for path in by_path}
                for part in spelling.endings
            }
            alphas = keys.pop("alpha", set())
            if sources[component].tensors.keys() - alphas != set().union(*keys.values()):
                break
        else:
            return name
    return None
