"""Faults that archives hold, each in a series of its own, so that a site can see what its pipeline makes of them."""

from collections.abc import Mapping
from types import MappingProxyType

from client.virtual_hospital.faults import company, posture, stacking, values, words
from client.virtual_hospital.faults.fault import Fault

__all__ = ["FAULTS", "Fault"]

FAULTS: Mapping[str, Fault] = MappingProxyType(
    {fault.name: fault for room in (posture, stacking, values, company, words) for fault in room.FAULTS}
)
