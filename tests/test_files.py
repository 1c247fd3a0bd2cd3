"""A file is there whole or not at all."""

import os
import shutil
from pathlib import Path

import pytest

from novelty_utils.errors import InputError, visible
from novelty_utils.files import locked, remove_empty, short_name, try_writing, write_atomically


def half_then(error: BaseException):
    def write(file) -> None:
        file.write(b"half")
        raise error

    return write


def test_it_writes_makes_the_folder_and_replaces(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    write_atomically(path, lambda file: file.write(b"first"))
    write_atomically(str(path), lambda file: file.write(b"second"))
    assert path.read_bytes() == b"second"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_who_may_read_it_is_for_the_umask_to_say(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "a.txt", lambda file: None)
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(1)])
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with pytest.raises(type(error)):
        write_atomically(path, half_then(error))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("times", "there"), [(1, True), (4, True), (99, False)])
def test_a_folder_that_another_run_tidies_away_is_made_anew(tmp_path, times, there):
    """Two identical runs share their checkpoints; the first to end deletes them while the other one writes."""
    path, calls = tmp_path / "scratch" / "a.pt", []

    def write(file) -> None:
        calls.append(file.write(b"state"))
        if len(calls) <= times:
            shutil.rmtree(path.parent)

    if there:
        write_atomically(path, write)
        assert path.read_bytes() == b"state"
    else:
        with pytest.raises(InputError, match=r"cannot write .*a\.pt: No such file or directory"):
            write_atomically(path, write)


def test_nobody_sees_half_a_file(tmp_path):
    path = tmp_path / "a.txt"
    seen = []

    def write(file) -> None:
        file.write(b"half")
        file.flush()
        seen.append(path.exists())

    write_atomically(path, write)
    assert seen == [False]


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="No space left on device; choose a folder") as refused:
        write_atomically(tmp_path / "a.txt", half_then(OSError(28, "No space left on device")))
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot write .*file/a\.txt"):
        write_atomically(tmp_path / "file" / "a.txt", lambda file: None)


def test_a_folder_in_the_place_of_the_file(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        write_atomically(tmp_path / "a.txt", lambda file: None)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_folders_are_removed_up_to_what_was_there_or_is_not_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    remove_empty(Path("a/b/c/d"), Path("a"))
    assert list(tmp_path.rglob("*")) == [tmp_path / "a"]
    (tmp_path / "a" / "kept" / "b").mkdir(parents=True)
    (tmp_path / "a" / "kept" / "file").touch()
    remove_empty(Path("a/kept/b"), tmp_path)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a", tmp_path / "a" / "kept", tmp_path / "a" / "kept" / "file"]


def test_a_name_that_is_too_long_ends_in_a_digest_of_all_of_it():
    assert short_name("x" * 50, 50) == "x" * 50
    names = [short_name(text, 50) for text in ("x" * 51, "x" * 52, "ü" * 26, "a" + "ü" * 26)]  # counted in bytes
    assert len(set(names)) == 4
    assert all(len(name.encode()) in (49, 50) for name in names)


def test_where_nothing_can_be_written_is_found_by_writing(tmp_path):
    with pytest.raises(InputError, match=r"^cannot write to /proc/x: .*; choose a folder you can write to$"):
        try_writing("/proc/x")  # of which `os.access` says that root may write there
    try_writing(tmp_path / "new" / "deeper")
    try_writing(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_kept_to_one_at_a_time_and_free_again_afterwards(tmp_path):
    with locked(tmp_path, "it is taken"), pytest.raises(InputError, match="taken"), locked(tmp_path, "it is taken"):
        pass
    with locked(tmp_path, "it is taken"):
        pass
    with pytest.raises(KeyError), locked(tmp_path, "it is taken"):
        raise KeyError
    with locked(tmp_path, "it is taken"):
        pass


def test_what_cannot_be_seen_is_spelled_out():
    assert visible("größe 1.png") == "größe 1.png"
    assert visible("a\nb\x1b[31m\u202e\udcff.png") == "a\\nb\\x1b[31m\\u202e\\udcff.png"


def test_a_pipe_or_a_device_is_not_replaced_by_a_file(tmp_path):
    """As root, /dev/null itself could be."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"^cannot write .*pipe: it is a device or a pipe, and no file"):
        write_atomically(tmp_path / "pipe", lambda file: file.write(b"x"))
    assert (tmp_path / "pipe").is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
