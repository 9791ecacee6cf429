"""Whose turn it is, and which GPUs it gets: the policy, as facts in and a decision out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from aml_jupyter.runner.leases import (
    FOREIGN_USE,
    Decision,
    Gpu,
    Lease,
    Machine,
    Wish,
    decide,
    impossible,
    never,
)
from aml_jupyter.spec import ALL_GPUS, Resources

G = 1 << 30


def machine(*gigabytes: int, foreign: Sequence[int] = (), cpus: float = 16) -> Machine:
    """A machine with GPUs of these sizes, of which others hold so many gigabytes."""
    held = [*foreign, *[0] * len(gigabytes)]
    gpus = tuple(
        Gpu(n, f"GPU-{n}", size * G, held[n] * G, held[n] * G) for n, size in enumerate(gigabytes)
    )
    return Machine(gpus, cpus, 64 * G)


FOUR = machine(16, 16, 16, 16)


def wish(
    gpus: int | None = None,
    each: int = 0,
    cpus: float = 0,
    memory: int = 0,
    pool: str = "",
    slots: int = 100,
    lender: str = "",
    run: str = "",
) -> Wish:
    """What a run asks for; memory in gigabytes."""
    return Wish(Resources(gpus, each * G, cpus, memory * G), pool, slots, lender, run)


def held(*leases: tuple[Wish, tuple[int, ...]]) -> list[tuple[Wish, Lease]]:
    """Runs that have these GPUs."""
    return [(each, Lease(gpus, each.resources.gpu_memory)) for each, gpus in leases]


def line(**wishes: Wish) -> list[tuple[str, Wish]]:
    """Runs that wait, in this order."""
    return [
        (name, Wish(each.resources, each.pool, each.slots, each.lender, name))
        for name, each in wishes.items()
    ]


def gpus_of(decision: Decision) -> dict[str, tuple[int, ...] | None]:
    """The GPUs that each run got."""
    return {key: lease.gpus for key, lease in decision.grants.items()}


# Which GPUs -------------------------------------------------------------------------------------


def test_each_run_gets_the_lowest_gpus_that_are_free() -> None:
    decision = decide(held((wish(1), (1,))), line(a=wish(2), b=wish(1)), FOUR)
    assert gpus_of(decision) == {"a": (0, 2), "b": (3,)}


def test_a_run_that_says_nothing_of_gpus_has_no_lease_and_one_that_says_0_an_empty_one() -> None:
    decision = decide([], line(silent=wish(), none=wish(0)), FOUR)
    assert gpus_of(decision) == {"silent": None, "none": ()}


def test_all_gpus_are_all_there_are() -> None:
    assert gpus_of(decide([], line(a=wish(ALL_GPUS)), FOUR)) == {"a": (0, 1, 2, 3)}
    decision = decide(held((wish(1), (2,))), line(a=wish(ALL_GPUS)), FOUR)
    assert decision.reasons == {"a": "waits for every GPU: 3 of 4 free"}


def test_shared_gpus_are_filled_where_they_fit_tightest() -> None:
    here = machine(16, 16, 40)
    decision = decide(held((wish(1, 4), (1,))), line(a=wish(1, 12), b=wish(1, 12)), here)
    assert gpus_of(decision) == {"a": (1,), "b": (0,)}


def test_a_shared_lease_is_on_different_gpus() -> None:
    assert gpus_of(decide([], line(a=wish(2, 4)), FOUR)) == {"a": (0, 1)}


def test_a_gpu_of_ones_own_is_nobody_elses() -> None:
    one = machine(16)
    assert not decide(held((wish(1), (0,))), line(a=wish(1, 1)), one).grants
    assert not decide(held((wish(1, 1), (0,))), line(a=wish(1)), one).grants


def test_a_gpu_that_others_use_is_not_leased_alone_and_shared_only_beside_them() -> None:
    here = machine(16, foreign=[10])
    decision = decide([], line(a=wish(1)), here)
    assert decision.reasons == {
        "a": "waits for 1 GPU: 0 of 1 free, 1 used by processes that are no runs; "
        "what is no run holds too much, so others go first"
    }
    assert gpus_of(decide([], line(a=wish(1, 6)), here)) == {"a": (0,)}
    assert not decide([], line(a=wish(1, 7)), here).grants


def test_what_a_display_holds_of_a_gpu_is_no_use_by_others_but_is_not_there_to_be_shared() -> None:
    here = Machine((Gpu(0, "GPU-0", 16 * G, 2 * G, FOREIGN_USE),))
    assert gpus_of(decide([], line(a=wish(1)), here)) == {"a": (0,)}
    assert gpus_of(decide([], line(a=wish(1, 14)), here)) == {"a": (0,)}
    assert not decide([], line(a=wish(1, 15)), here).grants


def test_nothing_is_leased_before_the_driver_has_told() -> None:
    decision = decide([], line(a=wish(1), b=wish()), Machine(None))
    assert gpus_of(decision) == {"b": None}
    assert "driver" in decision.reasons["a"]
    broken = replace(FOUR, trouble="NVIDIA's driver does not answer")
    decision = decide([], line(a=wish(1), b=wish()), broken)
    assert gpus_of(decision) == {"b": None}
    assert decision.reasons == {"a": "waits for GPUs: NVIDIA's driver does not answer"}


def test_a_lease_is_the_same_after_a_time_on_disk() -> None:
    for lease in (Lease(), Lease(()), Lease((0, 3)), Lease((1,), 4 * G)):
        assert Lease.from_json(lease.to_json()) == lease
    assert Lease.from_json({"gpus": "all"}) == Lease.from_json(None) == Lease()
    assert Lease.from_json({"gpus": [2, "x", None], "memory": "much"}) == Lease((2,))


# Whose turn -------------------------------------------------------------------------------------


def test_a_small_request_does_not_pass_a_big_one() -> None:
    decision = decide(held((wish(1), (0,))), line(big=wish(4), small=wish(1)), FOUR)
    assert decision.grants == {}
    assert decision.reasons == {
        "big": "waits for 4 GPUs: 3 of 4 free",
        "small": "waits for GPUs behind big",
    }


def test_a_run_without_gpus_passes_one_that_waits_for_gpus() -> None:
    waiting = line(big=wish(4), small=wish(cpus=2), none=wish(0))
    assert set(decide(held((wish(1), (0,))), waiting, FOUR).grants) == {"small", "none"}


def test_slots_are_counted_in_each_pool() -> None:
    waiting = line(a=wish(slots=2), b=wish(slots=2), c=wish(slots=2), d=wish(pool="w/p", slots=1))
    decision = decide(held((wish(slots=2), ())), waiting, FOUR)
    assert set(decision.grants) == {"a", "d"}
    assert decision.reasons == {
        "b": "waits for a slot: all 2 are taken",
        "c": "waits for a slot behind b",
    }


def test_a_pool_is_called_as_its_user_calls_it() -> None:
    waiting = line(a=wish(pool="4f1c/gpu-cluster", slots=1))
    decision = decide(held((wish(pool="4f1c/gpu-cluster"), ())), waiting, FOUR)
    assert decision.reasons == {"a": "waits for a slot of gpu-cluster: the only one is taken"}


def test_the_gpus_of_a_run_that_waits_for_a_slot_of_the_machine_are_kept_for_it() -> None:
    waiting = line(first=wish(4, slots=1), other=wish(1, pool="w/p"))
    decision = decide(held((wish(slots=1), ())), waiting, FOUR)
    assert decision.grants == {}


def test_a_full_pool_keeps_no_gpu_from_the_runs_of_another() -> None:
    waiting = line(first=wish(4, pool="w/p", slots=1), other=wish(1))
    decision = decide(held((wish(pool="w/p"), ())), waiting, FOUR)
    assert gpus_of(decision) == {"other": (0,)}


def test_processors_and_memory_are_counted_for_those_who_ask() -> None:
    waiting = line(a=wish(cpus=10), b=wish(cpus=8), c=wish(memory=60), d=wish(memory=8), e=wish())
    decision = decide([], waiting, FOUR)
    assert set(decision.grants) == {"a", "c", "e"}
    assert decision.reasons == {
        "b": "waits for 8 CPUs: 6 of 16 free",
        "d": "waits for 8 GiB of memory: 4 GiB of 64 GiB free",
    }


def test_ten_tenths_of_a_processor_are_one() -> None:
    tenths = line(**{f"run{number}": wish(cpus=0.1) for number in range(11)})
    assert len(decide([], tenths, machine(cpus=1)).grants) == 10


def test_a_child_borrows_the_slot_of_the_run_that_waits_for_it_one_at_a_time() -> None:
    waiting = line(
        first=wish(slots=1), child=wish(slots=1, lender="p"), sibling=wish(slots=1, lender="p")
    )
    decision = decide(held((wish(slots=1, run="p"), ())), waiting, FOUR)
    assert set(decision.grants) == {"child"}
    assert decision.reasons["sibling"] == "waits for a slot behind first"
    children = held((wish(slots=1, run="p"), ()), (wish(slots=1, lender="p", run="child"), ()))
    assert not decide(children, waiting[2:], FOUR).grants


def test_a_child_borrows_no_slot_of_a_pool_that_its_parent_is_not_in() -> None:
    waiting = line(child=wish(pool="w/p", slots=1, lender="p"))
    holders = held((wish(slots=1, run="p"), ()), (wish(pool="w/p", slots=1), ()))
    decision = decide(holders, waiting, FOUR)
    assert decision.reasons == {"child": "waits for a slot of p: the only one is taken"}
    assert set(decide(holders[:1], waiting, FOUR).grants) == {"child"}


def test_a_child_goes_before_who_waits_for_its_parent() -> None:
    two = machine(16, 16)
    waiting = line(other=wish(2), child=wish(1, lender="p"), sibling=wish(1, lender="p"))
    decision = decide(held((wish(1, run="p"), (0,))), waiting, two)
    assert gpus_of(decision) == {"child": (1,)}
    assert decision.reasons["sibling"] == "waits for GPUs behind other"
    family = held((wish(1, run="p"), (0,)), (wish(1, lender="p", run="child"), (1,)))
    assert decide(family, waiting, two).reasons["other"] == "waits for 2 GPUs: 0 of 2 free"


def test_a_child_that_lacks_what_its_parent_holds_says_so_and_keeps_nobody() -> None:
    waiting = line(child=wish(2, lender="p"), other=wish(1))
    decision = decide(held((wish(1, run="p"), (0,))), waiting, machine(16, 16))
    assert gpus_of(decision) == {"other": (1,)}
    assert decision.reasons["child"] == (
        "waits for 2 GPUs: 1 of 2 free; p may be waiting for it with what it lacks, "
        "so others go first"
    )
    grandparents = held((wish(cpus=9, run="g"), ()), (wish(cpus=5, lender="g", run="p"), ()))
    decision = decide(grandparents, line(child=wish(cpus=3, lender="p")), FOUR)
    assert "3 CPUs: 2 of 16 free; p and g may be waiting" in decision.reasons["child"]


def test_a_run_that_only_strangers_keep_from_starting_holds_nothing_back() -> None:
    eight = machine(*[16] * 8, foreign=[8])
    waiting = line(big=wish(8), seven=wish(7), one=wish(1))
    decision = decide([], waiting, eight)
    assert gpus_of(decision) == {"seven": (1, 2, 3, 4, 5, 6, 7)}
    assert decision.reasons == {
        "big": "waits for 8 GPUs: 7 of 8 free, 1 used by processes that are no runs; what is no "
        "run holds too much, so others go first",
        "one": "waits for 1 GPU: 0 of 8 free, 1 used by processes that are no runs",
    }
    shown = Machine((Gpu(0, "GPU-0", 16 * G, G),))
    decision = decide([], line(most=wish(1, 16), small=wish(1, 8)), shown)
    assert gpus_of(decision) == {"small": (0,)}
    assert "have it; what is no run holds too much" in decision.reasons["most"]


def test_a_run_that_can_never_start_keeps_nobody_waiting() -> None:
    decision = decide([], line(never=wish(5), small=wish(1)), FOUR)
    assert set(decision.grants) == {"small"}
    assert decision.reasons["never"].startswith("It asks for 5 GPUs, and this machine has 4.")


def test_gpus_that_only_this_runner_does_not_see_may_be_had_of_the_next() -> None:
    here = Machine((Gpu(1, memory_total=16 * G),), hidden=3)
    blind = Machine((), hidden=4)
    for asked in (wish(4), wish(2), wish(1, 80)):
        assert impossible(asked, here)
        assert never(asked, here) is None
        assert never(asked, blind) is None
    assert "It asks for 5 GPUs" in (never(wish(5), here) or "")
    assert "It asks for 99 CPUs" in (never(wish(1, cpus=99), replace(here, cpus=8)) or "")
    decision = decide([], line(big=wish(4), small=wish(1)), here)
    assert set(decision.grants) == {"small"}
    assert decision.reasons["big"].startswith(
        "waits for 4 GPUs: the runner has 1, CUDA_VISIBLE_DEVICES hides 3 more from it"
    )


IMPOSSIBLE = [
    (wish(9), machine(*[16] * 8), "It asks for 9 GPUs, and this machine has 8."),
    (wish(1), machine(), "It asks for 1 GPU, and this machine has none."),
    (wish(ALL_GPUS), machine(), "It asks for all GPUs, and this machine has none."),
    (wish(1, 80), FOUR, "It asks for 80 GiB on each of 1 GPU, and of the 4 here none have"),
    (wish(2, 80), machine(16, 80), "80 GiB on each of 2 GPUs, and of the 2 here 1 has so much"),
    (wish(cpus=32), FOUR, "It asks for 32 CPUs, and this machine has 16."),
    (wish(memory=65), FOUR, "It asks for 65 GiB of memory, and this machine has 64 GiB."),
    (wish(1), Machine((), hidden=2), "this machine has none (2 more hidden by CUDA_VISIBLE_DEVI"),
]


@pytest.mark.parametrize(
    ("asked", "here", "words"), IMPOSSIBLE, ids=[each[2] for each in IMPOSSIBLE]
)
def test_what_can_never_be_had_is_said_with_a_remedy(
    asked: Wish, here: Machine, words: str
) -> None:
    message, _, remedy = (impossible(asked, here) or "").partition("\n")
    assert words in message
    assert remedy


def test_what_can_be_had_later_is_not_impossible() -> None:
    assert impossible(wish(4), FOUR) is None
    assert impossible(wish(1, 16), machine(16, foreign=[15])) is None
    assert impossible(wish(ALL_GPUS), FOUR) is None
    assert impossible(wish(9), Machine(None)) is None
    assert impossible(wish(cpus=99, memory=99), Machine()) is None


# Whatever comes ---------------------------------------------------------------------------------

FAMILY = "run0"
WISHES = some.builds(
    wish,
    gpus=some.sampled_from([None, 0, 1, 1, 2, 3, 4, ALL_GPUS]),
    each=some.sampled_from([0, 0, 4, 9, 16]),
    cpus=some.sampled_from([0, 0, 1, 7.5, 16]),
    memory=some.sampled_from([0, 0, 8, 40, 64]),
    pool=some.sampled_from(["", "", "w/p", "w/q"]),
    slots=some.sampled_from([1, 2, 5]),
    lender=some.sampled_from(["", "", FAMILY]),
)


def assert_fits(holders: Sequence[tuple[Wish, Lease]], here: Machine) -> None:
    """Nobody has what another has alone, and no sum is above what there is."""
    alone, shared = Counter[int](), Counter[int]()
    for each, lease in holders:
        asked = each.resources
        count = len(here.gpus or ()) if asked.gpus == ALL_GPUS else asked.gpus or 0
        assert len(set(lease.gpus or ())) == count
        for index in lease.gpus or ():
            (shared if asked.gpu_memory else alone)[index] += asked.gpu_memory or 1
    for gpu in here.gpus or ():
        assert alone[gpu.index] <= 1
        assert not (alone[gpu.index] and (shared[gpu.index] or gpu.is_used_by_others))
        assert shared[gpu.index] <= gpu.memory_total - gpu.foreign_memory or not shared[gpu.index]
    assert sum(each.resources.cpus for each, _ in holders) <= here.cpus + 1e-6
    assert sum(each.resources.memory for each, _ in holders) <= here.memory


def borrows(child: Wish, holders: Mapping[str, tuple[Wish, Lease]]) -> bool:
    """Whether its parent has a slot for it that no other child has."""
    lender = holders.get(child.lender)
    siblings = [other for other, _ in holders.values() if other.lender == child.lender]
    return lender is not None and lender[0].pool == child.pool and not siblings


@given(some.lists(WISHES, max_size=30), some.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_never_too_much_and_everyone_at_last(wishes: list[Wish], chance: random.Random) -> None:
    waiting = [
        (key, replace(each, run=key, lender=each.lender if number else ""))
        for number, each in enumerate(wishes)
        for key in [f"run{number}"]
    ]
    holders: dict[str, tuple[Wish, Lease]] = {}
    started: list[str] = []
    while waiting:
        decision = decide(holders.values(), waiting, FOUR)
        assert decision.grants.keys() | decision.reasons.keys() == {key for key, _ in waiting}
        assert not decision.grants.keys() & decision.reasons.keys()
        assert decision.grants or holders, f"nobody may start: {decision.reasons}"
        known = dict(waiting)
        for key, lease in decision.grants.items():
            each = known[key]
            used = sum(other.pool == each.pool for other, _ in holders.values())
            assert used < each.slots or borrows(each, holders)
            holders[key] = (each, lease)
            started.append(key)
        assert_fits(list(holders.values()), FOUR)
        waiting = [(key, each) for key, each in waiting if key not in decision.grants]
        has_children = any(each.lender for _, each in waiting)
        ends = sorted(key for key in holders if key != FAMILY or not has_children)
        if ends:
            del holders[chance.choice(ends)]
        elif holders and not decision.grants:
            # It waits for children that lack what it holds, until its user ends it.
            whys = [decision.reasons[key] for key, each in waiting if each.lender]
            assert all(f"{FAMILY} may be waiting" in why for why in whys)
            del holders[FAMILY]
    alike = Counter(wishes).most_common(1)
    if alike:
        keys = [f"run{number}" for number, each in enumerate(wishes) if each == alike[0][0]]
        assert [key for key in started if key in keys] == keys


@given(some.lists(WISHES, min_size=1, max_size=8), WISHES, some.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_no_stream_of_others_keeps_a_run_from_its_turn(
    others: list[Wish], asked: Wish, chance: random.Random
) -> None:
    holders: dict[str, tuple[Wish, Lease]] = {}
    stream = [(f"other{number}", others[number % len(others)]) for number in range(400)]
    first, behind = stream[:20], stream[20:]
    waiting = [*first, ("patient", asked)]
    for newcomer in behind:
        waiting.append(newcomer)
        decision = decide(holders.values(), waiting, FOUR)
        if "patient" in decision.grants:
            return
        known = dict(waiting)
        holders |= {key: (known[key], lease) for key, lease in decision.grants.items()}
        waiting = [(key, each) for key, each in waiting if key not in decision.grants]
        del holders[chance.choice(sorted(holders))]
    pytest.fail(f"it still waits: {decision.reasons['patient']}")
