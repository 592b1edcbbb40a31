/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Functions behind root ports in a saved board: bus numbers, who is plugged in, and what the guest
 * does with both afterwards.
 */
#include "board/machine.h"

#include <viommu/vtd.h>

#include "base/alloc.h"
#include "base/state.h"

#define PORT        VIOMMU_SID(0, 2, 0)
#define PORT_2      VIOMMU_SID(0, 3, 0)
#define BEHIND(bus) VIOMMU_SID(bus, 0, 0)

static void open(struct machine *m)
{
	const struct machine_config config = { .ports = 2 };

	machine_open(m, &config);
	machine_start(m);
}

/* The guest's kernel has found a function on this bus, and shares the process with it. */
static void found(struct machine *m, uint8_t bus)
{
	uint64_t context = tables_page(&m->ram);

	memcpy(machine_ram(m, context),
	       machine_ram(m, machine_ram(m, m->root)[0] & VTD_MASK(VTD_SROOT_LCTP)) +
		       (MACHINE_SID & 0x7f) * 4,
	       32);
	machine_ram(m, m->root)[bus * 2] = context | VTD_MASK(VTD_SROOT_LP);
}

static struct viommu_device *late(struct machine *m, unsigned int n)
{
	return viommu_pci_device(viommu_dsa_pci(m->late[n]));
}

static int put(struct machine *m, unsigned int n, uint64_t va, uint32_t flags)
{
	uint64_t v = va;

	return viommu_dma_write(m->dma, late(m, n), MACHINE_GP, va, &v, 8, flags, NULL);
}

static void told(struct machine *m, unsigned int port, uint8_t bus)
{
	cfg_wr(m->unit, VIOMMU_PCI_VENDOR_AT + port, 1, bus);
}

static uint16_t sid_of(struct machine *m, unsigned int n)
{
	struct viommu_pci *pci;
	unsigned int i;
	uint16_t sid;

	for (i = 0; (pci = viommu_board_device(m->board, i, &sid)); i++)
		if (pci == viommu_dsa_pci(m->late[n]))
			return sid;
	return 0;
}

static void bus_numbers_and_what_is_behind_them_move(void **state)
{
	uint64_t *request;
	struct machine m;
	uint8_t bus = 0;

	(void)state;
	open(&m);
	found(&m, 7);
	found(&m, 2);
	told(&m, 0, 7);
	machine_plug(&m, 1, PORT_2);
	machine_plug(&m, 0, PORT);
	assert_int_equal(put(&m, 0, MACHINE_VA, 0), 0);
	machine_hide(&m, MACHINE_VA + 4096);
	assert_int_equal(put(&m, 0, MACHINE_VA + 4096, VIOMMU_DMA_NO_WAIT), -EAGAIN);
	machine_move(&m);
	assert_int_equal(sid_of(&m, 0), BEHIND(7));
	assert_int_equal(sid_of(&m, 1), BEHIND(2));
	assert_int_equal(viommu_board_port(m.board, PORT, &bus), 1);
	assert_int_equal(bus, 7);
	assert_int_equal(viommu_board_port(m.board, PORT_2, &bus), 0);
	assert_int_equal(bus, 2);
	assert_int_equal(cfg_rd(m.unit, VIOMMU_PCI_VENDOR_AT, 1), 7);
	assert_int_equal(put(&m, 1, MACHINE_VA, 0), 0);
	/* The request is open, and the guest knows who asked. */
	assert_int_equal(viommu_device_open_requests(late(&m, 0)), 1);
	request = machine_ram(&m, m.pages);
	assert_int_equal(VTD_GET(request, VTD_PRQ_RID), BEHIND(7));
	machine_show(&m, MACHINE_VA + 4096);
	unit_respond(&m, request, VTD_PGRP_SUCCESS);
	assert_int_equal(viommu_device_open_requests(late(&m, 0)), 0);
	assert_int_equal(put(&m, 0, MACHINE_VA + 4096, VIOMMU_DMA_NO_WAIT), 0);
	/* Out and in again, and another number for the bus: as with the board of before. */
	machine_unplug(&m, 0);
	machine_move(&m);
	assert_int_equal(sid_of(&m, 0), 0);
	machine_plug(&m, 0, PORT);
	assert_int_equal(put(&m, 0, MACHINE_VA, 0), 0);
	machine_move(&m);
	told(&m, 1, 9);
	found(&m, 9);
	assert_int_equal(sid_of(&m, 1), BEHIND(9));
	assert_int_equal(put(&m, 1, MACHINE_VA, 0), 0);
	assert_int_equal(put(&m, 0, MACHINE_VA, 0), 0);
	machine_close(&m);
}

