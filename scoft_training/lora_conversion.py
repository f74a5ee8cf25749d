"""A LoRA file in another style: kohya's, peft's or diffusers', and back without a loss.

Lives here: writing in a style. Not here: reading (`lora_contents`), the spellings (`lora_names`),
what peft and diffusers write beside the tensors (`lora_records`) and what only one style can say
(`lora_origins`).

Tensors and header strings go over as they are. peft has a file for each network: the UNet's lies
at the top of its folder, a text encoder's in a folder of its name.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from .errors import ConfigError, ModelFileError, OutputError
from .files import write_aside, write_json, write_text
from .lora_contents import ADAPTER_CONFIG, ADAPTER_MODEL, LoraFile, read_lora_file
from .lora_files import alpha_tensor
from .lora_layers import LoraLayer
from .lora_names import SPELLINGS, STYLES, Spelling
from .lora_origins import ORIGIN, Layers, Origin, every_layer
from .lora_records import ADAPTER_RECORD, adapter_fields, read_record, recorded_name
from .unet_layouts import text_encoders_are_flat

__all__ = ["convert_lora"]

_CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "task_type": None,
    "base_model_name_or_path": None,
    "auto_mapping": None,
    "inference_mode": True,
    "init_lora_weights": True,
    "bias": "none",
    "fan_in_fan_out": False,
    "lora_dropout": 0.0,
    "use_dora": False,
    "use_rslora": False,
}


def convert_lora(
    source: Path, target: Path, style: str, *, unet: nn.Module | None = None
) -> LoraFile:
    """Write a LoRA in another style, and return what was read.

    Args:
        source: as in `read_lora_file`.
        target: a new `.safetensors` file, or for peft a new folder.
        style: one of `STYLES`.
        unet: as in `read_lora_file`.

    Raises:
        ModelFileError: as `read_lora_file`.
        ConfigError: the file is in that style already.
        OutputError: the target exists, has another ending, or cannot be written.
    """
    if target.exists():
        raise OutputError(f"{target}: is there already. Nothing is replaced; choose another name.")
    if (target.suffix == ".safetensors") == (style == "peft"):
        form = "a folder, so its name must not end" if style == "peft" else "one file that must end"
        raise OutputError(f"{target}: the style of {style} is {form} in .safetensors. Rename it.")
    found = read_lora_file(source, unet=unet)
    if found.spelling is not None and SPELLINGS[found.spelling].style == style:
        raise ConfigError(
            f"{source}: is in the style of {style} already. Copy it, or choose one of "
            f"{', '.join(other for other in STYLES if other != style)}."
        )
    origin = found.origin
    if origin is not None and SPELLINGS[origin.spelling].style != style:
        origin = None
    spelling = SPELLINGS[origin.spelling if origin else _usual_spelling(found, style)]
    tensors = _tensors(found, spelling, origin)
    metadata = dict(found.metadata)
    if origin is None and found.origin is not None:
        metadata[ORIGIN] = found.origin.text()
    if record := _record(found.layers, style, origin):
        metadata[ADAPTER_RECORD] = record
    if style == "peft":
        _write_folder(target, found, tensors, metadata, origin)
        return found
    joined = {key: tensor for own in tensors.values() for key, tensor in own.items()}
    _write_tensors(target, joined, metadata)
    return found


def _usual_spelling(found: LoraFile, style: str) -> str:
    if style == "kohya":
        is_xl = "text_encoder_2" in found.layers or found.ldm.get("add_embedding.linear_1")
        return "kohya-xl" if is_xl else "kohya"
    # diffusers finds a text encoder's layers under either name, peft only under the model's own.
    return "peft-flat" if style == "peft" and text_encoders_are_flat() else style


def _tensors(
    found: LoraFile, spelling: Spelling, origin: Origin | None
) -> dict[str, dict[str, Tensor]]:
    """Return the file's tensors by component and key."""
    tensors: dict[str, dict[str, Tensor]] = {name: {} for name in found.layers}
    unsaid = {
        name: read_record((origin and origin.record) or "{}", name, ADAPTER_RECORD)
        for name in found.layers
    }
    for component, path, layer in every_layer(found.layers):
        for part, tensor in (("down", layer.down), ("up", layer.up)):
            if origin:
                tensor = origin.shaped_as_was(f"{component}.{path}.{part}", tensor)
            tensors[component][spelling.key(component, path, part, found.ldm)] = tensor
        if "alpha" in spelling.endings:
            alpha: Tensor | None = alpha_tensor(layer.alpha)
            if origin:
                missing = unsaid[component].alpha_of(recorded_name(component, path), layer.rank)
                alpha = origin.alpha_as_was(f"{component}.{path}", layer.alpha, missing)
            if alpha is not None:
                tensors[component][spelling.key(component, path, "alpha", found.ldm)] = alpha
    return tensors


def _write_folder(
    target: Path,
    found: LoraFile,
    tensors: Mapping[str, Mapping[str, Tensor]],
    metadata: Mapping[str, str],
    origin: Origin | None,
) -> None:
    """Write peft's folder aside, then rename it."""
    aside = target.with_name(f"{target.name}.writing-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        for component, own in tensors.items():
            place = aside if component == "unet" else aside / component
            header = {"format": "pt"}  # what peft writes itself
            config = None
            if origin:
                header = dict(origin.headers.get(component, header))
                config = origin.configs.get(component)
            layers = {component: found.layers[component]}
            _write_tensors(place / ADAPTER_MODEL, own, metadata if component == "unet" else header)
            if config is not None and _says_the_same(config, layers):
                write_text(place / ADAPTER_CONFIG, config)
            else:
                fields = _fields(component, found.layers[component])
                write_json(place / ADAPTER_CONFIG, _CONFIG | fields)
        os.rename(aside, target)
    except OSError as error:
        raise OutputError(
            f"{target}: could not be written ({error}). Choose another folder."
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    held = {key: tensor.contiguous() for key, tensor in tensors.items()}
    write_aside(path, lambda aside: save_file(held, aside, metadata=dict(metadata) or None))


def _record(layers: Layers, style: str, origin: Origin | None) -> str | None:
    """Return diffusers' header entry: the one the file had, unless it is wrong by now."""
    if origin is not None and (style != "diffusers" or _says_the_same(origin.record, layers)):
        return origin.record
    if style != "diffusers":
        return None
    record: dict[str, Any] = {}
    for component, by_path in layers.items():
        fields = _fields(component, by_path)
        record |= {f"{component}.{key}": value for key, value in fields.items()}
    return json.dumps(record, sort_keys=True)


def _fields(component: str, layers: Mapping[str, LoraLayer]) -> dict[str, Any]:
    sizes = {path: (layer.rank, layer.alpha) for path, layer in layers.items()}
    return adapter_fields(sizes, whole_paths=component == "unet")


def _says_the_same(text: str | None, layers: Layers) -> bool:
    """Return whether a record gives every layer the rank and the alpha that it has.

    Of a rank that it does not name it says nothing wrong; without an alpha, it says scale 1.
    """
    for component, by_path in layers.items():
        try:
            record = read_record(text or "{}", component, "")
        except ModelFileError:
            return False
        for path, layer in by_path.items():
            name = recorded_name(component, path)
            rank = record.rank_of(name) or layer.rank
            if (rank, record.alpha_of(name, layer.rank)) != (layer.rank, layer.alpha):
                return False
    return True
