"""What a line means that names a picture's sha256, by the file in which it stands.

Lives here: the sentences on a place and on what to do about it. Not here: finding the lines, and
everything that is no text (`takedown`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .grids import is_grid
from .overlays import OVERLAYS

__all__ = ["Finding", "about_line"]

_REBUILT = frozenset(("digests.json", "quality.json"))


@dataclass(frozen=True)
class Finding:
    """One place: `kind` is a stable code, `what` it is, and what to do about it in `remedy`."""

    kind: str
    path: str
    what: str
    remedy: str


def about_line(path: Path, number: int, line: bytes) -> Finding:
    """Return what it means that a line names the picture.

    Args:
        path: of the text.
        number: of the line, from 1.
        line: its bytes.
    """
    if path.name == OVERLAYS:
        return _of_statement(path, number, line)
    if path.name == "config.json" and path.parent.parent.name == "runs":
        return Finding(
            "run",
            str(path.parent),
            "is a run that trained on it, with its checkpoints and previews",
            "Delete the folder, and train anew without the picture.",
        )
    if path.name == "grid.json":
        return Finding(
            "grid",
            str(path.parent),
            "holds drawings for its caption",
            "Delete the grid, and draw it anew without the picture.",
        )
    if path.name == "metrics.json" and is_grid(path.parent):
        return Finding(
            "scores",
            str(path.parent),
            "was measured, and the picture is nearest to some drawing; report and sheets show it",
            "Delete metrics.json, report.html, report.txt and sheets there, and score anew "
            "without the picture.",
        )
    if path.name in _REBUILT:
        return Finding("mention", str(path), "names it", "Delete the file; it is made again.")
    if path.suffix.lower() == ".html":
        return Finding(
            "mention",
            str(path),
            "may show it",
            "Delete the page, or make it anew without the picture.",
        )
    return Finding("mention", str(path), f"names it in line {number}", "Look at the line.")


def _of_statement(path: Path, number: int, line: bytes) -> Finding:
    kept_out = b'"include": false' in line
    return Finding(
        "statement",
        str(path),
        f"row {number} {'leaves it out' if kept_out else 'says something of it'}",
        "Keep the line, or it is trained on again."
        if kept_out
        else "Remove the line, if what it says should go, too.",
    )
