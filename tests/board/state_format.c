/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A saved state as bytes: cut, flipped, of another version, for another machine, or well-formed and
 * a lie. What is refused says why and leaves the board as it was made, the guest's memory as it
 * was, and no word to anybody who listens.
 */
#include "board/machine.h"

#include <pthread.h>
#include <viommu/vtd.h>

#include "base/alloc.h"
#include "base/state.h"

#define RECORD (MACHINE_VA)

/* A state with something in each of its parts. */
struct saved {
	struct machine m;
	uint8_t *bytes;
	size_t n;
	char why[160];
	uint8_t *ram; /* the guest's memory before a load; NULL: nobody has looked */
};

static void *work(void *arg)
{
	dsa_steps(arg);
	return NULL;
}

/* A load begins: nothing was said, and the memory is as it is. */
static void before_load(struct saved *s)
{
	struct machine *m = &s->m;

	memset(m->messages, 0, sizeof(m->messages));
	memset(m->interrupts, 0, sizeof(m->interrupts));
	m->placed = 0;
	if (s->ram)
		return;
	s->ram = malloc(MACHINE_RAM);
	assert_non_null(s->ram);
	memcpy(s->ram, m->ram.host, MACHINE_RAM);
}

/* The guest goes on, and writes. */
static void goes_on(struct saved *s)
{
	free(s->ram);
	s->ram = NULL;
	viommu_board_resume(s->m.board);
}

/* What a board that is paused has to say, and a new board to say it to, to which all listen. */
static void keep(struct saved *s)
{
	void *state;

	assert_int_equal(viommu_board_save(s->m.board, &state, &s->n), 0);
	s->bytes = malloc(s->n);
	assert_non_null(s->bytes);
	memcpy(s->bytes, state, s->n);
	viommu_state_free(state);
	machine_fresh(&s->m);
	machine_listen(&s->m);
}

static void save(struct saved *s, uint32_t flags)
{
	struct machine_config config = { .board.guest.flags = flags,
					 .board.pasid_min = 1,
					 .board.pasid_max = 100 };
	struct machine *m = &s->m;
	uint64_t w[8] = { 0 }, *list;
	pthread_t thread;

	machine_open(m, &config);
	machine_start(m);
	dsa_enable(m, MACHINE_GP);
	/* Who would speak if it could: an interrupt of a command, and a fault. */
	dsa_wr(m, 0x2000 + 12, 1);
	assert_int_equal(dsa_cmd(m, DSA_CMD_DRAIN_ALL, 1u << 31), 0);
	unit_wr(m, VTD_REG_FECTL, 4, VTD_MASK(VTD_EVCTL_IM));
	assert_int_equal(viommu_dma_write(m->dma, viommu_pci_device(m->pci), MACHINE_GP, 0x1000, w,
					  8, VIOMMU_DMA_NO_PRI, NULL),
			 VIOMMU_FAULTED);
	/* A batch whose second descriptor waits for a page. */
	list = (uint64_t *)machine_ptr(m, MACHINE_VA + 0x1000);
	list[0] = (uint64_t)(DSA_OP_NOOP << 24) << 32;
	list[8] = (uint64_t)(DSA_OP_FILL << 24 | DSA_FLAG_BOF) << 32;
	list[10] = 0x1122334455667788;
	list[11] = MACHINE_VA + 0x10000;
	list[12] = 0x3000;
	w[0] = (uint64_t)(DSA_OP_BATCH << 24 | DSA_FLAG_CRAV | DSA_FLAG_RCR) << 32;
	w[1] = RECORD;
	w[2] = MACHINE_VA + 0x1000;
	w[4] = 2;
	machine_hide(m, MACHINE_VA + 0x12000);
	dsa_store(m, 0, w, 64);
	assert_int_equal(pthread_create(&thread, NULL, work, m), 0);
	while (!unit_rd(m, VTD_REG_PQT, 8))
		sched_yield();
	/* One that waits, one that came half, a command that waits for all of it. */
	w[0] = (uint64_t)(DSA_OP_NOOP << 24 | DSA_FLAG_CRAV | DSA_FLAG_RCR) << 32;
	w[2] = w[4] = 0;
	dsa_store(m, 0, w, 64);
	dsa_store(m, 0x40, w, 24);
	assert_int_equal(dsa_cmd(m, DSA_CMD_DRAIN_ALL, 0), 0x80000000u);
	assert_int_equal(viommu_board_pause(m->board, NULL, 0), 0);
	pthread_join(thread, NULL);
	keep(s);
}

/* As far as memory was given out; the rest is looked at last. */
static void memory_is_as_it_was(struct saved *s, uint64_t bytes)
{
	assert_non_null(s->ram);
	assert_false(memcmp(s->m.ram.host, s->ram, bytes));
}

static void close_saved(struct saved *s)
{
	if (s->ram)
		memory_is_as_it_was(s, MACHINE_RAM);
	free(s->ram);
	free(s->bytes);
	machine_close(&s->m);
}