static void a_number_of_before_a_reset_is_kept(void **state)
{
	struct machine m;
	uint8_t bus = 0;

	(void)state;
	open(&m);
	told(&m, 1, 9);
	viommu_pci_reset(m.unit);
	machine_move(&m);
	assert_int_equal(viommu_board_port(m.board, PORT_2, &bus), 0);
	assert_int_equal(bus, 9);
	machine_plug(&m, 0, PORT_2);
	assert_int_equal(sid_of(&m, 0), BEHIND(9));
	machine_close(&m);
}

/* The guest said the same of two buses: who had it first has it, whatever the order. */
static void who_has_no_requester_id_has_none_elsewhere(void **state)
{
	unsigned int first;
	struct machine m;

	(void)state;
	for (first = 0; first < 2; first++) {
		open(&m);
		found(&m, 7);
		found(&m, 8);
		machine_plug(&m, 0, PORT);
		machine_plug(&m, 1, PORT_2);
		told(&m, first, 7);
		told(&m, !first, 7);
		assert_int_equal(put(&m, first, MACHINE_VA, 0), 0);
		assert_int_equal(put(&m, !first, MACHINE_VA, 0), VIOMMU_FAULTED);
		machine_move(&m);
		assert_int_equal(put(&m, first, MACHINE_VA, 0), 0);
		assert_int_equal(put(&m, !first, MACHINE_VA, 0), VIOMMU_FAULTED);
		told(&m, !first, 8);
		assert_int_equal(put(&m, first, MACHINE_VA, 0), 0);
		assert_int_equal(put(&m, !first, MACHINE_VA, 0), 0);
		machine_close(&m);
	}
}

/* ---- What does not fit ----------------------------------------------------------------------- */

/* After it the ports count by their slots again. */
static void refused(struct machine *m, const void *bytes, size_t n, const char *said)
{
	char why[128];
	uint8_t bus;

	assert_int_equal(machine_loads(m, bytes, n, why, sizeof(why)), -EINVAL);
	assert_string_equal(why, said);
	if (m->config.ports > 1) {
		assert_int_equal(viommu_board_port(m->board, PORT_2, &bus), 0);
		assert_int_equal(bus, 2);
	}
}

static void other_ports_and_other_places_are_refused(void **state)
{
	struct machine m;
	void *bytes;
	size_t n;

	(void)state;
	open(&m);
	told(&m, 1, 7);
	machine_plug(&m, 0, PORT);
	machine_plug(&m, 1, PORT_2);
	bytes = machine_saves(&m, &n);
	m.plugged[0].port = PORT_2;
	m.plugged[1].port = PORT;
	refused(&m, bytes, n, "00:02.0: no device behind it, or not as number 1");
	m.nr_plugged = 1;
	m.plugged[0].port = PORT;
	refused(&m, bytes, n, "saved with 3 devices, has 2");
	m.config.ports = 3;
	refused(&m, bytes, n, "saved with 2 ports, has more");
	m.config.ports = 1;
	refused(&m, bytes, n, "saved with 2 ports, has 1");
	/* And as it was it is taken. */
	m.config.ports = 2;
	m.nr_plugged = 2;
	m.plugged[1].port = PORT_2;
	assert_int_equal(machine_loads(&m, bytes, n, NULL, 0), 0);
	assert_int_equal(sid_of(&m, 1), BEHIND(7));
	viommu_state_free(bytes);
	machine_close(&m);
}

/* Offsets in the first section, as docs/state.md has them. */
#define BOARD       (24 + 16)
#define BOARD_PORT  (BOARD + 1)
#define BOARD_PLACE (BOARD_PORT + 2 * 3)

