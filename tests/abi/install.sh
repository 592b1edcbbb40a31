#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# install.sh ROOT BUILD COMPILER...: installs into an empty folder and uses what landed there as a
# program outside of the tree does: compiles an example with the flags of pkg-config, runs it and the
# tool. TAP.
set -u
root=$1 build=$2; shift 2
dest=$(mktemp -d)
trap 'rm -rf "$dest"' EXIT
n=0

# result NAME STATUS
result()
{
	n=$((n + 1))
	if [ "$2" = 0 ]; then echo "ok $n - $1"; else
		sed 's/^/# /' "$dest/log"
		echo "not ok $n - $1"
	fi
}

echo 1..7
DESTDIR=$dest meson install -C "$build" --no-rebuild >"$dest/log" 2>&1
result install_fills_an_empty_folder $?

pc=$(find "$dest" -name viommu.pc)
lib=$(dirname "$(find "$dest" -name 'libviommu.so' | head -n 1)")
PKG_CONFIG_PATH=$(dirname "$pc") PKG_CONFIG_SYSROOT_DIR=$dest
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
{
	flags=$(pkg-config --cflags --libs viommu) &&
	"$@" -o "$dest/version" "$root/examples/version.c" $flags &&
	LD_LIBRARY_PATH=$lib "$dest/version"
} >"$dest/log" 2>&1
result example_compiles_against_what_was_installed $?

cat >"$dest/serve.c" <<'EOF'
#include <viommu-server/server.h>

int main(void)
{
	struct viommu_server *server;

	if (viommu_server_new(NULL, &server))
		return 1;
	viommu_server_stop(server);
	return viommu_server_run(server);
}
EOF
{
	flags=$(pkg-config --cflags --libs viommu-server) &&
	"$@" -o "$dest/serve" "$dest/serve.c" $flags &&
	LD_LIBRARY_PATH=$lib "$dest/serve"
} >"$dest/log" 2>&1
result server_compiles_against_what_was_installed $?

LD_LIBRARY_PATH=$lib "$(find "$dest" -path '*/bin/viommu')" --version >"$dest/log" 2>&1
result installed_tool_runs $?

# Each public header, and nothing else, is installed.
for folder in viommu viommu-server; do
	(cd "$root/include/$folder" && ls -- *.h) >"$dest/want"
	(cd "$(find "$dest" -type d -path "*/include/$folder")" && ls) | diff "$dest/want" -
done >"$dest/log"
[ ! -s "$dest/log" ]
result every_public_header_is_installed $?

needed()
{
	readelf -d "$lib/$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'
}

# libc is the only library that it needs.
needed libviommu.so | grep -v -e '^libc\.so' -e '^ld-linux' >"$dest/log"
[ ! -s "$dest/log" ]
result library_needs_libc_alone $?

needed libviommu-server.so |
	grep -v -e '^libc\.so' -e '^ld-linux' -e '^libviommu\.so' -e '^libjansson\.so' >"$dest/log"
[ ! -s "$dest/log" ]
result server_needs_libviommu_and_jansson_besides $?
