"""Splits: disjoint, seeded, of the right kind, with the labels of the test part out of sight."""

import re
from typing import get_args

import numpy as np
import pytest
import torch

from novelty_utils.data import datasets, protocols
from novelty_utils.data.datasets import Dataset
from novelty_utils.errors import InputError
from novelty_utils.evaluation import metrics
from novelty_utils.params import Protocol


def dataset(train: list[int], test: list[int]) -> Dataset:
    """Images whose labels are these; two classes, `cat` and `dog`."""
    labels = torch.tensor([*train, *test])
    is_test = torch.arange(len(labels)) >= len(train)
    return Dataset("pets", torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8), labels, is_test, ("cat", "dog"), "0")


def shelter(**images: tuple[int, int]) -> Dataset:
    """One class per name, with so many training images and so many test images."""
    labels = torch.cat([torch.full((sum(pair),), label) for label, pair in enumerate(images.values())])
    is_test = torch.cat([torch.arange(train + test) >= train for train, test in images.values()])
    pixels = torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8)
    return Dataset("shelter", pixels, labels, is_test, tuple(images), "0")


def per_class(data: Dataset, index: torch.Tensor) -> dict[str, int]:
    """How many of these images each class has, without the classes that have none."""
    counts = torch.bincount(data.labels[index], minlength=len(data.classes)).tolist()
    return {name: count for name, count in zip(data.classes, counts, strict=True) if count}


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return datasets.load("digits")


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


def test_a_tenth_is_rounded_down_but_never_to_nothing():
    for images, tenth in ((19, 1), (20, 2), (9, 1)):
        split = protocols.simo(shelter(cat=(images, 1), dog=(3, 1)), 0, seed=0)
        assert (len(split.held_out), len(split.train)) == (tenth, images - tenth)


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


def mixed(data: Dataset, share: float, seed: int) -> protocols.Split:
    return protocols.mixture(protocols.outlier_share(data, 3, seed), share, seed)


DRAWS = {
    "one_class": lambda data, seed: protocols.one_class(data, 3, 50, seed),
    "simo": lambda data, seed: protocols.simo(data, 3, seed),
    "miso": lambda data, seed: protocols.miso(data, 3, seed),
    "outlier_share": lambda data, seed: protocols.outlier_share(data, 3, seed),
    "mixture": lambda data, seed: mixed(data, 0.3, seed),
    "inlier_categories": lambda data, seed: protocols.inlier_categories(data, 3, seed),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_no_image_is_in_two_parts_or_twice_in_one(digits, draw):
    split = draw(digits, 0)
    everything = torch.cat([split.train, split.held_out, split.test])
    assert len(everything.unique()) == len(everything)
    assert everything.dtype == torch.int64
    assert not digits.is_test[split.train].any()
    assert not digits.is_test[split.held_out].any()
    assert digits.is_test[split.test].all()


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_the_training_part_is_normal_and_so_is_what_is_not_novel(digits, draw):
    split = draw(digits, 0)
    assert set(per_class(digits, split.train)) == set(per_class(digits, split.held_out)) == set(split.normal)
    is_novel = [digits.classes[label] not in split.normal for label in digits.labels[split.test].tolist()]
    assert split.reveal().tolist() == is_novel


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_the_card_counts_what_is_there(digits, draw):
    split = draw(digits, 0)
    novel = int(split.reveal().sum())
    counts = split.card()[["normal", "novel"]].to_numpy().tolist()
    assert counts == [[len(split.train), 0], [len(split.held_out), 0], [len(split.test) - novel, novel]]


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


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_print_does_not_give_away_which_test_images_are_novel(digits, draw):
    assert "novel" not in repr(draw(digits, 0))


def test_the_card_tells_how_many_test_images_are_novel_and_not_which(digits):
    split = protocols.one_class(digits, 3, 50, seed=0)
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
    for split in (
        protocols.one_class(data, 0, 4000, 0),
        protocols.simo(data, 0, 0),
        protocols.miso(data, 1, 0),
        protocols.outlier_share(data, 0, 0),
        protocols.mixture(protocols.outlier_share(data, 0, 0), 0.5, 0),
        protocols.inlier_categories(shelter(cat=(3, 1), clutter=(0, 1)), 1, 0),
    ):
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
        ("cat", lambda data: protocols.outlier_share(data, 0, seed=0)),
    ],
    ids=["one_class", "simo", "miso", "outlier_share"],
)
def test_too_few_images_are_refused_in_one_line(train, test, name, split):
    expected = (
        rf"dataset='pets', class_name='{name}' under .*: {train.count(0)} training images, {test.count(0)} normal and "
        rf"{test.count(1)} other test images; at least 3, 1 and 1 are needed"
    )
    with pytest.raises(InputError, match=expected) as refused:
        split(dataset(train, test))
    assert "\n" not in str(refused.value)


