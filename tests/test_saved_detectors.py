"""The file of a fitted detector: it scores as before, and whatever somebody has made of it ends in one line."""

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_detectors import changed, given_to, pictures

from novelty_utils import cli, detectors, saved_detectors, training
from novelty_utils.errors import InputError
from novelty_utils.training import checkpoints


@pytest.fixture
def folder(tmp_path, monkeypatch):
    yield from given_to(tmp_path, monkeypatch)


@pytest.fixture
def toy(folder):
    return detectors.load("toy")


@pytest.fixture
def saved(toy, tmp_path):
    model = toy.Squared(seed=2, norm="l1").fit(pictures(40))
    model.save(tmp_path / "model.pt")
    return model, tmp_path / "model.pt"


def test_what_is_opened_scores_as_what_was_saved(saved):
    model, file = saved
    again, new = detectors.open(file, device="cpu"), pictures(30, 256)
    assert type(again) is type(model)
    assert repr(again) == repr(model)
    assert np.array_equal(again.decision_function(new), model.decision_function(new))
    assert np.array_equal(again.predict(new), model.predict(new))
    assert np.array_equal(again.held_out_scores_, model.held_out_scores_)


def flip(file: Path) -> None:
    written = bytearray(file.read_bytes())
    written[-100] ^= 1
    file.write_bytes(written)


def sealed(file: Path, content: bytes) -> None:
    """Anything behind its own sha256, which anybody can compute."""
    file.write_bytes(hashlib.sha256(content).digest() + content)


FOREIGN = [
    {"format": None},
    {"detector": "toy"},
    {"detector": ["toy", "dataclass"]},  # a name of the notebook, but no detector
    {"detector": ["toy", ["Squared"]]},
    {"shape": None},
    {"shape": [1, 4]},
    {"shape": [3, 4, 4]},
    {"arguments": {"power": "high"}},
    {"arguments": {"nobody": 1}},
    {"weights": {}},
    {"weights": {"1.weight": torch.zeros(2, 2), "1.bias": torch.zeros(2)}},
    {"weights": {"1.weight": torch.zeros(5, 36).double(), "1.bias": torch.zeros(5).double()}},
    {"fitted": {}},
    {"fitted": {"mean": 3}},
    {"held_out_scores": torch.zeros(0).double()},
    {"held_out_scores": torch.tensor([1.0, torch.nan]).double()},
    {"held_out_scores": torch.tensor([2.0, 1.0]).double()},
    {"held_out_scores": [1.0]},
    {"held_out_scores": torch.tensor([1j])},
    {"threshold": float("nan")},
    {"threshold": float("inf")},
    {"threshold": "1"},
    {"examples": torch.zeros(0, 1, 6, 6, dtype=torch.uint8)},
    {"about": 3},
]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (flip, "is damaged or no saved detector: save it again"),
        *((lambda file, of=of: changed(file, **of), "no saved detector: save it again with novelty") for of in FOREIGN),
        (lambda file: sealed(file, b""), "is damaged or no saved detector: save it again"),
        (lambda file: sealed(file, file.read_bytes()[32:-500]), "is damaged or no saved detector: save it again"),
        (lambda file: checkpoints.write(file, [1]), "is damaged or no saved detector: save it again"),
        (lambda file: checkpoints.write(file, {"detector": ["toy", "Squared"]}), "is damaged or no saved detector"),
        (lambda file: file.write_bytes(b""), "is damaged or no saved detector: save it again"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "is damaged or no saved detector: save it again"),
        (lambda file: checkpoints.write(file, {"at": 3}), "is damaged or no saved detector: save it again"),
        (lambda file: changed(file, format=99), "has format 99, and this version reads 2: fit it again"),
        (
            lambda file: changed(file, source="0" * 16, versions={"torch": "9.9"}),
            "was saved by another version of notebook toy (torch 9.9): fit it again",
        ),
        (lambda file: changed(file, detector=["other", "Squared"]), "no detector is defined in a notebook 'other'"),
        (Path.unlink, "is not a file"),
    ],
)
def test_a_file_that_cannot_be_opened_is_told_in_one_line(damage, told, saved):
    _, file = saved
    damage(file)
    with pytest.raises(InputError) as refusal:
        detectors.open(file)
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_another_definition_is_another_version_and_another_comment_is_not(saved, folder):
    _, file = saved
    path = folder / "toy.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace("# fixed", "# constant"), encoding="utf-8")
    detectors.load.cache_clear()
    detectors.open(file)
    path.write_text(path.read_text(encoding="utf-8").replace("** self.power", "* self.power"), encoding="utf-8")
    detectors.load.cache_clear()
    with pytest.raises(InputError, match="another version of notebook toy"):
        detectors.open(file)


