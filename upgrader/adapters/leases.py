"""The Leases of all releases of one run, as one: it holds all of them or none."""

from __future__ import annotations

from collections.abc import Sequence

from upgrader.adapters.lease import ReleaseLease
from upgrader.errors import UpgraderError


class ReleaseLeases:
    """One Lease a release, taken in the playbook's order; implements `upgrader.model.ports.Lease`."""

    def __init__(self, leases: Sequence[ReleaseLease]) -> None:
        """Take nothing yet.

        Args:
            leases: At least one.
        """
        self._leases = tuple(leases)

    def told(self) -> str:
        """Say in words who holds them now; once, where it is the same for all."""
        return "; ".join(dict.fromkeys(lease.told() for lease in self._leases))

    def require_free(self, run_id: str) -> None:
        """Look whether `acquire` would get all of them now; takes nothing.

        Raises:
            Locked: Another run holds one or left it unfinished.
        """
        for lease in self._leases:
            lease.require_free(run_id)

    def acquire(self, run_id: str, *, resume: bool = False) -> None:
        """Take all of them, or none.

        One that a run to be taken up held already stays: it must go on keeping others out.

        Raises:
            Locked: As `ReleaseLease.acquire`, for the first that is not to be had.
        """
        for number, lease in enumerate(self._leases):
            try:
                lease.acquire(run_id, resume=resume)
            except UpgraderError:
                for taken in () if resume else self._leases[:number]:
                    taken.release()
                raise

    def renew(self) -> None:
        """Keep all of them.

        Raises:
            Locked: One is ours no longer.
        """
        for lease in self._leases:
            lease.renew()

    def abort_requested(self) -> str:
        """Return the reason another process gave to abort this run, or the empty text."""
        return next((reason for lease in self._leases if (reason := lease.abort_requested())), "")

    def request_abort(self, reason: str) -> None:
        """Ask the run that holds the first one, and so all, to bring the old version back.

        Raises:
            Refused: No run holds it.
        """
        self._leases[0].request_abort(reason)

    def release(self) -> None:
        """Delete all of them: the run is over."""
        for lease in self._leases:
            lease.release()
