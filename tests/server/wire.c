/* SPDX-License-Identifier: BSD-3-Clause */
/* The wire format: every check of the parser, at its edge, and the table of commands. */
#include "lib/test.h"

#include "base/bits.h"
#include "server/wire.h"

static struct viommu__vfu_message msg;
static uint8_t raw[VFU_MAX_MESSAGE + 64];

/* A message of zeroes in raw. */
static void begin(uint16_t command, uint32_t size)
{
	struct viommu__vfu_header h = { .id = 7, .command = command, .size = size };

	memset(raw, 0, sizeof(raw));
	viommu__vfu_put_header(raw, &h);
}

static void p32(unsigned int at, uint32_t v)
{
	viommu__vfu_put32(raw + VFU_HEADER + at, v);
}

static void p64(unsigned int at, uint64_t v)
{
	viommu__vfu_put64(raw + VFU_HEADER + at, v);
}

static int parse(void)
{
	struct viommu__vfu_header h;

	assert_int_equal(viommu__vfu_header(raw, sizeof(raw), &h), 0);
	return viommu__vfu_parse(raw, &h, &msg);
}

static void a_header_is_sixteen_bytes_with_a_possible_size(void **state)
{
	struct viommu__vfu_header h;
	unsigned int n;

	(void)state;
	begin(VFU_RESET, 16);
	for (n = 0; n < VFU_HEADER; n++)
		assert_int_equal(viommu__vfu_header(raw, n, &h), -EAGAIN);
	assert_int_equal(viommu__vfu_header(raw, n, &h), 0);
	assert_int_equal(h.id, 7);
	assert_int_equal(h.command, VFU_RESET);
	begin(VFU_RESET, 15);
	assert_int_equal(viommu__vfu_header(raw, 16, &h), -EPROTO);
	begin(VFU_RESET, 0);
	assert_int_equal(viommu__vfu_header(raw, 16, &h), -EPROTO);
	begin(VFU_RESET, VFU_MAX_MESSAGE);
	assert_int_equal(viommu__vfu_header(raw, 16, &h), 0);
	begin(VFU_RESET, VFU_MAX_MESSAGE + 1);
	assert_int_equal(viommu__vfu_header(raw, 16, &h), -EPROTO);
	begin(VFU_RESET, UINT32_MAX);
	assert_int_equal(viommu__vfu_header(raw, 16, &h), -EPROTO);
}

static void every_command_has_its_length_and_no_other(void **state)
{
	static const struct {
		uint16_t number;
		uint32_t min;
		uint32_t max;
		int use;
	} rows[] = {
#define ROW(symbol, number, name, min, max, use, fds) { number, min, max, use },
		VFU_COMMANDS(ROW)
#undef ROW
	};
	unsigned int i;

	(void)state;
	assert_int_equal(ARRAY_SIZE(rows), 18);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		/* Nothing in the table is unreachable or longer than a message can be. */
		assert_true(rows[i].min >= VFU_HEADER && rows[i].min <= rows[i].max);
		assert_true(rows[i].max <= VFU_MAX_MESSAGE);
		assert_string_not_equal(viommu__vfu_name(rows[i].number), "?");
		if (rows[i].use == VFU_SERVED && rows[i].min > VFU_HEADER) {
			begin(rows[i].number, rows[i].min - 1);
			assert_int_equal(parse(), EINVAL);
		}
		if (rows[i].use == VFU_SERVED && rows[i].max < VFU_MAX_MESSAGE) {
			begin(rows[i].number, rows[i].max + 1);
			assert_int_equal(parse(), EINVAL);
		}
		begin(rows[i].number, rows[i].max);
		if (rows[i].use == VFU_REFUSED)
			assert_int_equal(parse(), ENOTSUP);
		if (rows[i].use == VFU_OURS)
			assert_int_equal(parse(), ENOSYS);
	}
}

static void an_unknown_command_is_enosys(void **state)
{
	static const uint16_t unknown[] = { 0, 19, 20, 255, 256, 0x8001, UINT16_MAX };
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(unknown); i++) {
		begin(unknown[i], 64);
		assert_int_equal(parse(), ENOSYS);
		assert_string_equal(viommu__vfu_name(unknown[i]), "?");
		assert_false(viommu__vfu_takes_fds(unknown[i]));
	}
}

