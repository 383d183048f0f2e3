"""The wheel alone, without the development group, runs the first command and the doctor in an empty environment."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.paths import ROOT

UV = str(ROOT / "uv")


def run(*words: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")}
    return subprocess.run(words, cwd=cwd, env=kept | more, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_wheel_runs_the_first_command_and_the_doctor_without_the_dev_group(tmp_path: Path) -> None:
    built = run(UV, "build", "--quiet", "--wheel", "--out-dir", str(tmp_path / "dist"), cwd=ROOT)
    assert built.returncode == 0, built.stderr
    wheel = next((tmp_path / "dist").glob("*.whl"))
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]["constraint-dependencies"]
    (tmp_path / "pins.txt").write_text("\n".join(pins))
    bare = tmp_path / "bare"
    assert run(UV, "venv", "--quiet", "--python", sys.executable, str(bare), cwd=tmp_path).returncode == 0
    python = str(bare / "bin" / "python")
    installed = run(
        UV, "pip", "install", "--quiet", "--python", python, "--constraint", str(tmp_path / "pins.txt"), str(wheel),
        cwd=tmp_path,
    )  # fmt: skip
    assert installed.returncode == 0, installed.stderr
    away = tmp_path / "away"
    away.mkdir()
    place = {"SLITLAMP_CACHE": str(tmp_path / "store")}
    words = (
        "-m experiments.linear_probe --encoder phantom-clip --task mirror --items 30 --permutations 19 --twins 0 "
        "--site pooled"
    )
    first = run(python, *words.split(), cwd=away, **place)
    assert first.returncode == 0, first.stderr
    assert "mirror · phantom-clip" in first.stdout
    assert (away / "runs" / "linear_probe" / "layers.pdf").exists()
    doctor = run(python, "-m", "experiments.doctor", cwd=away, **place)
    assert doctor.returncode == 0, doctor.stdout
    assert "FAILED" not in doctor.stdout
    listed = run(python, "-m", "experiments.list", "encoders", "--json", cwd=away, **place)
    assert listed.returncode == 0, listed.stderr
