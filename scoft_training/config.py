"""Every option once: default, range, help text and its place in the paper. No work is done here.
What an option is, is in `options`; those of the survey are in `survey_config`.

Both doors read this room: a flag's help, a widget's range and tooltip and the README's table all
come from the dataclasses below, so they cannot drift apart. Sections and equations are those of the
paper (arXiv 2401.08053).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ConfigError, unknown_name
from .options import option, options

__all__ = [
    "PRESETS",
    "CaptionConfig",
    "DownloadConfig",
    "GenerateConfig",
    "GridConfig",
    "MemoryConfig",
    "NegativesConfig",
    "ReportConfig",
    "ScoreConfig",
    "TrainConfig",
    "named_after_values",
    "preset_differences",
    "preset_values",
]


@dataclass(frozen=True)
class TrainConfig:
    """What a training run does. Everything marked `changes_weights` enters the run id."""

    preset: str = option(
        "paper",
        "Starting values for the other options: paper and mpc (all four losses), mp, m, ldm (the "
        "paper's ablation), authors-code (the public script), custom (what the other options say).",
        choices=("paper", "authors-code", "mpc", "mp", "m", "ldm", "custom"),
        changes_weights=False,
    )
    perceptual_backbone: str = option(
        "clipconv",
        "Network whose features compare the denoised picture with the training picture (section "
        "4.3).",
    )
    gradient_step: str = option(
        "first",
        "Which DDIM step records its gradient (section 4.3); first was the paper's best.",
        choices=("first", "last", "random"),
    )
    steps: int = option(
        3000, "Optimizer steps; the paper trains 3000.", minimum=1, maximum=1_000_000
    )
    learning_rate: float = option(
        1e-4, "Peak learning rate (the authors' code: 1e-4).", minimum=0.0, maximum=1.0
    )
    optimizer: str = option(
        "adam",
        "adam as in the paper, or adamw (decoupled weight decay) as in the authors' code.",
        choices=("adam", "adamw"),
        advanced=True,
    )
    weight_decay: float = option(
        0.0,
        "Weight decay of the LoRA weights: an L2 penalty under adam, decoupled under adamw.",
        minimum=0.0,
        maximum=1.0,
        advanced=True,
    )
    lr_scheduler: str = option(
        "constant",
        "Course of the learning rate after the warm-up (diffusers' schedules of the same names).",
        choices=("constant", "linear", "cosine", "cosine_with_restarts", "polynomial"),
        advanced=True,
    )
    lr_warmup_steps: int = option(
        0,
        "Steps over which the learning rate rises from 0.",
        minimum=0,
        maximum=1_000_000,
        advanced=True,
    )
    max_grad_norm: float = option(
        1.0,
        "Gradients longer than this are scaled down to it; 0 turns clipping off.",
        minimum=0.0,
        maximum=1e6,
        advanced=True,
    )
    batch_size: int = option(
        1, "Pictures that go through the network at once.", minimum=1, maximum=256
    )
    gradient_accumulation_steps: int = option(
        1,
        "Batches per optimizer step: the step sees batch size x this many pictures, however many "
        "processes share them.",
        minimum=1,
        maximum=1024,
    )
    rank: int = option(
        64, "Rank of the LoRA (64 in the paper, section 4.1).", minimum=1, maximum=1024
    )
    alpha: float = option(
        0.0,
        "LoRA alpha: the update is scaled by alpha / rank; 0 means the same as rank.",
        minimum=0.0,
        maximum=4096.0,
    )
    resolution: int = option(
        512, "Side of the square training pictures, in pixels.", minimum=64, maximum=2048
    )
    crop: str = option(
        "center",
        "Where the square is cut from a picture: its centre, or a place drawn once per picture.",
        choices=("center", "random"),
        advanced=True,
    )
    random_flip: bool = option(
        True,
        "Mirror a picture, its depth and its negatives together in half of the steps.",
        advanced=True,
    )
    ldm_weight: float = option(
        0.7, "Weight of L_LDM, the noise-prediction loss (eq. 1).", minimum=0.0, maximum=100.0
    )
    memorization_weight: float = option(
        0.3,
        "Weight of L_M (eq. 2): stay near the prediction under a generic caption, so that pictures "
        "are not learned by heart.",
        minimum=0.0,
        maximum=100.0,
    )
    perceptual_weight: float = option(
        0.05,
        "Weight of L_P (eq. 3): the denoised picture is near the training picture.",
        minimum=0.0,
        maximum=100.0,
    )
    contrastive_weight: float = option(
        0.05,
        "Weight of L_C (eq. 4): near the training picture and away from its negatives.",
        minimum=0.0,
        maximum=100.0,
    )
    margin: float | None = option(
        0.2,
        "Margin m of L_C, in units of the set's mean distance between negatives and pictures; none "
        "drops margin and maximum and uses raw distances, as the authors' code does.",
        minimum=0.0,
        maximum=10.0,
    )
    negatives_lambda: float = option(
        1.0,
        "Sum of the weights lambda_i of a picture's negatives in L_C (eq. 4), shared equally.",
        minimum=0.0,
        maximum=10.0,
        advanced=True,
    )
    lpips_weight: float = option(
        0.0,
        "Weight of an LPIPS (VGG) distance to the training picture, as in the authors' code.",
        minimum=0.0,
        maximum=100.0,
        advanced=True,
    )
    augmentations: int = option(
        0,
        "Random perspective crops per picture before the backbone, drawn jointly for both sides; 0 "
        "compares whole pictures, whose features are then computed once.",
        minimum=0,
        maximum=64,
        advanced=True,
    )
    perceptual_every: int = option(
        10, "L_P and L_C are computed at every n-th step, from step 0.", minimum=1, maximum=10_000
    )
    ddim_steps: int = option(
        20, "DDIM steps from the noisy latent to a picture.", minimum=1, maximum=1000
    )
    guidance_scale: float = option(
        4.5,
        "Classifier-free guidance of that denoising (the authors' code: 4.5); 1 is none.",
        minimum=1.0,
        maximum=30.0,
    )
    unit_recorded_step: bool = option(
        False,
        "Divide out the length of the recorded DDIM step, which otherwise weighs early timesteps "
        "hundreds of times more than late ones. Ours, not the paper's.",
        advanced=True,
    )
    min_snr_gamma: float = option(
        0.0,
        "Min-SNR weighting of L_LDM (Hang et al. 2023, 5 is usual); 0 weighs every timestep by 1.",
        minimum=0.0,
        maximum=100.0,
        advanced=True,
    )
    seed: int = option(0, "Seed of every draw of the run.", minimum=0, maximum=2**63 - 1)
    precision: str = option(
        "auto",
        "Number format of the frozen networks: auto is bf16 on a GPU that has it, else fp16, and "
        "fp32 on CPU. LoRA weights, optimizer and losses are fp32; fp64 (CPU only) is all double.",
        choices=("auto", "fp32", "bf16", "fp16", "fp64"),
    )
    save_every: int = option(
        250,
        "A resumable checkpoint is written every n steps; 0 writes one only when stopping.",
        minimum=0,
        maximum=1_000_000,
        advanced=True,
        changes_weights=False,
    )
    keep_checkpoints: int = option(
        2,
        "How many of the newest checkpoints stay.",
        minimum=1,
        maximum=10_000,
        advanced=True,
        changes_weights=False,
    )
    validate_every: int = option(
        0,
        "L_LDM over the test split's rows, with fixed noise and timesteps, every n steps; 0 never.",
        minimum=0,
        maximum=1_000_000,
        advanced=True,
        changes_weights=False,
    )

    preview_every: int = option(
        0,
        "Previews are drawn every n steps and at the end, beside the base model's picture of the "
        "same prompt and seed; 0 never.",
        minimum=0,
        maximum=1_000_000,
        changes_weights=False,
    )
    preview_prompts: str = option(
        "",
        "What previews show, prompts parted by | or new lines; empty takes the first two rows' "
        "cultural captions.",
        changes_weights=False,
    )
    preview_steps: int = option(
        20,
        "DDIM steps of a preview.",
        minimum=1,
        maximum=1000,
        advanced=True,
        changes_weights=False,
    )
    snapshot_every: int = option(
        0,
        "The LoRA so far is written as a file of its own every n steps and stays, to be compared "
        "with the others in a grid; 0 never.",
        minimum=0,
        maximum=1_000_000,
        changes_weights=False,
    )

    @property
    def global_batch_size(self) -> int:
        """Pictures per optimizer step: the divisor of every loss term."""
        return self.batch_size * self.gradient_accumulation_steps

    @property
    def lora_alpha(self) -> float:
        """Alpha with the 0 = rank rule applied."""
        return self.alpha or float(self.rank)

    @property
    def uses_generic_captions(self) -> bool:
        """Whether L_M is on."""
        return self.memorization_weight > 0

    @property
    def uses_negatives(self) -> bool:
        """Whether L_C is on."""
        return self.contrastive_weight > 0

    @property
    def uses_backbone(self) -> bool:
        """Whether L_P or L_C is on."""
        return self.perceptual_weight > 0 or self.contrastive_weight > 0

    @property
    def uses_denoising(self) -> bool:
        """Whether any loss looks at the denoised picture."""
        return self.uses_backbone or self.lpips_weight > 0

    def check(self) -> None:
        """Refuse values that do not go together."""
        _require_blocks(self.resolution)
        if not (self.ldm_weight or self.memorization_weight or self.uses_denoising):
            raise ConfigError(
                "All loss weights are 0, so nothing would be learned. Raise one of them."
            )

    def identity(self) -> dict[str, Any]:
        """Return the values that decide the weights, for the run id.

        Batch size and accumulation enter as their product, since the draws depend on nothing else.
        """
        values = {
            option.name: getattr(self, option.name)
            for option in options(type(self))
            if option.changes_weights
        }
        del values["batch_size"], values["gradient_accumulation_steps"]
        return {**values, "alpha": self.lora_alpha, "global_batch_size": self.global_batch_size}


@dataclass(frozen=True)
class MemoryConfig:
    """Trades of memory against time; none changes what is computed.

    What is decided, once and before the first step, is printed, kept in the run's config.json and
    used again by a resume. The attention backend is not among the choices: it is always torch's
    scaled_dot_product_attention.
    """

    memory: str = option(
        "auto",
        "How the options below that are auto, or 0, are decided: fast keeps everything; balanced "
        "decodes one picture at a time and recomputes the decoder, which only every n-th step pays "
        "for; low recomputes the UNet, too; auto takes the first of these that fits into the free "
        "memory. The text encoder never stays on the device while the LoRA is trained.",
        choices=("auto", "fast", "balanced", "low"),
        changes_weights=False,
    )
    gradient_checkpointing: str = option(
        "auto",
        "Recompute the UNet's activations in the backward pass instead of keeping them.",
        choices=("auto", "on", "off"),
        changes_weights=False,
    )
    decoder_checkpointing: str = option(
        "auto",
        "The same for the VAE decoder.",
        choices=("auto", "on", "off"),
        advanced=True,
        changes_weights=False,
    )
    decode_batch_size: int = option(
        0,
        "Pictures decoded at once in the perceptual branch; 0 lets `memory` decide.",
        minimum=0,
        maximum=256,
        advanced=True,
        changes_weights=False,
    )
    batched_guidance: str = option(
        "auto",
        "Both predictions of guidance in one call (faster) or one after the other (smaller).",
        choices=("auto", "on", "off"),
        advanced=True,
        changes_weights=False,
    )


@dataclass(frozen=True)
class GenerateConfig:
    """How `scoft generate` draws its pictures; DDIM, as everywhere in the paper."""

    inference_steps: int = option(30, "DDIM steps per picture.", minimum=1, maximum=1000)
    guidance_scale: float = option(7.5, "Classifier-free guidance.", minimum=0.0, maximum=30.0)
    resolution: int = option(512, "Side of the pictures, in pixels.", minimum=64, maximum=2048)
    negative_prompt: str = option("", "What the pictures should not show.")
    lora_strength: float = option(1.0, "Factor on the LoRA's update.", minimum=-10.0, maximum=10.0)
    precision: str = option(
        "auto",
        "Number format, as in training.",
        choices=("auto", "fp32", "bf16", "fp16", "fp64"),
    )

    def check(self) -> None:
        """Refuse values that do not go together."""
        _require_blocks(self.resolution)


@dataclass(frozen=True)
class GridConfig:
    """What `scoft grid` draws for a dataset's captions, and how many at once.

    Ten training and ten held-out captions with 20 pictures each are the paper's (table 2); the
    other numbers are ours.
    """

    train_captions: int = option(
        10,
        "Training captions drawn for, chosen by the seed: how near their drawings are to the "
        "training pictures, and how they differ among each other.",
        minimum=0,
        maximum=100_000,
    )
    pictures_per_caption: int = option(
        20, "Pictures of each of them, and of `many_test_captions`.", minimum=1, maximum=10_000
    )
    test_captions: int = option(
        0, "Captions of the test split drawn for; 0 takes all.", minimum=0, maximum=100_000
    )
    pictures_per_test_caption: int = option(
        1, "Pictures of each of them.", minimum=1, maximum=10_000
    )
    many_test_captions: int = option(
        10,
        "So many of them get `pictures_per_caption` pictures, for the diversity of held-out "
        "captions.",
        minimum=0,
        maximum=100_000,
        advanced=True,
    )
    neutral_prompts: int = option(
        100,
        "Everyday prompts that name no culture, drawn by every model and, with other seeds, by the "
        "base model once more: what the rest of the model's knowledge is measured by.",
        minimum=0,
        maximum=120,
    )
    seed: int = option(
        0,
        "Chooses the captions and the noise of their pictures; typed prompts count their seeds up "
        "from it.",
        minimum=0,
        maximum=2**53,
    )
    batch_size: int = option(4, "Pictures drawn at once.", minimum=1, maximum=256)


@dataclass(frozen=True)
class NegativesConfig:
    """How negatives are drawn and filtered (section 4.4). The paper gives no numbers: all are ours.

    What starts with `filter_` decides which of the drawn pictures are kept, and redraws nothing.
    """

    suffix: str = option(
        "",
        "Names the culture at the end of every prompt, such as `in Korea`; empty takes the suffix "
        "in the dataset's card.json.",
    )
    negatives_per_picture: int = option(
        5, "Pictures drawn for each training picture.", minimum=1, maximum=99
    )
    inference_steps: int = option(30, "DDIM steps per picture.", minimum=1, maximum=1000)
    guidance_scale: float = option(7.5, "Classifier-free guidance.", minimum=0.0, maximum=30.0)
    control_strength: float = option(
        1.0,
        "How strongly the ControlNet holds a drawing to the picture's depth; 0 draws freely.",
        minimum=0.0,
        maximum=2.0,
    )
    resolution: int = option(
        512, "Side of the pictures, in pixels; as in training.", minimum=64, maximum=2048
    )
    crop: str = option(
        "center",
        "Where the square is cut from a picture, as in training.",
        choices=("center", "random"),
        advanced=True,
    )
    seed: int = option(
        0, "Seed of every drawing, and of a random crop.", minimum=0, maximum=2**63 - 1
    )
    precision: str = option(
        "auto",
        "Number format, as in training.",
        choices=("auto", "fp32", "bf16", "fp16", "fp64"),
        advanced=True,
    )
    filter_backbone: str = option(
        "dreamsim",
        "Network that tells how far a negative is from its picture; none keeps all.",
    )
    filter_threshold: float | None = option(
        None,
        "Negatives nearer to their picture than this are dropped; none takes the threshold that "
        "was measured for the backbone, if there is one.",
        minimum=0.0,
        maximum=1e6,
    )

    def check(self) -> None:
        """Refuse values that do not go together."""
        _require_blocks(self.resolution)


@dataclass(frozen=True)
class CaptionConfig:
    """How `scoft caption` writes plain captions for pictures (the c_gen of L_M, eq. 2)."""

    captions_per_picture: int = option(
        5, "Different captions per picture; one is drawn at each step.", minimum=1, maximum=50
    )
    top_p: float = option(
        0.9,
        "Each token is drawn from the likeliest ones that together have this probability.",
        minimum=0.01,
        maximum=1.0,
        advanced=True,
    )
    temperature: float = option(
        1.0,
        "Above 1 captions vary more, below 1 less.",
        minimum=0.1,
        maximum=10.0,
        advanced=True,
    )
    max_new_tokens: int = option(
        30, "Longest caption, in tokens of the captioner.", minimum=1, maximum=75, advanced=True
    )
    min_new_tokens: int = option(
        5, "Shortest caption, in tokens of the captioner.", minimum=1, maximum=75, advanced=True
    )
    seed: int = option(0, "Seed of every caption.", minimum=0, maximum=2**63 - 1)
    precision: str = option(
        "auto",
        "Number format, as in training.",
        choices=("auto", "fp32", "bf16", "fp16", "fp64"),
    )

    def check(self) -> None:
        """Refuse values that do not go together."""
        if self.min_new_tokens > self.max_new_tokens:
            raise ConfigError(
                f"`min_new_tokens` must not be above `max_new_tokens` but got "
                f"{self.min_new_tokens} and {self.max_new_tokens}. Lower the first or raise the "
                "second."
            )


@dataclass(frozen=True)
class DownloadConfig:
    """How `scoft dataset download` reads a table of links, and how politely it fetches."""

    url_column: str = option("", "Column of the links; empty finds it by its name.")
    caption_column: str = option("", "Column of the cultural captions; empty finds it by name.")
    encoding: str = option("", "What the table is encoded in; empty tells it, UTF-8 first.")
    retry_dead: bool = option(
        False, "Try all links again that gave no picture, not only those that may come back."
    )
    min_side: int = option(
        128, "Pictures with a shorter side, in pixels, are left out.", minimum=1, maximum=10_000
    )
    max_megabytes: int = option(50, "Largest file that is fetched.", minimum=1, maximum=2000)
    at_once: int = option(
        8, "Files fetched at once, each from another host.", minimum=1, maximum=64, advanced=True
    )
    host_delay: float = option(
        0.5,
        "Seconds between two requests to a host; its robots.txt may ask for more.",
        minimum=0.0,
        maximum=600.0,
        advanced=True,
    )
    tries: int = option(
        3, "How often a link is asked that may come back.", minimum=1, maximum=20, advanced=True
    )
    retry_delay: float = option(
        1.0,
        "Seconds before the second try, doubled before each further one, more or less by chance.",
        minimum=0.0,
        maximum=600.0,
        advanced=True,
    )
    longest_wait: float = option(
        60.0,
        "Longest time that a host may ask to wait; a link that asks for more is left for the next "
        "run.",
        minimum=0.0,
        maximum=3600.0,
        advanced=True,
    )
    seconds_per_file: float = option(
        120.0, "Longest time for one file.", minimum=0.1, maximum=86_400.0, advanced=True
    )
    header_seconds: float = option(
        30.0,
        "Longest time for an answer to begin, and between two pieces of it.",
        minimum=0.1,
        maximum=3600.0,
        advanced=True,
    )
    trust_host: str = option(
        "",
        "HOST:PORT, several parted by commas, that may be asked although they lie in a private "
        "network.",
        advanced=True,
    )
    culture: str = option("", "Written into the set's card.json; empty writes none.")
    suffix: str = option("", "Likewise: names the culture in prompts, such as `in Korea`.")


@dataclass(frozen=True)
class ReportConfig:
    """What `scoft dataset report` counts as a problem. All numbers are ours."""

    near_duplicate_bits: int = option(
        10,
        "Pictures whose perceptual hashes differ in at most so many of 64 bits are "
        "near-duplicates.",
        minimum=0,
        maximum=20,
        advanced=True,
    )
    caption_overlap: float = option(
        0.75,
        "Captions that share at least this part of their runs of three letters repeat each other.",
        minimum=0.3,
        maximum=1.0,
        advanced=True,
    )
    least_sharpness: float = option(
        12.0,
        "Pictures whose sharpest parts are less sharp than this are blurred.",
        minimum=0.0,
        maximum=200.0,
        advanced=True,
    )
    least_side: int = option(
        512,
        "Pictures with a shorter side are small; as the resolution of training.",
        minimum=1,
        maximum=2048,
    )
    similar_backbone: str = option(
        "dreamsim",
        "Network that gives a second opinion on near-duplicates if its weights are on this "
        "machine; it is not downloaded.",
        choices=("dreamsim", "dreamsim_vitb32", "none"),
    )
    similar_threshold: float | None = option(
        None,
        "Pictures nearer to each other than this in that network are near-duplicates, too; none "
        "takes half the distance under which it drops a negative.",
        minimum=0.0,
        maximum=1.0,
        advanced=True,
    )


@dataclass(frozen=True)
class ScoreConfig:
    """What `scoft score` measures of drawn pictures (sections 5 and 6)."""

    kid_network: str = option(
        "inception",
        "Network whose features KID compares; inception is what papers report, none leaves it out.",
    )
    kid_subset_size: int = option(
        0,
        "Pictures of either set in a subset of KID; 0 compares the whole sets.",
        minimum=0,
        maximum=100_000,
        advanced=True,
    )
    kid_subsets: int = option(
        100, "How many such subsets are drawn.", minimum=1, maximum=10_000, advanced=True
    )
    fid: bool = option(
        False,
        "FID to the reference pictures, too; of fewer than some thousand pictures it says little.",
        advanced=True,
    )
    clip_network: str = option(
        "clip_vit_b32",
        "Network of the CLIP Score, picture against caption; none leaves it out.",
    )
    similarity_networks: str = option(
        "clip_vit_b32,dino_vits16,dreamsim",
        "Networks of the likeness to training pictures, parted by commas; the first answers "
        "whether the model copies; none leaves it out.",
    )
    diversity_network: str = option(
        "dreamsim",
        "Network of DIV and of the Vendi score, the variety of pictures of one caption; none "
        "leaves them out.",
    )
    baseline: str = option("base", "Model of the grid that the others are compared with.")
    batch_size: int = option(
        16,
        "Pictures that go through a measuring network at once.",
        minimum=1,
        maximum=1024,
        advanced=True,
    )
    skip_unreadable: bool = option(
        False, "Leave out pictures that cannot be read, and list them, instead of ending."
    )
    seed: int = option(
        0, "Seed of the subsets of KID.", minimum=0, maximum=2**63 - 1, advanced=True
    )


_LDM = {"ldm_weight": 1.0, "memorization_weight": 0.0} | {
    "perceptual_weight": 0.0,
    "contrastive_weight": 0.0,
}
_M = _LDM | {"ldm_weight": 0.7, "memorization_weight": 0.3}
_MP = _M | {"perceptual_weight": 0.05}
_MPC = _MP | {"contrastive_weight": 0.05}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "ldm": _LDM,
    "m": _M,
    "mp": _MP,
    "mpc": _MPC,
    "paper": _MPC,
    "authors-code": _MPC
    | {
        "perceptual_weight": 0.0,
        "margin": None,
        "perceptual_backbone": "clip_vit_b32",
        "augmentations": 10,
        "lpips_weight": 0.01,
        "optimizer": "adamw",
        "weight_decay": 0.01,
        "lr_scheduler": "cosine",
        "gradient_accumulation_steps": 4,
    },
    "custom": {},
}
"""Values a preset puts in place of the defaults.

