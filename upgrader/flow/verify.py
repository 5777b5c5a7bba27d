"""Verify: is the old version whole again? By what the API server would change, and by what the pods run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from upgrader.flow.recorder import Recorder
from upgrader.model.fleet import Fleet, Side
from upgrader.model.phase import Event
from upgrader.model.ports import Denied, Manifest, Ports, Ref, ReleaseStatus
from upgrader.model.record import Kind

VERIFY_SECONDS = 90.0
"""How long the old version may take to be found whole; all waiting for pods was done before."""
VERIFY_EVERY_SECONDS = 2.0
"""A dry run of every object is dear; it is asked for no oftener than this."""
SERVER_FIELDS = ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid")


def verify(recorder: Recorder, fleet: Fleet) -> None:
    """Look at the pods of all tiers begun at each round, and at every object of them every other second."""
    run, now = recorder.run, recorder.now()
    known = run.facts.get("verify", {})
    touched = run.touched()
    wrong = tuple(said for tier in touched for said in _pods_wrong(fleet.of_tier(tier)))
    if not wrong and now - float(known.get("asked_at", 0.0)) >= VERIFY_EVERY_SECONDS:
        wrong = tuple(said for tier in touched for said in recorder.world.differences(tier))
        if not wrong:
            recorder.event(Event.FINISHED, "every object equals the known-good revision; every pod is old")
            return
        recorder.mark(Kind.DONE, "verify", step="verify", facts={"asked_at": now, "differs": list(wrong)})
    if now - run.since > VERIFY_SECONDS:
        left = wrong or tuple(known.get("differs", ()))
        recorder.event(Event.EXPIRED, "the old version is not whole: " + "; ".join(left))


def _pods_wrong(fleet: Fleet) -> tuple[str, ...]:
    """Say which pods and workloads are not as they were."""
    said = [f"{pod.name} runs the new version" for pod in fleet.of_side(Side.NEW) if not pod.terminating]
    staying = [pod for pod in fleet.of_side(Side.OLD) if not pod.terminating]
    said += [f"{pod.name} is not Ready" for pod in staying if not pod.ready]
    said += [f"{one.ref.name} is paused" for one in fleet.workloads if one.paused]
    short = [one for one in fleet.workloads if one.available < one.replicas]
    said += [f"{one.ref.name} has {one.available} of {one.replicas} available" for one in short]
    return tuple(said)


def differences(ports: Ports, measured: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what of the cluster is not as the known-good revision has it: dry-run equality.

    Every object is applied as a dry run, forced, as Helm's own manager; where the answer is what is live
    already, nothing differs. ``spec.replicas`` is left out: an autoscaler may own it.

    Args:
        ports: The world, of one tier.
        measured: What was measured of that tier.
    """
    last, good = ports.helm.history()[-1], int(measured["known_good"])
    said = [] if last.status is ReleaseStatus.DEPLOYED else [f"revision {last.number} is {last.status}"]
    for manifest in ports.helm.rendered(good).objects:
        said += _differs(ports, manifest, Ref.of(manifest, namespace=str(measured["namespace"])))
    return tuple(said)


def _differs(ports: Ports, manifest: Manifest, ref: Ref) -> Iterator[str]:
    live = ports.kube.get(ref)
    if live is None:
        if ref.kind != "Job":  # a finished Job may be gone by its TTL
            yield f"{ref} is missing"
        return
    would = ports.kube.apply(manifest, manager="helm", dry_run=True, force=True)
    if isinstance(would, Denied):
        yield f"{ref}: {would.message}"
    elif paths := tuple(_unequal(_bare(live), _bare(would), "")):
        yield f"{ref} differs in {', '.join(paths)}"


def _bare(manifest: Manifest) -> dict[str, Any]:
    """Return an object without what the server itself keeps."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in SERVER_FIELDS}
    bare = {key: value for key, value in manifest.items() if key not in ("status", "metadata")}
    if isinstance(bare.get("spec"), dict):
        bare["spec"] = {key: value for key, value in bare["spec"].items() if key != "replicas"}
    return {**bare, "metadata": metadata}


def _unequal(one: Any, other: Any, path: str) -> Iterator[str]:
    """Yield the paths at which two objects differ; never the values, which may be secret."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from _unequal(one.get(key), other.get(key), f"{path}.{key}" if path else str(key))
    elif one != other:
        yield path
