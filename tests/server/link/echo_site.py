"""A site's process for tests: answers what it is asked, and prints its events.

Run as ``python -m tests.server.link.echo_site FOLDER ADDRESS``. A message that says "wait at first" makes it write
``FOLDER/asked`` and never answer; a process that finds that file answers at once.
"""

import signal
import sys
import threading
from pathlib import Path

from common.silence import silence_flower
from common.trust import BUNDLE_SHA256

silence_flower()

from flwr.app import Message  # noqa: E402 - after silencing

from client.gate import Released  # noqa: E402
from client.link import Coordinator  # noqa: E402
from client.link.fleet import serve  # noqa: E402
from common.release import pinned_key  # noqa: E402
from tests.letters import SignedSite, key_of  # noqa: E402

folder, address = Path(sys.argv[1]), sys.argv[2]
stop = threading.Event()
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: stop.set())


def answer(message: Message) -> Message:
    """Echo, or wait for the kill."""
    asked = folder / "asked"
    if message.content["header"]["json"] == "wait at first" and not asked.exists():
        asked.touch()
        stop.wait(60)
    return Message(message.content, reply_to=message)


signed = SignedSite(
    answer, key_of((folder / "site.key").read_bytes()), pinned_key((folder / "coordinator.pub").read_text())
)
coordinator = Coordinator(
    address, (folder / "ca.crt").read_bytes(), (folder / "site.key").read_bytes(), folder / "state"
)
serve(
    coordinator,
    lambda message: Released(signed.answer(message)),
    admit=signed.admit,
    refuse_bundle=lambda message: Released(signed.refuse(message)),
    bundle_sha256=BUNDLE_SHA256,
    stop=stop,
    on_event=lambda event: print(event.kind, event.detail, flush=True),
)
