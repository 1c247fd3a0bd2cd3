"""Data sets: small files in the real layouts, and what happens when a file is missing, altered or cut off."""

import gzip
import hashlib
import io
import pickle
import tarfile
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision.datasets as tv
import torchvision.datasets.utils as tv_utils
from PIL import Image

import samples
from novelty_utils.data import cifar10_jpeg, datasets
from novelty_utils.errors import InputError
from novelty_utils.params import CLASSES

RANDOM = np.random.RandomState(0)


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


def refusal(name: str, **options) -> str:
    """The message with which `load` refuses; always one line."""
    with pytest.raises(InputError) as caught:
        datasets.load(name, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def same(a: datasets.Dataset, b: datasets.Dataset) -> bool:
    pairs = ((a.images, b.images), (a.labels, b.labels), (a.is_test, b.is_test))
    return all(torch.equal(x, y) for x, y in pairs) and a.checksum == b.checksum


# --- all data sets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "checksum"), [("mnist_sample", "b1e1a068ed79a80b"), ("fashion_sample", "aba469e972d699d1")]
)
def test_the_embedded_samples_are_the_ones_that_were_drawn(name, checksum):
    sample = datasets.load(name)
    assert sample.checksum == checksum  # as tools/samples.py has printed it when it made them from the official files
    assert sample.images.shape == (5000, 1, 28, 28) and sample.images.dtype == torch.uint8
    for is_test, count in ((False, 400), (True, 100)):
        assert sample.labels[sample.is_test == is_test].bincount().tolist() == [count] * 10
    assert len(sample.images.flatten(1).unique(dim=0)) == 5000
    assert sample.classes == CLASSES[name]


def test_a_sample_has_of_each_class_and_part_as_many_as_said(monkeypatch):
    monkeypatch.setattr(samples, "SAMPLE_SIZES", {False: 3, True: 2})
    labels, is_test = torch.arange(100) % 5, torch.arange(100) >= 60
    whole = datasets.Dataset("whole", torch.zeros(100, 1, 2, 2), labels, is_test, tuple("abcde"), "")
    index = samples.drawn(whole)
    assert labels[index].tolist() == [k for k in range(5) for _ in range(3)] + [k for k in range(5) for _ in range(2)]
    assert is_test[index].tolist() == [False] * 15 + [True] * 10
    for part in (index[:15], index[15:]):  # within a class in the order of the files
        assert all(three.tolist() == sorted(three.tolist()) for three in part.view(5, -1))
    assert torch.equal(index, samples.drawn(whole))


def test_digits():
    digits = datasets.load("digits")
    assert digits.images.shape == (1797, 1, 8, 8) and digits.images.dtype == torch.uint8
    assert (digits.images.min(), digits.images.max()) == (0, 255)
    assert digits.images.unique().numel() == 17  # no level of 0..16 lost
    assert digits.labels.dtype == torch.int64 and digits.labels.unique().tolist() == list(range(10))
    assert digits.is_test.dtype == torch.bool and digits.is_test.nonzero().flatten().tolist() == list(range(1297, 1797))
    assert digits.classes == CLASSES["digits"]
    assert same(digits, datasets.load("digits"))


def test_checksum_sees_images_labels_parts_and_shape():
    images, labels, is_test = torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1]), torch.tensor([True] * 2)
    variants = [
        (images, labels, is_test),
        (images + 1, labels, is_test),
        (images, labels.flip(0), is_test),
        (images, labels, ~is_test),
        (images.reshape(2, 1, 1, 4), labels, is_test),
    ]
    assert len({datasets._checksum(*variant) for variant in variants}) == len(variants)


def test_unknown_name():
    assert "cifar100" in refusal("cifar100")


def test_cache_dir(monkeypatch):
    monkeypatch.setenv("NOVELTY_DATA", "~/elsewhere")
    assert datasets.cache_dir() == Path.home() / "elsewhere"
    monkeypatch.setenv("NOVELTY_DATA", "")
    assert datasets.cache_dir() == Path.home() / ".cache" / "novelty_data"


# --- to_side ---------------------------------------------------------------------------------------------------------


