"""The trainer: exact against a hand-written loop, exact after an interruption, one network or many, four papers."""

import copy
import errno
import gc
import io
import warnings
import weakref
from collections import Counter
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from novelty_utils.errors import InputError
from novelty_utils.training import DivergedError, Job, Objective, backends, batches, checkpoints, loop

pytestmark = pytest.mark.slow

L = 6
IMAGES = torch.randint(0, 256, (60, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """On networks this small, threads only wait for each other: on a busy machine ten times as long as they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Autoencoder(nn.Module):
    """Images (B, 1, 8, 8) -> codes (B, L) -> images. No bias before BatchNorm: its gradient would be rounding alone."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(256, L),
        )
        self.decoder = nn.Sequential(nn.Linear(L, 64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8)))

    def forward(self, X: Tensor) -> Tensor:
        return self.decoder(self.encoder(X))


class Adversarial(Autoencoder):
    """An autoencoder with a discriminator of codes."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__(dropout)
        self.discriminator = nn.Sequential(nn.Linear(L, 5), nn.ReLU(), nn.Linear(5, 1))


def job(make=Autoencoder, images: int = 40, seed: int = 0, **more: int) -> Job:
    """A detector with fresh weights on `images` images, in the set `all` or in the sets given by size."""
    sets = more or {"all": images}
    drawn = {
        name: torch.randperm(len(IMAGES), generator=torch.Generator().manual_seed(seed))[:size]
        for name, size in sets.items()
    }
    return Job(loop.build(make, seed), drawn, seed, name=f"number {seed}")


def fit(jobs, objectives, **options) -> list[loop.History]:
    jobs = [jobs] if isinstance(jobs, Job) else jobs
    objectives = [Objective(objectives)] if callable(objectives) else objectives
    options = {"epochs": 3, "batch": 8, "device": "cpu", "precision": "fp32"} | options
    return loop.fit(jobs, IMAGES, objectives, **options)


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


# --- losses shaped like those of the four papers -------------------------------------------------------------------


def squared_error(model, batch):
    X = batch["all"]
    l_rec = (model(X) - X).square().mean()
    return {"loss": l_rec, "rec": l_rec}


def reconstruct(model, batch):
    X = batch["all"] + 0.1 * batch["noise"]
    l_rec = (model(X) - batch["all"]).square().mean()
    return {"loss": l_rec, "rec": l_rec}


def discriminate(model, batch):
    real, fake = (model.discriminator(z) for z in (batch["prior"], model.encoder(batch["all"])))
    return {"loss": F.softplus(-real).mean() + F.softplus(fake).mean()}


def generate(model, batch):
    return {"loss": F.softplus(-model.discriminator(model.encoder(batch["all"]))).mean()}


AAE = [
    Objective(reconstruct, ("encoder", "decoder"), lr=2e-3),
    Objective(discriminate, ("discriminator",), lr=1e-3, betas=(0.5, 0.999)),
    Objective(generate, ("encoder",), lr=5e-4, betas=(0.5, 0.999)),
]


def aae_draws(generator, size):
    how = {"generator": generator, "device": generator.device}
    return {"prior": torch.randn(size, L, **how), "noise": torch.randn(size, 1, 8, 8, **how)}


def rms(a, b):
    return ((a - b).square().mean(1) + 1e-12).sqrt().mean()


def intra_class_split(model, batch):
    X = torch.cat([batch["typical"], batch["atypical"]])
    z = model.encoder(X)
    z_typ, z_aty = z.split([len(batch["typical"]), len(batch["atypical"])])
    n = min(len(z_typ), len(z_aty))
    l_rec, l_cls = (model.decoder(z) - X).square().mean(), rms(z_typ, z_typ.roll(1, 0))
    disp = -rms(z_aty, z_aty.roll(1, 0)) - rms(z_aty[:n], z_typ[:n])
    penalty = 1e-6 * sum(w.square().sum() for w in model.parameters() if w.ndim == 4)
    return {"loss": l_rec + l_cls + 1e-2 * disp + penalty, "rec": l_rec, "cls": l_cls, "disp": disp}


class Variational(Autoencoder):
    """The encoder's codes are means; deviations come from a second head."""

    def __init__(self) -> None:
        super().__init__()
        self.log_variance = nn.Linear(64, L)


