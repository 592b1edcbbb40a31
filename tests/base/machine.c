/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The explorer: depth first over all states, each remembered by 128 bits of hash. Two states that
 * differ are taken for one with a chance of less than 2^-80 for ten million states.
 */
#include "base/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER   4u
#define DEPTH    512u
#define ON_STACK UINT64_C(1) /* lowest bit of a hash's second word */

struct waiting {
	uint8_t loc;
	uint8_t value;
	uint8_t flags;
};

struct thread {
	uint8_t pc;   /* instructions before it are retired */
	uint8_t base; /* where the round began */
	uint8_t done; /* loads of this round that were satisfied early; bit 0 is base */
	uint8_t bad;  /* the same: an object was freed by then */
	uint8_t acks; /* BARRIER: readers that had theirs */
	uint8_t nr_waiting;
	uint8_t reg[MACHINE_REGS];
	struct waiting waiting[BUFFER];
};

/* Bytes only: it is hashed as it lies there. */
struct state {
	uint8_t mem[MACHINE_OBJECT];
	uint8_t freed[MACHINE_OBJECTS];
	struct thread thread[MACHINE_THREADS];
};

_Static_assert(_Alignof(struct state) == 1, "no padding");

enum step_kind {
	STEP_RETIRE,
	STEP_EARLY,
	STEP_DRAIN,
	STEP_IPI,
};

struct step {
	uint8_t thread;
	uint8_t kind;
	/*
	 * RETIRE: 1 once it was tried; else the next EARLY: instruction, DRAIN: store, IPI: reader
	 */
	uint8_t index;
};

struct hash {
	uint64_t a, b; /* a is never 0 */
};

struct frame {
	struct state state;
	struct hash hash;
	struct step step; /* the last one tried */
	unsigned int nr_steps;
	bool local; /* one step is enough: the order with the others' does not matter */
};

struct explorer {
	const struct machine_program *programs;
	unsigned int nr;
	enum machine_model model;
	struct hash *table;
	uint64_t size, used;
	unsigned int depth;
	struct frame stack[DEPTH];
};

/* ---- states that were met -------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0xd6e8feb86659fd93);
	return h ^ h >> 32;
}

static struct hash state_hash(const struct state *s)
{
	struct hash h = { UINT64_C(0x243f6a8885a308d3), UINT64_C(0x13198a2e03707344) };
	const uint8_t *p = (const uint8_t *)s;
	uint64_t word;
	size_t i;

	for (i = 0; i < sizeof(*s); i += 8) {
		word = 0;
		memcpy(&word, p + i, sizeof(*s) - i < 8 ? sizeof(*s) - i : 8);
		h.a = mix(h.a, word);
		h.b = mix(h.b, word * UINT64_C(0xa3b195354a39b70d) + i);
	}
	h.a = mix(h.a, h.b) | 1;
	h.b &= ~ON_STACK;
	return h;
}

static struct hash *table_find(struct hash *table, uint64_t size, struct hash h)
{
	uint64_t i = h.a >> 1 & (size - 1);

	while (table[i].a && (table[i].a != h.a || (table[i].b & ~ON_STACK) != h.b))
		i = (i + 1) & (size - 1);
	return &table[i];
}

static void *must(void *p)
{
	if (!p) {
		fprintf(stderr, "out of memory\n");
		exit(2);
	}
	return p;
}

static void table_grow(struct explorer *x)
{
	uint64_t size = x->size ? x->size * 2 : 1 << 16, i;
	struct hash *table = must(calloc(size, sizeof(*table)));

	for (i = 0; i < x->size; i++)
		if (x->table[i].a)
			*table_find(table, size,
				    (struct hash){ x->table[i].a, x->table[i].b & ~ON_STACK }) =
				x->table[i];
	free(x->table);
	x->table = table;
	x->size = size;
}

/* ---- one step -------------------------------------------------------------------------------- */

static const struct machine_instr *instr_at(const struct explorer *x, unsigned int t,
					    unsigned int pc)
{
	return &x->programs[t].instr[pc];
}

static uint8_t load(const struct state *s, const struct thread *t, uint8_t loc)
{
	unsigned int i;

	for (i = t->nr_waiting; i-- > 0;)
		if (t->waiting[i].loc == loc)
			return t->waiting[i].value;
	return s->mem[loc];
}

