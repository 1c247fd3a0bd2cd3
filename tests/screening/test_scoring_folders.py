"""A folder of new images becomes a table and a page: every row, every refusal, and what an interruption leaves."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from photos import photos, white
from PIL import Image

from novelty_utils import cli, data, detectors, screening
from novelty_utils.errors import InputError
from novelty_utils.screening import pictures, scoring


@pytest.fixture
def fitted(toy, here) -> detectors.Detector:
    """A detector of grey images in parts.pt; thirty images of the same kind and a white one lie in `new`."""
    photos(here / "good", 40)
    screening.fit(toy.Distance(), "good", "parts.pt", side=6, false_alarms=0.3)
    photos(here / "new", 30, seed=5)
    white(here / "new/odd/white.png")
    return detectors.open("parts.pt")


def table(folder: str = "found") -> pd.DataFrame:
    return pd.read_csv(Path(folder, "scores.csv"), keep_default_na=False)


# --- the table -----------------------------------------------------------------------------------------------------


def test_a_row_per_image_with_its_score_its_place_among_held_out_ones_and_no_note(fitted, capsys):
    assert cli.main(["score", "parts.pt", "folder:new", "--to", "found"]) == 0
    rows, files = table(), [*sorted(Path("new").glob("*.png")), Path("new/odd/white.png")]
    assert list(rows) == ["path", "score", "above_threshold", "p_value", "note"]
    assert rows.path.tolist() == [str(file) for file in files]
    by_hand = fitted.decision_function(data.image_folders.pictures(files, 6))
    assert rows.score.to_numpy() == pytest.approx(by_hand, rel=1e-6)
    assert rows.above_threshold.tolist() == (rows.score > fitted.threshold_).astype(int).tolist()
    assert rows.p_value.tolist() == fitted.p_values(rows.score.to_numpy()).tolist()
    assert set(rows.note) == {""}
    assert rows.score.idxmax() == 30
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("images:    31 scored in ")
    assert lines[0].endswith(" a second")
    assert lines[1] == f"above:     {rows.above_threshold.sum()} of 31 above the threshold"
    assert lines[2:] == ["scores:    found/scores.csv", "report:    found/report.html"]
    assert sorted(path.name for path in Path("found").iterdir()) == ["report.html", "scores.csv"]


def test_batches_do_not_change_the_table(fitted, monkeypatch):
    screening.score(fitted, "new", "whole")
    monkeypatch.setattr(scoring, "BATCH", 4)
    monkeypatch.setattr(pictures, "AHEAD", 2)
    screening.score(fitted, "new", "parts")
    assert table("parts").score.to_numpy() == pytest.approx(table("whole").score.to_numpy(), rel=1e-6)


def test_what_cannot_be_read_is_a_row_counted_at_the_end_and_exit_code_1(fitted, capsys):
    half = Path("new/001.png")
    half.write_bytes(half.read_bytes()[:70])
    Path("new/notes.txt").write_text("no image")
    Path("new/gone.png").symlink_to("nowhere")
    os.mkfifo("new/pipe.png")
    assert cli.main(["score", "parts.pt", "folder:new", "--to", "found"]) == 1
    out, err = capsys.readouterr()
    assert err == "novelty: 4 of 34 files have no score: the column note says why\n"
    assert "images:    30 scored in " in out
    rows = table().set_index("path")
    assert (rows.score == "").sum() == 4
    assert rows.loc["new/001.png", "note"].startswith("is not a readable image (")
    assert "no known image format" in rows.loc["new/notes.txt", "note"]
    assert "No such file" in rows.loc["new/gone.png", "note"]
    assert rows.loc["new/pipe.png", "note"] == "is not a readable image (not a file): repair, convert or delete it"
    assert (rows[rows.score == ""].above_threshold == "").all()
    page = Path("found/report.html").read_text(encoding="utf-8")
    assert "4 files have no score" in page
    assert "<code>new/notes.txt</code>" in page


def test_a_folder_of_which_nothing_can_be_read(fitted):
    Path("bad").mkdir()
    Path("bad/a.png").write_text("no image")
    assert cli.main(["score", "parts.pt", "folder:bad", "--to", "found"]) == 1
    assert "0 of 0 images lie above" in Path("found/report.html").read_text(encoding="utf-8")


def test_a_score_that_is_no_number_is_no_score(fitted, monkeypatch, capsys):
    score = type(fitted).score
    broken = [1, 4]
    monkeypatch.setattr(
        type(fitted),
        "score",
        lambda self, images, index: np.where(np.isin(index, broken), np.nan, score(self, images, index)),
    )
    assert cli.main(["score", "parts.pt", "folder:new", "--to", "found"]) == 1
    rows = table()
    assert rows[rows.score == ""].index.tolist() == broken
    assert set(rows.note[broken]) == {"the detector scores it nan: fit it again"}
    assert "2 of 31 files have no score" in capsys.readouterr().err


def test_one_image(fitted):
    white(Path("one/a.png"))
    assert cli.main(["score", "parts.pt", "folder:one", "--to", "found"]) == 0
    assert table().p_value.tolist() == [1 / 5]


def test_images_of_another_size_or_colour_are_scored_and_told(fitted, toy, here, capsys):
    photos(here / "other/a", 1, seed=7)  # as those fitted
    Image.new("L", (13, 10)).save(here / "other/b.png")
    Image.new("L", (24, 20)).save(here / "other/c.png")
    Image.new("L", (24, 10)).save(here / "other/d.png")
    Image.new("L", (60, 50)).save(here / "other/e.png")
    Image.new("RGB", (12, 10), "red").save(here / "other/f.png")
    Image.new("RGB", (12, 10), "grey").save(here / "other/g.png")
    assert cli.main(["score", "parts.pt", "folder:other", "--to", "found"]) == 0
    notes = table().set_index("path").note
    assert {path[6]: note for path, note in notes.items() if note} == {
        "d": "24 x 10 pixels, fitted on 12 x 10",
        "e": "60 x 50 pixels, fitted on 12 x 10",
        "f": "in colour, fitted on grey: scored in grey",
    }
    assert "unlike:    3 differ from all fitted ones in size or colour" in capsys.readouterr().out
    assert "3 of the images differ from all fitted ones" in Path("found/report.html").read_text(encoding="utf-8")
    photos(here / "colour", 20, mode="RGB")
    model = screening.fit(toy.Distance(), "colour", "colour.pt").model
    screening.score(model, "good", "grey")
    assert set(table("grey").note) == {"grey, fitted on colour"}


def test_16_bits_of_which_few_are_used_are_told(fitted, capsys):
    Path("dark").mkdir()
    for name, size, level in (("a", (10, 12), 4095), ("b", (10, 12), 65535), ("c", (50, 60), 1023)):
        Image.fromarray(np.full(size, level, np.uint16)).save(f"dark/{name}.png")
    assert cli.main(["score", "parts.pt", "folder:dark", "--to", "found"]) == 0
    size = "60 x 50 pixels, fitted on 12 x 10"
    assert table().note.tolist() == ["uses 12 of 16 bits", "", f"{size}; uses 10 of 16 bits"]
    out, err = capsys.readouterr()
    assert "note: 2 images of 16 bits use 12 of them or fewer" in err
    assert "unlike:    1 differ" in out


def test_16_bits_of_an_interrupted_call_are_told_by_the_next(fitted, counted, capsys):
    Image.fromarray(np.full((10, 12), 4095, np.uint16)).save("new/000.png")
    assert cli.main(["score", "parts.pt", "folder:new", "--to", "found"]) == 130
    assert cli.main(["score", "parts.pt", "folder:new", "--to", "found"]) == 0
    assert sum(counted[3:]) == 31 - 8
    assert "note: 1 images of 16 bits use 12 of them" in capsys.readouterr().err


def test_hostile_names_are_whole_in_the_table_and_compute_nothing(fitted, here, monkeypatch):
    names = [
        b'<script>alert(1)"&.png',
        b"two\nlines.png",
        b"back\r.png",
        b"\xff\xe4.png",
        b"=1+1.png",
        b"a,b;'c.png",
        b"\xe2\x80\xae.png",
    ]
    folder = here / "names"
    folder.mkdir()
    for name in names:
        white(Path(os.fsdecode(os.fsencode(folder) + b"/" + name)))
    monkeypatch.chdir(folder)
    screening.score(fitted, ".", here / "found")
    written = sorted(table(here / "found").path)
    told = [
        "./=1+1.png",
        "\\udcff\\udce4.png",
        '<script>alert(1)"&.png',
        "a,b;'c.png",
        "two\nlines.png",
        "back\\r.png",
        "\u202e.png",
    ]
    assert written == sorted(told)
    page = (here / "found/report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&#34;&amp;.png" in page
    assert "two\\nlines.png" in page
    assert "\u202e" not in page


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("score nothing.pt folder:new --to found", "nothing.pt is not a file"),
        ("score new/000.png folder:new --to found", "new/000.png is damaged or no saved detector"),
        ("score parts.pt new --to found", "'new' is not folder:PATH: write folder:new"),
        ("score parts.pt folder:nowhere --to found", "nowhere is not a folder"),
        ("score parts.pt folder:empty --to found", "empty holds no image"),
        ("score parts.pt folder:new", "the following arguments are required: --to"),
        ("score parts.pt folder:new --to new", "'new' is the folder of the images: give another one"),
        ("score parts.pt folder:new --to new/../new/.", "is the folder of the images"),
        ("score parts.pt folder:new --to parts.pt", "is a file; give a folder"),
        ("score parts.pt folder:new --to parts.pt/found", "is a file; give a folder"),
        ("score parts.pt folder:new --to old", "old/scores.csv is there already: give another folder to --to, or"),
        ("score parts.pt folder:new --to /proc/found", "cannot write to /proc/found"),
        (f"score parts.pt folder:new --to {'x' * 300}", "has a part of more than 255 bytes: give a shorter name"),
        (f"score {'x' * 300} folder:new --to found", "has a part of more than 255 bytes: give a shorter name"),
        ("score parts.pt folder:new --to=", "--to: path='' is no path: give one of printable characters"),
        ("score parts.pt folder:new --to found --device cuda", "device='cuda': this machine shows no CUDA GPU"),
        ("score parts.pt folder:new --to found -p rho=5", "unrecognized arguments: -p rho=5"),
    ],
)
def test_a_refusal_is_one_line_and_leaves_nothing_behind(line, told, fitted, here, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (here / "empty").mkdir()
    (here / "old").mkdir()
    (here / "old/scores.csv").write_text("mine")
    before = sorted(here.rglob("*"))
    assert cli.main(line.split()) == 2
    out, err = capsys.readouterr()
    assert told in err
    assert err.count("\n") == 1
    assert out == ""
    assert sorted(here.rglob("*")) == before
    assert (here / "old/scores.csv").read_text() == "mine"


def test_a_detector_of_images_that_no_folder_gives_is_refused(toy, here):
    images = torch.randint(0, 255, (30, 2, 6, 6), dtype=torch.uint8)
    white(here / "new/a.png")
    with pytest.raises(InputError, match=r"fitted on images of shape \(2, 6, 6\), and a folder gives square ones"):
        screening.score(toy.Distance().fit(images), "new", "found")
    screening.score(toy.Distance().fit(images[:, :1]), "new", "found")
    assert table().note.tolist() == [""]  # of tensors nobody knows what files they were


def test_the_results_inside_the_folder_of_the_images_are_no_images(fitted):
    assert cli.main(["score", "parts.pt", "folder:new", "--to", "new/found"]) == 0
    assert cli.main(["score", "parts.pt", "folder:new", "--to", "new/found", "--replace"]) == 0
    Path("linked").symlink_to("new")
    for to in ("new/../new/found", "linked/found", Path("new/found").absolute()):
        assert cli.main(["score", "parts.pt", "folder:new", "--to", str(to), "--replace"]) == 0
    assert len(table("new/found")) == 31


def test_images_in_the_folder_of_the_results_are_scored_too(fitted, monkeypatch):
    monkeypatch.chdir("new/odd")
    for how in ([], ["--replace"]):
        assert cli.main(["score", "../../parts.pt", "folder:..", "--to", ".", *how]) == 0
        assert len(table(".")) == 31


def test_a_home_folder_is_spelled_out(fitted, here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    assert cli.main(["score", "~/parts.pt", "folder:~/new", "--to=~/found"]) == 0
    assert len(table(here / "found")) == 31
    assert not Path("~").exists()


def test_what_may_not_be_read_is_refused_and_named(fitted, capsys, monkeypatch):
    monkeypatch.setattr(
        Path, "read_bytes", lambda self: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
    )
    assert cli.main(["score", "parts.pt", "folder:new", "--to", "found"]) == 2
    assert (
        "detector='parts.pt' cannot be used (Permission denied): check path and permissions" in capsys.readouterr().err
    )


def test_a_folder_that_may_not_be_read_is_named(fitted, monkeypatch):
    walked = Path.iterdir

    def iterdir(self):
        if self.name == "odd":
            raise PermissionError(13, "Permission denied", str(self))
        return walked(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(InputError, match=r"^new/odd cannot be read \(Permission denied\): check the permissions"):
        screening.score(fitted, "new", "found")


def test_what_else_is_in_the_folder_stays(fitted):
    white(Path("found/keep.png"))
    screening.score(fitted, "new", "found")
    assert sorted(path.name for path in Path("found").iterdir()) == ["keep.png", "report.html", "scores.csv"]


# --- what is interrupted -------------------------------------------------------------------------------------------


@pytest.fixture
def counted(fitted, monkeypatch) -> list[int]:
    """How many images each call of decision_function has got, in batches of 4."""
    monkeypatch.setattr(scoring, "BATCH", 4)
    sizes, score = [], type(fitted).decision_function

    def decision_function(self, images):
        sizes.append(len(images))
        if sizes == [4, 4, 4]:
            raise KeyboardInterrupt
        return score(self, images)

    monkeypatch.setattr(type(fitted), "decision_function", decision_function)
    return sizes


@pytest.mark.parametrize("left", ["", "new/008.png,0.12", '"new/0', "new/008.png,1.0,0,0.5,is not a rea", "\0\0\xff\n"])
def test_an_interrupted_call_goes_on_where_it_was_and_tells_the_same(left, fitted, counted, capsys):
    line = ["score", "parts.pt", "folder:new", "--to", "found"]
    assert cli.main(line) == 130
    assert capsys.readouterr().err == "novelty: interrupted; the same command goes on from there\n"
    (unfinished,) = Path("found").iterdir()
    with unfinished.open("a", encoding="latin-1") as file:
        file.write(left)  # as a kill may leave it
    assert cli.main(line) == 0
    assert sum(counted[3:]) == 31 - 8
    assert capsys.readouterr().out.startswith("images:    23 scored in ")
    assert sorted(path.name for path in Path("found").iterdir()) == ["report.html", "scores.csv"]
    screening.score(fitted, "new", "whole")
    for name in ("scores.csv", "report.html"):
        assert Path("found", name).read_text(encoding="utf-8") == Path("whole", name).read_text(encoding="utf-8")


@pytest.mark.parametrize("change", ["image", "more", "detector"])
def test_other_images_or_another_detector_begin_anew(change, fitted, counted, toy):
    assert cli.main(["score", "parts.pt", "folder:new", "--to", "found"]) == 130
    if change == "image":
        white(Path("new/003.png"))
    elif change == "more":
        white(Path("new/extra.png"))
    else:
        screening.fit(toy.Distance(seed=1), "good", "parts.pt", side=6, replace=True)
    assert cli.main(["score", "parts.pt", "folder:new", "--to", "found"]) == 0
    assert sum(counted[3:]) == 31 + (change == "more")
    assert sorted(path.name for path in Path("found").iterdir()) == ["report.html", "scores.csv"]


def test_old_results_stay_until_the_new_ones_are_whole(fitted, counted):
    for name in ("scores.csv", "report.html"):
        Path("found").mkdir(exist_ok=True)
        Path("found", name).write_text("old")
    assert cli.main(["score", "parts.pt", "folder:new", "--to", "found", "--replace"]) == 130
    assert Path("found/scores.csv").read_text() == Path("found/report.html").read_text() == "old"
    assert cli.main(["score", "parts.pt", "folder:new", "--to", "found"]) == 0  # it was allowed when it began
    assert len(table()) == 31


def test_two_at_once_do_not_get_into_each_other_s_way(fitted, monkeypatch, toy):
    told, score = [], type(fitted).decision_function

    def decision_function(self, images):
        with pytest.raises(InputError) as refusal:
            screening.score(self, "new", "found")
        told.append(str(refusal.value))
        return score(self, images)

    monkeypatch.setattr(type(fitted), "decision_function", decision_function)
    screening.score(fitted, "new", "found")
    assert told == ["--to 'found' is being written by another process: give another folder, or wait"]


def test_a_disk_that_gets_full_ends_in_one_line_and_keeps_what_is_done(fitted, monkeypatch, capsys):
    add, calls = scoring._add, []

    def full(stream, rows):
        calls.append(1)
        if len(calls) == 3:  # the head of the table, a batch, and now
            raise OSError(28, "No space left on device")
        add(stream, rows)

    monkeypatch.setattr(scoring, "BATCH", 4)
    monkeypatch.setattr(scoring, "_add", full)
    assert cli.main(["score", "parts.pt", "folder:new", "--to", "found"]) == 2
    assert "cannot write to found: No space left on device" in capsys.readouterr().err
    assert cli.main(["score", "parts.pt", "folder:new", "--to", "found"]) == 0
    assert capsys.readouterr().out.startswith("images:    27 scored in ")


KILLED = """
import sys, time
from novelty_utils import cli, detectors
from novelty_utils.screening import scoring
scoring.BATCH = 4
score = detectors.Detector.decision_function
detectors.Detector.decision_function = lambda self, images: time.sleep(0.2) or score(self, images)
sys.exit(cli.main("score parts.pt folder:new --to found --device cpu".split()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_is_gone_on_from(how, here):
    photos(here / "good", 40)
    screening.fit(screening.choose("pca", {"components": "5"}), "good", "parts.pt")
    photos(here / "new", 40, seed=5)
    process = subprocess.Popen([sys.executable, "-c", KILLED], stderr=subprocess.PIPE)
    while not any(file.read_text().count("\n") > 8 for file in Path().glob("found/*.csv")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode == (-9 if how == signal.SIGKILL else 130)
    assert not Path("found/scores.csv").exists()
    made = screening.score(detectors.open("parts.pt", "cpu"), "new", "found")
    assert 0 < made.done <= 40 - 8
    screening.score(detectors.open("parts.pt", "cpu"), "new", "whole")
    assert table().path.tolist() == table("whole").path.tolist()
    assert np.allclose(table().score, table("whole").score)


# --- looking for images ---------------------------------------------------------------------------------------------


def test_folders_come_in_the_order_of_names_and_may_lie_deep_in_each_other(here):
    deep, depth = here / "deep", sys.getrecursionlimit() + 100
    for file in ("deep/b/2.png", "deep/b/10.png", "deep/a.png", "deep/c.png"):
        white(here / file)
    folders = [deep / "b"]
    for _ in range(depth):
        folders.append(folders[-1] / "d")
        folders[-1].mkdir()
    last = white(folders[-1] / "e.png")
    try:
        found = pictures.under(deep)
    finally:  # what cleans up calls itself
        last.unlink()
        for folder in folders[:0:-1]:
            folder.rmdir()
    assert found == [deep / "a.png", deep / "b/10.png", deep / "b/2.png", last, deep / "c.png"]


# --- reading -------------------------------------------------------------------------------------------------------


def test_few_images_are_in_memory_and_all_come_in_order(here, monkeypatch):
    files = photos(here / "new", 60)
    monkeypatch.setattr(pictures, "AHEAD", 5)
    asked = []

    def one_by_one():
        for file in files:
            asked.append(file)
            yield file

    read = pictures.read(one_by_one(), 4)
    for n, one in enumerate(read, start=1):
        assert len(asked) <= n + 5
        assert np.array_equal(one.small, pictures.small(pictures.upright(files[n - 1]), 4))
    assert n == 60


def test_the_table_is_read_by_python_itself_too(fitted):
    screening.score(fitted, "new", "found")
    with Path("found/scores.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["score"]) for row in rows] == table().score.tolist()


@pytest.mark.parametrize(("side", "count"), [(32, 256), (512, 256), (2**12, 4), (2**13, 1), (10**6, 1)])
def test_the_larger_the_images_of_a_detector_the_fewer_are_held_at_a_time(side, count):
    assert pictures.at_once(256, side) == count
