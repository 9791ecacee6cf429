"""Whose turn it is, and which GPUs it gets: decided from facts alone, so that it can be repeated.

Runs have their turn in the given order. A run that cannot have all it asks for waits for the
first thing it lacks, in this order: a slot of its pool, GPUs, memory, CPUs, a slot of the machine
itself. Of that nobody behind it takes any, and what comes before in that order and is free is
kept for it. What comes after is not: so a run that needs no GPU passes one that waits for GPUs,
and yet each thing that a run has once got hold of it keeps, so none waits for ever.

Two kinds of runs are apart. One that a running run submitted, which may wait for it, goes first,
one of its children at a time: whoever is before it may be waiting for its parent. And one that
could not start even if all runs ended but those that submitted it holds nothing and keeps nobody.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ..spec import ALL_GPUS, Resources
from ..spec.words import shown_bytes as shown_bytes

FOREIGN_USE = 256 << 20
"""Bytes of a GPU's memory that processes of others may hold while it still counts as free."""

NOT_TOLD = "NVIDIA's driver has not yet said how they are"

_ROUNDING = 1e-6
_NAMED = 3
_GPUS, _MEMORY, _CPUS = "GPUs", "memory", "CPUs"


class Process(NamedTuple):
    """A process that is no run's; its name is empty where only the host knows it."""

    pid: int
    name: str = ""

    def __str__(self) -> str:
        return f"{self.name}, pid {self.pid}" if self.name else f"pid {self.pid}"


@dataclass(frozen=True)
class Gpu:
    """A GPU that may be leased, and what others than its lessees hold of its memory, in bytes.

    ``foreign_compute`` is the part of ``foreign_memory`` that ``strangers`` hold, processes which
    compute; the rest is a display's or the driver's. A ``memory_total`` of 0 is not told.
    """

    index: int
    uuid: str = ""
    memory_total: int = 0
    foreign_memory: int = 0
    foreign_compute: int = 0
    strangers: tuple[Process, ...] = ()

    @property
    def is_used_by_others(self) -> bool:
        """Whether processes compute on it that are no lessee's."""
        return self.foreign_compute > FOREIGN_USE


@dataclass(frozen=True)
class Machine:
    """What this machine has. ``gpus`` is None until the driver has told; 0 CPUs are not known.

    ``hidden`` counts the GPUs that CUDA_VISIBLE_DEVICES keeps from the runner. While there is
    ``trouble`` with the driver, no GPU is leased.
    """

    gpus: tuple[Gpu, ...] | None = ()
    cpus: float = 0.0
    memory: int = 0
    hidden: int = 0
    trouble: str = ""


@dataclass(frozen=True)
class Wish:
    """What a run asks for: its resources, and one of so many ``slots`` of its pool.

    The pool "" is the machine itself. ``lender`` names the run that submitted this one: while it
    has its own turn in the same pool it lends its slot, to one at a time. ``run`` is the id by
    which others know it.
    """

    resources: Resources = field(default_factory=Resources)
    pool: str = ""
    slots: int = 1
    lender: str = ""
    run: str = ""


@dataclass(frozen=True)
class Lease:
    """The GPUs that a run has: None for one that did not ask, () for one that shall see none.

    With ``gpu_memory`` it has that many bytes of each; without, it has them alone.
    """

    gpus: tuple[int, ...] | None = None
    gpu_memory: int = 0

    def to_json(self) -> dict[str, object]:
        """The lease as it stands in a run's events."""
        return {"gpus": None if self.gpus is None else list(self.gpus), "memory": self.gpu_memory}

    @classmethod
    def from_json(cls, record: object) -> Lease:
        """The lease in ``record``; none where there is none."""
        if not isinstance(record, Mapping) or not isinstance(record.get("gpus"), list):
            return cls()
        memory = record.get("memory")
        gpus = tuple(index for index in record["gpus"] if isinstance(index, int))
        return cls(gpus, int(memory) if isinstance(memory, (int, float)) else 0)


@dataclass(frozen=True)
class Decision:
    """The runs whose turn it is, with what they get, and why each of the others waits."""

    grants: Mapping[str, Lease]
    reasons: Mapping[str, str]


