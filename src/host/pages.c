/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pool of table pages. Chunks go back to the allocator only with the host: tables come and go
 * in the same numbers.
 */
#include <string.h>

#include "base/alloc.h"
#include "host/pages.h"

#define PAGE_BYTES  4096u
#define CHUNK_PAGES 32u

struct pages_chunk {
	struct pages_chunk *next;
	uint8_t *base;
};

static int pages_grow(struct pages *pages)
{
	struct pages_chunk *chunk = viommu__alloc(sizeof(*chunk));
	unsigned int i;

	if (!chunk)
		return -1;
	chunk->base = viommu__alloc_aligned(PAGE_BYTES, CHUNK_PAGES * PAGE_BYTES);
	if (!chunk->base) {
		viommu__free(chunk);
		return -1;
	}
	chunk->next = pages->chunks;
	pages->chunks = chunk;
	for (i = CHUNK_PAGES; i-- > 0;) {
		void *page = chunk->base + i * PAGE_BYTES;

		memcpy(page, &pages->free, sizeof(pages->free));
		pages->free = page;
	}
	return 0;
}

void *viommu__page_get(struct pages *pages)
{
	void *page;

	if (!pages->free && pages_grow(pages))
		return NULL;
	page = pages->free;
	memcpy(&pages->free, page, sizeof(pages->free));
	memset(page, 0, PAGE_BYTES);
	pages->used++;
	return page;
}

void viommu__page_put(struct pages *pages, void *page)
{
	if (!page)
		return;
	memcpy(page, &pages->free, sizeof(pages->free));
	pages->free = page;
	pages->used--;
}

void viommu__pages_destroy(struct pages *pages)
{
	while (pages->chunks) {
		struct pages_chunk *chunk = pages->chunks;

		pages->chunks = chunk->next;
		viommu__free(chunk->base);
		viommu__free(chunk);
	}
}
