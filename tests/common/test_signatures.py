"""A signature holds for one key, one purpose and one text, and for nothing else."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from common.release import pinned_key, release_key_of
from common.signatures import Purpose, SigningKey
from common.trust import load_private_key, new_site_key, public_key_sha256

SITE_PEM, SITE_PUBLIC = new_site_key()
ED25519 = Ed25519PrivateKey.generate()
KEYS = [SigningKey(ED25519), SigningKey(load_private_key(SITE_PEM, where="test"))]
OTHERS = [SigningKey(Ed25519PrivateKey.generate()), SigningKey(load_private_key(new_site_key()[0], where="test"))]


@pytest.mark.parametrize("number", [0, 1], ids=["coordinator", "site"])
@settings(max_examples=25, deadline=None)
@given(message=st.binary(max_size=200), purpose=st.sampled_from(Purpose), data=st.data())
def test_a_signature_holds_for_its_own_text_purpose_and_key_alone(
    number: int, message: bytes, purpose: Purpose, data: st.DataObject
) -> None:
    key, signature = KEYS[number], KEYS[number].sign(purpose, message)
    assert key.verifying.holds(purpose, message, signature)
    other_purpose = data.draw(st.sampled_from([p for p in Purpose if p is not purpose]))
    other_message = data.draw(st.binary(max_size=200).filter(lambda other: other != message))
    assert not key.verifying.holds(other_purpose, message, signature)
    assert not key.verifying.holds(purpose, other_message, signature)
    assert not any(other.verifying.holds(purpose, message, signature) for other in (*OTHERS, KEYS[1 - number]))
    position = data.draw(st.integers(0, 63))
    changed = bytearray(signature)
    changed[position] ^= data.draw(st.integers(1, 255))
    assert not key.verifying.holds(purpose, message, bytes(changed))


def test_digests_are_those_that_people_compare_over_the_telephone() -> None:
    assert KEYS[1].verifying.sha256 == public_key_sha256(SITE_PUBLIC)
    assert KEYS[0].verifying.sha256 == release_key_of(ED25519).sha256
    assert pinned_key(release_key_of(ED25519).openssh) == KEYS[0].verifying
