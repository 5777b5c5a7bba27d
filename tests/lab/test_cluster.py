"""The processes of a room and what they are told; pure."""

from __future__ import annotations

from pathlib import Path

import pytest

from upgrader.lab.cluster import Needs, components
from upgrader.lab.layout import BIN, environment
from upgrader.lab.nft import Nft, packages, unpacked
from upgrader.lab.readiness import is_schedulable
from upgrader.lab.standin import ports
from upgrader.lab.supervisor import Member


def test_each_node_has_a_kubelet_with_a_folder_and_certificate_of_its_own() -> None:
    kubelets = [each for each in components(3) if each.name.startswith("kubelet-")]

    assert [each.name for each in kubelets] == ["kubelet-0", "kubelet-1", "kubelet-2"]
    for flag in ("--node", "--index", "--dir", "--tls-cert", "--tls-key", "--kubeconfig"):
        values = {word for each in kubelets for word in each.argv if word.startswith(f"{flag}=")}
        assert len(values) == 3


def test_each_node_has_a_kube_proxy_in_its_own_network() -> None:
    proxies = [each.argv for each in components(3) if each.name.startswith("kube-proxy-")]

    assert [argv[:3] for argv in proxies[1:]] == [(f"{BIN}/lab-room", "node", index) for index in ("1", "2")]
    assert [argv[0].rpartition("/")[2] for argv in proxies] == ["kube-proxy", "lab-room", "lab-room"]


def test_etcd_waits_for_nothing_and_the_api_server_for_certificates() -> None:
    needs = {each.name: each.needs for each in components(1)}

    assert needs.pop("etcd") is Needs.NOTHING
    assert needs.pop("kube-apiserver") is Needs.CERTIFICATES
    assert set(needs.values()) == {Needs.API}


def test_no_certificate_goes_unverified() -> None:
    words = [word for each in components(1) for word in each.argv]

    assert not [word for word in words if "insecure" in word or "skip" in word]
    assert [word for word in words if word.startswith("--kubelet-certificate-authority=")]
    assert [word for word in words if word.startswith("--root-ca-file=")]


def test_proxy_settings_stay_outside() -> None:
    inside = environment({"HTTPS_PROXY": "http://proxy", "no_proxy": "x", "PATH": "/bin", "LANG": "C"})

    assert "HTTPS_PROXY" not in inside
    assert "no_proxy" not in inside
    assert inside["LANG"] == "C"
    assert inside["PATH"] == "/run/upgrader/bin:/bin"


@pytest.mark.parametrize(
    ("ready", "taints", "expected"),
    [("True", None, True), ("True", [{"key": "x"}], False), ("False", None, False), ("Unknown", None, False)],
)
def test_a_node_counts_once_pods_may_go_there(ready: str, taints: object, expected: bool) -> None:
    node = {"spec": {"taints": taints}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}

    assert is_schedulable(node) is expected


def test_a_node_that_has_said_nothing_yet_is_not_ready() -> None:
    assert not is_schedulable({"spec": {}})


@pytest.mark.parametrize(
    ("said", "expected"),
    [("", (8080,)), ("80,443", (80, 443)), ("8443 80 80", (80, 8443))],
)
def test_the_standin_serves_each_declared_port_once(said: str, expected: tuple[int, ...]) -> None:
    assert ports({"UPGRADER_LAB_PORTS": said}) == expected


def test_nft_is_fetched_with_its_libraries_but_not_the_c_library() -> None:
    lines = ["nftables", "  Depends: libc6", "libc6", "libnftables1", "gcc-12-base", "libgcc-s1", "<x>", ""]

    assert packages(lines) == ["libnftables1", "nftables"]


@pytest.mark.parametrize(
    ("status", "words"), [(2, "etcd ended with status 2"), (-9, "etcd was killed by signal 9")]
)
def test_an_obituary_says_how_it_ended(status: int, words: str) -> None:
    assert Member("etcd", 3, "etcd.log", status=status).obituary() == words


def test_the_libraries_of_a_fetched_nft_may_lie_in_several_folders(tmp_path: Path) -> None:
    program = tmp_path / "usr/sbin/nft"
    own, other = tmp_path / "usr/lib/x86_64-linux-gnu", tmp_path / "lib/x86_64-linux-gnu"
    for path in (program, own / "libnftables.so.1", other / "libtinfo.so.6"):
        path.parent.mkdir(parents=True)
        path.touch()

    assert unpacked(tmp_path) == Nft(program, (other, own))


def test_a_half_unpacked_nft_is_none(tmp_path: Path) -> None:
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/nft").touch()

    assert unpacked(tmp_path) is None
