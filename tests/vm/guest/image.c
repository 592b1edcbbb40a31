/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The process whose page tables the image test walks. It runs as process 1 of a small guest: it
 * makes mappings of every kind a process has, fills them with random bytes, and says on standard
 * output what a walk must find, a line each; tests/vm/image.py reads them:
 *
 *	@m MAPS-LINE			a line of /proc/self/maps, after the last change to it
 *	@a ADDR KIND HEX		memory at ADDR holds these bytes
 *	@n ADDR KIND			nothing is mapped at ADDR for the user
 *	@k ADDR KIND HEX		a kernel address and its bytes, or "-"
 *	@spin FIRST LAST		the program counter stays in this range after @done
 *	@note TEXT
 *	@done
 *
 * KIND is NAME:FLAGS. Flags: w a write is allowed, 2 a page of 2 MiB, d accessed and dirty are set
 * already. Then it spins in user mode, so that a stopped CPU has its CR3. Whatever is said here was
 * true when the line was printed and stays so: nothing sampled is written again, and nothing is
 * reclaimed, since the guest has memory to spare.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define KIB    1024UL
#define MIB    (1024 * KIB)
#define PAGE   (4 * KIB)
#define HUGE   (2 * MIB)
#define SAMPLE 16 /* bytes shown of each address */

/* A static program has these by the linker. */
extern const char __executable_start[], __etext[];

/* Sampled; on pages of their own so that nothing else writes them. */
static uint8_t the_data[64 * KIB] __attribute__((aligned(4096))) = { 1 };
static uint8_t the_bss[64 * KIB] __attribute__((aligned(4096)));
static uint8_t the_far_bss[64 * KIB] __attribute__((aligned(4096)));
static const uint8_t the_rodata[16 * KIB] __attribute__((aligned(4096))) = { 2, 3, 5, 7 };

static char line[512];
static uint64_t seed;

/* xorshift64*: fast under emulation, and every run has other bytes. */
static uint64_t random_u64(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 0x2545f4914f6cdd1dULL;
}

static void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void print(const char *format, ...)
{
	va_list args;
	int len, done = 0;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (len >= (int)sizeof(line))
		len = sizeof(line) - 1;
	while (done < len) {
		ssize_t n = write(1, line + done, len - done);

		if (n > 0)
			done += n;
	}
}

/* The test sees a guest that gave up, not one that is silent. */
static void give_up(const char *what)
{
	print("@failed %s: %s\n", what, strerror(errno));
	for (;;)
		pause();
}

static void *must_map(void *at, size_t size, int prot, int flags, int fd)
{
	void *p = mmap(at, size, prot, flags, fd, 0);

	if (p == MAP_FAILED)
		give_up("mmap");
	return p;
}

static void fill(void *start, size_t size)
{
	uint64_t *word = start, *end = word + size / sizeof(*word);

	while (word < end)
		*word++ = random_u64();
}

static void say_bytes(const void *at, const char *kind)
{
	static const char digit[] = "0123456789abcdef";
	const uint8_t *byte = at;
	char hex[2 * SAMPLE + 1];
	int i;

	for (i = 0; i < SAMPLE; i++) {
		hex[2 * i] = digit[byte[i] >> 4];
		hex[2 * i + 1] = digit[byte[i] & 15];
	}
	hex[2 * SAMPLE] = 0;
	print("@a 0x%lx %s %s\n", (unsigned long)at, kind, hex);
}

/* An address on every step of a range: first and last sample of it, else anywhere in the page. */
static void say_range(const void *start, size_t size, size_t step, const char *kind, bool bytes)
{
	const uint8_t *base = start;
	size_t at;

	for (at = 0; at < size; at += step) {
		size_t last = (at + step < size ? step : size - at) - SAMPLE;
		size_t in = at == 0 ? 0 : at + step >= size ? last : random_u64() % (last + 1);

		/* A sample stays on one page: a walk answers for one. */
		if (((uintptr_t)base + at + in) % PAGE > PAGE - SAMPLE)
			in -= SAMPLE;
		if (bytes)
			say_bytes(base + at + in, kind);
		else
			print("@n 0x%lx %s\n", (unsigned long)(base + at + in), kind);
	}
}

static void say_filled(const void *start, size_t size, size_t step, const char *kind)
{
	say_range(start, size, step, kind, true);
}

static void say_absent(const void *start, size_t size, size_t step, const char *kind)
{
	say_range(start, size, step, kind, false);
}

