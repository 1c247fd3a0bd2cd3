"""A process for one submission that sees Python, the installed package and nothing else, and what it may use up.

Bubblewrap builds the sandbox, without root: namespaces of its own for files, processes, network and users; an empty
HOME and /tmp in memory that end with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import cloudpickle
import psutil

INSIDE = Path(__file__).with_name("student.py")
REPLY = 32 * 2**20  # bytes; nothing in the course is near it
MEMORY = 3 * 2**30  # bytes of all processes of a submission together
PROCESSES = 64
START = 60.0  # seconds of processor time to import what it may use, on a busy machine
GRACE = 5.0  # seconds of processor time to react to an interrupt
EVERY = 0.2  # seconds between two looks at what it uses
PATIENCE = 10  # a request may last so many times its processor time by the clock: sleep, or a busy machine


class SandboxError(RuntimeError):
    """There is no sandbox here: one line that says what is missing. Nothing is run without one."""


class GoneError(RuntimeError):
    """The submission's process has ended. `slow` if time ran out, so that a reader should decide."""

    def __init__(self, why: str, *, slow: bool = False) -> None:
        super().__init__(why)
        self.slow = slow


class FailedError(RuntimeError):
    """The submission's code raised an error, told in `about`: its name, text and trace. `slow` as in GoneError."""

    def __init__(self, about: dict, *, slow: bool = False) -> None:
        super().__init__(
            f"{about['name']}: {about['text']}" if about["text"] else about["name"]
        )
        self.about, self.slow = about, slow