static bool may_drain(const struct explorer *x, const struct thread *t, unsigned int i)
{
	const struct waiting *w = &t->waiting[i];
	unsigned int j;

	for (j = 0; j < i; j++) {
		if (t->waiting[j].loc == w->loc)
			return false;
		if (x->model == MACHINE_WEAK && (w->flags & MACHINE_RELEASE))
			return false;
		if (x->model == MACHINE_TSO && !(w->flags & MACHINE_STREAM) &&
		    !(t->waiting[j].flags & MACHINE_STREAM))
			return false;
	}
	return true;
}

/* True: it reached an object that is freed. */
static bool drain(struct state *s, struct thread *t, unsigned int i)
{
	struct waiting w = t->waiting[i];

	t->nr_waiting--;
	memmove(&t->waiting[i], &t->waiting[i + 1], (t->nr_waiting - i) * sizeof(w));
	memset(&t->waiting[t->nr_waiting], 0, sizeof(w));
	if (w.loc >= MACHINE_OBJECT)
		return s->freed[w.loc - MACHINE_OBJECT];
	s->mem[w.loc] = w.value;
	return false;
}

/* Is it something that may be done before its turn? */
static bool is_load(const struct machine_instr *i)
{
	return i->op == MACHINE_LOAD || i->op == MACHINE_READ;
}

/* Does the address of a read need what that instruction loads? (PICK is arithmetic.) */
static bool depends(const struct machine_instr *i, const struct machine_instr *before)
{
	return i->op == MACHINE_READ && before->op == MACHINE_LOAD &&
	       (before->reg == MACHINE_REG_GEN || before->reg == MACHINE_REG_ENTRY);
}

static uint8_t pick(const struct thread *t)
{
	return t->reg[MACHINE_REG_CACHED] &&
			       t->reg[MACHINE_REG_CACHED_GEN] == t->reg[MACHINE_REG_GEN]
		       ? t->reg[MACHINE_REG_CACHED]
		       : t->reg[MACHINE_REG_ENTRY];
}

static bool may_early(const struct explorer *x, const struct thread *t, unsigned int thread,
		      unsigned int pc)
{
	const struct machine_instr *i = instr_at(x, thread, pc), *b;
	unsigned int j;

	if (!is_load(i) || (t->done >> (pc - t->base) & 1))
		return false;
	for (j = t->pc; j < pc; j++) {
		b = instr_at(x, thread, j);
		if (b->flags & MACHINE_END)
			return false;
		if (b->op == MACHINE_FENCE || b->op == MACHINE_SWAP)
			return false;
		if (((b->flags & MACHINE_ACQUIRE) || depends(i, b)) &&
		    !(t->done >> (j - t->base) & 1))
			return false;
	}
	return true;
}

/* What a load does, now. Once PICK has retired, pick() gives the same again. */
static void satisfy(const struct state *s, struct thread *t, const struct machine_instr *i,
		    unsigned int bit)
{
	unsigned int object;

	if (i->op == MACHINE_LOAD) {
		t->reg[i->reg] = load(s, t, i->loc);
		return;
	}
	object = pick(t);
	if (object && s->freed[object])
		t->bad |= (uint8_t)(1u << bit);
}

static bool may_retire(const struct explorer *x, const struct state *s, unsigned int thread)
{
	const struct thread *t = &s->thread[thread];
	const struct machine_instr *i = instr_at(x, thread, t->pc);
	unsigned int r;

	switch (i->op) {
	case MACHINE_STORE:
	case MACHINE_UNLOCK:
	case MACHINE_WRITE:
		return t->nr_waiting < BUFFER;
	case MACHINE_SWAP:
	case MACHINE_FENCE:
		return !t->nr_waiting;
	case MACHINE_LOCK:
		return !t->nr_waiting && !s->mem[i->loc];
	case MACHINE_BARRIER:
		for (r = 0; r < x->nr; r++)
			if (x->programs[r].reader && !(t->acks >> r & 1))
				return false;
		return true;
	case MACHINE_WAIT:
		return !(t->reg[i->reg] & 1) || load(s, t, i->loc) != t->reg[i->reg];
	case MACHINE_WAIT_ANY:
		return load(s, t, i->loc) != t->reg[i->reg];
	default:
		return true;
	}
}

static void put(struct thread *t, uint8_t loc, unsigned int value, uint8_t flags)
{
	t->waiting[t->nr_waiting++] =
		(struct waiting){ loc, (uint8_t)value, flags & (MACHINE_RELEASE | MACHINE_STREAM) };
}

