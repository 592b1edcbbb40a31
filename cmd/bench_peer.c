/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * P2: other implementations in the same run, through adapters that are loaded when a path is given
 * (bench_peer.h). Goals are known for some names; they begin with spdk, libvfio, riscv, qemu.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "cmd.h"

struct peer {
	struct peer *next;
	char name[32];
	void *so;
	void *(*open)(uint64_t iova, void *host, uint64_t pages);
	void (*close)(void *peer);
	void *(*translate)(void *peer, uint64_t iova);
	void *(*walk)(void *peer, uint64_t iova);
	void (*invalidate)(void *peer);
	void *state;
	void *(*run)(void *peer, uint64_t iova); /* what the loop calls */
	struct stream *stream;
	uint64_t errors;
	uint64_t sum;
};

/* At most this part of the peer's time; 0: not judged. */
static const struct goals {
	const char *name;
	double hit;
	double walk;
	double invalidate;
} goals[] = {
	{ "spdk", 1, 0, 0 },
	{ "libvfio", 1 / 2.0, 0, 0 },
	{ "riscv", 1 / 12.0, 1 / 6.0, 0 },
	{ "qemu", 1 / 60.0, 0, 1 / 100.0 },
};

/* A function pointer out of what dlsym() gives, as POSIX wants it. */
#define SYMBOL(to, so, symbol) (*(void **)(void *)&(to) = dlsym(so, symbol))

int bench_peer_add(struct bench *b, const char *arg)
{
	const char *path = strchr(arg, '=');
	struct peer *p;
	const uint32_t *abi;
	void *so;

	if (!path || path == arg || (size_t)(path - arg) >= sizeof(p->name) || !path[1])
		return cmd_usage("bench", "--peer: '%s' is not NAME=ADAPTER.so", arg);
	so = dlopen(path + 1, RTLD_NOW | RTLD_LOCAL);
	if (!so)
		return cmd_error("bench", "--peer: %s", dlerror());
	p = bench_alloc(sizeof(*p));
	p->so = so;
	p->next = b->peers;
	b->peers = p;
	memcpy(p->name, arg, (size_t)(path - arg));
	abi = dlsym(so, "viommu_peer_abi");
	SYMBOL(p->open, so, "viommu_peer_open");
	SYMBOL(p->close, so, "viommu_peer_close");
	SYMBOL(p->translate, so, "viommu_peer_translate");
	SYMBOL(p->walk, so, "viommu_peer_walk");
	SYMBOL(p->invalidate, so, "viommu_peer_invalidate");
	if (!abi || *abi != 1 || !p->open || !p->close || !p->translate)
		return cmd_error("bench", "--peer: %s is no adapter of version 1", path + 1);
	return CMD_OK;
}

void bench_peers_free(struct bench *b)
{
	struct peer *p;

	while ((p = b->peers)) {
		b->peers = p->next;
		dlclose(p->so);
		free(p);
	}
}

static uint64_t peer_run(void *ctx, uint64_t passes)
{
	struct peer *p = ctx;
	struct stream *s = p->stream;
	uint64_t t0 = bench_cpu(), sum = 0;

	for (; passes; passes--) {
		uint64_t salt = stream_salt(s);
		size_t i;

		for (i = 0; i < STREAM; i++)
			sum += (uintptr_t)p->run(p->state, s->addr[i] ^ salt);
	}
	p->sum += sum;
	return bench_cpu() - t0;
}

/* Everything is cached again before each call; only the call is timed. */
static uint64_t peer_invalidate_run(void *ctx, uint64_t n)
{
	struct peer *p = ctx;
	uint64_t ns = 0;

	for (; n; n--) {
		uint64_t i, t0;

		for (i = 0; i < HIT_PAGES; i++)
			p->sum += (uintptr_t)p->translate(p->state, HIT_BASE + i * PAGE);
		t0 = bench_now();
		p->invalidate(p->state);
		ns += bench_now() - t0;
	}
	return ns;
}

