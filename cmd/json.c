/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * json.h over jansson.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "cmd.h"
#include "json.h"

static json_t *json_need(json_t *value)
{
	if (!value)
		exit(cmd_error(NULL, "no memory for the output"));
	return value;
}

json_t *cmd_json_hex(uint64_t value)
{
	char text[2 + 16 + 1];

	snprintf(text, sizeof(text), "0x%" PRIx64, value);
	return json_need(json_string(text));
}

void cmd_json_set(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(json_need(object), key, json_need(value)))
		json_need(NULL);
}

void cmd_json_add(json_t *array, json_t *value)
{
	if (json_array_append_new(json_need(array), json_need(value)))
		json_need(NULL);
}

void cmd_json_list_begin(struct cmd_json_list *list, FILE *out)
{
	list->out = out;
	list->nr = 0;
	fputs("[", out);
}

int cmd_json_list_add(struct cmd_json_list *list, json_t *value)
{
	int r;

	fputs(list->nr++ ? ",\n" : "\n", list->out);
	r = json_dumpf(json_need(value), list->out, JSON_COMPACT | JSON_PRESERVE_ORDER);
	json_decref(value);
	return r;
}

void cmd_json_list_end(struct cmd_json_list *list)
{
	fputs(list->nr ? "\n]\n" : "]\n", list->out);
}
