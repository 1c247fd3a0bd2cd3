"""The frame of the detectors, on a small one that a notebook of this test defines."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from notebook_cells import NOTEBOOKS
from toy_detectors import given_to, pictures

from novelty_utils import detectors
from novelty_utils.errors import InputError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    yield from given_to(tmp_path, monkeypatch)


@pytest.fixture
def toy(folder):
    return detectors.load("toy")


# --- load ----------------------------------------------------------------------------------------------------------


def test_a_notebook_is_loaded_once_and_its_other_cells_are_not_run(toy):
    assert detectors.load("toy") is toy
    assert toy.Distance.__module__ == "novelty_utils.detectors.toy"


@pytest.mark.parametrize("name", ["prose", "nothing", ""])
def test_a_notebook_without_a_detector_is_refused_with_those_that_have_one(name, folder):
    with pytest.raises(InputError, match=f"no detector is defined in a notebook '{name}': choose from toy$"):
        detectors.load(name)


DEFINING = {path.stem: cells for path in sorted(NOTEBOOKS.glob("*.ipynb")) if (cells := detectors.defining(path))}


@pytest.mark.parametrize("name", DEFINING)
def test_defining_cells_use_no_name_of_the_page(name, tmp_path):
    source = "\n".join(cell.source for cell in DEFINING[name])
    (tmp_path / "module.py").write_text(source, encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "module.py"]
    done = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# --- fit and score -------------------------------------------------------------------------------------------------


def test_scores_are_those_of_the_class_and_the_threshold_a_quantile_of_held_out_normals(toy):
    images, new = pictures(60), pictures(30, 256)
    before = images.clone()
    model = toy.Distance().fit(images, false_alarms=0.25)
    assert torch.equal(images, before)
    away = model.network(new.float() / 255).detach().double() - model.fitted["mean"]
    scores = model.decision_function(new)
    assert scores.dtype == np.float64
    assert scores == pytest.approx(away.norm(dim=1).numpy())
    assert [model.decision_function(new[n : n + 1])[0] for n in range(5)] == pytest.approx(scores[:5])
    assert len(model.held_out_scores_) == 6
    assert model.threshold_ == np.quantile(model.held_out_scores_, 0.75)
    assert model.predict(new).tolist() == (scores > model.threshold_).tolist()
    assert model.decision_function(new[:0]).shape == (0,)


def test_held_out_images_are_drawn_by_the_seed_and_take_no_part_in_learning(toy):
    images = pictures(20)
    models = [toy.Distance(seed=seed).fit(images) for seed in (0, 0, 1)]
    assert torch.equal(models[0].fitted["mean"], models[1].fitted["mean"])
    scores = models[0].score(images, torch.arange(20))
    held_out = [n for n in range(20) if scores[n] in models[0].held_out_scores_]
    assert len(held_out) == 2
    rest = torch.tensor([n for n in range(20) if n not in held_out])
    assert torch.allclose(models[0].codes(images, rest).mean(0), models[0].fitted["mean"])
    assert not torch.equal(models[0].network[1].weight, models[2].network[1].weight)


def test_epochs_come_to_the_steps_of_the_class_and_a_checkpoint_is_for_one_set_of_parameters(toy, tmp_path):
    images = pictures(640)  # 576 to learn from are 9 batches of 64
    folders = []
    for more in ({}, {"power": 2.0}, {"seed": 1}):
        model = toy.Distance(**more).fit(images, checkpoint=tmp_path / "c")
        assert model.asked[0] == round(1000 / 9)
        folders.append(model.asked[1])
    assert toy.Distance().fit(images, epochs=3, checkpoint=str(tmp_path / "c")).asked == (3, folders[0])
    assert len(set(folders)) == 3
    assert {one.parent for one in folders} == {tmp_path / "c"}
    assert toy.Distance().fit(images).asked[1] is None


def test_images_are_brought_to_the_side_of_the_class(toy):
    model = toy.Squared().fit(pictures(20))
    assert model.shape == (1, 4, 4)
    assert model.network[1].in_features == 36
    assert len(model.decision_function(pictures(3))) == 3


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda toy: toy.Distance(power=0), "power=0: input should be greater than 0"),
        (lambda toy: toy.Distance(power="2"), "power='2': input should be a valid number"),
        (lambda toy: toy.Distance(norm="l3"), "norm='l3': input should be 'l1' or 'l2'"),
        (lambda toy: toy.Distance(seed=0.5), "seed=0.5: input should be a valid integer"),
        (lambda toy: toy.Distance().fit(pictures(19)), "fit needs at least 20 images, and there are 19"),
        (lambda toy: toy.Distance().fit(pictures(20).float()), "uint8 (n, c, h, w), not torch.float32 (20, 1, 4, 4)"),
        (lambda toy: toy.Distance().fit(pictures(20)[:, 0]), "uint8 (n, c, h, w), not torch.uint8 (20, 4, 4)"),
        (lambda toy: toy.Distance().fit(pictures(20).numpy()), "must be a tensor, uint8 (n, c, h, w), not uint8 (20,"),
        (lambda toy: toy.Distance().fit(pictures(20), false_alarms=1), "false_alarms=1: give a share"),
        (lambda toy: toy.Distance().fit(pictures(20), epochs=0), "epochs=0: at least 1 is needed"),
        (lambda toy: toy.Distance().decision_function(pictures(2)), "this Distance has not been fitted"),
        (lambda toy: toy.Distance().predict(pictures(2)), "this Distance has not been fitted"),
        (lambda toy: toy.Distance().save("x.pt"), "this Distance has not been fitted"),
        (
            lambda toy: toy.Distance().fit(pictures(20)).decision_function(pictures(2, shape=(1, 4, 5))),
            "images of shape (1, 4, 5): it was fitted on (1, 4, 4)",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(call, told, toy):
    with pytest.raises(InputError) as refusal:
        call(toy)
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_parameters_of_a_run_are_taken_by_name(toy):
    class Run:
        seed, power, norm, device = 3, 0.5, "l1", "cpu"

    assert toy.Distance.of(Run).arguments() == {"seed": 3, "power": 0.5, "norm": "l1"}
    assert toy.Squared.of(Run, norm="l2").arguments() == {"seed": 3, "norm": "l2"}
    assert toy.Squared.of(Run).power == 2.0
    del Run.norm
    with pytest.raises(AttributeError, match="norm"):
        toy.Distance.of(Run)