/* Nobody heard of it: no message of the unit, no interrupt, no place of registers. */
static void untouched(struct saved *s)
{
	struct machine *m = &s->m;
	unsigned int i;

	for (i = 0; i < 256; i++)
		assert_int_equal(m->messages[i], 0);
	for (i = 0; i < 16; i++)
		assert_int_equal(m->interrupts[i], 0);
	assert_int_equal(m->placed, 0);
	memory_is_as_it_was(s, m->ram.used);
}

/* The guest's memory is as it was, and the board as it was made. */
static void fresh(struct saved *s)
{
	struct viommu_guest_stats st = { .size = sizeof(st) };
	struct machine *m = &s->m;
	unsigned int i;

	viommu_guest_stats(viommu_board_guest(m->board), &st);
	for (i = 0; viommu_board_device(m->board, i, NULL); i++)
		;
	assert_int_equal(st.bound, i); /* translation off */
	assert_int_equal(st.pasids_given, 0);
	assert_int_equal(unit_rd(m, VTD_REG_RTADDR, 8), 0);
	assert_int_equal(unit_rd(m, VTD_REG_GSTS, 4), 0);
	assert_int_equal(viommu_device_open_requests(viommu_pci_device(m->pci)), 0);
	assert_int_equal(viommu_owner_count(viommu_domain_owner(viommu_board_domain(m->board))), 0);
	assert_int_equal(viommu_pci_enabled(m->pci) | viommu_pci_enabled(m->unit), 0);
	assert_false(viommu_pci_pausing(m->pci) || viommu_pci_pausing(m->unit));
	for (i = 0x80; i < 0xc0; i += 4) /* but for the configuration's default */
		assert_int_equal(dsa_rd(m, i), i == 0x80 ? 96 : i == 0xb0 ? 0x1ffe : 0);
	assert_int_equal(dsa_rd(m, 0x500), 0);
	assert_int_equal(dsa_steps(m), 0);
	assert_int_equal(viommu_pci_run(m->unit, NULL), 0);
	untouched(s);
}

static int load(struct saved *s)
{
	int ret;

	before_load(s);
	ret = viommu_board_load(s->m.board, s->bytes, s->n, s->why, sizeof(s->why));
	if (ret) {
		fresh(s);
	} else {
		/* Of one that is taken nobody hears before the resume, but where registers are. */
		s->m.placed = 0;
		untouched(s);
	}
	assert_int_equal(!ret, !s->why[0]);
	return ret;
}

/* After a change that is meant: a good checksum. */
static void seal(struct saved *s)
{
	uint32_t crc = viommu__crc32c(s->bytes, s->n - 4);

	memcpy(s->bytes + s->n - 4, &crc, 4);
}

