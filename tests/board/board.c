/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The board: parts that are wired, functions that come and go, tables for the firmware, and what
 * happens on the host getting up to the guest.
 */
#include "board/rig.h"

/* ---- Parts ---- */

static void a_board_of_defaults_has_its_parts(void **state)
{
	struct viommu_board *board;
	const struct viommu_pci_config *pc;

	(void)state;
	assert_int_equal(viommu_board_new(NULL, &board), 0);
	assert_non_null(viommu_board_mem(board));
	assert_non_null(viommu_board_host(board));
	assert_non_null(viommu_board_domain(board));
	assert_non_null(viommu_board_guest(board));
	pc = viommu_pci_config(viommu_board_unit(board));
	assert_int_equal(pc->class_code, 0x080600);
	assert_int_equal(pc->workers, 0);
	assert_null(viommu_board_device(board, 0, NULL));
	viommu_board_free(board);
	viommu_board_free(NULL);
}

static void a_config_that_is_not_one_is_refused(void **state)
{
	static const struct viommu_board_config good = { .size = sizeof(good) };
	struct viommu_board_config bad[5];
	struct viommu_board *board;
	size_t i;

	(void)state;
	assert_int_equal(viommu_board_new(&good, NULL), -EINVAL);
	for (i = 0; i < 5; i++)
		bad[i] = good;
	bad[0].size--;
	bad[1].domain_flags = VIOMMU_DOMAIN_NO_NEST;
	bad[2].reserved2 = 1;
	bad[3].guest.profile = 99;
	bad[4].max_page_requests = 513;
	for (i = 0; i < 5; i++) {
		board = (void *)1;
		assert_int_equal(viommu_board_new(&bad[i], &board), -EINVAL);
		assert_null(board);
	}
}

static void every_allocation_may_fail_once(void **state)
{
	long live = viommu__alloc_live(), n;
	struct viommu_board *board;
	struct toy toy;
	int ret, done;

	(void)state;
	toy_open(&toy, NULL);
	live = viommu__alloc_live();
	for (n = 1;; n++) {
		viommu__alloc_fail_nth(n);
		ret = viommu_board_new(NULL, &board);
		if (!ret) {
			ret = viommu_board_add(board, toy.pci, SID);
			/* Not half there. */
			assert_int_equal(!ret, viommu_board_device(board, 0, NULL) == toy.pci);
			assert_int_equal(!ret, viommu_pci_device(toy.pci) != NULL);
		}
		done = !viommu__alloc_fail_done();
		assert_int_equal(ret, done ? 0 : -ENOMEM);
		viommu_board_free(board);
		assert_null(viommu_pci_device(toy.pci));
		assert_int_equal(viommu__alloc_live(), live);
		if (done)
			break;
	}
	assert_true(n > 10);
	toy_close(&toy);
}

/* ---- Functions ---- */

static void functions_come_and_go(void **state)
{
	struct toy toy[VIOMMU_BOARD_MAX_DEVICES + 1];
	struct viommu_board *board;
	uint16_t sid = 0;
	unsigned int i;

	(void)state;
	assert_int_equal(viommu_board_new(NULL, &board), 0);
	for (i = 0; i <= VIOMMU_BOARD_MAX_DEVICES; i++)
		toy_open(&toy[i], NULL);
	assert_int_equal(viommu_board_add(board, NULL, SID), -EINVAL);
	assert_int_equal(viommu_board_add(board, toy[0].pci, VIOMMU_SID(0, 4, 0)), -EINVAL);
	assert_int_equal(viommu_board_remove(board, toy[0].pci), -ENOENT);
	assert_int_equal(viommu_board_add(board, toy[0].pci, SID), 0);
	assert_int_equal(viommu_device_sid(viommu_pci_device(toy[0].pci)), SID);
	assert_int_equal(viommu_board_add(board, toy[0].pci, SID_OTHER), -EEXIST);
	assert_int_equal(viommu_board_add(board, toy[1].pci, SID), -EEXIST);
	for (i = 1; i < VIOMMU_BOARD_MAX_DEVICES; i++)
		assert_int_equal(viommu_board_add(board, toy[i].pci, (uint16_t)(0x100 + i)), 0);
	assert_int_equal(viommu_board_add(board, toy[i].pci, 0x200), -ENOSPC);
	/* In the order in which they came. */
	assert_ptr_equal(viommu_board_device(board, 3, &sid), toy[3].pci);
	assert_int_equal(sid, 0x103);
	assert_null(viommu_board_device(board, VIOMMU_BOARD_MAX_DEVICES, &sid));
	assert_int_equal(viommu_board_remove(board, toy[2].pci), 0);
	assert_null(viommu_pci_device(toy[2].pci));
	assert_int_equal(viommu_board_remove(board, toy[2].pci), -ENOENT);
	assert_ptr_equal(viommu_board_device(board, 2, &sid), toy[3].pci);
	/* Its place is free again. */
	assert_int_equal(viommu_board_add(board, toy[i].pci, 0x102), 0);
	/* What is left is let go with the board. */
	viommu_board_free(board);
	for (i = 0; i <= VIOMMU_BOARD_MAX_DEVICES; i++) {
		assert_null(viommu_pci_device(toy[i].pci));
		toy_close(&toy[i]);
	}
}

