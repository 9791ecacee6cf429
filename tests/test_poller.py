"""One thread for all views of a kernel, and whether anybody looks at them."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable

from IPython.core.interactiveshell import InteractiveShell

from aml_jupyter.notebook.presence import Presence
from aml_jupyter.watching.poller import Poller
from tests.shell import ipython

__all__ = ["ipython"]


class Counter:
    """A view that counts its looks, until told to stop."""

    def __init__(self, looks: int = 10**9, fails: bool = False, pause: float = 0.0) -> None:
        self.count = 0
        self._looks = looks
        self._fails = fails
        self._pause = pause

    def refresh(self) -> float | None:
        self.count += 1
        if self._fails:
            raise OSError("gone")
        return self._pause if self.count < self._looks else None


def until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def threads() -> int:
    return sum(thread.name == "aml-views" for thread in threading.enumerate())


def test_one_thread_serves_all_views_and_ends_with_the_last() -> None:
    before = threads()
    poller = Poller(interval=0.005)
    counters = [Counter(3), Counter(5), Counter(2, fails=True)]
    for counter in counters:
        poller.watch(counter)
    assert threads() <= before + 1
    until(lambda: not poller.running)
    assert [counter.count for counter in counters] == [3, 5, 1]
    again = Counter(1)
    poller.watch(again)
    until(lambda: again.count == 1)
    until(lambda: threads() == before)


def test_a_view_that_nobody_holds_is_forgotten() -> None:
    poller = Poller(interval=0.005)
    counters = [Counter()]
    poller.watch(counters[0])
    until(lambda: counters[0].count > 1)
    counters.clear()
    gc.collect()
    until(lambda: not poller.running)


def test_a_view_that_rests_is_left_alone_until_it_is_called() -> None:
    poller = Poller(interval=0.005)
    resting = Counter(pause=3600)
    poller.watch(resting)
    until(lambda: resting.count >= 1)
    time.sleep(0.1)
    seen = resting.count
    assert seen <= 2
    poller.watch(resting)
    until(lambda: resting.count > seen)


def test_what_is_out_of_sight_is_not_looked_at(ipython: InteractiveShell) -> None:
    here = Presence()
    assert here.looking
    here.heard(shown=False)
    assert not here.looking
    here.heard()
    assert not here.looking
    here.heard(shown=True)
    assert here.looking


def test_a_browser_that_says_nothing_is_gone_until_it_speaks(ipython: InteractiveShell) -> None:
    ipython.run_cell("pass")
    here = Presence(silence=0.05)
    until(lambda: not here.looking)
    here.heard()
    assert here.looking
