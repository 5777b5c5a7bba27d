"""The shipped playbooks, planned in the lab: the groups, steps and batches they run, and what checks say.

Istio's gateway is its real chart; the others are a stand-in with that gateway's names, labels, ports, drain
and hooks. Taken out are the signals that a stand-in or a room cannot answer: counters, and probes that must
be shut. Google's and AWS's API are the lab's imitations, before the real front balancer.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import standins
from upgrader.lab.room import Room

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
PLAYBOOKS = ROOT / "playbooks"
CONTEXT = "lab"
SECRETS = {"LICENSE_KEY": "a-license", "API_KEY": "a-key"}
GCP, AWS = "127.0.0.1:9910", "127.0.0.1:9920"
FRONT = {
    "upgrader.lab.front": "--namespace gloo-system --service gateway-proxy --green gloo-green/gateway-proxy "
    "--port 8080",
    "upgrader.lab.clouds.gcp": f"--front http://127.0.0.1:9901 --listen {GCP} --project acme --delay 1",
    "upgrader.lab.clouds.aws": f"--front http://127.0.0.1:9901 --listen {AWS} --kind network --delay 1",
}
BALANCERS: Mapping[str, Mapping[str, str]] = {
    "gcp_neg": {"backend_service": "gateways", "endpoint": f"http://{GCP}"},
    "aws_target_group": {"target_group": "gateways", "endpoint": f"http://{AWS}"},
}
"""What the imitated clouds call things."""
IMAGES: Mapping[str, Any] = {
    "": {"run": "standin"},
    # Istio's injection would give the pod its ports; here nothing is injected.
    "auto": {"run": "standin", "env": {"UPGRADER_LAB_PORTS": "80,443,15021"}},
}
Plans = Mapping[str, tuple[int, Mapping[str, Any]]]
"""Exit status and plan, by playbook."""
AWS_LOGIN = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab"}


def shipped(file: str) -> dict[str, Any]:
    """Return a playbook as it ships."""
    found: dict[str, Any] = yaml.safe_load((PLAYBOOKS / f"{file}.yaml").read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True)
class Installed:
    """A gateway in the room.

    Args:
        file: Its playbook's name.
        values: Of the stand-in; empty for Istio's own chart.
        makes: What its controller makes beside the release.
    """

    file: str
    values: standins.Values
    makes: standins.Values | None = None

    @property
    def release(self) -> dict[str, Any]:
        found: dict[str, Any] = shipped(self.file)["releases"][0]
        return found


GATEWAYS = (
    Installed("gloo-edge-gke", standins.GLOO),
    Installed("envoy-gateway", standins.ENVOY_GATEWAY, standins.ENVOY_GATEWAY_MAKES),
    Installed("istio-gateway", {}),
    Installed("ingress-nginx", standins.INGRESS_NGINX),
    Installed("kong", standins.KONG),
    Installed("traefik", standins.TRAEFIK),
)


@dataclass(frozen=True)
class Lab:
    """A room in which all gateways run in their old version."""

    room: Room
    folder: Path

    def chart(self, gateway: Installed, versions: Sequence[str]) -> str:
        source = standins.CHART if gateway.values else standins.istio_gateway()
        return standins.chart(self.folder / gateway.file, versions, source=source)

    def install(self, gateway: Installed) -> None:
        release = gateway.release
        versions = [release["chart"]["from"], release["chart"]["to"]]
        chart = self.chart(gateway, versions).format(version=versions[0])
        values = self.values(gateway, gateway.values) if gateway.values else self.own_values(gateway)
        where = ["--namespace", release["namespace"]]
        self.room.run(
            [
                "helm",
                "install",
                release["name"],
                chart,
                *where,
                "--create-namespace",
                "--values",
                str(values),
            ],
            timeout_seconds=100,
        )
        if gateway.makes:
            made = self.values(gateway, gateway.makes, name="made")
            text = self.room.run(["helm", "template", "made", chart, *where, "--values", str(made)]).stdout
            self.room.run(["kubectl", "apply", *where, "--filename", "-"], input=text)

    def values(self, gateway: Installed, values: standins.Values, *, name: str = "values") -> Path:
        file = self.folder / f"{gateway.file}-{name}.json"
        file.write_text(json.dumps(values))
        return file

    def own_values(self, gateway: Installed) -> Path:
        (name,) = gateway.release["values"]["files"]
        return PLAYBOOKS / str(name)

    def settle(self, gateway: Installed) -> None:
        where = ["--namespace", gateway.release["namespace"]]
        command = ["kubectl", "rollout", "status", "deployment", "--timeout=60s", *where]
        self.room.run(command, timeout_seconds=70)

    def plan(self, file: str, **values: Any) -> tuple[int, dict[str, Any]]:
        """Plan a shipped playbook as the lab can have it; return the exit status and the plan.

        Args:
            file: The playbook's name.
            values: Of the stand-in's, those that the new version has otherwise.
        """
        wanted = shipped(file)
        name = wanted["releases"][0]["name"]
        gateway = next(one for one in GATEWAYS if one.release["name"] == name)
        changed = self.changed(wanted, gateway)
        if values:
            changed["releases"][0]["values"]["files"].append(self.values(gateway, values, name="new").name)
        playbook = self.folder / f"{file}{'-new' if values else ''}.yaml"
        playbook.write_text(yaml.safe_dump(changed, sort_keys=False))
        command = [sys.executable, "-P", "-m", "upgrader.cli", "plan", str(playbook)]
        environment = {"PYTHONPATH": str(ROOT), "UPGRADER_STATE": str(self.folder / "state"), **SECRETS}
        done = self.room.run(
            [*command, "--context", CONTEXT, "--output", "json"],
            environment=environment | AWS_LOGIN,
            timeout_seconds=60,
            check=False,
        )
        assert done.returncode in (0, 3), done.stderr
        plan: dict[str, Any] = json.loads(done.stdout)
        return done.returncode, plan

    def changed(self, playbook: dict[str, Any], gateway: Installed) -> dict[str, Any]:
        """Replace what is not in the room: the chart's place, the cloud's, and public names."""
        release = playbook["releases"][0]
        release["chart"]["ref"] = f"{self.folder / gateway.file}/{{version}}"
        if gateway.values:
            release["values"] = {"files": [f"{gateway.file}-values.json"]}
        else:
            release["values"]["files"] = [str(self.own_values(gateway))]
        door = self.door(release)
        probes = [one for one in playbook["signals"] if one.get("expect") == 200]
        playbook["signals"] = [
            {"kind": "rollout"},
            *({**one, "url": door, "bypass": door} for one in probes[:1]),
        ]
        for balancer in playbook.get("balancers", ()):
            balancer.update(BALANCERS[balancer["kind"]])
            if "green" in balancer:
                balancer["green"] = "gateways-green"
                playbook["strategy"]["green"]["values_files"] = []
                playbook["strategy"]["direct"] = {}
        return playbook

    def door(self, release: dict[str, Any]) -> str:
        """Return the ClusterIP of the Service in front of the proxies."""
        where = ["--namespace", release["namespace"]]
        command = ["kubectl", "get", "service", release["workloads"]["proxies"]["service"], *where]
        return f"http://{self.room.run([*command, '-o', 'jsonpath={.spec.clusterIP}']).stdout}/"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One room for all; every image in it is a stand-in."""
    with ExitStack() as stack:
        name = f"playbooks-{uuid.uuid4().hex[:8]}"
        room = stack.enter_context(Room.up(name, images=IMAGES))
        lab = Lab(room, tmp_path_factory.mktemp("playbooks"))
        with ThreadPoolExecutor(3) as together:
            list(together.map(lab.install, GATEWAYS))
        for program, words in FRONT.items():
            log = stack.enter_context((lab.folder / f"{program}.log").open("w"))
            command = [sys.executable, "-P", "-m", program, *words.split()]
            environment = {"PYTHONPATH": str(ROOT)}
            stack.enter_context(room.enter(command, environment=environment, folder=lab.folder, output=log))
        for gateway in GATEWAYS:
            lab.settle(gateway)
        yield lab


