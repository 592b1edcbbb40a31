/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu inspect: asks the control socket of a running `viommu serve` or `viommu vm`, and shows the
 * answer (cmd/report.c makes it).
 *
 * Who answers may be anybody: the answer is bounded in time and size, must be JSON without control
 * characters, and each member is looked at as what it turns out to be.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include <viommu/vtd.h>

#include "cmd.h"

#define TIMEOUT_MS   5000
#define ANSWER_BYTES ((size_t)16 << 20)
#define COLUMNS      100

static const char name[] = "inspect";

static void print_help(void)
{
	printf("usage: viommu inspect [--json] SOCKET\n\n"
	       "Shows the unit and the devices of a running 'viommu serve' or 'viommu vm'; with\n"
	       "several VMs: what they share, or in vm0, vm1 and so on, one of them.\n"
	       "SOCKET is its control socket, or the folder that holds it.\n\n"
	       "  --json    print what the socket answers, one line of JSON\n");
}

/* ---- Asking ---- */

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* 0, -ETIMEDOUT, or -errno of poll(2). */
static int wait_for(int fd, short events, int64_t deadline_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left;
	int ret;

	do {
		left = deadline_ms - now_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		ret = poll(&p, 1, (int)left);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return -errno;
	return ret ? 0 : -ETIMEDOUT;
}

/* EAGAIN: the peer's backlog is full. It is tried again until the deadline. */
static int connect_to(int fd, const struct sockaddr_un *sun, int64_t deadline_ms)
{
	const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };

	while (connect(fd, (const struct sockaddr *)sun, sizeof(*sun))) {
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (now_ms() >= deadline_ms)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int send_line(int fd, const char *line, int64_t deadline_ms)
{
	size_t left = strlen(line);
	ssize_t n;
	int ret;

	while (left) {
		ret = wait_for(fd, POLLOUT, deadline_ms);
		if (ret)
			return ret;
		n = send(fd, line, left, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0) {
			line += n;
			left -= (size_t)n;
		}
	}
	return 0;
}

/* All until the peer closes. -EFBIG: more than ANSWER_BYTES. */
static int receive(int fd, int64_t deadline_ms, char **out, size_t *bytes)
{
	char *buf = NULL, *more;
	size_t room = 0, used = 0;
	ssize_t n;
	int ret;

	for (;;) {
		if (used == room) {
			room = room ? 2 * room : 65536;
			ret = room > ANSWER_BYTES ? -EFBIG : 0;
			more = ret ? NULL : realloc(buf, room);
			if (!more) {
				free(buf);
				return ret ? ret : -ENOMEM;
			}
			buf = more;
		}
		ret = wait_for(fd, POLLIN, deadline_ms);
		if (ret)
			break;
		n = recv(fd, buf + used, room - used, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		/* A peer that does not know us may close before it has read what we sent. */
		if (n < 0 && errno != ECONNRESET) {
			ret = -errno;
			break;
		}
		if (n <= 0) {
			*out = buf;
			*bytes = used;
			return 0;
		}
		used += (size_t)n;
	}
	free(buf);
	return ret;
}

static int refuse(const char *path, int error)
{
	switch (-error) {
	case ENOENT:
		return cmd_error(name, "%s: there is no such socket", path);
	case ECONNREFUSED:
		return cmd_error(name, "%s: nobody serves there", path);
	case ENOTSOCK:
		return cmd_error(name, "%s: it is not a socket", path);
	case ETIMEDOUT:
		return cmd_error(name, "%s: no answer in %d seconds", path, TIMEOUT_MS / 1000);
	case EFBIG:
		return cmd_error(name, "%s: the answer is longer than %zu MiB", path,
				 ANSWER_BYTES >> 20);
	default:
		return cmd_error(name, "%s: %s", path, strerror(-error));
	}
}

static int ask(const char *path, char **out, size_t *bytes)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int64_t deadline_ms = now_ms() + TIMEOUT_MS;
	struct stat st;
	int fd, ret;

	if (strlen(path) >= sizeof(sun.sun_path))
		return cmd_error(name, "%s: longer than a socket's path can be", path);
	memcpy(sun.sun_path, path, strlen(path));
	if (stat(path, &st))
		return refuse(path, -errno);
	if (!S_ISSOCK(st.st_mode))
		return refuse(path, -ENOTSOCK);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return refuse(path, -errno);
	ret = connect_to(fd, &sun, deadline_ms);
	if (!ret) {
		ret = send_line(fd, "inspect\n", deadline_ms);
		/* Closed already: then there is nothing to read either, which is what is said. */
		if (ret == -EPIPE || ret == -ECONNRESET)
			ret = 0;
		/* Who waits for more than a line is not who was sought. */
		shutdown(fd, SHUT_WR);
	}
	if (!ret)
		ret = receive(fd, deadline_ms, out, bytes);
	close(fd);
	return ret ? refuse(path, ret) : CMD_OK;
}

static bool printable(const char *s)
{
	for (; *s; s++)
		if (*s < ' ' || *s > '~')
			return false;
	return true;
}

/* Nothing in it does something to a terminal. jansson bounds the depth. */
static bool harmless(const json_t *value)
{
	const char *key;
	json_t *child;
	size_t i;

	if (json_is_string(value))
		return printable(json_string_value(value));
	json_object_foreach((json_t *)value, key,
			    child) if (!printable(key) || !harmless(child)) return false;
	json_array_foreach(value, i, child) if (!harmless(child)) return false;
	return true;
}

/* ---- Showing ---- */

/* Where on the line we are, to break lines of many words. */
struct out {
	struct cmd_colour c;
	int column;
	int indent;
};

/* A member's text; numbers as they are; "?" if it is missing. buf for numbers. */
static const char *text(const json_t *object, const char *key, char buf[32])
{
	const json_t *v = json_object_get(object, key);

	if (json_is_string(v))
		return json_string_value(v);
	if (json_is_integer(v)) {
		snprintf(buf, 32, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		return buf;
	}
	if (json_is_boolean(v))
		return json_is_true(v) ? "yes" : "no";
	return json_is_null(v) ? "none" : "?";
}

#define TEXT(object, key) text(object, key, (char[32]){ 0 })

static bool is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void heading(const struct out *o, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void heading(const struct out *o, const char *fmt, ...)
{
	va_list ap;

	printf("\n%s", o->c.head);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("%s\n", o->c.off);
}

/* Begins a line that goes on with words. */
static void line(struct out *o, int indent, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void line(struct out *o, int indent, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	o->column = vprintf(fmt, ap);
	va_end(ap);
	o->indent = indent;
}

static void word(struct out *o, const char *colour, const char *w)
{
	int bytes = (int)strlen(w);

	if (o->column < o->indent) {
		printf("%*s", o->indent - o->column, "");
		o->column = o->indent;
	}
	if (o->column + 1 + bytes > COLUMNS && o->column > o->indent) {
		printf("\n%*s", o->indent, "");
		o->column = o->indent;
	} else if (o->column > o->indent) {
		putchar(' ');
		o->column++;
	}
	printf("%s%s%s", colour, w, *colour ? o->c.off : "");
	o->column += bytes;
}

/* The answer names the structures of viommu/vtd.h: is this field one bit? */
static bool is_flag(const char *layout, const char *key)
{
	const struct viommu_spec_table *table = viommu_spec_table_find(layout);
	unsigned int i;

	for (i = 0; table && i < table->nr; i++)
		if (!strcmp(viommu_spec_field_name(table, &table->fields[i]), key))
			return table->fields[i].hi == table->fields[i].lo;
	return false;
}

/* Fields that are not 0: NAME of a flag, else NAME=value. */
static void field_words(struct out *o, const char *colour, const json_t *of)
{
	const json_t *fields = json_object_get(of, "fields");
	const char *layout = TEXT(of, "layout");
	static const char *const pgtt[] = { "", " (first stage)", " (second stage)", " (nested)",
					    " (pass-through)" };
	const char *key;
	json_t *value;
	char buf[128];

	json_object_foreach((json_t *)fields, key, value)
	{
		json_int_t n = json_integer_value(value);

		if (json_is_string(value)) {
			if (!strcmp(json_string_value(value), "0x0"))
				continue;
			snprintf(buf, sizeof(buf), "%s=%s", key, json_string_value(value));
		} else if (!n) {
			continue;
		} else if (!strcmp(key, "PGTT") && n > 0 && n < 5) {
			snprintf(buf, sizeof(buf), "%s=%d%s", key, (int)n, pgtt[n]);
		} else if (is_flag(layout, key)) {
			snprintf(buf, sizeof(buf), "%s", key);
		} else {
			snprintf(buf, sizeof(buf), "%s=%" JSON_INTEGER_FORMAT, key, n);
		}
		word(o, colour, buf);
	}
}

/* Words and fields of a table's entry, after what the caller has begun the line with. */
static void entry(struct out *o, const json_t *e)
{
	const json_t *words = json_object_get(e, "words"), *value;
	const json_t *reserved = json_object_get(e, "reserved");
	char buf[64];
	size_t i, last = 0;

	if (json_object_get(e, "error")) {
		word(o, o->c.bad, TEXT(e, "error"));
		putchar('\n');
		return;
	}
	/* Zeroes at the end say nothing. */
	json_array_foreach(words, i, value) if (json_is_string(value) &&
						strcmp(json_string_value(value), "0x0")) last = i;
	json_array_foreach(words, i, value) if (i <= last && json_is_string(value))
		word(o, "", json_string_value(value));
	if (json_object_size(json_object_get(e, "fields"))) {
		putchar('\n');
		o->column = 0;
		field_words(o, o->c.mark, e);
	}
	json_array_foreach(reserved, i, value)
	{
		snprintf(buf, sizeof(buf), "reserved=%s",
			 json_is_string(value) ? json_string_value(value) : "?");
		word(o, o->c.bad, buf);
	}
	putchar('\n');
}

static void show_unit(struct out *o, const json_t *root)
{
	const json_t *unit = json_object_get(root, "unit"), *q = json_object_get(root, "queues");
	const json_t *iq = json_object_get(q, "invalidation");
	const json_t *pq = json_object_get(q, "page_request");

	printf("%sviommu %s%s  profile %s, caching mode %s, guest PASIDs %s\n", o->c.head,
	       TEXT(root, "version"), o->c.off, TEXT(root, "profile"),
	       is_true(root, "caching_mode") ? "on" : "off",
	       !strcmp(TEXT(root, "pasids"), "host")                       ? "mapped to host PASIDs"
	       : json_is_string(json_object_get(root, "virtual_commands")) ? "given by the host"
									   : "are host PASIDs");
	heading(o, "Unit %s", TEXT(unit, "slot"));
	printf("  registers at %s (%s%s)\n", TEXT(unit, "registers"),
	       json_is_null(json_object_get(unit, "placed")) ? "no firmware has run yet"
							     : "the firmware says ",
	       json_is_null(json_object_get(unit, "placed")) ? "" : TEXT(unit, "placed"));
	printf("  VER %s  CAP %s  ECAP %s  host address width %s\n", TEXT(unit, "ver"),
	       TEXT(unit, "cap"), TEXT(unit, "ecap"), TEXT(unit, "haw"));
	printf("  translation %s%s%s", is_true(unit, "translation") ? o->c.good : o->c.mark,
	       is_true(unit, "translation") ? "on" : "off", o->c.off);
	if (is_true(unit, "root_table_set"))
		printf(", %s mode, root table %s\n", TEXT(unit, "mode"), TEXT(unit, "root_table"));
	else
		printf(", no root table yet\n");
	if (iq)
		printf("  invalidation queue %s at %s, %s entries of %s bytes, head %s, tail %s\n",
		       is_true(iq, "on") ? "on" : "off", TEXT(iq, "base"), TEXT(iq, "entries"),
		       TEXT(iq, "descriptor_bytes"), TEXT(iq, "head"), TEXT(iq, "tail"));
	if (pq)
		printf("  page request queue at %s, %s entries, head %s, tail %s%s%s%s%s\n",
		       TEXT(pq, "base"), TEXT(pq, "entries"), TEXT(pq, "head"), TEXT(pq, "tail"),
		       is_true(pq, "pending") ? ", requests pending" : "", o->c.bad,
		       is_true(pq, "overflow") ? ", overflow" : "", o->c.off);
}

static void show_registers(struct out *o, const json_t *list)
{
	const json_t *reg;
	size_t i;

	heading(o, "Registers");
	json_array_foreach(list, i, reg)
	{
		line(o, 40, "  %-6s %-9s %s", TEXT(reg, "offset"), TEXT(reg, "name"),
		     is_true(reg, "write_only") ? "(write only)" : TEXT(reg, "value"));
		field_words(o, "", reg);
		putchar('\n');
	}
}

static void show_tables(struct out *o, const json_t *t)
{
	const json_t *dir = json_object_get(t, "pasid_directory"), *e;
	const json_t *entries = json_object_get(t, "pasid_entries");
	size_t i;

	if (!json_is_object(t)) {
		printf("  no root table yet\n");
		return;
	}
	e = json_object_get(t, "root");
	line(o, 36, "  root entry      %s", TEXT(e, "address"));
	entry(o, e);
	e = json_object_get(t, "context");
	if (e) {
		line(o, 36, "  context entry   %s", TEXT(e, "address"));
		entry(o, e);
	}
	if (dir) {
		printf("  PASID directory %s, %s entries, %s present%s%s\n", TEXT(dir, "address"),
		       TEXT(dir, "entries"), TEXT(dir, "present"),
		       json_object_get(dir, "unreadable") ? ", not in memory: " : "",
		       json_object_get(dir, "unreadable") ? TEXT(dir, "unreadable") : "");
		json_array_foreach(json_object_get(dir, "list"), i, e)
		{
			line(o, 36, "    [%s]", TEXT(e, "index"));
			entry(o, e);
		}
	}
	if (entries) {
		printf("  PASID entries   %s present%s\n", TEXT(entries, "present"),
		       is_true(entries, "complete") ? "" : " in the tables that were looked at");
		json_array_foreach(json_object_get(entries, "list"), i, e)
		{
			line(o, 36, "    PASID %-7s %s", TEXT(e, "pasid"), TEXT(e, "address"));
			entry(o, e);
		}
	}
}

static void show_binds(struct out *o, const json_t *device)
{
	const json_t *list = json_object_get(device, "shadows"), *e;
	const json_t *binds = json_object_get(device, "binds");
	size_t i;

	if (json_array_size(list))
		printf("  guest PASIDs as the unit holds them\n");
	json_array_foreach(list, i, e)
	{
		bool without = json_is_null(json_object_get(e, "guest_pasid"));

		printf("    %s%s -> host PASID %s  %s, domain id %s%s\n",
		       without ? "requests without PASID" : "PASID ",
		       without ? "" : TEXT(e, "guest_pasid"),
		       without && is_true(device, "shared") ? TEXT(device, "default_pasid")
							    : TEXT(e, "host_pasid"),
		       TEXT(e, "type"), TEXT(e, "domain_id"),
		       is_true(e, "fpd") ? ", faults not recorded" : "");
	}
	if (!json_is_object(binds))
		return;
	printf("  host binds      %s\n", TEXT(binds, "present"));
	json_array_foreach(json_object_get(binds, "list"), i, e)
	{
		if (!number(e, "host_pasid"))
			line(o, 36, "    requests without PASID");
		else if (number(e, "host_pasid") == number(device, "default_pasid"))
			line(o, 36, "    host PASID %s (without)", TEXT(e, "host_pasid"));
		else if (json_is_null(json_object_get(e, "guest_pasid")))
			line(o, 36, "    host PASID %s", TEXT(e, "host_pasid"));
		else
			line(o, 36, "    host PASID %s (guest's %s)", TEXT(e, "host_pasid"),
			     TEXT(e, "guest_pasid"));
		entry(o, e);
	}
}

/* Every count of an object, those that are 0 dim. */
static void show_counts(struct out *o, const char *label, const json_t *object)
{
	const char *key;
	json_t *value;
	char buf[96];
	size_t i, len;

	if (!json_is_object(object))
		return;
	line(o, 18, "  %s", label);
	json_object_foreach((json_t *)object, key, value)
	{
		if (!json_is_integer(value))
			continue;
		snprintf(buf, sizeof(buf), "%s %" JSON_INTEGER_FORMAT, key,
			 json_integer_value(value));
		len = strcspn(buf, " ");
		for (i = 0; i < len; i++)
			if (buf[i] == '_')
				buf[i] = '-';
		word(o, json_integer_value(value) ? "" : o->c.dim, buf);
	}
	putchar('\n');
}

static void show_device(struct out *o, const json_t *device)
{
	const json_t *list = json_object_get(device, "enabled"), *v;
	size_t i;

	if (!json_is_string(json_object_get(device, "slot"))) {
		heading(o, "Device behind port %s, %s: not plugged in", TEXT(device, "port"),
			TEXT(device, "kind"));
		return;
	}
	heading(o, "Device %s, %s", TEXT(device, "slot"), TEXT(device, "kind"));
	if (is_true(device, "shared"))
		printf("  a part of       %s of the host; requests without PASID carry %s\n",
		       TEXT(device, "host_requester"), TEXT(device, "default_pasid"));
	line(o, 18, "  enabled");
	json_array_foreach(list, i, v) word(o, "", json_is_string(v) ? json_string_value(v) : "?");
	if (!json_array_size(list))
		word(o, o->c.dim, "nothing");
	putchar('\n');
	show_counts(o, "work", json_object_get(device, "dsa"));
	line(o, 18, "  queues hold");
	json_array_foreach(json_object_get(json_object_get(device, "dsa"), "occupancy"), i, v)
	{
		char buf[32];

		snprintf(buf, sizeof(buf), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		word(o, "", buf);
	}
	putchar('\n');
	printf("  page requests   %s open\n", TEXT(device, "open_page_requests"));
	show_tables(o, json_object_get(device, "tables"));
	show_binds(o, device);
}

static void show_faults(struct out *o, const json_t *root)
{
	const json_t *list = json_object_get(root, "faults"), *f;
	size_t i;

	heading(o, "Faults, newest first%s", json_array_size(list) ? "" : ": none");
	json_array_foreach(list, i, f)
	{
		printf("  %s%02" PRIx64 "h %s%s  %s\n", o->c.bad, (uint64_t)number(f, "reason"),
		       TEXT(f, "name"), o->c.off, TEXT(f, "text"));
		printf("      %s", TEXT(f, "device"));
		if (!json_is_null(json_object_get(f, "pasid")))
			printf(" PASID %s", TEXT(f, "pasid"));
		printf(" %s %s (%s request)", TEXT(f, "access"), TEXT(f, "address"),
		       TEXT(f, "request"));
		if (number(f, "level"))
			printf(", stage %s, level %s", TEXT(f, "stage"), TEXT(f, "level"));
		if (strcmp(TEXT(f, "entry_address"), "0x0"))
			printf(", entry at %s = %s", TEXT(f, "entry_address"), TEXT(f, "entry"));
		putchar('\n');
	}
	list = json_object_get(root, "fault_records");
	json_array_foreach(list, i, f)
		printf("  record %s holds %02" PRIx64 "h %s\n", TEXT(f, "record"),
		       (uint64_t)number(f, "reason"), TEXT(f, "name"));
}

static void show(struct out *o, const json_t *root)
{
	const json_t *stats = json_object_get(root, "stats"), *ports, *devices, *d;
	const json_t *memory = json_object_get(root, "memory");
	size_t i;

	show_unit(o, root);
	show_registers(o, json_object_get(root, "registers"));
	ports = json_object_get(root, "ports");
	json_array_foreach(ports, i, d)
		heading(o, "Port %s: bus %s behind it%s", TEXT(d, "slot"), TEXT(d, "bus"),
			is_true(d, "bus_told") ? "" : ", if the guest's firmware counts as usual");
	devices = json_object_get(root, "devices");
	json_array_foreach(devices, i, d) show_device(o, d);
	show_faults(o, root);
	heading(o, "Counts");
	show_counts(o, "unit", json_object_get(stats, "unit"));
	show_counts(o, "descriptors",
		    json_object_get(json_object_get(stats, "unit"), "descriptors"));
	show_counts(o, "caches", json_object_get(stats, "caches"));
	show_counts(o, "host bytes", json_object_get(stats, "host_memory"));
	show_counts(o, "server", json_object_get(stats, "server"));
	heading(o, "Guest memory: %s regions, %s bytes", TEXT(memory, "regions"),
		TEXT(memory, "bytes"));
	json_array_foreach(json_object_get(memory, "list"), i, d)
		printf("  %-18s %s bytes%s%s\n", TEXT(d, "address"), TEXT(d, "bytes"),
		       is_true(d, "read_only") ? ", read only" : "",
		       is_true(d, "lost") ? ", lost: its file was truncated" : "");
}

static void show_shared(struct out *o, const json_t *device)
{
	const json_t *e;
	size_t i;

	heading(o, "Shared device %s, %s, %s engines", TEXT(device, "host_requester"),
		TEXT(device, "kind"), TEXT(device, "engines"));
	json_array_foreach(json_object_get(device, "functions"), i, e)
	{
		printf("  VM %s has it at %s\n", TEXT(e, "vm"), TEXT(e, "slot"));
		show_counts(o, "  work", json_object_get(e, "dsa"));
	}
	printf("  its PASID table\n");
	json_array_foreach(json_object_get(device, "binds"), i, e)
	{
		bool without = json_is_null(json_object_get(e, "guest_pasid"));

		printf("    host PASID %-8s VM %-3s %s%s, %s\n", TEXT(e, "host_pasid"),
		       TEXT(e, "vm"), without ? "requests without PASID" : "guest's ",
		       without ? "" : TEXT(e, "guest_pasid"), TEXT(e, "type"));
	}
}

/* Several VMs. */
static void show_fleet(struct out *o, const json_t *root)
{
	const json_t *stats = json_object_get(root, "stats"), *e;
	size_t i;

	printf("%sviommu %s%s  %zu VMs on one host, PASID quota of each: %s\n", o->c.head,
	       TEXT(root, "version"), o->c.off, json_array_size(json_object_get(root, "vms")),
	       TEXT(root, "pasid_quota"));
	json_array_foreach(json_object_get(root, "vms"), i, e)
		printf("  VM %s  holds %s host PASIDs; viommu inspect %s\n", TEXT(e, "vm"),
		       TEXT(json_object_get(e, "host_pasids"), "held"), TEXT(e, "control"));
	json_array_foreach(json_object_get(root, "shared_devices"), i, e) show_shared(o, e);
	heading(o, "Counts");
	show_counts(o, "caches", json_object_get(stats, "caches"));
	show_counts(o, "host bytes", json_object_get(stats, "host_memory"));
	show_counts(o, "server", json_object_get(stats, "server"));
}

static int inspect(const char *socket_path, bool as_json)
{
	char *path = NULL, *answer = NULL;
	struct out o = { .c = cmd_colour(stdout) };
	struct stat st;
	json_t *root;
	bool fleet;
	size_t bytes = 0;
	int ret;

	if (!stat(socket_path, &st) && S_ISDIR(st.st_mode))
		ret = asprintf(&path, "%s/control.sock", socket_path);
	else
		ret = asprintf(&path, "%s", socket_path);
	if (ret < 0)
		return cmd_error(name, "out of memory");
	ret = ask(path, &answer, &bytes);
	if (ret != CMD_OK) {
		free(path);
		return ret;
	}
	root = json_loadb(answer, bytes, 0, NULL);
	fleet = json_is_array(json_object_get(root, "vms"));
	if ((!fleet && !json_is_object(json_object_get(root, "unit"))) || !harmless(root))
		ret = cmd_error(name, "%s: it is not a control socket of viommu", path);
	else if (as_json)
		printf("%.*s\n", (int)(bytes && answer[bytes - 1] == '\n' ? bytes - 1 : bytes),
		       answer);
	else if (fleet)
		show_fleet(&o, root);
	else
		show(&o, root);
	if (ret == CMD_OK && (fflush(stdout) || ferror(stdout)))
		ret = cmd_error(name, "output: %s", strerror(errno));
	json_decref(root);
	free(answer);
	free(path);
	return ret;
}

int cmd_inspect(int argc, char **argv)
{
	const char *socket_path = NULL;
	bool as_json = false;
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			print_help();
			return CMD_OK;
		}
		if (!strcmp(argv[i], "--json"))
			as_json = true;
		else if (argv[i][0] == '-')
			return cmd_usage(name, "unknown option '%s'", argv[i]);
		else if (socket_path)
			return cmd_usage(name, "unexpected '%s': one SOCKET", argv[i]);
		else
			socket_path = argv[i];
	}
	if (!socket_path || !*socket_path)
		return cmd_usage(name, "which SOCKET?");
	return inspect(socket_path, as_json);
}