/* Anonymous memory in every state, at `at` if that is not NULL. */
static void make_anonymous(void *at, const char *rw, const char *ro, const char *none,
			   const char *untouched)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
	uint8_t *p = must_map(at, 4 * MIB, PROT_READ | PROT_WRITE, flags, -1);

	/* Small pages, also where the kernel would like large ones. */
	madvise(p, 4 * MIB, MADV_NOHUGEPAGE);
	fill(p, 512 * KIB);
	fill(p + 1 * MIB, 256 * KIB);
	fill(p + 2 * MIB, 256 * KIB);
	/* Read-only and filled, none and filled: the data is there, the right is not. */
	mprotect(p + 1 * MIB, 512 * KIB, PROT_READ);
	mprotect(p + 2 * MIB, 512 * KIB, PROT_NONE);
	say_filled(p, 512 * KIB, PAGE, rw);
	say_absent(p + 512 * KIB, 512 * KIB, 16 * KIB, untouched);
	say_filled(p + 1 * MIB, 256 * KIB, PAGE, ro);
	say_absent(p + 1 * MIB + 256 * KIB, 256 * KIB, 16 * KIB, untouched);
	say_absent(p + 1 * MIB + 512 * KIB, 512 * KIB, 64 * KIB, untouched);
	say_absent(p + 2 * MIB, 512 * KIB, 8 * KIB, none);
	say_absent(p + 3 * MIB, 1 * MIB, 32 * KIB, untouched);
}

