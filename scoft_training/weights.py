"""Where a helper network's file lies, and its tensors: found, fetched, verified, read.

Helpers are the frozen networks beside the diffusion model: CLIP, VGG16 and their like. What their
tensors mean is the matter of the rooms that use them; helpers that come as several files in one
folder are found by `weight_folders`. Nothing here unpickles objects or runs code from a file,
except an archive of openai's whose sha256 was known before.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import pickle
import urllib.request
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ModelFileError, OutputError
from .files import file_sha256, write_aside

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = [
    "WeightsSpec",
    "download_folder",
    "fill_network",
    "find_weights",
    "load_tensors",
    "own_folders",
]

logger = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class WeightsSpec:
    """One helper's weights: under which names they are found, and where they come from.

    Args:
        name: folder of this helper inside `$SCOFT_MODELS` or the host's models/scoft folder.
        file_names: names that are accepted, best first; a download gets the first.
        url: http(s) link of the first of them; empty if there is none to fetch.
        sha256: of the file behind the link: 64 hex digits, or the leading ones where its
            publisher gives no more.
        hub_repo: Hugging Face repository whose cached copy will do, under the same names.
        hub_revision: commit the cached copy must have; None takes the cached main branch.
        shared_folders: where other programs keep this very file, `~` for the home folder.
        in_torch_hub: whether torch's hub folder is one of those places.
    """

    name: str
    file_names: tuple[str, ...]
    url: str
    sha256: str
    hub_repo: str | None = None
    hub_revision: str | None = None
    shared_folders: tuple[str, ...] = ()
    in_torch_hub: bool = False


def find_weights(
    spec: WeightsSpec,
    *,
    explicit: Path | None,
    allow_download: bool,
    search_folders: Sequence[Path] = (),
) -> Path:
    """Return the file with a helper's weights, fetching it if it is nowhere and that is allowed.

    The order is: `explicit`; `<folder>/<spec.name>/` for each of `search_folders`, then
    `$SCOFT_MODELS`, then ~/.cache/scoft; the caches of other programs; the download. That goes to
    `$SCOFT_MODELS`, or without it to the first of `search_folders`, or to ~/.cache/scoft.

    Args:
        spec: what is looked for.
        explicit: a file, or a folder holding one of the names; nothing else is then looked at.
        allow_download: whether `spec.url` may be fetched; its size is logged before its content.
        search_folders: parents of helpers' folders, say the host's models/scoft.

    Raises:
        ModelFileError: not found and not fetched, or what came is not the pinned file.
        OutputError: the download cannot be written.
    """
    if explicit is not None:
        return _explicit_file(spec, explicit)
    folders = [*own_folders(spec.name, search_folders), *_shared_folders(spec)]
    for folder in folders:
        if found := _first_file(spec, folder):
            return found
    if cached := _hub_cached_file(spec):
        return cached
    target = download_folder(spec.name, search_folders) / spec.file_names[0]
    looked_in = ", ".join(str(folder) for folder in folders)
    if spec.hub_repo:
        looked_in += f" and the Hugging Face cache ({spec.hub_repo})"
    missing = f"{target.name}: the weights of {spec.name} are not in {looked_in}"
    if not spec.url:
        raise ModelFileError(f"{missing}, and there is no link to fetch them from. Put them there.")
    by_hand = f"fetch {spec.url} yourself and put it into {target.parent}"
    if not allow_download:
        raise ModelFileError(
            f"{missing}, and downloads are switched off. Allow them, or {by_hand}."
        )
    try:
        _download(spec, target)
    except _DownloadError as error:
        raise ModelFileError(
            f"{missing}, and the download failed ({error}). Try again, or {by_hand}."
        ) from error
    return target


def own_folders(name: str, search_folders: Sequence[Path]) -> list[Path]:
    """Return the folders that may hold the helper `name`, of all but other programs' caches."""
    parents = [*search_folders]
    if configured := os.environ.get("SCOFT_MODELS"):
        parents.append(Path(configured))
    parents.append(Path("~/.cache/scoft"))
    return [parent.expanduser() / name for parent in parents]


