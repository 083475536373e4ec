"""Nothing of this project tells Flower's makers anything."""

from __future__ import annotations

import subprocess
import sys


def test_flower_is_silent_once_told() -> None:
    program = (
        "import common.silence; common.silence.silence_flower();"
        "import os; import flwr.supercore.telemetry as t; from flwr.supercore.constant import *;"
        "assert t.FLWR_TELEMETRY_ENABLED == '0'; assert os.environ[FLWR_DISABLE_UPDATE_CHECK] == '1'"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_silence_is_there_before_anything_imports_flower() -> None:
    program = "import sys, common.silence; assert not any(name.split('.')[0] == 'flwr' for name in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
