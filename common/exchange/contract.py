"""Which networks travel in a study, and what they look like on the wire. Both sides derive it from the study alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from torch import Tensor, nn

from common.exchange.weights import Manifest, Weights, manifest_of
from common.networks import build_discriminator, build_generator
from common.study import Study


def networks_that_travel(study: Study) -> tuple[str, ...]:
    """Names of the networks whose weights leave a site: G always, D where the study says so."""
    adversarial = study.optimisation.adversarial_weight > 0
    if adversarial and study.networks.discriminator.federated:
        return ("generator", "discriminator")
    return ("generator",)


def build_network(study: Study, network: str) -> nn.Module:
    """The study's generator or discriminator with fresh weights."""
    return build_generator(study) if network == "generator" else build_discriminator(study)


@lru_cache(maxsize=8)
def train_manifests(study: Study) -> dict[str, Manifest]:
    """Manifests of the networks that travel with training requests and replies."""
    federation = study.federation
    return {
        network: manifest_of(network, build_network(study, network), federation.wire_dtype, federation.bucket_bytes)
        for network in networks_that_travel(study)
    }


def evaluate_manifests(study: Study) -> dict[str, Manifest]:
    """Manifests of the networks that travel with evaluation requests: the generator alone."""
    return {"generator": train_manifests(study)["generator"]}


def on_the_wire(study: Study, weights: Mapping[str, Weights]) -> dict[str, dict[str, Tensor]]:
    """The weights as a site receives them: rounded to the wire's number format."""
    manifests = train_manifests(study)
    return {network: manifests[network].unpack(manifests[network].pack(values)) for network, values in weights.items()}
