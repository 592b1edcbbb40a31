/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu demo: the whole system in one process. A guest with private memory and fresh random data
 * builds a process's page tables, puts them into a PASID entry and flushes the PASID cache through
 * its unit; the flush is trapped, the guest's PASID becomes one of the host's, and a device does
 * DMA through both stages: one walk step by step, an invalidation, a page fault served, the unbind,
 * the fault record after it. What the guest does with its unit is in demo_guest.c.
 *
 * Everything shown is read back from where it happened: entries from the tables, bytes from guest
 * memory, steps from the walker's recorder, records from the unit's registers. run() fills struct
 * demo; the functions below it only print it.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <viommu/viommu.h>

#include "cmd.h"
#include "demo_guest.h"
#include "json.h"

#define DEVICE_SID   0x0028 /* 00:05.0 */
#define DATA_BYTES   4096u
#define STEPS_MAX    64u
#define GUEST_BYTES  (UINT64_C(64) << 20)
#define GUEST_1G     (UINT64_C(4) << 30) /* sparse: what is touched is what it takes */
#define TABLES_FIRST UINT64_C(0x100000)

/* First-stage entry bits, from the specification's table. */
#define FS_TABLE (VTD_MASK(VTD_FS_P) | VTD_MASK(VTD_FS_RW) | VTD_MASK(VTD_FS_US))

struct options {
	uint32_t gp;
	uint32_t hp; /* 0: the lowest free */
	unsigned int levels;
	unsigned int page_lg2;
	uint64_t seed;
	bool json;
	unsigned int edit_level; /* 0: none */
	uint64_t edit_value;
	bool edit_flip;
};

/* One DMA and how it ended. */
struct dma_report {
	int ret;
	uint64_t addr;
	bool equal;
	struct viommu_fault fault;
};

struct recorder {
	struct viommu_recorder base; /* first */
	struct viommu_step step[STEPS_MAX];
	unsigned int nr;
};

struct demo {
	struct options opt;
	uint64_t rng;

	struct viommu_mem *mem;
	uint64_t guest_bytes;
	uint64_t next_table; /* guest's page-table pages come from here */
	uint64_t next_data;  /* its data pages from there */
	struct viommu_host *host;
	struct viommu_domain *dom;
	struct viommu_device *dev;
	struct viommu_dma *dma;
	struct viommu_guest *unit;
	struct demo_guest guest;
	struct viommu_hp hp;

	/* What came out. */
	struct viommu_guest_trap bound, unbound; /* the traps of the two flushes */
	uint64_t bind_entry[8], bind_flush[2];   /* the guest's entry, its descriptor */
	uint64_t root, va, page, other_page, late_va, late_page, edit_old, edit_new;
	uint64_t pe[8];
	struct viommu_stage second;
	uint16_t did;
	struct viommu_path_result path;
	struct viommu_walk_result walk;
	struct recorder rec;
	int walk_ret;
	struct dma_report write, read, stale, fresh, served, gone;
	uint64_t request[4]; /* as the guest found it in its ring */
	uint32_t request_hp;
	unsigned int requests;
	uint64_t record[2]; /* the guest's fault record */
	unsigned int reports;
	struct viommu_dma_stats stats;
};

/* ---- The guest ---- */

