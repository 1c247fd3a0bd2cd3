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


@pytest.mark.parametrize("protocol", [protocols.simo, protocols.miso])
def test_simo_and_miso_use_every_image_of_their_classes_once(digits, protocol):
    split = protocol(digits, 3, seed=0)
    is_normal = (digits.labels == 3) if protocol is protocols.simo else (digits.labels != 3)
    normal = set(torch.nonzero(is_normal & ~digits.is_test).flatten().tolist())
    train, held_out = set(split.train.tolist()), set(split.held_out.tolist())
    assert train | held_out == normal
    assert len(train) + len(held_out) == len(split.train) + len(split.held_out) == len(normal)
    assert len(held_out) == len(normal) // 10
    assert torch.equal(split.test, torch.nonzero(digits.is_test).flatten())
    assert np.array_equal(split.reveal(), (~is_normal[split.test]).numpy())
    assert {part.dtype for part in (split.train, split.held_out, split.test)} == {torch.int64}


def test_simo_and_miso_are_opposites(digits):
    one, others = protocols.simo(digits, 3, seed=0), protocols.miso(digits, 3, seed=0)
    assert (one.protocol, others.protocol) == ("simo", "miso")
    assert one.normal == ("3",)
    assert others.normal == ("0", "1", "2", "4", "5", "6", "7", "8", "9")
    assert np.array_equal(one.reveal() + others.reveal(), np.ones(500))


def test_miso_holds_out_images_of_every_normal_class(digits):
    assert set(digits.labels[protocols.miso(digits, 3, seed=0).held_out].tolist()) == {0, 1, 2, 4, 5, 6, 7, 8, 9}


@pytest.mark.parametrize("protocol", [protocols.simo, protocols.miso])
def test_simo_and_miso_say_where_the_paper_leaks(digits, protocol):
    assert "K, L and alpha by AUROC on the test part" in protocol(digits, 3, seed=0).leak


@pytest.mark.parametrize("protocol", [protocols.simo, protocols.miso])
def test_the_card_of_simo_and_miso_counts_what_is_there(digits, protocol):
    split = protocol(digits, 3, seed=0)
    novel = int(split.reveal().sum())
    counts = split.card()[["normal", "novel"]].to_numpy().tolist()
    assert counts == [[len(split.train), 0], [len(split.held_out), 0], [500 - novel, novel]]


DRAWS = {
    "one_class": lambda data, seed: protocols.one_class(data, 3, 50, seed),
    "simo": lambda data, seed: protocols.simo(data, 3, seed),
    "miso": lambda data, seed: protocols.miso(data, 3, seed),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_the_same_seed_draws_the_same_images_and_another_one_others(digits, draw):
    first, again, other = (draw(digits, seed).train for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert set(first.tolist()) != set(other.tolist())


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_the_draw_leaves_the_global_random_state_alone(digits, draw):
    before = torch.random.get_rng_state()
    draw(digits, 5)
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
    data = dataset([0, 0, 0, 1], [0, 1])
    for split in (protocols.one_class(data, 0, 4000, 0), protocols.simo(data, 0, 0), protocols.miso(data, 1, 0)):
        assert [len(split.train), len(split.held_out), len(split.test)] == [2, 1, 2]
        assert split.normal == ("cat",)


TOO_FEW = [  # labels of the training part and of the test part, where `cat`, 0, is normal
    ([0, 0, 1, 1], [0, 1]),
    ([0, 1, 1, 1], [0, 1]),  # a single training image
    ([1, 1, 1], [0, 1]),
    ([0] * 9, [0, 0]),
    ([0] * 9, [1, 1]),
    ([0] * 9, []),
]


@pytest.mark.parametrize(("train", "test"), TOO_FEW)
@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("cat", lambda data: protocols.one_class(data, 0, 4000, seed=0)),
        ("cat", lambda data: protocols.simo(data, 0, seed=0)),
        ("dog", lambda data: protocols.miso(data, 1, seed=0)),
    ],
    ids=["one_class", "simo", "miso"],
)
def test_too_few_images_are_refused_in_one_line(train, test, name, split):
    expected = (
        rf"dataset='pets', class_name='{name}' under .*: {train.count(0)} training images, {test.count(0)} normal and "
        rf"{test.count(1)} other test images; at least 3, 1 and 1 are needed"
    )
    with pytest.raises(InputError, match=expected) as refused:
        split(dataset(train, test))
    assert "\n" not in str(refused.value)
