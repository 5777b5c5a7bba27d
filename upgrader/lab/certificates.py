"""The certificates of a room: one authority, and every party verified by it.

Elliptic curve keys (P-256) because a room makes a dozen of them while its operator waits.
"""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from upgrader.lab import layout

_CLOCK_SLACK = timedelta(minutes=5)
_LIFETIME = timedelta(days=365)

API_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
"""DNS names of the API server's certificate; Source: kubeadm's default SANs, Kubernetes 1.37."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    encoding, encryption = serialization.Encoding.PEM, serialization.NoEncryption()
    return key.private_bytes(encoding, serialization.PrivateFormat.TraditionalOpenSSL, encryption)


def _subject(common_name: str, organizations: Sequence[str] = ()) -> x509.Name:
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
    return x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Authority:
    """A certificate authority that lives as long as its room.

    Args:
        name: Its common name.
        now: The current time; certificates are valid from 5 minutes before it, for a year.
    """

    def __init__(self, name: str, *, now: datetime | None = None) -> None:
        self._now = now or datetime.now(UTC)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject(name)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = self._builder(self._name, self._key)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self._certificate = builder.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        public = key.public_key()
        issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _CLOCK_SLACK)
            .not_valid_after(self._now + _LIFETIME)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(issuer_id, critical=False)
        )

    @property
    def pair(self) -> Pair:
        """Return the authority's own certificate and key."""
        return Pair(self._certificate.public_bytes(serialization.Encoding.PEM), _pem(self._key))

    def client(self, common_name: str, *, organizations: Sequence[str] = ()) -> Pair:
        """Issue a client certificate: to Kubernetes, the user ``common_name`` in these groups."""
        return self._issue(_subject(common_name, organizations), ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def server(self, common_name: str, *, names: Sequence[str]) -> Pair:
        """Issue a server certificate for these DNS names and IP addresses."""
        return self._issue(_subject(common_name), ExtendedKeyUsageOID.SERVER_AUTH, names)

    def _issue(self, subject: x509.Name, use: x509.ObjectIdentifier, names: Sequence[str]) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        builder = (
            self._builder(subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Pair(certificate.public_bytes(serialization.Encoding.PEM), _pem(key))


def signing_keys() -> Pair:
    """Make the key pair that signs ServiceAccount tokens; ``certificate`` holds the public key."""
    key = ec.generate_private_key(ec.SECP256R1())
    encoding, public_format = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return Pair(key.public_key().public_bytes(encoding, public_format), _pem(key))


def kubeconfig(authority: bytes, client: Pair, *, server: str) -> str:
    """Return a kubeconfig (JSON, which is YAML) that verifies the server and carries its certificates."""

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    cluster = {"server": server, "certificate-authority-data": text(authority)}
    user = {
        "client-certificate-data": text(client.certificate),
        "client-key-data": text(client.key),
    }
    context = {"cluster": "lab", "user": "lab"}
    whole = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": "lab", "user": user}],
        "contexts": [{"name": "lab", "context": context}],
        "current-context": "lab",
    }
    return json.dumps(whole, indent=1) + "\n"


def _clients(nodes: int) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return kubeconfig name → (user, groups) of everything that talks to the API server."""
    masters = ("system:masters",)
    kubelets = {
        f"kubelet-{index}": (f"system:node:{layout.node_name(index)}", ("system:nodes",))
        for index in range(nodes)
    }
    return kubelets | {
        "admin": ("lab-admin", masters),
        "addons": ("lab-addons", masters),
        "controller-manager": ("system:kube-controller-manager", ()),
        "scheduler": ("system:kube-scheduler", ()),
        "proxy": ("system:kube-proxy", ()),
    }


def _write(folder: Path, name: str, pair: Pair, *, certificate: str = ".crt") -> None:
    (folder / f"{name}{certificate}").write_bytes(pair.certificate)
    key = folder / f"{name}.key"
    key.touch(mode=0o600)
    key.write_bytes(pair.key)


def write_all(folder: Path, *, nodes: int) -> None:
    """Make every certificate, key and kubeconfig of a room with ``nodes`` nodes below ``folder``.

    Written are ``NAME.crt`` and ``NAME.key`` for ca, front-proxy-ca, front-proxy, apiserver,
    apiserver-kubelet, admin and kubelet-N, ``sa.pub`` and ``sa.key``, and ``NAME.kubeconfig`` for admin,
    addons, controller-manager, scheduler, proxy and kubelet-N.
    """
    folder.mkdir(parents=True, exist_ok=True)
    authority, front = Authority("lab-ca"), Authority("lab-front-proxy-ca")
    addresses = [layout.node_address(index) for index in range(nodes)]
    api_names = (*API_NAMES, "127.0.0.1", layout.SERVICE_FIRST, *addresses)
    _write(folder, "ca", authority.pair)
    _write(folder, "front-proxy-ca", front.pair)
    _write(folder, "front-proxy", front.client("front-proxy-client"))
    _write(folder, "apiserver", authority.server("kube-apiserver", names=api_names))
    reads_kubelets = authority.client("kube-apiserver-kubelet-client", organizations=["system:masters"])
    _write(folder, "apiserver-kubelet", reads_kubelets)
    _write(folder, "sa", signing_keys(), certificate=".pub")
    for index, address in enumerate(addresses):
        name = layout.node_name(index)
        _write(folder, f"kubelet-{index}", authority.server(f"system:node:{name}", names=(name, address)))
    server = f"https://{layout.node_address(0)}:{layout.API_PORT}"  # of use in every node's network
    for name, (user, groups) in _clients(nodes).items():
        client = authority.client(user, organizations=groups)
        if name == "admin":
            _write(folder, name, client)
        text = kubeconfig(authority.pair.certificate, client, server=server)
        path = folder / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(text)
