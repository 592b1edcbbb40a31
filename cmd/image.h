/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files as guest memory, for reading: each lies in a struct viommu_mem at an address of the
 * caller's choice. The files are opened and mapped read-only; whoever writes to such memory is
 * killed, so walk it with VIOMMU_WALK_DRY. The regions are not marked VIOMMU_MEM_READ_ONLY all the
 * same: the walker would say that accessed bits cannot be set, where it is to say which would be.
 *
 * A file whose size is no multiple of 4096 ends in a page whose rest reads as zeroes.
 */
#ifndef VIOMMU_CMD_IMAGE_H
#define VIOMMU_CMD_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include <viommu/mem.h>

struct cmd_image {
	const char *file;
	uint64_t gpa;
	uint64_t bytes; /* of the file */
	void *host;
	size_t mapped;
};

struct cmd_images {
	struct viommu_mem *mem;
	struct cmd_image *list;
	size_t nr;
};

/* FILE@GPA taken apart in place. CMD_OK or CMD_USAGE, which has been said. */
int cmd_image_parse(const char *command, char *text, struct cmd_image *out);

/*
 * Opens and maps list[0..nr) and makes images->mem of them; list stays the caller's. CMD_OK, or
 * CMD_FAILED, which has been said. Regular files, block devices, and pipes (which are read).
 */
int cmd_images_open(const char *command, struct cmd_images *images, struct cmd_image *list,
		    size_t nr);
void cmd_images_close(struct cmd_images *images);

#endif /* VIOMMU_CMD_IMAGE_H */
