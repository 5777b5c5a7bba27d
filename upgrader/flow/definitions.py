"""Read what the chart's own file says: values it does not know, definitions, and what is live of those."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from upgrader.errors import Refused
from upgrader.flow.look import ask_rights
from upgrader.model.definitions import (
    changes,
    conversion_service,
    definition_ref,
    is_definition,
    listed_kind,
    listed_version,
    name_of,
    to_apply,
)
from upgrader.model.plugins import CUSTOM_LIMIT, Survey
from upgrader.model.ports import Helm, Kube, Manifest
from upgrader.model.rights import WRITE_DEFINITIONS
from upgrader.model.subjects import is_locked, webhook_namespaces


def with_chart(seen: Survey, kube: Kube, helm: Helm) -> Survey:
    """Add to a survey what the target's chart says besides what it renders; nothing while Helm is locked.

    Args:
        seen: All else.
        kube: The API.
        helm: Reads the chart with the values that the new version gets.
    """
    if is_locked(seen):
        return seen
    if seen.chart:
        seen = replace(seen, unknown_values=helm.unknown_values(seen.chart))
    templated = [one for one in seen.new.objects if is_definition(one)]
    crds = (*(helm.crds(seen.chart) if seen.chart else ()), *templated)
    return _with_definitions(replace(seen, crds=crds), kube) if crds else seen


def _with_definitions(seen: Survey, kube: Kube) -> Survey:
    found = {name_of(one): kube.get(definition_ref(name_of(one))) for one in seen.crds}
    seen = replace(seen, live_crds={name: one for name, one in found.items() if one})
    near = (*seen.nearby, *_webhooks(seen, kube))
    rights = ask_rights(kube, WRITE_DEFINITIONS if seen.beside and to_apply(seen) else ())
    return replace(seen, custom=dict(_custom(seen, kube)), nearby=near, rights={**seen.rights, **rights})


def _custom(seen: Survey, kube: Kube) -> Iterator[tuple[str, tuple[Manifest, ...]]]:
    """Yield the live objects of each kind whose definition changes; of those that we may list."""
    for change in changes(seen):
        objects: list[Manifest] = []
        try:
            if listed_version(change.live):
                objects = kube.list(*listed_kind(change.live), limit=CUSTOM_LIMIT)
        except Refused:
            continue
        yield change.ref.name, tuple(objects)


def _webhooks(seen: Survey, kube: Kube) -> Iterator[Manifest]:
    """Yield the Services that will convert objects, and the endpoints beside them."""
    wanted = {ref for change in changes(seen) if (ref := conversion_service(change.new))}
    for ref in sorted(wanted):
        service = kube.get(ref)
        if service:
            yield service
    known = webhook_namespaces(seen.nearby)
    for namespace in sorted({ref.namespace for ref in wanted} - known):
        yield from kube.list("discovery.k8s.io/v1", "EndpointSlice", namespace=namespace)
