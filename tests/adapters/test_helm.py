"""How helm is called; what it answers is tested against the real one (``tests/e2e``)."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.scripted_helm import HELP3, HELP4, HELP312, ScriptedHelm, helm_answers, history
from tests.adapters.test_helm_archive import tgz
from upgrader.adapters.helm import HelmRelease, Target
from upgrader.adapters.helm_local import Serving
from upgrader.adapters.helm_program import HelmProgram, Place
from upgrader.adapters.helm_values import Values
from upgrader.adapters.redaction import Redactor
from upgrader.adapters.shell import Output
from upgrader.errors import ProgramFailed, Refused
from upgrader.model.ports import Chart, Process, ReleaseStatus

CHART = Chart(Path("/run/chart/gw-2.0.0.tgz"), "gw", "2.0.0", "sha256:1")
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/home/op",
    "KUBECONFIG": "/elsewhere",
    "HELM_NAMESPACE": "wrong",
    "HELM_DEBUG": "1",
    "HELM_DRIVER": "configmap",
    "AWS_PROFILE": "edge",
    "LICENCE": "l-4711-secret",
}


def program(
    shell: ScriptedHelm, folder: Path, *, kubeconfig: str = "/kube/config", context: str = "prod"
) -> HelmProgram:
    return HelmProgram(
        Place("edge", "gw", kubeconfig, context),
        shell=shell,
        home=folder / "helm",
        redactor=Redactor(),
        inherited=ENVIRONMENT,
        hidden=("LICENCE",),
        program="true",
        pause=lambda _: None,
    )


def release(shell: ScriptedHelm, folder: Path, **more: Any) -> HelmRelease:
    helm = program(shell, folder)
    values = Values((), {"global.licence": "LICENCE"})
    target = Target(helm.place, folder, "charts/gw", values=values, **more)
    return HelmRelease(target, helm=helm, scope=lambda *_: True)


def helm4(**more: Any) -> ScriptedHelm:
    answers = {
        "history": history("superseded", "deployed"),
        "get values": "null",
        "get metadata": '{"applyMethod": "ssa"}',
    }
    return ScriptedHelm(helm_answers(HELP4, "v4.3.1", **(answers | more)))


def helm3(text: str = HELP3, **more: Any) -> ScriptedHelm:
    answers = {"history": history("superseded", "deployed"), "get values": '{"a": 1}'}
    return ScriptedHelm(helm_answers(text, "v3.22.0", **(answers | more)))


NEVER = (
    "--atomic",
    "--rollback-on-failure",
    "--reuse-values",
    "--force",
    "--install",
    "--cleanup-on-fail",
    "--set",
)


@pytest.mark.parametrize("make", [helm4, helm3], ids=["helm 4", "helm 3"])
@pytest.mark.parametrize("act", ["upgrade", "rollback", "plan"])
def test_what_is_never_asked_of_helm(make: Any, act: str, tmp_path: Path) -> None:
    shell = make(upgrade=json.dumps({"manifest": "", "hooks": []}))
    edge = release(shell, tmp_path)

    if act == "upgrade":
        edge.start_upgrade(CHART, labels={"upgrader/run": "r-1"})
    elif act == "rollback":
        edge.start_rollback(1, as_="back")
    else:
        edge.plan_upgrade(CHART)

    for call in shell.calls:
        assert not [word for word in call.argv for bad in NEVER if word.startswith(bad)]
        assert "--wait" not in call.argv
        assert not [word for word in call.argv if "4711" in word]


def test_an_upgrade_by_helm_4(tmp_path: Path) -> None:
    shell = helm4()

    process = release(shell, tmp_path).start_upgrade(CHART, labels={"upgrader/run": "r-1"})

    values = tmp_path / "values"
    assert shell.words() == [
        *("upgrade", "edge", "/run/chart/gw-2.0.0.tgz", "--reset-values"),
        *("--values", f"{values}/known-good.json", "--values", f"{values}/secrets.json"),
        *("--timeout", "300s", "--history-max", "20"),
        *("--server-side=auto", "--wait=hookOnly", "--hide-notes", "--labels", "upgrader/run=r-1"),
        *("--kubeconfig", "/kube/config", "--kube-context", "prod", "--namespace", "gw"),
    ]
    assert process.log == str(tmp_path / "helm-output" / "001-forward-upgrade.log")
    assert (values / "known-good.json").read_text() == "{}"


def test_an_upgrade_by_helm_3_has_only_flags_it_knows(tmp_path: Path) -> None:
    shell = helm3()

    release(shell, tmp_path).start_upgrade(CHART, labels={"upgrader/run": "r-1"})

    assert not [
        word for word in shell.words() if word.startswith(("--server-side", "--wait", "--hide-notes"))
    ]
    assert "upgrader/run=r-1" in shell.words()


def test_an_installation_beside_is_without_definitions_and_takes_over_a_kept_name(tmp_path: Path) -> None:
    """Values come from the release it stands beside; the place may hold the records of a retired version."""
    shell = helm4(**{"get values": '{"replicas": 3}'})
    origin = release(shell, tmp_path)

    process = release(shell, tmp_path / "beside", origin=origin).start_install(CHART, labels={"a": "b"})

    values = tmp_path / "beside" / "values"
    assert shell.words() == [
        *("install", "edge", "/run/chart/gw-2.0.0.tgz", "--create-namespace", "--skip-crds", "--replace"),
        *("--values", f"{values}/known-good.json", "--values", f"{values}/secrets.json"),
        *("--timeout", "300s", "--wait=hookOnly", "--hide-notes", "--labels", "a=b"),
        *("--kubeconfig", "/kube/config", "--kube-context", "prod", "--namespace", "gw"),
    ]
    assert process.log.endswith("001-forward-install.log")
    assert json.loads((values / "known-good.json").read_text()) == {"replicas": 3}


ROUTES = """
kind: CustomResourceDefinition
metadata: {name: routes.edge.dev}
spec:
  group: edge.dev
  scope: Cluster
  names: {kind: Route, plural: routes}
  versions: [{name: v1, served: true, storage: true}, {name: v0, served: false}]