def negative_elbo(model, batch):
    X = batch["all"]
    mu, log_variance = model.encoder(X), model.log_variance(X.flatten(1))
    z = mu + batch["epsilon"] * (log_variance / 2).exp()
    kl = 0.5 * (mu.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
    rec = (model.decoder(z) - X).square().flatten(1).sum(1).mean()
    return {"loss": rec + kl, "rec": rec, "kl": kl}


# --- exact ---------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights_and_history_bit_for_bit():
    outcomes = []
    for seed in (1, 1, 2):
        one = job(lambda: Adversarial(dropout=0.3), seed=seed)
        torch.rand(seed)  # whatever else used the global random state
        history = fit(one, AAE, draws=aae_draws)[0]
        outcomes.append((state(one.model), history.terms))
    assert same(outcomes[0][0], outcomes[1][0])
    assert outcomes[0][1] == outcomes[1][1]
    assert not same(outcomes[0][0], outcomes[2][0])


def test_fit_is_a_plain_loop_bit_for_bit():
    seen = []

    def spying(model, batch):
        seen.append(batch["all"].clone())
        return squared_error(model, batch)

    ours = job()
    bare = copy.deepcopy(ours.model).to(memory_format=torch.channels_last).train()
    history = fit(ours, spying)[0]

    adam, losses = torch.optim.Adam(bare.parameters(), lr=1e-3, fused=True), []
    for X in seen:
        adam.zero_grad()
        loss = (bare(X) - X).square().mean()
        loss.backward()
        adam.step()
        losses.append(loss.detach())
    assert len(seen) == 3 * 5
    assert same(state(ours.model), state(bare))
    assert history.terms["rec"] == torch.stack(losses).view(3, 5).mean(1).tolist()


def test_alternating_steps_are_a_plain_loop_bit_for_bit():
    seen = []

    def spying(model, batch):
        seen.append({name: value.clone() for name, value in batch.items()})
        return reconstruct(model, batch)

    ours = job(Adversarial)
    bare = copy.deepcopy(ours.model).to(memory_format=torch.channels_last).train()
    fit(ours, [Objective(spying, AAE[0].updates, AAE[0].lr), *AAE[1:]], draws=aae_draws)

    parts = [[*bare.encoder.parameters(), *bare.decoder.parameters()]]
    parts += [list(bare.discriminator.parameters()), list(bare.encoder.parameters())]
    adams = [torch.optim.Adam(p, lr=s.lr, betas=s.betas, fused=True) for p, s in zip(parts, AAE, strict=True)]
    for batch in seen:
        for step, adam, mine in zip(AAE, adams, parts, strict=True):
            gradients = torch.autograd.grad(step.loss(bare, batch)["loss"], mine)
            for weight, gradient in zip(mine, gradients, strict=True):
                weight.grad = gradient
            adam.step()
    assert same(state(ours.model), state(bare))


def test_batches_are_the_images_in_0_to_1_and_every_image_comes_equally_often():
    seen = []

    def spying(model, batch):
        seen.append(batch["all"])
        return squared_error(model, batch)

    one = job(images=10)
    history = fit(one, spying, epochs=5, batch=4)[0]  # 5 x 2 batches of 4: four rounds of ten
    assert {(x.dtype, tuple(x.shape)) for x in seen} == {(torch.float32, (4, 1, 8, 8))}
    rows = {tuple((IMAGES[i].flatten().float() / 255).tolist()) for i in one.sets["all"]}
    count = Counter(tuple(row.tolist()) for x in seen for row in x.flatten(1))
    assert count == dict.fromkeys(rows, 4)
    assert history.images == 40
    assert len(history.terms["rec"]) == 5


def test_a_set_smaller_than_the_batch_is_taken_whole():
    shapes = set()

    def spying(model, batch):
        shapes.add((len(batch["typical"]), len(batch["atypical"]), len(batch["noise"])))
        return intra_class_split(model, batch)

    fit(job(typical=20, atypical=3), spying, batch=16, draws=lambda g, size: {"noise": torch.rand(size)})
    fit(job(typical=5, atypical=30), spying, batch=16, draws=lambda g, size: {"noise": torch.rand(size)})
    assert shapes == {(16, 3, 16), (5, 16, 5)}


def test_dropout_and_draws_are_not_the_same_numbers():
    seen = []

    def loss(model, batch):
        seen.append((batch["noise"], torch.rand(8)))
        return squared_error(model, batch)

    fit(job(), loss, draws=lambda generator, size: {"noise": torch.rand(size, generator=generator)})
    assert not any(torch.equal(drawn, inside) for drawn, inside in seen)
    assert len({tuple(drawn.tolist()) for drawn, _ in seen}) == len(seen)  # and each step has its own


# --- the global random state, evaluation mode, what is updated -----------------------------------------------------


def test_the_global_random_state_is_left_alone():
    one = job(lambda: Adversarial(dropout=0.3))
    before = torch.random.get_rng_state()
    fit(one, AAE, draws=aae_draws)
    loop.build(Autoencoder, 7)
    assert torch.equal(before, torch.random.get_rng_state())


def test_initial_weights_depend_on_the_seed_alone():
    first = state(loop.build(Autoencoder, 7))
    torch.rand(3)
    assert same(first, state(loop.build(Autoencoder, 7)))
    assert not same(first, state(loop.build(Autoencoder, 8)))


def test_models_come_back_in_evaluation_mode():
    ones = [job(seed=s) for s in (0, 1)]
    fit(ones, squared_error)
    assert not any(module.training for one in ones for module in one.model.modules())


@pytest.mark.parametrize("updates", [("discriminator",), ("encoder", "decoder"), ("encoder.5", "decoder.0.bias")])
def test_only_the_named_parts_are_updated(updates):
    def every_part(model, batch):
        z = model.encoder(batch["all"])
        return {"loss": model.decoder(z).square().mean() + model.discriminator(z).square().mean()}

    one = job(Adversarial)
    before = dict(copy.deepcopy(one.model).named_parameters())
    fit(one, [Objective(every_part, updates)])
    changed = {name for name, value in one.model.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if any(f"{name}.".startswith(f"{part}.") for part in updates)}


def test_frozen_parameters_and_tied_weights_and_buffers_that_are_not_saved():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(64, 64)
            self.b = nn.Linear(64, 64)
            self.b.weight = self.a.weight
            self.a.bias.requires_grad_(False)
            self.register_buffer("calls", torch.zeros(()), persistent=False)

        def forward(self, X):
            self.calls += 1
            return self.b(self.a(X.flatten(1))).view_as(X)

    one = job(Odd)
    before = copy.deepcopy(one.model)
    fit(one, squared_error)
    assert one.model.b.weight is one.model.a.weight
    assert not torch.equal(one.model.a.weight, before.a.weight)
    assert torch.equal(one.model.a.bias, before.a.bias)
    assert one.model.calls == 15


# --- interrupted and resumed ---------------------------------------------------------------------------------------


class InterruptionError(Exception):
    pass


class Counting:
    """A first step that counts its calls and fails after some of them."""

    def __init__(self, stop_after: float = float("inf")) -> None:
        self.calls, self.stop_after = 0, stop_after

    def __call__(self, model, batch):
        if self.calls >= self.stop_after:
            raise InterruptionError
        self.calls += 1
        return reconstruct(model, batch)


def run_aae(jobs, loss, folder, **options):
    steps = [Objective(loss, AAE[0].updates, options.pop("lr", AAE[0].lr)), *AAE[1:]]
    return fit(jobs, steps, draws=aae_draws, checkpoint=folder, **options)


def dropping() -> Adversarial:
    return Adversarial(dropout=0.3)


@pytest.mark.parametrize(
    ("stop_after", "saved"),
    [
        (3, 0),  # nothing is saved within the first epoch, of 5 steps
        (5, 5),
        (12, 10),
        (19, 15 + 3),  # the first detector is finished, the second, with 3 steps an epoch, has begun
    ],
)
def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path, monkeypatch, stop_after, saved):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)

    def run(stop_after, folder):
        pair = [job(dropping, images, seed) for images, seed in ((40, 0), (24, 1))]
        loss = Counting(stop_after)
        return pair, run_aae(pair, loss, folder), loss.calls

    whole, histories, steps = run(float("inf"), None)
    with pytest.raises(InterruptionError):
        run(stop_after, tmp_path)
    resumed, again, further = run(float("inf"), tmp_path)
    assert further == steps - saved
    for one, other in zip(whole, resumed, strict=True):
        assert same(state(one.model), state(other.model))
    assert [h.terms for h in histories] == [h.terms for h in again]
    assert [h.images for h in histories] == [h.images for h in again]


