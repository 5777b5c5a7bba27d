"""A Helm process of ours as a step's records hold it; no step itself."""

from __future__ import annotations

from typing import Any

from upgrader.model.plugins import Progress, Scene
from upgrader.model.ports import Helm, Process

STOP_SECONDS = 30.0
"""How long Helm may take to end after SIGTERM (measured: 0.15 s and one request); then it is killed."""


def started_as(scene: Scene, role: str) -> Process | None:
    """Return the process that was started in a role, as far as it was written down."""
    said = scene.facts.get(role)
    return Process(**said) if said else None


def known_as(scene: Scene, helm: Helm, role: str) -> Process | None:
    """Return the process that was started in a role, also where we died before that was written down.

    The way back asks so: a Helm that nobody waits for would go on when all has been undone.
    """
    return started_as(scene, role) or helm.started(role)


def body_of(process: Process) -> dict[str, Any]:
    """Return what the journal keeps of a process."""
    return {"pid": process.pid, "started": process.started, "log": process.log}


def stop(scene: Scene, helm: Helm, process: Process) -> Progress:
    """SIGTERM once (a clean abort); SIGKILL only when it is ignored, which leaves the release pending."""
    now = scene.ports.clock.now()
    asked = float(scene.facts.get("stopped_at", 0.0))
    if not asked:
        helm.stop(process)
        return Progress(False, "asked helm to end", facts={"stopped_at": now})
    if now - asked > STOP_SECONDS:
        helm.kill(process)
    return Progress(False, "waiting for helm to end")
