"""How LoRA files name layers: diffusers' and LDM's block names, and each style's whole keys.

Lives here: names in, names out. Not here: tensors and files (`lora_files`, `lora_conversion`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = [
    "COMPONENTS",
    "SPELLINGS",
    "STYLES",
    "Spelling",
    "ldm_names",
    "module_of",
    "spelled_modules",
    "text_encoder_path",
]

COMPONENTS = ("unet", "text_encoder", "text_encoder_2")
"""The networks that a LoRA of Stable Diffusion may change, by their names in diffusers."""

STYLES = ("kohya", "peft", "diffusers")


@dataclass(frozen=True)
class Spelling:
    """One way to write a layer's keys: component's prefix, path, ending.

    `ldm` stands for LDM's block names in the UNet. `flat` stands for a first text encoder without
    `text_model.` in its paths, as transformers 5 builds it.
    """

    style: str
    prefixes: Mapping[str, str]
    endings: Mapping[str, str]
    ldm: bool = False
    flat: bool = False
    joint: str = "."

    def key(self, component: str, path: str, part: str, ldm: Mapping[str, str]) -> str:
        """Return the key of a layer's `part` (down, up, alpha).

        Args:
            component: one of `COMPONENTS`.
            path: of the module: in diffusers' UNet, or in a text encoder from `encoder` on.
            part: one that has an ending in this style.
            ldm: LDM's path of each of the UNet's modules.
        """
        if component == "unet":
            path = ldm.get(path, path) if self.ldm else path
        elif not (self.flat and component == "text_encoder"):
            path = f"text_model.{path}"
        return self.prefixes[component] + path.replace(".", self.joint) + self.endings[part]


_KOHYA = {"down": ".lora_down.weight", "up": ".lora_up.weight", "alpha": ".alpha"}
_PEFT = {"down": ".lora_A.weight", "up": ".lora_B.weight"}


def _kohya(first: str, ldm: bool) -> Spelling:
    prefixes = ("lora_unet_", first, "lora_te2_")
    return Spelling("kohya", dict(zip(COMPONENTS, prefixes, strict=True)), _KOHYA, ldm, joint="_")


def _dotted(style: str, flat: bool) -> Spelling:
    prefixes = {name: "base_model.model." if style == "peft" else f"{name}." for name in COMPONENTS}
    return Spelling(style, prefixes, _PEFT, flat=flat)


SPELLINGS = {
    # kohya's scripts name SDXL's UNet by LDM's blocks, and its first text encoder te1.
    "kohya": _kohya("lora_te_", ldm=False),
    "kohya-xl": _kohya("lora_te1_", ldm=False),
    "kohya-ldm": _kohya("lora_te_", ldm=True),
    "kohya-xl-ldm": _kohya("lora_te1_", ldm=True),
    "peft": _dotted("peft", flat=False),
    "peft-flat": _dotted("peft", flat=True),
    "diffusers": _dotted("diffusers", flat=False),
    "diffusers-flat": _dotted("diffusers", flat=True),
}
"""The spellings that are told apart and can be written, by name."""


def spelled_modules(names: Iterable[str]) -> dict[str, str]:
    """Map a UNet's modules, spelled as diffusers and as LDM do, with _ for dots, to their paths."""
    names = list(names)
    spelled = {ldm.replace(".", "_"): name for name, ldm in ldm_names(names).items()}
    return spelled | {name.replace(".", "_"): name for name in names}


def module_of(spelled: str, modules: Mapping[str, str]) -> str | None:
    """Return the path of the module that is spelled so, given `spelled_modules`, or None."""
    return modules.get(spelled) or modules.get(f"{spelled}_0")  # attention's old `to_out`


_TEXT_ENCODER = re.compile(
    r"(?:text_model_)?encoder_layers_(\d+)_(mlp|self_attn)_(fc[12]|(?:q|k|v|out)_proj)"
)


def text_encoder_path(spelled: str) -> str | None:
    """Return a CLIP text encoder's path from `encoder` on, spelled with _ for dots, or None."""
    match = _TEXT_ENCODER.fullmatch(spelled)
    return f"encoder.layers.{match[1]}.{match[2]}.{match[3]}" if match else None


def ldm_names(names: Iterable[str]) -> dict[str, str]:
    """Return the path of a UNet's modules in the UNet of LDM and its heirs (SD 1, SD 2, SDXL)."""
    names = list(names)
    layers = sum(bool(re.fullmatch(r"down_blocks\.0\.resnets\.\d+\.conv1", name)) for name in names)
    attending = {match[0] for name in names if (match := re.match(r"up_blocks\.\d+\.att", name))}
    found = ((name, _ldm_name(name, layers, attending)) for name in names)
    return {name: ldm for name, ldm in found if ldm}


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
    """Return LDM's path of one module, or None.

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
