"""Images: data sets as uint8 tensors, folders of anybody's images, defects, and the protocols that split them."""

from novelty_utils.data.datasets import Dataset, load, to_side

__all__ = ["Dataset", "load", "to_side"]
