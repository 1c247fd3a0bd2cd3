"""A small Caltech-256 in the layout that torchvision leaves."""

import io
from pathlib import Path

from PIL import Image

from novelty_utils.params import CLASSES

SIZES = ((9, 6), (6, 9), (12, 12))
IMAGES = 10 + 256 * 2  # as `write_layout` makes them


def jpeg(label: int, number: int) -> bytes:
    """One colour that tells the category and the number of the image; the second image of a category is grey."""
    level = label % 200
    grey = Image.new("L", SIZES[number % 3], level)
    colour = Image.new("RGB", SIZES[number % 3], (level, 50 * (label // 200), 20 * number))
    stream = io.BytesIO()
    (grey if number == 2 else colour).save(stream, "jpeg", quality=95)
    return stream.getvalue()


def write_layout(root: Path) -> Path:
    """What torchvision leaves in `root`: ten images of 001.ak47, two of the others, and what else the archive holds."""
    folder = root / "caltech256" / "256_ObjectCategories"
    for label, name in enumerate(CLASSES["caltech256"]):
        category = folder / f"{label + 1:03d}.{name}"
        category.mkdir(parents=True)
        for number in range(1, 3 if label else 11):
            (category / f"{label + 1:03d}_{number:04d}.jpg").write_bytes(jpeg(label, number))
    (folder / "056.dog" / "greg" / "vision309").mkdir(parents=True)
    (folder / "198.spider" / "RENAME2").write_text("a script")
    return folder
