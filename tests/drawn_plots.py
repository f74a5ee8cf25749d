"""Reads what is drawn in the SVG of a plot."""

import re
from xml.etree import ElementTree

PAPER = "http://www.w3.org/2000/svg"


def texts(svg):
    """Return all texts, in the order in which they are drawn."""
    root = ElementTree.fromstring(svg)
    return ["".join(one.itertext()) for one in root.iter(f"{{{PAPER}}}text")]


def fields(svg):
    """Return (left, top, width, height, #rrggbb) of the filled boxes, in points."""
    found = []
    for one in ElementTree.fromstring(svg).iter(f"{{{PAPER}}}path"):
        style = one.get("style", "")
        fill = re.search(r"fill: (#\w{6})", style)
        if fill is None or "stroke: #ffffff" not in style:
            continue
        places = [float(number) for number in re.findall(r"-?[\d.]+", one.get("d"))]
        across, down = places[0::2], places[1::2]
        size = (max(across) - min(across), max(down) - min(down))
        found.append((min(across), min(down), *size, fill[1]))
    return found


def dots(svg, colour="#0072b2"):
    """Return where the filled dots are, from top to bottom."""
    style = f"fill: {colour}; stroke: {colour}"
    root = ElementTree.fromstring(svg)
    uses = [one for one in root.iter(f"{{{PAPER}}}use") if one.get("style") == style]
    return [(float(one.get("x")), float(one.get("y"))) for one in uses]


def bars(svg):
    """Return (from, to) of the intervals, from top to bottom."""
    root = ElementTree.fromstring(svg)
    found = [
        one for one in root.iter(f"{{{PAPER}}}path") if "opacity: 0.55" in one.get("style", "")
    ]
    return [tuple(map(float, re.findall(r"[ML] ([\d.]+)", one.get("d")))) for one in found]


def words(svg):
    """Return what is said to those who cannot see it."""
    return ElementTree.fromstring(svg).get("aria-label")
