"""The Helm port against real Helm 4, real Helm 3 and a real Kubernetes.

Needs ``UPGRADER_TEST_KUBECONFIG``; Helm 4 on PATH or in ``UPGRADER_TEST_HELM4``, Helm 3 in ``…_HELM3``.
Hooks use an image that nobody has: they hold Helm where a test wants it, on any cluster.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from upgrader.adapters.helm import HelmRelease, Target
from upgrader.adapters.helm_manifest import objects
from upgrader.adapters.helm_program import HelmProgram, Place
from upgrader.adapters.helm_values import Values
from upgrader.adapters.kube import KubeApi
from upgrader.adapters.redaction import Redactor
from upgrader.adapters.shell import Shell
from upgrader.errors import ProgramFailed, Refused
from upgrader.model.ports import Chart, Denied, Manifest, Process, Ref, ReleaseStatus

KUBECONFIG = os.environ.get("UPGRADER_TEST_KUBECONFIG", "")
PROGRAMS = {
    "helm4": os.environ.get("UPGRADER_TEST_HELM4") or shutil.which("helm") or "",
    "helm3": os.environ.get("UPGRADER_TEST_HELM3", ""),
}
SECRET = 'licence-4711-"quoted"'

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not KUBECONFIG, reason="UPGRADER_TEST_KUBECONFIG names no kubeconfig"),
]

CHART = "apiVersion: v2\nname: gw\nversion: {version}\nappVersion: '{version}'\n"
TEMPLATES = {
    "proxy.yaml": """
apiVersion: apps/v1
kind: Deployment
metadata: {name: proxy}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: proxy}}
  strategy: {rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}}
  template:
    metadata: {labels: {app: proxy}}
    spec:
      containers: [{name: proxy, image: "absent.invalid/proxy:{{ .Chart.Version }}"}]
""",
    "config.yaml": """
apiVersion: v1
kind: ConfigMap
metadata: {name: config}
data: {version: {{ .Chart.Version | quote }}, window: 12:30, note: {{ .Values.note | quote }}}
""",
    "secret.yaml": """
apiVersion: v1
kind: Secret
metadata: {name: licence}
stringData: {key: {{ .Values.global.licence | quote }}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "{{ .Release.Namespace }}-gw"}
rules: []
""",
}
HOOK = """
apiVersion: batch/v1
kind: Job
metadata:
  name: hold
  annotations: {"helm.sh/hook": EVENT}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: hold, image: absent.invalid/hold}]
