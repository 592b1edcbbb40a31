/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs in the guest: a process lets a DSA device copy by the process's own pointers, from and to
 * memory that nobody has touched, and compares. scripts/vm-try.py makes a guest with this program;
 * it knows nothing of viommu and runs on a machine with a DSA device, too.
 *
 *	dsa_copy BYTES [SECONDS]	SECONDS: how long to keep the queue open after that
 *
 * Needs a dedicated queue /dev/dsa/wq0.0 of type "user" with block-on-fault, and CAP_SYS_RAWIO.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/idxd.h>

#define QUEUE "/dev/dsa/wq0.0"
#define PAGE  4096

static void *map(size_t bytes, int fd)
{
	void *p = mmap(NULL, bytes, fd < 0 ? PROT_READ | PROT_WRITE : PROT_WRITE,
		       fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		err(1, "mmap");
	return p;
}

/*
 * A queue takes 64 bytes in one store, MOVDIR64B. Where a processor lacks it, as an emulated one
 * does, our device also puts eight stores of 8 bytes together; hardware does not.
 */
static void submit(volatile uint64_t *portal, const struct dsa_hw_desc *descriptor)
{
	uint64_t word[8];
	int i;

	memcpy(word, descriptor, sizeof(word));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (i = 0; i < 8; i++)
		portal[i] = word[i];
}

int main(int argc, char **argv)
{
	size_t bytes = argc > 1 ? strtoul(argv[1], NULL, 0) : 0, i;
	struct dsa_hw_desc descriptor
		__attribute__((aligned(64))) = { .opcode = DSA_OPCODE_MEMMOVE };
	struct dsa_completion_record *record;
	unsigned char *from, *to;
	int fd;

	if (!bytes || bytes > UINT32_MAX)
		errx(2, "usage: dsa_copy BYTES [SECONDS]");
	fd = open(QUEUE, O_RDWR);
	if (fd < 0)
		err(1, QUEUE);
	from = map(bytes, -1);
	to = map(bytes, -1);
	record = map(PAGE, -1);
	for (i = 0; i < bytes; i++)
		from[i] = (unsigned char)(i * 2654435761u >> 13);

	/*
	 * No handle, no registration, no pinned memory: these are plain pointers of this process.
	 */
	descriptor.flags = IDXD_OP_FLAG_CRAV | IDXD_OP_FLAG_RCR | IDXD_OP_FLAG_BOF;
	descriptor.src_addr = (uintptr_t)from;
	descriptor.dst_addr = (uintptr_t)to;
	descriptor.xfer_size = (uint32_t)bytes;
	descriptor.completion_addr = (uintptr_t)record;
	submit(map(PAGE, fd), &descriptor);
	while (!*(volatile uint8_t *)&record->status)
		;
	printf("%zu bytes from %p to %p: status %u, data %s\n", bytes, (void *)from, (void *)to,
	       record->status, memcmp(from, to, bytes) ? "DIFFERS" : "equal");
	fflush(stdout);
	if (argc > 2)
		sleep((unsigned int)strtoul(argv[2], NULL, 0));
	return record->status != DSA_COMP_SUCCESS || memcmp(from, to, bytes);
}
