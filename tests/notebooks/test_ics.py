"""The ICS notebook: parameters that cannot be, what it says of records, and its definitions."""

import copy
import json

import numpy as np
import pandas as pd
import pytest
import torch
from notebook_cells import NOTEBOOKS, names_after, refused
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist
from sklearn.svm import OneClassSVM

from novelty_utils import data, detectors, training
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


def test_of_the_pullover_length_changed_nothing_on_one_machine_and_the_full_svm_is_the_solvers_start():
    (full,) = [r for r in one_class("fashion_mnist", "paper") if (r.class_name, r.seed) == ("pullover", 0)]
    repeats = store.read("ics", RESULTS / "repeats")
    short = [r for r in repeats if (r.class_name, r.seed, r.machine["cpu"]) == ("pullover", 0, full.machine["cpu"])]
    short = [r for r in short if (r.parameters["rec"], r.parameters["bn"]) == ("mean", "torch")]
    assert [round(100 * values(r)["ICS", "auroc"], 1) for r in (*short, full)] == [89.5, 89.4]
    assert values(full)["ICS", "code_spread"] < 1e-4
    assert values(full)["ICS", "held_out_rejected"] == 1
    first = min((r for r in one_class("fashion_mnist") if r.class_name == "pullover"), key=lambda r: r.created)
    assert first.machine["cpu"] != full.machine["cpu"]
    assert [r.code["commit"][:7] for r in (first, *short)] == ["9e04b41", "3a6e516"]
    assert values(first)["ICS", "auroc"] < 0.5


def test_codes_of_a_small_spread_may_have_an_svm_far_below_the_distance():
    gaps = {}
    for record in one_class("fashion_mnist"):
        found = values(record)
        for method in WITH_CLOSENESS:
            if found.get((method, "code_spread"), 1.0) < 1e-5**0.5:
                gap = found[method, "auroc_distance"] - found[method, "auroc"]
                gaps[record.class_name, method, record.seed] = gap
    behind = {
        ("shirt", "CLS", 0),
        ("t-shirt", "CLS", 3),
        ("t-shirt", "ICS", 3),
        ("t-shirt", "CLS", 0),
        ("t-shirt", "Control", 1),
        ("bag", "Control", 0),
        ("bag", "ICS", 0),
    }
    assert {run for run, gap in gaps.items() if gap > 0.04} == behind


def test_in_the_control_that_came_apart_closeness_had_done_its_work_on_the_typical_codes():
    failed, fine = [], []
    for record in [*one_class("fashion_mnist"), *store.read("ics", RESULTS / "repeats")]:
        at = record.class_name, record.seed, record.parameters["rec"], record.parameters["bn"]
        if at == ("pullover", 0, "mean", "torch") and "Control" in record.training:
            terms = record.training["Control"]["terms"]
            (failed if -terms["disp2"] > 5 * terms["cls"] else fine).append(terms["cls"])
    assert len(failed) == len(fine) == 1
    assert failed[0] < 1.5 * fine[0]


def test_the_lead_over_cls_on_mnist_is_ours_alone():
    printed = published.cells("ics", "Table 4").loc["mnist"].mean()
    rows = store.to_frame(one_class("mnist"))
    ours = store.where(rows, metric="auroc").groupby(["method", "class_name"]).value.mean().groupby("method").mean()
    assert printed.CLS > printed.ICS
    assert 0.01 < ours.ICS - ours.CLS < printed.CLS - ours.CLS < 0.025


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


# --- its definitions -----------------------------------------------------------------------------------------------

ics = detectors.load("ics")
DIGITS = data.load("digits").images


