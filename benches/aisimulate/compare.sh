#!/usr/bin/env bash
# Simulation speed of Rollcast and of NVIDIA AISimulate on one rollout, in one go on one machine.
#
#   benches/aisimulate/compare.sh [ROLLCAST]      the binary; by default target/release/rollcast
#
# All files go to a scratch folder that is removed at the end (pip keeps its own cache). See README.md beside this
# file.
set -euo pipefail

version=0.13.0.dev202610270000000085
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
rollcast=${1:-${CARGO_TARGET_DIR:-$here/../../target}/release/rollcast}
rollcast=$(realpath -m "$rollcast")

skip() {
  echo "SKIPPED: $1"
  exit 0
}

if [[ ! -x $rollcast ]]; then
  echo "error: no rollcast binary; build it with \`cargo build --release\`" >&2
  exit 1
fi

python=
for candidate in python3 python3.13 python3.12 python3.11; do
  if "$candidate" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
[[ -n $python ]] || skip "AISimulate needs Python 3.11 to 3.13 with the venv module"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp "$rollcast" "$scratch/rollcast" # one binary throughout, whatever is built meanwhile
export PIP_DISABLE_PIP_VERSION_CHECK=1

"$python" -m venv "$scratch/venv" >"$scratch/venv.log" 2>&1 ||
  skip "no virtual environment: $(tail -n 1 "$scratch/venv.log")"
echo "installing aisimulate==$version into a scratch environment" >&2
"$scratch/venv/bin/pip" install --quiet "aisimulate==$version" >"$scratch/pip.log" 2>&1 ||
  skip "pip did not install aisimulate==$version: $(grep -m 1 ERROR "$scratch/pip.log" || tail -n 1 "$scratch/pip.log")"

"$scratch/venv/bin/python" "$here/compare.py" "$scratch/rollcast" "$scratch/venv/bin/aisimulate" "$scratch"