static void a_command_has_no_flag_but_no_reply(void **state)
{
	unsigned int bit;

	(void)state;
	for (bit = 0; bit < 32; bit++) {
		begin(VFU_RESET, 16);
		viommu__vfu_put32(raw + 8, 1u << bit);
		assert_int_equal(parse(), 1u << bit == VFU_NO_REPLY ? 0 : EINVAL);
	}
}

static void only_two_commands_take_descriptors(void **state)
{
	unsigned int command;

	(void)state;
	for (command = 0; command < 32; command++)
		assert_int_equal(viommu__vfu_takes_fds((uint16_t)command),
				 command == VFU_DMA_MAP || command == VFU_SET_IRQS);
}

static void map(uint32_t argsz, uint32_t flags, uint64_t offset, uint64_t addr, uint64_t bytes)
{
	begin(VFU_DMA_MAP, 48);
	p32(0, argsz);
	p32(4, flags);
	p64(8, offset);
	p64(16, addr);
	p64(24, bytes);
}

static void a_map_has_a_range_and_an_access(void **state)
{
	(void)state;
	map(32, 3, 0x2000, 0x1000, 0x3000);
	assert_int_equal(parse(), 0);
	assert_int_equal(msg.u.map.flags, 3);
	assert_int_equal(msg.u.map.offset, 0x2000);
	assert_int_equal(msg.u.map.addr, 0x1000);
	assert_int_equal(msg.u.map.bytes, 0x3000);
	map(31, 3, 0, 0, 0x1000);
	assert_int_equal(parse(), EINVAL);
	map(40, 1, 0, 0, 0x1000);
	assert_int_equal(parse(), 0);
	map(32, 0, 0, 0, 0x1000); /* no access */
	assert_int_equal(parse(), EINVAL);
	map(32, 0x10 | 3, 0, 0, 0x1000);
	assert_int_equal(parse(), EINVAL);
	map(32, VFU_MAP_MMAP | 3, 0, 0, 0x1000);
	assert_int_equal(parse(), 0);
	map(32, VFU_MAP_MMAP | VFU_MAP_IO | 3, 0, 0, 0x1000);
	assert_int_equal(parse(), 0);
	map(32, VFU_MAP_IO | 3, 0, 0, 0x1000); /* by pread() only */
	assert_int_equal(parse(), ENOTSUP);
	map(32, 3, 0, 0x1000, 0);
	assert_int_equal(parse(), EINVAL);
	map(32, 3, 0, UINT64_MAX - 0xfff, 0x1000); /* to the last byte */
	assert_int_equal(parse(), 0);
	map(32, 3, 0, UINT64_MAX - 0xfff, 0x1001);
	assert_int_equal(parse(), EINVAL);
	map(32, 3, 0, 1, UINT64_MAX);
	assert_int_equal(parse(), 0);
	map(32, 3, 0, 2, UINT64_MAX);
	assert_int_equal(parse(), EINVAL);
	map(32, 3, UINT64_MAX, 0, 0x1000); /* the file's range wraps */
	assert_int_equal(parse(), EINVAL);
}

static void unmap(uint32_t argsz, uint32_t flags, uint64_t addr, uint64_t bytes)
{
	begin(VFU_DMA_UNMAP, 40);
	p32(0, argsz);
	p32(4, flags);
	p64(8, addr);
	p64(16, bytes);
}

static void an_unmap_names_a_range_or_everything(void **state)
{
	(void)state;
	unmap(24, 0, 0x1000, 0x2000);
	assert_int_equal(parse(), 0);
	unmap(23, 0, 0x1000, 0x2000);
	assert_int_equal(parse(), EINVAL);
	unmap(24, 0, 0x1000, 0);
	assert_int_equal(parse(), EINVAL);
	unmap(24, 0, UINT64_MAX, 2);
	assert_int_equal(parse(), EINVAL);
	unmap(24, VFU_UNMAP_ALL, 0, 0);
	assert_int_equal(parse(), 0);
	unmap(24, VFU_UNMAP_ALL, 0x1000, 0);
	assert_int_equal(parse(), EINVAL);
	unmap(24, VFU_UNMAP_ALL, 0, 0x1000);
	assert_int_equal(parse(), EINVAL);
	unmap(24, VFU_UNMAP_DIRTY, 0x1000, 0x2000);
	assert_int_equal(parse(), ENOTSUP);
	unmap(24, 4, 0x1000, 0x2000);
	assert_int_equal(parse(), EINVAL);
}

