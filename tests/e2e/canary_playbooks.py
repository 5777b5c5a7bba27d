"""The demo's canary before each balancer: derived from the one playbook by what the docs say of each."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.e2e import route_crds
from upgrader.lab.rehearse.derived import derived

ROOT = Path(__file__).parents[2]
PLAYBOOK = ROOT / "playbooks" / "demo-canary.yaml"
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


def _merged(was: Any, change: Any) -> Any:
    return {**was, **change} if isinstance(was, dict) else change
