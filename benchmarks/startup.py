"""Start-up beside a command that imports eagerly what this project uses, and a rerun answered from the store.

CPU seconds of child processes, interleaved; the median of the rounds' ratios is the figure.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
EAGER = "import torch, torchvision, timm, open_clip, transformers, scipy.linalg, h5py, matplotlib.figure"
RERUN = ["-m", "experiments.linear_probe", "--encoder", "random:phantom-clip", "--task", "orientation", "--items", "40",
         "--permutations", "99"]  # fmt: skip
WATCH = (
    "import sys, runpy; sys.argv = sys.argv[1:]\n"
    "try: runpy.run_module('experiments.linear_probe', run_name='__main__')\n"
    "except SystemExit as end: assert not end.code, end.code\n"
    "assert 'torch' not in sys.modules and 'timm' not in sys.modules, 'a rerun imported torch'"
)


def cpu_seconds(words: list[str], environment: dict[str, str]) -> float:
    """CPU time of one child process and its own children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(rounds: int = 3) -> None:
    """Print the ratios and assert that a rerun imports neither torch nor timm."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"SLITLAMP_CACHE": f"{folder}/store", "OMP_NUM_THREADS": "1"}
        rerun = [*RERUN, "--out", f"{folder}/out"]
        first = cpu_seconds(rerun, environment)
        assert cpu_seconds(["-c", WATCH, *rerun[1:]], environment) < first
        eager, helped, again = [], [], []
        for _ in range(rounds):
            eager.append(cpu_seconds(["-c", EAGER], environment))
            helped.append(cpu_seconds(["-m", "experiments.linear_probe", "--help"], environment))
            again.append(cpu_seconds(rerun, environment))
    ratio = statistics.median(e / h for e, h in zip(eager, helped, strict=True))
    print(f"eager imports      {statistics.median(eager):7.2f} CPU s")
    print(f"--help             {statistics.median(helped):7.2f} CPU s   {ratio:.0f}x   (goal 40x and <= 0.5 s)")
    print(f"first run, 40 items{first:7.2f} CPU s")
    print(f"rerun from store   {statistics.median(again):7.2f} CPU s   (goal <= 1.5 s, without torch: asserted)")


if __name__ == "__main__":
    main()