def decide(
    holders: Iterable[tuple[Wish, Lease]], waiting: Sequence[tuple[str, Wish]], machine: Machine
) -> Decision:
    """Who of ``waiting``, which is in order, can start beside ``holders``, and why others not."""
    room = Room(machine, holders)
    line, apart = queued(waiting, room)
    grants = line.let_in(room)
    reasons = {
        key: apart.get(key) or line.reason(key, wish) for key, wish in waiting if key not in grants
    }
    return Decision(grants, reasons)


def queued(waiting: Sequence[tuple[str, Wish]], room: Room) -> tuple[Line, dict[str, str]]:
    """The line that ``waiting``, which is in order, form for ``room``.

    Beside it those that are in no line, since nothing that others leave lets them start, and why.
    """
    stuck = _Stuck(room)
    apart = {
        key: why
        for key, wish in waiting
        if (why := _hopeless(wish, room.machine) or stuck.reason(wish))
    }
    in_line = [(key, wish) for key, wish in waiting if key not in apart]
    return Line(_children_first(in_line, room)), apart


def _children_first(waiting: Sequence[tuple[str, Wish]], room: Room) -> Iterator[tuple[str, Wish]]:
    """One child of each run that waits for it, then all the others, each in the given order."""
    first: dict[str, str] = {}
    for key, wish in waiting:
        if room.is_waited_for(wish):
            first.setdefault(wish.lender, key)
    keys = set(first.values())
    yield from (each for each in waiting if each[0] in keys)
    yield from (each for each in waiting if each[0] not in keys)


def _hopeless(wish: Wish, machine: Machine) -> str | None:
    """Why the run cannot start whatever others do, in words for one that waits all the same."""
    why = impossible(wish, machine)
    if why is None or never(wish, machine):
        return why
    there, hidden = len(machine.gpus or ()), machine.hidden
    return (
        f"waits for {_wanted(wish.resources, wanted_gpus(wish.resources, machine.gpus or ()))}: "
        f"the runner has {there or 'none'}, CUDA_VISIBLE_DEVICES hides {hidden} more from it; "
        "unset that and call `aml runner stop`"
    )


def impossible(wish: Wish, machine: Machine) -> str | None:
    """Why this machine can never serve ``wish``: what is wrong, and on the next line the remedy.

    None where it can, if perhaps not now.
    """
    asked = wish.resources
    if asked.gpus and machine.gpus is not None:
        said = _impossible_gpus(asked, machine.gpus, machine.hidden)
        if said:
            return said
    if machine.cpus and asked.cpus > machine.cpus:
        return (
            f"It asks for {asked.cpus:g} CPUs, and this machine has {machine.cpus:g}.\n"
            f"Ask for {machine.cpus:g} at most."
        )
    if machine.memory and asked.memory > machine.memory:
        return (
            f"It asks for {shown_bytes(asked.memory)} of memory, and this machine has "
            f"{shown_bytes(machine.memory)}.\nAsk for less."
        )
    return None


def never(wish: Wish, machine: Machine) -> str | None:
    """Why no runner on this machine can ever serve ``wish``, as :func:`impossible` says it.

    None also where GPUs are only hidden from this runner: the next one may see them.
    """
    unseen = (Gpu(-1),) * machine.hidden
    everything = None if machine.gpus is None else (*machine.gpus, *unseen)
    return impossible(wish, replace(machine, gpus=everything)) and impossible(wish, machine)


def _impossible_gpus(asked: Resources, gpus: Sequence[Gpu], hidden: int) -> str | None:
    count = wanted_gpus(asked, gpus)
    if count > len(gpus) or not gpus:
        wanted = "all GPUs" if asked.gpus == ALL_GPUS else _counted(count, "GPU")
        there = len(gpus) or "none"
        more = f" ({hidden} more hidden by CUDA_VISIBLE_DEVICES)" if hidden else ""
        remedy = f"Ask for {len(gpus)} at most, or for all." if gpus else "Ask for no GPUs."
        return f"It asks for {wanted}, and this machine has {there}{more}.\n{remedy}"
    fitting = sum(asked.gpu_memory <= gpu.memory_total or not gpu.memory_total for gpu in gpus)
    if fitting < count:
        wanted = f"{shown_bytes(asked.gpu_memory)} on each of {_counted(count, 'GPU')}"
        return (
            f"It asks for {wanted}, and of the {len(gpus)} here {fitting or 'none'} "
            f"{'has' if fitting == 1 else 'have'} so much (the largest has "
            f"{shown_bytes(max(gpu.memory_total for gpu in gpus))}).\n"
            "Ask for less, or leave the memory out to have whole GPUs."
        )
    return None