"""
TEMPLATED = """---
# Source: gw/templates/all.yaml
apiVersion: edge.dev/v1
kind: Route
metadata: {name: all}
---
# Source: gw/templates/proxy.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: proxy}
---
# Source: gw/templates/check.yaml
apiVersion: batch/v1
kind: Job
metadata:
  name: check
  annotations: {helm.sh/hook: post-install}
"""


def beside(shell: ScriptedHelm, folder: Path, *, served: bool) -> tuple[HelmRelease, Chart]:
    """Return a release whose chart brings a kind that is served, or not yet."""
    pinned = replace(CHART, path=folder / "gw.tgz")
    pinned.path.write_bytes(tgz({"Chart.yaml": "name: gw", "crds/routes.yaml": ROUTES}))
    helm = program(shell, folder)
    target = Target(helm.place, folder, "charts/gw", values=Values((), {"global.licence": "LICENCE"}))

    def scope(api_version: str, kind: str) -> bool | None:
        return {"Route": False if served else None}.get(kind, True)

    serving = Serving("v1.37.2", ("v1", "v1/Pod"))
    return HelmRelease(target, helm=helm, scope=scope, serving=lambda: serving), pinned


@pytest.mark.parametrize("make", [helm4, helm3], ids=["helm 4", "helm 3"])
def test_an_installation_of_kinds_that_its_definitions_bring_is_rendered_as_if_they_were_served(
    make: Any, tmp_path: Path
) -> None:
    """Helm's own dry run answers "no matches for kind" of them, at once and for all."""
    shell = make(template=TEMPLATED)
    edge, pinned = beside(shell, tmp_path, served=False)

    planned = edge.plan_install(pinned)

    places = [(one["kind"], one["metadata"].get("namespace")) for one in planned.objects]
    assert places == [("Route", None), ("Deployment", "gw")]
    assert [one["metadata"]["name"] for one in planned.hooks] == ["check"]
    assert planned.stable
    values = tmp_path / "values"
    assert shell.words() == [
        *("template", "edge", str(pinned.path)),
        *("--values", f"{values}/known-good.json", "--values", f"{values}/secrets.json"),
        *("--kube-version", "v1.37.2"),
        *("--api-versions", "edge.dev/v1", "--api-versions", "edge.dev/v1/Route"),
        *("--api-versions", "v1", "--api-versions", "v1/Pod"),
        *("--kubeconfig", "/kube/config", "--kube-context", "prod", "--namespace", "gw"),
    ]


def test_an_installation_whose_kinds_are_served_is_rendered_by_the_api_server(tmp_path: Path) -> None:
    shell = helm4(install=json.dumps({"manifest": TEMPLATED, "hooks": []}))
    edge, pinned = beside(shell, tmp_path, served=True)

    edge.plan_install(pinned)

    assert shell.words()[0] == "install"
    assert "--dry-run=server" in shell.words()


