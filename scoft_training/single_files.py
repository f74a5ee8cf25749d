"""One file of weights: opened without loading it, recognised by its tensors' names and shapes.

The file's name and its claims about itself do not count, only what is in it. Nothing is unpickled
but tables of tensors. Not here: what networks are made of it (`single_file_networks`).
"""

from __future__ import annotations

import dataclasses
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ModelFileError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = [
    "CONTROL",
    "FILE_SUFFIXES",
    "UNET",
    "Contents",
    "WeightsFile",
    "open_weights",
    "prediction_type",
    "recognise",
]

_TORCH_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin")
FILE_SUFFIXES = (".safetensors", *_TORCH_SUFFIXES)
"""What a missing file is told by; an existing one is told by its content."""

UNET = "model.diffusion_model."
"""How the names of a checkpoint's UNet begin in the layout of the first releases (LDM)."""
CONTROL = "control_model."
"""How a ControlNet's do, unless they stand for themselves."""

_PLAIN_FORMATS = ("F64", "F32", "F16", "BF16")
_DTYPE_NAMES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}

_LORA_PARTS = re.compile(
    r"(^|\.)lora_(unet|te|te1|te2)_|[._]lora[._](up|down|A|B)\.|\.(hada_w1|lokr_w1|oft_)"
)
_TRANSFORMERS = {
    "double_blocks.": "a Flux checkpoint",
    "joint_blocks.": "a Stable Diffusion 3 checkpoint",
    "controlnet_x_embedder.": "a ControlNet for a diffusion transformer",
    "single_transformer_blocks.": "a Flux checkpoint",
    "transformer_blocks.": "a diffusion transformer",
    "blocks.": "a diffusion transformer",
    "layers.": "a diffusion transformer",
    "double_layers.": "a diffusion transformer",
}
"""How the names of networks begin that are no UNets, below the checkpoint's own prefix."""


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights that is open but not read.

    Attributes:
        path: the file.
        shapes: of every tensor, by name; copies kept by EMA (`model_ema.`) are left out.
        formats: the number format of every tensor, as safetensors writes it: F16, BF16, F8_E4M3.
        metadata: of a safetensors header; empty for other files.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    formats: Mapping[str, str]
    metadata: Mapping[str, str]
    _tensors: Mapping[str, Tensor] | None
    _mapped: bool
    _meta: bool = False

    def read(self, names: Iterable[str], dtype: torch.dtype) -> dict[str, Tensor]:
        """Return tensors on the CPU in `dtype`, each copied once; the file may then go away.

        Raises:
            ModelFileError: one of them is quantised, or the file cannot be read any more.
        """
        import torch

        names = list(names)
        for name in names:
            if self.formats[name] not in _PLAIN_FORMATS:
                raise ModelFileError(
                    f"{self.path}: its weights are quantised ({name} is {self.formats[name]}). "
                    "Training needs them in fp16, bf16 or fp32: name such a file of this model."
                )
        if self._meta:
            return {n: torch.empty(self.shapes[n], dtype=dtype, device="meta") for n in names}
        if self._tensors is not None:
            # A copy lets go of the mapped file; what was read into memory is not held twice.
            return {
                name: self._tensors[name].to(dtype, copy=self._mapped).contiguous()
                for name in names
            }
        import safetensors

        try:
            with safetensors.safe_open(self.path, framework="pt") as file:
                return {name: file.get_tensor(name).to(dtype, copy=True) for name in names}
        except (safetensors.SafetensorError, OSError) as error:
            raise _damaged(self.path, error) from error

    def without_numbers(self) -> WeightsFile:
        """Return the same file whose `read` gives tensors on the meta device: shapes alone."""
        return dataclasses.replace(self, _meta=True)

    def under(self, prefix: str) -> list[str]:
        """Return the names that begin with `prefix`, in the file's order."""
        return [name for name in self.shapes if name.startswith(prefix)]


@dataclass(frozen=True)
class Contents:
    """What a file is.

    Attributes:
        kind: "sd1", "sd2", "sdxl" (whole checkpoints), "controlnet", or "other".
        what: a noun for people, say "an SDXL checkpoint".
    """

    kind: str
    what: str


