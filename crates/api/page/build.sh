#!/usr/bin/env bash
# Builds the page into dist/, which is committed, and notes from which sources. Needs Node 20 or later with npm.
set -euo pipefail
cd "$(dirname "$0")"

npm ci --no-audit --no-fund
npm run build
find . -type f -not -path './node_modules/*' -not -name SHA256SUMS | LC_ALL=C sort | sed 's|^\./||' | xargs sha256sum >SHA256SUMS