static void what_is_asked_by_index_is_below_its_number(void **state)
{
	static const struct {
		uint16_t command;
		uint32_t size;
		uint32_t argsz;
		uint32_t end;
	} rows[] = {
		{ VFU_REGION_INFO, 48, 32, 9 },
		{ VFU_REGION_IO_FDS, 32, 16, 9 },
		{ VFU_IRQ_INFO, 32, 16, 5 },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		begin(rows[i].command, rows[i].size);
		p32(0, rows[i].argsz);
		p32(8, rows[i].end - 1);
		assert_int_equal(parse(), 0);
		assert_int_equal(msg.u.index, rows[i].end - 1);
		p32(8, rows[i].end);
		assert_int_equal(parse(), EINVAL);
		p32(8, UINT32_MAX);
		assert_int_equal(parse(), EINVAL);
		p32(8, 0);
		p32(0, rows[i].argsz - 1);
		assert_int_equal(parse(), EINVAL);
	}
	begin(VFU_GET_INFO, 32);
	p32(0, 16);
	assert_int_equal(parse(), 0);
	p32(0, 15);
	assert_int_equal(parse(), EINVAL);
}

static void irqs(uint32_t flags, uint32_t index, uint32_t start, uint32_t count, uint32_t data)
{
	begin(VFU_SET_IRQS, 36 + data);
	p32(0, 20 + data);
	p32(4, flags);
	p32(8, index);
	p32(12, start);
	p32(16, count);
}

static void interrupts_are_set_by_one_kind_and_one_action(void **state)
{
	unsigned int flags;

	(void)state;
	for (flags = 0; flags < 0x80; flags++) {
		unsigned int kind = flags & 7, action = flags & 0x38;
		bool good = is_pow2(kind) && is_pow2(action) && flags < 0x40;

		irqs(flags, VFU_MSIX, 1, 3, kind == VFU_SET_BOOL ? 3 : 0);
		assert_int_equal(parse(), good ? 0 : EINVAL);
		if (!good)
			continue;
		assert_int_equal(msg.u.irqs.data, kind);
		assert_int_equal(msg.u.irqs.action, action);
		assert_int_equal(msg.data_bytes, kind == VFU_SET_BOOL ? 3 : 0);
	}
	irqs(0x24, 5, 0, 1, 0);
	assert_int_equal(parse(), EINVAL);
	irqs(0x24, VFU_MSIX, UINT32_MAX, 1, 0);
	assert_int_equal(parse(), EINVAL);
	irqs(0x24, VFU_MSIX, UINT32_MAX - 1, 1, 0);
	assert_int_equal(parse(), 0);
	/* Data and count have to agree. */
	irqs(0x22, VFU_MSIX, 0, 3, 2);
	assert_int_equal(parse(), EINVAL);
	irqs(0x22, VFU_MSIX, 0, 3, 4);
	assert_int_equal(parse(), EINVAL);
	irqs(0x24, VFU_MSIX, 0, 3, 12);
	assert_int_equal(parse(), EINVAL);
	irqs(0x22, VFU_MSIX, 0, VFU_MAX_IRQS, VFU_MAX_IRQS);
	assert_int_equal(parse(), 0);
	/* None: only the whole index. */
	irqs(0x21, VFU_MSIX, 0, 0, 0);
	assert_int_equal(parse(), 0);
	irqs(0x21, VFU_MSIX, 1, 0, 0);
	assert_int_equal(parse(), EINVAL);
	irqs(0x24, VFU_MSIX, 0, 0, 0);
	assert_int_equal(parse(), EINVAL);
	irqs(0x11, VFU_INTX, 0, 0, 0);
	assert_int_equal(parse(), EINVAL);
	irqs(0x24, VFU_MSIX, 0, 1, 0);
	p32(0, 19);
	assert_int_equal(parse(), EINVAL);
}

