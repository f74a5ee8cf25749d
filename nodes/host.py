"""What the pack asks of its host: devices, memory, interrupts, progress, messages and folders.

With `bridge`, `bridge_to_host` and `routes` the only files that import the host.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfy.lora
import comfy.lora_convert
import comfy.model_management
import comfy.sd
import comfy.utils
import folder_paths
import torch
from PIL import Image

from ..scoft_training.data_sources import is_dataset
from ..scoft_training.errors import ConfigError, unknown_name

__all__ = [
    "Progress",
    "apply_lora",
    "clean_name",
    "dataset_folder",
    "dataset_names",
    "folder_state",
    "grid_folder",
    "helper_folders",
    "input_folder",
    "input_path",
    "input_state",
    "interrupted",
    "is_ours",
    "load_image",
    "load_lora",
    "lora_file",
    "lora_names",
    "lora_path",
    "lora_tensors",
    "model_name",
    "new_dataset_folder",
    "output_folder",
    "precision",
    "raise_if_interrupted",
    "send",
    "server",
    "state_of",
    "survey_folder",
    "table_names",
    "table_path",
    "to_image",
    "training_device",
    "training_mode",
    "unload_models",
    "work_folder",
]

_BAR = 1000
"""Parts of a progress bar."""

_PREVIEW = 1024
"""Longest side of a preview in the host's bar, in pixels."""

_DATASETS = "scoft_datasets"


def training_device() -> torch.device:
    """Return the device on which the host computes."""
    device: torch.device = comfy.model_management.get_torch_device()
    return device


def precision(wanted: str, device: torch.device) -> str:
    """Return the number format of the frozen networks: the widget's, or for auto the host's choice.

    Args:
        wanted: a value of the precision widget.
        device: where is computed.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cpu":
        return "fp32"
    if comfy.model_management.should_use_bf16(device):
        return "bf16"
    return "fp16" if comfy.model_management.should_use_fp16(device) else "fp32"


def model_name(prompt: Any, node_id: Any) -> str:
    """Return what to call the model that is connected: its loader's file, without a path.

    Args:
        prompt: the queued graph, as the host hands it to a node.
        node_id: of the node that asks; its input `model` is followed upwards.
    """
    seen = set()
    while isinstance(prompt, dict) and node_id in prompt and node_id not in seen:
        seen.add(node_id)
        inputs = prompt[node_id].get("inputs", {})
        for key in ("ckpt_name", "unet_name", "model_path"):
            if isinstance(inputs.get(key), str):
                return Path(inputs[key].replace("\\", "/")).stem
        link = inputs.get("model")
        if not isinstance(link, list):
            return str(prompt[node_id].get("class_type", "model"))
        node_id = str(link[0])
    return "model"


def unload_models() -> None:
    """Send the host's models back to where they wait, and give their memory free."""
    comfy.model_management.unload_all_models()
    comfy.model_management.soft_empty_cache()


@contextlib.contextmanager
def training_mode() -> Iterator[None]:
    """Leave the host's inference mode and clear its device for the length of a block.

    Tensors that the host made before stay inference tensors: copy them inside the block.
    """
    with torch.inference_mode(False):
        unload_models()
        try:
            yield
        finally:
            gc.collect()
            unload_models()


def interrupted() -> bool:
    """Whether the user asked the queue to stop; asking does not answer it."""
    return bool(comfy.model_management.processing_interrupted())


def raise_if_interrupted() -> None:
    """Answer an interrupt the host's way, once everything is saved."""
    comfy.model_management.throw_exception_if_processing_interrupted()


class Progress:
    """The node's progress bar.

    The host's own bar raises on an interrupt, which would skip the saving of the state, so it is
    told nothing once there is one.
    """

    def __init__(self) -> None:
        self._bar: Any = None

    def update(self, fraction: float, picture: Path | None = None) -> None:
        """Show how far the node has come, in [0, 1], and perhaps a picture file below it."""
        if interrupted():
            return
        if self._bar is None:
            self._bar = comfy.utils.ProgressBar(_BAR)
        preview = None
        if picture is not None:
            with Image.open(picture) as opened:
                # The host would enlarge a smaller one.
                preview = ("JPEG", opened.convert("RGB"), min(_PREVIEW, max(opened.size)))
        try:
            self._bar.update_absolute(round(fraction * _BAR), _BAR, preview)
        except comfy.model_management.InterruptProcessingException:
            # Asked for in this very moment, and taken back by being raised.
            comfy.model_management.interrupt_current_processing()


def send(kind: str, values: dict[str, Any]) -> None:
    """Send a message to the client that queued this prompt; nobody else's tab hears it."""
    found = server()
    if found is not None and found.client_id is not None:
        found.send_sync(kind, values, found.client_id)


def server() -> Any:
    """Return the host's server, or None where the pack is imported without one."""
    try:
        from server import PromptServer
    except ImportError:
        return None
    return getattr(PromptServer, "instance", None)


