"""Where a helper network lies that comes as several files in one folder: found, or fetched.

Not here: helpers of a single file, and reading tensors (`weights`). Nothing here opens a file of
weights, only an index of shards; the hub's client fetches the files that are named, no others.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import ModelFileError
from .weights import download_folder, own_folders

__all__ = ["FolderSpec", "find_folder"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FolderSpec:
    """One helper's weights that come as several files in one folder.

    Args:
        name: folder of this helper inside `$SCOFT_MODELS` or the host's models/scoft folder.
        files: what the folder has to hold; of each tuple one name is enough, best first. An index
            of shards (`*.index.json`) counts only together with all of its shards.
        link: page or archive for those who fetch by hand.
        hub_repo: Hugging Face repository with the files under these very names; None if there is
            nothing pinned to download, so that they are only looked for.
        hub_revision: commit that is fetched, and that a cached copy must have.
    """

    name: str
    files: tuple[tuple[str, ...], ...]
    link: str
    hub_repo: str | None = None
    hub_revision: str | None = None


def find_folder(
    spec: FolderSpec,
    *,
    explicit: Path | None,
    allow_download: bool,
    search_folders: Sequence[Path] = (),
) -> tuple[Path, ...]:
    """Return the files of a helper that comes as a folder, in the order of `spec.files`.

    The order of places, and where a download goes, are those of `weights.find_weights`.

    Args:
        spec: what is looked for.
        explicit: the folder, or a file in it; nothing else is then looked at.
        allow_download: whether the hub's files may be fetched; their size is logged first.
        search_folders: parents of helpers' folders, say the host's models/scoft.

    Raises:
        ModelFileError: not found whole and not fetched.
    """
    if explicit is not None:
        return _explicit_folder(spec, explicit)
    folders = own_folders(spec.name, search_folders)
    for folder in folders:
        if found := _whole(spec, folder):
            return found
    if found := _hub_cached_folder(spec):
        return found
    target = download_folder(spec.name, search_folders)
    names = ", ".join(" or ".join(alternatives) for alternatives in spec.files)
    looked_in = ", ".join(str(folder) for folder in folders)
    if spec.hub_repo is None:
        raise ModelFileError(
            f"{names}: the weights of {spec.name} are not all in one of {looked_in}, and their "
            f"publisher gives no digest to check a download against. Fetch {spec.link} yourself "
            f"and unpack it into {target}."
        )
    looked_in += f" and the Hugging Face cache ({spec.hub_repo})"
    missing = f"{names}: the weights of {spec.name} are not all in one of {looked_in}"
    by_hand = f"fetch these files from {spec.link} yourself and put them into {target}"
    if not allow_download:
        raise ModelFileError(
            f"{missing}, and downloads are switched off. Allow them, or {by_hand}."
        )
    try:
        _download_from_hub(spec, target)
    # The hub's client raises errors of its own, of its HTTP library and of the disk.
    except Exception as error:
        raise ModelFileError(
            f"{missing}, and the download failed ({error}). Try again, or {by_hand}."
        ) from error
    return _explicit_folder(spec, target)


def _explicit_folder(spec: FolderSpec, explicit: Path) -> tuple[Path, ...]:
    path = explicit.expanduser()
    if not path.exists():
        raise ModelFileError(
            f"{path}: there is no such file or folder. Name the folder with the weights of "
            f"{spec.name}, or leave the path empty to have it looked for."
        )
    folder = path if path.is_dir() else path.parent
    if found := _whole(spec, folder):
        return found
    lacking = [
        " or ".join(names) for names in spec.files if not any((folder / n).is_file() for n in names)
    ]
    raise ModelFileError(
        f"{folder}: this folder does not hold the whole weights of {spec.name}; it lacks "
        f"{', '.join(lacking) or 'parts that its index names'}. Get them from {spec.link}, or name "
        "another folder."
    )


def _whole(spec: FolderSpec, folder: Path) -> tuple[Path, ...] | None:
    """Return the files in the order of `spec.files`, or None if one or one of its shards lacks."""
    found = []
    for names in spec.files:
        present = [folder / name for name in names if (folder / name).is_file()]
        usable = [path for path in present if all(map(Path.is_file, _shards(path)))]
        if not usable:
            return None
        found.append(usable[0])
    return tuple(found)


def _shards(path: Path) -> list[Path]:
    """Return the files that an index of shards names, none for any other file."""
    if not path.name.endswith(".index.json"):
        return []
    try:
        names = set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values())
        plain = all(Path(name).name == name for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(
            f"{path}: cannot be read as an index of weights ({error!r}). Fetch it again."
        ) from error
    if not plain:
        raise ModelFileError(
            f"{path}: names weights outside its folder, so it is not used. Fetch it again."
        )
    return [path.with_name(name) for name in sorted(names)]


def _hub_cached_folder(spec: FolderSpec) -> tuple[Path, ...] | None:
    if spec.hub_repo is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    name = spec.files[0][0]
    cached = try_to_load_from_cache(spec.hub_repo, name, revision=spec.hub_revision)
    return _whole(spec, Path(cached).parent) if isinstance(cached, str) else None


def _download_from_hub(spec: FolderSpec, target: Path) -> None:
    """Fetch the files of `spec` and no others; what is there already is not fetched again."""
    from huggingface_hub import HfApi, snapshot_download

    repo = str(spec.hub_repo)
    info = HfApi().model_info(repo, revision=spec.hub_revision, files_metadata=True)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    wanted = []
    for names in spec.files:
        name = next((name for name in names if name in sizes), None)
        if name is None:
            raise LookupError(f"{repo} has no {' or '.join(names)}")
        wanted.append(name)
        if name.endswith(".index.json"):
            # model.safetensors.index.json lists model-00001-of-00002.safetensors and so on.
            stem, suffix = name.removesuffix(".index.json").split(".")
            wanted += [n for n in sizes if n.startswith(f"{stem}-") and n.endswith(f".{suffix}")]
    logger.info(
        "Downloading %s (%.1f MB) from https://huggingface.co/%s to %s",
        ", ".join(wanted),
        sum(sizes[name] for name in wanted) / 1e6,
        repo,
        target,
    )
    snapshot_download(
        repo, revision=spec.hub_revision, allow_patterns=wanted, local_dir=str(target)
    )
