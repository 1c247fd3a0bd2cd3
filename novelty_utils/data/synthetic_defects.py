"""`synthetic_defects`: small pictures of textures and objects with drawn defects and exact masks, made in memory.

Brick and gravel are photographs that come with scikit-image, everything else is drawn. The pictures are here so that
code for inspection data can be run, tested and looked at without a download; a number on them says nothing about
real parts. The same class gives the same pictures every time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain, repeat

import numpy as np
import skimage.data
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

SIDE, TRAIN, GOOD, OF_EACH_KIND = 256, 60, 12, 8


@dataclass
class Scene:
    """A sound part before the camera's noise: pictures float64 (c, SIDE, SIDE) in [0, 1], weights (SIDE, SIDE)."""

    picture: np.ndarray
    body: np.ndarray  # 1 where the part is, 0 elsewhere: where it can be damaged
    behind: np.ndarray  # what shows where something is missing
    # 1 where a piece can be missing, or a print be wrong
    loose: np.ndarray = field(default_factory=lambda: np.zeros((SIDE, SIDE)))


Defect = tuple[np.ndarray, np.ndarray]  # the picture with the defect, and its weight (SIDE, SIDE)


def make(class_name: str) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """All pictures of one class of `params.DEFECT_CLASSES["synthetic_defects"]`.

    Returns images uint8 (n, c, 256, 256), the 60 for training first; masks uint8 (m, 256, 256), 1 where the picture is
    defective; and the kind of each of the m test pictures: "good" 12 times, then each kind of defect 8 times.
    """
    draw, defects = CLASSES[class_name]
    rng = np.random.RandomState(list(CLASSES).index(class_name))  # the one generator of numpy that is frozen for good
    kinds = tuple(chain(repeat("good", GOOD), *(repeat(kind, OF_EACH_KIND) for kind in defects)))
    train = [_photograph(rng, draw(rng, False).picture) for _ in range(TRAIN)]
    test = [_damaged(rng, draw(rng, True), defects.get(kind)) for kind in kinds]
    images = np.stack(train + [picture for picture, _ in test])
    masks = np.stack([mask for _, mask in test])
    return torch.from_numpy(images), torch.from_numpy(masks), kinds


def _damaged(rng, scene: Scene, defect: Callable | None) -> tuple[np.ndarray, np.ndarray]:
    picture, weight = scene.picture, np.zeros((SIDE, SIDE))
    while defect and (weight > 0.5).sum() < 40:  # one that only grazes the part cannot be seen: draw another
        picture, weight = defect(rng, scene)
    return _photograph(rng, picture), (weight > 0.5).astype(np.uint8)


def _photograph(rng, picture: np.ndarray) -> np.ndarray:
    """Exposure and noise of a camera: float (c, SIDE, SIDE) -> uint8."""
    taken = picture * rng.uniform(0.95, 1.05) + rng.normal(0, 0.012, picture.shape)
    return np.rint(255 * taken.clip(0, 1)).astype(np.uint8)


# --- tools ---------------------------------------------------------------------------------------------------------


def _colour(*levels: float) -> np.ndarray:
    return np.array(levels)[:, None, None]


def _paint(picture: np.ndarray, paint: np.ndarray | float, weight: np.ndarray) -> np.ndarray:
    return picture + weight * (paint - picture)