def _dataset_roots() -> list[Path]:
    roots = [Path(folder_paths.get_input_directory())]
    if _DATASETS in folder_paths.folder_names_and_paths:
        roots += [Path(path) for path in folder_paths.get_folder_paths(_DATASETS)]
    return roots


def _datasets() -> dict[str, Path]:
    """Datasets one level below the roots; the first of a name counts."""
    found: dict[str, Path] = {}
    for root in _dataset_roots():
        for folder in sorted(root.iterdir()) if root.is_dir() else ():
            if folder.is_dir() and is_dataset(folder):
                found.setdefault(folder.name, folder)
    return found


def dataset_names() -> list[str]:
    """Return the datasets that can be chosen."""
    return sorted(_datasets())


def dataset_folder(name: str) -> Path:
    """Return the folder of a dataset that `dataset_names` lists.

    Raises:
        ConfigError: there is none of that name below the folders that may hold datasets.
    """
    found = _datasets()
    if name not in found:
        raise ConfigError(
            f"{unknown_name('dataset', name, found or ['(none)'])} A dataset is a folder of "
            "pictures with metadata.jsonl, metadata.csv or .txt captions, in ComfyUI's input "
            f"folder or in a folder listed as `{_DATASETS}` in extra_model_paths.yaml."
        )
    return found[name]


def table_names() -> list[str]:
    """Return the tables (.csv, .tsv) in the input folder."""
    folder = Path(folder_paths.get_input_directory())
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path.name for path in found if path.suffix.lower() in (".csv", ".tsv"))


def table_path(name: str) -> Path:
    """Return the file of a table that `table_names` lists.

    Raises:
        ConfigError: there is none of that name.
    """
    found = table_names()
    if name not in found:
        raise ConfigError(
            f"{unknown_name('table', name, found or ['(none)'])} A table is a .csv or .tsv file in "
            "ComfyUI's input folder."
        )
    return Path(folder_paths.get_input_directory()) / name


def new_dataset_folder(name: str) -> Path:
    """Return the folder of the input folder that a dataset of this name goes to.

    Raises:
        ConfigError: the name has other letters than a folder should.
    """
    if name != name.strip(" .") or not re.fullmatch(r"[\w.\- ]+", name):
        raise ConfigError(
            f"`name`: {name!r} is no folder's name. Use letters, digits, spaces, - and _."
        )
    return Path(folder_paths.get_input_directory()) / name


def input_folder(name: str) -> Path:
    """Return a folder of pictures below the input folder.

    Raises:
        ConfigError: there is none of that name, or the name leads out of the input folder.
    """
    found = _below_input(name)
    if found is None or not found.is_dir():
        raise ConfigError(
            f"There is no folder {name!r} in ComfyUI's input folder. Put the pictures there, and "
            "name the folder as it is called below the input folder."
        )
    return found


def input_path(name: str, widget: str) -> Path:
    """Return a file or folder below the input folder.

    Args:
        name: as it is called there.
        widget: that names it.

    Raises:
        ConfigError: there is none of that name, or the name leads out of the input folder.
    """
    found = _below_input(name)
    if found is None or not found.exists():
        raise ConfigError(
            f"`{widget}`: there is no {name!r} in ComfyUI's input folder. Put it there, and name "
            "it as it is called below the input folder."
        )
    return found


def _below_input(name: str) -> Path | None:
    """Return where a name of the input folder leads; None where that is outside."""
    inside = Path(name)
    if not name or inside.anchor or ".." in inside.parts or "\0" in name or "\\" in name:
        return None
    return Path(folder_paths.get_input_directory()) / inside


def folder_state(name: str) -> str:
    """Return what changes with the files of a folder below the input folder; "" where is none."""
    found = _below_input(name)
    return input_state(name) if found is not None and found.is_dir() else ""


def input_state(name: str) -> str:
    """Return what changes with a file, or a folder's files, of the input folder; "" without it."""
    place = _below_input(name)
    return "" if place is None else state_of(place)


def state_of(place: Path) -> str:
    """Return what changes with a file, or a folder's files; "" where there is none."""
    try:
        if not place.exists():
            return ""
        found = [(path.as_posix(), path.stat()) for path in sorted([place, *place.rglob("*")])]
    except OSError:
        return ""
    text = "\n".join(f"{path} {state.st_size} {state.st_mtime_ns}" for path, state in found)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def work_folder(dataset: Path) -> Path:
    """Return where all that the pack makes of a dataset goes: output/scoft/<name>-<digest>."""
    real = dataset.resolve()
    digest = hashlib.sha256(str(real).encode("utf-8")).hexdigest()[:8]
    return output_folder() / f"{real.name}-{digest}"


def output_folder() -> Path:
    """Return the pack's folder below the host's output folder."""
    return Path(folder_paths.get_output_directory()) / "scoft"