@torch.no_grad()
def test_the_controls_differ_from_what_they_control_in_one_thing():
    train = torch.arange(100, 130)
    model = ics.ICS(rho=20.0)
    model.begin(DIGITS.shape[1:])
    model.network.eval()
    images = data.to_side(DIGITS, 32)
    parts, lots = model.sets(images, train), [ics.Random(rho=20.0, lot=lot).sets(images, train) for lot in (0, 0, 1)]
    for one in (parts, *lots):
        assert {k: len(v) for k, v in one.items()} == {"typical": 24, "atypical": 6}
        assert sorted(torch.cat(list(one.values())).tolist()) == train.tolist()
    assert torch.equal(lots[0]["atypical"], lots[1]["atypical"])
    drawn = {tuple(sorted(one["atypical"].tolist())) for one in (parts, lots[0], lots[2])}
    assert len(drawn) == 3
    assert all(torch.equal(index, train) for index in ics.Double().sets(images, train).values())
    # two batches of 4 have the loss of one batch of 8
    X = torch.rand(8, 1, 32, 32)
    both = ics.Double().stage3_loss(model.network, {"all": X[:4], "more": X[4:]})
    assert torch.equal(both["loss"], ics.CLS().stage3_loss(model.network, {"all": X})["loss"])
    # and Control has the terms of ICS without the dispersion in their sum
    batch = {"typical": X[:5], "atypical": X[5:]}
    full, control = (one.stage3_loss(model.network, batch) for one in (ics.ICS(beta=0.5), ics.Control()))
    dispersion = 0.5 * (control["disp1"] + control["disp2"])
    assert float(full["loss"] - control["loss"]) == pytest.approx(float(dispersion), rel=1e-4)


@pytest.mark.parametrize(("reading", "value"), [("mean", (1 + 9) / 4 / 2), ("sum", (1 + 9) / 2)])
def test_the_squared_error_is_a_mean_or_a_sum_over_pixels(reading, value):
    X, X_hat = torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    X_hat[0, 0, 0, 0], X_hat[1, 0, 1, 0] = 1, 3
    assert float(ics.reconstruction(X, X_hat, reading)) == pytest.approx(value)


@torch.no_grad()
def test_the_parameters_reach_loss_network_and_start():
    network, X = training.build(lambda: ics.Autoencoder(1), 0), torch.rand(6, 1, 32, 32)
    terms = ics.CLS(alpha=3.0, rec="sum").stage3_loss(network.eval(), {"all": X})
    rest = ics.weight_penalty(network)
    assert float(terms["loss"] - rest) == pytest.approx(float(terms["rec"] + 3 * terms["cls"]), rel=1e-5)
    assert float(terms["rec"]) == pytest.approx(1024 * float(ics.reconstruction(X, network(X))), rel=1e-4)
    norms = [m for m in ics.CAE(bn="keras").build((3, 32, 32)).modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.01)}
    for start, same in (("continue", False), ("fresh", True)):
        model = ics.CLS(start=start)
        model.begin((1, 32, 32))
        model.network = training.build(lambda: ics.Autoencoder(1), 1)
        model._train = lambda *given, model=model: copy.deepcopy(model.network.state_dict())
        first = model.stage3(None, {})["encoder.conv6.weight"]
        assert torch.equal(first, network.encoder.conv6.weight) == same


def test_the_maps_meet_their_weights_before_they_are_enlarged_and_the_sums_are_those_of_the_joined_map():
    decoder = training.build(lambda: detectors.load("ics").Decoder(1), 0)
    draw = torch.Generator().manual_seed(0)
    sizes = ((256, 2), (128, 4), (64, 8), (64, 16))
    maps = [torch.randn(3, c, s, s, generator=draw).requires_grad_() for c, s in sizes]
    joined = torch.cat([torch.nn.functional.interpolate(r, (16, 16)) for r in maps], 1)
    found, wanted = decoder.join_and_double(maps), decoder.block11(joined)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    into = [*maps, *decoder.block11.parameters()]
    weights = torch.randn(found.shape, generator=draw)
    slopes = (torch.autograd.grad((h * weights).sum(), into) for h in (found, wanted))
    torch.testing.assert_close(*slopes, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        ((1, 28, 28), (2, 30)),
        ((1, 29, 29), (1, 30)),
        ((3, 32, 32), (0, 32)),
        ((1, 8, 8), (0, 32)),
        ((1, 28, 30), (0, 32)),
    ],
)
def test_the_similarity_is_measured_inside_the_border(shape, rows):
    inner = ics.inside(shape)
    assert (inner.start, inner.stop) == rows
    white = data.to_side(torch.full((1, *shape), 255, dtype=torch.uint8), 32)
    assert (white[..., inner, inner] == 255).all()
    assert int((white == 255).sum()) == shape[0] * (rows[1] - rows[0]) ** 2


