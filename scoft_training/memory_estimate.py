"""What a run will hold in memory, counted by running a step without its numbers.

Twins of the run's own networks on torch's meta device, which knows shapes and no values, go through
the very code of the loop; `live_bytes` counts what is alive. No weight is copied or touched, so it
takes seconds for the largest networks, and works for networks that are on meta themselves.

Not counted: what kernels need for themselves (convolution workspaces), the context of a GPU, the
pieces an allocator cannot use. `memory` leaves room for them.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .backbone_interface import PerceptualBackbone
from .batches import Batch, PictureTarget
from .conditioning import Conditioning
from .config import MemoryConfig, TrainConfig
from .live_bytes import LiveBytes
from .memory import apply_memory
from .models import BaseModel, NoiseSchedule, attach_lora, lora_parameters
from .objective import Objective

__all__ = ["MemoryEstimate", "StepModel", "training_model"]

_META = torch.device("meta")
_TOKENS = 77
"""Of a caption; CLIP's. They weigh little beside the places of a picture."""
_TIME_IDS = 6
_NETWORKS = {
    "unet": "the UNet",
    "decoder": "the VAE decoder",
    "backbone": "the backbone",
    "lpips": "LPIPS",
}
_BRANCHES = {
    "unet": "during L_LDM and L_M",
    "denoising": "during the denoising",
    "decoder": "during L_P and L_C",
    "preview": "during a preview",
    "optimizer": "during the optimizer's step",
}


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a run holds on its device.

    Attributes:
        weights: of each frozen network that lives there, by name: "unet", "decoder", "backbone",
            "lpips".
        lora: weights of the LoRA.
        lora_gradients: theirs, as many again.
        optimizer: the two moments of Adam.
        branches: the most that each part of a step holds beside the weights and moments, by name:
            "unet" (L_LDM and L_M with their backward pass), "denoising" (the chain's predictions,
            without gradient), "decoder" (pictures, backbone, and their backward pass), "preview"
            (a picture, without gradient) and "optimizer".
    """

    weights: dict[str, int]
    lora: int
    lora_gradients: int
    optimizer: int
    branches: dict[str, int]

    @property
    def working(self) -> int:
        """The most that a run allocates once its networks are on the device.

        One graph is alive at a time, so the branches' largest counts, not their sum.
        """
        return self.optimizer + max(self.branches.values())

    @property
    def peak(self) -> int:
        """The most that a run holds, its networks included."""
        return sum(self.weights.values()) + self.lora + self.working

    def parts(self) -> dict[str, int]:
        """Return what the peak is made of, in words for people; branches come one at a time."""
        weights = {f"weights of {_NETWORKS[name]}": size for name, size in self.weights.items()}
        branches = {_BRANCHES[name]: size for name, size in self.branches.items()}
        return {**weights, "LoRA": self.lora, "optimizer": self.optimizer, **branches}


class StepModel:
    """A run's step on the meta device, for asking what it would hold under any memory choices.

    Args:
        base: its UNet carries the LoRA.
        config: of the run.
        backbone: of L_P and L_C, or None where they are off.
        lpips: likewise, or None where `lpips_weight` is 0.
        dtype: of the frozen networks.
        num_negatives: the most negatives that a picture of the set has.
    """

    def __init__(
        self,
        base: BaseModel,
        config: TrainConfig,
        *,
        backbone: PerceptualBackbone | None,
        lpips: PerceptualBackbone | None,
        dtype: torch.dtype,
        num_negatives: int = 0,
    ) -> None:
        self._config = config
        self._dtype = dtype
        self._wide = torch.promote_types(dtype, torch.float32)
        self._num_negatives = num_negatives
        self.base = dataclasses.replace(base, unet=_twin(base.unet), vae=_twin(base.vae))
        self._backbone = None if backbone is None else _twin(backbone)
        self._lpips = None if lpips is None else _twin(lpips)
        self._features: list[Tensor] | None = None
        self._known: dict[tuple[Any, ...], int] = {}

    def estimate(self, memory: MemoryConfig) -> MemoryEstimate:
        """Return what a run under these choices holds.

        Args:
            memory: decided, without `auto`.
        """
        config, base = self._config, self.base
        lora = _bytes(lora_parameters(base.unet).values())
        decoder = _bytes(
            value for part in base.decoder_parts for value in part.state_dict().values()
        )
        weights = {"unet": _bytes(base.unet.state_dict().values()) - lora}
        # From micro-batch to micro-batch the gradients stay; else they are there from the UNet's
        # backward pass on, which counts them itself.
        kept = lora if config.gradient_accumulation_steps > 1 else 0
        # Gradients and, for a moment, the roots of the second moments.
        branches = {"optimizer": 2 * lora}
        branches["unet"] = kept + self._once(_step, memory, memory.gradient_checkpointing)
        if config.uses_denoising:
            weights["decoder"] = decoder
            if self._features is None:
                self._features = self._look_once()
            branches["denoising"] = kept + self._once(_predict, memory, memory.batched_guidance)
            branches["decoder"] = kept + self._once(
                _decode, memory, memory.decoder_checkpointing, memory.decode_batch_size
            )
        if config.preview_every:
            # The decoder visits the device for it, unless it lives there.
            visiting = 0 if config.uses_denoising else decoder
            branches["preview"] = visiting + self._once(_preview, memory)
        for name, network in (("backbone", self._backbone), ("lpips", self._lpips)):
            if network is not None:
                weights[name] = _bytes([*network.parameters(), *network.buffers()])
        return MemoryEstimate(weights, lora, lora, 2 * lora, branches)

    def _once(self, branch: _Branch, memory: MemoryConfig, *depends: Any) -> int:
        """Peak of a branch, counted once for all choices that it does not depend on."""
        key = (branch, *depends)
        if key not in self._known:
            self._known[key] = self._count(branch, memory)
        return self._known[key]

    def _count(self, branch: _Branch, memory: MemoryConfig) -> int:
        many = self._config.gradient_accumulation_steps > 1
        for parameter in lora_parameters(self.base.unet).values():
            # Made outside the count, so that a later micro-batch adds to what is there.
            parameter.grad = torch.empty_like(parameter) if many else None
        apply_memory(memory, self.base.unet, self.base.vae)
        self.objective = Objective(
            self.base,
            self._config,
            memory,
            backbone=self._backbone,
            lpips=self._lpips,
            uncond=self._captions(1)[0],
            distance_unit=1.0,
            device=_META,
            dtype=self._dtype,
        )
        live = _LiveMeta()
        with _fused_attention(), live:
            branch(self, memory)
        return live.peak

    def batch(self) -> Batch:
        """A micro-batch of the run, without targets."""
        count = self._config.batch_size
        generic = self._captions(count) if self._config.uses_generic_captions else None
        side = self._config.resolution // self.base.vae_scale_factor
        channels = self.base.unet.config.in_channels
        latents = self._empty(count, channels, side, side)
        return Batch(
            latents=latents,
            noise=torch.empty_like(latents),
            timesteps=torch.zeros(count, dtype=torch.int64, device=_META),
            conditioning=self._captions(count),
            generic_conditioning=generic,
            recorded_draws=torch.empty(count, device=_META),
            targets=(),
        )

    def _captions(self, count: int) -> Conditioning:
        config = self.base.unet.config
        embeds = self._empty(count, _TOKENS, config.cross_attention_dim)
        if not self.base.reads_sizes:
            return Conditioning(embeds)
        sizes = config.addition_time_embed_dim * _TIME_IDS
        pooled = self._empty(count, config.projection_class_embeddings_input_dim - sizes)
        return Conditioning(embeds, pooled, torch.empty(count, _TIME_IDS, device=_META))

    def target(self) -> PictureTarget:
        """What one picture is compared with, with every negative that the loss asks for."""
        negatives = self._num_negatives if self._config.uses_negatives else 0
        side = self._config.resolution
        features = [
            self._empty(1 + negatives, *part.shape[1:], dtype=part.dtype)
            for part in self._features or ()
        ]
        return PictureTarget(
            picture_features=[part[:1] for part in features],
            negative_features=[part[1:] for part in features],
            num_negatives=negatives,
            pictures=self._empty(1 + negatives, 3, side, side),
            augmentation_purpose=("augmentation", 0, 0),
        )

    @torch.no_grad()
    def _look_once(self) -> list[Tensor]:
        """Features of one picture, where they are computed before the loop."""
        if self._backbone is None or self._config.augmentations:
            return []
        side = self._config.resolution
        with _fused_attention(), _LiveMeta():
            features = self._backbone.features(self._empty(1, 3, side, side))
        return list(features)

    def _empty(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        return torch.empty(shape, dtype=dtype or self._wide, device=_META)


_Branch = Callable[[StepModel, MemoryConfig], None]


def _step(model: StepModel, _memory: MemoryConfig) -> None:
    """L_LDM and L_M. The prediction of a last or random recorded step is made alone, after this
    graph is freed, and its graph is this one's without the losses."""
    model.objective.accumulate(model.batch(), check_stop=lambda: None)


