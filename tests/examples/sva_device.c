/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * examples/sva_device.c, the program, under a scripted VM: a client that is its QEMU, and a guest
 * that puts the process's tables into a PASID entry, gives the device pointers of the process, and
 * answers page requests. The program is VIOMMU_SVA_DEVICE.
 */
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "lib/tables.h"
#include "server/peer.h"

#define RAM_BYTES (UINT64_C(16) << 20)
#define SID       0x28u /* 00:05.0 */
#define GP        77u   /* the process's PASID */
#define DID       5u
#define VA        UINT64_C(0x7f1234560000)

/* The example's registers and codes; the tutorial names them. */
#define REG_SOURCE   0x00u
#define REG_DEST     0x08u
#define REG_LENGTH   0x10u
#define REG_PASID    0x18u
#define REG_DOORBELL 0x20u
#define REG_STATUS   0x28u
#define REG_RESULT   0x30u
#define COPY         1u
#define XOR          2u
#define SUM          3u
#define BUSY         1u
#define DONE         2u
#define FAULT        3u

#define AT_COMMAND 0x04u
#define AT_DEVCTL  0x48u
#define AT_ATS     0x226u
#define AT_PASID   0x236u
#define AT_PRI     0x244u

struct vm {
	char dir[32];
	pid_t pid;
	struct peer unit, dev;
	struct tables ram;
	struct tables_stage fs;
	uint64_t iq, prq;
	uint32_t iq_tail, prq_head;
	int vector;
};

/* ---- The program ----------------------------------------------------------------------------- */

static void path_of(const struct vm *vm, const char *name, char *path, size_t size)
{
	assert_in_range(snprintf(path, size, "%s/%s", vm->dir, name), 1, size - 1);
}

static void start(struct vm *vm)
{
	const char *program = getenv("VIOMMU_SVA_DEVICE");
	char said[256] = "";
	size_t n = 0;
	ssize_t got;
	int err[2];

	assert_non_null(program);
	snprintf(vm->dir, sizeof(vm->dir), "/tmp/viommu-sva-XXXXXX");
	assert_non_null(mkdtemp(vm->dir));
	assert_int_equal(pipe(err), 0);
	vm->pid = fork();
	assert_true(vm->pid >= 0);
	if (!vm->pid) {
		dup2(err[1], 2);
		close(err[0]);
		close(err[1]);
		execl(program, "sva_device", vm->dir, NULL);
		_exit(127);
	}
	close(err[1]);
	while (!strstr(said, "ready\n")) {
		got = read(err[0], said + n, sizeof(said) - 1 - n);
		if (got <= 0)
			fail_msg("the program ended: %s", said);
		n += (size_t)got;
		said[n] = 0;
	}
	/* It goes on writing there to nobody only if something is wrong. */
	close(err[0]);
}

static void gone(const struct vm *vm, const char *name)
{
	char path[64];
	struct stat st;

	path_of(vm, name, path, sizeof(path));
	assert_int_equal(stat(path, &st), -1);
}

static void stop(struct vm *vm)
{
	char path[64];
	int status;

	assert_int_equal(kill(vm->pid, SIGTERM), 0);
	assert_int_equal(waitpid(vm->pid, &status, 0), vm->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	gone(vm, "unit.sock");
	gone(vm, "device.sock");
	path_of(vm, "dmar.bin", path, sizeof(path));
	assert_int_equal(unlink(path), 0);
	path_of(vm, "ssdt.bin", path, sizeof(path));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(vm->dir), 0);
}

/* ---- The guest's accesses -------------------------------------------------------------------- */

static void cfg_write(struct peer *peer, uint64_t at, uint32_t bytes, uint32_t value)
{
	assert_int_equal(peer_write(peer, VFU_REGION_CONFIG, at, bytes, &value), 0);
}

static uint64_t reg_read(struct peer *peer, uint64_t at)
{
	uint64_t v;

	assert_int_equal(peer_read(peer, 0, at, 8, &v), 0);
	return v;
}

static void unit_write32(struct vm *vm, uint64_t at, uint32_t v)
{
	assert_int_equal(peer_write(&vm->unit, 0, at, 4, &v), 0);
}

static uint64_t *ptr(struct vm *vm, uint64_t gpa)
{
	return tables_ptr(&vm->ram, gpa);
}

static void command(struct vm *vm, uint64_t bit)
{
	uint32_t status;

	assert_int_equal(peer_read(&vm->unit, 0, VTD_REG_GSTS, 4, &status), 0);
	unit_write32(vm, VTD_REG_GCMD, (status & (uint32_t)VTD_GCMD_LEVELS) | (uint32_t)bit);
	assert_int_equal(peer_read(&vm->unit, 0, VTD_REG_GSTS, 4, &status), 0);
	assert_true(status & bit);
}

