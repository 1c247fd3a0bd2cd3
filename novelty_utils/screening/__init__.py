"""A folder of images of one's own: fit a detector to normal ones, score new ones, show what was found."""

from novelty_utils.screening.choosing import choose
from novelty_utils.screening.fitting import fit
from novelty_utils.screening.scoring import score

__all__ = ["choose", "fit", "score"]
