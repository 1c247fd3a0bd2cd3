"""Caltech-256: small files in the layout of the unpacked archive, and what happens when there are too few or many."""

from itertools import pairwise
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision.datasets as tv
import torchvision.datasets.utils as tv_utils
from caltech_files import IMAGES, jpeg, write_layout

from novelty_utils.data import caltech, datasets
from novelty_utils.errors import InputError
from novelty_utils.params import CLASSES, RunParameters, class_names

OFFICIAL = caltech.IMAGES


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("NOVELTY_DATA", str(folder))
    return folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def fail(*args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", fail)


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    monkeypatch.setattr(caltech, "IMAGES", IMAGES)


@pytest.fixture
def folder(cache) -> Path:
    return write_layout(cache)


def refusal() -> str:
    """The message with which `load` refuses; always one line."""
    with pytest.raises(InputError) as caught:
        datasets.load("caltech256", side=4)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- the list of classes ---------------------------------------------------------------------------------------------


def test_the_classes_are_256_categories_and_clutter():
    names = class_names("caltech256")
    assert len(names) == len(set(names)) == 257 and names.index("clutter") == 256
    # All but the last seven are numbered by the alphabet, hyphens apart: a check of the spelling.
    bare = [name.replace("-", "") for name in names[:250]]
    assert [pair for pair in pairwise(bare) if pair[0] > pair[1]] == []
    assert caltech.CATEGORIES[::63] == (
        "001.ak47",
        "064.elephant-101",
        "127.laptop-101",
        "190.snake",
        "253.faces-easy-101",
    )
    assert caltech.CATEGORIES[-1] == "257.clutter"


def test_no_name_of_a_class_is_taken_for_a_number_or_for_all_of_them():
    given = {"dataset": "caltech256", "tier": "smoke", "seed": 0, "device": "auto", "results": "results"}
    for label, name in enumerate(CLASSES["caltech256"]):
        assert RunParameters.check(given | {"class_name": name}).labels() == (label,)
        assert RunParameters.check(given | {"class_name": str(label)}).labels() == (label,)
    assert RunParameters.check(given | {"class_name": "all"}).labels() == tuple(range(257))


def test_the_official_number_of_images():
    assert OFFICIAL == 30607


# --- files that are there --------------------------------------------------------------------------------------------


def test_images_labels_and_order(folder):
    loaded = datasets.load("caltech256", side=4)
    assert loaded.images.shape == (IMAGES, 3, 4, 4) and loaded.images.dtype == torch.uint8
    assert loaded.labels.tolist() == [0] * 10 + [label for label in range(1, 257) for _ in range(2)]
    assert loaded.labels.dtype == torch.int64 and loaded.is_test.dtype == torch.bool
    assert loaded.classes == CLASSES["caltech256"] and loaded.name == "caltech256"
    red, green, blue = loaded.images.float().mean(dim=(2, 3)).T
    number = torch.tensor([*range(1, 11), *[1, 2] * 256])
    grey, level = number == 2, loaded.labels % 200
    for channel, expected in ((red, level), (green, 50 * (loaded.labels // 200)), (blue, 20 * number)):
        assert (channel - torch.where(grey, level, expected)).abs().max() <= 4  # JPEG loses a little


@pytest.mark.parametrize("side", [1, 7, 32])
def test_side_is_the_callers(folder, side):
    assert datasets.load("caltech256", side=side).images.shape == (IMAGES, 3, side, side)


def test_split_is_thirty_percent_of_each_category_and_fixed_for_good(folder):
    loaded = datasets.load("caltech256", side=2)
    assert loaded.is_test[:10].nonzero().flatten().tolist() == [0, 4, 8]  # records of earlier runs rest on it
    assert torch.equal(torch.bincount(loaded.labels[loaded.is_test]), torch.tensor([3] + [1] * 256))
    assert torch.equal(loaded.is_test, datasets.load("caltech256", side=3).is_test)


def test_the_same_files_give_the_same_bits_in_any_order(folder, monkeypatch):
    first = datasets.load("caltech256", side=4)
    forwards = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: iter(sorted(forwards(self), reverse=True)))
    second = datasets.load("caltech256", side=4)
    assert torch.equal(first.images, second.images) and first.checksum == second.checksum


def test_only_jpg_files_in_the_folder_of_a_category_count(folder):
    expected = datasets.load("caltech256", side=4)
    (folder / "056.dog" / "greg" / "vision309" / "056_0003.jpg").write_bytes(jpeg(55, 3))
    (folder / "056.dog" / ".hidden.jpg").write_bytes(b"?")
    (folder / "007.bat" / "notes.txt").write_text("hello")
    (folder / ".DS_Store").write_bytes(b"?")
    assert datasets.load("caltech256", side=4).checksum == expected.checksum


# --- files that are not as they should be ----------------------------------------------------------------------------


def remove(path: Path) -> None:
    for inner in path.iterdir():
        inner.unlink()
    path.rmdir()


def test_missing_category(folder):
    remove(folder / "250.zebra")
    message = refusal()
    assert f"{folder} holds 256 of the 257 category folders, 250.zebra is not among them" in message
    assert f"delete {folder} and run again" in message and "NOVELTY_DATA" in message


def test_a_file_is_no_category(folder):
    remove(folder / "257.clutter")
    (folder / "257.clutter").write_text("a file")
    assert "257.clutter is not among them" in refusal()


def test_empty_folder(cache):
    (cache / caltech.FOLDER).mkdir(parents=True)
    assert f"{cache / caltech.FOLDER} holds 0 of the 257 category folders, 001.ak47 is not among them" in refusal()


def test_unexpected_folder(folder):
    (folder / "258.car").mkdir()
    message = refusal()
    assert f"{folder / '258.car'} lies beside the 257 category folders" in message and "delete it" in message


@pytest.mark.parametrize("name", ["readme.txt", "001_0001.jpg"])
def test_unexpected_file(folder, name):
    (folder / name).write_bytes(jpeg(0, 1))
    assert f"{folder / name} lies beside the 257 category folders" in refusal()


def test_too_few_images(folder):
    (folder / "100.hawksbill-101" / "100_0002.jpg").unlink()
    message = refusal()
    assert f"{folder} holds {IMAGES - 1} images NAME.jpg, not the official {IMAGES}: delete {folder}" in message


def test_too_many_images(folder):
    (folder / "100.hawksbill-101" / "100_0003.jpg").write_bytes(jpeg(99, 3))
    assert f"holds {IMAGES + 1} images NAME.jpg, not the official {IMAGES}" in refusal()


def test_the_images_are_counted_before_they_are_read(folder, monkeypatch):
    def fail(*args):
        raise AssertionError("reading takes minutes, counting a second")

    monkeypatch.setattr(caltech.image_folders, "pictures", fail)
    (folder / "001.ak47" / "001_0007.jpg").unlink()
    assert "not the official" in refusal()


@pytest.mark.parametrize("content", [b"", b"<html>", jpeg(3, 1)[:200]], ids=["empty", "html", "cut"])
def test_unreadable_image(folder, content):
    path = folder / "004.baseball-bat" / "004_0001.jpg"
    path.write_bytes(content)
    assert f"{path} is not a readable image" in refusal()


def test_broken_link(folder):
    path = folder / "004.baseball-bat" / "004_0001.jpg"
    path.unlink()
    path.symlink_to(folder / "gone.jpg")
    assert f"{path} is not a readable image" in refusal()


# --- the download ----------------------------------------------------------------------------------------------------


def fake_torchvision(monkeypatch, write) -> list[Path]:
    """In place of torchvision's class: `write` fills the folder it is given. Returns the folders, one per call."""
    asked = []

    class Caltech256:
        def __init__(self, root: str, download: bool):
            assert download
            asked.append(Path(root))
            (Path(root) / "caltech256").mkdir()
            write(Path(root))

    monkeypatch.setattr(tv, "Caltech256", Caltech256)
    return asked


def test_download(cache, monkeypatch):
    asked = fake_torchvision(monkeypatch, write_layout)
    loaded = datasets.load("caltech256", side=4)
    assert [root.parent for root in asked] == [cache]
    assert [path.name for path in cache.iterdir()] == ["caltech256"]
    assert [path.name for path in (cache / "caltech256").iterdir()] == ["256_ObjectCategories"]
    assert datasets.load("caltech256", side=4).checksum == loaded.checksum and len(asked) == 1


def test_download_through_the_class_of_torchvision(cache, monkeypatch):
    def unpack(url, download_root, filename, md5):
        (Path(download_root) / filename).write_text("the archive, which nobody needs afterwards")
        write_layout(Path(download_root).parent)

    monkeypatch.setattr(tv.caltech, "download_and_extract_archive", unpack)
    assert len(datasets.load("caltech256", side=4).labels) == IMAGES
    assert [path.name for path in (cache / "caltech256").iterdir()] == ["256_ObjectCategories"]


def test_files_that_are_there_are_not_downloaded(folder, monkeypatch):
    asked = fake_torchvision(monkeypatch, write_layout)
    datasets.load("caltech256", side=4)
    remove(folder / "250.zebra")
    assert "250.zebra" in refusal()
    assert asked == []


def test_download_that_lacks_images_is_refused_each_time(cache, monkeypatch):
    def write(root):
        (write_layout(root) / "001.ak47" / "001_0007.jpg").unlink()

    fake_torchvision(monkeypatch, write)
    assert "not the official" in refusal() and "not the official" in refusal()


def test_no_network(cache):
    message = refusal()
    assert "Caltech256 could not be downloaded" in message and "no route to host" in message and "://" not in message
    assert f"put 256_ObjectCategories (unpacked) into {cache / 'caltech256'}" in message and "NOVELTY_DATA" in message
    assert not cache.exists()


def test_download_with_a_wrong_md5_is_not_taken(cache, monkeypatch):
    monkeypatch.setattr(tv_utils, "_get_redirect_url", lambda url, max_hops: url)
    monkeypatch.setattr(tv_utils, "_urlretrieve", lambda url, path: Path(path).write_bytes(b"a login page"))
    assert "corrupted" in refusal()
    assert not cache.exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(1), OSError(28, "No space left on device")], ids=repr)
def test_stopped_download_leaves_nothing(cache, monkeypatch, stop):
    def write(root):
        write_layout(root)
        raise stop

    fake_torchvision(monkeypatch, write)
    with pytest.raises(InputError if isinstance(stop, OSError) else type(stop)):
        datasets.load("caltech256", side=4)
    assert not cache.exists()
    fake_torchvision(monkeypatch, write_layout)
    assert len(datasets.load("caltech256", side=4).labels) == IMAGES
