"""The data set that is drawn in memory: the same bits each time, masks that fit the defects, no download."""

import socket

import numpy as np
import pytest
import skimage.data
import torch

from novelty_utils.data import synthetic_defects
from novelty_utils.params import DEFECT_CLASSES

EACH = [(name, kind) for name, (_, defects) in synthetic_defects.CLASSES.items() for kind in defects]


@pytest.fixture(scope="module")
def made():
    """Every class, with the network cut off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("synthetic_defects asked for the network"))
        return {name: synthetic_defects.make(name) for name in synthetic_defects.CLASSES}


def test_its_classes_are_those_that_the_parameters_know():
    assert tuple(synthetic_defects.CLASSES) == DEFECT_CLASSES["synthetic_defects"]


@pytest.mark.parametrize("name", synthetic_defects.CLASSES)
def test_a_class_has_sound_images_and_three_kinds_of_defects(made, name):
    images, masks, kinds = made[name]
    assert images.dtype == masks.dtype == torch.uint8
    assert images.shape[2:] == masks.shape[1:] == (256, 256)
    assert images.shape[1] == (1 if name in ("brick", "gravel", "zipper") else 3)
    assert len(images) - synthetic_defects.TRAIN == len(masks) == len(kinds) == 36
    assert list(dict.fromkeys(kinds)) == ["good", *sorted(synthetic_defects.CLASSES[name][1])]
    assert set(masks.unique().tolist()) == {0, 1}
    marked = masks.flatten(1).sum(1)
    assert all((n == 0) == (kind == "good") for n, kind in zip(marked.tolist(), kinds, strict=True))
    assert marked[marked > 0].min() >= 40
    assert marked.max() < 256 * 256 / 10


@pytest.mark.parametrize("name", ["brick", "nut"])
def test_the_same_class_is_the_same_bits(made, name):
    again = synthetic_defects.make(name)
    assert torch.equal(again[0], made[name][0])
    assert torch.equal(again[1], made[name][1])
    assert again[2] == made[name][2]


def test_no_two_images_are_alike(made):
    for images, _, _ in made.values():
        assert len({image.numpy().tobytes() for image in images}) == len(images)


@pytest.mark.parametrize(("name", "kind"), EACH)
def test_a_defect_changes_the_picture_where_its_mask_is_and_nowhere_else(name, kind):
    draw, defects = synthetic_defects.CLASSES[name]
    rng = np.random.RandomState(3)
    for _ in range(4):
        scene = draw(rng, True)
        picture, weight = defects[kind](rng, scene)
        change = np.abs(picture - scene.picture).mean(0)
        assert change[weight == 0].max() == 0
        assert weight.min() >= 0 and weight.max() <= 1
        if (weight > 0.5).any():
            assert change[weight > 0.5].mean() > 0.03


@pytest.mark.parametrize("name", ["brick", "gravel"])
def test_training_and_test_cut_outs_of_a_photograph_share_no_pixel(monkeypatch, name):
    left_and_right = np.repeat(np.array([[0, 255]], np.uint8), 256, axis=1).repeat(512, axis=0)
    monkeypatch.setattr(skimage.data, name, lambda: left_and_right)
    draw, rng = synthetic_defects.CLASSES[name][0], np.random.RandomState(0)
    assert all(draw(rng, False).picture.max() == 0 and draw(rng, True).picture.min() == 1 for _ in range(20))
