"""Which networks travel in a study, and what they look like on the wire. Both sides derive it from the study alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import final

from torch import Tensor, nn

from common.exchange.weights import Manifest, Weights, manifest_of
from common.networks import build_discriminator, build_generator
from common.study import Study

PIECE_BYTES = 5 * 1024 * 1024
"""Flower cuts arrays into pieces of this size."""

REPLY_OVERHEAD_BYTES = 1024 * 1024


@final
@dataclass(frozen=True)
class ReplySize:
    """The most that a site may send for one question.

    Attributes:
        size_bytes: of all its objects together.
        objects: how many there are.
    """

    size_bytes: int
    objects: int


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


def largest_reply(study: Study) -> ReplySize:
    """Room for the study's weights, their framing and a header: anything larger is no reply.

    A reply is a message, its record, the header, and of each network a record, its buckets and their pieces.
    """
    size_bytes, objects = REPLY_OVERHEAD_BYTES, 3
    for manifest in train_manifests(study).values():
        buckets = sum(1 for _ in manifest.buckets())
        size_bytes += manifest.wire_bytes + manifest.wire_bytes // 8
        objects += 1 + 2 * buckets + manifest.wire_bytes // PIECE_BYTES
    return ReplySize(size_bytes, objects)
