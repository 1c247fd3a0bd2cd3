"""The ADe-GAN notebook: its codes, losses, scores and networks against independent references, and what it refuses."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from notebook_cells import NOTEBOOKS, names_after, refused
from scipy.stats import entropy, norm

from novelty_utils import training
from novelty_utils.ledger import published
from novelty_utils.records import store

pytestmark = pytest.mark.slow

BEFORE_TRAINING = "models, histories = fit(epochs())\n"
BEFORE_TABLES = "AS_SET = {"
RESULTS = NOTEBOOKS.parent / "results"
QUICK = {'"smoke": 800': '"smoke": 4'}
VARIANTS = ("plain_codes", "rescaled_codes", "penalise_E", "middle", "one_hot", "group_norm", "apart", "bare_features")


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> dict:
    """The notebook's names after a few steps of training, up to its tables."""
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLBACKEND", "Agg")
        names = names_after("ade_gan", BEFORE_TABLES, QUICK, results=str(folder))
    names["folder"] = folder
    names["plt"].close("all")
    return names


def before_training(monkeypatch, tmp_path, **parameters) -> dict:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names = names_after("ade_gan", BEFORE_TRAINING, QUICK, results=str(tmp_path), **parameters)
    names["plt"].close("all")
    return names


@pytest.fixture
def batch(everything) -> dict:
    codes = everything["draw_codes"](torch.Generator().manual_seed(1), 12)
    return codes | {"all": torch.rand(12, 1, 28, 28, generator=torch.Generator().manual_seed(2))}


# --- codes ---------------------------------------------------------------------------------------------------------


def test_prior_codes_have_the_law_that_eq_1_names(everything):
    codes = everything["draw_codes"](torch.Generator().manual_seed(3), 20_000)
    assert (codes["z_c"].sum(1) == 1).all() and set(codes["z_c"].unique().tolist()) == {0, 1}
    np.testing.assert_allclose(codes["z_c"].mean(0), 0.1, atol=0.01)
    assert codes["z_n"].std().item() == pytest.approx(0.1, rel=0.01)
    assert (codes["z_c"] * codes["z_c_other"]).sum() == 0  # never the same pattern
    np.testing.assert_allclose(codes["z_c_other"].mean(0), 0.1, atol=0.01)
    assert codes["is_mixed"].float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_mixtures_inside_a_pattern_keep_it_and_lie_between(everything, batch):
    z_c, z_n = everything["prior_codes"](batch)
    assert torch.equal(z_c, batch["z_c"])
    mixed = batch["is_mixed"].squeeze(1)
    assert mixed.any() and not mixed.all()
    assert torch.equal(z_n[~mixed], batch["z_n"][~mixed])
    low = torch.minimum(batch["z_n"], batch["z_n_other"])
    high = torch.maximum(batch["z_n"], batch["z_n_other"])
    assert ((z_n >= low - 1e-6) & (z_n <= high + 1e-6)).all()


def test_cross_codes_mix_two_patterns_with_one_weight(everything, batch):
    z_c, z_n = everything["cross_codes"](batch)
    lam = batch["lam"]
    for row, weight, first, second in zip(z_c, lam, batch["z_c"], batch["z_c_other"], strict=True):
        assert row[first.argmax()] == weight and row[second.argmax()] == 1 - weight
        assert row.sum().item() == pytest.approx(1)
    torch.testing.assert_close(z_n, lam * batch["z_n"] + (1 - lam) * batch["z_n_other"])


def test_variants_of_the_codes(batch, tmp_path, monkeypatch):
    of = {v: before_training(monkeypatch, tmp_path, variant=v) for v in ("plain_codes", "rescaled_codes", "middle")}
    assert torch.equal(of["plain_codes"]["prior_codes"](batch)[1], batch["z_n"])
    many = of["rescaled_codes"]["draw_codes"](torch.Generator().manual_seed(4), 20_000)
    assert of["rescaled_codes"]["prior_codes"](many)[1].std().item() == pytest.approx(0.1, rel=0.01)
    assert of["middle"]["prior_codes"](many)[1].std().item() == pytest.approx(0.1 * (5 / 6) ** 0.5, rel=0.01)
    weights = of["middle"]["cross_codes"](many)[0].amax(1)
    assert weights.min() >= 0.5 and weights.max() <= 0.75


# --- losses --------------------------------------------------------------------------------------------------------