"""
VALUES = "replicas: 3\nnote: 'yes'\nglobal: {licence: none}\n"


def chart(folder: Path, version: str, *, hook: str = "", extra: str = "") -> Path:
    """Write a chart; with a hook, Helm waits at that event for an image that never comes."""
    templates = folder / "templates"
    templates.mkdir(parents=True)
    (folder / "Chart.yaml").write_text(CHART.format(version=version))
    (folder / "values.yaml").write_text(VALUES)
    for name, text in TEMPLATES.items():
        (templates / name).write_text(text)
    if hook:
        (templates / "hook.yaml").write_text(HOOK.replace("EVENT", hook))
    if extra:
        (templates / "extra.yaml").write_text(extra)
    return folder


def until(claim: Callable[[], object], *, seconds: float = 30) -> None:
    """Wait until a claim holds."""
    ends = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < ends, "it never came true"
        time.sleep(0.05)


@dataclass
class Bench:
    """A release with revision 1 in a namespace of its own."""

    kube: KubeApi
    namespace: str
    folder: Path
    program: str
    redactor: Redactor

    def release(self, source: Path | str, **more: object) -> HelmRelease:
        target = Target(
            Place("gw", self.namespace, KUBECONFIG, self.kube.context),
            self.folder / "run",
            str(source),
            values=Values((), {"global.licence": "GW_LICENCE"}),
        )
        target = replace(target, **more)  # type: ignore[arg-type]
        return HelmRelease(target, helm=self.helm(target), scope=self.kube.is_namespaced)

    def helm(self, target: Target) -> HelmProgram:
        return HelmProgram(
            target.place,
            shell=Shell(),
            home=target.run_folder / "helm",
            redactor=self.redactor,
            inherited={**os.environ, "GW_LICENCE": SECRET},
            hidden=("GW_LICENCE",),
            program=self.program,
        )

    def object(self, kind: str, name: str, api_version: str = "v1") -> Manifest | None:
        return self.kube.get(Ref(api_version, kind, self.namespace, name))

    def image(self) -> str:
        deployment = self.object("Deployment", "proxy", "apps/v1")
        assert deployment is not None
        return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"]).rpartition(":")[2]

    def start(self, version: str, hook: str) -> tuple[HelmRelease, Process]:
        release = self.release(chart(self.folder / version, version, hook=hook))
        process = release.start_upgrade(release.pull(), labels={"upgrader/run": "r-1"})
        until(lambda: self.object("Job", "hold", "batch/v1") or not release.running(process))
        assert release.running(process), release.output(process)
        return release, process


@pytest.fixture(params=PROGRAMS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    program = PROGRAMS[request.param]
    if not program:
        pytest.skip(f"no {request.param}: set UPGRADER_TEST_{request.param.upper()}")
    kube = KubeApi.connect(KUBECONFIG)
    namespace = f"upgrader-test-{uuid.uuid4().hex[:8]}"
    kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    install = [program, "install", "gw", str(chart(tmp_path / "1.0.0", "1.0.0"))]
    place = ["--namespace", namespace, "--kubeconfig", KUBECONFIG]
    subprocess.run([*install, *place, "--set", "note=kept"], check=True, capture_output=True, timeout=60)
    yield Bench(kube, namespace, tmp_path, program, Redactor())
    kube.delete(Ref("v1", "Namespace", "", namespace))
    kube.delete(Ref("rbac.authorization.k8s.io/v1", "ClusterRole", "", f"{namespace}-gw"))


def test_plan_shows_the_objects_and_touches_nothing(bench: Bench) -> None:
    release = bench.release(chart(bench.folder / "2", "2.0.0", hook="pre-upgrade"))

    pinned = release.pull()
    plan = release.plan_upgrade(pinned)

    named = {(item["kind"], item["metadata"].get("namespace", "")) for item in plan.objects}
    assert named == {(kind, bench.namespace) for kind in ("Deployment", "ConfigMap", "Secret")} | {
        ("ClusterRole", "")
    }
    assert [hook["metadata"]["annotations"]["helm.sh/hook"] for hook in plan.hooks] == ["pre-upgrade"]
    assert plan.stable
    data = {item["kind"]: item.get("data") for item in plan.objects}
    assert data["ConfigMap"] == {"version": "2.0.0", "window": "12:30", "note": "kept"}
    secret = next(item for item in plan.objects if item["kind"] == "Secret")
    assert secret["stringData"] == {"key": SECRET}
    assert (pinned.name, pinned.version, pinned.path.suffix) == ("gw", "2.0.0", ".tgz")
    assert len(release.history()) == 1


def test_the_definitions_are_those_that_helm_would_install(bench: Bench) -> None:
    """Several a file, files without a separator, a subchart that is on, and one that is off."""
    one = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: NAME.x}"
    source = chart(bench.folder / "2", "2.0.0")
    for name in ("front", "spare"):
        (source / f"charts/{name}/crds").mkdir(parents=True)
        (source / f"charts/{name}/Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: 1.0.0\n")
        (source / f"charts/{name}/crds/one.yaml").write_text(one.replace("NAME", name))
    wanted = "[{name: front, version: 1.0.0}, {name: spare, version: 1.0.0, condition: spare.enabled}]"
    (source / "Chart.yaml").write_text(CHART.format(version="2.0.0") + f"dependencies: {wanted}\n")
    (source / "values.yaml").write_text(VALUES + "spare: {enabled: false}\n")
    (source / "crds").mkdir()
    (source / "crds/two.yaml").write_text("\n---\n".join(one.replace("NAME", name) for name in ("a", "b")))
    (source / "crds/three.yaml").write_text(one.replace("NAME", "c"))
    release = bench.release(source)

    found = release.crds(release.pull())

    command = [bench.program, "template", "gw", str(source), "--include-crds"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    helms = [each for each in objects(said) if each["kind"] == "CustomResourceDefinition"]
    names = {each["metadata"]["name"] for each in found}
    assert names == {f"{name}.x" for name in ("a", "b", "c", "front")}
    assert names == {each["metadata"]["name"] for each in helms}


def test_a_random_template_is_told(bench: Bench) -> None:
    extra = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: dice}\ndata: {x: {{ randAlphaNum 9 }}}\n"
    release = bench.release(chart(bench.folder / "2", "2.0.0", extra=extra))

    assert not release.plan_upgrade(release.pull()).stable


def test_an_upgrade_and_the_way_back(bench: Bench) -> None:
    release = bench.release(chart(bench.folder / "2", "2.0.0"))

    up = release.start_upgrade(release.pull(), labels={"upgrader/run": "r-1"})
    until(lambda: not release.running(up))
    new, between = bench.image(), release.history()
    back = release.start_rollback(1, as_="back")
    until(lambda: not release.running(back))

    assert (release.exit_status(up), release.exit_status(back)) == (0, 0), release.output(back)
    assert [(each.number, each.status.value, each.chart) for each in between] == [
        (1, "superseded", "gw-1.0.0"),
        (2, "deployed", "gw-2.0.0"),
    ]
    assert (new, bench.image()) == ("2.0.0", "1.0.0")
    assert [each.status.value for each in release.history()] == ["superseded", "superseded", "deployed"]
    stored = bench.object("Secret", "sh.helm.release.v1.gw.v2")
    assert stored is not None
    assert stored["metadata"]["labels"]["upgrader/run"] == "r-1"
    assert {item["kind"] for item in release.rendered(2).objects} >= {"Deployment", "ClusterRole"}
    assert release.apply_method(1) == (
        "ssa" if "helm4" in str(bench.program) or release.version()[1] == "4" else "csa"
    )


def test_terminated_while_a_hook_runs_nothing_was_applied_and_nothing_is_locked(bench: Bench) -> None:
    """E1, E12, E20: SIGTERM is the clean abort."""
    release, process = bench.start("2.0.0", "pre-upgrade")

    asked = time.monotonic()
    release.stop(process)
    until(lambda: not release.running(process), seconds=10)
    took = time.monotonic() - asked

    assert took < 5
    assert release.exit_status(process) == 1
    assert release.history()[-1].status is ReleaseStatus.FAILED
    assert bench.image() == "1.0.0"


def test_killed_before_anything_was_applied_a_rollback_takes_the_lock_off(bench: Bench) -> None:
    """E2, E4: nothing of the new revision is in the cluster, and Helm goes on from there."""
    release, process = bench.start("2.0.0", "pre-upgrade")
    release.kill(process)
    until(lambda: not release.running(process))
    locked, image = release.history()[-1].status, bench.image()

    back = release.start_rollback(1, as_="back")
    until(lambda: not release.running(back))

    assert (locked, image) == (ReleaseStatus.PENDING_UPGRADE, "1.0.0")
    assert release.exit_status(back) == 0, release.output(back)
    assert bench.image() == "1.0.0"
    again = bench.release(chart(bench.folder / "3", "3.0.0"), run_folder=bench.folder / "again")
    up = again.start_upgrade(again.pull(), labels={})
    until(lambda: not again.running(up))
    assert again.exit_status(up) == 0, again.output(up)


def test_killed_after_it_was_applied_a_rollback_brings_all_back(bench: Bench) -> None:
    """E2, E4: Helm's rollback ignores the lock."""
    release, process = bench.start("2.0.0", "post-upgrade")
    release.kill(process)
    until(lambda: not release.running(process))
    locked, image = release.history()[-1].status, bench.image()

    back = release.start_rollback(1, as_="back")
    until(lambda: not release.running(back))

    assert (locked, image) == (ReleaseStatus.PENDING_UPGRADE, "2.0.0")
    assert release.exit_status(back) == 0, release.output(back)
    assert bench.image() == "1.0.0"
    assert release.history()[-1].status is ReleaseStatus.DEPLOYED