static void a_function_is_reset_before_it_leaves(void **state)
{
	unsigned int resets;
	struct rig r;

	(void)state;
	open(&r);
	start(&r);
	present(&r, GUEST_PASID);
	assert_int_equal(store(&r, VA, 0, 1), 0);
	assert_int_equal(stats(&r).bound, 1);
	resets = r.toy[0].resets;
	assert_int_equal(viommu_board_remove(r.board, r.toy[0].pci), 0);
	assert_int_equal(r.toy[0].resets, resets + 1);
	assert_int_equal(stats(&r).bound, 0);
	close_rig(&r);
}

static void what_a_function_can_do_is_what_its_device_may(void **state)
{
	struct viommu_pci_config config;
	struct viommu_board *board;
	uint64_t v = 1;
	struct viommu_dma *dma;
	struct toy toy;

	(void)state;
	memset(&toy, 0, sizeof(toy));
	config = toy_config(&toy);
	config.flags = 0;
	toy_open(&toy, &config);
	assert_int_equal(viommu_board_new(NULL, &board), 0);
	assert_int_equal(viommu_board_add(board, toy.pci, SID), 0);
	assert_int_equal(viommu_dma_new(viommu_board_host(board), &dma), 0);
	/* No PASID capability: a request with one does not pass. */
	assert_int_equal(viommu_dma_write(dma, viommu_pci_device(toy.pci), 5, VA, &v, sizeof(v), 0,
					  NULL),
			 VIOMMU_FAULTED);
	viommu_dma_free(dma);
	viommu_board_free(board);
	toy_close(&toy);
}

/* ---- The unit's function ---- */

static void registers_are_in_bar_0(void **state)
{
	struct rig r;
	uint64_t v;

	(void)state;
	open(&r);
	assert_int_equal(rd(&r, VTD_REG_VER, 4),
			 viommu_guest_read(viommu_board_guest(r.board), VTD_REG_VER, 4));
	assert_int_equal(rd(&r, VTD_REG_CAP, 8),
			 viommu_guest_read(viommu_board_guest(r.board), VTD_REG_CAP, 8));
	wr(&r, VTD_REG_RTADDR, 8, 0x1234000);
	assert_int_equal(rd(&r, VTD_REG_RTADDR, 8), 0x1234000);
	/* 64 KiB are claimed, one page is used. */
	assert_int_equal(rd(&r, 0x1000, 8), 0);
	assert_int_equal(rd(&r, 0xfff8, 8), 0);
	assert_int_equal(viommu_pci_bar_read(r.unit.pci, 0, 0x10000, 8, &v), -EINVAL);
	assert_int_equal(viommu_pci_bar_read(r.unit.pci, 1, 0, 8, &v), -EINVAL);
	close_rig(&r);
}

static void a_reset_of_the_function_resets_the_unit(void **state)
{
	struct rig r;

	(void)state;
	open(&r);
	start(&r);
	viommu_pci_reset(r.unit.pci);
	assert_int_equal(rd(&r, VTD_REG_RTADDR, 8), 0);
	assert_int_equal(rd(&r, VTD_REG_GSTS, 4) & VTD_MASK(VTD_GSTS_TES), 0);
	close_rig(&r);
}

static void the_firmwares_address_is_told_when_decoding_goes_on(void **state)
{
	struct rig r;

	(void)state;
	open(&r);
	assert_int_equal(r.placings, 1);
	assert_int_equal(r.placed, REGISTERS);
	/* Measuring the size goes with decoding off, and says nothing. */
	unit_config(&r, AT_COMMAND, 2, 0);
	unit_config(&r, 0x10, 4, 0xffffffff);
	assert_int_equal(cfg_read(&r.unit, 0x10, 4), 0xffff0000);
	unit_config(&r, 0x10, 4, 0xfe600000);
	assert_int_equal(r.placings, 1);
	unit_config(&r, AT_COMMAND, 2, CMD_MEMORY | CMD_MASTER);
	assert_int_equal(r.placings, 2);
	assert_int_equal(r.placed, 0xfe600000);
	/* Another bit of the command register is no placing. */
	unit_config(&r, AT_COMMAND, 2, CMD_MEMORY);
	assert_int_equal(r.placings, 2);
	close_rig(&r);
}

