"""Gateways in the lab: the stand-in chart's values for each, and Istio's own chart.

What stands here is what an upgrade goes by: names, labels, ports, readiness, drain and hooks, as the charts
have them with the values that ship beside the playbooks. Each constant names its source, read 2026-11.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.route_crds import module

CHART = Path(__file__).parent / "charts" / "gateway"
ISTIO = "istio.io/istio@v0.0.0-20260826214018-9739e10eb9d7"
"""A Go module whose package ``istio.io/istio/manifests`` is Istio's charts."""

Values = Mapping[str, Any]


def _deployment(labels: Values, *ports: int, replicas: int = 2, **more: Any) -> dict[str, Any]:
    pod = more.pop("pod", labels)
    return {"labels": labels, "podLabels": pod, "replicas": replicas, "ports": ports, **more}


def _asks(port: int, path: str) -> Values:
    return {"httpGet": {"port": port, "path": path}, "periodSeconds": 1}


def _runs(command: str) -> Values:
    return {"exec": {"command": ["/bin/sh", "-c", command]}}


def _gloo(name: str, **more: Any) -> dict[str, Any]:
    return _deployment({"app": "gloo", "gloo": name}, 9977, pod={"gloo": name}, **more)


_PROXY = {"gloo": "gateway-proxy", "gateway-proxy-id": "gateway-proxy"}
GLOO: Values = {
    "deployments": {
        "gloo": _gloo("gloo"),
        "gateway": _gloo("gateway"),
        "discovery": _gloo("discovery", replicas=1),
        "extauth": _gloo("extauth"),
        "rate-limit": _gloo("rate-limit"),
        "gateway-proxy": _deployment(
            {"app": "gloo", **_PROXY},
            *(8080, 8443),
            replicas=12,
            pod={**_PROXY, "gateway-proxy": "live"},
            probe=_asks(8080, "/envoy-hc"),
            preStop=_runs("wget --post-data '' -O /dev/null 127.0.0.1:19000/healthcheck/fail; sleep 40"),
            grace=60,
        ),
    },
    "services": {
        "gateway-proxy": {
            "selector": {"gateway-proxy-id": "gateway-proxy", "gateway-proxy": "live"},
            "ports": {80: 8080, 443: 8443},
        }
    },
    "hooks": {"gloo-resource-migration": "pre-upgrade", "gateway-certgen": "pre-install,pre-upgrade"},
}
"""Source: solo-io/gloo install/helm/gloo/templates, 7-gateway-proxy-deployment, 8-gateway-proxy-service,
5-resource-migration-job and 6.5-gateway-certgen-job."""

_EG = {"control-plane": "envoy-gateway", "app.kubernetes.io/instance": "eg"}
ENVOY_GATEWAY: Values = {
    "deployments": {"envoy-gateway": _deployment(_EG, 18000, probe=_asks(18000, "/readyz"))},
    "hooks": {"eg-gateway-helm-certgen": "pre-install,pre-upgrade"},
}
"""Source: envoyproxy/gateway charts/gateway-helm/templates, envoy-gateway-deployment and certgen."""

_MADE = {
    "app.kubernetes.io/name": "envoy",
    "app.kubernetes.io/component": "proxy",
    "app.kubernetes.io/managed-by": "envoy-gateway",
    "gateway.envoyproxy.io/owning-gateway-name": "eg",
    "gateway.envoyproxy.io/owning-gateway-namespace": "default",
}
ENVOY_GATEWAY_MAKES: Values = {
    "deployments": {
        "envoy-default-eg-e41e7b31": _deployment(
            _MADE,
            *(10080, 19003),
            replicas=3,
            probe=_asks(19003, "/ready"),
            preStop={"httpGet": {"path": "/shutdown/ready", "port": 19002}},
            grace=360,
        )
    },
    "services": {"envoy-default-eg-e41e7b31": {"selector": _MADE, "ports": {80: 10080}}},
}
"""What its controller makes, in no manifest.

Source: envoyproxy/gateway internal/infrastructure/kubernetes/proxy."""

_NGINX = {
    "app.kubernetes.io/name": "ingress-nginx",
    "app.kubernetes.io/instance": "ingress-nginx",
    "app.kubernetes.io/component": "controller",
}
INGRESS_NGINX: Values = {
    "deployments": {
        "ingress-nginx-controller": _deployment(
            _NGINX,
            *(80, 443, 8443),
            replicas=3,
            probe=_asks(80, "/healthz"),
            preStop={"exec": {"command": ["/wait-shutdown"]}},
            grace=300,
            pdb=True,
        )
    },
    "services": {"ingress-nginx-controller": {"selector": _NGINX, "ports": {80: 80, 443: 443}}},
    "hooks": {
        "ingress-nginx-admission-create": "pre-install,pre-upgrade",
        "ingress-nginx-admission-patch": "post-install,post-upgrade",
    },
}
"""Source: kubernetes/ingress-nginx charts/ingress-nginx/templates, controller-deployment and job-patch."""


def _kong(name: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/instance": "kong",
        "app.kubernetes.io/component": "app",
    }


KONG: Values = {
    "deployments": {
        "kong-controller": _deployment(_kong("controller"), 10254, probe=_asks(10254, "/readyz")),
        "kong-gateway": _deployment(
            _kong("gateway"),
            *(8000, 8443, 8100),
            replicas=3,
            probe=_asks(8100, "/status/ready"),
            preStop=_runs("sleep 20; kong quit --wait=15"),
            grace=60,
            pdb=True,
        ),
    },
    "services": {"kong-gateway-proxy": {"selector": _kong("gateway"), "ports": {80: 8000, 443: 8443}}},
}
"""Source: Kong/charts charts/ingress/ci/__snapshots__/gateway-discovery-values.snap."""

_TRAEFIK = {"app.kubernetes.io/name": "traefik", "app.kubernetes.io/instance": "traefik-traefik"}
TRAEFIK: Values = {
    "deployments": {
        "traefik": _deployment(
            _TRAEFIK,
            *(8000, 8443, 8080),
            replicas=3,
            probe=_asks(8000, "/ping"),
            preStop={"sleep": {"seconds": 20}},
            grace=60,
            pdb=True,
        )
    },
    "services": {"traefik": {"selector": _TRAEFIK, "ports": {80: 8000, 443: 8443}}},
}
"""Source: traefik/traefik-helm-chart traefik/templates/_helpers.tpl, _podtemplate.tpl, and values.yaml."""


def chart(folder: Path, versions: Sequence[str], *, source: Path = CHART) -> str:
    """Copy a chart once for each version, and return the reference to all of them."""
    for version in versions:
        shutil.copytree(source, folder / version)
        for file in (folder / version).rglob("*"):
            file.chmod(0o755 if file.is_dir() else 0o644)
        head = folder / version / "Chart.yaml"
        lines = head.read_text(encoding="utf-8").splitlines()
        said = [line for line in lines if not line.startswith(("version:", "appVersion:"))]
        head.write_text("\n".join([*said, f'version: "{version}"', f'appVersion: "{version}"', ""]))
    return f"{folder}/{{version}}"


def istio_gateway() -> Path:
    """Return Istio's chart `gateway`; Istio's release builder gives it its version, and so do we."""
    return module(ISTIO) / "manifests" / "charts" / "gateway"