/* A descriptor of 256 bits; when the head has passed it, it is done. */
static void invalidate(struct vm *vm, uint64_t d0, uint64_t d1)
{
	const uint64_t d[4] = { d0, d1, 0, 0 };

	memcpy((uint8_t *)ptr(vm, vm->iq) + vm->iq_tail, d, sizeof(d));
	vm->iq_tail = (vm->iq_tail + sizeof(d)) & 4095;
	unit_write32(vm, VTD_REG_IQT, vm->iq_tail);
	while (reg_read(&vm->unit, VTD_REG_IQH) != vm->iq_tail)
		;
}

/* ---- The guest's kernel ---------------------------------------------------------------------- */

static void pe_store(uint64_t *pe, unsigned int pgtt, uint64_t root)
{
	uint64_t e[8] = { 0 };

	VTD_SET(e, VTD_PE_PGTT, pgtt);
	VTD_SET(e, VTD_PE_AW, VTD_AW_48);
	VTD_SET(e, VTD_PE_DID, DID);
	VTD_SET(e, VTD_PE_FSPTPTR, root >> 12);
	memcpy(pe + 1, e + 1, 56);
	__atomic_store_n(&pe[0], e[0] | 1, __ATOMIC_RELEASE);
}

/* Scalable mode, a queue of one page each, translation on. */
static void unit_start(struct vm *vm)
{
	const uint64_t root = tables_page(&vm->ram), context = tables_page(&vm->ram),
		       dir = tables_page(&vm->ram), table = tables_page(&vm->ram),
		       table1 = tables_page(&vm->ram);

	ptr(vm, root)[0] = context | 1;
	ptr(vm, context)[SID * 4] =
		dir | VTD_MASK(VTD_SCE_DTE) | VTD_MASK(VTD_SCE_PASIDE) | VTD_MASK(VTD_SCE_PRE) | 1;
	ptr(vm, dir)[0] = table | 1;
	ptr(vm, dir)[GP >> 6] = table1 | 1;
	/* Requests without PASID: guest physical addresses. The process: its own tables. */
	pe_store(ptr(vm, table), VTD_PGTT_PT, 0);
	pe_store(ptr(vm, table1) + (GP & 63) * 8, VTD_PGTT_FS, tables_root(&vm->fs));

	vm->iq = tables_page(&vm->ram);
	vm->prq = tables_page(&vm->ram);
	assert_int_equal(peer_write64(&vm->unit, VTD_REG_RTADDR,
				      root | VTD_VAL(VTD_RTADDR_TTM, VTD_TTM_SCALABLE)),
			 0);
	command(vm, VTD_MASK(VTD_GCMD_SRTP));
	unit_write32(vm, VTD_REG_IQT, 0);
	assert_int_equal(peer_write64(&vm->unit, VTD_REG_IQA, vm->iq | VTD_MASK(VTD_IQA_DW)), 0);
	command(vm, VTD_MASK(VTD_GCMD_QIE));
	assert_int_equal(peer_write64(&vm->unit, VTD_REG_PQA, vm->prq), 0);
	command(vm, VTD_MASK(VTD_GCMD_TE));
}

/* As Linux enumerates it, then as a driver starts it. */
static void device_start(struct vm *vm)
{
	cfg_write(&vm->dev, AT_PASID, 2, 1);
	cfg_write(&vm->dev, AT_ATS, 2, 0x8000);
	cfg_write(&vm->dev, AT_PRI + 8, 4, 512);
	cfg_write(&vm->dev, AT_PRI, 2, 1);
	cfg_write(&vm->dev, AT_COMMAND, 2, 6);
	peer_msix(&vm->dev, &vm->vector, 1);
}

static void open_peer(const struct vm *vm, struct peer *peer, const char *name)
{
	char path[64];

	memset(peer, 0, sizeof(*peer));
	path_of(vm, name, path, sizeof(path));
	peer->fd = peer_dial(path);
	assert_int_equal(peer_version(peer, NULL), 0);
	assert_int_equal(peer_map(peer, 0, RAM_BYTES, 3, vm->ram.fd, 0), 0);
}