/* True: something freed was used. */
static bool retire(const struct explorer *x, struct state *s, unsigned int thread)
{
	struct thread *t = &s->thread[thread];
	const struct machine_instr *i = instr_at(x, thread, t->pc);
	unsigned int bit = t->pc - t->base, value = i->value;
	bool bad = false;

	if (i->flags & MACHINE_ADD)
		value += t->reg[i->reg];
	if (is_load(i) && !(t->done >> bit & 1))
		satisfy(s, t, i, bit);
	switch (i->op) {
	case MACHINE_PICK:
		t->reg[MACHINE_REG_PICK] = t->reg[MACHINE_REG_CACHED] = pick(t);
		t->reg[MACHINE_REG_CACHED_GEN] = t->reg[MACHINE_REG_GEN];
		break;
	case MACHINE_READ:
		bad = t->bad >> bit & 1;
		break;
	case MACHINE_STORE:
		put(t, i->loc, value, i->flags);
		break;
	case MACHINE_UNLOCK:
		put(t, i->loc, 0, MACHINE_RELEASE);
		break;
	case MACHINE_WRITE:
		if (t->reg[MACHINE_REG_PICK])
			put(t, (uint8_t)(MACHINE_OBJECT + t->reg[MACHINE_REG_PICK]), 0, i->flags);
		break;
	case MACHINE_SWAP:
		s->mem[i->loc] = (uint8_t)value;
		break;
	case MACHINE_LOCK:
		s->mem[i->loc] = 1;
		break;
	case MACHINE_BARRIER:
		t->acks = 0;
		break;
	case MACHINE_FREE:
		s->freed[t->reg[i->reg]] = 1;
		break;
	default:
		break;
	}
	t->pc++;
	if (i->flags & MACHINE_END) {
		/*
		 * Registers that the next round writes first: states that differ in them are one.
		 */
		t->base = t->pc;
		t->done = t->bad = 0;
		t->reg[MACHINE_REG_GEN] = t->reg[MACHINE_REG_ENTRY] = 0;
		t->reg[MACHINE_REG_PICK] = t->reg[MACHINE_REG_SEQ] = 0;
	}
	return bad;
}

/* What the barrier does to a reader whose buffer is empty. */
static void interrupt(struct state *s, unsigned int writer, unsigned int reader)
{
	struct thread *t = &s->thread[reader];

	t->done &= (uint8_t)((1u << (t->pc - t->base)) - 1);
	t->bad &= t->done;
	s->thread[writer].acks |= (uint8_t)(1u << reader);
}

/* The next step in the frame's state, after the one tried last. */
static bool step_next(const struct explorer *x, struct frame *f)
{
	const struct state *s = &f->state;
	struct step *st = &f->step;
	const struct thread *t;
	unsigned int nr;

	for (; st->thread < x->nr; st->thread++, st->kind = STEP_RETIRE, st->index = 0) {
		t = &s->thread[st->thread];
		nr = x->programs[st->thread].nr;
		if (st->kind == STEP_RETIRE) {
			if (t->pc < nr && !st->index++ && may_retire(x, s, st->thread))
				return true;
			st->kind = STEP_EARLY;
			st->index = t->pc + 1u;
		}
		if (st->kind == STEP_EARLY) {
			bool weak = x->model == MACHINE_WEAK && x->programs[st->thread].reader;

			for (; weak && st->index < nr && st->index < t->base + 8; st->index++) {
				if (instr_at(x, st->thread, st->index)->flags & MACHINE_END)
					break;
				if (may_early(x, t, st->thread, st->index)) {
					st->index++;
					return true;
				}
			}
			st->kind = STEP_DRAIN;
			st->index = 0;
		}
		if (st->kind == STEP_DRAIN) {
			for (; st->index < t->nr_waiting; st->index++) {
				if (may_drain(x, t, st->index)) {
					st->index++;
					return true;
				}
			}
			st->kind = STEP_IPI;
			st->index = 0;
		}
		if (t->pc >= nr || instr_at(x, st->thread, t->pc)->op != MACHINE_BARRIER ||
		    t->nr_waiting)
			continue;
		for (; st->index < x->nr; st->index++) {
			if (x->programs[st->index].reader && !(t->acks >> st->index & 1) &&
			    !s->thread[st->index].nr_waiting) {
				st->index++;
				return true;
			}
		}
	}
	return false;
}

static bool step_do(const struct explorer *x, const struct step *st, struct state *s)
{
	struct thread *t = &s->thread[st->thread];
	unsigned int i = st->index - 1u;

	switch (st->kind) {
	case STEP_RETIRE:
		return retire(x, s, st->thread);
	case STEP_EARLY:
		satisfy(s, t, instr_at(x, st->thread, i), i - t->base);
		t->done |= (uint8_t)(1u << (i - t->base));
		return false;
	case STEP_DRAIN:
		return drain(s, t, i);
	default:
		interrupt(s, st->thread, i);
		return false;
	}
}

