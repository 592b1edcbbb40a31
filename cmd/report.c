/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The running machine as JSON, for the control socket: what `viommu inspect` shows.
 *
 * The tables are the guest's, in the guest's memory, while the guest runs: each entry is read once
 * into a local, every loop is bounded by a constant below, and what cannot be read is said so. The
 * answer is made on the server's thread, so nothing here ends the process: without memory there is
 * no answer.
 *
 * Members, 64-bit values as strings "0x...":
 *	version, profile, caching_mode, pasids, virtual_commands, unit, queues, registers,
 *	fault_records, devices, faults, stats (unit, host_memory, caches, server), memory, vm
 * Of a fleet:
 *	version, pasid_quota, vms, shared_devices, stats (host_memory, server)
 * man/viommu-inspect.1 describes them.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <viommu/version.h>
#include <viommu/vtd.h>

#include "machine.h"

/* Of each table, list and memory map so many rows are given, and a count. */
#define ROWS_MAX 64u
/*
 * PASID tables (of 64 entries) of one device that are looked into; beyond it `complete` is false.
 */
#define PASID_TABLES_MAX 256u
/* Host binds of one device that are counted. */
#define BINDS_MAX      65536u
#define FAULTS_MAX     16u
#define NAME_MAX_BYTES 32

#define WORDS_MAX 8u

/* What is being made. failed: some member is missing, no memory. */
struct report {
	struct machine *m;
	struct viommu_unit unit;
	bool failed;
};

/* ---- JSON that remembers failure ---- */

static void put(struct report *r, json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value))
		r->failed = true;
}

static void append(struct report *r, json_t *array, json_t *value)
{
	if (json_array_append_new(array, value))
		r->failed = true;
}

static json_t *hex(uint64_t value)
{
	char text[2 + 16 + 1];

	snprintf(text, sizeof(text), "0x%" PRIx64, value);
	return json_string(text);
}

static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)(value > INT64_MAX ? INT64_MAX : value));
}

static json_t *slot_text(uint16_t sid)
{
	char text[16];

	snprintf(text, sizeof(text), "%02x:%02x.%x", sid >> 8, sid >> 3 & 31, sid & 7);
	return json_string(text);
}

static json_t *pasid(uint32_t v)
{
	return v == VIOMMU_NO_PASID ? json_null() : json_integer(v);
}

/* ---- Fields ---- */

static bool is_pointer(const struct viommu_spec_field *field)
{
	return field->hi - field->lo >= 21;
}

/* A page number as the address of that page. */
static json_t *field_value(const struct viommu_spec_field *field, const uint64_t *words)
{
	uint64_t value = viommu_spec_field_get(field, words);

	if (is_pointer(field))
		return hex(value << field->lo % 64);
	return json_integer((json_int_t)value);
}

/* zero: fields that are 0 too. */
static json_t *fields(struct report *r, const struct viommu_spec_table *table,
		      const uint64_t *words, bool zero)
{
	json_t *object = json_object();
	unsigned int i;

	for (i = 0; table && i < table->nr; i++) {
		const struct viommu_spec_field *field = &table->fields[i];

		if (field->kind == VIOMMU_SPEC_IGNORED ||
		    (!zero && !viommu_spec_field_get(field, words)))
			continue;
		put(r, object, viommu_spec_field_name(table, field), field_value(field, words));
	}
	return object;
}

/* words, fields and what is set though it is reserved, of one entry. */
static void entry(struct report *r, json_t *object, const char *layout, const uint64_t *words)
{
	const struct viommu_spec_table *table = viommu_spec_table_find(layout);
	unsigned int i, nr = table ? (table->bits + 63) / 64 : 0;
	json_t *list = json_array(), *reserved = json_array();
	uint64_t bits;

	for (i = 0; i < nr && i < WORDS_MAX; i++) {
		append(r, list, hex(words[i]));
		bits = words[i] & viommu_spec_reserved_for(table, i, r->unit.cap, r->unit.ecap);
		if (bits)
			append(r, reserved, hex(bits));
	}
	put(r, object, "layout", json_string(layout));
	put(r, object, "words", list);
	put(r, object, "fields", fields(r, table, words, false));
	if (json_array_size(reserved))
		put(r, object, "reserved", reserved);
	else
		json_decref(reserved);
}

/* ---- Registers ---- */

static uint64_t read_register(struct report *r, uint64_t offset, unsigned int width)
{
	return viommu_guest_read(viommu_board_guest(r->m->board), offset, width / 8);
}