static void access_to(uint16_t command, uint64_t offset, uint32_t region, uint32_t count,
		      uint32_t data)
{
	begin(command, 32 + data);
	p64(0, offset);
	p32(8, region);
	p32(12, count);
}

static void an_access_is_inside_what_can_be(void **state)
{
	(void)state;
	access_to(VFU_REGION_READ, 0x10, 7, 4, 0);
	assert_int_equal(parse(), 0);
	assert_int_equal(msg.u.access.offset, 0x10);
	access_to(VFU_REGION_READ, 0, 9, 4, 0);
	assert_int_equal(parse(), EINVAL);
	access_to(VFU_REGION_READ, 0, 0, 0, 0);
	assert_int_equal(parse(), EINVAL);
	access_to(VFU_REGION_READ, 0, 0, VFU_MAX_XFER, 0);
	assert_int_equal(parse(), 0);
	access_to(VFU_REGION_READ, 0, 0, VFU_MAX_XFER + 1, 0);
	assert_int_equal(parse(), EINVAL);
	access_to(VFU_REGION_READ, UINT64_MAX - 3, 0, 4, 0);
	assert_int_equal(parse(), EINVAL);
	access_to(VFU_REGION_READ, UINT64_MAX - 4, 0, 4, 0);
	assert_int_equal(parse(), 0);
	access_to(VFU_REGION_WRITE, 0, 0, 8, 8);
	assert_int_equal(parse(), 0);
	assert_int_equal(msg.data_bytes, 8);
	assert_ptr_equal(msg.data, raw + 32);
	access_to(VFU_REGION_WRITE, 0, 0, 8, 7);
	assert_int_equal(parse(), EINVAL);
	access_to(VFU_REGION_WRITE, 0, 0, 8, 9);
	assert_int_equal(parse(), EINVAL);
	access_to(VFU_REGION_WRITE, 0, 0, 0, 0);
	assert_int_equal(parse(), EINVAL);
	access_to(VFU_REGION_WRITE, 0, 0, VFU_MAX_XFER, VFU_MAX_XFER);
	assert_int_equal(parse(), 0);
}

static void multi(uint64_t says, uint32_t has, uint32_t odd)
{
	uint32_t i;

	begin(VFU_WRITE_MULTI, 24 + has * 24 + odd);
	p64(0, says);
	for (i = 0; i < has; i++) {
		p64(8 + i * 24, i * 8);
		p32(8 + i * 24 + 12, 8);
		p64(8 + i * 24 + 16, i);
	}
}

static void many_writes_are_as_many_as_they_say(void **state)
{
	struct viommu__vfu_access access;
	const uint8_t *value;
	uint32_t i;

	(void)state;
	multi(200, 200, 0);
	assert_int_equal(parse(), 0);
	assert_int_equal(msg.u.writes, 200);
	for (i = 0; i < 200; i++) {
		assert_int_equal(viommu__vfu_write(&msg, i, &access, &value), 0);
		assert_int_equal(access.offset, i * 8);
		assert_int_equal(viommu__vfu_get64(value), i);
	}
	multi(0, 0, 0);
	assert_int_equal(parse(), 0);
	multi(1, 0, 0);
	assert_int_equal(parse(), EINVAL);
	multi(2, 3, 0);
	assert_int_equal(parse(), EINVAL);
	multi(3, 3, 1);
	assert_int_equal(parse(), EINVAL);
	/* 24 times this is 24 modulo 2^64. */
	multi(UINT64_C(0x2000000000000001), 1, 0);
	assert_int_equal(parse(), EINVAL);
	multi(UINT64_C(0xaaaaaaaaaaaaaab), 1, 0);
	assert_int_equal(parse(), EINVAL);
	multi(UINT64_MAX, 1, 0);
	assert_int_equal(parse(), EINVAL);
	/* The last one is wrong: none is done. */
	multi(3, 3, 0);
	p32(8 + 2 * 24 + 12, 9);
	assert_int_equal(parse(), EINVAL);
	p32(8 + 2 * 24 + 12, 0);
	assert_int_equal(parse(), EINVAL);
	p32(8 + 2 * 24 + 12, 8);
	p32(8 + 2 * 24 + 8, 9);
	assert_int_equal(parse(), EINVAL);
}

