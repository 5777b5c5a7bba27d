"""Pack the lab's binary as a wheel, and find one that is installed.

The binary is static, so one wheel fits every Linux of its architecture.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import platform
import zipfile
from pathlib import Path

from upgrader.lab.progress import Progress, Tell, tell_nobody
from upgrader.lab.sources import Sources, read_sources

PACKAGE = "upgrader_lab_kube"
_PROGRAM = "lab-kube"
_SOURCE = "SOURCE"
_EXECUTABLE = 0o100755 << 16
_PLAIN = 0o100644 << 16


def installed(digest: str, *, tell: Tell = tell_nobody) -> Path | None:
    """Return the binary of the installed package; ``None`` when there is none built from these sources."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        program, source = Path(folder) / _PROGRAM, Path(folder) / _SOURCE
        if not program.exists() or not source.exists():
            continue
        if source.read_text().strip() == digest:
            return program
        tell(Progress("skipping", f"{folder}: built from other sources than this upgrader's"))
    return None


def tag(machine: str | None = None) -> str:
    """Return the wheel's platform tag for an architecture (this machine's by default)."""
    return f"py3-none-manylinux_2_17_{machine or platform.machine()}"


def pack(binary: Path, *, folder: Path, sources: Sources | None = None) -> Path:
    """Write the wheel into ``folder`` and return its path.

    Source: packaging.python.org, binary distribution format 1.0 (file names, RECORD, file modes).
    """
    made_from = sources or read_sources()
    version = f"{made_from.kubernetes.lstrip('v')}+{made_from.digest}"
    stem = f"{PACKAGE}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-{tag()}.whl"
    draft = path.with_suffix(".part")
    contents = {
        f"{PACKAGE}/__init__.py": b'"""The lab of upgrader, built: Kubernetes, etcd and Helm in one."""\n',
        f"{PACKAGE}/{_SOURCE}": f"{made_from.digest}\n".encode(),
        f"{PACKAGE}/{_PROGRAM}": binary.read_bytes(),
        f"{stem}.dist-info/METADATA": _metadata(version),
        f"{stem}.dist-info/WHEEL": _wheel_file(),
    }
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            _add(archive, name, data)
        record = f"{stem}.dist-info/RECORD"
        _add(archive, record, _record(contents, record))
    draft.replace(path)
    return path


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.external_attr = _EXECUTABLE if name.endswith(f"/{_PROGRAM}") else _PLAIN
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, data)


def _metadata(version: str) -> bytes:
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {PACKAGE.replace('_', '-')}",
        f"Version: {version}",
        "Summary: The lab of upgrader, built: Kubernetes, etcd and Helm in one program",
        "License: Apache-2.0",
        "Requires-Python: >=3.11",
    ]
    return "\n".join([*lines, ""]).encode()


def _wheel_file() -> bytes:
    lines = ["Wheel-Version: 1.0", "Generator: upgrader", "Root-Is-Purelib: false", f"Tag: {tag()}"]
    return "\n".join([*lines, ""]).encode()


def _record(contents: dict[str, bytes], record: str) -> bytes:
    lines = []
    for name, data in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}")
    return "\n".join([*lines, f"{record},,", ""]).encode()