static uint8_t *section(struct saved *s, const char *tag, unsigned int n)
{
	uint8_t *at = s->bytes + 24;
	uint64_t bytes;

	while (at < s->bytes + s->n - 4) {
		if (!memcmp(at, tag, 4) && !n--)
			return at;
		memcpy(&bytes, at + 8, 8);
		at += 16 + bytes;
	}
	fail_msg("there is no section %s", tag);
	return NULL;
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

static void the_checksum_is_crc_32c(void **state)
{
	(void)state;
	/* RFC 3720's vectors. */
	assert_int_equal(viommu__crc32c((const uint8_t *)"123456789", 9), 0xe3069283);
	assert_int_equal(viommu__crc32c((const uint8_t[32]){ 0 }, 32), 0x8a9136aa);
}

static void the_state_as_it_is_is_taken(void **state)
{
	struct saved s = { 0 };

	(void)state;
	save(&s, VIOMMU_GUEST_HOST_PASIDS | VIOMMU_GUEST_INTREMAP);
	if (load(&s))
		fail_msg("refused: %s", s.why);
	assert_int_equal(viommu_device_open_requests(viommu_pci_device(s.m.pci)), 1);
	assert_true(viommu_pci_pausing(s.m.pci));
	/* Twice is once: it is reset first. */
	assert_int_equal(load(&s), 0);
	goes_on(&s);
	machine_show(&s.m, MACHINE_VA + 0x12000);
	unit_respond(&s.m, machine_ram(&s.m, s.m.pages), VTD_PGRP_SUCCESS);
	assert_int_equal(dsa_steps(&s.m), 2);
	assert_int_equal(dsa_rd(&s.m, 0xa8), 0);
	assert_int_equal(machine_ptr(&s.m, MACHINE_VA + 0x12fff)[0], 0x11);
	close_saved(&s);
}

/* They speak when the guest lets them, after the resume, and not before. */
static void what_is_pending_is_said_after_the_load(void **state)
{
	struct saved s = { 0 };
	struct machine *m = &s.m;

	(void)state;
	save(&s, 0);
	assert_int_equal(load(&s), 0);
	goes_on(&s);
	assert_int_equal(m->messages[0x41] | m->interrupts[0], 0);
	dsa_wr(m, 0x2000 + 12, 0);
	assert_int_equal(m->interrupts[0], 1);
	unit_wr(m, VTD_REG_FECTL, 4, 0);
	assert_int_equal(m->messages[0x41], 1);
	close_saved(&s);
}

/* What ran there ends, and its guest, whose memory it is, gets nothing any more. */
static void a_guest_that_runs_is_reset_by_a_load_that_is_refused(void **state)
{
	struct saved s = { 0 };
	unsigned int late;
	uint8_t *last;

	(void)state;
	save(&s, VIOMMU_GUEST_HOST_PASIDS | VIOMMU_GUEST_INTREMAP);
	last = section(&s, "MODL", 0) + 16;
	for (late = 0; late < 2; late++) {
		assert_int_equal(load(&s), 0);
		goes_on(&s);
		assert_int_equal(viommu_device_open_requests(viommu_pci_device(s.m.pci)), 1);
		*last ^= 2;
		if (late)
			seal(&s);
		assert_int_equal(load(&s), -EINVAL);
		*last ^= 2;
		seal(&s);
	}
	close_saved(&s);
}

/* What a load does first, before it touches anything. */
static int opened(struct saved *s)
{
	struct viommu__state_why why = { .text = s->why, .size = sizeof(s->why) };
	struct viommu_state_in in;

	return viommu__state_open(&in, s->bytes, s->n, &why);
}

static void what_was_cut_is_refused(void **state)
{
	struct saved s = { 0 };
	uint8_t *copy, *whole;
	size_t n, all;

	(void)state;
	save(&s, 0);
	whole = s.bytes;
	all = s.n;
	for (n = 0; n < all; n++) {
		/* Exactly as much memory: reading beyond would be seen. */
		copy = malloc(n ? n : 1);
		assert_non_null(copy);
		memcpy(copy, whole, n);
		s.bytes = copy;
		s.n = n;
		assert_int_equal(opened(&s), -EINVAL);
		if (n % 256 == 0)
			assert_int_equal(load(&s), -EINVAL);
		/* Also if who cut it made it look whole. */
		if (n >= 28 && (n < 400 || n > all - 400 || n % 61 == 0)) {
			uint64_t length = n;

			memcpy(copy + 16, &length, 8);
			seal(&s);
			assert_int_equal(load(&s), -EINVAL);
		}
		free(copy);
	}
	s.bytes = whole;
	s.n = all;
	assert_int_equal(load(&s), 0);
	close_saved(&s);
}

static void what_was_flipped_is_refused(void **state)
{
	struct saved s = { 0 };
	size_t i;

	(void)state;
	save(&s, 0);
	for (i = 0; i < s.n; i++) {
		s.bytes[i] ^= (uint8_t)(1u << i % 8);
		assert_int_equal(opened(&s), -EINVAL);
		if (i % 256 == 0)
			assert_int_equal(load(&s), -EINVAL);
		s.bytes[i] ^= (uint8_t)(1u << i % 8);
	}
	assert_int_equal(load(&s), 0);
	close_saved(&s);
}

/* With a checksum that fits: refused, or a state that a guest can live with. */
static void what_was_flipped_and_sealed_does_no_harm(void **state)
{
	struct saved s = { 0 };
	unsigned int taken = 0, refused = 0;
	struct rng rng;
	size_t i, k;

	(void)state;
	rng_init(&rng, "sealed");
	save(&s, VIOMMU_GUEST_HOST_PASIDS | VIOMMU_GUEST_INTREMAP);
	for (k = test_scale(2000); k; k--) {
		uint8_t old, bit = (uint8_t)(1u << rng_below(&rng, 8));

		i = rng_below(&rng, s.n - 4);
		old = s.bytes[i];
		s.bytes[i] ^= bit;
		seal(&s);
		if (load(&s)) {
			refused++;
		} else {
			taken++;
			goes_on(&s);
			viommu_device_abort_requests(viommu_pci_device(s.m.pci), VIOMMU_ALL_PASIDS,
						     VIOMMU_RESPONSE_INVALID);
			unit_flush(&s.m);
			viommu_pci_reset(s.m.pci);
			viommu_pci_reset(s.m.unit);
		}
		s.bytes[i] = old;
	}
	assert_true(taken && refused);
	close_saved(&s);
}

/* ---- Versions -------------------------------------------------------------------------------- */

static void put16(uint8_t *at, uint16_t v)
{
	memcpy(at, &v, 2);
}

static void a_later_version_is_refused_by_its_name(void **state)
{
	struct saved s = { 0 };

	(void)state;
	save(&s, 0);
	s.bytes[8] = 2;
	seal(&s);
	assert_int_equal(load(&s), -EINVAL);
	assert_string_equal(s.why, "format version 2, at most 1 is known");
	s.bytes[8] = 1;
	put16(section(&s, "UNIT", 0) + 4, 2);
	seal(&s);
	assert_int_equal(load(&s), -EINVAL);
	assert_string_equal(s.why, "the unit: section UNIT has version 2, at most 1 is known");
	put16(section(&s, "UNIT", 0) + 4, 0);
	seal(&s);
	assert_int_equal(load(&s), -EINVAL);
	put16(section(&s, "UNIT", 0) + 4, 1);
	seal(&s);
	assert_int_equal(load(&s), 0);
	close_saved(&s);
}

/* A section of 8 bytes before the one named, or at the end. */
static void insert(struct saved *s, size_t at, const char *tag, uint16_t flags)
{
	uint64_t bytes = 8, length = s->n + 24;
	uint8_t *grown = malloc(s->n + 24);

	assert_non_null(grown);
	memcpy(grown, s->bytes, at);
	memcpy(grown + at, tag, 4);
	put16(grown + at + 4, 1);
	put16(grown + at + 6, flags);
	memcpy(grown + at + 8, &bytes, 8);
	memset(grown + at + 16, 0xee, 8);
	memcpy(grown + at + 24, s->bytes + at, s->n - at);
	free(s->bytes);
	s->bytes = grown;
	s->n += 24;
	memcpy(s->bytes + 16, &length, 8);
	seal(s);
}

static void a_section_that_is_not_known_is_skipped_only_if_it_may_be(void **state)
{
	struct saved s = { 0 };
	size_t at;

	(void)state;
	save(&s, 0);
	at = (size_t)(section(&s, "UNIT", 0) - s.bytes);
	insert(&s, at, "NEWS", VIOMMU__SECTION_OPTIONAL);
	insert(&s, s.n - 4, "MORE", VIOMMU__SECTION_OPTIONAL);
	assert_int_equal(load(&s), 0);
	put16(s.bytes + at + 6, 0);
	seal(&s);
	assert_int_equal(load(&s), -EINVAL);
	assert_string_equal(s.why, "the unit: section NEWS where UNIT was expected");
	put16(s.bytes + at + 6, VIOMMU__SECTION_OPTIONAL);
	put16(section(&s, "MORE", 0) + 6, 0);
	seal(&s);
	assert_int_equal(load(&s), -EINVAL);
	assert_string_equal(s.why, "section MORE is not known here");
	close_saved(&s);
}

static void counts_may_be_left_out(void **state)
{
	struct saved s = { 0 };
	uint8_t *at;
	uint64_t n;

	(void)state;
	save(&s, 0);
	/* Too few of them are refused, and none of them counts. */
	at = section(&s, "UCNT", 0);
	memcpy(&n, at + 8, 8);
	n -= 8;
	memcpy(at + 8, &n, 8);
	seal(&s);
	assert_int_equal(load(&s), -EINVAL);
	n += 8;
	memcpy(at + 8, &n, 8);
	memcpy(at, "UXXX", 4);
	seal(&s);
	assert_int_equal(load(&s), 0);
	close_saved(&s);
}

static void a_section_longer_than_its_version_is_refused(void **state)
{
	struct saved s = { 0 };
	uint8_t *at;
	uint64_t n;

	(void)state;
	save(&s, 0);
	/* The next section's header becomes its end: 16 bytes more. */
	at = section(&s, "HDEV", 0);
	memcpy(&n, at + 8, 8);
	n++;
	memcpy(at + 8, &n, 8);
	seal(&s);
	assert_int_equal(load(&s), -EINVAL);
	assert_string_equal(s.why, "00:05.0: section HDEV is longer than its version says");
	close_saved(&s);
}

/* ---- Other machines -------------------------------------------------------------------------- */

static void another_machine_is_refused_by_what_differs(void **state)
{
	static const struct {
		const char *why;
		struct machine_config config;
	} row[] = {
		{ "00:05.0: saved with a BAR 2 of 131072 bytes, has 65536", { .dsa.queues = 4 } },
		{ "00:05.0: saved with 9 MSI-X vectors, has 7", { .dsa.queues = 6 } },
		{ "00:05.0: saved with 128 queue entries, has 64", { .dsa.entries = 64 } },
		{ "00:05.0: saved with 4 engines, has 1", { .dsa.engines = 1 } },
		{ "00:05.0: saved with capabilities 2fh, has 2dh", { .dsa.no_pri = 1 } },
		{ "the unit: saved with CAP", { .board.guest.flags = VIOMMU_GUEST_CM } },
		{ "the unit: saved with ECAP", { .board.guest.flags = VIOMMU_GUEST_INTREMAP } },
		{ "the unit: saved with flags 0h, has 2h",
		  { .board.guest.flags = VIOMMU_GUEST_HOST_PASIDS } },
	};
	struct saved s = { 0 };
	unsigned int i;

	(void)state;
	save(&s, 0);
	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		machine_board_free(&s.m);
		s.m.config = row[i].config;
		machine_board_new(&s.m);
		machine_listen(&s.m);
		before_load(&s);
		assert_int_equal(viommu_board_load(s.m.board, s.bytes, s.n, s.why, sizeof(s.why)),
				 -EINVAL);
		untouched(&s);
		if (strncmp(s.why, row[i].why, strlen(row[i].why)))
			fail_msg("%s", s.why);
	}
	close_saved(&s);
}

