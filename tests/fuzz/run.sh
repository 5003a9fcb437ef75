#!/bin/sh
# Runs a fuzz target for some seconds, from the committed corpus and what earlier
# runs have found.
#
#   run.sh TARGET CORPUS SECONDS
set -eu
found=$(dirname "$1")/../corpus/$(basename "$1")
mkdir -p "$found"
if [ ! -d "$2" ]; then
  echo "no corpus: $2" >&2
  exit 1
fi
exec "$1" -max_total_time="$3" -print_final_stats=1 -artifact_prefix="$found." "$found" "$2"
