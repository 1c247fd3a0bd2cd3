"""Score a folder of new images: a table with a row per image, and a page that shows what was found.

The table grows batch by batch in a file of its own, so that memory stays bounded and an interrupted call goes on.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import math
import os
import time
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import torch

from novelty_utils.data import image_folders
from novelty_utils.detectors import Detector
from novelty_utils.errors import InputError, visible
from novelty_utils.files import first_there, locked, reachable, remove_empty, try_writing, write_atomically
from novelty_utils.progress import tqdm
from novelty_utils.screening import pictures, report
from novelty_utils.screening.pictures import Picture
from novelty_utils.screening.report import Found
from novelty_utils.training import checkpoints

COLUMNS = ["path", "score", "above_threshold", "p_value", "note"]
TABLE, PAGE, UNFINISHED = "scores.csv", "report.html", "scores.*.unfinished.csv"
BATCH = 256  # images scored at a time
FORMULA = tuple("=+-@\t")  # a spreadsheet would compute a cell that begins with one of them


class Scored(NamedTuple):
    """What was found; how many images this call itself scored, and its seconds; where table and page lie."""

    found: Found
    done: int
    seconds: float
    table: Path
    page: Path

    def told(self) -> list[str]:
        """What there is to say: how many, how fast, what was found, and where it lies."""
        found, speed = self.found, self.done / self.seconds
        lines = [
            f"images:    {self.done} scored in {self.seconds:.1f} s, {speed:.0f} a second",
            f"above:     {found.above} of {len(found.scored)} above the threshold",
        ]
        if found.unlike:
            lines += [f"unlike:    {found.unlike} differ from all fitted ones in size or colour: see the column note"]
        return [*lines, f"scores:    {visible(self.table)}", f"report:    {visible(self.page)}"]


def score(model: Detector, folder: str | Path, to: str | Path, *, replace: bool = False) -> Scored:
    """Write `to`/scores.csv and `to`/report.html about every image under `folder`; both appear when they are whole.

    scores.csv has a row per image, folder by folder in the order of names: path, score, above_threshold (1 or 0),
    p_value among the held-out normal images, note. An image that cannot be read has only the note that says why.
    An interrupted call goes on when it is repeated with the same detector and images. Raises InputError for a folder
    without images, a detector whose images no folder can give, and a `to` that holds results already unless `replace`,
    that is the folder of images itself, that cannot be written, or that another process is writing.
    """
    folder, to = Path(folder), Path(to)
    _check_detector(model)
    before = _check_target(folder, to)
    files = pictures.under(folder, without=[to / TABLE, to / PAGE, *to.glob(UNFINISHED)])
    unfinished = to / UNFINISHED.replace("*", _key(model, files))
    started = time.perf_counter()
    try:
        with _reserved(to, unfinished, before, replace):
            done = _table(model, files, unfinished)
            seconds = time.perf_counter() - started
            found = _found(model, folder, files, unfinished)
            image_folders.tell_dark(found.bits)
            done = int((found.scored >= len(files) - done).sum())  # of the rows of this call those with a score
            report.write(to / PAGE, model, found)
            unfinished.replace(to / TABLE)
            for other in to.glob(UNFINISHED):  # of what this table is instead of
                other.unlink()
    except KeyboardInterrupt:
        told = "interrupted; the same command goes on from there" if unfinished.exists() else ""
        raise KeyboardInterrupt(told) from None
    return Scored(found, done, seconds, to / TABLE, to / PAGE)


# --- what is checked first -----------------------------------------------------------------------------------------


def _check_detector(model: Detector) -> None:
    c, height, width = model.shape
    if height != width or c not in (1, 3):
        told = f"images of shape {tuple(model.shape)}, and a folder gives square ones of 1 or 3 channels"
        raise InputError(f"this {type(model).__name__} was fitted on {told}: call decision_function yourself")


def _check_target(folder: Path, to: Path) -> Path:
    """Raise InputError where the results cannot lie; the nearest folder that is there already."""
    with reachable("--to", str(to)):
        there = first_there(to.absolute())
    if not there.is_dir():
        raise InputError(f"--to {str(to)!r}: {there} is a file; give a folder")
    if to.exists() and to.samefile(folder):
        raise InputError(f"--to {str(to)!r} is the folder of the images: give another one")
    return there


@contextlib.contextmanager
def _reserved(to: Path, unfinished: Path, before: Path, replace: bool) -> Iterator[None]:
    """The folder, made, free of results or meant to get new ones, and kept to this process; it goes if left empty."""
    _check_free(to, unfinished, replace)
    try_writing(to)
    try:
        to.mkdir(parents=True, exist_ok=True)
        with locked(to, f"--to {str(to)!r} is being written by another process: give another folder, or wait"):
            try:
                _check_free(to, unfinished, replace)  # another process may just have finished
                yield
            finally:
                remove_empty(to, before)
    except OSError as error:
        raise InputError(f"cannot write to {to}: {error.strerror}; make room, or choose another folder") from error


def _check_free(to: Path, unfinished: Path, replace: bool) -> None:
    there = [to / name for name in (TABLE, PAGE) if (to / name).exists()]
    if there and not (replace or unfinished.exists()):
        raise InputError(f"{there[0]} is there already: give another folder to --to, or --replace")


def _key(model: Detector, files: Sequence[Path]) -> str:
    """Changes with the detector and with every image."""
    tensors = [*model.network.state_dict().values(), *model.fitted.values(), torch.from_numpy(model.held_out_scores_)]
    seen = hashlib.sha256(f"{model!r} {model.threshold_} {checkpoints.digest(tensors)}".encode())
    for file in files:
        seen.update(os.fsencode(file) + b"\0")
        with contextlib.suppress(OSError):
            about = file.stat()
            seen.update(f"{about.st_size} {about.st_mtime_ns}".encode())
    return seen.hexdigest()[:16]


# --- the table -----------------------------------------------------------------------------------------------------


def _table(model: Detector, files: Sequence[Path], path: Path) -> int:
    """Bring an unfinished table to its end; how many rows this call has added."""
    rows = _rows_there(path, files)
    done = len(rows)
    whole = io.StringIO(newline="")
    _add(whole, [COLUMNS, *rows])
    write_atomically(path, lambda file: file.write(whole.getvalue().encode()))  # without what a kill has cut off
    with path.open("a", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        bar = tqdm(total=len(files), initial=done, desc="score", unit="image", leave=False)
        with bar, contextlib.closing(pictures.read(files[done:], model.shape[1])) as waiting:
            while part := list(islice(waiting, pictures.at_once(BATCH, model.shape[1]))):
                _add(stream, _rows(model, files[done : done + len(part)], part))
                done += len(part)
                bar.update(len(part))
    return done - len(rows)


def _add(stream: IO[str], rows: Sequence[Sequence[object]]) -> None:
    csv.writer(stream, lineterminator="\n").writerows(rows)
    stream.flush()


def _rows_there(path: Path, files: Sequence[Path]) -> list[list[str]]:
    """The rows that an earlier call has written whole."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    found = list(csv.reader(io.StringIO(text, newline="")))[1:]
    found = found if text.endswith("\n") else found[:-1]
    whole = [len(row) == len(COLUMNS) and row[0] == told(file) for row, file in zip(found, files, strict=False)]
    return found[: whole.index(False) if False in whole else len(whole)]