/* ---- all of them ----------------------------------------------------------------------------- */

static bool ended(const struct explorer *x, const struct state *s)
{
	unsigned int t;

	for (t = 0; t < x->nr; t++)
		if (s->thread[t].pc < x->programs[t].nr || s->thread[t].nr_waiting)
			return false;
	return true;
}

static void print_trace(const struct explorer *x)
{
	static const char *const kinds[] = { "", "early: ", "reaches memory: store ",
					     "barrier in reader " };
	unsigned int d;

	for (d = 0; d < x->depth; d++) {
		const struct frame *f = &x->stack[d];
		const struct thread *t = &f->state.thread[f->step.thread];

		printf("#   thread %u: %s", f->step.thread, kinds[f->step.kind]);
		if (f->step.kind == STEP_RETIRE)
			printf("%s\n", instr_at(x, f->step.thread, t->pc)->text);
		else if (f->step.kind == STEP_EARLY)
			printf("%s\n", instr_at(x, f->step.thread, f->step.index - 1u)->text);
		else if (f->step.kind == STEP_DRAIN)
			printf("[%u] = %u\n", t->waiting[f->step.index - 1u].loc,
			       t->waiting[f->step.index - 1u].value);
		else
			printf("%u\n", f->step.index - 1u);
	}
}

/* A step that commutes with every step of the other threads, and that they cannot take away. */
static bool step_local(const struct explorer *x, const struct state *s, struct step *out)
{
	const struct machine_instr *i;
	unsigned int t;

	for (t = 0; t < x->nr; t++) {
		if (s->thread[t].pc >= x->programs[t].nr)
			continue;
		i = instr_at(x, t, s->thread[t].pc);
		if (i->op == MACHINE_PICK || (i->flags & MACHINE_LOCAL) ||
		    /* A reader's store would delay the barrier. */
		    (!x->programs[t].reader && may_retire(x, s, t) &&
		     (i->op == MACHINE_STORE || i->op == MACHINE_UNLOCK))) {
			*out = (struct step){ (uint8_t)t, STEP_RETIRE, 1 };
			return true;
		}
	}
	return false;
}

/* Push a state that was not met before. GOOD, or LIVELOCK if it stands on the stack. */
static enum machine_verdict push(struct explorer *x, const struct state *s, uint64_t *states)
{
	struct hash h = state_hash(s), *place;
	struct frame *f;

	if (x->used * 2 >= x->size)
		table_grow(x);
	place = table_find(x->table, x->size, h);
	if (place->a)
		return place->b & ON_STACK ? MACHINE_LIVELOCK : MACHINE_GOOD;
	if (x->depth == DEPTH) {
		fprintf(stderr, "a run of the machine is longer than %u steps\n", DEPTH);
		exit(2);
	}
	*place = (struct hash){ h.a, h.b | ON_STACK };
	x->used++;
	++*states;
	f = &x->stack[x->depth++];
	f->state = *s;
	f->hash = h;
	f->step = (struct step){ 0 };
	f->nr_steps = 0;
	f->local = step_local(x, s, &f->step);
	return MACHINE_GOOD;
}

void machine_explore(const struct machine_program *programs, unsigned int nr,
		     enum machine_model model, bool loud, struct machine_result *out)
{
	struct explorer *x = must(calloc(1, sizeof(*x)));
	struct state s = { .mem[MACHINE_ENTRY] = 1 };

	*out = (struct machine_result){ 0 };
	x->programs = programs;
	x->nr = nr;
	x->model = model;
	push(x, &s, &out->states);
	while (x->depth && !out->verdict) {
		struct frame *f = &x->stack[x->depth - 1];

		if (f->local ? !f->nr_steps : step_next(x, f)) {
			f->nr_steps++;
			out->steps++;
			s = f->state;
			out->verdict = step_do(x, &f->step, &s) ? MACHINE_USE_AFTER_FREE
								: push(x, &s, &out->states);
			continue;
		}
		if (!f->nr_steps) {
			if (ended(x, &f->state))
				out->ends++;
			else
				out->verdict = MACHINE_DEADLOCK;
		}
		if (!out->verdict) {
			table_find(x->table, x->size, f->hash)->b &= ~ON_STACK;
			x->depth--;
		}
	}
	if (loud && out->verdict) {
		printf("# %s:\n", machine_verdict_name(out->verdict));
		print_trace(x);
	}
	free(x->table);
	free(x);
}

const char *machine_verdict_name(enum machine_verdict verdict)
{
	static const char *const names[] = { "no bug", "use after free", "deadlock", "livelock" };

	return names[verdict];
}