static uint64_t demo_random(struct demo *d)
{
	/*
	 * splitmix64: enough to make addresses and data that nobody can have written down before.
	 */
	uint64_t z = d->rng += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t guest_table(struct demo *d)
{
	uint64_t gpa = d->next_table;

	d->next_table += 4096 * (1 + demo_random(d) % 8);
	return gpa;
}

static uint64_t guest_page(struct demo *d)
{
	uint64_t gpa = d->next_data;

	d->next_data += UINT64_C(1) << d->opt.page_lg2;
	return gpa;
}

static unsigned int level_shift(unsigned int level)
{
	return 12 + 9 * (level - 1);
}

/*
 * Where the guest's entry for va at this level lies; tables on the way are made if asked. 0: there
 * is none.
 */
static uint64_t guest_entry(struct demo *d, uint64_t va, unsigned int level, bool make)
{
	uint64_t table = d->root, at, e = 0;
	unsigned int l;

	for (l = d->opt.levels;; l--) {
		at = table + (va >> level_shift(l) & 511) * 8;
		if (l == level)
			return at;
		if (viommu_mem_load64(d->mem, at, &e))
			return 0;
		if (!(e & VTD_MASK(VTD_FS_P))) {
			if (!make)
				return 0;
			e = guest_table(d) | FS_TABLE;
			if (viommu_mem_store64(d->mem, at, e))
				return 0;
		}
		table = e & VTD_MASK(VTD_FS_ADDR);
	}
}

static int guest_map(struct demo *d, uint64_t va, uint64_t page)
{
	unsigned int level = (d->opt.page_lg2 - 12) / 9 + 1;
	uint64_t at = guest_entry(d, va, level, true);

	if (!at)
		return -EFAULT;
	return viommu_mem_store64(d->mem, at,
				  page | FS_TABLE | (level > 1 ? VTD_MASK(VTD_FS_PS) : 0));
}

/* The guest's interrupt handler for page requests: it knows the page, maps it and answers. */
static void page_requests(struct demo *d)
{
	uint64_t page = UINT64_C(1) << d->opt.page_lg2, request[4];

	while (demo_guest_request(&d->guest, request)) {
		uint64_t addr = VTD_GET(request, VTD_PRQ_ADDR) << 12;
		unsigned int code = VTD_PGRP_INVALID;

		memcpy(d->request, request, sizeof(request));
		d->requests++;
		if ((addr & ~(page - 1)) == d->late_va && !guest_map(d, d->late_va, d->late_page))
			code = VTD_PGRP_SUCCESS;
		demo_guest_respond(&d->guest, request, code);
	}
}

/* ---- Callbacks: from the host to the unit, from the unit to the guest ---- */

static int on_miss(void *ctx, struct viommu_device *dev, uint32_t pasid, struct viommu_fault *fault)
{
	struct demo *d = ctx;

	return viommu_guest_miss(d->unit, dev, pasid, fault);
}

static void on_fault(void *ctx, struct viommu_device *dev, const struct viommu_fault *fault)
{
	struct demo *d = ctx;

	viommu_guest_fault(d->unit, dev, fault);
}

static void on_page_request(void *ctx, struct viommu_device *dev,
			    const struct viommu_page_request *req)
{
	struct demo *d = ctx;

	d->request_hp = req->pasid;
	viommu_guest_page_request(d->unit, dev, req);
}

/* An interrupt of the unit. The demo has one thread, so the handler runs right here. */
static void on_message(void *ctx, uint64_t addr, uint32_t data)
{
	struct demo *d = ctx;

	(void)addr;
	if (data == DEMO_GUEST_VECTOR_PAGE)
		page_requests(d);
}

static void on_trap(void *ctx, const struct viommu_guest_trap *trap)
{
	struct demo *d = ctx;

	if (trap->gp.v != d->opt.gp)
		return;
	if (trap->kind == VIOMMU_TRAP_UNBIND)
		d->unbound = *trap;
	else
		d->bound = *trap;
}

static void on_step(struct viommu_recorder *base, const struct viommu_step *step)
{
	struct recorder *rec = (struct recorder *)base;

	if (rec->nr < STEPS_MAX)
		rec->step[rec->nr++] = *step;
}

/* ---- The run ---- */

static int guest_memory(struct demo *d)
{
	int fd, ret;

	d->guest_bytes = d->opt.page_lg2 == 30 ? GUEST_1G : GUEST_BYTES;
	fd = memfd_create("guest", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)d->guest_bytes) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK)) {
		ret = -errno;
		close(fd);
		return ret;
	}
	ret = viommu_mem_new(&d->mem);
	if (!ret)
		ret = viommu_mem_add_fd(d->mem, 0, d->guest_bytes, fd, 0, 0);
	close(fd);
	return ret;
}

static int set_up(struct demo *d)
{
	struct viommu_host_config hc = {
		.size = sizeof(hc),
		.ops = { .ctx = d,
			 .miss = on_miss,
			 .fault = on_fault,
			 .page_request = on_page_request },
	};
	struct viommu_guest_config gc = {
		.size = sizeof(gc),
		.flags = VIOMMU_GUEST_HOST_PASIDS,
		.ops = { .ctx = d, .message = on_message, .trap = on_trap },
	};
	struct viommu_domain_config dc = { .size = sizeof(dc),
					   .levels = (uint8_t)d->opt.levels,
					   .max_page_lg2 = (uint8_t)d->opt.page_lg2 };
	struct viommu_device_config vc = { .size = sizeof(vc),
					   .sid = DEVICE_SID,
					   .flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS |
						    VIOMMU_DEVICE_PRI };
	uint64_t page = UINT64_C(1) << d->opt.page_lg2, high;
	int ret;

	ret = guest_memory(d);
	if (ret)
		return ret;
	ret = viommu_host_new(&hc, &d->host);
	if (ret)
		return ret;
	ret = viommu_domain_new(d->host, d->mem, &dc, &d->dom);
	if (ret)
		return ret;
	ret = viommu_device_new(d->host, &vc, &d->dev);
	if (ret)
		return ret;
	ret = viommu_dma_new(d->host, &d->dma);
	if (ret)
		return ret;
	viommu_domain_stage(d->dom, &d->second, &d->did);
	ret = viommu_guest_new(&gc, d->dom, d->mem, &d->unit);
	if (!ret)
		ret = viommu_guest_add_device(d->unit, d->dev, DEVICE_SID);
	if (ret)
		return ret;
	d->guest = (struct demo_guest){
		.mem = d->mem, .unit = d->unit, .sid = DEVICE_SID, .gp = d->opt.gp
	};
	ret = demo_guest_start(&d->guest);
	if (ret)
		return ret;

	/* A process: tables in low memory, data above, at random user addresses. */
	d->next_table = TABLES_FIRST;
	d->next_data = d->opt.page_lg2 == 12   ? UINT64_C(0x800000) + 4096 * (demo_random(d) % 1024)
		       : d->opt.page_lg2 == 21 ? UINT64_C(0x1000000)
					       : UINT64_C(1) << 30;
	d->root = guest_table(d);
	high = d->opt.levels == 5 ? UINT64_C(1) << 55 : UINT64_C(0x7f) << 40;
	d->va = (high + (demo_random(d) & (high / 256 - 1))) & ~(page - 1);
	d->late_va = d->va + page * 3;
	d->page = guest_page(d);
	d->other_page = guest_page(d);
	d->late_page = guest_page(d);
	ret = guest_map(d, d->va, d->page);
	if (ret)
		return ret;
	/* The walk shows an address inside the page. */
	d->va += (demo_random(d) & (page - 1) & ~(uint64_t)7) % (page - DATA_BYTES + 8);
	return 0;
}

