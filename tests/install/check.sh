#!/bin/sh
# Installs into an empty folder and builds examples/hello from there, once with
# CMake's find_package and once with pkg-config, and runs what was built. Also
# checks that the shared library shows nothing but caw_*.
#
#   check.sh SOURCE_DIR BUILD_DIR
set -eu
source=$1
build=$2
work=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi; rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/usr" >"$work/log"
library=$(find "$work/usr" -name 'libcaw.so')
libdir=$(dirname "$library")

foreign=$(nm -D --defined-only "$library" | awk '{print $3}' | grep -v '^caw_' || true)
if [ -n "$foreign" ]; then
  echo "libcaw.so exports more than caw_*:"
  echo "$foreign"
  exit 1
fi
if ldd "$library" | grep -q 'stdc++'; then
  echo "libcaw.so needs the C++ runtime"
  exit 1
fi

export LD_LIBRARY_PATH="$libdir"
cmake -S "$source/examples/hello" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$work/usr" \
  -DGREETER_PROTO_DIR="$source/proto" >"$work/log"
cmake --build "$work/cmake" >"$work/log" || { cat "$work/log"; exit 1; }

export PKG_CONFIG_PATH="$libdir/pkgconfig"
protoc --plugin="protoc-gen-caw=$work/usr/bin/protoc-gen-caw" --caw_out="$work" \
  -I "$source/proto" greeter.proto
# shellcheck disable=SC2046 -- a list of flags
cc -std=c11 -Wall -Wextra -Werror -I "$work" "$source/examples/hello/client.c" \
  "$work/greeter.caw.c" $(pkg-config --cflags --libs caw) -o "$work/client"
# The static library, beside a program whose names are those of Caw's inside.
echo 'int h2_recv(void); int h2_recv(void) { return 1; } int list_pop(void); int list_pop(void) { return 1; }' >"$work/names.c"
# shellcheck disable=SC2046
cc -std=c11 -I "$work" -I "$work/usr/include" "$source/examples/hello/client.c" \
  "$work/greeter.caw.c" "$work/names.c" "$libdir/libcaw.a" \
  $(pkg-config --libs $(pkg-config --print-requires-private caw)) -lpthread -o "$work/static-client"

"$work/cmake/hello-server" "unix:$work/socket" &
server=$!
# The client waits for nothing: the server must listen first, which is a flag of its socket.
for try in $(seq 600); do
  grep -q " 00010000 .* $work/socket\$" /proc/net/unix && break
  sleep 0.05
done
for client in "$work/cmake/hello-client" "$work/client" "$work/static-client"; do
  answer=$("$client" "unix:$work/socket")
  if [ "$answer" != "Hello, World!" ]; then
    echo "$client: got \"$answer\", wanted \"Hello, World!\""
    exit 1
  fi
done
echo "installed, built and run with CMake, pkg-config and libcaw.a"
