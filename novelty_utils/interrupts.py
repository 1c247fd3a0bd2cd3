"""Ctrl-C and what a batch system sends instead: the first one ends what runs, and no other disturbs the tidying up."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing import resource_tracker
from types import FrameType

PATIENCE = 30  # seconds for the tidying up; a further Ctrl-C after them ends the process there and then
EXIT_CODE = 130


class _Interrupt:
    """What a signal does: raise KeyboardInterrupt once, at once or at the end of what must not be interrupted."""

    def __init__(self) -> None:
        self.first: float | None = None
        self.waiting = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.first is None:
            self.first = time.monotonic()
            self.waiting = True
            self.due()
        elif time.monotonic() - self.first > PATIENCE:  # somebody has swallowed it, or waits for what does not come
            os.write(2, b"novelty: interrupted\n")
            os._exit(EXIT_CODE)

    def due(self) -> None:
        if self.waiting and not _holding:
            self.waiting = False
            raise KeyboardInterrupt


_holding: list[None] = []  # one for each `held` that has begun


@contextlib.contextmanager
def once(own_process: bool) -> Iterator[None]:
    """Within, SIGINT and SIGTERM raise KeyboardInterrupt, but only once, whatever comes after it.

    own_process: whether nothing but the exit of Python follows, which no signal shall disturb either; otherwise
    everything is as it was before. Where a shell has had SIGINT ignored, as in the background, that stays.
    """
    if threading.current_thread() is not threading.main_thread():  # no other may say what a signal does
        yield
        return
    interrupt = _Interrupt()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        signal.signal(signal.SIGTERM, interrupt)
        if before[signal.SIGINT] is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, interrupt)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if own_process else handler)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Let a Ctrl-C wait until the end of this block; processes that threads of this block start never get one."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    resource_tracker.ensure_running()  # at its start it would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    _holding.append(None)
    try:
        yield
    finally:
        _holding.pop()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number in (signal.SIGINT, signal.SIGTERM):
            if isinstance(handler := signal.getsignal(number), _Interrupt):
                handler.due()