def test_a_finished_run_is_not_repeated(tmp_path):
    first, second, count = job(dropping), job(dropping), Counting()
    history = run_aae(first, Counting(), tmp_path)[0]
    again = run_aae(second, count, tmp_path)[0]
    assert count.calls == 0
    assert same(state(first.model), state(second.model))
    assert again.terms == history.terms
    assert again.images == history.images
    assert not second.model.training


@pytest.mark.parametrize(
    "change",
    [{"lr": 3e-3}, {"epochs": 4}, {"batch": 10}, {"precision": "bf16"}, "seed", "set", "weights"],
)
def test_a_changed_run_does_not_pick_up_the_checkpoint(tmp_path, change):
    one, count = job(Adversarial), Counting()
    run_aae(copy.deepcopy(one), Counting(), tmp_path)
    if change == "seed":
        one.seed = 9
    elif change == "set":
        one.sets["all"] = one.sets["all"].flip(0)
    elif change == "weights":
        one.model.decoder[0].bias.data[0] += 1
    options = change if isinstance(change, dict) else {}
    run_aae(one, count, tmp_path, **options)
    epochs, batch = options.get("epochs", 3), options.get("batch", 8)
    assert count.calls == epochs * (40 // batch)


def test_other_images_do_not_pick_up_the_checkpoint(tmp_path):
    count = Counting()
    options = {"epochs": 3, "batch": 8, "device": "cpu", "precision": "fp32", "checkpoint": tmp_path}
    for images in (IMAGES, 255 - IMAGES):
        loop.fit([job(Adversarial)], images, [Objective(count, AAE[0].updates)], draws=aae_draws, **options)
    assert count.calls == 2 * 15


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_truncated_checkpoint_is_said_and_training_starts_anew(tmp_path, keep):
    first, second, count = job(Adversarial), job(Adversarial), Counting()
    run_aae(first, Counting(), tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])
    with pytest.warns(UserWarning, match="is damaged: training starts anew"):
        run_aae(second, count, tmp_path)
    assert count.calls == 15
    assert same(state(first.model), state(second.model))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the damaged file has been replaced
        run_aae(job(Adversarial), Counting(), tmp_path)


