/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What goes from one viommu serve to the next, besides what the server hands over by itself
 * (viommu-server/server.h, Replacement): the state of each VM's board, and how the process was
 * started, so that the next one makes the same machines. As bytes:
 *
 *	0   8 bytes   length of the text, little-endian
 *	8   text      JSON: version, words, dir, own_dir, vms: registers, placed, warned,
 *		      misplaced, plugged, bytes of its state
 *	    zeroes    up to a multiple of 16
 *	    state     viommu/state.h; of the next VM from the next multiple of 16 on
 *
 * Several VMs on one host are one whole: all stand still, are saved, and go on, or none of them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>
#include <viommu/state.h>

#include "cmd.h"
#include "replace.h"

#define VERSION   1
#define HEAD      8u
#define MAX_WORDS 1024u

static size_t room(size_t bytes)
{
	return (bytes + 15) / 16 * 16;
}

/* ---- The one that serves */

/* Of the folder as whoever comes next can find it. */
static char *absolute(const char *dir)
{
	char *cwd, *out = NULL;

	if (*dir == '/')
		return strdup(dir);
	cwd = getcwd(NULL, 0);
	if (cwd && asprintf(&out, "%s/%s", cwd, dir) < 0)
		out = NULL;
	free(cwd);
	return out;
}

struct saved {
	void *state[MACHINE_MAX_VMS];
	size_t bytes[MACHINE_MAX_VMS];
};

/* The numbers of the devices behind ports that are there: the board has them in this order. */
static json_t *plugged(const struct machine *m)
{
	json_t *list = json_array();
	struct viommu_pci *pci;
	unsigned int i, n;

	for (i = 0; (pci = viommu_board_device(m->board, i, NULL)); i++)
		for (n = 0; n < m->nr; n++)
			if (m->seat[n].port && viommu_dsa_pci(m->dsa[n]) == pci)
				json_array_append_new(list, json_integer(n));
	return list;
}

static json_t *describe_vm(const struct machine *m, size_t bytes)
{
	return json_pack("{s:I, s:I, s:b, s:b, s:o, s:I}", "registers", (json_int_t)m->registers,
			 "placed", (json_int_t)m->placed, "warned", m->warned, "misplaced",
			 m->misplaced, "plugged", plugged(m), "bytes", (json_int_t)bytes);
}

static char *describe(const struct replace_whole *whole, const struct saved *saved)
{
	const struct machine *m = whole->machine;
	const struct replace_words *words = whole->words;
	bool own_dir = whole->fleet ? whole->fleet->own_dir : m->own_dir;
	json_t *list = json_array(), *vms = json_array(), *root;
	char *dir = absolute(whole->fleet ? whole->fleet->dir : m->dir), *text = NULL;
	bool failed = !list || !vms || !dir;
	unsigned int vm;
	int i;

	for (i = 0; i < words->argc && !failed; i++)
		failed = json_array_append_new(list, json_string(words->argv[i])) != 0;
	for (vm = 0; vm < whole->nr && !failed; vm++)
		failed = json_array_append_new(vms, describe_vm(&m[vm], saved->bytes[vm])) != 0;
	if (!failed) {
		root = json_pack("{s:i, s:O, s:s, s:b, s:O}", "version", VERSION, "words", list,
				 "dir", dir, "own_dir", own_dir, "vms", vms);
		text = root ? json_dumps(root, JSON_COMPACT) : NULL;
		json_decref(root);
	}
	json_decref(list);
	json_decref(vms);
	free(dir);
	return text;
}

static int pack(const struct replace_whole *whole, const struct saved *saved, void **data,
		size_t *bytes)
{
	char *text = describe(whole, saved);
	size_t n = text ? strlen(text) : 0, at = room(HEAD + n);
	unsigned int i;
	uint8_t *p;

	*bytes = at;
	for (i = 0; i < whole->nr; i++)
		*bytes += room(saved->bytes[i]);
	p = text ? calloc(1, *bytes) : NULL;
	for (i = 0; p && i < HEAD; i++)
		p[i] = (uint8_t)(n >> 8 * i);
	if (p)
		memcpy(p + HEAD, text, n);
	for (i = 0; p && i < whole->nr; i++) {
		memcpy(p + at, saved->state[i], saved->bytes[i]);
		at += room(saved->bytes[i]);
	}
	free(text);
	*data = p;
	return p ? 0 : -ENOMEM;
}

static void resume(void *ctx)
{
	struct replace_whole *whole = ctx;
	unsigned int i;

	for (i = 0; i < whole->nr; i++)
		viommu_board_resume(whole->machine[i].board);
}

