"""Data beside a figure: what the page reads is what the notebook gave, and no text of it can end the script."""

import base64
import io
import json
import re

import numpy as np
import torch
from PIL import Image

from novelty_utils.evaluation.movable import Movable, sprite


def read(movable: Movable) -> dict:
    (text,) = re.findall(r'<script type="application/json"[^>]*>(.*)</script>', movable._repr_html_())
    return json.loads(text)


def test_numbers_keep_four_digits_and_arrays_become_lists():
    given = Movable("parts", a=np.array([0.123456, 12345.6]), y=np.array([0, 1]), names=("surprise", "ease"), start=1)
    assert read(given) == {"a": [0.1235, 12350.0], "y": [0, 1], "names": ["surprise", "ease"], "start": 1}
    assert given._repr_html_().startswith('<script type="application/json" class="movable" data-kind="parts">')


def test_no_name_can_end_the_script():
    given = Movable("neighbours", panels={"</script><b>": 1.0})
    assert read(given) == {"panels": {"</script><b>": 1.0}}


def test_a_sprite_has_the_pictures_side_by_side_row_by_row():
    first = torch.arange(3).view(3, 1, 1, 1).expand(3, 1, 2, 2) / 255
    found = sprite(first, first + 10 / 255)
    picture = np.array(Image.open(io.BytesIO(base64.b64decode(found.removeprefix("data:image/png;base64,")))))
    assert picture.tolist() == [[0, 0, 1, 1, 2, 2]] * 2 + [[10, 10, 11, 11, 12, 12]] * 2
    assert np.array(Image.open(io.BytesIO(base64.b64decode(sprite(torch.rand(2, 3, 4, 4)).split(",")[1])))).ndim == 3
