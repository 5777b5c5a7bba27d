"""What a plugin is given beyond the keys of its own entry: what only the whole playbook knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from upgrader.adapters.playbook_file import LoadedPlaybook, load

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
