"""The Kubernetes API as plain objects: discovery, reads that are retried, writes that never are."""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from upgrader.adapters.clock import SystemClock
from upgrader.adapters.kube_answers import accepted, checked, refused
from upgrader.adapters.kube_resources import Resource, group_versions, guess_plural, kinds, one, root
from upgrader.adapters.kube_rest import Connection, Reply, Request, RestTransport, Transport, connect
from upgrader.adapters.kube_watch import KubeWatch
from upgrader.errors import ClusterConflict, ClusterUnreachable, Refused
from upgrader.model.ports import Clock, Denied, Manifest, PatchKind, Ref

MANAGER = "upgrader"
"""Our field manager."""
PAGE = 500
"""Objects asked for in one list request; kubectl's own number."""
READ_ATTEMPTS = 4
APPLY = "application/apply-patch+yaml"
RIGHTS = "authorization.k8s.io/v1"


class KubeApi:
    """One API server with one set of credentials; threads may share it.

    Implements `upgrader.model.ports.Kube`.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        clock: Clock | None = None,
        deadline_seconds: float = 10.0,
        read_limit_seconds: float = 20.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Use a transport.

        Args:
            transport: Sends the requests.
            clock: For the age of watches; the system's by default.
            deadline_seconds: Limit of one call. Default 10 s: what a webhook may take by default.
            read_limit_seconds: Limit of a read with its repetitions; the last may go over it by a deadline.
            sleep: Waits between repetitions.
        """
        self._transport = transport
        self._clock = clock or SystemClock()
        self._deadline = deadline_seconds
        self._read_limit = read_limit_seconds
        self._sleep = sleep
        self._resources: dict[tuple[str, str], Resource] = {}

    @classmethod
    def connect(cls, kubeconfig: str = "", context: str = "", *, deadline_seconds: float = 10.0) -> KubeApi:
        """Load credentials as kubectl does and use them; `Refused` when there are none."""
        return cls(connect(kubeconfig, context), deadline_seconds=deadline_seconds)

    @property
    def context(self) -> str:
        """Return the kubeconfig's context in use; empty inside a cluster."""
        return getattr(self._transport, "context", "")

    def connection(self) -> Connection:
        """Return how other HTTP clients reach the same server."""
        return self._rest().connection()

    def rest(self) -> Any:
        """Return the ``kubernetes.client.ApiClient`` in use; after a 401 a fresh one takes its place."""
        return self._rest().client

    def _rest(self) -> RestTransport:
        if not isinstance(self._transport, RestTransport):
            raise TypeError("this KubeApi has no real connection")
        return self._transport

    def server_version(self) -> str:
        """Return the server's version, such as ``v1.37.2``."""
        reply = self._read(Request("GET", "/version"))
        if not reply.ok:
            raise refused(reply, "get", "/version")
        return str(reply.json().get("gitVersion", ""))

    def cluster_uid(self) -> str:
        """Return the uid of namespace ``kube-system``."""
        namespace = self.get(Ref("v1", "Namespace", "", "kube-system"))
        if namespace is None:
            raise ClusterUnreachable(
                "the API server says there is no namespace kube-system; is it a Kubernetes?"
            )
        return str(namespace["metadata"]["uid"])

    def get(self, ref: Ref) -> Manifest | None:
        """Return the object, or ``None`` when there is none of that name, or no such kind."""
        resource = self._resource(ref.api_version, ref.kind)
        if resource is None:
            return None
        reply = self._read(Request("GET", one(resource, ref)))
        if reply.status == 404:
            return None
        if not reply.ok:
            raise refused(reply, "get", f"{resource} {ref.name}", namespace=ref.namespace)
        return reply.json()

    def list(
        self, api_version: str, kind: str, *, namespace: str = "", selector: str = "", limit: int = 0
    ) -> builtins.list[Manifest]:
        """Return all objects of a kind, or the first so many; empty when the kind is not served."""
        resource = self._resource(api_version, kind)
        found: builtins.list[Manifest] = []
        after = ""
        while resource is not None:
            page_size = min(PAGE, limit - len(found)) if limit else PAGE
            query = {"limit": str(page_size), "labelSelector": selector, "continue": after}
            reply = self._read(Request("GET", resource.path(namespace), query))
            if reply.status == 410:  # the pages' snapshot is gone from etcd: begin anew
                found, after = [], ""
                continue
            if reply.status == 404:  # its definition was deleted since
                self._resources.pop((api_version, kind), None)
                return []
            if not reply.ok:
                raise refused(reply, "list", str(resource), namespace=namespace)
            page = reply.json()
            found += [item | {"apiVersion": api_version, "kind": kind} for item in page.get("items") or ()]
            after = str(page.get("metadata", {}).get("continue") or "")
            if not after or 0 < limit <= len(found):
                break
        return found

    def apply(
        self, manifest: Manifest, *, manager: str, dry_run: bool = False, force: bool = False
    ) -> Manifest | Denied:
        """Server-side apply; a refusal of the object is a value, our own lack of rights is `Refused`."""
        ref = Ref.of(manifest)
        resource = self._resource(ref.api_version, ref.kind)
        if resource is None:
            return Denied(ref, 404, f"the API server does not serve {ref.kind} of {ref.api_version}")
        if not ref.name:
            return Denied(ref, 422, "it has no metadata.name; server-side apply needs one")
        query = {
            "fieldManager": manager,
            "force": "true" if force else "",
            "dryRun": "All" if dry_run else "",
        }
        reply = self._send(Request("PATCH", one(resource, ref), query, manifest, APPLY), denial=True)
        if reply.ok:
            return reply.json()
        if reply.status == 401 or (reply.status == 403 and not self._may_apply(ref)):
            raise refused(reply, "patch", f"{resource} {ref.name}", namespace=ref.namespace)
        return Denied(ref, reply.status, reply.message())

    def _may_apply(self, ref: Ref) -> bool:
        return self.allowed("patch", ref) and self.allowed("create", replace(ref, name=""))

    def patch(
        self, ref: Ref, body: Any, *, kind: PatchKind = PatchKind.MERGE, dry_run: bool = False
    ) -> Manifest:
        """Patch one object as field manager ``upgrader`` and return it as it now is."""
        resource = self._served(ref)
        query = {"fieldManager": MANAGER, "dryRun": "All" if dry_run else ""}
        return self._write(Request("PATCH", one(resource, ref), query, body, kind.value), "patch", ref)

    def create(self, manifest: Manifest) -> Manifest:
        """Create an object; one that exists is a `ClusterConflict`."""
        ref = Ref.of(manifest)
        path = self._served(ref).path(ref.namespace)
        return self._write(Request("POST", path, {"fieldManager": MANAGER}, manifest), "create", ref)

    def replace(self, manifest: Manifest) -> Manifest:
        """Write an object whole; a changed ``resourceVersion`` is a `ClusterConflict`."""
        ref = Ref.of(manifest)
        path = one(self._served(ref), ref)
        return self._write(Request("PUT", path, {"fieldManager": MANAGER}, manifest), "update", ref)

    def delete(self, ref: Ref, *, propagation: str = "Background", resource_version: str = "") -> None:
        """Delete an object; one that is gone already is success.

        Args:
            ref: The object.
            propagation: ``Background``, ``Foreground`` or ``Orphan``.
            resource_version: Where given, an object changed since then is a `ClusterConflict`.
        """
        resource = self._resource(ref.api_version, ref.kind)
        if resource is None:
            return
        body: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if resource_version:
            body["preconditions"] = {"resourceVersion": resource_version}
        reply = self._send(Request("DELETE", one(resource, ref), {}, body))
        if reply.status != 404:
            accepted(reply, "delete", ref)

    def drop_ownership(self, ref: Ref) -> bool:
        """Remove our own entries from ``metadata.managedFields``, leaving the values as they are.

        Helm 4 applies server-side: a field that another manager owns makes its next write fail.

        Returns:
            False when there was nothing to remove, or no such object.

        Raises:
            ClusterConflict: When the object changed three times while we looked.
        """
        for attempt in range(3):
            manifest = self.get(ref)
            body = ownership_patch(manifest) if manifest else []
            if not body:
                return False
            try:
                self.patch(ref, body, kind=PatchKind.JSON)
            except ClusterConflict:
                if attempt == 2:
                    raise
            else:
                return True
        return False

    def allowed(self, verb: str, ref: Ref, *, subresource: str = "") -> bool:
        """Ask (SelfSubjectAccessReview) whether we may; an empty name asks for the whole kind."""
        resource = self._resource(ref.api_version, ref.kind)
        attributes = {
            "verb": verb,
            "group": ref.api_version.rpartition("/")[0],
            "resource": resource.plural if resource else guess_plural(ref.kind),
            "subresource": subresource,
            "namespace": ref.namespace,
            "name": ref.name,
        }
        body = {
            "apiVersion": RIGHTS,
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
        }
        reply = self._read(Request("POST", f"/apis/{RIGHTS}/selfsubjectaccessreviews", {}, body))
        if not reply.ok:
            raise refused(reply, "create", "selfsubjectaccessreviews.authorization.k8s.io")
        return bool(reply.json().get("status", {}).get("allowed"))

    def watch(self, kinds: Sequence[tuple[str, str]], *, namespace: str) -> KubeWatch:
        """Keep a live copy of these kinds; waits for the first one, at most one deadline."""
        path = partial(self._path, namespace=namespace)
        watch = KubeWatch(self._transport, path, kinds=kinds, clock=self._clock)
        watch.start(wait_seconds=self._deadline)
        return watch

    def _path(self, what: tuple[str, str], *, namespace: str) -> str | None:
        resource = self._resource(*what)
        return resource.path(namespace) if resource else None

    def is_namespaced(self, api_version: str, kind: str) -> bool | None:
        """Tell whether a kind lives in namespaces; ``None`` when it is not served."""
        resource = self._resource(api_version, kind)
        return resource.namespaced if resource else None

    def served_kinds(self) -> tuple[str, ...]:
        """Return each ``group/version`` and ``group/version/Kind`` served, as Helm's templates ask for them.

        A group whose own server does not answer is left out.
        """
        replies = {path: self._read(Request("GET", path)) for path in ("/api", "/apis")}
        for path, reply in replies.items():
            if not reply.ok:
                raise refused(reply, "get", path)
        versions = [one for reply in replies.values() for one in group_versions(reply.json())]
        return tuple(name for one in versions for name in self._kinds_of(one))

    def _kinds_of(self, api_version: str) -> tuple[str, ...]:
        try:
            reply = self._read(Request("GET", root(api_version)))
        except ClusterUnreachable:
            return ()
        return (api_version, *kinds(api_version, reply.json())) if reply.ok else ()

    def _served(self, ref: Ref) -> Resource:
        resource = self._resource(ref.api_version, ref.kind)
        if resource is None:
            raise Refused(
                f"the API server does not serve {ref.kind} of {ref.api_version}, so {ref} cannot be written",
                remedy="install its CustomResourceDefinition first",
            )
        return resource

    def _resource(self, api_version: str, kind: str) -> Resource | None:
        known = self._resources.get((api_version, kind))
        if known is not None:
            return known
        reply = self._read(Request("GET", root(api_version)))
        if not reply.ok and reply.status != 404:
            raise refused(reply, "get", root(api_version))
        for served in reply.json().get("resources") or ():
            if "/" not in served["name"]:
                key = (api_version, served["kind"])
                self._resources[key] = Resource(api_version, served["name"], bool(served["namespaced"]))
        return self._resources.get((api_version, kind))

    def _read(self, request: Request) -> Reply:
        attempts = Retrying(
            retry=retry_if_exception_type(ClusterUnreachable),
            stop=stop_after_attempt(READ_ATTEMPTS) | stop_before_delay(self._read_limit),
            wait=wait_random_exponential(multiplier=0.2, max=2.0),
            sleep=self._sleep,
            reraise=True,
        )
        return attempts(self._send, request)

    def _write(self, request: Request, verb: str, ref: Ref) -> Manifest:
        return accepted(self._send(request), verb, ref).json()

    def _send(self, request: Request, *, denial: bool = False) -> Reply:
        reply = self._transport.send(request, deadline_seconds=self._deadline)
        return checked(reply, request, denial=denial)


def ownership_patch(manifest: Manifest) -> builtins.list[dict[str, Any]]:
    """Return the JSON patch that removes our managedFields entries, or nothing.

    With the ``resourceVersion`` in it the API server answers 409 to a patch of an object that changed since.
    """
    metadata = manifest["metadata"]
    entries = metadata.get("managedFields") or ()
    ours = [index for index, entry in enumerate(entries) if entry.get("manager") == MANAGER]
    if not ours:
        return []
    version = {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]}
    removals = [{"op": "remove", "path": f"/metadata/managedFields/{index}"} for index in reversed(ours)]
    return [version, *removals]