def random_images(*shape: int) -> torch.Tensor:
    return torch.from_numpy(RANDOM.randint(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize(("size", "before", "after"), [(28, 2, 2), (31, 0, 1), (29, 1, 2)])
def test_to_side_pads_a_small_gap(size, before, after):
    images = random_images(3, 1, size, size)
    padded = datasets.to_side(images, 32)
    assert padded.shape == (3, 1, 32, 32) and padded.dtype == torch.uint8
    assert torch.equal(padded[..., before : 32 - after, before : 32 - after], images)
    assert padded.sum() == images.sum()  # the border is zero


def test_to_side_keeps_what_fits():
    images = random_images(3, 3, 32, 32)
    assert torch.equal(datasets.to_side(images, 32), images)


@pytest.mark.parametrize("shape", [(2, 3, 64, 64), (2, 1, 30, 31), (2, 1, 8, 8), (2, 1, 27, 27)])
def test_to_side_resizes_the_rest(shape):
    flat = datasets.to_side(torch.full(shape, 255, dtype=torch.uint8), 32)
    assert flat.shape == (*shape[:2], 32, 32) and flat.dtype == torch.uint8
    assert flat.unique().tolist() == [255]  # a padded border would be 0


def test_to_side_is_antialiased():
    stripes = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    stripes[..., ::4] = 255
    small = datasets.to_side(stripes, 16).float()
    assert abs(small.mean() - 255 / 4) < 3 and small.std() < 30  # point sampling gives 0 or 255 throughout


def test_to_side_rounds():
    assert datasets.to_side(torch.tensor([[[[0, 1], [1, 1]]]], dtype=torch.uint8), 1).item() == 1  # the mean is 0.75


def test_to_side_does_not_depend_on_the_parts():
    images = random_images(4100, 1, 5, 5)
    assert torch.equal(datasets.to_side(images, 3)[4096:], datasets.to_side(images[4096:], 3))


@pytest.mark.parametrize("side", [0, -3])
def test_side_is_checked(side):
    with pytest.raises(InputError, match=f"side={side}"):
        datasets.to_side(random_images(1, 1, 4, 4), side)
    assert f"side={side}" in refusal("digits", side=side)


# --- MNIST and Fashion-MNIST -----------------------------------------------------------------------------------------


def idx_bytes(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture(params=[("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")], ids=lambda pair: pair[0])
def idx(request, monkeypatch):
    """A small data set in the IDX layout, taken as the official one: its name, its folder, arrays and files."""
    name, folder = request.param
    arrays = {
        "train-images-idx3-ubyte": RANDOM.randint(0, 256, (6, 28, 28), dtype=np.uint8),
        "train-labels-idx1-ubyte": np.array([3, 1, 4, 1, 5, 9], dtype=np.uint8),
        "t10k-images-idx3-ubyte": RANDOM.randint(0, 256, (2, 28, 28), dtype=np.uint8),
        "t10k-labels-idx1-ubyte": np.array([2, 6], dtype=np.uint8),
    }
    files = {file: idx_bytes(array) for file, array in arrays.items()}
    digests = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
    monkeypatch.setitem(datasets.IDX_SHA256, folder, digests)
    return name, Path(folder, "raw"), arrays, files


def write_all(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def test_idx_files_that_are_there_are_used(idx, cache):
    name, raw, arrays, files = idx
    write_all(cache / raw, files)
    before = everything_in(cache)
    loaded = datasets.load(name)
    assert loaded.images.shape == (8, 1, 28, 28) and loaded.images.dtype == torch.uint8
    assert np.array_equal(loaded.images[:6, 0], arrays["train-images-idx3-ubyte"])
    assert np.array_equal(loaded.images[6:, 0], arrays["t10k-images-idx3-ubyte"])
    assert loaded.labels.tolist() == [3, 1, 4, 1, 5, 9, 2, 6] and loaded.labels.dtype == torch.int64
    assert loaded.is_test.tolist() == [False] * 6 + [True] * 2
    assert loaded.classes == CLASSES[name] and loaded.name == name
    assert same(loaded, datasets.load(name)) and everything_in(cache) == before


@pytest.mark.parametrize("damage", [lambda old: old[:-1], lambda old: old[:-1] + b"\7"], ids=["cut", "altered"])
def test_idx_file_truncated_or_altered(idx, cache, damage):
    name, raw, _, files = idx
    write_all(cache / raw, files | {"t10k-labels-idx1-ubyte": damage(files["t10k-labels-idx1-ubyte"])})
    message = refusal(name)
    assert str(cache / raw / "t10k-labels-idx1-ubyte") in message and "delete it" in message


def test_only_the_official_files_count(cache):
    files = {file: idx_bytes(np.zeros((1, 28, 28), np.uint8)) for file in datasets.IDX_SHA256["MNIST"]}
    write_all(cache / "MNIST" / "raw", files)
    assert "train-images-idx3-ubyte is truncated or altered" in refusal("mnist")


def fake_download(files: dict[str, bytes], stop: BaseException | None = None, stop_at: int = 0):
    """In place of torchvision's method: writes `files` into its raw folder, or stops half-way through one."""

    def download(self):
        raw = Path(self.raw_folder)
        raw.mkdir(parents=True)
        for number, (name, content) in enumerate(files.items()):
            if stop is not None and number == stop_at:
                (raw / name).write_bytes(content[: len(content) // 2])
                raise stop
            (raw / name).write_bytes(content)
            (raw / f"{name}.gz").write_bytes(b"the packed file, which nobody needs afterwards")

    return download


def test_idx_download(idx, cache, monkeypatch):
    name, raw, _, files = idx
    monkeypatch.setattr(tv.MNIST, "download", fake_download(files))
    loaded = datasets.load(name)
    assert everything_in(cache) == sorted(str(raw / file) for file in files)
    assert loaded.labels.tolist() == [3, 1, 4, 1, 5, 9, 2, 6]


def test_idx_download_fills_a_gap_and_keeps_the_rest(idx, cache, monkeypatch):
    name, raw, _, files = idx
    monkeypatch.setattr(tv.MNIST, "download", fake_download(files))
    kept = dict(list(files.items())[:3])
    write_all(cache / raw, kept)
    inodes = {file: (cache / raw / file).stat().st_ino for file in kept}
    assert len(datasets.load(name).labels) == 8
    assert {file: (cache / raw / file).stat().st_ino for file in kept} == inodes


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(1)], ids=repr)
@pytest.mark.parametrize("stop_at", [0, 3])
def test_interrupted_download_leaves_nothing(idx, cache, monkeypatch, stop, stop_at):
    name, _, _, files = idx
    monkeypatch.setattr(tv.MNIST, "download", fake_download(files, stop, stop_at))
    with pytest.raises(type(stop)):
        datasets.load(name)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("name", "folder"),
    [("mnist", "MNIST/raw"), ("fashion_mnist", "FashionMNIST/raw"), ("cifar10", "cifar-10-batches-py")],
)
def test_no_network(cache, name, folder, capsys):
    message = refusal(name)
    assert "no route to host" in message and "://" not in message
    assert str(cache / folder) in message and "NOVELTY_DATA" in message
    assert not cache.exists()


def test_download_with_a_wrong_md5_is_not_taken(cache, monkeypatch):
    monkeypatch.setattr(tv_utils, "_get_redirect_url", lambda url, max_hops: url)
    monkeypatch.setattr(tv_utils, "_urlretrieve", lambda url, path: Path(path).write_bytes(b"a login page"))
    assert "corrupted" in refusal("mnist") and "corrupted" in refusal("cifar10")
    assert not cache.exists()


def test_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("NOVELTY_DATA", str(tmp_path / "file" / "cache"))
    assert "NOVELTY_DATA" in refusal("mnist")


def test_a_refusal_leaves_no_folder_that_was_not_there(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    for folder in (tmp_path / "there", tmp_path / "there" / "mistyped" / "data"):
        monkeypatch.setenv("NOVELTY_DATA", str(folder))
        for name in ("mnist", "cifar10", "caltech256", "cifar10_jpeg"):
            assert "NOVELTY_DATA" in refusal(name)
        assert list(tmp_path.rglob("*")) == [tmp_path / "there"]


def test_a_cache_that_is_no_folder(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NOVELTY_DATA", str(tmp_path / "file"))
    assert f"{tmp_path / 'file'} is not a folder: set NOVELTY_DATA to" in refusal("mnist")


def test_a_folder_that_another_process_has_put_there_meanwhile_is_kept(cache):
    def download_twice(fresh, download):
        for root in (cache, Path(fresh)):
            (root / "set" / "images").mkdir(parents=True)
            (root / "set" / "images" / "of").write_text("another" if root == cache else "this")

    datasets._download(download_twice, [Path("set", "images")])
    assert (cache / "set" / "images" / "of").read_text() == "another"


# --- CIFAR-10 --------------------------------------------------------------------------------------------------------


@pytest.fixture
def batches(monkeypatch) -> dict[str, bytes]:
    """The python format of CIFAR-10, two images per batch, taken as the official one."""
    names = [file for file, _ in tv.CIFAR10.train_list + tv.CIFAR10.test_list]
    contents = {
        name: {"data": RANDOM.randint(0, 256, (2, 3072), dtype=np.uint8), "labels": [number, 9 - number]}
        for number, name in enumerate(names)
    }
    files = {name: pickle.dumps(content) for name, content in contents.items()}
    files["batches.meta"] = pickle.dumps({"label_names": list(CLASSES["cifar10"])})
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(tv.CIFAR10, "train_list", [[name, md5[name]] for name in names[:5]])
    monkeypatch.setattr(tv.CIFAR10, "test_list", [[name, md5[name]] for name in names[5:]])
    monkeypatch.setattr(tv.CIFAR10, "meta", tv.CIFAR10.meta | {"md5": md5["batches.meta"]})
    return files


def test_cifar10(batches, cache):
    write_all(cache / "cifar-10-batches-py", batches)
    loaded = datasets.load("cifar10")
    assert loaded.images.shape == (12, 3, 32, 32) and loaded.images.is_contiguous()
    planes = pickle.loads(batches["data_batch_2"])["data"].reshape(2, 3, 32, 32)  # red, green, blue, row by row
    assert np.array_equal(loaded.images[2:4], planes)
    assert loaded.labels.tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5, 5, 4]
    assert loaded.is_test.tolist() == [False] * 10 + [True] * 2
    assert same(loaded, datasets.load("cifar10"))


@pytest.mark.parametrize("file", ["data_batch_3", "test_batch", "batches.meta"])
def test_cifar10_altered(batches, cache, file):
    write_all(cache / "cifar-10-batches-py", batches | {file: batches[file] + b"x"})
    message = refusal("cifar10")
    assert str(cache / "cifar-10-batches-py" / file) in message and "delete it" in message


def test_cifar10_download(batches, cache, monkeypatch):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in batches.items():
            add_member(tar, f"cifar-10-batches-py/{name}", content)
    monkeypatch.setattr(tv.CIFAR10, "tgz_md5", hashlib.md5(packed.getvalue()).hexdigest())
    monkeypatch.setattr(tv_utils, "_get_redirect_url", lambda url, max_hops: url)
    monkeypatch.setattr(tv_utils, "_urlretrieve", lambda url, path: Path(path).write_bytes(packed.getvalue()))
    assert len(datasets.load("cifar10").labels) == 12
    assert everything_in(cache) == sorted(f"cifar-10-batches-py/{name}" for name in batches)


# --- the JPEG archive ------------------------------------------------------------------------------------------------


def add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def encoded(image: Image.Image, kind: str = "jpeg") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def jpeg(level: int, size: tuple[int, int] = (32, 32)) -> bytes:
    return encoded(Image.new("RGB", size, (level, level, level)))


MEMBERS = {
    "train/truck/0000.jpg": jpeg(40),
    "test/cat/0000.jpg": jpeg(20),
    "train/airplane/0001.jpg": jpeg(60),
    "train/airplane/0000.jpg": jpeg(80),
}


def write_archive(cache: Path, members: dict[str, bytes]) -> Path:
    cache.mkdir(exist_ok=True)
    path = cache / "cifar10_jpeg.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        folder = tarfile.TarInfo("train")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in members.items():
            add_member(tar, name, content)
    return path


def test_cifar10_jpeg(cache):
    write_archive(cache, MEMBERS)
    loaded = datasets.load("cifar10_jpeg")
    assert loaded.images.shape == (4, 3, 32, 32) and loaded.images.is_contiguous()
    assert loaded.images[:, 0, 0, 0].tolist() == [20, 80, 60, 40]  # sorted by name: test/cat, train/airplane, ...
    assert loaded.labels.tolist() == [3, 0, 0, 9]
    assert loaded.is_test.tolist() == [True, False, False, False]


def test_cifar10_jpeg_is_decoded_once(cache, monkeypatch):
    write_archive(cache, MEMBERS)
    first = datasets.load("cifar10_jpeg")
    assert everything_in(cache) == ["cifar10_jpeg.npz", "cifar10_jpeg.tar.gz"]
    monkeypatch.setattr(cifar10_jpeg, "_decode", None)
    assert same(first, datasets.load("cifar10_jpeg"))


def test_cifar10_jpeg_changed_archive_is_decoded_anew(cache):
    write_archive(cache, MEMBERS)
    first = datasets.load("cifar10_jpeg")
    write_archive(cache, MEMBERS | {"test/cat/0000.jpg": jpeg(90)})
    second = datasets.load("cifar10_jpeg")
    assert second.images[0, 0, 0, 0] == 90 and second.checksum != first.checksum


@pytest.mark.parametrize("damage", [lambda old: old[: len(old) // 2], lambda old: b"", lambda old: pickle.dumps([1])])
def test_cifar10_jpeg_damaged_copy_is_made_anew(cache, damage):
    write_archive(cache, MEMBERS)
    first = datasets.load("cifar10_jpeg")
    kept = cache / "cifar10_jpeg.npz"
    good = kept.read_bytes()
    kept.write_bytes(damage(good))
    assert same(first, datasets.load("cifar10_jpeg"))
    with np.load(kept) as arrays:
        assert len(arrays["labels"]) == 4


def test_cifar10_jpeg_without_a_place_for_the_copy(cache, monkeypatch):
    write_archive(cache, MEMBERS)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.fsync", refuse)
    assert len(datasets.load("cifar10_jpeg").labels) == 4
    assert everything_in(cache) == ["cifar10_jpeg.tar.gz"]


def test_cifar10_jpeg_missing(cache):
    message = refusal("cifar10_jpeg")
    assert str(cache / "cifar10_jpeg.tar.gz") in message and "NOVELTY_DATA" in message


@pytest.mark.parametrize("lost", [1, 8, 200, 600])
def test_cifar10_jpeg_truncated(cache, lost):
    archive = write_archive(cache, MEMBERS)
    archive.write_bytes(archive.read_bytes()[:-lost])
    assert f"{archive} is truncated or damaged" in refusal("cifar10_jpeg")
    assert everything_in(cache) == ["cifar10_jpeg.tar.gz"]


def test_cifar10_jpeg_altered(cache):
    archive = write_archive(cache, MEMBERS)
    content = bytearray(archive.read_bytes())
    content[-5] ^= 1  # within the check values at the end
    archive.write_bytes(content)
    assert "truncated or damaged" in refusal("cifar10_jpeg")


def test_cifar10_jpeg_is_no_archive(cache):
    cache.mkdir()
    (cache / "cifar10_jpeg.tar.gz").write_bytes(b"<html>not found</html>")
    assert "truncated or damaged" in refusal("cifar10_jpeg")


@pytest.mark.parametrize(
    ("member", "content"),
    [
        ("../train/cat/0000.jpg", jpeg(1)),
        ("/train/cat/0000.jpg", jpeg(1)),
        ("train/unicorn/0000.jpg", jpeg(1)),
        ("validation/cat/0000.jpg", jpeg(1)),
        ("train/0000.jpg", jpeg(1)),
        ("train/cat/small.jpg", jpeg(1, (16, 16))),
        ("train/cat/half.jpg", jpeg(1)[:300]),
    ],
)
def test_cifar10_jpeg_unexpected_member(cache, member, content):
    write_archive(cache, MEMBERS | {member: content})
    assert member in refusal("cifar10_jpeg")


@pytest.mark.parametrize("name", ["train/truck/0000.jpg", "./train/truck/0000.jpg"])
def test_cifar10_jpeg_member_given_twice(cache, name):
    path = write_archive(cache, MEMBERS)
    with gzip.open(path) as packed, tarfile.open(path.with_suffix(".tar"), "w") as tar:
        for info in (source := tarfile.open(fileobj=packed)):  # noqa: SIM115
            tar.addfile(info, source.extractfile(info))
        add_member(tar, name, jpeg(90))
    path.write_bytes(gzip.compress(path.with_suffix(".tar").read_bytes()))
    assert f"train/truck/0000.jpg in {path} is there twice" in refusal("cifar10_jpeg")


def test_cifar10_jpeg_unexpected_link(cache):
    path = write_archive(cache, {})
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo("train/cat/0000.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
    assert "train/cat/0000.jpg" in refusal("cifar10_jpeg")


def test_cifar10_jpeg_empty(cache):
    write_archive(cache, {})
    assert "holds no image" in refusal("cifar10_jpeg")


# --- anybody's images ------------------------------------------------------------------------------------------------


def save(path: Path, image: Image.Image, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def plain(mode: str, colour, size: tuple[int, int] = (20, 30)) -> Image.Image:
    return Image.new(mode, size, colour)


@pytest.fixture
def root(tmp_path) -> Path:
    """Two classes of ten grey images; image k of class a has level k, of class b level 100 + k."""
    for k in range(10):
        save(tmp_path / "own" / "a" / f"{k}.png", plain("L", k))
        save(tmp_path / "own" / "b" / f"{k}.png", plain("L", 100 + k))
    return tmp_path / "own"


def test_folder_split(root):
    loaded = datasets.load(f"folder:{root}", side=8)
    assert loaded.images.shape == (20, 1, 8, 8) and loaded.images.dtype == torch.uint8
    assert loaded.images[:, 0, 0, 0].tolist() == [*range(10), *range(100, 110)]
    assert loaded.labels.tolist() == [0] * 10 + [1] * 10 and loaded.classes == ("a", "b")
    assert loaded.is_test[:10].sum() == 3 and loaded.is_test[10:].sum() == 3
    assert same(loaded, datasets.load(f"folder:{root}", side=8))


def test_folder_split_does_not_depend_on_the_file_system(root, monkeypatch):
    expected = datasets.load(f"folder:{root}", side=8)
    forwards = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: iter(sorted(forwards(self), reverse=True)))
    assert same(expected, datasets.load(f"folder:{root}", side=8))


def test_folder_split_is_fixed_for_good(root):
    is_test = datasets.load(f"folder:{root}").is_test[:10]
    assert is_test.nonzero().flatten().tolist() == [0, 4, 8]  # records of earlier runs rest on it


@pytest.mark.parametrize(("count", "tests"), [(1, 0), (2, 1), (3, 1), (5, 2), (10, 3), (100, 30)])
def test_thirty_percent_of_each_class(root, count, tests):
    for k in range(count):
        save(root / "c" / f"{k}.png", plain("L", 0, (2, 2)))
    loaded = datasets.load(f"folder:{root}", side=2)
    assert int(loaded.is_test[loaded.labels == 2].sum()) == tests


def test_folder_with_parts(tmp_path):
    save(tmp_path / "train" / "good" / "0.png", plain("L", 1))
    save(tmp_path / "test" / "good" / "0.png", plain("L", 2))
    save(tmp_path / "test" / "broken" / "0.png", plain("L", 3))  # an anomaly has no training image
    (tmp_path / "license.txt").write_text("beside the parts, so not looked at")
    loaded = datasets.load(f"folder:{tmp_path}")
    assert loaded.classes == ("broken", "good")
    assert loaded.images[:, 0, 0, 0].tolist() == [1, 3, 2]
    assert loaded.labels.tolist() == [1, 0, 1] and loaded.is_test.tolist() == [False, True, True]


def only_pixel(root: Path, image: Image.Image, **options) -> list[int]:
    """The colour that a plain image has after loading, next to the grey images of `root`."""
    save(root / "b" / "extra.png", image, **options)
    images = datasets.load(f"folder:{root}", side=4).images
    assert (images[-1] == images[-1, :, :1, :1]).all()
    return images[-1, :, 0, 0].tolist()


def sixteen_bits(value: int) -> Image.Image:
    return Image.fromarray(np.full((5, 5), value, dtype=np.uint16))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (plain("1", 1), [255]),
        (plain("L", 7), [7]),
        (plain("LA", (100, 0)), [255]),
        (plain("LA", (100, 255)), [100]),
        (sixteen_bits(65535), [255]),
        (sixteen_bits(257 * 9), [9]),
        (sixteen_bits(257 * 9 + 200), [10]),
        (sixteen_bits(200), [1]),
        (plain("RGB", (1, 2, 3)), [1, 2, 3]),
        (plain("RGBA", (10, 20, 30, 255)), [10, 20, 30]),
        (plain("RGBA", (10, 20, 30, 0)), [255, 255, 255]),
        (plain("RGBA", (0, 0, 0, 51)), [204, 204, 204]),
        (plain("RGB", (9, 8, 7)).quantize(4), [9, 8, 7]),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else str(value),
)
def test_folder_modes(root, image, expected):
    assert only_pixel(root, image) == expected


def test_folder_transparent_palette(root):
    assert only_pixel(root, plain("RGB", (9, 8, 7)).quantize(4), transparency=0) == [255, 255, 255]


def test_folder_grey_images_beside_colour(root):
    save(root / "b" / "extra.png", plain("RGB", (1, 2, 3)))
    images = datasets.load(f"folder:{root}", side=4).images
    assert images.shape == (21, 3, 4, 4) and images.is_contiguous()
    assert images[19, :, 0, 0].tolist() == [109] * 3


@pytest.mark.parametrize("kind", ["jpg", "bmp", "gif", "tif", "webp"])
def test_folder_formats(root, kind):
    save(root / "b" / f"extra.{kind}", plain("RGB", (200, 100, 50)))
    pixel = datasets.load(f"folder:{root}", side=4).images[-1, :, 0, 0]
    assert (pixel - torch.tensor([200, 100, 50])).abs().max() <= 5  # some of them are lossy


def test_folder_cmyk(root):
    save(root / "b" / "extra.tif", plain("CMYK", (0, 255, 255, 0)))
    assert datasets.load(f"folder:{root}", side=4).images[-1, :, 0, 0].tolist() == [255, 0, 0]


def test_folder_exif_orientation(root):
    image = plain("L", 0, (8, 4))
    image.paste(255, (0, 0, 4, 4))  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter to the right: left becomes top
    save(root / "b" / "extra.png", image, exif=exif)
    shown = datasets.load(f"folder:{root}", side=4).images[-1, 0]
    assert shown.tolist()[0] == [255] * 4 and shown.tolist()[3] == [0] * 4


def test_folder_resize_is_antialiased(root):
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    save(root / "b" / "extra.png", Image.fromarray(stripes))
    shown = datasets.load(f"folder:{root}", side=8).images[-1].int()
    assert shown.min() > 110 and shown.max() < 145


def test_folder_ignores_what_file_managers_leave(root):
    expected = datasets.load(f"folder:{root}")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "a/.hidden.png", "a/Thumbs.db", "b/Desktop.ini"):
        (root / name).write_bytes(b"?")
    (root / "a" / ".cache").mkdir()
    (root / ".git").mkdir()
    assert same(expected, datasets.load(f"folder:{root}"))


PNG = encoded(Image.fromarray(RANDOM.randint(0, 256, (20, 20), dtype=np.uint8)), "png")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a/notes.txt", b"hello"),
        ("a/empty.png", b""),
        ("a/cut.png", PNG[:-40]),
        ("a/flipped.png", PNG[:100] + b"\xff\x00\xff" + PNG[103:]),
        ("b/cut.jpg", jpeg(3)[:400]),
        ("a/float.tif", encoded(plain("F", 0.5), "tiff")),
        ("a/wide.tif", encoded(plain("I", 70000), "tiff")),
        ("loose.png", PNG),
        ("README", b"hello"),
    ],
)
def test_folder_file_that_is_no_image(root, name, content):
    (root / name).write_bytes(content)
    assert str(root / name) in refusal(f"folder:{root}")


def test_folder_inside_a_class_folder(root):
    (root / "a" / "more").mkdir()
    assert str(root / "a" / "more") in refusal(f"folder:{root}")


def test_folder_broken_link(root):
    (root / "a" / "link.png").symlink_to(root / "gone.png")
    assert str(root / "a" / "link.png") in refusal(f"folder:{root}")


def test_folder_empty_class(root):
    (root / "c").mkdir()
    (root / "c" / ".gitkeep").touch()
    message = refusal(f"folder:{root}")
    assert str(root / "c") in message and "holds no image" in message


def test_folder_empty(tmp_path):
    assert str(tmp_path) in refusal(f"folder:{tmp_path}")


def test_folder_missing(tmp_path):
    assert str(tmp_path / "gone") in refusal(f"folder:{tmp_path / 'gone'}")


def test_folder_with_an_empty_part(tmp_path):
    (tmp_path / "train").mkdir()
    for name in ("good", "broken"):
        save(tmp_path / "test" / name / "0.png", plain("L", 2))
    assert f"{tmp_path / 'train'} holds no class folder" in refusal(f"folder:{tmp_path}")


def test_other_trouble_of_the_file_system(root, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert "Permission denied" in refusal(f"folder:{root}")
