"""Small perceptual networks in the files that the real ones come in, shared by their tests."""

from __future__ import annotations

import json

import torch
from safetensors.torch import save_file

from scoft_training.backbones import load_backbone

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
RESNET = {"image_size": 64, "layers": [1, 2, 1, 1], "width": 8, "head_width": 64}
TRANSFORMER = {"image_size": 33, "layers": 2, "width": 24, "head_width": 12, "patch_size": 11}


def pictures(batch, height, width, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 3, height, width, generator=generator, dtype=dtype)


def write_clip_folder(folder, vision, *, change=lambda tensors: tensors, **preprocess):
    """Save a small CLIP in open_clip's own local form; return open_clip's model of it."""
    import open_clip

    text = {"context_length": 7, "vocab_size": 19, "width": 12, "heads": 2, "layers": 1}
    config = {"embed_dim": 10, "vision_cfg": vision, "text_cfg": text, "quick_gelu": True}
    generator = torch.Generator().manual_seed(5)
    with torch.random.fork_rng(devices=[]):
        model = open_clip.CLIP(**config)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            spread = torch.rand(tensor.shape, generator=generator)
            # Running variances and norms' factors have to be positive; the rest is centred.
            positive = "var" in name or (tensor.ndim == 1 and name.endswith("weight"))
            fan_in = max(tensor[0].numel(), 1) if tensor.ndim > 1 else 1
            tensor.copy_(spread + 0.5 if positive else (spread - 0.5) * 3 / fan_in**0.5)
    folder.mkdir(parents=True)
    settings = {"mean": MEAN, "std": STD, **preprocess}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": settings})
    )
    tensors = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    save_file(change(tensors), folder / "open_clip_model.safetensors")
    return model.eval()


def vgg_shapes():
    from torchvision.models import vgg16

    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in vgg16().state_dict().items()}


def write_clip_folders(root):
    """Save one CLIP of each kind; return by backbone the folder and open_clip's model of it."""
    resnet, transformer = root / "resnet", root / "transformer"
    return {
        "clipconv": (resnet, write_clip_folder(resnet, RESNET)),
        "clip_vit_b32": (transformer, write_clip_folder(transformer, TRANSFORMER)),
    }


def write_vgg_file(folder):
    """Save torchvision's VGG16 with random weights and no classifier (490 MB); return the path."""
    generator = torch.Generator().manual_seed(11)
    tensors = {}
    for key, shape in vgg_shapes().items():
        if key.startswith("features"):
            # He's width keeps the deep layers alive.
            width = (2 / (shape[1] * 9)) ** 0.5 if len(shape) == 4 else 0.1
            tensors[key] = torch.randn(shape, generator=generator) * width
    tensors["classifier.6.bias"] = torch.zeros(1000)
    path = folder / "vgg16-397923af.pth"
    torch.save(tensors, path)
    return path


def load(name, weights, dtype=torch.float64, **options):
    return load_backbone(
        name, weights=weights, device="cpu", dtype=dtype, allow_download=False, **options
    )