def test_eq_3_by_hand(everything):
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    z_c = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    z_n_hat, z_n = torch.tensor([[3.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 4.0], [0.0, 1.0]])
    cross_entropy, distance = everything["inversion"](logits, z_c, z_n_hat, z_n)
    first = -np.log(np.exp(2) / (np.exp(2) + 1 + np.exp(1)))
    assert cross_entropy.item() == pytest.approx((first + np.log(3)) / 2, rel=1e-5)
    assert distance.item() == pytest.approx((5 + 1) / 2)  # norms, not squared, averaged


def test_eq_6_is_log_n_c_plus_a_divergence_from_uniform(everything):
    logits = torch.randn(50, 10, generator=torch.Generator().manual_seed(5))
    q = logits.double().softmax(1).numpy()
    expected = np.mean([np.log(10) + entropy(np.full(10, 0.1), row) for row in q])
    assert everything["mixture_penalty"](logits).item() == pytest.approx(expected, rel=1e-5)
    assert everything["mixture_penalty"](torch.zeros(3, 10)).item() == pytest.approx(np.log(10))


@pytest.mark.parametrize(("kind", "value"), [("l2", 1.5), ("rms", 1.5 / 28), ("mse", (1 + 4) / 2 / 784)])
def test_the_three_readings_of_eq_7(everything, kind, value):
    X, X_hat = torch.zeros(2, 1, 28, 28), torch.zeros(2, 1, 28, 28)
    X_hat[0, 0, 0, :4], X_hat[1, 0, 5, :4] = 0.5, 1.0  # norms 1 and 2
    assert everything["reconstruction"](X, X_hat, kind).item() == pytest.approx(value)


@pytest.mark.parametrize("kind", ["l2", "rms", "mse"])
def test_the_reading_of_eq_7_is_the_one_asked_for(kind, batch, tmp_path, monkeypatch):
    names = before_training(monkeypatch, tmp_path, recon_norm=kind, alpha=0.0, beta=0.0)
    model = names["build"]().eval()
    expected = names["reconstruction"](batch["all"], model.reconstruct(batch["all"]), kind)
    terms = names["extractor_loss"](model, batch)
    assert terms["recon"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert terms["loss"].item() == pytest.approx(10 * expected.item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["l2", "rms", "mse"])
def test_a_perfect_reconstruction_has_a_finite_gradient(everything, kind):
    X_hat = torch.rand(2, 1, 28, 28, requires_grad=True)
    everything["reconstruction"](X_hat.detach().clone(), X_hat, kind).backward()
    assert X_hat.grad.isfinite().all()


def test_the_game_is_eq_1_with_the_other_form_for_g(everything, batch):
    class Fixed:
        G = torch.nn.Identity()

        def E(self, X):  # noqa: N802
            return torch.zeros(len(X), 10), torch.zeros(len(X), everything["p"].d)

        def decode(self, z_c, z_n):
            return torch.zeros(len(z_c), 1, 28, 28)

        def D(self, X):  # noqa: N802
            return torch.where(X.flatten(1).sum(1) > 0, 2.0, -1.0)  # real, forged

    D = [1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(1.0))]
    terms = everything["discriminator_loss"](Fixed(), batch)
    assert terms["loss"].item() == pytest.approx(-np.log(D[0]) - np.log(1 - D[1]), rel=1e-5)
    assert terms["D_accuracy"].item() == 1
    forged = everything["generator_loss"](Fixed(), batch | terms["kept"])
    assert forged["loss"].item() == pytest.approx(-np.log(D[1]), rel=1e-5)


def test_eq_8_is_the_weighted_sum_and_logs_the_usage(batch, tmp_path, monkeypatch):
    names = before_training(monkeypatch, tmp_path, alpha=2.0, beta=3.0, gamma=0.5)
    terms = names["extractor_loss"](names["build"]().eval(), batch)
    total = 2 * terms["ip"] + 3 * (terms["cross_entropy"] + terms["feature"]) + 0.5 * terms["recon"]
    assert terms["loss"].item() == pytest.approx(total.item(), rel=1e-6)
    assert sum(terms[f"pattern_{i}"] for i in range(10)).item() == pytest.approx(1)


