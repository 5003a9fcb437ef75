#!/bin/sh
# Each public header compiles alone, as C11 and as C++17, with gcc and clang.
#
#   headers.sh SOURCE_DIR BUILD_DIR
set -eu
cd "$1"
flags="-Wall -Wextra -Wpedantic -Wconversion -Wno-sign-conversion -Werror -fsyntax-only -Iinclude -I$2/services/caw_services.caw"
count=0
# The adapters' headers want those of the loops that they adapt to.
# libuv's header does not compile without POSIX names.
hosts="$(pkg-config --cflags libuv glib-2.0 libevent | sed 's/-I/-isystem /g') -D_POSIX_C_SOURCE=200809L"
for header in include/caw/*.h include/caw/adapters/*.h; do
  extra=
  case $header in include/caw/adapters/*) extra=$hosts ;; esac
  line="#include <${header#include/}>
extern int not_empty;"
  # shellcheck disable=SC2086 -- a list of flags
  for compiler in gcc clang-14; do echo "$line" | $compiler -std=c11 $flags $extra -x c -; done
  # shellcheck disable=SC2086
  for compiler in g++ clang++-14; do echo "$line" | $compiler -std=c++17 $flags $extra -x c++ -; done
  count=$((count + 1))
done
[ "$count" -gt 10 ] || { echo "only $count headers found"; exit 1; }
echo "$count headers compile alone"
