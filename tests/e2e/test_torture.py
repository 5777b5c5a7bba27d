"""A chart that asks for all that a cluster has comes up unmodified, and each thing does what it should."""

from __future__ import annotations

import base64
import json
import subprocess
import time
import urllib.parse
import uuid
from collections.abc import Iterator

import pytest

from tests.e2e.torture import CHART, IMAGES, Release, wait
from upgrader.errors import ProgramFailed
from upgrader.lab.room import Room

pytestmark = pytest.mark.lab

NODES = {"lab-0", "lab-1", "lab-2"}


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    """Three nodes, and python for the chart's image."""
    with Room.up(f"torture-{uuid.uuid4().hex[:8]}", nodes=3, images=IMAGES) as made:
        yield made


@pytest.fixture(scope="module")
def chart(room: Room) -> Release:
    """The chart, installed as its README would say."""
    release = Release(room, "torture")
    release.helm("install", release.name, str(CHART), "--create-namespace", "--wait", "--timeout", "2m")
    return release


@pytest.fixture
def web(chart: Release) -> str:
    """One pod of the Deployment."""
    return str(chart.pods("web")[0]["metadata"]["name"])


def test_everything_is_ready(chart: Release) -> None:
    for kind, name in [("deployment", "web"), ("deployment", "webhook"), ("statefulset", "db")]:
        status = chart.get(kind, f"torture-{name}")["status"]
        assert status["readyReplicas"] == status["replicas"] > 0


def test_a_custom_resource_is_defaulted_and_validated_by_its_schema(chart: Release) -> None:
    assert chart.get("widget", "torture")["spec"] == {"size": 3, "colour": "blue"}

    red = (
        "apiVersion: torture.example/v1\nkind: Widget\nmetadata: {name: red}\nspec: {size: 11, colour: red}\n"
    )
    assert "red widgets are small" in chart.kubectl("apply", "-f", "-", input=red, check=False)


@pytest.mark.parametrize(("size", "said"), [(100, "created"), (101, "size 101 is more than 100")])
def test_a_webhook_in_a_pod_admits_and_refuses(chart: Release, size: int, said: str) -> None:
    widget = (
        f"apiVersion: torture.example/v1\nkind: Widget\nmetadata: {{name: w{size}}}\nspec: {{size: {size}}}\n"
    )

    assert said in chart.kubectl("apply", "-f", "-", input=widget, check=False)


def test_init_containers_run_in_order_around_a_ready_sidecar(chart: Release, web: str) -> None:
    files = chart.ask(web, "/")["files"]

    assert files["shared/order"] == "first\nsecond\n"
    assert chart.ask(web, "/", port=8081)["hostname"] == "web"


def test_a_container_sees_its_pod_by_the_downward_api(chart: Release, web: str) -> None:
    pod = chart.get("pod", web)

    seen = chart.ask(web, "/")

    env = seen["env"]
    assert (env["POD_NAME"], env["POD_IP"], env["NODE_IP"]) == (
        web,
        pod["status"]["podIP"],
        pod["status"]["hostIP"],
    )
    assert env["CPUS"] == "1500"
    assert env["GREETING"] == f"I am {web}, $(POD_NAME)"
    assert 'tier="front"' in seen["files"]["all/labels"]
    assert 'torture.example/note="downward, twice"' in seen["files"]["all/annotations"]
    assert seen["files"]["all/memory"] == str(128 * 2**20)


def test_environment_comes_from_config_maps_and_secrets(chart: Release, web: str) -> None:
    seen = chart.ask(web, "/")

    assert (seen["env"]["FROM_COLOUR"], seen["env"]["API_KEY"]) == ("blue", "battery staple")
    assert seen["files"]["all/secret/password"] == "correct horse"
    assert (seen["hostname"], seen["dir"]) == ("web", "/var/lib/web")


def test_parts_of_volumes_are_mounted_by_sub_path(chart: Release, web: str) -> None:
    files = chart.ask(web, "/")["files"]

    assert files["settings.ini"] == "[torture]\nlevel = 11\n"
    assert files["part/f"] == "part\n"
    assert chart.exec(web, "cat /scratch/post-start") == f"started by {web}"


def test_a_projected_token_is_for_the_audience_that_was_asked_for(chart: Release, web: str) -> None:
    claims = chart.ask(web, "/")["files"]["all/vault-token"].split(".")[1]

    read = json.loads(base64.urlsafe_b64decode(claims + "=="))

    assert read["aud"] == ["vault.example"]
    assert read["sub"] == "system:serviceaccount:torture:torture"
    assert read["kubernetes.io"]["pod"]["name"] == web


def test_the_root_is_read_only_and_volumes_are_not(chart: Release, web: str) -> None:
    folders = "/ /tmp /memory /claim /scratch /etc/torture/all"

    writable = chart.exec(web, f"for d in {folders}; do touch $d/x 2>/dev/null && echo $d; done; true")

    assert writable == "/memory\n/claim\n/scratch"
    assert "192.0.2.7\talias.example" in chart.exec(web, "cat /etc/hosts")
    assert "options ndots:3" in chart.exec(web, "cat /etc/resolv.conf")


