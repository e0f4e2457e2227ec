"""Workers on the nodes of a Ray cluster.

Every node needs ncaudit, the encoder's weights, and the shards and the run directory under
the same paths. GPU workers have never been run by the authors: no CUDA machine was at hand.
"""

import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from ncaudit.engine.base import EngineOptions, Failure, MakeWork, OnProgress, Record, TaskT
from ncaudit.engine.crew import Crew, WorkerDiedError
from ncaudit.engine.local import default_workers
from ncaudit.engine.workplace import Workplace
from ncaudit.errors import ConfigError

_CONNECT_S = 5.0
_ANSWER_S = 20.0  # most of it is for Python to start


def open_ray(options: EngineOptions, device: str) -> "RayEngine":
    """Join a Ray cluster.

    Raises:
        ConfigError: If Ray is not installed, no cluster answers at the address, or none of
            its nodes has what a worker needs.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "the engine ray needs the package ray", hint="pip install 'ncaudit[ray]'"
        ) from error
    joined = not ray.is_initialized()
    if joined:
        _join(ray, options.address)
    gpus = options.gpus_per_worker
    if gpus is None:
        gpus = 0.0 if device == "cpu" else 1.0
    try:
        rooms = _rooms(ray.nodes(), options.workers, gpus, device)
    except ConfigError:
        if joined:
            ray.shutdown()
        raise
    return RayEngine(rooms, gpus, leave=joined)


class RayEngine:
    """One actor per worker; each builds its models once.

    Args:
        rooms: Workers at most, and the cores of each.
        gpus: GPUs of each.
        leave: Whether to leave the cluster in the end.
    """

    def __init__(self, rooms: tuple[int, int], gpus: float, *, leave: bool) -> None:
        workers, cores = rooms
        self._leave = leave
        self._crew = Crew(lambda: _Actor(cores, gpus), workers)

    def run(
        self,
        tasks: Sequence[TaskT],
        make_work: MakeWork[TaskT],
        on_done: Callable[[TaskT, Record], None],
        on_progress: OnProgress | None = None,  # noqa: ARG002 - actors cannot be heard
    ) -> list[Failure]:
        """Do every task, see `Engine.run`."""
        return self._crew.run(tasks, make_work, on_done)

    def close(self) -> None:
        """Stop the workers, and leave the cluster if it was joined for this."""
        import ray

        self._crew.close()
        if self._leave:
            ray.shutdown()


class _Actor:
    """One worker: a Ray actor, which Ray neither restarts nor gives a task twice."""

    def __init__(self, cores: int, gpus: float) -> None:
        import ray

        actor = ray.remote(
            num_cpus=cores,
            num_gpus=gpus,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
        )(Workplace)
        self._actor = actor.remote(cores)
        self.ready: Future[Any] = _answer(self._actor.is_ready.remote())

    def submit(self, make_work: MakeWork[Any], task: Any) -> Future[Record]:
        return _answer(self._actor.perform.remote(make_work, task))

    def stop(self) -> None:
        import ray

        ray.kill(self._actor)


def _answer(reference: Any) -> Future[Any]:
    answer: Future[Any] = Future()
    answer.set_running_or_notify_cancel()
    reference.future().add_done_callback(lambda future: _pass_on(future, answer))
    return answer


def _pass_on(future: Future[Any], answer: Future[Any]) -> None:
    from ray.exceptions import RayError, RayTaskError

    error = future.exception()
    if error is None:
        answer.set_result(future.result())
    elif isinstance(error, RayTaskError):
        answer.set_exception(error.cause)
    elif isinstance(error, RayError):
        answer.set_exception(WorkerDiedError("its Ray worker or node ended abruptly"))
    else:
        answer.set_exception(error)


def _join(ray: Any, address: str) -> None:
    """Join the cluster at `address`.

    Raises:
        ConfigError: If nothing answers there within a few seconds.
    """
    hint = "Start one with `ray start --head`, or name its --address HOST:PORT."
    try:
        if address != "auto":
            _ask(address)
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except ValueError as error:
        raise ConfigError(f"{address!r} is no address of a Ray cluster", hint=hint) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"no Ray cluster answers at {address!r}", hint=hint) from error


def _ask(address: str) -> None:
    """Raise if no Ray cluster answers: joining would wait long, and then end this process."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    subprocess.run(command, check=True, capture_output=True, timeout=_ANSWER_S)  # noqa: S603


def _rooms(
    nodes: Sequence[dict[str, Any]], wanted: int, gpus: float, device: str
) -> tuple[int, int]:
    """Return how many workers a cluster has room for, and the cores of each.

    Args:
        nodes: As Ray describes them.
        wanted: Workers asked for, or 0.
        gpus: GPUs of a worker.
        device: What the work runs on.

    Raises:
        ConfigError: If no node has the GPUs of one worker.
    """
    found = [node["Resources"] for node in nodes if node["Alive"]]
    fitting = [r for r in found if r.get("CPU", 0) >= 1 and r.get("GPU", 0) >= gpus]
    if not fitting:
        raise ConfigError(
            f"no node of the Ray cluster has a CPU and {gpus:g} GPUs for a worker",
            hint="Choose a smaller --gpus-per-worker, or --device cpu.",
        )
    cores = [int(resources["CPU"]) for resources in fitting]
    most = sum(int(r["GPU"] / gpus) for r in fitting) if gpus else sum(cores)
    suited = most if gpus else sum(default_workers(n, device) for n in cores)
    workers = min(wanted or suited, most)
    # A worker has to fit on the smallest node too.
    return workers, max(1, min(sum(cores) // workers, *cores))
