/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Listeners: who is told what, in which order, what is true while they are told, and what a
 * refusal undoes.
 */
#include "mem/mem.h"

#include "mem/files.h"

static char arena[16 * 4096] __attribute__((aligned(4096)));

struct listener {
	struct viommu__mem_listener l;
	struct viommu_mem *mem;
	char name;
	int refuse_at; /* the call of added() that refuses, 1 is the first; 0: none */
	int calls;
	int holds; /* regions that it was told of and that were not removed */
};

/* "+a1" for added(region at page 1) of listener a, "-a1" for removed, "!a1" for a refusal. */
static char log_text[512];

static void log_add(char what, const struct listener *l, const struct viommu_mem_region *r)
{
	size_t n = strlen(log_text);

	snprintf(log_text + n, sizeof(log_text) - n, "%c%c%u ", what, l->name,
		 (unsigned int)(r->gpa / PAGE));
}

static int added(struct viommu__mem_listener *base, const struct viommu_mem_region *r)
{
	struct listener *l = list_entry(base, struct listener, l);

	assert_int_equal(r->lost, 0);
	/* The bytes are there. */
	assert_int_equal(*(volatile char *)r->host, 0);
	if (++l->calls == l->refuse_at) {
		log_add('!', l, r);
		return -EBUSY;
	}
	l->holds++;
	log_add('+', l, r);
	return 0;
}

static void removed(struct viommu__mem_listener *base, const struct viommu_mem_region *r)
{
	struct listener *l = list_entry(base, struct listener, l);

	/* Whoever got the region by a listener may use it until here. */
	assert_int_equal(*(volatile char *)r->host, 0);
	l->holds--;
	log_add('-', l, r);
}

static void listener_init(struct listener *l, struct viommu_mem *mem, char name)
{
	*l = (struct listener){ .l = { .added = added, .removed = removed },
				.mem = mem,
				.name = name };
}

static void log_is(const char *expect)
{
	assert_string_equal(log_text, expect);
	log_text[0] = 0;
}

static struct viommu_mem *mem_new(void)
{
	struct viommu_mem *mem;

	log_text[0] = 0;
	assert_int_equal(viommu_mem_new(&mem), 0);
	return mem;
}

static void add(struct viommu_mem *mem, unsigned int page, int ret)
{
	assert_int_equal(viommu_mem_add_ptr(mem, page * PAGE, PAGE, arena + page * PAGE, 0), ret);
}

static void listeners_hear_of_what_comes_and_goes(void **state)
{
	struct viommu_mem *mem = mem_new();
	struct listener a, b;

	(void)state;
	listener_init(&a, mem, 'a');
	listener_init(&b, mem, 'b');
	add(mem, 3, 0);
	add(mem, 1, 0);
	log_is("");
	assert_int_equal(viommu__mem_listen(mem, &a.l), 0);
	log_is("+a1 +a3 ");
	add(mem, 2, 0);
	log_is("+a2 ");
	assert_int_equal(viommu__mem_listen(mem, &b.l), 0);
	log_is("+b1 +b2 +b3 ");
	add(mem, 5, 0);
	log_is("+a5 +b5 ");
	assert_int_equal(viommu_mem_remove(mem, 2 * PAGE, PAGE), 0);
	log_is("-a2 -b2 ");
	viommu__mem_unlisten(mem, &a.l);
	log_is("-a1 -a3 -a5 ");
	assert_int_equal(viommu_mem_remove(mem, 0, 16 * PAGE), 0);
	assert_int_equal(strlen(log_text), strlen("-b1 -b3 -b5 "));
	assert_int_equal(b.holds, 0);
	log_text[0] = 0;
	viommu__mem_unlisten(mem, &b.l);
	log_is("");
	viommu_mem_free(mem);
}

static void a_file_is_mapped_while_listeners_know_it(void **state)
{
	struct viommu_mem *mem = mem_new();
	int fd = file_sealed(4 * PAGE);
	struct listener a;

	(void)state;
	listener_init(&a, mem, 'a');
	assert_int_equal(viommu__mem_listen(mem, &a.l), 0);
	assert_int_equal(viommu_mem_add_fd(mem, PAGE, 4 * PAGE, fd, 0, 0), 0);
	assert_int_equal(viommu_mem_remove(mem, PAGE, 4 * PAGE), 0);
	/* removed() touched it. */
	log_is("+a1 -a1 ");
	/* A refusal unmaps it again; the next attempt finds the place free. */
	a.refuse_at = 2;
	assert_int_equal(viommu_mem_add_fd(mem, PAGE, 4 * PAGE, fd, 0, 0), -EBUSY);
	assert_int_equal(viommu_mem_add_fd(mem, PAGE, 4 * PAGE, fd, 0, 0), 0);
	log_is("!a1 +a1 ");
	viommu__mem_unlisten(mem, &a.l);
	viommu_mem_free(mem);
	close(fd);
}

