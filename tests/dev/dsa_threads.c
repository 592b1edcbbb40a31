/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Submitters, engines, and the thread that accesses registers, all at once. A submitter waits for
 * the interrupt of its own vector, so every byte that it then looks at was written before: under
 * ThreadSanitizer the order of data, record and interrupt is part of what is tested.
 */
#include "dev/dsa_guest.h"

#define SUBMITTERS 4u
#define ROUNDS     200u
#define BURST      4u
#define AREA       (16u * 4096)

struct submitter {
	struct guest *g;
	unsigned int nr;
	pthread_t thread;
	struct rng rng;
	unsigned int retries, bad;
	uint64_t rounds;
	int *stop;
};

/* Two shared queues in two groups with two engines each. */
static void open_two_groups(struct guest *g)
{
	struct guest_config c = { .no_enable = 1 };
	unsigned int i;

	guest_open(g, &c);
	for (i = 0; i < 2; i++) {
		guest_write32(g, GRPCFG(i, 0), 1 << i);
		guest_write32(g, GRPCFG(i, 8), 3 << 2 * i);
		guest_queue(g, i, 8, WQ_PRIORITY(5) | WQ_BOF | WQ_PASID(0));
	}
	guest_write32(g, 0x80, 0x1060);
	for (i = 1; i <= SUBMITTERS; i++)
		guest_write32(g, MSIXPERM(i), 8 | GUEST_GP << 12);
	assert_int_equal(guest_command(g, DSA_CMD_ENABLE_DEVICE, 0), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(guest_command(g, DSA_CMD_ENABLE_WQ, i), 0);
}

static uint64_t area(const struct submitter *s)
{
	return GUEST_VA + 0x10000 + (uint64_t)s->nr * 4 * AREA;
}

static struct desc copy_of(struct submitter *s, unsigned int i)
{
	uint64_t at = area(s) + i * 4096ull;
	uint32_t n = (uint32_t)rng_range(&s->rng, 1, 4096);
	struct desc d = desc_make(DSA_OP_MOVE, DSA_FLAG_BOF | DSA_FLAG_RCI, at, at + AREA, n);

	d.w[0] |= GUEST_GP;
	d.w[1] = area(s) + 2 * AREA + 32 * i;
	d.w[4] |= (uint64_t)(s->nr + 1) << 32;
	return d;
}

static void *submit_and_look(void *arg)
{
	struct submitter *s = arg;
	struct guest *g = s->g;
	struct desc d[BURST];
	unsigned int i, sent = 0;

	for (s->rounds = 0; s->rounds < ROUNDS; s->rounds++) {
		for (i = 0; i < BURST; i++) {
			d[i] = copy_of(s, i);
			rng_fill(&s->rng, guest_ptr(g, d[i].w[2]), 4096);
			memset(guest_ptr(g, d[i].w[3]), 0, 4096);
			memset(guest_ptr(g, d[i].w[1]), 0, 32);
		}
		for (i = 0; i < BURST; i++) {
			uint64_t portal = (s->nr + i) % 2 * 0x4000 + 0x1000;

			while (viommu_dsa_enqueue(g->dsa, portal, &d[i]) == -EAGAIN)
				s->retries++;
		}
		sent += BURST;
		guest_wait_interrupts(g, s->nr + 1, sent);
		for (i = 0; i < BURST; i++) {
			s->bad += guest_ptr(g, d[i].w[1])[0] != DSA_ST_SUCCESS;
			s->bad += !!memcmp(guest_ptr(g, d[i].w[3]), guest_ptr(g, d[i].w[2]),
					   (uint32_t)d[i].w[4]);
		}
	}
	__atomic_fetch_add(s->stop, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void submitters_get_their_bytes_while_pages_come_and_go(void **state)
{
	struct submitter s[SUBMITTERS];
	unsigned int i, n = 0, commands = 0;
	struct guest g;
	struct rng rng;
	int stop = 0;

	(void)state;
	rng_init(&rng, "dsa_threads");
	open_two_groups(&g);
	guest_workers_start(&g, 4);
	for (i = 0; i < SUBMITTERS; i++) {
		s[i] = (struct submitter){ .g = &g, .nr = i, .stop = &stop };
		rng_init_seed(&s[i].rng, rng_u64(&rng));
		assert_int_equal(pthread_create(&s[i].thread, NULL, submit_and_look, &s[i]), 0);
	}
	while (__atomic_load_n(&stop, __ATOMIC_SEQ_CST) < (int)SUBMITTERS) {
		static const uint32_t drains[] = { DSA_CMD_DRAIN_ALL << 20,
						   DSA_CMD_DRAIN_WQ << 20 | 3,
						   DSA_CMD_DRAIN_PASID << 20 | GUEST_GP };

		guest_hide(&g, area(&s[rng_below(&rng, SUBMITTERS)]) +
				       4096 * rng_below(&rng, 4 * AREA / 4096));
		if (n++ % 16)
			continue;
		/* Drains have an end although descriptors come all the time. */
		guest_write32(&g, 0xa0, 0x80000000 | drains[commands % 3]);
		guest_wait_interrupts(&g, 0, ++commands);
		assert_int_equal(guest_read32(&g, 0xa8), 0);
	}
	for (i = 0; i < SUBMITTERS; i++) {
		pthread_join(s[i].thread, NULL);
		assert_int_equal(s[i].rounds, ROUNDS);
		assert_int_equal(s[i].bad, 0);
	}
	assert_true(commands > 0);
	assert_true(g.requests > 0);
	assert_int_equal(guest_read64(&g, 0xc0), 0);
	guest_close(&g);
}

/*
 * Nobody waits here: descriptors vanish at any time. They only look at memory, for nobody would
 * know when what they write is written.
 */
static void *submit_for_ever(void *arg)
{
	struct submitter *s = arg;
	struct desc one = desc_make(DSA_OP_CFLUSH, DSA_FLAG_BOF, 0, area(s), AREA), batch;
	unsigned int i;

	one.w[0] = (one.w[0] & ~((uint64_t)(DSA_FLAG_CRAV | DSA_FLAG_RCR) << 32)) | GUEST_GP;
	for (i = 0; i < 16; i++) {
		memcpy(guest_ptr(s->g, area(s) + AREA + 64 * i), &one, 64);
		one.w[3] += 4096;
		one.w[4] -= 4096;
	}
	batch = desc_make(DSA_OP_BATCH, 0, area(s) + AREA, 0, 16);
	batch.w[0] = (uint64_t)DSA_OP_BATCH << 56 | GUEST_GP;
	while (!__atomic_load_n(s->stop, __ATOMIC_SEQ_CST)) {
		one.w[3] = area(s) + rng_below(&s->rng, AREA);
		one.w[4] = (uint32_t)rng_range(&s->rng, 1, AREA);
		if (viommu_dsa_enqueue(s->g->dsa, s->nr % 2 * 0x4000,
				       rng_one_in(&s->rng, 4) ? &batch : &one))
			s->retries++;
		__atomic_fetch_add(&s->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static bool all_are_busy(const struct submitter *s)
{
	unsigned int i;

	for (i = 0; i < SUBMITTERS; i++)
		if (__atomic_load_n(&s[i].rounds, __ATOMIC_RELAXED) < 100)
			return false;
	return true;
}

static void enable_again(struct guest *g)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		guest_write32(g, GRPCFG(i, 0), 1 << i);
		guest_write32(g, GRPCFG(i, 8), 3 << 2 * i);
		guest_queue(g, i, 8, WQ_PRIORITY(5) | WQ_BOF | WQ_PASID(0));
	}
	assert_int_equal(guest_command(g, DSA_CMD_ENABLE_DEVICE, 0), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(guest_command(g, DSA_CMD_ENABLE_WQ, i), 0);
}

static void command_and_wait(struct guest *g, uint32_t command)
{
	unsigned int before;

	pthread_mutex_lock(&g->lock);
	before = g->interrupts[0];
	pthread_mutex_unlock(&g->lock);
	guest_write32(g, 0x98, 0x1f);
	guest_write32(g, 0xa0, 0x80000000 | command);
	guest_wait_interrupts(g, 0, before + 1);
	assert_int_equal(guest_read32(g, 0xa8), 0);
}

static void aborts_and_resets_end_whatever_runs(void **state)
{
	struct viommu_dsa_stats st = { .size = sizeof(st) };
	struct submitter s[SUBMITTERS];
	struct guest g;
	struct rng rng;
	unsigned int i;
	uint64_t n;
	int stop = 0;

	(void)state;
	rng_init(&rng, "dsa_threads resets");
	open_two_groups(&g);
	guest_workers_start(&g, 4);
	for (i = 0; i < SUBMITTERS; i++) {
		s[i] = (struct submitter){ .g = &g, .nr = i, .stop = &stop };
		rng_init_seed(&s[i].rng, rng_u64(&rng));
		assert_int_equal(pthread_create(&s[i].thread, NULL, submit_for_ever, &s[i]), 0);
	}
	for (n = 0; n < test_scale(300) || !all_are_busy(s); n++) {
		guest_hide(&g, area(&s[rng_below(&rng, SUBMITTERS)]) +
				       4096 * rng_below(&rng, 2 * AREA / 4096));
		switch (rng_below(&rng, 6)) {
		case 0:
			command_and_wait(&g, DSA_CMD_ABORT_ALL << 20);
			break;
		case 1:
			command_and_wait(&g, DSA_CMD_ABORT_PASID << 20 | GUEST_GP);
			break;
		case 2:
			command_and_wait(&g, DSA_CMD_DISABLE_WQ << 20 | 1);
			assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_WQ, 0), 0);
			break;
		case 3:
			command_and_wait(&g, DSA_CMD_RESET_DEVICE << 20);
			enable_again(&g);
			break;
		case 4: /* bus mastering off, on: halted in between */
			guest_set_config16(&g, 4, 2);
			assert_int_equal(guest_read32(&g, 0x90), 3);
			guest_set_config16(&g, 4, 6);
			command_and_wait(&g, DSA_CMD_RESET_DEVICE << 20);
			enable_again(&g);
			break;
		default:
			command_and_wait(&g, DSA_CMD_DRAIN_WQ << 20 | 3);
			break;
		}
	}
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < SUBMITTERS; i++)
		pthread_join(s[i].thread, NULL);
	command_and_wait(&g, DSA_CMD_DISABLE_DEVICE << 20);
	viommu_dsa_stats(g.dsa, &st);
	assert_int_equal(st.occupancy[0] + st.occupancy[1], 0);
	guest_close(&g);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(submitters_get_their_bytes_while_pages_come_and_go),
	cmocka_unit_test(aborts_and_resets_end_whatever_runs),
};
TEST_MAIN(tests)
