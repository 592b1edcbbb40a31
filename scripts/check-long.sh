#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# check-long.sh [TARGET...]: what takes too long for every commit. Without arguments
#
#   - every fuzz target with libFuzzer under ASan and UBSan, RUNS inputs each (a million), from its
#     corpus; what it finds is left in build/findings
#   - the property tests and simulations with loops VIOMMU_SCALE (20) times as long
#   - the tests with threads under ThreadSanitizer, the same
#
# With arguments only these fuzz targets. The last line is the count of what passed and failed, the
# exit status 0 if nothing failed. FUZZ_SEED repeats a campaign.
set -eu
cd "$(dirname "$0")/.."

: "${JOBS:=$(nproc)}" "${RUNS:=1000000}" "${VIOMMU_SCALE:=20}"
: "${FUZZ_SEED:=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}"
export VIOMMU_SCALE
passed=0 failed=0

scripts/deps.sh check

# step NAME COMMAND...: runs it and counts it
step()
{
	name=$1; shift
	begin=$(date +%s)
	echo "== $name"
	if "$@" </dev/null; then
		passed=$((passed + 1)) verdict=passed
	else
		failed=$((failed + 1)) verdict=FAILED
	fi
	echo "== $name $verdict after $(($(date +%s) - begin)) s"
}

# build COMPILER DIR OPTION...
build()
{
	compiler=$1 dir=$2; shift 2
	[ -f "build/$dir/build.ninja" ] ||
		CC=$compiler meson setup "build/$dir" -Dtests=enabled "$@" || return 1
	ninja -C "build/$dir" -j "$JOBS"
}

# fuzz TARGET: new inputs go to build/findings/TARGET/corpus, the kept corpus is only read.
fuzz()
{
	found=$PWD/build/findings/$1
	# A script of calls: longer ones repeat themselves and only take time.
	case $1 in
	mem) longest=256 ;;
	*) longest=4096 ;;
	esac
	mkdir -p "$found/corpus"
	ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 \
		UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
		"build/fuzz/tests/fuzz/libfuzzer-$1" -runs="$RUNS" -seed="$FUZZ_SEED" -max_len=$longest \
		-timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
		-artifact_prefix="$found/" "$found/corpus" "tests/fuzz/corpus/$1"
}

targets=$(sed -n 's/^\([a-z0-9_-]*\):.*/\1/p' tests/fuzz/targets)

step "fuzz build" build clang fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false \
	-Dc_args=-fno-sanitize-recover=all --buildtype=debugoptimized
echo "fuzz seed $FUZZ_SEED"
for t in ${*:-$targets}; do
	step "fuzz $t, $RUNS runs" fuzz "$t"
done

if [ $# = 0 ]; then
	step "build" build gcc gcc -Dwerror=true
	step "property and sim, $VIOMMU_SCALE times as long" meson test -C build/gcc --no-rebuild \
		--num-processes "$JOBS" --print-errorlogs --timeout-multiplier 40 \
		--logbase check-long --suite property --suite sim
	step "thread build" build clang tsan -Db_sanitize=thread -Db_lundef=false -Dmarker=seqcst
	step "threads under TSan" meson test -C build/tsan --no-rebuild \
		--num-processes "$JOBS" --print-errorlogs --timeout-multiplier 100 \
		--logbase check-long --suite threads
fi

echo "$passed passed, $failed failed"
[ $failed = 0 ]
