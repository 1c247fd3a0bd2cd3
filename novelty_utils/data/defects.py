"""Inspection data: sound images of one class to train on, sound and defective ones with masks to test on.

Names: `synthetic_defects` (made in memory, see `synthetic`), `mvtec_ad` (the official archive, unpacked into the cache)
and `folder:PATH` (anybody's images in the same layout):

    CLASS/train/good/NAME.png    CLASS/test/good/NAME.png    CLASS/test/KIND/NAME.png
    CLASS/ground_truth/KIND/NAME_mask.png, white where the image is defective

Whatever cannot be read or does not fit together ends in one `InputError` line that names it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageChops, ImageFilter
from torch import Tensor

from novelty_utils.classes import refuse_unwritable
from novelty_utils.data import image_folders, synthetic_defects
from novelty_utils.data.datasets import cache_dir
from novelty_utils.errors import InputError
from novelty_utils.params import defect_class_names
from novelty_utils.progress import tell, tqdm

GOOD = "good"
SHADE = 32  # levels of 256 that a mask may lie beside black and white, or beside grey, as JPEG leaves them


@dataclass(frozen=True)
class Defects:
    """One class, on the CPU. The same name and files give the same bits every time."""

    name: str  # as given to `load`
    class_name: str
    images: Tensor  # uint8 (n, c, side, side), c = 1 or 3: those for training first, then those for testing
    checksum: str  # 16 hex digits: sha256 over shape, images, masks and kinds
    _masks: Tensor = field(repr=False)
    _kinds: tuple[str, ...] = field(repr=False)

    @property
    def train(self) -> Tensor:
        """The sound images for training, uint8 (n_train, c, side, side)."""
        return self.images[: len(self.images) - len(self._kinds)]

    @property
    def test(self) -> Tensor:
        """The images for testing, uint8 (n_test, c, side, side), in the order of what `reveal` returns."""
        return self.images[len(self.images) - len(self._kinds) :]

    def reveal(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """The truth about the test images, for metrics only.

        Masks uint8 (n_test, side, side), 1 = defective, and the kind of each image: "good", or that of its defect.
        """
        return self._masks.numpy(), self._kinds

    def card(self) -> pd.DataFrame:
        """One row per kind of image: how many there are, and which share of their pixels is defective."""
        rows = [("training", GOOD, len(self.train), 0.0)]
        for kind, count in Counter(self._kinds).items():
            mine = torch.tensor([k == kind for k in self._kinds])
            rows.append(("test", kind, count, float(self._masks[mine].float().mean())))
        return pd.DataFrame(rows, columns=["part", "kind", "images", "defective pixels"]).set_index(["part", "kind"])


def load(name: str, class_name: str, side: int = 1024) -> Defects:
    """Read one class of the data set `name`, every image resized to `side` x `side` pixels (bilinear, antialiased).

    `synthetic_defects` has 256 x 256 pixels whatever `side` is. Images may differ in size and shape, as long as each
    mask has the size of its image; a resized mask is defective where the greater part of a pixel was, and a defect too
    small for that where it is strongest. One channel if all images are grey by their mode, else three. Sound images
    need no mask. Raises InputError, one line, for an unknown name or class, a class without sound images for training,
    without sound or without defective ones for testing, a mask that is missing, of another size, of no image or of two,
    that is not black and white, contradicts the folder of its image or vanishes at this `side`, and for a file that
    cannot be read. Tells of masks that mark most of their image, and of images that are in both parts.
    """
    if class_name not in defect_class_names(name):
        allowed = ", ".join(defect_class_names(name))
        raise InputError(f"class_name={class_name!r} is not a class of {name}: choose {allowed}")
    if side < 1:
        raise InputError(f"side={side} is not a size in pixels: give a whole number of at least 1")
    if name == "synthetic_defects":
        images, masks, kinds = synthetic_defects.make(class_name)
    else:
        try:
            images, masks, kinds = _read(_root(name) / class_name, side)
        except OSError as error:
            raise InputError(f"dataset={name!r} cannot be read ({error}): check path and permissions") from error
    return Defects(name, class_name, images, _checksum(images, masks, kinds), masks, kinds)


def _root(name: str) -> Path:
    if name.startswith("folder:"):
        return Path(name.removeprefix("folder:")).expanduser()
    root = cache_dir() / name
    if not root.is_dir():
        raise InputError(
            f"{root} is not there: get mvtec_anomaly_detection.tar.xz from the makers of MVTec AD, make this folder "
            "and unpack the archive into it with tar -xf, or set NOVELTY_DATA to the folder that holds mvtec_ad"
        )
    return root


def _checksum(images: Tensor, masks: Tensor, kinds: tuple[str, ...]) -> str:
    digest = hashlib.sha256(repr((tuple(images.shape), kinds)).encode())
    for tensor in (images, masks):
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()[:16]


# --- files ---------------------------------------------------------------------------------------------------------


def _read(root: Path, side: int) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    train = _files(root / "train" / GOOD)
    test = {kind.name: _files(kind) for kind in _kinds(root / "test")}
    if not train or GOOD not in test or len(test) < 2 or not all(test.values()):
        found = ", ".join(f"{len(files)} {kind}" for kind, files in test.items()) or "nothing"
        raise InputError(
            f"{root}: {len(train)} images in train/{GOOD} and {found} in test; at least one image in train/{GOOD}, "
            f"one in test/{GOOD} and one in each of test/KIND are needed"
        )
    kinds = tuple(chain.from_iterable([kind] * len(files) for kind, files in test.items()))
    masks = torch.from_numpy(np.stack(list(_masks(root / "ground_truth", test, side))))
    files = [*train, *chain.from_iterable(test.values())]
    images = image_folders.pictures(files, side)
    image_folders.tell_shared(images, files, [False] * len(train) + [True] * len(kinds))
    _tell_large(masks, files[len(train) :])
    return images, masks, kinds


def _tell_large(masks: Tensor, files: list[Path]) -> None:
    """Say which masks mark most of their image, as one does where black and white are exchanged."""
    large = [file for mask, file in zip(masks, files, strict=True) if mask.float().mean() > 0.5]
    if large:
        tell(
            f"{len(large)} of {len(files)} masks mark more than half of their image, such as that of {large[0]}: "
            "white is the defect, black the rest"
        )


def _kinds(folder: Path) -> list[Path]:
    """The folders of the kinds, the sound images first."""
    found = image_folders.contents(folder) if folder.is_dir() else []
    for path in found:
        if not path.is_dir():
            raise InputError(f"{path} lies beside the folders of the kinds: move it into one of them or delete it")
        refuse_unwritable(path)
    return sorted(found, key=lambda path: (path.name != GOOD, path.name))


def _files(folder: Path) -> list[Path]:
    return image_folders.files_of(folder) if folder.is_dir() else []


def _masks(root: Path, test: dict[str, list[Path]], side: int) -> Iterator[np.ndarray]:
    expected = {image: root / kind / f"{image.stem}_mask.png" for kind, files in test.items() for image in files}
    _refuse_shared(expected)
    extra = {mask for kind in _kinds(root) for mask in _files(kind)} - set(expected.values())
    if extra:
        raise InputError(f"{min(extra)} is the mask of no image in {root.parent / 'test'}: rename or delete it")
    for image, mask in tqdm(expected.items(), desc="read masks", unit="image", leave=False, delay=2):
        maskless = image.parent.name == GOOD and not mask.exists()
        yield np.zeros((side, side), np.uint8) if maskless else _mask(image, mask, side)


def _refuse_shared(expected: dict[Path, Path]) -> None:
    """Two images, NAME.png and NAME.jpg, would have the same mask. Sound ones need none."""
    first: dict[Path, Path] = {}
    for image, mask in expected.items():
        other = first.setdefault(mask, image)
        if other != image and (image.parent.name != GOOD or mask.exists()):
            raise InputError(f"{other} and {image} have the same mask, {mask.name}: give one of them another name")


def _mask(image: Path, mask: Path, side: int) -> np.ndarray:
    """The mask of one image: uint8 (side, side), 1 = defective."""
    if not mask.is_file():
        raise InputError(f"{mask} is missing, the mask of {image}: draw it, or take the image away")
    size, drawn = image_folders.opened(image)[0].size, _black_and_white(mask)
    if drawn.size != size:
        wrong, right = (f"{width} x {height}" for width, height in (drawn.size, size))
        raise InputError(f"{mask} has {wrong} pixels, but its image has {right}: draw the mask on the image itself")
    good, marks = image.parent.name == GOOD, drawn.getbbox() is not None
    if good and marks:
        raise InputError(f"{mask} marks a defect, but {image} is among the sound images: move or delete one of them")
    if not good and not marks:
        raise InputError(f"{mask} marks no pixel: make the defect white, or move the image to test/{GOOD}")
    resized = np.asarray(drawn.resize((side, side), Image.Resampling.BILINEAR))
    if marks and not resized.any():
        raise InputError(f"{mask} marks nothing that is left at side={side}: choose a larger side")
    return (resized >= min(128, resized.max() or 128)).astype(np.uint8)


def _black_and_white(mask: Path) -> Image.Image:
    """A mask, read as images are: mode L, 0 or 255. Raises InputError where it is not clear what is marked."""
    with image_folders.readable(str(mask)), Image.open(mask) as image:
        clear = image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255
    drawn, _ = image_folders.opened(mask)
    if clear or _has_colours(drawn) or _has_shades(drawn.convert("L")):
        why = "it is transparent in places" if clear else "it has colours" if _has_colours(drawn) else "it has greys"
        raise InputError(f"{mask} is not black and white ({why}): make the defect white and all the rest black")
    return drawn.convert("L").point(lambda level: 255 * (level > 127))


def _has_colours(drawn: Image.Image) -> bool:
    channels = drawn.split()
    return any(np.asarray(ImageChops.difference(channels[0], other)).max() >= SHADE for other in channels[1:])


def _has_shades(drawn: Image.Image) -> bool:
    """Whether there is grey that is not the soft edge of something white, two pixels at most."""
    levels, edge = np.asarray(drawn), drawn.point(lambda level: 255 * (level >= 256 - SHADE))
    near_white = np.asarray(edge.filter(ImageFilter.MaxFilter(5))) > 0
    return bool(((levels >= SHADE) & ~near_white).any())


# --- patches -------------------------------------------------------------------------------------------------------


def patches(images: Tensor, size: int = 128) -> Tensor:
    """Cut images into squares that do not overlap: (n, c, h, w) -> (n * m, c, size, size), image by image, row by row.

    m = (h / size) * (w / size). Raises InputError if a side is not a multiple of `size`.
    """
    n, c, h, w = images.shape
    if size < 1 or h % size or w % size:
        raise InputError(f"images of {h} x {w} pixels cannot be cut into patches of {size}: use a multiple of {size}")
    cut = images.view(n, c, h // size, size, w // size, size)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(-1, c, size, size)


def whole(maps: Tensor, side: int) -> Tensor:
    """Put patches of maps together again, the inverse of `patches`: (n * m, size, size) -> (n, side, side)."""
    size = maps.shape[-1]
    per = side // size
    return maps.view(-1, per, per, size, size).permute(0, 1, 3, 2, 4).reshape(-1, side, side)


def augmented(images: Tensor, count: int, seed: int, turn: bool, size: int = 128) -> Tensor:
    """Random squares to train on, besides `patches`: (n, c, h, w) -> (n * count, c, size, size), image by image.

    Cut from the central 80 % of the image, as in the NLN authors' code, and turned by a random multiple of 90 degrees
    if `turn`, which suits textures: an object has an upright. Depends on `seed` alone.
    Raises InputError if a patch does not fit into the central 80 %.
    """
    h, w = images.shape[-2:]
    low, room = [h // 10, w // 10], [h - 2 * (h // 10) - size, w - 2 * (w // 10) - size]
    if min(room) < 0:
        raise InputError(f"patches of {size} do not fit into the central 80 % of {h} x {w} pixels: use larger images")
    draw = np.random.RandomState(seed)  # the one generator of numpy whose stream is frozen for good
    cut = []
    for image in images:
        for _ in range(count):
            row, column = (start + draw.randint(space + 1) for start, space in zip(low, room, strict=True))
            patch = image[:, row : row + size, column : column + size]
            cut.append(torch.rot90(patch, draw.randint(4) if turn else 0, (1, 2)))
    return torch.stack(cut)