static void devices_and_memory_have_to_be_there(void **state)
{
	struct viommu_dsa *other;
	struct saved s = { 0 };

	(void)state;
	save(&s, 0);
	assert_int_equal(viommu_mem_remove(viommu_board_mem(s.m.board), 0, MACHINE_RAM), 0);
	assert_int_equal(load(&s), -EINVAL);
	assert_string_equal(s.why, "saved with memory at 0h, has none");
	/* In two regions it is the same memory. */
	assert_int_equal(viommu_mem_add_fd(viommu_board_mem(s.m.board), 0, MACHINE_RAM / 2,
					   s.m.ram.fd, 0, 0),
			 0);
	assert_int_equal(load(&s), -EINVAL);
	assert_string_equal(s.why, "saved with memory at 800000h, has none");
	assert_int_equal(viommu_mem_add_fd(viommu_board_mem(s.m.board), MACHINE_RAM / 2,
					   MACHINE_RAM / 2, s.m.ram.fd, MACHINE_RAM / 2, 0),
			 0);
	assert_int_equal(load(&s), 0);
	assert_int_equal(viommu_dsa_new(NULL, &other), 0);
	assert_int_equal(viommu_board_add(s.m.board, viommu_dsa_pci(other), 0x30), 0);
	goes_on(&s);
	assert_int_equal(load(&s), -EINVAL);
	assert_string_equal(s.why, "saved with 1 devices, has more");
	assert_int_equal(viommu_board_remove(s.m.board, s.m.pci), 0);
	assert_int_equal(viommu_board_load(s.m.board, s.bytes, s.n, s.why, sizeof(s.why)), -EINVAL);
	assert_string_equal(s.why, "00:05.0: no device there, or not as number 0");
	assert_int_equal(viommu_board_remove(s.m.board, viommu_dsa_pci(other)), 0);
	assert_int_equal(viommu_board_load(s.m.board, s.bytes, s.n, s.why, sizeof(s.why)), -EINVAL);
	assert_string_equal(s.why, "saved with 1 devices, has 0");
	untouched(&s);
	viommu_dsa_free(other);
	close_saved(&s);
}

