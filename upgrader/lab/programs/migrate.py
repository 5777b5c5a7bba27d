"""The demo gateway's migration: before an upgrade, refuse keys that the new version would not take."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from upgrader.lab.programs.control_plane import read_keys


def faults_of(keys: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the keys, by client, never telling a key; empty when all is well."""
    faults = [f"client '{client}' has an empty key" for client, key in keys.items() if not key]
    owners: dict[str, str] = {}
    for client, key in keys.items():
        if key and (other := owners.setdefault(key, client)) != client:
            faults.append(f"clients '{other}' and '{client}' have the same key")
    return faults


def main(arguments: Sequence[str]) -> int:
    """Check the keys; 0 when the upgrade may go on, 1 when it must not."""
    parser = argparse.ArgumentParser(prog="migrate", description=__doc__)
    parser.add_argument("--to", required=True, help="the version to migrate to")
    parser.add_argument("--keys", type=Path, required=True, help="folder of the mounted Secret")
    parser.add_argument("--seconds", type=float, default=0.0, help="how long the work takes at least")
    options = parser.parse_args(arguments)
    time.sleep(options.seconds)
    faults = faults_of(read_keys(options.keys))
    sys.stdout.write("".join(f"{fault}\n" for fault in faults) or f"ready for {options.to}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
