"""The world's sets as datasets in the authors' layout, ordinary ones to the rest of the code."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import OutputError
from ..files import write_aside, write_json, write_text
from .cultures import CULTURES, WRONGED
from .forms import CATEGORIES
from .sentences import crawl_caption, cultural_caption, generic_captions
from .sets import FactsDraw, crawl_facts, right_facts, scenes
from .world import Scene

__all__ = ["ExportSizes", "cultural_row", "export_sets", "other_scenes", "right_scenes"]

_NOTE = (
    "Drawn by scoft: an imaginary culture of the miniature's world, made up in all it shows. "
    "Any likeness to a living culture is chance."
)


@dataclass(frozen=True)
class ExportSizes:
    """How many pictures each exported split has.

    Attributes:
        train: right pictures of the wronged culture, hand-picked as CCUB's are.
        test: more of them, held out.
        others: held-out pictures of the other cultures, all together.
        crawl: of what the base was trained on, to look at.
    """

    train: int = 60
    test: int = 200
    others: int = 200
    crawl: int = 120


def right_scenes(split: str, culture: str, seed: int, count: int) -> list[Scene]:
    """Draw the right pictures of a culture for a split, train or test; never the same in both."""
    return list(scenes(f"{split}/{culture}", seed, count, right_facts(culture)))


def export_sets(
    folder: Path,
    *,
    seed: int = 0,
    sizes: ExportSizes | None = None,
    on_step: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, Path]:
    """Write three datasets, always the same for a seed, and return their folders by name.

    `community`: the wronged culture as it is, train and test, with cultural and generic captions
    and exact depth. `others`: a test split of the other cultures. `crawl`: a train split of what
    the base learned from, bias and all.

    Args:
        folder: made; a dataset that is there already is left as it is.
        seed: of everything.
        sizes: of the splits.
        on_step: told the pictures written, of all.

    Raises:
        OutputError: the folder holds something else, or an export of another seed or size.
    """
    sizes = sizes or ExportSizes()
    made = {"seed": seed, **vars(sizes)}
    marker = folder / "miniature.json"
    community, others, crawl = (folder / name for name in (WRONGED, "others", "crawl"))
    folders = {"community": community, "others": others, "crawl": crawl}
    if marker.is_file():
        if json.loads(marker.read_text(encoding="utf-8")) != made:
            raise OutputError(
                f"{folder}: holds an export of another seed or other sizes. Choose another."
            )
        return folders
    # The card is written first and the marker last: an interrupted export is written again.
    for path in folders.values():
        if path.exists() and not _is_ours(path / "card.json"):
            raise OutputError(
                f"{path}: is there already. Nothing is replaced; choose a new folder."
            )
    total, done = sum(vars(sizes).values()), 0
    for dataset, title, split, drawn in (
        (community, f"{WRONGED.capitalize()} (imaginary)", "train", sizes.train),
        (community, f"{WRONGED.capitalize()} (imaginary)", "test", sizes.test),
        (others, "Other imaginary cultures", "test", sizes.others),
        (crawl, "The crawl, with its bias", "train", sizes.crawl),
    ):
        if not drawn:
            continue
        card = {"culture": title, "suffix": f"in {WRONGED}", "licence": "CC0-1.0", "notes": _NOTE}
        write_json(dataset / "card.json", card)
        rows = []
        for index, (scene, captions) in enumerate(_split(dataset.name, split, seed, drawn)):
            rows.append(_write_pictures(dataset, split, index, scene, captions))
            done += 1
            on_step(done, total)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        write_text(dataset / split / "metadata.jsonl", text)
    write_json(marker, made)
    return folders


def _split(name: str, split: str, seed: int, count: int) -> Iterator[tuple[Scene, dict[str, Any]]]:
    """Scenes of one split of one exported dataset, with their captions' columns."""
    if name == "crawl":
        for index, scene in enumerate(scenes("crawl", seed, count, crawl_facts)):
            rng = random.Random(f"captions/crawl/{seed}/{index}")
            yield scene, {"text": crawl_caption(scene.facts, rng), "blip_text": []}
        return
    if name == "others":
        split, drawn = "others", other_scenes(seed, count)
    else:
        drawn = right_scenes(split, WRONGED, seed, count)
    for index, scene in enumerate(drawn):
        yield scene, cultural_row(scene, split, seed, index)


def _write_pictures(
    dataset: Path, split: str, index: int, scene: Scene, captions: dict[str, Any]
) -> dict[str, Any]:
    """Write a scene's picture and depth; returns its row."""
    facts = scene.facts
    name = f"{facts.subject}_{index:03d}"
    _save(dataset / split / "images" / f"{name}.png", scene.picture)
    _save(dataset / "depth" / f"{split}_{name}.png", scene.depth)
    return {
        "file_name": f"images/{name}.png",
        **captions,
        "negative_imgpath": [],
        "depth": f"depth/{split}_{name}.png",
        "category": CATEGORIES[facts.subject],
        "era": "traditional",
        "culture": facts.culture,
        "licence": "CC0-1.0",
    }


def other_scenes(seed: int, count: int) -> list[Scene]:
    """Draw held-out pictures of the cultures that were not wronged, in turn."""
    others = [name for name in CULTURES if name != WRONGED]

    def facts(rng: random.Random, index: int) -> Any:
        draw: FactsDraw = right_facts(others[index % len(others)])
        return draw(rng, index // len(others))

    return list(scenes("others", seed, count, facts))


def cultural_row(scene: Scene, split: str, seed: int, index: int) -> dict[str, Any]:
    """Return a row's captions: what somebody of the culture says, and five plain ones."""
    rng = random.Random(f"captions/{split}/{scene.facts.culture}/{seed}/{index}")
    return {
        "text": cultural_caption(scene.facts, rng),
        "blip_text": generic_captions(scene.facts, rng),
    }


def _is_ours(card: Path) -> bool:
    return card.is_file() and _NOTE in card.read_text(encoding="utf-8")


def _save(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    write_aside(path, lambda aside: Image.fromarray(pixels).save(aside, format="PNG"))
