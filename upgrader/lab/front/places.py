"""The places a front balancer stands before, and how their endpoints are followed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

import urllib3

from upgrader.lab.front.api import SliceRequests
from upgrader.lab.front.slices import Slice, Slices

_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Place:
    """One installation of the gateway.

    Args:
        namespace: Its namespace; it may come later.
        service: The Service in front of its gateways.
    """

    namespace: str
    service: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read ``NAMESPACE/SERVICE``; raises `ValueError` when it is not that."""
        namespace, _, service = text.partition("/")
        if not namespace or not service or "/" in service:
            raise ValueError(f"'{text}' is not NAMESPACE/SERVICE")
        return cls(namespace, service)


def follow(place: Place, kubeconfig: str | None, on_change: Callable[[list[Slice]], None]) -> None:
    """Follow a place's EndpointSlices in the background, and say once when that fails or works again.

    Args:
        place: Which.
        kubeconfig: The file to log in with; ``None`` for the usual places.
        on_change: Is given all of them after each change; an `OSError` of it counts as trouble.
    """
    slices = Slices(
        SliceRequests(kubeconfig, namespace=place.namespace, service=place.service), on_change=on_change
    )
    threading.Thread(target=_follow, args=(slices, place), daemon=True).start()


def _follow(slices: Slices, place: Place) -> None:
    trouble = ""
    while True:
        before, trouble = trouble, _trouble_of(slices)
        if trouble != before:
            where = f"EndpointSlices of {place.namespace}/{place.service}"
            sys.stderr.write(f"front: {where}: {trouble or 'followed again'}\n")
        if trouble:
            time.sleep(_PAUSE_SECONDS)


def _trouble_of(slices: Slices) -> str:
    try:
        slices.follow()
    except (urllib3.exceptions.HTTPError, OSError, ValueError, KeyError) as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def stopped_by_signal() -> threading.Event:
    """Return what is set by SIGTERM and SIGINT from now on."""
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return stopped


def ended_by_itself(
    process: subprocess.Popen[bytes] | subprocess.Popen[str], stopped: threading.Event
) -> bool:
    """Wait for the balancer to end or for the signal; tell whether it ended first."""
    while process.poll() is None and not stopped.wait(0.2):
        pass
    return process.poll() is not None
