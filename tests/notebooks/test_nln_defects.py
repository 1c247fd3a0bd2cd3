"""NLN on defects: networks, losses, and the parts, maps and image scores by hand and by a reference."""

import numpy as np
import pytest
import torch

from novelty_utils import detectors
from novelty_utils.data import defects

NLN = detectors.load("nln_defects")


@pytest.mark.parametrize(
    ("name", "losses"),
    [
        ("Autoencoder", {"ae_loss": {"encoder", "decoder"}}),
        ("ResidualAutoencoder", {"res_loss": {"encoder", "decoder", "critic"}, "critic_loss": {"critic"}}),
        (
            "ConsistentAutoencoder",
            {"con_loss": {"encoder", "decoder", "re_encoder", "critic"}, "critic_loss": {"critic"}},
        ),
    ],
)
def test_a_loss_has_a_gradient_in_these_parts_and_no_other(name, losses):
    network = getattr(NLN, name)(3, 5)
    X = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    for loss, parts in losses.items():
        network.zero_grad()
        getattr(NLN, loss)(network, {"all": X})["loss"].backward()
        taught = {n.split(".")[0] for n, w in network.named_parameters() if w.grad is not None and w.grad.any()}
        assert taught == parts


@pytest.mark.parametrize("name", ["Autoencoder", "ResidualAutoencoder", "ConsistentAutoencoder"])
@torch.no_grad()
def test_the_parts_of_a_patch_are_those_of_the_equations(name):
    draw = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (3, 1, 256, 256), dtype=torch.uint8, generator=draw)
    network = getattr(NLN, name)(1, 6).eval()
    bank = NLN.through(network.encoder, defects.patches(pictures[:2]))
    found = NLN.score(network, bank, pictures[2:], 2)
    x = pictures[2:, :, 128:, :128].float() / 255  # the third patch, row by row
    z = network.encoder(x)
    near = (bank - z).norm(dim=1).argsort()[:2]
    X_hat_k = network.decoder(bank[near])
    np.testing.assert_allclose(found["recon"][0, 128:, :128], (x - network.decoder(z)).abs()[0, 0], atol=1e-5)
    np.testing.assert_allclose(found["nln"][0, 128:, :128], (x - X_hat_k).abs().mean(0)[0], atol=1e-5)
    assert found["dist"][0, 2] == pytest.approx(float((bank[near] - z).norm(dim=1).mean()), rel=1e-3)
    if name == "ResidualAutoencoder":
        expected = (network.critic.features(x) - network.critic.features(X_hat_k)).abs().mean()
    elif name == "ConsistentAutoencoder":
        expected = (z - network.re_encoder(X_hat_k)).abs().mean()
    else:
        assert "feature" not in found
        return
    assert found["feature"][0, 2] == pytest.approx(float(expected), rel=1e-3)


def test_a_map_adds_the_distance_of_a_patch_to_each_of_its_pixels():
    scaled = {"nln": np.full((1, 256, 256), 2, np.float32), "dist": np.float32([[0, 1, 2, 3]])}
    eta = NLN.nln_map(scaled, 0.75)
    assert eta.dtype == np.float32
    assert eta[0, [0, 127, 128, 255], [0, 128, 127, 255]].tolist() == [1.5, 1.75, 2.0, 2.25]


def test_a_picture_gets_the_mean_of_its_errors_and_the_greatest_distance():
    nln = np.arange(4.0).reshape(1, 2, 2)
    found = NLN.pooled({"recon": nln + 1, "nln": nln, "dist": np.array([[0.5, 4.0, 1.0]])})
    assert {name: part.tolist() for name, part in found.items()} == {"recon": [2.5], "error": [1.5], "dist": [4.0]}
    assert NLN.nln_image(found, 0.25).tolist() == [0.25 * 1.5 + 0.75 * 4]
    features = NLN.pooled({"recon": nln, "nln": nln, "dist": np.ones((1, 3)), "feature": np.array([[3.0, 6.0, 9.0]])})
    assert features["error"].tolist() == [6.0]