def wanted_gpus(asked: Resources, gpus: Sequence[object]) -> int:
    """How many of ``gpus`` are asked for."""
    return len(gpus) if asked.gpus == ALL_GPUS else asked.gpus or 0


# What is free ---------------------------------------------------------------------------------


class Room:
    """What is free of a machine; runs take from it, and give back what they took."""

    def __init__(self, machine: Machine, holders: Iterable[tuple[Wish, Lease]] = ()) -> None:
        self.machine = machine
        self.cpus = machine.cpus
        self.memory = machine.memory
        self.taken: Counter[str] = Counter()
        self._alone: Counter[int] = Counter()
        self._shared: Counter[int] = Counter()
        self._turns: dict[str, tuple[Wish, Lease]] = {}
        self._children: Counter[str] = Counter()
        for wish, lease in holders:
            self.take(wish, lease)

    def take(self, wish: Wish, lease: Lease, sign: int = 1) -> None:
        """Let a run have what it asks for, and these GPUs."""
        self._note(wish, lease, sign)
        self.taken[wish.pool] += sign
        self.cpus -= sign * wish.resources.cpus
        self.memory -= sign * wish.resources.memory
        self.take_gpus(lease, sign)

    def give_back(self, wish: Wish, lease: Lease) -> None:
        """Take back what a run had."""
        self.take(wish, lease, -1)

    def _note(self, wish: Wish, lease: Lease, sign: int) -> None:
        """Remember who has its turn, and whose child it is."""
        self._children[wish.lender] += sign
        if wish.run and sign > 0:
            self._turns[wish.run] = (wish, lease)
        else:
            self._turns.pop(wish.run, None)

    def is_waited_for(self, wish: Wish) -> bool:
        """Whether the run's parent has its turn, and may wait for it: no other child has."""
        return wish.lender in self._turns and not self._children[wish.lender]

    def borrows(self, wish: Wish) -> bool:
        """Whether the run may have its parent's slot, which is one of the same pool."""
        return self.is_waited_for(wish) and self._turns[wish.lender][0].pool == wish.pool

    def forebears(self, wish: Wish) -> list[tuple[Wish, Lease]]:
        """The runs that may wait for this one: its parent, that one's parent, and so on."""
        found: list[tuple[Wish, Lease]] = []
        while wish.lender in self._turns and len(found) < len(self._turns):
            found.append(self._turns[wish.lender])
            wish = found[-1][0]
        return found

    def take_gpus(self, lease: Lease, sign: int = 1) -> None:
        """Let somebody have these GPUs, or with ``sign`` -1 no longer."""
        for index in lease.gpus or ():
            if lease.gpu_memory:
                self._shared[index] += sign * lease.gpu_memory
            else:
                self._alone[index] += sign

    def lease_for(self, asked: Resources) -> Lease | None:
        """The GPUs that ``asked`` can have now; None when there are not enough."""
        if not asked.gpus:
            return Lease(None if asked.gpus is None else ())
        if self.machine.gpus is None or self.machine.trouble:
            return None
        count, fitting = wanted_gpus(asked, self.machine.gpus), self.fitting(asked.gpu_memory)
        if len(fitting) < count:
            return None
        return Lease(tuple(sorted(fitting[:count])), asked.gpu_memory)

    def fitting(self, memory: int) -> list[int]:
        """The GPUs that are free, or have so much memory free; the tightest fit first."""
        gpus = self.machine.gpus or ()
        if not memory:
            return [gpu.index for gpu in gpus if self._is_free(gpu)]
        left = [(self._left(gpu), gpu.index) for gpu in gpus if not self._alone[gpu.index]]
        return [index for free, index in sorted(left) if free >= memory]

    def _is_free(self, gpu: Gpu) -> bool:
        is_leased = self._alone[gpu.index] or self._shared[gpu.index]
        return not is_leased and not gpu.is_used_by_others

    def _left(self, gpu: Gpu) -> int:
        """The bytes that nobody has been promised; all there can be of one that does not say."""
        total = gpu.memory_total or 1 << 60
        return total - gpu.foreign_memory - self._shared[gpu.index]


# Who may take it ------------------------------------------------------------------------------


class _Kind(NamedTuple):
    """What runs of one line have in common: where one of them has to wait, so do all behind."""

    pool: str
    gpus: bool
    memory: bool
    cpus: bool
    lender: str


