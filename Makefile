# The front door. The build itself is CMake's (CMakePresets.json).
#
#   make          builds the release; installs nothing
#   make run      installs what is missing, builds, starts chatd with its data in ./var
#   make test     installs what is missing, builds and runs everything that must pass
#   make fuzz     runs each fuzz target for FUZZ_SECONDS (60)
#   make soak     runs the long forms of tests (scripts/soak); ONLY="crash ..."
#   make conformance  runs the official Protocol Buffers conformance suite (npm, apt)
#   make bench    measures beside gRPC C++ and Node; ONLY=part,... RESULTS=bench/RESULTS.md
#   make bench-store  measures the chat server's store beside SQLite alone
#   make bench-instructions  fails when a request costs 3 % more instructions than committed
#   make format   formats the C code
#   make coverage runs the tests with coverage and prints it by file
#   make install  installs under PREFIX (/usr/local), with DESTDIR
#   make clean    removes build/

PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
ARGS ?=

.PHONY: all run test fuzz soak conformance bench bench-instructions bench-build bench-store format coverage install clean
all: build/build.ninja
	cmake --build build -j $(JOBS)

# The tests' packages need not be there for a release.
build/build.ninja: CMakeLists.txt CMakePresets.json
	cmake --preset release -DCMAKE_INSTALL_PREFIX=$(PREFIX) -DCAW_BUILD_TESTS=OFF

run:
	scripts/setup build
	$(MAKE) --no-print-directory all
	@printf '%s\n' '' 'Two people talk, each in a terminal of their own:' '' \
	  '  build/bin/chat --as ann register && build/bin/chat --as ann create hall' \
	  '  build/bin/chat --as bob register && build/bin/chat --as bob join hall && build/bin/chat --as bob tail hall --follow' \
	  "  build/bin/chat --as ann send hall 'Hello, Bob!'" ''
	exec build/bin/chatd $(ARGS)

test:
	scripts/setup test
	scripts/test

fuzz:
	scripts/setup test
	scripts/fuzz $(FUZZ_SECONDS)

soak:
	scripts/setup test
	scripts/soak $(ONLY)

conformance:
	scripts/setup test
	scripts/conformance

bench-build:
	scripts/setup bench
	cmake -G Ninja -S . -B build/bench -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCAW_BENCH=ON -DCAW_BUILD_TESTS=OFF
	cmake --build build/bench -j $(JOBS)

bench: bench-build
	mkdir -p build/bench/node
	cp bench/peers/node/*.js* build/bench/node
	cd build/bench/node && npm ci --no-audit --no-fund
	bench/run.py $(if $(ONLY),--only $(ONLY)) $(if $(RESULTS),--results $(RESULTS))

bench-store: bench-build
	mkdir -p build/bench/store
	build/bench/bin/bench-store build/bench/store

bench-instructions: bench-build
	bench/run.py --instructions

format:
	git ls-files '*.c' '*.h' | grep -v '/gen/' | xargs clang-format-14 -i

coverage:
	scripts/setup test
	scripts/coverage

install: all
	DESTDIR=$(DESTDIR) cmake --install build --prefix $(PREFIX)

clean:
	rm -rf build