static void vm_open(struct vm *vm)
{
	tables_init(&vm->ram, 0, RAM_BYTES);
	tables_page(&vm->ram); /* GPA 0 is nobody's */
	tables_stage_init(&vm->fs, &vm->ram, NULL, VIOMMU_FORMAT_VTD_FS, 4);
	vm->iq_tail = 0;
	vm->prq_head = 0;
	vm->vector = event_fd();
	open_peer(vm, &vm->unit, "unit.sock");
	open_peer(vm, &vm->dev, "device.sock");
	cfg_write(&vm->unit, AT_COMMAND, 2, 6);
	unit_start(vm);
	device_start(vm);
}

static void vm_close(struct vm *vm)
{
	peer_close(&vm->dev);
	peer_close(&vm->unit);
	close(vm->vector);
	tables_free(&vm->ram);
}

/* A page of the process. */
static uint8_t *map(struct vm *vm, uint64_t va)
{
	uint64_t gpa = tables_page(&vm->ram);

	assert_int_equal(tables_map(&vm->fs, va, gpa, 12, TABLES_RWU), 0);
	return tables_ptr(&vm->ram, gpa);
}

/* Waits for a page request and answers: a page for it, or with a code. Where it was asked for. */
static uint64_t serve_request(struct vm *vm, unsigned int code, uint8_t **page)
{
	const uint64_t *d = ptr(vm, vm->prq) + vm->prq_head / 8;
	uint64_t va;

	while (reg_read(&vm->unit, VTD_REG_PQT) == vm->prq_head)
		;
	assert_int_equal(VTD_GET(d, VTD_PRQ_RID), SID);
	assert_int_equal(VTD_GET(d, VTD_PRQ_PASID), GP);
	va = d[1] & VTD_MASK(VTD_PRQ_ADDR);
	if (code == VIOMMU_RESPONSE_SUCCESS)
		*page = map(vm, va);
	invalidate(vm,
		   VTD_VAL(VTD_IQ_PGRP_TYPE, VTD_IQ_TYPE_PGRP) | VTD_VAL(VTD_IQ_PGRP_RID, SID) |
			   VTD_MASK(VTD_IQ_PGRP_PP) | VTD_VAL(VTD_IQ_PGRP_PASID, GP) |
			   VTD_VAL(VTD_IQ_PGRP_RC, code),
		   (uint64_t)VTD_GET(d, VTD_PRQ_PRGI) << (VTD_IQ_PGRP_PRGI_LO % 64));
	vm->prq_head = (vm->prq_head + 32) & 4095;
	assert_int_equal(peer_write64(&vm->unit, VTD_REG_PQH, vm->prq_head), 0);
	return va;
}

/* ---- The guest's process --------------------------------------------------------------------- */

static void submit(struct vm *vm, uint64_t op, uint64_t dst, uint64_t src, uint64_t bytes,
		   uint64_t pasid)
{
	assert_int_equal(peer_write64(&vm->dev, REG_SOURCE, src), 0);
	assert_int_equal(peer_write64(&vm->dev, REG_DEST, dst), 0);
	assert_int_equal(peer_write64(&vm->dev, REG_LENGTH, bytes), 0);
	assert_int_equal(peer_write64(&vm->dev, REG_PASID, pasid), 0);
	assert_int_equal(peer_write64(&vm->dev, REG_DOORBELL, op), 0);
}

#define MY_PASID (0x80000000u | GP)

/* The interrupt, then the status. */
static uint64_t finish(struct vm *vm)
{
	assert_int_equal(event_wait(vm->vector), 1);
	return reg_read(&vm->dev, REG_STATUS);
}

static uint64_t run(struct vm *vm, uint64_t op, uint64_t dst, uint64_t src, uint64_t bytes)
{
	submit(vm, op, dst, src, bytes, MY_PASID);
	return finish(vm);
}

static void a_process_gives_the_device_its_pointers(void **state)
{
	uint64_t sum = 0;
	uint8_t *src, *dst, want[3000];
	unsigned int i;
	struct vm *vm = *state;

	vm_open(vm);
	src = map(vm, VA);
	dst = map(vm, VA + 0x10000);
	for (i = 0; i < 4096; i++)
		src[i] = (uint8_t)(i * 7 + 1);
	assert_int_equal(run(vm, COPY, VA + 0x10123, VA + 0x45, 3000), DONE);
	assert_memory_equal(dst + 0x123, src + 0x45, 3000);
	assert_int_equal(dst[0x122], 0);
	assert_int_equal(dst[0x123 + 3000], 0);

	for (i = 0; i < 3000; i++) {
		want[i] = dst[0x123 + i] ^ src[i];
		sum += src[i];
	}
	assert_int_equal(run(vm, XOR, VA + 0x10123, VA, 3000), DONE);
	assert_memory_equal(dst + 0x123, want, 3000);
	assert_int_equal(run(vm, SUM, 0, VA, 3000), DONE);
	assert_int_equal(reg_read(&vm->dev, REG_RESULT), sum);

	/* Without PASID the same device uses the function's own addresses: here GPAs. */
	submit(vm, COPY, 0x800000, (uint64_t)((uint8_t *)src - vm->ram.host), 100, 0);
	assert_int_equal(finish(vm), DONE);
	assert_memory_equal(vm->ram.host + 0x800000, src, 100);
	vm_close(vm);
}

