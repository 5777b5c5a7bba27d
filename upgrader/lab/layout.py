"""Where things lie inside a room, and which addresses they have.

A room has a file system of its own below `ROOT` (one tmpfs, gone with the room) and a network of its own,
so every path and port here is the same in every room.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path("/run/upgrader")
BIN = ROOT / "bin"
LOGS = ROOT / "log"
PKI = ROOT / "pki"
KUBECONFIG = ROOT / "admin.kubeconfig"
IMAGES = ROOT / "images.json"
STATE = ROOT / "state.json"

API_PORT = 6443
ETCD_PORT = 2379
POD_RANGE = "10.244.0.0/16"
SERVICE_RANGE = "10.96.0.0/16"
SERVICE_FIRST = "10.96.0.1"
"""The address of Service ``default/kubernetes``: the first of the service range."""
DNS_ADDRESS = "10.244.0.1:53"
PROXY_HEALTH_PORT = 10256

MULTICALL = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
    "helm",
    "lab-room",
    "lab-addons",
    "container-init",
)
"""The names the lab's one binary answers to."""

MAX_NODES = 9
"""Chosen by us: a node takes a /24 of the pod range and about 130 MB; more than 9 rehearses nothing new."""

_PROXY_VARIABLES = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy"})


@dataclass(frozen=True, slots=True)
class RoomSpec:
    """What a room is made of; it travels to the room's first process as one JSON line.

    Args:
        name: The room's name.
        binary: The multi-call binary.
        nft: The ``nft`` program, for kube-proxy.
        nft_libraries: Folders of its shared libraries, colon-separated; empty where the system has them.
        helm: The helm program to offer inside; empty for the binary's own.
        nodes: How many nodes, 1 to `MAX_NODES`.
        images: The image table as the kubelet reads it.
    """

    name: str
    binary: str
    nft: str
    nft_libraries: str = ""
    helm: str = ""
    nodes: int = 1
    images: Mapping[str, Any] = field(default_factory=dict)


def node_name(index: int) -> str:
    """Return the name of node ``index`` (from 0)."""
    return f"lab-{index}"


def node_address(index: int) -> str:
    """Return the address of node ``index`` (from 0): the kubelet's, and the gateway of its pods."""
    return f"10.244.{index}.1"


def environment(outside: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a program inside a room, made from the one outside.

    Proxy settings go (nothing outside can be reached), everything kubectl and Helm keep goes below `ROOT`.
    """
    kept = {name: value for name, value in outside.items() if name.lower() not in _PROXY_VARIABLES}
    system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return kept | {
        "PATH": f"{BIN}:{outside.get('PATH', system)}",
        "KUBECONFIG": str(KUBECONFIG),
        "KUBECACHEDIR": str(ROOT / "kube-cache"),
        "HELM_CACHE_HOME": str(ROOT / "helm/cache"),
        "HELM_CONFIG_HOME": str(ROOT / "helm/config"),
        "HELM_DATA_HOME": str(ROOT / "helm/data"),
        "TMPDIR": str(ROOT / "tmp"),
    }