static uint64_t own_invalidate_run(void *ctx, uint64_t n)
{
	struct xlate *x = ctx;
	const struct viommu_invalidate inv = {
		.size = sizeof(inv),
		.granularity = VIOMMU_INVALIDATE_DOMAIN,
		.flags = VIOMMU_INVALIDATE_NO_DRAIN,
	};
	uint64_t ns = 0;

	for (; n; n--) {
		struct viommu_dma_span span;
		uint64_t i, t0;

		viommu_dma_begin(x->dma);
		for (i = 0; i < HIT_PAGES; i++)
			x->errors +=
				viommu_dma_translate(x->dma, x->dev, x->pasid, HIT_BASE + i * PAGE,
						     x->access, &span) != 0;
		viommu_dma_end(x->dma);
		t0 = bench_now();
		x->errors += viommu_host_invalidate(x->vm->host, x->vm->dom, &inv) != 0;
		ns += bench_now() - t0;
	}
	return ns;
}

static void peer_fresh(struct bench *b, void *ctx)
{
	stream_fill(b, ctx, HIT_BASE, HIT_PAGES);
}

static void peer_row(struct bench *b, struct comparison *c, const struct peer *p, const char *what,
		     double goal)
{
	struct figures f;
	char name[80];

	snprintf(name, sizeof(name), "%s, against %s", what, p->name);
	bench_progress(b, name);
	bench_compare(b, c, &f);
	bench_row_ratio(b, "P2", name, p->name, &f, goal > 0 ? GOAL_AT_MOST : GOAL_NONE, goal);
}

static void peer_rows(struct bench *b, struct peer *p, struct xlate *x)
{
	struct comparison c = {
		.subject = { xlate_independent, x, STREAM, 0 },
		.base = { peer_run, p, STREAM, 0 },
		.fresh = peer_fresh,
		.fresh_ctx = x->stream,
	};
	struct goals g = { p->name, 0, 0, 0 };
	uint64_t i;

	for (i = 0; i < ARRAY_SIZE(goals); i++)
		if (!strncasecmp(p->name, goals[i].name, strlen(goals[i].name)))
			g = goals[i];
	p->state = p->open(HIT_BASE, x->vm->ram, HIT_PAGES);
	if (!p->state) {
		bench_wrong(b, "%s cannot be set up", p->name);
		return;
	}
	for (i = 0; i < HIT_PAGES; i++)
		if (p->translate(p->state, HIT_BASE + i * PAGE + 8) != x->vm->ram + i * PAGE + 8)
			bench_wrong(b, "%s translates to the wrong byte", p->name);
	p->stream = x->stream;
	p->run = p->translate;
	peer_row(b, &c, p, "hit", g.hit);
	if (p->walk) {
		p->run = p->walk;
		c.subject.run = xlate_walk;
		peer_row(b, &c, p, "invalidation and walk", g.walk);
	}
	if (p->invalidate) {
		c.subject = (struct side){ own_invalidate_run, x, 1, 8 };
		c.base = (struct side){ peer_invalidate_run, p, 1, 8 };
		peer_row(b, &c, p, "invalidation, 512 pages cached", g.invalidate);
	}
	b->checksum ^= p->sum;
	p->close(p->state);
}

void bench_peers(struct bench *b)
{
	const struct vm_config config = { .bytes = 16 * MIB };
	struct stream *s;
	struct xlate x;
	struct peer *p;
	struct vm vm;
	uint64_t root, i;

	if (!b->peers)
		return;
	s = bench_alloc(sizeof(*s));
	vm_open(&vm, &config);
	root = vm_table(&vm);
	for (i = 0; i < HIT_PAGES; i++)
		vm_map(&vm, root, HIT_BASE + i * PAGE, i * PAGE, PAGE_LG2);
	xlate_init(&x, &vm, vm_bind(&vm, root), s);
	for (p = b->peers; p; p = p->next)
		peer_rows(b, p, &x);
	xlate_check(b, &x, "P2");
	vm_close(&vm);
	free(s);
}
