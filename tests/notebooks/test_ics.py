"""The parameters of the ICS notebook that cannot be; the split of its training images."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from notebook_cells import NOTEBOOKS, names_after, refused

from novelty_utils.ledger import published
from novelty_utils.records import schema, store

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("methods=ICS,SVM", "'SVM' is not one of Original, PCA, HOG, ImageNet, CAE, CLS, ICS, Control, Random, Double"),
        ("methods=ICS,ICS", "methods='ICS,ICS' names a method twice"),
        ("methods=", "is not one of"),
        ("rho=0", "rho='0': input should be greater than 0"),
        ("rho=100", "rho='100': input should be less than 100"),
        ("beta=-1", "beta='-1'"),
        ("rec=max", "rec='max'"),
        ("start=again", "start='again'"),
        ("bn=tf", "bn='tf'"),
        ("ssim=box", "ssim='box'"),
    ],
)
def test_values_that_cannot_be(pair, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert message in refused("ics", ["-p", pair], capsys)


RESULTS = NOTEBOOKS.parent / "results"
WITH_CLOSENESS = ("CLS", "ICS", "Control")


def one_class(dataset: str, tier: str = "demo") -> list[store.Record]:
    """The records at the parameters of the page's tables."""
    at = schema.ADDED_LATER["ics"] | {"rho": 10.0, "alpha": 1.0, "beta": 1e-5, "rec": "mean", "start": "continue"}
    every = [r for r in store.read("ics", RESULTS) if (r.dataset, r.tier) == (dataset, tier)]
    return [r for r in every if at.items() <= r.parameters.items()]


def values(record: store.Record) -> dict[tuple[str, str], float]:
    return {(r.method, r.metric): r.value for r in record.results}


def test_of_the_first_runs_on_fashion_mnist_the_log_and_the_spread_single_out_those_that_failed():
    ratios, spreads, gaps = {}, {}, {}
    for record in one_class("fashion_mnist"):
        if record.created > "2026-11-28" or not set(WITH_CLOSENESS) <= set(record.training):
            continue
        found = values(record)
        for method in WITH_CLOSENESS:
            run = record.class_name, method
            terms = record.training[method]["terms"]
            ratios[run] = -terms.get("disp2", 0.0) / terms["cls"]
            spreads[run] = found[method, "code_spread"]
            gaps[run] = found[method, "auroc_distance"] - found[method, "auroc"]
    failed = {(c, m) for c in ("pullover", "t-shirt") for m in ("ICS", "Control")}
    assert len(spreads) == 30
    assert {run for run, spread in spreads.items() if spread > 1e-5**0.5} == failed
    assert {run for run, ratio in ratios.items() if ratio > 5} == failed
    assert min(gaps[run] for run in failed) > max(gap for run, gap in gaps.items() if run not in failed)


def test_the_pullover_at_full_length_has_contracted_and_its_short_run_had_not():
    (full,) = [r for r in one_class("fashion_mnist", "paper") if (r.class_name, r.seed) == ("pullover", 0)]
    first = min((r for r in one_class("fashion_mnist") if r.class_name == "pullover"), key=lambda r: r.created)
    assert values(full)["ICS", "code_spread"] < 1e-3 < values(first)["ICS", "code_spread"]
    assert values(first)["ICS", "auroc"] < 0.5


def test_with_the_sum_over_pixels_the_codes_of_the_second_implementation_do_not_contract():
    looks = json.loads((RESULTS / "second_look" / "ics.json").read_text(encoding="utf-8"))
    spreads = [
        {method: look["losses"][method]["held_out_deviation_of_codes"] for method in ("CAE", "CLS", "ICS")}
        for look in looks
        if look["reconstruction"] == "sum"
    ]
    assert spreads
    assert all(min(one["CLS"], one["ICS"]) > one["CAE"] / 2 for one in spreads)


def test_what_the_page_says_of_mnist_is_in_the_records():
    rows = store.to_frame(one_class("mnist"))
    table = rows.pivot_table(index=["metric", "class_name"], columns="method", values="value")
    svm, distance = 100 * table.loc["auroc"], 100 * table.loc["auroc_distance"]
    assert len(svm) == 10
    assert (svm.ICS > svm.CLS).sum() == 9
    assert -0.15 < (svm.ICS - svm.Control).mean() < 0
    assert (svm.CAE < distance.CAE).all()
    printed = published.read("ics").query("table == 'Table 4' and dataset == 'mnist' and method == 'HOG'")
    gains = svm.HOG - 100 * printed.set_index("class_name").value.reindex(svm.index)
    assert ((gains > 4).sum(), gains.idxmin()) == (9, "4")
    rejected = rows[(rows.metric == "held_out_rejected") & rows.method.isin([*WITH_CLOSENESS, "Random", "Double"])]
    assert (rejected.value.min() < 0.05, rejected.value.max()) == (True, 1.0)


