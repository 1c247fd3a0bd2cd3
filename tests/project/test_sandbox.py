"""A sandbox that does not start is told in one line, whatever the cause; starting is not paid from a cell's time."""

import sys
from pathlib import Path

import pytest
from grading import sandbox

READY = "import os, time; time.sleep({}); os.write(1, (2).to_bytes(8, 'big') + b'{{}}'); time.sleep(60)"


def starts(code, monkeypatch):
    monkeypatch.setattr(sandbox, "command", lambda packages: [sys.executable, "-c", code])
    with sandbox.Sandbox(Path("packages"), 0.1) as student:
        return student.process.poll() is None


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import sys; sys.exit('bwrap: no permissions')", "the sandbox did not start: bwrap: no permissions"),
        ("pass", "the sandbox did not start: its process ended"),
        ("while True: pass", "the sandbox did not start: it could not be interrupted"),
    ],
)
def test_what_does_not_start_is_told(code, told, monkeypatch):
    monkeypatch.setattr(sandbox, "START", 0.1)
    monkeypatch.setattr(sandbox, "GRACE", 0.1)
    with pytest.raises(sandbox.SandboxError) as error:
        starts(code, monkeypatch)
    assert str(error.value) == told


def test_a_slow_start_is_no_failure(monkeypatch):
    monkeypatch.setattr(sandbox, "GRACE", 0.1)
    assert starts(READY.format(3), monkeypatch)  # the clock alone may last ten times 0.1 + 0.1 seconds for a cell


def test_an_environment_behind_a_link_is_found_inside(tmp_path, monkeypatch):
    (tmp_path / "env").symlink_to(Path(sys.prefix).resolve())
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "env"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "env" / "bin" / "python"))
    *words, python, _, _ = sandbox.command(tmp_path / "packages")
    seen = [words[i + 2] for i, word in enumerate(words) if word == "--ro-bind"]
    assert any(Path(python).is_relative_to(folder) for folder in seen)