static int save(void *ctx, void **data, size_t *bytes, char *why, size_t why_size)
{
	struct replace_whole *whole = ctx;
	struct saved saved = { .bytes = { 0 } };
	unsigned int i;
	int ret = 0;

	for (i = 0; i < whole->nr && !ret; i++)
		ret = viommu_board_pause(whole->machine[i].board, why, why_size);
	if (ret) {
		resume(whole);
		return ret;
	}
	for (i = 0; i < whole->nr && !ret; i++)
		ret = viommu_board_save(whole->machine[i].board, &saved.state[i], &saved.bytes[i]);
	if (!ret)
		ret = pack(whole, &saved, data, bytes);
	if (ret) {
		snprintf(why, why_size, "state: %s", strerror(-ret));
		resume(whole);
	}
	for (i = 0; i < whole->nr; i++)
		viommu_state_free(saved.state[i]);
	return ret;
}

int replace_allow(struct replace_whole *whole)
{
	const struct viommu_server_handover_ops ops = {
		.size = sizeof(ops),
		.ctx = whole,
		.save = save,
		.resume = resume,
	};
	int ret = viommu_server_allow_handover(whole->machine->server, &ops);

	return ret ? cmd_error(whole->machine->options->command, "%s", strerror(-ret)) : CMD_OK;
}

void replace_borrow(struct replace_whole *whole, bool borrowed)
{
	unsigned int i;

	for (i = 0; i < whole->nr; i++)
		whole->machine[i].borrowed = borrowed;
	if (whole->fleet)
		whole->fleet->borrowed = borrowed;
}

/* ---- The one that comes */

static bool get_number(const json_t *root, const char *key, uint64_t *out)
{
	const json_t *value = json_object_get(root, key);

	*out = (uint64_t)json_integer_value(value);
	return json_is_integer(value) && json_integer_value(value) >= 0;
}

static bool get_words(const json_t *list, struct replace_words *words)
{
	size_t n = json_array_size(list), i;
	const char *word;

	if (!n || n > MAX_WORDS)
		return false;
	words->argv = calloc(n + 1, sizeof(*words->argv));
	for (i = 0; words->argv && i < n; i++) {
		word = json_string_value(json_array_get(list, i));
		words->argv[i] = word ? strdup(word) : NULL;
		if (!words->argv[i])
			return false;
		words->argc++;
	}
	return words->argv;
}

static bool read_vm(struct replace_vm *vm, const json_t *root)
{
	const json_t *warned = json_object_get(root, "warned");
	const json_t *misplaced = json_object_get(root, "misplaced");
	const json_t *list = json_object_get(root, "plugged"), *one;
	uint64_t bytes;
	size_t i;

	if (!json_is_boolean(warned) || !json_is_boolean(misplaced) || !json_is_array(list) ||
	    json_array_size(list) > MACHINE_MAX_DEVICES)
		return false;
	vm->warned = json_is_true(warned);
	vm->misplaced = json_is_true(misplaced);
	json_array_foreach(list, i, one)
	{
		if (!json_is_integer(one) || json_integer_value(one) < 0 ||
		    json_integer_value(one) > UINT16_MAX)
			return false;
		vm->plugged[vm->nr_plugged++] = (unsigned int)json_integer_value(one);
	}
	if (!get_number(root, "registers", &vm->registers) ||
	    !get_number(root, "placed", &vm->placed) || !get_number(root, "bytes", &bytes))
		return false;
	vm->board_bytes = bytes;
	return true;
}

static bool read_text(struct replace *r, const json_t *root)
{
	const json_t *own_dir = json_object_get(root, "own_dir");
	const json_t *vms = json_object_get(root, "vms"), *vm;
	const char *dir = json_string_value(json_object_get(root, "dir"));
	size_t i;

	if (!json_is_boolean(own_dir) || !dir || *dir != '/' || !json_array_size(vms) ||
	    json_array_size(vms) > MACHINE_MAX_VMS)
		return false;
	json_array_foreach(vms, i, vm) if (!read_vm(&r->vm[r->nr++], vm)) return false;
	r->own_dir = json_is_true(own_dir);
	r->dir = strdup(dir);
	return r->dir && get_words(json_object_get(root, "words"), &r->words);
}

/* Where in the rest the state of each board is: all of it. */
static bool read_boards(struct replace *r, const uint8_t *p, size_t bytes)
{
	struct replace_vm *vm;
	unsigned int i;

	for (i = 0; i < r->nr; i++) {
		vm = &r->vm[i];
		if (vm->board_bytes > bytes || room(vm->board_bytes) > bytes)
			return false;
		vm->board = p;
		p += room(vm->board_bytes);
		bytes -= room(vm->board_bytes);
	}
	return !bytes;
}