def steps(plan: Mapping[str, Any]) -> list[str]:
    """Return each step with what it makes new: ``roll proxies 1/4: 1 of 12``."""
    said = []
    for step in plan["steps"]:
        of, counts = step["settings"].get("of", {}), step["settings"].get("counts", {})
        made = ", ".join(f"{count} of {of[name]}" for name, count in counts.items())
        said.append(f"{step['id']}{f': {made}' if made else ''}")
    return said


GLOO_CONTROL = "roll control_plane: 1 of 1, 2 of 2, 2 of 2"
GLOO_BEFORE = ["freeze", "helm", GLOO_CONTROL, "roll ext_auth: 2 of 2", "roll rate_limit: 2 of 2"]
GLOO_SAID = {
    "pdb-missing": "the chart of 1.11 has none for proxies",
    "control-plane-one": "discovery, which the chart runs once",
    "pre-upgrade-hook": "certificates of the webhook, and the migration of custom resources",
}
THREE = ["roll proxies 1/2: 1 of 3", "roll proxies 2/2: 2 of 3"]
"""A quarter of three is one, as the first batch is; the last old pod goes with the thaw, after the bake."""
EXPECTED: Mapping[str, tuple[list[str], Mapping[str, str]]] = {
    "gloo-edge-gke": (
        [
            *GLOO_BEFORE,
            *("roll proxies 1/4: 1 of 12", "roll proxies 2/4: 2 of 12", "roll proxies 3/4: 6 of 12"),
            *("roll proxies 4/4: 11 of 12", "thaw"),
        ],
        GLOO_SAID,
    ),
    "gloo-edge-gke-canary": (
        ["install", *(f"shift {number}/6" for number in range(1, 7)), "retire"],
        GLOO_SAID
        | {
            "beside-not-asked": "`direct` is taken out: no DNS of the cluster in the room's own network",
            "beside-admission-unseen": "the run makes the namespace",
        },
    ),
    "gloo-edge-eks": (
        [
            *GLOO_BEFORE,
            *("roll proxies 1/3: 1 of 12", "roll proxies 2/3: 3 of 12", "roll proxies 3/3: 11 of 12", "thaw"),
        ],
        GLOO_SAID,
    ),
    "envoy-gateway": (
        ["freeze", "helm", "roll control_plane: 2 of 2", "settle", *THREE, "thaw"],
        {
            "readiness-off-path": "waived in the file",
            "drain-unknown": "preStop asks the shutdown manager, whose time no manifest has",
            "pdb-missing": "the EnvoyProxy resource makes one, if it says so",
            "pre-upgrade-hook": "certgen",
            "dependent-workload": "the controller makes the proxies",
        },
    ),
    "istio-gateway": (
        ["freeze", "helm", *THREE, "thaw"],
        {
            "hpa-blind": "the room has no metrics server",
            "hpa-growth": "the chart's autoscaler is on",
        },
    ),
    "ingress-nginx": (
        ["freeze", "helm", *THREE, "thaw"],
        {
            "drain-unknown": "/wait-shutdown, whose time no manifest has",
            "pre-upgrade-hook": "admission-create",
            "post-upgrade-hook": "admission-patch, declared safe in the file",
        },
    ),
    "kong": (
        ["freeze", "helm", "roll control_plane: 2 of 2", *THREE, "thaw"],
        {"readiness-off-path": "waived in the file"},
    ),
    "traefik": (["freeze", "helm", *THREE, "thaw"], {}),
}
"""Of each playbook: the steps, and each rule that speaks, with why it may."""


