#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# deps.sh SET...: makes sure that the Debian packages of the named sets are installed.
#
#   build   what 'make demo', 'make bench' and 'make install' need
#   check   what 'make check', 'make check-long' and 'make mutants' need besides
#
# Quick when nothing is missing. As root it installs what is; otherwise it prints the command and
# exits 1. On a system without dpkg it only looks for the commands.
set -eu

build_packages="gcc libc6-dev make meson ninja-build pkg-config libjansson-dev"
check_packages="clang clang-format libclang-rt-14-dev llvm g++ libcmocka-dev python3 valgrind acpica-tools"
# What scripts/vm-kernel.py builds a kernel with.
check_packages="$check_packages bc bison flex libelf-dev xz-utils"

packages= commands=
for set in "$@"; do
	case $set in
	build)	packages="$packages $build_packages"
		commands="$commands gcc meson ninja pkg-config" ;;
	check)	packages="$packages $build_packages $check_packages"
		commands="$commands gcc g++ clang clang-format meson ninja pkg-config python3 iasl"
		commands="$commands bc bison flex xz" ;;
	*)	echo "deps.sh: no set '$set'" >&2; exit 2 ;;
	esac
done

if ! command -v dpkg-query >/dev/null; then
	for c in $commands; do
		command -v "$c" >/dev/null || { echo "deps.sh: please install $c" >&2; exit 1; }
	done
	exit 0
fi

# One query for all; a package that dpkg never heard of only shows by its absence.
installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' $packages 2>/dev/null || true)
missing=
for p in $packages; do
	case "
$installed
" in
	*"
$p installed
"*) ;;
	*)	missing="$missing $p" ;;
	esac
done
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" != 0 ]; then
	echo "Packages are missing. Run this, then try again:" >&2
	echo "    sudo apt-get update && sudo $install" >&2
	exit 1
fi

echo "Installing$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt-get update && $install; } >"$log" 2>&1 </dev/null; then
	tail -n 20 "$log" >&2
	echo "deps.sh: could not install$missing" >&2
	exit 1
fi
