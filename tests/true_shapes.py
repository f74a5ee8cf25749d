"""Networks of real size with random weights, written to files tensor by tensor.

A weight is a function of its name, so that no copy of a model is needed to compare with; nothing
here holds more than one block of a UNet, or one text encoder, at a time.
"""

from __future__ import annotations

import functools
import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from ldm_layout import TRUE_SIZES, build, ldm_checkpoint
from torch import Tensor

CAPTIONS = ("an old house by the river, at dusk", "", "a (red) kite: " + "stone " * 90)
SPREAD_BIAS = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
"""By whose spread 2.x is told to predict noise or velocity."""

_FORMATS = {torch.float16: "F16", torch.int64: "I64", torch.float8_e4m3fn: "F8_E4M3"}


def networks_of(family: str) -> dict[str, Any]:
    """Return diffusers' and transformers' networks of a family, and its ControlNet; on meta."""
    from diffusers import ControlNetModel

    unet = dict(TRUE_SIZES[family][0])
    for key in ("up_block_types", "sample_size"):
        unet.pop(key, None)
    with torch.device("meta"):
        return {**build(*TRUE_SIZES[family]), "controlnet": ControlNetModel(**unet)}


def drawn(name: str, shape: Iterable[int]) -> Tensor:
    """Return the weight of this name and shape in fp16, scaled so that signals keep their size."""
    size = torch.Size(shape)
    pool = _pool()
    start = zlib.crc32(name.encode()) % len(pool)
    head = pool[start : start + size.numel()]
    repeats = math.ceil((size.numel() - len(head)) / len(pool))
    values = torch.cat([head, *[pool] * repeats])[: size.numel()].view(size)
    if len(size) > 1:
        values = values / (size.numel() / size[0]) ** 0.5
    elif name.endswith("weight"):
        values = 1 + 0.2 * values
    else:
        values = 0.15 * values
    return values.half()


@functools.cache
def _pool() -> Tensor:
    return torch.randn(4_000_037, generator=torch.Generator().manual_seed(20240801))


def unequal(part: str, network: Any) -> list[str]:
    """Return the names of all weights of a network that are not what was drawn for `part`."""
    held = network.state_dict()
    return [
        name
        for name, value in held.items()
        if not torch.equal(value.half(), drawn(f"{part}.{name}", value.shape))
    ]


def write_checkpoint(path: Path, family: str) -> None:
    """Write a whole checkpoint in the layout of the original releases, in fp16."""
    networks = networks_of(family)
    # What is not on meta here is constant: counters, and what the trainer kept.
    found = ldm_checkpoint(networks, family)
    constants = {name: tensor for name, tensor in found.items() if not tensor.is_meta}
    with _Writer(path, found) as writer:
        for name, tensor in constants.items():
            writer.put(name, tensor)
        for replaced in _drawn_parts(networks):
            for name, tensor in ldm_checkpoint(replaced, family).items():
                if not tensor.is_meta and name not in constants:
                    writer.put(name, tensor)


def _drawn_parts(networks: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the networks again and again, each time with other weights drawn, the rest left out."""
    empty = {
        part: SimpleNamespace(config=networks[part].config, state_dict=dict)
        for part in ("unet", "vae")
    }
    for part in ("unet", "vae"):
        blocks: dict[str, list[str]] = {}
        for name in networks[part].state_dict():
            blocks.setdefault(".".join(name.split(".")[:2]), []).append(name)
        for names in blocks.values():
            weights = _weights(part, networks[part], names)
            yield {**networks, **empty, part: _stub(networks[part], weights)}
    for part in ("text_encoder", "text_encoder_2"):
        if part in networks:
            weights = _weights(part, networks[part], networks[part].state_dict())
            yield {**networks, **empty, part: _stub(networks[part], weights)}


def _weights(part: str, network: Any, names: Iterable[str]) -> dict[str, Tensor]:
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    return {name: drawn(f"{part}.{name}", shapes[name]) for name in names}


def _stub(network: Any, weights: dict[str, Tensor]) -> SimpleNamespace:
    projection = SimpleNamespace(weight=weights.get("text_projection.weight"))
    return SimpleNamespace(
        config=network.config, state_dict=lambda: weights, text_projection=projection
    )


def write_network(
    path: Path,
    network: Any,
    part: str,
    *,
    dtype: torch.dtype = torch.float16,
    rename: Callable[[str], str] = str,
) -> None:
    """Write one network's weights under diffusers' or transformers' names."""
    found = network.state_dict()
    with _Writer(path, {rename(name): value for name, value in found.items()}, dtype) as writer:
        for name, value in found.items():
            writer.put(rename(name), drawn(f"{part}.{name}", value.shape))


def transformers_name(name: str) -> str:
    """Return a text encoder's weight's name as released files have it."""
    if name.startswith("text_projection."):
        return name
    return f"text_model.{name.removeprefix('text_model.')}"


def overwrite(path: Path, name: str, value: Tensor) -> None:
    """Put other numbers in the place of one tensor of a safetensors file."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(length))[name]
        file.seek(8 + length + entry["data_offsets"][0])
        file.write(value.half().numpy().tobytes())


class _Writer:
    """A safetensors file whose tensors come one by one, in any order; all have to come."""

    def __init__(
        self, path: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype = torch.float16
    ) -> None:
        self._formats, self._places, header, end = {}, {}, {}, 0
        for name, tensor in tensors.items():
            kind = dtype if tensor.is_floating_point() else torch.int64
            begin, end = end, end + tensor.numel() * kind.itemsize
            self._formats[name], self._places[name] = kind, begin
            header[name] = {
                "dtype": _FORMATS[kind],
                "shape": list(tensor.shape),
                "data_offsets": [begin, end],
            }
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        self._start = 8 + len(text)
        self._file = path.open("wb")
        self._file.write(len(text).to_bytes(8, "little") + text)
        self._file.truncate(self._start + end)

    def __enter__(self) -> _Writer:
        return self

    def put(self, name: str, tensor: Tensor) -> None:
        self._file.seek(self._start + self._places.pop(name))
        raw = tensor.to(self._formats[name]).contiguous().reshape(-1).view(torch.uint8)
        self._file.write(raw.numpy().data)

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.close()
        assert kind is not None or not self._places, f"never written: {[*self._places][:3]}"


class Questions:
    """One forward of a UNet of real size, of few places."""

    def __init__(self, family: str) -> None:
        generator = torch.Generator().manual_seed(5)
        width = TRUE_SIZES[family][0]["cross_attention_dim"]
        self.latents = torch.randn(1, 4, 32, 24, generator=generator)
        self.timesteps = torch.tensor([601])
        self.context = torch.randn(1, 77, width, generator=generator)
        self.pooled = torch.randn(1, 1280, generator=generator) if family == "sdxl" else None
        self.sizes = {"height": 640, "width": 1024, "crop_h": 32, "crop_w": 7}
        self.sizes |= {"target_height": 512, "target_width": 768}

    @torch.no_grad()
    def ask_engine(self, unet: Any) -> Tensor:
        added = {}
        if self.pooled is not None:
            ids = torch.tensor([[float(size) for size in self.sizes.values()]])
            added = {"added_cond_kwargs": {"text_embeds": self.pooled, "time_ids": ids}}
        answer: Tensor = unet(self.latents, self.timesteps, self.context, **added).sample
        return answer
