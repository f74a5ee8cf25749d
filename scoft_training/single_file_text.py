"""The text encoders inside a checkpoint's file, and CLIP's tokenizer, which no file holds.

1.x has transformers' own CLIP, 2.x and SDXL's second encoder open_clip's, whose names and joined
projections diffusers' function turns into transformers'. All have 64 channels per head.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import ModelFileError
from .single_file_filling import count, filled, size
from .single_files import WeightsFile

__all__ = ["clip_tokenizer", "text_encoders", "tokenizers"]

_PART = "text encoder"
_CLIP = "cond_stage_model.transformer."
_OPEN_CLIP = "cond_stage_model.model."
_SDXL_CLIP = "conditioner.embedders.0.transformer."
_SDXL_OPEN_CLIP = "conditioner.embedders.1.model."


def text_encoders(file: WeightsFile, dtype: torch.dtype, family: str) -> tuple[Any, ...]:
    """Return transformers' text encoders of a checkpoint: one, or SDXL's two.

    Args:
        file: a checkpoint.
        dtype: of the weights.
        family: "sd1", "sd2" or "sdxl".

    Raises:
        ModelFileError: one is incomplete or built otherwise.
    """
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    if family == "sdxl":
        first = _clip(file, dtype, _SDXL_CLIP)
        second = _open_clip(file, dtype, _SDXL_OPEN_CLIP, whole=True)
        return (
            _encoder(file, CLIPTextModel, first, "quick_gelu"),
            _encoder(file, CLIPTextModelWithProjection, second, "gelu"),
        )
    if file.under(_OPEN_CLIP):
        tensors = _open_clip(file, dtype, _OPEN_CLIP, whole=False)
    else:
        tensors = _clip(file, dtype, _CLIP)
    activation = "gelu" if family == "sd2" else "quick_gelu"
    return (_encoder(file, CLIPTextModel, tensors, activation),)


def tokenizers(family: str) -> tuple[Any, ...]:
    """Return the tokenizers that go with `text_encoders`."""
    # open_clip fills a short caption up with zeros, which is the token of "!".
    pads = {"sd1": ("<|endoftext|>",), "sd2": ("!",), "sdxl": ("<|endoftext|>", "!")}
    return tuple(clip_tokenizer(pad_token=pad) for pad in pads[family])


def _encoder(file: WeightsFile, kind: Any, tensors: dict[str, Tensor], activation: str) -> Any:
    from transformers import CLIPTextConfig

    table = "embeddings.token_embedding.weight"
    width = size(file, _PART, tensors, table, 1)
    projection = width
    if "text_projection.weight" in tensors:
        projection = size(file, _PART, tensors, "text_projection.weight", 0)
    config = CLIPTextConfig(
        vocab_size=size(file, _PART, tensors, table, 0),
        hidden_size=width,
        intermediate_size=size(file, _PART, tensors, "encoder.layers.0.mlp.fc1.weight", 0),
        num_hidden_layers=count(tensors, r"encoder\.layers\.(\d+)\."),
        num_attention_heads=max(1, width // 64),
        max_position_embeddings=size(
            file, _PART, tensors, "embeddings.position_embedding.weight", 0
        ),
        projection_dim=projection,
        hidden_act=activation,
    )
    encoder = filled(file, _PART, kind, config, tensors)
    known = len(clip_tokenizer(pad_token="!"))
    if config.vocab_size < known:
        raise ModelFileError(
            f"{file.path}: its text encoder knows {config.vocab_size} tokens, fewer than CLIP's "
            f"{known}. Name a checkpoint with CLIP's own vocabulary."
        )
    return encoder


def _clip(file: WeightsFile, dtype: torch.dtype, prefix: str) -> dict[str, Tensor]:
    """Return the weights of a text encoder that is transformers' own, by bare names."""
    # Old merges lack the inner prefix. Positions are counted, whatever a file says of them, and
    # the projection is for comparing captions with pictures.
    names = {
        name: bare
        for name in file.under(prefix)
        if (bare := name.removeprefix(prefix).removeprefix("text_model.")).startswith(
            ("embeddings.", "encoder.", "final_layer_norm.")
        )
        and not bare.endswith("position_ids")
    }
    return {names[name]: tensor for name, tensor in file.read(names, dtype).items()}


def _open_clip(
    file: WeightsFile, dtype: torch.dtype, prefix: str, *, whole: bool
) -> dict[str, Tensor]:
    """Return the weights of open_clip's text encoder by transformers' bare names.

    Args:
        file: a checkpoint.
        dtype: of the weights.
        prefix: of its names.
        whole: with its last layer and projection, which SDXL reads and 2.x does not.
    """
    from types import SimpleNamespace

    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    resblocks = f"{prefix}transformer.resblocks."
    held = file.under(prefix)
    last = count(held, rf"{re.escape(resblocks)}(\d+)\.") - 1
    unread: tuple[str, ...] = (f"{prefix}logit_scale", f"{prefix}attn_mask")
    if not whole:
        unread += (f"{resblocks}{last}.", f"{prefix}text_projection")
    names = [name for name in held if not name.startswith(unread)]
    tensors = file.read(names, dtype)
    width = size(file, _PART, tensors, f"{prefix}ln_final.weight", 0)
    # All that the function asks of a network; it takes the width of a projection for the network's.
    sizes = SimpleNamespace(config=SimpleNamespace(hidden_size=width, projection_dim=width))
    projection = tensors.pop(f"{prefix}text_projection", None)
    renamed = convert_open_clip_checkpoint(sizes, tensors, prefix=prefix)
    found = {name.removeprefix("text_model."): tensor for name, tensor in renamed.items()}
    if projection is not None:
        found["text_projection.weight"] = projection.T.contiguous()
    return found


def clip_tokenizer(*, pad_token: str) -> Any:
    """Return CLIP's tokenizer, made from the vocabulary that open_clip ships.

    Args:
        pad_token: fills short captions up.
    """
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPTokenizer

    shipped = SimpleTokenizer()
    marks = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {marks.get(word, word): index for word, index in shipped.encoder.items()}
    merges = ["#version: 0.2", *(" ".join(pair) for pair in shipped.bpe_ranks)]
    # The constructor's arguments changed between versions of transformers; its files did not.
    with tempfile.TemporaryDirectory() as folder:
        files = {
            "vocab.json": json.dumps(vocabulary, ensure_ascii=False),
            "merges.txt": "\n".join(merges) + "\n",
        }
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        return CLIPTokenizer.from_pretrained(
            folder,
            local_files_only=True,
            model_max_length=77,
            bos_token="<|startoftext|>",
            eos_token="<|endoftext|>",
            unk_token="<|endoftext|>",
            pad_token=pad_token,
        )
