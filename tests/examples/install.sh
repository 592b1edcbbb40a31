#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# install.sh ROOT BUILD VM COMPILER...: installs both libraries into an empty folder, builds
# examples/sva_device.c from a copy outside of the tree with the flags of pkg-config, and lets the
# scripted VM use what came out. TAP: the VM's tests, or one that failed.
set -u
root=$1 build=$2 vm=$3; shift 3
dest=$(mktemp -d)
trap 'rm -rf "$dest"' EXIT

fail()
{
	sed 's/^/# /' "$dest/log"
	echo 1..1
	echo "not ok 1 - $1"
	exit 1
}

DESTDIR=$dest/root meson install -C "$build" --no-rebuild >"$dest/log" 2>&1 || fail install
pc=$(find "$dest/root" -name viommu-server.pc)
lib=$(dirname "$(find "$dest/root" -name libviommu-server.so)")
PKG_CONFIG_PATH=$(dirname "$pc") PKG_CONFIG_SYSROOT_DIR=$dest/root
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
cp "$root/examples/sva_device.c" "$dest" && cd "$dest" || fail copy
flags=$(pkg-config --cflags --libs viommu viommu-server 2>"$dest/log") || fail pkg-config
# Nothing of the tree may help.
"$@" -Wall -Wextra -Werror -o sva_device sva_device.c $flags >"$dest/log" 2>&1 || fail compile

LD_LIBRARY_PATH=$lib VIOMMU_SVA_DEVICE=$dest/sva_device "$vm"
