"""Ask URLs from inside the room: ``python -m upgrader.lab.rehearse.inside METHOD BODY URL …``."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Sequence

TIMEOUT_SECONDS = 5.0


def main(arguments: Sequence[str]) -> int:
    """Ask each URL in turn; 0 when all answered well, else 1 with the reason on standard error."""
    method, body, *urls = arguments
    data = body.encode() or None
    for url in urls:
        try:
            request = urllib.request.Request(url, data=data, method=method)
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                sys.stdout.write(answer.read().decode())
        except OSError as error:
            sys.stderr.write(f"{url}: {error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
