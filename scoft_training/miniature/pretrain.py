"""The miniature's pretraining, stage by stage: what each needs, makes and reports.

Every stage reads what the stages before it left in the weights folder, rounded to fp16 as it is
shipped, so a stage can be made anew by itself.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import ConfigError, unknown_name
from ..files import copy_file, digest_tensors, write_aside, write_json
from .loading import (
    load_clip_tokenizer,
    load_clip_tower,
    load_depth_network,
    load_judge_network,
    load_part,
    load_score_network,
)
from .networks import new_schedule_config
from .pretrain_drawing import crawl_latents, pretrain_controlnet, pretrain_unet
from .pretrain_images import (
    clip_accuracy,
    clip_separation,
    depth_error,
    judge_accuracy,
    pretrain_clip,
    pretrain_clip_text,
    pretrain_depth,
    pretrain_judge,
)
from .pretrain_loop import OnStep, machine, quiet
from .pretrain_vae import pretrain_vae, vae_error
from .small_networks import CLIP_CONFIG, PICTURE_MEAN, PICTURE_STD
from .tokenizer import save_tokenizer

__all__ = ["STAGES", "held_out_figures", "pretrain_stage"]

STAGES = ("vae", "unet", "controlnet", "clip", "clip_text", "judge", "depth")
"""In the order in which they need each other; clip, judge and depth need nothing."""


def pretrain_stage(
    stage: str, *, seed: int, work: Path, weights: Path, on_step: OnStep = quiet
) -> dict[str, Any]:
    """Train one part of the miniature and write it; a stopped stage goes on where it was.

    Args:
        stage: one of STAGES.
        seed: of weights, pictures and draws.
        work: keeps the state of unfinished stages.
        weights: where the parts go: diffusers' layout, fp16 safetensors. Beside each part lie
            log.jsonl (losses, machine, processor seconds) and made.json (seed, digest, figures).
        on_step: told the steps done, of all, and the losses.

    Returns:
        What made.json says.

    Raises:
        ConfigError: no such stage.
        ModelFileError: a stage that it needs has not been made.
        ResumeError: the saved state is of other settings.
    """
    if stage not in STAGES:
        raise ConfigError(unknown_name("stage", stage, STAGES))
    folder = work / stage
    with _flushing_denormals():
        figures = _MAKERS[stage](seed, folder, weights, on_step)
    made = {"stage": stage, "seed": seed, **figures, "machine": machine()}
    part = weights / stage
    write_json(part / "made.json", made)
    copy_file(folder / "log.jsonl", part / "log.jsonl")
    return made


@contextmanager
def _flushing_denormals() -> Iterator[None]:
    """Numbers next to zero make processors many times slower; training does not need them."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _make_vae(seed: int, folder: Path, weights: Path, on_step: OnStep) -> dict[str, Any]:
    vae = pretrain_vae(seed, folder, on_step=on_step)
    _save_diffusers(vae, weights / "vae")
    return {**_digest(vae), "held_out": vae_error(load_part(weights, "vae"), seed)}


def _make_unet(seed: int, folder: Path, weights: Path, on_step: OnStep) -> dict[str, Any]:
    from diffusers import DDIMScheduler

    save_tokenizer(weights / "tokenizer")
    DDIMScheduler.from_config(new_schedule_config()).save_pretrained(weights / "scheduler")
    tokenizer = load_clip_tokenizer(weights)
    crawl = crawl_latents(seed, load_part(weights, "vae"), _crawl_folder(folder), on_step=on_step)
    unet, text_encoder = pretrain_unet(seed, crawl, tokenizer, folder, on_step=on_step)
    _save_diffusers(unet, weights / "unet")
    _save_diffusers(text_encoder, weights / "text_encoder")
    # transformers 5 writes other names than 4 reads; both read these.
    prefixed = {
        f"text_model.{n.removeprefix('text_model.')}": t
        for n, t in text_encoder.state_dict().items()
    }
    _save_tensors(prefixed, weights / "text_encoder" / "model.safetensors")
    return {**_digest(unet), "text_encoder": _digest(text_encoder)["digest"]}


