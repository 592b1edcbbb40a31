/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One version everywhere: the build's, the header's, the library's.
 */
#include <viommu/version.h>

#include "lib/test.h"

static void version_is_the_same_everywhere(void **state)
{
	char text[32];

	(void)state;
	snprintf(text, sizeof(text), "%d.%d.%d", VIOMMU_VERSION_MAJOR, VIOMMU_VERSION_MINOR,
		 VIOMMU_VERSION_PATCH);
	assert_string_equal(text, PROJECT_VERSION);
	assert_string_equal(VIOMMU_VERSION, PROJECT_VERSION);
	assert_string_equal(viommu_version(), PROJECT_VERSION);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(version_is_the_same_everywhere),
};
TEST_MAIN(tests)
