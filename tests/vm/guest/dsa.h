/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the guest's tests know of DSA: a descriptor, a completion record, a portal. Written for
 * these tests after the public specification; nothing is shared with the device under test.
 */
#ifndef VIOMMU_GUEST_DSA_H
#define VIOMMU_GUEST_DSA_H

#include <stdbool.h>
#include <stdint.h>

enum dsa_opcode {
	DSA_NOOP = 0,
	DSA_BATCH = 1,
	DSA_DRAIN = 2,
	DSA_MEMMOVE = 3,
	DSA_FILL = 4,
	DSA_COMPARE = 5,
	DSA_COMPARE_PATTERN = 6,
	DSA_DUALCAST = 9,
	DSA_CRC = 0x10,
};

enum dsa_flag {
	DSA_FENCE = 0x1,
	DSA_BLOCK_ON_FAULT = 0x2,
	DSA_RECORD_VALID = 0x4,
	DSA_REQUEST_RECORD = 0x8,
	DSA_REQUEST_INTERRUPT = 0x10,
};

enum dsa_status {
	DSA_SUCCESS = 1,
	DSA_PAGE_FAULT = 3,
	DSA_REQUEST_INVALID = 4,
	DSA_BATCH_FAILED = 5,
	DSA_BAD_OPCODE = 0x10,
	DSA_RECORD_FAULT = 0x1a,
	DSA_READ_ERROR = 0x20,
	DSA_TRANSLATION_FAILED = 0x22,
};

#define DSA_STATUS_CODE  0x3f
#define DSA_STATUS_WRITE 0x80 /* the access that faulted was a write */

struct dsa_descriptor {
	uint32_t pasid;
	uint32_t flags_opcode; /* 23:0 flags, 31:24 opcode */
	uint64_t record;
	uint64_t source; /* also: fill pattern, list of a batch */
	uint64_t destination;
	uint32_t size; /* also: number of descriptors */
	uint16_t interrupt;
	uint16_t reserved;
	uint64_t operation[3];
} __attribute__((aligned(64)));

struct dsa_record {
	volatile uint8_t status;
	uint8_t result;
	uint8_t fault_info;
	uint8_t reserved;
	uint32_t completed;
	uint64_t fault_address;
	uint64_t operation[2];
} __attribute__((aligned(32)));

static inline void dsa_describe(struct dsa_descriptor *d, enum dsa_opcode opcode, uint32_t flags,
				volatile struct dsa_record *record, uint64_t source,
				uint64_t destination, uint32_t size)
{
	*d = (struct dsa_descriptor){
		.flags_opcode = (uint32_t)opcode << 24 | flags,
		.record = (uintptr_t)record,
		.source = source,
		.destination = destination,
		.size = size,
	};
	if (record) {
		record->status = 0;
		d->flags_opcode |= DSA_RECORD_VALID | DSA_REQUEST_RECORD;
	}
}

/*
 * Where MOVDIR64B is to be had it is one store; TCG has none, so eight in ascending order, which
 * the device puts together. All 64-byte slots of the portal's page are the same to it.
 */
static inline void dsa_submit(volatile void *portal, const struct dsa_descriptor *d)
{
	static unsigned int slot;
	volatile uint64_t *to = (volatile uint64_t *)((volatile char *)portal + slot++ % 64 * 64);
	const uint64_t *from = (const uint64_t *)d;
	int i;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (i = 0; i < 8; i++)
		to[i] = from[i];
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Waits for a completion; its status byte, or -1 when the time is over. */
int dsa_wait(volatile struct dsa_record *record, unsigned int ms);

/* The queue of a user: /dev/dsa/NAME opened and its portal mapped. */
struct dsa_queue {
	int fd;
	volatile void *portal;
	uint32_t max_size; /* bytes of one descriptor */
};

/* 0 or -errno */
int dsa_open(struct dsa_queue *queue, const char *name);
void dsa_close(struct dsa_queue *queue);

#endif /* VIOMMU_GUEST_DSA_H */
