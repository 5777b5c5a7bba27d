"""The demo gateway's data plane without Kubernetes: real Envoys on loopback addresses of this test run."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from upgrader.lab.front import envoy
from upgrader.lab.front.__main__ import with_certificate
from upgrader.lab.front.bootstrap import Address, Front, bootstrap
from upgrader.lab.front.endpoints import write_endpoints
from upgrader.lab.programs._echo_places import GRPC_PATH, WEBSOCKET_PATH

CHART = Path(__file__).parents[2] / "playbooks" / "demo" / "gateway-1.11.30"
OLD, NEW = "1.11.28", "1.11.30"
ECHO = {"grpc": GRPC_PATH, "websocket": WEBSOCKET_PATH}
KEY = "key-of-the-test"
NOTICED_SECONDS, LONGEST_SECONDS = "2.5", "2"

_NETWORK = f"127.{100 + os.getpid() // 250 % 100}.{os.getpid() % 250 + 1}"
"""Addresses of our own, so that two runs on one machine do not meet."""


@dataclass
class Gateway:
    """One running proxy."""

    address: str
    version: str
    process: subprocess.Popen[bytes]
    access_log: Path

    @property
    def traffic(self) -> Address:
        return Address(self.address, 8080)

    @property
    def admin(self) -> str:
        return f"http://{self.address}:19000"

    def counters(self, pattern: str) -> dict[str, int]:
        body = get(f"{self.admin}/stats?format=json&filter={pattern}")[1]
        return {stat["name"]: stat["value"] for stat in json.loads(body)["stats"] if "value" in stat}

    def drain(self) -> None:
        """Run the chart's preStop hook, then end the process as the kubelet does."""
        script = filled(CHART / "files" / "drain.sh", ADMIN_HOST=self.address, ADMIN_PORT="19000",
                        NOTICED=NOTICED_SECONDS, LONGEST=LONGEST_SECONDS)  # fmt: skip
        subprocess.run(["bash", "-c", script], check=True, timeout=30)
        self.end()

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)

    def _lines(self) -> int:
        return self.access_log.read_bytes().count(b"\n{") + 1

    def logged(self) -> list[dict[str, Any]]:
        counted = self.counters("^http.ingress_http.downstream_rq_completed$")
        wait_for(lambda: self._lines() >= sum(counted.values()))  # Envoy writes its log each 100 ms
        return [json.loads(line) for line in self.access_log.read_text().splitlines() if line.startswith("{")]


