"""Train at the true size of Stable Diffusion 1.5 or SDXL, from one file of random weights.

    python benchmarks/full_size.py [--family sd1] [--steps 11] [--resolution 256] [--ddim-steps 20]

Writes a checkpoint of the family's true shapes in fp16 and CLIP RN101 as the backbone, all random,
draws the demo's pictures, loads the file as `--base` does, and runs `--steps` steps with all four
losses. Prints what loading took, one line a step, the medians of plain and perceptual steps, and
the peak of memory beside the estimate that was made before the first step; then, for Stable
Diffusion 1.5, the bare parts, each timed by itself, and what a step of nothing else would cost.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from scoft_training.backbones import load_backbone
from scoft_training.conditioning import Conditioning
from scoft_training.config import MemoryConfig, TrainConfig
from scoft_training.events import EstimateEvent, StepEvent
from scoft_training.models import (
    BaseModel,
    attach_lora,
    load_base,
    resolve_device,
    resolve_precision,
)
from scoft_training.runs import RunRequest, run_training

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from random_stack import draw_demo_dataset
from true_shapes import write_checkpoint


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
    captions = Conditioning(torch.randn(1, 77, 768, device=device, dtype=dtype))
    timesteps = torch.tensor([500], device=device)

    def forward(count: int) -> torch.Tensor:
        return unet(
            latents.expand(count, -1, -1, -1),
            timesteps.expand(count),
            **Conditioning.cat([captions] * count).arguments(dtype),
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


def load(path: Path, dtype: torch.dtype) -> BaseModel:
    """Load the file and print what that took."""
    before, begun = peak_bytes(torch.device("cpu")), time.perf_counter()
    base = load_base(path, dtype=dtype, allow_download=False)
    took, grown = time.perf_counter() - begun, peak_bytes(torch.device("cpu")) - before
    size = path.stat().st_size
    count = sum(value.numel() for value in base.unet.parameters())
    print(
        f"{base.family}: file {size / 2**30:.2f} GiB in fp16, loaded as {dtype} in {took:.1f} s "
        f"and {grown / 2**30:.2f} GiB of memory at most; UNet {count:,} parameters"
    )
    return base


def train(request: RunRequest) -> list[StepEvent]:
    """Run, printing what is worth reading."""
    steps = []
    for event in run_training(request):
        if isinstance(event, StepEvent):
            steps.append(event)
            print(f"step {event.step}: {event.seconds:.2f} s, {dict(event.losses)}", flush=True)
        elif isinstance(event, EstimateEvent):
            print(
                f"memory {event.level}: {event.peak_bytes / 2**30:.2f} GiB at the peak of the loop "
                f"by the estimate, {event.needed_bytes / 2**30:.2f} of them still to be taken"
            )
    return steps


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", choices=["sd1", "sdxl"], default="sd1")
    parser.add_argument("--steps", type=int, default=11)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--ddim-steps", type=int, default=20)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--memory", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--write", type=Path, help="write the checkpoint here and end")
    arguments = parser.parse_args()
    if arguments.write:
        write_checkpoint(arguments.write, arguments.family)
        return
    device = resolve_device(arguments.device)
    dtype = resolve_precision(arguments.precision, device)
    config = TrainConfig(
        steps=arguments.steps,
        resolution=arguments.resolution,
        ddim_steps=arguments.ddim_steps,
        precision=arguments.precision,
    )
    print(f"{device}, {dtype}, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = folder / f"{arguments.family}.safetensors"
        # By another process, so that its memory does not count here.
        words = ["--write", str(checkpoint), "--family", arguments.family]
        subprocess.run([sys.executable, __file__, *words], check=True)
        save_backbone(folder / "rn101.safetensors")
        draw_demo_dataset(folder / "aruna")
        base = load(checkpoint, dtype)
        steps = train(
            RunRequest(
                folder / "aruna",
                base,
                config,
                memory=MemoryConfig(memory=arguments.memory),
                device=str(device),
                work=folder / "work",
                backbone_weights=folder / "rn101.safetensors",
            )
        )
        print(f"peak memory of the whole: {peak_bytes(device) / 2**30:.2f} GiB")
        for kind, chosen in (
            ("plain", [step.seconds for step in steps if "perceptual" not in step.losses]),
            ("perceptual", [step.seconds for step in steps if "perceptual" in step.losses]),
        ):
            if chosen:
                print(f"{kind} step: {statistics.median(chosen):.2f} s (median of {len(chosen)})")
        if arguments.family == "sd1":
            print_parts(base, config, folder / "rn101.safetensors", device, dtype)


def print_parts(
    base: BaseModel,
    config: TrainConfig,
    backbone_file: Path,
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Time the bare parts and print what steps of nothing but them would take."""
    parts = time_parts(base, config, backbone_file, device, dtype)
    for part, value in parts.items():
        print(f"  {part}: {value:.3f} s")
    one, two, learn, look = parts.values()
    print(f"bare plain step: {one + learn:.2f} s (L_M's forward, forward and backward)")
    chain = config.ddim_steps * two
    print(
        f"bare perceptual step: {one + learn + chain + look:.2f} s (and {config.ddim_steps} DDIM "
        "steps, decoder)"
    )


if __name__ == "__main__":
    main()
