/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * image.h: files as guest memory.
 *
 * A regular file or block device is mapped, so that an image of any size costs what is read of it,
 * and a file that a running machine has as its memory shows what is in it at the moment. A pipe is
 * read to its end. A file that is cut while it is mapped ends the program with a message.
 *
 * Core dumps: 64-bit little-endian ELF, the parts that have physical addresses (QEMU's
 * dump-guest-memory, kdump's vmcore). A part that does not lie on a page boundary of the file is
 * copied. More than 65534 parts are refused.
 */
#include <elf.h>
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

struct cmd_mapping {
	void *host;
	size_t bytes;
};

/* One file while it is opened. */
struct opening {
	const char *command;
	const struct cmd_image *image;
	struct cmd_images *images;
	int fd;
	uint64_t bytes; /* of the file */
};

int cmd_image_parse(const char *command, char *text, struct cmd_image *out)
{
	/* The last one: a file's name may have others. */
	char *at = strrchr(text, '@');
	const char *why;

	memset(out, 0, sizeof(*out));
	out->file = text;
	if (!*text || at == text)
		return cmd_usage(command,
				 "--image '%s': not FILE@GPA, such as memory.raw@0 for a file that "
				 "starts at address 0",
				 text);
	if (!at) {
		out->core = true;
		return CMD_OK;
	}
	if (!cmd_number(at + 1, &out->gpa, &why))
		return cmd_usage(command, "--image '%s': address '%s' after the @: %s", text,
				 at + 1, why);
	if (out->gpa % PAGE_BYTES)
		return cmd_usage(command, "--image '%s': the address is not a multiple of 4096",
				 text);
	if (out->gpa >= ADDRESS_END)
		return cmd_usage(command, "--image '%s': the address has more than 52 bits", text);
	*at = '\0';
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

/* ---- mappings -------------------------------------------------------------------------------- */

static int opening_error(const struct opening *o, const char *why)
{
	return cmd_error(o->command, "--image '%s': %s", o->image->file, why);
}

/* Takes over a mapping, or unmaps it if there is no memory to remember it. */
static int mapping_keep(const struct opening *o, void *host, size_t bytes)
{
	struct cmd_images *images = o->images;
	struct cmd_mapping *maps;

	maps = reallocarray(images->maps, images->nr + 1, sizeof(*maps));
	if (!maps) {
		munmap(host, bytes);
		return opening_error(o, strerror(ENOMEM));
	}
	maps[images->nr++] = (struct cmd_mapping){ host, bytes };
	images->maps = maps;
	return CMD_OK;
}

/* bytes of host become memory at gpa. */
static int region_add(const struct opening *o, uint64_t gpa, void *host, uint64_t bytes)
{
	uint64_t whole = (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	int r;

	if (gpa >= ADDRESS_END || whole > ADDRESS_END - gpa)
		return cmd_error(o->command,
				 "--image '%s': %" PRIu64 " bytes from %#" PRIx64
				 " on reach beyond 52 address bits",
				 o->image->file, bytes, gpa);
	r = viommu_mem_add_ptr(o->images->mem, gpa, whole, host, 0);
	if (r == -EEXIST)
		return cmd_error(o->command,
				 "--image '%s': %#" PRIx64 " to %#" PRIx64
				 " overlaps an image before it",
				 o->image->file, gpa, gpa + whole - 1);
	return r ? opening_error(o, strerror(-r)) : CMD_OK;
}

static int file_map(struct opening *o, void **host)
{
	if (!o->bytes)
		return opening_error(o, "the file is empty");
	if (o->bytes > ADDRESS_END)
		return opening_error(o, strerror(EFBIG));
	*host = mmap(NULL, o->bytes, PROT_READ, MAP_PRIVATE, o->fd, 0);
	if (*host == MAP_FAILED)
		return opening_error(o, strerror(errno));
	return mapping_keep(o, *host, o->bytes);
}

/* All of a pipe. */
static int pipe_read(struct opening *o, void **host)
{
	size_t room = PIPE_BYTES, used = 0;
	uint8_t *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *larger;
	ssize_t got;

	if (p == MAP_FAILED)
		return opening_error(o, strerror(errno));
	for (;;) {
		if (used == room) {
			larger = mremap(p, room, 2 * room, MREMAP_MAYMOVE);
			if (larger == MAP_FAILED)
				break;
			p = larger;
			room *= 2;
		}
		got = read(o->fd, p + used, room - used);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			if (got == 0)
				errno = 0;
			break;
		}
		used += (size_t)got;
	}
	if (errno || !used) {
		munmap(p, room);
		return opening_error(o, errno ? strerror(errno) : "the file is empty");
	}
	o->bytes = used;
	*host = p;
	return mapping_keep(o, p, room);
}

/* ---- core dumps ------------------------------------------------------------------------------ */

/* A part of the file that lies on no page boundary, or ends on none: a copy. */
static int part_copy(const struct opening *o, const uint8_t *from, size_t bytes, void **host)
{
	*host = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (*host == MAP_FAILED)
		return opening_error(o, strerror(errno));
	memcpy(*host, from, bytes);
	return mapping_keep(o, *host, bytes);
}

static int core_add_part(const struct opening *o, const uint8_t *file, const Elf64_Phdr *part)
{
	void *host = (void *)(uintptr_t)(file + part->p_offset);
	int r;

	if (part->p_offset > o->bytes || part->p_filesz > o->bytes - part->p_offset)
		return opening_error(o, "the core dump is cut: a part of it lies beyond its end");
	if (part->p_paddr % PAGE_BYTES)
		return opening_error(o, "a part of the core dump starts within a page of memory");
	if (part->p_offset % PAGE_BYTES || part->p_filesz % PAGE_BYTES) {
		r = part_copy(o, host, part->p_filesz, &host);
		if (r)
			return r;
	}
	return region_add(o, part->p_paddr, host, part->p_filesz);
}

static int core_add(struct opening *o)
{
	Elf64_Ehdr head;
	Elf64_Phdr part;
	unsigned int i, nr = 0;
	uint8_t *file = NULL;
	int r;

	if (o->bytes >= sizeof(head)) {
		r = file_map(o, (void **)&file);
		if (r)
			return r;
		memcpy(&head, file, sizeof(head));
	}
	if (!file || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
		return cmd_usage(o->command,
				 "--image '%s': no core dump, so it has to be FILE@GPA, such as "
				 "%s@0 if it starts at address 0",
				 o->image->file, o->image->file);
	if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != ELFDATA2LSB ||
	    head.e_type != ET_CORE || head.e_phentsize != sizeof(part) || head.e_phnum == PN_XNUM)
		return opening_error(o, "not a core dump of 64-bit little-endian ELF");
	if (head.e_phoff > o->bytes ||
	    (uint64_t)head.e_phnum * sizeof(part) > o->bytes - head.e_phoff)
		return opening_error(
			o, "the core dump is cut: its table of parts lies beyond its end");
	for (i = 0; i < head.e_phnum; i++) {
		memcpy(&part, file + head.e_phoff + i * sizeof(part), sizeof(part));
		if (part.p_type != PT_LOAD || !part.p_filesz)
			continue;
		r = core_add_part(o, file, &part);
		if (r)
			return r;
		nr++;
	}
	return nr ? CMD_OK : opening_error(o, "the core dump has no memory");
}

/* ---- files ----------------------------------------------------------------------------------- */

static int image_add(struct opening *o)
{
	void *host = NULL;
	struct stat st;
	off_t end;
	int r;

	if (fstat(o->fd, &st))
		return opening_error(o, strerror(errno));
	if (S_ISREG(st.st_mode)) {
		o->bytes = (uint64_t)st.st_size;
		if (o->image->core && o->bytes)
			return core_add(o);
		r = file_map(o, &host);
	} else if (o->image->core) {
		return cmd_usage(o->command,
				 "--image '%s': not a regular file, so it has to be FILE@GPA",
				 o->image->file);
	} else if (S_ISBLK(st.st_mode)) {
		end = lseek(o->fd, 0, SEEK_END);
		o->bytes = end > 0 ? (uint64_t)end : 0;
		r = file_map(o, &host);
	} else if (S_ISFIFO(st.st_mode)) {
		r = pipe_read(o, &host);
	} else {
		return opening_error(o, S_ISDIR(st.st_mode) ? "it is a directory"
							    : "neither a file nor a pipe");
	}
	return r ? r : region_add(o, o->image->gpa, host, o->bytes);
}

static int image_open(const char *command, struct cmd_images *images, const struct cmd_image *image)
{
	struct opening o = { .command = command, .image = image, .images = images };
	int r;

	o.fd = open(image->file, O_RDONLY | O_CLOEXEC);
	if (o.fd < 0 && image->core)
		return cmd_usage(command, "--image '%s': neither FILE@GPA nor a core dump: %s",
				 image->file, strerror(errno));
	if (o.fd < 0)
		return opening_error(&o, strerror(errno));
	r = image_add(&o);
	close(o.fd);
	return r;
}

int cmd_images_open(const char *command, struct cmd_images *images, const struct cmd_image *list,
		    size_t nr)
{
	struct sigaction lost = { .sa_handler = image_lost };
	size_t i;
	int r;

	memset(images, 0, sizeof(*images));
	r = viommu_mem_new(&images->mem);
	if (r)
		return cmd_error(command, "%s", strerror(-r));
	sigaction(SIGBUS, &lost, NULL);
	for (i = 0; i < nr; i++) {
		r = image_open(command, images, &list[i]);
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
	for (i = 0; i < images->nr; i++)
		munmap(images->maps[i].host, images->maps[i].bytes);
	free(images->maps);
	images->maps = NULL;
	images->nr = 0;
}
