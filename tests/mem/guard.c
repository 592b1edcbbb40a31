/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files that shrink: who is refused without the guard, what an access to a lost page ends as, and
 * that every SIGBUS that is not ours goes where it went before. Handlers are of the whole process,
 * so tests of what comes before ours run in children.
 */
#include "mem/guard.h"
#include "mem/mem.h"

#include <pthread.h>
#include <setjmp.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "mem/files.h"

static char arena[4096] __attribute__((aligned(4096)));

static struct viommu_mem *mem_new(void)
{
	struct viommu_mem *mem;

	assert_int_equal(viommu_mem_new(&mem), 0);
	return mem;
}

static void without_the_guard_files_that_can_shrink_are_refused(void **state)
{
	struct viommu_mem *mem = mem_new();
	char path[] = "/tmp/viommu-test-XXXXXX";
	struct viommu_mem_region r;
	int fd = file_plain(PAGE);

	(void)state;
	assert_int_equal(viommu_mem_add_fd(mem, 0, PAGE, fd, 0, 0), -EPERM);
	assert_int_equal(viommu_mem_add_fd(mem, 0, PAGE, fd, 0, VIOMMU_MEM_READ_ONLY), -EPERM);
	/* Other seals do not help. */
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
	assert_int_equal(viommu_mem_add_fd(mem, 0, PAGE, fd, 0, 0), -EPERM);
	assert_int_equal(viommu_mem_next(mem, 0, &r), -ENOENT);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(viommu_mem_add_fd(mem, 0, PAGE, fd, 0, 0), 0);
	close(fd);
	/* Nor is there a seal on a file of a file system. */
	fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(viommu_mem_add_fd(mem, PAGE, PAGE, fd, 0, 0), -EPERM);
	close(fd);
	/* A pointer is the caller's affair. */
	assert_int_equal(viommu_mem_add_ptr(mem, PAGE, PAGE, arena, 0), 0);
	viommu_mem_free(mem);
}

/* ---- what was there before, in a child each */

static sigjmp_buf escape;
static volatile sig_atomic_t handled;
static void *volatile handled_addr;

static void handler_info(int sig, siginfo_t *info, void *context)
{
	(void)context;
	handled += sig == SIGBUS;
	handled_addr = info->si_addr;
	if (info->si_code > 0)
		siglongjmp(escape, 1);
}

static void handler_plain(int sig)
{
	handled += sig == SIGBUS;
	siglongjmp(escape, 1);
}

/* A mapping of ours whose page is lost. */
static char *lost_page(void)
{
	int fd = memfd_create("viommu-test-lost", MFD_CLOEXEC);
	char *p;

	if (fd < 0 || ftruncate(fd, PAGE))
		_exit(100);
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED || ftruncate(fd, 0))
		_exit(101);
	close(fd);
	return p;
}

static void set_handler(void (*info)(int, siginfo_t *, void *), void (*plain)(int), int flags)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	if (info) {
		action.sa_sigaction = info;
		flags |= SA_SIGINFO;
	} else {
		action.sa_handler = plain;
	}
	action.sa_flags = flags;
	if (sigaction(SIGBUS, &action, NULL))
		_exit(102);
}

/* A guarded region that loses its page, read; 0 if that ended as it should. */
static int guarded_read(void)
{
	struct viommu_mem *mem;
	int fd = file_plain(PAGE), ret;
	char c;

	if (viommu_mem_new(&mem) || viommu_mem_add_fd(mem, 0, PAGE, fd, 0, 0) ||
	    viommu_mem_read(mem, 0, &c, 1) || ftruncate(fd, 0))
		return 1;
	ret = viommu_mem_read(mem, 0, &c, 1);
	viommu_mem_free(mem);
	close(fd);
	return ret != -EFAULT;
}

/* Runs f in a child; the status that wait gives. */
static int in_child(int (*f)(void))
{
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		/* A death that we want to see is none to report. */
		if (!freopen("/dev/null", "w", stderr))
			_exit(99);
		_exit(f());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void exits_with(int status, int code)
{
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), code);
}

