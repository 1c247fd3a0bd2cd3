"""Make the embedded samples of MNIST and Fashion-MNIST from the official files: `python tools/samples.py`.

Of each class 400 training and 100 test images, drawn by a seed, in the order of the official files; made again they
are the same, byte for byte. `data.load` has checked the official files.
"""

from __future__ import annotations

import io
import lzma
import sys

import numpy as np
import torch

from novelty_utils import data
from novelty_utils.data.datasets import SAMPLE_SIZES, SAMPLES
from novelty_utils.errors import InputError
from novelty_utils.files import write_atomically


def drawn(whole: data.Dataset) -> torch.Tensor:
    """The indices of a sample: int64, for each part and in it for each class so many of them, ascending."""
    picked = []
    for is_test, count in SAMPLE_SIZES.items():
        for label in range(len(whole.classes)):
            index = torch.nonzero((whole.labels == label) & (whole.is_test == is_test)).flatten()
            order = torch.randperm(len(index), generator=torch.Generator().manual_seed(label))
            picked.append(index[order[:count]].sort().values)
    return torch.cat(picked)


def packed(images: np.ndarray) -> bytes:
    """An .npy file behind the compression of .xz."""
    stream = io.BytesIO()
    np.save(stream, images)
    return lzma.compress(stream.getvalue(), preset=9 | lzma.PRESET_EXTREME)


def main() -> int:
    try:
        for sample, (name, path) in SAMPLES.items():
            whole = data.load(name)
            content = packed(whole.images[drawn(whole)].numpy())
            write_atomically(path, lambda file, content=content: file.write(content))
            print(f"{sample}: {len(content):,} bytes, checksum {data.load(sample).checksum}")
    except InputError as error:
        print(f"samples: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
