"""Networks that write captions: their protocol, their registry, and BLIP, loaded and drawn from.

Which rows are captioned, how often, what is thrown away and where the rest is kept is said in
`captioning`. transformers is imported when BLIP is loaded.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from .config import CaptionConfig
from .errors import ConfigError, ModelFileError, unknown_name
from .files import digest_json, digest_tensors
from .models import on_device
from .weight_folders import FolderSpec, find_folder

__all__ = [
    "BLIP",
    "BlipCaptioner",
    "Captioner",
    "CaptionerLoader",
    "CaptionerRequest",
    "captioner_names",
    "load_captioner",
    "register_captioner",
    "top_p_sample",
]

BLIP = FolderSpec(
    name="blip",
    files=(
        ("config.json",),
        ("model.safetensors",),
        ("preprocessor_config.json", "processor_config.json"),
        ("tokenizer.json", "vocab.txt"),
        ("tokenizer_config.json",),
    ),
    link="https://huggingface.co/Salesforce/blip-image-captioning-large",
    hub_repo="Salesforce/blip-image-captioning-large",
    # The hub's page of this commit lists these files, with a model.safetensors of 1.88 GB.
    hub_revision="353689b859fcf0523410b1806dace5fb46ecdf41",
)


class Captioner(Protocol):
    """Writes captions. `name` is shown to people; `digest` is that of everything that counts."""

    name: str
    digest: str

    def on(
        self, device: torch.device, dtype: torch.dtype
    ) -> contextlib.AbstractContextManager[object]:
        """Keep the network on `device` in `dtype` for the length of a block."""
        ...

    def look(self, image: Image.Image) -> Any:
        """Return what `draw` has to know of a picture, which is upright RGB."""
        ...

    def draw(
        self, seen: Any, generators: Sequence[torch.Generator], config: CaptionConfig
    ) -> list[str]:
        """Return one caption per generator, which is its only source of randomness."""
        ...


@dataclass(frozen=True)
class CaptionerRequest:
    """What a loader is asked for; the fields are those of `load_captioner`."""

    weights: Path | None = None
    allow_download: bool = True
    search_folders: Sequence[Path] = ()


CaptionerLoader = Callable[[CaptionerRequest], Captioner]
"""Builds a captioner on CPU; its library is imported inside."""

_REGISTRY: dict[str, CaptionerLoader] = {}


def register_captioner(name: str, loader: CaptionerLoader) -> None:
    """Make `load_captioner(name)` call `loader`; a later registration replaces an earlier one."""
    _REGISTRY[name] = loader


def captioner_names() -> tuple[str, ...]:
    """Return the registered names, in the order of their registration."""
    return tuple(_REGISTRY)


def load_captioner(
    name: str = "blip",
    *,
    weights: Path | None = None,
    allow_download: bool = True,
    search_folders: Sequence[Path] = (),
) -> Captioner:
    """Return a registered captioner on the CPU; global random state is left alone.

    Args:
        name: one of `captioner_names()`.
        weights: its folder, as save_pretrained writes it, or the model.safetensors inside; None
            looks for it as `weight_folders.find_folder` does.
        allow_download: whether missing files may be fetched (1.9 GB).
        search_folders: parents of helpers' folders, say the host's models/scoft.

    Raises:
        ConfigError: no captioner of that name.
        ModelFileError: its files are not found or are not its.
    """
    if name not in _REGISTRY:
        raise ConfigError(unknown_name("captioner", name, _REGISTRY))
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        return _REGISTRY[name](CaptionerRequest(weights, allow_download, search_folders))


class BlipCaptioner:
    """BLIP (Li et al. 2022) by transformers: a picture transformer and a decoder of text."""

    name = "blip"

    def __init__(self, network: Any, processor: Any) -> None:
        self._network = network.requires_grad_(False).eval()
        self._processor = processor
        pixels = processor.image_processor
        self.digest = digest_json(
            {
                "weights": digest_tensors(
                    {
                        key: tensor.to(torch.promote_types(tensor.dtype, torch.float32))
                        for key, tensor in network.state_dict().items()
                        if tensor.is_floating_point()
                    }
                ),
                "vocabulary": processor.tokenizer.get_vocab(),
                "pixels": [
                    [float(value) for value in (*pixels.image_mean, *pixels.image_std)],
                    [int(pixels.size["height"]), int(pixels.size["width"])],
                    [int(pixels.resample), float(pixels.rescale_factor)],
                ],
                "tokens": self._special_tokens(),
            }
        )

    @contextlib.contextmanager
    def on(self, device: torch.device, dtype: torch.dtype) -> Iterator[object]:
        """Keep the network on `device` for a block; in another dtype it is a copy that is there."""
        own = self._network
        if own.dtype != dtype:
            # Rounding to 16 bits cannot be taken back, and the digest is that of the whole numbers.
            self._network = copy.deepcopy(own).to(dtype)
        try:
            with on_device(self._network, device):
                yield self
        finally:
            self._network = own

    @torch.no_grad()
    def look(self, image: Image.Image) -> Tensor:
        """Return what the picture transformer makes of a picture, (1, tokens, channels)."""
        pixel_values = self._processor.image_processor(images=image, return_tensors="pt")
        network = self._network
        pixels = pixel_values["pixel_values"].to(network.device, network.dtype)
        tokens: Tensor = network.vision_model(pixel_values=pixels)[0]
        return tokens

    @torch.no_grad()
    def draw(
        self, seen: Tensor, generators: Sequence[torch.Generator], config: CaptionConfig
    ) -> list[str]:
        """Return one caption per generator, all in one batch.

        transformers' own sampling reads global random state, per device. So it is asked for its
        greedy search, which reads none, and the tokens are drawn in a step before that, which
        leaves the search only the drawn one.
        """
        from transformers import GenerationConfig, LogitsProcessorList

        def only_drawn_tokens(_: Tensor, logits: Tensor) -> Tensor:
            drawn = top_p_sample(
                logits, generators, top_p=config.top_p, temperature=config.temperature
            )
            left = torch.full_like(logits, -torch.inf)
            return left.scatter(1, drawn.to(logits.device)[:, None], 0.0)

        special = self._special_tokens()
        count = len(generators)
        embeds = seen.expand(count, -1, -1)
        tokens = self._network.text_decoder.generate(
            input_ids=torch.full((count, 1), special["bos"], device=seen.device),
            encoder_hidden_states=embeds,
            encoder_attention_mask=torch.ones(
                embeds.shape[:2], dtype=torch.long, device=seen.device
            ),
            logits_processor=LogitsProcessorList([only_drawn_tokens]),
            generation_config=GenerationConfig(
                do_sample=False,
                num_beams=1,
                max_new_tokens=config.max_new_tokens,
                min_new_tokens=config.min_new_tokens,
                bos_token_id=special["bos"],
                eos_token_id=special["eos"],
                pad_token_id=special["pad"],
            ),
        )
        # The first token is the one that BLIP's decoder begins with, which is no text.
        texts: list[str] = self._processor.tokenizer.batch_decode(
            tokens[:, 1:].tolist(), skip_special_tokens=True
        )
        return texts

    def _special_tokens(self) -> dict[str, int]:
        text = self._network.config.text_config
        # BLIP's captions end with BERT's separator; its eos token is not used.
        return {
            "bos": int(text.bos_token_id),
            "eos": int(text.sep_token_id),
            "pad": int(text.pad_token_id),
        }


def top_p_sample(
    logits: Tensor, generators: Sequence[torch.Generator], *, top_p: float, temperature: float
) -> Tensor:
    """Draw one token per row by nucleus sampling (Holtzman et al. 2020, section 3.1).

    The nucleus is the smallest set of the likeliest tokens whose probabilities sum to top_p or
    more. It is computed in float64 on the CPU, so that devices draw alike from the same logits.

    Args:
        logits: (batch, vocabulary); -inf is never drawn.
        generators: one per row, on the CPU.
        top_p: in (0, 1].
        temperature: above 0; logits are divided by it.

    Returns:
        (batch,) token ids on the CPU.
    """
    probabilities = (logits.cpu().double() / temperature).softmax(dim=-1)
    probabilities, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
    before = probabilities.cumsum(dim=-1) - probabilities
    nucleus = torch.where(before < top_p, probabilities, 0.0).cumsum(dim=-1)
    uniform = [torch.rand((), generator=draw, dtype=torch.float64) for draw in generators]
    target = torch.stack(uniform)[:, None] * nucleus[:, -1:]
    # right=True skips tokens of probability zero; the draw is below 1, so one above it is there.
    index = torch.searchsorted(nucleus, target, right=True)
    return tokens.gather(1, index)[:, 0]


def _find_blip(request: CaptionerRequest) -> Path:
    """Return BLIP's folder, fetching it if it is nowhere and that is allowed."""

    def find(spec: FolderSpec, allow_download: bool) -> Path:
        found = find_folder(
            spec,
            explicit=request.weights,
            allow_download=allow_download,
            search_folders=request.search_folders,
        )
        return found[0].parent

    # Other programs cache the hub's main branch; which one it was is told by the digest.
    if request.weights is None:
        for spec in (BLIP, dataclasses.replace(BLIP, hub_revision=None)):
            with contextlib.suppress(ModelFileError):
                return find(spec, allow_download=False)
    return find(BLIP, request.allow_download)


def _load_blip(request: CaptionerRequest) -> Captioner:
    """Return BLIP from a folder in the form of save_pretrained, which decides its sizes."""
    from transformers import BlipForConditionalGeneration, BlipProcessor

    folder = _find_blip(request)
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
        if kind != "blip":
            raise ValueError(f"its config.json describes a model of type {kind!r}, not 'blip'")
        network, report = BlipForConditionalGeneration.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
        # transformers draws missing weights at random, and only notes it in its log.
        if lacking := sorted(report["missing_keys"]):
            raise ValueError(f"{lacking[0]} is missing")
        processor = BlipProcessor.from_pretrained(folder, local_files_only=True)
        return BlipCaptioner(network, processor)
    # Loaders raise OSError, ValueError, KeyError, SafetensorError and others.
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelFileError(
            f"{folder}: could not be loaded as BLIP ({reason}). It must hold the files of "
            f"{BLIP.link}; fetch them from there."
        ) from error


register_captioner("blip", _load_blip)
