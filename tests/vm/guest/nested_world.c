/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The world of the commands "nested ...": see nested.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nested.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 0x4u
#endif

static const uint64_t piece_pa[PIECES] = { LOW_PA, HIGH_PA, HUGE_PA };

/* ---- Requests -------------------------------------------------------------------------------- */

int iofd(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) ? -errno : 0;
}

bool check_error(int error, int wanted, const char *name)
{
	return check(-error == wanted, name, "%s instead of %s", strerror(-error),
		     strerror(wanted));
}

int hwpt_alloc(struct nested *n, struct iofd_hwpt_alloc alloc, uint32_t *id)
{
	int error;

	alloc.size = sizeof(alloc);
	alloc.device = n->device;
	error = iofd(n->iommu, IOFD_HWPT_ALLOC, &alloc);
	*id = alloc.out_id;
	return error;
}

int hwpt_nested(struct nested *n, const struct inner *space, uint32_t flags, uint32_t queue,
		uint32_t *id)
{
	struct iofd_vtd_first first = {
		.flags = space->flags,
		.root = space->root,
		.width = space->levels == 5 ? 57 : 48,
	};

	return hwpt_alloc(n,
			  (struct iofd_hwpt_alloc){
				  .flags = flags | IOFD_HWPT_PASID,
				  .base = n->parent,
				  .data_type = IOFD_TYPE_VTD,
				  .data_bytes = sizeof(first),
				  .data = (uintptr_t)&first,
				  .fault_queue = queue,
			  },
			  id);
}

int attach(struct nested *n, uint32_t page_table, uint32_t pasid)
{
	struct vfiod_attach a = {
		.size = sizeof(a),
		.flags = pasid == NO_PASID ? 0 : VFIOD_HAS_PASID,
		.page_table = page_table,
		.pasid = pasid == NO_PASID ? 0 : pasid,
	};

	return iofd(n->vfio.device, VFIOD_ATTACH, &a);
}

int detach(struct nested *n, uint32_t pasid)
{
	struct vfiod_detach d = {
		.size = sizeof(d),
		.flags = pasid == NO_PASID ? 0 : VFIOD_HAS_PASID,
		.pasid = pasid == NO_PASID ? 0 : pasid,
	};

	return iofd(n->vfio.device, VFIOD_DETACH, &d);
}

int destroy(struct nested *n, uint32_t id)
{
	struct iofd_destroy d = { .size = sizeof(d), .id = id };

	return iofd(n->iommu, IOFD_DESTROY, &d);
}

int invalidate(struct nested *n, uint32_t page_table, const struct iofd_inv_entry *entry,
	       uint32_t *nr)
{
	struct iofd_invalidate i = {
		.size = sizeof(i),
		.page_table = page_table,
		.entries = (uintptr_t)entry,
		.entry_bytes = sizeof(*entry),
		.nr = *nr,
	};
	int error = iofd(n->iommu, IOFD_INVALIDATE, &i);

	*nr = i.nr;
	return error;
}

void flush(struct user *u, uint64_t addr, uint64_t pages, uint32_t flags)
{
	const struct iofd_inv_entry entry = { .addr = addr, .pages = pages, .flags = flags };
	uint32_t nr = 1;
	int error = invalidate(u->n, u->page_table, &entry, &nr);

	if (error || nr != 1)
		check(false, "an address is invalidated", "%s, %u done", strerror(-error), nr);
}

/* ---- The device ------------------------------------------------------------------------------ */