The paper's loss weights are lost in its text extraction, so every preset takes those of the
authors' code (0.7, 0.3, 0.05); so does clipping at 1.0. Sampling is DDIM in all of them, while the
authors' code steps DDPM over custom timesteps. Its fp16 is left to `precision`, which is auto.
"""


def preset_values(preset: str) -> dict[str, Any]:
    """Return the values that `preset` puts in place of the defaults.

    Raises:
        ConfigError: there is no preset of that name.
    """
    if preset not in PRESETS:
        raise ConfigError(unknown_name("preset", preset, PRESETS))
    return dict(PRESETS[preset])


def named_after_values(config: TrainConfig) -> TrainConfig:
    """Return the config with `preset` custom where its values are not those of the named preset."""
    return dataclasses.replace(config, preset="custom") if preset_differences(config) else config


def preset_differences(config: TrainConfig) -> list[str]:
    """Return where the config's values are not those of the preset it names, as short clauses.

    Raises:
        ConfigError: there is no preset of that name.
    """
    return [
        f"`{name}` is {getattr(config, name)} where the preset has {value}"
        for name, value in preset_values(config.preset).items()
        if getattr(config, name) != value
    ]


def _require_blocks(resolution: int) -> None:
    if resolution % 8:
        raise ConfigError(
            f"`resolution` must be divisible by 8, since the VAE works on blocks of 8 pixels, but "
            f"got {resolution}. Use {resolution // 8 * 8} or {resolution // 8 * 8 + 8}."
        )
