"""Is anything left behind when a run is over? Compares what was there before it and after. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KINDS = "deploy,statefulset,daemonset,service,configmap,secret,serviceaccount,job,poddisruptionbudget"
"""What a release is made of, and what a run might leave; ``kubectl get`` takes it so."""
OURS = "upgrader/"
"""What our annotations begin with."""

_BOOKKEEPING = frozenset({"resourceVersion", "generation", "managedFields", "creationTimestamp"})
_OF_CONTROLLERS = frozenset({"deployment.kubernetes.io/revision", "deprecated.daemonset.template.generation"})
"""Counted up by Kubernetes itself with every change, there and back."""
_HELMS_OWN = "helm.sh/release.v1"
_MANAGED = "Helm"
"""Value of the label ``app.kubernetes.io/managed-by`` on all that Helm installs."""
_WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet"})

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """What is there at one moment.

    Args:
        objects: The release's namespace: all of `KINDS`.
        leases: Names of the namespace's Leases.
        history: Helm's history of the release, the oldest first, as ``--output=json`` tells it.
    """

    objects: Sequence[Manifest]
    leases: Sequence[str]
    history: Sequence[Mapping[str, Any]]

    def named(self) -> dict[str, Manifest]:
        """Return the objects by kind and name; Helm's own records are left out."""
        return {_name(one): one for one in self.objects if one.get("type") != _HELMS_OWN}


def left_behind(before: Snapshot, after: Snapshot, *, returned: bool) -> tuple[str, ...]:
    """Return what runs left that are over, a sentence each.

    Args:
        before: Before the first run.
        after: After the end of the last one.
        returned: Whether the old version must be there again.
    """
    return (*_of_ours(after), *_unlike(before, after, returned), *_of_helm(before, after, returned))


def left_in_place(after: Snapshot, *, stands: bool) -> tuple[str, ...]:
    """Return what runs left in one of two places, a sentence each.

    Args:
        after: The place after the end of the last run.
        stands: Whether a version must stand there, and carry the traffic; else nothing of one may.
    """
    if stands:
        last = after.history[-1]["status"] if after.history else "missing"
        wrong = () if last == "deployed" else (f"the last revision is {last}",)
        return (*_of_ours(after), *wrong)
    helms = [
        name for name, one in after.named().items() if _MANAGED in one["metadata"].get("labels", {}).values()
    ]
    deployed = [each for each in after.history if each["status"] == "deployed"]
    return (
        *_of_ours(after),
        *(f"{name} is still there" for name in helms),
        *(f"revision {each['revision']} is still deployed" for each in deployed),
    )


def _of_ours(after: Snapshot) -> Iterator[str]:
    yield from (f"Lease {name} is still there" for name in after.leases if name.startswith("upgrader-"))
    for name, one in after.named().items():
        notes = [key for key in one["metadata"].get("annotations", {}) if key.startswith(OURS)]
        if notes:
            yield f"{name} still has the annotations {', '.join(notes)}"
        if one.get("spec", {}).get("paused"):
            yield f"{name} is still paused"


def _unlike(before: Snapshot, after: Snapshot, returned: bool) -> Iterator[str]:
    """Compare the whole of each object after a way back; after a good upgrade how it is rolled."""
    was, now = before.named(), after.named()
    for name, one in was.items():
        if name not in now:
            yield f"{name} is gone"
        elif returned:
            yield from _told(name, differences(_bare(one), _bare(now[name])))
        elif one["kind"] in _WORKLOADS:
            yield from _told(name, differences(_rolls(one), _rolls(now[name])))
    if returned:
        yield from (f"{name} was not there before" for name in now.keys() - was.keys())


def _told(name: str, paths: Iterator[str]) -> Iterator[str]:
    differing = sorted(paths)
    if differing:
        yield f"{name} is not as before: {', '.join(differing)}"


def _of_helm(before: Snapshot, after: Snapshot, returned: bool) -> Iterator[str]:
    last, first = after.history[-1], before.history[-1]
    for each in after.history:
        if each["status"] not in ("deployed", "superseded", "failed"):
            yield f"revision {each['revision']} is {each['status']}"
    if last["status"] != "deployed":
        yield f"the last revision, {last['revision']}, is {last['status']}"
    if (last["chart"] == first["chart"]) is not returned:
        yield f"the last revision is of {last['chart']}"


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Yield the paths at which two JSON values differ; never the values, which may be secret."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in one.keys() | other.keys():
            yield from differences(one.get(key), other.get(key), f"{path}.{key}" if path else str(key))
    elif one != other:
        yield path


def _name(one: Manifest) -> str:
    return f"{one['kind']} {one['metadata']['name']}"


def _rolls(one: Manifest) -> dict[str, Any]:
    spec = one["spec"]
    return {key: spec.get(key) for key in ("replicas", "strategy", "updateStrategy", "paused")}


def _bare(one: Manifest) -> dict[str, Any]:
    metadata = {key: value for key, value in one["metadata"].items() if key not in _BOOKKEEPING}
    notes = metadata.get("annotations", {})
    metadata["annotations"] = {key: value for key, value in notes.items() if key not in _OF_CONTROLLERS}
    return {**{key: value for key, value in one.items() if key != "status"}, "metadata": metadata}
