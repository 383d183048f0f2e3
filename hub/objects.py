"""Objects in stores that fsspec reaches (s3://, gs://, https://): listed, fetched whole, put; never with credentials.

What a user may see of an address is `shown(url)`; what a library says of a failure is told again in our own words, as
its own may hold a signed address.
"""

import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin

from hub.errors import HubError

STORES = {  # scheme: fsspec's name of it, and the package that it needs
    "s3": ("s3", "s3fs"),
    "s3a": ("s3", "s3fs"),
    "gs": ("gs", "gcsfs"),
    "gcs": ("gs", "gcsfs"),
    "http": ("http", "aiohttp"),
    "https": ("http", "aiohttp"),
    "memory": ("memory", ""),
    "file": ("file", ""),
}
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]*")
HARMLESS = frozenset(  # names in a query that are shown; all others may be a signature or a token
    ("id", "name", "file", "filename", "path", "key", "version", "versionid", "generation", "page", "frame", "image",
     "index", "dataset", "split", "row", "format", "studyuid", "seriesuid", "objectuid", "requesttype", "contenttype")
)  # fmt: skip
MARKS = ("ETag", "etag", "VersionId", "generation", "md5Hash", "LastModified", "updated", "created")  # s3, gs, memory
ENVIRONMENT = ("AWS_", "BOTO", "FSSPEC_", "GCE_", "GCSFS_", "GOOGLE_", "SSL_", "STORAGE_", "HOME", "NETRC")
LOGGERS = ("fsspec", "s3fs", "gcsfs", "botocore", "aiobotocore", "aiohttp", "google", "urllib3", "asyncio")
QUIET = 60.0  # seconds without a byte after which a web server is given up
CONNECT = 10.0  # seconds in which it must take the connection


class ObjectError(HubError):
    """An object or a store cannot be had; the text is one line for the user and holds no credentials."""


class AbsentError(ObjectError):
    """There is no such object, prefix or bucket."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """An object of a listing: its name below the prefix, address, size in bytes (None where not told) and stamp.

    The stamp is what the store says that changes with the bytes, empty where it says nothing of the kind.
    """

    name: str
    url: str
    size: int | None = None
    stamp: str = ""


def is_url(text: str) -> bool:
    """Whether a text is an address, as `s3://bucket/films`, and no path.

    >>> is_url("s3://bucket/films"), is_url("films/1.png"), is_url("C:/films")
    (True, False, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def shown(url: str) -> str:
    """An address without user, password and whatever of its query may be a signature or a token.

    >>> shown("https://me:secret@host/a.png?id=3&X-Amz-Signature=0a1b"), shown("s3://bucket/a b.png")
    ('https://host/a.png?id=3', 's3://bucket/a b.png')
    """
    scheme, _, rest = url.partition("://")
    before, mark, query = (rest.partition("#")[0] if scheme in ("http", "https") else rest).partition("?")
    host, slash, path = before.partition("/")
    if "@" in path and ":" in host and not re.fullmatch(r"[^:@]+:\d+", host):  # a secret key may hold a slash
        host, slash, path = path.rpartition("@")[2].partition("/")
    kept = [(k, v) for k, v in parse_qsl(query) if k.lower() in HARMLESS]
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}" + (mark + urlencode(kept) if kept else "")


def scrubbed(text: str) -> str:
    """A text in which every address is as `shown` has it."""
    return URL.sub(lambda found: shown(found[0]), text) if "://" in text else text


def joined(base: str, name: str) -> str:
    """The address of `name`, relative to the prefix `base`; ValueError where it leads out of the bucket or host.

    >>> joined("s3://bucket/films", "../a/1.png"), joined("https://host/films/", "a b.png")
    ('s3://bucket/a/1.png', 'https://host/films/a%20b.png')
    """
    if name.startswith("/"):
        raise ValueError(name)
    scheme, _, rest = base.partition("://")
    web = scheme in ("http", "https")
    place = rest.partition("?")[0].partition("#")[0] if web else rest
    parts = [part for part in place.split("/") if part]
    held = [*parts[1:]]
    for part in name.split("/"):
        if part == "..":
            if not held:
                raise ValueError(name)
            held.pop()
        elif part not in ("", "."):
            held.append(quote(part, safe="%!$&'()*+,;=:@~") if web else part)
    if web:
        return urljoin(f"{scheme}://{parts[0]}/", "/" + "/".join(held))
    return f"{scheme}://{'/'.join([*parts[:1], *held])}"


