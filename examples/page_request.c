/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device that copies by the process's addresses while pages are missing: each missing page
 * becomes a page request, which the guest's side answers from a thread of its own.
 *
 *	cc page_request.c $(pkg-config --cflags --libs viommu) -pthread
 */
#include <pthread.h>
#include <string.h>

#include "guest.h"

#define SRC   UINT64_C(0x7f0000000000)
#define DST   UINT64_C(0x7f0000100000)
#define PAGES 8u

/* The guest's page request queue: requests go in on the DMA thread, the guest takes them out. */
struct queue {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct viommu_page_request req[64];
	unsigned int in, out;
	int stop;
	struct guest *g;
	struct viommu_device *dev;
};

static void on_page_request(void *ctx, struct viommu_device *dev,
			    const struct viommu_page_request *req)
{
	struct queue *q = ctx;

	pthread_mutex_lock(&q->lock);
	q->dev = dev;
	q->req[q->in++ % 64] = *req;
	pthread_cond_signal(&q->more);
	pthread_mutex_unlock(&q->lock);
}

static void *guest_kernel(void *ctx)
{
	struct queue *q = ctx;

	pthread_mutex_lock(&q->lock);
	for (;;) {
		while (q->in == q->out && !q->stop)
			pthread_cond_wait(&q->more, &q->lock);
		if (q->in == q->out)
			break;
		struct viommu_page_request req = q->req[q->out++ % 64];
		struct viommu_page_response resp = { .size = sizeof(resp),
						     .pasid = req.pasid,
						     .prgi = req.prgi,
						     .code = VIOMMU_RESPONSE_SUCCESS };

		/* handle_mm_fault(): a page for the address, then the answer. */
		guest_map(q->g, req.addr, guest_page(q->g));
		MUST(viommu_host_page_response(q->dev, &resp));
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

int main(void)
{
	struct queue q = { .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER };
	struct viommu_host_config hc = { .size = sizeof(hc),
					 .ops = { .ctx = &q, .page_request = on_page_request } };
	struct viommu_device_config dc = { .size = sizeof(dc),
					   .sid = 0x28,
					   .flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS |
						    VIOMMU_DEVICE_PRI };
	struct viommu_gpasid_bind bind = { .size = sizeof(bind), .addr_width = 48 };
	struct viommu_dma_stats stats;
	static char text[PAGES * 4096];
	struct viommu_host *host;
	struct viommu_domain *vm;
	struct viommu_device *dev;
	struct viommu_dma *dma;
	pthread_t kernel;
	struct guest g;
	unsigned int i;

	guest_new(&g);
	q.g = &g;
	MUST(viommu_host_new(&hc, &host));
	MUST(viommu_domain_new(host, g.mem, NULL, &vm));
	MUST(viommu_device_new(host, &dc, &dev));
	MUST(viommu_dma_new(host, &dma));
	MUST(viommu_pasid_alloc(viommu_domain_owner(vm), 1, VIOMMU_PASID_MAX, &bind.hp));
	bind.gpgd = g.root;
	MUST(viommu_host_bind_gpasid(dev, vm, &bind));
	MUST(pthread_create(&kernel, NULL, guest_kernel, &q));

	for (i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
	/* No page of the process is there yet. */
	MUST(viommu_dma_write(dma, dev, bind.hp.v, SRC, text, sizeof(text), 0, NULL));
	MUST(viommu_dma_copy(dma, dev, bind.hp.v, DST, bind.hp.v, SRC, sizeof(text), 0, NULL));
	memset(text, 0, sizeof(text));
	MUST(viommu_dma_read(dma, dev, bind.hp.v, DST, text, sizeof(text), 0, NULL));
	for (i = 0; i < sizeof(text); i++)
		MUST(text[i] != (char)('a' + i % 26));

	viommu_dma_stats(dma, &stats);
	printf("%u bytes copied, %llu page requests served\n", (unsigned int)sizeof(text),
	       (unsigned long long)stats.page_requests);

	pthread_mutex_lock(&q.lock);
	q.stop = 1;
	pthread_cond_signal(&q.more);
	pthread_mutex_unlock(&q.lock);
	pthread_join(kernel, NULL);
	viommu_dma_free(dma);
	viommu_host_free(host);
	viommu_mem_free(g.mem);
	return stats.page_requests != 2 * PAGES;
}
