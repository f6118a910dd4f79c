"""Keeps what the AWS stand-in holds over a restart: moto has all of it in memory alone.

The backends are pickled whole, since they refer to each other: a CloudFormation stack to the resources that it made, a
queue to its rights. Where they cannot be pickled they are told how: locks are made anew, functions without a closure
are kept by their code, and private keys as PEM. A file of another version of moto or Python is left alone, and
everything begins empty.
"""

from __future__ import annotations

import io
import logging
import marshal
import os
import pickle
import sys
import threading
import time
import types
from collections import defaultdict
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from moto.core.base_backend import BackendDict

_LOG = logging.getLogger(__name__)
_LOCKS: dict[type, Callable[[], Any]] = {
    type(threading.Lock()): threading.Lock,
    type(threading.RLock()): threading.RLock,
}
_OWN_ATTRIBUTES = {"backend", "service_name", "_use_boto3_regions", "_additional_regions", "_id"}
_READING = ("Describe", "Get", "List", "BatchGet", "Query", "Scan", "Head", "Lookup", "Search", "Simulate")
_SETTLED_SECONDS = 0.5
_MOST_SECONDS = 5.0


class _Pickler(pickle.Pickler):
    """Pickles moto's objects; a dictionary of backends is named by where it is, and never copied."""

    def persistent_id(self, obj: Any) -> tuple[str, str] | None:
        return _place(obj) if isinstance(obj, BackendDict) else None

    def reducer_override(self, obj: Any) -> Any:
        make = _LOCKS.get(type(obj))
        if make is not None:
            return make, ()
        if isinstance(obj, dict) and type(obj).__module__.startswith("moto."):
            # Of a class of moto's, whose constructor, items() and item assignment may do more than a dictionary's.
            state = getattr(obj, "default_factory", None), vars(obj), dict(dict.items(obj))
            return _new, (type(obj),), state, None, None, _fill
        if isinstance(obj, RSAPrivateKey | EllipticCurvePrivateKey):
            return _private_key, (obj.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),)
        if isinstance(obj, types.FunctionType) and "<" in obj.__qualname__ and obj.__closure__ is None:
            return _function, (marshal.dumps(obj.__code__), obj.__module__, obj.__name__, obj.__defaults__)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, pid: tuple[str, str]) -> Any:
        return getattr(import_module(pid[0]), pid[1])


def _new(kind: type[dict[Any, Any]]) -> dict[Any, Any]:
    return kind.__new__(kind)


def _fill(made: dict[Any, Any], state: tuple[Any, dict[str, Any], dict[Any, Any]]) -> None:
    factory, attributes, items = state
    if isinstance(made, defaultdict):
        made.default_factory = factory
    vars(made).update(attributes)
    dict.update(made, items)


def _private_key(pem: bytes) -> Any:
    return load_pem_private_key(pem, None)


def _function(code: bytes, module: str, name: str, defaults: tuple[Any, ...] | None) -> types.FunctionType:
    # The file is this process' own, as the pickle around it is.
    return types.FunctionType(marshal.loads(code), vars(import_module(module)), name, defaults)  # noqa: S302


def _place(backends: BackendDict[Any]) -> tuple[str, str]:
    """The module and the name in it that hold a dictionary of backends.

    Raises:
        PicklingError: its backend's module does not hold it.
    """
    module = backends.backend.__module__
    for name, value in vars(sys.modules[module]).items():
        if value is backends:
            return module, name
    raise pickle.PicklingError(f"{module} does not hold the backends of {backends.service_name}")


def _dump(parts: list[BackendDict[Any]]) -> bytes:
    content = []
    for backends in parts:
        extra = {name: value for name, value in vars(backends).items() if name not in _OWN_ATTRIBUTES}
        content.append((_place(backends), dict(backends), extra))
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump((_versions(), content))
    return buffer.getvalue()


def take() -> bytes:
    """All that moto holds in this process; what cannot be kept is left out, and named in the log."""
    parts: list[BackendDict[Any]] = list(_used())
    try:
        return _dump(parts)
    except Exception:  # noqa: BLE001 - pickling runs code of every object
        kept = [backends for backends in parts if _can_be_kept(backends)]
        return _dump(kept)


def _can_be_kept(backends: BackendDict[Any]) -> bool:
    try:
        _dump([backends])
    except Exception as error:  # noqa: BLE001 - as above
        _LOG.warning("what %s holds is not kept over a restart: %s", backends.service_name, error)
        return False
    return True


def put_back(snapshot: bytes) -> bool:
    """Give moto what it held; False when the snapshot is not from these versions of moto and Python.

    Raises:
        UnpicklingError: the snapshot is damaged.
    """
    reader = _Unpickler(io.BytesIO(snapshot))
    versions, content = reader.load()
    if versions != _versions():
        return False
    for (module, name), accounts, extra in content:
        backends = getattr(import_module(module), name)
        for account, held in accounts.items():
            dict.__setitem__(backends, account, held)
        vars(backends).update(extra)
        if not any(each is backends for each in _used()):
            _used().append(backends)
    return True


def _used() -> list[Any]:
    """The dictionaries of backends that any request has used: moto's own list of them."""
    used: list[Any] = getattr(BackendDict, "_instances")  # noqa: B009 - mypy takes the plain form for ambiguous
    return used


def _versions() -> tuple[str, str]:
    return version("moto"), sys.version


def changes_something(environ: dict[str, Any], body: bytes) -> bool:
    """Whether a request may have changed what moto holds, by its method and, where all are POST, its action."""
    if environ["REQUEST_METHOD"] in ("GET", "HEAD", "OPTIONS"):
        return False
    target = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
    action = target or body.partition(b"Action=")[2][:40].decode("ascii", "replace")
    return not action.startswith(_READING)


class Keeper:
    """Writes a snapshot soon after changes, in a thread of its own.

    Args:
        path: the file, which only its owner can read.
        turn: held while moto must not change.
    """

    def __init__(self, path: Path, turn: Any) -> None:
        self._path = path
        self._turn = turn
        self._changed = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="snapshot")

    def start(self) -> None:
        """Put back what the file holds, and keep it up to date from now on."""
        try:
            if self._path.exists() and not put_back(self._path.read_bytes()):
                _LOG.warning("%s is from other versions of moto or Python; beginning empty", self._path)
        except Exception:  # noqa: BLE001 - unpickling runs code of every object
            _LOG.warning("%s cannot be read; beginning empty", self._path, exc_info=True)
        self._thread.start()

    def touch(self) -> None:
        """Say that something changed."""
        self._changed.set()

    def end(self) -> None:
        """Write what is not yet written, and stop."""
        self._ended.set()
        self._changed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            self._changed.wait()
            self._settle()
            self._changed.clear()
            self._write()

    def _settle(self) -> None:
        """Wait until nothing has changed for a moment, but not for ever."""
        deadline = time.monotonic() + _MOST_SECONDS
        while time.monotonic() < deadline and not self._ended.is_set():
            self._changed.clear()
            if not self._changed.wait(_SETTLED_SECONDS):
                return

    def _write(self) -> None:
        with self._turn:
            content = take()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f".{self._path.name}.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        temporary.replace(self._path)