class Stores:
    """Connections by scheme, one each, made at the first need and kept while the environment says the same."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def _of(self, url: str) -> tuple[Any, str]:
        """The file system of an address, and fsspec's name of it; ObjectError."""
        scheme = url.partition("://")[0].lower()
        if scheme not in STORES:
            known = ", ".join(f"{one}://" for one in STORES if one not in ("s3a", "gcs"))
            raise ObjectError(f"{scheme}:// is no store that is read here; known are {known} and hf://datasets/")
        protocol, package = STORES[scheme]
        host = url.partition("://")[2].partition("/")[0]
        if protocol in ("s3", "gs") and ("@" in host or ":" in host):
            raise ObjectError(
                f"{shown(url)}: credentials in the address are not used; leave them to the environment "
                "(AWS_ACCESS_KEY_ID …, GOOGLE_APPLICATION_CREDENTIALS) or the store's own settings"
            )
        if protocol not in self._made:
            self._made[protocol] = _connection(protocol, f"{scheme}://", package, _surroundings(protocol))
        return self._made[protocol], protocol

    def list(self, url: str) -> list[Found]:
        """Every object below a prefix, by name; ObjectError in one line where there is none."""
        store, protocol = self._of(url)
        if protocol == "http":
            raise ObjectError(
                f"{shown(url)}: a web address is not listed; name a manifest (.csv, .tsv, .parquet), a .tar or an image"
            )
        base = url.rstrip("/") + "/"
        with told(url):
            listed = store.find(base, detail=True, **({"withdirs": False} if protocol != "memory" else {}))
            below = store._strip_protocol(base).rstrip("/") + "/"
        found = [
            Found(
                name=path.removeprefix(below),
                url=joined(base, path.removeprefix(below)),
                size=facts.get("size"),
                stamp=_stamp(facts),
            )
            for path, facts in listed.items()
            if path.startswith(below) and not path.endswith("/") and facts.get("type", "file") == "file"
        ]
        if not found:
            raise AbsentError(f"{shown(url)} holds no object: check the bucket and the prefix")
        return found

    def fetch(self, url: str, path: Path) -> None:
        """Write an object whole to `path`, by one request; ObjectError in one line."""
        store, protocol = self._of(url)
        with told(url):
            store.get_file(url, str(path), **({"max_concurrency": 1} if protocol == "s3" else {}))
        if not path.is_file():  # what is listed like a folder
            raise AbsentError(f"{shown(url)}: no such object")

    def put(self, path: Path, url: str) -> None:
        """Write a file to an object; ObjectError in one line."""
        store, protocol = self._of(url)
        if protocol == "http":
            raise ObjectError(f"{shown(url)}: nothing is written to a web address; name s3://, gs:// or file://")
        with told(url, "written"):
            if protocol == "file":
                store.makedirs(store._parent(url), exist_ok=True)
            store.put_file(str(path), url)

    def stamp(self, url: str) -> str:
        """What the store says of an object that changes with its bytes; empty where it does not, or cannot be asked."""
        if url.partition("://")[0].lower() in ("http", "https"):
            return ""  # not every server tells it, and some fetch the whole to do so
        store, _ = self._of(url)
        try:
            with told(url):
                return _stamp(store.info(url))
        except ObjectError:
            return ""  # met again where it is fetched

    def head(self, url: str, count: int) -> bytes:
        """The first bytes of an object; ObjectError."""
        store, _ = self._of(url)
        with told(url):
            return store.cat_file(url, start=0, end=count)


def _stamp(facts: Mapping[str, Any]) -> str:
    marks = [str(facts[name]) for name in MARKS if facts.get(name)]
    return " ".join([*marks, str(facts.get("size"))]) if marks else ""


def _surroundings(protocol: str) -> str:
    """A digest of what the environment tells a store's library: with another one a connection would be another."""
    import fsspec

    told = sorted((k, v) for k, v in os.environ.items() if k.startswith(ENVIRONMENT) or k.lower().endswith("_proxy"))
    text = repr((told, fsspec.config.conf.get(protocol), QUIET, os.getpid()))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