def grid_folder(name: str, digest: str) -> Path:
    """Return where a grid goes: output/scoft/grids/<name>-<digest>.

    Raises:
        ConfigError: nothing is left of the name once what no folder's may hold is taken out.
    """
    return output_folder() / "grids" / f"{clean_name(name, 'grid_name')}-{digest}"


def survey_folder(name: str) -> Path:
    """Return where a survey goes: output/scoft/surveys/<name>.

    Raises:
        ConfigError: nothing is left of the name once what no folder's may hold is taken out.
    """
    return output_folder() / "surveys" / clean_name(name, "survey_name")


def clean_name(name: str, widget: str, kind: str = "folder") -> str:
    """Return a file's or folder's name without what none may hold; slashes become underscores.

    Args:
        name: as it was typed.
        widget: that it was typed into.
        kind: what it names, for the sentence.

    Raises:
        ConfigError: nothing is left.
    """
    cleaned = re.sub(r"[^\w.\- ]+", "_", name).strip(" ._")
    if not cleaned:
        raise ConfigError(f"`{widget}`: {name!r} is no {kind}'s name. Use letters and digits.")
    return cleaned


def lora_path(prefix: str) -> Path:
    """Return a new file in output/loras, which the host's Load LoRA lists, for a prefix.

    Raises:
        ConfigError: nothing is left of the prefix once what no file name may hold is taken out.
    """
    name = clean_name(prefix, "name", "file")
    folder = Path(folder_paths.get_output_directory()) / "loras"
    path, number = folder / f"{name}.safetensors", 2
    while path.exists():
        path, number = folder / f"{name}_{number}.safetensors", number + 1
    return path


def is_ours(path: Path) -> bool:
    """Whether a path lies below the pack's output folder."""
    return output_folder().resolve() in path.resolve().parents


def to_image(picture: Image.Image) -> torch.Tensor:
    """Return a picture as the host's IMAGE: (1, height, width, 3) in [0, 1]."""
    import numpy as np

    if picture.mode.startswith("I"):
        # 16 bits of depth; a conversion to RGB would clip them.
        grey = np.asarray(picture, dtype=np.float32) / 65535
        return torch.from_numpy(grey)[None, :, :, None].expand(-1, -1, -1, 3).clone()
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
    return torch.from_numpy(pixels)[None]


def load_image(path: Path) -> torch.Tensor:
    """Return a picture file as the host's IMAGE."""
    with Image.open(path) as picture:
        return to_image(picture)


def lora_names() -> list[str]:
    """Return the files of the loras folders."""
    return list(folder_paths.get_filename_list("loras"))


def lora_file(name: str) -> Path:
    """Return a file of the loras folders.

    Raises:
        ConfigError: there is none of that name.
    """
    path = folder_paths.get_full_path("loras", name)
    if path is None:
        raise ConfigError(unknown_name("LoRA file", name, lora_names() or ["(none)"]))
    return Path(path)


def load_lora(name: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a file of the loras folders."""
    path = folder_paths.get_full_path_or_raise("loras", name)
    tensors: dict[str, torch.Tensor] = comfy.utils.load_torch_file(path, safe_load=True)
    return tensors


def lora_tensors(tensors: Any) -> dict[str, torch.Tensor]:
    """Return a copy of what came through a LORA_MODEL socket.

    Raises:
        ConfigError: it is something else; the host lets any JSON through there.
    """
    if (
        not isinstance(tensors, dict)
        or not tensors
        or not all(isinstance(value, torch.Tensor) for value in tensors.values())
    ):
        raise ConfigError(
            f"`lora`: got a {type(tensors).__name__}, not a LoRA. Connect SCoFT Train LoRA."
        )
    return {name: value.clone() for name, value in tensors.items()}


def apply_lora(
    model: Any, clip: Any, tensors: Any, strength_model: float, strength_clip: float
) -> tuple[Any, Any]:
    """Return clones of MODEL and CLIP (or None) with a LoRA on them.

    Raises:
        ConfigError: it is no LoRA, or not one layer of it fits; the host would say so in its log
            only.
    """
    converted = comfy.lora_convert.convert_lora(lora_tensors(tensors))
    keys = comfy.lora.model_lora_keys_unet(model.model, {})
    if clip is not None:
        keys = comfy.lora.model_lora_keys_clip(clip.cond_stage_model, keys)
    if not comfy.lora.load_lora(converted, keys):
        raise ConfigError(
            "This LoRA fits no layer of the MODEL: it was trained for another kind. Connect the "
            "model that it was made for."
        )
    patched, patched_clip = comfy.sd.load_lora_for_models(
        model, clip, tensors, strength_model, strength_clip
    )
    return patched, patched_clip


def helper_folders() -> list[Path]:
    """Return the parents of the helpers' weights: models/scoft, and what the user's yaml adds."""
    listed = []
    if "scoft" in folder_paths.folder_names_and_paths:
        listed = [Path(path) for path in folder_paths.get_folder_paths("scoft")]
    return [*listed, Path(folder_paths.models_dir) / "scoft"]
