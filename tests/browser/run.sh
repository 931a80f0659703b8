#!/usr/bin/env bash
# Tests of the page in Chromium. Needs Node 20 or later with npm, and Chromium (Debian: apt-get install chromium; CHROMIUM names another).
# TRICORN=path/to/tricorn adds those against a real device and cloud.
set -euo pipefail
cd "$(dirname "$0")"

# What is there already needs no network.
npm ls >/dev/null 2>&1 || npm ci --no-audit --no-fund
exec node --test --test-concurrency=1 --test-timeout=120000 --test-reporter=spec