def test_what_helm_template_prints_in_place_of_yaml_is_helms_failure(tmp_path: Path) -> None:
    edge, pinned = beside(helm4(template="WARNING: {{"), tmp_path, served=False)

    with pytest.raises(ProgramFailed, match="where Helm's own answer belongs"):
        edge.plan_install(pinned)


def test_a_namespace_that_is_there_is_not_made(tmp_path: Path) -> None:
    """Helm would ask for the right to make one, and fail where a team has rights in its namespaces alone."""
    shell = helm4()

    release(shell, tmp_path, makes_namespace=False).start_install(CHART, labels={})

    assert "--create-namespace" not in shell.words()


@pytest.mark.parametrize("keeps", [True, False])
def test_what_is_uninstalled_keeps_its_records_where_it_may_come_back(keeps: bool, tmp_path: Path) -> None:
    shell = helm4()

    process = release(shell, tmp_path).start_uninstall(as_="forward", keep_history=keeps)

    assert shell.words()[:2] == ["uninstall", "edge"]
    assert ("--keep-history" in shell.words()) is keeps
    assert process.log.endswith("001-forward-uninstall.log")


def test_the_definitions_are_those_of_subcharts_that_the_values_enable_read_once(tmp_path: Path) -> None:
    kind = "kind: CustomResourceDefinition\nmetadata: {name: NAME}"
    files = {
        "Chart.yaml": "name: gw\ndependencies: [{name: inner, condition: inner.on}]",
        "values.yaml": "inner: {on: true}",
        "crds/a.yaml": kind.replace("NAME", "a"),
        "charts/inner/Chart.yaml": "name: inner",
        "charts/inner/crds/i.yaml": kind.replace("NAME", "i"),
    }
    pinned = replace(CHART, path=tmp_path / "gw.tgz")
    pinned.path.write_bytes(tgz(files))
    off = release(helm4(**{"get values": '{"inner": {"on": false}}'}), tmp_path / "off")
    on = release(helm4(), tmp_path / "on")

    found = [[one["metadata"]["name"] for one in each.crds(pinned)] for each in (off, on)]
    pinned.path.unlink()

    assert found == [["a"], ["a", "i"]]
    assert len(on.crds(pinned)) == 2


def test_keys_that_the_chart_does_not_know_are_told_by_where_they_come_from(tmp_path: Path) -> None:
    pinned = replace(CHART, path=tmp_path / "gw.tgz")
    pinned.path.write_bytes(tgz({"Chart.yaml": "name: gw", "values.yaml": "replicas: 1\nglobal: {}"}))
    good = release(helm4(**{"get values": '{"replicas": 2, "replica": 3}'}), tmp_path / "run")

    found = good.unknown_values(pinned)

    assert found == {"the known-good revision's values": ("replica",), "values.env": ()}


def test_helm_3_12_has_no_labels_and_an_old_dry_run(tmp_path: Path) -> None:
    shell = helm3(HELP312, upgrade=json.dumps({"manifest": "", "hooks": []}))
    edge = release(shell, tmp_path)

    edge.plan_upgrade(CHART)
    planned = shell.words()
    edge.start_upgrade(CHART, labels={"upgrader/run": "r-1"})

    assert "--dry-run" in planned
    assert "--labels" not in shell.words()


def test_a_rollback_by_helm_4(tmp_path: Path) -> None:
    shell = helm4()

    process = release(shell, tmp_path).start_rollback(1, as_="back")

    assert shell.words() == [
        *("rollback", "edge", "1", "--timeout", "300s", "--history-max", "20"),
        *("--server-side=auto", "--wait=hookOnly"),
        *("--kubeconfig", "/kube/config", "--kube-context", "prod", "--namespace", "gw"),
    ]
    assert process.log.endswith("001-back-rollback.log")


@pytest.mark.parametrize(("method", "forced"), [("ssa", True), ("csa", False), ("", False)])
def test_conflicts_are_forced_only_where_asked_and_where_helm_takes_it(
    method: str, forced: bool, tmp_path: Path
) -> None:
    """On a client-side revision Helm 4 fails before it touches anything."""
    shell = helm4(**{"get metadata": json.dumps({"applyMethod": method})})

    release(shell, tmp_path, force_conflicts=True).start_rollback(1, as_="back")

    assert ("--force-conflicts" in shell.words()) == forced


def test_history_is_never_pruned_by_us(tmp_path: Path) -> None:
    """The known-good revision may be the oldest of thirty."""
    shell = helm4(history=history(*["superseded"] * 29, "deployed"))

    release(shell, tmp_path).start_rollback(1, as_="back")

    words = shell.words()
    assert words[words.index("--history-max") + 1] == "31"