static uint64_t register_base(const struct report *r, const struct viommu_spec_reg *reg)
{
	switch (reg->base) {
	case VIOMMU_SPEC_BASE_IRO:
		return 16 * VTD_FIELD(r->unit.ecap, VTD_ECAP_IRO);
	case VIOMMU_SPEC_BASE_FRO:
		return 16 * VTD_FIELD(r->unit.cap, VTD_CAP_FRO);
	default:
		return 0;
	}
}

static json_t *one_register(struct report *r, const struct viommu_spec_reg *reg, unsigned int n)
{
	uint64_t offset = register_base(r, reg) + reg->offset + (uint64_t)n * reg->width / 8;
	const struct viommu_spec_table *table = viommu_spec_table_find(reg->layout);
	json_t *object = json_object();
	char name[NAME_MAX_BYTES];
	uint64_t words[WORDS_MAX] = { 0 };

	if (reg->count > 1)
		snprintf(name, sizeof(name), "%s%u", reg->name, n);
	else
		snprintf(name, sizeof(name), "%s", reg->name);
	put(r, object, "name", json_string(name));
	put(r, object, "offset", hex(offset));
	put(r, object, "bits", json_integer(reg->width));
	put(r, object, "layout", json_string(reg->layout));
	put(r, object, "text", json_string(reg->text));
	if (reg->flags & VIOMMU_SPEC_REG_WO) {
		put(r, object, "write_only", json_true());
		return object;
	}
	words[0] = read_register(r, offset, reg->width);
	put(r, object, "value", hex(words[0]));
	put(r, object, "fields", fields(r, table, words, true));
	return object;
}

static json_t *registers(struct report *r)
{
	json_t *list = json_array();
	unsigned int i, n;

	bool old = r->m->options->guest_flags & VIOMMU_GUEST_VCMD_OLD;

	for (i = 0; i < viommu_spec_regs_nr; i++) {
		const struct viommu_spec_reg *reg = &viommu_spec_regs[i];

		if (!viommu_spec_reg_present(reg, r->unit.cap, r->unit.ecap) ||
		    reg->flags & VIOMMU_SPEC_REG_PER_RECORD ||
		    (old && reg->need == VTD_MASK(VTD_ECAP_VCS)))
			continue;
		for (n = 0; n < reg->count; n++)
			append(r, list, one_register(r, reg, n));
	}
	for (i = 0; old && i < viommu_spec_old_regs_nr; i++)
		append(r, list, one_register(r, &viommu_spec_old_regs[i], 0));
	return list;
}

static void fault_name(struct report *r, json_t *object, unsigned int reason)
{
	const struct viommu_spec_fault *f = viommu_fault_find(reason);

	put(r, object, "reason", json_integer(reason));
	put(r, object, "name", json_string(f ? f->name : "?"));
	put(r, object, "text", json_string(f ? f->text : "not assigned"));
}

/* Those that are filled. */
static json_t *fault_records(struct report *r)
{
	const struct viommu_spec_table *table = viommu_spec_table_find("VTD_FRCD");
	unsigned int i, nr = (unsigned int)VTD_FIELD(r->unit.cap, VTD_CAP_NFR) + 1;
	uint64_t at = 16 * VTD_FIELD(r->unit.cap, VTD_CAP_FRO);
	json_t *list = json_array();

	for (i = 0; i < nr; i++, at += 16) {
		json_t *object;
		uint64_t words[2];

		/* F is in the high half; the record is whole while it is set. */
		words[1] = read_register(r, at + 8, 64);
		words[0] = read_register(r, at, 64);
		if (!VTD_GET(words, VTD_FRCD_F))
			continue;
		object = json_object();
		put(r, object, "record", json_integer(i));
		fault_name(r, object, (unsigned int)VTD_GET(words, VTD_FRCD_FR));
		put(r, object, "fields", fields(r, table, words, true));
		append(r, list, object);
	}
	return list;
}

