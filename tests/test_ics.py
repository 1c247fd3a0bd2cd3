"""The parameters of the ICS notebook that cannot be; its networks and losses are in test_contract."""

import pytest
from notebook_cells import refused


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("methods=ICS,SVM", "'SVM' is not one of Original, PCA, HOG, ImageNet, CAE, CLS, ICS, Control, Random"),
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