@dataclass(frozen=True)
class _Stop:
    """What the first of some runs waits for, in words, and what it is called to the others."""

    key: str
    run: str
    lacks: str
    why: str


class Line:
    """Runs that wait, in order. Many rounds cost little: those of a kind are seen as one."""

    def __init__(self, waiting: Iterable[tuple[str, Wish]]) -> None:
        self._lines: dict[_Kind, deque[tuple[int, str, Wish]]] = {}
        self._stops: dict[_Kind, _Stop] = {}
        for position, (key, wish) in enumerate(waiting):
            self._lines.setdefault(_kind_of(wish), deque()).append((position, key, wish))

    def __bool__(self) -> bool:
        return bool(self._lines)

    def let_in(self, room: Room) -> dict[str, Lease]:
        """One round: those whose turn it is leave the line and take their part of ``room``."""
        now = _Round(room)
        grants: dict[str, Lease] = {}
        self._stops.clear()
        heads = [(line[0], kind) for kind, line in self._lines.items()]
        heapq.heapify(heads)
        while heads:
            (_, key, wish), kind = heads[0]
            got = now.ask(key, wish)
            if isinstance(got, _Stop):
                self._stops[kind] = got
                heapq.heappop(heads)
                continue
            grants[key] = got
            line = self._lines[kind]
            line.popleft()
            if line:
                heapq.heapreplace(heads, (line[0], kind))
            else:
                heapq.heappop(heads)
                del self._lines[kind]
        now.end()
        return grants

    def reason(self, key: str, wish: Wish) -> str:
        """Why a run was not let in by the last round."""
        stop = self._stops[_kind_of(wish)]
        if stop.key == key:
            return stop.why
        return f"waits for {stop.lacks} behind {stop.run}"


class _Round:
    """A look at all who wait: what has been kept for some so far, and what others must leave."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._stops: dict[str, _Stop] = {}
        self._kept_slots: Counter[str] = Counter()
        self._kept: list[tuple[Resources, Lease]] = []

    def ask(self, key: str, wish: Wish) -> Lease | _Stop:
        """What the run gets, which is then taken; or why it waits, for which it keeps things."""
        needs = self._needs(wish)
        lease = self._room.lease_for(wish.resources)
        for place, need in enumerate(needs):
            if need in self._stops:
                return self._stops[need]
            why = self.lack(need, wish, lease)
            if why:
                stop = _Stop(key, wish.run or "an earlier run", _called(need), why)
                self._stops[need] = stop
                self._keep(wish, lease, needs[:place])
                return stop
        self._room.take(wish, lease or Lease())
        return lease or Lease()

    def missing(self, wish: Wish) -> str:
        """The first thing that is not there for the run; empty when all is."""
        lease = self._room.lease_for(wish.resources)
        return next((need for need in self._needs(wish) if self.lack(need, wish, lease)), "")

    def end(self) -> None:
        """Give back what was only kept."""
        for asked, lease in self._kept:
            self._room.memory += asked.memory
            self._room.cpus += asked.cpus
            self._room.take_gpus(lease, -1)

    def _needs(self, wish: Wish) -> list[str]:
        """What has to be there for the run, in the order in which it waits for it."""
        asked, slot = wish.resources, _slot(wish.pool)
        borrows = self._room.borrows(wish)
        needs = [slot] if wish.pool and not borrows else []
        needs += [_GPUS] if asked.gpus else []
        needs += [_MEMORY] if asked.memory else []
        needs += [_CPUS] if asked.cpus else []
        return needs if wish.pool or borrows else [*needs, slot]

    def lack(self, need: str, wish: Wish, lease: Lease | None) -> str:
        """What is missing of ``need``, in words; empty when it is there."""
        room, asked = self._room, wish.resources
        if need == _GPUS:
            return _lack_of_gpus(asked, room) if lease is None else ""
        if need == _MEMORY:
            return _lack_of(
                asked.memory, room.memory, room.machine.memory, shown_bytes, " of memory"
            )
        if need == _CPUS:
            return _lack_of(asked.cpus, room.cpus, room.machine.cpus, _number, " CPUs")
        if room.taken[wish.pool] + self._kept_slots[wish.pool] < wish.slots:
            return ""
        return f"waits for {_called(need)}: {_all_taken(wish.slots)}"

    def _keep(self, wish: Wish, lease: Lease | None, needs: Sequence[str]) -> None:
        """Let nobody else have what is there of ``needs``."""
        asked = wish.resources
        memory = asked.memory if _MEMORY in needs else 0
        cpus = asked.cpus if _CPUS in needs else 0.0
        kept = lease if lease is not None and _GPUS in needs else Lease()
        self._kept_slots[wish.pool] += _slot(wish.pool) in needs
        self._room.memory -= memory
        self._room.cpus -= cpus
        self._room.take_gpus(kept)
        self._kept.append((Resources(memory=memory, cpus=cpus), kept))


class _Stuck:
    """Tells the runs that could not start even if all ended but those that may wait for them."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._missing: dict[tuple[Resources, str, str], str] = {}

    def reason(self, wish: Wish) -> str:
        """Why nothing that other runs leave lets this one start; empty where it does."""
        room, asked = self._room, wish.resources
        forebears = room.forebears(wish) if wish.lender else []
        is_told = not asked.gpus or (room.machine.gpus is not None and not room.machine.trouble)
        if not is_told or not (asked.gpus or forebears):
            return ""
        need = self._without_others(wish, forebears)
        if not need:
            return ""
        why = _Round(room).lack(need, wish, room.lease_for(asked))
        if _Round(Room(room.machine)).missing(wish):
            return f"{why}; what is no run holds too much, so others go first"
        holds = " and ".join(parent.run for parent, _ in forebears)
        return f"{why}; {holds} may be waiting for it with what it lacks, so others go first"

    def _without_others(self, wish: Wish, forebears: Sequence[tuple[Wish, Lease]]) -> str:
        """What would be missing if there were no other runs."""
        key = (wish.resources, wish.pool, wish.lender if forebears else "")
        if key not in self._missing:
            self._missing[key] = _Round(Room(self._room.machine, forebears)).missing(wish)
        return self._missing[key]


