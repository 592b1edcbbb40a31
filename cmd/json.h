/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * JSON as this tool prints it, over jansson: 64-bit values are strings, because many readers keep
 * numbers as double; everything smaller is a number. Members stay in the order they were set.
 *
 * There is nothing sensible to print when memory runs out: then the program ends with a message,
 * so a caller need not ask. Arguments may be NULL as jansson's functions return it.
 */
#ifndef VIOMMU_CMD_JSON_H
#define VIOMMU_CMD_JSON_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

/* "0x1000" */
json_t *cmd_json_hex(uint64_t value);

/* value becomes object's member; the reference is taken over, also on failure. */
void cmd_json_set(json_t *object, const char *key, json_t *value);
void cmd_json_add(json_t *array, json_t *value);

/* An array printed one element a line, without holding more than one. */
struct cmd_json_list {
	FILE *out;
	unsigned long nr;
};

void cmd_json_list_begin(struct cmd_json_list *list, FILE *out);
/* Prints and releases value. 0, or -1 if it could not be written. */
int cmd_json_list_add(struct cmd_json_list *list, json_t *value);
void cmd_json_list_end(struct cmd_json_list *list);

#endif /* VIOMMU_CMD_JSON_H */