/* The guest binds by an entry in its memory and a flush; what the host made of it is asked then. */
static int bind(struct demo *d)
{
	struct viommu_owner *owner = viommu_domain_owner(d->dom);
	int ret = 0;

	if (d->opt.hp) {
		/* The host has its own mind about the number. */
		d->hp.v = d->opt.hp;
		ret = viommu_pasid_reserve(owner, d->hp);
		if (!ret)
			ret = viommu_pasid_map(owner, (struct viommu_gp){ d->opt.gp }, d->hp);
	}
	if (!ret)
		ret = demo_guest_bind(&d->guest, d->root, d->opt.levels);
	if (ret)
		return ret;
	if (d->bound.kind != VIOMMU_TRAP_BIND)
		return d->bound.error ? d->bound.error : -EIO;
	memcpy(d->bind_entry, d->guest.entry, sizeof(d->bind_entry));
	memcpy(d->bind_flush, d->guest.flush, sizeof(d->bind_flush));
	d->hp = d->bound.hp;
	return viommu_host_pasid_entry(d->dev, d->hp, d->pe);
}

/* --entry: what if the guest had written something else? */
static int edit(struct demo *d)
{
	uint64_t at;
	int ret;

	if (!d->opt.edit_level)
		return 0;
	at = guest_entry(d, d->va, d->opt.edit_level, false);
	if (!at)
		return -ENOENT;
	ret = viommu_mem_load64(d->mem, at, &d->edit_old);
	d->edit_new = d->opt.edit_flip ? d->edit_old ^ d->opt.edit_value : d->opt.edit_value;
	return ret ? ret : viommu_mem_store64(d->mem, at, d->edit_new);
}

static void walk(struct demo *d)
{
	const struct viommu_path_request req = { .request = VIOMMU_REQ_UNTRANSLATED,
						 .pasid = d->hp.v,
						 .access = VIOMMU_WRITE,
						 .addr = d->va };

	d->rec.base.step = on_step;
	d->walk_ret =
		viommu_host_walk(d->dev, &req, VIOMMU_WALK_DRY, &d->rec.base, &d->path, &d->walk);
}

/* Does guest memory at gpa hold these bytes? Asked of the guest, not of the device. */
static bool guest_has(struct demo *d, uint64_t gpa, const void *bytes, size_t n)
{
	uint8_t buf[DATA_BYTES];

	return !viommu_mem_read(d->mem, gpa, buf, n) && !memcmp(buf, bytes, n);
}

static void dma_read(struct demo *d, struct dma_report *r, uint64_t addr, const void *expect)
{
	uint8_t buf[DATA_BYTES];
	struct viommu_dma_result res = { 0 };

	memset(buf, 0, sizeof(buf));
	r->addr = addr;
	r->ret = viommu_dma_read(d->dma, d->dev, d->hp.v, addr, buf, DATA_BYTES, 0, &res);
	r->equal = !r->ret && !memcmp(buf, expect, DATA_BYTES);
	r->fault = res.fault;
}

