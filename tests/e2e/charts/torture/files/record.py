"""Write a line into the ConfigMap ``torture-diary``, from inside a pod: ``record.py TEXT``.

The API server is found by the environment that the kubelet sets, trusted by the CA in the pod's volume, and
told who we are by the projected token.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def record(text: str) -> None:
    """Add the text under a key that sorts by time."""
    namespace = (ACCOUNT / "namespace").read_text()
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    request = urllib.request.Request(
        f"https://{host}:{port}/api/v1/namespaces/{namespace}/configmaps/torture-diary",
        data=json.dumps({"data": {f"{time.time_ns():020}": text}}).encode(),
        method="PATCH",
        headers={
            "Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}",
            "Content-Type": "application/merge-patch+json",
        },
    )
    trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=10, context=trust) as answer:
        print(f"recorded {text}: {answer.status}")


if __name__ == "__main__":
    record(sys.argv[1])
