"""Ctrl-C is taken once: what tidies up after it is left in peace, and in the end the process obeys all the same."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from novelty_utils import cli, interrupts

SCRIPT = """
import os, signal, sys, time
from novelty_utils import interrupts
interrupts.PATIENCE = float(sys.argv[1])
try:
    with interrupts.once(own_process=True):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
                time.sleep(0.05)
                os.kill(os.getpid(), number)
            print("tidied up")
except KeyboardInterrupt:
    os.kill(os.getpid(), signal.SIGINT)
    print("told")
"""


def ran(patience: float, ignored: bool = False) -> subprocess.CompletedProcess:
    handler = signal.SIG_IGN if ignored else signal.default_int_handler
    before = signal.signal(signal.SIGINT, handler)  # a process begins with what its parent ignores
    try:
        return subprocess.run([sys.executable, "-c", SCRIPT, str(patience)], capture_output=True, text=True, timeout=60)
    finally:
        signal.signal(signal.SIGINT, before)


def test_further_ones_disturb_neither_the_tidying_up_nor_the_exit():
    done = ran(patience=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "tidied up\ntold\n", "")


def test_where_the_first_was_in_vain_a_later_one_ends_it_in_one_line():
    done = ran(patience=0.01)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "novelty: interrupted\n")


def test_in_a_process_of_others_everything_is_as_before():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt), interrupts.once(own_process=False):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    assert cli.main(["params", "nobody"]) == 2
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_what_a_shell_has_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts.once(own_process=False):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_beside_the_main_thread_nothing_is_set():
    found = []

    def inside() -> None:
        with interrupts.once(own_process=True):
            found.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [before]


def test_one_that_is_held_comes_afterwards_and_no_process_of_meanwhile_gets_it():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), interrupts.held():
            os.kill(os.getpid(), signal.SIGINT)
            child = subprocess.run(["sh", "-c", "kill -INT $$; echo alive"], capture_output=True, text=True)
            assert child.stdout == "alive\n"
    finally:
        signal.signal(signal.SIGINT, before)