static int run(struct demo *d)
{
	uint8_t ours[DATA_BYTES], theirs[DATA_BYTES], late[DATA_BYTES];
	uint64_t page = UINT64_C(1) << d->opt.page_lg2, offset;
	struct viommu_dma_result res = { 0 };
	unsigned int i;
	int ret;

	ret = set_up(d);
	if (!ret)
		ret = bind(d);
	if (!ret)
		ret = edit(d);
	if (ret)
		return ret;
	for (i = 0; i < DATA_BYTES; i++) {
		ours[i] = (uint8_t)demo_random(d);
		theirs[i] = (uint8_t)demo_random(d);
		late[i] = (uint8_t)demo_random(d);
	}
	offset = d->va & (page - 1);
	walk(d);

	/* The device writes, the guest looks; then the device reads. */
	d->write.addr = d->va;
	d->write.ret = viommu_dma_write(d->dma, d->dev, d->hp.v, d->va, ours, DATA_BYTES, 0, &res);
	d->write.fault = res.fault;
	d->write.equal = !d->write.ret && guest_has(d, d->page + offset, ours, DATA_BYTES);
	dma_read(d, &d->read, d->va, ours);

	/* The guest moves the page; until it says so, the device may see the old one. */
	ret = viommu_mem_write(d->mem, d->other_page + offset, theirs, DATA_BYTES);
	if (!ret)
		ret = guest_map(d, d->va, d->other_page);
	if (ret)
		return ret;
	dma_read(d, &d->stale, d->va, ours);
	ret = demo_guest_flush(&d->guest, d->va, d->opt.page_lg2);
	if (ret)
		return ret;
	dma_read(d, &d->fresh, d->va, theirs);

	/* A page nobody has touched yet: the device asks for it. */
	ret = viommu_mem_write(d->mem, d->late_page, late, DATA_BYTES);
	if (ret)
		return ret;
	dma_read(d, &d->served, d->late_va, late);

	viommu_dma_stats(d->dma, &d->stats);
	/* Faults that --entry made are none of what follows. */
	while (demo_guest_fault(&d->guest, d->record))
		;
	ret = demo_guest_unbind(&d->guest);
	if (ret)
		return ret;
	dma_read(d, &d->gone, d->va, theirs);
	while (demo_guest_fault(&d->guest, d->record))
		d->reports++;
	return 0;
}

static void tear_down(struct demo *d)
{
	viommu_guest_free(d->unit);
	viommu_dma_free(d->dma);
	viommu_host_free(d->host);
	viommu_mem_free(d->mem);
}

/* Did everything happen as it should? With --entry the walk is the user's own doing. */
static bool as_told(const struct demo *d)
{
	bool after = d->gone.ret == VIOMMU_FAULTED && d->reports == 1 && d->fresh.equal &&
		     d->served.equal && d->requests >= 1 && d->unbound.kind == VIOMMU_TRAP_UNBIND &&
		     VTD_GET(d->record, VTD_FRCD_PASID) == d->opt.gp;

	if (d->opt.edit_level)
		return d->gone.ret == VIOMMU_FAULTED;
	return after && !d->walk_ret && d->write.equal && d->read.equal &&
	       (d->stale.equal || !d->stale.ret);
}

/* ---- JSON ---- */

static json_t *json_fault(const struct viommu_fault *f)
{
	json_t *o = json_object();

	cmd_json_set(o, "reason", json_integer(f->reason));
	cmd_json_set(o, "name", json_string(viommu_fault_name(f->reason)));
	cmd_json_set(o, "text", json_string(viommu_fault_text(f->reason)));
	cmd_json_set(o, "sid", json_integer(f->sid));
	cmd_json_set(o, "pasid", json_integer(f->pasid));
	cmd_json_set(o, "stage",
		     f->stage == VIOMMU_STAGE_PATH ? json_string("path") : json_integer(f->stage));
	cmd_json_set(o, "level", json_integer(f->level));
	cmd_json_set(o, "address", cmd_json_hex(f->addr));
	cmd_json_set(o, "stage_address", cmd_json_hex(f->stage_addr));
	return o;
}

static json_t *json_dma(const struct dma_report *r)
{
	json_t *o = json_object();

	cmd_json_set(o, "address", cmd_json_hex(r->addr));
	cmd_json_set(o, "ok", json_boolean(!r->ret));
	cmd_json_set(o, "bytes", json_integer(DATA_BYTES));
	cmd_json_set(o, "bytes_equal", json_boolean(r->equal));
	cmd_json_set(o, "fault", r->ret == VIOMMU_FAULTED ? json_fault(&r->fault) : json_null());
	return o;
}

static json_t *json_steps(const struct demo *d)
{
	json_t *a = json_array();
	unsigned int i;

	for (i = 0; i < d->rec.nr; i++) {
		const struct viommu_step *s = &d->rec.step[i];
		json_t *o = json_object();
		static const char *const kinds[] = { "", "read", "update", "output" };

		cmd_json_set(o, "kind", json_string(kinds[s->kind & 3]));
		cmd_json_set(o, "stage",
			     s->stage == VIOMMU_STAGE_PATH ? json_string("path")
							   : json_integer(s->stage));
		cmd_json_set(o, "level", json_integer(s->level));
		cmd_json_set(o, "input", cmd_json_hex(s->input));
		cmd_json_set(o, "entry_address", cmd_json_hex(s->entry_addr));
		cmd_json_set(o, "value", cmd_json_hex(s->value));
		if (s->name)
			cmd_json_set(o, "name", json_string(s->name));
		cmd_json_add(a, o);
	}
	return a;
}

