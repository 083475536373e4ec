"""The wire contract: every message, weight bucket and statistic that may travel, packed and unpacked only here."""

from common.exchange.contract import (
    build_network,
    evaluate_manifests,
    networks_that_travel,
    on_the_wire,
    train_manifests,
)
from common.exchange.messages import (
    CohortFlow,
    EvaluateReply,
    EvaluateRequest,
    Kind,
    MethodStatistics,
    MetricSums,
    RefusalCode,
    RegisterReply,
    RegisterRequest,
    Reply,
    Request,
    TrainLosses,
    TrainReply,
    TrainRequest,
)
from common.exchange.records import WEIGHT_RECORDS, pack, read_reply, read_request, unpack_weights
from common.exchange.weights import Manifest, TensorSpec, Weights, manifest_of, weights_of, weights_sha256
from common.roles import Role

__all__ = [
    "WEIGHT_RECORDS",
    "CohortFlow",
    "EvaluateReply",
    "EvaluateRequest",
    "Kind",
    "Manifest",
    "MethodStatistics",
    "MetricSums",
    "RefusalCode",
    "RegisterReply",
    "RegisterRequest",
    "Reply",
    "Request",
    "Role",
    "TensorSpec",
    "TrainLosses",
    "TrainReply",
    "TrainRequest",
    "Weights",
    "build_network",
    "evaluate_manifests",
    "manifest_of",
    "networks_that_travel",
    "on_the_wire",
    "pack",
    "read_reply",
    "read_request",
    "train_manifests",
    "unpack_weights",
    "weights_of",
    "weights_sha256",
]