static void what_no_board_could_have_is_refused(void **state)
{
	static const struct {
		size_t at;
		uint8_t v;
		const char *why;
	} row[] = {
		{ BOARD_PORT, 0x18, "00:03.0: no such port, or not as number 0" },
		{ BOARD_PORT + 2, 0, "the unit: the number of a bus is not the one that was told" },
		{ BOARD_PORT + 2, 6, "the unit: the number of a bus is not the one that was told" },
		{ BOARD_PORT + 5, 7, "the unit: two devices behind ports have one requester id" },
		{ BOARD_PLACE + 2, 3, "00:05.0: no device behind it, or not as number 0" },
		{ BOARD_PLACE + 2, 0, "00:05.0: a device that the unit does not know" },
		{ BOARD_PLACE + 2, 6, "00:05.0: a device that the unit does not know" },
		{ BOARD_PLACE + 5, 2, "00:02.0: no device there, or not as number 1" },
	};
	struct machine m;
	unsigned int i;
	uint8_t *bytes;
	uint32_t crc;
	size_t n;

	(void)state;
	open(&m);
	told(&m, 0, 7);
	machine_plug(&m, 0, PORT);
	machine_plug(&m, 1, PORT_2);
	bytes = machine_saves(&m, &n);
	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		uint8_t was = bytes[row[i].at];

		bytes[row[i].at] = row[i].v;
		crc = viommu__crc32c(bytes, n - 4);
		memcpy(bytes + n - 4, &crc, 4);
		refused(&m, bytes, n, row[i].why);
		bytes[row[i].at] = was;
	}
	crc = viommu__crc32c(bytes, n - 4);
	memcpy(bytes + n - 4, &crc, 4);
	assert_int_equal(machine_loads(&m, bytes, n, NULL, 0), 0);
	viommu_state_free(bytes);
	machine_close(&m);
}

/* Also those of requester ids that change. What is refused has the ones of a new board. */
static void every_allocation_of_a_load_may_fail_once(void **state)
{
	struct machine m;
	char why[128];
	size_t bytes;
	int ret, done;
	void *saved;
	long n;

	(void)state;
	open(&m);
	found(&m, 7);
	found(&m, 8);
	machine_plug(&m, 0, PORT);
	machine_plug(&m, 1, PORT_2);
	told(&m, 0, 7);
	told(&m, 1, 8);
	assert_int_equal(put(&m, 0, MACHINE_VA, 0), 0);
	assert_int_equal(put(&m, 1, MACHINE_VA, 0), 0);
	saved = machine_saves(&m, &bytes);
	machine_board_free(&m);
	machine_board_new(&m);
	for (n = 1;; n++) {
		viommu__alloc_fail_nth(n);
		ret = viommu_board_load(m.board, saved, bytes, why, sizeof(why));
		done = !viommu__alloc_fail_done();
		assert_int_equal(sid_of(&m, 0), BEHIND(ret ? 1 : 7));
		assert_int_equal(sid_of(&m, 1), BEHIND(ret ? 2 : 8));
		if (done)
			break;
		/* A bind that fails, for whatever reason, is one that the host does not make. */
		if (ret && ret != -ENOMEM && !strstr(why, "the host does not bind"))
			fail_msg("allocation %ld: %s", n, why);
	}
	assert_int_equal(ret, 0);
	assert_true(n > 3);
	viommu_board_resume(m.board);
	assert_int_equal(put(&m, 0, MACHINE_VA, 0), 0);
	assert_int_equal(put(&m, 1, MACHINE_VA, 0), 0);
	viommu_state_free(saved);
	machine_close(&m);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(bus_numbers_and_what_is_behind_them_move),
	cmocka_unit_test(a_number_of_before_a_reset_is_kept),
	cmocka_unit_test(who_has_no_requester_id_has_none_elsewhere),
	cmocka_unit_test(other_ports_and_other_places_are_refused),
	cmocka_unit_test(what_no_board_could_have_is_refused),
	cmocka_unit_test(every_allocation_of_a_load_may_fail_once),
};
TEST_MAIN(tests)