/* ---- Lies ------------------------------------------------------------------------------------ */

/* Offsets in sections, as docs/state.md has them. */
#define UNIT_REGS  (16 + 25)
#define UNIT_AFTER (UNIT_REGS + 4096)

static void lie(struct saved *s, const char *tag, unsigned int n, size_t at, uint64_t v,
		unsigned int bytes)
{
	uint8_t *p = section(s, tag, n) + at;
	uint64_t old = 0;

	memcpy(&old, p, bytes);
	memcpy(p, &v, bytes);
	seal(s);
	if (load(s) != -EINVAL)
		fail_msg("%s at %zu: taken", tag, at);
	memcpy(p, &old, bytes);
	seal(s);
}

static void what_no_guest_could_have_made_is_refused(void **state)
{
	struct saved s = { 0 };

	(void)state;
	save(&s, VIOMMU_GUEST_HOST_PASIDS | VIOMMU_GUEST_INTREMAP);
	lie(&s, "UNIT", 0, UNIT_REGS + VTD_REG_FSTS, 0x80000000, 4);
	lie(&s, "UNIT", 0, UNIT_REGS + 0x50, 1, 4); /* no register there */
	lie(&s, "UNIT", 0, UNIT_REGS + VTD_REG_GSTS, 0x08000000, 4);
	lie(&s, "UNIT", 0, UNIT_REGS + VTD_REG_IQH, 0x10000, 4); /* beyond the ring */
	lie(&s, "UNIT", 0, UNIT_REGS + VTD_REG_IQH, 0x10, 4);    /* between two */
	lie(&s, "UNIT", 0, UNIT_AFTER, 0x804, 8);                /* root table */
	lie(&s, "UNIT", 0, UNIT_AFTER + 8, 0x123, 8);            /* ring */
	lie(&s, "UNIT", 0, UNIT_AFTER + 16, 4095, 4);
	lie(&s, "UNIT", 0, UNIT_AFTER + 20, 0, 4);
	lie(&s, "UNIT", 0, UNIT_AFTER + 24, 1000, 4); /* fault record */
	lie(&s, "UNIT", 0, UNIT_AFTER + 30, 0x10000, 4);
	lie(&s, "UIRT", 0, 16 + 8, 3, 4);
	lie(&s, "UIRT", 0, 16, 0xfff, 8);
	lie(&s, "UPAS", 0, 16 + 4, 0x100000, 4); /* beyond 20 bits */
	lie(&s, "UBND", 0, 16, 0x30, 2);         /* a device that is not there */
	lie(&s, "UBND", 0, 16 + 2, 0x100000, 4);
	lie(&s, "FUNC", 1, 16 + 79 + 0, 0xabcd, 2); /* vendor id */
	lie(&s, "FUNC", 1, 16 + 79 + 0x94, 1, 1);   /* power state D1 */
	lie(&s, "FUNC", 1, 16 + 79 + 4096 + 2, 1, 1);
	lie(&s, "FUNC", 1, 16 + 79 + 4096 + 2 + 9 * 16, 1u << 9, 8);
	lie(&s, "HDEV", 0, 16 + 1, 512, 2);
	lie(&s, "HDEV", 0, 16 + 3, 0, 1); /* a free group */
	lie(&s, "HDEV", 0, 16 + 6, 0x80, 4);
	lie(&s, "HDEV", 0, 16 + 14, 0x123, 8);
	lie(&s, "HDEV", 0, 16 + 10, 0x100000, 4);
	close_saved(&s);
}

