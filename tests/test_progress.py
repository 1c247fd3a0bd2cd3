"""The progress bar: live on a terminal and in a notebook, sparing in a log."""

import io
from pathlib import Path

import pytest
from tqdm import std

import novelty_utils
from novelty_utils.progress import tqdm

PACKAGE = Path(novelty_utils.__file__).parent


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Cell(io.StringIO):
    __module__ = "ipykernel.iostream"


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(std, "time", lambda: now[0])
    monkeypatch.setattr(std.tqdm, "monitor_interval", 0)  # no thread that looks at the real time
    return now


def lines(file: io.StringIO, clock: list[float], seconds: float, **how) -> list[str]:
    """What a bar writes that moves a hundred times a second."""
    with tqdm(total=round(100 * seconds), desc="train", file=file, leave=False, **how) as bar:
        for _ in range(bar.total):
            clock[0] += 0.01
            bar.update(1)
    return [line for line in file.getvalue().split("\r") if line.strip()]


@pytest.mark.parametrize("how", [{}, {"delay": 2}])
def test_a_log_has_a_line_every_half_minute_at_most(clock, how):
    found = lines(io.StringIO(), clock, 100, **how)
    assert [line.split("|")[0] for line in found] == ["train:  30%", "train:  60%", "train:  90%"]


def test_a_log_does_not_tell_of_what_is_quick(clock):
    assert lines(io.StringIO(), clock, 29) == []


@pytest.mark.parametrize("watched", [Terminal, Cell])
def test_the_bar_moves_where_somebody_watches(clock, watched):
    assert len(lines(watched(), clock, 100)) > 500


def test_standard_error_is_looked_at_where_no_file_is_given(clock, capsys):
    with tqdm(total=5000, desc="train") as bar:
        clock[0] += 10
        bar.update(1000)
    assert capsys.readouterr().err == ""


def test_no_other_bar_is_used():
    files = [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "notebooks").glob("*.py")]
    for file in files:
        own = file == PACKAGE / "progress.py"
        assert own or "from tqdm" not in file.read_text(encoding="utf-8"), f"{file}: take novelty_utils.progress.tqdm"
