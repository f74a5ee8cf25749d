"""Networks of the real classes with random weights, and drawn pictures, for tests and benchmarks.

Where something has to be learned or drawn, the miniature is used instead: these draw noise.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw

from scoft_training.draws import choice, generator
from scoft_training.files import write_aside, write_json

__all__ = [
    "draw_demo_dataset",
    "random_controlnet",
    "random_networks",
    "save_clip_tokenizer",
    "save_random_base",
    "save_random_clip",
    "save_random_controlnet",
]

_WEIGHTS_SEED = 20240801


def random_networks() -> tuple[Any, Any]:
    """Return a small UNet2DConditionModel and AutoencoderKL (factor 8), the same every time."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_WEIGHTS_SEED)
        unet = UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(32, 64),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            layers_per_block=1,
            cross_attention_dim=32,
            attention_head_dim=4,
        )
        vae = AutoencoderKL(
            block_out_channels=(32, 32, 64, 64),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=1,
        )
    return unet, vae


def save_random_base(folder: Path, *, prediction_type: str = "epsilon") -> None:
    """Write a small text-to-image model with random weights in diffusers' layout.

    UNet2DConditionModel, AutoencoderKL (factor 8), CLIPTextModel and CLIPTokenizer with CLIP's own
    vocabulary; the noise schedule is Stable Diffusion's. The same weights every time.

    Args:
        folder: made if missing; an existing model in it is replaced.
        prediction_type: "epsilon" or "v_prediction".
    """
    from diffusers import DDIMScheduler
    from transformers import CLIPTextConfig, CLIPTextModel

    unet, vae = random_networks()
    text = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_WEIGHTS_SEED)
        text_encoder = CLIPTextModel(CLIPTextConfig(num_hidden_layers=2, **text))
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )
    unet.save_pretrained(folder / "unet")
    vae.save_pretrained(folder / "vae")
    text_encoder.save_pretrained(folder / "text_encoder")
    scheduler.save_pretrained(folder / "scheduler")
    save_clip_tokenizer(folder / "tokenizer")


def random_controlnet() -> Any:
    """Return a ControlNetModel for the UNet of `random_networks`, the same every time.

    A new ControlNet adds nothing until it is trained; this one's last layers are random, so that
    what it is shown changes the drawing.
    """
    from diffusers import ControlNetModel

    unet, _ = random_networks()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_WEIGHTS_SEED)
        network = ControlNetModel.from_unet(unet)
        silent = [
            network.controlnet_cond_embedding.conv_out,
            *network.controlnet_down_blocks,
            network.controlnet_mid_block,
        ]
        for layer in silent:
            torch.nn.init.normal_(layer.weight, std=0.1)
    return network


def save_random_controlnet(folder: Path) -> None:
    """Write `random_controlnet` in diffusers' layout; it goes with `save_random_base`."""
    random_controlnet().save_pretrained(folder)


def save_clip_tokenizer(folder: Path) -> None:
    """Write CLIP's tokenizer from the vocabulary that open_clip ships: no download."""
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPTokenizer

    shipped = SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    CLIPTokenizer(
        vocab={names.get(word, word): index for word, index in shipped.encoder.items()},
        merges=list(shipped.bpe_ranks),
        model_max_length=77,
    ).save_pretrained(folder)


def save_random_clip(folder: Path) -> None:
    """Write a small CLIP with a convolutional tower and random weights in open_clip's local form.

    It goes through the same loading code as the real one: `--backbone-weights FOLDER`.
    """
    from open_clip import CLIP
    from safetensors.torch import save_file

    vision = {"layers": [1, 1, 1, 1], "width": 16, "image_size": 64, "patch_size": None}
    text = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}
    config = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_WEIGHTS_SEED)
        network = CLIP(embed_dim=32, vision_cfg=vision, text_cfg=text)
        for name, value in network.visual.named_parameters():
            if name.endswith("bn3.weight"):
                # open_clip begins every block as the identity, waiting to be trained.
                torch.nn.init.ones_(value)
        _settle_batch_norms(network.visual)
    preprocessing = {"mean": [0.4815, 0.4578, 0.4082], "std": [0.2686, 0.2613, 0.2758]}
    write_json(
        folder / "open_clip_config.json", {"model_cfg": config, "preprocess_cfg": preprocessing}
    )
    write_aside(
        folder / "open_clip_model.safetensors",
        lambda aside: save_file(
            {name: value.contiguous() for name, value in network.state_dict().items()}, aside
        ),
    )


@torch.no_grad()
def _settle_batch_norms(visual: torch.nn.Module) -> None:
    """Let batch norms measure smooth random pictures, so that features do not vanish by depth."""
    visual.train()
    for _ in range(40):
        visual(torch.nn.functional.interpolate(torch.randn(16, 3, 8, 8), size=64, mode="bicubic"))
    visual.eval()