static void dies_of_sigbus(int status)
{
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
}

static int foreign_info(void)
{
	char *p = lost_page();

	set_handler(handler_info, NULL, SA_NODEFER);
	if (viommu_mem_guard_install())
		return 1;
	if (!sigsetjmp(escape, 1))
		return *(volatile char *)p + 2;
	if (handled != 1 || handled_addr != p)
		return 3;
	/* Ours still works, and the other one hears nothing of it. */
	if (guarded_read() || handled != 1)
		return 4;
	/* One that a process sent is not a fault, whatever address it claims. */
	if (raise(SIGBUS) || handled != 2)
		return 5;
	return 42;
}

static int foreign_plain(void)
{
	char *p = lost_page();

	set_handler(NULL, handler_plain, 0);
	if (viommu_mem_guard_install())
		return 1;
	if (!sigsetjmp(escape, 1))
		return *(volatile char *)p + 2;
	if (handled != 1 || guarded_read() || handled != 1)
		return 3;
	/* Again: the mask of the first time is gone with the jump. */
	if (!sigsetjmp(escape, 1))
		return *(volatile char *)p + 4;
	return handled == 2 ? 42 : 5;
}

static int foreign_default(void)
{
	char *p = lost_page();

	set_handler(NULL, SIG_DFL, 0);
	if (viommu_mem_guard_install() || guarded_read())
		return 1;
	return *(volatile char *)p;
}

static int raised_default(void)
{
	set_handler(NULL, SIG_DFL, 0);
	if (viommu_mem_guard_install() || guarded_read())
		return 1;
	raise(SIGBUS);
	return 2;
}

static int foreign_ignored(void)
{
	char *p = lost_page();

	set_handler(NULL, SIG_IGN, 0);
	if (viommu_mem_guard_install())
		return 1;
	return *(volatile char *)p;
}

static int raised_ignored(void)
{
	set_handler(NULL, SIG_IGN, 0);
	if (viommu_mem_guard_install())
		return 1;
	raise(SIGBUS);
	return guarded_read() ? 2 : 42;
}

static int foreign_once(void)
{
	char *p = lost_page();

	set_handler(handler_info, NULL, SA_NODEFER | (int)SA_RESETHAND);
	if (viommu_mem_guard_install())
		return 1;
	if (!sigsetjmp(escape, 1))
		return *(volatile char *)p + 2;
	if (handled != 1 || guarded_read())
		return 3;
	/* The second time finds the default, as it would without us. */
	return *(volatile char *)p;
}

/* A signal that claims an address in a guarded region, from sigqueue, loses nothing. */
static int forged(void)
{
	struct viommu_mem_region r;
	struct viommu_mem *mem;
	int fd = file_plain(PAGE);
	siginfo_t info;

	set_handler(handler_info, NULL, SA_NODEFER);
	if (viommu_mem_guard_install() || viommu_mem_new(&mem) ||
	    viommu_mem_add_fd(mem, 0, PAGE, fd, 0, 0) || viommu_mem_next(mem, 0, &r))
		return 1;
	memset(&info, 0, sizeof(info));
	info.si_signo = SIGBUS;
	info.si_code = SI_QUEUE;
	info.si_addr = r.host;
	if (syscall(SYS_rt_tgsigqueueinfo, getpid(), getpid(), SIGBUS, &info))
		return 2;
	if (handled != 1 || handled_addr != r.host || viommu_mem_next(mem, 0, &r) || r.lost)
		return 3;
	viommu_mem_free(mem);
	close(fd);
	return 42;
}

static void a_foreign_fault_reaches_the_handler_of_before(void **state)
{
	(void)state;
	exits_with(in_child(foreign_info), 42);
	exits_with(in_child(foreign_plain), 42);
}

static void a_foreign_fault_without_handler_kills(void **state)
{
	(void)state;
	dies_of_sigbus(in_child(foreign_default));
	dies_of_sigbus(in_child(raised_default));
	dies_of_sigbus(in_child(foreign_ignored));
	exits_with(in_child(raised_ignored), 42);
}

