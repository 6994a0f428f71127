"""A tiny random model of the fast kind."""

from dataclasses import replace

import torch
from a_model import a_model
from a_tiny_network import TINY_FAST

from diffoseg.diffusion import CategoricalSchedule
from diffoseg.model.model import Model
from diffoseg.networks.fast import FastNetwork


def a_network(seed: int = 0) -> FastNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = FastNetwork(TINY_FAST)
        for values in network.parameters():
            values.data += 0.05 * torch.randn_like(values)
    return network.eval()


def a_fast_model(network: FastNetwork | None = None) -> Model:
    paper = a_model()
    return Model(
        consensus=None,
        personal=None,
        schedule=CategoricalSchedule.cosine(50, variant="exact"),
        panel=paper.panel,
        metadata=replace(paper.metadata, kind="fast", steps=3),
        fast=network or a_network(),
    )


def with_presence(logit: float) -> Model:
    """A model that is as sure as this that everyone marks something everywhere."""
    network = a_network()
    torch.nn.init.zeros_(network.presence[2].weight)
    torch.nn.init.constant_(network.presence[2].bias, logit)
    return a_fast_model(network)
