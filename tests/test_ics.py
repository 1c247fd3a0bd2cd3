"""The parameters of the ICS notebook that cannot be; the split of its training images."""

import numpy as np
import pytest
import torch
from notebook_cells import names_after, refused


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
    ],
)
def test_values_that_cannot_be(pair, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert message in refused("ics", ["-p", pair], capsys)


@pytest.mark.parametrize(("rho", "n_aty"), [(10.0, 2), (0.1, 1), (99.9, 19)])
def test_a_split_has_two_parts_that_are_never_empty(rho, n_aty):
    names = names_after("ics", until="parts = {", class_name="0", methods="Random", rho=rho)
    train = torch.arange(100, 120)
    parts = names["split_by"](np.arange(20)[::-1].copy(), train)
    assert parts["atypical"].tolist() == list(range(119, 119 - n_aty, -1))
    assert parts["typical"].tolist() == list(range(119 - n_aty, 99, -1))
