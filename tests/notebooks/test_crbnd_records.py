"""What CRBND's page says of the committed records."""

import json

import numpy as np
import pytest
from notebook_cells import NOTEBOOKS

from novelty_utils.evaluation import metrics
from novelty_utils.records import store

pytestmark = pytest.mark.prose


def aurocs(**where) -> list[dict]:
    """AUROCs by method, one mapping per record with these parameters."""
    every = store.read("crbnd", NOTEBOOKS.parent / "results")
    found = [r for r in every if all({**r.parameters, "class_name": r.class_name}[k] == v for k, v in where.items())]
    return [{q.method: 100 * q.value for q in r.results if q.metric == "auroc"} for r in found]


def test_on_single_categories_the_method_is_worse_than_the_error_and_the_controls():
    draws = aurocs(dataset="cifar10_jpeg", protocol="inlier_categories", n_inlier=1, depth=2)
    assert len(draws) == 10
    for other, points, lost in (("error of A", 16, 9), ("pixels", 13, 0), ("statistics", 13, 0)):
        gains = [draw["CRBND"] - draw[other] for draw in draws]
        assert np.mean(gains) == pytest.approx(-points, abs=0.5)
        assert sum(gain < 0 for gain in gains) >= lost


@pytest.mark.parametrize(("n_inlier", "draws", "ahead", "points"), [(3, 6, 4, 10), (5, 3, 2, 6)])
def test_on_several_categories_the_order_turns_round_near_chance(n_inlier, draws, ahead, points):
    found = aurocs(dataset="cifar10_jpeg", protocol="inlier_categories", n_inlier=n_inlier, depth=2)
    gains = [draw["CRBND"] - draw["error of A"] for draw in found]
    assert (len(gains), sum(gain > 0 for gain in gains)) == (draws, ahead)
    assert np.mean(gains) == pytest.approx(points, abs=0.5)
    assert all(abs(np.mean([draw[name] for draw in found]) - 50) < 6 for name in ("CRBND", "error of A"))


def test_the_strength_of_the_degradation_moves_more_than_lambda_in_three_of_four_cases():
    cases = {(a, c): aurocs(arch=a, class_name=c, ablations=True, depth=2) for a in ("paper", "dense64") for c in "38"}
    further = 0
    for (arch, digit), found in cases.items():
        (one,) = [each for each in found if "weak d" in each]
        of_lambda = [one["CRBND"], one["λ = 0.25"], one["λ = 0.75"]]
        further += abs(one["CRBND"] - one["weak d"]) > max(of_lambda) - min(of_lambda)
        lead = {("paper", "3"): 6, ("paper", "8"): 4, ("dense64", "3"): 21, ("dense64", "8"): 35}[arch, digit]
        assert one["CRBND"] - one["no A"] == pytest.approx(lead, abs=0.5)
    assert further == 3


def test_with_four_poolings_the_error_finds_novel_images_that_it_does_not_with_two():
    """Of the digits fixed beforehand, as far as they are recorded."""
    where = {"dataset": "mnist", "protocol": "outlier_share", "arch": "paper", "tier": "demo"}
    for digit in ("8", "5"):
        two, four = (aurocs(**where, class_name=digit, depth=depth) for depth in (2, 4))
        for method in ("error of A", "CRBND"):
            means = [np.mean([run[method] for run in runs]) for runs in (two, four) if runs]
            assert means == sorted(means)


def test_what_the_page_says_of_the_digit_8_with_four_poolings():
    where = {"dataset": "mnist", "protocol": "outlier_share", "arch": "paper", "tier": "demo", "class_name": "8"}
    (one,) = aurocs(**where, depth=4, seed=0, ablations=True)
    for other, points in (("λ = 0", 11), ("λ = 0.75", 5), ("no A", 40), ("error of A", 13), ("pixels", 5)):
        assert one["CRBND"] - one[other] == pytest.approx(points, abs=0.8), other
    assert 0 < one["CRBND"] - one["λ = 0.25"] < 1
    every = store.read("crbnd", NOTEBOOKS.parent / "results")
    halves = [
        result.value
        for r in every
        if (r.class_name, r.parameters["depth"], r.parameters["arch"]) == ("8", 4, "paper") and r.tier == "demo"
        for result in r.results
        if (result.method, result.metric) == ("CRBND", "f1;rule=half;share=50")
    ]
    assert halves[0] - metrics.trivial_f1(0.5) < 0.01