/* ---- Up to the guest ---- */

static void a_miss_binds_what_the_guest_says(void **state)
{
	struct rig r;

	(void)state;
	open(&r);
	start(&r);
	/* No announcement: caching mode is off. */
	present(&r, GUEST_PASID);
	r.traps = 0;
	assert_int_equal(store(&r, VA + 8, 0, 0x1122), 0);
	assert_int_equal(ram(&r, r.page)[1], 0x1122);
	assert_int_equal(stats(&r).misses, 1);
	assert_int_equal(r.traps, 1);
	assert_int_equal(r.trap.kind, VIOMMU_TRAP_BIND);
	assert_int_equal(r.trap.cause, VIOMMU_TRAP_MISS);
	assert_int_equal(r.trap.sid, SID);
	assert_int_equal(r.trap.gp.v, GUEST_PASID);
	assert_int_equal(r.trap.did, DOMAIN_ID);
	assert_int_equal(store(&r, VA + 16, 0, 0x3344), 0);
	assert_int_equal(stats(&r).misses, 1);
	/* The entry goes, and the flush takes the bind away. */
	entry(&r, GUEST_PASID)[0] = 0;
	flush_pasid(&r, GUEST_PASID);
	assert_int_equal(r.trap.kind, VIOMMU_TRAP_UNBIND);
	assert_int_equal(store(&r, VA + 24, VIOMMU_DMA_NO_PRI, 0x5566), VIOMMU_FAULTED);
	assert_int_equal(ram(&r, r.page)[3], 0);
	close_rig(&r);
}

static void a_host_pasid_of_the_allocators_serves_as_well(void **state)
{
	struct viommu_board_config config = { .guest.flags = VIOMMU_GUEST_HOST_PASIDS,
					      .pasid_min = 0x80000,
					      .pasid_max = 0x80001 };
	struct viommu_board *none;
	struct viommu_gp gp;
	struct rig r;
	uint32_t hp;

	(void)state;
	open_with(&r, &config);
	start(&r);
	present(&r, GUEST_PASID);
	assert_int_equal(viommu_pci_pasid(r.toy[0].pci, GUEST_PASID, &hp), 0);
	assert_int_equal(viommu_guest_pasid_to_guest(viommu_board_guest(r.board),
						     (struct viommu_hp){ hp }, &gp),
			 0);
	assert_int_equal(gp.v, GUEST_PASID);
	assert_int_equal(hp, 0x80000);
	assert_int_equal(store(&r, VA, 0, 0x77), 0);
	assert_int_equal(ram(&r, r.page)[0], 0x77);
	assert_int_equal(viommu_pci_pasid(r.toy[0].pci, GUEST_PASID + 1, &hp), 0);
	assert_int_equal(hp, 0x80001);
	/* None is left: the one that is not bound makes room, the other stays. */
	assert_int_equal(viommu_pci_pasid(r.toy[0].pci, GUEST_PASID + 2, &hp), 0);
	assert_int_equal(hp, 0x80001);
	assert_int_equal(viommu_pci_pasid(r.toy[0].pci, GUEST_PASID, &hp), 0);
	assert_int_equal(hp, 0x80000);
	close_rig(&r);
	config.pasid_max = 0x7ffff;
	assert_int_equal(viommu_board_new(&config, &none), -EINVAL);
}

static void a_fault_is_recorded_and_its_interrupt_goes_out_at_the_unit(void **state)
{
	struct viommu_fault f;
	unsigned int at;
	struct rig r;

	(void)state;
	open(&r);
	start(&r);
	present(&r, GUEST_PASID);
	assert_int_equal(store(&r, VA + 4096, VIOMMU_DMA_NO_PRI, 1), VIOMMU_FAULTED);
	at = 16 * (unsigned int)VTD_FIELD(rd(&r, VTD_REG_CAP, 8), VTD_CAP_FRO);
	assert_true(rd(&r, at + 8, 8) & VTD_MASK(VTD_FRCD_F));
	assert_int_equal(VTD_FIELD(rd(&r, at + 8, 8), VTD_FRCD_SID), SID);
	assert_int_equal(rd(&r, at, 8) & VTD_MASK(VTD_FRCD_FI), VA + 4096);
	assert_int_equal(r.unit.messages, 1);
	assert_int_equal(r.unit.addr, MESSAGE);
	assert_int_equal(r.unit.data, 0x41);
	assert_int_equal(r.toy[0].messages + r.toy[1].messages, 0);
	assert_int_equal(viommu_guest_last_faults(viommu_board_guest(r.board), &f, 1), 1);
	assert_int_equal(f.addr, VA + 4096);
	close_rig(&r);
}