def test_a_config_map_that_changes_is_seen_in_its_volume(chart: Release, web: str) -> None:
    patch = json.dumps({"data": {"COLOUR": "green"}})
    chart.kubectl("patch", "configmap", "torture-settings", "--type=merge", "-p", patch)

    wait("the new colour", lambda: chart.ask(web, "/")["files"]["live/colour"] == "green", seconds=90)

    assert chart.ask(web, "/")["env"]["FROM_COLOUR"] == "blue"


def test_both_streams_and_hooks_are_in_the_log(chart: Release, web: str) -> None:
    lines = chart.kubectl("logs", web, "-c", "web").splitlines()

    assert {"serving", "complaining", "post-start"} <= set(lines)
    assert "first" not in chart.kubectl("logs", web, "-c", "first")


def test_names_of_services_pods_and_elsewhere_are_found(chart: Release, web: str) -> None:
    members = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in chart.pods("db")}
    cluster_ip = chart.get("service", "torture-web")["spec"]["clusterIP"]
    for name, wanted in {
        "torture-web": [cluster_ip],
        "torture-web.torture.svc.cluster.local": [cluster_ip],
        "torture-db": sorted(members.values()),
        "torture-db-1.torture-db": [members["torture-db-1"]],
        "torture-elsewhere": [cluster_ip],
        "torture-db-7.torture-db": [],
        "example.org": [],
    }.items():
        assert chart.ask(web, f"/resolve?name={name}") == wanted, name


def test_a_service_is_reached_by_all_its_addresses(chart: Release, web: str) -> None:
    service = chart.get("service", "torture-web")
    node_port = service["spec"]["ports"][0]["nodePort"]
    balancer = service["status"]["loadBalancer"]["ingress"][0]["ip"]
    urls = [
        f"http://{service['spec']['clusterIP']}/",
        f"http://{balancer}/",
        f"http://10.244.1.1:{node_port}/",
    ]
    for url in urls:
        assert json.loads(chart.fetch(url))["hostname"] == "web"
        assert chart.ask(web, f"/fetch?url={urllib.parse.quote(url)}")["status"] == 200, url


def test_both_pods_get_their_share_of_a_service(chart: Release, web: str) -> None:
    pods = {pod["metadata"]["name"] for pod in chart.pods("web")}

    served = {
        json.loads(chart.ask(web, "/fetch?url=http://torture-web/")["body"])["env"]["POD_NAME"]
        for _ in range(40)
    }

    assert served == pods


def test_a_port_on_the_pods_loopback_is_forwarded_and_not_served(chart: Release, web: str) -> None:
    address = chart.get("pod", web)["status"]["podIP"]
    assert chart.ask(web, f"/fetch?url=http://{address}:9901/")["status"] == 0
    command = ["kubectl", "--namespace", "torture", "port-forward", f"pod/{web}", "19901:9901"]
    with chart.room.enter(command, output=subprocess.PIPE) as forward:
        assert forward.stdout
        assert "Forwarding from" in forward.stdout.readline()

        assert json.loads(chart.fetch("http://127.0.0.1:19901/"))["env"]["POD_NAME"] == web
        forward.kill()


def test_a_daemon_set_serves_on_every_node(chart: Release) -> None:
    pods = wait("three agents", lambda: [p for p in chart.pods("agent") if _is_ready(p)], seconds=30)

    assert {pod["spec"]["nodeName"] for pod in pods} == NODES
    assert {pod["status"]["podIP"] for pod in pods} == {f"10.244.{index}.1" for index in range(3)}
    assert chart.exec(pods[0]["metadata"]["name"], "test -d /host/bin && echo seen") == "seen"


def _is_ready(pod: dict[str, object]) -> bool:
    status = pod["status"]
    assert isinstance(status, dict)
    return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", ()))


def test_a_stateful_pod_comes_back_to_its_name_and_volume(chart: Release) -> None:
    before = chart.get("pod", "torture-db-0")["metadata"]["uid"]
    starts = int(chart.exec("torture-db-0", "cat /data/starts"))

    chart.kubectl("delete", "pod", "torture-db-0")
    wait("a new member", lambda: _replaced(chart, "torture-db-0", before), seconds=60)

    assert int(chart.exec("torture-db-0", "cat /data/starts")) == starts + 1
    assert chart.exec("torture-db-0", "tail -n 1 /data/diary") == "pre-stop"


def _replaced(chart: Release, name: str, old: str) -> bool:
    pods = [pod for pod in chart.pods("db") if pod["metadata"]["name"] == name]
    return bool(pods) and pods[0]["metadata"]["uid"] != old and _is_ready(pods[0])