def test_the_least_similar_images_are_atypical():
    class Spoiler(torch.nn.Module):
        """Redraws an image, but for the ones whose first pixel is white."""

        def forward(self, X):
            return torch.where(X[:, :1, :1, :1] == 1, 1 - X, X)

    images = data.to_side(DIGITS[:20], 32).clone()
    images[:, :, 0, 0] = 0
    images[[4, 7], :, 0, 0] = 255
    parts = ics.intra_class_split(Spoiler().eval(), images, torch.arange(20), (1, 32, 32), rho=10.0)
    assert sorted(parts["atypical"].tolist()) == [4, 7]


@pytest.mark.parametrize(("rho", "n_aty"), [(10.0, 2), (0.1, 1), (99.9, 19)])
def test_a_split_has_two_parts_that_are_never_empty(rho, n_aty):
    parts = ics.split_by(np.arange(20)[::-1].copy(), torch.arange(100, 120), rho)
    assert parts["atypical"].tolist() == list(range(119, 119 - n_aty, -1))
    assert parts["typical"].tolist() == list(range(119 - n_aty, 99, -1))


def test_the_spread_of_codes_is_measured_against_noise():
    noise = np.random.default_rng(0).normal(size=(200, 64))
    found = ics.contraction(np.repeat(noise.mean(0)[None], 50, 0), noise, noise)
    assert found["code_spread"] == pytest.approx(0, abs=1e-12)
    assert found["spread"] == pytest.approx(noise.std(0).mean())
    assert found["spread_to_noise"] == pytest.approx(1)  # noise lies as far from itself as from noise
    half = noise.mean(0) + (noise - noise.mean(0)) / 2
    assert ics.contraction(noise, half, noise)["spread_to_noise"] == pytest.approx((2 / 5) ** 0.5)


@pytest.mark.parametrize("spread", [0.1, 1e-3, 1e-5])
def test_the_scores_are_those_of_scikit_learn(spread):
    draw = np.random.default_rng(0)
    train, others = (0.5 + spread * draw.normal(size=(n, 64)) for n in (400, 300))
    peer = OneClassSVM(nu=0.1, gamma=1 / 64, tol=1e-6).fit(train)
    scores = ics.svm_scores(ics.one_class_svm(train), others)
    assert scores == pytest.approx(-peer.decision_function(others), abs=1e-12)
    assert np.array_equal(scores[3:5], ics.svm_scores(ics.one_class_svm(train), others[3:5]))


def test_the_svm_of_the_typical_images_is_recorded_for_what_has_a_split():
    golden = json.loads((NOTEBOOKS.parent / "tests" / "golden" / "ics.json").read_text(encoding="utf-8"))
    with_it = {key.split(",")[0] for key in golden if key.endswith("auroc_typical")}
    assert with_it == {"ICS", "Control"}
    assert all(golden[f"{m}, auroc_typical"] != golden[f"{m}, auroc"] for m in with_it)


def test_too_many_features_are_thinned_by_the_seed(monkeypatch):
    monkeypatch.setattr(ics, "SVM_MOST", 50)
    train = np.random.default_rng(0).normal(size=(80, 3))
    first, again, other = (ics.thinned(train, seed) for seed in (0, 0, 1))
    assert len(np.unique(first, axis=0)) == 50
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert ics.thinned(train[:50], 0) is not train and np.array_equal(ics.thinned(train[:50], 0), train[:50])


