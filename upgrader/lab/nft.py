"""The ``nft`` program for kube-proxy: the system's, else Debian's package unpacked without root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from upgrader.errors import LabUnavailable
from upgrader.lab.progress import Progress, Tell, tell_nobody

_ON_EVERY_SYSTEM = ("libc6", "libgcc-s1", "gcc-")
"""Packages of Debian that every Debian has; their libraries must be the system's own."""

_SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where nft lies; an ordinary user's PATH often lacks them."""


@dataclass(frozen=True, slots=True)
class Nft:
    """Where the program is, and the folders of its libraries (none: the system's)."""

    path: Path
    libraries: tuple[Path, ...] = ()

    @property
    def library_path(self) -> str:
        """Return those folders as ``LD_LIBRARY_PATH`` wants them."""
        return os.pathsep.join(map(str, self.libraries))


def ensure(tell: Tell = tell_nobody) -> Nft:
    """Return an ``nft`` that runs, fetched into the user's cache if the system has none.

    Raises:
        LabUnavailable: There is none, and no Debian tools to fetch it with.
    """
    search = os.pathsep.join([os.environ.get("PATH", ""), _SYSTEM_FOLDERS])
    if found := shutil.which("nft", path=search):
        return Nft(Path(found))
    home = Path(platformdirs.user_cache_dir("upgrader")) / "lab" / "nft"
    cached = unpacked(home)
    if cached is None:
        tell(Progress("fetching nft", "Debian package nftables, unpacked into the cache"))
        _fetch(home)
        cached = unpacked(home)
    if cached is None or not _runs(cached):
        raise LabUnavailable("the fetched nft does not run here", remedy="install nftables (nft on PATH)")
    return cached


def unpacked(home: Path) -> Nft | None:
    """Return the program below an unpacked folder; ``None`` when it is not (wholly) there."""
    programs = [path for name in ("usr/sbin/nft", "sbin/nft") if (path := home / name).exists()]
    libraries = sorted({path.parent for path in home.glob("**/lib*.so.*")})
    has_own = any(home.glob("**/libnftables.so.*"))
    return Nft(programs[0], tuple(libraries)) if programs and has_own else None


def packages(depends: Iterable[str]) -> list[str]:
    """Return the packages to fetch, from the lines of ``apt-cache depends --recurse nftables``."""
    names = {line.strip() for line in depends if line[:1].isalnum()}
    return sorted(name for name in names if not name.startswith(_ON_EVERY_SYSTEM))


def _fetch(home: Path) -> None:
    if not all(shutil.which(tool) for tool in ("apt-get", "apt-cache", "dpkg-deb")):
        raise LabUnavailable(
            "kube-proxy needs the program nft, and there is none on PATH",
            remedy="install your system's package 'nftables'",
        )
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".nft-", dir=home.parent) as folder:
        draft = Path(folder)
        wanted = ("apt-cache", "depends", "--recurse", "--important", "--no-suggests", "nftables")
        names = packages(_output(*wanted, folder=draft).splitlines())
        _output("apt-get", "download", *names, folder=draft)
        root = draft / "root"
        for package in draft.glob("*.deb"):
            _output("dpkg-deb", "-x", str(package), str(root), folder=draft)
        shutil.rmtree(home, ignore_errors=True)
        root.rename(home)


def _output(*argv: str, folder: Path) -> str:
    done = subprocess.run(argv, check=False, cwd=folder, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise LabUnavailable(
            f"could not fetch nft: {' '.join(argv[:2])} said: {done.stderr.strip()[-500:]}",
            remedy="install your system's package 'nftables', or run apt-get update first",
        )
    return done.stdout


def _runs(nft: Nft) -> bool:
    environment = dict(os.environ) | {"LD_LIBRARY_PATH": nft.library_path}
    command = [str(nft.path), "--version"]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, timeout=20)
    return done.returncode == 0
