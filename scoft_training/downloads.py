"""A table of links downloaded into a dataset, and a dead link's picture brought by a person.

Everything that was fetched is written down as it comes, so that a run may be killed at any moment;
started again, it fetches what is missing and nothing twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import queue
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from .config import DownloadConfig
from .download_layout import Folder, current, ending, file_stems, free_stem, lay_out, read_rows
from .download_records import (
    IN_SET,
    Journal,
    Record,
    Verdict,
    exclusive,
    read_records,
    row_key,
    with_records,
)
from .errors import DatasetError, OutputError
from .events import Event, FinishedEvent, PhaseEvent, StoppedEvent, WarningEvent
from .files import copy_file, file_sha256
from .link_table import LinkRow, LinkTable, read_link_table
from .options import validate
from .pictures import open_picture, picture_kind
from .polite_http import PoliteClient
from .web_answers import FetchError

__all__ = ["DownloadRequest", "download", "download_verdicts", "replace_picture"]

_FINAL = ("picture", "replaced")
_STOPPED = "Stopped; what is finished stays. Started again, it goes on from there."


@dataclass(frozen=True)
class DownloadRequest:
    """A table of links to be made a dataset.

    Attributes:
        table: the CSV or TSV file; never written to.
        folder: where the dataset goes: new, empty, or made by an earlier download.
        config: the options.
        locked: another person's downloads.jsonl, whose pictures these must be.
        verify: compare each file with what was downloaded.
    """

    table: Path
    folder: Path
    config: DownloadConfig = field(default_factory=DownloadConfig)
    locked: Path | None = None
    verify: bool = False


@dataclass(frozen=True)
class _Job:
    row: LinkRow
    key: tuple[str, int]
    stem: str


def download(
    request: DownloadRequest, *, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[Event]:
    """Fetch what is missing of a table's pictures; `download_verdicts` says what came of it.

    Args:
        request: what to fetch, and where to.
        should_stop: asked all the time; once it is true, what is finished is saved.

    Yields:
        notes about the table, a PhaseEvent "links" per link, at last a FinishedEvent, or a
        StoppedEvent.

    Raises:
        DatasetError: the table or the lock cannot be read.
        ConfigError: an option is out of range or names no column.
        OutputError: the folder is somebody's, in use, or cannot be written.
    """
    config = request.config
    validate(config)
    table = read_link_table(request.table, config)
    for note in table.notes:
        yield WarningEvent(note)
    expected: dict[str, str] = {}
    if request.locked is not None:
        locked = read_records(request.locked)
        if not locked:
            raise DatasetError(
                f"{request.locked}: holds no downloaded picture. Pass another's downloads.jsonl."
            )
        expected = {one.link: one.sha256 for one in locked.values() if one.sha256}
    folder = Folder(request.folder)
    folder.open(table=table.name, min_side=config.min_side)
    with exclusive(folder.root):
        folder.remove_leftovers()
        card = {"culture": config.culture, "suffix": config.suffix}
        folder.write_card({name: value for name, value in card.items() if value})
        journal = Journal(folder.lock)
        try:
            records = read_records(folder.lock)
            _forget_missing(folder, records)
            altered = folder.altered()
            jobs = _jobs(table, records, config)
            yield PhaseEvent("links", 0, len(jobs))
            stopped = yield from _fetch_all(jobs, folder, config, journal, records, should_stop)
        finally:
            journal.close()
        altered = _altered(folder, records) if request.verify else altered
        folder.describe(
            table=table.name, min_side=config.min_side, expected=expected, altered=altered
        )
        rows = table.rows
        _, kept = lay_out(folder, rows, records)
    if kept is not None:
        yield WarningEvent(kept)
    if stopped:
        yield StoppedEvent(0, _STOPPED)
    else:
        yield FinishedEvent(len(rows), str(folder.root))


def download_verdicts(root: Path) -> list[Verdict]:
    """Return what came of each row, as the folder's report has it.

    Raises:
        DatasetError: no download made this folder.
    """
    return current(Folder(root))


def replace_picture(
    number: int, picture: Path, root: Path, *, say: Callable[[str], None]
) -> Verdict:
    """Put a person's picture in place of what a row's link gave, or did not give.

    The picture that the row had stays in the folder under its own name.

    Args:
        number: the row as the report counts it.
        picture: the file; copied.
        root: the folder that a download made.
        say: called with a sentence, should there be something to say.

    Returns:
        the row's verdict now.

    Raises:
        DatasetError: there is no such row, it has no caption, the file is no picture, or another
            row has it.
        OutputError: it cannot be written.
    """
    folder = Folder(root)
    min_side = folder.settings()["min_side"]
    with exclusive(root):
        rows = read_rows(folder)
        row = next((one for one in rows if one.number == number), None)
        if row is None:
            raise DatasetError(
                f"{root}: there is no row {number}. Rows count as in the table, whose header is "
                "row 1; report.csv lists them."
            )
        if not row.values.get("text"):
            raise DatasetError(
                f"{root}: row {number} has no caption, so no picture can be used with it. Write "
                "one into the table and download that again, then bring the picture."
            )
        width, height, kind = _measure(picture, f"`{picture}`")
        if min(width, height) < min_side:
            raise DatasetError(
                f"`{picture}` is {width} x {height} pixels, but a side must have {min_side}. "
                "Bring a larger one."
            )
        sha256 = file_sha256(picture)
        records = read_records(folder.lock)
        _require_new(sha256, number, current(folder), picture)
        counts: dict[str, int] = defaultdict(int)
        keys = {one.number: row_key(one.told_by, counts) for one in rows}
        name = f"row{number}-{sha256[:12]}{ending(kind)}"
        copy_file(picture, folder.images / name)
        link, nth = keys[number]
        record = Record(
            link=link,
            nth=nth,
            outcome="replaced",
            sha256=sha256,
            file=f"images/{name}",
            bytes=(folder.images / name).stat().st_size,
            width=width,
            height=height,
            at=_today(),
        )
        journal = Journal(folder.lock)
        journal.add(record)
        journal.close()
        records[record.key] = record
        folder.forgive(record.file)
        verdicts, kept = lay_out(folder, rows, records)
    if kept is not None:
        say(kept)
    return next(one for one in verdicts if one.row == number)


def _require_new(sha256: str, number: int, verdicts: Sequence[Verdict], picture: Path) -> None:
    """Refuse a picture that another row of the set has."""
    for verdict in verdicts:
        other = verdict.record
        if verdict.verdict in IN_SET and verdict.row != number and other is not None:
            if other.sha256 == sha256:
                raise DatasetError(
                    f"`{picture}` is the picture of row {verdict.row} already. Bring another."
                )


def _jobs(
    table: LinkTable, records: Mapping[tuple[str, int], Record], config: DownloadConfig
) -> list[_Job]:
    """Return what is to be fetched: each link once, and not what is done or dead."""
    told = [(row.number, row.told_by, row.fault) for row in table.rows]
    jobs: dict[str, _Job] = {}
    stems = file_stems(table.rows)
    owners = {PurePosixPath(one.file).stem.casefold(): key for key, one in records.items()}
    for row, stem, (key, record) in zip(
        table.rows, stems, with_records(told, records), strict=True
    ):
        again = record is None or record.outcome == "unreachable"
        if record is not None and record.outcome not in _FINAL:
            again = again or config.retry_dead
        if again and not row.fault and row.link not in jobs:
            key = record.key if record else key
            free = free_stem(stem, key, owners)
            owners[free.casefold()] = key
            jobs[row.link] = _Job(row, key, free)
    return list(jobs.values())


def _fetch_all(
    jobs: Sequence[_Job],
    folder: Folder,
    config: DownloadConfig,
    journal: Journal,
    records: dict[tuple[str, int], Record],
    should_stop: Callable[[], bool],
) -> Generator[Event, None, bool]:
    """Run the fetches in a thread with an event loop of its own; returns whether it was stopped.

    The caller may itself run inside an event loop, as nodes do.
    """
    results: queue.Queue[Record | BaseException | None] = queue.Queue()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def work() -> None:
        try:
            loop.run_until_complete(_fetch_until(stop, jobs, folder, config, results))
            results.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again by the caller below
            results.put(error)

    thread = threading.Thread(target=work, name="scoft-download", daemon=True)
    thread.start()
    done, stopped = 0, False
    try:
        while True:
            if not stopped and should_stop():
                stopped = True
                loop.call_soon_threadsafe(stop.set)
            try:
                result = results.get(timeout=0.1)
            except queue.Empty:
                continue
            if result is None:
                return stopped and done < len(jobs)
            if isinstance(result, BaseException):
                raise result
            journal.add(result)
            records[result.key] = result
            done += 1
            yield PhaseEvent("links", done, len(jobs))
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def _fetch_until(
    stop: asyncio.Event,
    jobs: Sequence[_Job],
    folder: Folder,
    config: DownloadConfig,
    results: queue.Queue[Record | BaseException | None],
) -> None:
    async with PoliteClient(config) as client:
        # One picture is decoded at a time anyway; waiting for that must not keep the threads from
        # looking up names.
        decoding = ThreadPoolExecutor(1)

        async def one(job: _Job) -> None:
            results.put(await _fetch_one(client, job, folder, decoding))

        tasks = [asyncio.create_task(one(job)) for job in jobs]
        stopping = asyncio.create_task(stop.wait())
        try:
            everything = asyncio.ensure_future(asyncio.gather(*tasks))
            waited: set[asyncio.Future[Any]] = {everything, stopping}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if everything.done():
                everything.result()
        finally:
            await _cancel([*tasks, stopping])
            decoding.shutdown(wait=False, cancel_futures=True)


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """End tasks; one that was just handed a result may miss a cancellation, so it is repeated."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.5)