static void a_handler_for_one_signal_gets_one(void **state)
{
	(void)state;
	dies_of_sigbus(in_child(foreign_once));
}

static void a_signal_that_was_sent_loses_nothing(void **state)
{
	(void)state;
	exits_with(in_child(forged), 42);
}

/* ---- the guard in this process from here on */

/* cmocka sets its own handler before each test: take it away again. */
static void guard_on(void)
{
	static struct sigaction ours;

	if (!ours.sa_sigaction) {
		assert_int_equal(viommu_mem_guard_install(), 0);
		assert_int_equal(sigaction(SIGBUS, NULL, &ours), 0);
	}
	assert_int_equal(sigaction(SIGBUS, &ours, NULL), 0);
}

static void the_guard_is_installed_once(void **state)
{
	struct sigaction first, second;

	(void)state;
	guard_on();
	assert_int_equal(sigaction(SIGBUS, NULL, &first), 0);
	assert_int_equal(viommu_mem_guard_install(), 0);
	assert_int_equal(sigaction(SIGBUS, NULL, &second), 0);
	assert_ptr_equal(first.sa_sigaction, second.sa_sigaction);
	/* And it does not chain to itself. */
	exits_with(in_child(guarded_read), 0);
}

static void a_lost_page_makes_its_region_a_hole(void **state)
{
	struct viommu_mem *mem = mem_new();
	struct viommu_mem_region r;
	char buf[8 * 4096];
	uint64_t v = 1, n, count;
	unsigned token;
	void *host;
	bool w;
	int fd;

	(void)state;
	guard_on();
	fd = file_plain(4 * PAGE);
	assert_int_equal(viommu_mem_add_ptr(mem, 0, PAGE, arena, 0), 0);
	assert_int_equal(viommu_mem_add_fd(mem, PAGE, 4 * PAGE, fd, 0, 0), 0);
	assert_int_equal(viommu_mem_add_ptr(mem, 5 * PAGE, PAGE, arena, 0), 0);
	assert_int_equal(viommu_mem_read(mem, 0, buf, 6 * PAGE), 0);
	assert_int_equal(viommu_mem_next(mem, PAGE, &r), 0);
	host = r.host;
	count = viommu__mem_lost_count();

	/* The last page goes. What was not lost is still there until somebody notices. */
	assert_int_equal(ftruncate(fd, 3 * PAGE), 0);
	assert_int_equal(viommu_mem_read(mem, PAGE, buf, 3 * PAGE), 0);
	assert_int_equal(viommu__mem_lost_count(), count);
	assert_int_equal(viommu_mem_read(mem, 0, buf, 6 * PAGE), -EFAULT);
	assert_int_equal(viommu__mem_lost_count(), count + 1);

	assert_int_equal(viommu_mem_next(mem, PAGE, &r), 0);
	assert_int_equal(r.gpa, PAGE);
	assert_true(r.lost);
	assert_int_equal(viommu_mem_read(mem, PAGE, buf, 1), -EFAULT);
	assert_int_equal(viommu_mem_write(mem, PAGE, buf, 1), -EFAULT);
	assert_int_equal(viommu_mem_load64(mem, PAGE, &v), -EFAULT);
	assert_int_equal(viommu_mem_store64(mem, PAGE, 1), -EFAULT);
	assert_int_equal(viommu_mem_cas64(mem, PAGE, &v, 1), -EFAULT);
	assert_int_equal(v, 1);
	token = viommu__mem_enter(mem);
	assert_null(viommu__mem_ptr(mem, PAGE, false, &n));
	assert_false(viommu__mem_has_host(mem, host, 1, &w));
	viommu__mem_leave(mem, token);
	/* The others are as before, and nothing counts any more. */
	assert_int_equal(viommu_mem_read(mem, 0, buf, PAGE), 0);
	assert_int_equal(viommu_mem_read(mem, 5 * PAGE, buf, PAGE), 0);
	assert_int_equal(viommu__mem_lost_count(), count + 1);
	/* Its place is not free, nor does it come back by itself. */
	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	assert_int_equal(viommu_mem_read(mem, PAGE, buf, 1), -EFAULT);
	assert_int_equal(viommu_mem_add_fd(mem, PAGE, 4 * PAGE, fd, 0, 0), -EEXIST);
	assert_int_equal(viommu_mem_remove(mem, PAGE, 4 * PAGE), 0);
	assert_int_equal(viommu_mem_add_fd(mem, PAGE, 4 * PAGE, fd, 0, 0), 0);
	assert_int_equal(viommu_mem_read(mem, 0, buf, 6 * PAGE), 0);
	close(fd);
	viommu_mem_free(mem);
}

