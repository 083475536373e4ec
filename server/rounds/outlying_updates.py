"""What becomes of updates that lie apart from the others of their round: flagged, or flagged and left out."""

from __future__ import annotations

from server.aggregation import IncomingReplies, RoundStart, outliers_of
from server.rounds.context import RunContext
from server.rounds.record import Outcome, SiteTraining

LEFT_OUT = "left out: "


def judge_updates(
    context: RunContext, number: int, start: RoundStart, incoming: IncomingReplies, training: tuple[SiteTraining, ...]
) -> tuple[SiteTraining, ...]:
    """The round's outcomes with what was odd; where the study says so, such replies are gone from ``incoming``.

    Args:
        number: the round.
        start: what the sites started from.
        incoming: the round's accepted replies.
        training: outcomes so far.
    """
    found = outliers_of(start, incoming)
    leave_out = context.study.federation.outliers == "leave_out"
    judged = []
    for entry in training:
        outlier = found.get(entry.site)
        if outlier is not None:
            prefix = LEFT_OUT if leave_out else ""
            context.events.say(
                "flagged", round_number=number, site=entry.site, detail=prefix + outlier.why, values=outlier.values
            )
            if leave_out:
                incoming.remove(entry.site)
                entry = SiteTraining(
                    site=entry.site, outcome=Outcome.REFUSED_BY_COORDINATOR, reason=LEFT_OUT + outlier.why
                )
            else:
                entry = entry.model_copy(update={"reason": outlier.why})
        judged.append(entry)
    return tuple(judged)