static json_t *json_trap(const struct viommu_guest_trap *t)
{
	static const char *const kinds[] = { "none", "bind", "rebind", "unbind", "refused" };
	json_t *o = json_object();

	cmd_json_set(o, "kind", json_string(kinds[t->kind % 5]));
	cmd_json_set(o, "cause",
		     json_string(t->cause == VIOMMU_TRAP_PASID_CACHE ? "PASID cache" : "other"));
	cmd_json_set(o, "gpasid", json_integer(t->gp.v));
	cmd_json_set(o, "hpasid", json_integer(t->hp.v));
	cmd_json_set(o, "domain_id", json_integer(t->did));
	return o;
}

/* The guest's fault record, decoded. */
static json_t *json_record(const uint64_t record[2])
{
	json_t *o = json_object();

	cmd_json_set(o, "reason", json_integer((json_int_t)VTD_GET(record, VTD_FRCD_FR)));
	cmd_json_set(o, "sid", json_integer((json_int_t)VTD_GET(record, VTD_FRCD_SID)));
	cmd_json_set(o, "pasid", json_integer((json_int_t)VTD_GET(record, VTD_FRCD_PASID)));
	cmd_json_set(o, "address", cmd_json_hex(record[0] & VTD_MASK(VTD_FRCD_FI)));
	return o;
}

static int print_json(const struct demo *d)
{
	json_t *o = json_object(), *b = json_object(), *w = json_object(), *dma, *pf, *entry;
	unsigned int i;

	cmd_json_set(o, "seed", cmd_json_hex(d->opt.seed));
	cmd_json_set(b, "device", json_integer(DEVICE_SID));
	cmd_json_set(b, "gpasid", json_integer(d->opt.gp));
	cmd_json_set(b, "hpasid", json_integer(d->hp.v));
	cmd_json_set(b, "levels", json_integer(d->opt.levels));
	cmd_json_set(b, "page_size", json_integer((json_int_t)1 << d->opt.page_lg2));
	cmd_json_set(b, "first_stage_root", cmd_json_hex(d->root));
	cmd_json_set(b, "second_stage_root", cmd_json_hex(d->second.root));
	cmd_json_set(b, "domain_id", json_integer(d->did));
	entry = json_array();
	for (i = 0; i < 8; i++)
		cmd_json_add(entry, cmd_json_hex(d->pe[i]));
	cmd_json_set(b, "pasid_entry", entry);
	entry = json_array();
	for (i = 0; i < 8; i++)
		cmd_json_add(entry, cmd_json_hex(d->bind_entry[i]));
	cmd_json_set(b, "guest_pasid_entry", entry);
	cmd_json_set(b, "guest_pasid_entry_address", cmd_json_hex(d->guest.entry_addr));
	entry = json_array();
	for (i = 0; i < 2; i++)
		cmd_json_add(entry, cmd_json_hex(d->bind_flush[i]));
	cmd_json_set(b, "flush", entry);
	cmd_json_set(b, "trap", json_trap(&d->bound));
	cmd_json_set(o, "bind", b);

	cmd_json_set(w, "address", cmd_json_hex(d->va));
	cmd_json_set(w, "ok", json_boolean(!d->walk_ret));
	cmd_json_set(w, "reads", json_integer(d->walk.reads));
	cmd_json_set(w, "output", d->walk_ret ? json_null() : cmd_json_hex(d->walk.out));
	cmd_json_set(w, "page_size",
		     d->walk_ret ? json_null() : json_integer((json_int_t)1 << d->walk.page_lg2));
	cmd_json_set(w, "fault", d->walk_ret ? json_fault(&d->walk.fault) : json_null());
	if (d->opt.edit_level) {
		cmd_json_set(w, "entry_level", json_integer(d->opt.edit_level));
		cmd_json_set(w, "entry_was", cmd_json_hex(d->edit_old));
		cmd_json_set(w, "entry_is", cmd_json_hex(d->edit_new));
	}
	cmd_json_set(w, "steps", json_steps(d));
	cmd_json_set(o, "walk", w);

	dma = json_dma(&d->write);
	cmd_json_set(dma, "bytes_equal", json_boolean(d->write.equal && d->read.equal));
	cmd_json_set(dma, "read", json_dma(&d->read));
	cmd_json_set(o, "dma", dma);
	pf = json_object();
	cmd_json_set(pf, "before", json_dma(&d->stale));
	cmd_json_set(pf, "after", json_dma(&d->fresh));
	cmd_json_set(o, "invalidation", pf);
	pf = json_dma(&d->served);
	cmd_json_set(pf, "requests", json_integer(d->requests));
	cmd_json_set(pf, "request_address", cmd_json_hex(VTD_GET(d->request, VTD_PRQ_ADDR) << 12));
	cmd_json_set(pf, "request_gpasid",
		     json_integer((json_int_t)VTD_GET(d->request, VTD_PRQ_PASID)));
	cmd_json_set(pf, "request_hpasid", json_integer(d->request_hp));
	cmd_json_set(pf, "group", json_integer((json_int_t)VTD_GET(d->request, VTD_PRQ_PRGI)));
	cmd_json_set(o, "page_fault", pf);
	pf = json_dma(&d->gone);
	cmd_json_set(pf, "reports", json_integer(d->reports));
	cmd_json_set(pf, "record", d->reports ? json_record(d->record) : json_null());
	cmd_json_set(pf, "trap", json_trap(&d->unbound));
	cmd_json_set(o, "after_unbind", pf);
	if (!o || json_dumpf(o, stdout, JSON_INDENT(2)) || putchar('\n') == EOF) {
		json_decref(o);
		return cmd_error("demo", "cannot write the result");
	}
	json_decref(o);
	return as_told(d) ? CMD_OK : CMD_FAILED;
}

