"""The commands that look at LoRA files: `scoft lora convert` and `scoft lora show`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from torch import nn

    from .lora_contents import LoraFile

__all__ = ["add_lora"]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

# Named here too, so that the command's help loads no heavy library; a test compares them.
STYLE_NAMES = ("kohya", "peft", "diffusers")

_FAMILIES = {
    "sd1": "Stable Diffusion 1.x",
    "sd2": "Stable Diffusion 2.x",
    "sdxl": "Stable Diffusion XL",
}


def add_lora(commands: Commands) -> None:
    """Add the subcommand and its own subcommands."""
    lora = commands.add_parser("lora", help="look at a LoRA file, or write it in another style")
    inner = lora.add_subparsers(required=True, metavar="COMMAND")

    convert = inner.add_parser(
        "convert", help="write it in the style of kohya, peft or diffusers; nothing is lost"
    )
    convert.add_argument("source", type=Path, help="a .safetensors file, or peft's folder")
    convert.add_argument(
        "target", type=Path, help="a new .safetensors file, or for peft a new folder"
    )
    convert.add_argument("--to", required=True, choices=STYLE_NAMES, dest="style")
    _add_base(convert)
    convert.set_defaults(run=_convert)

    show = inner.add_parser("show", help="print what it is for, its size, and whom it credits")
    show.add_argument("source", type=Path, help="a .safetensors file, or peft's folder")
    _add_base(show)
    show.set_defaults(run=_show)


def _add_base(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base",
        help="base model that it was made for, where that is none of Stable Diffusion 1.x, 2.x and "
        "XL: checkpoint file, folder, hub id, or miniature",
    )


def _convert(arguments: argparse.Namespace) -> int:
    from .lora_conversion import convert_lora

    unet = _base_unet(arguments.base)
    found = convert_lora(arguments.source, arguments.target, arguments.style, unet=unet)
    print(f"{arguments.target}: {_counted(found)}, in the style of {arguments.style}")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from .lora_contents import read_lora_file
    from .lora_names import SPELLINGS
    from .lora_origins import every_layer
    from .model_card import model_card

    found = read_lora_file(arguments.source, unet=_base_unet(arguments.base))
    layers = [layer for _, _, layer in every_layer(found.layers)]
    style = SPELLINGS[found.spelling].style if found.spelling else "another"
    formats = {str(layer.down.dtype).removeprefix("torch.") for layer in layers}
    for what, said in (
        ("layers", _counted(found)),
        ("for", _FAMILIES.get(found.family or "", str(arguments.base))),
        ("style", style),
        ("rank", _numbers(layer.rank for layer in layers)),
        ("alpha", _numbers(layer.alpha for layer in layers)),
        ("alpha / rank", _numbers(layer.scale for layer in layers)),
        ("number format", ", ".join(sorted(formats))),
    ):
        print(f"{what}: {said}")
    if any(key.startswith("scoft.") for key in found.metadata):
        print("\n" + model_card(arguments.source.stem, found.metadata), end="")
    return 0


def _base_unet(base: str | None) -> nn.Module | None:
    if base is None:
        return None
    import torch

    from .miniature.loading import register
    from .models import load_base

    register()
    unet: nn.Module = load_base(base, dtype=torch.float32).unet
    return unet


def _counted(found: LoraFile) -> str:
    words = {"unet": "UNet", "text_encoder": "text encoder", "text_encoder_2": "text encoder 2"}
    counts = (f"{len(layers)} of the {words[name]}" for name, layers in found.layers.items())
    return " and ".join(counts)


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in sorted(set(values)))