/* Memory given back, a hole in the middle, and tables without any entry left. */
static void make_gone(void)
{
	uint8_t *p =
		must_map(NULL, 1 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	madvise(p, 1 * MIB, MADV_NOHUGEPAGE);
	fill(p, 1 * MIB);
	if (madvise(p + 256 * KIB, 256 * KIB, MADV_DONTNEED))
		give_up("madvise");
	munmap(p + 512 * KIB, 256 * KIB);
	say_filled(p, 256 * KIB, 16 * KIB, "anon-around-hole:wd");
	say_absent(p + 256 * KIB, 256 * KIB, 16 * KIB, "given-back:");
	say_absent(p + 512 * KIB, 256 * KIB, 16 * KIB, "unmapped:");
	say_filled(p + 768 * KIB, 256 * KIB, 16 * KIB, "anon-around-hole:wd");
}

/* Read before any write: the kernel's one page of zeroes, which nobody may write. */
static void make_zero(void)
{
	uint8_t *p =
		must_map(NULL, 256 * KIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	size_t at;

	madvise(p, 256 * KIB, MADV_NOHUGEPAGE);
	for (at = 0; at < 256 * KIB; at += PAGE)
		(void)*(volatile uint8_t *)(p + at);
	say_filled(p, 256 * KIB, 8 * KIB, "zero-page:");
}

/* After a fork both sides may only read what they shared, until they write. */
static void make_cow(void)
{
	uint8_t *p =
		must_map(NULL, 256 * KIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	pid_t child;

	madvise(p, 256 * KIB, MADV_NOHUGEPAGE);
	fill(p, 256 * KIB);
	child = fork();
	if (child < 0)
		give_up("fork");
	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
	fill(p + 128 * KIB, 128 * KIB);
	say_filled(p, 128 * KIB, 8 * KIB, "copy-on-write:");
	say_filled(p + 128 * KIB, 128 * KIB, 8 * KIB, "copied:wd");
}

/* Pages of 2 MiB from the pool, in every state. */
static void make_hugetlb(void)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
	uint8_t *p = must_map(NULL, 5 * HUGE, PROT_READ | PROT_WRITE, flags, -1);

	fill(p, 4 * HUGE);
	if (mprotect(p + 2 * HUGE, HUGE, PROT_READ) || mprotect(p + 3 * HUGE, HUGE, PROT_NONE))
		give_up("mprotect of huge pages");
	say_filled(p, 2 * HUGE, 64 * KIB, "hugetlb:w2d");
	say_filled(p + 2 * HUGE, HUGE, 64 * KIB, "hugetlb-readonly:2");
	say_absent(p + 3 * HUGE, HUGE, 128 * KIB, "hugetlb-none:");
	say_absent(p + 4 * HUGE, HUGE, 256 * KIB, "hugetlb-untouched:");
}

/* Large pages that the kernel chose; one is cut into small ones again. */
static void make_thp(void *at, const char *whole)
{
	uint8_t *p =
		must_map(at, 5 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	uint8_t *first = (uint8_t *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));

	if (madvise(p, 5 * HUGE, MADV_HUGEPAGE))
		give_up("madvise for huge pages");
	fill(first, 3 * HUGE);
	if (mprotect(first + HUGE, HUGE, PROT_READ) ||
	    mprotect(first + 2 * HUGE + 64 * KIB, 64 * KIB, PROT_NONE))
		give_up("mprotect of huge pages");
	say_filled(first, HUGE, 64 * KIB, whole);
	say_filled(first + HUGE, HUGE, 64 * KIB, "thp-readonly:2");
	say_filled(first + 2 * HUGE, 64 * KIB, 4 * KIB, "thp-split:w");
	say_absent(first + 2 * HUGE + 64 * KIB, 64 * KIB, 8 * KIB, "thp-split-none:");
	say_filled(first + 2 * HUGE + 128 * KIB, HUGE - 128 * KIB, 128 * KIB, "thp-split:w");
}

static void make_shared(void)
{
	int fd = memfd_create("viommu", 0);
	uint8_t *rw, *ro, *anon;

	if (fd < 0 || ftruncate(fd, 512 * KIB))
		give_up("memfd");
	rw = must_map(NULL, 512 * KIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	ro = must_map(NULL, 512 * KIB, PROT_READ, MAP_SHARED | MAP_POPULATE, fd);
	fill(rw, 256 * KIB);
	say_filled(rw, 256 * KIB, 8 * KIB, "memfd:w");
	/* The same page by another address: read through it, so that it is mapped. */
	say_filled(ro, 256 * KIB, 8 * KIB, "memfd-readonly:");
	anon = must_map(NULL, 512 * KIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	fill(anon, 256 * KIB);
	say_filled(anon, 256 * KIB, 8 * KIB, "shared:w");
	say_absent(anon + 256 * KIB, 256 * KIB, 32 * KIB, "shared-untouched:");
}

static void make_file(void)
{
	uint8_t block[PAGE];
	int fd = open("/file", O_RDWR | O_CREAT | O_EXCL, 0600);
	uint8_t *p;
	size_t at;

	if (fd < 0)
		give_up("/file");
	for (at = 0; at < 256 * KIB; at += PAGE) {
		fill(block, PAGE);
		if (write(fd, block, PAGE) != PAGE)
			give_up("write");
	}
	p = must_map(NULL, 256 * KIB, PROT_READ, MAP_PRIVATE, fd);
	say_filled(p, 256 * KIB, 4 * KIB, "file:");
	p = must_map(NULL, 256 * KIB, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
	for (at = 0; at < 256 * KIB; at += 2 * PAGE)
		fill(p + at, PAGE);
	for (at = 0; at < 256 * KIB; at += 2 * PAGE) {
		say_bytes(p + at + random_u64() % (PAGE - SAMPLE), "file-copied:wd");
		say_bytes(p + at + PAGE + random_u64() % (PAGE - SAMPLE), "file-private:");
	}
}

/* Protection keys are bits 62:59 of an entry, which VT-d ignores. */
static void make_pkey(void)
{
	uint8_t *p =
		must_map(NULL, 64 * KIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int key = pkey_alloc(0, 0);

	fill(p, 64 * KIB);
	if (key > 0 && !pkey_mprotect(p, 64 * KIB, PROT_READ | PROT_WRITE, key))
		print("@note protection key %d\n", key);
	else
		print("@note no protection keys\n");
	say_filled(p, 64 * KIB, 4 * KIB, "pkey:wd");
}

/* What a program has before it asks for anything. */
static void say_program(void)
{
	uint8_t *heap = sbrk(0);
	uintptr_t skip = -(uintptr_t)heap & (PAGE - 1);

	if (sbrk(256 * KIB) == (void *)-1)
		give_up("brk");
	heap += skip;
	fill(heap, 128 * KIB);
	say_filled(heap, 128 * KIB, 4 * KIB, "heap:wd");
	say_absent(heap + 160 * KIB, 64 * KIB, 8 * KIB, "heap-untouched:");
	say_filled(__executable_start, 4 * KIB, 256, "elf-header:");
	say_filled(&say_program, __etext - (const char *)&say_program - 4 * KIB, 2 * KIB, "text:");
	say_filled(the_rodata, sizeof(the_rodata), 2 * KIB, "rodata:");
	fill(the_data, sizeof(the_data));
	say_filled(the_data, sizeof(the_data), 4 * KIB, "data:w");
	fill(the_bss, sizeof(the_bss));
	say_filled(the_bss, sizeof(the_bss), 4 * KIB, "bss:wd");
	say_absent(the_far_bss + PAGE, sizeof(the_far_bss) - PAGE, 4 * KIB, "bss-untouched:");
}

/*
 * All mappings, and a sample of each that is only readable: some the kernel or the C library made
 * (vdso, RELRO). Not of vvar: it changes with time.
 */
static void say_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char text[256];

	if (!f)
		give_up("/proc/self/maps");
	while (fgets(text, sizeof(text), f)) {
		unsigned long start, end;
		char rights[8];

		if (sscanf(text, "%lx-%lx %7s", &start, &end, rights) != 3)
			give_up("a line of maps");
		print("@m %s", text);
		if (strstr(text, "[vdso]"))
			say_filled((void *)start, end - start, 1 * KIB, "vdso:");
		else if (rights[0] == 'r' && rights[1] == '-' && !strstr(text, "[v"))
			say_bytes((void *)start, "readable:");
	}
	fclose(f);
}

/*
 * Kernel addresses. The banner's text is known; of others only the address is. Names come from
 * /proc/kallsyms, which shows addresses to root.
 */
static void say_kernel(void)
{
	static const char *const names[] = { "_text",  "_stext",    "_etext",     "__start_rodata",
					     "_sdata", "init_task", "jiffies_64", "linux_banner" };
	unsigned long banner = 0, address;
	FILE *f = fopen("/proc/kallsyms", "r");
	char text[256], name[128], kind;
	char version[512];
	size_t got, at, i;

	if (!f)
		give_up("/proc/kallsyms");
	while (fgets(text, sizeof(text), f)) {
		if (sscanf(text, "%lx %c %127s", &address, &kind, name) != 3 || !address)
			continue;
		for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			if (!strcmp(name, names[i]))
				print("@k 0x%lx %s: -\n", address, name);
		}
		if (!strcmp(name, "linux_banner"))
			banner = address;
	}
	fclose(f);
	f = fopen("/proc/version", "r");
	got = f ? fread(version, 1, sizeof(version), f) : 0;
	if (f)
		fclose(f);
	if (!banner || got < 2 * SAMPLE) {
		print("@note no kernel banner\n");
		return;
	}
	for (at = 0; at + SAMPLE < got; at += SAMPLE) {
		print("@k 0x%lx banner: ", banner + at);
		for (i = 0; i < SAMPLE; i++)
			print("%02x", (uint8_t)version[at + i]);
		print("\n");
	}
}

static void set(const char *path, const char *value)
{
	FILE *f = fopen(path, "w");

	if (!f || fputs(value, f) < 0 || fclose(f))
		give_up(path);
}

static void set_up(void)
{
	struct termios t;

	mkdir("/proc", 0755);
	if (mount("proc", "/proc", "proc", 0, NULL))
		give_up("mount /proc");
	mkdir("/sys", 0755);
	if (mount("sysfs", "/sys", "sysfs", 0, NULL))
		give_up("mount /sys");
	/* Console level 1: no message of the kernel's between two halves of a line of ours. */
	klogctl(8, NULL, 1);
	if (!tcgetattr(1, &t)) {
		cfmakeraw(&t);
		tcsetattr(1, TCSANOW, &t);
	}
	set("/proc/sys/vm/nr_hugepages", "8");
	/* The kernel turns it off by itself where memory is as small as here. */
	set("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed) || !seed)
		seed = 88172645463325252ULL;
}

int main(void)
{
	/* Here and not in a function that returns: the next one called would write on it. */
	uint8_t stack[64 * KIB] __attribute__((aligned(4096)));

	set_up();
	/* First: a fork takes the right to write from all that is mapped at the time. */
	make_cow();
	fill(stack, sizeof(stack));
	say_filled(stack, sizeof(stack), 4 * KIB, "stack:wd");
	make_hugetlb();
	make_thp(NULL, "thp:w2d");
	make_anonymous(NULL, "anon:wd", "anon-readonly:", "none:", "untouched:");
	make_zero();
	make_shared();
	make_file();
	make_pkey();
	/* Beyond 47 bits the kernel maps only where it is asked to, and only with 5 levels. */
	make_anonymous((void *)(1UL << 55), "high:wd",
		       "high-readonly:", "high-none:", "high-untouched:");
	make_thp((void *)(1UL << 54), "high-thp:w2d");
	say_program();
	/* Last: the next mapping could fill its hole. */
	make_gone();
	say_maps();
	say_kernel();
	print("@n 0x%lx below-all:\n", 0x1000UL);
	print("@n 0x%lx far-away:\n", 0x123456789000UL);
	print("@n 0x%lx below-program:\n", 0x3f0000UL);
	print("@spin 0x%lx 0x%lx\n", (unsigned long)&main, (unsigned long)__etext);
	print("@done\n");
	for (;;)
		__asm__ volatile("pause");
}