/* /dev/vfio/devices/vfioN of a function. */
static int open_device(const char *bdf)
{
	char path[320];
	struct dirent *entry;
	DIR *folder;
	int fd = -1;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", bdf);
	folder = opendir(path);
	if (!folder)
		give_up(path);
	while (fd < 0 && (entry = readdir(folder))) {
		if (strncmp(entry->d_name, "vfio", 4))
			continue;
		snprintf(path, sizeof(path), "/dev/vfio/devices/%s", entry->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
	}
	closedir(folder);
	if (fd < 0)
		give_up(path);
	return fd;
}

void nested_bind(struct nested *n, const char *bdf)
{
	struct vfiod_bind bind = { .size = sizeof(bind) };
	struct iofd_ioas_alloc ioas = { .size = sizeof(ioas) };
	uint64_t bytes;
	int error;

	*n = (struct nested){ .bdf = bdf };
	n->iommu = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (n->iommu < 0)
		give_up("/dev/iommu");
	n->vfio.device = open_device(bdf);
	bind.iommufd = n->iommu;
	error = iofd(n->vfio.device, VFIOD_BIND, &bind);
	if (error) {
		check_error(error, 0, "the device is bound to an iommufd");
		_exit(1);
	}
	n->device = bind.out_device;
	error = iofd(n->iommu, IOFD_IOAS_ALLOC, &ioas);
	if (error) {
		check_error(error, 0, "there is an address space");
		_exit(1);
	}
	n->ioas = ioas.out_id;
	n->dsa.registers = vfio_map_region(&n->vfio, VFIO_PCI_BAR0_REGION_INDEX, &bytes);
	n->dsa.portals = vfio_map_region(&n->vfio, VFIO_PCI_BAR2_REGION_INDEX, &bytes);
	vfio_enable_master(&n->vfio);
}

/* ---- RAM ------------------------------------------------------------------------------------- */

static int memory_file(unsigned int flags, uint64_t bytes)
{
	int fd = syscall(SYS_memfd_create, "inner", MFD_CLOEXEC | flags);

	if (fd >= 0 && ftruncate(fd, bytes)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Where each piece lies in which file; the small ones the wrong way round. */
static int piece_file[PIECES];
static uint64_t piece_offset[PIECES] = { PIECE_BYTES, 0, 0 };

static void shuffle(uint64_t *page, unsigned int nr)
{
	for (; nr > 1; nr--) {
		unsigned int other = random_u64() % nr;
		uint64_t swap = page[nr - 1];

		page[nr - 1] = page[other];
		page[other] = swap;
	}
}

void nested_ram(struct nested *n)
{
	const int rw = PROT_READ | PROT_WRITE;
	uint8_t *at;
	unsigned int i;

	/* Room to begin at a multiple of 2 MiB. */
	at = must_map(NULL, RAM_BYTES + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	n->ram = at + (-(uintptr_t)at & (HUGE - 1));
	n->model = must_map(NULL, RAM_BYTES, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	piece_file[PIECE_LOW] = memory_file(0, 2 * PIECE_BYTES);
	piece_file[PIECE_HIGH] = piece_file[PIECE_LOW];
	put_text("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "4");
	piece_file[PIECE_HUGE] = memory_file(MFD_HUGETLB, PIECE_BYTES);
	if (piece_file[PIECE_LOW] < 0 || piece_file[PIECE_HUGE] < 0)
		give_up("memory for the inner guest");
	for (i = 0; i < PIECES; i++) {
		at = n->ram + i * PIECE_BYTES;
		if (mmap(at, PIECE_BYTES, rw, MAP_SHARED | MAP_FIXED | MAP_POPULATE, piece_file[i],
			 piece_offset[i]) != at)
			give_up("RAM of the inner guest");
	}
	for (i = 0; i < DATA_PAGES; i++) {
		uint64_t offset = i * PAGE;

		n->page[i] = offset < PIECE_BYTES ? LOW_PA + offset
						  : HIGH_PA + offset - PIECE_BYTES + TABLES_BYTES;
	}
	shuffle(n->page, DATA_PAGES);
	random_fill(n->ram, TABLES_START);
	random_fill(n->ram + TABLES_START + TABLES_BYTES, RAM_BYTES - TABLES_START - TABLES_BYTES);
}

static int piece_map(struct nested *n, enum inner_piece piece)
{
	struct iofd_map_file map = {
		.size = sizeof(map),
		.flags = IOFD_MAP_FIXED | IOFD_MAP_READ | IOFD_MAP_WRITE,
		.ioas = n->ioas,
		.fd = piece_file[piece],
		.offset = piece_offset[piece],
		.bytes = PIECE_BYTES,
		.iova = piece_pa[piece],
	};

	return iofd(n->iommu, IOFD_IOAS_MAP_FILE, &map);
}

uint64_t piece_unmap(struct nested *n, enum inner_piece piece)
{
	struct iofd_unmap unmap = {
		.size = sizeof(unmap),
		.ioas = n->ioas,
		.iova = piece_pa[piece],
		.bytes = PIECE_BYTES,
	};
	int error = iofd(n->iommu, IOFD_IOAS_UNMAP, &unmap);

	check(!error && unmap.bytes == PIECE_BYTES, "RAM is taken from the inner guest",
	      "%s, %#lx bytes", strerror(-error), (unsigned long)unmap.bytes);
	return piece_pa[piece];
}

uint8_t *piece_renew(struct nested *n, enum inner_piece piece)
{
	const int rw = PROT_READ | PROT_WRITE;
	uint8_t *at = n->ram + piece * PIECE_BYTES;
	uint8_t *old =
		mmap(NULL, PIECE_BYTES, rw, MAP_SHARED, piece_file[piece], piece_offset[piece]);

	piece_file[piece] = memory_file(piece == PIECE_HUGE ? MFD_HUGETLB : 0, PIECE_BYTES);
	piece_offset[piece] = 0;
	if (old == MAP_FAILED || piece_file[piece] < 0 ||
	    mmap(at, PIECE_BYTES, rw, MAP_SHARED | MAP_FIXED | MAP_POPULATE, piece_file[piece],
		 0) != at)
		give_up("other RAM of the inner guest");
	random_fill(at, PIECE_BYTES);
	check_error(piece_map(n, piece), 0, "other memory is put in its place");
	return old;
}

void nested_map(struct nested *n, bool large)
{
	struct iofd_option option = { .size = sizeof(option),
				      .option = IOFD_OPTION_LARGE_PAGES,
				      .id = n->ioas };
	int error = large ? 0 : iofd(n->iommu, IOFD_OPTION, &option);
	unsigned int i;

	for (i = 0; i < PIECES && !error; i++)
		error = piece_map(n, i);
	if (error) {
		check_error(error, 0, "the inner guest's RAM is mapped");
		_exit(1);
	}
}

void nested_open(struct nested *n, const char *bdf, uint32_t parent_flags)
{
	int error;

	nested_bind(n, bdf);
	nested_ram(n);
	nested_map(n, !(parent_flags & IOFD_HWPT_DIRTY));
	error = hwpt_alloc(n,
			   (struct iofd_hwpt_alloc){ .flags = IOFD_HWPT_PARENT | IOFD_HWPT_PASID |
							      parent_flags,
						     .base = n->ioas },
			   &n->parent);
	if (!error)
		error = attach(n, n->parent, NO_PASID);
	if (error) {
		check_error(error, 0, "the parent page table is attached");
		_exit(1);
	}
	dsa_start(n);
}

void *ram_at(struct nested *n, uint64_t pa)
{
	unsigned int i;

	for (i = 0; i < PIECES; i++) {
		if (pa >= piece_pa[i] && pa - piece_pa[i] < PIECE_BYTES)
			return n->ram + i * PIECE_BYTES + (pa - piece_pa[i]);
	}
	return NULL;
}

uint64_t ram_pa(struct nested *n, const void *at)
{
	size_t offset = (const uint8_t *)at - n->ram;

	return piece_pa[offset / PIECE_BYTES] + offset % PIECE_BYTES;
}

uint64_t page_new(struct nested *n)
{
	if (n->pages == DATA_PAGES)
		give_up("a page of the inner guest");
	return n->page[n->pages++];
}

/* ---- The inner guest's tables ---------------------------------------------------------------- */

static uint64_t table_new(struct nested *n)
{
	uint64_t offset = n->tables++ * PAGE;

	if (offset == TABLES_BYTES)
		give_up("a table of the inner guest");
	memset(n->ram + TABLES_START + offset, 0, PAGE);
	return HIGH_PA + offset;
}

void inner_new(struct nested *n, struct inner *space, unsigned int levels)
{
	*space = (struct inner){ .n = n, .levels = levels, .root = table_new(n) };
}

uint64_t *inner_entry(struct inner *space, uint64_t va, unsigned int level, bool make)
{
	uint64_t table = space->root;
	unsigned int at;

	for (at = space->levels;; at--) {
		uint64_t *entry = ram_at(space->n, table);

		if (!entry)
			return NULL;
		entry += va >> (12 + 9 * (at - 1)) & 511;
		if (at == level)
			return entry;
		if (!(*entry & INNER_P)) {
			if (!make)
				return NULL;
			*entry = table_new(space->n) | INNER_PAGE;
		}
		if (*entry & INNER_PS)
			return NULL;
		table = *entry & INNER_ADDR;
	}
}

void inner_map(struct inner *space, uint64_t va, uint64_t pa, unsigned int level, uint64_t bits)
{
	uint64_t *entry = inner_entry(space, va, level, true);

	__atomic_store_n(entry, pa | bits | (level > 1 ? INNER_PS : 0), __ATOMIC_RELEASE);
}

void inner_fill(struct inner *space, uint64_t va, unsigned int pages)
{
	for (; pages; pages--, va += PAGE)
		inner_map(space, va, page_new(space->n), 1, INNER_PAGE);
}

void *inner_at(struct inner *space, uint64_t va)
{
	unsigned int level;

	for (level = 1; level <= 3; level++) {
		uint64_t *entry = inner_entry(space, va, level, false), mask;

		if (!entry || !(*entry & INNER_P))
			continue;
		if (level > 1 && !(*entry & INNER_PS))
			continue;
		mask = (PAGE << (9 * (level - 1))) - 1;
		return ram_at(space->n, (*entry & INNER_ADDR & ~mask) | (va & mask));
	}
	return NULL;
}

/* ---- The copy -------------------------------------------------------------------------------- */

void model_take(struct nested *n)
{
	memcpy(n->model, n->ram, RAM_BYTES);
}

static bool same(struct nested *n, size_t first, size_t bytes, const char *name)
{
	size_t i;

	if (!memcmp(n->ram + first, n->model + first, bytes))
		return true;
	for (i = first; n->ram[i] == n->model[i]; i++)
		;
	check(false, name, "the byte at inner physical %#lx is %#x instead of %#x",
	      (unsigned long)ram_pa(n, n->ram + i), n->ram[i], n->model[i]);
	return false;
}

static bool same_tables(struct nested *n, const char *name)
{
	const uint64_t *now = (uint64_t *)(n->ram + TABLES_START);
	const uint64_t *then = (uint64_t *)(n->model + TABLES_START);
	size_t i, nr = n->tables * PAGE / sizeof(*now);

	for (i = 0; i < nr; i++) {
		/* Bits of the walk's may have been set, none cleared. */
		if ((now[i] & ~then[i] & ~(INNER_A | INNER_D | INNER_EA)) || then[i] & ~now[i]) {
			check(false, name,
			      "the table entry at inner physical %#lx is %#lx, was %#lx",
			      (unsigned long)ram_pa(n, now + i), (unsigned long)now[i],
			      (unsigned long)then[i]);
			return false;
		}
	}
	return true;
}

bool model_check(struct nested *n, const char *name)
{
	return same(n, 0, TABLES_START, name) && same_tables(n, name) &&
	       same(n, TABLES_START + TABLES_BYTES, RAM_BYTES - TABLES_START - TABLES_BYTES,
		    name) &&
	       result(name, NULL);
}

static uint8_t *model_at(struct inner *space, uint64_t va)
{
	uint8_t *at = inner_at(space, va);

	if (!at)
		give_up("an address of the inner guest");
	return space->n->model + (at - space->n->ram);
}

void model_copy(struct inner *to, uint64_t dst, struct inner *from, uint64_t src, size_t bytes)
{
	while (bytes) {
		size_t part = PAGE - (dst & (PAGE - 1)), other = PAGE - (src & (PAGE - 1));

		part = part < other ? part : other;
		part = part < bytes ? part : bytes;
		memcpy(model_at(to, dst), model_at(from, src), part);
		dst += part;
		src += part;
		bytes -= part;
	}
}

void model_fill(struct inner *to, uint64_t dst, uint64_t pattern, size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes; i++)
		*model_at(to, dst + i) = pattern >> (8 * (i % 8));
}

/* ---- Descriptors ----------------------------------------------------------------------------- */

#define QUEUES        8
#define QUEUE_ENTRIES 16
#define ALL_ENGINES   15

void dsa_start(struct nested *n)
{
	uint32_t group = dsa_group(&n->dsa, 0);
	unsigned int i;
	int error = dsa_command(&n->dsa, CMD_RESET_DEVICE, 0);

	for (i = 0; i < QUEUES; i++)
		dsa_write32(&n->dsa, dsa_queue_at(&n->dsa, i), QUEUE_ENTRIES);
	dsa_write64(&n->dsa, group, (1 << QUEUES) - 1);
	dsa_write64(&n->dsa, group + 32, ALL_ENGINES);
	error = error ?: dsa_command(&n->dsa, CMD_ENABLE_DEVICE, 0);
	if (error) {
		check(false, "the DSA device is enabled", "error %#x", error);
		_exit(1);
	}
}

void user_queue(struct user *u, bool block_on_fault)
{
	struct dsa_device *d = &u->n->dsa;
	uint32_t at = dsa_queue_at(d, u->queue), who = 0;
	uint64_t capability = dsa_read64(d, REG_GENCAP);
	int error = dsa_command(d, CMD_RESET_QUEUE, 1u << u->queue);

	if (u->pasid != NO_PASID)
		who = 1u << 28 | u->pasid << 8;
	/* Dedicated, priority 10. */
	dsa_write32(d, at + 8, 1 | block_on_fault << 1 | u->untranslated << 2 | 10 << 4 | who);
	dsa_write32(d, at + 12, (capability >> 16 & 31) | (capability >> 21 & 15) << 5);
	error = error ?: dsa_command(d, CMD_ENABLE_QUEUE, u->queue);
	if (error) {
		check(false, "a queue is enabled", "error %#x", error);
		_exit(1);
	}
}

void user_new(struct nested *n, struct user *u, unsigned int queue, uint32_t pasid,
	      unsigned int levels)
{
	*u = (struct user){ .n = n, .queue = queue, .pasid = pasid };
	inner_new(n, &u->space, levels);
	inner_fill(&u->space, RECORDS_VA, 1);
}

void user_attach(struct user *u, uint32_t flags, uint32_t fault_queue)
{
	int error = hwpt_nested(u->n, &u->space, flags, fault_queue, &u->page_table);

	error = error ?: attach(u->n, u->page_table, u->pasid);
	if (error) {
		check_error(error, 0, "the inner guest's page tables are attached");
		_exit(1);
	}
	user_queue(u, flags & IOFD_HWPT_FAULTS);
}

void describe(struct user *u, struct dsa_descriptor *d, enum dsa_opcode opcode, uint32_t flags,
	      uint64_t source, uint64_t destination, uint32_t size)
{
	uint64_t at = RECORDS_VA + u->slot++ % RECORDS * sizeof(struct dsa_record);
	struct dsa_record *record = inner_at(&u->space, at);

	dsa_describe(d, opcode, flags, record, source, destination, size);
	/* Its status is 0 now, of the copy's too. */
	u->n->model[(uint8_t *)record - u->n->ram] = 0;
	d->record = at;
}

struct dsa_record *record_of(struct user *u, const struct dsa_descriptor *d)
{
	return inner_at(&u->space, d->record);
}

void submit(struct user *u, const struct dsa_descriptor *d)
{
	dsa_submit(u->n->dsa.portals + u->queue * 4 * PAGE + PAGE, d);
}

int complete(struct user *u, const struct dsa_descriptor *d)
{
	struct dsa_record *record = record_of(u, d);
	int status = dsa_wait(record, DSA_WAIT_MS);

	memcpy(u->n->model + ((uint8_t *)record - u->n->ram), record, sizeof(*record));
	return status;
}

int run(struct user *u, enum dsa_opcode opcode, uint32_t flags, uint64_t source,
	uint64_t destination, uint32_t size)
{
	struct dsa_descriptor d;

	describe(u, &d, opcode, flags, source, destination, size);
	submit(u, &d);
	return complete(u, &d);
}

bool moves(struct user *u, uint64_t source, uint64_t destination, uint32_t size, const char *name)
{
	int status;

	model_take(u->n);
	model_copy(&u->space, destination, &u->space, source, size);
	status = run(u, DSA_MEMMOVE, 0, source, destination, size);
	if (status != DSA_SUCCESS)
		return check(false, name, "status %#x", status);
	return model_check(u->n, name);
}

bool fails(struct user *u, enum dsa_opcode opcode, uint64_t source, uint64_t destination,
	   int status, uint64_t fault, const char *name)
{
	struct dsa_descriptor d;
	uint64_t address;
	int got;

	model_take(u->n);
	describe(u, &d, opcode, 0, source, destination, 64);
	submit(u, &d);
	got = complete(u, &d);
	address = record_of(u, &d)->fault_address;
	if (got != status || address / PAGE != fault / PAGE)
		return check(false, name, "status %#x at %#lx instead of %#x at %#lx", got,
			     (unsigned long)address, status, (unsigned long)fault);
	return model_check(u->n, name);
}

bool vanishes(struct user *u, uint64_t source, uint64_t destination, const char *name)
{
	struct dsa_descriptor d;
	struct dsa_swerror e;

	model_take(u->n);
	describe(u, &d, DSA_MEMMOVE, 0, source, destination, 64);
	submit(u, &d);
	e = dsa_swerror_take(&u->n->dsa);
	if (!e.valid || e.code != DSA_RECORD_FAULT || e.queue != u->queue ||
	    e.pasid != (u->pasid == NO_PASID ? 0 : u->pasid) || e.address != d.record)
		return check(false, name, "%s code %#x, queue %u, PASID %u, address %#lx",
			     e.valid ? "software error" : "no software error", e.code, e.queue,
			     e.pasid, (unsigned long)e.address);
	return model_check(u->n, name);
}
