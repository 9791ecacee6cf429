"""The index: a cache over run folders that answers at once what folders would answer slowly.

It is never on the path of a running job and holds nothing of its own: missing, damaged or of
another version, it is built again from the folders. Whoever asks brings it up to date first:
runs named in ``index.journal`` since last time, and those that had not ended.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from threading import RLock
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakSet

from ..errors import UserErrorException
from ..job import events, layout, states
from .conditions import METRIC, Selection
from .folder import WorkspaceFolder
from .following import Followed
from .listing import Group, Listing, sort_key
from .live_runs import LiveRuns, fingerprint, owner_is_gone
from .summary import RunSummary

VERSION = 4
_MARKED = 64
_LATE_WRITERS = 10
_SPOILED = (
    *(OSError, ValueError, TypeError, AttributeError, KeyError, OverflowError),
    *(sqlite3.ProgrammingError, sqlite3.InterfaceError),
)
Progress = Callable[[int, int], None]
P = ParamSpec("P")
T = TypeVar("T")

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE runs (
    run INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, folder TEXT NOT NULL, experiment TEXT,
    number INTEGER, type TEXT, parent TEXT, status TEXT NOT NULL, live INTEGER NOT NULL,
    created REAL NOT NULL, started REAL, ended REAL, target TEXT, display_name TEXT,
    archived INTEGER NOT NULL, notebook TEXT, tags TEXT NOT NULL, properties TEXT NOT NULL,
    metrics TEXT NOT NULL, seen TEXT NOT NULL, name TEXT NOT NULL, took REAL
);
CREATE INDEX runs_created ON runs (created);
CREATE INDEX runs_experiment ON runs (experiment, created);
CREATE INDEX runs_status ON runs (status, created);
CREATE INDEX runs_parent ON runs (parent, created);
CREATE INDEX runs_notebook ON runs (notebook, created);
CREATE INDEX runs_target ON runs (target);
CREATE INDEX runs_name ON runs (name, created DESC);
CREATE INDEX runs_took ON runs (took) WHERE took IS NOT NULL;
CREATE INDEX runs_live ON runs (live) WHERE live;
CREATE INDEX runs_shown ON runs (status, ended) WHERE NOT archived AND parent IS NULL;
CREATE INDEX runs_archived ON runs (archived) WHERE archived;
CREATE TABLE words (run INTEGER PRIMARY KEY, words TEXT NOT NULL);
CREATE TABLE tags (run INTEGER, key TEXT, value TEXT, created REAL);
CREATE INDEX tags_value ON tags (key, value, created, run);
CREATE INDEX tags_run ON tags (run);
CREATE TABLE metrics (run INTEGER, name TEXT, last REAL);
CREATE INDEX metrics_last ON metrics (name, last, run);
CREATE INDEX metrics_run ON metrics (run);
CREATE TABLE tally (status TEXT PRIMARY KEY, runs INTEGER NOT NULL) WITHOUT ROWID;
"""
_TRIGGER = """
CREATE TRIGGER runs_{row} AFTER {event} ON runs WHEN NOT {row}.archived AND {row}.parent IS NULL
BEGIN
    INSERT INTO tally VALUES ({row}.status, {by})
        ON CONFLICT (status) DO UPDATE SET runs = runs + {by};
END
"""
_COUNTED = (
    _TRIGGER.format(event="INSERT", row="new", by=1),
    _TRIGGER.format(event="DELETE", row="old", by=-1),
)
"""What keeps ``tally``: who follows a large workspace asks for it whenever a run changes its state,
and counting 10⁵ runs takes longer than all the rest."""

_COLUMNS = (
    "id, folder, experiment, number, type, parent, status, live, created, started, ended, target, "
    "display_name, archived, notebook, tags, properties, metrics, seen"
)
_FACTS = 17
"""How many of the columns, the first, tell more of a run than its last numbers."""
_TABLES = ("runs", "words", "tags", "metrics")
_CACHE = 32 << 20


