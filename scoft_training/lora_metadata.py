"""What a trained LoRA's header says, and how it is kept short enough to be shown.

Lives here: header strings from what a run knows, without paths. Not here: the file they go into
(`lora_files`) and collecting what a run knows (`runs`).
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import math
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from . import __version__
from .errors import ConfigError, unknown_name

__all__ = [
    "EARLIER_PICTURES",
    "MAX_HEADER_BYTES",
    "PICTURES",
    "RIGHTS_KEYS",
    "SHORT_DIGITS",
    "TRIMMED",
    "TrainingRecord",
    "lora_metadata",
    "pictures_of",
    "trimmed_metadata",
]

_log = logging.getLogger(__name__)

MAX_HEADER_BYTES = 1_000_000
"""Longest header written: ComfyUI shows no metadata of a file whose header is above 1 MB."""

PICTURES, EARLIER_PICTURES = "scoft.picture_sha256", "scoft.earlier_picture_sha256"
"""The header's lists of pictures: those trained on, and those of the LoRA that was gone on from."""

TRIMMED = "scoft.trimmed"
"""The header's note on what it lost."""

SHORT_DIGITS = 16
"""To so many hex digits are the pictures' digests shortened where all 64 are too many."""

_LONG = 2_000
"""A value of more bytes goes before a picture's digest does."""

_FAMILIES = {
    # family and whether it predicts v -> kohya's version string and the model spec's architecture.
    # For SDXL both leave v to `modelspec.prediction_type`, as kohya's scripts do.
    ("sd1", False): ("sd_v1", "stable-diffusion-v1/lora"),
    ("sd1", True): ("sd_v1_v", "stable-diffusion-v1/lora"),
    ("sd2", False): ("sd_v2", "stable-diffusion-v2-512/lora"),
    ("sd2", True): ("sd_v2_v", "stable-diffusion-v2-768-v/lora"),
    ("sdxl", False): ("sdxl_base_v1-0", "stable-diffusion-xl-v1-base/lora"),
    ("sdxl", True): ("sdxl_base_v1-0", "stable-diffusion-xl-v1-base/lora"),
}
# Options that kohya's scripts have too, under the same names.
_OPTIONS = (
    "gradient_accumulation_steps",
    "lr_scheduler",
    "lr_warmup_steps",
    "max_grad_norm",
    "min_snr_gamma",
    "optimizer",
    "seed",
)


RIGHTS_KEYS = (
    "modelspec.license",
    "scoft.credits",
    "scoft.licences",
    "scoft.credit_groups",
    "scoft.licence_counts",
    "scoft.consent",
    "scoft.contact",
)
"""What people may correct after a training without changing what was learned."""


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """What a run says about itself in its LoRA's header; see `lora_metadata`.

    `family` is sd1, sd2 or sdxl; `started` and `finished` are ISO dates; `category_counts` counts
    pictures per category, and captions have no place here. `credits` holds only names that the
    dataset card or a row's `credit` gives. `credit_groups`, `licence_counts` and `consent_counts`
    are those of `rights`; `contact` is where to ask that a picture be removed, or empty.
    `earlier_pictures` are those of the LoRA that this one went on from.
    """

    config: Mapping[str, Any]
    run_id: str
    dataset_digest: str
    picture_sha256: tuple[str, ...]
    culture: str
    suffix: str
    category_counts: Mapping[str, int]
    final_losses: Mapping[str, float]
    credits: tuple[str, ...]
    licences: tuple[str, ...]
    credit_groups: Sequence[tuple[str | None, str | None, int]]
    licence_counts: Mapping[str, int]
    consent_counts: Mapping[str, int]
    contact: str
    earlier_pictures: tuple[str, ...]
    base_name: str
    family: str
    prediction_type: str
    resolution: int
    steps: int
    learning_rate: float
    rank: int
    alpha: float
    num_pictures: int
    started: str
    finished: str
    title: str


