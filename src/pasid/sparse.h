/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A sparse array over 20-bit ids in chunks of 64, made on demand and freed when empty:
 *
 *	sparse.root -> 128 slots -> 128 slots -> chunk of 64 ids (layout is the user's)
 *	  id bits      19:13        12:6         5:0
 *
 * A chunk begins as zeroes. What is in it is the user's, who also says when it is empty. Each byte
 * allocated is counted in *bytes. No locking: whoever owns the array guards it.
 */
#ifndef VIOMMU_PASID_SPARSE_H
#define VIOMMU_PASID_SPARSE_H

#include <stddef.h>
#include <stdint.h>

#define SPARSE_CHUNK_LG2 6
#define SPARSE_CHUNK     (1u << SPARSE_CHUNK_LG2)
#define SPARSE_SLOTS_LG2 7
#define SPARSE_SLOTS     (1u << SPARSE_SLOTS_LG2)
#define SPARSE_CHUNKS    (1u << (2 * SPARSE_SLOTS_LG2))

struct viommu__sparse_node {
	uint32_t used; /* slots that are not NULL */
	void *slot[SPARSE_SLOTS];
};

struct viommu__sparse {
	struct viommu__sparse_node *root; /* NULL while there is no chunk */
	size_t chunk_size;                /* bytes of a chunk */
	size_t *bytes;                    /* counter of what is allocated */
};

/* The chunk that holds id, or NULL. */
static inline void *viommu__sparse_find(const struct viommu__sparse *s, uint32_t id)
{
	struct viommu__sparse_node *node = s->root;

	if (node)
		node = node->slot[id >> (SPARSE_CHUNK_LG2 + SPARSE_SLOTS_LG2)];
	return node ? node->slot[id >> SPARSE_CHUNK_LG2 & (SPARSE_SLOTS - 1)] : NULL;
}

/* The chunk that holds id, made if there is none. NULL: out of memory, and nothing has changed. */
void *viommu__sparse_make(struct viommu__sparse *s, uint32_t id);

/* Free the chunk that holds id (there is one), and the nodes above that it leaves empty. */
void viommu__sparse_drop(struct viommu__sparse *s, uint32_t id);

/* The first chunk at or above *id; *id becomes the first id in it. NULL: there is none. */
void *viommu__sparse_next(const struct viommu__sparse *s, uint32_t *id);

/* Free all chunks. */
void viommu__sparse_clear(struct viommu__sparse *s);

#endif /* VIOMMU_PASID_SPARSE_H */