@dataclass(frozen=True)
class Query:
    """Which runs, in which order; what is None does not matter."""

    experiment: str | None = None
    state: str | None = None
    tag: str | None = None
    tag_value: str | None = None
    parent: str | None = None
    top_level: bool = False
    notebook: str | None = None
    type: str | None = None
    archived: bool = False
    ids: tuple[str, ...] | None = None
    by_metric: str | None = None
    largest: bool = True
    limit: int = -1
    offset: int = 0


@dataclass(frozen=True)
class News:
    """What has changed: runs that are new or other, ids of runs that are gone.

    ``everything`` says that there is no telling: the index was made again.
    """

    runs: Sequence[RunSummary]
    gone: Sequence[str]
    everything: bool


class Watcher:
    """Notes what changes in an index, for one who asks now and then."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.everything = False

    def take(self) -> tuple[set[str], bool]:
        """What was noted, which is forgotten."""
        found = self.ids, self.everything
        self.ids, self.everything = set(), False
        return found


def _one_at_a_time(
    method: Callable[Concatenate[Index, P], T],
) -> Callable[Concatenate[Index, P], T]:
    """Keep other threads out: one may close the connection that another is reading from."""

    @wraps(method)
    def alone(self: Index, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock:
            return method(self, *args, **kwargs)

    return alone


class Index:
    """Lists, searches and finds the runs of one workspace; threads may share it."""

    def __init__(self, folder: WorkspaceFolder, progress: Progress | None = None) -> None:
        self._folder = folder
        self._path = folder.root / "index.db"
        self._journal_path = folder.root / "index.journal"
        self._progress = progress
        self._inode = 0
        self._lock = RLock()
        self._live = LiveRuns(folder.root)
        self._watchers: WeakSet[Watcher] = WeakSet()
        self._others: set[str] = set()
        self._moved: set[str] = set()
        self._begin()
        self._database = self._open()
        self._listing = Listing(self._database)

    @_one_at_a_time
    def find(self, query: Query) -> list[RunSummary]:
        """The runs that match, newest first or by their last value of a metric."""
        self.refresh()
        if query.by_metric is not None:
            self._write_numbers()
        return [self._shown(row) for row in self._rows(*_statement(query))]

    @_one_at_a_time
    def page(
        self,
        selection: Selection,
        order: str = "live",
        descending: bool = True,
        group: tuple[str, str] | None = None,
        offset: int = 0,
        limit: int = -1,
    ) -> tuple[int, list[RunSummary]]:
        """How many runs match, and a stretch of them; ``group`` is a kind of group and a key."""
        self.refresh()
        if order.startswith(METRIC) or any(c.kind == "metric" for c in selection.conditions):
            self._write_numbers()
        runs = self._asked(lambda: self._listing.runs(selection, order, descending, group))
        wanted = list(runs[offset:] if limit < 0 else runs[offset : offset + limit])
        return len(runs), self._by_number(wanted)

    @_one_at_a_time
    def groups(self, selection: Selection, by: str) -> tuple[int, list[Group]]:
        """How many runs match, and their experiments, notebooks or sweeps, newest first."""
        self.refresh()
        if any(condition.kind == "metric" for condition in selection.conditions):
            self._write_numbers()
        return self._asked(lambda: self._listing.groups(selection, by))

    @_one_at_a_time
    def words(self, column: str) -> list[str]:
        """Every experiment, notebook or target, key of a tag or name of a metric."""
        self.refresh()
        if column == "metric":
            self._write_numbers()
        return self._asked(lambda: self._listing.words(column))

    @_one_at_a_time
    def tag_values(self, key: str, most: int) -> list[str]:
        """Values that a tag has, some of them where there are more than ``most``."""
        self.refresh()
        return self._asked(lambda: self._listing.tag_values(key, most))

    @_one_at_a_time
    def count(self) -> int:
        """How many runs there are."""
        self.refresh()
        return int(self._rows("SELECT count(*) FROM runs", [])[0][0])

    @_one_at_a_time
    def locate(self, run_id: str) -> Path:
        """The folder of the run with this id, or with the only id that begins with it."""
        direct = self._folder.runs / run_id
        if run_id and "/" not in run_id and (direct / layout.REQUEST).exists():
            return direct
        self.refresh()
        found = self._rows(
            "SELECT id, folder FROM runs WHERE id >= ? AND id < ? ORDER BY id LIMIT 6",
            _storable(run_id, run_id + "\U0010ffff"),
        )
        exact = [folder for name, folder in found if name == run_id]
        if exact or (len(found) == 1 and run_id):
            return self._folder.root / str(exact[0] if exact else found[0][1])
        raise _not_found(run_id, [name for name, _ in found])

    @_one_at_a_time
    def forget(self, run_id: str) -> None:
        """Take a run out, after its folder was deleted."""
        self._database.execute("BEGIN IMMEDIATE")
        self._drop(run_id)
        self._database.execute("COMMIT")
        self._live.drop(run_id)
        self._listing.facts_changed()
        self._tell([run_id])

    @_one_at_a_time
    def watch(self) -> Watcher:
        """Note from now on, as long as the watcher is kept, what changes; :meth:`news` tells."""
        self.refresh()
        watcher = Watcher()
        self._watchers.add(watcher)
        return watcher

    @_one_at_a_time
    def news(self, watcher: Watcher, besides: Iterable[str] = ()) -> News:
        """What has changed since this was last asked; cheap enough for several times a second.

        Runs ``besides`` are told of in any case.
        """
        self.refresh()
        watcher.ids.update(besides)
        ids, everything = watcher.take()
        found = self._by_id(ids)
        return News(found, sorted(ids.difference(run.id for run in found)), everything)

    @_one_at_a_time
    def live(self) -> dict[str, events.Facts | None]:
        """The runs that go on, as of the last look; the facts of those that do more than wait."""
        return self._live.facts()

    @_one_at_a_time
    def tally(self, since: float) -> tuple[Mapping[str, int], int]:
        """How many runs lists show in each state, and how many have failed since then."""
        return self._asked(lambda: self._listing.tally(since))

    @_one_at_a_time
    def refresh(self) -> None:
        """Take in what happened since the last look."""
        try:
            if self._path.exists() and self._path.stat().st_ino != self._inode:
                self._reopen()
            self._hear_others()
            named, position = self._journal()
            other, moved = self._live.look()
            self._others |= named | other
            self._moved |= moved
            self._tell(moved)
            if self._others:
                self._update(self._others, position)
                self._others.clear()
                self._position = position
        except (sqlite3.DatabaseError, ValueError) as error:
            if "locked" not in str(error):
                self._reopen(rebuild=True)
            elif self._database.in_transaction:
                self._database.execute("ROLLBACK")

    @_one_at_a_time
    def rebuild(self) -> int:
        """Build the index again from the run folders; returns how many runs there are."""
        self._reopen(rebuild=True)
        return self.count()

    def _rows(self, sql: str, values: list[Any]) -> list[tuple[Any, ...]]:
        """What a question finds."""
        return self._asked(lambda: self._database.execute(sql, values).fetchall())

    def _asked(self, ask: Callable[[], T]) -> T:
        """An answer; damage that only the question comes across has the index built again."""
        try:
            return ask()
        except sqlite3.DatabaseError:
            self._reopen(rebuild=True)
            return ask()

    def _by_number(self, runs: Sequence[int]) -> list[RunSummary]:
        """The summaries of the runs with these numbers, in their order."""
        sql = f"SELECT run, {_COLUMNS} FROM runs WHERE run IN (SELECT value FROM json_each(?))"
        found = {row[0]: row[1:] for row in self._rows(sql, [json.dumps(runs)])}
        return [self._shown(found[run]) for run in runs if run in found]

    def _by_id(self, ids: Iterable[str]) -> list[RunSummary]:
        """Those of these runs that there are; of most that go on nothing but numbers is new."""
        found = [self._live.shown(run_id) for run_id in ids]
        known = [summary for summary in found if summary is not None]
        rest = set(ids).difference(summary.id for summary in known)
        sql = f"SELECT {_COLUMNS} FROM runs WHERE id IN (SELECT value FROM json_each(?))"
        rows = self._rows(sql, [json.dumps(_storable(*rest))]) if rest else []
        return known + [self._shown(row) for row in rows]

    def _shown(self, row: tuple[Any, ...]) -> RunSummary:
        """A run as its row has it, but for numbers that are newer."""
        summary = _summary(row)
        return self._live.keep(summary) or summary

    # Opening and building

    def _open(self, rebuild: bool = False) -> sqlite3.Connection:
        """The index, built if need be; in memory where the disk is full, read-only or locked."""
        try:
            return self._open_file(rebuild)
        except (sqlite3.DatabaseError, OSError) as error:
            if "locked" in str(error):
                return self._in_memory()
        try:
            self._discard()
            return self._open_file(rebuild=True)
        except (sqlite3.DatabaseError, OSError):
            return self._in_memory()

    def _open_file(self, rebuild: bool) -> sqlite3.Connection:
        database = _connect(self._path)
        try:
            # Not WAL: it maps a file that whoever truncates it turns into a SIGBUS for us, and
            # that network file systems do not share.
            database.execute("PRAGMA journal_mode=TRUNCATE")
            self._inode = self._path.stat().st_ino
            if rebuild or not _is_current(database):
                self._build(database, rebuild)
        except BaseException:
            database.close()
            raise
        return database

    def _discard(self) -> None:
        """Empty a file that is not an index, in place.

        A file in its place would share the name of its journal with the one that others still
        have open, and SQLite would undo in one what was done in the other.
        """
        os.truncate(self._path, 0)
        Path(f"{self._path}-journal").unlink(missing_ok=True)

    def _in_memory(self) -> sqlite3.Connection:
        database = _connect(Path(":memory:"))
        self._build(database, rebuild=True)
        return database

    def _reopen(self, rebuild: bool = False) -> None:
        self._database.close()
        self._begin()
        self._database = self._open(rebuild)
        self._listing = Listing(self._database)
        for watcher in self._watchers:
            watcher.everything = True

    def _begin(self) -> None:
        """Know nothing yet of what the database holds."""
        self._live.replace(())
        self._others.clear()
        self._moved.clear()
        self._position, self._foreign, self._highest = "", -1, 0

    def _build(self, database: sqlite3.Connection, rebuild: bool) -> None:
        database.execute("BEGIN IMMEDIATE")
        if not rebuild and _is_current(database):  # another process built it while we waited
            database.execute("ROLLBACK")
            return
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            database.execute(f'DROP TABLE "{table}"')
        for statement in (*_SCHEMA.split(";"), *_COUNTED):
            database.execute(statement)
        self._fill(database)
        database.execute("COMMIT")

    def _fill(self, database: sqlite3.Connection) -> None:
        _, position = self._read_journal(0)
        folders = list(_run_folders(self._folder.runs))
        for done, folder in enumerate(folders):
            self._put(database, folder)
            if self._progress and done % 50 == 0:
                self._progress(done, len(folders))
        if self._progress:
            self._progress(len(folders), len(folders))
        database.executemany(
            "INSERT INTO meta VALUES (?, ?)", [("version", str(VERSION)), ("journal", position)]
        )

    # Keeping up

    def _hear_others(self) -> None:
        """Take in what other processes have put into the database."""
        foreign = int(self._database.execute("PRAGMA data_version").fetchone()[0])
        if foreign == self._foreign:
            return
        self._foreign = foreign
        self._listing.facts_changed()
        rows = self._database.execute("SELECT id, folder, status, seen FROM runs WHERE live")
        self._tell(self._live.replace(rows.fetchall()))
        new = "SELECT run, id FROM runs WHERE run > ?"
        if not self._highest:
            new = "SELECT max(run), NULL FROM runs WHERE run > ?"
        for run, run_id in self._database.execute(new, (self._highest,)).fetchall():
            self._highest = max(self._highest, run or 0)
            self._tell([run_id] if run_id else [])

    def _tell(self, ids: Iterable[str]) -> None:
        for watcher in self._watchers:
            watcher.ids.update(ids)

    def _journal(self) -> tuple[set[str], str]:
        """The ids written to the journal since last time, and how far it was read."""
        if not self._position:
            row = self._database.execute("SELECT value FROM meta WHERE key = 'journal'").fetchone()
            self._position = str(row[0] if row else "")
        inode, offset, mark = self._position.split(":")
        if inode and self._journal_inode() != inode:
            raise sqlite3.DatabaseError("the journal is not the one this index has followed")
        return self._read_journal(int(offset), int(mark))

    def _journal_inode(self) -> str:
        try:
            return str(self._journal_path.stat().st_ino)
        except FileNotFoundError:
            return ""

    def _read_journal(self, offset: int, mark: int = 0) -> tuple[set[str], str]:
        """The ids behind ``offset``, and the place reached: inode, offset, and a mark.

        The mark is made of the bytes before the offset; a journal that was emptied and has
        grown again has others there.
        """
        start = max(0, offset - _MARKED)
        try:
            with open(self._journal_path, "rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                file.seek(start)
                data = file.read()
        except FileNotFoundError:
            return set(), ":0:0"
        known = offset - start
        if len(data) < known or zlib.crc32(data[:known]) != mark:
            raise sqlite3.DatabaseError("the journal is not as it was")
        whole = max(known, data.rfind(b"\n") + 1)
        mark = zlib.crc32(data[max(0, whole - _MARKED) : whole])
        found = set(data[known:whole].decode(errors="replace").split())
        return found, f"{inode}:{start + whole}:{mark}"

    def _update(self, changed: set[str], position: str) -> None:
        places = self._places(changed)
        self._database.execute("BEGIN IMMEDIATE")
        is_other = False
        for run_id in changed:
            folder = self._folder.root / places.get(run_id, f"runs/{run_id}")
            put = self._put(self._database, folder, self._live.followed(run_id))
            is_gone = put is None and run_id in places
            if is_gone:
                self._live.drop(run_id)
                self._drop(run_id)
            is_other |= is_gone or bool(put)
            # A child that is new is put in with its parent: where it is, its id does not tell.
            for child in self._new_children(folder):
                is_other |= bool(self._put(self._database, child))
                self._tell([child.name])
        self._database.execute("UPDATE meta SET value = ? WHERE key = 'journal'", (position,))
        self._database.execute("COMMIT")
        self._tell(changed)
        if is_other:
            self._listing.facts_changed()

    def _places(self, ids: Iterable[str]) -> dict[str, str]:
        sql = "SELECT id, folder FROM runs WHERE id IN (SELECT value FROM json_each(?))"
        return dict(self._database.execute(sql, (json.dumps(_storable(*ids)),)))

    def _new_children(self, folder: Path) -> list[Path]:
        children = list(_run_folders(folder / layout.CHILDREN))
        known = self._places(child.name for child in children) if children else {}
        return [child for child in children if child.name not in known]

    def _write_numbers(self) -> None:
        """Write the numbers that are newer than those in the database."""
        if not self._moved:
            return
        try:
            self._database.execute("BEGIN IMMEDIATE")
            for run_id in self._moved:
                followed = self._live.followed(run_id)
                row = self._database.execute("SELECT run FROM runs WHERE id = ?", (run_id,))
                run = row.fetchone()
                if followed and run:
                    self._database.execute("DELETE FROM metrics WHERE run = ?", run)
                    self._insert_numbers(self._database, run[0], followed.numbers.values)
            self._database.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            return
        self._moved.clear()
        self._listing.metrics_changed()

    def _put(
        self, database: sqlite3.Connection, folder: Path, followed: Followed | None = None
    ) -> bool | None:
        """Take in one run as its folder is now, and say whether that is something new.

        None when there is none that can be read.
        """
        try:
            return self._put_readable(database, folder, followed)
        except _SPOILED:
            # One spoiled run must not hide all the others.
            return None

    def _put_readable(
        self, database: sqlite3.Connection, folder: Path, followed: Followed | None
    ) -> bool | None:
        seen = fingerprint(folder)
        if followed is None:
            followed = Followed(folder)
        elif followed.is_gone():
            return None
        facts, request = followed.facts, followed.request
        if not facts.has_ended and owner_is_gone(request):
            _end_abandoned(folder, request, facts)
        followed.numbers.look(final=facts.has_ended)
        self._live.put(followed, folder)
        return self._insert(database, folder, request, facts, followed.numbers.values, seen)

    def _insert(
        self,
        database: sqlite3.Connection,
        folder: Path,
        request: dict[str, Any],
        facts: events.Facts,
        last: dict[str, float],
        seen: str,
    ) -> bool:
        """Put a row in the place of the run's row, and say whether it has changed."""
        row = self._row(folder, request, facts, last, seen)
        known = database.execute(f"SELECT {_COLUMNS}, run FROM runs WHERE id = ?", row[:1])
        before = known.fetchone() or ()
        if before[:_FACTS] == tuple(row[:_FACTS]) and not facts.has_ended:
            if before[_FACTS] != row[_FACTS]:
                self._moved.add(str(row[0]))  # put off until they are asked for
            return False
        self._drop(request["id"], database)
        number = before[-1] if before else None
        name = facts.display_name or request["id"]
        took = facts.ended and facts.started and facts.ended - facts.started
        cursor = database.execute(
            f"INSERT INTO runs ({_COLUMNS}, name, took, run) VALUES ({','.join('?' * 22)})",
            [*row, *_storable(sort_key(str(name)), took, number)],
        )
        run = int(cursor.lastrowid or 0)
        self._highest = max(self._highest, run)
        database.execute(
            "INSERT INTO words VALUES (?, ?)", _storable(run, _words_of(request, facts, name))
        )
        created = float(request.get("created") or 0)
        database.executemany(
            "INSERT INTO tags VALUES (?, ?, ?, ?)",
            [_storable(run, *tag, created) for tag in facts.tags.items()],
        )
        self._insert_numbers(database, run, last)
        return True

    def _row(
        self,
        folder: Path,
        request: dict[str, Any],
        facts: events.Facts,
        last: dict[str, float],
        seen: str,
    ) -> list[Any]:
        """What is in the columns that a run is shown by."""
        return _storable(
            request["id"],
            os.fspath(folder.relative_to(self._folder.root)),
            request.get("experiment"),
            request.get("number"),
            request.get("type"),
            request.get("parent"),
            facts.status,
            not facts.has_ended,
            float(request.get("created") or 0),
            facts.started,
            facts.ended,
            request.get("target"),
            facts.display_name,
            facts.archived,
            (request.get("source") or {}).get("notebook"),
            json.dumps(facts.tags),
            json.dumps(facts.properties),
            json.dumps(last),
            seen,
        )

    @staticmethod
    def _insert_numbers(database: sqlite3.Connection, run: int, last: Mapping[str, float]) -> None:
        database.executemany(
            "INSERT INTO metrics VALUES (?, ?, ?)", [_storable(run, *pair) for pair in last.items()]
        )

    def _drop(self, run_id: str, database: sqlite3.Connection | None = None) -> None:
        database = database or self._database
        row = database.execute("SELECT run FROM runs WHERE id = ?", (run_id,)).fetchone()
        if row:
            for table in _TABLES:
                database.execute(f"DELETE FROM {table} WHERE run = ?", row)