def open_weights(path: Path) -> WeightsFile:
    """Read the names, shapes and number formats of a file's tensors, and nothing else.

    A safetensors file is told by its header. A torch file (`.ckpt`, `.pt`) is opened by
    `weights_only=True`, mapped where its format allows, so that code in it is never run.

    Raises:
        ModelFileError: GGUF, a web page, a truncated or damaged file, or a pickle of more than
            tensors.
    """
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror}).") from error
    if start.startswith(b"GGUF"):
        raise ModelFileError(
            f"{path}: this is a GGUF file, whose weights are quantised. Training needs them in "
            "fp16, bf16 or fp32: name the model's .safetensors file."
        )
    if start.lstrip().startswith(b"<"):
        raise ModelFileError(
            f"{path}: this is a web page, not a model: the link led to a page, say one that asks "
            "to log in. Fetch the file again from its download link."
        )
    if start.startswith(b"version https://git-lfs"):
        raise ModelFileError(
            f"{path}: this is git's pointer to a model, not the model. Run `git lfs pull` in its "
            "folder, or fetch the file from its download link."
        )
    # A safetensors file begins with the length of its header, and the header with a brace.
    pickled = re.match(rb"PK\x03\x04|\x80[\x02-\x05]", start) or path.suffix in _TORCH_SUFFIXES
    if pickled and start[8:9] != b"{":
        return _open_torch(path)
    return _open_safetensors(path)


