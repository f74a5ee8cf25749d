"""What all example workflows are made of: nodes, frames, notes, and sizes that go together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["LIVE_VIEW", "MODELS", "WIDE", "Graph", "Group", "Node", "negatives", "note"]

WIDE = 420
"""Width of the nodes with many widgets."""
LIVE_VIEW = 660
"""Height that a training's curves and previews take."""
MODELS = {"model": (1, 0), "clip": (1, 1), "vae": (1, 2)}
"""Node 1 is the loader in all of them, and the miniature's slots are the checkpoint loader's."""


@dataclass(frozen=True)
class Node:
    """A node of the front end.

    Attributes:
        number: its id in both forms of the file.
        kind: its class.
        inputs: widget values, and links as (number, slot).
        title: what stands over it; empty takes the class's name.
        size: width and least height; None takes what the front end computes.
        room: height that is left free for what a widget shows later.
    """

    number: int
    kind: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    size: tuple[int, int] | None = None
    room: int = 0


@dataclass(frozen=True)
class Group:
    """A frame with a title round columns of nodes, each from top to bottom.

    Attributes:
        title: of the frame.
        columns: from left to right.
        spare: height that stays free below them, where a node grows by the host's preview.
    """

    title: str
    columns: Sequence[Sequence[Node]]
    spare: int = 0


@dataclass(frozen=True)
class Graph:
    """A workflow: groups from left to right.

    Attributes:
        name: of its files.
        groups: all its nodes.
        runs: whether it runs on any machine as it is, so that its preview shows what it gives.
    """

    name: str
    groups: Sequence[Group]
    runs: bool = False

    @property
    def nodes(self) -> list[Node]:
        """All nodes, from left to right."""
        return [node for group in self.groups for column in group.columns for node in column]


def note(number: int, text: str, *, size: tuple[int, int], title: str = "Read me") -> Node:
    """Return a note of Markdown."""
    # One line a paragraph, as people write who see it wrapped.
    lines = re.sub(r"(?<!\n)\n *(?![\n#-]|\d+\. )", " ", text.strip())
    return Node(number, "MarkdownNote", {"": lines}, title=title, size=size)


def negatives(
    number: int, control_net: tuple[int, int], dataset: tuple[int, int], **values: Any
) -> Node:
    """Return the node that draws negatives, with its links and the values that are not default."""
    links = {**MODELS, "control_net": control_net, "dataset": dataset}
    return Node(number, "ScoftDrawNegatives", {**links, **values}, size=(WIDE, 0))
