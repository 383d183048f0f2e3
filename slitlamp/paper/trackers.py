"""Trackers: the numbers of a report sent to Weights & Biases, MLflow, TensorBoard or trackio, on this machine.

Each is an extra (`uv sync --extra wandb`), imported when it is asked for. Scores and the table of claims are logged;
no picture, no id of an item and no path. Nothing leaves the machine unless the environment says so (`WANDB_MODE`).
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from plugins import hint
from slitlamp.errors import UsageError
from slitlamp.log import say
from slitlamp.paper.gathered import Gathered
from slitlamp.paper.numbers import key
from slitlamp.paper.tables import Sheet, sheets

PROJECT = "slitlamp"
LOGGED = ("score", "low", "high", "chance", "p", "loss")  # of a claim, where they are known


class Tracker(Protocol):
    """Logs numbers, and a table, into `out`; says in a phrase where they lie."""

    def __call__(self, module: Any, metrics: Mapping[str, float], table: Sheet, out: Path) -> str:
        """Log with the imported package."""
        ...


def export(name: str, gathered: Gathered, out: Path) -> str:
    """Log the claims of a report with a tracker; a line that says where they lie, or why they do not.

    A tracker that fails costs a line and never the report.

    Raises:
        UsageError: there is no such tracker, its package is not installed, or there is no claim to log.
    """
    if name not in TRACKERS:
        raise UsageError(f"no tracker {name!r}; {hint(name, TRACKERS)}there are {', '.join(TRACKERS)}")
    package, log = TRACKERS[name]
    with _kept_environment():
        os.environ.setdefault("WANDB_MODE", "offline")
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ.setdefault("TRACKIO_DIR", str((out / "trackio").resolve()))
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            module = importlib.import_module(package)
        except ImportError as error:
            if (error.name or "").partition(".")[0] not in (package.partition(".")[0], "tensorboard"):
                return _failed(name, error)
            raise UsageError(
                f"--track {name} needs a package that is not installed: `uv sync --extra {name}`, or "
                f"`pip install 'slitlamp[{name}]'`"
            ) from None
        claims = next((sheet for sheet in sheets(gathered) if sheet.name == "claims"), None)
        if claims is None:
            raise UsageError(f"--track {name}: these runs make no claim, there is nothing to log")
        try:
            with contextlib.redirect_stdout(sys.stderr):  # stdout is the result's
                return f"{name}: {log(module, metrics(claims), claims, out)}"
        except Exception as error:  # whatever a tracker raises, the report is written
            return _failed(name, error)


def _failed(name: str, error: Exception) -> str:
    line = f"{name}: nothing was logged ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
    say(f"warning: {line}; the report is kept")
    return line


@contextlib.contextmanager
def _kept_environment() -> Iterator[None]:
    """The environment as it was, once a tracker is done."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def metrics(claims: Sheet) -> dict[str, float]:
    """The numbers of every claim by name, as `orientation/biomedclip/score`: the names of the LaTeX macros."""
    return {
        f"{path[1]}/{path[0]}/{key(name)}": float(row[name])
        for row, path in zip(claims.rows, claims.paths, strict=True)
        for name in LOGGED
        if row[name] is not None
    }


def _cells(table: Sheet) -> tuple[list[str], list[list[Any]]]:
    """The table of claims as columns and rows of plain values."""
    columns = list(table.rows[0])
    return columns, [[row.get(column) for column in columns] for row in table.rows]


def _wandb(module: Any, metrics: Mapping[str, float], table: Sheet, out: Path) -> str:
    columns, rows = _cells(table)
    run = module.init(project=PROJECT, dir=str(out), save_code=False, settings=module.Settings(x_disable_stats=True,
                      disable_git=True, console="off", x_disable_meta=True))  # fmt: skip
    run.log({"claims": module.Table(columns=columns, data=rows, allow_mixed_types=True)})
    run.summary.update(dict(metrics))
    run.finish()
    return f"logged offline under {out / 'wandb'}; `wandb sync` sends it"


def _trackio(module: Any, metrics: Mapping[str, float], table: Sheet, out: Path) -> str:
    module.init(project=PROJECT, embed=False, auto_log_gpu=False, auto_log_cpu=False)
    module.log(dict(metrics))
    module.finish()
    return f"logged {len(metrics)} numbers of {len(table.rows)} claims under {out / 'trackio'}"


def _mlflow(module: Any, metrics: Mapping[str, float], table: Sheet, out: Path) -> str:
    columns, rows = _cells(table)
    home = (out / "mlflow").resolve()
    home.mkdir(parents=True, exist_ok=True)
    module.set_tracking_uri(f"sqlite:///{home / 'mlflow.db'}")
    found = module.get_experiment_by_name(PROJECT)
    one = (
        found.experiment_id if found else module.create_experiment(PROJECT, artifact_location=(home / "files").as_uri())
    )
    with module.start_run(experiment_id=one):
        module.log_metrics(dict(metrics))
        module.log_dict({"columns": columns, "rows": rows}, "claims.json")
    return f"logged into {home / 'mlflow.db'}; `mlflow ui --backend-store-uri sqlite:///{home / 'mlflow.db'}` shows it"


def _tensorboard(module: Any, metrics: Mapping[str, float], table: Sheet, out: Path) -> str:
    from slitlamp.paper.tables import as_markdown

    with module.SummaryWriter(log_dir=str(out / "tensorboard")) as writer:
        for name, value in metrics.items():
            writer.add_scalar(name, value)
        writer.add_text("claims", as_markdown(table))
    return f"logged under {out / 'tensorboard'}; `tensorboard --logdir {out / 'tensorboard'}` shows it"


TRACKERS: dict[str, tuple[str, Callable[..., str]]] = {
    "wandb": ("wandb", _wandb),
    "mlflow": ("mlflow", _mlflow),
    "tensorboard": ("torch.utils.tensorboard", _tensorboard),
    "trackio": ("trackio", _trackio),
}