_SUBJECTS = ("house", "bowl", "robe")
_COLOURS = {"teal": (24, 150, 140), "plum": (140, 50, 120), "ochre": (210, 150, 40)}
_GREY = (120, 118, 112)
_SIZE = (200, 160)


def draw_demo_dataset(folder: Path, *, num_pictures: int = 12, negatives: int = 2) -> None:
    """Draw a small picture set of an invented culture in the authors' layout, always the same.

    Args:
        folder: made; must not hold a dataset yet.
        num_pictures: rows of train; a third as many, drawn anew, are test.
        negatives: greyed pictures of the same layout per row of train, in place of drawn ones.
    """
    for split, count, first in (("train", num_pictures, 0), ("test", num_pictures // 3, 1000)):
        (folder / split / "images").mkdir(parents=True, exist_ok=True)
        (folder / "negative_images").mkdir(exist_ok=True)
        (folder / "depth").mkdir(exist_ok=True)
        rows = []
        for number in range(first, first + count):
            subject = _SUBJECTS[choice(len(_SUBJECTS), number, "subject")]
            colour = list(_COLOURS)[choice(len(_COLOURS), number, "colour")]
            name = f"{subject}_{number}"
            _scene(number, subject, _COLOURS[colour]).save(
                folder / split / "images" / f"{name}.png"
            )
            _depth(number, subject).save(folder / "depth" / f"{name}.png")
            brought = []
            for index in range(negatives if split == "train" else 0):
                brought.append(f"negative_images/{name}_{index}.png")
                grey = tuple(shade + 12 * index for shade in _GREY)
                _scene(number, subject, grey, patterned=False).save(folder / brought[-1])
            rows.append(
                {
                    "file_name": f"images/{name}.png",
                    "text": f"a {colour} {subject} with a woven band, in the style of Aruna",
                    "blip_text": [f"a drawing of a {subject}", f"a {subject} on a plain ground"],
                    "negative_imgpath": brought,
                    "depth": f"depth/{name}.png",
                    "category": {"house": "architecture", "bowl": "utensil_tool"}.get(
                        subject, "clothing"
                    ),
                    "era": "traditional",
                }
            )
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / split / "metadata.jsonl").write_text(lines, encoding="utf-8")
    card = {"culture": "Aruna (invented)", "suffix": "in Aruna", "licence": "CC0"}
    write_json(folder / "card.json", card)


def _scene(
    number: int, subject: str, colour: tuple[int, ...], *, patterned: bool = True
) -> Image.Image:
    """A 200 x 160 picture; place and size depend on `number` alone, so negatives lie on theirs."""
    image = Image.new("RGB", _SIZE, (232, 222, 196) if patterned else (200, 198, 194))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 120, *_SIZE), fill=(150, 170, 110) if patterned else (160, 158, 150))
    left, right, bottom, size = _draw_subject(draw, number, subject, colour)
    if patterned:
        for x in range(left + 4, right - 4, 8):
            draw.rectangle((x, bottom - size // 3, x + 3, bottom - size // 3 + 6), fill="white")
    return image


def _depth(number: int, subject: str) -> Image.Image:
    """The exact depth of `_scene`, 16-bit, near is bright: sky, ground rising to us, subject."""
    image = Image.new("I", _SIZE, 3000)
    draw = ImageDraw.Draw(image)
    for y in range(120, _SIZE[1]):
        draw.line((0, y, _SIZE[0], y), fill=12000 + 700 * (y - 120))
    _draw_subject(draw, number, subject, 52000)
    return image.convert("I;16")


def _draw_subject(
    draw: ImageDraw.ImageDraw, number: int, subject: str, fill: tuple[int, ...] | int
) -> tuple[int, int, int, int]:
    """Draw a filled outline; returns its left, right and bottom edge and its size."""
    draw_from = generator(number, "scene")
    left, top, size = (int(value) for value in torch.randint(16, 56, (3,), generator=draw_from))
    left, size = left + 20, size + 50
    right, bottom, middle = left + size, top + size, left + size // 2
    eaves = top + size // 3
    if subject == "house":
        draw.polygon([(left - 8, eaves), (middle, top), (right + 8, eaves)], fill)
        draw.rectangle((left, eaves, right, bottom), fill=fill)
    elif subject == "bowl":
        draw.chord((left, top - size // 2, right, bottom), 0, 180, fill=fill)
    else:
        shoulder = size // 3
        corners = [(left + shoulder, top), (right - shoulder, top), (right, bottom), (left, bottom)]
        draw.polygon(corners, fill)
    return left, right, bottom, size