def test_the_parts_of_the_lead_of_ics_over_cls_on_mnist_are_in_the_records():
    rows = [
        (r.metric, r.method, record.class_name, 100 * r.value)
        for record in one_class("mnist")
        if record.seed == 0
        for r in record.results
        if r.metric in ("auroc", "auroc_distance")
    ]
    table = pd.DataFrame(rows, columns=["metric", "method", "class", "value"])
    table = table.pivot_table(index=["metric", "class"], columns="method", values="value")
    svm, distance = table.loc["auroc"], table.loc["auroc_distance"]
    assert len(svm) == len(distance) == 10

    def part(values, better, worse):
        gain = values[better] - values[worse]
        return gain.mean() / (values.ICS - values.CLS).mean(), (gain > 0).sum()

    assert part(svm, "Double", "CLS") == (pytest.approx(0.78, abs=0.03), 10)
    assert part(distance, "Double", "CLS") == (pytest.approx(0.63, abs=0.04), 8)
    assert part(svm, "Control", "Random") == (pytest.approx(0.34, abs=0.03), 8)
    assert part(distance, "Control", "Random") == (pytest.approx(0.53, abs=0.04), 8)
    for values in (svm, distance):
        assert abs((values.Random - values.Double).mean()) < 0.2
        assert -0.1 < (values.ICS - values.Control).mean() < 0
        assert 0 < (values.ICS - values.Double).mean() < 0.5
        assert part(values, "ICS", "Double")[1] == 7


def test_the_controls_differ_from_what_they_control_in_one_thing(tmp_path):
    quick = {'"smoke": 40': '"smoke": 1'}
    asked = {"class_name": "0", "methods": "Random,Double", "results": str(tmp_path)}
    names = names_after("ics", until="plots.curves(", replaced=quick, **asked)
    train, parts, by_lot = names["splits"][0].train, names["parts"][0], names["by_lot"][0]
    assert {k: len(v) for k, v in by_lot.items()} == {k: len(v) for k, v in parts.items()}
    assert sorted(torch.cat(list(by_lot.values())).tolist()) == sorted(train.tolist())
    assert set(by_lot["atypical"].tolist()) != set(parts["atypical"].tolist())
    assert all(torch.equal(index, train) for index in names["twice"][0].values())
    assert {"rec", "cls"} < set(names["histories"]["Double"][0].terms)
    # two batches of 4 have the loss of one batch of 8
    model, X = names["models"]["CAE"][0].eval(), torch.rand(8, 1, 32, 32)
    both = names["doubled_loss"](model, {"all": X[:4], "more": X[4:]})
    assert torch.equal(both["loss"], names["closeness_loss"](model, {"all": X})["loss"])


@pytest.fixture(scope="module")
def names() -> dict:
    """The names of the notebook before it scores, after an epoch of the first stage."""
    return names_after("ics", until="HEADLINES = ", replaced={'"smoke": 40': '"smoke": 1'}, methods="CAE")


def test_the_spread_of_codes_is_measured_against_noise(names):
    (k,) = names["splits"]
    noise = (
        names["scoring"].apply(names["models"]["CAE"][k].encoder, names["NOISE"], torch.arange(200)).double().numpy()
    )
    same = np.repeat(noise.mean(0)[None], 50, 0)
    found = names["contraction"]("CAE", k, same, noise)
    assert found["code_spread"] == pytest.approx(0, abs=1e-12)
    assert found["spread"] == pytest.approx(noise.std(0).mean())
    assert found["spread_to_noise"] == pytest.approx(1)  # noise lies as far from itself as from noise
    half = noise.mean(0) + (noise - noise.mean(0)) / 2
    assert names["contraction"]("CAE", k, same, half)["spread_to_noise"] == pytest.approx((2 / 5) ** 0.5)


def test_a_shifted_kernel_gives_the_same_svm_with_more_digits(names):
    draw = np.random.default_rng(0)
    train, others = draw.normal(0.5, 0.1, (400, 64)), draw.normal(0.5, 0.12, (300, 64))
    wide = [names[which](train, others)[0] for which in ("ocsvm_scores", "shifted_scores")]
    assert np.corrcoef(wide)[0, 1] > 0.9999
    assert np.mean((wide[0] > 0) == (wide[1] > 0)) > 0.99
    # of codes that differ by 1e-5 every entry of the kernel is 1 in single precision
    narrow = [0.5 + 1e-4 * (x - 0.5) for x in (train, others)]
    assert (names["ocsvm_scores"](narrow[0], narrow[0])[0] > 0).all()
    assert (names["shifted_scores"](narrow[0], narrow[0])[0] > 0).mean() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(("rho", "n_aty"), [(10.0, 2), (0.1, 1), (99.9, 19)])
def test_a_split_has_two_parts_that_are_never_empty(rho, n_aty):
    quick = {'"smoke": 40': '"smoke": 1'}
    names = names_after("ics", until="parts = {", replaced=quick, class_name="0", methods="Random", rho=rho)
    train = torch.arange(100, 120)
    parts = names["split_by"](np.arange(20)[::-1].copy(), train)
    assert parts["atypical"].tolist() == list(range(119, 119 - n_aty, -1))
    assert parts["typical"].tolist() == list(range(119 - n_aty, 99, -1))