/* Each kind of access is the first to meet the lost page. */
static void each_access_to_a_lost_page_is_efault(void **state)
{
	struct viommu_mem *mem = mem_new();
	struct viommu_mem_region r;
	uint64_t v, count;
	int fd, kind, ret = 0;

	(void)state;
	guard_on();
	for (kind = 0; kind < 6; kind++) {
		fd = file_plain(2 * PAGE);
		count = viommu__mem_lost_count();
		v = 77;
		assert_int_equal(viommu_mem_add_fd(mem, 0, 2 * PAGE, fd, 0,
						   kind == 5 ? VIOMMU_MEM_READ_ONLY : 0),
				 0);
		assert_int_equal(ftruncate(fd, 0), 0);
		switch (kind) {
		case 0:
			ret = viommu_mem_read(mem, 3, &v, 7);
			break;
		case 1:
			ret = viommu_mem_write(mem, PAGE, &v, 8);
			break;
		case 2:
			ret = viommu_mem_load64(mem, PAGE, &v);
			assert_int_equal(v, 77);
			break;
		case 3:
			ret = viommu_mem_store64(mem, 0, v);
			break;
		case 4:
			/* The zeroes that stand in for the page must not look like a success. */
			v = 0;
			ret = viommu_mem_cas64(mem, 8, &v, 5);
			assert_int_equal(v, 0);
			break;
		case 5:
			ret = viommu_mem_read(mem, 2 * PAGE - 1, &v, 1);
			break;
		}
		assert_int_equal(ret, -EFAULT);
		assert_int_equal(viommu__mem_lost_count(), count + 1);
		assert_int_equal(viommu_mem_next(mem, 0, &r), 0);
		assert_true(r.lost);
		assert_int_equal(viommu_mem_remove(mem, 0, 2 * PAGE), 0);
		close(fd);
	}
	viommu_mem_free(mem);
}

static void a_pointer_of_a_section_reads_zeroes_and_the_count_tells(void **state)
{
	struct viommu_mem *mem = mem_new();
	uint64_t n, before;
	unsigned token;
	int fd;
	char *p;

	(void)state;
	guard_on();
	fd = file_plain(2 * PAGE);
	assert_int_equal(pwrite(fd, "x", 1, PAGE), 1);
	assert_int_equal(viommu_mem_add_fd(mem, 0, 2 * PAGE, fd, 0, 0), 0);
	token = viommu__mem_enter(mem);
	before = viommu__mem_lost_count();
	p = viommu__mem_ptr(mem, PAGE, false, &n);
	assert_non_null(p);
	assert_int_equal(*(volatile char *)p, 'x');
	assert_int_equal(viommu__mem_lost_count(), before);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(*(volatile char *)p, 0);
	assert_int_equal(viommu__mem_lost_count(), before + 1);
	assert_null(viommu__mem_ptr(mem, PAGE, false, &n));
	viommu__mem_leave(mem, token);
	viommu_mem_free(mem);
	close(fd);
}

