"""The world's sets as datasets in the authors' layout, ordinary ones to the rest of the code."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import OutputError
from ..files import write_aside, write_json
from .cultures import CULTURES, WRONGED
from .forms import CATEGORIES
from .sentences import crawl_caption, cultural_caption, generic_captions
from .sets import FactsDraw, crawl_facts, right_facts, scenes
from .world import Scene

__all__ = ["ExportSizes", "cultural_row", "export_sets", "right_scenes"]

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
    if any((path / "card.json").exists() for path in folders.values()):
        # The card is written first and the marker last: an interrupted export is written again.
        if not all(_is_ours(path / "card.json") for path in folders.values() if path.exists()):
            raise OutputError(f"{folder}: holds other datasets. Choose another folder.")
    total, done = sum(vars(sizes).values()), 0

    def write(dataset: Path, split: str, drawn: Iterable[tuple[Scene, dict[str, Any]]]) -> None:
        nonlocal done
        rows = []
        for index, (scene, columns) in enumerate(drawn):
            facts = scene.facts
            name = f"{facts.subject}_{index:03d}"
            _save(dataset / split / "images" / f"{name}.png", scene.picture)
            _save(dataset / "depth" / f"{split}_{name}.png", scene.depth)
            rows.append(
                {
                    "file_name": f"images/{name}.png",
                    **columns,
                    "negative_imgpath": [],
                    "depth": f"depth/{split}_{name}.png",
                    "category": CATEGORIES[facts.subject],
                    "era": "traditional",
                    "culture": facts.culture,
                    "licence": "CC0-1.0",
                }
            )
            done += 1
            on_step(done, total)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        path = dataset / split / "metadata.jsonl"
        write_aside(path, lambda aside: _write_text(aside, text))

    card = {"culture": f"{WRONGED.capitalize()} (imaginary)", "suffix": f"in {WRONGED}"}
    write_json(community / "card.json", {**card, "licence": "CC0-1.0", "notes": _NOTE})
    for split, count in (("train", sizes.train), ("test", sizes.test)):
        drawn = right_scenes(split, WRONGED, seed, count)
        write(
            community,
            split,
            ((scene, cultural_row(scene, split, seed, i)) for i, scene in enumerate(drawn)),
        )

    card = {"culture": "Other imaginary cultures", "licence": "CC0-1.0", "notes": _NOTE}
    write_json(others / "card.json", card)
    drawn = other_scenes(seed, sizes.others)
    write(
        others,
        "test",
        ((scene, cultural_row(scene, "others", seed, i)) for i, scene in enumerate(drawn)),
    )

    write_json(crawl / "card.json", {**card, "culture": "The crawl, with its bias"})
    crawled = scenes("crawl", seed, sizes.crawl, crawl_facts)
    write(crawl, "train", ((scene, _crawl_row(scene, seed, i)) for i, scene in enumerate(crawled)))
    write_json(marker, made)
    return folders


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


def _crawl_row(scene: Scene, seed: int, index: int) -> dict[str, Any]:
    rng = random.Random(f"captions/crawl/{seed}/{index}")
    return {"text": crawl_caption(scene.facts, rng), "blip_text": []}


def _is_ours(card: Path) -> bool:
    return card.is_file() and _NOTE in card.read_text(encoding="utf-8")


def _save(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    write_aside(path, lambda aside: Image.fromarray(pixels).save(aside, format="PNG"))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