def _rows(model: Detector, files: Sequence[Path], part: Sequence[Picture | InputError]) -> list[list[object]]:
    read = [one for one in part if isinstance(one, Picture)]
    pixels = pictures.pixels([one.small for one in read], model.shape[0]) if read else None
    scores = np.zeros(0) if pixels is None else model.decision_function(pixels)
    numbers = iter(zip(scores.tolist(), model.p_values(scores).tolist(), strict=True))
    rows: list[list[object]] = []
    for file, one in zip(files, part, strict=True):
        if isinstance(one, InputError):
            rows.append([told(file), "", "", "", str(one).removeprefix(f"{file} ")])
        else:
            s, p = next(numbers)
            if math.isfinite(s):
                rows.append([told(file), repr(s), int(s > model.threshold_), repr(p), _note(model, one)])
            else:  # of weights that are no numbers
                rows.append([told(file), "", "", "", f"the detector scores it {s}: fit it again"])
    return rows


def told(file: Path) -> str:
    """A path for a table: what is no UTF-8, or ends a line where nothing quotes it, spelled out; no formula."""
    text = str(file).encode("utf-8", "backslashreplace").decode().replace("\r", "\\r")
    return f"./{text}" if text.startswith(FORMULA) else text


def _note(model: Detector, one: Picture) -> str:
    """In what an image differs from all that the detector was fitted on, where that is known; if it is dark by its
    bits."""
    notes, about = [], model.about
    if model.shape[0] == 1 and one.small.mode == "RGB" and np.ptp(np.asarray(one.small), axis=2).any():
        notes.append("in colour, fitted on grey: scored in grey")
    if model.shape[0] == 3 and one.small.mode == "L" and about.get("grey") == 0:
        notes.append("grey, fitted on colour")
    if "aspects" in about and not _alike(one.size, about):
        ends = [f"{w} x {h}" for w, h in zip(about["widths"], about["heights"], strict=True)]
        seen = " to ".join(dict.fromkeys(ends))  # once where all have one size
        notes.append(f"{one.size[0]} x {one.size[1]} pixels, fitted on {seen}")
    if bits := image_folders.few_bits(one.level):
        notes.append(report.FEW_BITS.format(bits))
    return "; ".join(notes)


def _alike(size: tuple[int, int], about: dict[str, list[float]]) -> bool:
    """A shape within a tenth, and a size within a factor of 2, of those fitted."""
    (low, high), aspect = about["aspects"], size[0] / size[1]
    sides = zip(size, (about["widths"], about["heights"]), strict=True)
    return low / 1.1 <= aspect <= high * 1.1 and all(a / 2 <= side <= b * 2 for side, (a, b) in sides)


def _found(model: Detector, folder: Path, files: Sequence[Path], path: Path) -> Found:
    """What the page needs of a table: of each image the score, NaN where it has none, and the notes."""
    scores, notes = array("d"), {}
    with path.open(encoding="utf-8", newline="") as stream:
        for number, row in enumerate(islice(csv.reader(stream), 1, None)):
            scores.append(float(row[1]) if row[1] else np.nan)
            if row[4]:
                notes[number] = row[4]
    return Found(folder, files, np.asarray(scores), notes, model.threshold_)
