/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Uses MOVDIR64B: exit status 0 if it stored 64 bytes. In a guest without the instruction this
 * dies by SIGILL, unless the library of movdir64b.c is preloaded.
 */
#include <stdint.h>
#include <string.h>

static uint8_t from[64], to[192] __attribute__((aligned(64)));

int main(void)
{
	unsigned int i;

	for (i = 0; i < sizeof(from); i++)
		from[i] = i * 7 + 1;
	__asm__ volatile("movdir64b (%0), %1" : : "r"(from), "r"(to + 64) : "memory");
	if (memcmp(to + 64, from, sizeof(from)))
		return 1;
	for (i = 0; i < 64; i++) {
		if (to[i] || to[128 + i])
			return 2;
	}
	return 0;
}
