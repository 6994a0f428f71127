"""Where a new expert is expected: among all whom the network has learnt from."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from a_tiny_network import TINY_FAST

from diffoseg.networks.fast import FastNetwork
from diffoseg.training.expert.prior import prior_of


def a_network(codes: np.ndarray, population: np.ndarray) -> FastNetwork:
    config = replace(TINY_FAST, experts=len(codes), population=len(population))
    network = FastNetwork(config)
    whoever = np.full((1, config.code_width), 100.0)
    with torch.no_grad():
        network.codes.copy_(torch.from_numpy(np.concatenate([codes, whoever])))
        network.population.copy_(torch.from_numpy(population.reshape(-1, config.code_width)))
    return network


def covariance_of(prior) -> np.ndarray:
    return (prior.spread @ prior.spread.T).numpy()


class TestThePrior:
    def test_has_the_mean_and_covariance_of_thousands_of_codes(self):
        random = np.random.default_rng(0)
        mixing = random.normal(size=(4, 4))
        codes = random.normal(size=(20_000, 4)) @ mixing.T + [1, 2, 3, 4]
        prior = prior_of(a_network(codes[:3], codes[3:]))
        assert prior.mean.numpy() == pytest.approx(codes.mean(0), abs=1e-4)
        assert covariance_of(prior) == pytest.approx(np.cov(codes.T), rel=0.01, abs=0.01)

    def test_leaves_out_the_code_of_whoever(self):
        codes = np.zeros((3, 4))
        assert prior_of(a_network(codes, np.zeros((0, 4)))).mean.numpy() == pytest.approx(
            np.zeros(4)
        )

    def test_of_few_codes_has_some_spread_in_every_direction(self):
        codes = np.array([[1.0, 0, 0, 0], [-1, 0, 0, 0]])
        variances = np.linalg.eigvalsh(covariance_of(prior_of(a_network(codes, np.zeros((0, 4))))))
        assert variances.min() > 0.1 * variances.max()

    def test_of_a_single_code_has_a_spread_too(self):
        prior = prior_of(a_network(np.ones((1, 4)), np.zeros((0, 4))))
        assert prior.mean.numpy() == pytest.approx(np.ones(4))
        assert np.linalg.eigvalsh(covariance_of(prior)).min() > 0.1

    def test_of_a_correction_lies_closer_about_the_corrected_expert(self):
        codes = np.random.default_rng(1).normal(size=(50, 4))
        network = a_network(codes[:3], codes[3:])
        prior = prior_of(network, 1)
        assert prior.mean.numpy() == pytest.approx(codes[1], abs=1e-6)
        assert np.trace(covariance_of(prior)) < np.trace(covariance_of(prior_of(network)))

    def test_maps_standard_deviations_to_codes(self):
        network = a_network(np.random.default_rng(2).normal(size=(500, 4)), np.zeros((0, 4)))
        prior = prior_of(network)
        drawn = prior.code(torch.randn(20_000, 4, generator=torch.Generator().manual_seed(0)))
        assert np.cov(drawn.numpy().T) == pytest.approx(covariance_of(prior), abs=0.05)