static json_t *invalidation_queue(struct report *r)
{
	uint64_t iqa = read_register(r, VTD_REG_IQA, 64);
	unsigned int bytes = VTD_FIELD(iqa, VTD_IQA_DW) ? 32 : 16;
	json_t *object = json_object();

	put(r, object, "on",
	    json_boolean(VTD_FIELD(read_register(r, VTD_REG_GSTS, 32), VTD_GSTS_QIES)));
	put(r, object, "base", hex(iqa & VTD_MASK(VTD_IQA_IQA)));
	put(r, object, "descriptor_bytes", json_integer(bytes));
	put(r, object, "entries", integer((UINT64_C(4096) << VTD_FIELD(iqa, VTD_IQA_QS)) / bytes));
	put(r, object, "head",
	    integer((read_register(r, VTD_REG_IQH, 64) & VTD_MASK(VTD_IQH_QH)) / bytes));
	put(r, object, "tail",
	    integer((read_register(r, VTD_REG_IQT, 64) & VTD_MASK(VTD_IQT_QT)) / bytes));
	return object;
}

static json_t *page_request_queue(struct report *r)
{
	uint64_t pqa = read_register(r, VTD_REG_PQA, 64), prs = read_register(r, VTD_REG_PRS, 32);
	json_t *object = json_object();

	put(r, object, "base", hex(pqa & VTD_MASK(VTD_PQA_PQA)));
	put(r, object, "entries", integer((UINT64_C(4096) << VTD_FIELD(pqa, VTD_PQA_PQS)) / 32));
	put(r, object, "head",
	    integer((read_register(r, VTD_REG_PQH, 64) & VTD_MASK(VTD_PQH_PQH)) / 32));
	put(r, object, "tail",
	    integer((read_register(r, VTD_REG_PQT, 64) & VTD_MASK(VTD_PQT_PQT)) / 32));
	put(r, object, "pending", json_boolean(VTD_FIELD(prs, VTD_PRS_PPR)));
	put(r, object, "overflow", json_boolean(VTD_FIELD(prs, VTD_PRS_PRO)));
	return object;
}

static json_t *queues(struct report *r)
{
	json_t *object = json_object();

	if (r->unit.ecap & VTD_MASK(VTD_ECAP_QI))
		put(r, object, "invalidation", invalidation_queue(r));
	if (r->unit.ecap & VTD_MASK(VTD_ECAP_PRS))
		put(r, object, "page_request", page_request_queue(r));
	return object;
}

static const char *mode_name(uint64_t rtaddr)
{
	switch (VTD_FIELD(rtaddr, VTD_RTADDR_TTM)) {
	case VTD_TTM_LEGACY:
		return "legacy";
	case VTD_TTM_SCALABLE:
		return "scalable";
	case VTD_TTM_ABORT:
		return "abort";
	default:
		return "reserved";
	}
}

static json_t *unit(struct report *r)
{
	uint64_t gsts = read_register(r, VTD_REG_GSTS, 32);
	json_t *object = json_object();

	put(r, object, "slot", slot_text(r->m->options->unit_sid));
	put(r, object, "registers", hex(r->m->registers));
	put(r, object, "placed", r->m->placed ? hex(r->m->placed) : json_null());
	put(r, object, "ver", hex(r->unit.ver));
	put(r, object, "cap", hex(r->unit.cap));
	put(r, object, "ecap", hex(r->unit.ecap));
	put(r, object, "haw", json_integer(r->unit.haw));
	put(r, object, "translation", json_boolean(VTD_FIELD(gsts, VTD_GSTS_TES)));
	put(r, object, "root_table_set", json_boolean(VTD_FIELD(gsts, VTD_GSTS_RTPS)));
	put(r, object, "root_table", hex(r->unit.rtaddr & VTD_MASK(VTD_RTADDR_RTA)));
	put(r, object, "mode", json_string(mode_name(r->unit.rtaddr)));
	return object;
}

/* ---- The guest's tables ---- */

/* An entry of `bytes` at table + index * bytes. false, and said in object: it cannot be read. */
static bool read_entry(struct report *r, json_t *object, uint64_t table, uint64_t index,
		       uint64_t *words, size_t bytes)
{
	uint64_t at = table + index * bytes;

	put(r, object, "address", hex(at));
	if (table >> r->unit.haw) {
		put(r, object, "error", json_string("beyond the host address width"));
		return false;
	}
	if (viommu_mem_read(r->unit.mem, at, words, bytes)) {
		put(r, object, "error", json_string("not in the guest's memory"));
		return false;
	}
	return true;
}

struct pasid_scan {
	json_t *directory; /* entries */
	json_t *entries;
	unsigned int tables;    /* present directory entries */
	unsigned int looked_at; /* of these */
	unsigned int present;   /* PASID entries in them */
};

