"""Read facts off Kubernetes manifests: pure, and with the API server's defaults where a field is absent.

Sources: Kubernetes API reference 1.37 (defaults of Deployment, Pod and probes), checked 2026-11.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from upgrader.model.ports import Manifest, Ref

DEFAULT_GRACE_SECONDS = 30
"""``terminationGracePeriodSeconds`` where the pod names none."""

WORKLOAD_KINDS = ("Deployment", "StatefulSet", "DaemonSet")
"""Kinds that keep pods running; Jobs end."""

_TEMPLATE_PATHS: Mapping[str, tuple[str, ...]] = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Pod": (),
}

_QUANTITY = re.compile(r"^([0-9.]+(?:[eE][+-]?[0-9]+)?)([numkMGTPE]?|[KMGTPE]i)$")
_FACTORS: Mapping[str, float] = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip
_SLEEP = re.compile(r"\bsleep\s+[\"']?([0-9]+(?:\.[0-9]+)?)([smh]?)\b[\"']?")
_SHELL = re.compile(r"^(?:\S*/)?(?:ba|da|a)?sh\s+-\w*c\s+")
_STOPS_LISTENING = re.compile(r"drain_listeners|quitquitquit")
_SLEEP_UNITS: Mapping[str, int] = {"": 1, "s": 1, "m": 60, "h": 3600}


def labels_of(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the labels of an object; empty when it has none."""
    return (manifest.get("metadata") or {}).get("labels") or {}