def test_a_rollback_names_its_revision(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="names its revision"):
        release(helm4(), tmp_path).start_rollback(0, as_="back")


def test_an_upgrade_is_stopped_and_killed_and_a_rollback_is_not(tmp_path: Path) -> None:
    shell = helm4()
    edge = release(shell, tmp_path)
    up, back = edge.start_upgrade(CHART, labels={}), edge.start_rollback(1, as_="back")

    edge.stop(up)
    edge.kill(up)
    for act in (edge.stop, edge.kill):
        with pytest.raises(ValueError, match="never be signalled"):
            act(back)

    assert shell.signals == [(up, signal.SIGTERM, False), (up, signal.SIGKILL, True)]


def test_helm_gets_a_private_home_and_no_secret(tmp_path: Path) -> None:
    environment = program(helm4(), tmp_path).environment

    assert environment == {
        "PATH": "/usr/bin:/bin",
        "HOME": "/home/op",
        "AWS_PROFILE": "edge",
        "HELM_DRIVER": "configmap",
        "HELM_NO_PLUGINS": "1",
        "HELM_CACHE_HOME": f"{tmp_path}/helm/cache",
        "HELM_CONFIG_HOME": f"{tmp_path}/helm/config",
        "HELM_DATA_HOME": f"{tmp_path}/helm/data",
    }


def test_several_kubeconfigs_go_by_the_environment(tmp_path: Path) -> None:
    """``--kubeconfig`` takes one file only."""
    helm = program(helm4(), tmp_path, kubeconfig="/a:/b")

    assert helm.environment["KUBECONFIG"] == "/a:/b"
    assert "--kubeconfig" not in helm.command(["history"]).argv


@pytest.mark.parametrize(
    ("text", "fit"),
    [
        ("v4.3.1", True),
        ("v4.3", True),
        ("v3.12.0", True),
        ("v3.11.9", False),
        ("v2.17.0", False),
        ("", False),
    ],
)
def test_too_old_a_helm_is_refused(text: str, fit: bool, tmp_path: Path) -> None:
    helm = program(ScriptedHelm(helm_answers(HELP4, text)), tmp_path)

    if fit:
        assert helm.version == text
    else:
        with pytest.raises(Refused, match=r"3\.12|version is"):
            _ = helm.version


def test_an_absent_helm_is_refused(tmp_path: Path) -> None:
    helm = HelmProgram(
        Place("edge", "gw"),
        shell=helm4(),
        home=tmp_path,
        redactor=Redactor(),
        inherited=ENVIRONMENT,
        program="no-such-helm",
    )

    with pytest.raises(Refused, match="no-such-helm"):
        _ = helm.version


def test_history_is_sorted_and_unknown_statuses_are_no_reason_to_fall(tmp_path: Path) -> None:
    rows = [
        {"revision": 2, "status": "brand-new-status", "chart": "gw-2"},
        {"revision": 1, "status": "deployed", "chart": "gw-1"},
    ]

    revisions = release(helm4(history=json.dumps(rows)), tmp_path).history()

    assert [(each.number, each.status) for each in revisions] == [
        (1, ReleaseStatus.DEPLOYED),
        (2, ReleaseStatus.UNKNOWN),
    ]


def test_no_history_is_told_from_a_failure(tmp_path: Path) -> None:
    failure = Output(1, "", "Error: something")
    absent = release(helm4(history=failure, **{"list --filter": "[]"}), tmp_path)
    broken = release(helm4(history=failure, **{"list --filter": '[{"name": "edge"}]'}), tmp_path)

    assert absent.history() == ()
    with pytest.raises(ProgramFailed, match="Error: something"):
        broken.history()


def test_helm_3_lists_pending_releases_only_if_asked(tmp_path: Path) -> None:
    shell = helm3(history=Output(1, "", "no"), **{"list --filter": "[]"})

    release(shell, tmp_path).history()

    assert shell.words()[:5] == ["list", "--filter", "^edge$", "--all", "--output"]


def test_a_failure_tells_helms_words_without_secrets(tmp_path: Path) -> None:
    failure = Output(1, "", "Error: value l-4711-secret (bC00NzExLXNlY3JldA==) is bad")
    edge = release(helm4(**{"get manifest": failure}), tmp_path)

    with pytest.raises(ProgramFailed) as failed:
        edge.rendered(2)

    assert failed.value.exit_status == 1
    assert failed.value.output == "Error: value *** (***) is bad"