@pytest.mark.parametrize(("variant", "reaches"), [("default", True), ("penalise_E", False)])
def test_eq_6_reaches_g_unless_it_is_to_train_e_only(variant, reaches, batch, tmp_path, monkeypatch):
    names = before_training(monkeypatch, tmp_path, variant=variant, beta=0.0, gamma=0.0)
    model = names["build"]().eval()
    names["extractor_loss"](model, batch)["loss"].backward()
    of_g = sum(float(w.grad.abs().sum()) for w in model.G.parameters() if w.grad is not None)
    assert (of_g > 0) == reaches
    assert sum(float(w.grad.abs().sum()) for w in model.E.parameters()) > 0


def test_a_one_hot_pattern_passes_the_gradient_of_the_soft_one(tmp_path, monkeypatch):
    names = before_training(monkeypatch, tmp_path, variant="one_hot")
    logits = torch.randn(4, 10, generator=torch.Generator().manual_seed(6), requires_grad=True)
    z_c = names["as_pattern"](logits)
    np.testing.assert_allclose(z_c.detach(), np.eye(10)[logits.argmax(1)], atol=1e-6)
    weight = torch.randn(4, 10, generator=torch.Generator().manual_seed(7))
    (mine,) = torch.autograd.grad((z_c * weight).sum(), logits)
    (soft,) = torch.autograd.grad((logits.softmax(1) * weight).sum(), logits)
    torch.testing.assert_close(mine, soft)


# --- scores --------------------------------------------------------------------------------------------------------


def test_r1_ranks_as_the_printed_form_does(everything):
    generator = np.random.default_rng(0)
    z, m = generator.normal(0, 2, 500), generator.uniform(0.1001, 1, 500)
    literal = -(norm.cdf(z) / 10 + (1 - norm.cdf(z)) * m)
    ours = everything["r1"](everything["surprise"](z), m, 10)
    assert np.array_equal(np.argsort(literal), np.argsort(ours))


def test_r1_tells_apart_what_the_printed_form_cannot(everything):
    z = np.array([10.0, 20.0, 30.0])
    assert len(set(-(norm.cdf(z) / 10 + (1 - norm.cdf(z)) * 0.9))) == 1
    assert (np.diff(everything["r1"](everything["surprise"](z), 0.9, 10)) > 0).all()


def test_r2_and_r3_by_hand(everything):
    S, m = np.log(4), 0.5
    assert everything["r2"](S, m, 10) == pytest.approx(np.log(4) / 10 + (1 + np.log(4)) * np.log(2))
    log_p = np.log(0.75)
    expected = -log_p / 10 - (1 - log_p) * 0.5
    assert everything["r3"](norm.ppf(0.75), m, 10) == pytest.approx(expected)


def test_an_image_without_any_pattern_gets_the_highest_finite_score(everything):
    values = everything["r1"](np.array([0.5, 0.5]), np.array([0.1, 0.1001]), 10)
    assert np.isfinite(values).all() and values[0] > values[1]


def test_confidence_keeps_numbers_near_one_apart(everything):
    logits = torch.zeros(3, 10)
    logits[:, 4] = torch.tensor([18.0, 25.0, 30.0])
    m = everything["confidence"](logits)
    assert m.dtype == np.float64 and (np.diff(m) > 0).all() and m[-1] < 1
    np.testing.assert_allclose(m[0], 1 / (1 + 9 * np.exp(-18.0)))


# --- networks and training -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "channels", "norm_kind"), [(28, 1, "default"), (32, 3, "default"), (28, 1, "group_norm")]
)
def test_networks_have_the_shapes_and_learn_with_every_weight(side, channels, norm_kind, tmp_path, monkeypatch):
    names = before_training(monkeypatch, tmp_path, variant=norm_kind, d=7)
    model = names["ADeGAN"](10, 7, [16 * 2**i for i in range(2 if side == 28 else 3)], channels, side).train()
    X = torch.rand(12, channels, side, side)
    X_hat, (logits, z_n_hat) = model.reconstruct(X), model.E(X)
    assert X_hat.shape == X.shape and 0 < X_hat.min() <= X_hat.max() < 1
    assert logits.shape == (12, 10) and z_n_hat.shape == (12, 7)
    assert model.D(X).shape == (12,)
    codes = names["draw_codes"](torch.Generator().manual_seed(8), 12) | {"all": X}
    first = names["discriminator_loss"](model, codes)
    others = [names[f"{part}_loss"](model, codes | first["kept"]) for part in ("generator", "extractor")]
    sum(terms["loss"] for terms in [first, *others]).backward()
    assert all(w.grad is not None and w.grad.isfinite().all() for w in model.parameters())


