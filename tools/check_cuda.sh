#!/usr/bin/env bash
# Builds and lints the engine with the feature `cuda`; where a GPU is, runs the tests on it. Needs the CUDA compiler; without one it says so.
# CUDA_HOME names the toolkit where nvcc is not on PATH; CUDA_COMPUTE_CAP the GPU (90 for Hopper) where none is in this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ -n "${CUDA_HOME:-}" ]]; then
    export PATH="$CUDA_HOME/bin:$PATH"
fi
if ! command -v nvcc >/dev/null; then
    echo "skipped: no nvcc; install the CUDA toolkit, or set CUDA_HOME to it"
    exit 0
fi
if ! command -v nvidia-smi >/dev/null || ! nvidia-smi --list-gpus >/dev/null 2>&1; then
    export CUDA_COMPUTE_CAP="${CUDA_COMPUTE_CAP:-80}"
    echo "== build for compute capability $CUDA_COMPUTE_CAP (no GPU here, so nothing is run)"
    cargo build -p tricorn-model --features cuda
    cargo clippy -p tricorn-model --features cuda -- -D warnings
    exit 0
fi
echo "== tests"
TRICORN_TEST_DEVICE=cuda:0 cargo test --release -p tricorn-model --features cuda --test integration accelerator
