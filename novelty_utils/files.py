"""Paths as users give them; files written whole or not at all, no empty folder left, a folder kept to one process."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from novelty_utils.errors import InputError

LONGEST_NAME = 255  # bytes of the name of a file or folder, on every common file system
ATTEMPTS = 5  # at writing a file whose folder somebody removes
TEMPORARY = 10  # bytes that it has more while it is written


def user_path(name: str, text: str) -> Path:
    """A path as a user gave it as `name`, with a `~` spelled out; InputError for what cannot be one."""
    try:
        if not text.strip() or not text.isprintable():
            raise InputError(f"{name}={text!r} is no path: give one of printable characters")
        path = Path(text).expanduser()
        if any(len(os.fsencode(part)) > LONGEST_NAME for part in path.parts):
            raise InputError(f"{name}={text!r} has a part of more than {LONGEST_NAME} bytes: give a shorter name")
        return path
    except RuntimeError as error:
        raise InputError(f"{name}={text!r}: there is no home folder of that name; give the whole path") from error


@contextlib.contextmanager
def reachable(name: str, value: str) -> Iterator[None]:
    """Turn what the system says of a path, no permission or a name too long, into an InputError that names it."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{name}={value!r} cannot be used ({error.strerror}): check path and permissions") from error


def short_name(text: str, longest: int) -> str:
    """`text` where it has at most so many bytes; else its beginning and a digest that tells it from its like."""
    if len(os.fsencode(text)) <= longest:
        return text
    digest = hashlib.sha256(os.fsencode(text)).hexdigest()[:10]
    beginning = os.fsencode(text)[: longest - len(digest) - 1]
    return f"{beginning.decode(errors='ignore')}-{digest}"


def try_writing(folder: str | Path) -> None:
    """Raise InputError if no file can be written below this folder, and leave nothing behind."""
    folder = Path(folder)
    there = first_there(folder.absolute())
    probe = folder / f".writable-{secrets.token_hex(4)}"
    try:
        write_atomically(probe, lambda file: file.write(b"?"))
        probe.unlink()
    except InputError as error:
        raise InputError(str(error).replace(str(probe), f"to {folder}")) from error
    finally:
        remove_empty(folder, there)


def first_there(path: Path) -> Path:
    """The path, or the nearest folder above that there is. Raises OSError where one cannot look."""
    for one in (path, *path.parents):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            one.stat()
            return one
    return path


def is_folder(path: Path) -> bool:
    """Whether there is a folder. Raises OSError where one cannot look: `Path.is_dir()` says no from Python 3.14 on."""
    return first_there(path) == path and path.is_dir()


def write_atomically(path: str | Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write(file)` fill a temporary file beside `path`, then rename it: a reader never sees half of it.

    The folder is made if need be, and made anew, with another call of `write`, where somebody removes it meanwhile: of
    two runs that do the same the first one to end tidies up. Raises InputError, and leaves nothing behind, if the
    folder cannot be written.
    """
    path = Path(path)
    refuse_special(path, f"cannot write {path}")
    for left in reversed(range(ATTEMPTS)):
        try:
            _write(path, write)
            return
        except FileNotFoundError as error:
            if not left:
                raise _unwritable(path, error) from error
        except OSError as error:
            raise _unwritable(path, error) from error


def refuse_special(path: Path, told: str) -> None:
    """Raise InputError for a device, a pipe or a socket, whose place a file that is renamed would take: /dev/null's."""
    with contextlib.suppress(OSError):  # what cannot be looked at is told by who writes it
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InputError(f"{told}: it is a device or a pipe, and no file; give another name")


def _write(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # a path that could not be written may not be one that can be looked at
            temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot write {path}: {error.strerror or error}; choose a folder you can write to")


def remove_empty(folder: Path, there: Path) -> None:
    """Remove a folder and those above it as far as they are empty, but not `there`, which was there before."""
    folder = folder.absolute()
    for one in (folder, *folder.parents):
        if one == there.absolute():
            return
        with contextlib.suppress(OSError):  # it is not empty, or was never made
            one.rmdir()


@contextlib.contextmanager
def locked(folder: Path, told: str) -> Iterator[None]:
    """Keep a folder to this process, for as long as it runs. Raises InputError with `told` if another one has it."""
    try:
        import fcntl
    except ImportError:  # on Windows nothing keeps two apart
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # of a file system without locks
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(told) from None
        yield
    finally:
        os.close(handle)
