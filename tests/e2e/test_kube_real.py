"""The Kubernetes port and the Lease against a real API server. Needs ``UPGRADER_TEST_KUBECONFIG``."""

from __future__ import annotations

import base64
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from upgrader.adapters.clock import SystemClock
from upgrader.adapters.kube import KubeApi
from upgrader.adapters.lease import Identity, Processes, ReleaseLease
from upgrader.errors import ClusterConflict, ClusterUnreachable, Locked, Refused
from upgrader.model.ports import Denied, Manifest, PatchKind, Ref

KUBECONFIG = os.environ.get("UPGRADER_TEST_KUBECONFIG", "")

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not KUBECONFIG, reason="UPGRADER_TEST_KUBECONFIG names no kubeconfig"),
]


@pytest.fixture
def kube() -> KubeApi:
    return KubeApi.connect(KUBECONFIG)


@pytest.fixture
def namespace(kube: KubeApi) -> Iterator[str]:
    name = f"upgrader-test-{uuid.uuid4().hex[:8]}"
    kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    kube.delete(Ref("v1", "Namespace", "", name))


def config(namespace: str, name: str = "a", **data: str) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def deployment(namespace: str, *, app: str = "a") -> Manifest:
    template = {
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "c", "image": "absent.invalid/c"}]},
    }
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": app}}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": namespace},
        "spec": spec,
    }


def until(claim: Callable[[], object], *, seconds: float = 20) -> None:
    ends = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < ends, "it never came true"
        time.sleep(0.05)


def test_the_cluster_says_who_it_is(kube: KubeApi) -> None:
    assert kube.server_version().startswith("v1.")
    assert len(kube.cluster_uid()) == 36


def test_objects_are_written_and_read(kube: KubeApi, namespace: str) -> None:
    made = kube.create(config(namespace, x="1"))
    ref = Ref.of(made)

    with pytest.raises(ClusterConflict):
        kube.create(config(namespace, x="1"))
    merged = kube.patch(ref, {"data": {"y": "2"}})
    added = kube.patch(ref, [{"op": "add", "path": "/data/z", "value": "3"}], kind=PatchKind.JSON)
    dry = kube.patch(ref, {"data": {"w": "4"}}, dry_run=True)
    with pytest.raises(ClusterConflict):
        kube.replace(made | {"data": {}})
    listed = kube.list("v1", "ConfigMap", namespace=namespace)
    with pytest.raises(ClusterConflict):
        kube.delete(ref, resource_version=made["metadata"]["resourceVersion"])
    kube.delete(ref, resource_version=added["metadata"]["resourceVersion"])
    kube.delete(ref)

    assert (merged["data"], added["data"]) == ({"x": "1", "y": "2"}, {"x": "1", "y": "2", "z": "3"})
    assert "w" in dry["data"]
    assert {each["metadata"]["name"]: each["data"].get("w") for each in listed if "x" in each["data"]} == {
        "a": None
    }
    assert kube.get(ref) is None


def test_more_objects_than_a_page_are_all_listed(kube: KubeApi, namespace: str) -> None:
    for number in range(520):
        kube.create(config(namespace, f"c{number}"))

    found = kube.list("v1", "ConfigMap", namespace=namespace)

    assert len({each["metadata"]["name"] for each in found} - {"kube-root-ca.crt"}) == 520


def test_an_apply_that_the_server_does_not_take_is_a_value(kube: KubeApi, namespace: str) -> None:
    kube.create(deployment(namespace))

    fine = kube.apply(deployment(namespace), manager="helm", dry_run=True)
    immutable = kube.apply(deployment(namespace, app="b"), manager="helm", dry_run=True, force=True)
    wrong = kube.apply(deployment(namespace) | {"spec": {"replicas": "many"}}, manager="helm", dry_run=True)
    lost = kube.apply(config("no-such-namespace"), manager="helm", dry_run=True)

    assert not isinstance(fine, Denied)
    assert isinstance(immutable, Denied)
    assert immutable.status == 422
    assert "immutable" in immutable.message
    assert isinstance(wrong, Denied)
    assert wrong.status in (400, 422, 500)
    assert isinstance(lost, Denied)
    assert lost.status == 404


def test_a_field_of_ours_is_a_conflict_until_it_is_dropped(kube: KubeApi, namespace: str) -> None:
    first = kube.apply(deployment(namespace), manager="helm")
    ref = Ref.of(deployment(namespace))
    other = deployment(namespace) | {"spec": deployment(namespace)["spec"] | {"replicas": 3}}
    kube.patch(ref, {"spec": {"replicas": 5}})

    conflict = kube.apply(other, manager="helm", dry_run=True)
    dropped = kube.drop_ownership(ref)
    after = kube.apply(other, manager="helm")

    assert not isinstance(first, Denied)
    assert isinstance(conflict, Denied)
    assert conflict.status == 409
    assert ".spec.replicas" in conflict.message
    assert dropped
    assert not isinstance(after, Denied)
    assert after["spec"]["replicas"] == 3
    assert not kube.drop_ownership(ref)