static void a_shorter_alias_is_found_behind_a_lost_region(void **state)
{
	struct viommu_mem *mem = mem_new();
	struct viommu_mem_region r;
	unsigned token;
	int fd;
	bool w;
	char c;

	(void)state;
	guard_on();
	fd = file_plain(4 * PAGE);
	assert_int_equal(viommu_mem_add_fd(mem, 0, 4 * PAGE, fd, 0, 0), 0);
	assert_int_equal(viommu_mem_next(mem, 0, &r), 0);
	assert_int_equal(viommu_mem_add_ptr(mem, 8 * PAGE, PAGE, (char *)r.host + PAGE,
					    VIOMMU_MEM_READ_ONLY),
			 0);
	assert_int_equal(ftruncate(fd, 3 * PAGE), 0);
	assert_int_equal(viommu_mem_read(mem, 3 * PAGE, &c, 1), -EFAULT);
	token = viommu__mem_enter(mem);
	assert_true(viommu__mem_has_host(mem, (char *)r.host + PAGE, PAGE, &w));
	assert_false(w);
	assert_false(viommu__mem_has_host(mem, (char *)r.host + PAGE, PAGE + 1, &w));
	assert_false(viommu__mem_has_host(mem, r.host, 1, &w));
	viommu__mem_leave(mem, token);
	viommu_mem_free(mem);
	close(fd);
}

/* A file that is too short from the beginning is refused with the guard as well. */
static void the_guard_is_no_leave_to_map_what_is_not_there(void **state)
{
	struct viommu_mem *mem = mem_new();
	int fd, zero = open("/dev/zero", O_RDWR | O_CLOEXEC);

	(void)state;
	guard_on();
	fd = file_plain(2 * PAGE - 1);
	assert_int_equal(viommu_mem_add_fd(mem, 0, 2 * PAGE, fd, 0, 0), -ENXIO);
	assert_int_equal(viommu_mem_add_fd(mem, 0, PAGE, fd, PAGE, 0), -ENXIO);
	assert_int_equal(viommu_mem_add_fd(mem, 0, PAGE, fd, 0, 0), 0);
	assert_true(zero >= 0);
	assert_int_equal(viommu_mem_add_fd(mem, PAGE, PAGE, zero, 0, 0), -ENXIO);
	close(zero);
	close(fd);
	viommu_mem_free(mem);
}

static void places_of_removed_regions_are_used_again(void **state)
{
	uint64_t i, rounds = test_scale(20000);
	struct viommu_mem *mem = mem_new();
	int fd;
	char c;

	(void)state;
	guard_on();
	fd = file_plain(PAGE);
	/* Four at a time, more in all than the guard has places when run with a large scale. */
	for (i = 0; i < rounds; i++) {
		assert_int_equal(viommu_mem_add_fd(mem, i * PAGE, PAGE, fd, 0, 0), 0);
		if (i >= 4)
			assert_int_equal(viommu_mem_remove(mem, (i - 4) * PAGE, PAGE), 0);
	}
	assert_int_equal(ftruncate(fd, 0), 0);
	for (i = rounds - 4; i < rounds; i++)
		assert_int_equal(viommu_mem_read(mem, i * PAGE, &c, 1), -EFAULT);
	close(fd);
	viommu_mem_free(mem);
}

/*
 * A reader that finds zeroes must find the mark. To see the order, put the mark where the zeroes
 * will be: a mark that was there first is wiped out by them.
 */
static void the_mark_comes_before_the_zeroes(void **state)
{
	int fd, slot;
	uint32_t *p;

	(void)state;
	guard_on();
	fd = file_plain(2 * PAGE);
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	p[1] = 99;
	slot = viommu__guard_add(p, 2 * PAGE, p, 1);
	assert_true(slot >= 0);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(*(volatile uint32_t *)(p + PAGE / 4), 0);
	assert_int_equal(p[1], 0);
	assert_int_equal(p[0], 0);
	/* And that it was set: our view of the file has it still. */
	viommu__guard_del(slot);
	assert_int_equal(pread(fd, p, 4, 0), 4);
	assert_int_equal(p[0], 1);
	munmap(p, 2 * PAGE);
	close(fd);
}

/* ---- readers while a file shrinks */

#define READERS 3
#define PAGES   16