static void feature(uint32_t argsz, uint32_t flags)
{
	begin(VFU_FEATURE, 24);
	p32(0, argsz);
	p32(4, flags);
}

static void a_feature_is_read_written_or_probed(void **state)
{
	(void)state;
	feature(8, 1 | VFU_FEATURE_GET);
	assert_int_equal(parse(), 0);
	feature(8, 1 | VFU_FEATURE_SET);
	assert_int_equal(parse(), 0);
	feature(8, 1 | VFU_FEATURE_PROBE);
	assert_int_equal(parse(), 0);
	feature(8, 1 | VFU_FEATURE_PROBE | VFU_FEATURE_GET | VFU_FEATURE_SET);
	assert_int_equal(parse(), 0);
	feature(8, 1 | VFU_FEATURE_GET | VFU_FEATURE_SET);
	assert_int_equal(parse(), EINVAL);
	feature(8, 1);
	assert_int_equal(parse(), EINVAL);
	feature(8, 1 | VFU_FEATURE_GET | 0x80000);
	assert_int_equal(parse(), EINVAL);
	feature(7, 1 | VFU_FEATURE_GET);
	assert_int_equal(parse(), EINVAL);
}

/* ---- Capabilities */

static int caps(const char *text, struct viommu__vfu_caps *out)
{
	return viommu__vfu_caps(text, strlen(text) + 1, out);
}

static void what_a_client_does_not_say_has_its_default(void **state)
{
	static const char *const silent[] = { "{}", "{\"capabilities\":{}}", "{\"other\": 1}" };
	struct viommu__vfu_caps c;
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(silent); i++) {
		memset(&c, 0xff, sizeof(c));
		assert_int_equal(caps(silent[i], &c), 0);
		assert_int_equal(c.max_msg_fds, 1);
		assert_int_equal(c.max_data_xfer_size, 1 << 20);
		assert_int_equal(c.max_dma_maps, 65535);
		assert_int_equal(c.write_multiple, 0);
	}
	memset(&c, 0xff, sizeof(c));
	assert_int_equal(viommu__vfu_caps("", 0, &c), 0);
	assert_int_equal(c.write_multiple, 0);
	assert_int_equal(caps("{\"capabilities\":{\"max_msg_fds\":3,\"write_multiple\":true,"
			      "\"max_data_xfer_size\":99999999999,\"x\":[1,{}]}}",
			      &c),
			 0);
	assert_int_equal(c.max_msg_fds, 3);
	assert_int_equal(c.write_multiple, 1);
	assert_int_equal(c.max_data_xfer_size, UINT32_MAX);
}

static void a_text_that_is_no_offer_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		" ",
		"x",
		"[]",
		"3",
		"{\"capabilities\":3}",
		"{\"capabilities\":[]}",
		"{\"capabilities\":null}",
		"{\"capabilities\":{}",
		"{\"capabilities\":{\"max_msg_fds\":-1}}",
		"{\"capabilities\":{\"max_msg_fds\":1.5}}",
		"{\"capabilities\":{\"max_msg_fds\":\"1\"}}",
		"{\"capabilities\":{\"max_msg_fds\":1e999}}",
		"{\"capabilities\":{\"max_msg_fds\":99999999999999999999}}",
		"{\"capabilities\":{\"max_data_xfer_size\":0}}",
		"{\"capabilities\":{\"max_dma_maps\":0}}",
		"{\"capabilities\":{\"max_dma_maps\":true}}",
		"{\"capabilities\":{\"pgsizes\":0}}",
		"{\"capabilities\":{\"pgsizes\":4097}}",
		"{\"capabilities\":{\"write_multiple\":1}}",
		"{\"capabilities\":{\"a\":1,\"a\":1}}",
		"{\"a\":\"\xff\"}",
	};
	struct viommu__vfu_caps c;
	char deep[VFU_MAX_JSON];
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(caps(wrong[i], &c), EINVAL);
	/* The NUL is the last byte, and there is one. */
	assert_int_equal(viommu__vfu_caps("{}", 2, &c), EINVAL);
	assert_int_equal(viommu__vfu_caps("{}\0", 4, &c), EINVAL);
	assert_int_equal(viommu__vfu_caps("{\0}", 4, &c), EINVAL);
	memset(deep, '[', sizeof(deep));
	deep[sizeof(deep) - 1] = '\0';
	assert_int_equal(viommu__vfu_caps(deep, sizeof(deep), &c), EINVAL);
	assert_int_equal(viommu__vfu_caps(deep, sizeof(deep) + 1, &c), EINVAL);
}