/* ---- Text ---- */

static void title(const struct cmd_colour *c, const char *text)
{
	printf("\n%s%s%s\n", c->head, text, c->off);
}

/* Names of the fields that are set in one word of a specified structure. */
static void print_fields(const char *table, const uint64_t *words, unsigned int word)
{
	const struct viommu_spec_table *t = viommu_spec_table_find(table);
	const char *sep = "";
	unsigned int i;

	for (i = 0; t && i < t->nr; i++) {
		const struct viommu_spec_field *f = &t->fields[i];
		uint64_t v;

		if (f->lo / 64 != word)
			continue;
		v = viommu_spec_field_get(f, words);
		if (!v)
			continue;
		printf("%s%s=%#" PRIx64, sep, viommu_spec_field_name(t, f), v);
		sep = " ";
	}
}

/* Words of an entry with their fields. */
static void print_entry(const char *table, const uint64_t *words, unsigned int nr,
			const char *indent, const struct cmd_colour *c)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		printf("%sqw%u %016" PRIx64 "  %s", indent, i, words[i], c->dim);
		print_fields(table, words, i);
		printf("%s\n", c->off);
	}
}

static void print_picture(const struct demo *d, const struct cmd_colour *c)
{
	title(c, "The system");
	printf("  Guest   process's page tables (first stage, %u levels)   root GPA %s%#" PRIx64
	       "%s\n",
	       d->opt.levels, c->mark, d->root, c->off);
	printf("            |  PASID entry %s%u%s, then a flush of the PASID cache\n", c->mark,
	       d->opt.gp, c->off);
	printf("  --------- | --- the flush is trapped -----------------------------------\n");
	printf("  Host      v  guest PASID %s%u%s -> host PASID %s%u%s, device 00:05.0\n", c->mark,
	       d->opt.gp, c->off, c->mark, d->hp.v, c->off);
	printf("            first stage   GVA -> GPA  the guest's own tables, root GPA %#" PRIx64
	       "\n",
	       d->root);
	printf("            second stage  GPA -> HPA  %" PRIu64
	       " MiB of VM memory, %u levels, root HPA "
	       "%#" PRIx64 "\n",
	       d->guest_bytes >> 20, d->second.levels, d->second.root);
}

static void print_trap(const struct demo *d, const struct cmd_colour *c)
{
	title(c, "The trap");
	printf("  the guest writes PASID entry %u, at GPA %#" PRIx64 "\n", d->opt.gp,
	       d->guest.entry_addr);
	print_entry("VTD_PE", d->bind_entry, 3, "      ", c);
	printf("  and puts a PASID-cache invalidation into its queue\n");
	print_entry("VTD_IQ_PC", d->bind_flush, 1, "      ", c);
	printf("  the unit has no shadow of it: %sbind%s, guest PASID %s%u%s -> host PASID "
	       "%s%u%s\n",
	       c->good, c->off, c->mark, d->bound.gp.v, c->off, c->mark, d->bound.hp.v, c->off);
	printf("  the host's PASID entry %u, nested on the VM's memory\n", d->hp.v);
	print_entry("VTD_PE", d->pe, 3, "      ", c);
}

static void print_fault(const struct viommu_fault *f, const struct cmd_colour *c)
{
	printf("%sfault %02xh%s %s\n", c->bad, f->reason, c->off, viommu_fault_text(f->reason));
	printf("          source 00:%02x.%u  PASID %u  address %#" PRIx64, f->sid >> 3 & 31,
	       f->sid & 7, f->pasid, f->addr);
	if (f->stage == VIOMMU_STAGE_PATH)
		printf("  in the PASID tables\n");
	else
		printf("  stage %u (%s)  level %u  entry at %#" PRIx64 "\n", f->stage + 1u,
		       f->stage ? "second" : "first", f->level, f->entry_addr);
}