struct race {
	struct viommu_mem *mem;
	uint32_t round; /* readers start when it is their next; 0 ends */
	uint32_t done;
	uint32_t wrong;
};

static void *race_reader(void *arg)
{
	uint64_t page[512], v, mine = 1, i, j;
	struct race *race = arg;
	uint32_t round;
	int ret;

	for (;; mine++) {
		while ((round = load_acquire(&race->round)) != mine) {
			if (!round)
				return NULL;
			sched_yield();
		}
		/* Page 0 is the last to go: until then, and it ends. */
		for (i = 0, ret = 0; (i - 1) % PAGES || ret != -EFAULT; i++) {
			v = 0;
			ret = viommu_mem_load64(race->mem, i % PAGES * PAGE + i % 512 * 8, &v);
			if (!ret && v != UINT64_C(0x5151515151515151))
				fetch_add(&race->wrong, 1);
			ret = viommu_mem_read(race->mem, i % PAGES * PAGE, page, PAGE);
			for (j = 0; !ret && j < 512; j++)
				if (page[j] != UINT64_C(0x5151515151515151))
					fetch_add(&race->wrong, 1);
			if (ret && ret != -EFAULT)
				fetch_add(&race->wrong, 1);
		}
		fetch_add(&race->done, 1);
	}
}

static void readers_of_a_shrinking_file_see_its_bytes_or_efault(void **state)
{
	uint32_t rounds = (uint32_t)test_scale(400), i;
	pthread_t threads[READERS];
	char bytes[PAGES * 4096];
	struct race race = { 0 };
	uint64_t first;
	int fd, t;

	(void)state;
	guard_on();
	memset(bytes, 0x51, sizeof(bytes));
	race.mem = mem_new();
	race.round = UINT32_MAX;
	first = viommu__mem_lost_count();
	for (t = 0; t < READERS; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, race_reader, &race), 0);
	for (i = 1; i <= rounds; i++) {
		fd = file_plain(sizeof(bytes));
		assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
		assert_int_equal(viommu_mem_add_fd(race.mem, 0, sizeof(bytes), fd, 0, 0), 0);
		store_release(&race.done, 0);
		store_release(&race.round, i);
		/* Page by page from the end, while they read. */
		for (t = PAGES - 1; t >= 0; t--)
			assert_int_equal(ftruncate(fd, t * (off_t)PAGE), 0);
		while (load_acquire(&race.done) < READERS)
			sched_yield();
		assert_int_equal(viommu_mem_remove(race.mem, 0, sizeof(bytes)), 0);
		close(fd);
	}
	store_release(&race.round, 0);
	for (t = 0; t < READERS; t++)
		assert_int_equal(pthread_join(threads[t], NULL), 0);
	assert_int_equal(race.wrong, 0);
	/* Every round lost something: readers go on until they meet it. */
	assert_true(viommu__mem_lost_count() - first >= rounds);
	viommu_mem_free(race.mem);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(without_the_guard_files_that_can_shrink_are_refused),
	cmocka_unit_test(a_foreign_fault_reaches_the_handler_of_before),
	cmocka_unit_test(a_foreign_fault_without_handler_kills),
	cmocka_unit_test(a_handler_for_one_signal_gets_one),
	cmocka_unit_test(a_signal_that_was_sent_loses_nothing),
	cmocka_unit_test(the_guard_is_installed_once),
	cmocka_unit_test(a_lost_page_makes_its_region_a_hole),
	cmocka_unit_test(each_access_to_a_lost_page_is_efault),
	cmocka_unit_test(a_pointer_of_a_section_reads_zeroes_and_the_count_tells),
	cmocka_unit_test(a_shorter_alias_is_found_behind_a_lost_region),
	cmocka_unit_test(the_guard_is_no_leave_to_map_what_is_not_there),
	cmocka_unit_test(places_of_removed_regions_are_used_again),
	cmocka_unit_test(the_mark_comes_before_the_zeroes),
	cmocka_unit_test(readers_of_a_shrinking_file_see_its_bytes_or_efault),
};

TEST_MAIN(tests)