async def _fetch_one(
    client: PoliteClient, job: _Job, folder: Folder, decoding: ThreadPoolExecutor
) -> Record:
    link, nth = job.key
    # Named as `remove_leftovers` knows it, in case that this process is killed.
    part = _aside_of(folder.images / job.stem)
    try:
        fetched = await client.fetch(link, part)
    except FetchError as error:
        return Record(
            link=link, nth=nth, outcome=error.verdict, why=error.why, tries=error.tries, at=_today()
        )
    try:
        loop = asyncio.get_running_loop()
        width, height, kind = await loop.run_in_executor(
            decoding, _measure, part, "What the link gives"
        )
        sha256 = await asyncio.to_thread(file_sha256, part)
        target = folder.images / f"{job.stem}{ending(kind)}"
        size = part.stat().st_size
        await asyncio.to_thread(_move_into_place, part, target)
    except DatasetError as error:
        return Record(
            link=link,
            nth=nth,
            outcome="not_a_picture",
            why=str(error),
            url=fetched.url,
            tries=fetched.tries,
            at=_today(),
        )
    finally:
        # Windows keeps a file that a thread still decodes; the next run removes it.
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return Record(
        link=link,
        nth=nth,
        outcome="picture",
        sha256=sha256,
        file=f"images/{target.name}",
        bytes=size,
        width=width,
        height=height,
        url=fetched.url,
        moved_to=fetched.moved_to or "",
        redirected=fetched.redirected,
        tries=fetched.tries,
        at=_today(),
    )


def _measure(path: Path, where: str) -> tuple[int, int, str]:
    """Decode a picture wholly; returns its width, height, and Pillow's name of its format."""
    try:
        width, height = open_picture(path, where=where).size
        return width, height, picture_kind(path)
    except MemoryError as error:
        raise DatasetError(f"{where} needs more memory than there is. Bring a smaller copy.") from (
            error
        )


def _aside_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.writing-{os.getpid()}-{secrets.token_hex(4)}")


def _move_into_place(part: Path, target: Path) -> None:
    try:
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
    except OSError as error:
        raise OutputError(
            f"{target}: could not be written ({error.strerror}). Make room on the disk, or let "
            "files be written there; then start again: it goes on."
        ) from error


def _forget_missing(folder: Folder, records: dict[tuple[str, int], Record]) -> None:
    """Drop records whose file is gone: it is to be fetched, or brought, again."""
    for key, record in list(records.items()):
        if record.file and not (folder.train / record.file).is_file():
            del records[key]


def _altered(folder: Folder, records: Mapping[tuple[str, int], Record]) -> list[str]:
    return [
        record.file
        for record in records.values()
        if record.file and file_sha256(folder.train / record.file) != record.sha256
    ]


def _today() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
