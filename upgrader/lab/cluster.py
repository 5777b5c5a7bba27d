"""Which programs make a room's Kubernetes, and with what flags. Pure: it starts nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from upgrader.lab import layout
from upgrader.lab.layout import API_PORT, BIN, ETCD_PORT, PKI, ROOT


class Needs(IntEnum):
    """What must be there before a component can start."""

    NOTHING = 0
    CERTIFICATES = 1
    API = 2


@dataclass(frozen=True, slots=True)
class Component:
    """One process of the cluster.

    Args:
        name: Its name in the log folder and in `status`.
        argv: Program and flags.
        needs: What must be there first.
    """

    name: str
    argv: tuple[str, ...]
    needs: Needs = Needs.API


def components(nodes: int) -> tuple[Component, ...]:
    """Return the processes of a cluster with that many nodes, in the order to start them."""
    agents = [agent(index) for index in range(nodes) for agent in (_kubelet, _proxy)]
    return (_etcd(), _apiserver(), _controller_manager(), *agents, _scheduler(), _addons())


def _component(name: str, *flags: str, needs: Needs = Needs.API, program: str = "") -> Component:
    return Component(name, (str(BIN / (program or name)), *flags), needs)


def _etcd() -> Component:
    """etcd keeps nothing: the room is its lifetime, so it need not wait for a disk."""
    client, peer = f"http://127.0.0.1:{ETCD_PORT}", f"http://127.0.0.1:{ETCD_PORT + 1}"
    return _component(
        "etcd",
        f"--data-dir={ROOT / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
        needs=Needs.NOTHING,
    )


def _apiserver() -> Component:
    """The API server listens on every address, for pods reach it on the node's."""
    return _component(
        "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}",
        "--bind-address=0.0.0.0",
        f"--advertise-address={layout.node_address(0)}",
        f"--secure-port={API_PORT}",
        f"--tls-cert-file={PKI / 'apiserver.crt'}",
        f"--tls-private-key-file={PKI / 'apiserver.key'}",
        f"--client-ca-file={PKI / 'ca.crt'}",
        f"--kubelet-certificate-authority={PKI / 'ca.crt'}",
        f"--kubelet-client-certificate={PKI / 'apiserver-kubelet.crt'}",
        f"--kubelet-client-key={PKI / 'apiserver-kubelet.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        *_front_proxy_flags(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={PKI / 'sa.pub'}",
        f"--service-account-signing-key-file={PKI / 'sa.key'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-cluster-ip-range={layout.SERVICE_RANGE}",
        "--service-node-port-range=30000-32767",
        "--allow-privileged=true",
        needs=Needs.CERTIFICATES,
    )


def _front_proxy_flags() -> tuple[str, ...]:
    """Aggregated API servers trust who the API server says is asking; Source: kubeadm's flags, 1.37."""
    return (
        f"--requestheader-client-ca-file={PKI / 'front-proxy-ca.crt'}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={PKI / 'front-proxy.crt'}",
        f"--proxy-client-key-file={PKI / 'front-proxy.key'}",
    )


def _controller_manager() -> Component:
    """With the default of 20 requests a second it takes 5 s to make its own service accounts at the start."""
    config = PKI / "controller-manager.kubeconfig"
    return _component(
        "kube-controller-manager",
        f"--kubeconfig={config}",
        f"--root-ca-file={PKI / 'ca.crt'}",
        f"--service-account-private-key-file={PKI / 'sa.key'}",
        f"--cluster-signing-cert-file={PKI / 'ca.crt'}",
        f"--cluster-signing-key-file={PKI / 'ca.key'}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=100",
        "--kube-api-burst=200",
    )


def _scheduler() -> Component:
    config = PKI / "scheduler.kubeconfig"
    return _component("kube-scheduler", f"--kubeconfig={config}", "--leader-elect=false", "--secure-port=0")


def _on_node(index: int, name: str, *flags: str, program: str) -> Component:
    """Run a program in the network of a node: the first node's is the room's."""
    if index == 0:
        return _component(name, *flags, program=program)
    return _component(name, "node", str(index), str(BIN / program), *flags, program="lab-room")


def _kubelet(index: int) -> Component:
    name = f"kubelet-{index}"
    return _on_node(
        index,
        name,
        f"--kubeconfig={PKI / name}.kubeconfig",
        f"--node={layout.node_name(index)}",
        f"--index={index}",
        f"--dir={ROOT / name}",
        f"--images={layout.IMAGES}",
        f"--client-ca={PKI / 'ca.crt'}",
        f"--tls-cert={PKI / name}.crt",
        f"--tls-key={PKI / name}.key",
        program="kubelet",
    )


def _proxy(index: int) -> Component:
    return _on_node(
        index,
        f"kube-proxy-{index}",
        f"--kubeconfig={PKI / 'proxy.kubeconfig'}",
        "--proxy-mode=nftables",
        f"--cluster-cidr={layout.POD_RANGE}",
        f"--hostname-override={layout.node_name(index)}",
        f"--healthz-bind-address=127.0.0.1:{layout.PROXY_HEALTH_PORT}",
        "--metrics-bind-address=127.0.0.1:10249",
        "--conntrack-max-per-core=0",
        program="kube-proxy",
    )


def _addons() -> Component:
    return _component(
        "lab-addons", f"--kubeconfig={PKI / 'addons.kubeconfig'}", f"--listen={layout.DNS_ADDRESS}"
    )
