"""The traffic of a rehearsal: one generator for each kind of clients, and their accounts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from upgrader.adapters.playbook_file import LoadedPlaybook
from upgrader.errors import PlaybookInvalid, ProgramFailed
from upgrader.lab.entered import Entered
from upgrader.lab.programs._echo_places import GRPC_PATH, WEBSOCKET_PATH
from upgrader.lab.rehearse.fronts import FRONT, FRONT_FOLDER, FRONT_TLS
from upgrader.lab.rehearse.stage import FOLDER, SETTLE_SECONDS, Stage, await_any
from upgrader.lab.traffic.kinds import Kind
from upgrader.lab.traffic.load import MAX_REQUESTS, MAX_SECONDS
from upgrader.model.watching import FromEnvironment, Synthetic

KEYS = FOLDER / "keys"
_ECHOES = {Kind.GRPC: GRPC_PATH, Kind.WEBSOCKET: WEBSOCKET_PATH}
_STOP_SECONDS = 30.0
"""How long a generator may wait for its stragglers; its own patience is 6 s."""


@dataclass(frozen=True, slots=True)
class Clients:
    """What the clients ask for, read off the playbook's own probes.

    Args:
        path: Path and query.
        header: The header that carries the API key; empty for none.
        key: The key.
    """

    path: str = "/"
    header: str = ""
    key: str = ""


def clients_of(loaded: LoadedPlaybook) -> Clients:
    """Return the first probe that must be let in, as what clients send; ``GET /`` where there is none."""
    for probe in loaded.playbook.signals:
        if isinstance(probe, Synthetic) and probe.expect == 200:
            path = "/" + probe.url.partition("://")[2].partition("/")[2]
            keys = [(k, v.env) for k, v in probe.headers.items() if isinstance(v, FromEnvironment)]
            if not keys:
                return Clients(path)
            header, variable = keys[0]
            return Clients(path, header, loaded.secrets[variable].get_secret_value())
    return Clients()


def kinds_of(text: str) -> tuple[Kind, ...]:
    """Read ``http1,h2``.

    Raises:
        PlaybookInvalid: There is no such kind, or one stands there twice.
    """
    names = [name.strip() for name in text.split(",")]
    known = {kind.value: kind for kind in Kind}
    if len(set(names)) == len(names) and set(names) <= known.keys():
        return tuple(known[name] for name in names)
    raise PlaybookInvalid(
        f"'{text}' names no kinds of traffic, or one of them twice",
        key="--traffic",
        remedy=f"there is: {', '.join(known)}; several are separated by commas",
    )


class Loads:
    """All generators of a rehearsal.

    Args:
        stage: Where they run.
        clients: What they ask for.
    """

    def __init__(self, stage: Stage, clients: Clients) -> None:
        self._stage, self._clients = stage, clients
        self._running: dict[Kind, Entered] = {}

    def start(self, kinds: Sequence[Kind], rate: float) -> None:
        """Send requests and messages until `stop`, and return once the first of each kind were answered.

        Args:
            kinds: Which clients there are; each kind has the same share of the rate.
            rate: Requests and messages a second, in all.

        Raises:
            ProgramFailed: None of a kind was answered in time.
        """
        if self._clients.header:
            self._stage.write(KEYS, self._clients.key + "\n")
        for kind in kinds:
            load = self._arguments(kind, rate / len(kinds))
            log = self._stage.log(f"traffic-{kind}")
            self._running[kind] = self._stage.python("upgrader.lab.traffic", *load, output=log)
            late = f"no request of the {kind} traffic was answered"
            await_any(partial(self._answered, kind), late, seconds=SETTLE_SECONDS)

    def stop(self) -> dict[Kind, dict[str, Any]]:
        """End all of them and return their accounts (`upgrader.lab.traffic.tally.Summary.as_record`).

        Raises:
            ProgramFailed: One has no final account: it ended badly.
        """
        for running in self._running.values():
            running.terminate()
        return {kind: self._account(kind, running) for kind, running in self._running.items()}

    def _arguments(self, kind: Kind, rate: float) -> list[str]:
        plain = kind is Kind.HTTP1
        path = _ECHOES.get(kind, self._clients.path)
        url = f"http://{FRONT}{path}" if plain else f"https://{FRONT_TLS}{path}"
        seconds = min(MAX_SECONDS, MAX_REQUESTS / rate)
        load = ["--kind", kind.value, "--url", url, "--rate", f"{rate:g}", "--seconds", f"{seconds:g}"]
        tls = [] if plain else ["--ca", str(FRONT_FOLDER / "ca.crt")]
        header = self._clients.header
        keys = ["--keys-file", str(KEYS), "--key-header", header] if header else []
        return [*load, *tls, *keys, "--report", self._report(kind)]

    def _account(self, kind: Kind, running: Entered) -> dict[str, Any]:
        status = running.wait(_STOP_SECONDS)
        account: dict[str, Any] = json.loads(self._last_line(kind) or "{}")
        if status or account.get("kind") != "summary":
            raise ProgramFailed(f"the {kind} traffic ended with status {status}, without an account")
        return account

    def _answered(self, kind: Kind) -> int:
        told = self._last_line(kind)
        return int(json.loads(told)["ok"]) if told.endswith("\n") else 0

    def _last_line(self, kind: Kind) -> str:
        return self._stage.room.run(["tail", "-n", "1", self._report(kind)], check=False).stdout

    def _report(self, kind: Kind) -> str:
        return str(FOLDER / f"traffic-{kind}.jsonl")
