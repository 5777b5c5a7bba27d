"""What the command line adds to the playbook."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from upgrader.adapters.interrupts import Interrupts
from upgrader.adapters.redaction import Redactor


@dataclass(frozen=True)
class Flags:
    """What the command line adds to the playbook.

    Args:
        state: Where runs are kept.
        kubeconfig: Empty for what kubectl would use.
        context: Overrides the playbook's.
        environ: The environment secrets are read from.
        interrupts: Notes Ctrl-C and SIGTERM while a run is driven.
        redactor: Learns every secret that is read, and masks it in all that is shown.
    """

    state: Path
    kubeconfig: str = ""
    context: str = ""
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    interrupts: Interrupts = field(default_factory=Interrupts)
    redactor: Redactor = field(default_factory=Redactor, repr=False)

    @property
    def kubeconfigs(self) -> str:
        """Return the kubeconfig files in use, joined by ``:``; empty for kubectl's default."""
        return self.kubeconfig or self.environ.get("KUBECONFIG", "")

    def folder(self, run: str) -> Path:
        """Return the folder of one run."""
        return self.state / "runs" / run