# --- CRBND: a share of outliers ------------------------------------------------------------------------------------


def test_until_it_is_mixed_an_outlier_share_is_simo_by_another_name(digits):
    split, simo = protocols.outlier_share(digits, 3, seed=0), protocols.simo(digits, 3, seed=0)
    assert split.protocol == "outlier_share"
    assert split.normal == ("3",)
    for part in ("train", "held_out", "test"):
        assert torch.equal(getattr(split, part), getattr(simo, part))
    assert len(split.held_out) == (len(split.train) + len(split.held_out)) // 10
    assert np.array_equal(split.reveal(), simo.reveal())
    assert "best F1 over all thresholds" in split.leak


@pytest.mark.parametrize(
    ("share", "outliers"),  # beside 90 normal images
    [(0.1, 10), (0.25, 30), (0.4, 60), (0.5, 90), (0.12, 12), (0.123, 13), (0.6875, 198), (0.006, 1)],
)
def test_a_mixture_has_the_share_that_was_asked_for_to_the_nearest_whole_image(share, outliers):
    split = protocols.outlier_share(dataset([0] * 9 + [1] * 9, [0, 1, 1] * 90 + [1] * 18), 0, seed=0)
    mixture = protocols.mixture(split, share, seed=0)
    assert mixture.card().loc["test", ["normal", "novel"]].tolist() == [90, outliers]
    assert mixture.reveal().sum() == outliers


@pytest.mark.parametrize("share", [0.1, 0.5, 0.898])
def test_a_mixture_keeps_all_normal_test_images_and_takes_its_outliers_from_the_others(digits, share):
    split = protocols.outlier_share(digits, 3, seed=0)
    mixture = protocols.mixture(split, share, seed=0)
    is_normal = digits.labels[mixture.test] == 3
    assert set(mixture.test[is_normal].tolist()) == set(split.test[digits.labels[split.test] == 3].tolist())
    assert set(mixture.test.tolist()) <= set(split.test.tolist())
    assert len(mixture.test.unique()) == len(mixture.test)
    assert np.array_equal(mixture.reveal(), (~is_normal).numpy())


def test_a_mixture_changes_nothing_but_the_test_part(digits):
    split = protocols.outlier_share(digits, 3, seed=0)
    mixture = protocols.mixture(split, 0.2, seed=1)
    assert mixture.train is split.train
    assert mixture.held_out is split.held_out
    assert (mixture.protocol, mixture.normal, mixture.leak) == (split.protocol, split.normal, split.leak)
    assert len(split.test) == len(split.reveal()) == 500


def test_the_outliers_of_a_mixture_depend_on_its_seed_alone(digits):
    split = protocols.outlier_share(digits, 3, seed=0)
    first, again, other = (protocols.mixture(split, 0.3, seed) for seed in (0, 0, 1))
    assert torch.equal(first.test, again.test)
    assert len(first.test) == len(other.test)
    assert set(first.test.tolist()) != set(other.test.tolist())


def test_outliers_are_drawn_from_everywhere_among_the_others(digits):
    split = protocols.outlier_share(digits, 3, seed=0)
    drawn = torch.cat([protocols.mixture(split, 0.3, seed).test for seed in range(100)])
    counts = torch.bincount(drawn, minlength=len(digits.labels))[split.test]
    of_others = counts[torch.from_numpy(split.reveal()) == 1].double()
    expected = 100 * 22 / 449  # 22 of the 449 others in each of 100 mixtures
    assert of_others.mean() == pytest.approx(expected)
    blocks = torch.stack([block.mean() for block in of_others[:440].split(44)])
    assert (blocks - expected).abs().max() < 5 * np.sqrt(expected / 44)


def test_the_auroc_of_fixed_scores_does_not_depend_on_the_share_and_the_best_f1_does():
    # Three kinds of outliers, one after another and of very different difficulty: a draw that favours one kind shows.
    labels = [0] * 400 + [1] * 4000
    split = protocols.outlier_share(dataset([0] * 9, labels), 0, seed=0)
    shift = np.repeat([0.0, 3.0, 1.0, -0.5], [400, 1000, 1500, 1500])
    scores = np.zeros(9 + 4400)
    scores[9:] = np.random.default_rng(0).normal(size=4400) + shift
    whole = metrics.auroc(split.reveal(), scores[split.test])[0]
    normal = np.sort(scores[9:409])
    placements = np.searchsorted(normal, scores[409:]) / 400  # their mean is the AUROC, by definition
    assert whole == pytest.approx(placements.mean())
    best = []
    for share in (0.1, 0.2, 0.3, 0.4, 0.5):
        mixtures = [protocols.mixture(split, share, seed) for seed in range(30)]
        aurocs = [metrics.auroc(mix.reveal(), scores[mix.test])[0] for mix in mixtures]
        outliers = len(mixtures[0].test) - 400
        error = placements.std() / np.sqrt(outliers)  # of one mixture, as the normal images are always the same
        assert np.mean(aurocs) == pytest.approx(whole, abs=4 * error / np.sqrt(30))
        assert max(abs(np.array(aurocs) - whole)) < 4.5 * error
        best.append(np.mean([metrics.best_f1(mix.reveal(), scores[mix.test]) for mix in mixtures]))
    assert (np.diff(best) < -0.02).all()


