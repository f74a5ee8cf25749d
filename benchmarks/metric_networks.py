"""Seconds that pictures take under the networks that metrics measure with, from files to vectors.

    python benchmarks/metric_networks.py [--pictures 64] [--miniature 1000] [--threads 0]

The published networks have random weights of their true size; `--pictures` drawn PNGs of 512 x 512
are measured and the time is scaled to 1,000. The miniature's own networks measure `--miniature` of
its pictures in files, with hashing, cache and KID, unscaled. In brackets stand the processor's
seconds, of all threads, which another program at work changes least.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from scoft_training.metric_networks import load_metric_network
from scoft_training.metrics import kid
from scoft_training.miniature.export import right_scenes
from scoft_training.miniature.loading import register
from scoft_training.models import resolve_device
from scoft_training.picture_features import PictureFeatures
from scoft_training.picture_folders import pictures_of_folder

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from small_networks import write_dreamsim_folder, write_inception_file


def write_inception(folder: Path) -> Path:
    """torch-fidelity's Inception-v3, which has one size."""
    path = folder / "inception.pth"
    write_inception_file(path)
    return path


def write_clip(folder: Path) -> Path:
    """CLIP ViT-B/32, both towers."""
    import open_clip
    from safetensors.torch import save_file

    model = open_clip.create_model("ViT-B-32-quickgelu", pretrained=None)
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()},
        folder / "clip.safetensors",
    )
    return folder / "clip.safetensors"


def write_dino(folder: Path) -> Path:
    """DINO ViT-S/16."""
    import transformers

    config = transformers.ViTConfig(
        hidden_size=384, num_attention_heads=6, intermediate_size=1536, num_hidden_layers=12
    )
    transformers.ViTModel(config).save_pretrained(folder / "dino")
    return folder / "dino"


def write_dreamsim(folder: Path) -> Path:
    """DreamSim's ensemble: three ViT-B/16."""
    write_dreamsim_folder(folder / "dreamsim", width=768, image_size=224)
    return folder / "dreamsim"


NETWORKS: dict[str, Callable[[Path], Path]] = {
    "inception": write_inception,
    "clip_vit_b32": write_clip,
    "dino_vits16": write_dino,
    "dreamsim": write_dreamsim,
}


def draw_pictures(folder: Path, count: int) -> None:
    """Different PNGs of 512 x 512, as a diffusion model leaves them."""
    folder.mkdir()
    chance = np.random.default_rng(8)
    for number in range(count):
        coarse = chance.integers(0, 255, (24, 24, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((512, 512), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:05}.png")


class Stopwatch:
    """Wall and processor seconds since it was made, as "3.1 s (5.9)"."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def read(self, share: float = 1.0) -> str:
        """Return the seconds, divided by the share of the work that was done."""
        wall, processor = (
            (now - then) / share
            for now, then in zip(
                (time.perf_counter(), time.process_time()), self._began, strict=True
            )
        )
        return f"{wall:.2f} s ({processor:.2f})"


def time_published(folder: Path, count: int, device: torch.device) -> None:
    """Print one line a network: loading, 1,000 pictures, and 1,000 from the cache."""
    draw_pictures(folder / "photos", count)
    files = pictures_of_folder(folder / "photos")
    for name, write in NETWORKS.items():
        with torch.random.fork_rng(devices=[]):
            weights = write(folder)
        watch = Stopwatch()
        network = load_metric_network(name, weights=weights, device=device, allow_download=False)
        loading = watch.read()
        network.embed(torch.rand(16, 3, 512, 512))
        watch = Stopwatch()
        PictureFeatures(network, folder / "cache").of(files)
        computing = watch.read(count / 1000)
        watch = Stopwatch()
        PictureFeatures(network, folder / "cache").of(files)
        print(
            f"{name}: {computing} per 1,000 pictures, {count} measured; loaded in {loading}; from "
            f"the cache {watch.read(count / 1000)}",
            flush=True,
        )


def time_miniature(folder: Path, count: int, device: torch.device) -> None:
    """Print what `count` of the miniature's pictures take from files to KID, network by network."""
    register()
    (folder / "small").mkdir()
    for number, scene in enumerate(right_scenes("bench", "corvath", 0, count)):
        Image.fromarray(scene.picture).save(folder / "small" / f"{number:05}.png")
    whole = watch = Stopwatch()
    files = pictures_of_folder(folder / "small")
    print(f"miniature: {count} files hashed in {watch.read()}")
    for name in ("miniature_judge", "miniature_clip"):
        watch = Stopwatch()
        network = load_metric_network(name, device=device)
        vectors = PictureFeatures(network, folder / "cache").of(files)
        computing, watch = watch.read(), Stopwatch()
        kid(vectors[::2], vectors[1::2])
        measuring, watch = watch.read(), Stopwatch()
        PictureFeatures(network, folder / "cache").of(files)
        print(
            f"{name}: loaded, {count} pictures measured in {computing}; KID of their halves in "
            f"{measuring}; from the cache {watch.read()}",
            flush=True,
        )
    print(f"miniature: all of it in {whole.read()}", flush=True)


def main() -> None:
    """Time what the flags say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--miniature", type=int, default=1000)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = resolve_device(arguments.device)
    print(f"{device}, torch.float32, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as name:
        time_miniature(Path(name), arguments.miniature, device)
        time_published(Path(name), arguments.pictures, device)


if __name__ == "__main__":
    main()
