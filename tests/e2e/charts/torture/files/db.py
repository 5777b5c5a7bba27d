"""One member of the StatefulSet: counts its starts on its volume, and looks for its neighbours by name."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

DATA = Path("/data")


def main() -> None:
    """Count, find everybody with a lower ordinal, turn ready, wait."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    starts = DATA / "starts"
    starts.write_text(str(int(starts.read_text()) + 1 if starts.exists() else 1))
    name, _, ordinal = os.environ["POD_NAME"].rpartition("-")
    for lower in range(int(ordinal)):
        host = f"{name}-{lower}.{os.environ['SERVICE']}"
        while not _finds(host):
            time.sleep(0.2)
        print(f"found {host}", flush=True)
    Path("/tmp/ready").touch()
    while True:
        signal.pause()


def _finds(host: str) -> bool:
    try:
        return bool(socket.gethostbyname(host))
    except OSError:
        return False


if __name__ == "__main__":
    main()