static void missing_pages_are_asked_for_and_the_copy_goes_on(void **state)
{
	struct vm *vm = *state;
	uint8_t *src, *dst[3] = { NULL };
	unsigned int i;

	vm_open(vm);
	for (i = 0; i < 3; i++) {
		src = map(vm, VA + i * 4096);
		memset(src, (int)(0x41 + i), 4096);
	}
	submit(vm, COPY, VA + 0x20000, VA, 3 * 4096, MY_PASID);
	for (i = 0; i < 3; i++)
		assert_int_equal(serve_request(vm, VIOMMU_RESPONSE_SUCCESS, &dst[i]),
				 VA + 0x20000 + i * 4096);
	assert_int_equal(finish(vm), DONE);
	for (i = 0; i < 3; i++) {
		assert_int_equal(dst[i][0], 0x41 + i);
		assert_int_equal(dst[i][4095], 0x41 + i);
	}
	vm_close(vm);
}

static void a_bad_pointer_ends_in_the_status_and_the_next_job_works(void **state)
{
	struct vm *vm = *state;
	uint64_t status;

	vm_open(vm);
	map(vm, VA);
	submit(vm, SUM, 0, VA + 0x5000, 16, MY_PASID);
	assert_int_equal(serve_request(vm, VIOMMU_RESPONSE_INVALID, NULL), VA + 0x5000);
	status = finish(vm);
	assert_int_equal(status & 0xff, FAULT);
	assert_int_equal(status >> 8, VTD_FR_FS_NP);
	assert_int_equal(reg_read(&vm->dev, REG_RESULT), VA + 0x5000);
	/* A PASID that has no entry. */
	submit(vm, SUM, 0, VA, 16, 0x80000000u | (GP + 1));
	assert_int_equal(finish(vm) & 0xff, FAULT);
	assert_int_equal(run(vm, SUM, 0, VA, 16), DONE);
	vm_close(vm);
}

static void a_reset_ends_a_job_whose_page_nobody_brings(void **state)
{
	struct vm *vm = *state;
	uint8_t *dst;

	vm_open(vm);
	map(vm, VA);
	submit(vm, COPY, VA + 0x5000, VA, 16, MY_PASID);
	while (reg_read(&vm->unit, VTD_REG_PQT) == vm->prq_head)
		;
	assert_int_equal(reg_read(&vm->dev, REG_STATUS), BUSY);
	cfg_write(&vm->dev, AT_DEVCTL, 2, 0xa810);
	assert_int_equal(reg_read(&vm->dev, REG_STATUS), 0);
	assert_int_equal(reg_read(&vm->dev, REG_SOURCE), 0);
	vm->prq_head += 32;
	device_start(vm);
	event_take(vm->vector);
	dst = map(vm, VA + 0x5000);
	*dst = 9;
	assert_int_equal(run(vm, COPY, VA, VA + 0x5000, 16), DONE);
	vm_close(vm);
}

static int program_start(void **state)
{
	static struct vm vm;

	start(&vm);
	*state = &vm;
	return 0;
}

static int program_stop(void **state)
{
	stop(*state);
	return 0;
}

static void the_program_serves_one_vm_after_the_other_and_ends_cleanly(void **state)
{
	program_start(state);
	a_process_gives_the_device_its_pointers(state);
	missing_pages_are_asked_for_and_the_copy_goes_on(state);
	a_bad_pointer_ends_in_the_status_and_the_next_job_works(state);
	a_reset_ends_a_job_whose_page_nobody_brings(state);
	program_stop(state);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(a_process_gives_the_device_its_pointers, program_start,
					program_stop),
	cmocka_unit_test_setup_teardown(missing_pages_are_asked_for_and_the_copy_goes_on,
					program_start, program_stop),
	cmocka_unit_test_setup_teardown(a_bad_pointer_ends_in_the_status_and_the_next_job_works,
					program_start, program_stop),
	cmocka_unit_test_setup_teardown(a_reset_ends_a_job_whose_page_nobody_brings, program_start,
					program_stop),
	cmocka_unit_test(the_program_serves_one_vm_after_the_other_and_ends_cleanly),
};

TEST_MAIN(tests)