def test_the_class_of_a_running_page_is_not_saved(toy, tmp_path):
    class Distance(toy.Distance):
        pass

    model = Distance().fit(pictures(20))
    with pytest.raises(InputError, match=r"a running page: fit detectors.load\('toy'\).Distance"):
        model.save(tmp_path / "model.pt")


# --- sizes that somebody has written into it -----------------------------------------------------------------------


ABOUT = {"fitted": 36, "held_out": 4, "false_alarms": 0.1, "widths": [4, 4], "heights": [4, 4], "aspects": [1.0, 1.0]}
ONE = torch.zeros(1, dtype=torch.uint8)
FORGED = [
    {"format": 10**5000},  # which Python refuses to print
    {"format": -1},
    {"versions": {"torch": [2]}},
    {"versions": {3: "2.0"}},
    {"shape": [1, 10**9, 10**9]},
    {"shape": [1, 10**30, 1]},
    {"shape": [1, 2**13 + 1, 2**13]},
    {"shape": [1, -4, -4]},
    {"shape": [1, 0, 4]},
    {"shape": [1, True, 4]},
    {"shape": [1, 4.0, 4.0]},
    {"arguments": {"seed": 10**5000}},
    {"arguments": {"seed": [0]}},
    {"arguments": {3: 4}},
    {"examples": ONE.expand(10**12, 1, 6, 6)},  # one byte that pretends to be many
    {"examples": ONE.expand(40, 1, 6, 6)},
    {"examples": torch.zeros(1, 1, 6, 6, dtype=torch.uint8).to_sparse()},
    {"examples": torch.zeros(10**9, 1, 6, 6, dtype=torch.uint8, device="meta")},
    {"fitted": {"mean": torch.zeros(1).double().expand(10**12)}},
    {"held_out_scores": torch.zeros(1).double().expand(10**12)},
    {"weights": {"1.weight": torch.zeros(1, 1).expand(5, 36), "1.bias": torch.zeros(5)}},
    {"weights": {"1.weight": torch.zeros(5, 37), "1.bias": torch.zeros(5)}},
    {"weights": {"1.weight": torch.zeros(5, 36)}},
    {"weights": {"1.weight": torch.zeros(5, 36), "1.bias": torch.zeros(5), "more": torch.zeros(1)}},
    {"about": ABOUT | {"fitted": 10**5000}},
    {"about": ABOUT | {"fitted": -1}},
    {"about": ABOUT | {"held_out": "4"}},
    {"about": ABOUT | {"grey": 0.5}},
    {"about": ABOUT | {"false_alarms": 0.0}},
    {"about": ABOUT | {"false_alarms": "0.1"}},
    {"about": ABOUT | {"widths": 4}},
    {"about": ABOUT | {"widths": [4]}},
    {"about": ABOUT | {"heights": ["4", "4"]}},
    {"about": ABOUT | {"heights": [0, 4]}},
    {"about": ABOUT | {"heights": [8, 4]}},
    {"about": ABOUT | {"aspects": [1.0, float("nan")]}},
    {"about": ABOUT | {"aspects": [1.0, float("inf")]}},
    {"about": {"aspects": [1.0, 1.0]}},  # and neither widths nor heights
]