static void a_page_request_gets_to_the_guest_and_its_answer_back(void **state)
{
	uint64_t page, *prq;
	struct rig r;

	(void)state;
	open(&r);
	start(&r);
	present(&r, GUEST_PASID);
	assert_int_equal(store(&r, VA + 4096, VIOMMU_DMA_NO_WAIT, 0x99), -EAGAIN);
	assert_int_equal(viommu_device_open_requests(dev(&r, 0)), 1);
	assert_int_equal(rd(&r, VTD_REG_PQT, 8), 32);
	assert_int_equal(r.unit.messages, 1);
	assert_int_equal(r.unit.data, 0x42);
	prq = ram(&r, r.pages);
	assert_int_equal(VTD_GET(prq, VTD_PRQ_RID), SID);
	assert_int_equal(VTD_GET(prq, VTD_PRQ_PASID), GUEST_PASID);
	page = tables_page(&r.ram);
	assert_int_equal(tables_map(&r.fs, VA + 4096, page, 12, TABLES_RWU), 0);
	submit(&r,
	       VTD_VAL(VTD_IQ_PGRP_TYPE, VTD_IQ_TYPE_PGRP) | VTD_VAL(VTD_IQ_PGRP_RID, SID) |
		       VTD_VAL(VTD_IQ_PGRP_PP, 1) | VTD_VAL(VTD_IQ_PGRP_PASID, GUEST_PASID) |
		       VTD_VAL(VTD_IQ_PGRP_RC, VTD_PGRP_SUCCESS),
	       VTD_VAL(VTD_IQ_PGRP_PRGI, VTD_GET(prq, VTD_PRQ_PRGI)));
	assert_int_equal(viommu_device_open_requests(dev(&r, 0)), 0);
	assert_int_equal(store(&r, VA + 4096, VIOMMU_DMA_NO_WAIT, 0x99), 0);
	assert_int_equal(ram(&r, page)[0], 0x99);
	close_rig(&r);
}

static void an_interrupt_by_dma_goes_out_at_its_own_function(void **state)
{
	uint32_t data = 0x31;
	struct rig r;

	(void)state;
	open(&r);
	assert_int_equal(viommu_dma_write(r.dma, dev(&r, 1), VIOMMU_NO_PASID, 0xfee00000, &data,
					  sizeof(data), 0, NULL),
			 0);
	assert_int_equal(r.toy[1].messages, 1);
	assert_int_equal(r.toy[1].addr, 0xfee00000);
	assert_int_equal(r.toy[1].data, 0x31);
	assert_int_equal(r.toy[0].messages + r.unit.messages, 0);
	close_rig(&r);
}

/* ---- The VM goes ---- */

static void a_vm_that_is_gone_leaves_nothing(void **state)
{
	struct viommu_mem_region region;
	unsigned int resets[2];
	struct rig r;

	(void)state;
	open(&r);
	start(&r);
	present(&r, GUEST_PASID);
	assert_int_equal(store(&r, VA, 0, 1), 0);
	assert_int_equal(store(&r, VA + 4096, VIOMMU_DMA_NO_WAIT, 1), -EAGAIN);
	resets[0] = r.toy[0].resets;
	resets[1] = r.toy[1].resets;
	viommu_board_vm_gone(r.board);
	assert_int_equal(viommu_mem_next(viommu_board_mem(r.board), 0, &region), -ENOENT);
	assert_int_equal(r.toy[0].resets, resets[0] + 1);
	assert_int_equal(r.toy[1].resets, resets[1] + 1);
	assert_int_equal(viommu_device_open_requests(dev(&r, 0)), 0);
	assert_int_equal(rd(&r, VTD_REG_RTADDR, 8), 0);
	assert_int_equal(cfg_read(&r.unit, AT_COMMAND, 2) & CMD_MEMORY, 0);
	assert_int_equal(stats(&r).bound, 2); /* requests without PASID, translation off */
	assert_int_equal(viommu_host_pasid_entry(dev(&r, 0), (struct viommu_hp){ GUEST_PASID },
						 (uint64_t[8]){ 0 }),
			 -ENOENT);
	/* The next one may come. */
	assert_int_equal(viommu_mem_add_fd(viommu_board_mem(r.board), 0, RAM_BYTES, r.ram.fd, 0, 0),
			 0);
	unit_config(&r, 0x10, 4, REGISTERS);
	unit_config(&r, AT_COMMAND, 2, CMD_MEMORY | CMD_MASTER);
	cfg_write(&r.toy[0], AT_COMMAND, 2, CMD_MEMORY | CMD_MASTER);
	cfg_write(&r.toy[0], AT_PASID_CTL, 2, 1);
	tables_reset(&r.ram);
	tables_page(&r.ram);
	r.tail = 0;
	start(&r);
	present(&r, GUEST_PASID);
	assert_int_equal(store(&r, VA, VIOMMU_DMA_NO_PRI, 0x42), 0);
	assert_int_equal(ram(&r, r.page)[0], 0x42);
	close_rig(&r);
}