def test_each_step_moves_only_its_own_networks(tmp_path, monkeypatch):
    names = before_training(monkeypatch, tmp_path)
    turns = names["FIRST"] + names["SECOND"]
    for turn, moving in zip(turns, ("D", "G", "GE"), strict=True):
        model = names["build"]()
        before = {n: w.detach().clone() for n, w in model.named_parameters()}
        one = training.Job(model, {"all": torch.arange(32)}, 0)
        steps = [step if step is turn else replace(step, lr=0.0) for step in turns]
        training.fit([one], names["images"], steps, epochs=1, batch=32, device="cpu", draws=names["draw_codes"])
        moved = {n.split(".")[0] for n, w in model.named_parameters() if not torch.equal(before[n], w.cpu())}
        assert moved == set(moving)


def test_many_detectors_as_one_program_learn_what_they_learn_apart(tmp_path, monkeypatch):
    names = before_training(monkeypatch, tmp_path, batch=12)
    seen, terms = [], []
    for stack in (False, True):
        built = [training.build(lambda: names["ADeGAN"](10, 30, [16, 32], 1, 28), seed) for seed in (0, 1)]
        sets = [{"all": torch.arange(12) + 12 * n} for n in (0, 1)]
        several = [training.Job(m, s, 0) for m, s in zip(built, sets, strict=True)]
        how = {"epochs": 2, "batch": 12, "device": "cpu", "precision": "fp32", "stack": stack}
        done = training.fit(
            several, names["images"], names["FIRST"] + names["SECOND"], draws=names["draw_codes"], **how
        )
        terms.append([h.terms[name] for h in done for name in ("D", "G", "recon", "ip", "cross_entropy")])
        with torch.inference_mode():
            seen.append(torch.cat([m.reconstruct(names["images"][:4].float() / 255).flatten() for m in built]))
    np.testing.assert_allclose(*terms, rtol=2e-3)
    torch.testing.assert_close(*seen, atol=0.01, rtol=0.01)


@pytest.mark.parametrize("variant", ["default", "apart"])
def test_what_d_leaves_to_the_turns_of_g_and_e_changes_nothing(variant, tmp_path, monkeypatch):
    names = before_training(monkeypatch, tmp_path, variant=variant)

    def afresh(step):
        def loss(model, batch):
            batch = {name: batch[name] for name in batch if name not in ("logits", "z_n_hat")}
            if step is turns[1]:
                batch["forged"] = names["three_kinds"](model, batch, model.E(batch["all"]))[0]
            return {name: value for name, value in step.loss(model, batch).items() if name != "kept"}

        return replace(step, loss=loss)

    turns, seen, logged = names["FIRST"] + names["SECOND"], [], []
    for steps in (turns, [afresh(step) for step in turns]):
        model = names["build"]()
        one = training.Job(model, {"all": torch.arange(4 * 32)}, 0)
        how = {"epochs": 1, "batch": 32, "device": "cpu", "precision": "fp32", "draws": names["draw_codes"], "rows": 4}
        (history,) = training.fit([one], names["images"], steps, **how)
        logged.append([history.terms[name] for name in ("D", "G", "recon", "ip", "feature")])
        seen.append(dict(model.named_parameters()))
    np.testing.assert_allclose(*logged, rtol=1e-5)
    for name in seen[0]:
        torch.testing.assert_close(seen[0][name], seen[1][name], msg=name)


def test_g_averages_a_batch_once_for_each_turn(everything):
    model = everything["build"]().train()
    layer = next(m for m in model.G.modules() if isinstance(m, torch.nn.BatchNorm1d))
    h, means = torch.randn(12, layer.num_features, generator=torch.Generator().manual_seed(1)), []
    for times in ((1, 1), (2,)):
        layer.reset_running_stats()
        for number in times:
            everything["count_batch"](model, number)
            layer(h)
        means.append(layer.running_mean.clone())
    torch.testing.assert_close(*means)


@pytest.mark.parametrize(("dataset", "d"), [("digits", 30), ("mnist", 30), ("fashion_mnist", 40), ("cifar10", 64)])
def test_the_length_of_a_feature_is_that_of_cluster_gan_unless_given(everything, dataset, d):
    asked = everything["p"].model_dump() | {"dataset": dataset}
    assert everything["Parameters"].check(asked | {"d": 0}).d == d
    assert everything["Parameters"].check(asked | {"d": 8}).d == 8


