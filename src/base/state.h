/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * base/state.h - the bytes of a saved state: written into memory that grows, read with bounds.
 *
 *	 0  "VIOMMUST"
 *	 8  u32 format version, u32 0
 *	16  u64 bytes of all of it
 *	24  sections: u32 tag, u16 version, u16 flags, u64 bytes of the payload, payload
 *	    u32 CRC-32C of everything before
 *
 * Numbers are little-endian. Tags are four letters. Readers ask for sections in the order in which
 * they were written. One that nobody asked for and that has not VIOMMU__SECTION_OPTIONAL is
 * refused, and so is one of a later version than the reader knows: a version is counted up for
 * fields that are appended, and a reader reads what the version says.
 *
 * Errors stick: after the first, reading gives zeroes and writing does nothing, so one check at the
 * end of each part is enough, before anything is used as an index or a count.
 */
#ifndef VIOMMU_BASE_STATE_H
#define VIOMMU_BASE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <viommu/state.h>

#define VIOMMU__STATE_VERSION 1u

#define VIOMMU__SECTION_OPTIONAL 0x1u

#define VIOMMU__TAG(a, b, c, d) \
	((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

struct viommu_state_out {
	uint8_t *bytes;
	size_t used;
	size_t room;
	size_t section; /* where the open one begins, 0: none */
	int err;
};

/* Where the reasons of all readers of one state go. */
struct viommu__state_why {
	char *text;
	size_t size;
	char about[32]; /* what is being read: "00:05.0: ", or empty */
	int err;
};

struct viommu_state_in {
	const uint8_t *at;
	size_t left;
	struct viommu__state_why *why;
	uint32_t tag;
	uint16_t version; /* of this section */
};

/* ---- Writing ---- */

void viommu__state_begin(struct viommu_state_out *out);
/* They do not nest. */
void viommu__section_begin(struct viommu_state_out *out, uint32_t tag, uint16_t version,
			   uint16_t flags);
void viommu__section_end(struct viommu_state_out *out);
/* 0 and the bytes, or -ENOMEM and nothing. */
int viommu__state_end(struct viommu_state_out *out, void **bytes, size_t *n);

/* ---- Reading ---- */

/*
 * Header, length and checksum; *in is then before the first section. why->text and ->size are the
 * caller's, the rest begins as 0. 0, -EINVAL.
 */
int viommu__state_open(struct viommu_state_in *in, const void *bytes, size_t n,
		       struct viommu__state_why *why);
/* The next section, which has to be this one, of at most this version. */
bool viommu__section_get(struct viommu_state_in *in, uint32_t tag, uint16_t version,
			 struct viommu_state_in *section);
/* Is this the next one? For those that may be left out. */
bool viommu__section_peek(const struct viommu_state_in *in, uint32_t tag);
/* All of it was read, and nothing was wrong. */
bool viommu__section_done(struct viommu_state_in *section);
/* No section is left that had to be read. */
bool viommu__state_done(struct viommu_state_in *in);
/* An allocation failed. */
void viommu__state_no_memory(struct viommu_state_in *in);

static inline bool viommu__state_ok(const struct viommu_state_in *in)
{
	return !in->why->err;
}

uint32_t viommu__crc32c(const uint8_t *bytes, size_t n);

#endif /* VIOMMU_BASE_STATE_H */