/* A command ends inside of the write that starts it. One that did not would never end. */
static void no_command_of_a_register_is_under_way(void **state)
{
	static const struct {
		uint32_t flags;
		unsigned int response;
	} row[] = {
		{ VIOMMU_GUEST_CM | VIOMMU_GUEST_VCMD, 0xe10 },
		{ VIOMMU_GUEST_CM | VIOMMU_GUEST_VCMD | VIOMMU_GUEST_VCMD_OLD, 0xe20 },
	};
	unsigned int i, iotlb;

	(void)state;
	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct machine_config config = { .board.guest.flags = row[i].flags,
						 .board.pasid_min = 1,
						 .board.pasid_max = 100 };
		struct saved s = { 0 };

		machine_open(&s.m, &config);
		iotlb = 16 * (unsigned int)VTD_FIELD(unit_rd(&s.m, VTD_REG_ECAP, 8), VTD_ECAP_IRO) +
			8;
		assert_int_equal(viommu_board_pause(s.m.board, NULL, 0), 0);
		keep(&s);
		lie(&s, "UNIT", 0, UNIT_REGS + VTD_REG_CCMD, VTD_MASK(VTD_CCMD_ICC), 8);
		lie(&s, "UNIT", 0, UNIT_REGS + iotlb, VTD_MASK(VTD_IOTLB_IVT), 8);
		lie(&s, "UNIT", 0, UNIT_REGS + row[i].response, 1, 8);
		assert_int_equal(load(&s), 0);
		close_saved(&s);
	}
}

#define MODEL_IMAGE  (16 + 32)
#define MODEL_AFTER  (MODEL_IMAGE + 4096)
#define MODEL_QUEUES (MODEL_AFTER + 8 + 4 + 18)
/* queue 0 has one waiting; seven have none; engine 0 is busy with a batch */
#define MODEL_ENGINES (MODEL_QUEUES + 12 + 73 + 7 * 12)
#define MODEL_JOB     (MODEL_ENGINES + 9)

static void what_no_accelerator_could_be_is_refused(void **state)
{
	struct saved s = { 0 };

	(void)state;
	save(&s, 0);
	lie(&s, "MODL", 0, 16, 2, 4);
	lie(&s, "MODL", 0, MODEL_IMAGE + 0x10, 0, 4);               /* capabilities */
	lie(&s, "MODL", 0, MODEL_IMAGE + 0x400 + 32, 0xffff, 4);    /* engines */
	lie(&s, "MODL", 0, MODEL_IMAGE + 0x400, 0xffff, 4);         /* queues */
	lie(&s, "MODL", 0, MODEL_IMAGE + 0x90, 0, 4);               /* disabled, with work */
	lie(&s, "MODL", 0, MODEL_IMAGE + 0x500, 64, 4);             /* sizes */
	lie(&s, "MODL", 0, MODEL_IMAGE + 0x500 + 32 + 4, ~0ull, 4); /* operations */
	lie(&s, "MODL", 0, MODEL_AFTER + 8, 4, 4);                  /* group */
	lie(&s, "MODL", 0, MODEL_AFTER + 13, 1, 4);                 /* command */
	lie(&s, "MODL", 0, MODEL_AFTER + 17, 1, 4);
	lie(&s, "MODL", 0, MODEL_AFTER + 22, ~0ull, 8);
	lie(&s, "MODL", 0, MODEL_QUEUES, 1024, 4);
	lie(&s, "MODL", 0, MODEL_QUEUES + 4, 17, 4);
	lie(&s, "MODL", 0, MODEL_QUEUES + 8, 1u << 31, 4);
	lie(&s, "MODL", 0, MODEL_QUEUES + 12 + 64, 0, 8); /* ticket */
	lie(&s, "MODL", 0, MODEL_ENGINES, 3, 1);
	lie(&s, "MODL", 0, MODEL_ENGINES, 1, 1);
	lie(&s, "MODL", 0, MODEL_ENGINES + 1, 0, 8);
	lie(&s, "MODL", 0, MODEL_JOB + 32, 3000, 4);       /* more than a batch may have */
	lie(&s, "MODL", 0, MODEL_JOB + 7, 0xff, 1);        /* operation */
	lie(&s, "MODL", 0, MODEL_JOB + 64, 8, 1);          /* queue */
	lie(&s, "MODL", 0, MODEL_JOB + 64 + 1, 1, 2);      /* in a batch */
	lie(&s, "MODL", 0, MODEL_JOB + 64 + 3, 3, 1);      /* stage */
	lie(&s, "MODL", 0, MODEL_JOB + 64 + 14, ~0ull, 8); /* operations */
	lie(&s, "MODL", 0, MODEL_JOB + 64 + 22, ~0ull, 8);
	lie(&s, "MODL", 0, MODEL_JOB + 64 + 30, ~0ull, 8);
	lie(&s, "MODL", 0, MODEL_JOB + 64 + 50, 2, 4); /* the next one is not the member */
	close_saved(&s);
}

