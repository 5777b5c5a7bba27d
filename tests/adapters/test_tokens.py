from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from google.auth.exceptions import RefreshError

from tests.signals.fakes import FakeClock
from upgrader.adapters.tokens import EARLY_SECONDS, Token, Tokens, google
from upgrader.errors import BalancerUnwilling


class Bench:
    def __init__(self) -> None:
        self.clock, self.learned, self.fetched = FakeClock(0), [""], 0
        self.fails = ""
        self.tokens = Tokens(
            learn=self.learned.append, sources={"gcp": self.fetch}, clock=self.clock.monotonic
        )

    def fetch(self) -> Token:
        if self.fails:
            raise BalancerUnwilling(self.fails)
        self.fetched += 1
        return Token(f"token-{self.fetched}", self.clock.time + 3600)


def wait_for_fetches(bench: Bench, count: int) -> None:
    for thread in threading.enumerate():
        if thread.name.endswith("(_fetch)"):
            thread.join(5)
    assert bench.fetched == count


def test_a_token_is_kept_and_every_secret_learned_first() -> None:
    bench = Bench()

    assert [bench.tokens.get("gcp"), bench.tokens.get("gcp")] == ["token-1", "token-1"]
    assert (bench.fetched, bench.learned) == (1, ["", "token-1"])


def test_a_token_is_replaced_before_its_end_without_waiting() -> None:
    bench = Bench()
    bench.tokens.get("gcp")
    bench.clock.time = 3600 - EARLY_SECONDS + 1

    assert bench.tokens.get("gcp") in ("token-1", "token-2")
    wait_for_fetches(bench, 2)
    assert bench.tokens.get("gcp") == "token-2"


def test_a_token_past_its_end_is_never_given() -> None:
    bench = Bench()
    bench.tokens.get("gcp")
    bench.clock.time, bench.fails = 3601, "no credentials"

    with pytest.raises(BalancerUnwilling, match="no credentials"):
        bench.tokens.get("gcp")


def test_an_unknown_provider_has_no_credentials() -> None:
    with pytest.raises(BalancerUnwilling, match="no credentials for other"):
        Bench().tokens.get("other")


def _first(tokens: Tokens) -> str:
    """Return the first token, which on a busy machine may take some waits to come."""
    for _ in range(20):
        try:
            return tokens.get("gcp")
        except BalancerUnwilling as error:
            if "has not come yet" not in error.what:
                raise
    raise AssertionError("no token came")


class _Metadata(BaseHTTPRequestHandler):
    """The metadata server of a Compute Engine machine, as google-auth asks it."""

    def do_GET(self) -> None:
        said = {"access_token": "from-metadata", "expires_in": 3599, "token_type": "Bearer"}
        account = {"email": "sa@acme.iam.gserviceaccount.com", "scopes": [], "aliases": ["default"]}
        body = json.dumps(said if "token" in self.path else account).encode()
        if "service-accounts" not in self.path:
            body = b"acme" if "project" in self.path else b""
        self.send_response(200)
        self.send_header("Metadata-Flavor", "Google")
        is_text = "service-accounts" not in self.path
        self.send_header("Content-Type", "text/plain" if is_text else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def metadata_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Metadata)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    place = f"127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("GCE_METADATA_HOST", place)
    monkeypatch.setenv("GCE_METADATA_IP", place)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("metadata_server")
def test_googles_own_library_finds_the_machines_account() -> None:
    """The real google-auth, against an imitated metadata server."""
    learned: list[str] = []
    tokens = Tokens(learn=learned.append)

    assert _first(tokens) == "from-metadata"
    assert learned == ["from-metadata"]


def test_a_broken_credentials_file_is_said_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "key.json"
    broken.write_text("{}")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(broken))
    tokens = Tokens(learn=lambda secret: None)

    with pytest.raises(BalancerUnwilling, match="Google's credentials are not usable") as raised:
        _first(tokens)

    assert "application-default login" in raised.value.remedy


class _Credentials:
    """What google-auth finds at one time: of a login that is over, or of a good one."""

    def __init__(self, fails: str | None = None) -> None:
        self.token, self.expiry = "fresh", datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1)
        self._fails = fails

    def refresh(self, request: object) -> None:
        if self._fails is not None:
            raise RefreshError(self._fails)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("said", "shown"),
    [("invalid_grant: Token has been expired or revoked.", "invalid_grant"), ("", "RefreshError")],
)
def test_a_login_that_was_renewed_is_found_without_a_restart(said: str, shown: str) -> None:
    """The credentials of the old login are of no use for ever; those that login left are asked for anew."""
    found = [_Credentials(said), _Credentials()]
    fetch = google(lambda: found.pop(0))

    with pytest.raises(BalancerUnwilling, match=f"Google's credentials are not usable: .*{shown}"):
        fetch()

    assert fetch().value == "fresh"
