/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The smallest adapter for `viommu bench --peer`: a flat map.
 */
#include <stdlib.h>

#include "../../cmd/bench_peer.h"

struct flat {
	uint64_t iova;
	uint8_t *host;
	uint64_t bytes;
};

const uint32_t viommu_peer_abi = 1;

void *viommu_peer_open(uint64_t iova, void *host, uint64_t pages)
{
	struct flat *f = malloc(sizeof(*f));

	if (f)
		*f = (struct flat){ iova, host, pages * 4096 };
	return f;
}

void viommu_peer_close(void *peer)
{
	free(peer);
}

void *viommu_peer_translate(void *peer, uint64_t iova)
{
	struct flat *f = peer;

	return iova - f->iova < f->bytes ? f->host + (iova - f->iova) : NULL;
}

void *viommu_peer_walk(void *peer, uint64_t iova)
{
	return viommu_peer_translate(peer, iova);
}

void viommu_peer_invalidate(void *peer)
{
	(void)peer;
}