def _plane(rng, shift: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of every pixel on a part moved by up to `shift` pixels and turned by up to `turn` degrees."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    x, y = x - rng.uniform(-shift, shift), y - rng.uniform(-shift, shift)
    angle = np.radians(rng.uniform(-turn, turn))
    return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x


def _inside(distance: np.ndarray) -> np.ndarray:
    """1 where the signed distance to an outline is negative, 0 where it is positive, soft over one pixel."""
    return np.clip(0.5 - distance, 0, 1)


def _rough(rng, size: float) -> np.ndarray:
    """Smooth noise of mean about 0 and deviation 1; its hills are about `size` pixels wide."""
    noise = gaussian_filter(rng.standard_normal((SIDE, SIDE)), size)
    return noise / noise.std()


def _somewhere(rng, weight: np.ndarray) -> tuple[int, int]:
    """Row and column of a random pixel where `weight` is nearly 1."""
    rows, columns = np.nonzero(weight > 0.9)
    chosen = rng.randint(len(rows))
    return rows[chosen], columns[chosen]


def _blob(rng, where: tuple[int, int], radius: float) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    return _inside(np.hypot(y - where[0], x - where[1]) - radius + 0.2 * radius * _rough(rng, 6))


# --- textures and objects ------------------------------------------------------------------------------------------


def _photographed(name: str) -> Callable:
    """Cut-outs of a photograph, mirrored at random: its left half is for training, its right half for testing."""

    def draw(rng, test: bool) -> Scene:
        whole = getattr(skimage.data, name)() / 255
        top = rng.randint(whole.shape[0] - SIDE + 1)
        cut = whole[top : top + SIDE, SIDE:] if test else whole[top : top + SIDE, :SIDE]
        cut = cut[:: rng.choice([1, -1]), :: rng.choice([1, -1])][None]
        return Scene(cut, np.ones((SIDE, SIDE)), _colour(0.05))

    return draw


def _cloth(rng, test: bool) -> Scene:
    x, y = _plane(rng, 16, 2)
    warp, weft = _colour(0.28, 0.40, 0.62), _colour(0.80, 0.74, 0.60)
    warp_on_top = np.floor(x / 8) % 2 == np.floor(y / 8) % 2
    rounded = np.where(warp_on_top, np.abs(np.sin(np.pi * x / 8)), np.abs(np.sin(np.pi * y / 8)))
    picture = np.where(warp_on_top, warp, weft) * (0.55 + 0.4 * rounded + 0.03 * _rough(rng, 30))
    return Scene(picture, np.ones((SIDE, SIDE)), _colour(0.06, 0.05, 0.05))


def _nut(rng, test: bool) -> Scene:
    x, y = _plane(rng, 6, 12)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    hexagon = np.max([np.abs(x * np.cos(t) + y * np.sin(t)) for t in np.radians([0, 60, 120])], axis=0) - 92
    body = _inside(hexagon) * _inside(42 - radius)
    steel = 0.60 + 0.08 * np.cos(2 * angle - 1) + 0.025 * np.sin(1.3 * radius)
    steel = _paint(steel, 0.85, _inside(np.abs(radius - 84) - 3))  # the bevel
    steel = _paint(steel, 0.35 + 0.2 * np.sin(radius), _inside(radius - 52))  # the thread
    behind = np.broadcast_to(_colour(0.10, 0.13, 0.17) * (1 + 0.05 * _rough(rng, 2)), (3, SIDE, SIDE))
    return Scene(_paint(behind, _colour(0.98, 0.97, 0.92) * steel, body), body, behind)


FIGURES = {"5": ("###", "#..", "###", "..#", "###"), "0": ("###", "#.#", "#.#", "#.#", "###")}


def _figures(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The print 500, 4 pixels a dot, as a weight on the coordinates of a part."""
    rows = [".".join(row) for row in zip(*(FIGURES[figure] for figure in "500"), strict=True)]
    dots = np.array([[dot == "#" for dot in row] for row in rows])
    row, column = np.floor(y / 4 + 2.5).astype(int), np.floor(x / 4 + 5.5).astype(int)
    on = (row >= 0) & (row < 5) & (column >= 0) & (column < 11)
    return np.where(on, dots[row.clip(0, 4), column.clip(0, 10)], 0.0)


def _capsule(rng, test: bool) -> Scene:
    x, y = _plane(rng, 6, 6)
    body = _inside(np.hypot(np.maximum(np.abs(x) - 62, 0), y) - 40)
    shine = 0.65 + 0.45 * np.exp(-((y + 14) ** 2) / 300) - 0.25 * (y / 40) ** 2
    blank = np.where(x < 0, _colour(0.16, 0.17, 0.20), _colour(0.86, 0.42, 0.14)) * shine
    blank = _paint(blank, 0.05, _inside(np.abs(x) - 1.5))
    figures = _figures(x - 44, y)
    behind = np.broadcast_to(_colour(0.80, 0.81, 0.83) + 0.01 * _rough(rng, 3), (3, SIDE, SIDE))
    picture = _paint(behind, _paint(blank, _colour(0.97, 0.95, 0.90), figures), body)
    return Scene(picture, body, _paint(behind, blank, body), figures)


def _zipper(rng, test: bool) -> Scene:
    x, y = _plane(rng, 8, 1.5)
    weave = 0.30 + 0.05 * np.sin(np.pi * x / 3) * np.sin(np.pi * y / 3)
    tape = _inside(np.abs(x) - 88)
    behind = _paint(np.full_like(x, 0.84), weave, tape)
    shade = 0.62 + 0.2 * np.cos(np.pi * y / 8)
    left, right = (
        _inside(np.maximum(np.abs(x + side) - 17, np.abs((y + 8 * (side < 0)) % 16 - 8) - 4.5)) for side in (12, -12)
    )
    picture = _paint(_paint(behind, shade, left), 1.24 - shade, right)
    tooth = np.floor(y / 16) == rng.randint(-5, 5)
    return Scene(picture[None], tape, behind[None], np.where(tooth, left * (1 - right), 0.0))


# --- defects -------------------------------------------------------------------------------------------------------


def _scratch(rng, scene: Scene) -> Defect:
    """A bright or dark curved line across the part."""
    t = np.linspace(-1, 1, 80)
    row, column = _somewhere(rng, scene.body)
    angle, length, bend = rng.uniform(0, np.pi), rng.uniform(25, 60), rng.uniform(-15, 15)
    u, v = length * t, bend * t**2
    rows, columns = row + np.sin(angle) * u + np.cos(angle) * v, column + np.cos(angle) * u - np.sin(angle) * v
    y, x = np.mgrid[:SIDE, :SIDE]
    distance = np.min([np.hypot(y - r, x - c) for r, c in zip(rows, columns, strict=True)], axis=0)
    weight = _inside(distance - rng.uniform(1.5, 3)) * scene.body
    return _paint(scene.picture, rng.choice([0.05, 0.97]), weight), weight


def _stain(rng, scene: Scene) -> Defect:
    """A see-through patch, darker than the part and brownish where there is colour."""
    weight = _blob(rng, _somewhere(rng, scene.body), rng.uniform(14, 26)) * scene.body
    tint = _colour(0.70, 0.48, 0.30)[: len(scene.picture)] * rng.uniform(0.6, 1)
    return _paint(scene.picture, tint * scene.picture, weight), weight


def _missing(rng, scene: Scene) -> Defect:
    """A hole in a texture; of an object a piece of its rim."""
    where = scene.body if scene.body.min() == 1 else (scene.body > 0) & (scene.body < 1)
    weight = _blob(rng, _somewhere(rng, where), rng.uniform(10, 20)) * scene.body
    return _paint(scene.picture, scene.behind, weight), weight


def _missing_tooth(rng, scene: Scene) -> Defect:
    return _paint(scene.picture, scene.behind, scene.loose), scene.loose


def _misprint(rng, scene: Scene) -> Defect:
    """The print is wiped off and stands, paler, where it should not."""
    y, x = np.mgrid[:SIDE, :SIDE]
    rows, columns = np.nonzero(scene.loose > 0.5)
    up, aside = rng.choice([-1, 1]) * rng.uniform(8, 14), rng.uniform(-8, 8)
    wrong = _figures(rows.mean() - y + up, x - columns.mean() + aside)
    picture = _paint(_paint(scene.picture, scene.behind, scene.loose), 0.85, wrong * scene.body)
    return picture, np.maximum(scene.loose, wrong) * scene.body


_ON_TEXTURES = {"hole": _missing, "scratch": _scratch, "stain": _stain}
CLASSES: dict[str, tuple[Callable, dict[str, Callable]]] = {  # in the order of params.DEFECT_CLASSES
    "brick": (_photographed("brick"), _ON_TEXTURES),
    "cloth": (_cloth, _ON_TEXTURES),
    "gravel": (_photographed("gravel"), _ON_TEXTURES),
    "capsule": (_capsule, {"misprint": _misprint, "scratch": _scratch, "stain": _stain}),
    "nut": (_nut, {"chipped": _missing, "scratch": _scratch, "stain": _stain}),
    "zipper": (_zipper, {"missing_tooth": _missing_tooth, "scratch": _scratch, "stain": _stain}),
}