@dataclass
class Plane:
    """Application, control plane, gateways and front balancer; everything ends with `close`."""

    folder: Path
    gateways: list[Gateway] = field(default_factory=list)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _next: int = 20
    _files: list[IO[bytes]] = field(default_factory=list)

    upstream_admin = f"http://{_NETWORK}.2:19000"
    front_url = f"http://{_NETWORK}.10:8080/"
    front_tls = f"https://{_NETWORK}.10:8443"
    front_admin = f"http://{_NETWORK}.10:9901"

    def open(self, *, version: str = OLD) -> None:
        keys = self.folder / "keys"
        keys.mkdir()
        (keys / "client-0").write_text(KEY)
        (self.folder / "traffic-keys").write_text(KEY)
        self._program("upstream", "--listen", f"{_NETWORK}.2")
        self.control_plane = self.start_control_plane(version)
        self.front = Front(
            Address(f"{_NETWORK}.10", 8080),
            Address(f"{_NETWORK}.10", 9901),
            self.folder / "endpoints.json",
            self.folder / "front.log",
            tls=with_certificate(Address(f"{_NETWORK}.10", 8443), self.folder),
        )
        write_endpoints(self.front.endpoints_file, ())
        self._processes.append(envoy.start(bootstrap(self.front)))
        wait_for(lambda: get(f"{self.front_admin}/ready")[0] == 200)
        wait_for(lambda: get(f"{self.upstream_admin}/ready")[0] == 200)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        for file in self._files:
            file.close()

    def start_echo(self, *options: str) -> None:
        self._program("echo", "--listen", f"{_NETWORK}.2", *options)
        wait_for(lambda: is_open(f"{_NETWORK}.2", 8082) and is_open(f"{_NETWORK}.2", 8083))

    def start_control_plane(self, version: str, *, bad: str = "") -> subprocess.Popen[bytes]:
        spoilt = ("--bad-xds", bad) if bad else ()
        process = self._program(
            "control_plane", "--version", version, "--listen", f"{_NETWORK}.3", "--upstream",
            f"{_NETWORK}.2:8081", "--keys", str(self.folder / "keys"), *spoilt,
        )  # fmt: skip
        wait_for(lambda: get(f"http://{_NETWORK}.3:9977/readyz")[0] == 200)
        return process

    def replace_control_plane(self, version: str, *, bad: str = "") -> None:
        self.control_plane.terminate()
        self.control_plane.wait(timeout=10)
        self.control_plane = self.start_control_plane(version, bad=bad)

    def start_gateway(self, version: str, *, errors: int = 0, listens: bool = True) -> Gateway:
        self._next += 1
        address = f"{_NETWORK}.{self._next}"
        content = filled(
            CHART / "files" / "bootstrap.yaml", VERSION=version, BIND=address if listens else "",
            ADMIN_ADDRESS=address, ADMIN_PORT="19000", ERRORS=str(errors), CONTROL_PLANE=f"{_NETWORK}.3",
        )  # fmt: skip
        log = self.folder / f"gateway-{self._next}.log"
        self._files.append(log.open("wb"))
        process = subprocess.Popen(
            [str(envoy.binary()), "--config-yaml", content, "--service-node", address, *envoy.OPTIONS,
             "--drain-time-s", LONGEST_SECONDS],
            stdout=self._files[-1],
        )  # fmt: skip
        self._processes.append(process)
        gateway = Gateway(address, version, process, log)
        wait_for(lambda: get(f"{gateway.admin}/ready")[0] == 200)
        if listens:
            wait_for(lambda: get(f"http://{address}:8080/envoy-hc")[0] == 200)
        self.gateways.append(gateway)
        return gateway

    def list_gateways(self) -> None:
        """Tell the front balancer of all gateways."""
        write_endpoints(self.front.endpoints_file, [gateway.traffic for gateway in self.gateways])

    def front_counters(self, pattern: str) -> dict[str, int]:
        body = get(f"{self.front_admin}/stats?format=json&filter={pattern}")[1]
        return {stat["name"]: stat["value"] for stat in json.loads(body)["stats"] if "value" in stat}

    def wait_until_healthy(self, count: int) -> None:
        name = "cluster.gateways.membership_healthy"
        wait_for(lambda: self.front_counters(name)[name] == count)

    def start_traffic(self, *, rate: int, seconds: float = 600, kind: str = "http1") -> Traffic:
        report = self.folder / f"traffic-{time.monotonic_ns()}"
        url = self.front_url if kind == "http1" else self.front_tls + ECHO.get(kind, "/")
        command = [
            sys.executable, "-m", "upgrader.lab.traffic", "--url", url, "--rate", str(rate),
            "--seconds", str(seconds), "--report", str(report), "--kind", kind,
            "--keys-file", str(self.folder / "traffic-keys"), "--ca", str(self.folder / "ca.crt"),
        ]  # fmt: skip
        process = subprocess.Popen(command)
        self._processes.append(process)
        wait_for(lambda: report.exists() and report.stat().st_size > 0)
        return Traffic(process, report)

    def _program(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-m", f"upgrader.lab.programs.{name}", *options])
        self._processes.append(process)
        return process


@dataclass
class Traffic:
    """A running load."""

    process: subprocess.Popen[bytes]
    report: Path

    def stop(self) -> dict[str, Any]:
        """End it and return its account."""
        self.process.terminate()
        assert self.process.wait(timeout=30) == 0
        summary: dict[str, Any] = json.loads(self.report.read_text().splitlines()[-1])
        assert summary["kind"] == "summary"
        return summary


def get(url: str, *, key: str = "") -> tuple[int, str]:
    """Return status and body; status 0 when there was no answer."""
    request = urllib.request.Request(url, headers={"x-api-key": key} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def is_open(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def wait_for(fact: Callable[[], bool], *, seconds: float = 60) -> None:
    give_up = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.05)


def filled(file: Path, **words: str) -> str:
    """Fill a file's words between @, as the chart's templates do."""
    text = file.read_text()
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
