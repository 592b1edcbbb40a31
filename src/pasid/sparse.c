/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sparse array of sparse.h: two levels of nodes over chunks.
 */
#include "pasid/sparse.h"

#include "base/alloc.h"
#include "base/assert.h"

static uint32_t root_slot(uint32_t id)
{
	return id >> (SPARSE_CHUNK_LG2 + SPARSE_SLOTS_LG2);
}

static uint32_t node_slot(uint32_t id)
{
	return id >> SPARSE_CHUNK_LG2 & (SPARSE_SLOTS - 1);
}

static void *sparse_alloc(struct viommu__sparse *s, size_t size)
{
	void *p = viommu__calloc(1, size);

	if (p)
		*s->bytes += size;
	return p;
}

static void sparse_free(struct viommu__sparse *s, void *p, size_t size)
{
	viommu__free(p);
	*s->bytes -= size;
}

/* Free the nodes on the way to id that hold nothing. */
static void sparse_prune(struct viommu__sparse *s, uint32_t id)
{
	struct viommu__sparse_node *root = s->root, *node;

	if (!root)
		return;
	node = root->slot[root_slot(id)];
	if (node && !node->used) {
		root->slot[root_slot(id)] = NULL;
		root->used--;
		sparse_free(s, node, sizeof(*node));
	}
	if (!root->used) {
		s->root = NULL;
		sparse_free(s, root, sizeof(*root));
	}
}

void *viommu__sparse_make(struct viommu__sparse *s, uint32_t id)
{
	struct viommu__sparse_node *node;
	void *chunk;

	VIOMMU_ASSERT(root_slot(id) < SPARSE_SLOTS);
	if (!s->root) {
		s->root = sparse_alloc(s, sizeof(*s->root));
		if (!s->root)
			return NULL;
	}
	node = s->root->slot[root_slot(id)];
	if (!node) {
		node = sparse_alloc(s, sizeof(*node));
		if (!node)
			goto fail;
		s->root->slot[root_slot(id)] = node;
		s->root->used++;
	}
	chunk = node->slot[node_slot(id)];
	if (!chunk) {
		chunk = sparse_alloc(s, s->chunk_size);
		if (!chunk)
			goto fail;
		node->slot[node_slot(id)] = chunk;
		node->used++;
	}
	return chunk;
fail:
	sparse_prune(s, id);
	return NULL;
}

void viommu__sparse_drop(struct viommu__sparse *s, uint32_t id)
{
	struct viommu__sparse_node *node = s->root->slot[root_slot(id)];

	VIOMMU_ASSERT(node->slot[node_slot(id)]);
	sparse_free(s, node->slot[node_slot(id)], s->chunk_size);
	node->slot[node_slot(id)] = NULL;
	node->used--;
	sparse_prune(s, id);
}

void *viommu__sparse_next(const struct viommu__sparse *s, uint32_t *id)
{
	struct viommu__sparse_node *node;
	uint32_t chunk = *id >> SPARSE_CHUNK_LG2;

	while (s->root && chunk < SPARSE_CHUNKS) {
		node = s->root->slot[chunk >> SPARSE_SLOTS_LG2];
		if (!node) {
			chunk = (chunk | (SPARSE_SLOTS - 1)) + 1;
			continue;
		}
		if (node->slot[chunk & (SPARSE_SLOTS - 1)]) {
			*id = chunk << SPARSE_CHUNK_LG2;
			return node->slot[chunk & (SPARSE_SLOTS - 1)];
		}
		chunk++;
	}
	return NULL;
}

void viommu__sparse_clear(struct viommu__sparse *s)
{
	uint32_t id = 0;

	while (viommu__sparse_next(s, &id))
		viommu__sparse_drop(s, id);
}
