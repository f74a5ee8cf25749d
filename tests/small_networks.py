"""Small perceptual networks in the files that the real ones come in, shared by their tests."""

from __future__ import annotations

import io
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


def write_dreamsim_folder(
    folder, kind="ensemble", change=lambda name, tensors: tensors, *, width=64, image_size=64
):
    """Save a small DreamSim as its release unpacks, twelve blocks deep as dreamsim demands.

    Beside it lies DINO's file where torch.hub would put it. Heads are 64 wide, as in the real one,
    which is 768 wide and sees pictures of 224 pixels.
    """
    from dreamsim.feature_extraction.vision_transformer import VisionTransformer

    generator = torch.Generator().manual_seed(7)

    def spread(shape, width):
        return (torch.rand(shape, generator=generator) - 0.5) * 2 * width

    def save(name, tensors, wrap=lambda tensors: tensors):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        torch.save(wrap(change(name, tensors)), folder / name)

    patch = 16 if kind == "ensemble" else 32
    names = (
        ("dino", "clip_vitb16_pretrain.pth.tar", "open_clip_vitb16_pretrain.pth.tar")
        if kind == "ensemble"
        else ("open_clip_vitb32_pretrain.pth.tar",)
    )
    adapter, rank = {}, 3
    for index, name in enumerate(names):
        trunk = VisionTransformer(
            [image_size],
            patch,
            embed_dim=width,
            depth=12,
            num_heads=width // 64,
            mlp_ratio=1.5 if width == 64 else 4,
            qkv_bias=True,
        )
        if name != "dino":
            trunk.pos_drop = torch.nn.LayerNorm(width)
        tensors = {
            key: 1 + spread(value.shape, 0.2)
            if "norm" in key and key.endswith("weight")
            else spread(value.shape, 0.3)
            for key, value in trunk.state_dict().items()
        }
        if name == "dino":
            save("checkpoints/dino_vitbase16_pretrain.pth", tensors)
        else:
            tensors["proj"] = spread((width, 11), 0.5)
            save(name, tensors, lambda tensors: {"state_dict": tensors})
        for block in range(12):
            key = f"base_model.model.extractor_list.{index}.model.blocks.{block}.attn.qkv"
            adapter[f"{key}.lora_A.weight"] = spread((rank, width), 0.5)
            adapter[f"{key}.lora_B.weight"] = spread((3 * width, rank), 0.5)
    lora = folder / ("ensemble_lora" if kind == "ensemble" else f"{kind}_single_lora")
    lora.mkdir(parents=True)
    config = {"r": rank, "lora_alpha": 1.5, "lora_dropout": 0.3, "bias": "none"}
    config |= {"target_modules": ["qkv"], "peft_type": "LORA", "task_type": None}
    (lora / "adapter_config.json").write_text(json.dumps(config))
    save_file(change("adapter", adapter), lora / "adapter_model.safetensors")


def write_inception_file(path):
    """Save torch-fidelity's Inception with random weights that keep what flows through as large.

    Returns torch-fidelity's own network with these weights; it has no smaller size.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Empty(FeatureExtractorInceptionV3):
        def load_state_dict(self, state_dict):
            """It has to be built before there are weights for it."""

    buffer = io.BytesIO()
    torch.save({}, buffer)
    buffer.seek(0)
    network = Empty("reference", ["2048"], feature_extractor_weights_path=buffer)
    generator = torch.Generator().manual_seed(3)
    for name, tensor in network.state_dict().items():
        if tensor.ndim > 1:
            spread = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(spread * (2 / tensor[0].numel()) ** 0.5)
        elif name.endswith("bias"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) - 0.5)
    torch.save(network.state_dict(), path)
    return network


def write_hub_folders(root):
    """Save a small DINOv2 and a small BLIP-2 as save_pretrained does; return folder and model."""
    import transformers

    def randomise(model, seed):
        generator = torch.Generator().manual_seed(seed)
        for name, tensor in model.state_dict().items():
            spread = torch.rand(tensor.shape, generator=generator) - 0.5
            positive = "norm" in name and name.endswith("weight")
            tensor.copy_(1 + spread / 2 if positive else spread * 0.8)
        return model.eval()

    sizes = {"hidden_size": 24, "num_attention_heads": 3}
    vision = {**sizes, "intermediate_size": 20, "num_hidden_layers": 2}
    vision |= {"image_size": 30, "patch_size": 10}
    qformer = {**sizes, "intermediate_size": 28, "num_hidden_layers": 3, "vocab_size": 19}
    with torch.random.fork_rng(devices=[]):
        dinov2 = transformers.Dinov2Model(
            transformers.Dinov2Config(
                **sizes, num_hidden_layers=2, mlp_ratio=2, image_size=42, patch_size=14
            )
        )
        blip2 = transformers.Blip2ForImageTextRetrieval(
            transformers.Blip2Config(
                vision_config=vision,
                qformer_config={**qformer, "use_qformer_text_input": True},
                text_config={
                    **sizes,
                    "model_type": "opt",
                    "num_hidden_layers": 1,
                    "ffn_dim": 8,
                    "vocab_size": 19,
                    "word_embed_proj_dim": 24,
                },
                num_query_tokens=5,
                image_text_hidden_size=7,
                image_token_index=18,
            )
        )
    models = {"dinov2": randomise(dinov2, 1), "blip2": randomise(blip2, 2)}
    for name, model in models.items():
        model.save_pretrained(root / name)
    return {name: (root / name, model) for name, model in models.items()}


def load(name, weights, dtype=torch.float64, **options):
    return load_backbone(
        name, weights=weights, device="cpu", dtype=dtype, allow_download=False, **options
    )
