"""Which detector a user means, with which parameters."""

import pytest

from novelty_utils import detectors, screening
from novelty_utils.errors import InputError


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ics", "ics.ICS"),
        ("ICS", "ics.ICS"),
        ("ics.CAE", "ics.CAE"),
        ("cae", "ics.CAE"),
        ("crbnd", "crbnd.CRBND"),
        ("ade_gan", "ade_gan.ADeGAN"),
        ("ADe-GAN", "ade_gan.ADeGAN"),
        ("nln.AE", "nln.AE"),
        ("ae-con", "nln.AECon"),
        ("k-NN", "leaderboard.KNN"),
        ("pretrained", "pretrained.EffNetKNN"),
        ("isolation forest", "leaderboard.IsolationForest"),
    ],
)
def test_a_class_or_a_notebook_is_found_by_its_name(name, kind):
    notebook, own = kind.split(".")
    assert type(screening.choose(name, {})) is detectors.kinds(notebook)[own]


def test_every_detector_of_the_book_is_found_by_notebook_and_class():
    for notebook in detectors.names():
        for own, kind in detectors.kinds(notebook).items():
            assert type(screening.choose(f"{notebook}.{own}", {})) is kind


def refused(name: str, text: dict[str, str]) -> str:
    with pytest.raises(InputError) as refusal:
        screening.choose(name, text)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_an_unknown_name_is_refused_with_all_there_are():
    told = refused("icz", {})
    assert told.startswith(
        "detector 'icz' is not known: choose from ADeGAN (ade_gan); DAE, CRBND (crbnd); CAE, CLS, ICS"
    )
    for notebook in detectors.names():
        assert all(own in told for own in detectors.kinds(notebook))
    assert refused("", {}).startswith("detector '' is not known")
    own = "ics.CAE or ics.CLS or ics.ICS or ics.Control or ics.Random or ics.Double"
    assert refused("ics.AE", {}) == f"detector 'ics.AE' is not one detector: choose {own}"


def test_a_notebook_with_several_is_not_guessed_and_one_without_any_is_unknown():
    several = "nln.AE or nln.VAE or nln.AAE or nln.AERes or nln.AECon"
    assert refused("nln", {}) == f"detector 'nln' is not one detector: choose {several}"
    assert refused("nln_defects", {}).startswith("detector 'nln_defects' is not known")


def test_a_name_of_two_notebooks_is_refused_with_both(monkeypatch):
    kinds = detectors.kinds
    monkeypatch.setattr(detectors, "kinds", lambda name: kinds(name) | ({"CAE": object} if name == "nln" else {}))
    assert refused("cae", {}) == "detector 'cae' names several: choose ics.CAE or nln.CAE"


def test_parameters_are_taken_as_they_are_typed():
    model = screening.choose("ics", {"rho": "5", "beta": "1e-4", "rec": "sum", "seed": "3"})
    assert (model.rho, model.beta, model.rec, model.seed) == (5, 1e-4, "sum", 3)
    assert screening.choose("ade_gan", {"side": "32"}).side == 32
    assert {repr(screening.choose("ade_gan", {"alpha": zero}).alpha) for zero in ("0", "-0", "-0.0", "0.0")} == {"0.0"}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("ics", {"roh": "5"}, "ICS has no parameter 'roh': choose from seed, rec, bn, alpha, start, rho, beta, ssim"),
        ("ics", {"rho": "100"}, "rho=100: input should be less than 100"),
        ("ics", {"rho": "five"}, "rho='five': input should be a valid number"),
        ("ics", {"rho": "nan"}, "rho='nan': input should be a valid number"),
        ("ics", {"seed": "1.0"}, "seed=1.0: input should be a valid integer"),
        ("ics", {"seed": "08"}, "seed='08': input should be a valid integer"),
        ("ics", {"beta": "1e999"}, "beta='1e999': input should be a valid number"),
        ("ics", {"seed": "1_000"}, "seed='1_000': input should be a valid integer"),
        ("ics", {"seed": "\u0661"}, "seed='\u0661': input should be a valid integer"),
        ("ics", {"seed": "9" * 5000}, "input should be a valid integer"),
        ("ics", {"seed": "-1"}, "seed=-1: input should be greater than or equal to 0"),
        ("random", {"lot": "-1"}, "lot=-1: input should be greater than or equal to 0"),
        ("isolation_forest", {"seed": "5000000000"}, "seed=5000000000: input should be less than 2147483648"),
        ("pca", {"components": "0"}, "components=0: input should be greater than or equal to 1"),
        ("knn", {"neighbours": "0"}, "neighbours=0: input should be greater than or equal to 1"),
        ("lof", {"neighbours": "-1"}, "neighbours=-1: input should be greater than or equal to 1"),
        ("ocsvm", {"nu": "1.5"}, "nu=1.5: input should be less than or equal to 1"),
        ("crbnd", {"depth": "6"}, "depth=6: side=32 cannot be halved so often"),
    ],
)
def test_a_wrong_parameter_is_refused(name, text, told):
    assert told in refused(name, text)
