"""What makes one ranking of a page's pictures a possible one."""

from __future__ import annotations

from collections.abc import Collection, Mapping

__all__ = ["competition_ranks", "ranking_fault"]


def competition_ranks(values: Collection[float]) -> list[int]:
    """Return ranks by rising value, from 1; equal values share the better rank: 1-1-3-4.

    >>> competition_ranks([2.5, 1, 2.5, 9])
    [2, 1, 2, 4]
    """
    return [1 + sum(other < value for other in values) for value in values]


def ranking_fault(ranks: Mapping[str, int]) -> str | None:
    """Return what is wrong with a ranking and what to do, as a sentence; None if it can be.

    Args:
        ranks: what each picture got, by the name that the sentence gives it.
    """
    count = len(ranks)
    if count < 2:
        return "It ranks one picture alone, so nothing is compared. Add the page's other pictures."
    for name, rank in ranks.items():
        if not 1 <= rank <= count:
            return (
                f"The rank {rank} of {name!r} is none of 1 to {count}, as {count} pictures are "
                "ranked. Correct it, or take the ranking out."
            )
    given = sorted(ranks.values())
    possible = competition_ranks(given)
    if given == possible:
        return None
    return (
        f"{_shown(given)} are no ranks of {count} pictures: those that share a rank take the "
        f"better one, and the next is as much further. Write {_shown(possible)} if that is meant, "
        "or take the ranking out."
    )


def _shown(ranks: Collection[int]) -> str:
    return "-".join(map(str, ranks))
