"""Patience: how long a hook may take to answer, so that one that loops for ever ends the check and not the day."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONGEST = 20.0
"""Time that one call of a hook may take [s]; decisions take microseconds, `setup` may read a file or compile."""
AGAIN = 1.0
"""Time after which a hook that has caught the interruption is interrupted again [s]."""


class OutOfPatience(BaseException):
    """Interrupts a hook that does not answer."""


@contextmanager
def patient(tell: Callable[[], None]) -> Iterator[None]:
    """Interrupt with `OutOfPatience` what takes longer than `LONGEST`, where that can be done.

    It needs alarms, which Windows lacks, and which reach the main thread alone. Where somebody else's alarm is
    set already, such as a test's time limit, processor time is counted in place of time.

    Args:
        tell: Called first, on top of the lines that are running.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = signal.getitimer(signal.ITIMER_REAL)[0] > 0
    clock, number = (
        (signal.ITIMER_VIRTUAL, signal.SIGVTALRM) if taken else (signal.ITIMER_REAL, signal.SIGALRM)
    )

    def interrupt(*_: Any) -> None:
        tell()
        raise OutOfPatience

    before = signal.signal(number, interrupt)
    try:
        signal.setitimer(clock, LONGEST, AGAIN)
        yield
    finally:
        signal.setitimer(clock, 0.0)
        signal.signal(number, before)
