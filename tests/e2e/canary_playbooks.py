"""The demo before each balancer: derived from one playbook by what the docs say of each."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.e2e import route_crds
from upgrader.lab.rehearse.derived import derived

ROOT = Path(__file__).parents[2]
PLAYBOOK = ROOT / "playbooks" / "demo-canary.yaml"
ROLLING = ROOT / "playbooks" / "demo.yaml"
_OF_TWO_PLACES = ("green", "url_map", "listener_rule", "map", "delay")
"""Keys by which a balancer moves traffic; without them it tells health."""
_ENTRY = re.compile(r"^### lab: (\w+)$.*?^```yaml$(.*?)^```$", re.DOTALL | re.MULTILINE)


def entries() -> dict[str, dict[str, Any]]:
    """Return what `docs/balancers.md` says to write for each balancer: ``balancers`` and ``lab``."""
    text = (ROOT / "docs" / "balancers.md").read_text()
    return {name: YAML(typ="safe").load(entry) for name, entry in _ENTRY.findall(text)}


def playbook(name: str, folder: Path, **changes: Any) -> Path:
    """Write the demo's canary before a balancer, and return its file.

    Args:
        name: One of `entries`, or ``envoy``: the playbook as it is.
        folder: Where it is written.
        changes: Further top-level keys; those of a mapping are put into it.
    """
    written = YAML(typ="safe").load(PLAYBOOK)
    if name != "envoy":
        said = entries()[name]
        written |= {"balancers": said["balancers"], "lab": written["lab"] | said["lab"]}
    written |= {key: _merged(written.get(key), value) for key, value in changes.items()}
    book = derived(written, folder=PLAYBOOK.parent, changes={}, values="")
    if name == "gateway_api":
        definitions = folder / "standard-install.yaml"
        definitions.write_text(route_crds.gateway_api())
        book["lab"]["manifests"][0] = str(definitions)
    file = folder / f"canary-{name}.yaml"
    file.write_text(json.dumps(book, indent=1, default=str))
    return file


NEW_KIND = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: edgeroutes.new.upgrader.dev}
spec:
  group: new.upgrader.dev
  scope: Namespaced
  names: {kind: EdgeRoute, plural: edgeroutes}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties: {spec: {type: object, properties: {host: {type: string}}}}
"""
ONE_OF_IT = """
apiVersion: new.upgrader.dev/v1
kind: EdgeRoute
metadata: {name: all}
spec: {host: "{{ .Release.Name }}.example.com"}
"""


def with_a_new_kind(written: Path, folder: Path) -> Path:
    """Let the new version of a playbook's chart define a kind in ``crds/`` and hold a resource of it.

    Args:
        written: The playbook; it is written anew.
        folder: Where the charts go.
    """
    book = json.loads(written.read_text())
    chart = book["releases"][0]["chart"]
    for version in (chart["from"], chart["to"]):
        source = Path(chart["ref"].replace("{version}", version))
        shutil.copytree(source, folder / source.name)
    new = folder / Path(chart["ref"].replace("{version}", chart["to"])).name
    (new / "crds" / "edgeroutes.yaml").write_text(NEW_KIND)
    (new / "templates" / "edge-route.yaml").write_text(ONE_OF_IT)
    chart["ref"] = str(folder / Path(chart["ref"]).name)
    written.write_text(json.dumps(book, indent=1))
    return written


def rolling(name: str, folder: Path, **changes: Any) -> Path:
    """Write the demo's rolling upgrade before a cloud that only tells health, and return its file.

    Where no health check is declared a pod must serve for as long as endpoints take to be followed.

    Args:
        name: One of `entries`.
        folder: Where it is written.
        changes: Further top-level keys, as in `playbook`.
    """
    written, said = YAML(typ="safe").load(ROLLING), entries()[name]
    balancers = [
        {key: value for key, value in one.items() if key not in _OF_TWO_PLACES} for one in said["balancers"]
    ]
    written |= {"balancers": balancers, "lab": written.get("lab", {}) | said["lab"]}
    written |= {key: _merged(written.get(key), value) for key, value in changes.items()}
    values = folder / "drain.yaml"
    values.write_text(json.dumps({"proxy": {"drain": {"interval": 5, "threshold": 2, "longestRequest": 1}}}))
    book = derived(written, folder=ROLLING.parent, changes={}, values=str(values))
    file = folder / f"rolling-{name}.yaml"
    file.write_text(json.dumps(book, indent=1, default=str))
    return file


def _merged(was: Any, change: Any) -> Any:
    return {**was, **change} if isinstance(was, dict) else change