ASKED: dict[str, tuple[str, Callable[[HelmRelease], object]]] = {
    "history": ("history edge --max 10000 --output json", lambda edge: edge.history()),
    "get manifest": ("get manifest edge --revision 2", lambda edge: edge.rendered(2)),
    "get metadata": ("get metadata edge --revision 2 --output json", lambda edge: edge.apply_method(2)),
    "get values": (
        "get values edge --revision 2 --output json",
        lambda edge: edge.start_upgrade(CHART, labels={}),
    ),
    "upgrade edge": ("upgrade edge /run/chart/gw-2.0.0.tgz", lambda edge: edge.plan_upgrade(CHART)),
}
PRINTED = {
    "words": ("Welcome, l-4711-secret!\n[]", "what begins with 'Welcome, ***!'"),
    "another kind of value": ('"fine"', "what begins with '\"fine\"'"),
    "words behind": ('{"licence": "hunter2"} bye: [', "something else"),
}


@pytest.mark.parametrize(("printed", "told"), PRINTED.values(), ids=PRINTED)
@pytest.mark.parametrize("call", ASKED)
def test_a_helm_that_says_something_else_is_told_with_what_was_asked(
    call: str, printed: str, told: str, tmp_path: Path
) -> None:
    """A wrapper on PATH that ends well with its own words: no traceback, and no value in what is shown."""
    asked, act = ASKED[call]
    edge = release(helm4(**{"get hooks": "", call: printed}), tmp_path)

    with pytest.raises(ProgramFailed) as failed:
        act(edge)

    assert f"`helm {asked}" in failed.value.what
    assert told in failed.value.what
    assert "hunter2" not in str(failed.value)
    assert "wrapper" in failed.value.remedy


@pytest.mark.parametrize("call", ["history", "get metadata", "get values", "upgrade edge"])
def test_a_helm_that_says_nothing_is_told_as_such(call: str, tmp_path: Path) -> None:
    with pytest.raises(ProgramFailed, match="printed nothing where Helm's own answer belongs"):
        ASKED[call][1](release(helm4(**{call: ""}), tmp_path))


def test_no_history_is_not_concluded_from_words(tmp_path: Path) -> None:
    edge = release(helm4(history=Output(1, "", "Error"), **{"list --filter": "no releases"}), tmp_path)

    with pytest.raises(ProgramFailed, match="`helm list --filter"):
        edge.history()


def test_what_helm_prints_is_shown_without_secrets(tmp_path: Path) -> None:
    """Also those of Secrets that were rendered, whoever chose them."""
    manifest = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {p: aHVudGVyMg==}\n"
    shell = helm4(upgrade=json.dumps({"manifest": manifest}))
    shell.tails = "password hunter2 (aHVudGVyMg==), licence l-4711-secret"
    edge = release(shell, tmp_path)

    edge.plan_upgrade(CHART)

    assert edge.output(Process(1, 1)) == "password *** (***), licence ***"


def test_two_renderings_that_differ_are_unstable(tmp_path: Path) -> None:
    shell = helm4()
    texts = iter(["a", "b"])

    class Random(ScriptedHelm):
        def run(self, command: Any, *, deadline_seconds: float) -> Output:
            if "--dry-run=server" in command.argv:
                text = f"kind: ConfigMap\nmetadata: {{name: x}}\ndata: {{k: {next(texts)}}}\n"
                return Output(0, json.dumps({"manifest": text}), "")
            return super().run(command, deadline_seconds=deadline_seconds)

    plan = release(Random(shell.answers), tmp_path).plan_upgrade(CHART)

    assert not plan.stable


def test_command_lines_can_be_pasted(tmp_path: Path) -> None:
    edge = release(helm4(), tmp_path)

    assert edge.rollback_command(1) == (
        "helm rollback edge 1 --timeout 300s --history-max 20 --server-side=auto --wait=hookOnly"
        " --kubeconfig /kube/config --kube-context prod --namespace gw"
    )
    assert edge.upgrade_command(CHART).startswith("helm upgrade edge /run/chart/gw-2.0.0.tgz --reset-values")


def test_a_release_without_a_good_revision_has_no_values_to_reuse(tmp_path: Path) -> None:
    edge = release(helm4(history=history("failed")), tmp_path)

    with pytest.raises(Refused, match="no deployed revision"):
        edge.start_upgrade(CHART, labels={})


def test_what_was_started_in_a_role_is_told_by_the_last_log(tmp_path: Path) -> None:
    """Ten starts and more: the tenth comes after the second."""
    edge = release(helm4(), tmp_path)
    for _ in range(11):
        last = edge.start_rollback(1, as_="back")

    assert edge.started("forward") is None
    assert edge.started("back") == Process(0, 0, last.log)