def _kind_of(wish: Wish) -> _Kind:
    asked = wish.resources
    return _Kind(wish.pool, bool(asked.gpus), asked.memory > 0, asked.cpus > 0, wish.lender)


def _slot(pool: str) -> str:
    return f"slot of {pool}"


# In words -------------------------------------------------------------------------------------


def _called(need: str) -> str:
    """What people call it; a pool's name may begin with its workspace's."""
    if not need.startswith("slot of "):
        return need
    pool = need.removeprefix("slot of ").rpartition("/")[2]
    return f"a slot of {pool}" if pool else "a slot"


def _all_taken(slots: int) -> str:
    return "the only one is taken" if slots <= 1 else f"all {slots} are taken"


def _lack_of_gpus(asked: Resources, room: Room) -> str:
    gpus, trouble = room.machine.gpus, room.machine.trouble
    if gpus is None or trouble:
        return f"waits for GPUs: {trouble or NOT_TOLD}"
    count, fit = wanted_gpus(asked, gpus), len(room.fitting(asked.gpu_memory))
    wanted = _wanted(asked, count)
    outside = _used_by_others([gpu for gpu in gpus if gpu.is_used_by_others])
    if asked.gpu_memory:
        memory = shown_bytes(asked.gpu_memory)
        return f"waits for {wanted} with {memory} free: {fit} of {len(gpus)} have it{outside}"
    return f"waits for {wanted}: {fit} of {len(gpus)} free{outside}"


def _used_by_others(gpus: Sequence[Gpu]) -> str:
    """How many GPUs others use, and who they are: often a notebook of the user's own."""
    if not gpus:
        return ""
    who = in_brackets(each for gpu in gpus for each in gpu.strangers)
    return f", {len(gpus)} used by processes that are no runs{who}"


def in_brackets(strangers: Iterable[Process]) -> str:
    """Who these processes are; empty for none."""
    who = list(dict.fromkeys(map(str, strangers)))
    more = f"; {len(who) - _NAMED} more" if len(who) > _NAMED else ""
    return f" ({'; '.join(who[:_NAMED])}{more})" if who else ""


def _wanted(asked: Resources, count: int) -> str:
    return "every GPU" if asked.gpus == ALL_GPUS else _counted(count, "GPU")


def _lack_of(
    wanted: float, free: float, total: float, shown: Callable[[float], str], what: str
) -> str:
    if not total or wanted <= free + _ROUNDING:
        return ""
    return f"waits for {shown(wanted)}{what}: {shown(max(0, free))} of {shown(total)} free"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _number(value: float) -> str:
    return f"{value:.3g}"
