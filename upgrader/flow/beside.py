"""Beside: look at where a second installation goes, and at what moves traffic. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from upgrader.errors import Refused
from upgrader.model import manifests
from upgrader.model.playbook import Playbook, Release
from upgrader.model.plugins import Beside, Color, Traffic
from upgrader.model.ports import Manifest, Ports, Ref, Rendered


def live_color(traffic: Traffic) -> Color:
    """Ask the balancer which place carries the traffic.

    Raises:
        Refused: It does not say, or both do.
    """
    split = traffic.split()
    if split.green_ratio is None:
        why = split.error or "a change is under way"
        raise Refused(
            f"{traffic.name} does not say which place has the traffic: {why}",
            remedy="see that it can be asked, then plan again",
        )
    if 0.0 < split.green_ratio < 1.0:
        raise Refused(
            f"{traffic.name} gives {split.green_ratio:.2%} of the requests to green, the rest to blue",
            remedy="end what began that (`upgrader status`), or give all traffic to one place",
        )
    return Color.GREEN if split.green_ratio else Color.BLUE


def survey_beside(playbook: Playbook, ports: Ports, new: Rendered, live: Color) -> Beside:
    """Read what stands in the other place, and what the balancer can do.

    Args:
        playbook: As it reads for the color that is live.
        ports: The world.
        new: What will be sent to the other place.
        live: The color that carries the traffic.
    """
    place, traffic = playbook.beside, ports.traffic
    assert traffic is not None, "wired for another strategy"
    assert ports.beside is not None, "wired for another strategy"
    return Beside(
        live=live,
        release=place.name,
        namespace=place.namespace,
        exists=_exists(ports, place.namespace),
        history=ports.beside.history(),
        groups=dict(_groups(place, new)),
        finest_ratio=traffic.finest_ratio,
        delay_seconds=traffic.delay_seconds,
        back=traffic.by_hand(0.0 if live is Color.BLUE else 1.0),
    )


def seen_again(place: Beside, ports: Ports) -> Beside:
    """Return the other place with what can have come there since it was surveyed."""
    assert ports.beside is not None, "wired for another strategy"
    return replace(place, exists=_exists(ports, place.namespace), history=ports.beside.history())


def _exists(ports: Ports, namespace: str) -> bool:
    return ports.kube.get(Ref("v1", "Namespace", "", namespace)) is not None


def dry_runnable(new: Rendered, beside: Beside | None) -> tuple[Manifest, ...]:
    """Return what the API server can be asked about: nothing in a namespace that is not there yet."""
    if beside is None or beside.exists:
        return new.objects
    return tuple(one for one in new.objects if Ref.of(one).namespace != beside.namespace)


def _groups(place: Release, new: Rendered) -> Iterator[tuple[str, str]]:
    """Yield each new Deployment and its group: the playbook's by its labels, else its own name."""
    rendered = [one for one in new.objects if one.get("kind") == "Deployment"]
    for group, members in place.workloads.items():
        for one in rendered:
            if manifests.fits(members.selector, manifests.labels_of(one)):
                yield one["metadata"]["name"], group
    if not place.workloads:
        yield from ((one["metadata"]["name"], one["metadata"]["name"]) for one in rendered)