static void a_refused_region_was_never_there(void **state)
{
	struct viommu_mem *mem = mem_new();
	struct viommu_mem_region r;
	struct listener a, b, c;
	uint64_t v;

	(void)state;
	listener_init(&a, mem, 'a');
	listener_init(&b, mem, 'b');
	listener_init(&c, mem, 'c');
	assert_int_equal(viommu__mem_listen(mem, &a.l), 0);
	assert_int_equal(viommu__mem_listen(mem, &b.l), 0);
	assert_int_equal(viommu__mem_listen(mem, &c.l), 0);
	add(mem, 1, 0);
	log_is("+a1 +b1 +c1 ");
	c.refuse_at = 2;
	add(mem, 2, -EBUSY);
	log_is("+a2 +b2 !c2 -a2 -b2 ");
	assert_int_equal(viommu_mem_read(mem, 2 * PAGE, &v, 8), -EFAULT);
	assert_int_equal(viommu_mem_next(mem, 2 * PAGE, &r), -ENOENT);
	a.refuse_at = 3;
	add(mem, 2, -EBUSY);
	log_is("!a2 ");
	add(mem, 2, 0);
	log_is("+a2 +b2 +c2 ");
	viommu__mem_unlisten(mem, &b.l);
	log_is("-b1 -b2 ");
	viommu__mem_unlisten(mem, &c.l);
	viommu__mem_unlisten(mem, &a.l);
	viommu_mem_free(mem);
}

static void a_listener_that_refuses_is_not_registered(void **state)
{
	struct viommu_mem *mem = mem_new();
	struct listener a;
	unsigned int i;

	(void)state;
	listener_init(&a, mem, 'a');
	for (i = 1; i <= 4; i++)
		add(mem, i, 0);
	a.refuse_at = 3;
	assert_int_equal(viommu__mem_listen(mem, &a.l), -EBUSY);
	log_is("+a1 +a2 !a3 -a1 -a2 ");
	a.calls = 0;
	a.refuse_at = 1;
	assert_int_equal(viommu__mem_listen(mem, &a.l), -EBUSY);
	log_is("!a1 ");
	add(mem, 5, 0);
	assert_int_equal(viommu_mem_remove(mem, PAGE, PAGE), 0);
	log_is("");
	assert_int_equal(viommu__mem_listen(mem, &a.l), 0);
	log_is("+a2 +a3 +a4 +a5 ");
	viommu__mem_unlisten(mem, &a.l);
	assert_int_equal(a.holds, 0);
	viommu_mem_free(mem);
}

struct prober {
	struct viommu__mem_listener l;
	struct viommu_mem *mem;
	int added_read, removed_read, removed_next;
	bool removed_host;
};

static int prober_added(struct viommu__mem_listener *base, const struct viommu_mem_region *r)
{
	struct prober *p = list_entry(base, struct prober, l);
	uint64_t v;

	p->added_read = viommu_mem_read(p->mem, r->gpa, &v, 8);
	return 0;
}

static void prober_removed(struct viommu__mem_listener *base, const struct viommu_mem_region *r)
{
	struct prober *p = list_entry(base, struct prober, l);
	unsigned token = viommu__mem_enter(p->mem);
	struct viommu_mem_region next;
	uint64_t v;
	bool w;

	p->removed_read = viommu_mem_read(p->mem, r->gpa, &v, 8);
	p->removed_next = viommu_mem_next(p->mem, 0, &next);
	p->removed_host = viommu__mem_has_host(p->mem, r->host, 1, &w);
	viommu__mem_leave(p->mem, token);
}

static void readers_no_longer_find_what_listeners_are_told_is_going(void **state)
{
	struct viommu_mem *mem = mem_new();
	struct prober p = { .l = { .added = prober_added, .removed = prober_removed },
			    .mem = mem,
			    .removed_host = true };

	(void)state;
	assert_int_equal(viommu__mem_listen(mem, &p.l), 0);
	add(mem, 1, 0);
	/* Not yet: the last listener may refuse. */
	assert_int_equal(p.added_read, -EFAULT);
	assert_int_equal(viommu_mem_remove(mem, PAGE, PAGE), 0);
	assert_int_equal(p.removed_read, -EFAULT);
	assert_int_equal(p.removed_next, -ENOENT);
	assert_false(p.removed_host);
	viommu__mem_unlisten(mem, &p.l);
	viommu_mem_free(mem);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(listeners_hear_of_what_comes_and_goes),
	cmocka_unit_test(a_file_is_mapped_while_listeners_know_it),
	cmocka_unit_test(a_refused_region_was_never_there),
	cmocka_unit_test(a_listener_that_refuses_is_not_registered),
	cmocka_unit_test(readers_no_longer_find_what_listeners_are_told_is_going),
};

TEST_MAIN(tests)