def lora_metadata(record: TrainingRecord) -> dict[str, str]:
    """Return a trained LoRA's header: `ss_*` and `modelspec.*` as managers read, and `scoft.*`.

    Anything in `record` that is a path keeps its last component only, credits and licences
    excepted: those are the words of the dataset. Empty values are left out.

    Raises:
        ConfigError: `family` is unknown.
    """
    families = list(dict.fromkeys(family for family, _ in _FAMILIES))
    if record.family not in families:
        raise ConfigError(unknown_name("model family", record.family, families))
    predicts_v = record.prediction_type == "v_prediction"
    version, architecture = _FAMILIES[record.family, predicts_v]
    config = record.config
    batch_size = config.get("batch_size", 1) * config.get("gradient_accumulation_steps", 1)
    epochs = math.ceil(record.steps * batch_size / max(1, record.num_pictures))
    licences, credits = (
        list(dict.fromkeys(map(_text, texts))) for texts in (record.licences, record.credits)
    )
    values: dict[str, Any] = {
        "ss_base_model_version": version,
        "ss_network_module": "networks.lora",
        "ss_network_dim": record.rank,
        "ss_network_alpha": record.alpha,
        "ss_output_name": record.title,
        "ss_sd_model_name": re.split(r"[\\/]", record.base_name)[-1],
        "ss_v2": str(record.family == "sd2"),
        "ss_resolution": f"({record.resolution}, {record.resolution})",
        "ss_num_train_images": record.num_pictures,
        "ss_num_epochs": epochs,
        "ss_epoch": epochs,
        "ss_steps": record.steps,
        "ss_max_train_steps": record.steps,
        "ss_total_batch_size": batch_size,
        "ss_learning_rate": record.learning_rate,
        "ss_unet_lr": record.learning_rate,
        **{f"ss_{name}": config.get(name, "") for name in _OPTIONS},
        "ss_tag_frequency": {record.culture or "scoft": dict(record.category_counts)},
        "ss_training_started_at": _epoch_seconds(record.started),
        "ss_training_finished_at": _epoch_seconds(record.finished),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": architecture,
        "modelspec.implementation": "diffusers",
        "modelspec.title": record.title,
        "modelspec.date": record.finished,
        "modelspec.resolution": f"{record.resolution}x{record.resolution}",
        "modelspec.prediction_type": "v" if predicts_v else record.prediction_type,
        "modelspec.trigger_phrase": record.suffix,
        "scoft.version": __version__,
        "scoft.run_id": record.run_id,
        "scoft.config": config,
        "scoft.dataset_digest": record.dataset_digest,
        "scoft.culture": record.culture,
        "scoft.category_counts": record.category_counts,
        "scoft.final_losses": record.final_losses,
        "scoft.software": _software(),
    }
    plain = {key: _plain(value) for key, value in values.items()} | {
        "modelspec.license": "; ".join(licences),
        "scoft.credits": credits,
        "scoft.licences": licences,
        "scoft.credit_groups": [
            {"credit": _text(credit or ""), "licence": _text(licence or ""), "pictures": pictures}
            for credit, licence, pictures in record.credit_groups
        ],
        "scoft.licence_counts": {_text(key): n for key, n in record.licence_counts.items()},
        "scoft.consent": {_text(key): n for key, n in record.consent_counts.items()},
        "scoft.contact": _text(record.contact),
        PICTURES: list(record.picture_sha256),
        EARLIER_PICTURES: list(record.earlier_pictures),
    }
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in plain.items()
        if value not in ("", [], {})
    }


