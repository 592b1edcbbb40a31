# SPDX-License-Identifier: BSD-3-Clause
#
# The commands of the README over meson. Everything is built below build/; on Debian, what is
# missing is installed when make runs as root, else the command that installs it is printed.

PYTHON ?= python3
PREFIX ?= /usr/local

.PHONY: all demo check check-long bench mutants install format clean

all: build/release/build.ninja
	ninja -C build/release

demo: build/release/build.ninja
	@ninja -C build/release --quiet cmd/viommu
	@build/release/cmd/viommu demo

bench: build/release/build.ninja
	@ninja -C build/release --quiet cmd/viommu
	@build/release/cmd/viommu bench $(BENCH)

check:
	@scripts/check.sh

check-long:
	@scripts/check-long.sh

mutants:
	@scripts/deps.sh check
	@$(PYTHON) scripts/mutants.py $(MUTANTS)

install: all
	meson install -C build/release --no-rebuild

format:
	@scripts/deps.sh check
	@$(PYTHON) tests/tidy/tidy.py . format --fix

clean:
	rm -rf build

build/release/build.ninja:
	@scripts/deps.sh build
	meson setup build/release --prefix=$(PREFIX) --buildtype=release -Dtests=disabled
