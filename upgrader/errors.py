"""The errors an operator can meet: whose fault each is, and whether trying again can help.

    UpgraderError
    ├── Permanent            trying again as it stands cannot help
    │   ├── PlaybookInvalid      the playbook or a flag is wrong              exit 2
    │   ├── Refused              the cluster or release is not fit for it     exit 3
    │   ├── Locked               another run, or an unfinished one, holds it  exit 6
    │   ├── NeedsHuman           what is true could not be found out          exit 5
    │   ├── JournalDamaged       a journal that cannot be trusted             exit 5
    │   └── LabUnavailable       this machine cannot run the lab              exit 3
    └── Transient            the same call may succeed later; never a verdict  exit 3
        ├── ClusterUnreachable   the API server did not answer in time
        ├── ClusterConflict      an optimistic write lost a race: look, then act again
        ├── BalancerUnwilling    a balancer's API did not take what it was asked for, or did not answer
        └── ProgramFailed        a program we run ended badly

Expected ends of a run (rolled back, paused, aborted) are results with a phase, not exceptions.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the process says to the shell (design: one meaning a number)."""

    COMPLETED = 0
    BUG = 1
    USAGE = 2
    REFUSED = 3
    ROLLED_BACK = 4
    NEEDS_HUMAN = 5
    LOCKED = 6
    ABORTED = 7
    PAUSED = 8


class UpgraderError(Exception):
    """Say what failed, where, and what the operator can do next.

    Args:
        what: One sentence: what went wrong, with the object or place it concerns.
        remedy: One sentence: what the operator can do next; empty if nothing sensible is known.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.BUG

    def __init__(self, what: str, *, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}\n  next: {self.remedy}" if self.remedy else self.what


class Permanent(UpgraderError):
    """Trying the same again cannot help."""


class Transient(UpgraderError):
    """The same call may succeed later; never evidence against a release."""

    exit_code = ExitCode.REFUSED


class PlaybookInvalid(Permanent):
    """The playbook, or a flag, is wrong; nothing was touched.

    Args:
        what: What is wrong, and what is allowed.
        file: The file that holds it, if any.
        line: Line number from 1, if known.
        key: Dotted path of the key, such as ``limits.error_ratio.tolerate``.
        remedy: What to write instead.
    """

    exit_code = ExitCode.USAGE

    def __init__(
        self, what: str, *, file: str = "", line: int | None = None, key: str = "", remedy: str = ""
    ) -> None:
        place = ":".join(str(part) for part in (file, line) if part)
        super().__init__(": ".join(part for part in (place, key, what) if part), remedy=remedy)
        self.file = file
        self.line = line
        self.key = key


class Refused(Permanent):
    """The cluster, the chart or the release is not fit for the upgrade; nothing was touched."""

    exit_code = ExitCode.REFUSED


class LabUnavailable(Permanent):
    """This machine cannot run the lab (no user namespaces, not Linux, no compiler)."""

    exit_code = ExitCode.REFUSED


class Locked(Permanent):
    """Another run holds the release's Lease, or an unfinished run does."""

    exit_code = ExitCode.LOCKED


class NeedsHuman(Permanent):
    """What is true in the cluster could not be found out; guessing would be worse."""

    exit_code = ExitCode.NEEDS_HUMAN


class JournalDamaged(Permanent):
    """A journal of an unknown version, or one whose chain of hashes is broken before its last line."""

    exit_code = ExitCode.NEEDS_HUMAN


class ClusterUnreachable(Transient):
    """The API server could not be reached, or did not answer within the deadline."""


class ClusterConflict(Transient):
    """A write lost against another writer (HTTP 409): look again, then act."""


class BalancerUnwilling(Transient):
    """A balancer refused a change (rights, quota), throttled it or did not answer: never a verdict."""


class ProgramFailed(Transient):
    """A program we run (Helm, Go, Envoy) could not start or ended with an error.

    Args:
        what: The program and what it was asked to do; never its secrets.
        exit_status: Its exit status; ``None`` when it never started or was killed by the deadline.
        output: The end of what it printed, redacted.
        remedy: What to do next.
    """

    def __init__(
        self, what: str, *, exit_status: int | None = None, output: str = "", remedy: str = ""
    ) -> None:
        super().__init__(f"{what}\n{output}" if output else what, remedy=remedy)
        self.exit_status = exit_status
        self.output = output