@torch.no_grad()
def _predict(model: StepModel, _memory: MemoryConfig) -> None:
    batch = model.batch()
    model.objective.guided_noise(batch.latents, batch.timesteps, batch.conditioning)


def _decode(model: StepModel, memory: MemoryConfig) -> None:
    latents = model.batch().latents[: memory.decode_batch_size]
    model.objective.picture_gradient(latents, [model.target() for _ in latents])


@torch.no_grad()
def _preview(model: StepModel, _memory: MemoryConfig) -> None:
    vae = model.base.vae
    vae.decode(model.batch().latents[:1].to(vae.dtype))


def training_model(
    unet: nn.Module,
    vae: nn.Module,
    config: TrainConfig,
    *,
    dtype: torch.dtype,
    backbone: PerceptualBackbone | None = None,
) -> StepModel:
    """Return what tells what a training of these networks would hold; they are not changed.

    Args:
        unet: diffusers' UNet2DConditionModel without an adapter, on any device, meta too.
        vae: diffusers' AutoencoderKL, likewise.
        config: rank, resolution, batch size and losses.
        dtype: of the UNet and the LoRA's computation.
        backbone: of L_P and L_C; None counts the decoder alone.
    """
    unet = _twin(unet).to(dtype)
    attach_lora(
        unet,
        rank=config.rank,
        alpha=config.lora_alpha,
        seed=config.seed,
        dtype=torch.promote_types(dtype, torch.float32),
    )
    schedule = NoiseSchedule(torch.linspace(0.99, 0.01, 1000, dtype=torch.float64), "epsilon")
    # The text encoder has left before the loop begins.
    captions: Any = None
    base = BaseModel("", "", unet, vae, captions, schedule, "")
    backbone = backbone or (_Pictures(dtype) if config.uses_denoising else None)
    return StepModel(base, config, backbone=backbone, lpips=None, dtype=dtype)


