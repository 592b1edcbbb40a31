#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# check.sh [STAGE...]: everything that 'make check' runs, cheap stages first; without arguments all
# of them. A build that fails in the first stage ends the run at once. After that every stage runs,
# and the last lines say what failed and sum up the TAP subtests of all:
#
#     N passed, N failed, N skipped
#
# A stage that could not run counts as one failure. Exit status 0 if nothing failed and something
# ran. From the environment: JOBS, the number of parallel jobs (the number of processors if not
# set); VIOMMU_SEED and VIOMMU_SCALE, see tests/lib/test.h.
set -eu
cd "$(dirname "$0")/.."

all_stages="tidy unit property clang asan coverage tsan sim examples vm"
stages=${*:-$all_stages}
for s in $stages; do
	case " $all_stages " in
	*" $s "*) ;;
	*) echo "check.sh: no stage '$s' (there are: $all_stages)" >&2; exit 2 ;;
	esac
done

: "${JOBS:=$(nproc)}"
passed=0 failed=0 skipped=0 failures=
# Progress is for a terminal; a log gets warnings and errors.
quiet=--quiet
[ ! -t 1 ] || quiet=

scripts/deps.sh check

# build COMPILER DIR TARGET [OPTION...]: set up build/DIR once and build the target in it.
build()
{
	compiler=$1 dir=$2 target=$3; shift 3
	if [ ! -f "build/$dir/build.ninja" ]; then
		rm -rf "build/$dir"
		CC=$compiler meson setup "build/$dir" -Dtests=enabled "$@" >"build/$dir.log" 2>&1 || {
			cat "build/$dir.log"
			return 1
		}
	fi
	ninja -C "build/$dir" -j "$JOBS" $quiet "$target"
}

# suites DIR MULTIPLIER SUITE...: run suites in a built directory, each test's timeout multiplied,
# and add up their subtests.
suites()
{
	dir=$1 multiplier=$2; shift 2
	log=check-$stage
	rm -f "build/$dir/meson-logs/$log.json"
	status=0
	meson test -C "build/$dir" --no-rebuild --num-processes "$JOBS" --print-errorlogs \
		--timeout-multiplier "$multiplier" --logbase "$log" \
		$(printf -- '--suite %s ' "$@") || status=$?
	add_up python3 scripts/tap-summary.py "build/$dir/meson-logs/$log.json" $status
}

# add_up COMMAND...: its last line is "PASSED FAILED SKIPPED". The lines before are shown: those that
# begin with FAILED at the end of all stages, the others at once.
add_up()
{
	out=$("$@") || out="$out
FAILED $1 $2
0 1 0"
	printf '%s\n' "$out" | sed '$d; /^FAILED /d'
	told=$(printf '%s\n' "$out" | sed -n "s/^FAILED /  $stage: /p")
	set -- $(printf '%s\n' "$out" | tail -n 1)
	[ "$2" = 0 ] || failures="$failures
${told:-  $stage: as it says above}"
	passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

build_gcc()
{
	build gcc gcc all -Dwerror=true
}

stage_tidy()
{
	build_gcc && suites gcc 1 tidy
}

stage_unit()
{
	build_gcc && suites gcc 1 unit abi
}

stage_property()
{
	build_gcc && suites gcc 1 property fuzz
}

stage_clang()
{
	build clang clang all -Dwerror=true && suites clang 1 unit
}

# The sanitizers look for bad accesses and races, not for rare tables, so long loops run shorter.
stage_asan()
{
	build gcc asan all -Db_sanitize=address,undefined \
		-Dc_args=-fno-sanitize-recover=all || return 1
	VIOMMU_SCALE=${VIOMMU_SCALE:-0.1}
	export VIOMMU_SCALE
	suites asan 5 unit property fuzz
}

stage_tsan()
{
	build clang tsan all -Db_sanitize=thread -Db_lundef=false -Dmarker=seqcst || return 1
	VIOMMU_SCALE=${VIOMMU_SCALE:-0.1}
	export VIOMMU_SCALE
	suites tsan 10 unit threads
}

stage_coverage()
{
	build gcc coverage fuzz-runners -Db_coverage=true --buildtype=debug || return 1
	add_up python3 scripts/fuzz-coverage.py build/coverage
}

stage_sim()
{
	build_gcc && suites gcc 1 sim
}

stage_examples()
{
	build_gcc && suites gcc 1 examples
}

stage_vm()
{
	build_gcc && suites gcc 1 vm
}

mkdir -p build
times=
scale=${VIOMMU_SCALE-}
for stage in $stages; do
	echo "== $stage"
	begin=$(date +%s)
	ran=yes
	"stage_$stage" </dev/null || ran=no
	VIOMMU_SCALE=$scale
	took=$(($(date +%s) - begin))
	times="$times
$(printf '  %-10s %3d min %02d s' "$stage" $((took / 60)) $((took % 60)))"
	if [ $ran = no ]; then
		failed=$((failed + 1))
		failures="$failures
  $stage: could not run"
		# Nothing else would build either.
		[ "$stage" != tidy ] || break
	fi
done

echo
echo "Time of each stage:$times"
[ -z "$failures" ] || echo "What failed:$failures"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $passed -gt 0 ]
