"""Stores on loopback: S3 by moto with keys that must be seen nowhere, and a web server with faults of choice."""

import logging
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

KEY, SECRET, SIGNATURE = "AKIANEVERTOBESEEN", "SecretNeverToBeSeen/0+a", "c0ffee5ecretc0ffee"
NEVER = (KEY, SECRET, SIGNATURE)


@dataclass
class Bucket:
    """S3 on loopback; `asked` counts the requests of a method for an object since it was cleared."""

    endpoint: str
    name: str = "films"
    lines: list[str] = field(default_factory=list)

    def put(self, files: Mapping[str, bytes]) -> None:
        import boto3

        client = boto3.client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id=KEY, aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )  # fmt: skip
        client.create_bucket(Bucket=self.name)
        for name, data in files.items():
            client.put_object(Bucket=self.name, Key=name, Body=data)

    def asked(self, method: str, name: str) -> int:
        """How often an object was asked for."""
        return sum(bool(re.search(rf'"[^"]*{method} /{self.name}/{re.escape(name)} ', line)) for line in self.lines)


@cache
def _moto() -> Bucket:
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=True)
    server.start()  # a daemon thread, which ends with the tests
    bucket = Bucket(f"http://127.0.0.1:{server.get_host_and_port()[1]}")
    log = logging.getLogger("werkzeug")
    log.setLevel(logging.INFO)
    log.propagate = False

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            bucket.lines.append(re.sub(r"\x1b\[\d*m", "", record.getMessage()))

    log.addHandler(Lines())
    return bucket


def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """The bucket, which the environment of this test names with its keys."""
    found = _moto()
    for name, value in (("AWS_ENDPOINT_URL", found.endpoint), ("AWS_ACCESS_KEY_ID", KEY),
                        ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_DEFAULT_REGION", "us-east-1")):  # fmt: skip
        monkeypatch.setenv(name, value)
    found.lines.clear()
    return found


@dataclass
class Web:
    """A web server on loopback: `files` by path; `/fault/STATUS/…` answers so, `/fault/hang/…` and `/fault/cut/…`."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    address: str = ""


def web(request: pytest.FixtureRequest, files: Mapping[str, bytes]) -> Web:
    """A server for this test."""
    served = Web(files=dict(files))

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it
            """Say nothing."""

        def do_HEAD(self) -> None:
            self.send_error(405)

        def do_GET(self) -> None:
            path = self.path.partition("?")[0].lstrip("/")
            served.asked.append(path)
            served.headers.append(str(self.headers))
            fault = path.split("/")[1] if path.startswith("fault/") else ""
            if fault == "hang":
                time.sleep(1)
            if fault.isdigit():
                code = {"403": "AccessDenied", "503": "SlowDown"}.get(fault, "Unknown")
                body = f"<Error><Code>{code}</Code><Message>{SIGNATURE}</Message></Error>".encode()
                self.send_response(int(fault))
            else:
                body = b"x" * 100 if fault else served.files.get(path, b"")
                self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body) * (2 if fault == "cut" else 1)))
            self.end_headers()
            self.wfile.write(body)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of clients that hang up."""

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def end() -> None:
        server.shutdown()
        server.server_close()

    request.addfinalizer(end)
    served.address = f"http://127.0.0.1:{server.server_address[1]}"
    return served
