"""Exact nearest neighbours in latent space: blocked brute force, on the device at hand.

A matrix product of float32 codes ranks quickly but not exactly, so it only names a few candidates more than asked for;
their distances are then computed directly, in float64. Rounding has a bound, and so a query can tell whether a code
outside its candidates could have been nearer. The few that cannot exclude it are compared with every code directly.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from novelty_utils.params import InputError

SPARE = 8  # candidates beyond k
TILE = 32  # neighbouring columns of which only the smallest is looked at first
DIRECT = 2**22  # distances held at once where every code is compared directly


@torch.no_grad()
def nearest(queries: Tensor, bank: Tensor, k: int, block: int = 1024) -> tuple[Tensor, Tensor]:
    """The k codes of the bank nearest to each query, by Euclidean distance; of equal distances the lower index first.

    queries float32 (n, d); bank float32 (m, d), on any device.
    Returns distances float32 (n, k), ascending, and indices int64 (n, k) into the bank, on the device of the queries.
    Never more than block queries times 8 block codes are compared at once, so memory does not grow with n m.
    A query that is in the bank finds itself at distance 0. Raises InputError if k is not in 1..m, the dimensions
    differ, a type is not float32, the bank is empty or a code is not finite.
    """
    _check(queries, bank, k, block)
    found = torch.empty(len(queries), k, dtype=torch.float64, device=queries.device)
    indices = torch.empty(len(queries), k, dtype=torch.int64, device=queries.device)
    cutoff, candidates = _candidates(queries, bank, min(k + SPARE, len(bank)), block)
    for rows in torch.arange(len(queries), device=queries.device).split(block):
        found[rows], indices[rows] = _ranked(queries[rows], bank, candidates[rows], k)
    unsure = (~_certain(queries, bank, found[:, -1], cutoff, candidates.shape[1])).nonzero().flatten()
    step = max(1, DIRECT // len(bank))
    for rows in tqdm(unsure.split(step), desc="neighbours, directly", unit="block", leave=False, delay=2):
        found[rows], indices[rows] = _direct(queries[rows], bank, k)
    return found.float(), indices


def _check(queries: Tensor, bank: Tensor, k: int, block: int) -> None:
    for name, codes in (("queries", queries), ("bank", bank)):
        if codes.ndim != 2 or codes.dtype != torch.float32:
            shape = f"{str(codes.dtype).removeprefix('torch.')} {tuple(codes.shape)}"
            raise InputError(f"{name}: codes must be float32 (number, dimension), not {shape}")
    if len(bank) == 0:
        raise InputError("bank: it holds no training code; give at least one")
    if queries.shape[1] != bank.shape[1]:
        raise InputError(f"queries have {queries.shape[1]} dimensions, the bank {bank.shape[1]}: use one encoder")
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise InputError(f"K={k!r}: choose a whole number of neighbours, at least 1")
    if k > len(bank):
        raise InputError(f"K={k}: the bank holds {len(bank)} training codes; choose K of at most {len(bank)}")
    if block < 1:
        raise InputError(f"block={block}: compare at least 1 query at a time")
    for name, codes in (("queries", queries), ("bank", bank)):
        bad = len(codes) - int(codes.isfinite().all(1).sum())
        if bad:
            raise InputError(f"{name}: {bad} of {len(codes)} codes are not finite; did the training diverge?")


# --- candidates, by a matrix product -------------------------------------------------------------------------------


def _candidates(queries: Tensor, bank: Tensor, c: int, block: int) -> tuple[Tensor, Tensor]:
    """For each query the c codes of smallest |b|² - 2 q·b in float32, and the largest of these values, float32 (n,)."""
    centre = bank.mean(0).to(queries.device)  # far from the origin the formula would lose its digits
    best = torch.full((len(queries), c), torch.inf, device=queries.device)
    indices = torch.zeros(len(queries), c, dtype=torch.int64, device=queries.device)
    ones = F.pad(queries - centre, (0, 1), value=1.0)
    starts = range(0, len(bank), 8 * block)
    with _full_precision(queries.device):
        for start in tqdm(starts, desc="neighbours", unit="block", leave=False, delay=2):
            codes = _prepared(bank[start : start + 8 * block].to(queries.device) - centre)
            for rows in range(0, len(queries), block):
                part = slice(rows, rows + block)
                values, where = _smallest(ones[part] @ codes.T, c)
                both = torch.cat([best[part], values], 1), torch.cat([indices[part], where + start], 1)
                best[part], order = both[0].topk(c, largest=False)
                indices[part] = both[1].gather(1, order)
    return best.amax(1), indices.clamp_(max=len(bank) - 1)  # an index beyond the bank stands beside an infinity


def _prepared(codes: Tensor) -> Tensor:
    """[-2 b, |b|²], so that a product with [q, 1] gives |b|² - 2 q·b; rows at infinity fill the last tile."""
    rows = torch.cat([-2 * codes, codes.square().sum(1, keepdim=True)], 1)
    missing = -len(rows) % TILE
    filled = F.pad(rows, (0, 0, 0, missing))
    filled[len(rows) :, -1] = torch.inf
    return filled


def _smallest(values: Tensor, c: int) -> tuple[Tensor, Tensor]:
    """The c smallest entries of each row (fewer if there are not as many) and their columns, unordered.

    They lie in the c tiles whose minima are smallest, so that the costly selection sees a small part of the row.
    """
    tiles = values.unflatten(1, (-1, TILE))
    chosen = tiles.amin(2).topk(min(c, tiles.shape[1]), largest=False, sorted=False).indices
    inside = tiles.gather(1, chosen[:, :, None].expand(-1, -1, TILE)).flatten(1)
    least, where = inside.topk(min(c, inside.shape[1]), largest=False, sorted=False)
    return least, chosen.gather(1, where // TILE) * TILE + where % TILE


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """float32 products as float32: neither TF32 nor bf16, whatever the training allowed itself."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