def delete_run(folder: Path) -> None:
    """Remove a run's folder; a crash on the way leaves nothing that looks like a run."""
    try:
        os.unlink(folder / layout.REQUEST)
    except FileNotFoundError:
        pass
    for _ in range(_LATE_WRITERS):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return
        time.sleep(0.02)  # who still wrote into it, the list of its packages perhaps, is done soon
    shutil.rmtree(folder)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    database.execute("PRAGMA synchronous=OFF")
    database.execute(f"PRAGMA cache_size=-{_CACHE >> 10}")
    return database


def _is_current(database: sqlite3.Connection) -> bool:
    """Whether it is an index of this version; not for an empty or a foreign database."""
    tables = dict(database.execute("SELECT name, type FROM sqlite_master").fetchall())
    if not {"meta", *_TABLES} <= set(tables):
        return False
    facts = dict(database.execute("SELECT key, value FROM meta").fetchall())
    return facts.get("version") == str(VERSION)


def _run_folders(runs: Path) -> Iterator[Path]:
    try:
        entries = list(os.scandir(runs))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        yield Path(entry.path)
        yield from _run_folders(Path(entry.path) / layout.CHILDREN)


def _storable(*values: Any) -> list[Any]:
    """``values`` as SQLite takes them: names of files and the like may not be UTF-8."""
    return [
        value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
        for value in values
    ]


