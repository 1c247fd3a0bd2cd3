"""Images that are easily read wrongly: depth, polarity, transparency, copies in both parts, misplaced folders."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from novelty_utils.data import datasets, defects, image_folders
from novelty_utils.errors import InputError

LEVELS = np.array([[0, 100], [200, 255]])


def tiff(pixels: np.ndarray, photometric: int = 1, signed: bool = False) -> bytes:
    """An uncompressed grey TIFF, written here since Pillow writes no inverted 16-bit one: 262 = 0 where 0 is white."""
    height, width = pixels.shape
    data, kind = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes(), 2 if signed else 1
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8 * pixels.itemsize), (259, 3, 1), (262, 3, photometric)]
    tags += [(273, 4, 0), (277, 3, 1), (278, 4, height), (279, 4, len(data)), (339, 3, kind)]
    start = 8 + 2 + 12 * len(tags) + 4
    entries = [struct.pack("<HHII", tag, size, 1, start if tag == 273 else value) for tag, size, value in tags]
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(entries) + struct.pack("<I", 0) + data


def png(pixels: np.ndarray, transparent: tuple[int, ...] = ()) -> bytes:
    """A 16-bit PNG, grey (h, w) or colour (h, w, 3), perhaps with a transparent level or colour."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", pixels.shape[1], len(pixels), 16, 2 * (pixels.ndim == 3), 0, 0, 0))]
    if transparent:
        chunks.append((b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)))
    chunks.append((b"IDAT", zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels))))
    parts = [
        struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in [*chunks, (b"IEND", b"")]
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def fits(pixels: np.ndarray) -> bytes:
    """16 bits as FITS keeps those without a sign: less 32768, which its header tells."""
    about = {"SIMPLE": "T", "BITPIX": 16, "NAXIS": 2, "NAXIS1": pixels.shape[1], "NAXIS2": len(pixels), "BZERO": 32768}
    header = "".join(f"{word:8}= {value:>20}".ljust(80) for word, value in about.items()) + "END"
    return header.ljust(2880).encode() + (pixels[::-1] - 32768).astype(">i2").tobytes().ljust(2880, b"\0")


def read(folder: Path, content: bytes, name: str = "image") -> list:
    (folder / name).write_bytes(content)
    return image_folders.pictures([folder / name], 2)[0].squeeze().tolist()


def refused(folder: Path, content: bytes) -> str:
    with pytest.raises(InputError) as caught:
        read(folder, content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- depth, polarity, transparency -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("photometric", [0, 1])
def test_where_zero_is_white_the_image_is_turned_round(tmp_path, kind, photometric):
    pixels = (LEVELS * (257 if kind == np.uint16 else 1)).astype(kind)
    assert read(tmp_path, tiff(pixels, photometric)) == (LEVELS if photometric else 255 - LEVELS).tolist()


@pytest.mark.parametrize(("kind", "signed"), [(np.uint32, False), (np.int32, True), (np.int16, True)])
def test_pixels_whose_range_nobody_knows_are_refused(tmp_path, kind, signed):
    told = refused(tmp_path, tiff(LEVELS.astype(kind), signed=signed))
    assert "32-bit or signed pixels have no fixed range; save it with 8 or 16 bits" in told


def test_16_bits_of_fits_are_signed_and_refused(tmp_path):
    assert "32-bit or signed pixels have no fixed range" in refused(tmp_path, fits(LEVELS * 257))


def test_a_transparent_level_of_16_bits_is_white_as_one_of_8_is(tmp_path):
    assert read(tmp_path, png(LEVELS * 257, (0,))) == [[255, 100], [200, 255]]


def test_a_transparent_colour_of_16_bits_is_white_or_refused(tmp_path):
    pixels = np.stack([LEVELS * 257] * 3, axis=2)
    assert read(tmp_path, png(pixels, (0, 0, 0)))[1] == [[255, 100], [200, 255]]
    assert "a transparent colour of 16 bits" in refused(tmp_path, png(pixels, (25700, 25700, 25700)))


@pytest.mark.parametrize(("bits", "levels"), [(10, 4), (12, 16), (14, 64), (15, 0), (16, 0)])
def test_cameras_of_fewer_bits_in_files_of_16_are_told(tmp_path, capsys, bits, levels):
    read(tmp_path, tiff((LEVELS * 2**bits // 256).astype(np.uint16)))
    told = f"note: 1 images of 16 bits use {bits} of them or fewer: of 256 grey levels {levels} are left; multiply"
    assert (told in capsys.readouterr().err) == (levels > 0)


def test_colours_of_fewer_bits_are_told_as_greys_are(tmp_path, capsys):
    pixels = np.stack([LEVELS * 16] * 3, axis=2)  # of 12 bits
    read(tmp_path, png(pixels))
    assert (
        "note: 1 images of 16 bits use 12 of them or fewer: of 256 grey levels 16 are left" in capsys.readouterr().err
    )
    read(tmp_path, png(pixels * 16))
    assert not capsys.readouterr().err


def test_each_image_of_few_bits_is_counted_whatever_lies_beside_it(tmp_path, capsys):
    for name, factor in (("a", 16), ("b", 4), ("full", 257), ("black", 0)):
        (tmp_path / name).write_bytes(png(LEVELS * factor))
    image_folders.pictures(sorted(tmp_path.iterdir()), 2)
    assert "note: 2 images of 16 bits use 12 of them or fewer: of 256 grey levels 16" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_grey_tiff_is_turned_upright_as_a_png_is(tmp_path, kind, orientation):
    image = Image.fromarray(np.arange(24, dtype=kind).reshape(6, 4) * (257 if kind == np.uint16 else 1))
    exif = image.getexif()
    exif[274] = orientation
    for name in ("a.tif", "a.png"):
        image.save(tmp_path / name, exif=exif)
    tiff, png = (np.asarray(image_folders.opened(tmp_path / name)[0]) for name in ("a.tif", "a.png"))
    assert np.array_equal(tiff, png)
    assert png.shape == ((6, 4) if orientation < 5 else (4, 6))


def test_a_big_image_is_read_without_a_warning(tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3)
    read(tmp_path, png(LEVELS * 257))
    assert not recwarn.list


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match=r"is not a readable image \(not a file\): repair"):
        image_folders.opened(tmp_path / "pipe.png")


# --- the same picture in training and test ---------------------------------------------------------------------------


def save(path: Path, level: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (6, 6), level).save(path)
    return path


def test_pictures_in_both_parts_are_counted_by_content(tmp_path, capsys):
    for number in range(3):
        save(tmp_path / "train/good" / f"{number}.png", number)
        save(tmp_path / "test/good" / f"{number}.png", 100 + number)
    save(tmp_path / "test/bad/0.png", 200)
    datasets.load(f"folder:{tmp_path}")
    assert not capsys.readouterr().err
    save(tmp_path / "test/bad/copy.bmp", 1)  # another name, class and format
    (tmp_path / "test/good/9.png").symlink_to(tmp_path / "train/good/2.png")
    datasets.load(f"folder:{tmp_path}")
    told = capsys.readouterr().err
    assert "note: 2 of 6 test images are training images as well, such as " in told
    assert f"{tmp_path}/test/bad/copy.bmp and {tmp_path}/train/good/1.png" in told


def test_copies_in_one_part_are_nobodys_business(tmp_path, capsys):
    for file in ("train/good/0.png", "train/good/1.png"):
        save(tmp_path / file, 1)
    for file in ("test/good/0.png", "test/bad/0.png"):
        save(tmp_path / file, 2)
    datasets.load(f"folder:{tmp_path}")
    assert not capsys.readouterr().err


# --- folders that lie wrongly ----------------------------------------------------------------------------------------


def told_of(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        datasets.load(f"folder:{folder}")
    assert "delete" not in str(caught.value)  # what somebody has put there is fine, but for its place
    return str(caught.value)


@pytest.fixture
def animals(tmp_path) -> Path:
    for name in ("cat", "dog"):
        for number in range(4):
            save(tmp_path / "animals" / name / f"{number}.png", number)
    return tmp_path / "animals"


@pytest.mark.parametrize("parts", [("Train", "Test"), ("train", "Test"), ("TRAIN", "test")])
def test_parts_in_capitals_are_no_classes(animals, parts):
    for part in parts:
        for name in ("cat", "dog"):
            save(animals.parent / "own" / part / name / "0.png", 1)
    told = told_of(animals.parent / "own")
    assert f"holds {' and '.join(sorted(parts))}: call the two parts train and test, in small letters" in told


def test_a_folder_inside_a_class_is_told_where_it_belongs(animals):
    save(animals / "cat" / "siamese" / "0.png", 1)
    told = told_of(animals)
    assert f"{animals}/cat/siamese is a folder inside a folder of images: move what is in it up to" in told
    assert told.endswith("of its own, beside cat")


def test_a_folder_inside_a_kind_of_defect_is_told_as_well(tmp_path):
    for file in ("train/good/0.png", "test/good/0.png", "test/bent/more/0.png"):
        save(tmp_path / "bolt" / file, 1)
    with pytest.raises(InputError, match="bent/more is a folder inside a folder of images: move"):
        defects.load(f"folder:{tmp_path}", "bolt")


def test_the_folder_that_was_meant_is_named(animals):
    assert told_of(animals.parent).endswith(f"one folder of images per class, such as folder:{animals}")
    animals.rename(animals.parent / "train")
    assert told_of(animals.parent).endswith(f"such as folder:{animals.parent / 'train'}")


def test_what_a_mac_puts_into_an_archive_does_not_count(animals):
    before = datasets.load(f"folder:{animals}")
    for folder in (animals, animals / "cat"):
        save(folder / "__MACOSX" / "cat" / "._0.png", 1)
    after = datasets.load(f"folder:{animals}")
    assert (before.classes, before.checksum) == (after.classes, after.checksum)
