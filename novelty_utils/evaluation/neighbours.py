"""Exact nearest neighbours in latent space: blocked brute force, on the device at hand.

A float32 matrix product ranks quickly but not exactly, so it only names a few candidates more than asked for; their
distances are then computed from the differences, in float64. Its rounding error has a bound, which tells for each
query whether a code outside its candidates could be as near. Where it could, every code within the bound is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from novelty_utils.errors import InputError
from novelty_utils.progress import tqdm

WIDE = 128  # times as many codes as queries in one block: 128 x 16384 values, 8 MB, stay in the cache of a CPU
SPARE = 4  # candidates beyond k
TILE = 64  # codes of which only the nearest is looked at first
PAIRS = 2**22  # at most so many queries times codes are looked at one by one
AT_ONCE = 2**12  # of them, in float64
NEW_SETTINGS = hasattr(torch.backends.cuda.matmul, "fp32_precision")  # since torch 2.9; mixed with the old, an error
MATMULS: tuple[Any, ...] = (torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None))


@torch.no_grad()
def nearest(queries: Tensor, bank: Tensor, k: int, block: int = 128) -> tuple[Tensor, Tensor]:
    """The k codes of the bank nearest to each query, by Euclidean distance; of equally near ones the lower index.

    queries: float32 (n, d). bank: float32 (m, d); may lie on another device, it is fetched block by block.
    Returns distances float32 (n, k), ascending, and indices int64 (n, k) into the bank, on the device of the queries.
    A query that is in the bank finds itself at distance 0. At most `block` queries are compared with 128 times as many
    codes at once: the memory needed does not grow with n m, and the result does not depend on it.
    Raises InputError unless 1 <= k <= m, both are float32 with the same d, and all codes are finite.
    """
    _check(queries, bank, k, block)
    sample = bank[:: max(1, len(bank) // 4096)]
    centre = sample.mean(0, dtype=torch.float64).float().to(queries.device)  # far from 0, products would lose digits
    with _full_precision(queries.device):
        cutoff, candidates = _candidates(queries, bank, centre, min(k + SPARE, len(bank)), block)
        distances, indices = _ranked(queries, bank, candidates, k, block)
        r = torch.where(cutoff.isfinite(), distances[:, -1], torch.inf)  # where float32 overflowed, nothing is known
        outside = candidates.shape[1] < len(bank)
        unsure = (r.isinf() | outside & ~(cutoff > _limit(queries - centre, r))).nonzero().flatten()
        step = max(1, min(block, PAIRS // len(bank)))
        for start in tqdm(range(0, len(unsure), step), "close calls", unit="block", leave=False, delay=2):
            part = unsure[start : start + step]
            distances[part], indices[part] = _within(queries[part], bank, centre, r[part], k, block)
    return distances.float(), indices


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
        if codes.numel() and not torch.stack(codes.aminmax()).isfinite().all():  # quicker than looking at each
            bad = int((~codes.isfinite()).any(1).sum())
            raise InputError(f"{name}: {bad} of {len(codes)} codes are not finite; did the training diverge?")


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """float32 products as float32: neither TF32 nor bf16, whatever the training allowed itself."""
    before = _precision()
    _set_precision(["ieee", "ieee"] if NEW_SETTINGS else ["highest"])
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        _set_precision(before)


def _precision() -> list[str]:
    if NEW_SETTINGS:
        return [matmul.fp32_precision for matmul in MATMULS]
    return [torch.get_float32_matmul_precision()]


def _set_precision(values: list[str]) -> None:
    if NEW_SETTINGS:
        for matmul, value in zip(MATMULS, values, strict=True):
            matmul.fp32_precision = value
    else:
        torch.set_float32_matmul_precision(*values)


# --- candidates, by a matrix product -------------------------------------------------------------------------------


def _candidates(queries: Tensor, bank: Tensor, centre: Tensor, c: int, block: int) -> tuple[Tensor, Tensor]:
    """The c codes with the smallest |b|² - 2 q·b in float32: the largest of these values (n,), and indices (n, c)."""
    best = torch.full((len(queries), c), torch.inf, device=queries.device)
    indices = torch.zeros(len(queries), c, dtype=torch.int64, device=queries.device)
    extended = _extended(queries - centre)
    for start, codes in _blocks(bank, centre, block):
        for rows in range(0, len(queries), block):
            part = slice(rows, rows + block)
            values, where = _smallest(extended[part] @ codes.T, c)
            both, places = torch.cat([best[part], values], 1), torch.cat([indices[part], where + start], 1)
            best[part], order = both.topk(c, largest=False, sorted=False)
            indices[part] = places.gather(1, order)
    return best.amax(1), indices.clamp_(max=len(bank) - 1)  # an index beyond the bank stands beside an infinity


def _extended(q: Tensor) -> Tensor:
    """[-2 q, 1], whose product with [b, |b|²] is |b|² - 2 q·b = |q - b|² - |q|²; both seen from the centre."""
    return F.pad(-2 * q, (0, 1), value=1.0)


def _blocks(bank: Tensor, centre: Tensor, block: int) -> Iterator[tuple[int, Tensor]]:
    """The bank in blocks, in the precision of the centre: where each starts, and its rows [b, |b|²].

    Rows at infinity fill up the last tile.
    """
    d = bank.shape[1]
    starts = range(0, len(bank), WIDE * block)
    for start in tqdm(starts, "neighbours", unit="block", leave=False, delay=2):
        part = bank[start : start + WIDE * block].to(centre)
        codes = centre.new_zeros(len(part) + -len(part) % TILE, d + 1)
        torch.sub(part, centre, out=codes[: len(part), :d])
        codes[:, d] = codes[:, :d].square().sum(1)
        codes[len(part) :, d] = torch.inf
        yield start, codes


def _smallest(values: Tensor, c: int) -> tuple[Tensor, Tensor]:
    """The c smallest entries of each row (all, if there are fewer) and their columns, in no order.

    They lie in the c tiles with the smallest minima: the costly selection sees those tiles alone. The columns of a
    tile lie apart, because the minimum over a first axis is faster than over the last.
    """
    tiles = values.unflatten(1, (TILE, -1))
    count = tiles.shape[2]
    chosen = tiles.amin(1).topk(min(c, count), largest=False, sorted=False).indices
    inside = tiles.gather(2, chosen[:, None].expand(-1, TILE, -1)).flatten(1)
    least, where = inside.topk(min(c, inside.shape[1]), largest=False, sorted=False)
    width = chosen.shape[1]
    return least, where // width * count + chosen.gather(1, where % width)


# --- the answer, by differences ------------------------------------------------------------------------------------


def _ranked(queries: Tensor, bank: Tensor, candidates: Tensor, k: int, block: int) -> tuple[Tensor, Tensor]:
    """The k nearest of the candidates (n, c): distances float64 and indices, equally near ones by index."""
    candidates = candidates.sort(1).values
    distances = torch.empty(candidates.shape, dtype=torch.float64, device=queries.device)
    for rows in range(0, len(queries), block):
        part = slice(rows, rows + block)
        distances[part] = _distances(queries[part, None], _fetch(bank, candidates[part], queries.device)).squeeze(1)
    distances, order = distances.sort(dim=1, stable=True)
    return distances[:, :k].contiguous(), candidates.gather(1, order[:, :k])


def _distances(queries: Tensor, codes: Tensor) -> Tensor:
    return torch.cdist(queries.double(), codes.double(), compute_mode="donot_use_mm_for_euclid_dist")


def _fetch(bank: Tensor, index: Tensor, device: torch.device) -> Tensor:
    return bank[index.to(bank.device)].to(device)


def _limit(q: Tensor, r: Tensor) -> Tensor:
    """The largest value |b|² - 2 q·b that a code within r of the query can get in the precision of q: float64 (n,).

    Such a code has |b| <= |q| + r. A dot product is off by at most (d + 1) u times the product of the absolute values,
    u = eps / 2, in any order of summation. With |b|² and the shift to the centre, each rounded too, that stays below
    (d + 4) eps (|q| + r) (2 |q| + r); the error of r adds the same with the eps of float64. Infinite where that
    precision may overflow.
    """
    number, d = torch.finfo(q.dtype), q.shape[1]
    square = q.double().square().sum(1)
    norm = square.sqrt()
    reach = (norm + r) * (2 * norm + r)
    error = (d + 4) * ((number.eps + torch.finfo(torch.float64).eps) * reach + 8 * number.tiny)
    return torch.where(reach < number.max / 8, r.square() - square + error, torch.inf)


def _within(queries: Tensor, bank: Tensor, centre: Tensor, r: Tensor, k: int, block: int) -> tuple[Tensor, Tensor]:
    """The k nearest of all codes that may be within r by a product in float64: distances float64 and indices."""
    q = queries.double() - centre
    limit, extended = _limit(q, r)[:, None], _extended(q)
    rows, columns = [], []
    for start, codes in _blocks(bank, centre.double(), block):
        row, column = ((extended @ codes.T)[:, : len(bank) - start] <= limit).nonzero(as_tuple=True)
        rows.append(row)
        columns.append(column + start)
    row, column = torch.cat(rows), torch.cat(columns)
    pairs = zip(row.split(AT_ONCE), column.split(AT_ONCE), strict=True)
    parts = [_distances(queries[a, None], _fetch(bank, b, queries.device)[:, None]) for a, b in pairs]
    far = torch.cat(parts).flatten()
    order = far.sort(stable=True).indices  # stable: of equally near codes the lower index stays first
    order = order[row[order].sort(stable=True).indices]
    first = torch.searchsorted(row[order], torch.arange(len(queries), device=row.device))
    chosen = order[first[:, None] + torch.arange(k, device=row.device)]
    return far[chosen], column[chosen]
