"""Credentials and the errors of the package underneath."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from upgrader.adapters.kube_rest import Reply, Request, RestTransport, connect, foreign_errors
from upgrader.errors import ClusterUnreachable, Refused

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1", insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: tok}}]
contexts: [{name: blue, context: {cluster: c, user: u}}, {name: green, context: {cluster: c, user: u}}]
current-context: blue
"""


class OneAnswer:
    """A urllib3 response, as far as the transport reads it."""

    def __init__(self, status: int = 200, *chunks: bytes) -> None:
        self.status = status
        self._chunks = chunks
        self.response = self

    def stream(self, amt: int | None = None, decode_content: bool = True) -> Any:
        yield from self._chunks

    def release_conn(self) -> None: ...

    def shutdown(self) -> None: ...

    def close(self) -> None: ...


class Package:
    """The package's client, as far as the transport uses it."""

    def __init__(self, *answers: OneAnswer | Exception) -> None:
        self.answers = list(answers)
        self.rest_client = self
        self.configuration = self
        self.host = "https://api"
        self.headers: list[dict[str, str]] = []

    def auth_settings(self) -> dict[str, Any]:
        return {"BearerToken": {"value": "Bearer tok"}}

    def request(self, method: str, url: str, *, headers: dict[str, str], **_: Any) -> OneAnswer:
        self.headers.append(headers)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Transport(RestTransport):
    """The real transport over a package of ours."""

    def __init__(self, *packages: Package) -> None:
        self.packages = list(packages)
        super().__init__(lambda: None, context="blue")

    def _connect(self) -> Any:
        return self.packages.pop(0)


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    path = tmp_path / "config"
    path.write_text(KUBECONFIG)
    return str(path)


def test_the_current_context_is_resolved_to_its_name(kubeconfig: str) -> None:
    """Somebody may switch it while we run."""
    assert connect(kubeconfig).context == "blue"
    assert connect(kubeconfig, "green").context == "green"


@pytest.mark.parametrize(("file", "context"), [("absent", ""), ("", "red")])
def test_a_missing_kubeconfig_or_context_is_refused(kubeconfig: str, file: str, context: str) -> None:
    with pytest.raises(Refused) as refusal:
        connect(file or kubeconfig, context)

    assert (context or file) in str(refusal.value)


def test_other_clients_get_the_same_credentials(kubeconfig: str) -> None:
    connection = connect(kubeconfig).connection()

    assert (connection.host, connection.verify) == ("https://127.0.0.1:1", False)
    assert connection.authorization() == "Bearer tok"
    assert "tok" not in repr(connection)


def test_every_error_of_the_http_library_is_translated() -> None:
    """A new class beside the known root would pass us by."""
    import urllib3.exceptions as foreign

    errors = [
        each
        for each in vars(foreign).values()
        if isinstance(each, type) and issubclass(each, Exception) and each.__module__ == foreign.__name__
    ]
    missed = [each for each in errors if not issubclass(each, (Warning, *foreign_errors()))]

    assert len(errors) > 20
    assert not missed


@pytest.mark.parametrize("error", [OSError("no file"), ConnectionResetError("reset")])
def test_no_answer_is_unreachable(error: Exception) -> None:
    transport = Transport(Package(error))

    with pytest.raises(ClusterUnreachable, match="GET /version"):
        transport.send(Request("GET", "/version"), deadline_seconds=1)


def test_an_answer_that_drips_is_given_up() -> None:
    """urllib3 limits each read, not the whole."""
    transport = Transport(Package(OneAnswer(200, b"{", b"}")))

    with pytest.raises(ClusterUnreachable, match="not whole"):
        transport.send(Request("GET", "/version"), deadline_seconds=-1)


def test_refused_credentials_are_fetched_anew_once() -> None:
    """An exec plugin's may have expired; a 401 was not acted upon, so even a write may go again."""
    transport = Transport(Package(OneAnswer(401)), Package(OneAnswer(200, b"{}")))

    reply = transport.send(Request("PATCH", "/x", body={}), deadline_seconds=1)

    assert reply == Reply(200, b"{}")


def test_lines_are_whole_however_they_come() -> None:
    transport = Transport(Package(OneAnswer(200, b'{"a"', b":1}\n{", b'"b":2}\n\n')))

    stream = transport.open(Request("GET", "/x"), idle_seconds=1)

    assert list(stream.lines()) == [b'{"a":1}', b'{"b":2}']


def test_an_error_page_is_no_object() -> None:
    reply = Reply(502, b"<html>bad gateway</html>")

    assert reply.json() == {}
    assert "bad gateway" in reply.message()
