/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files as guest memory, for reading: raw images, each at an address of the caller's choice, and
 * ELF core dumps, which say themselves where their parts belong. The files are opened and mapped
 * read-only; whoever writes to such memory is killed, so walk it with VIOMMU_WALK_DRY. The regions
 * are not marked VIOMMU_MEM_READ_ONLY all the same: the walker would say that accessed bits cannot
 * be set, where it is to say which would be.
 *
 * A file whose size is no multiple of 4096 ends in a page whose rest reads as zeroes.
 */
#ifndef VIOMMU_CMD_IMAGE_H
#define VIOMMU_CMD_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <viommu/mem.h>

/* A file of the command line. */
struct cmd_image {
	const char *file;
	uint64_t gpa;
	bool core; /* no address was given: a core dump */
};

struct cmd_images {
	struct viommu_mem *mem;
	struct cmd_mapping *maps; /* what munmap(2) gets at the end */
	size_t nr;
};

/* FILE@GPA, or FILE for a core dump, taken apart in place. CMD_OK or CMD_USAGE, which is said. */
int cmd_image_parse(const char *command, char *text, struct cmd_image *out);

/*
 * Opens and maps list[0..nr) and makes images->mem of them. CMD_OK, CMD_FAILED, or CMD_USAGE for a
 * file that needs an address; which is said. Raw images may be regular files, block devices, and
 * pipes (which are read), core dumps regular files.
 */
int cmd_images_open(const char *command, struct cmd_images *images, const struct cmd_image *list,
		    size_t nr);
void cmd_images_close(struct cmd_images *images);

#endif /* VIOMMU_CMD_IMAGE_H */