static int read_data(struct replace *r, const uint8_t *p, size_t bytes, const char *command)
{
	json_t *root = NULL;
	uint64_t n = 0, version;
	int i, ret = CMD_OK;

	for (i = 0; bytes >= HEAD && i < (int)HEAD; i++)
		n |= (uint64_t)p[i] << 8 * i;
	if (bytes >= HEAD && n <= bytes - HEAD && room(HEAD + n) <= bytes)
		root = json_loadb((const char *)p + HEAD, n, 0, NULL);
	if (!json_is_object(root) || !get_number(root, "version", &version))
		ret = cmd_error(command, "the state is no viommu's");
	else if (version != VERSION)
		ret = cmd_error(command, "the state has version %llu, not %d",
				(unsigned long long)version, VERSION);
	else if (!read_text(r, root))
		ret = cmd_error(command, "the state is wrong: how it was started");
	else if (!read_boards(r, p + room(HEAD + n), bytes - room(HEAD + n)))
		ret = cmd_error(command, "the state is wrong: it is too short, or too long");
	json_decref(root);
	return ret;
}

int replace_ask(struct replace *r, const char *where, const char *command)
{
	char why[256], *path = NULL;
	const void *data;
	size_t bytes;
	int ret;

	*r = (struct replace){ .handover = NULL };
	if (asprintf(&path, "%s/control.sock", where) < 0)
		return cmd_error(command, "out of memory");
	ret = viommu_server_handover_new(path, &r->handover, why, sizeof(why));
	/* It may be the socket itself. */
	if (ret == -ENOTDIR)
		ret = viommu_server_handover_new(where, &r->handover, why, sizeof(why));
	free(path);
	if (ret)
		return cmd_error(command, "--replace %s: %s", where, why);
	/* Before a byte of it is looked at. */
	ret = viommu_server_handover_drop_privileges(r->handover);
	if (ret)
		return cmd_error(command, "could not become the user that it runs as: %s",
				 strerror(-ret));
	ret = viommu_server_handover_data(r->handover, &data, &bytes, why, sizeof(why));
	if (ret)
		return cmd_error(command, "--replace %s: %s", where, why);
	return read_data(r, data, bytes, command);
}

static double paused_ms(const struct replace *r)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return ((double)now.tv_sec * 1e9 + (double)now.tv_nsec -
		(double)viommu_server_handover_since(r->handover)) /
	       1e6;
}

/* Behind ports everything is where it was before the board is loaded. */
static int plug(struct machine *m, const struct replace_vm *vm)
{
	unsigned int i, n;

	for (i = 0; i < vm->nr_plugged; i++) {
		n = vm->plugged[i];
		if (n >= m->nr || !m->seat[n].port ||
		    viommu_board_plug(m->board, viommu_dsa_pci(m->dsa[n]), m->seat[n].port))
			return cmd_error(m->options->command,
					 "the state does not fit: device %u behind a port", n);
	}
	return CMD_OK;
}

static int load(struct machine *m, const struct replace_vm *vm)
{
	struct viommu_guest_stats s = { .size = sizeof(s) };
	char why[256], about[16] = "";
	int ret;

	ret = plug(m, vm);
	if (ret != CMD_OK)
		return ret;
	if (m->fleet)
		snprintf(about, sizeof(about), "VM %u: ", m->vm);
	ret = viommu_board_load(m->board, vm->board, vm->board_bytes, why, sizeof(why));
	if (ret)
		return cmd_error(m->options->command, "the state does not fit: %s%s", about,
				 ret == -EINVAL ? why : strerror(-ret));
	/* What was looked at is not news. */
	viommu_guest_stats(viommu_board_guest(m->board), &s);
	m->faults = s.faults;
	return CMD_OK;
}

int replace_take(struct replace *r, struct replace_whole *whole)
{
	struct machine *m = whole->machine;
	const char *command = m->options->command;
	char why[256];
	unsigned int i;
	int ret;

	for (i = 0; i < whole->nr; i++) {
		ret = load(&m[i], &r->vm[i]);
		if (ret != CMD_OK)
			return ret;
	}
	/*
	 * Before the other one has let go; afterwards the signal is ours as it would have been his.
	 */
	if (machine_signal_seen())
		return cmd_error(command, "told to end");
	/* Who is connected was so before: what was plugged in is, and nothing else. */
	for (i = 0; i < whole->nr; i++)
		m[i].taking = true;
	ret = viommu_server_take(m->server, why, sizeof(why));
	for (i = 0; i < whole->nr; i++)
		m[i].taking = false;
	if (ret)
		return cmd_error(command, "%s", why);
	replace_borrow(whole, false);
	resume(whole);
	printf("viommu %s: serves %s now, which stood still for %.1f ms\n", command, r->dir,
	       paused_ms(r));
	fflush(stdout);
	/* It is as large as all that was saved. */
	viommu_server_handover_free(r->handover);
	r->handover = NULL;
	return CMD_OK;
}

void replace_free(struct replace *r)
{
	int i;

	viommu_server_handover_free(r->handover);
	for (i = 0; i < r->words.argc; i++)
		free(r->words.argv[i]);
	free(r->words.argv);
	free(r->dir);
}
