"""What numbers a registration, a training reply and an evaluation can hold."""

from __future__ import annotations

from common.exchange import CohortFlow, EvaluateReply, RegisterReply, Reply, TrainLosses, TrainReply
from common.plausibility.evaluation_sums import evaluation_fault
from common.plausibility.exclusion_codes import EXCLUSION_CODES
from common.plausibility.named_fault import Fault
from common.study import Optimisation, Study

LARGEST_LOSS = 1e6


def fault_of(reply: Reply, study: Study) -> Fault | None:
    """The first thing in a reply that cannot be true of this study; None where all of it can.

    It knows the reply and the study alone. What a site registered before, the coordinator holds against it besides.
    """
    if isinstance(reply, RegisterReply):
        return _registration_fault(reply)
    if isinstance(reply, EvaluateReply):
        return evaluation_fault(reply, study)
    return _training_fault(reply, study.optimisation)


def _registration_fault(reply: RegisterReply) -> Fault | None:
    if fault := _flow_fault(reply.flow):
        return fault
    if reply.train_cases + reply.evaluation_cases != reply.flow.used:
        what = f"{reply.train_cases} + {reply.evaluation_cases} cases, of {reply.flow.used} used"
        return Fault(what, "train_cases")
    return None


def _flow_fault(flow: CohortFlow) -> Fault | None:
    if set(flow.excluded) - EXCLUSION_CODES:
        return Fault("a verdict that this release does not know", "flow.excluded")
    excluded = sum(flow.excluded.values())
    if excluded + flow.used != flow.found:
        return Fault(f"{excluded} excluded and {flow.used} used are not {flow.found} found", "flow")
    return None


def _training_fault(reply: TrainReply, options: Optimisation) -> Fault | None:
    if reply.cases < 1:
        return Fault(f"trained on {reply.cases} cases", "cases")
    if reply.steps != options.steps_per_round:
        return Fault(f"{reply.steps} steps, the study asks for {options.steps_per_round}", "steps")
    allowed = min(options.max_bad_steps, reply.steps)
    if reply.skipped_steps > allowed:
        return Fault(f"{reply.skipped_steps} steps skipped, at most {allowed} may be", "skipped_steps")
    return _losses_fault(reply.losses, options)


def _losses_fault(losses: TrainLosses, options: Optimisation) -> Fault | None:
    signed = options.adversarial_loss == "hinge"
    may_be_negative = {"adversarial": signed, "generator": signed or options.likelihood_weight > 0}
    for name, value in losses.model_dump().items():
        if value is None:
            continue
        if options.adversarial_weight == 0 and name in ("adversarial", "discriminator"):
            return Fault("a loss of a game that the study does not play", f"losses.{name}")
        low = -LARGEST_LOSS if may_be_negative.get(name) else 0.0
        if not low <= value <= LARGEST_LOSS:
            return Fault(f"a loss outside {low:g}..{LARGEST_LOSS:g}", f"losses.{name}")
    return None