def _open_safetensors(path: Path) -> WeightsFile:
    import safetensors

    shapes, formats = {}, {}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            for name in _without_ema(file.keys()):
                part = file.get_slice(name)
                shapes[name] = tuple(part.get_shape())
                formats[name] = str(part.get_dtype())
    except (safetensors.SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    return WeightsFile(path, shapes, formats, metadata, None, True)


def _damaged(path: Path, error: Exception) -> ModelFileError:
    return ModelFileError(
        f"{path}: cannot be read as safetensors ({error}). The download was cut short or the file "
        "is of another format; fetch it again."
    )


class _Ignored:
    """Stands for what old trainers saved beside the weights: it takes anything and does nothing."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


_IGNORED = [
    type(name, (_Ignored,), {"__module__": module})
    for module, name in (
        ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
    )
]
"""The first releases of Stable Diffusion 1.x carry Lightning's notes on its best checkpoint."""


def _open_torch(path: Path) -> WeightsFile:
    import torch

    try:
        # Newer versions of torch go by this ending, and not by what is in the file.
        mapped = zipfile.is_zipfile(path) and path.suffix != ".safetensors"
        with (
            torch.serialization.safe_globals(_IGNORED),  # type: ignore[arg-type]
            path.open("rb") as file,
            warnings.catch_warnings(),
        ):
            # torch warns of formats that it then refuses.
            warnings.simplefilter("ignore")
            content = torch.load(
                path if mapped else file, map_location="cpu", weights_only=True, mmap=mapped
            )
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f"holds more than tensors ({found[1]})" if found else "is not of torch's form"
        raise ModelFileError(
            f"{path}: this pickle {reason}, and opening such a file can run code, so it was not "
            "opened. Name the model's .safetensors file."
        ) from error
    # A damaged file makes torch raise nearly anything, struct.error and AssertionError included.
    except Exception as error:
        reason = re.split(r"\. |\n", str(error).strip())[0][:160] or type(error).__name__
        raise ModelFileError(
            f"{path}: cannot be read as a torch file ({reason}). The download was cut short or the "
            "file is of another format; fetch it again, as .safetensors if there is one."
        ) from error
    table = _table(content)
    if not table:
        raise ModelFileError(
            f"{path}: holds no table of named tensors. Name a file made from a model's state_dict."
        )
    shapes = {name: tuple(tensor.shape) for name, tensor in table.items()}
    formats = {}
    for name, tensor in table.items():
        dtype = str(tensor.dtype).removeprefix("torch.")
        formats[name] = _DTYPE_NAMES.get(dtype, dtype)
    return WeightsFile(path, shapes, formats, {}, table, mapped)


def _table(content: Any) -> dict[str, Tensor]:
    """Return the named tensors of what a torch file holds; counters beside them are left out."""
    import torch

    while isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        return {}
    named = [name for name in content if isinstance(name, str)]
    return {
        name: content[name]
        for name in _without_ema(named)
        if isinstance(content[name], torch.Tensor)
    }


def _without_ema(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith("model_ema.")]


def recognise(file: WeightsFile) -> Contents:
    """Say what a file is, by the names and shapes of its tensors alone.

    Channel counts do not matter, so a model with fewer of them is recognised, too. A whole
    checkpoint of Stable Diffusion 2.x differs from one of 1.x by the linear layers around its
    attention, where 1.x has convolutions, and one of SDXL by its two text encoders.
    """
    shapes = file.shapes
    if "lora_controlnet" in shapes:
        return Contents("other", "a control-LoRA")
    if any(name.startswith("lllite_") for name in shapes):
        return Contents("other", "a ControlNet-LLLite")
    if any(_LORA_PARTS.search(name) for name in shapes):
        return Contents("other", "a LoRA")
    if any(re.match(r"(adapter\.)?body\.\d+\..*block1\.weight$", name) for name in shapes):
        return Contents("other", "a T2I adapter")
    if found := _transformer(shapes):
        return Contents("other", found)
    for hint in (f"{CONTROL}input_hint_block.0.weight", "input_hint_block.0.weight"):
        if hint in shapes:
            return _controlnet(shapes, hint.removesuffix("input_hint_block.0.weight"))
    if "controlnet_cond_embedding.conv_in.weight" in shapes:
        return _controlnet(shapes, "")
    if len(shapes.get(f"{UNET}input_blocks.0.0.weight", ())) > 1:
        return _checkpoint(file)
    return Contents("other", _part(shapes))


def prediction_type(file: WeightsFile) -> str:
    """Say what the UNet of a checkpoint predicts: "epsilon" or "v_prediction".

    The names and shapes of tensors do not tell it. In this order count:

    1. the original release's `.yaml`, of the checkpoint's name and beside it: a line
       `parameterization: "v"`; without such a line epsilon;
    2. a tensor named `v_pred`, which ComfyUI and newer releases add to models that predict v;
    3. `modelspec.prediction_type` in a safetensors header.

    Where nothing is stated, a 1.x model predicts epsilon, as all of its releases do. A 2.x model is
    measured: it predicts v if the bias of the first norm in its last attention spreads by more
    than 0.09. This is ComfyUI's rule, taken over so that both doors agree; it was found by looking
    at the releases, and a merge or a fine-tune may lie on the wrong side. A user then states
    what is true by the `.yaml`.
    """
    beside = file.path.with_suffix(".yaml")
    if beside.is_file():
        text = beside.read_text(encoding="utf-8", errors="replace")
        stated = re.search(r"^\s*parameterization:\s*[\"']?(\w+)", text, re.MULTILINE)
        # Other programs' notes may have this name, too; a release's describes its schedule.
        if stated or "linear_start" in text:
            return "v_prediction" if stated and stated[1].startswith("v") else "epsilon"
    if "v_pred" in file.shapes:
        return "v_prediction"
    if stated_here := file.metadata.get("modelspec.prediction_type"):
        return "v_prediction" if stated_here.startswith("v") else "epsilon"
    if recognise(file).kind != "sd2":
        return "epsilon"
    pattern = re.compile(
        rf"{re.escape(UNET)}output_blocks\.(\d+)\.1\.transformer_blocks\.0\.norm1\.bias"
    )
    biases = {int(found[1]): name for name in file.shapes if (found := pattern.fullmatch(name))}
    if not biases:
        return "epsilon"
    last = biases[max(biases)]
    import torch

    # The numbers themselves, also where only the header counts otherwise.
    held = dataclasses.replace(file, _meta=False)
    spread = held.read([last], torch.float32)[last].std(unbiased=False)
    return "v_prediction" if spread > 0.09 else "epsilon"


def _transformer(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    for name in shapes:
        inner = name.removeprefix(UNET)
        for start, what in _TRANSFORMERS.items():
            if inner.startswith(start):
                return what
    return None


def _controlnet(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> Contents:
    if "task_embedding" in shapes or "control_type_proj.linear_1.weight" in shapes:
        return Contents("other", "a ControlNet Union")
    if f"{prefix}label_emb.0.0.weight" in shapes or "add_embedding.linear_1.weight" in shapes:
        return Contents("controlnet", "a ControlNet for SDXL")
    return Contents("controlnet", "a ControlNet")


def _checkpoint(file: WeightsFile) -> Contents:
    # What a damaged file holds in place of a matrix is found when the networks are filled.
    shapes = {name: shape for name, shape in file.shapes.items() if len(shape) > 1}
    contexts = [shapes[name][-1] for name in shapes if name.endswith(".attn2.to_k.weight")]
    channels = shapes[f"{UNET}input_blocks.0.0.weight"][1]
    if any(".time_stack." in name or ".motion_modules." in name for name in shapes):
        return Contents("other", "a model that draws videos")
    if channels != 4:
        tasks = {5: "depth to image", 7: "upscaling", 8: "editing pictures", 9: "inpainting"}
        task = tasks.get(channels, "something else than text to image")
        return Contents("other", f"a checkpoint for {task} ({channels} input channels)")
    projections = [shapes[name] for name in shapes if name.endswith(".proj_in.weight")]
    if not contexts or not projections:
        return Contents("other", "a UNet that reads no text")
    sdxl = f"{UNET}label_emb.0.0.weight" in shapes
    if sdxl and (what := _other_sdxl(file)):
        return Contents("other", what)
    needed: dict[str, tuple[str, ...]] = {
        "VAE": ("first_stage_model.encoder.", "first_stage_model.decoder.")
    }
    if sdxl:
        needed["text encoders"] = ("conditioner.embedders.0.", "conditioner.embedders.1.")
    else:
        needed["text encoder"] = ("cond_stage_model.",)
    lacking = [part for part, starts in needed.items() if not all(map(file.under, starts))]
    if lacking:
        return Contents("other", f"a checkpoint without its {' and '.join(lacking)}")
    if sdxl:
        return Contents("sdxl", "an SDXL checkpoint")
    if len(projections[0]) == 2:
        return Contents("sd2", "a Stable Diffusion 2.x checkpoint")
    return Contents("sd1", "a Stable Diffusion 1.x checkpoint")


def _other_sdxl(file: WeightsFile) -> str | None:
    """Name a model that is built like SDXL and cannot be trained as one."""
    if file.under("cond_stage_model."):
        return "an unCLIP model"
    if file.under("conditioner.embedders.0.model."):
        return "SDXL's refiner"
    if "edm_mean" in file.shapes or "edm_vpred.sigma_max" in file.shapes:
        return "a model of SDXL's shape with another noise schedule (EDM)"
    # SSD-1B and Vega leave out layers of SDXL, unevenly.
    if not file.under(f"{UNET}middle_block.1.transformer_blocks.0."):
        return "a distilled SDXL with layers left out"
    return None


def _part(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Name a file that holds one part of a model, or none that is known."""
    inner = {name.removeprefix("first_stage_model.").removeprefix("vae.") for name in shapes}
    if {"encoder.conv_in.weight", "decoder.conv_in.weight"} <= inner:
        return "a VAE alone"
    if "input_blocks.0.0.weight" in shapes or "up_blocks.0.resnets.0.conv1.weight" in shapes:
        return "a UNet alone"
    if any(name.endswith("token_embedding.weight") for name in shapes):
        return "a text encoder alone"
    if "emb_params" in shapes:
        return "a textual-inversion embedding"
    first = ", ".join(list(shapes)[:3]) or "none"
    return f"a file of an unknown kind (its first tensors: {first})"
