/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Decodes MOVDIR64B, for a processor that lacks it: 66 [prefixes] [REX] 0F 38 F8 /r with a memory
 * operand in any form of 64-bit mode. Source is the memory operand, the destination's address is
 * in the register operand (in ES, whose base is 0).
 */
#ifndef VIOMMU_GUEST_MOVDIR64B_H
#define VIOMMU_GUEST_MOVDIR64B_H

#include <stdbool.h>
#include <stdint.h>

/* Registers by their number in an instruction: ax cx dx bx sp bp si di r8 ... r15. */
struct movdir64b_registers {
	uint64_t r[16];
	uint64_t rip; /* of the instruction */
	uint64_t fs_base, gs_base;
};

struct movdir64b {
	uint64_t source, destination;
	unsigned int length; /* bytes of the instruction */
};

/*
 * The bytes of the code are read one by one, since the page after the instruction need not be
 * there. False if it is another instruction.
 */
bool movdir64b_decode(struct movdir64b *out, const uint8_t *code,
		      const struct movdir64b_registers *registers);

/* Makes the process's SIGILL handler this one; others than MOVDIR64B kill as before. */
void movdir64b_install(void);

#endif /* VIOMMU_GUEST_MOVDIR64B_H */