def annotations_of(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the annotations of an object; empty when it has none."""
    return (manifest.get("metadata") or {}).get("annotations") or {}


def pod_template(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the pod template of a workload, the pod itself for a Pod, or an empty mapping."""
    path = _TEMPLATE_PATHS.get(str(manifest.get("kind", "")))
    if path is None:
        return {}
    found: Any = manifest
    for key in path:
        found = (found or {}).get(key)
    return found or {}


def pod_spec(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the pod's spec of anything that makes pods, or an empty mapping."""
    return pod_template(manifest).get("spec") or {}


def containers(manifest: Mapping[str, Any], *, with_init: bool = False) -> tuple[Mapping[str, Any], ...]:
    """Return the containers of a workload, sidecars (init containers that restart always) included."""
    spec = pod_spec(manifest)
    first = tuple(one for one in spec.get("initContainers") or () if with_init or _is_sidecar(one))
    return (*first, *(spec.get("containers") or ()))


def images(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the images a workload pulls, init containers first, in their order."""
    return tuple(str(one.get("image", "")) for one in containers(manifest, with_init=True))


def _is_sidecar(container: Mapping[str, Any]) -> bool:
    return container.get("restartPolicy") == "Always"


def replicas(manifest: Mapping[str, Any]) -> int | None:
    """Return ``spec.replicas``, or ``None`` where the manifest leaves it to the cluster."""
    found = (manifest.get("spec") or {}).get("replicas")
    return None if found is None else int(found)


@dataclass(frozen=True, slots=True)
class Rolling:
    """A Deployment's rollout in pods.

    Args:
        surge: Pods it may have above ``replicas``.
        unavailable: Pods it may be short of ``replicas``.
    """

    surge: int
    unavailable: int


def rolling(manifest: Mapping[str, Any], *, replicas: int) -> Rolling | None:
    """Work out surge and unavailable for that many replicas; ``None`` where the strategy is another.

    A percentage of surge is rounded up, of unavailable down; where both come to 0, one pod may be
    unavailable. Absent fields are 25 %.

    Source: Kubernetes ``pkg/controller/deployment/util`` ``ResolveFenceposts``, 1.37.
    """
    strategy = (manifest.get("spec") or {}).get("strategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return None
    update = strategy.get("rollingUpdate") or {}
    surge = pods_of(update.get("maxSurge", "25%"), replicas, round_up=True)
    unavailable = pods_of(update.get("maxUnavailable", "25%"), replicas, round_up=False)
    return Rolling(surge, unavailable if surge or unavailable else 1)


def pods_of(value: int | str, replicas: int, *, round_up: bool) -> int:
    """Turn a number or a percentage text into pods."""
    text = str(value)
    if not text.endswith("%"):
        return int(text)
    exact = int(text[:-1]) * replicas / 100
    return math.ceil(exact) if round_up else math.floor(exact)


def named_port(manifest: Mapping[str, Any], port: int | str) -> int | None:
    """Return the number of a container port given by number or name; ``None`` for an unknown name."""
    if str(port).isdigit():
        return int(port)
    declared = (one for container in containers(manifest) for one in container.get("ports") or ())
    return next((int(one["containerPort"]) for one in declared if one.get("name") == port), None)


def target_ports(service: Mapping[str, Any], workload: Mapping[str, Any]) -> frozenset[int]:
    """Return the container ports a Service sends traffic to, as far as their names are known."""
    ports = (service.get("spec") or {}).get("ports") or ()
    found = (named_port(workload, one.get("targetPort") or one.get("port", 0)) for one in ports)
    return frozenset(port for port in found if port)


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe of one container.

    Args:
        container: The container's name.
        how: ``httpGet``, ``tcpSocket``, ``grpc`` or ``exec``.
        port: The port it asks, or ``None`` for ``exec`` and for a name no container has.
        path: The HTTP path, or the empty text.
        period_seconds: Between two looks.
        failures: Looks that must fail before the pod is not ready.
    """

    container: str
    how: str
    port: int | None
    path: str
    period_seconds: int
    failures: int


def probes(workload: Mapping[str, Any], kind: str = "readinessProbe") -> tuple[Probe, ...]:
    """Return the probes of that kind, one a container that has one."""
    return tuple(
        _probe(workload, container, container[kind])
        for container in containers(workload)
        if container.get(kind)
    )


def _probe(workload: Mapping[str, Any], container: Mapping[str, Any], probe: Mapping[str, Any]) -> Probe:
    how = next((key for key in ("httpGet", "tcpSocket", "grpc", "exec") if key in probe), "exec")
    action = probe.get(how) or {}
    port = action.get("port")
    return Probe(
        container=str(container.get("name", "")),
        how=how,
        port=None if port is None else named_port(workload, port),
        path=str(action.get("path", "")),
        period_seconds=int(probe.get("periodSeconds", 10)),
        failures=int(probe.get("failureThreshold", 3)),
    )


@dataclass(frozen=True, slots=True)
class PreStop:
    """What a container does before SIGTERM.

    Args:
        container: Its name.
        text: The command, the URL or ``sleep N``.
        seconds: How long it takes at least: the sleeps that can be read off it.
        serving_seconds: The part of it before Envoy is told to drain its listeners or to quit; all of it
            where nothing of the kind is in the text.
        known: False where no time can be read off the manifest.
        only_sleeps: It does nothing but sleep: the pod stays healthy to a balancer that asks it.
    """

    container: str
    text: str
    seconds: float
    serving_seconds: float
    known: bool
    only_sleeps: bool


def pre_stops(workload: Mapping[str, Any]) -> tuple[PreStop, ...]:
    """Return the preStop hooks of the containers that have one."""
    found = []
    for container in containers(workload):
        hook = (container.get("lifecycle") or {}).get("preStop")
        if hook:
            found.append(_pre_stop(container, hook))
    return tuple(found)


def _pre_stop(container: Mapping[str, Any], hook: Mapping[str, Any]) -> PreStop:
    name = str(container.get("name", ""))
    if "sleep" in hook:
        seconds = float((hook["sleep"] or {}).get("seconds", 0))
        return PreStop(name, f"sleep {seconds:g}", seconds, seconds, known=True, only_sleeps=True)
    if "httpGet" in hook:
        action = hook["httpGet"]
        text = f"GET :{action.get('port')}{action.get('path', '')}"
        return PreStop(name, text, 0.0, 0.0, known=False, only_sleeps=False)
    command = [str(part) for part in (hook.get("exec") or {}).get("command") or ()]
    text = expand_env(" ".join(command), container)
    shell = re.sub(r"\S*/sleep\b", "sleep", _SHELL.sub("", text))
    only_sleeps = bool(_SLEEP.search(shell)) and not _SLEEP.sub("", shell).strip(" ;&'\"\n")
    serving = _slept(_STOPS_LISTENING.split(text)[0])
    return PreStop(name, text, _slept(text), serving, known=bool(_slept(text)), only_sleeps=only_sleeps)


def _slept(text: str) -> float:
    return sum(float(number) * _SLEEP_UNITS[unit] for number, unit in _SLEEP.findall(text))


def expand_env(text: str, container: Mapping[str, Any]) -> str:
    """Replace ``$NAME``, ``${NAME}`` and ``$(NAME)`` by the container's own plain environment values."""
    for one in container.get("env") or ():
        if one.get("name") and "value" in one:
            name = re.escape(str(one["name"]))
            value = str(one["value"])
            text = re.sub(rf"\$(?:\{{{name}\}}|\({name}\)|{name}\b)", lambda _: value, text)  # noqa: B023
    return text


def grace_seconds(workload: Mapping[str, Any]) -> int:
    """Return how long the kubelet waits between the deletion and SIGKILL, preStop included."""
    return int(pod_spec(workload).get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS))


def owner(manifest: Mapping[str, Any]) -> Ref | None:
    """Return the controlling owner, or ``None``."""
    metadata = manifest.get("metadata") or {}
    for one in metadata.get("ownerReferences") or ():
        if one.get("controller"):
            namespace = str(metadata.get("namespace") or "")
            return Ref(str(one.get("apiVersion", "")), str(one["kind"]), namespace, str(one["name"]))
    return None


def selects(selector: Mapping[str, Any], found: Mapping[str, str]) -> bool:
    """Tell whether a Service's plain selector or a LabelSelector matches labels; an empty one none."""
    if not selector:
        return False
    is_label_selector = isinstance(selector.get("matchLabels"), Mapping) or isinstance(
        selector.get("matchExpressions"), list
    )
    plain = selector.get("matchLabels") or {} if is_label_selector else selector
    rules = selector.get("matchExpressions") or () if is_label_selector else ()
    return all(found.get(key) == value for key, value in plain.items()) and all(
        _holds(one, found) for one in rules
    )


def fits(selector: str, found: Mapping[str, str]) -> bool:
    """Tell whether labels fit a selector as kubectl takes it, such as ``app=gloo,tier in (a, b),!legacy``.

    Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels (read 2026-11-24): a
    key that is missing fits ``!=`` and ``notin``.
    """
    return all(_fits_one(part.strip(), found) for part in re.split(r",(?![^(]*\))", selector))


def _fits_one(part: str, found: Mapping[str, str]) -> bool:
    if match := re.fullmatch(r"([^\s=!]+)\s*(==?|!=)\s*(\S*)", part):
        return (found.get(match[1]) == match[3]) is (match[2] != "!=")
    if match := re.fullmatch(r"(\S+)\s+(in|notin)\s*\((.*)\)", part):
        values = {one.strip() for one in match[3].split(",")}
        return (found.get(match[1]) in values) is (match[2] == "in")
    return part[1:].strip() not in found if part.startswith("!") else part in found


def _holds(rule: Mapping[str, Any], found: Mapping[str, str]) -> bool:
    key, values = rule["key"], rule.get("values") or ()
    answers = {
        "In": found.get(key) in values,
        "NotIn": found.get(key) not in values,
        "Exists": key in found,
        "DoesNotExist": key not in found,
    }
    return answers[rule["operator"]]


def references(workload: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """Return ``(kind, name)`` of each ConfigMap and Secret its pods mount or read into the environment."""
    return frozenset(_references(pod_spec(workload), containers(workload, with_init=True)))


def _references(spec: Mapping[str, Any], found: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for volume in spec.get("volumes") or ():
        for source in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            yield from _mounted(source)
    for container in found:
        for entry in (*(container.get("envFrom") or ()), *_value_sources(container)):
            for key in _ENV_SOURCES.keys() & entry.keys():
                yield _ENV_SOURCES[key], str(entry[key].get("name", ""))


def _mounted(source: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if source.get("configMap"):
        yield "ConfigMap", str(source["configMap"].get("name", ""))
    if source.get("secret"):
        yield "Secret", str(source["secret"].get("secretName") or source["secret"].get("name", ""))


_ENV_SOURCES: Mapping[str, str] = {
    "configMapRef": "ConfigMap",
    "configMapKeyRef": "ConfigMap",
    "secretRef": "Secret",
    "secretKeyRef": "Secret",
}


def _value_sources(container: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for one in container.get("env") or ():
        yield one.get("valueFrom") or {}


def quantity(text: str | int | float) -> float:
    """Read a Kubernetes quantity such as ``250m``, ``1Gi`` or ``4``.

    Raises:
        ValueError: It is none.
    """
    found = _QUANTITY.match(str(text))
    if not found:
        raise ValueError(f"not a Kubernetes quantity: {text!r}")
    return float(found[1]) * _FACTORS[found[2]]


def requests(spec: Mapping[str, Any]) -> Mapping[str, float]:
    """Return what a pod asks of its node: the larger of its containers' sum and any init container.

    Source: Kubernetes docs, *Init Containers*, "Resource sharing within containers"; sidecars count with
    the containers.
    """
    everything = spec.get("initContainers") or ()
    running = [*(spec.get("containers") or ()), *(one for one in everything if _is_sidecar(one))]
    total: dict[str, float] = {}
    for container in running:
        for name, amount in _asked(container).items():
            total[name] = total.get(name, 0.0) + amount
    for container in (one for one in everything if not _is_sidecar(one)):
        for name, amount in _asked(container).items():
            total[name] = max(total.get(name, 0.0), amount)
    return total


def _asked(container: Mapping[str, Any]) -> dict[str, float]:
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: quantity(amount) for name, amount in asked.items()}


def changed_paths(before: Any, after: Any, *, path: str = "") -> tuple[str, ...]:
    """Return the dotted paths at which two JSON values differ; a list that differs is one path."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        keys = sorted({*before, *after})
        return tuple(
            found
            for key in keys
            for found in changed_paths(
                before.get(key), after.get(key), path=f"{path}.{key}" if path else str(key)
            )
        )
    return () if before == after else (path,)


def content(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what an object is for: all but its metadata, status, apiVersion and kind."""
    return {
        key: value
        for key, value in manifest.items()
        if key not in ("metadata", "status", "apiVersion", "kind")
    }


def mentions(manifest: Manifest, text: str) -> bool:
    """Tell whether a text occurs anywhere in the object's content."""
    return text in json.dumps(content(manifest))