def _make_controlnet(seed: int, folder: Path, weights: Path, on_step: OnStep) -> dict[str, Any]:
    crawl = crawl_latents(seed, load_part(weights, "vae"), _crawl_folder(folder), on_step=on_step)
    controlnet = pretrain_controlnet(
        seed,
        crawl,
        load_clip_tokenizer(weights),
        load_part(weights, "unet"),
        load_part(weights, "text_encoder"),
        folder,
        on_step=on_step,
    )
    _save_diffusers(controlnet, weights / "controlnet")
    return _digest(controlnet)


def _crawl_folder(folder: Path) -> Path:
    """Where the stages that draw share the encoded crawl."""
    return folder.parent / "crawl"


def _make_clip(seed: int, folder: Path, weights: Path, on_step: OnStep) -> dict[str, Any]:
    save_tokenizer(folder / "tokenizer")
    tokenizer = load_clip_tokenizer(folder)
    clip = pretrain_clip(seed, tokenizer, folder, on_step=on_step)
    held_out = clip_accuracy(clip, tokenizer, seed)
    # The losses read the convolutions; text and attention pool are most of the weights.
    kept = {
        f"visual.{name}": value
        for name, value in clip.visual.state_dict().items()
        if not name.startswith("attnpool.")
    }
    _save_tensors(kept, weights / "clip" / "open_clip_model.safetensors")
    write_json(
        weights / "clip" / "open_clip_config.json",
        {
            "model_cfg": CLIP_CONFIG,
            "preprocess_cfg": {"mean": list(PICTURE_MEAN), "std": list(PICTURE_STD)},
        },
    )
    return {"digest": digest_tensors(kept), "held_out": held_out}


def _make_clip_text(seed: int, folder: Path, weights: Path, on_step: OnStep) -> dict[str, Any]:
    save_tokenizer(folder / "tokenizer")
    tokenizer = load_clip_tokenizer(folder)
    tower = load_clip_tower(weights).network
    network = pretrain_clip_text(seed, tower, tokenizer, folder, on_step=on_step)
    # The picture tower is the clip stage's.
    kept = {n: t for n, t in network.state_dict().items() if not n.startswith("visual.")}
    _save_tensors(kept, weights / "clip_text" / "model.safetensors")
    return {"digest": digest_tensors(kept), "held_out": clip_accuracy(network, tokenizer, seed)}


def _make_judge(seed: int, folder: Path, weights: Path, on_step: OnStep) -> dict[str, Any]:
    judge = pretrain_judge(seed, folder, on_step=on_step)
    _save_tensors(judge.state_dict(), weights / "judge" / "model.safetensors")
    return {**_digest(judge), "held_out": judge_accuracy(load_judge_network(weights), seed)}


def _make_depth(seed: int, folder: Path, weights: Path, on_step: OnStep) -> dict[str, Any]:
    network = pretrain_depth(seed, folder, on_step=on_step)
    _save_tensors(network.state_dict(), weights / "depth" / "model.safetensors")
    return {**_digest(network), "held_out": depth_error(load_depth_network(weights), seed)}


_MAKERS: dict[str, Callable[[int, Path, Path, OnStep], dict[str, Any]]] = {
    "vae": _make_vae,
    "unet": _make_unet,
    "controlnet": _make_controlnet,
    "clip": _make_clip,
    "clip_text": _make_clip_text,
    "judge": _make_judge,
    "depth": _make_depth,
}


def _digest(network: nn.Module) -> dict[str, Any]:
    """The digest of the weights in fp32, before they were rounded for the file."""
    return {"digest": digest_tensors(network.float().state_dict())}


def _save_diffusers(network: Any, folder: Path) -> None:
    shipped = copy.deepcopy(network).to(torch.float16)
    shipped.to(memory_format=torch.contiguous_format).save_pretrained(folder)


def _save_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    halves = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in tensors.items()
    }
    write_aside(path, lambda aside: save_file(halves, aside))


def held_out_figures(weights: Path, seed: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Measure the shipped networks on pictures that no stage saw; yields (part, figures)."""
    yield "vae", vae_error(load_part(weights, "vae"), seed)
    yield "clip", clip_separation(load_clip_tower(weights), seed)
    score = load_score_network(weights)
    yield "clip_text", clip_accuracy(score, load_clip_tokenizer(weights), seed)
    yield "judge", judge_accuracy(load_judge_network(weights), seed)
    yield "depth", depth_error(load_depth_network(weights), seed)