def test_a_signalled_rollback_stays_locked_and_we_never_signal_one(bench: Bench) -> None:
    """E6. Hooks of a rollback are the target revision's."""
    first = bench.release(chart(bench.folder / "2", "2.0.0", hook="pre-rollback"))
    up = first.start_upgrade(first.pull(), labels={})
    until(lambda: not first.running(up))
    release = bench.release(chart(bench.folder / "3", "3.0.0"), run_folder=bench.folder / "second")
    up = release.start_upgrade(release.pull(), labels={})
    until(lambda: not release.running(up))
    back = release.start_rollback(2, as_="back")
    until(lambda: bench.object("Job", "hold", "batch/v1"))

    with pytest.raises(ValueError, match="never be signalled"):
        release.stop(back)
    with pytest.raises(ValueError, match="never be signalled"):
        release.kill(back)
    still = release.running(back)
    os.kill(back.pid, signal.SIGTERM)
    until(lambda: not release.running(back))

    assert still
    assert release.history()[-1].status is ReleaseStatus.PENDING_ROLLBACK
    again = release.start_rollback(1, as_="back")
    until(lambda: not release.running(again))
    assert release.exit_status(again) == 0, release.output(again)
    assert bench.image() == "1.0.0"


def test_another_run_finds_what_still_runs(bench: Bench) -> None:
    """The orchestrator died before it wrote the process down."""
    release, process = bench.start("2.0.0", "pre-upgrade")
    successor = bench.release(bench.folder / "2.0.0")

    found = successor.find()
    alive = [successor.running(each) for each in found]
    stranger = successor.running(replace(process, started=process.started + 1))
    successor.stop(found[0])
    until(lambda: not release.running(process))

    assert found == (process,)
    assert alive == [True]
    assert not stranger
    assert successor.find() == ()