def trimmed_metadata(metadata: Mapping[str, str], max_bytes: int) -> dict[str, str]:
    """Return the metadata within `max_bytes` bytes of JSON.

    Whoever asks that a picture be forgotten finds the LoRAs by its digest, so the pictures' digests
    go last. First they lose all but `SHORT_DIGITS` digits, which tell them apart as well; then the
    longest of the other lists lose their ends, and whole values go; at last the digests do.
    `scoft.trimmed` says which, with a logged warning.
    """
    kept = dict(metadata)
    notes: dict[str, str] = {}
    totals: dict[str, int] = {}
    while (excess := _json_bytes(kept | _trim_note(notes)) - max_bytes) > 0 and kept:
        long = [key for key in kept if len(kept[key].encode()) > _LONG]
        digests = [key for key in long if key in (PICTURES, EARLIER_PICTURES)]
        if whole := [key for key in digests if key not in notes]:
            for key in whole:
                short = [str(digest)[:SHORT_DIGITS] for digest in _json_list(kept[key])]
                kept[key] = json.dumps(short)
                notes[key] = f"first {SHORT_DIGITS} digits of each"
            continue
        candidates = [key for key in long if key not in digests] or digests or list(kept)
        longest = max(candidates, key=lambda key: len(kept[key].encode()))
        entries = _json_list(kept[longest])
        total = totals.setdefault(longest, len(entries))
        share = max(0.0, 1 - excess / _json_bytes(kept[longest]))
        count = min(int(len(entries) * share), len(entries) - 1)
        short_digits = f", {SHORT_DIGITS} digits of each" if longest in digests else ""
        if count > 0:
            kept[longest] = json.dumps(entries[:count], ensure_ascii=False)
            notes[longest] = f"first {count} of {total} kept{short_digits}"
        else:
            del kept[longest]
            notes[longest] = "left out"
    if notes:
        _log.warning("The LoRA's header was too long and lost some of its entries: %s.", notes)
    return kept | _trim_note(notes)


def pictures_of(metadata: Mapping[str, str]) -> tuple[frozenset[str], bool]:
    """Return the digests of all pictures that a LoRA learned from, and whether none is missing.

    A digest has 64 hex digits or, in a long header, the first `SHORT_DIGITS` of them. A header of
    another program names none; that counts as missing, too.
    """
    found = [
        *_json_list(metadata.get(PICTURES, "")),
        *_json_list(metadata.get(EARLIER_PICTURES, "")),
    ]
    try:
        notes = json.loads(metadata.get(TRIMMED, "{}"))
    except ValueError:
        notes = {}
    lost = [str(notes.get(key, "")) for key in (PICTURES, EARLIER_PICTURES)]
    whole = PICTURES in metadata and not any("kept" in note or "left out" in note for note in lost)
    return frozenset(str(digest).lower() for digest in found), whole


def _trim_note(notes: Mapping[str, str]) -> dict[str, str]:
    reason = "a header above 1 MB is not shown by ComfyUI"
    return {TRIMMED: json.dumps({"reason": reason, **notes})} if notes else {}


def _json_bytes(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _json_list(text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return []
    return value if isinstance(value, list) else []


_PATH = re.compile(r"file:|~?[\\/]|\.\.?[\\/]|[A-Za-z]:[\\/]|\S+[\\/].*\.\w{2,11}$")


def _text(value: Any) -> str:
    """Return a value as text that UTF-8 can hold, which a file name's bytes need not be."""
    return str(value).encode("utf-8", "replace").decode()


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it, every path in it cut down to its last component."""
    if isinstance(value, Mapping):
        return {str(_plain(str(key))): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    text = _text(value)
    return re.split(r"[\\/]", text.rstrip("\\/"))[-1] if _PATH.match(text) else text


def _epoch_seconds(date: str) -> str:
    """Return an ISO date as kohya writes it; without a zone it is taken as UTC."""
    moment = datetime.fromisoformat(date.replace("Z", "+00:00"))  # Python 3.10 knows no Z
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return str(zoned.timestamp())


def _software() -> dict[str, str]:
    versions = {"scoft": __version__, "python": platform.python_version()}
    for package in ("torch", "diffusers", "peft", "transformers", "safetensors"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
