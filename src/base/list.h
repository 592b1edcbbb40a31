/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An intrusive doubly linked list with a head of the same type:
 *
 *	head <-> a <-> b <-> head		an empty head points at itself
 *
 * No locking: whoever owns the head guards it.
 */
#ifndef VIOMMU_BASE_LIST_H
#define VIOMMU_BASE_LIST_H

#include <stdbool.h>

#include "base/bits.h"

struct list {
	struct list *next;
	struct list *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l;
	l->prev = l;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

/* Put node in front of pos; with a head as pos that is the tail of the list. */
static inline void list_add_before(struct list *pos, struct list *node)
{
	node->prev = pos->prev;
	node->next = pos;
	pos->prev->next = node;
	pos->prev = node;
}

static inline void list_add_tail(struct list *head, struct list *node)
{
	list_add_before(head, node);
}

static inline void list_add_head(struct list *head, struct list *node)
{
	list_add_before(head->next, node);
}

/* Leaves node as an empty list, so that deleting it again does nothing. */
static inline void list_del(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* Move all of from to the tail of to; from is empty afterwards. */
static inline void list_splice_tail(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)

/* The first entry; the list is not empty. */
#define list_first(head, type, member) list_entry((head)->next, type, member)

#define list_for_each(pos, head) for ((pos) = (head)->next; (pos) != (head); (pos) = (pos)->next)

/* The body may delete pos. */
#define list_for_each_safe(pos, tmp, head)                               \
	for ((pos) = (head)->next, (tmp) = (pos)->next; (pos) != (head); \
	     (pos) = (tmp), (tmp) = (pos)->next)

#define list_for_each_entry(pos, head, member)                             \
	for ((pos) = list_entry((head)->next, __typeof__(*(pos)), member); \
	     &(pos)->member != (head);                                     \
	     (pos) = list_entry((pos)->member.next, __typeof__(*(pos)), member))

/* The body may delete and free pos. */
#define list_for_each_entry_safe(pos, tmp, head, member)                        \
	for ((pos) = list_entry((head)->next, __typeof__(*(pos)), member),      \
	    (tmp) = list_entry((pos)->member.next, __typeof__(*(pos)), member); \
	     &(pos)->member != (head);                                          \
	     (pos) = (tmp), (tmp) = list_entry((pos)->member.next, __typeof__(*(pos)), member))

#endif /* VIOMMU_BASE_LIST_H */
