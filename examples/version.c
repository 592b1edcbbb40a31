/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The smallest program that uses the library: prints its version and checks that the header and the
 * library are of one version.
 *
 *	cc version.c $(pkg-config --cflags --libs viommu)
 */
#include <stdio.h>
#include <string.h>

#include <viommu/version.h>

int main(void)
{
	printf("libviommu %s\n", viommu_version());
	return strcmp(viommu_version(), VIOMMU_VERSION) != 0;
}
