"""The parameters of the ICS notebook that cannot be; the split of its training images."""

import numpy as np
import pandas as pd
import pytest
import torch
from notebook_cells import NOTEBOOKS, names_after, refused

from novelty_utils import records


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


@pytest.mark.filterwarnings("ignore")
def test_what_the_page_says_of_fashion_mnist_is_in_the_records():
    """Mean AUROCs under the SVM and under the plain distance, to the point."""
    found = {}
    for record in sorted(records.read("ics", NOTEBOOKS.parent / "results"), key=lambda record: record.created):
        if (record.dataset, record.tier, record.parameters["protocol"]) == ("fashion_mnist", "demo", "one_class"):
            found |= {(record.class_name, r.method, r.metric): 100 * r.value for r in record.results}
    classes = {name for name, _, _ in found}
    assert len(classes) == 10

    def mean(method, metric="auroc"):
        return round(sum(found[name, method, metric] for name in classes) / 10)

    expected = {"ICS": 83, "Original": 87, "PCA": 87, "CLS": 89, "HOG": 90}
    assert {method: mean(method) for method in expected} == expected
    assert mean("CAE") < mean("ICS")
    assert round(found["pullover", "ICS", "auroc"]) == 35
    assert round(found["t-shirt", "ICS", "auroc"]) == 59
    assert mean("ICS", "auroc_distance") == 92
    for method, name in (("ICS", "pullover"), ("Control", "t-shirt"), ("CLS", "shirt")):
        spread = [found[c, method, "code_spread"] for c in classes]
        assert found[name, method, "code_spread"] > 5 * sorted(spread)[4]


def test_the_parts_of_the_lead_of_ics_over_cls_on_mnist_are_in_the_records():
    rows = [
        (r.metric, r.method, record.class_name, 100 * r.value)
        for record in records.read("ics", NOTEBOOKS.parent / "results")
        if (record.dataset, record.seed, record.tier) == ("mnist", 0, "demo")
        if record.parameters["protocol"] == "one_class"
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


def test_a_shifted_kernel_gives_the_same_svm_with_more_digits():
    names = names_after("ics", until="def pixels", replaced={'"smoke": 40': '"smoke": 1'}, methods="CAE")
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