static void print_steps(const struct demo *d, const struct cmd_colour *c)
{
	unsigned int i, read = 0;

	for (i = 0; i < d->rec.nr; i++) {
		const struct viommu_step *s = &d->rec.step[i];
		const char *indent = s->stage == 1 && s->depth ? "    " : "";

		if (s->kind == VIOMMU_STEP_READ && s->stage == VIOMMU_STAGE_PATH)
			printf("       %s%-22s at %#14" PRIx64 "  = %016" PRIx64 "%s\n", c->dim,
			       s->name, s->entry_addr, s->value, c->off);
		else if (s->kind == VIOMMU_STEP_READ)
			printf("  %3u  %s%s level %u entry   at %s %#14" PRIx64 "  = %016" PRIx64
			       "\n",
			       ++read, indent, s->stage ? "second stage" : "first stage ", s->level,
			       s->stage ? "HPA" : "GPA", s->entry_addr, s->value);
		else if (s->kind == VIOMMU_STEP_OUTPUT)
			printf("       %s%s%s %#" PRIx64 " -> %#" PRIx64 "%s\n", indent, c->mark,
			       s->stage ? "GPA" : "GVA", s->input, s->value, c->off);
		else
			printf("       %s%ssets bits %#" PRIx64 " in it%s\n", indent, c->dim,
			       s->value, c->off);
	}
}

static void print_dma(const char *what, const struct dma_report *r, const char *good,
		      const char *bad, const struct cmd_colour *c)
{
	printf("  %-38s ", what);
	if (r->ret == VIOMMU_FAULTED)
		print_fault(&r->fault, c);
	else if (r->ret)
		printf("%s%s%s\n", c->bad, strerror(-r->ret), c->off);
	else
		printf("%s%s%s\n", r->equal ? c->good : c->bad, r->equal ? good : bad, c->off);
}

static int print_text(const struct demo *d)
{
	struct cmd_colour c = cmd_colour(stdout);

	print_picture(d, &c);
	print_trap(d, &c);

	title(&c, "One address, every read");
	if (d->opt.edit_level)
		printf("  --entry: the first-stage entry of level %u was %#" PRIx64 ", is %#" PRIx64
		       "\n",
		       d->opt.edit_level, d->edit_old, d->edit_new);
	printf("  GVA %s%#" PRIx64 "%s through %u + %u levels\n", c.mark, d->va, c.off,
	       d->opt.levels, d->second.levels);
	print_steps(d, &c);
	if (d->walk_ret == VIOMMU_FAULTED) {
		printf("  after %u reads: ", d->walk.reads);
		print_fault(&d->walk.fault, &c);
	} else {
		printf("  %s%u reads%s, HPA %#" PRIx64 ", page of %u KiB\n", c.good, d->walk.reads,
		       c.off, d->walk.out, 1u << (d->walk.page_lg2 - 10));
	}

	title(&c, "DMA by (device 00:05.0, host PASID, guest virtual address)");
	print_dma("device writes 4096 random bytes", &d->write, "the guest's page holds them",
		  "the guest's page holds something else", &c);
	print_dma("device reads them back", &d->read, "equal", "different", &c);

	title(&c, "The guest moves the page");
	printf("  entry changed to GPA %#" PRIx64 "; not yet invalidated\n", d->other_page);
	print_dma("device reads", &d->stale, "still the old page: the translation is cached",
		  "the new page", &c);
	printf("  PASID-IOTLB invalidation of that page in guest PASID %u, host PASID %u\n",
	       d->opt.gp, d->hp.v);
	print_dma("device reads", &d->fresh, "the new page", "not the new page", &c);

	title(&c, "A page that is not there yet");
	if (d->requests)
		printf("  page request: PASID %u (host's %u), address %#" PRIx64
		       ", group %u; the guest maps it and answers\n",
		       (unsigned int)VTD_GET(d->request, VTD_PRQ_PASID), d->request_hp,
		       VTD_GET(d->request, VTD_PRQ_ADDR) << 12,
		       (unsigned int)VTD_GET(d->request, VTD_PRQ_PRGI));
	print_dma("device reads", &d->served, "equal, after the page came", "different", &c);

	title(&c, "Unbind");
	printf("  the guest clears entry %u and flushes: %s, host PASID %u\n", d->opt.gp,
	       d->unbound.kind == VIOMMU_TRAP_UNBIND ? "unbind" : "nothing: WRONG",
	       d->unbound.hp.v);
	print_dma("the same DMA", &d->gone, "it still works: WRONG", "it still works: WRONG", &c);
	if (d->reports)
		printf("  the guest's fault record: reason %02xh, source 00:%02x.%u, PASID %u, "
		       "address %#" PRIx64 "\n",
		       (unsigned int)VTD_GET(d->record, VTD_FRCD_FR),
		       (unsigned int)VTD_GET(d->record, VTD_FRCD_SID) >> 3 & 31,
		       (unsigned int)VTD_GET(d->record, VTD_FRCD_SID) & 7,
		       (unsigned int)VTD_GET(d->record, VTD_FRCD_PASID),
		       d->record[0] & VTD_MASK(VTD_FRCD_FI));
	printf("\n%sseed %#" PRIx64 " (--seed repeats this run's addresses and data)%s\n", c.dim,
	       d->opt.seed, c.off);
	if (!as_told(d))
		return cmd_error("demo", "a step did not end as it should, see above");
	return CMD_OK;
}