static void pasid_table(struct report *r, struct pasid_scan *s, uint64_t table, uint64_t first)
{
	uint64_t words[VTD_PASID_TABLE_ENTRIES][WORDS_MAX];
	unsigned int i;

	_Static_assert(sizeof(words) == 4096, "one page");
	if (table >> r->unit.haw || viommu_mem_read(r->unit.mem, table, words, sizeof(words)))
		return;
	for (i = 0; i < VTD_PASID_TABLE_ENTRIES; i++) {
		json_t *object;

		if (!VTD_GET(words[i], VTD_PE_P))
			continue;
		if (s->present++ >= ROWS_MAX)
			continue;
		object = json_object();
		put(r, object, "pasid", integer(first + i));
		put(r, object, "address", hex(table + i * VTD_PE_BYTES));
		entry(r, object, "VTD_PE", words[i]);
		append(r, s->entries, object);
	}
}

static void directory_entry(struct report *r, struct pasid_scan *s, uint64_t at, uint64_t index,
			    uint64_t word)
{
	uint64_t table = word & VTD_MASK(VTD_PDIR_SMPTBLPTR);
	json_t *object;

	if (!VTD_GET(&word, VTD_PDIR_P))
		return;
	if (s->tables++ < ROWS_MAX) {
		object = json_object();
		put(r, object, "index", integer(index));
		put(r, object, "address", hex(at));
		entry(r, object, "VTD_PDIR", &word);
		append(r, s->directory, object);
	}
	if (s->looked_at < PASID_TABLES_MAX) {
		s->looked_at++;
		pasid_table(r, s, table, index << VTD_PASID_TABLE_LG2);
	}
}

/* PDTS is 3 bits, so a directory has at most 2^14 entries, 32 pages. */
static void pasid_tables(struct report *r, json_t *object, const uint64_t *context)
{
	uint64_t nr = UINT64_C(1) << (VTD_GET(context, VTD_SCE_PDTS) + VTD_PDIR_ENTRIES_LG2_MIN);
	uint64_t dir = context[0] & VTD_MASK(VTD_SCE_PDTP), page[512], i, j;
	struct pasid_scan s = { .directory = json_array(), .entries = json_array() };
	unsigned int lost = 0, n;
	json_t *d = json_object(), *e = json_object();

	for (i = 0; i < nr; i += n) {
		n = nr - i < 512 ? (unsigned int)(nr - i) : 512;
		if (dir >> r->unit.haw || viommu_mem_read(r->unit.mem, dir + i * VTD_PDIR_BYTES,
							  page, n * VTD_PDIR_BYTES)) {
			lost += n;
			continue;
		}
		for (j = 0; j < n; j++)
			directory_entry(r, &s, dir + (i + j) * VTD_PDIR_BYTES, i + j, page[j]);
	}
	put(r, d, "address", hex(dir));
	put(r, d, "entries", integer(nr));
	put(r, d, "present", json_integer(s.tables));
	if (lost)
		put(r, d, "unreadable", json_integer(lost));
	put(r, d, "list", s.directory);
	put(r, e, "present", json_integer(s.present));
	put(r, e, "complete", json_boolean(s.looked_at == s.tables));
	put(r, e, "list", s.entries);
	put(r, object, "pasid_directory", d);
	put(r, object, "pasid_entries", e);
}

static void context(struct report *r, json_t *object, uint64_t table, uint16_t sid, bool scalable)
{
	uint64_t words[4] = { 0 };
	json_t *c = json_object();

	if (scalable) {
		if (read_entry(r, c, table, sid & 0x7f, words, VTD_SCE_BYTES)) {
			entry(r, c, "VTD_SCE", words);
			if (VTD_GET(words, VTD_SCE_P))
				pasid_tables(r, object, words);
		}
	} else if (read_entry(r, c, table, sid & 0xff, words, VTD_LCE_BYTES)) {
		entry(r, c, "VTD_LCE", words);
	}
	put(r, object, "context", c);
}