def download_folder(name: str, search_folders: Sequence[Path]) -> Path:
    """Return the one of `own_folders` that a download of the helper `name` goes to."""
    if configured := os.environ.get("SCOFT_MODELS"):
        return Path(configured).expanduser() / name
    return own_folders(name, search_folders)[0]


def load_tensors(path: Path, *, sha256: str | None = None) -> dict[str, Tensor]:
    """Return the tensors of a weights file, on CPU and in the file's own number formats.

    Read are safetensors, torch files of tensors alone (`weights_only=True`), and TorchScript
    archives, as openai's CLIP comes in, but those only if their digest is `sha256`: opening an
    archive can run what is in it.

    Args:
        path: the file.
        sha256: digest, 64 hex digits, of the one TorchScript archive that may be opened.

    Raises:
        ModelFileError: missing, damaged, of another format, or holding more than tensors.
    """
    import torch

    if not path.is_file():
        raise ModelFileError(f"{path}: there is no such file. Name an existing weights file.")
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    if _is_torchscript(path):
        return _load_torchscript(path, sha256)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    # A damaged file makes torch raise nearly anything, KeyError and IndexError included.
    except (
        pickle.UnpicklingError,
        RuntimeError,
        OSError,
        EOFError,
        ValueError,
        LookupError,
    ) as error:
        raise ModelFileError(
            f"{path}: cannot be read as weights. It is damaged, or no torch file, or holds other "
            "objects than tensors, which are refused because opening them can run code. Name a "
            ".safetensors file or a torch file of tensors alone."
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in content.items()
    ):
        raise ModelFileError(
            f"{path}: holds no table of named tensors. Name a file made from a model's state_dict."
        )
    return dict(content)


def fill_network(
    network: torch.nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    path: Path,
    expected: str,
    remedy: str = "Name the right file, or leave the path empty to have it looked for.",
) -> None:
    """Give a network its weights: every one has to be there and of its shape, and none left over.

    Args:
        network: may lie on meta; it takes the tensors themselves, in their number format.
        tensors: by the network's own names.
        path: where they come from, for the message.
        expected: what the network is, likewise.
        remedy: what to do about a file that does not fit, likewise.

    Raises:
        ModelFileError: naming the first weights that differ; the network is as it was.
    """
    # Batch norms count the batches they were trained on; the count is not used and often left out.
    counter = "num_batches_tracked"
    wanted = {k: tuple(v.shape) for k, v in network.state_dict().items() if not k.endswith(counter)}
    given = {k: tuple(v.shape) for k, v in tensors.items() if not k.endswith(counter)}
    differences = [f"{key} is missing" for key in wanted if key not in given]
    differences += [
        f"{key} has the shape {given[key]} instead of {shape}"
        for key, shape in wanted.items()
        if given.get(key, shape) != shape
    ]
    differences += [f"{key} is not one of its weights" for key in given if key not in wanted]
    if differences:
        more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise ModelFileError(
            f"{path}: does not hold the weights of {expected}: {'; '.join(differences[:3])}{more}. "
            f"{remedy}"
        )
    network.load_state_dict({key: tensors[key] for key in wanted}, strict=False, assign=True)


class _DownloadError(Exception):
    """The link gave nothing usable; the text says why, for the sentence around it."""


def _explicit_file(spec: WeightsSpec, explicit: Path) -> Path:
    path = explicit.expanduser()
    if path.is_file():
        return path
    if not path.is_dir():
        raise ModelFileError(
            f"{path}: there is no such file or folder. Name the weights of {spec.name}, or leave "
            "the path empty to have them looked for."
        )
    found = _first_file(spec, path)
    if found is None:
        raise ModelFileError(
            f"{path}: this folder holds no weights of {spec.name}. Put "
            f"{' or '.join(spec.file_names)} there, or name the file itself."
        )
    return found


