#!/bin/sh
# Each public header compiles alone, as C11 and as C++17, with gcc and clang.
#
#   headers.sh SOURCE_DIR
set -eu
cd "$1"
flags="-Wall -Wextra -Wpedantic -Wconversion -Wno-sign-conversion -Werror -fsyntax-only -Iinclude"
count=0
for header in include/caw/*.h; do
  line="#include <caw/$(basename "$header")>
extern int not_empty;"
  # shellcheck disable=SC2086 -- a list of flags
  for compiler in gcc clang-14; do echo "$line" | $compiler -std=c11 $flags -x c -; done
  # shellcheck disable=SC2086
  for compiler in g++ clang++-14; do echo "$line" | $compiler -std=c++17 $flags -x c++ -; done
  count=$((count + 1))
done
[ "$count" -gt 10 ] || { echo "only $count headers found"; exit 1; }
echo "$count headers compile alone"