def test_a_pod_is_asked_to_stop_after_its_pre_stop_hook(chart: Release, web: str) -> None:
    [other] = [pod["metadata"]["name"] for pod in chart.pods("web") if pod["metadata"]["name"] != web]
    volume = chart.get("pvc", "torture-scratch")["spec"]["volumeName"]
    path = chart.get("pv", volume)["spec"]["hostPath"]["path"]

    chart.kubectl("delete", "pod", other)

    assert chart.room.run(["cat", f"{path}/{other}/diary"]).stdout == "start\npre-stop\nterm\n"
    chart.kubectl("rollout", "status", "deployment/torture-web", "--timeout=60s")


def test_a_job_tries_again_until_each_index_is_done(chart: Release) -> None:
    chart.kubectl("wait", "job/torture-stubborn", "--for=condition=Complete", "--timeout=90s")

    job = chart.get("job", "torture-stubborn")["status"]
    pods = chart.get("pods", "-l", "job-name=torture-stubborn")["items"]

    assert (job["succeeded"], job["completedIndexes"]) == (2, "0,1")
    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods] == [1, 1]


def test_a_failing_liveness_probe_restarts_the_container(chart: Release) -> None:
    name = chart.pods("scaled")[0]["metadata"]["name"]
    url = f"/api/v1/namespaces/torture/pods/{name}:8080/proxy/fail/live"
    chart.kubectl("create", "--raw", url, "-f", "/dev/null")

    status = wait("a restart", lambda: _restarted(chart, name), seconds=60)

    assert status["lastState"]["terminated"]["reason"] == "Completed"
    assert status["lastState"]["terminated"]["message"] == "asked to stop"
    assert "asked: " in chart.kubectl("logs", name, "--previous")


def _restarted(chart: Release, name: str) -> dict[str, dict[str, dict[str, str]]]:
    status: dict[str, dict[str, dict[str, str]]] = chart.get("pod", name)["status"]["containerStatuses"][0]
    return status if status["restartCount"] and status["state"].get("running") else {}


def test_an_autoscaler_keeps_its_lower_bound(chart: Release) -> None:
    wait("two replicas", lambda: len(chart.pods("scaled")) == 2, seconds=60)

    assert chart.get("hpa", "torture-scaled")["status"]["desiredReplicas"] == 2


def test_an_eviction_waits_for_the_disruption_budget(chart: Release, web: str) -> None:
    eviction = json.dumps(
        {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": web, "namespace": "torture"}}
    )
    url = f"/api/v1/namespaces/torture/pods/{web}/eviction"
    wait("a whole Deployment", lambda: all(map(_is_ready, chart.pods("web"))), seconds=30)

    assert "disruption budget" in chart.kubectl(
        "create", "--raw", url, "-f", "-", input=eviction, check=False
    )

    chart.kubectl("patch", "pdb", "torture-web", "--type=merge", "-p", '{"spec": {"minAvailable": 1}}')
    wait("leave to go", lambda: chart.get("pdb", "torture-web")["status"]["disruptionsAllowed"], seconds=30)
    assert "Success" in chart.kubectl("create", "--raw", url, "-f", "-", input=eviction)


def test_a_cron_job_fires(chart: Release) -> None:
    wait(
        "the clock",
        lambda: chart.get("cronjob", "torture-clock")["status"].get("lastSuccessfulTime"),
        seconds=90,
    )


def test_an_image_without_a_program_is_a_pull_error(chart: Release) -> None:
    chart.kubectl("run", "lost", "--image=nowhere.example/lost:1", "--restart=Never")

    wait("the reason", lambda: _waiting(chart, "lost") in ("ErrImagePull", "ImagePullBackOff"), seconds=30)

    chart.kubectl("delete", "pod", "lost")


def _waiting(chart: Release, name: str) -> str:
    statuses = chart.get("pod", name)["status"].get("containerStatuses", [])
    return str(statuses[0]["state"]["waiting"].get("reason", "")) if statuses else ""


def test_hooks_of_every_kind_run_in_their_order(room: Room) -> None:
    release = Release(room, "hooks")
    chart = str(CHART)
    quick = ("--set", "workloads=false", "--timeout", "1m")
    release.helm("install", "hooks", chart, "--create-namespace", *quick)
    release.helm("upgrade", "hooks", chart, *quick)
    release.helm("rollback", "hooks", "1", "--timeout", "1m")
    release.helm("test", "hooks", "--timeout", "1m")
    release.helm("uninstall", "hooks", "--timeout", "1m")

    assert release.diary() == [
        *("pre-install-first 1", "pre-install-second 1", "post-install 1"),
        *("pre-upgrade 2", "post-upgrade-first 2", "post-upgrade-second 2"),
        *("pre-rollback 1", "post-rollback 1", "test 1", "pre-delete 1", "post-delete 1"),
    ]


def test_the_release_goes_without_a_trace(chart: Release) -> None:
    began = time.monotonic()
    chart.helm("uninstall", "torture", "--wait", "--timeout", "1m")

    wait("an empty namespace", lambda: not chart.get("pods")["items"], seconds=60)
    assert time.monotonic() - began < 60
    with pytest.raises(ProgramFailed, match="not found"):
        chart.get("deployment", "torture-web")
