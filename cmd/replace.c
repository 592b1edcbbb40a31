/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What goes from one viommu serve to the next, besides what the server hands over by itself
 * (viommu-server/server.h, Replacement): the board's state, and how the process was started, so
 * that the next one makes the same machine. As bytes:
 *
 *	0   8 bytes   length of the text, little-endian
 *	8   text      JSON: version, words, dir, own_dir, registers, placed, warned
 *	    zeroes    up to a multiple of 16
 *	    state     viommu/state.h
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

static size_t text_room(size_t text)
{
	return (HEAD + text + 15) / 16 * 16;
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

/* Of those behind ports: the numbers of the devices that are plugged in, in the board's order. */
static json_t *plugged(const struct machine *m)
{
	json_t *list = json_array();
	struct viommu_pci *pci;
	unsigned int i, n;

	for (i = 0; list && (pci = viommu_board_device(m->board, i, NULL)); i++)
		for (n = 0; n < m->nr; n++)
			if (m->seat[n].port && viommu_dsa_pci(m->dsa[n]) == pci)
				json_array_append_new(list, json_integer(n));
	return list;
}

static json_t *buses(const struct machine *m)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; list && i < m->nr_ports; i++) {
		uint8_t bus = 0;

		viommu_board_port(m->board, m->port[i], &bus);
		json_array_append_new(list, json_integer(bus));
	}
	return list;
}

static char *describe(const struct machine *m)
{
	const struct replace_words *words = m->words;
	json_t *list = json_array(), *root;
	char *dir = absolute(m->dir), *text = NULL;
	bool failed = !list || !dir;
	int i;

	for (i = 0; i < words->argc && !failed; i++)
		failed = json_array_append_new(list, json_string(words->argv[i])) != 0;
	if (!failed) {
		root = json_pack("{s:i, s:O, s:s, s:b, s:I, s:I, s:b, s:o, s:o}", "version",
				 VERSION, "words", list, "dir", dir, "own_dir", m->own_dir,
				 "registers", (json_int_t)m->registers, "placed",
				 (json_int_t)m->placed, "warned", m->warned, "plugged", plugged(m),
				 "buses", buses(m));
		text = root ? json_dumps(root, JSON_COMPACT) : NULL;
		json_decref(root);
	}
	json_decref(list);
	free(dir);
	return text;
}

static int save_board(struct machine *m, void **data, size_t *bytes, char *why, size_t why_size)
{
	char *text = describe(m);
	size_t n = text ? strlen(text) : 0, i;
	void *state = NULL;
	uint8_t *p = NULL;
	int ret = text ? 0 : -ENOMEM;

	if (!ret)
		ret = viommu_board_save(m->board, &state, bytes);
	if (!ret) {
		p = calloc(1, text_room(n) + *bytes);
		ret = p ? 0 : -ENOMEM;
	}
	if (!ret) {
		for (i = 0; i < HEAD; i++)
			p[i] = (uint8_t)(n >> 8 * i);
		memcpy(p + HEAD, text, n);
		memcpy(p + text_room(n), state, *bytes);
		*bytes += text_room(n);
	} else {
		snprintf(why, why_size, "state: %s", strerror(-ret));
	}
	*data = p;
	viommu_state_free(state);
	free(text);
	return ret;
}

static int save(void *ctx, void **data, size_t *bytes, char *why, size_t why_size)
{
	struct machine *m = ctx;
	int ret;

	ret = viommu_board_pause(m->board, why, why_size);
	if (ret)
		return ret;
	ret = save_board(m, data, bytes, why, why_size);
	if (ret)
		viommu_board_resume(m->board);
	return ret;
}

static void resume(void *ctx)
{
	struct machine *m = ctx;

	viommu_board_resume(m->board);
}

int replace_allow(struct machine *m, const struct replace_words *words)
{
	const struct viommu_server_handover_ops ops = {
		.size = sizeof(ops),
		.ctx = m,
		.save = save,
		.resume = resume,
	};
	int ret = viommu_server_allow_handover(m->server, &ops);

	m->words = words;
	return ret ? cmd_error(m->options->command, "%s", strerror(-ret)) : CMD_OK;
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

/* Whole numbers from 0 to `last`, at most `most`. */
static bool get_list(const json_t *list, unsigned int *out, unsigned int *nr, unsigned int most,
		     unsigned int last)
{
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > most)
		return false;
	*nr = (unsigned int)json_array_size(list);
	for (i = 0; i < *nr; i++) {
		const json_t *value = json_array_get(list, i);

		if (!json_is_integer(value) || json_integer_value(value) < 0 ||
		    json_integer_value(value) > last)
			return false;
		out[i] = (unsigned int)json_integer_value(value);
	}
	return true;
}

