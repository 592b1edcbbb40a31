#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# unit_file.sh UNIT TOOL: what systemd-analyze says of the unit template. TAP.
set -u
unit=$1 tool=$(realpath "$2")
echo 1..2
if ! command -v systemd-analyze >/dev/null; then
	echo "ok 1 - unit_is_well_formed # SKIP no systemd-analyze"
	echo "ok 2 - unit_is_exposed_to_little # SKIP no systemd-analyze"
	exit
fi
where=$(mktemp -d)
trap 'rm -rf "$where"' EXIT
# An instance of it that starts the tool where it was built.
sed "s:^ExecStart=[^ ]*:ExecStart=$tool:" "$unit" >"$where/viommu@vm.service"
grep -q "^ExecStart=$tool serve " "$where/viommu@vm.service" &&
	systemd-analyze verify --man=no --recursive-errors=no "$where/viommu@vm.service" >"$where/log" 2>&1 &&
	[ ! -s "$where/log" ]
status=$?
sed 's/^/# /' "$where/log"
[ $status = 0 ] || printf 'not '
echo "ok 1 - unit_is_well_formed"

# 0.0 is nothing, 10.0 everything; the threshold is in tenths.
systemd-analyze security --offline=true --threshold=20 --no-pager "$where/viommu@vm.service" \
	>"$where/log" 2>&1
status=$?
tail -n 1 "$where/log" | sed 's/^/# /'
[ $status = 0 ] || { sed 's/^/# /' "$where/log"; printf 'not '; }
echo "ok 2 - unit_is_exposed_to_little"
