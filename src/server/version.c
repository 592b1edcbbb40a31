/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The capabilities in a VERSION message: JSON of a peer to numbers, and ours to JSON. Names that we
 * do not know are passed over; a name that we know with a value that is none is refused.
 */
#include "server/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/bits.h"

/* What a client that says nothing can take. */
static const struct viommu__vfu_caps defaults = {
	.max_msg_fds = 1,
	.max_data_xfer_size = 1u << 20,
	.max_dma_maps = 65535,
};

/* A number that is too large for us is as good as the largest. */
static int number(const json_t *caps, const char *name, uint32_t min, uint32_t *out)
{
	const json_t *v = json_object_get(caps, name);
	json_int_t n;

	if (!v)
		return 0;
	n = json_integer_value(v);
	if (!json_is_integer(v) || n < (json_int_t)min)
		return EINVAL;
	*out = (uint32_t)min_u64((uint64_t)n, UINT32_MAX);
	return 0;
}

static int read_caps(const json_t *caps, struct viommu__vfu_caps *out)
{
	const json_t *multiple = json_object_get(caps, "write_multiple");
	uint32_t pages = VFU_PAGE;
	int err;

	if (!json_is_object(caps))
		return EINVAL;
	err = number(caps, "max_msg_fds", 0, &out->max_msg_fds);
	if (!err)
		err = number(caps, "max_data_xfer_size", 1, &out->max_data_xfer_size);
	if (!err)
		err = number(caps, "max_dma_maps", 1, &out->max_dma_maps);
	if (!err)
		err = number(caps, "pgsizes", 1, &pages);
	/* Maps of less than a page can't be served; larger ones only are a matter of the client. */
	if (!err && !is_aligned(pages, VFU_PAGE))
		err = EINVAL;
	if (!err && multiple && !json_is_boolean(multiple))
		err = EINVAL;
	out->write_multiple = json_is_true(multiple);
	return err;
}

int viommu__vfu_caps(const char *text, size_t bytes, struct viommu__vfu_caps *out)
{
	const json_t *caps;
	json_t *root;
	int err = 0;

	*out = defaults;
	if (!bytes)
		return 0;
	if (bytes > VFU_MAX_JSON || strnlen(text, bytes) != bytes - 1)
		return EINVAL;
	root = json_loadb(text, bytes - 1, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(root)) {
		err = EINVAL;
	} else {
		caps = json_object_get(root, "capabilities");
		if (caps)
			err = read_caps(caps, out);
	}
	json_decref(root);
	return err;
}

size_t viommu__vfu_caps_reply(char *buf, const struct viommu__vfu_caps *client, uint32_t max_maps)
{
	/* Written, not built: a fixed text needs no memory and can't fail. */
	int n = snprintf(buf, VFU_MAX_JSON_REPLY,
			 "{\"capabilities\":{\"max_msg_fds\":%u,\"max_data_xfer_size\":%u,"
			 "\"max_dma_maps\":%u,\"pgsizes\":%u%s}}",
			 VFU_MAX_FDS, VFU_MAX_XFER, (unsigned int)min_u64(max_maps, 65535),
			 VFU_PAGE, client->write_multiple ? ",\"write_multiple\":true" : "");

	return (size_t)n + 1;
}
