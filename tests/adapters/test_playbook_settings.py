"""What a plugin is given beyond the keys of its own entry: what only the whole playbook knows."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr

from upgrader.adapters.playbook_file import LoadedPlaybook, load
from upgrader.errors import PlaybookInvalid
from upgrader.model.strict import Strict, Text
from upgrader.model.watching import FromEnvironment

TEXT = """\
apiVersion: upgrader/v1
name: edge
releases:
  - name: edge
    namespace: edge
    chart: {ref: "oci://registry.example/edge", from: 1.11.28, to: 1.11.30}
    workloads:
      control_plane: {selector: "app=control"}
      proxies: {selector: "app=proxy", service: gateway-proxy}
signals:
  - {kind: envoy_stats, port: 19000}
  - {kind: synthetic, url: "https://api.example.com/orders", expect: 401}
"""


def load_text(folder: Path, text: str) -> LoadedPlaybook:
    file = folder / "playbook.yaml"
    file.write_text(text)
    return load(file, {})


def test_probes_that_differ_in_their_host_have_names_of_their_own(tmp_path: Path) -> None:
    """A reading is filed by its name."""
    other = "  - {kind: synthetic, url: https://eu.example.com/orders, expect: 401}\n"
    loaded = load_text(tmp_path, TEXT + other)

    names = [loaded.settings(one).get("name") for one in loaded.playbook.signals]

    assert names == [None, "synthetic 401 api.example.com/orders", "synthetic 401 eu.example.com/orders"]


SERVED = (", service: gateway-proxy}", ', service: b}\n      auth: {selector: "a=b", service: c}')
GROUPS: dict[str, tuple[str, object]] = {
    "one with a service": (TEXT, ("proxies",)),
    "two with one": (TEXT.replace(*SERVED), ("proxies", "auth")),
    "none with one": (TEXT.replace(", service: gateway-proxy}", "}"), ()),
    "named": (TEXT.replace("port: 19000", "port: 19000, group: control_plane"), "control_plane"),
}


@pytest.mark.parametrize(("text", "group"), GROUPS.values(), ids=GROUPS)
def test_counters_are_read_of_the_groups_with_a_service(tmp_path: Path, text: str, group: object) -> None:
    """Unless the playbook names one; where no group has a service, the signal finds out whom to read."""
    loaded = load_text(tmp_path, text)

    assert loaded.settings(loaded.playbook.signals[0])["group"] == group


class AcmeKeys(Strict):
    """The keys of a balancer of somebody else's, with secrets of its own."""

    pool: Text
    token: FromEnvironment
    accounts: list[dict[str, FromEnvironment]]


def load_acme(folder: Path, environ: dict[str, str]) -> LoadedPlaybook:
    entry = "{kind: acme, pool: a, token: {env: ACME}, accounts: [{key: {env: FIRST}}]}"
    file = folder / "playbook.yaml"
    file.write_text(f"{TEXT}balancers:\n  - {entry}\n")

    def keys_of(kind: str, name: str) -> type[BaseModel] | None:
        return AcmeKeys if name == "acme" else None

    return load(file, environ, plugins={"balancers": ["acme"]}, keys_of=keys_of)


def test_a_plugin_is_given_the_secrets_that_its_keys_name(tmp_path: Path) -> None:
    loaded = load_acme(tmp_path, {"ACME": "t", "FIRST": "k"})

    settings = loaded.settings(loaded.playbook.balancers[0])

    assert settings["token"] == SecretStr("t")
    assert settings["accounts"] == [{"key": SecretStr("k")}]
    assert {*loaded.secrets} == {"ACME", "FIRST"}


def test_a_secret_of_a_plugin_that_is_not_set_is_refused_at_its_key(tmp_path: Path) -> None:
    with pytest.raises(PlaybookInvalid) as refusal:
        load_acme(tmp_path, {"ACME": "t"})

    assert "balancers[0].accounts[0].key.env" in str(refusal.value.key)
    assert "FIRST is not set" in refusal.value.what
