"""Dead networks, by hand."""

import pytest
import torch
from torch import nn

from novelty_utils.training import collapse

pytestmark = pytest.mark.slow

# four images of two pixels: the first is black in three of them, the second varies
X = torch.tensor([[0.0, 0.0], [0.0, 0.2], [0.0, 0.4], [0.8, 0.6]])
BLACK = torch.zeros(4, 2)


def test_the_best_constants_by_hand():
    # mean image (0.2, 0.3): squares 3 · 0.04 + 0.36 and 2 · 0.09 + 2 · 0.01, by eight
    squared = collapse.judge(X, X)
    assert squared["constant_error"] == pytest.approx((0.48 + 0.2) / 8)
    # median image (0, 0.2 to 0.4): 0.8 and 0.8, by eight
    assert collapse.judge(X, X, "absolute")["constant_error"] == pytest.approx(1.6 / 8)
    # three of four are of class 0
    labels = torch.tensor([0.0, 0.0, 0.0, 1.0])
    by_hand = -(0.75 * torch.tensor(0.75).log() + 0.25 * torch.tensor(0.25).log())
    assert collapse.judge(labels, labels, "entropy")["constant_error"] == pytest.approx(float(by_hand))


def test_errors_and_spread_by_hand():
    half = collapse.judge(X / 2, X)
    # half of the deviations are left, and half of each value is missed
    assert half["spread"] == pytest.approx(0.5)
    assert half["error"] == pytest.approx(float((0.25 * X.square()).mean()))
    assert collapse.judge(X / 2, X, "absolute")["error"] == pytest.approx(float(X.mean() / 2))


@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_black_images_are_dead_and_so_are_mean_and_median(loss):
    for constant in (BLACK, X.mean(0).expand(4, 2), X.median(0).values.expand(4, 2)):
        judged = collapse.judge(constant, X, loss)
        assert judged["collapsed"] is True
        assert judged["spread"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_a_good_reconstruction_is_alive(loss):
    noise = 0.02 * torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    assert collapse.judge(X + noise, X, loss)["collapsed"] is False
    assert collapse.judge(X, X, loss) | {"constant_error": 0} == {
        "error": 0, "constant_error": 0, "spread": 1, "collapsed": False
    }  # fmt: skip


def test_what_varies_but_is_as_far_off_as_a_constant_has_learned_nothing():
    judged = collapse.judge(X.flip(0), X)
    assert judged["spread"] == pytest.approx(1)
    assert judged["collapsed"] is True


def test_what_hardly_varies_is_dead_even_beside_a_small_error():
    bright = torch.tensor([[0.0], [0.0], [0.0], [1.0]])
    # nearly the same for all, and yet below nine tenths of the constant's error? The rule on the spread decides alone
    judged = collapse.judge(bright.mean(0) + 0.09 * (bright - bright.mean(0)), bright)
    assert judged["spread"] == pytest.approx(0.09)
    assert judged["error"] < collapse.LEARNED * judged["constant_error"]
    assert judged["collapsed"] is True


def test_a_classifier_that_gives_all_the_same_answer_is_dead():
    labels = torch.tensor([0.0, 1.0, 0.0, 1.0])
    assert collapse.judge(torch.full((4,), 0.5), labels, "entropy")["collapsed"] is True
    assert collapse.judge(torch.ones(4), labels, "entropy")["collapsed"] is True  # and infinitely wrong
    good = collapse.judge(torch.tensor([0.1, 0.9, 0.2, 0.8]), labels, "entropy")
    assert good["collapsed"] is False
    assert good["spread"] == pytest.approx((0.125 / 0.25) ** 0.5)


def test_an_output_that_is_no_number_is_dead():
    assert collapse.judge(torch.full((4, 2), torch.nan), X)["collapsed"] is True


def test_targets_that_are_all_the_same_cannot_tell():
    assert collapse.judge(torch.zeros(3, 2), torch.ones(3, 2))["collapsed"] is False
    assert collapse.judge(torch.zeros(1, 2), torch.ones(1, 2))["collapsed"] is False


class Copy(nn.Module):
    def forward(self, X):
        return X


def test_an_autoencoder_is_judged_on_the_indexed_images_in_0_to_1():
    images = torch.arange(5 * 4, dtype=torch.uint8).view(5, 1, 2, 2) * 12
    judged = collapse.of_autoencoder(Copy().eval(), images, torch.tensor([0, 4]))
    # two images that lie 16 steps of 12 apart: half of it from their mean
    assert judged["constant_error"] == pytest.approx((8 * 12 / 255) ** 2)
    assert judged["error"] == 0


def test_the_line_says_which_network_and_the_part_is_what_a_record_keeps(capsys):
    judged = collapse.judge(BLACK, X)
    assert collapse.part("AE 2", judged) == {"collapse": judged}
    line = capsys.readouterr().out
    assert line.startswith("AE 2: error 0.1500, best constant 0.0850, spread 0.00: COLLAPSED")
    collapse.part("AE 2", collapse.judge(X, X))
    assert capsys.readouterr().out.endswith("spread 1.00: trained\n")


# --- begun again ------------------------------------------------------------------------------------------------------


def trainings(alive_at: dict[str, int]):
    """Networks that are told apart by their bias: those of a key are alive from a certain restart on."""
    calls = []

    def train(keys, restart):
        calls.append((list(keys), restart))
        made = {key: nn.Identity() for key in keys}
        for key, network in made.items():
            network.alive = restart >= alive_at[key]
        return made, {key: f"{key} {restart}" for key in keys}

    return calls, train


def judge(key, network):
    return collapse.judge(X if network.alive else BLACK, X)


def test_what_is_alive_is_trained_once(capsys):
    calls, train = trainings({"a": 0, "b": 0})
    _, histories, parts = collapse.train_alive(train, judge, ["a", "b"], str.upper)
    assert calls == [(["a", "b"], 0)]
    assert histories == {"a": "a 0", "b": "b 0"}
    assert parts["b"] == {"collapse": collapse.judge(X, X), "restarts": 0}
    assert [line[:2] for line in capsys.readouterr().out.splitlines()] == ["A:", "B:"]


def test_only_what_is_dead_is_begun_again_and_at_most_twice(capsys):
    calls, train = trainings({"a": 0, "b": 1, "never": 9})
    networks, histories, parts = collapse.train_alive(train, judge, ["a", "b", "never"], str)
    assert calls == [(["a", "b", "never"], 0), (["b", "never"], 1), (["never"], 2)]
    assert histories == {"a": "a 0", "b": "b 1", "never": "never 2"}
    assert [parts[key]["restarts"] for key in ("a", "b", "never")] == [0, 1, 2]
    assert [parts[key]["collapse"]["collapsed"] for key in ("a", "b", "never")] == [False, False, True]
    assert networks["b"].alive
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_the_first_weights_are_those_of_the_run_and_the_others_are_others():
    assert collapse.seed_of(3, 0) == 3
    assert len({collapse.seed_of(seed, restart) for seed in range(10) for restart in range(3)}) == 30