def test_rights_are_asked_and_missing_ones_named(kube: KubeApi, namespace: str, tmp_path: Path) -> None:
    """A ServiceAccount with nothing but reading of pods."""
    stranger = _stranger(kube, namespace, tmp_path)
    pods, maps = Ref("v1", "Pod", namespace, ""), Ref("v1", "ConfigMap", namespace, "a")

    until(lambda: stranger.allowed("list", pods))

    assert stranger.list("v1", "Pod", namespace=namespace) == []
    assert not stranger.allowed("patch", maps)
    with pytest.raises(Refused, match="not allowed to patch ConfigMap a in namespace"):
        stranger.patch(maps, {})
    with pytest.raises(Refused, match="not allowed to patch"):
        stranger.apply(config(namespace), manager="helm", dry_run=True)


def test_quota_is_told_from_rights(kube: KubeApi, namespace: str) -> None:
    """Both answers are 403."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": namespace}}
    kube.create(quota | {"spec": {"hard": {"secrets": "0"}}})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": namespace}}

    def answer() -> object:
        return kube.apply(secret, manager="helm", dry_run=True)

    until(lambda: isinstance(answer(), Denied))
    denied = answer()

    assert isinstance(denied, Denied)
    assert denied.status == 403
    assert "quota" in denied.message


def test_a_watch_keeps_up(kube: KubeApi, namespace: str) -> None:
    watch = kube.watch([("v1", "ConfigMap"), ("x.io/v1", "Absent")], namespace=namespace)

    def seen() -> dict[str, Manifest]:
        return {each["metadata"]["name"]: each for each in watch.objects()}

    try:
        kube.create(config(namespace, x="1"))
        until(lambda: "a" in seen())
        kube.patch(Ref("v1", "ConfigMap", namespace, "a"), {"data": {"x": "2"}})
        until(lambda: seen()["a"]["data"]["x"] == "2")
        age, error = watch.age_seconds(), watch.error()
        kube.delete(Ref("v1", "ConfigMap", namespace, "a"))
        until(lambda: "a" not in seen())
    finally:
        began = time.monotonic()
        watch.close()
        took = time.monotonic() - began

    assert (age, error) == (0.0, "")
    assert took < 1


def test_a_server_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(
        "{apiVersion: v1, kind: Config, current-context: x, users: [{name: u, user: {}}],"
        " clusters: [{name: c, cluster: {server: 'https://127.0.0.1:9'}}],"
        " contexts: [{name: x, context: {cluster: c, user: u}}]}"
    )

    with pytest.raises(ClusterUnreachable, match="no answer"):
        KubeApi.connect(str(path)).server_version()


class Elsewhere(Processes):
    """Another machine, as far as the Lease can tell."""

    def ours(self) -> Identity:
        return Identity("elsewhere", "another world", 1, 1)


def test_the_lease_locks_renews_aborts_and_goes(kube: KubeApi, namespace: str) -> None:
    def lease(processes: Processes) -> ReleaseLease:
        return ReleaseLease(kube, SystemClock(), namespace=namespace, release="gw", processes=processes)

    ours, theirs = lease(Processes()), lease(Elsewhere())
    ours.acquire("r-1")

    with pytest.raises(Locked, match="r-1"):
        theirs.acquire("r-2")
    theirs.request_abort("cancelled")
    time.sleep(5.1)
    ours.renew()
    reason = ours.abort_requested()
    ours.renew()
    holder = theirs.holder()
    ours.release()

    assert reason == "cancelled"
    assert holder is not None
    assert (holder.run, holder.unfinished, holder.abort) == ("r-1", True, "cancelled")
    assert theirs.holder() is None
    theirs.acquire("r-2")
    theirs.release()


def _stranger(kube: KubeApi, namespace: str, folder: Path) -> KubeApi:
    """Connect as a ServiceAccount that may do nothing but list pods."""
    token = _account(kube, namespace)
    connection = kube.connection()
    cluster = {"server": connection.host, "insecure-skip-tls-verify": not connection.verify}
    if connection.ca_file:
        cluster["certificate-authority"] = connection.ca_file
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    (folder / "stranger").write_text(json.dumps(body))
    return KubeApi.connect(str(folder / "stranger"))


def _account(kube: KubeApi, namespace: str) -> str:
    group = "rbac.authorization.k8s.io"
    metadata = {"name": "stranger", "namespace": namespace}
    kube.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    kube.create({"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": rules})
    bound = {
        "subjects": [{"kind": "ServiceAccount", "name": "stranger", "namespace": namespace}],
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "stranger"},
    }
    kube.create({"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": metadata} | bound)
    noted = metadata | {"annotations": {"kubernetes.io/service-account.name": "stranger"}}
    kind = "kubernetes.io/service-account-token"
    secret = kube.create({"apiVersion": "v1", "kind": "Secret", "metadata": noted, "type": kind})
    until(lambda: "token" in ((kube.get(Ref.of(secret)) or {}).get("data") or {}))
    found = kube.get(Ref.of(secret))
    assert found is not None
    return base64.b64decode(found["data"]["token"]).decode()