/* ---- Options ---- */

static void usage(void)
{
	printf("usage: viommu demo [OPTION...]\n\n"
	       "Binds the page tables of a guest in this process to a device, step by step.\n\n"
	       "  --gpasid N        guest PASID, 0..1048575 (default 5)\n"
	       "  --hpasid N        host PASID, 1..1048575 (default: the lowest free)\n"
	       "  --levels 4|5      levels of both stages (default 4)\n"
	       "  --pages 4k|2m|1g  page size of both stages (default 4k)\n"
	       "  --entry L=VALUE   put VALUE into the first-stage entry of level L first\n"
	       "  --entry L^BITS    or flip these bits of it\n"
	       "  --seed N          repeat a run's addresses and data\n"
	       "  --json            one JSON object instead of text\n");
}

static int parse_pasid(const char *option, const char *text, uint32_t first, uint32_t *out)
{
	const char *why;
	uint64_t v;

	if (!cmd_number(text, &v, &why))
		return cmd_usage("demo", "%s '%s': %s", option, text, why);
	if (v < first || v > VIOMMU_PASID_MAX)
		return cmd_usage("demo", "%s %s: PASIDs are %u..%u", option, text, first,
				 VIOMMU_PASID_MAX);
	*out = (uint32_t)v;
	return CMD_OK;
}

static int parse_entry(const char *text, struct options *o)
{
	const char *why;

	if (text[0] < '1' || text[0] > '5' || (text[1] != '=' && text[1] != '^'))
		return cmd_usage("demo", "--entry '%s': LEVEL=VALUE or LEVEL^BITS, level 1..5",
				 text);
	if (!cmd_number(text + 2, &o->edit_value, &why))
		return cmd_usage("demo", "--entry '%s': %s", text, why);
	o->edit_level = (unsigned int)(text[0] - '0');
	o->edit_flip = text[1] == '^';
	return CMD_OK;
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "gpasid", required_argument, NULL, 'g' },
		{ "hpasid", required_argument, NULL, 'p' },
		{ "levels", required_argument, NULL, 'l' },
		{ "pages", required_argument, NULL, 's' },
		{ "entry", required_argument, NULL, 'e' },
		{ "seed", required_argument, NULL, 'S' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *why;
	int opt, ret = CMD_OK;

	opterr = 0;
	optind = 1;
	while (ret == CMD_OK && (opt = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		switch (opt) {
		case 'g':
			ret = parse_pasid("--gpasid", optarg, 0, &o->gp);
			break;
		case 'p':
			ret = parse_pasid("--hpasid", optarg, 1, &o->hp);
			break;
		case 'l':
			if (strcmp(optarg, "4") && strcmp(optarg, "5"))
				return cmd_usage("demo", "--levels '%s': 4 or 5", optarg);
			o->levels = (unsigned int)(optarg[0] - '0');
			break;
		case 's':
			o->page_lg2 = !strcmp(optarg, "4k")   ? 12
				      : !strcmp(optarg, "2m") ? 21
				      : !strcmp(optarg, "1g") ? 30
							      : 0;
			if (!o->page_lg2)
				return cmd_usage("demo", "--pages '%s': 4k, 2m or 1g", optarg);
			break;
		case 'e':
			ret = parse_entry(optarg, o);
			break;
		case 'S':
			if (!cmd_number(optarg, &o->seed, &why))
				return cmd_usage("demo", "--seed '%s': %s", optarg, why);
			break;
		case 'j':
			o->json = true;
			break;
		case 'h':
			usage();
			return -1;
		case ':':
			return cmd_usage("demo", "option '%s' wants a value", argv[optind - 1]);
		default:
			return cmd_usage("demo", "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (ret == CMD_OK && optind < argc)
		return cmd_usage("demo", "unexpected argument '%s'", argv[optind]);
	if (ret == CMD_OK && o->edit_level &&
	    (o->edit_level > o->levels || o->edit_level < (o->page_lg2 - 12) / 9 + 1))
		return cmd_usage("demo",
				 "--entry: no entry of level %u with these pages and levels",
				 o->edit_level);
	return ret;
}

int cmd_demo(int argc, char **argv)
{
	struct demo d = { .opt = { .gp = 5, .levels = 4, .page_lg2 = 12 } };
	int ret;

	if (getrandom(&d.opt.seed, sizeof(d.opt.seed), 0) != sizeof(d.opt.seed))
		return cmd_error("demo", "no random numbers: %s", strerror(errno));
	ret = parse(argc, argv, &d.opt);
	if (ret)
		return ret < 0 ? CMD_OK : ret;
	d.rng = d.opt.seed;
	ret = run(&d);
	if (ret)
		ret = cmd_error("demo", "%s", strerror(-ret));
	else
		ret = d.opt.json ? print_json(&d) : print_text(&d);
	tear_down(&d);
	return ret;
}