def test_what_the_page_says_in_short():
    rows = store.to_frame(store.read("crbnd", NOTEBOOKS.parent / "results"))
    rows = store.where(rows, dataset="mnist", protocol="outlier_share", arch="paper", tier="demo", metric="auroc")
    digits = set(store.where(rows, depth=4).class_name)
    rows = rows[rows.class_name.isin(digits)]
    means = {depth: rows[rows.depth == depth].groupby(["method", "class_name"]).value.mean() for depth in (4, 2)}
    means = {depth: 100 * of_class.groupby("method").mean() for depth, of_class in means.items()}
    for name, said in {"CRBND": 97, "error of A": 91, "pixels": 95}.items():
        assert means[4][name] == pytest.approx(said, abs=1), name
    assert means[2]["CRBND"] == pytest.approx(70, abs=1)
    assert means[2]["CRBND"] < means[2]["statistics"]


def test_every_network_of_the_public_code_is_dead_and_one_narrow_one_is():
    every = [r for r in store.read("crbnd", NOTEBOOKS.parent / "results") if r.tier == "demo"]
    dead = {(r.parameters["arch"], r.parameters["depth"], r.class_name) for r in every if store.collapsed(r, "CRBND")}
    assert {one for one in dead if one[1] == 2} == {("code", 2, "3"), ("code", 2, "8"), ("dense64", 2, "5")}


def best_f1_above_trivial(dataset: str, share: int) -> float:
    """Points of best F1 above calling everything normal, U-Net of two poolings; mean over classes, of their seeds."""
    by_class: dict[str, list[float]] = {}
    for record in store.read("crbnd", NOTEBOOKS.parent / "results"):
        p = record.parameters
        where = (record.dataset, p["protocol"], p["arch"], p["depth"], record.tier)
        if where == (dataset, "outlier_share", "paper", 2, "demo"):
            (f1,) = [
                r.value for r in record.results if (r.method, r.metric) == ("CRBND", f"f1;rule=best;share={share}")
            ]
            by_class.setdefault(record.class_name, []).append(f1)
    assert len(by_class) == 10
    return 100 * (np.mean([np.mean(values) for values in by_class.values()]) - metrics.trivial_f1(share / 100))


def test_best_f1_is_near_the_trivial_one_at_ten_percent_and_some_points_above_it_at_fifty():
    for dataset in ("mnist", "fashion_mnist"):
        assert best_f1_above_trivial(dataset, 10) == pytest.approx(0.5, abs=0.2)
        assert 7 < best_f1_above_trivial(dataset, 50) < 8


def test_the_seeds_of_the_u_net_differ_by_six_points_which_few_changes_exceed():
    where = {"dataset": "mnist", "protocol": "outlier_share", "arch": "paper", "depth": 2, "tier": "demo"}
    by_seed = {
        digit: [found[0]["CRBND"] for s in (0, 1, 2) if (found := aurocs(**where, seed=s, class_name=digit))]
        for digit in "0123456789"
    }
    ranges = {digit: max(values) - min(values) for digit, values in by_seed.items()}
    assert (ranges["3"], ranges["8"]) == pytest.approx((1.2, 7.9), abs=0.1)
    assert np.mean(list(ranges.values())) == pytest.approx(6.3, abs=0.1)
    lead = {}
    for digit in "38":
        (narrow,) = aurocs(arch="dense64", class_name=digit, ablations=True, depth=2)
        lead |= {(digit, other): narrow["CRBND"] - narrow[f"λ = {other}"] for other in ("0", "0.25", "0.75")}
    assert all(gain > 0 for gain in lead.values())
    assert [at for at, gain in lead.items() if gain > 6] == [("8", "0")]


def test_in_the_second_implementation_depth_decides_about_the_error_of_a_and_the_count_hardly():
    folder = NOTEBOOKS.parent / "results" / "second_look"
    found = [entry for name in ("crbnd", "crbnd_depth") for entry in json.loads((folder / f"{name}.json").read_text())]
    found = [entry for entry in found if (entry["class"], entry["seed"]) == ("8", 0)]
    error, method = (
        {depth: [e["auroc"][name] for e in found if e.get("halvings", 4) == depth] for depth in (2, 4)}
        for name in ("autoencoder", "classifier")
    )
    assert min(error[4]) > max(error[2]) + 0.1
    assert all(max(values) - min(values) < 0.05 for values in error.values())  # whatever the count
    assert max(method[4]) > max(method[2]) and abs(min(method[4]) - max(method[2])) < 0.02