def _shared_folders(spec: WeightsSpec) -> list[Path]:
    folders = [Path(folder).expanduser() for folder in spec.shared_folders]
    if spec.in_torch_hub:
        import torch.hub

        folders.append(Path(torch.hub.get_dir()) / "checkpoints")
    return folders


def _first_file(spec: WeightsSpec, folder: Path) -> Path | None:
    for name in spec.file_names:
        if (folder / name).is_file():
            return folder / name
    return None


def _hub_cached_file(spec: WeightsSpec) -> Path | None:
    if spec.hub_repo is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    for name in spec.file_names:
        cached = try_to_load_from_cache(spec.hub_repo, name, revision=spec.hub_revision)
        # A file known to be missing on the hub is answered with a marker object.
        if isinstance(cached, str) and Path(cached).is_file():
            return Path(cached)
    return None


def _download(spec: WeightsSpec, target: Path) -> None:
    def write(aside: Path) -> None:
        digest = hashlib.sha256()
        with aside.open("wb") as file:
            for block in _fetched_blocks(spec.url, target):
                file.write(block)
                digest.update(block)
        if not spec.sha256 or not digest.hexdigest().startswith(spec.sha256):
            raise _DownloadError(
                f"what came has the sha256 {digest.hexdigest()[:16]}... instead of "
                f"{spec.sha256[:16]}..., so it was thrown away"
            )

    try:
        write_aside(target, write)
    except OutputError as error:
        # write_aside reports whatever its callback raises as a failure to write.
        if isinstance(error.__cause__, _DownloadError):
            raise error.__cause__ from error.__cause__.__cause__
        raise


def _fetched_blocks(url: str, target: Path) -> Iterator[bytes]:
    """Yield the bytes behind a link, its size logged first."""
    if not url.startswith(("http://", "https://")):
        raise _DownloadError("only http and https links are followed")
    try:
        # No handler for ftp: or file: is installed, so that no redirect leads there either.
        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler,
            urllib.request.UnknownHandler,
            urllib.request.HTTPHandler,
            urllib.request.HTTPSHandler,
            urllib.request.HTTPDefaultErrorHandler,
            urllib.request.HTTPRedirectHandler,
            urllib.request.HTTPErrorProcessor,
        ):
            opener.add_handler(handler())
        request = urllib.request.Request(url, headers={"User-Agent": "scoft"})
        with opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
            length = int(response.headers.get("Content-Length") or 0)
            size = f"{length / 1e6:.1f} MB" if length else "of unknown size"
            logger.info("Downloading %s (%s) from %s to %s", target.name, size, url, target.parent)
            received = 0
            while block := response.read(1 << 20):
                received += len(block)
                yield block
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _DownloadError(str(error) or type(error).__name__) from error
    if received < length:
        raise _DownloadError(f"it ended after {received} of {length} bytes")


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    import safetensors
    import safetensors.torch

    try:
        tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelFileError(
            f"{path}: cannot be read as safetensors ({error}). The file is damaged or of another "
            "format; fetch it again."
        ) from error
    return tensors


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def _load_torchscript(path: Path, sha256: str | None) -> dict[str, Tensor]:
    import torch

    if sha256 is None or file_sha256(path) != sha256:
        raise ModelFileError(
            f"{path}: this is a TorchScript archive, and by its sha256 not the one expected "
            "here, so it was not opened: opening it can run code. Fetch the file again, or name a "
            ".safetensors file."
        )
    with warnings.catch_warnings():
        # torch announces the end of TorchScript; openai's files have no other form.
        warnings.simplefilter("ignore")
        try:
            load: Callable[..., torch.nn.Module] = torch.jit.load
            module = load(str(path), map_location="cpu")
        except RuntimeError as error:
            raise ModelFileError(
                f"{path}: torch cannot open this TorchScript archive ({error}). Name a "
                ".safetensors file with the same weights."
            ) from error
    return {key: value.detach() for key, value in module.state_dict().items()}