def _words_of(request: dict[str, Any], facts: events.Facts, name: str) -> str:
    """All that a search for text looks through, without case."""
    source = request.get("source") or {}
    tags = [key if value is None else f"{key}={value}" for key, value in facts.tags.items()]
    told = [request["id"], request.get("experiment"), source.get("notebook"), *tags]
    return "\n".join(str(word) for word in (name, *told) if word).casefold()


def _end_abandoned(folder: Path, request: dict[str, Any], facts: events.Facts) -> None:
    """An interactive run ends with the process that was it."""
    error = {
        "error": {
            "code": "ProcessEnded",
            "message": f"Process {request['owner']['pid']} ended without completing this run.",
        }
    }
    try:
        events.append(str(folder), "state", state=states.FAILED, error=error)
    except OSError:  # a read-only workspace can still be read
        pass
    facts.status, facts.ended = states.FAILED, facts.since


def _statement(query: Query) -> tuple[str, list[Any]]:
    joins, where, values = "", ["1"], []
    order = "r.created DESC, r.run DESC"
    if query.by_metric is not None:
        joins += " JOIN metrics m ON m.run = r.run"
        where.append("m.name = ?")
        values.append(query.by_metric)
        order = f"m.last {'DESC' if query.largest else 'ASC'}"
    if query.tag is not None:
        joins += " JOIN tags t ON t.run = r.run"
        where.append("t.key = ?")
        values.append(query.tag)
        if query.tag_value is not None:
            where.append("t.value = ?")
            values.append(query.tag_value)
            if query.by_metric is None:
                order = "t.created DESC"
    for column in ("experiment", "parent", "notebook", "type"):
        wanted = getattr(query, column)
        if wanted is not None:
            where.append(f"r.{column} = ?")
            values.append(wanted)
    if query.ids is not None:
        where.append(f"r.id IN ({','.join('?' * len(query.ids))})")
        values += query.ids
    if query.state is not None:
        where.append("r.status = ?")
        values.append(query.state)
    if query.top_level:
        where.append("r.parent IS NULL")
    if not query.archived:
        where.append("NOT r.archived")
    columns = ", ".join(f"r.{name.strip()}" for name in _COLUMNS.split(","))
    sql = (
        f"SELECT {columns} FROM runs r{joins} WHERE {' AND '.join(where)} "
        f"ORDER BY {order} LIMIT ? OFFSET ?"
    )
    return sql, _storable(*values, query.limit, query.offset)


def _summary(row: tuple[Any, ...]) -> RunSummary:
    named = dict(zip((name.strip() for name in _COLUMNS.split(",")), row, strict=True))
    del named["live"], named["seen"]
    named["archived"] = bool(named["archived"])
    for column in ("tags", "properties", "metrics"):
        named[column] = json.loads(named[column])
    return RunSummary(**named)


def _not_found(run_id: str, similar: list[str]) -> UserErrorException:
    if similar and run_id:
        return UserErrorException(
            f"Several runs begin with {run_id!r}: {', '.join(similar)}.", "Give more of the id."
        )
    return UserErrorException(
        f"There is no run {run_id!r} in this workspace.", "`%aml_runs` or `aml runs` lists them."
    )
