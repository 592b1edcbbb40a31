/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * image.h: files as guest memory.
 *
 * A regular file or block device is mapped, so that an image of any size costs what is read of it,
 * and a file that a running machine has as its memory shows what is in it at the moment. A pipe is
 * read to its end. A file that is cut while it is mapped ends the program with a message.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"
#include "image.h"

#define PAGE_BYTES  UINT64_C(4096)
#define ADDRESS_END (UINT64_C(1) << 52)

/* What a pipe is read into at first; doubled when full. */
#define PIPE_BYTES ((size_t)1 << 20)

int cmd_image_parse(const char *command, char *text, struct cmd_image *out)
{
	/* The last one: a file's name may have others. */
	char *at = strrchr(text, '@');
	const char *why;

	memset(out, 0, sizeof(*out));
	if (!at || at == text)
		return cmd_usage(command,
				 "--image '%s': not FILE@GPA, such as memory.raw@0 for a file that "
				 "starts at address 0",
				 text);
	if (!cmd_number(at + 1, &out->gpa, &why))
		return cmd_usage(command, "--image '%s': address '%s' after the @: %s", text,
				 at + 1, why);
	if (out->gpa % PAGE_BYTES)
		return cmd_usage(command, "--image '%s': the address is not a multiple of 4096",
				 text);
	if (out->gpa >= ADDRESS_END)
		return cmd_usage(command, "--image '%s': the address has more than 52 bits", text);
	*at = '\0';
	out->file = text;
	return CMD_OK;
}

static void image_lost(int number)
{
	static const char text[] = "viommu: an image cannot be read; was it cut?\n";

	(void)number;
	/* Nothing to be done if that fails, too. */
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(CMD_FAILED);
	_exit(CMD_FAILED);
}

/* All of a pipe. 0 or an errno. */
static int image_read(int fd, struct cmd_image *image)
{
	size_t room = PIPE_BYTES, used = 0;
	uint8_t *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return errno;
	image->host = p;
	image->mapped = room;
	for (;;) {
		ssize_t got = read(fd, p + used, room - used);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno;
		if (got == 0)
			break;
		used += (size_t)got;
		if (used < room)
			continue;
		p = mremap(p, room, 2 * room, MREMAP_MAYMOVE);
		if (p == MAP_FAILED)
			return errno;
		room *= 2;
		image->host = p;
		image->mapped = room;
	}
	image->bytes = used;
	return 0;
}

static int image_map(int fd, struct cmd_image *image)
{
	void *p;

	if (!image->bytes)
		return 0;
	if (image->bytes > ADDRESS_END)
		return EFBIG;
	/*
	 * Shared or private makes no difference to who only reads; private cannot even by mistake.
	 */
	p = mmap(NULL, image->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return errno;
	image->host = p;
	image->mapped = image->bytes;
	return 0;
}

static int image_open(const char *command, struct viommu_mem *mem, struct cmd_image *image)
{
	int fd = open(image->file, O_RDONLY | O_CLOEXEC), r;
	uint64_t bytes;
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		r = cmd_error(command, "--image '%s': %s", image->file, strerror(errno));
		if (fd >= 0)
			close(fd);
		return r;
	}
	if (S_ISREG(st.st_mode)) {
		image->bytes = (uint64_t)st.st_size;
		r = image_map(fd, image);
	} else if (S_ISBLK(st.st_mode)) {
		off_t end = lseek(fd, 0, SEEK_END);

		image->bytes = end > 0 ? (uint64_t)end : 0;
		r = image_map(fd, image);
	} else if (S_ISFIFO(st.st_mode)) {
		r = image_read(fd, image);
	} else {
		close(fd);
		return cmd_error(command, "--image '%s': not a file of bytes%s", image->file,
				 S_ISDIR(st.st_mode) ? " but a directory" : "");
	}
	close(fd);
	if (r)
		return cmd_error(command, "--image '%s': %s", image->file, strerror(r));
	if (!image->bytes)
		return cmd_error(command, "--image '%s': the file is empty", image->file);
	bytes = (image->bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	if (bytes > ADDRESS_END - image->gpa)
		return cmd_error(command,
				 "--image '%s': %" PRIu64 " bytes from %#" PRIx64
				 " on reach beyond 52 address bits",
				 image->file, image->bytes, image->gpa);
	r = viommu_mem_add_ptr(mem, image->gpa, bytes, image->host, 0);
	if (r == -EEXIST)
		return cmd_error(command,
				 "--image '%s': %#" PRIx64 " to %#" PRIx64
				 " overlaps an image before it",
				 image->file, image->gpa, image->gpa + bytes - 1);
	if (r)
		return cmd_error(command, "--image '%s': %s", image->file, strerror(-r));
	return CMD_OK;
}

int cmd_images_open(const char *command, struct cmd_images *images, struct cmd_image *list,
		    size_t nr)
{
	struct sigaction lost = { .sa_handler = image_lost };
	size_t i;
	int r;

	images->list = list;
	images->nr = nr;
	r = viommu_mem_new(&images->mem);
	if (r)
		return cmd_error(command, "%s", strerror(-r));
	sigaction(SIGBUS, &lost, NULL);
	for (i = 0; i < nr; i++) {
		r = image_open(command, images->mem, &list[i]);
		if (r) {
			cmd_images_close(images);
			return r;
		}
	}
	return CMD_OK;
}

void cmd_images_close(struct cmd_images *images)
{
	size_t i;

	/* First: the regions borrow the mappings. */
	viommu_mem_free(images->mem);
	images->mem = NULL;
	for (i = 0; i < images->nr; i++) {
		if (images->list[i].host)
			munmap(images->list[i].host, images->list[i].mapped);
		images->list[i].host = NULL;
	}
	images->nr = 0;
}
