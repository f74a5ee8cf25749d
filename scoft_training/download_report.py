"""What a download came to, for a person: counts, then the rows that need one."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .download_records import IN_SET, VERDICTS, Verdict
from .files import write_aside
from .link_table import NO_LINK

__all__ = ["report_json", "report_text", "write_report"]

_REPORT = "report.csv"
_MEANINGS = {
    "alive": "downloaded",
    "moved": "downloaded from a new address",
    "replaced": "brought by a person",
    "dead": "nothing is there any more",
    "placeholder": "a picture that stands for one that is gone",
    "duplicate": "the picture of another row",
    "too_small": "too few pixels",
    "not_a_picture": "no picture, or a damaged one",
    "too_large": "too large a file",
    "refused": "may not be fetched",
    "changed": "not the picture that was downloaded or locked",
    "bad_row": "the row lacks a link or a caption",
    "unreachable": "may come back: download again",
    "waiting": "not tried yet: download again",
}


def report_text(verdicts: Sequence[Verdict]) -> str:
    """Return counts, and each row that is not in the set with its reason."""
    counts = Counter(one.verdict for one in verdicts)
    inside = sum(counts[name] for name in IN_SET)
    lines = [f"{inside} of {len(verdicts)} rows have their picture."]
    for name in filter(counts.__getitem__, VERDICTS):
        lines.append(f"  {counts[name]:>5}  {name:<14}{_MEANINGS[name]}")
    lacking = [one for one in verdicts if one.verdict not in IN_SET]
    if lacking:
        lines += ["", "Rows without one, as the table counts them (the header is row 1):"]
        lines += [f"  row {one.row}: {one.verdict}. {one.why}" for one in lacking]
        lines.append("`scoft dataset replace ROW FILE --in DIR` brings another picture for a row.")
    return "\n".join(lines)


def report_json(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return the same for programs."""
    return {
        "counts": dict(Counter(one.verdict for one in verdicts)),
        "rows": [
            {
                "row": one.row,
                "link": "" if one.link.startswith(NO_LINK) else one.link,
                "verdict": one.verdict,
                "why": one.why,
                "file": one.record.file if one.record else "",
                "sha256": one.record.sha256 if one.record else "",
                "moved_to": one.record.moved_to if one.record else "",
            }
            for one in verdicts
        ],
    }


def write_report(folder: Path, verdicts: Sequence[Verdict]) -> None:
    """Write report.csv, with the mark by which spreadsheets know UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["row", "verdict", "why", "link", "moved_to", "file", "sha256"])
    for row in report_json(verdicts)["rows"]:
        cells = [row["row"], row["verdict"], row["why"], row["link"], row["moved_to"]]
        cells += [row["file"], row["sha256"]]
        writer.writerow([_harmless(cell) for cell in cells])
    data = text.getvalue().encode("utf-8-sig")

    def write(aside: Path) -> None:
        aside.write_bytes(data)

    write_aside(folder / _REPORT, write)


def _harmless(cell: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula; links are strangers' words."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@") else cell