class _LiveMeta(LiveBytes):  # type: ignore[no-untyped-call]
    """Counts on meta, where code that asks whether a mask is full is told that it is."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and args[0].dtype == torch.bool:
            return True
        return super().__torch_dispatch__(func, types, args, kwargs)


class _Pictures(PerceptualBackbone):
    """Looks at the pictures themselves: stands where no backbone is known."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__("pictures", nn.Identity(), settings={}, dtype=dtype, constants={})

    def features(self, images: Tensor) -> list[Tensor]:
        return [images]


def _twin(module: Any) -> Any:
    """Return the same module without its values: a copy whose weights are on meta."""
    memo: dict[int, Any] = {}
    for parameter in module.parameters():
        empty = torch.empty_like(parameter, device=_META)
        memo[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
    for buffer in module.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device=_META)
    return copy.deepcopy(module, memo)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@contextlib.contextmanager
def _fused_attention() -> Iterator[None]:
    """Let attention on meta keep what the fused kernels of CPU and GPU keep.

    Meta tensors have no fused kernel to choose, and attention would be counted with its N x N
    matrices, which no device makes.
    """
    library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    try:
        library.impl("scaled_dot_product_attention", _attend, "AutogradMeta")  # type: ignore[no-untyped-call]
        yield
    finally:
        library._destroy()  # type: ignore[no-untyped-call]


def _attend(query: Tensor, key: Tensor, value: Tensor, *_mask: Any, **options: Any) -> Tensor:
    """Keep query, key, value, result and the logarithm of its sums, (batch, heads, places)."""
    kept: Tensor = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, scale=options.get("scale")
    )[0]
    return kept
