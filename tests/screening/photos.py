"""Folders of small images to fit and to score, in place of anybody's photographs."""

from pathlib import Path

import numpy as np
from PIL import Image


def photos(folder: Path, count: int, seed: int = 0, size: tuple[int, int] = (12, 10), mode: str = "L") -> list[Path]:
    """Write so many images, each like none of the others: 000.png, 001.png, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    shape = (count, size[1], size[0], 3) if mode == "RGB" else (count, size[1], size[0])
    files = [folder / f"{n:03}.png" for n in range(count)]
    for file, pixels in zip(files, draw.integers(0, 100, shape, dtype=np.uint8), strict=True):
        Image.fromarray(pixels).save(file)
    return files


def white(file: Path, size: tuple[int, int] = (12, 10)) -> Path:
    """Write an image that no other one here is like."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, 255).save(file)
    return file
