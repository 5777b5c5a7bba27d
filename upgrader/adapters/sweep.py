"""Read one path from many pods at once, by the way that reaches them.

Measured (1,000 stub proxies, answers of 2.5 kB, two cores): 0.08-0.1 s a sweep straight at the pods, on kept
connections; the first sweep, which opens them, 0.2 s. ``tests/benchmarks/test_sweep.py`` does it again.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from upgrader.adapters.api_access import ApiAccess, ApiConnection
from upgrader.adapters.background import BackgroundLoop
from upgrader.adapters.portforward import PortForwardWay
from upgrader.adapters.ways import API_CONNECTIONS, ApiServerWay, DirectWay, Way
from upgrader.model.ports import Answer, Endpoint

AUTO: Final = "auto"
TRIED_PODS: Final = 3
"""Pods that each way is tried on; one of them may be bad."""
_GRACE_SECONDS: Final = 5.0
"""How much longer than its deadline a sweep may take to put its answers together."""
_FILES_WANTED: Final = 16384


class HasConnection(Protocol):
    """What knows how the API server is reached: `upgrader.adapters.kube.KubeApi`."""

    def connection(self) -> ApiConnection:
        """Return it."""


def sweep_by(reach: str, kube: HasConnection) -> PodSweep:
    """Make a sweep; nothing is connected before its first read.

    Args:
        reach: ``direct``, ``portforward``, ``apiserver``, or ``auto``: the first of direct, apiserver and
            portforward by which a pod answers.
        kube: Asked for its connection where the API server is needed.
    """

    def direct() -> Way:
        return DirectWay()

    def apiserver() -> Way:
        return ApiServerWay(ApiAccess(kube.connection(), connections=API_CONNECTIONS))

    def portforward() -> Way:
        return PortForwardWay(ApiAccess(kube.connection(), connections=0))

    makers = {"direct": direct, "apiserver": apiserver, "portforward": portforward}
    named = list(makers) if reach == AUTO else [reach]
    return PodSweep([makers[name]() for name in named])


class PodSweep:
    """`Sweep` by one way, or by the first of several that reaches a pod.

    ``reach`` is ``auto`` until that is found out, and then stays.
    """

    def __init__(self, ways: Sequence[Way], background: BackgroundLoop | None = None) -> None:
        """Remember the ways.

        Args:
            ways: In the order of preference, at least one.
            background: Where they are used; a loop of its own by default.
        """
        self._ways = tuple(ways)
        self._way = self._ways[0] if len(self._ways) == 1 else None
        self.reach = self._way.name if self._way else AUTO
        self._background = background or BackgroundLoop("upgrader-sweep")
        self._owns_background = background is None
        self._tried = 0
        allow_many_files()

    def read(
        self, endpoints: Sequence[Endpoint], path: str, *, deadline_seconds: float
    ) -> Mapping[str, Answer]:
        """Return an answer for every endpoint, by key; a pod that did not answer has an error."""
        work = self._read(endpoints, path, deadline_seconds)
        return self._background.run(work, timeout_seconds=deadline_seconds + _GRACE_SECONDS)

    def close(self) -> None:
        """Close all connections and forwards."""
        self._background.run(self._close(), timeout_seconds=_GRACE_SECONDS)
        if self._owns_background:
            self._background.close()

    async def _read(self, endpoints: Sequence[Endpoint], path: str, seconds: float) -> Mapping[str, Answer]:
        if self._way is not None:
            return await read_all(self._way, endpoints, path, seconds=seconds)
        found, said = await find_way(self._ways, self._next_tried(endpoints), path, seconds=seconds / 2)
        if found is None:
            return {one.key: Answer(0, error=said) for one in endpoints}
        self._way, self.reach = found, found.name
        await asyncio.gather(*(way.close() for way in self._ways if way is not found))
        return await read_all(found, endpoints, path, seconds=seconds / 2)

    def _next_tried(self, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
        """Return the next few pods in turn: those tried before may all be bad, or no proxies."""
        able = [one for one in endpoints if one.address]
        begin = self._tried % len(able) if able else 0
        self._tried += TRIED_PODS
        return (able[begin:] + able[:begin])[:TRIED_PODS]

    async def _close(self) -> None:
        await asyncio.gather(*(way.close() for way in self._ways), return_exceptions=True)


async def find_way(
    ways: Sequence[Way], tried: Sequence[Endpoint], path: str, *, seconds: float
) -> tuple[Way | None, str]:
    """Try all ways at once on a few pods.

    Returns:
        The first by which a pod answered 200, or ``None`` and what each of them met.
    """
    answers = await asyncio.gather(*(read_all(way, tried, path, seconds=seconds) for way in ways))
    met: list[str] = []
    for way, said in zip(ways, answers, strict=True):
        if any(answer.status == 200 for answer in said.values()):
            return way, ""
        met += [f"{way.name}: {_met(answer)}" for answer in list(said.values())[:1]]
    return None, "; ".join(met) or "no pod has an IP"


async def read_all(
    way: Way, endpoints: Sequence[Endpoint], path: str, *, seconds: float
) -> dict[str, Answer]:
    """Read every endpoint at once; those that have not answered in time get an error.

    One timer serves all: a timer a request costs more than the request.
    """
    if not endpoints:
        return {}
    tasks = {asyncio.ensure_future(way.read(one, path)): one for one in endpoints}
    done, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    answers = {tasks[task].key: _outcome(task) for task in done}
    no_answer = Answer(0, error=f"no answer within {seconds:g} s", seconds=seconds)
    return answers | {tasks[task].key: no_answer for task in late}


def _outcome(task: asyncio.Future[Answer]) -> Answer:
    error = task.exception()
    return Answer(0, error=f"{type(error).__name__}: {error}") if error else task.result()


def _met(answer: Answer) -> str:
    return answer.error or f"HTTP {answer.status}"


def allow_many_files() -> None:
    """Raise this process's limit of open files as far as it may: a connection a pod is kept."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, _FILES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