def test_a_shifted_kernel_gives_the_same_svm_with_more_digits():
    draw = np.random.default_rng(0)
    train, others = draw.normal(0.5, 0.1, (400, 64)), draw.normal(0.5, 0.12, (300, 64))
    wide = [score(train, others)[0] for score in (ics.ocsvm_scores, ics.shifted_scores)]
    assert np.corrcoef(wide)[0, 1] > 0.9999
    assert np.mean((wide[0] > 0) == (wide[1] > 0)) > 0.99
    # of codes that differ by 1e-5 every entry of the kernel is 1 in single precision
    narrow = 0.5 + 1e-4 * (train - 0.5)
    assert (ics.ocsvm_scores(narrow, narrow)[0] > 0).all()
    assert (ics.shifted_scores(narrow, narrow)[0] > 0).mean() == pytest.approx(0.1, abs=0.02)


def test_the_stages_of_a_detector_do_not_resume_each_other(tmp_path):
    """Both stages of CLS from a fresh start see the same images from the same weights."""
    images = DIGITS[:40]
    models = [
        ics.CLS(start="fresh").fit(images, epochs=1, device="cpu", checkpoint=f) for f in (None, tmp_path, tmp_path)
    ]
    assert len(list(tmp_path.rglob("*.pt"))) == 2
    scores = [model.decision_function(DIGITS[40:60]) for model in models]
    assert np.array_equal(scores[0], scores[1])
    assert np.array_equal(scores[0], scores[2])


# --- what the page derives -----------------------------------------------------------------------------------------


def test_the_formula_of_ssim_is_that_of_the_library():
    """Means, variances and covariance under a Gaussian window, averaged where the window lies inside the image."""
    draw = np.random.default_rng(0)
    images, y = torch.from_numpy(draw.integers(0, 256, (1, 1, 28, 28), dtype=np.uint8)), draw.random((28, 28))
    x = images[0, 0].numpy() / 255

    class Redrawn(torch.nn.Module):
        def forward(self, X):
            return torch.from_numpy(y).float().expand(len(X), 1, 28, 28)

    def mean(image):
        return gaussian_filter(image, sigma=1.5, truncate=3.5)

    mu_x, mu_y = mean(x), mean(y)
    var_x, var_y, cov = mean(x * x) - mu_x**2, mean(y * y) - mu_y**2, mean(x * y) - mu_x * mu_y
    c1, c2 = 0.01**2, 0.03**2
    brightness = (2 * mu_x * mu_y + c1) / (mu_x**2 + mu_y**2 + c1)
    structure = (2 * cov + c2) / (var_x + var_y + c2)
    found = ics.similarity(Redrawn().eval(), images, torch.arange(1), slice(0, 28))
    assert found == pytest.approx((brightness * structure)[5:-5, 5:-5].mean(), rel=1e-5)


def test_the_identities_of_the_svm_hold():
    """Its weights are those of the dual, and the double sum of squared distances is twice a variance."""
    z = 0.5 + 1e-2 * np.random.default_rng(0).normal(size=(200, 64))
    fitted = {name: values.numpy() for name, values in ics.one_class_svm(z).items()}
    a, vectors = fitted["weights"], fitted["vectors"]
    assert a.sum() == pytest.approx(0.1 * 200)
    assert a.min() > 0 and a.max() <= 1
    centre = a @ vectors / a.sum()
    squares = cdist(vectors, vectors, "sqeuclidean")
    around = ((vectors - centre) ** 2).sum(1)
    assert a @ squares @ a == pytest.approx(2 * a.sum() * (a @ around))
    # and so the score is, nearly, a squared distance to the centre
    others = 0.5 + 2e-2 * np.random.default_rng(1).normal(size=(100, 64))
    scores = ics.svm_scores(ics.one_class_svm(z), others)
    slope = np.polyfit(((others - centre) ** 2).sum(1), scores, 1)[0]
    assert slope == pytest.approx(a.sum() / 64, rel=0.01)


@pytest.mark.parametrize(("tier", "images"), [("demo", 4000), ("smoke", 105)])
def test_a_small_data_set_gets_as_many_steps_as_a_large_one_but_in_the_smoke_tier(tier, images, tmp_path):
    names = names_after("ics", 'print(\n    f"{ds.name}, checksum', tier=tier, results=str(tmp_path))
    epochs = {"demo": 6, "smoke": 40}[tier]
    assert names["STEPS"] == epochs * training.steps_per_epoch(images, 64)
    assert len(names["splits"][3].train) == 105
