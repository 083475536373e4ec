"""Takes from a process what it has no use for any more: opening files, connecting, signalling others.

Through Landlock (https://docs.kernel.org/userspace-api/landlock.html), as far as the running kernel has it; descriptors
that are open, or that another process passes, stay good.
"""

from __future__ import annotations

import codecs
import ctypes
import os
import struct
from typing import Final

from pydicom.charset import python_encoding

_CREATE_RULESET: Final = 444
_RESTRICT_SELF: Final = 446
_ASK_VERSION: Final = 1
_RULESET: Final = struct.Struct("=QQQ")
# What each version of Landlock added: rights to files, to the network, and reach of signals and abstract sockets.
_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 5: 16}
_NETWORK_RIGHTS: Final = {4: 0b11}
_SCOPES: Final = {6: 0b11}


def confine_this_process() -> bool:
    """Give up every right that Landlock governs; whether the kernel has Landlock.

    Raises:
        OSError: if the kernel has it and refuses.
    """
    # Python finds these by opening files.
    for name in set(python_encoding.values()):
        codecs.lookup(name)
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))
    if version < 1:
        return False
    rights = (1 << max(bits for since, bits in _FILE_RIGHTS.items() if since <= version)) - 1
    network, scopes = (
        max((bits for since, bits in added.items() if since <= version), default=0)
        for added in (_NETWORK_RIGHTS, _SCOPES)
    )
    attributes = _RULESET.pack(rights, network, scopes)
    known = 8 * (1 + (version >= min(_NETWORK_RIGHTS)) + (version >= min(_SCOPES)))
    ruleset = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(known), ctypes.c_uint32(0))
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock")
    try:
        if libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)) != 0:
            raise OSError(ctypes.get_errno(), "landlock")
    finally:
        os.close(ruleset)
    return True