/* What its jobs rely on is judged when a queue is enabled, so nothing waits in one that is not. */
static void nothing_is_left_in_a_queue_that_is_disabled(void **state)
{
	struct saved s = { 0 };
	uint8_t *model, *wq;
	uint64_t ticket = 0;

	(void)state;
	save(&s, 0);
	model = section(&s, "MODL", 0);
	wq = model + MODEL_IMAGE + 0x500;
	assert_int_equal(wq[0x1b], 0x20 | DSA_STATE_ENABLED << 6);
	lie(&s, "MODL", 0, MODEL_IMAGE + 0x51b, 0x20, 1);
	/* A command that disables it has closed it, and waits for all that it has. */
	lie(&s, "MODL", 0, MODEL_AFTER + 13, DSA_CMD_DISABLE_DEVICE, 4);
	lie(&s, "MODL", 0, MODEL_AFTER + 13, DSA_CMD_RESET_DEVICE, 4);
	wq[0x1b] = 0x20 | DSA_STATE_DRAINING << 6;
	model[MODEL_AFTER + 13] = DSA_CMD_DISABLE_DEVICE;
	memcpy(&ticket, model + MODEL_AFTER + 22, 8);
	assert_int_equal(ticket, 2);
	lie(&s, "MODL", 0, MODEL_AFTER + 22, ticket - 1, 8);
	lie(&s, "MODL", 0, MODEL_AFTER + 22, 0, 8);
	seal(&s);
	if (load(&s))
		fail_msg("refused: %s", s.why);
	close_saved(&s);
}

/* No engine is busy, so it is only the queue that cannot be. */
static void nothing_waits_in_a_queue_that_is_disabled(void **state)
{
	const uint64_t w[8] = { (uint64_t)(DSA_OP_NOOP << 24 | DSA_FLAG_CRAV | DSA_FLAG_RCR) << 32,
				RECORD };
	struct saved s = { 0 };

	(void)state;
	machine_open(&s.m, NULL);
	machine_start(&s.m);
	dsa_enable(&s.m, MACHINE_GP);
	dsa_store(&s.m, 0, w, 64);
	assert_int_equal(viommu_board_pause(s.m.board, NULL, 0), 0);
	keep(&s);
	lie(&s, "MODL", 0, MODEL_IMAGE + 0x51b, 0x20, 1);
	assert_string_equal(s.why, "00:05.0: queue 0 cannot be so in this state");
	assert_int_equal(load(&s), 0);
	goes_on(&s);
	assert_int_equal(dsa_steps(&s.m), 1);
	close_saved(&s);
}

/*
 * It would end in the load, and its interrupt would come before the resume, or of a refused load.
 */
static void a_command_that_waits_for_nothing_is_refused(void **state)
{
	struct saved s = { 0 };
	uint8_t *model, *table;

	(void)state;
	save(&s, 0);
	/* Vector 0 is free to go. */
	table = section(&s, "FUNC", 1) + 16 + 79 + 4096 + 2;
	table[12] = 0;
	table[9 * 16] = 0;
	seal(&s);
	assert_int_equal(load(&s), 0);
	model = section(&s, "MODL", 0);
	model[MODEL_AFTER + 21] = 1;
	memset(model + MODEL_AFTER + 22, 0, 8);
	insert(&s, s.n - 4, "MORE", 0);
	assert_int_equal(load(&s), -EINVAL);
	assert_string_equal(s.why, "00:05.0: no command with code 3 can be in progress");
	close_saved(&s);
}

/* A descriptor that goes on is done once, whatever it is. */
static void a_descriptor_that_cannot_be_in_the_middle_holds_nothing(void **state)
{
	struct saved s = { 0 };
	struct machine *m = &s.m;
	uint8_t *scan;

	(void)state;
	save(&s, 0);
	scan = section(&s, "UNIT", 0) + UNIT_AFTER + 28;
	assert_int_equal(scan[0], 0);
	scan[0] = 1;
	scan[10] = VTD_IQ_TYPE_IEC;
	seal(&s);
	assert_int_equal(load(&s), 0);
	goes_on(&s);
	*machine_ram(m, m->status) = 0;
	unit_queue(m, VTD_IQ_TYPE_IEC, 0);
	unit_queue(m,
		   VTD_VAL(VTD_IQ_WAIT_TYPE, VTD_IQ_TYPE_WAIT) | VTD_VAL(VTD_IQ_WAIT_SW, 1) |
			   VTD_VAL(VTD_IQ_WAIT_DATA, 77),
		   m->status);
	unit_wr(m, VTD_REG_IQT, 8, m->tail);
	assert_int_equal(*machine_ram(m, m->status) & UINT32_MAX, 77);
	close_saved(&s);
}

/* ---- Whoever cannot -------------------------------------------------------------------------- */

static void only_a_board_that_is_paused_is_saved(void **state)
{
	struct machine m;
	void *s = &m;
	size_t n = 1;

	(void)state;
	machine_open(&m, NULL);
	machine_start(&m);
	assert_int_equal(viommu_board_save(m.board, &s, &n), -EBUSY);
	assert_null(s);
	assert_int_equal(n, 0);
	viommu_state_free(NULL);
	machine_close(&m);
}

