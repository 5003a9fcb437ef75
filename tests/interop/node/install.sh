#!/bin/sh
# Installs what tests in JavaScript need into a folder of the build, as a lock file says,
# the one of this folder unless another is named:
#   install.sh FOLDER [WHERE-THE-LOCK-FILE-IS]
# Does nothing when it is there already. No script of a package is run.
set -eu
from=$(cd "${2:-$(dirname "$0")}" && pwd)
mkdir -p "$1"
cd "$1"
cmp -s "$from/package-lock.json" installed.json && exit 0
rm -f installed.json
cp "$from/package.json" "$from/package-lock.json" .
# The registry may stumble; three tries.
for try in 1 2 3; do
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && break
  [ "$try" -lt 3 ] || exit 1
done
cp package-lock.json installed.json
