"""Exact nearest neighbours: against hand-worked numbers and against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from novelty_utils.errors import InputError
from novelty_utils.evaluation import neighbours


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def clustered(n: int, d: int, seed: int) -> torch.Tensor:
    """Tight groups around six centres, the same for every seed."""
    label = torch.randint(6, (n,), generator=torch.Generator().manual_seed(seed))
    return 5 * normal(6, d, seed=99)[label] + 0.01 * normal(n, d, seed=seed)


def reference(queries: torch.Tensor, bank: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All differences in float64, sorted by distance and then by index."""
    distances = (queries.double()[:, None] - bank.double()).square().sum(2).sqrt()
    distances, order = distances.sort(dim=1, stable=True)
    return distances[:, :k].float(), order[:, :k]


def same(found: tuple[torch.Tensor, torch.Tensor], wanted: tuple[torch.Tensor, torch.Tensor]) -> None:
    assert torch.equal(found[1], wanted[1])
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-6, atol=0)


def test_a_case_worked_by_hand():
    bank = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0], [0.0, 1.0]])
    queries = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    distances, indices = neighbours.nearest(queries, bank, 3)
    assert distances.dtype == torch.float32 and indices.dtype == torch.int64
    assert indices.tolist() == [[0, 3, 1], [0, 3, 1]]
    torch.testing.assert_close(distances, torch.tensor([[0.0, 1.0, 5.0], [3.0, 10**0.5, 4.0]]))


@pytest.mark.parametrize("algorithm", ["brute", "ball_tree"])
@pytest.mark.parametrize("make", [lambda n, seed: normal(n, 16, seed=seed), lambda n, seed: clustered(n, 16, seed)])
def test_the_same_as_scikit_learn(algorithm, make):
    queries, bank = make(200, 1), make(1500, 2)
    peer = NearestNeighbors(n_neighbors=5, algorithm=algorithm).fit(bank.double().numpy())
    distances, indices = peer.kneighbors(queries.double().numpy())
    found = neighbours.nearest(queries, bank, 5)
    np.testing.assert_array_equal(found[1].numpy(), indices)
    np.testing.assert_allclose(found[0].numpy(), distances, rtol=1e-4 if algorithm == "brute" else 1e-6)


@pytest.mark.parametrize("block", [2, 7, 64, 5000])
@pytest.mark.parametrize("k", [1, 5, 40])
def test_the_size_of_the_blocks_does_not_matter(block, k):
    queries, bank = normal(30, 8, seed=1), normal(1000, 8, seed=2)
    found, whole = neighbours.nearest(queries, bank, k, block), reference(queries, bank, k)
    same(found, whole)


@pytest.mark.parametrize("offset", [0.0, 1e3, -1e5])
def test_codes_far_from_the_origin(offset):
    queries, bank = normal(50, 32, seed=1) + offset, normal(2000, 32, seed=2) + offset
    same(neighbours.nearest(queries, bank, 5), reference(queries, bank, 5))


def test_one_code_far_away_spoils_nothing():
    queries, bank = normal(50, 8, seed=1), normal(500, 8, seed=2)
    bank[17] = 1e9
    same(neighbours.nearest(queries, bank, 5), reference(queries, bank, 5))


@pytest.mark.parametrize("scale", [1e-30, 3e-23, 1e15, 1e30])
def test_codes_whose_squares_float32_cannot_hold(scale):
    queries, bank = normal(100, 8, seed=1) * scale, normal(300, 8, seed=2) * scale
    same(neighbours.nearest(queries, bank, 5), reference(queries, bank, 5))


def test_a_few_squares_that_float32_cannot_hold():
    near, nearer = torch.linspace(-1e18, 1e18, 100), torch.tensor([1.88e19])
    bank = torch.cat([near, nearer])[:, None]
    same(neighbours.nearest(nearer[:, None] - 5e17, bank, 2), reference(nearer[:, None] - 5e17, bank, 2))


def test_most_squares_that_float32_cannot_hold():
    bank = 1e30 * torch.linspace(1, 1.1, 201)[:, None]
    bank[100] = -1e32  # draws the centre away from the others
    queries = bank[[0, -1]]
    same(neighbours.nearest(queries, bank, 5), reference(queries, bank, 5))


@pytest.mark.parametrize("k", [1, 3])
def test_squares_that_float32_cannot_hold_where_every_code_is_a_candidate(k):
    bank = torch.tensor([[1e30], [3e30], [2e30]])
    queries = bank + 1e29
    same(neighbours.nearest(queries, bank, k), reference(queries, bank, k))


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_ordinary_codes_need_no_second_look(offset, monkeypatch):
    monkeypatch.setattr(neighbours, "_within", lambda *_: pytest.fail("looked twice"))
    neighbours.nearest(normal(100, 32, seed=1) + offset, normal(2000, 32, seed=2) + offset, 5)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_codes_of_the_bank_find_themselves_at_distance_zero(offset):
    bank = clustered(1000, 64, seed=3) + offset
    distances, indices = neighbours.nearest(bank, bank, 1)
    assert not distances.any()
    assert torch.equal(indices.flatten(), torch.arange(1000))