/* null: there is no root table yet, or the mode has none. */
static json_t *tables(struct report *r, uint16_t sid)
{
	uint64_t ttm = VTD_FIELD(r->unit.rtaddr, VTD_RTADDR_TTM), words[2] = { 0 }, half;
	bool scalable = ttm == VTD_TTM_SCALABLE;
	json_t *object, *root;

	if ((!scalable && ttm != VTD_TTM_LEGACY) ||
	    !VTD_FIELD(read_register(r, VTD_REG_GSTS, 32), VTD_GSTS_RTPS))
		return json_null();
	object = json_object();
	root = json_object();
	if (read_entry(r, root, r->unit.rtaddr & VTD_MASK(VTD_RTADDR_RTA), sid >> 8, words,
		       VTD_ROOT_ENTRY_BYTES)) {
		entry(r, root, scalable ? "VTD_SROOT" : "VTD_ROOT", words);
		/* The upper half of a scalable root entry has the fields of the lower. */
		half = words[scalable && (sid & 0x80)];
		if (half & VTD_MASK(VTD_ROOT_P))
			context(r, object, half & VTD_MASK(VTD_ROOT_CTP), sid, scalable);
	}
	put(r, object, "root", root);
	return object;
}

/* ---- Shadows and binds ---- */

static const char *pgtt_name(unsigned int pgtt)
{
	static const char *const names[] = { "off", "first stage", "second stage", "nested",
					     "pass-through" };

	return pgtt < sizeof(names) / sizeof(names[0]) ? names[pgtt] : "?";
}

static json_t *shadows(struct report *r, uint16_t sid)
{
	struct viommu_guest_shadow s[ROWS_MAX];
	unsigned int i, nr;
	json_t *list = json_array();

	nr = viommu_guest_shadows(viommu_board_guest(r->m->board), sid,
				  (struct viommu_gp){ VIOMMU_NO_PASID }, s, ROWS_MAX);
	for (i = 0; i < nr && s[i].sid == sid; i++) {
		json_t *object = json_object();

		put(r, object, "guest_pasid", pasid(s[i].gp.v));
		put(r, object, "host_pasid", pasid(s[i].hp.v));
		put(r, object, "type", json_string(pgtt_name(s[i].pgtt)));
		put(r, object, "domain_id", json_integer(s[i].did));
		put(r, object, "fpd", json_boolean(s[i].fpd));
		append(r, list, object);
	}
	return list;
}

static json_t *binds(struct report *r, struct viommu_device *dev)
{
	json_t *object = json_object(), *list = json_array();
	struct viommu_hp hp = { 0 };
	struct viommu_gp gp;
	unsigned int nr = 0;
	uint64_t pe[WORDS_MAX];

	while (nr < BINDS_MAX && !viommu_host_next_bind(dev, &hp, &gp, pe)) {
		if (nr++ < ROWS_MAX) {
			json_t *b = json_object();

			put(r, b, "host_pasid", json_integer(hp.v));
			put(r, b, "guest_pasid", pasid(gp.v));
			entry(r, b, "VTD_PE", pe);
			append(r, list, b);
		}
		hp.v++;
	}
	put(r, object, "present", json_integer(nr));
	put(r, object, "list", list);
	return object;
}

/* ---- Devices ---- */

static json_t *dsa(struct report *r, struct viommu_dsa *dev)
{
	struct viommu_dsa_stats st = { .size = sizeof(st) };
	json_t *object = json_object(), *list = json_array();
	unsigned int i;

	viommu_dsa_stats(dev, &st);
	put(r, object, "descriptors", integer(st.descriptors));
	put(r, object, "batches", integer(st.batches));
	put(r, object, "bytes", integer(st.bytes));
	put(r, object, "errors", integer(st.errors));
	put(r, object, "swerrors", integer(st.swerrors));
	put(r, object, "retries", integer(st.retries));
	for (i = 0; i < VIOMMU_DSA_MAX_QUEUES; i++)
		append(r, list, integer(st.occupancy[i]));
	put(r, object, "occupancy", list);
	return object;
}

static json_t *enabled(struct report *r, uint32_t bits)
{
	static const char *const names[] = { "memory", "bus-master", "ats", "pri",
					     "pasid",  "msix",       "msi" };
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (bits >> i & 1)
			append(r, list, json_string(names[i]));
	return list;
}

/* Who it is on the host's side, and if others are that, too. */
static void requester(struct report *r, json_t *object, struct viommu_device *dev)
{
	struct viommu_hp hp = { 0 };

	if (dev)
		hp = viommu_device_default_pasid(dev);
	put(r, object, "host_requester", dev ? slot_text(viommu_device_sid(dev)) : json_null());
	put(r, object, "shared", json_boolean(hp.v));
	put(r, object, "default_pasid", hp.v ? json_integer(hp.v) : json_null());
}