def test_a_weight_that_has_changed_on_the_disk_is_noticed(tmp_path):
    run_aae(job(Adversarial), Counting(), tmp_path)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.warns(UserWarning, match="is damaged: training starts anew"):
        run_aae(job(Adversarial), count := Counting(), tmp_path)
    assert count.calls == 15


def test_a_full_disk_is_an_error_of_the_system(monkeypatch):
    class Full(io.BytesIO):
        def write(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_atomically", lambda file, write: write(Full()))
    with pytest.raises(OSError, match="No space left"):  # of which write_atomically makes one line
        checkpoints.write(Path("a.pt"), {"x": torch.zeros(3)})


def test_a_checkpoint_of_somebody_s_code_is_not_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return (InterruptionError, ())

    run_aae(job(Adversarial), Counting(), tmp_path)
    (file,) = tmp_path.iterdir()
    checkpoints.write(file, {"at": Trap()})
    with pytest.warns(UserWarning, match="is damaged"):
        run_aae(job(Adversarial), Counting(), tmp_path)


def test_a_checkpoint_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write"):
        run_aae(job(Adversarial), Counting(), tmp_path / "file")


# --- many jobs as one program ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "per_row"), [(1, 8), (2, 4), (3, 2), (100, 1)])
def test_a_history_has_as_many_rows_per_epoch_as_asked_for(rows, per_row):
    def run(rows):
        return fit(job(), squared_error, batch=5, rows=rows)[0].terms["rec"]

    steps = torch.tensor(run(100)).view(3, 8)  # 40 images in batches of 5: eight steps an epoch
    full = 8 // rows * rows if rows <= 8 else 8  # steps of an epoch that do not fill a row belong to none
    assert run(rows) == pytest.approx(steps[:, :full].reshape(-1, per_row).mean(1).tolist())


def test_histories_come_back_in_the_order_of_the_detectors():
    sizes = (4, 40, 5, 30)
    ones = [job(images=size, seed=s) for s, size in enumerate(sizes)]
    histories = fit(ones, squared_error)
    assert [h.images for h in histories] == [12, 120, 15, 72]


# --- losses that are not finite, bad input -------------------------------------------------------------------------


class Breaking:
    """A loss whose term `cls` becomes `value` at a given call."""

    def __init__(self, at: int, value: float) -> None:
        self.at, self.value, self.calls = at, value, 0

    def __call__(self, model, batch):
        self.calls += 1
        l_rec = squared_error(model, batch)["loss"]
        l_cls = l_rec * (self.value if self.calls >= self.at else 1.0)
        return {"loss": l_rec, "rec": l_rec, "cls": l_cls}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e7, -1e7])