@pytest.mark.parametrize("copies", [3, 200])  # fewer and more than the candidates of a query
def test_of_equal_codes_the_lower_index_comes_first(copies):
    one = normal(10, 4)
    bank = one.repeat(copies, 1)
    distances, indices = neighbours.nearest(one, bank, 3, block=16)
    assert torch.equal(indices, torch.arange(10)[:, None] + torch.tensor([0, 10, 20]))
    assert not distances.any()


def test_of_equal_distances_the_lower_index_comes_first():
    bank = torch.randint(0, 3, (400, 3), generator=torch.Generator().manual_seed(0)).float()
    queries = torch.randint(0, 3, (60, 3), generator=torch.Generator().manual_seed(1)).float()
    same(neighbours.nearest(queries, bank, 7, block=16), reference(queries, bank, 7))


def test_codes_that_float32_products_cannot_tell_apart():
    centre = 10 * normal(1, 64)
    bank = torch.cat([-centre.expand(500, -1), centre + 1e-4 * normal(500, 64, seed=2)])
    queries = centre + 1e-4 * normal(40, 64, seed=3)
    same(neighbours.nearest(queries, bank, 5), reference(queries, bank, 5))


@pytest.mark.parametrize("m", [1, 6, 12, 33, 100])
def test_as_many_neighbours_as_the_bank_has_codes(m):
    queries, bank = normal(9, 3, seed=1), normal(m, 3, seed=2)
    same(neighbours.nearest(queries, bank, m, block=4), reference(queries, bank, m))


def test_the_precision_of_other_products_is_left_as_it_was():
    torch.set_float32_matmul_precision("medium")
    try:
        before = neighbours._precision()
        neighbours.nearest(normal(5, 4, seed=1), normal(9, 4, seed=2), 2)
        assert neighbours._precision() == before != ["ieee", "ieee"]
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_result_does_not_depend_on_what_the_training_allowed_itself(monkeypatch):
    queries, bank = clustered(100, 64, seed=1), clustered(2000, 64, seed=2)
    products = []
    real = neighbours._smallest
    monkeypatch.setattr(neighbours, "_smallest", lambda values, c: products.append(values) or real(values, c))
    plain = neighbours.nearest(queries, bank, 5)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            found = neighbours.nearest(queries, bank, 5)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.equal(*products)
    same(found, plain)


def test_codes_from_a_network_in_inference_mode():
    with torch.inference_mode():
        queries, bank = clustered(20, 8, seed=1), clustered(300, 8, seed=2)
    same(neighbours.nearest(queries, bank, 5), reference(queries, bank, 5))


def test_the_matrix_of_all_distances_is_never_held(monkeypatch):
    shapes = []
    real = neighbours._smallest
    monkeypatch.setattr(neighbours, "_smallest", lambda values, c: shapes.append(values.shape) or real(values, c))
    queries, bank = normal(50, 4, seed=1), normal(5000, 4, seed=2)
    same(neighbours.nearest(queries, bank, 3, block=8), reference(queries, bank, 3))
    assert {rows for rows, _ in shapes} == {8, 2} and max(columns for _, columns in shapes) == 1024


def test_no_query_gives_no_row():
    distances, indices = neighbours.nearest(normal(0, 4), normal(5, 4), 2)
    assert distances.shape == indices.shape == (0, 2)


def test_codes_and_results_are_left_alone():
    queries, bank = normal(10, 4, seed=1).requires_grad_(), normal(50, 4, seed=2)
    kept = queries.detach().clone(), bank.clone()
    distances, _ = neighbours.nearest(queries, bank, 2)
    assert not distances.requires_grad
    assert torch.equal(queries, kept[0]) and torch.equal(bank, kept[1])


FIVE = torch.arange(10.0).view(5, 2)


@pytest.mark.parametrize(
    ("queries", "bank", "k", "says"),
    [
        (FIVE, FIVE, 7, r"K=7: the bank holds 5 training codes; choose K of at most 5"),
        (FIVE, FIVE, 0, "K=0: choose a whole number of neighbours, at least 1"),
        (FIVE, FIVE, -1, "K=-1: choose"),
        (FIVE, FIVE, 2.0, r"K=2\.0: choose"),
        (FIVE, FIVE, True, "K=True: choose"),
        (FIVE, FIVE[:0], 1, "bank: it holds no training code"),
        (FIVE[:, :1], FIVE, 1, "queries have 1 dimensions, the bank 2"),
        (FIVE[0], FIVE, 1, r"queries: codes must be float32 \(number, dimension\), not float32 \(2,\)"),
        (FIVE, FIVE.double(), 1, r"bank: codes must be float32 .* not float64 \(5, 2\)"),
        (FIVE.half(), FIVE, 1, "queries: codes must be float32 .* not float16"),
        (FIVE.log(), FIVE, 1, "queries: 1 of 5 codes are not finite"),
        (FIVE, torch.where(FIVE > 3, torch.nan, FIVE), 1, "bank: 3 of 5 codes are not finite"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(queries, bank, k, says):
    with pytest.raises(InputError, match=says) as error:
        neighbours.nearest(queries, bank, k)
    assert "\n" not in str(error.value)


def test_a_block_of_nothing_is_refused():
    with pytest.raises(InputError, match="block=0"):
        neighbours.nearest(FIVE, FIVE, 1, block=0)