static json_t *devices(struct report *r)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < r->m->nr; i++) {
		struct viommu_pci *pci = viommu_dsa_pci(r->m->dsa[i]);
		struct viommu_device *dev = viommu_pci_device(pci);
		json_t *object = json_object();

		uint16_t sid = machine_sid(r->m, i), port = r->m->seat[i].port;

		/* Behind a port: null while it is not plugged in. */
		put(r, object, "slot", sid ? slot_text(sid) : json_null());
		put(r, object, "port", port ? slot_text(port) : json_null());
		put(r, object, "kind", json_string("dsa"));
		requester(r, object, dev);
		put(r, object, "enabled", enabled(r, viommu_pci_enabled(pci)));
		put(r, object, "open_page_requests",
		    json_integer(dev ? viommu_device_open_requests(dev) : 0));
		put(r, object, "dsa", dsa(r, r->m->dsa[i]));
		put(r, object, "tables", sid ? tables(r, sid) : json_null());
		put(r, object, "shadows", sid ? shadows(r, sid) : json_array());
		put(r, object, "binds", dev ? binds(r, dev) : json_null());
		append(r, list, object);
	}
	return list;
}

static json_t *ports(struct report *r)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < r->m->nr_ports; i++) {
		json_t *object = json_object();
		uint8_t bus = 0;
		int told = viommu_board_port(r->m->board, r->m->port[i], &bus);

		put(r, object, "slot", slot_text(r->m->port[i]));
		put(r, object, "bus", json_integer(bus));
		put(r, object, "bus_told", json_boolean(told > 0));
		append(r, list, object);
	}
	return list;
}

/* ---- Faults ---- */

static json_t *faults(struct report *r)
{
	static const char *const requests[] = { "untranslated", "translation", "translated",
						"page" };
	struct viommu_fault f[FAULTS_MAX];
	unsigned int i, nr;
	json_t *list = json_array();

	nr = viommu_guest_last_faults(viommu_board_guest(r->m->board), f, FAULTS_MAX);
	for (i = 0; i < nr && i < FAULTS_MAX; i++) {
		json_t *object = json_object();

		fault_name(r, object, f[i].reason);
		put(r, object, "device", slot_text(f[i].sid));
		put(r, object, "pasid", pasid(f[i].pasid));
		put(r, object, "address", hex(f[i].addr));
		put(r, object, "access",
		    json_string(f[i].access & VIOMMU_ATOMIC  ? "atomic"
				: f[i].access & VIOMMU_WRITE ? "write"
							     : "read"));
		put(r, object, "request",
		    json_string(f[i].request < sizeof(requests) / sizeof(requests[0])
					? requests[f[i].request]
					: "?"));
		if (f[i].stage == VIOMMU_STAGE_PATH)
			put(r, object, "stage", json_string("path"));
		else
			put(r, object, "stage", json_integer(f[i].stage));
		put(r, object, "level", json_integer(f[i].level));
		put(r, object, "entry_address", hex(f[i].entry_addr));
		put(r, object, "entry", hex(f[i].entry));
		append(r, list, object);
	}
	return list;
}

/* ---- Counts ---- */

struct count {
	const char *name;
	uint64_t value;
};

static json_t *counts(struct report *r, const struct count *c, size_t nr)
{
	json_t *object = json_object();
	size_t i;

	for (i = 0; i < nr; i++)
		put(r, object, c[i].name, integer(c[i].value));
	return object;
}

#define COUNTS(r, ...)                                   \
	counts(r, (const struct count[]){ __VA_ARGS__ }, \
	       sizeof((const struct count[]){ __VA_ARGS__ }) / sizeof(struct count))