static void our_offer_fits_into_what_qemu_takes(void **state)
{
	struct viommu__vfu_caps c = { .write_multiple = 1 }, back;
	char buf[VFU_MAX_JSON_REPLY];
	size_t n;

	(void)state;
	n = viommu__vfu_caps_reply(buf, &c, UINT32_MAX);
	assert_true(n <= VFU_MAX_JSON_REPLY);
	assert_int_equal(strlen(buf) + 1, n);
	/* It is one that we would understand ourselves. */
	assert_int_equal(viommu__vfu_caps(buf, n, &back), 0);
	assert_int_equal(back.max_msg_fds, VFU_MAX_FDS);
	assert_int_equal(back.max_data_xfer_size, VFU_MAX_XFER);
	assert_int_equal(back.max_dma_maps, 65535); /* more QEMU refuses */
	assert_int_equal(back.write_multiple, 1);
	c.write_multiple = 0;
	n = viommu__vfu_caps_reply(buf, &c, 5);
	assert_int_equal(viommu__vfu_caps(buf, n, &back), 0);
	assert_int_equal(back.write_multiple, 0);
	assert_int_equal(back.max_dma_maps, 5);
	/* To who did not name it, it is not named. */
	assert_null(strstr(buf, "write_multiple"));
}

static void a_version_is_zero_point_something(void **state)
{
	(void)state;
	begin(VFU_VERSION, 20);
	assert_int_equal(parse(), 0);
	begin(VFU_VERSION, 20);
	viommu__vfu_put16(raw + 18, 3); /* a newer minor adds to what we know */
	assert_int_equal(parse(), 0);
	begin(VFU_VERSION, 20);
	viommu__vfu_put16(raw + 16, 1);
	assert_int_equal(parse(), -EPROTO);
	begin(VFU_VERSION, 23);
	memcpy(raw + 20, "{}", 3);
	assert_int_equal(parse(), 0);
	begin(VFU_VERSION, 22);
	memcpy(raw + 20, "{}", 2);
	assert_int_equal(parse(), EINVAL);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_header_is_sixteen_bytes_with_a_possible_size),
	cmocka_unit_test(every_command_has_its_length_and_no_other),
	cmocka_unit_test(an_unknown_command_is_enosys),
	cmocka_unit_test(a_command_has_no_flag_but_no_reply),
	cmocka_unit_test(only_two_commands_take_descriptors),
	cmocka_unit_test(a_map_has_a_range_and_an_access),
	cmocka_unit_test(an_unmap_names_a_range_or_everything),
	cmocka_unit_test(what_is_asked_by_index_is_below_its_number),
	cmocka_unit_test(interrupts_are_set_by_one_kind_and_one_action),
	cmocka_unit_test(an_access_is_inside_what_can_be),
	cmocka_unit_test(many_writes_are_as_many_as_they_say),
	cmocka_unit_test(a_feature_is_read_written_or_probed),
	cmocka_unit_test(what_a_client_does_not_say_has_its_default),
	cmocka_unit_test(a_text_that_is_no_offer_is_refused),
	cmocka_unit_test(our_offer_fits_into_what_qemu_takes),
	cmocka_unit_test(a_version_is_zero_point_something),
};
TEST_MAIN(tests)
