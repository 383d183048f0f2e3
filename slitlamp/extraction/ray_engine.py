"""Extraction by Ray Data: actors that decode feed actors that encode and store; places and counts come back."""

import logging
import os
import pickle
import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import cache
import slitlamp
from slitlamp.encoding.encoder import StoredEncoder
from slitlamp.encoding.fill import Filled, fill, left_to_encode, space_of
from slitlamp.encoding.images import ImageSet
from slitlamp.errors import UsageError
from slitlamp.extraction.asked import Asked
from slitlamp.extraction.part import Part
from slitlamp.extraction.reading import Unreadable
from slitlamp.extraction.summaries import Summaries
from slitlamp.log import progress, say
from slitlamp.settings import EncoderSettings, portable
from tasks import DataError, Picture

DECODED = 32  # images that go to a decoder at a time
STORED = 256  # images that an encoder takes at a time: one closed shard, which is what a death costs
SPARE = 3  # logical processors beside the actors: reading and listing tasks of Ray Data wait for them


def require_ray(part: Part) -> None:
    """Raises UsageError where Ray is not installed, or torchrun deals the images out already."""
    if find_spec("ray") is None:
        raise UsageError("--engine ray needs Ray: pip install 'ray[data]>=2.60' (in the clone: ./uv sync --extra ray)")
    if part.world > 1:
        raise UsageError("--engine ray deals the images out itself: start it once, without torchrun")


def filled_by_ray(
    work: Any, encoder: StoredEncoder, one: Asked, points: list[tuple[str, str, int]], summaries: Summaries
) -> tuple[Filled, dict[str, Any]]:
    """Encode what the store lacks with actors of Ray; what each has stored stays, whoever dies."""
    del summaries
    pictures = one.pictures
    names = [f"{site}/{readout}" for site, readout, _ in points]
    found = Filled(space=space_of(encoder, one.policy), pictures=len(pictures.pictures))
    todo, _ = left_to_encode(found, pictures, range(len(pictures.pictures)), names)
    if not todo:
        return found, {}
    encoder.store.require_space(len(todo) * sum(width for _, _, width in points) * 2)
    unreadable = Unreadable(one)
    workers: dict[tuple[str, int], int] = {}
    with (
        joined(work.own.address, work.own.actors or 1),
        progress(len(todo), f"encoding with {portable(encoder.spec)}") as bar,
    ):
        try:
            for row in _results(work, encoder, one, points, todo):
                place = int(row["place"])
                if row["content"]:
                    pictures.learn(place, row["content"])
                if row["error"]:
                    found.unreadable.append((place, row["error"]))
                    unreadable(place, DataError(row["error"]))
                found.encoded += int(row["encoded"])
                found.known += int(row["known"])
                for name in ("load", "decode", "encode", "write"):
                    setattr(found, name, getattr(found, name) + float(row[name]))
                for who in ("decoder", "encoder"):
                    node, pid, mb = row[who].rsplit(" ", 2)
                    workers[node, int(pid)] = max(workers.get((node, int(pid)), 0), int(mb))
                bar.update()
        finally:
            pictures.finish()
    found.load += encoder.spent_loading()  # that of the driver, which asks who the encoder is
    found.bytes = found.encoded * sum(width for _, _, width in points) * 2
    return found, {"workers": len(workers), "largest_worker_mb": max(workers.values())}