static json_t *unit_stats(struct report *r)
{
	static const char *const types[16] = {
		[VTD_IQ_TYPE_CC] = "context_cache",
		[VTD_IQ_TYPE_IOTLB] = "iotlb",
		[VTD_IQ_TYPE_DTLB] = "device_tlb",
		[VTD_IQ_TYPE_IEC] = "interrupt_entry_cache",
		[VTD_IQ_TYPE_WAIT] = "wait",
		[VTD_IQ_TYPE_PIOTLB] = "pasid_iotlb",
		[VTD_IQ_TYPE_PC] = "pasid_cache",
		[VTD_IQ_TYPE_PDTLB] = "pasid_device_tlb",
		[VTD_IQ_TYPE_PGRP] = "page_group_response",
	};
	struct viommu_guest_stats s = { .size = sizeof(s) };
	json_t *object, *d = json_object();
	char number[16];
	unsigned int i;

	viommu_guest_stats(viommu_board_guest(r->m->board), &s);
	for (i = 0; i < 16; i++) {
		snprintf(number, sizeof(number), "type_%u", i);
		if (types[i] || s.descriptors[i])
			put(r, d, types[i] ? types[i] : number, integer(s.descriptors[i]));
	}
	object = COUNTS(r, { "bound", s.bound }, { "binds", s.binds }, { "rebinds", s.rebinds },
			{ "unbinds", s.unbinds }, { "refused", s.refused }, { "misses", s.misses },
			{ "faults", s.faults }, { "faults_lost", s.faults_lost },
			{ "page_requests", s.page_requests },
			{ "page_requests_lost", s.page_requests_lost },
			{ "page_responses", s.page_responses }, { "queue_errors", s.queue_errors },
			{ "messages", s.messages }, { "virtual_commands", s.virtual_commands },
			{ "pasids_given", s.pasids_given },
			{ "pasids_reclaimed", s.pasids_reclaimed });
	put(r, object, "descriptors", d);
	return object;
}

/* With a fleet: of all together. */
static json_t *process_stats(struct report *r, json_t *object, struct viommu_server *server,
			     struct viommu_host *host)
{
	struct viommu_server_stats s = { .size = sizeof(s) };
	struct viommu_host_memory h = { 0 };

	viommu_server_stats(server, &s);
	viommu_host_memory(host, &h);
	put(r, object, "host_memory",
	    COUNTS(r, { "pasid_tables", h.pasid_tables }, { "pasid_records", h.pasid_records },
		   { "second_stage", h.second_stage }, { "dma", h.dma }, { "other", h.other }));
	put(r, object, "caches",
	    COUNTS(r, { "misses", s.dma.misses }, { "walks", s.dma.walks },
		   { "entries_read", s.dma.reads }, { "faults", s.dma.faults },
		   { "page_requests", s.dma.page_requests }));
	put(r, object, "server",
	    COUNTS(r, { "functions", s.functions }, { "clients", s.clients }, { "maps", s.maps },
		   { "workers", s.workers }, { "messages", s.messages }, { "errors", s.errors },
		   { "interrupts", s.interrupts }));
	return object;
}

static json_t *stats(struct report *r)
{
	json_t *object = json_object();

	put(r, object, "unit", unit_stats(r));
	return process_stats(r, object, r->m->server, viommu_board_host(r->m->board));
}

static json_t *memory(struct report *r)
{
	json_t *object = json_object(), *list = json_array();
	struct viommu_mem_region region = { 0 };
	uint64_t at = 0, bytes = 0;
	unsigned int nr = 0;

	while (nr < VIOMMU_MEM_MAX_REGIONS && !viommu_mem_next(r->unit.mem, at, &region)) {
		if (nr++ < ROWS_MAX) {
			json_t *o = json_object();

			put(r, o, "address", hex(region.gpa));
			put(r, o, "bytes", hex(region.bytes));
			put(r, o, "read_only", json_boolean(region.flags & VIOMMU_MEM_READ_ONLY));
			put(r, o, "lost", json_boolean(region.lost));
			append(r, list, o);
		}
		bytes += region.bytes;
		at = region.gpa + region.bytes;
	}
	put(r, object, "regions", json_integer(nr));
	put(r, object, "bytes", hex(bytes));
	put(r, object, "list", list);
	return object;
}

/* What the VM holds, and may. */
static json_t *host_pasids(struct report *r)
{
	const struct machine *m = r->m;
	uint32_t quota = m->fleet ? m->fleet->pasid_quota : m->options->pasid_quota;
	json_t *object = json_object();

	put(r, object, "held",
	    json_integer(viommu_owner_count(viommu_domain_owner(viommu_board_domain(m->board)))));
	put(r, object, "quota", quota ? json_integer(quota) : json_null());
	return object;
}

/* ---- A fleet ---- */

static json_t *vms(struct report *r, struct fleet *f)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < f->nr; i++) {
		json_t *object = json_object();
		char *path = machine_path(&f->machine[i], "control.sock");

		r->m = &f->machine[i];
		put(r, object, "vm", json_integer(i));
		put(r, object, "control", path ? json_string(path) : NULL);
		put(r, object, "host_pasids", host_pasids(r));
		append(r, list, object);
		free(path);
	}
	return list;
}