def test_the_first_records_are_found_again_under_the_length_that_they_had():
    of = {r.dataset: r for r in store.read("ade_gan", RESULTS) if r.seed == 0 and r.created < "2026-11-28"}
    for dataset, d in (("mnist", 30), ("fashion_mnist", 40)):
        first, where = of[dataset], of[dataset].path("")
        assert first.parameters["d"] == d
        unnamed = {name: value for name, value in first.parameters.items() if name != "d"}
        assert first.model_copy(update={"parameters": unnamed}).path("") == where
        assert first.model_copy(update={"parameters": unnamed | {"d": 8}}).path("") != where


@pytest.mark.parametrize("variant", [*VARIANTS, "sequential", "no_gan"])
def test_every_variant_runs_and_is_recorded(variant, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names = names_after("ade_gan", BEFORE_TABLES, QUICK, results=str(tmp_path), variant=variant)
    names["plt"].close("all")
    (file,) = tmp_path.glob("ade_gan/digits/*.json")
    record = json.loads(file.read_text())
    assert record["parameters"]["variant"] == variant
    assert all(np.isfinite(s).all() for s in names["scored"][names["shown"]].values())
    stages = {"sequential": [{"D", "G"}, {"recon"}], "no_gan": [{"recon"}]}.get(variant, [{"D", "G", "recon"}])
    assert len(record["training"]) == len(stages)
    for number, wanted in enumerate(stages, 1):
        terms = record["training"][f"stage {number}"]["terms"]
        assert wanted == {"D", "G", "recon"} & set(terms)


def test_an_autoencoder_passes_d_numbers_and_no_opinion(tmp_path, monkeypatch):
    names = before_training(monkeypatch, tmp_path, variant="autoencoder", d=3)
    model, X = names["build"]().eval(), torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    seen = []
    model.G.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    terms = names["autoencoder_loss"](model, {"all": X})
    assert not seen[0][:, :10].any() and seen[0].shape == (4, 13) and seen[0][:, 10:].any()
    assert terms["loss"].item() == pytest.approx((X - model.reconstruct(X)).flatten(1).norm(dim=1).mean().item())


def test_an_autoencoder_is_recorded_by_its_error_at_two_lengths(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names = names_after(
        "ade_gan", BEFORE_TABLES, {'"smoke": 800': '"smoke": 120'}, results=str(tmp_path), d=3, variant="autoencoder"
    )
    names["plt"].close("all")
    (file,) = tmp_path.glob("ade_gan/digits/*.json")
    record = json.loads(file.read_text())
    values = {(r["method"], r["metric"]): r["value"] for r in record["results"]}
    assert set(values) == {
        ("health", "collapsed"), ("error", "auroc"), ("pixels", "auroc"), ("error", "auroc;after=third"),
        ("error", "error;held_out"), ("error", "error;held_out;after=third"),
    }  # fmt: skip
    assert values["error", "error;held_out"] < values["error", "error;held_out;after=third"]
    assert set(record["training"]["stage 1"]["terms"]) == {"loss", "recon"}
    assert record["training"]["stage 1"]["collapse"]["collapsed"] == bool(values["health", "collapsed"])


def test_a_network_that_redraws_everything_alike_is_called_collapsed(everything, monkeypatch):
    monkeypatch.setitem(everything["redrawn"], everything["shown"], {"collapsed": True})
    assert everything["health"](everything["shown"])["collapsed"] == 1


@pytest.mark.parametrize("n_c", [2, 32])
def test_the_least_and_the_greatest_number_of_patterns(n_c, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names = names_after("ade_gan", BEFORE_TABLES, QUICK, results=str(tmp_path), n_c=n_c)
    names["plt"].close("all")
    _, m = names["parts"][names["shown"]]
    assert 1 / n_c <= m.min() <= m.max() <= 1
    assert 1 <= names["measured"][names["shown"]]["patterns used"] <= n_c + 1e-6


# --- a whole run ---------------------------------------------------------------------------------------------------


def test_a_run_records_every_score_and_its_health(everything):
    (file,) = everything["folder"].glob("ade_gan/digits/*.json")
    results = json.loads(file.read_text())["results"]
    auroc = {r["method"]: r for r in results if r["metric"] == "auroc"}
    assert set(auroc) == {"R1", "R2", "R3", "R1, empirical", "error", "pattern", "pixels"}
    assert all(0 <= r["low"] <= r["value"] <= r["high"] <= 1 for r in auroc.values())
    measures = {r["metric"]: r["value"] for r in results if r["method"] == "health"}
    assert measures.keys() >= {"diversity", "within", "patterns used", "confidence", "length", "D", "collapsed"}
    assert 1 <= measures["patterns used"] <= 10 and 0.1 <= measures["confidence"] <= 1


def test_a_generator_of_one_image_is_called_collapsed(everything, monkeypatch):
    k = everything["shown"]
    monkeypatch.setitem(everything, "generate", lambda model, codes, batch: torch.zeros(500, 1, 28, 28))
    values = everything["health"](k)
    assert (values["diversity"], values["within"], values["collapsed"]) == (0, 0, 1)


def test_a_generator_of_noise_that_uses_every_pattern_is_not(everything, monkeypatch):
    def noise(model, codes, batch):
        return torch.rand(500, 1, 28, 28, generator=torch.Generator().manual_seed(9))

    k = everything["shown"]
    monkeypatch.setitem(everything, "generate", noise)
    monkeypatch.setitem(everything["redrawn"][k], "collapsed", False)  # whether this short training lived is no matter
    assert everything["health"](k)["collapsed"] == 0


def test_the_error_is_the_norm_of_the_difference(everything):
    k = everything["shown"]
    index = everything["splits"][k].test[:5]
    x = everything["images"][index].float() / 255
    with torch.inference_mode():
        model = everything["models"][k].cpu()
        x_hat, logits = model.reconstruct(x), model.E(x)[0]
    np.testing.assert_allclose(everything["parts"][k][0][:5], np.linalg.norm((x - x_hat).flatten(1), axis=1), rtol=1e-4)
    np.testing.assert_allclose(everything["parts"][k][1][:5], logits.softmax(1).amax(1), rtol=1e-4)


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["n_c=1"], "n_c='1': input should be greater than or equal to 2"),
        (["n_c=33"], "n_c=33: a batch of 32 cannot hold every pattern; choose n_c from 2 to 32"),
        (["n_c=11", "batch=10"], "n_c=11: a batch of 10"),
        (["n_c=ten"], "n_c='ten'"),
        (["alpha=-1"], "alpha='-1': input should be greater than or equal to 0"),
        (["beta=-0.1"], "beta='-0.1': input should be greater than or equal to 0"),
        (["gamma=-10"], "gamma='-10': input should be greater than or equal to 0"),
        (["gamma=nan"], "gamma='nan'"),
        (["alpha=0", "beta=0", "gamma=0"], "alpha, beta and gamma are all 0"),
        (["class_name=10"], "class_name='10' is not a class of digits: choose 0, 1, 2"),
        (["class_name=one"], "class_name='one' is not a class of digits"),
        (["recon_norm=l1"], "recon_norm='l1'"),
        (["d=-1"], "d='-1': input should be greater than or equal to 0"),
        (["d=long"], "d='long'"),
        (["variant=none"], "variant='none'"),
        (["width=12"], "width='12': input should be a multiple of 8"),
        (["width=0"], "width='0'"),
        (["batch=1"], "batch='1'"),
        (["batch=2000"], "batch=2000: there are"),
    ],
)
def test_values_that_cannot_be(pairs, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert message in refused("ade_gan", [word for pair in pairs for word in ("-p", pair)], capsys)


# --- what the page says of the records, and must stay true when there are more of them --------------------------------


@pytest.fixture(scope="module")
def short() -> pd.DataFrame:
    """AUROC of the recorded short runs under MISO, with the width of the page's tables."""
    rows = store.to_frame(store.read("ade_gan", RESULTS))
    rows = store.where(rows, protocol="miso", tier="demo", width=16, batch=32, n_c=10, alpha=1.0, metric="auroc")
    return store.where(rows, variant="default")


def by_digit(short: pd.DataFrame, recon_norm: str) -> pd.DataFrame:
    """One row per digit, one column per score, the mean over seeds, with features of 30 numbers."""
    rows = store.where(short, dataset="mnist", d=30, recon_norm=recon_norm)
    return rows.groupby(["class_name", "method"]).value.mean().unstack()


def test_as_printed_and_with_30_numbers_r1_is_behind_its_error_on_all_digits_but_1_and_9(short):
    of = by_digit(short, "l2")
    assert of.index[of.error < of.R1].tolist() == ["1", "9"] and len(of) == 10
    assert of.index[of.pattern < 0.42].tolist() == ["0", "1", "2", "4"]  # the wrong way
    assert (of.pattern.drop(["0", "1", "2", "4"]) - 0.5).abs().max() < 0.08  # near chance
    assert (of.pixels > of[["R1", "error"]].max(axis=1)).all()


def test_as_printed_and_with_30_numbers_the_distance_to_the_printed_mean_is_about_twenty_points(short):
    of = by_digit(short, "l2").mean()
    assert 0.17 < 0.907 - of.error < 0.907 - of.R1 < 0.23


def test_the_nearest_training_image_beats_every_other_printed_method_and_six_digits_of_the_papers_own(short):
    printed = store.where(published.read("ade_gan"), table="Table 1")
    pixels = by_digit(short, "l2").pixels
    means = printed[printed.class_name == "mean"].set_index("method").value
    assert means.drop("ADe-GAN").max() < pixels.mean() < means["ADe-GAN"]
    own = store.where(printed, method="ADe-GAN").set_index("class_name").value
    assert pixels.index[pixels > own.reindex(pixels.index)].tolist() == ["0", "2", "3", "5", "6", "8"]


def test_per_pixel_the_pattern_wakes_up_and_the_1_gains_most(short):
    of = by_digit(short, "rms")
    assert (of.pattern.reindex(["1", "4", "8"]) > 0.5).all()
    assert of.R1["1"] - of.error["1"] > 0.1 and of.R1["1"] < 0.5
    assert 0 < of.R1["8"] - of.error["8"] < 0.01
    assert of.R1["4"] < of.error["4"]


def test_no_error_takes_the_1_for_novel_whatever_the_length_of_the_code():
    rows = store.to_frame(store.read("ade_gan", RESULTS))
    rows = store.where(rows, dataset="mnist", protocol="miso", class_name="1", method="error", metric="auroc")
    assert len(rows) and (rows.value < 0.5).all()


def test_an_autoencoder_finds_the_0_through_8_numbers_far_better_than_through_40():
    rows = store.to_frame(store.read("ade_gan", RESULTS))
    rows = store.where(rows, variant="autoencoder", dataset="mnist", tier="demo", recon_norm="l2", width=16)
    rows = store.where(rows, protocol="miso", class_name="0", method="error", metric="auroc")
    of = 100 * rows.groupby("d").value.mean()
    assert (of[8], of[40]) == (pytest.approx(93, abs=1.5), pytest.approx(79, abs=1.5))


def test_with_30_numbers_generated_images_differ_as_real_ones_do():
    rows = store.to_frame(store.read("ade_gan", RESULTS))
    rows = store.where(rows, dataset="mnist", protocol="miso", d=30, recon_norm="l2", method="health", n_c=10)
    assert rows[rows.metric == "diversity"].value.between(0.9, 1.1).all()
    assert 0.89 < rows[rows.metric == "within"].value.mean() < 0.95  # 0.89 is that of true classes


def test_with_one_normal_class_the_pattern_points_the_wrong_way_on_every_class():
    for record in store.read("ade_gan", RESULTS):
        if record.parameters["protocol"] in ("one_class", "simo") and record.parameters["d"] in (30, 40):
            values = {r.method: r.value for r in record.results if r.metric == "auroc"}
            assert values["pattern"] < 0.5, record.class_name
            assert values["R1"] < values["error"], record.class_name


def test_fashion_mnist_repeats_the_picture_of_mnist():
    found = {}
    for record in store.read("ade_gan", RESULTS):
        if (record.dataset, record.parameters["protocol"], record.parameters["d"]) == ("fashion_mnist", "miso", 40):
            found[record.class_name] = {r.method: r.value for r in record.results if r.metric == "auroc"}
    assert len(found) == 10
    assert sum(values["pattern"] < 0.5 for values in found.values()) == 8
    assert all(values["R1"] < values["error"] for values in found.values())
    behind = [name for name, values in found.items() if values["pixels"] < max(values["R1"], values["error"])]
    assert behind == ["sandal"]