@pytest.mark.parametrize(
    ("share", "printed"),
    [
        (0.0, "0"), (1.0, "100"), (-0.1, "-10"), (1.5, "150"), (0.95, "95"), (0.0001, "0.01"),
        (float("nan"), "nan"), (float("inf"), "inf"),
    ],
)  # fmt: skip
def test_a_share_that_cannot_be_filled_is_refused_in_one_line(digits, share, printed):
    with pytest.raises(InputError) as refused:
        protocols.mixture(protocols.outlier_share(digits, 3, seed=0), share, seed=0)
    assert str(refused.value) == (
        f"an outlier share of {printed} % cannot be filled: there are 51 normal test images and 449 others; "
        "choose 1 to 89.8 %"
    )


def test_a_refusal_offers_no_share_where_none_of_a_tenth_of_a_percent_works():
    split = protocols.outlier_share(dataset([0] * 9, [0] * 2000 + [1]), 0, seed=0)
    with pytest.raises(InputError, match=r"2000 normal test images and 1 others; more others are needed$"):
        protocols.mixture(split, 0.5, seed=0)


@pytest.mark.parametrize(
    ("normal", "others"), [(51, 449), (1032, 8968), (974, 9026), (2000, 40), (60, 61), (1, 1), (2, 1), (3, 1), (1, 9)]
)
def test_the_limits_that_a_refusal_prints_work_and_nothing_beyond_them(normal, others):
    split = protocols.outlier_share(dataset([0] * 9, [0] * normal + [1] * others), 0, seed=0)
    with pytest.raises(InputError) as refused:
        protocols.mixture(split, 0.0, seed=0)
    lowest, highest = map(float, re.search(r"choose (\S+) to (\S+) %", str(refused.value)).groups())
    assert lowest <= highest
    assert protocols.mixture(split, lowest / 100, seed=0).reveal().sum() >= 1
    assert protocols.mixture(split, highest / 100, seed=0).reveal().sum() <= others
    if normal + others >= 500:  # with fewer, a tenth of a percent need not be a whole image
        for beyond in (lowest - 0.1, highest + 0.1):
            with pytest.raises(InputError, match="cannot be filled"):
                protocols.mixture(split, beyond / 100, seed=0)


# --- CRBND: some inlier categories ---------------------------------------------------------------------------------

CROWD = {"cat": (200, 90), "dog": (110, 50), "hen": (106, 46), "cow": (105, 45), "pig": (900, 400)}


@pytest.mark.parametrize("clutter", [{}, {"clutter": (600, 250)}], ids=["without clutter", "with clutter"])
@pytest.mark.parametrize("n", [1, 2])
def test_of_a_large_category_105_and_45_images_are_used_and_a_fifth_is_held_out(n, clutter):
    data = shelter(**CROWD, **clutter)
    split = protocols.inlier_categories(data, n, seed=0)
    assert split.protocol == f"inlier_categories_{n}"
    assert len(split.normal) == len(set(split.normal)) == n
    assert per_class(data, split.train) == dict.fromkeys(split.normal, 84)
    assert per_class(data, split.held_out) == dict.fromkeys(split.normal, 21)
    of_test = per_class(data, split.test)
    assert {name: of_test[name] for name in split.normal} == dict.fromkeys(split.normal, 45)
    assert split.reveal().sum() == len(split.test) - 45 * n == 45 * n


def test_a_small_category_gives_what_it_has_and_keeps_a_fifth_or_more_held_out():
    data = shelter(cat=(10, 4), dog=(7, 3), hen=(3, 9), clutter=(0, 40))
    split = protocols.inlier_categories(data, 3, seed=0)
    assert per_class(data, split.train) == {"cat": 8, "dog": 5, "hen": 2}
    assert per_class(data, split.held_out) == {"cat": 2, "dog": 2, "hen": 1}
    assert per_class(data, split.test) == {"cat": 4, "dog": 3, "hen": 9, "clutter": 16}