/* Entries of the device's one PASID table that are this VM's. */
static void shared_binds(struct report *r, json_t *list, unsigned int vm, struct viommu_device *dev)
{
	struct viommu_hp hp = { 0 };
	unsigned int nr = 0;
	struct viommu_gp gp;
	uint64_t pe[WORDS_MAX];

	for (; nr < ROWS_MAX && !viommu_host_next_bind(dev, &hp, &gp, pe); nr++, hp.v++) {
		json_t *object = json_object();

		put(r, object, "host_pasid", json_integer(hp.v));
		put(r, object, "vm", json_integer(vm));
		put(r, object, "guest_pasid", pasid(gp.v));
		put(r, object, "type",
		    json_string(pgtt_name((unsigned int)VTD_GET(pe, VTD_PE_PGTT))));
		append(r, list, object);
	}
}

/* The function of each VM, and whose entries there are. */
static void shared_vms(struct report *r, struct fleet *f, unsigned int n, json_t *object)
{
	json_t *functions = json_array(), *list = json_array();
	unsigned int i;

	for (i = 0; i < f->nr; i++) {
		struct viommu_dsa *part = f->machine[i].dsa[n];
		struct viommu_device *dev = viommu_pci_device(viommu_dsa_pci(part));
		json_t *function = json_object();

		put(r, function, "vm", json_integer(i));
		put(r, function, "slot", slot_text(f->machine[i].sid[n]));
		requester(r, function, dev);
		put(r, function, "dsa", dsa(r, part));
		append(r, functions, function);
		if (dev)
			shared_binds(r, list, i, dev);
	}
	put(r, object, "functions", functions);
	put(r, object, "binds", list);
}

char *fleet_report(struct fleet *f)
{
	struct report r = { .m = NULL };
	json_t *root = json_object(), *list = json_array();
	char *text = NULL;
	unsigned int i;

	put(&r, root, "version", json_string(viommu_version()));
	put(&r, root, "pasid_quota", json_integer(f->pasid_quota));
	put(&r, root, "vms", vms(&r, f));
	for (i = 0; i < f->nr_shared; i++) {
		json_t *object = json_object();

		put(&r, object, "host_requester", slot_text(f->shared[i].sid));
		put(&r, object, "kind", json_string("dsa"));
		put(&r, object, "engines",
		    json_integer(viommu_pci_engines_count(viommu_dsa_hw_engines(f->shared[i].hw))));
		shared_vms(&r, f, i, object);
		append(&r, list, object);
	}
	put(&r, root, "shared_devices", list);
	put(&r, root, "stats", process_stats(&r, json_object(), f->server, f->host));
	if (!r.failed)
		text = json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER);
	json_decref(root);
	return text;
}

/* ---- The whole ---- */

char *machine_report(struct machine *m)
{
	static const char *const profiles[] = { "sva", "host", "legacy-kernels" };
	struct report r = { .m = m };
	json_t *root = json_object();
	char *text = NULL;

	viommu_guest_unit(viommu_board_guest(m->board), &r.unit);
	put(&r, root, "version", json_string(viommu_version()));
	put(&r, root, "profile", json_string(profiles[m->options->profile % 3]));
	put(&r, root, "caching_mode", json_boolean(r.unit.cap & VTD_MASK(VTD_CAP_CM)));
	put(&r, root, "pasids",
	    json_string(m->options->guest_flags & VIOMMU_GUEST_HOST_PASIDS ? "host" : "identity"));
	put(&r, root, "virtual_commands",
	    !(m->options->guest_flags & VIOMMU_GUEST_VCMD)    ? json_null()
	    : m->options->guest_flags & VIOMMU_GUEST_VCMD_OLD ? json_string("old")
							      : json_string("new"));
	put(&r, root, "unit", unit(&r));
	put(&r, root, "queues", queues(&r));
	put(&r, root, "registers", registers(&r));
	put(&r, root, "fault_records", fault_records(&r));
	put(&r, root, "ports", ports(&r));
	put(&r, root, "devices", devices(&r));
	put(&r, root, "faults", faults(&r));
	put(&r, root, "stats", stats(&r));
	put(&r, root, "memory", memory(&r));
	put(&r, root, "vm", m->fleet ? json_integer(m->vm) : json_null());
	put(&r, root, "host_pasids", host_pasids(&r));
	if (!r.failed)
		text = json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER);
	json_decref(root);
	return text;
}
