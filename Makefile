# The verbs. Meson does the work, in the build directory $(BUILD); the head of meson.build is the
# manual, docs/testing.md tells about the tests. Options: T=name runs only the tests with that
# name or of that suite; WERROR=true makes warnings errors (so does CI=true).
#
#   make            installs what is missing (Debian) and builds build/holdfast
#   make test       all tests; ends with "N passed, N failed, N skipped"
#   make demo       shows a backup, a restore and a check by restic of what was written
#   make asan       all tests with AddressSanitizer and UBSan; tsan: ThreadSanitizer; clang: clang
#   make lint       formatter, analyzers, spelling, layers; make format: repairs the form
#   make fuzz       F=parser S=seconds: looks for inputs that crash a parser (all of them, 60)
#   make interop    only the tests against other programs; INTEROP=full: with the sources of Linux
#   make model      checks the models of the lock protocol; MODEL=full: with larger bounds
#   make sim        N=1000000 SEED=1: so many schedules of the simulator of leases, from that seed on
#   make torture    those with faults and damage, with more of them; make scale: those with a million files
#   make locks      those about locks, in their long form; STORY=real: once more without haste
#   make cache      those about the cache, in their long form
#   make cache-stress S=3600  many processes on one cache for so long; SEED=1: with these choices
#   make stores     those about stores, each over every server
#   make beside-borg  writes docs/with-lock-beside-borg.md from what is seen
#   make beside-restic  writes docs/cache-beside-restic.md from what is seen
#   make compat     writes docs/compatibility.md from the help of both programs
#   make bench      measures, beside restic and Borg
#   make install    PREFIX=/usr/local DESTDIR=
#   make clean      removes the build directories

BUILD   = build
PREFIX  = /usr/local
DESTDIR =
T       =
F       =
S       = 60
INTEROP =
STORY   =
MODEL   =
N       = 1000000
SEED    = 1
WERROR  = $(if $(filter true,$(CI)),true,false)

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@tools/deps build
	meson setup --prefix=$(PREFIX) -Dwerror=$(WERROR) $(BUILD)

test: all peers
	@tools/run-tests -C $(BUILD) $(T)

# Other backup programs to compare with. Without them the tests that need them are skipped, which
# CI=true does not accept.
peers:
	@tools/deps test peers model
	@tools/peers || [ "$(CI)" != true ]

demo: all peers
	@tools/deps demo
	@tools/demo $(BUILD)/holdfast

interop: all peers
	@[ "$(INTEROP)" != full ] || tools/deps full
	@INTEROP=$(INTEROP) tools/run-tests -C $(BUILD) --scale $(if $(INTEROP),10,1) interop

model:
	@tools/deps model
	@MODEL=$(MODEL) tools/model --build $(BUILD)/model

sim: all
	@$(BUILD)/tests/sim/sim --schedules $(N) --seed $(SEED)

torture: all peers
	@TORTURE=long tools/run-tests -C $(BUILD) --scale 10 torture damage

locks: all peers
	@LOCKS=long STORY=$(STORY) tools/run-tests -C $(BUILD) --scale 10 locks

cache-stress: all peers
	@PYTHONPATH=tests/harness HOLDFAST=$(abspath $(BUILD)/holdfast) CACHE_STRESS=$(S) \
		CACHE_STRESS_SEED=$(if $(filter file,$(origin SEED)),,$(SEED)) \
		python3 -B tests/cache/test_cache_stress.py

stores: all peers
	@tools/deps ceph
	@STORES=full tools/run-tests -C $(BUILD) --scale 10 store servers

beside-borg: all peers
	@PYTHONPATH=tests/harness python3 tests/locks/test_beside_borg.py --write

compat: all peers
	@tools/compat --write

cache: all peers
	@CACHE=long tools/run-tests -C $(BUILD) --scale 10 cache

beside-restic: all peers
	@PYTHONPATH=tests/harness STOPAT=$(abspath $(BUILD))/tests/cache/stopat \
		python3 tests/cache/test_beside_restic.py --write

scale: all peers
	@SCALE=full tools/run-tests -C $(BUILD) --scale 10 scale

# The same tests, built otherwise.
asan tsan: peers
	@tools/deps build
	@tools/setup $@
	@ninja -C build-$@
	@tools/run-tests -C build-$@ --scale 4 $(T)

clang: peers
	@tools/deps build clang
	@tools/setup $@
	@ninja -C build-$@
	@tools/run-tests -C build-$@ $(T)

lint: all
	@tools/deps lint
	@tools/lint

format:
	@tools/deps lint
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i

fuzz:
	@tools/deps build fuzz
	@tools/fuzz $(S) $(F)

# delayfs is built only if FUSE was there when the build directory was set up.
bench: all peers
	@tools/deps bench
	@[ -x $(BUILD)/bench/delayfs ] || { meson setup --reconfigure $(BUILD) && ninja -C $(BUILD); }
	@tools/bench $(BUILD)

install: all
	DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf build build-asan build-tsan build-clang build-fuzz build-analyzer

.PHONY: all test peers demo compat interop model sim torture locks cache cache-stress stores beside-borg beside-restic scale asan tsan clang lint format fuzz bench install clean
