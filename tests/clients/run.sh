#!/usr/bin/env bash
# Other people's clients against a device: OpenAI's own library and llm-comply. Needs Python 3.10 or later and the packages of
# requirements.txt, which are installed into a virtual environment. TRICORN is the binary; by default a debug build of it.
set -euo pipefail
cd "$(dirname "$0")"
root=../..

venv=${VENV:-$root/target/clients-venv}
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
fi
"$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt

if [ -z "${TRICORN:-}" ]; then
    cargo build --manifest-path "$root/Cargo.toml" -p tricorn-cli
    TRICORN=$root/target/debug/tricorn
fi
export TRICORN
"$venv/bin/python" -m unittest --verbose "$@"