@contextmanager
def joined(address: str | None, actors: int) -> Iterator[None]:
    """A cluster: the one at `address`, one that this process has joined before, or a local one until the end."""
    given: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "address": address or "local"}
    if address is None:
        # "local": without it Ray would join what a killed driver left behind
        cores = max(os.cpu_count() or 1, actors + 1 + SPARE)
        given |= {"include_dashboard": False, "num_cpus": cores}
        os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # a busy machine takes longer than its 60 s
        here = str(Path(slitlamp.__file__).parents[1])  # for the workers, which inherit the variable
        paths = [here, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    ray = import_module("ray")
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(**given)
    except Exception as error:  # Ray raises plain Exception where its daemons do not start in time
        where = f"--address {address}: no cluster of Ray can be joined there" if address else "Ray cannot be started"
        raise UsageError(f"{where} ({' '.join(str(error).split())[:160]})") from error
    try:
        yield
    finally:
        ray.shutdown()


def _results(
    work: Any, encoder: StoredEncoder, one: Asked, points: list[tuple[str, str, int]], todo: list[int]
) -> Iterator[Mapping[str, Any]]:
    """A row for each picture: what came of it."""
    parts = ("", ".data", ".cloudpickle", ".exceptions")
    ray, of_data, cloudpickle, errors = (import_module(f"ray{part}") for part in parts)
    context = of_data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    held = ray.cluster_resources()
    gpus = 0 if encoder.device.startswith("cpu") else 1
    actors = work.own.actors or max(1, int(held.get("GPU", 0)) if gpus else 1)
    if gpus and held.get("GPU", 0) < actors:
        raise UsageError(f"{actors} encoders on {encoder.device} need {actors} GPUs; the cluster has "
                         f"{int(held.get('GPU', 0))}: give --actors, or --device cpu")  # fmt: skip
    decoders = max(1, int(held.get("CPU", 1)) - actors - SPARE)
    say(f"Ray: {len(ray.nodes())} nodes, {actors} actors that encode, up to {decoders} that decode")
    pictures = one.pictures
    items = [
        {"place": i, "name": pictures.names[i], "picture": cloudpickle.dumps(pictures.pictures[i]),
         "content": pictures.digests[i] or "", "marks": pickle.dumps(pictures.marks[i] if pictures.marks else ())}
        for i in todo
    ]  # fmt: skip
    blocks = max(1, min(len(items), -(-len(items) // STORED)))
    told = {"cwd": str(Path.cwd()), "root": str(encoder.store.root.absolute())}
    made = {"spec": encoder.spec, "settings": encoder.settings, "device": encoder.device, "dtype": encoder.dtype}
    data = of_data.from_items(items, override_num_blocks=blocks)
    data = data.map_batches(
        Decode, batch_size=DECODED, batch_format="numpy", num_cpus=1, fn_constructor_kwargs=told,
        compute=of_data.ActorPoolStrategy(min_size=1, max_size=decoders),
    )  # fmt: skip
    data = data.map_batches(
        Encode, batch_size=STORED, batch_format="numpy", num_cpus=1, num_gpus=gpus,
        compute=of_data.ActorPoolStrategy(size=actors),
        fn_constructor_kwargs=told | made | {"policy": dict(one.policy), "points": points, "volumes": pictures.volumes},
    )  # fmt: skip
    try:
        yield from data.iter_rows()
    except errors.RayTaskError as error:
        cause = error.cause
        raise (
            cause if isinstance(cause, Exception) and not isinstance(cause, errors.RayTaskError) else error
        ) from None


def _loads(data: Any) -> Any:
    return pickle.loads(bytes(data))  # noqa: S301  made by the driver or another actor of this run


def _who() -> str:
    """This worker: its machine, its process, and the most memory that it has held, in MB."""
    return f"{os.uname().nodename} {os.getpid()} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}"


class Decode:
    """An actor that decodes and hashes pictures."""

    def __init__(self, cwd: str, root: str) -> None:
        os.chdir(cwd)
        self.store = cache.Store(Path(root))

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The pixels of each picture, or why it has none."""
        pictures = ImageSet(
            pictures=[_loads(one) for one in batch["picture"]], names=list(batch["name"]),
            store=self.store, room=0,
        )  # fmt: skip
        pictures.digests = [content or None for content in batch["content"]]
        found: dict[str, list[Any]] = {name: [] for name in ("image", "error", "decode")}
        contents = []
        for one, known in zip(pictures.stream(range(len(pictures.names))), batch["content"], strict=True):
            found["image"].append(pickle.dumps(one.image))
            cause = one.error.__cause__ or one.error if one.error is not None else None
            found["error"].append("" if cause is None else str(cause))
            found["decode"].append(one.seconds)
            contents.append(one.content or known)
        return {
            "place": batch["place"], "name": batch["name"], "marks": batch["marks"], "content": contents, **found,
            "decoder": [_who()] * len(contents),
        }  # fmt: skip


class Encode:
    """An actor that encodes what the store lacks of a batch, and closes a shard of it."""

    def __init__(
        self, cwd: str, root: str, spec: str, settings: EncoderSettings, device: str, dtype: str,
        policy: dict[str, Any], points: list[tuple[str, str, int]], *, volumes: bool,
    ) -> None:  # fmt: skip
        os.chdir(cwd)
        self.encoder = StoredEncoder(
            spec=spec, settings=settings, store=cache.Store(Path(root)), device=device, dtype=dtype
        )
        self.policy, self.points, self.volumes = policy, points, volumes

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """What came of each picture; counts stand in the first row of the batch."""
        good = [k for k, error in enumerate(batch["error"]) if not error]
        marks = [_loads(batch["marks"][k]) for k in good]
        images = [_loads(batch["image"][k]) for k in good]
        pictures = ImageSet(
            pictures=[Picture(read=lambda image=image: image) for image in images],
            names=[str(batch["name"][k]) for k in good], store=self.encoder.store, room=0, volumes=self.volumes,
            marks=marks if any(marks) else (),
        )  # fmt: skip
        pictures.digests = [str(batch["content"][k]) for k in good]
        filled = fill(self.encoder, pictures, self.points, self.policy) if good else Filled(space=None)
        first = np.eye(1, len(batch["place"]))[0]
        return {
            "place": batch["place"], "content": batch["content"], "error": batch["error"], "decode": batch["decode"],
            "decoder": batch["decoder"], "encoder": [_who()] * len(first),
            **{name: first * getattr(filled, name) for name in ("encoded", "known", "load", "encode", "write")},
        }  # fmt: skip
