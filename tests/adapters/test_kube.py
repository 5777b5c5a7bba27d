"""The Kubernetes port: what each answer of the API server means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.adapters.scripted_server import ScriptedServer, reply
from upgrader.adapters.kube import KubeApi
from upgrader.errors import ClusterConflict, ClusterUnreachable, Refused, UpgraderError
from upgrader.model.ports import Denied, PatchKind, Ref

MAP = Ref("v1", "ConfigMap", "gw", "routes")
PATH = "/api/v1/namespaces/gw/configmaps/routes"
ALL = "/api/v1/namespaces/gw/configmaps"
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
MANIFEST = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "routes", "namespace": "gw"}}
NEXT = {"continue": "next"}
SILENCE = ClusterUnreachable("no answer")


def api(server: ScriptedServer, pauses: list[float] | None = None) -> KubeApi:
    return KubeApi(server, sleep=(pauses if pauses is not None else []).append)


def test_an_object_that_is_not_there_is_none() -> None:
    server = ScriptedServer().on("GET", PATH, reply(404))

    assert api(server).get(MAP) is None


def test_an_object_of_a_kind_that_is_not_served_is_none() -> None:
    server = ScriptedServer().on("GET", "/apis/x.io/v1", reply(404))

    assert api(server).get(Ref("x.io/v1", "Route", "gw", "a")) is None
    assert api(server).list("x.io/v1", "Route") == []


def test_a_kind_that_was_not_served_is_looked_for_again() -> None:
    """A CRD may be installed by the very run that asks."""
    served = reply(resources=[{"name": "routes", "kind": "Route", "namespaced": True}])
    server = ScriptedServer().on("GET", "/apis/x.io/v1", reply(404), served)
    server.on("GET", "/apis/x.io/v1/namespaces/gw/routes/a", reply(metadata={"name": "a"}))
    kube = api(server)

    before = kube.get(Ref("x.io/v1", "Route", "gw", "a"))
    after = kube.get(Ref("x.io/v1", "Route", "gw", "a"))

    assert before is None
    assert after is not None


def test_what_is_served_is_told_as_templates_ask_for_it() -> None:
    """The API of an extension may be down: then it is left out, as Helm does."""
    groups = [{"versions": [{"groupVersion": name}]} for name in ("x.io/v1", "metrics.k8s.io/v1")]
    kinds = [{"name": "routes", "kind": "Route"}, {"name": "routes/status", "kind": "Route"}]
    server = (
        ScriptedServer().on("GET", "/api", reply(versions=["v1"])).on("GET", "/apis", reply(groups=groups))
    )
    server.on("GET", "/apis/x.io/v1", reply(resources=kinds))
    server.on("GET", "/apis/metrics.k8s.io/v1", reply(503))

    assert api(server).served_kinds() == (
        *("v1", "v1/ConfigMap", "v1/Namespace", "v1/Pod", "v1/Secret"),
        *("x.io/v1", "x.io/v1/Route"),
    )


def test_a_cluster_wide_object_is_found_without_its_namespace() -> None:
    path = "/api/v1/namespaces/kube-system"
    server = ScriptedServer().on("GET", path, reply(metadata={"uid": "u-1"}))

    assert api(server).cluster_uid() == "u-1"


def test_an_object_without_a_needed_namespace_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="namespace"):
        api(ScriptedServer()).get(Ref("v1", "ConfigMap", "", "routes"))


def test_pages_of_a_list_are_joined_and_kinds_filled_in() -> None:
    server = ScriptedServer().on(
        "GET",
        ALL,
        reply(items=[{"metadata": {"name": "a"}}], metadata={"continue": "next"}),
        reply(items=[{"metadata": {"name": "b"}}], metadata={}),
    )

    found = api(server).list("v1", "ConfigMap", namespace="gw", selector="app=gw")

    assert [(item["kind"], item["metadata"]["name"]) for item in found] == [
        ("ConfigMap", "a"),
        ("ConfigMap", "b"),
    ]
    assert [request.query["continue"] for request in server.sent("GET")[1:]] == ["", "next"]
    assert server.asked[-1].query["labelSelector"] == "app=gw"


def test_a_list_with_a_limit_asks_for_no_more() -> None:
    server = ScriptedServer().on(
        "GET", ALL, reply(items=[{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}], metadata=NEXT)
    )

    found = api(server).list("v1", "ConfigMap", namespace="gw", limit=2)

    assert [item["metadata"]["name"] for item in found] == ["a", "b"]
    assert [request.query["limit"] for request in server.sent("GET")[1:]] == ["2"]


def test_a_list_whose_snapshot_expired_begins_anew() -> None:
    server = ScriptedServer().on(
        "GET",
        ALL,
        reply(items=[{"metadata": {"name": "old"}}], metadata={"continue": "next"}),
        reply(410),
        reply(items=[{"metadata": {"name": "a"}}], metadata={}),
    )

    found = api(server).list("v1", "ConfigMap", namespace="gw")

    assert [item["metadata"]["name"] for item in found] == ["a"]


def test_a_read_without_answer_is_tried_again() -> None:
    pauses: list[float] = []
    server = ScriptedServer().on("GET", PATH, SILENCE, reply(503), reply(429), reply(**MANIFEST))

    found = api(server, pauses).get(MAP)

    assert found == MANIFEST
    assert len(pauses) == 3


def test_a_read_is_not_tried_for_ever() -> None:
    pauses: list[float] = []
    server = ScriptedServer().on("GET", "/version", SILENCE)

    with pytest.raises(ClusterUnreachable):
        api(server, pauses).server_version()

    assert len(server.asked) == 4


WRITES: dict[str, tuple[str, str, Callable[[KubeApi], object]]] = {
    "patch": ("PATCH", PATH, lambda kube: kube.patch(MAP, {})),
    "create": ("POST", ALL, lambda kube: kube.create(MANIFEST)),
    "replace": ("PUT", PATH, lambda kube: kube.replace(MANIFEST)),
    "delete": ("DELETE", PATH, lambda kube: kube.delete(MAP)),
    "apply": ("PATCH", PATH, lambda kube: kube.apply(MANIFEST, manager="helm")),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("answer", [SILENCE, reply(503), reply(500), reply(429)], ids=str)
def test_a_write_without_answer_is_never_repeated(write: str, answer: Any) -> None:
    """Its outcome is unknown: whoever asked looks, then acts."""
    method, path, act = WRITES[write]
    server = ScriptedServer().on(method, path, answer)

    with pytest.raises(ClusterUnreachable):
        act(api(server))

    assert len(server.sent(method)) == 1


@pytest.mark.parametrize("write", ["patch", "create", "replace", "delete"])
@pytest.mark.parametrize(
    ("status", "error"),
    [(409, ClusterConflict), (401, Refused), (403, Refused), (422, Refused), (400, Refused)],
)
def test_a_refused_write_says_whose_fault_it_is(write: str, status: int, error: type[UpgraderError]) -> None:
    method, path, act = WRITES[write]
    server = ScriptedServer().on(method, path, reply(status, message="the server's words"))

    with pytest.raises(error, match="the server's words"):
        act(api(server))


def test_a_missing_right_is_named() -> None:
    server = ScriptedServer().on("PATCH", PATH, reply(403, message="forbidden"))

    with pytest.raises(Refused) as refusal:
        api(server).patch(MAP, {})

    assert "not allowed to patch ConfigMap routes in namespace gw" in str(refusal.value)
    assert "grant 'patch' on configmap in namespace gw" in refusal.value.remedy


@pytest.mark.parametrize("write", ["patch", "replace"])
def test_a_write_to_an_object_that_is_gone_is_a_conflict(write: str) -> None:
    method, path, act = WRITES[write]
    server = ScriptedServer().on(method, path, reply(404, message="not found"))

    with pytest.raises(ClusterConflict):
        act(api(server))


def test_deleting_what_is_gone_is_success() -> None:
    server = ScriptedServer().on("DELETE", PATH, reply(404))

    api(server).delete(MAP)


def test_a_guarded_delete_names_the_version() -> None:
    server = ScriptedServer().on("DELETE", PATH, reply())

    api(server).delete(MAP, resource_version="7", propagation="Foreground")

    assert server.asked[-1].body["preconditions"] == {"resourceVersion": "7"}
    assert server.asked[-1].body["propagationPolicy"] == "Foreground"


@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_an_object_the_server_does_not_take_is_a_value(status: int) -> None:
    server = ScriptedServer().on("PATCH", PATH, reply(status, message="field is immutable"))

    denied = api(server).apply(MANIFEST, manager="helm", dry_run=True)

    assert denied == Denied(MAP, status, "field is immutable")
    assert server.asked[-1].query == {"fieldManager": "helm", "force": "", "dryRun": "All"}


@pytest.mark.parametrize(("may", "outcome"), [(True, "denied"), (False, "refused")])
def test_admission_is_told_from_our_own_lack_of_rights(may: bool, outcome: str) -> None:
    """Both are 403; the API server itself is asked which it is."""
    server = ScriptedServer().on("PATCH", PATH, reply(403, message="exceeded quota"))
    server.on("POST", REVIEW, reply(201, status={"allowed": may}))

    try:
        result: object = api(server).apply(MANIFEST, manager="helm", dry_run=True)
    except Refused:
        result = "refused"

    assert ("denied" if isinstance(result, Denied) else result) == outcome


@pytest.mark.parametrize(
    "words",
    [
        'Internal error occurred: failed calling webhook "v.gw.io": connection refused',
        "failed to create typed patch object (gw/d; apps/v1, Kind=Deployment): .spec.replicas: got string",
    ],
    ids=["webhook", "type"],
)
def test_a_server_error_about_the_object_is_a_value(words: str) -> None:
    server = ScriptedServer().on("PATCH", PATH, reply(500, message=words))

    denied = api(server).apply(MANIFEST, manager="helm", dry_run=True)

    assert denied == Denied(MAP, 500, words)


def test_an_unknown_kind_cannot_be_applied() -> None:
    server = ScriptedServer().on("GET", "/apis/x.io/v1", reply(404))
    manifest = {"apiVersion": "x.io/v1", "kind": "Route", "metadata": {"name": "a", "namespace": "gw"}}

    denied = api(server).apply(manifest, manager="helm")

    assert isinstance(denied, Denied)
    assert denied.status == 404


def owned(*managers: str) -> dict[str, Any]:
    fields = [{"manager": manager} for manager in managers]
    return MANIFEST | {"metadata": {"resourceVersion": "7", "managedFields": fields}}


def test_our_ownership_goes_and_nobody_elses() -> None:
    server = ScriptedServer().on("GET", PATH, reply(**owned("helm", "upgrader", "kubelet", "upgrader")))
    server.on("PATCH", PATH, reply())

    dropped = api(server).drop_ownership(MAP)

    assert dropped
    assert server.asked[-1].content_type == PatchKind.JSON.value
    assert server.asked[-1].body == [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "remove", "path": "/metadata/managedFields/3"},
        {"op": "remove", "path": "/metadata/managedFields/1"},
    ]


def test_without_ownership_nothing_is_written() -> None:
    server = ScriptedServer().on("GET", PATH, reply(**owned("helm")), reply(404))

    assert not api(server).drop_ownership(MAP)
    assert not api(server).drop_ownership(MAP)
    assert not server.sent("PATCH")


def test_a_race_for_ownership_is_looked_at_again() -> None:
    server = ScriptedServer().on("GET", PATH, reply(**owned("upgrader")), reply(**owned("x", "upgrader")))
    server.on("PATCH", PATH, reply(409), reply())

    dropped = api(server).drop_ownership(MAP)

    assert dropped
    assert server.asked[-1].body[1]["path"] == "/metadata/managedFields/1"


def test_a_race_lost_three_times_is_a_conflict() -> None:
    server = ScriptedServer().on("GET", PATH, reply(**owned("upgrader")))
    server.on("PATCH", PATH, reply(409))

    with pytest.raises(ClusterConflict):
        api(server).drop_ownership(MAP)

    assert len(server.sent("PATCH")) == 3


@pytest.mark.parametrize(
    ("kind", "plural"), [("Gateway", "gatewaies"), ("Ingress", "ingresses"), ("Route", "routes")]
)
def test_rights_may_be_asked_for_kinds_not_served_yet(kind: str, plural: str) -> None:
    """The plural is kubectl's own guess, odd where English is."""
    server = ScriptedServer().on("GET", "/apis/x.io/v1", reply(404))
    server.on("POST", REVIEW, reply(201, status={"allowed": True}))

    allowed = api(server).allowed("create", Ref("x.io/v1", kind, "gw", ""))

    assert allowed
    attributes = server.asked[-1].body["spec"]["resourceAttributes"]
    assert attributes == {"verb": "create", "group": "x.io", "resource": plural, "namespace": "gw"}