/* ---- Tables ---- */

static uint8_t sum(const uint8_t *b, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s = (uint8_t)(s + *b++);
	return s;
}

static void the_dmar_names_every_function(void **state)
{
	static const uint8_t scope[] = { 1, 8, 0, 0, 0, 0, 6, 1 };
	uint8_t buf[256], small[8] = { 0 };
	struct rig r;
	size_t n;

	(void)state;
	open(&r);
	n = viommu_board_dmar(r.board, REGISTERS, buf, sizeof(buf));
	assert_int_equal(n, 48 + 16 + 2 * 8);
	assert_memory_equal(buf, "DMAR", 4);
	assert_int_equal(buf[4], n);
	assert_int_equal(sum(buf, n), 0);
	assert_int_equal(buf[36], 52 - 1); /* host address width */
	assert_int_equal(buf[48 + 8] | buf[48 + 9] << 8 | buf[48 + 10] << 16, REGISTERS & 0xffffff);
	assert_memory_equal(buf + 48 + 16 + 8, scope, sizeof(scope));
	/* Nothing is written where it does not fit. */
	assert_int_equal(viommu_board_dmar(r.board, REGISTERS, small, sizeof(small)), n);
	assert_int_equal(sum(small, sizeof(small)), 0);
	assert_int_equal(viommu_board_remove(r.board, r.toy[0].pci), 0);
	assert_int_equal(viommu_board_dmar(r.board, REGISTERS, buf, sizeof(buf)), n - 8);
	assert_memory_equal(buf + 48 + 16, scope, sizeof(scope));
	close_rig(&r);
}

static void the_ssdt_is_about_the_units_function(void **state)
{
	struct viommu_board_config config = { .size = sizeof(config),
					      .unit_sid = VIOMMU_SID(0, 3, 0) };
	uint8_t a[512], b[512];
	struct viommu_board *board;
	size_t n, m;

	(void)state;
	assert_int_equal(viommu_board_new(NULL, &board), 0);
	n = viommu_board_ssdt(board, a, sizeof(a));
	viommu_board_free(board);
	assert_int_equal(viommu_board_new(&config, &board), 0);
	m = viommu_board_ssdt(board, b, sizeof(b));
	assert_in_range(n, 37, sizeof(a));
	assert_memory_equal(a, "SSDT", 4);
	assert_int_equal(sum(a, n), 0);
	assert_int_equal(sum(b, m), 0);
	assert_true(n != m || memcmp(a, b, n) != 0);
	viommu_board_free(board);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_board_of_defaults_has_its_parts),
	cmocka_unit_test(a_config_that_is_not_one_is_refused),
	cmocka_unit_test(every_allocation_may_fail_once),
	cmocka_unit_test(functions_come_and_go),
	cmocka_unit_test(a_function_is_reset_before_it_leaves),
	cmocka_unit_test(what_a_function_can_do_is_what_its_device_may),
	cmocka_unit_test(registers_are_in_bar_0),
	cmocka_unit_test(a_reset_of_the_function_resets_the_unit),
	cmocka_unit_test(the_firmwares_address_is_told_when_decoding_goes_on),
	cmocka_unit_test(a_miss_binds_what_the_guest_says),
	cmocka_unit_test(a_host_pasid_of_the_allocators_serves_as_well),
	cmocka_unit_test(a_fault_is_recorded_and_its_interrupt_goes_out_at_the_unit),
	cmocka_unit_test(a_page_request_gets_to_the_guest_and_its_answer_back),
	cmocka_unit_test(an_interrupt_by_dma_goes_out_at_its_own_function),
	cmocka_unit_test(a_vm_that_is_gone_leaves_nothing),
	cmocka_unit_test(the_dmar_names_every_function),
	cmocka_unit_test(the_ssdt_is_about_the_units_function),
};
TEST_MAIN(tests)