def test_our_ownership_makes_a_rollback_fail_until_it_is_dropped(bench: Bench) -> None:
    """Helm 4 applies server-side: 5a of the lab's findings. Helm 3 overwrites."""
    release = bench.release(chart(bench.folder / "2", "2.0.0"))
    up = release.start_upgrade(release.pull(), labels={})
    until(lambda: not release.running(up))
    proxy = Ref("apps/v1", "Deployment", bench.namespace, "proxy")
    bench.kube.patch(proxy, {"spec": {"paused": True, "strategy": {"rollingUpdate": {"maxSurge": 1}}}})

    clash = release.start_rollback(1, as_="back")
    until(lambda: not release.running(clash))
    failed, words = release.exit_status(clash), release.output(clash)
    dropped = bench.kube.drop_ownership(proxy)
    back = release.start_rollback(1, as_="back")
    until(lambda: not release.running(back))

    assert failed == (1 if release.apply_method(1) == "ssa" else 0)
    assert ("maxSurge" in words) == bool(failed)
    assert dropped
    assert release.exit_status(back) == 0, release.output(back)
    live = bench.kube.get(proxy)
    assert live is not None
    assert live["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == "25%"
    assert live["spec"]["paused"] is True
    assert bench.image() == "1.0.0"


def test_the_plan_goes_through_admission_by_our_own_dry_run(bench: Bench) -> None:
    """Helm's own dry run asks no admission: E14."""
    release = bench.release(chart(bench.folder / "2", "2.0.0"))
    plan = release.plan_upgrade(release.pull())

    answers = [bench.kube.apply(item, manager="helm", dry_run=True, force=True) for item in plan.objects]

    assert not [answer for answer in answers if isinstance(answer, Denied)]
    assert bench.image() == "1.0.0"


def test_no_secret_is_seen_anywhere(bench: Bench) -> None:
    release, process = bench.start("2.0.0", "post-upgrade")

    arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    environment = Path(f"/proc/{process.pid}/environ").read_bytes()
    release.stop(process)
    until(lambda: not release.running(process))

    assert b"4711" not in arguments
    assert b"4711" not in environment
    assert b"HELM_NO_PLUGINS=1" in environment
    assert "4711" not in release.output(process)
    assert "4711" not in release.upgrade_command(release.pull())
    holders = [
        path for path in (bench.folder / "run").rglob("*") if path.is_file() and b"4711" in path.read_bytes()
    ]
    assert [path.name for path in holders] == ["secrets.json"]
    assert holders[0].stat().st_mode & 0o777 == 0o600
    assert holders[0].parent.stat().st_mode & 0o777 == 0o700
    release.forget_values()
    assert not holders[0].exists()


def test_a_release_that_is_not_there_has_no_history(bench: Bench) -> None:
    release = bench.release(bench.folder / "1.0.0")
    absent = HelmRelease(
        replace(release._target, place=Place("nobody", bench.namespace, KUBECONFIG)),
        helm=bench.helm(replace(release._target, place=Place("nobody", bench.namespace, KUBECONFIG))),
        scope=bench.kube.is_namespaced,
    )

    assert absent.history() == ()


def test_an_unreachable_api_server_is_no_empty_history(bench: Bench, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.kubeconfig"
    text = "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:9'}}]\n"
    wrong.write_text(
        text
        + "contexts: [{name: x, context: {cluster: c, user: u}}]\nusers: [{name: u}]\ncurrent-context: x\n"
    )
    release = bench.release(bench.folder / "1.0.0", place=Place("gw", bench.namespace, str(wrong)))

    with pytest.raises(ProgramFailed):
        release.history()


def test_a_pinned_chart_is_the_same_for_ever(bench: Bench) -> None:
    source = chart(bench.folder / "2", "2.0.0")
    first = bench.release(source).pull()
    (source / "values.yaml").write_text("replicas: 99\n")

    again: Chart = bench.release(source).pull()
    first.path.write_bytes(b"other")

    assert again == first
    with pytest.raises(Refused, match="pinned"):
        bench.release(source).pull()


@pytest.fixture
def repository(bench: Bench) -> Iterator[str]:
    """A chart repository on loopback, with the chart in version 2.0.0."""
    folder = bench.folder / "repository"
    call = [bench.program, "package", str(chart(bench.folder / "2", "2.0.0")), "--destination", str(folder)]
    subprocess.run(call, check=True, capture_output=True, timeout=60)
    subprocess.run([bench.program, "repo", "index", str(folder)], check=True, capture_output=True, timeout=60)
    serve = partial(QuietFiles, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietFiles(SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, format: str, *args: object) -> None: ...


def test_a_chart_is_pulled_from_a_repository(bench: Bench, repository: str) -> None:
    by_name = bench.release(f"{repository}/gw", chart_version="2.0.0")
    by_file = bench.release(f"{repository}/gw-2.0.0.tgz", run_folder=bench.folder / "other")

    first, second = by_name.pull(), by_file.pull()

    assert (first.name, first.version, first.digest) == ("gw", "2.0.0", second.digest)
    with pytest.raises(ProgramFailed, match="pull"):
        bench.release(
            f"{repository}/gw",
            chart_version="9.9.9",
            run_folder=bench.folder / "third",
        ).pull()


def test_a_chart_is_pulled_from_a_repository_the_operator_added(
    bench: Bench, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Helm's home is private to the run; the operator's list of repositories is read all the same."""
    monkeypatch.setenv("HELM_CONFIG_HOME", str(bench.folder / "operator"))
    monkeypatch.setenv("HELM_CACHE_HOME", str(bench.folder / "operator"))
    add = [bench.program, "repo", "add", "mine", repository]
    subprocess.run(add, check=True, capture_output=True, timeout=60)

    pinned = bench.release("mine/gw", chart_version="2.0.0").pull()

    assert (pinned.name, pinned.version) == ("gw", "2.0.0")