static void a_model_that_cannot_save_keeps_the_board_running(void **state)
{
	const struct viommu_pci_config pc = { .size = sizeof(pc), .vendor = 1, .device = 2 };
	struct viommu_pci *pci;
	struct machine m;
	char why[80];

	(void)state;
	machine_open(&m, NULL);
	machine_start(&m);
	assert_int_equal(viommu_pci_new(&pc, &pci, NULL), 0);
	assert_int_equal(viommu_pci_pause(pci), -ENOTSUP);
	assert_int_equal(viommu_board_add(m.board, pci, 0x48), 0);
	assert_int_equal(viommu_board_pause(m.board, why, sizeof(why)), -ENOTSUP);
	assert_string_equal(why, "00:09.0: its device model cannot save its state");
	assert_int_equal(viommu_board_pause(m.board, NULL, 0), -ENOTSUP);
	assert_false(viommu_pci_pausing(m.pci));
	assert_int_equal(viommu_board_remove(m.board, pci), 0);
	viommu_pci_free(pci);
	machine_close(&m);
}

/* ---- Memory that is not to be had ------------------------------------------------------------ */

static void every_allocation_of_a_load_may_fail_once(void **state)
{
	struct saved s = { 0 };
	long live, n;
	int ret, done;

	(void)state;
	save(&s, VIOMMU_GUEST_HOST_PASIDS | VIOMMU_GUEST_INTREMAP);
	/* Tables of the host that stay once they are made. */
	assert_int_equal(load(&s), 0);
	goes_on(&s);
	viommu_pci_reset(s.m.pci);
	viommu_pci_reset(s.m.unit);
	live = viommu__alloc_live();
	for (n = 1;; n++) {
		before_load(&s);
		viommu__alloc_fail_nth(n);
		ret = viommu_board_load(s.m.board, s.bytes, s.n, s.why, sizeof(s.why));
		done = !viommu__alloc_fail_done();
		if (done) {
			assert_int_equal(ret, 0);
			break;
		}
		if (ret) {
			fresh(&s);
			assert_int_equal(viommu__alloc_live(), live);
		} else {
			goes_on(&s);
			viommu_pci_reset(s.m.pci);
			viommu_pci_reset(s.m.unit);
		}
	}
	assert_true(n > 4);
	close_saved(&s);
}

static void every_allocation_of_a_save_may_fail_once(void **state)
{
	struct machine m;
	void *s;
	size_t bytes;
	long live, n;
	int ret, done;

	(void)state;
	machine_open(&m, NULL);
	machine_start(&m);
	assert_int_equal(viommu_board_pause(m.board, NULL, 0), 0);
	live = viommu__alloc_live();
	for (n = 1;; n++) {
		viommu__alloc_fail_nth(n);
		ret = viommu_board_save(m.board, &s, &bytes);
		done = !viommu__alloc_fail_done();
		assert_int_equal(ret, done ? 0 : -ENOMEM);
		assert_int_equal(!!s, !ret);
		viommu_state_free(s);
		assert_int_equal(viommu__alloc_live(), live);
		if (done)
			break;
	}
	assert_true(n > 2);
	machine_close(&m);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(the_checksum_is_crc_32c),
	cmocka_unit_test(the_state_as_it_is_is_taken),
	cmocka_unit_test(what_is_pending_is_said_after_the_load),
	cmocka_unit_test(a_guest_that_runs_is_reset_by_a_load_that_is_refused),
	cmocka_unit_test(what_was_cut_is_refused),
	cmocka_unit_test(what_was_flipped_is_refused),
	cmocka_unit_test(what_was_flipped_and_sealed_does_no_harm),
	cmocka_unit_test(a_later_version_is_refused_by_its_name),
	cmocka_unit_test(a_section_that_is_not_known_is_skipped_only_if_it_may_be),
	cmocka_unit_test(counts_may_be_left_out),
	cmocka_unit_test(a_section_longer_than_its_version_is_refused),
	cmocka_unit_test(another_machine_is_refused_by_what_differs),
	cmocka_unit_test(devices_and_memory_have_to_be_there),
	cmocka_unit_test(what_no_guest_could_have_made_is_refused),
	cmocka_unit_test(no_command_of_a_register_is_under_way),
	cmocka_unit_test(what_no_accelerator_could_be_is_refused),
	cmocka_unit_test(nothing_is_left_in_a_queue_that_is_disabled),
	cmocka_unit_test(nothing_waits_in_a_queue_that_is_disabled),
	cmocka_unit_test(a_command_that_waits_for_nothing_is_refused),
	cmocka_unit_test(a_descriptor_that_cannot_be_in_the_middle_holds_nothing),
	cmocka_unit_test(only_a_board_that_is_paused_is_saved),
	cmocka_unit_test(a_model_that_cannot_save_keeps_the_board_running),
	cmocka_unit_test(every_allocation_of_a_load_may_fail_once),
	cmocka_unit_test(every_allocation_of_a_save_may_fail_once),
};
TEST_MAIN(tests)