@pytest.mark.parametrize(("at", "epoch"), [(3, 1), (8, 2), (15, 3)])
def test_a_term_that_is_not_finite_or_runs_away_names_detector_term_and_epoch(value, at, epoch):
    with pytest.raises(DivergedError, match=rf"number 0: the term 'cls' reached .* in epoch {epoch};") as found:
        fit(job(), Breaking(at, value))
    assert "\n" not in str(found.value)


def test_a_term_that_begins_at_nothing_may_grow():
    step = {0: -1}

    def loss(model, batch):
        step[0] += 1
        return {**squared_error(model, batch), "weight": torch.tensor(step[0] / 10)}

    history = fit(job(), loss)[0]
    assert history.terms["weight"] == pytest.approx([0.2, 0.7, 1.2])


def test_a_learning_rate_that_is_far_too_high_is_noticed():
    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(64, 8), nn.Linear(8, 64)

        def forward(self, X):
            return self.b(self.a(X.flatten(1))).view_as(X)

    with pytest.raises(DivergedError, match="the term 'loss'"):
        fit(job(Linear), [Objective(squared_error, lr=100.0)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sets": {"all": torch.arange(0)}}, r"number 0: the set 'all' is empty"),
        ({"sets": {"all": torch.arange(61)}}, r"number 0: the set 'all' points outside the 60 images"),
        ({"sets": {"all": torch.tensor([-1, 3])}}, r"points outside the 60 images"),
        ({"sets": {"all": torch.ones(60, dtype=torch.bool)}}, r"must hold indices, int64 \(m,\), not torch.bool"),
        ({"sets": {"all": torch.arange(6).view(2, 3)}}, r"must hold indices"),
        ({"sets": {}}, r"no set of images"),
        ({"device": "cuda"}, r"device='cuda': this machine shows no CUDA GPU"),
        ({"device": "gpu"}, r"device='gpu': choose auto, cpu or cuda"),
        ({"precision": "fp16"}, r"precision='fp16': choose auto, fp32 or bf16"),
        (
            {"objectives": [Objective(squared_error, ("decoders",))]},
            r"no parameters in 'decoders'; it has decoder, encoder",
        ),
        ({"objectives": [Objective(squared_error, ("encoder", "decoders"))]}, r"no parameters in 'decoders'"),
        ({"objectives": []}, r"objectives is 0"),
        ({"epochs": 0}, r"epochs is 0"),
        ({"batch": 0}, r"batch is 0"),
        ({"jobs": []}, r"jobs is 0"),
        ({"images": IMAGES.float()}, r"images must be uint8 \(n, c, h, w\), not torch.float32"),
        ({"images": IMAGES[:, 0]}, r"images must be uint8 \(n, c, h, w\), not torch.uint8 \(60, 8, 8\)"),
    ],
)
def test_bad_input_is_refused_in_one_line_before_anything_is_trained(monkeypatch, change, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    one = job()
    one.sets = change.pop("sets", one.sets)
    before = state(one.model)
    options = {"jobs": [one], "images": IMAGES, "objectives": [Objective(squared_error)], "epochs": 1, "batch": 8}
    with pytest.raises(InputError, match=message) as refused:
        loop.fit(**options | change)
    assert "\n" not in str(refused.value)
    assert same(before, state(one.model))


def test_a_model_with_nothing_to_train():
    one = job()
    one.model.requires_grad_(False)
    with pytest.raises(InputError, match="every parameter there is frozen"):
        fit(one, squared_error)


def test_a_loss_that_is_not_a_number_is_refused_at_once():
    with pytest.raises(RuntimeError, match="shape"):
        fit(job(), lambda model, batch: {"loss": model(batch["all"]).flatten(1).mean(1)})


# --- precision and device ------------------------------------------------------------------------------------------


def test_bf16_computes_in_bf16():
    seen = set()

    def loss(model, batch):
        z = model.encoder(batch["all"])
        seen.add(z.dtype)
        return {"loss": (model.decoder(z) - batch["all"]).square().mean()}

    history = fit(job(), loss, precision="bf16")[0]
    assert seen == {torch.bfloat16}
    assert history.precision == "bf16"


def test_bf16_keeps_the_weights_in_float32():
    one = job()
    before = state(one.model)
    fit(one, squared_error, precision="bf16")
    after = state(one.model)
    for name, value in after.items():
        assert value.dtype == before[name].dtype
        assert value.isfinite().all()
    assert not torch.equal(after["encoder.0.weight"], after["encoder.0.weight"].bfloat16().float())


def test_auto_takes_bf16_only_where_the_hardware_has_it(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    for amx, avx, chosen in ((True, False, "bf16"), (False, True, "bf16"), (False, False, "fp32")):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx=avx: avx)
        assert backends.pick_precision("auto", cpu) == chosen
    # an older GPU, such as Colab's free one, supports bf16 by emulation, which is slow
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert backends.pick_precision("auto", cuda) == "fp32"
    assert backends.pick_precision("bf16", cuda) == "bf16"


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch):
    for there, chosen in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert backends.pick_device("auto").type == chosen
        assert backends.pick_device("cpu").type == "cpu"