@lru_cache(maxsize=4)
def _connection(protocol: str, scheme: str, package: str, surroundings: str) -> Any:
    del surroundings
    import fsspec

    for name in LOGGERS:  # what they write on their own may hold an address as it was signed
        logging.getLogger(name).addHandler(logging.NullHandler())
    options: dict[str, Any] = {}
    try:
        if protocol == "http":
            import aiohttp

            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=QUIET)
            options = {"client_kwargs": {"trust_env": True, "timeout": timeout}}
        elif protocol != "memory":
            options = {"use_listings_cache": False}
        return fsspec.filesystem(protocol, skip_instance_cache=True, **options)
    except ImportError as error:
        raise ObjectError(f"{scheme} needs {package}: `pip install 'slitlamp[remote]'`") from error


@contextmanager
def told(url: str, verb: str = "read") -> Iterator[None]:
    """Turn whatever a store's library raises inside into one ObjectError of one line, without credentials."""
    try:
        yield
    except HubError:
        raise
    except Exception as error:
        raise _translated(shown(url), error, verb) from None


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    waiting: BaseException | None = error
    while waiting is not None and waiting not in found:
        found.append(waiting)
        waiting = waiting.__cause__ or waiting.__context__
    return found


def _code(error: BaseException) -> str:
    """The code of an answer: S3's word (NoSuchKey), or the number of a web server."""
    answer = getattr(error, "response", None)
    told = answer.get("Error", {}).get("Code", "") if isinstance(answer, dict) else ""
    return str(told or getattr(error, "status", "") or getattr(error, "code", "") or "")


@dataclass(frozen=True, kw_only=True)
class _Cause:
    """What a failure is called: by the codes of answers, by the names of the library's errors, or by Python's own."""

    words: str
    codes: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    types: tuple[type[BaseException], ...] = ()
    kind: type[ObjectError] = ObjectError


CAUSES = (
    _Cause(words="no such bucket", codes=frozenset({"NoSuchBucket"}), kind=AbsentError),
    _Cause(
        words="no such object", codes=frozenset({"NoSuchKey", "404"}), types=(FileNotFoundError,), kind=AbsentError
    ),
    _Cause(
        words="no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or "
        "GOOGLE_APPLICATION_CREDENTIALS; for a public bucket FSSPEC_S3_ANON=true or FSSPEC_GS_TOKEN=anon",
        names=frozenset({"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError",
                         "TokenRetrievalError", "CredentialRetrievalError"}),
    ),
    _Cause(
        words="access is denied: the credentials of this environment may not do that, or have expired",
        codes=frozenset({"AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken",
                         "InvalidToken", "AllAccessDisabled", "401", "403"}),
        types=(PermissionError,),
    ),
    _Cause(
        words="the store did not answer in time",
        names=frozenset({"FSTimeoutError", "ReadTimeoutError", "ConnectTimeoutError", "ServerTimeoutError"}),
        types=(TimeoutError,),
    ),
    _Cause(
        words="its TLS certificate is not trusted: give its authority in SSL_CERT_FILE (AWS_CA_BUNDLE for s3://)",
        names=frozenset({"SSLError", "SSLCertVerificationError", "ClientSSLError", "ClientConnectorCertificateError"}),
    ),
    _Cause(
        words="the store cannot be reached (network, address or proxy)",
        names=frozenset({"EndpointConnectionError", "ClientConnectionError", "gaierror", "HTTPClientError"}),
        types=(ConnectionError,),
    ),
    _Cause(
        words="the transfer broke before its end",
        names=frozenset({"ClientPayloadError", "IncompleteReadError", "ResponseStreamingError", "ContentLengthError"}),
    ),
)  # fmt: skip


def _translated(place: str, error: BaseException, verb: str) -> ObjectError:
    errors = _chain(error)
    if any(isinstance(one, OSError) and one.errno == 28 for one in errors):
        return ObjectError(f"{place}: the disk is full; make room, or set TMPDIR to another disk")
    names = {base.__name__ for one in errors for base in type(one).__mro__}
    codes = {_code(one) for one in errors} - {""}
    for cause in CAUSES:
        if cause.codes & codes or cause.names & names or any(isinstance(one, cause.types) for one in errors):
            return cause.kind(f"{place}: {cause.words}")
    answered = next((code for code in sorted(codes)), "")
    what = f"the store answers {answered}" if answered else type(error).__name__
    return ObjectError(f"{place} cannot be {verb} ({what[:80]})")
