"""A real HAProxy on loopback before small gateways, set up as docs/balancers.md says."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.dataplane import get, wait_for
from upgrader.adapters.background import BackgroundLoop
from upgrader.adapters.runtime_socket import ask

PROGRAM = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
BLUE, GREEN = "gateways-blue", "gateways-green"
_CONFIGURATION = """
global
    stats socket {folder}/admin.sock mode 600 level admin expose-fd listeners
    stats socket {folder}/user.sock mode 600 level user
    server-state-file {folder}/servers
    hard-stop-after 2s
defaults
    mode http
    retries 0
    timeout connect 1s
    timeout check 2s
    timeout client 10s
    timeout server 10s
    load-server-state-from-file global
frontend traffic
    bind {listen}
    http-request set-var(txn.green) str({green}),map_str_int({folder}/green.map,0)
    use_backend {green} if {{ {rule} }} {{ nbsrv({green}) gt 0 }}
    use_backend {green} if {{ nbsrv({blue}) eq 0 }}
    default_backend {blue}
"""
RULE = "rand(10000),sub(txn.green) lt 0"


_NETWORK = f"127.77.{os.getpid() % 250}"
"""Loopback addresses of this process's own, each like a pod's."""


@dataclass(eq=False)
class Gateway:
    """A gateway on an address of its own: it counts what it answers, checks apart."""

    address: str
    is_well: bool = True
    answered: int = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                is_check = b" /envoy-hc " in head
                self.answered += not is_check
                status = b"200 OK" if self.is_well or not is_check else b"503 Unwell"
                writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\nok")
        writer.close()


@dataclass
class Front:
    """The HAProxy and its files, two blue gateways and a green one."""

    folder: Path
    rule: str = RULE
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    background: BackgroundLoop = field(default_factory=BackgroundLoop)
    blue: tuple[Gateway, ...] = field(default_factory=lambda: _gateways(11, 12))
    green: tuple[Gateway, ...] = field(default_factory=lambda: _gateways(21))
    _servers: list[asyncio.Server] = field(default_factory=list)
    listen = f"{_NETWORK}.10:8080"

    @property
    def socket(self) -> str:
        return f"unix:{self.folder}/admin.sock"

    @property
    def map(self) -> str:
        return f"{self.folder}/green.map"

    def open(self) -> None:
        assert PROGRAM
        for gateway in (*self.blue, *self.green):
            server = asyncio.start_server(gateway, gateway.address, 8080)
            self._servers.append(self.background.run(server, timeout_seconds=5))
        (self.folder / "haproxy.cfg").write_text(self._configuration())
        (self.folder / "green.map").write_text(f"{GREEN} 0\n")
        (self.folder / "servers").touch()
        command = [PROGRAM, "-W", "-f", str(self.folder / "haproxy.cfg")]
        self.processes.append(subprocess.Popen(command))  # what it says is shown where a test fails
        wait_for(lambda: get(f"http://{self.listen}/")[0] == 200, seconds=10)

    def close(self) -> None:
        for process in self.processes:
            process.kill()  # its worker ends with it
            process.wait()
        self.background.run(self._end(), timeout_seconds=5)
        self.background.close()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        while len(asyncio.all_tasks()) > 1:  # an open connection is a warning
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)

    def tell(self, command: str) -> str:
        answer = ask(self.socket, command, 2)
        assert not answer.error, answer.error
        return answer.body.decode()

    def worker(self) -> int:
        """Return the pid of the process that serves, as its parent knows it; 0 for none."""
        master = self.processes[-1].pid
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return int(children[-1]) if children else 0

    def save(self) -> None:
        """Write down what a reload would lose, by the commands that the docs give."""
        (self.folder / "servers").write_text(self.tell("show servers state"))
        lines = [line.split() for line in self.tell(f"show map {self.map}").splitlines()]
        (self.folder / "green.map").write_text("".join(f"{one[1]} {one[2]}\n" for one in lines if one))

    def reload(self) -> None:
        before = self.worker()
        wait_for(self._hears_reloads, seconds=10)
        self.processes[-1].send_signal(signal.SIGUSR2)
        wait_for(lambda: self.worker() not in (0, before), seconds=10)
        wait_for(lambda: f"\nPid: {self.worker()}\n" in ask(self.socket, "show info", 1).body.decode())

    def _hears_reloads(self) -> bool:
        """Tell whether the parent is up: a reload asked of it before is lost, though its worker serves."""
        status = Path(f"/proc/{self.processes[-1].pid}/status").read_text()
        masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Sig"))
        bit = 1 << (signal.SIGUSR2 - 1)
        return bool(int(masks["SigCgt"], 16) & bit) and not int(masks["SigBlk"], 16) & bit

    def _configuration(self) -> str:
        text = _CONFIGURATION.format(
            folder=self.folder, listen=self.listen, rule=self.rule, blue=BLUE, green=GREEN
        )
        for name, gateways in ((BLUE, self.blue), (GREEN, self.green)):
            text += f"backend {name}\n    option httpchk\n"
            text += "    http-check send meth GET uri /envoy-hc ver HTTP/1.1 hdr host front\n"
            text += "".join(
                f"    server pod-{at} {one.address}:8080 check inter 100ms fall 2 rise 2\n"
                for at, one in enumerate(gateways)
            )
        return text


def _gateways(*last: int) -> tuple[Gateway, ...]:
    return tuple(Gateway(f"{_NETWORK}.{number}") for number in last)