REFUSED = "gloo-edge-eks, with its rollout check"


@pytest.fixture(scope="module")
def plans(lab: Lab) -> Plans:
    """All plans, made side by side: most of their time is the wait between two looks of a signal."""
    check = {"gloo-resource-rollout-check": "post-install,post-upgrade"}
    with ThreadPoolExecutor(3) as together:
        asked = {file: together.submit(lab.plan, file) for file in EXPECTED}
        asked[REFUSED] = together.submit(lab.plan, "gloo-edge-eks", hooks=check)
        return {name: one.result() for name, one in asked.items()}


@pytest.mark.parametrize("file", EXPECTED)
def test_a_shipped_playbook_plans_its_groups_in_its_batches(plans: Plans, file: str) -> None:
    """Not refused, no step more or less, and not a finding that nobody can explain."""
    code, plan = plans[file]

    wanted, explained = EXPECTED[file]
    assert steps(plan) == wanted
    assert {one["rule"]: one["seen"] for one in plan["findings"]}.keys() == explained.keys(), plan["findings"]
    assert (code, plan["refused"]) == (0, False)


def test_the_canary_has_the_rungs_that_its_balancer_can_give(
    plans: Plans,
) -> None:
    _, plan = plans["gloo-edge-gke-canary"]

    rungs = [one["settings"]["new_ratio"] for one in plan["steps"] if one["kind"] == "shift_traffic"]
    assert rungs == [0.001, 0.01, 0.05, 0.25, 0.5, 1.0]


def test_a_rolling_upgrade_of_gloo_with_its_rollout_check_is_refused(
    plans: Plans,
) -> None:
    """The check waits for a Job that waits for a control plane that waits for Helm: values switch it off."""
    code, plan = plans[REFUSED]

    refusing = [one["rule"] for one in plan["findings"] if one["severity"] == "block"]
    assert (code, refusing) == (3, ["post-upgrade-hook"])
