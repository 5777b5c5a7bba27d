"""The torture chart as installed in a room, and questions to what it runs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from upgrader.lab.room import Room

T = TypeVar("T")

CHART = Path(__file__).parent / "charts" / "torture"

IMAGES = {
    "torture/python": {
        "run": "python",
        "module": "code",
        "env": {"PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"},
    }
}
"""The chart's one image: this interpreter. Every container of the chart names its own command."""


def wait(what: str, look: Callable[[], T], *, seconds: float) -> T:
    """Return the first true thing that looking gives.

    Raises:
        AssertionError: The time is up.
    """
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s; last seen: {found}"
        time.sleep(0.2)
    return found


@dataclass(frozen=True)
class Release:
    """One release of the chart, in a namespace of its own.

    Args:
        room: Where it is installed.
        name: The release's name; its namespace has the same.
    """

    room: Room
    name: str

    def helm(self, *arguments: str, seconds: float = 150.0) -> str:
        """Run Helm on this release's namespace."""
        return self.room.run(["helm", "--namespace", self.name, *arguments], timeout_seconds=seconds).stdout

    def kubectl(self, *arguments: str, input: str | None = None, check: bool = True) -> str:
        """Run kubectl in this release's namespace and return what it printed: its errors, if it failed."""
        done = self.room.run(
            ["kubectl", "--namespace", self.name, *arguments], input=input, check=check, timeout_seconds=120
        )
        return done.stderr if done.returncode else done.stdout

    def get(self, *what: str) -> dict[str, Any]:
        """Return an object, or a list of objects."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *what, "-o", "json"))
        return found

    def pods(self, part: str) -> list[dict[str, Any]]:
        """Return the pods of one part of the chart that are not on their way out."""
        items = self.get("pods", "-l", f"app={self.name}-{part}")["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def ask(self, pod: str, path: str, *, port: int = 8080) -> Any:
        """Ask a pod by way of the API server."""
        url = f"/api/v1/namespaces/{self.name}/pods/{pod}:{port}/proxy{path}"
        return json.loads(self.kubectl("get", "--raw", url))

    def exec(self, pod: str, script: str) -> str:
        """Run a shell script in a pod's first container."""
        return self.kubectl("exec", pod, "--", "sh", "-c", script).strip()

    def fetch(self, url: str) -> str:
        """GET a URL from the room itself and return the body."""
        code = f"import urllib.request as r; print(r.urlopen({url!r}, timeout=5).read().decode())"
        return self.room.run([sys.executable, "-c", code]).stdout

    def diary(self) -> list[str]:
        """Return what hooks wrote, in the order of time: name and revision."""
        data = self.get("configmap", "torture-diary").get("data", {})
        return [data[key] for key in sorted(data)]
