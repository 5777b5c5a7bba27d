"""The lab's Go module as it lies beside us: its identity, and how it is to be compiled."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from upgrader.errors import LabUnavailable

MODULE = Path(__file__).parent / "kube"

_BUILD_FLAGS = ("-trimpath",)


@dataclass(frozen=True, slots=True)
class Sources:
    """The Go module in one folder.

    Args:
        folder: Where ``go.mod`` lies.
        digest: Hash of all that decides what the binary does; 16 hex digits.
        kubernetes: The Kubernetes it embeds, such as ``v1.37.2``.
        go: The oldest Go that can compile it, such as ``(1, 26)``.
    """

    folder: Path
    digest: str
    kubernetes: str
    go: tuple[int, int]

    @property
    def link_flags(self) -> str:
        """Return the ``-ldflags``: stripped, and with the version Kubernetes reports of itself.

        Source: k8s.io/component-base/version/base.go, v0.37: variables filled in at link time.
        """
        major, minor, _ = self.kubernetes.lstrip("v").split(".", 2)
        package = "k8s.io/component-base/version"
        versions = {"gitVersion": self.kubernetes, "gitMajor": major, "gitMinor": minor}
        return " ".join(["-s -w", *(f"-X {package}.{name}={value}" for name, value in versions.items())])

    @property
    def build_flags(self) -> tuple[str, ...]:
        """Return the flags that change what is compiled (and so what can be reused)."""
        return _BUILD_FLAGS


def read_sources(folder: Path = MODULE) -> Sources:
    """Read the module's identity.

    Raises:
        LabUnavailable: There is no module in that folder, or its ``go.mod`` names no Kubernetes.
    """
    try:
        requirements = (folder / "go.mod").read_text()
    except FileNotFoundError:
        raise LabUnavailable(
            f"the lab's Go module is not in {folder}", remedy="install upgrader again, with its package data"
        ) from None
    kubernetes = re.search(r"^\s*k8s\.io/kubernetes (v\d+\.\d+\.\S+)", requirements, re.MULTILINE)
    go = re.search(r"^go (\d+)\.(\d+)", requirements, re.MULTILINE)
    if not kubernetes or not go:
        raise LabUnavailable(f"{folder / 'go.mod'} names no Kubernetes or no Go version")
    return Sources(folder, digest(folder), kubernetes[1], (int(go[1]), int(go[2])))


def digest(folder: Path) -> str:
    """Return a hash over names and contents of all that is compiled, tests left out."""
    total = hashlib.sha256(" ".join(_BUILD_FLAGS).encode())
    for path in sorted(folder.rglob("*")):
        compiled = path.suffix == ".go" and not path.name.endswith("_test.go")
        if path.is_file() and (compiled or path.name in ("go.mod", "go.sum")):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return total.hexdigest()[:16]


def needed_modules(checksums: str) -> int:
    """Return how many modules a build downloads, read off a ``go.sum``: those whose content is pinned."""
    return sum(1 for line in checksums.splitlines() if line.strip() and "/go.mod h1:" not in line)
