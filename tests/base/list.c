/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The intrusive list: order, deletion while iterating, splicing.
 */
#include "base/list.h"

#include "lib/test.h"

struct item {
	int value;
	struct list node;
};

static void expect(struct list *head, const int *values, int n)
{
	struct item *it;
	int i = 0;

	list_for_each_entry(it, head, node) {
		assert_true(i < n);
		assert_int_equal(it->value, values[i++]);
	}
	assert_int_equal(i, n);
}

static void items_keep_their_order(void **state)
{
	struct item a = { .value = 1 }, b = { .value = 2 }, c = { .value = 3 };
	struct list head;

	(void)state;
	list_init(&head);
	assert_true(list_empty(&head));
	list_add_tail(&head, &b.node);
	list_add_tail(&head, &c.node);
	list_add_head(&head, &a.node);
	expect(&head, (int[]){ 1, 2, 3 }, 3);
	assert_ptr_equal(list_first(&head, struct item, node), &a);
}

static void items_can_be_deleted_while_iterating(void **state)
{
	struct item items[6], *it, *tmp;
	struct list head;
	int i;

	(void)state;
	list_init(&head);
	for (i = 0; i < 6; i++) {
		items[i].value = i;
		list_add_tail(&head, &items[i].node);
	}
	list_for_each_entry_safe(it, tmp, &head, node)
		if (it->value % 2)
			list_del(&it->node);
	expect(&head, (int[]){ 0, 2, 4 }, 3);
	list_del(&items[1].node);
	expect(&head, (int[]){ 0, 2, 4 }, 3);
}

static void splice_moves_everything_to_the_tail(void **state)
{
	struct item a = { .value = 1 }, b = { .value = 2 }, c = { .value = 3 };
	struct list to, from;

	(void)state;
	list_init(&to);
	list_init(&from);
	list_splice_tail(&to, &from);
	assert_true(list_empty(&to));
	list_add_tail(&to, &a.node);
	list_add_tail(&from, &b.node);
	list_add_tail(&from, &c.node);
	list_splice_tail(&to, &from);
	expect(&to, (int[]){ 1, 2, 3 }, 3);
	assert_true(list_empty(&from));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(items_keep_their_order),
	cmocka_unit_test(items_can_be_deleted_while_iterating),
	cmocka_unit_test(splice_moves_everything_to_the_tail),
};
TEST_MAIN(tests)
