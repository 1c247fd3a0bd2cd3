"""Only workers with this package, PyTorch and the like compute for a sweep: others are named, and no run starts.

A worker loads this file to tell its versions; it loads no torch.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from distributed import WorkerPlugin

from novelty_utils.errors import InputError
from novelty_utils.records import provenance

if TYPE_CHECKING:
    from distributed import Client, Worker

PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "scikit-image")  # what can move a number


def versions() -> dict[str, str]:
    """Of this environment: a hash of our package's code, of the others the public version (2.15.0 of 2.15.0+cpu)."""
    return {"novelty_utils": provenance.package()} | {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return "missing"


def differing(there: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """What is another one there, in words; empty if nothing is."""
    other = [name for name in wanted if there.get(name) != wanted[name]]
    return ", ".join(f"{name} {there.get(name, 'missing')} in place of {wanted[name]}" for name in other)


@contextlib.contextmanager
def demanded(client: Client) -> Iterator[None]:
    """Refuse, by name, the workers of a cluster that differ from here, and keep such from joining meanwhile.

    Raises InputError if a worker differs or has no novelty_utils that could tell.
    """
    wanted = versions()
    told = client.run(versions, on_error="return")
    others = {address: _other(found, wanted) for address, found in sorted(told.items()) if found != wanted}
    if others:
        named = "; ".join(f"{address} has {words}" for address, words in others.items())
        raise InputError(f"{named}: install the same on every machine, or stop these workers")
    plugin = _Same(wanted)
    client.register_plugin(plugin, name=f"same-versions-{client.id}")
    try:
        yield
    finally:
        if client.status == "running":  # otherwise the scheduler is gone, and with it what it was told
            client.unregister_worker_plugin(f"same-versions-{client.id}")


def _other(found: Any, wanted: Mapping[str, str]) -> str:
    return "no novelty_utils, or an older one" if isinstance(found, Exception) else differing(found, wanted)


class _Same(WorkerPlugin):
    """Ends a worker that joins with other versions; its own log says why."""

    def __init__(self, wanted: Mapping[str, str]):
        self.wanted = dict(wanted)

    def setup(self, worker: Worker) -> None:
        if other := differing(versions(), self.wanted):  # dask would log an exception, and go on
            logging.getLogger("distributed.worker").error("ended: for the sweep that is running it has %s", other)
            worker.loop.add_callback(worker.close, reason="other versions")