@pytest.mark.parametrize("name", ["clutter", "257.clutter"])  # as the data set has it, and a folder with its files
def test_where_there_is_clutter_it_is_never_normal_and_all_outliers_come_from_it(name):
    data = shelter(**CROWD, **{name: (600, 250)})
    drawn = set()
    for seed in range(40):
        split = protocols.inlier_categories(data, 2, seed)
        outliers = split.test[torch.from_numpy(split.reveal()) == 1]
        assert per_class(data, outliers) == {name: 90}
        assert name not in split.normal
        drawn |= set(split.normal)
    assert drawn == set(CROWD)
    assert len(protocols.inlier_categories(data, 5, seed=0).normal) == 5  # no category has to be left for outliers


def test_without_clutter_the_outliers_come_from_all_categories_that_were_not_drawn(digits):
    for seed in range(5):
        split = protocols.inlier_categories(digits, 3, seed)
        outliers = split.test[torch.from_numpy(split.reveal()) == 1]
        assert set(per_class(digits, outliers)) == set(digits.classes) - set(split.normal)
        assert len(outliers) == 3 * 45


def test_categories_and_images_are_drawn_by_the_seed():
    data = shelter(**CROWD, clutter=(600, 250))
    normal = {protocols.inlier_categories(data, 1, seed).normal for seed in range(40)}
    assert normal == {(name,) for name in CROWD}
    data = shelter(pig=(900, 400), clutter=(600, 250))  # a single category, so nothing but images is left to draw
    first, again, other = (protocols.inlier_categories(data, 1, seed) for seed in (0, 0, 1))
    for part in ("train", "held_out", "test"):
        assert torch.equal(getattr(first, part), getattr(again, part))
        assert set(getattr(first, part).tolist()) != set(getattr(other, part).tolist())
    outliers = [set(split.test[45:].tolist()) for split in (first, other)]
    assert outliers[0] != outliers[1]


def test_the_held_out_images_are_a_draw_and_not_the_last_of_the_file():
    data = shelter(pig=(105, 45), clutter=(0, 45))
    held_out = torch.cat([protocols.inlier_categories(data, 1, seed).held_out for seed in range(40)])
    assert set(held_out.tolist()) == set(range(105))


@pytest.mark.parametrize(
    ("images", "n", "known", "most"),
    [
        (CROWD, 0, 5, 4), (CROWD, -1, 5, 4), (CROWD, 5, 5, 4),
        (CROWD | {"clutter": (9, 90)}, 6, 5, 5), ({"cat": (9, 9), "clutter": (9, 9)}, 2, 1, 1),
    ],
)  # fmt: skip
def test_more_categories_than_there_are_and_none_are_refused_in_one_line(images, n, known, most):
    with pytest.raises(InputError) as refused:
        protocols.inlier_categories(shelter(**images), n, seed=0)
    assert str(refused.value) == f"n_inlier={n}: shelter has {known} categories; choose 1 to {most} of them"


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ({"cat": (9, 4), "dog": (2, 4)}, "normal cat, dog: 9, 2 training images, 8 normal and 8 other"),
        ({"cat": (0, 4), "dog": (9, 4)}, "normal cat, dog: 0, 9 training images, 8 normal and 8 other"),
        ({"cat": (9, 0), "dog": (9, 0)}, "normal cat, dog: 9, 9 training images, 0 normal and 0 other"),
        ({"cat": (9, 40), "dog": (9, 11)}, "normal cat, dog: 9, 9 training images, 51 normal and 50 other"),
    ],
)
def test_categories_with_too_few_images_are_refused_in_one_line(images, told):
    with pytest.raises(InputError) as refused:
        protocols.inlier_categories(shelter(**images, clutter=(0, 50)), 2, seed=0)
    assert str(refused.value) == (
        f"dataset='shelter', {told} test images; 3 of each category to train on, one to test, and as many others are "
        "needed"
    )


# --- by name -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", get_args(Protocol))
def test_a_protocol_is_found_by_its_name(digits, name):
    expected = {
        "one_class": protocols.one_class(digits, 3, 4000, 1),
        "simo": protocols.simo(digits, 3, 1),
        "miso": protocols.miso(digits, 3, 1),
        "outlier_share": protocols.outlier_share(digits, 3, 1),
    }[name]
    split = protocols.split(name, digits, 3, seed=1)
    assert (split.protocol, split.normal) == (expected.protocol, expected.normal)
    for part in ("train", "held_out", "test"):
        assert torch.equal(getattr(split, part), getattr(expected, part))


def test_outlier_share_trains_on_the_images_of_simo(digits):
    one, other = (protocols.split(name, digits, 3, seed=1) for name in ("simo", "outlier_share"))
    assert torch.equal(one.train, other.train)
    assert torch.equal(one.held_out, other.held_out)