# --- the four papers -----------------------------------------------------------------------------------------------


def test_intra_class_splitting():
    one = job(typical=30, atypical=4)
    history = fit(one, intra_class_split, epochs=20, batch=10)[0]
    assert set(history.terms) == {"loss", "rec", "cls", "disp"}
    assert history.images == 20 * 3 * (10 + 4)
    assert history.terms["rec"][-1] < history.terms["rec"][0]


def test_an_adversarial_autoencoder_logs_each_step_by_its_number():
    history = fit(job(Adversarial), AAE, draws=aae_draws, epochs=20)[0]
    assert list(history.terms) == ["loss", "rec", "loss_2", "loss_3"]
    assert history.terms["loss"] == history.terms["rec"]
    assert history.terms["rec"][-1] < history.terms["rec"][0]


def test_a_variational_autoencoder():
    def draws(generator, size):
        return {"epsilon": torch.randn(size, L, generator=generator)}

    history = fit(job(Variational), negative_elbo, draws=draws, epochs=20)[0]
    assert history.terms["loss"][-1] < history.terms["loss"][0]
    assert all(kl >= 0 for kl in history.terms["kl"])


def test_a_second_network_learns_from_a_first_that_stays_as_it_is():
    first = job(seed=0)
    fit(first, squared_error)
    before = state(first.model)

    def bounded(model, batch):
        with torch.no_grad():
            target = first.model(batch["all"])
        return {"loss": (model(batch["all"]) - target).square().mean()}

    second = job(seed=1)
    history = fit(second, bounded, epochs=20)[0]
    assert same(before, state(first.model))
    assert not first.model.training
    assert history.terms["loss"][-1] < 0.5 * history.terms["loss"][0]


