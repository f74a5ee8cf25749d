"""Train at the true size of Stable Diffusion 1.5, on random weights, and time the parts alone.

    python benchmarks/full_size.py [--steps 11] [--resolution 256] [--device auto]

Builds the UNet (860 M parameters), VAE and text encoder from Stable Diffusion 1.5's own sizes and
CLIP RN101 as the backbone, all random, draws the demo's pictures, and runs `--steps` steps with all
four losses. Prints one line a step, the means of plain and perceptual steps and the peak of memory;
then the bare parts, each timed by itself, and what a step would cost if it were nothing but them.
"""

import argparse
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from scoft_training.backbones import load_backbone
from scoft_training.config import TrainConfig
from scoft_training.events import FinishedEvent, SettingsEvent, StepEvent, WarningEvent
from scoft_training.models import (
    BaseModel,
    ClipCaptionEncoder,
    NoiseSchedule,
    attach_lora,
    resolve_device,
    resolve_precision,
)
from scoft_training.runs import RunRequest, run_training

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from random_stack import draw_demo_dataset, save_clip_tokenizer


def build_base(folder: Path, dtype: torch.dtype) -> BaseModel:
    """Stable Diffusion 1.5's networks with random weights."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12
        )
    )
    save_clip_tokenizer(folder)
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    networks = (unet, vae, text_encoder)
    unet, vae, text_encoder = (
        network.to(dtype).requires_grad_(False).eval() for network in networks
    )
    return BaseModel(
        name="sd15-random",
        family="sd1",
        unet=unet,
        vae=vae,
        captions=ClipCaptionEncoder(text_encoder, CLIPTokenizer.from_pretrained(folder)),
        schedule=NoiseSchedule(scheduler.alphas_cumprod.double(), "epsilon"),
        digest="sd15-random",
    )


def save_backbone(path: Path) -> None:
    """CLIP RN101 with random weights, as the file that `clipconv` reads."""
    import open_clip
    from safetensors.torch import save_file

    network = open_clip.create_model("RN101", pretrained=None)
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file({name: value for name, value in tensors.items() if name.startswith("visual.")}, path)


def seconds(work: object, device: torch.device, repeat: int = 3) -> float:
    """Median wall time of `work()`, after one call that does not count."""
    times = []
    for _ in range(repeat + 1):
        begun = time.perf_counter()
        work()  # type: ignore[operator]
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:])


def time_parts(
    base: BaseModel,
    config: TrainConfig,
    backbone_file: Path,
    device: torch.device,
    dtype: torch.dtype,
) -> dict[str, float]:
    """Seconds of the bare parts of a step, one picture each."""
    attach_lora(base.unet, rank=config.rank, alpha=config.lora_alpha, seed=0, dtype=torch.float32)
    unet, vae = base.unet.to(device), base.vae.to(device)
    backbone = load_backbone("clipconv", weights=backbone_file, device=device, dtype=dtype)
    side = config.resolution // 8
    latents = torch.randn(1, 4, side, side, device=device, dtype=dtype)
    embeds = torch.randn(1, 77, 768, device=device, dtype=dtype)
    timesteps = torch.tensor([500], device=device)

    def forward(count: int) -> torch.Tensor:
        return unet(
            latents.expand(count, -1, -1, -1),
            timesteps.expand(count),
            encoder_hidden_states=embeds.expand(count, -1, -1),
        ).sample

    def without_graph(count: int) -> None:
        with torch.no_grad():
            forward(count)

    def decode_and_compare() -> None:
        leaf = latents.clone().requires_grad_()
        image = vae.decode(leaf / base.scaling_factor).sample.float() / 2 + 0.5
        sum(part.float().square().mean() for part in backbone.features(image)).backward()

    return {
        "UNet forward, 1 picture": seconds(lambda: without_graph(1), device),
        "UNet forward, batched guidance": seconds(lambda: without_graph(2), device),
        "UNet forward and backward": seconds(lambda: forward(1).square().mean().backward(), device),
        "decoder and backbone, forward and backward": seconds(decode_and_compare, device),
    }


def peak_bytes(device: torch.device) -> int:
    """Peak of the device's memory, or of this process on CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=11)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device = resolve_device(arguments.device)
    dtype = resolve_precision("auto", device)
    config = TrainConfig(steps=arguments.steps, resolution=arguments.resolution)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = build_base(folder / "tokenizer", dtype)
        save_backbone(folder / "rn101.safetensors")
        draw_demo_dataset(folder / "aruna")
        count = sum(value.numel() for value in base.unet.parameters())
        print(f"UNet: {count:,} parameters; {device}, {dtype}, {torch.get_num_threads()} threads")
        request = RunRequest(
            folder / "aruna",
            base,
            config,
            device=str(device),
            work=folder / "work",
            backbone_weights=folder / "rn101.safetensors",
        )
        steps = []
        for event in run_training(request):
            if isinstance(event, StepEvent):
                steps.append(event)
                print(f"step {event.step}: {event.seconds:.2f} s, {dict(event.losses)}", flush=True)
            elif isinstance(event, (SettingsEvent, WarningEvent, FinishedEvent)):
                print(event, flush=True)
        peak = peak_bytes(device)
        perceptual = [step.seconds for step in steps if "perceptual" in step.losses]
        plain = [step.seconds for step in steps if "perceptual" not in step.losses]
        print(f"peak memory: {peak / 2**30:.2f} GiB")
        print(f"plain step: {statistics.median(plain):.2f} s (median of {len(plain)})")
        print(f"perceptual step: {statistics.median(perceptual):.2f} s (of {len(perceptual)})")
        parts = time_parts(base, config, folder / "rn101.safetensors", device, dtype)
        for part, value in parts.items():
            print(f"  {part}: {value:.3f} s")
        one, two, learn, look = parts.values()
        print(f"bare plain step: {one + learn:.2f} s (L_M's forward, forward and backward)")
        chain = config.ddim_steps * two
        print(
            f"bare perceptual step: {one + learn + chain + look:.2f} s (and 20 DDIM steps, decoder)"
        )


if __name__ == "__main__":
    main()
