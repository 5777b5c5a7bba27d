"""A room's certificates: who is trusted for what."""

from __future__ import annotations

import base64
import ipaddress
import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    ClientVerifier,
    PolicyBuilder,
    ServerVerifier,
    Store,
    VerificationError,
)

from upgrader.lab import certificates

NODES = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files of a room with two nodes."""
    path = tmp_path_factory.mktemp("pki")
    certificates.write_all(path, nodes=NODES)
    return path


def _load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _policy(folder: Path, authority: str = "ca") -> PolicyBuilder:
    return PolicyBuilder().store(Store([_load(folder / f"{authority}.crt")]))


def _server(folder: Path, name: x509.GeneralName) -> ServerVerifier:
    assert isinstance(name, x509.DNSName | x509.IPAddress)
    return _policy(folder).build_server_verifier(name)


def _clients(folder: Path, authority: str = "ca") -> ClientVerifier:
    return _policy(folder, authority).build_client_verifier()


@pytest.mark.parametrize("name", certificates.API_NAMES)
def test_the_api_server_is_trusted_by_each_of_its_names(folder: Path, name: str) -> None:
    chain = _server(folder, x509.DNSName(name)).verify(_load(folder / "apiserver.crt"), [])

    assert len(chain) == 2


@pytest.mark.parametrize("address", ["127.0.0.1", "10.96.0.1", "10.244.0.1", "10.244.1.1"])
def test_the_api_server_is_trusted_by_each_of_its_addresses(folder: Path, address: str) -> None:
    _server(folder, x509.IPAddress(ipaddress.ip_address(address))).verify(_load(folder / "apiserver.crt"), [])


def test_the_api_server_is_not_trusted_by_another_name(folder: Path) -> None:
    with pytest.raises(VerificationError):
        _server(folder, x509.DNSName("elsewhere")).verify(_load(folder / "apiserver.crt"), [])


@pytest.mark.parametrize("index", range(NODES))
def test_each_kubelet_is_trusted_by_its_own_address_only(folder: Path, index: int) -> None:
    own, other = (ipaddress.ip_address(f"10.244.{each}.1") for each in (index, 1 - index))
    certificate = _load(folder / f"kubelet-{index}.crt")

    _server(folder, x509.IPAddress(own)).verify(certificate, [])
    with pytest.raises(VerificationError):
        _server(folder, x509.IPAddress(other)).verify(certificate, [])


@pytest.mark.parametrize(
    ("name", "user", "groups"),
    [
        ("admin", "lab-admin", ["system:masters"]),
        ("controller-manager", "system:kube-controller-manager", []),
        ("scheduler", "system:kube-scheduler", []),
        ("proxy", "system:kube-proxy", []),
        ("kubelet-0", "system:node:lab-0", ["system:nodes"]),
        ("kubelet-1", "system:node:lab-1", ["system:nodes"]),
    ],
)
def test_each_kubeconfig_names_its_user_and_verifies_the_server(
    folder: Path, name: str, user: str, groups: list[str]
) -> None:
    config = json.loads((folder / f"{name}.kubeconfig").read_text())
    cluster, credentials = config["clusters"][0]["cluster"], config["users"][0]["user"]
    data = base64.b64decode(credentials["client-certificate-data"])
    certificate = x509.load_pem_x509_certificate(data)

    _clients_verify_leaf(folder, certificate)
    assert [each.value for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [user]
    assert [
        each.value for each in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    ] == groups
    assert base64.b64decode(cluster["certificate-authority-data"]) == (folder / "ca.crt").read_bytes()
    assert "insecure-skip-tls-verify" not in cluster


def _clients_verify_leaf(folder: Path, certificate: x509.Certificate) -> None:
    """Verify issuer, signature and use; the library's client verifier insists on a SAN."""
    certificate.verify_directly_issued_by(_load(folder / "ca.crt"))
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_the_front_proxy_is_not_an_ordinary_client(folder: Path) -> None:
    certificate = _load(folder / "front-proxy.crt")

    certificate.verify_directly_issued_by(_load(folder / "front-proxy-ca.crt"))
    with pytest.raises((ValueError, InvalidSignature)):
        certificate.verify_directly_issued_by(_load(folder / "ca.crt"))


def test_a_server_certificate_cannot_log_in(folder: Path) -> None:
    with pytest.raises(VerificationError):
        _clients(folder).verify(_load(folder / "apiserver.crt"), [])


def test_token_keys_belong_together(folder: Path) -> None:
    private = serialization.load_pem_private_key((folder / "sa.key").read_bytes(), None)
    public = serialization.load_pem_public_key((folder / "sa.pub").read_bytes())

    assert private.public_key() == public


def test_keys_are_for_their_owner_only(folder: Path) -> None:
    secrets = [*folder.glob("*.key"), *folder.glob("*.kubeconfig")]

    assert secrets
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}


def test_a_clock_that_runs_a_little_behind_still_trusts() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    pair = certificates.Authority("ca", now=now).server("x", names=["x"])

    certificate = x509.load_pem_x509_certificate(pair.certificate)

    assert certificate.not_valid_before_utc < now - timedelta(minutes=4)
    assert certificate.not_valid_after_utc > now + timedelta(days=300)