def test_many_second_networks_each_with_its_own_frozen_first_one():
    class Pair(nn.Module):
        def __init__(self, first: nn.Module) -> None:
            super().__init__()
            self.first, self.second = first.requires_grad_(False), Autoencoder()

    def bounded(model, batch):
        target = model.first.eval()(batch["all"])
        return {"loss": (model.second(batch["all"]) - target).square().mean()}

    firsts = [job(seed=s, images=n) for s, n in ((0, 40), (1, 24))]
    fit(firsts, squared_error)
    before = [state(first.model) for first in firsts]
    pairs = [Job(loop.build(lambda f=first: Pair(f.model), 5), first.sets, seed=5, name=first.name) for first in firsts]
    histories = fit(pairs, bounded, epochs=20)
    for pair, kept, history in zip(pairs, before, histories, strict=True):
        assert same(kept, state(pair.model.first))
        assert history.terms["loss"][-1] < 0.5 * history.terms["loss"][0]


# --- lengths -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "images", "batch", "epochs"), [(100, 1000, 100, 10), (14, 1000, 100, 1), (5, 30, 64, 5)]
)
def test_the_epochs_for_a_number_of_steps(steps, images, batch, epochs):
    assert batches.epochs_for(steps, images, batch) == epochs


def test_every_image_is_seen_once_before_any_is_seen_again():
    one = Job(nn.Identity(), {"all": torch.arange(10)}, seed=3)
    order = batches.schedule(one, epochs=3, batch=4).orders["all"].flatten()  # 24 of 30: the third round is cut short
    for start in (0, 10):
        assert sorted(order[start : start + 10].tolist()) == list(range(10))
    first = torch.randperm(10, generator=torch.Generator().manual_seed(3))
    assert torch.equal(order[:10].long(), first)


def test_an_epoch_has_as_many_steps_as_said(images=45, batch=10):
    history = fit(job(images=images), squared_error, epochs=3, batch=batch)[0]
    assert history.images == 3 * batch * batches.steps_per_epoch(images, batch)


# --- a step recorded on a GPU: what is called when; `make bench` compares the weights where there is one ------------


class FakeGraph:
    """Stands in for torch.cuda.CUDAGraph: replaying does what was recorded, on the same tensors."""

    recording = False

    def replay(self):
        self.output.copy_(self.step(self.inputs))


