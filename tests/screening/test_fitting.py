"""A folder of normal images becomes a file with a detector: what it says, refuses, keeps, and survives."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from photos import photos, white
from PIL import Image
from toy_detectors import changed

from novelty_utils import cli, data, detectors, screening, training
from novelty_utils.errors import InputError
from novelty_utils.training import checkpoints


def test_a_folder_is_fitted_as_its_images_are_by_hand(toy, here):
    files = photos(here / "good", 30)
    made = screening.fit(toy.Distance(power=0.5), "good", "parts.pt", side=6, false_alarms=0.25)
    by_hand = toy.Distance(power=0.5).fit(data.image_folders.pictures(files, 6), false_alarms=0.25)
    again = detectors.open("parts.pt")
    for model in (made.model, again):
        assert model.arguments() == by_hand.arguments()
        assert np.array_equal(model.held_out_scores_, by_hand.held_out_scores_)
        assert model.threshold_ == by_hand.threshold_
    assert again.about == {
        **{"fitted": 27, "held_out": 3, "false_alarms": 0.25, "grey": 30},
        **{"widths": [12, 12], "heights": [10, 10], "aspects": [1.2, 1.2]},
    }
    assert sorted(path.name for path in here.iterdir()) == ["good", "parts.pt"]


def test_folders_inside_are_looked_into_and_clutter_is_not(toy, here):
    for n, folder in enumerate(("good", "good/a", "good/a/b")):
        photos(here / folder, 10, seed=n)
    (here / "good/.hidden").write_text("no image")
    (here / "good/a/Thumbs.db").write_text("no image")
    (here / "good/a/back").symlink_to(here / "good")
    (here / "elsewhere").symlink_to(here / "good/a/b")
    made = screening.fit(toy.Distance(), "good", "good/parts.pt")
    assert made.model.about["fitted"] == 27
    made = screening.fit(toy.Distance(), "good", "good/parts.pt", replace=True)  # which is no image of the folder
    assert made.model.about["fitted"] == 27
    photos(here / "elsewhere", 20, seed=9)
    assert screening.fit(toy.Distance(), "elsewhere", "more.pt").model.about["fitted"] == 18


def test_the_sides_and_colours_of_a_folder(toy, here):
    photos(here / "good", 20)
    assert screening.fit(toy.Distance(), "good", "a.pt").model.shape == (1, 32, 32)
    assert screening.fit(toy.Squared(), "good", "b.pt").model.shape == (1, 6, 6)
    photos(here / "good/more", 1, mode="RGB", size=(40, 20))
    model = screening.fit(toy.Distance(), "good", "c.pt", side=8).model
    assert model.shape == (3, 8, 8)
    assert model.about | {"widths": [12, 40], "heights": [10, 20], "aspects": [1.2, 2.0], "grey": 20} == model.about


def test_copies_count_once_so_that_none_is_held_out_from_its_double(toy, here):
    files = photos(here / "good", 30)
    for n, file in enumerate(files[:25]):
        shutil.copy(file, here / "good" / f"copy{n}.png")
    made = screening.fit(toy.Distance(), "good", "parts.pt")
    assert made.copies == 25
    assert made.model.about["fitted"] + made.model.about["held_out"] == 30
    learnt = {image.numpy().tobytes() for image in made.model.examples_}
    assert len(learnt) == 27
    held_out = [one for one in data.image_folders.pictures(files, 32) if one.numpy().tobytes() not in learnt]
    assert sorted(made.model.decision_function(torch.stack(held_out))) == made.model.held_out_scores_.tolist()


# --- the false alarms ----------------------------------------------------------------------------------------------


def test_the_command_says_what_it_has_done(toy, here, capsys):
    photos(here / "good", 40)
    shutil.copy(here / "good/000.png", here / "good/copy.png")
    assert (
        cli.main(
            ["fit", "toy.distance", "folder:good", "--save", "parts.pt", "-p", "power=0.5", "--false-alarms", "0.05"]
        )
        == 0
    )
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "images:    36 fitted, 4 held out; 1 copies of others left out"
    assert lines[1].startswith("fitted:    Distance(seed=0, power=0.5, norm='l2') in ")
    model = detectors.open("parts.pt")
    share = "1 of 4 held-out images above it, 25.0% (95 % interval: 0.6% to 80.6%)"
    assert lines[2] == f"threshold: {model.threshold_:.4g}: {share}"
    assert lines[3] == "           for a rate of 0.05, at least 200 images are needed"
    assert lines[4].startswith("saved:     parts.pt, ")
    assert err == ""


def test_a_detector_that_tells_nothing_apart_says_so(toy, here, monkeypatch, capsys):
    photos(here / "good", 20)
    monkeypatch.setattr(toy.Distance, "score", lambda self, images, index: np.ones(len(index)))
    assert cli.main(["fit", "toy.distance", "folder:good", "--save", "parts.pt"]) == 0
    assert "warning:   all held-out images have the same score" in capsys.readouterr().out


def test_a_training_that_diverges_is_one_line_and_exit_code_1(toy, here, monkeypatch, capsys):
    photos(here / "good", 20)

    def learn(self, *_, **__):
        raise training.DivergedError("the loss ran away; lower the learning rate")

    monkeypatch.setattr(toy.Distance, "learn", learn)
    assert cli.main(["fit", "toy.distance", "folder:good", "--save", "parts.pt"]) == 1
    assert capsys.readouterr().err == "novelty: the loss ran away; lower the learning rate\n"
    assert [path.name for path in here.iterdir()] == ["good"]


@pytest.mark.parametrize(
    "why", [MemoryError(), RuntimeError("can't allocate memory: you tried"), RuntimeError("std::bad_alloc")]
)
def test_a_memory_that_is_too_small_is_one_line_and_exit_code_1(why, toy, here, monkeypatch, capsys):
    photos(here / "good", 20)

    def learn(self, *_, **__):
        raise why

    monkeypatch.setattr(toy.Distance, "learn", learn)
    assert cli.main(["fit", "toy.distance", "folder:good", "--save", "parts.pt"]) == 1
    assert capsys.readouterr().err.startswith("novelty: the memory is too small for this: give fewer images")
    assert [path.name for path in here.iterdir()] == ["good"]


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("fit toy.distance good --save x.pt", "'good' is not folder:PATH: write folder:good"),
        ("fit toy.distance folder: --save x.pt", "PATH='' is no path: give one of printable characters"),
        ("fit toy.distance folder:good --save ~nobody-here/x.pt", "there is no home folder of that name"),
        ("fit toy.distance folder:nowhere --save x.pt", "nowhere is not a folder; give one with images"),
        ("fit toy.distance folder:empty --save x.pt", "empty holds no image: give a folder with images"),
        ("fit toy.distance folder:few --save x.pt", "few holds 19 images: at least 20 are needed"),
        ("fit toy.distance folder:same --save x.pt", "same holds 1 different images and 20 copies: at least 20"),
        ("fit toy.distance folder:broken --save x.pt", "broken/half.png is not a readable image (image file is"),
        ("fit toy.distance folder:text --save x.pt", "text/notes.txt is not a readable image (no known image format)"),
        ("fit nobody folder:good --save x.pt", "detector 'nobody' is not known: choose from Distance, Squared (toy)"),
        ("fit toy.distance folder:good --save x.pt -p power=0", "power=0: input should be greater than 0"),
        ("fit toy.distance folder:good --save x.pt -p power", "-p 'power' is not a parameter"),
        ("fit toy.distance folder:good --save x.pt power=1", "write parameters as -p KEY=VALUE"),
        ("fit toy.distance folder:good", "the following arguments are required: --save"),
        (
            "fit toy.distance folder:good --save there.pt",
            "'there.pt' is there already: give another name, or --replace",
        ),
        ("fit toy.distance folder:good --save good", "'good' is a folder: give a file"),
        ("fit toy.distance folder:good --save there.pt/x.pt", "cannot write"),
        ("fit toy.distance folder:good --save /proc/x.pt", "cannot write to /proc"),
        (f"fit toy.distance folder:good --save {'x' * 231}", "has a name of more than 230 bytes"),
        (f"fit toy.distance folder:good --save {'x' * 300}", "--save"),
        ("fit toy.distance folder:good --save x.pt --false-alarms 1", "'1' is no share between 0 and 1"),
        ("fit toy.distance folder:good --save x.pt --false-alarms nan", "'nan' is no share between 0 and 1"),
        ("fit toy.distance folder:good --save x.pt --epochs 0", "'0' is not a number from 1 to 1000000"),
        ("fit toy.distance folder:good --save x.pt --epochs 1000000000", "is not a number from 1 to 1000000"),
        ("fit toy.distance folder:good --save x.pt --side 1_0", "'1_0' is not a number from 1 to 1000000"),
        (
            "fit toy.distance folder:good --save x.pt --side 999999",
            "20 images of 999999 x 999999 pixels take 59999.9 GB",
        ),
        ("fit toy.squared folder:good --save x.pt --side 10", "Squared takes 6 x 6 pixels: leave it out"),
        ("fit toy.distance folder:good --save x.pt --device gpu", "invalid choice: 'gpu'"),
        ("fit toy.distance folder:good --save x.pt --device cuda", "device='cuda': this machine shows no CUDA GPU"),
    ],
)
def test_a_refusal_is_one_line_and_leaves_nothing_behind(line, told, toy, here, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    photos(here / "good", 20)
    photos(here / "few", 19)
    for folder in ("broken", "text"):
        photos(here / folder, 20)
    (here / "broken/half.png").write_bytes((here / "broken/000.png").read_bytes()[:80])
    (here / "text/notes.txt").write_text("no image")
    (here / "empty/inside").mkdir(parents=True)
    for n in range(21):
        white(here / f"same/{n}.png")
    (here / "there.pt").write_text("mine")
    before = sorted(here.rglob("*"))
    assert cli.main(line.split()) == 2
    out, err = capsys.readouterr()
    assert told in err
    assert err.startswith("novelty: ")
    assert err.count("\n") == 1
    assert out == ""
    assert sorted(here.rglob("*")) == before
    assert (here / "there.pt").read_text() == "mine"


def test_a_hostile_name_is_told_in_one_harmless_line(toy, here, capsys):
    photos(here / "good", 20)
    name = os.fsdecode(b"a\n\x1b[31m\xff<script>.png")
    (here / "good" / name).write_text("no image")
    assert cli.main(["fit", "toy.distance", "folder:good", "--save", "x.pt"]) == 2
    err = capsys.readouterr().err
    assert "\\x1b[31m\\udcff<script>.png is not a readable image" in err
    assert err[:-1].isprintable()


def test_a_full_disk_is_told_before_the_training(toy, here, monkeypatch):
    photos(here / "good", 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**10))
    monkeypatch.setattr(toy.Distance, "learn", lambda *_, **__: pytest.fail("it has begun to train"))
    with pytest.raises(InputError, match=r"needs up to 0.1 MB and 0.0 MB are free: make room"):
        screening.fit(toy.Distance(), "good", "parts.pt")
    assert [path.name for path in here.iterdir()] == ["good"]


def test_what_is_there_is_replaced_when_the_new_is_whole_and_not_before(toy, here, monkeypatch):
    photos(here / "good", 20)
    screening.fit(toy.Distance(), "good", "parts.pt")
    before = Path("parts.pt").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.torch, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            screening.fit(toy.Distance(seed=1), "good", "parts.pt", replace=True)
    assert Path("parts.pt").read_bytes() == before
    screening.fit(toy.Distance(seed=1), "good", "parts.pt", replace=True)
    assert detectors.open("parts.pt").seed == 1


def test_two_at_once_do_not_get_into_each_other_s_way(toy, here, monkeypatch):
    photos(here / "good", 20)
    told = []

    def learn(self, images, train, held_out, **_):
        with pytest.raises(InputError) as refusal:
            screening.fit(toy.Squared(), "good", "parts.pt")
        told.append(str(refusal.value))
        self.network.eval()
        self.fitted = {"mean": self.codes(images, train).mean(0)}

    monkeypatch.setattr(toy.Distance, "learn", learn)
    screening.fit(toy.Distance(), "good", "parts.pt")
    assert told == ["--save 'parts.pt' is being written by another process: give another name, or wait"]
    assert type(detectors.open("parts.pt")) is toy.Distance
    assert sorted(path.name for path in here.iterdir()) == ["good", "parts.pt"]


def test_what_came_while_it_was_fitted_is_not_written_over(toy, here, monkeypatch):
    photos(here / "good", 20)
    learn = toy.Distance.learn

    def busy(self, *given, **how):
        Path("parts.pt").write_text("mine")
        learn(self, *given, **how)

    monkeypatch.setattr(toy.Distance, "learn", busy)
    with pytest.raises(InputError, match=r"'parts.pt' is there already"):
        screening.fit(toy.Distance(), "good", "parts.pt")
    assert Path("parts.pt").read_text() == "mine"


def test_a_file_of_an_older_version_ends_in_one_line(toy, here, capsys):
    photos(here / "good", 20)
    screening.fit(toy.Distance(), "good", "parts.pt")
    changed(Path("parts.pt"), format=1)
    assert cli.main(["score", "parts.pt", "folder:good", "--to", "found"]) == 2
    assert "parts.pt has format 1, and this version reads 2: fit it again" in capsys.readouterr().err
    assert not Path("found").exists()


def test_a_side_that_is_a_parameter_is_given_as_one(here, capsys):
    photos(here / "good", 20)
    assert cli.main(["fit", "crbnd", "folder:good", "--save", "x.pt", "--side", "64"]) == 2
    assert "--side 64: to CRBND it is given as -p side=64" in capsys.readouterr().err


def test_what_is_no_file_is_not_replaced_and_refused_before_the_training(toy, here, capsys, monkeypatch):
    photos(here / "good", 20)
    os.mkfifo(here / "pipe")
    monkeypatch.setattr(toy.Distance, "learn", lambda *_, **__: pytest.fail("trained"))
    assert cli.main(["fit", "toy.distance", "folder:good", "--save", "pipe", "--replace"]) == 2
    told = "novelty: --save 'pipe': it is a device or a pipe, and no file; give another name\n"
    assert capsys.readouterr() == ("", told)
    assert (here / "pipe").is_fifo()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("pca --epochs 3", "--epochs 3: PCA is not trained in epochs: leave it out"),
        ("knn --epochs 1", "--epochs 1: KNN is not trained in epochs: leave it out"),
        ("pretrained --epochs 3", "--epochs 3: EffNetKNN is not trained in epochs: leave it out"),
        ("rivals.Mahalanobis --epochs 3", "--epochs 3: Mahalanobis is not trained in epochs: leave it out"),
        ("pca --device cuda", "--device cuda: PCA runs on the processor alone: leave it out"),
    ],
)
def test_an_option_that_the_detector_ignores_is_refused(line, told, here, capsys):
    photos(here / "good", 20)
    assert cli.main(["fit", *line.split(), "folder:good", "--save", "x.pt"]) == 2
    assert capsys.readouterr() == ("", f"novelty: {told}\n")
    assert [path.name for path in here.iterdir()] == ["good"]


def test_the_processor_is_where_a_detector_without_a_network_runs_and_a_gpu_is_refused_for_it(
    here, capsys, monkeypatch
):
    photos(here / "good", 20)
    monkeypatch.setattr(training, "pick_device", lambda _: torch.device("cpu"))  # as if there was a GPU
    assert cli.main(["fit", "knn", "folder:good", "--save", "x.pt", "--device", "cpu"]) == 0
    capsys.readouterr()
    assert cli.main(["score", "x.pt", "folder:good", "--to", "found", "--device", "cuda"]) == 2
    assert capsys.readouterr() == ("", "novelty: --device cuda: KNN runs on the processor alone: leave it out\n")
    assert sorted(path.name for path in here.iterdir()) == ["good", "x.pt"]


# --- what is interrupted -------------------------------------------------------------------------------------------

KILLED = """
import sys
from novelty_utils import cli
from novelty_utils.training import loop
loop.CHECKPOINT_SECONDS = 0
sys.exit(cli.main("fit cae folder:good --save parts.pt --epochs 12 --device cpu".split()))
"""


@pytest.fixture
def sneakers(here) -> Path:
    """Forty garments, enough for a network to be trained on."""
    images = data.load("fashion_sample").images[:40]
    (here / "good").mkdir()
    for n, image in enumerate(images):
        Image.fromarray(image[0].numpy()).save(here / "good" / f"{n:02}.png")
    return here


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_training_goes_on_and_ends_as_one_that_was_not(how, sneakers):
    process = subprocess.Popen([sys.executable, "-c", KILLED], stderr=subprocess.PIPE, text=True)
    while not list(Path().glob(".parts.pt.unfinished/*/*.pt")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert not Path("parts.pt").exists()
    if how != signal.SIGKILL:
        assert process.returncode == 130
        assert said.splitlines()[-1] == "novelty: interrupted; the same command goes on from there"
    (first, *_) = Path().glob(".parts.pt.unfinished/*/*.pt")
    at = checkpoints.read(first, torch.device("cpu"))["at"]
    assert at < 12
    assert subprocess.run([sys.executable, "-c", KILLED]).returncode == 0
    whole = screening.fit(screening.choose("cae", {}), "good", "whole.pt", epochs=12, device="cpu").model
    again = detectors.open("parts.pt", device="cpu")
    assert np.array_equal(again.held_out_scores_, whole.held_out_scores_)
    assert all(torch.equal(a, b) for a, b in zip(again.network.parameters(), whole.network.parameters(), strict=True))
    assert sorted(path.name for path in Path().iterdir()) == ["good", "parts.pt", "whole.pt"]


@pytest.mark.slow
def test_the_second_call_does_not_train_again_what_was_trained(sneakers, monkeypatch):
    how = {"epochs": 3, "device": "cpu"}
    with monkeypatch.context() as patch:  # a disk that gets full while it trains
        patch.setattr(detectors.Detector, "save", lambda *_: (_ for _ in ()).throw(InputError("no space is left")))
        with pytest.raises(InputError, match="no space is left"):
            screening.fit(screening.choose("cae", {}), "good", "parts.pt", **how)
    (kept,) = Path().glob(".parts.pt.unfinished/*/*.pt")
    assert checkpoints.read(kept, torch.device("cpu"))["at"] == 3
    steps = []
    loop = sys.modules["novelty_utils.training.loop"]
    monkeypatch.setattr(loop._Run, "_step", lambda *_: steps.append(1))
    screening.fit(screening.choose("cae", {}), "good", "parts.pt", **how)
    assert not steps
    assert sorted(path.name for path in Path().iterdir()) == ["good", "parts.pt"]
