"""Runs that end without Kedro's saying so: it tells its hooks of errors, but not of Ctrl-C or of signals."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from types import FrameType

from counterpoise.tracking.tracker import Tracker

SIGNALS = (signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
"""What ends a process from outside: `kill`, a scheduler, a terminal that is closed."""

SIGNALLED = 128
"""A process that a signal ends has this and the signal's number as its status."""


def watch(tracker: Tracker) -> None:
    """See to it that the run is closed as KILLED if the process ends before `release`."""
    atexit.register(_close, tracker)
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _stop)


def release() -> None:
    """Leave the process as `watch` found it."""
    atexit.unregister(_close)
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) is _stop:
                signal.signal(number, signal.SIG_DFL)


def _stop(number: int, frame: FrameType | None) -> None:
    """Unwind what runs, so that files under way are removed; a second signal ends the process at once."""
    signal.signal(number, signal.SIG_DFL)
    raise SystemExit(SIGNALLED + number)


def _close(tracker: Tracker) -> None:
    if tracker.open and tracker.process == os.getpid():  # not in a process that this one has started
        tracker.give_up("KILLED")
        print("The run was stopped; its record in MLflow says KILLED.", file=sys.stderr)