@pytest.fixture
def fake_cuda(monkeypatch):
    @contextmanager
    def record(graph, stream):
        FakeGraph.recording = True
        yield
        FakeGraph.recording = False

    stream = type("Stream", (), {"wait_stream": lambda *_: None})
    fakes = {"Stream": stream, "current_stream": stream, "stream": lambda _: nullcontext(), "graph": record}
    fakes |= {"CUDAGraph": FakeGraph, "set_sync_debug_mode": lambda _: None, "get_sync_debug_mode": lambda: 0}
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)


def replayed(step):
    """The step, wrapped; a list of whether it was being recorded, call by call; and its outputs for 0, 1, ... 5."""
    recorded, outputs = [], []

    def watched(inputs):
        recorded.append(FakeGraph.recording)
        output = step(inputs)
        if FakeGraph.recording:
            FakeGraph.inputs, FakeGraph.step, FakeGraph.output = inputs, staticmethod(step), output
        return output

    wrapped = backends.Replayed(watched)
    outputs = [wrapped({"x": torch.full((2,), float(t))}) for t in range(6)]
    return recorded, [output.tolist() for output in outputs]


@pytest.mark.usefixtures("fake_cuda")
def test_a_step_runs_as_it_is_then_is_recorded_once_and_gets_new_inputs_every_time():
    recorded, outputs = replayed(lambda inputs: 2 * inputs["x"])
    assert recorded == [False, False, False, True]
    assert outputs == [[2.0 * t] * 2 for t in range(6)]


@pytest.mark.usefixtures("fake_cuda")
@pytest.mark.parametrize(
    ("said", "recorded", "heard"),
    [("called a synchronizing CUDA operation", [False] * 6, 5), ("something else", [False, False, False, True], 7)],
)
def test_a_step_that_waits_for_the_gpu_is_never_recorded_and_other_warnings_are_heard(said, recorded, heard):
    # the third step's own waiting is listened for and kept quiet; a replayed fake warns as the step does
    def step(inputs):
        warnings.warn(said, stacklevel=1)
        return 2 * inputs["x"]

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        assert replayed(step) == (recorded, [[2.0 * t] * 2 for t in range(6)])
    assert [str(one.message) for one in found if one.category is UserWarning] == [said] * heard


@pytest.mark.usefixtures("fake_cuda")
def test_a_step_that_cannot_be_recorded_is_told_in_one_line():
    def step(inputs):
        if FakeGraph.recording:
            raise RuntimeError("not while recording")
        return inputs["x"]

    with pytest.raises(InputError, match=r"cannot be recorded \(not while recording\): train with replay=False"):
        replayed(step)
    FakeGraph.recording = False


def test_a_run_is_gone_when_it_is_done(monkeypatch):
    made, init = [], loop._Run.__init__

    def watched(self, *more):
        made.append(weakref.ref(self))
        init(self, *more)

    monkeypatch.setattr(loop._Run, "__init__", watched)
    gc.disable()
    try:
        fit(job(), squared_error, epochs=1)
        assert [one() for one in made] == [None]
    finally:
        gc.enable()


def test_draws_cannot_have_the_name_of_a_set():
    with pytest.raises(InputError, match="draws: all is the name of a set of images"):
        fit(job(), squared_error, draws=lambda generator, size: {"all": torch.zeros(size)})


def test_recording_is_refused_on_a_cpu():
    with pytest.raises(InputError, match=r"replay=True: kernels are recorded on a CUDA GPU only"):
        fit(job(), squared_error, replay=True, device="cpu")


def test_detectors_with_their_own_seeds_get_their_own_draws_and_equal_seeds_equal_ones():
    seen = []

    def loss(model, batch):
        seen.append(batch["eps"].flatten().tolist())
        return squared_error(model, batch)

    def draws(generator, size):
        return {"eps": torch.randn(size, 1, generator=generator)}

    ones = [job(seed=seed) for seed in (3, 3, 4)]
    fit(ones, [Objective(loss)], draws=draws, epochs=1)
    first, second, third = (seen[i * len(seen) // 3] for i in range(3))
    assert first == second != third
