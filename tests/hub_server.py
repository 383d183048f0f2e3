"""A hub on loopback: the part of its protocol that the client library uses, and what can go wrong with it."""

import contextlib
import hashlib
import json
import re
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

HEAVY = (".safetensors", ".bin", ".pt", ".pth", ".zip")  # what the hub keeps in large file storage
HASHED = 1 << 26  # bytes; longer files are marked by name and length, so that sparse ones are never read


@dataclass(kw_only=True)
class Repository:
    """A folder served as one commit.

    `fault` is "gated" (403), "gated-401", "forbidden" or "absent", for every answer; or, for the weights alone and
    the first `times` of them (all by default): "cut" (the connection drops in the middle), "range-refused" (the
    whole file, 200), "short" (half of the range, said to be all of it), "beside" (another range), "busy" (429),
    "broken" (503), "slow".
    """

    folder: Path
    commit: str
    fault: str = ""
    times: int | None = None
    retry_after: str = "0"
    pause: float = 0.02  # seconds before each 16 kB of what is slow
    sent: int = 0  # bytes of weights
    answers: int = 0  # bodies of weights that were begun


@dataclass(kw_only=True)
class Hub:
    """The repositories by id (`datasets/ORG/NAME` for a dataset), the address, and the paths that were asked for.

    With `cdn`, weights are answered by a redirect to an address of another origin; `leaked` lists the
    Authorization headers that came there.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    endpoint: str = ""
    asked: list[str] = field(default_factory=list)
    cdn: bool = False
    cdn_endpoint: str = ""
    leaked: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    lock: Any = field(default_factory=threading.Lock)

    def set_client(self, setattr_: Callable[[Any, str, Any], None], cache: Path) -> None:
        """Point the client library here, with its cache at `cache`; `setattr_` is monkeypatch's."""
        from huggingface_hub import constants

        setattr_(constants, "ENDPOINT", self.endpoint)
        template = self.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        setattr_(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        setattr_(constants, "HF_HUB_CACHE", str(cache))
        setattr_(constants, "HF_HUB_OFFLINE", False)


class Server(ThreadingHTTPServer):
    """One that keeps quiet about clients that hang up, which is what half of the tests do."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve `hub` until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it
            """Say nothing."""

        def do_HEAD(self) -> None:
            _answer(self, hub, body=False)

        def do_GET(self) -> None:
            with contextlib.suppress(ConnectionError):
                _answer(self, hub, body=True)

    with ExitStack() as stack:
        hub.endpoint = stack.enter_context(_running(Handler))
        hub.cdn_endpoint = stack.enter_context(_running(Handler))
        yield hub


@contextmanager
def _running(handler: type[socketserver.BaseRequestHandler]) -> Iterator[str]:
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(request: BaseHTTPRequestHandler, hub: Hub, *, body: bool) -> None:
    path = unquote(urlsplit(request.path).path)
    hub.asked.append(path)
    there = path.startswith("/cdn/")
    api = re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path)
    file = re.fullmatch(r"(?:/cdn)?/((?:datasets/)?[^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
    name = ("datasets/" * (api[1] == "datasets") + api[2]) if api else file[1] if file else ""
    revision = (api[4] or "main") if api else file[2] if file else ""
    if (token := request.headers.get("Authorization")) is not None:
        hub.leaked.append(token) if there else hub.tokens.add(token)
    repository = hub.repositories.get(name)
    if repository is None or repository.fault == "absent":
        return _refuse(request, 404, "RepoNotFound", body=body)
    if repository.fault in ("gated", "gated-401"):
        return _refuse(request, 401 if repository.fault == "gated-401" else 403, "GatedRepo", body=body)
    if repository.fault == "forbidden":
        return _refuse(request, 403, "", body=body)
    if revision not in ("main", repository.commit):
        return _refuse(request, 404, "RevisionNotFound", body=body)
    if api:
        told = (
            [_entry(repository.folder, p) for p in _files(repository)]
            if api[3] == "tree"
            else _info(name, repository, blobs="blobs=true" in request.path)
        )
        return _send(request, json.dumps(told).encode(), {"Content-Type": "application/json"}, body=body)
    assert file is not None
    target = repository.folder / file[3]
    if not target.is_file():
        return _refuse(request, 404, "EntryNotFound", body=body)
    headers = {"X-Repo-Commit": repository.commit, "ETag": f'"{_mark(target)}"', "Accept-Ranges": "bytes"}
    if hub.cdn and not there and target.suffix in HEAVY:
        headers |= {"X-Linked-Size": str(target.stat().st_size), "X-Linked-ETag": headers.pop("ETag")}
        headers |= {"Location": f"{hub.cdn_endpoint}/cdn{request.path}?signed=1"}
        return _send(request, b"", headers, body=body, status=302)
    return _file(request, hub, repository, target, headers, body=body)


def _files(repository: Repository) -> list[Path]:
    return [p for p in sorted(repository.folder.rglob("*")) if p.is_file()]


def _mark(path: Path) -> str:
    size = path.stat().st_size
    return hashlib.sha256(path.read_bytes() if size <= HASHED else f"{path}:{size}".encode()).hexdigest()


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    name = path.relative_to(folder).as_posix()
    return {"type": "file", "oid": _mark(path)[:40], "size": path.stat().st_size, "path": name}


def _info(name: str, repository: Repository, *, blobs: bool) -> dict[str, Any]:
    names = [
        {"rfilename": p.relative_to(repository.folder).as_posix()} | (_blob(p) if blobs else {})
        for p in _files(repository)
    ]
    name = name.removeprefix("datasets/")
    return {"id": name, "modelId": name, "sha": repository.commit, "siblings": names, "tags": [], "private": False}


def _blob(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    if path.suffix in HEAVY:
        return {"size": size, "blobId": "0" * 40, "lfs": {"sha256": _mark(path), "size": size, "pointerSize": 134}}
    return {"size": size, "blobId": hashlib.sha1(f"blob {size}\0".encode() + path.read_bytes()).hexdigest()}


def _refuse(request: BaseHTTPRequestHandler, status: int, code: str, *, body: bool, **headers: str) -> None:
    headers |= {"X-Error-Code": code, "X-Error-Message": code or "refused"}
    return _send(request, b"{}", headers, body=body, status=status)


def _send(
    request: BaseHTTPRequestHandler, data: bytes, headers: dict[str, str], *, body: bool, status: int = 200
) -> None:
    _head(request, status, headers | {"Content-Length": str(len(data))})
    if body:
        request.wfile.write(data)


def _head(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
    request.send_response(status)
    for key, value in headers.items():
        request.send_header(key, value)
    request.end_headers()


def _file(
    request: BaseHTTPRequestHandler,
    hub: Hub,
    repository: Repository,
    path: Path,
    headers: dict[str, str],
    *,
    body: bool,
) -> None:
    """A file or a range of it, sent from the disk without being read as a whole."""
    size = path.stat().st_size
    heavy = body and path.suffix in HEAVY
    fault = _fault(hub, repository) if heavy else ""
    if fault in ("busy", "broken"):
        status = 429 if fault == "busy" else 503
        return _refuse(request, status, "", body=body, **{"Retry-After": repository.retry_after})
    span = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
    start, stop, status = 0, size, 200
    if span and fault != "range-refused":
        start, stop, status = int(span[1]), min(size, int(span[2]) + 1 if span[2] else size), 206
        if start >= size:
            return _send(request, b"", {"Content-Range": f"bytes */{size}"}, body=body, status=416)
        told = start + 1 if fault == "beside" else start
        headers |= {"Content-Range": f"bytes {told}-{stop - 1}/{size}"}
    count = stop - start
    if fault == "short":
        count = max(1, count // 2)
    _head(request, status, headers | {"Content-Length": str(count)})
    if not body:
        return None
    if fault == "cut":
        count //= 2
        request.close_connection = True
    if heavy:
        # Before it is sent: a client that has it all may ask for the count before this thread runs again.
        with hub.lock:
            repository.sent += count
    sent = _pour(request, path, start, count, repository.pause if fault == "slow" else 0.0)
    if heavy and sent < count:
        with hub.lock:
            repository.sent -= count - sent
    return None


def _fault(hub: Hub, repository: Repository) -> str:
    with hub.lock:
        repository.answers += 1
        if repository.times is None:
            return repository.fault
        repository.times -= 1
        return repository.fault if repository.times >= 0 else ""


def _pour(request: BaseHTTPRequestHandler, path: Path, start: int, count: int, pause: float) -> int:
    sent, step = 0, 1 << 14 if pause else 1 << 20
    with path.open("rb") as file:
        while sent < count:
            time.sleep(pause)
            try:
                done = request.connection.sendfile(file, start + sent, min(step, count - sent))
            except ConnectionError:
                break
            if not done:
                break
            sent += done
    return sent
