"""Splits: disjoint, seeded, of the right kind, with the labels of the test part out of sight."""

import numpy as np
import pytest
import torch

from novelty_utils import data, protocols
from novelty_utils.data import Dataset
from novelty_utils.params import InputError


def dataset(train: list[int], test: list[int]) -> Dataset:
    """Images whose labels are these; two classes, `cat` and `dog`."""
    labels = torch.tensor([*train, *test])
    is_test = torch.arange(len(labels)) >= len(train)
    return Dataset("pets", torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8), labels, is_test, ("cat", "dog"), "0")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits")


@pytest.mark.parametrize("n_train", [50, 4000])
def test_the_parts_are_disjoint_and_complete(digits, n_train):
    split = protocols.one_class(digits, 3, n_train, seed=0)
    parts = [set(part.tolist()) for part in (split.train, split.held_out, split.test)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    of_class = (digits.labels == 3) & ~digits.is_test
    assert parts[0] | parts[1] == set(torch.nonzero(of_class).flatten().tolist())
    assert parts[2] == set(torch.nonzero(digits.is_test).flatten().tolist())
    assert {part.dtype for part in (split.train, split.held_out, split.test)} == {torch.int64}


def test_as_many_training_images_as_asked_for_or_four_fifths_of_the_class(digits):
    in_class = int(((digits.labels == 3) & ~digits.is_test).sum())
    assert len(protocols.one_class(digits, 3, 50, 0).train) == 50
    assert len(protocols.one_class(digits, 3, 4000, 0).train) == int(in_class * 0.8)


def test_the_revealed_labels_are_one_for_another_class(digits):
    split = protocols.one_class(digits, 3, 50, seed=0)
    y = split.reveal()
    assert y.dtype == np.int64
    assert np.array_equal(y, (digits.labels[split.test] != 3).numpy())


def test_the_same_seed_draws_the_same_images_and_another_one_others(digits):
    first, again, other = (protocols.one_class(digits, 3, 50, seed).train for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert set(first.tolist()) != set(other.tolist())


def test_the_draw_leaves_the_global_random_state_alone(digits):
    before = torch.random.get_rng_state()
    protocols.one_class(digits, 3, 50, seed=5)
    assert torch.equal(before, torch.random.get_rng_state())


def test_neither_print_nor_card_gives_away_which_test_images_are_novel(digits):
    split = protocols.one_class(digits, 3, 50, seed=0)
    assert "novel" not in repr(split)
    card = split.card()
    novel = int(split.reveal().sum())
    assert card.loc["test", ["normal", "novel"]].tolist() == [500 - novel, novel]
    assert card.loc["training", ["normal", "novel"]].tolist() == [50, 0]
    assert card["normal"].sum() + card["novel"].sum() == sum(map(len, (split.train, split.held_out, split.test)))


def test_a_split_cannot_be_changed(digits):
    with pytest.raises(AttributeError):
        protocols.one_class(digits, 3, 50, 0).test = torch.arange(3)


def test_the_smallest_data_set_that_will_do():
    split = protocols.one_class(dataset([0, 0, 0, 1], [0, 1]), 0, 4000, seed=0)
    assert [len(split.train), len(split.held_out), len(split.test)] == [2, 1, 2]


@pytest.mark.parametrize(
    ("train", "test"),
    [([0, 0, 1, 1], [0, 1]), ([1, 1, 1], [0, 1]), ([0] * 9, [0, 0]), ([0] * 9, [1, 1]), ([0] * 9, [])],
)
def test_too_few_images_are_refused_in_one_line(train, test):
    with pytest.raises(InputError, match=r"'pets'.*'cat'.*at least 3, 1 and 1 are needed") as refused:
        protocols.one_class(dataset(train, test), 0, 4000, seed=0)
    assert "\n" not in str(refused.value)