def command(packages: Path) -> list[str]:
    """The words that start Python in a sandbox in which `packages` can be imported."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise SandboxError(
            "grading needs bubblewrap: apt install bubblewrap, or your system's package of that name"
        )
    prefixes = dict.fromkeys(
        str(Path(p).resolve()) for p in (sys.prefix, sys.base_prefix)
    )
    folders = ["/usr", *(p for p in prefixes if not p.startswith("/usr/"))]
    for folder in folders:
        if packages.resolve().is_relative_to(folder):
            raise SandboxError(
                f"the course folder must not lie in {folder}, which a submission can read"
            )
    words = [
        bwrap,
        "--unshare-all",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
    ]
    words += ["--uid", "1000", "--gid", "1000", "--hostname", "course", "--clearenv"]
    for folder in folders:
        words += ["--ro-bind", folder, folder]
    for link in ("/bin", "/sbin", "/lib", "/lib64"):
        if os.path.islink(link):
            words += ["--symlink", os.readlink(link), link]
        elif os.path.isdir(link):
            words += ["--ro-bind", link, link]
    for file in (
        "/etc/ld.so.cache",
        "/etc/alternatives",
        "/etc/fonts",
        "/proc/cpuinfo",
        "/proc/meminfo",
    ):
        words += ["--ro-bind-try", file, file]
    words += [
        "--dev",
        "/dev",
        "--size",
        str(100 * 2**20),
        "--tmpfs",
        "/tmp",
        "--dir",
        "/tmp/home",
    ]
    words += [
        "--ro-bind",
        str(packages),
        "/packages",
        "--ro-bind",
        str(INSIDE),
        "/student.py",
    ]
    environment = {
        "HOME": "/tmp/home",
        "USER": "student",
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": "/packages",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        **dict.fromkeys(
            ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
        ),
    }
    for name, value in environment.items():
        words += ["--setenv", name, value]
    python = Path(sys.executable)  # itself a link, out of its environment
    python = python.parent.resolve() / python.name
    return [*words, "--chdir", "/tmp/home", str(python), "-s", "/student.py"]


class Sandbox:
    """One submission's process; a context. `ask` sends a request and waits for the reply."""

    def __init__(self, packages: Path, seconds: float) -> None:
        self.seconds = seconds  # of processor time for one request
        self.process = subprocess.Popen(
            command(packages),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.seen: dict[
            int, float
        ] = {}  # processor seconds of each process, the ended ones too
        self.python: psutil.Process | None = None
        self.ended: GoneError | None = None
        self.said = ""  # on stderr, once it is closed

    def __enter__(self) -> Sandbox:
        try:
            self.receive(START)
        except GoneError as gone:
            why = self.said or gone
            raise SandboxError(f"the sandbox did not start: {why}") from None
        self.python = self.family()[-1]
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes of the sandbox: the first of them takes all others with it."""
        for process in self.family()[1:2] or self.family():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(ValueError):  # closed before
            os.set_blocking(self.process.stderr.fileno(), False)
            said = self.process.stderr.read(2000) or b""
            self.said = said.decode("utf-8", "replace").strip()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()

    def family(self) -> list[psutil.Process]:
        """bubblewrap, its first process inside, and what that has started."""
        try:
            head = psutil.Process(self.process.pid)
            return [head, *head.children(recursive=True)]
        except psutil.Error:
            return []

    def used(self) -> float:
        """Processor seconds so far. Ends the sandbox if memory or processes are beyond their limits."""
        memory, family = 0, self.family()
        for process in family:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                self.seen[process.pid] = times.user + times.system
                memory += process.memory_info().rss
        if len(family) > PROCESSES or memory > MEMORY:
            what = (
                f"more than {PROCESSES} processes"
                if len(family) > PROCESSES
                else f"{memory >> 20} MB of memory"
            )
            self.end(f"it took {what}")
        return sum(self.seen.values())

    def end(self, why: str, *, slow: bool = False) -> None:
        self.ended = GoneError(why, slow=slow)
        self.close()
        raise self.ended

    def ask(self, *request: object) -> object:
        """The reply to a request. Raises FailedError if the submission's code did, GoneError if its process is no more."""
        if self.ended:
            raise self.ended
        data = cloudpickle.dumps(request)
        try:
            self.process.stdin.write(struct.pack(">Q", len(data)) + data)
            self.process.stdin.flush()
        except OSError:
            self.end("its process ended")
        reply, slow = self.receive(self.seconds)
        if not isinstance(reply, dict):
            self.end("its process sent something else than a reply")
        if "failed" in reply:
            about = reply["failed"] if isinstance(reply["failed"], dict) else {}
            raise FailedError(
                {k: str(about.get(k, ""))[:20_100] for k in ("name", "text", "trace")},
                slow=slow,
            )
        if slow and isinstance(reply.get("ok"), dict):
            reply["ok"]["slow"] = True
        return reply.get("ok")

    def receive(self, seconds: float) -> tuple[object, bool]:
        """(reply, whether it had to be interrupted), within so many seconds of processor time."""
        pipe, told, wanted = self.process.stdout.fileno(), b"", None
        clock, looked, start, interrupted = (
            time.monotonic(),
            time.monotonic(),
            None,
            False,
        )
        while wanted is None or len(told) < wanted:
            if select.select([pipe], [], [], EVERY)[0]:
                got = os.read(pipe, 2**20)
                if not got:
                    self.end("its process ended", slow=interrupted)
                told += got
                if wanted is None and len(told) >= 8:
                    wanted = 8 + struct.unpack(">Q", told[:8])[0]
                    if wanted > REPLY:
                        self.end(f"it sent a result of {wanted >> 20} MB")
            now = time.monotonic()
            if now - looked < EVERY:  # most replies come before anybody has to look
                continue
            looked = now
            start = self.used() if start is None else start
            used, passed = self.used() - start, now - clock
            if used > seconds + GRACE or passed > PATIENCE * (seconds + GRACE):
                self.end("it could not be interrupted", slow=True)
            late = used > seconds or passed > PATIENCE * seconds
            if late and not interrupted and self.python:
                interrupted = True
                with contextlib.suppress(psutil.Error):
                    self.python.send_signal(signal.SIGINT)
        try:
            return json.loads(told[8:wanted]), interrupted
        except (ValueError, RecursionError):
            self.end("its process sent something else than a reply")
