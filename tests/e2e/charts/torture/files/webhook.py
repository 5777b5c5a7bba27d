"""A validating admission webhook: widgets larger than 100 are refused."""

from __future__ import annotations

import json
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGEST = 100


class Handler(BaseHTTPRequestHandler):
    """Answers AdmissionReviews; a GET is a probe."""

    def do_GET(self) -> None:
        self._say({"ready": True})

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = review["request"]
        size = request["object"]["spec"]["size"]
        response: dict[str, object] = {"uid": request["uid"], "allowed": size <= LARGEST}
        if size > LARGEST:
            response["status"] = {"code": 403, "message": f"size {size} is more than {LARGEST}"}
        self._say({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response})

    def _say(self, what: object) -> None:
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
    server = ThreadingHTTPServer(("0.0.0.0", 8443), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