@pytest.mark.parametrize("forged", FORGED, ids=lambda entries: str(next(iter(entries))))
def test_a_forged_size_is_told_in_one_line_and_never_allocated(forged, saved, monkeypatch):
    _, file = saved
    changed(file, **forged)
    built = []
    monkeypatch.setattr(training, "build", lambda *asked: built.append(asked))
    with pytest.raises(InputError, match=r"^[^\n]*is damaged or no saved detector[^\n]*$"):
        detectors.open(file, device="cpu")
    assert not built


def test_a_forged_file_ends_the_command_with_one_line_and_writes_nothing(saved, folder, monkeypatch, capsys):
    _, file = saved
    monkeypatch.chdir(folder)
    (folder / "new").mkdir()
    (folder / "new" / "a.png").touch()
    changed(file, about=ABOUT | {"aspects": "wide"})
    before = sorted(folder.rglob("*"))
    assert cli.main(["score", str(file), "folder:new", "--to", "found"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"novelty: {file} is damaged or no saved detector: save it again with novelty fit --save\n"
    assert sorted(folder.rglob("*")) == before


def test_what_fit_and_a_caller_have_noted_is_opened(saved):
    _, file = saved
    changed(file, about=ABOUT | {"grey": 0, "camera": ["left", 3]})
    assert detectors.open(file).about["camera"] == ["left", 3]


@pytest.mark.parametrize("more", [{"L": 10**9}, {"L": 33}, {"arch": "code"}], ids=str)
def test_a_network_of_another_size_than_its_weights_is_never_built(more, tmp_path, monkeypatch):
    AE = detectors.load("nln").AE
    with monkeypatch.context() as patch:
        patch.setattr(AE, "train", lambda self, *_, **__: self.network.eval())
        model = AE().fit(pictures(40, shape=(1, 28, 28)), device="cpu")
    model.save(tmp_path / "model.pt")
    detectors.open(tmp_path / "model.pt", device="cpu")
    changed(tmp_path / "model.pt", arguments=model.arguments() | more)
    built = []
    monkeypatch.setattr(training, "build", lambda *asked: built.append(asked))
    with pytest.raises(InputError, match="is damaged or no saved detector"):
        detectors.open(tmp_path / "model.pt", device="cpu")
    assert not built


def packed(content: bytes, **how: int) -> bytes:
    """The archive of a detector with 64 MiB of zeros more."""
    with zipfile.ZipFile(stream := io.BytesIO(content), "a") as archive:
        archive.writestr("archive/data/99", bytes(2**26), **how)
    return stream.getvalue()


def twice(content: bytes) -> bytes:
    """A second entry that says it lies where the first one does, as in a bomb of few bytes."""
    with zipfile.ZipFile(stream := io.BytesIO(content), "a") as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
        archive.filelist += [largest] * 1000
        archive._didModify = True
    return stream.getvalue()


def legacy(_: bytes) -> bytes:
    """The format before archives, in which a storage is as large as a number says."""
    torch.save({"detector": 1, "format": 2}, stream := io.BytesIO(), _use_new_zipfile_serialization=False)
    return stream.getvalue()


@pytest.mark.parametrize(
    "bomb", [lambda content: packed(content, compress_type=zipfile.ZIP_DEFLATED), twice, legacy, lambda _: b"PK\5\6"]
)
def test_an_archive_larger_than_its_file_is_not_unpacked(bomb, saved, monkeypatch):
    _, file = saved
    sealed(file, bomb(file.read_bytes()[32:]))
    monkeypatch.setattr(checkpoints, "unpack", lambda *_: pytest.fail("unpacked"))
    with pytest.raises(InputError, match="is damaged or no saved detector"):
        detectors.open(file)


def test_images_that_no_file_could_be_opened_with_are_refused_before_they_are_learnt_from(toy, monkeypatch):
    monkeypatch.setattr(saved_detectors, "MOST_VALUES", 15)
    with pytest.raises(InputError, match=r"shape \(1, 4, 4\) have 16 values each: a detector takes at most 15"):
        toy.Distance().fit(pictures(20))