# --- the answer, by direct differences -----------------------------------------------------------------------------


def _ranked(queries: Tensor, bank: Tensor, candidates: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest of the candidates (n, c): distances float64 and indices, equal distances by index."""
    candidates = candidates.sort(1).values
    codes = bank[candidates.to(bank.device)].to(queries.device)
    distances = (queries.double()[:, None] - codes).square_().sum(2).sqrt_()
    distances, order = distances.sort(dim=1, stable=True)
    return distances[:, :k], candidates.gather(1, order[:, :k])


def _certain(queries: Tensor, bank: Tensor, kth: Tensor, cutoff: Tensor, c: int) -> Tensor:
    """Whether no code outside the c candidates can be as near as the k-th found one: bool (n,).

    Let r be the k-th distance. A code b with |q - b| <= r has |b| <= |q| + r, and then rounding moves its value
    |b|² - 2 q·b by at most e = (d + 8) eps (2 |q| + r)²: the usual bound of a dot product, for any order of summation.
    So it would have come out at or below r² - |q|² + e, and if the cutoff is above that, it is among the candidates.
    """
    centred = (queries - bank.mean(0).to(queries.device)).double()
    norm, d = centred.square().sum(1).sqrt(), queries.shape[1]
    limits = torch.finfo(torch.float32)
    error = (d + 8) * (limits.eps * (2 * norm + kth).square() + 4 * limits.tiny)
    inside = (cutoff.double() > kth.square() - norm.square() + error) | (c == len(bank))
    return inside & cutoff.isfinite()


def _direct(queries: Tensor, bank: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest of the whole bank: distances float64 and indices, equal distances by index."""
    codes = bank.to(queries.device).double()
    distances = torch.cdist(queries.double(), codes, compute_mode="donot_use_mm_for_euclid_dist")
    distances, order = distances.sort(dim=1, stable=True)
    return distances[:, :k], order[:, :k]