static bool get_ports(struct replace *r, const json_t *root)
{
	unsigned int bus[VIOMMU_BOARD_MAX_PORTS], i;

	if (!get_list(json_object_get(root, "plugged"), r->plugged, &r->nr_plugged,
		      MACHINE_MAX_DEVICES, MACHINE_MAX_DEVICES - 1) ||
	    !get_list(json_object_get(root, "buses"), bus, &r->nr_buses, VIOMMU_BOARD_MAX_PORTS,
		      255))
		return false;
	for (i = 0; i < r->nr_buses; i++)
		r->bus[i] = (uint8_t)bus[i];
	return true;
}

static bool read_text(struct replace *r, const json_t *root)
{
	const json_t *own_dir = json_object_get(root, "own_dir");
	const json_t *warned = json_object_get(root, "warned");
	const char *dir = json_string_value(json_object_get(root, "dir"));

	if (!json_is_boolean(own_dir) || !json_is_boolean(warned) || !dir || *dir != '/')
		return false;
	r->own_dir = json_is_true(own_dir);
	r->warned = json_is_true(warned);
	r->dir = strdup(dir);
	return r->dir && get_number(root, "registers", &r->registers) &&
	       get_number(root, "placed", &r->placed) && get_ports(r, root) &&
	       get_words(json_object_get(root, "words"), &r->words);
}

static int read_data(struct replace *r, const uint8_t *p, size_t bytes, const char *command)
{
	json_t *root = NULL;
	uint64_t n = 0, version;
	int i, ret = CMD_OK;

	for (i = 0; bytes >= HEAD && i < (int)HEAD; i++)
		n |= (uint64_t)p[i] << 8 * i;
	if (bytes >= HEAD && n <= bytes - HEAD && text_room(n) <= bytes)
		root = json_loadb((const char *)p + HEAD, n, 0, NULL);
	if (!json_is_object(root) || !get_number(root, "version", &version))
		ret = cmd_error(command, "the state is no viommu's");
	else if (version != VERSION)
		ret = cmd_error(command, "the state has version %llu, not %d",
				(unsigned long long)version, VERSION);
	else if (!read_text(r, root))
		ret = cmd_error(command, "the state is wrong: how it was started");
	json_decref(root);
	if (ret == CMD_OK) {
		r->board = p + text_room(n);
		r->board_bytes = bytes - text_room(n);
	}
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

/* What was plugged in is there before the state is looked at, under the same requester ids. */
static int plug_in(const struct replace *r, struct machine *m)
{
	unsigned int i, n;
	int ret = 0;

	for (i = 0; i < r->nr_buses && i < m->nr_ports; i++)
		viommu_pci_config_write(viommu_board_unit(m->board), VIOMMU_PCI_VENDOR_AT + i,
					&r->bus[i], 1);
	for (i = 0; !ret && i < r->nr_plugged; i++) {
		n = r->plugged[i];
		ret = n < m->nr && m->seat[n].port
			      ? viommu_board_plug(m->board, viommu_dsa_pci(m->dsa[n]),
						  m->seat[n].port)
			      : -EINVAL;
	}
	return ret;
}

int replace_take(struct replace *r, struct machine *m)
{
	const char *command = m->options->command;
	char why[256];
	int ret;

	ret = plug_in(r, m);
	if (ret)
		return cmd_error(command, "the devices behind ports do not fit: %s",
				 strerror(-ret));
	ret = viommu_board_load(m->board, r->board, r->board_bytes, why, sizeof(why));
	if (ret)
		return cmd_error(command, "the state does not fit: %s",
				 ret == -EINVAL ? why : strerror(-ret));
	/*
	 * Before the other one has let go; afterwards the signal is ours as it would have been his.
	 */
	if (machine_signal_seen())
		return cmd_error(command, "told to end");
	ret = viommu_server_take(m->server, why, sizeof(why));
	if (ret)
		return cmd_error(command, "%s", why);
	m->borrowed = false;
	viommu_board_resume(m->board);
	printf("viommu %s: serves %s now, which stood still for %.1f ms\n", command, m->dir,
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
