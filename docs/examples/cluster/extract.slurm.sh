#!/bin/bash
#SBATCH --job-name=slitlamp-extract
#SBATCH --array=1-8
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@60
# Each task of the array encodes one part of the images into a store that all nodes share:
#     sbatch docs/examples/cluster/extract.slurm.sh --encoder biomedclip --data /shared/films
# SIGTERM, a minute before the time is over, closes the open shard; a task that is given again encodes what is missing.
# Without SLURM, `bash docs/examples/cluster/extract.slurm.sh --encoder …` encodes all of them.
set -eu
export SLITLAMP_CACHE=${SLITLAMP_CACHE:?name a folder that all nodes share}
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
task=${SLURM_ARRAY_TASK_ID:-1}
tasks=${SLURM_ARRAY_TASK_MAX:-1}
# `exec`: the signal of SLURM reaches Python itself
exec "${PYTHON:-python}" -m experiments.extract --offline --shard "$task/$tasks" "$@"
