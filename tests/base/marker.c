/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The protocol of src/base/marker.h, explored: every interleaving of one and two readers with one
 * and two writers over several rounds, store buffers included, on x86 and on a weaker machine (see
 * machine.h). No reader uses what a writer freed, and nobody waits for ever.
 *
 * The protocol stands here as two tables, one line a step, with the text of that step in the
 * sources; a test compares. Each way to weaken it (a step left out, put elsewhere, made weaker) has
 * to give a bug: so the explorer can find one, and every step is needed.
 */
#include "base/machine.h"
#include "base/bits.h"
#include "lib/test.h"

enum step_id {
	R_MARK,
	R_FENCE,
	R_GEN,
	R_ENTRY,
	R_PICK,
	R_READ,
	R_WRITE,
	R_SFENCE,
	R_UNMARK,
	W_LOCK_HOST,
	W_OLD,
	W_CLEAR,
	W_OLD_GEN,
	W_BUMP,
	W_UNLOCK_HOST,
	W_LOCK,
	W_BARRIER,
	W_LOOK, /* this and the next one for each reader */
	W_WAIT,
	W_UNLOCK,
	W_FREE,
};

struct step {
	enum step_id id;
	struct machine_instr instr;
	const char *file; /* where text stands, in this order; NULL: in no file of the protocol */
};

#define NO_FILE NULL

/* One section of a reader; loc and value of its marker are filled in. */
static const struct step reader[] = {
	{ R_MARK,
	  { .op = MACHINE_STORE, .text = "store_relaxed(&m->seq, m->seq + 1);" },
	  "src/base/marker.h" },
	{ R_GEN,
	  { MACHINE_LOAD, MACHINE_GEN, MACHINE_REG_GEN, 0, MACHINE_ACQUIRE, "&rec->gen);" },
	  "src/dma/cache.h" },
	{ R_ENTRY,
	  { MACHINE_LOAD, MACHINE_ENTRY, MACHINE_REG_ENTRY, 0, 0, "load the entry" },
	  NO_FILE },
	{ R_PICK,
	  { .op = MACHINE_PICK, .text = "gen_sum(dma->host, slot, dev, pasid) != more->sum" },
	  "src/dma/miss.c" },
	{ R_READ, { .op = MACHINE_READ, .text = "read the page" }, NO_FILE },
	{ R_WRITE, { .op = MACHINE_WRITE, .text = "write the page" }, NO_FILE },
	{ R_UNMARK,
	  { .op = MACHINE_STORE,
	    .flags = MACHINE_RELEASE | MACHINE_END,
	    .text = "store_release(&m->seq, m->seq + 1);" },
	  "src/base/marker.h" },
};

/*
 * MACHINE_LOCAL: the lock keeps the other writer away, and only writers change entry and
 * generation.
 */
/* One unbind, rebind or invalidation; the new entry is filled in. */
static const struct step writer[] = {
	{ W_LOCK_HOST, { MACHINE_LOCK, MACHINE_LOCK_A, 0, 0, 0, "lock the host" }, NO_FILE },
	{ W_OLD,
	  { MACHINE_LOAD, MACHINE_ENTRY, MACHINE_REG_ENTRY, 0, MACHINE_LOCAL,
	    "load the old entry" },
	  NO_FILE },
	{ W_CLEAR,
	  { MACHINE_STORE, MACHINE_ENTRY, 0, 0, MACHINE_RELEASE, "replace the entry" },
	  NO_FILE },
	{ W_OLD_GEN,
	  { MACHINE_LOAD, MACHINE_GEN, MACHINE_REG_GEN, 0, MACHINE_LOCAL, "load gen" },
	  NO_FILE },
	{ W_BUMP,
	  { MACHINE_STORE, MACHINE_GEN, MACHINE_REG_GEN, 1, MACHINE_RELEASE | MACHINE_ADD,
	    "store_release(gen, *gen + 2);" },
	  "src/host/soft.h" },
	{ W_UNLOCK_HOST, { MACHINE_UNLOCK, MACHINE_LOCK_A, 0, 0, 0, "unlock the host" }, NO_FILE },
	{ W_LOCK,
	  { MACHINE_LOCK, MACHINE_LOCK_B, 0, 0, 0, "pthread_mutex_lock(&ms->lock);" },
	  "src/base/marker.c drain" },
	{ W_BARRIER,
	  { .op = MACHINE_BARRIER, .text = "membarrier_all();" },
	  "src/base/marker.c drain" },
	{ W_LOOK,
	  { .op = MACHINE_LOAD, .reg = MACHINE_REG_SEQ, .text = "load_seqcst(&m->seq);" },
	  "src/base/marker.c wait" },
	{ W_WAIT,
	  { .op = MACHINE_WAIT,
	    .reg = MACHINE_REG_SEQ,
	    .text = "while (load_acquire(&m->seq) == seq) {" },
	  "src/base/marker.c wait" },
	{ W_UNLOCK,
	  { MACHINE_UNLOCK, MACHINE_LOCK_B, 0, 0, 0, "pthread_mutex_unlock(&ms->lock);" },
	  "src/base/marker.c drain" },
	{ W_FREE,
	  { MACHINE_FREE, 0, MACHINE_REG_ENTRY, 0, MACHINE_END, "free the old page" },
	  NO_FILE },
};

/*
 * A hit within a page asks one number, the host's count of changes, where others ask the
 * generations: for the protocol it is the generation. Each generation is followed by the count, and
 * who remembers the count has read it before the generations.
 */
static const struct step hit[] = {
	{ R_MARK, { .text = "incq %[seq]" }, "src/base/marker.h" },
	{ R_MARK, { .text = "viommu__marker_enter_light(&dma->marker);" }, "src/dma/rw.c" },
	{ R_GEN, { .text = "load_acquire(&dma->host->changes) != slot->changes" }, "src/dma/rw.c" },
	{ R_UNMARK, { .text = "viommu__marker_leave(&dma->marker);" }, "src/dma/rw.c" },
	{ R_GEN, { .text = "uint64_t changes = slot_changes(dma), sum;" }, "src/dma/miss.c fill" },
	{ R_PICK, { .text = "viommu__dma_path(" }, "src/dma/miss.c fill" },
	{ R_GEN, { .text = "uint64_t changes = slot_changes(dma);" }, "src/dma/miss.c good" },
	{ R_PICK, { .text = "gen_sum(" }, "src/dma/miss.c good" },
	{ W_BUMP,
	  { .text = "store_release(&host->changes, host->changes + 1);" },
	  "src/host/soft.h" },
	{ W_OLD_GEN, { .text = "store_release(gen, *gen + 2);" }, "src/host/soft.h" },
	{ W_BUMP, { .text = "viommu__changed(host);" }, "src/host/soft.h" },
	{ W_OLD_GEN, { .text = "store_relaxed(&rec->ext, plan->ext);" }, "src/host/bind.c" },
	{ W_OLD_GEN, { .text = "store_release(&rec->gen, rec->gen + 1);" }, "src/host/bind.c" },
	{ W_BUMP, { .text = "viommu__changed(dev->host);" }, "src/host/bind.c" },
	{ W_OLD_GEN, { .text = "store_release(&rec->gen, rec->gen + 1);" }, "src/host/bind.c" },
	{ W_BUMP, { .text = "viommu__changed(dev->host);" }, "src/host/bind.c" },
};

/* ---- ways to change it ----------------------------------------------------------------------- */

enum change_kind {
	NO_CHANGE = 0,
	DROP,     /* leave step a out */
	BEFORE,   /* put step a right before step b */
	RELAX,    /* take acquire and release from a */
	FENCE,    /* a is a fence of its own thread alone */
	SWAP,     /* a is a locked exchange */
	STREAM,   /* a may be overtaken by the stores after it */
	ADD,      /* put a fence right before b */
	WAIT_ANY, /* wait for a change also of a marker that is even */
};

struct change {
	enum change_kind kind;
	enum step_id a, b;
};

struct variant {
	const char *name;
	struct change change[3];
};

#define STEPS 16u

static int step_index(const struct step *s, unsigned int nr, enum step_id id)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (s[i].id == id)
			return (int)i;
	return -1;
}

static void step_insert(struct step *s, unsigned int *nr, unsigned int at, struct step what)
{
	assert_true(*nr < STEPS);
	memmove(&s[at + 1], &s[at], (*nr - at) * sizeof(*s));
	s[at] = what;
	++*nr;
}

static struct step step_take(struct step *s, unsigned int *nr, unsigned int at)
{
	struct step out = s[at];

	--*nr;
	memmove(&s[at], &s[at + 1], (*nr - at) * sizeof(*s));
	return out;
}

/* The round ends with its last step, wherever that is now. */
static void step_end(struct step *s, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		s[i].instr.flags &= (uint8_t)~MACHINE_END;
	s[nr - 1].instr.flags |= MACHINE_END;
}

static void change_apply(const struct change *c, struct step *s, unsigned int *nr)
{
	static const struct step fence = { R_SFENCE,
					   { .op = MACHINE_FENCE, .text = "a fence" },
					   NO_FILE };
	int a = step_index(s, *nr, c->a);
	struct step taken;

	if (c->kind == ADD) {
		a = step_index(s, *nr, c->b);
		if (a >= 0)
			step_insert(s, nr, (unsigned int)a, fence);
		return;
	}
	if (c->kind == NO_CHANGE || a < 0)
		return;
	switch (c->kind) {
	case DROP:
		step_take(s, nr, (unsigned int)a);
		break;
	case BEFORE:
		taken = step_take(s, nr, (unsigned int)a);
		step_insert(s, nr, (unsigned int)step_index(s, *nr, c->b), taken);
		break;
	case RELAX:
		s[a].instr.flags &= (uint8_t) ~(MACHINE_ACQUIRE | MACHINE_RELEASE);
		break;
	case FENCE:
		s[a].instr.op = MACHINE_FENCE;
		break;
	case SWAP:
		s[a].instr.op = MACHINE_SWAP;
		break;
	case STREAM:
		s[a].instr.flags |= MACHINE_STREAM;
		break;
	default:
		s[a].instr.op = MACHINE_WAIT_ANY;
	}
	step_end(s, *nr);
}

static unsigned int changed(const struct step *base, unsigned int nr, const struct variant *v,
			    struct step *out)
{
	unsigned int i;

	memcpy(out, base, nr * sizeof(*base));
	for (i = 0; v && i < ARRAY_SIZE(v->change); i++)
		change_apply(&v->change[i], out, &nr);
	return nr;
}

/* ---- programs -------------------------------------------------------------------------------- */

/* Rounds of each thread. */
struct shape {
	unsigned int reader[2], writer[2];
};

static void emit(struct machine_program *p, struct machine_instr i)
{
	assert_true(p->nr < MACHINE_INSTRS);
	p->instr[p->nr++] = i;
}

static void reader_program(struct machine_program *p, const struct variant *v, unsigned int n,
			   unsigned int rounds)
{
	struct step s[STEPS];
	unsigned int nr = changed(reader, ARRAY_SIZE(reader), v, s), round, i;

	memset(p, 0, sizeof(*p));
	p->reader = true;
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < nr; i++) {
			struct machine_instr in = s[i].instr;

			if (s[i].id == R_MARK || s[i].id == R_UNMARK) {
				in.loc = (uint8_t)(MACHINE_SEQ + n);
				in.value = (uint8_t)(round * 2 + (s[i].id == R_MARK ? 1 : 2));
			}
			emit(p, in);
		}
	}
}

static void writer_program(struct machine_program *p, const struct variant *v, unsigned int readers,
			   unsigned int first_object, unsigned int rounds)
{
	struct step s[STEPS];
	unsigned int nr = changed(writer, ARRAY_SIZE(writer), v, s), round, i, r;
	struct machine_instr in;

	memset(p, 0, sizeof(*p));
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < nr; i++) {
			in = s[i].instr;
			if (s[i].id == W_CLEAR)
				in.value = (uint8_t)(first_object + round);
			if (s[i].id != W_LOOK) {
				if (s[i].id != W_WAIT)
					emit(p, in);
				continue;
			}
			for (r = 0; r < readers; r++) {
				in = s[i].instr;
				in.loc = (uint8_t)(MACHINE_SEQ + r);
				emit(p, in);
				if (i + 1 < nr && s[i + 1].id == W_WAIT) {
					in = s[i + 1].instr;
					in.loc = (uint8_t)(MACHINE_SEQ + r);
					emit(p, in);
				}
			}
		}
	}
}

static void explore(const struct variant *v, const struct shape *sh, enum machine_model model,
		    bool loud, struct machine_result *out)
{
	static struct machine_program programs[MACHINE_THREADS];
	unsigned int readers = sh->reader[1] ? 2 : 1, i, nr = 0, object = 2;

	for (i = 0; i < readers; i++)
		reader_program(&programs[nr++], v, i, sh->reader[i]);
	for (i = 0; i < 2 && sh->writer[i]; object += sh->writer[i++])
		writer_program(&programs[nr++], v, readers, object, sh->writer[i]);
	assert_true(object <= MACHINE_OBJECTS);
	machine_explore(programs, nr, model, loud, out);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static const char *const model_names[] = { "x86", "weak" };

#define QUICK_SHAPES 3u

/* From QUICK_SHAPES on: millions of states, explored if VIOMMU_SCALE asks for more. */
static const struct shape shapes[] = {
	{ { 3, 0 }, { 2, 0 } }, { { 2, 0 }, { 1, 1 } }, { { 2, 1 }, { 1, 0 } },
	{ { 1, 1 }, { 1, 1 } }, { { 5, 0 }, { 4, 0 } }, { { 3, 0 }, { 1, 1 } },
	{ { 2, 1 }, { 2, 0 } }, { { 2, 1 }, { 1, 1 } },
};

static void hold_shape(const struct variant *v, enum machine_model model, const struct shape *sh)
{
	struct machine_result r;

	explore(v, sh, model, true, &r);
	printf("# %s, %s: %u + %u sections against %u + %u changes: %llu states, %llu steps, %llu "
	       "ends: %s\n",
	       v ? v->name : "as it is", model_names[model], sh->reader[0], sh->reader[1],
	       sh->writer[0], sh->writer[1], (unsigned long long)r.states,
	       (unsigned long long)r.steps, (unsigned long long)r.ends,
	       machine_verdict_name(r.verdict));
	assert_int_equal(r.verdict, MACHINE_GOOD);
	assert_true(r.ends > 0);
}

static void hold(const struct variant *v, enum machine_model model)
{
	unsigned int nr = test_scale(1) > 1 ? ARRAY_SIZE(shapes) : QUICK_SHAPES, i;

	/* A billion states say no more about the weak machine than a hundred million. */
	if (nr > QUICK_SHAPES && model == MACHINE_WEAK)
		nr -= 2;
	for (i = 0; i < nr; i++)
		hold_shape(v, model, &shapes[i]);
}

static void no_reader_uses_what_was_freed(void **state)
{
	(void)state;
	hold(NULL, MACHINE_TSO);
	hold_shape(NULL, MACHINE_TSO, &shapes[QUICK_SHAPES]);
}

static void nor_on_a_machine_that_reorders_more(void **state)
{
	(void)state;
	hold(NULL, MACHINE_WEAK);
}

/* Where the kernel has no membarrier (m->fence): a fence in the reader and one in the writer. */
static const struct variant fences = { "fences for membarrier",
				       { { ADD, 0, R_GEN }, { FENCE, W_BARRIER, 0 } } };
/* VIOMMU_MARKER_SEQCST. */
static const struct variant seqcst = { "locked exchange",
				       { { SWAP, R_MARK, 0 }, { FENCE, W_BARRIER, 0 } } };
/* A copy that goes past the caches, and the fence after it. */
static const struct variant streaming = { "streaming stores",
					  { { STREAM, R_WRITE, 0 }, { ADD, 0, R_UNMARK } } };

static void real_fences_do_as_well(void **state)
{
	(void)state;
	hold(&fences, MACHINE_TSO);
	hold(&fences, MACHINE_WEAK);
	hold(&seqcst, MACHINE_TSO);
}

static void streaming_stores_need_the_fence_they_have(void **state)
{
	static const struct variant without = { "streaming stores, no fence",
						{ { STREAM, R_WRITE, 0 } } };
	struct machine_result r;

	(void)state;
	hold(&streaming, MACHINE_TSO);
	explore(&without, &shapes[0], MACHINE_TSO, false, &r);
	assert_int_equal(r.verdict, MACHINE_USE_AFTER_FREE);
}

static const struct {
	struct variant v;
	bool weak_only; /* x86 keeps this order anyway */
	enum machine_verdict verdict;
} broken[] = {
	{ { "no membarrier", { { DROP, W_BARRIER, 0 } } }, false, MACHINE_USE_AFTER_FREE },
	{ { "a fence in the writer alone", { { FENCE, W_BARRIER, 0 } } },
	  false,
	  MACHINE_USE_AFTER_FREE },
	/* The lock is a fence of the writer's, too. */
	{ { "a fence in the reader alone",
	    { { DROP, W_BARRIER, 0 }, { DROP, W_LOCK, 0 }, { ADD, 0, R_GEN } } },
	  false,
	  MACHINE_USE_AFTER_FREE },
	{ { "membarrier before the change", { { BEFORE, W_BARRIER, W_LOCK_HOST } } },
	  false,
	  MACHINE_USE_AFTER_FREE },
	{ { "membarrier after the wait", { { BEFORE, W_BARRIER, W_UNLOCK } } },
	  false,
	  MACHINE_USE_AFTER_FREE },
	{ { "no wait", { { DROP, W_WAIT, 0 }, { DROP, W_LOOK, 0 } } },
	  false,
	  MACHINE_USE_AFTER_FREE },
	{ { "free before the wait", { { BEFORE, W_FREE, W_LOOK } } },
	  false,
	  MACHINE_USE_AFTER_FREE },
	{ { "a marker that is even is waited for", { { WAIT_ANY, W_WAIT, 0 } } },
	  false,
	  MACHINE_DEADLOCK },
	{ { "no marker", { { DROP, R_MARK, 0 } } }, false, MACHINE_USE_AFTER_FREE },
	{ { "marked after the generation was read", { { BEFORE, R_GEN, R_MARK } } },
	  false,
	  MACHINE_USE_AFTER_FREE },
	{ { "marked after the entry was read",
	    { { BEFORE, R_GEN, R_MARK }, { BEFORE, R_ENTRY, R_MARK } } },
	  false,
	  MACHINE_USE_AFTER_FREE },
	{ { "unmarked before the last write", { { BEFORE, R_UNMARK, R_WRITE } } },
	  false,
	  MACHINE_USE_AFTER_FREE },
	{ { "unmarked before the last read", { { BEFORE, R_UNMARK, R_READ } } },
	  false,
	  MACHINE_USE_AFTER_FREE },
	{ { "generation before entry", { { BEFORE, W_CLEAR, W_UNLOCK_HOST } } },
	  false,
	  MACHINE_USE_AFTER_FREE },
	{ { "entry read before generation", { { BEFORE, R_ENTRY, R_GEN } } },
	  false,
	  MACHINE_USE_AFTER_FREE },
	{ { "no new generation", { { DROP, W_BUMP, 0 } } }, false, MACHINE_USE_AFTER_FREE },
	{ { "entry left as it was", { { DROP, W_CLEAR, 0 } } }, false, MACHINE_USE_AFTER_FREE },
	{ { "unmarked without release", { { RELAX, R_UNMARK, 0 } } },
	  true,
	  MACHINE_USE_AFTER_FREE },
	{ { "generation read without acquire", { { RELAX, R_GEN, 0 } } },
	  true,
	  MACHINE_USE_AFTER_FREE },
	{ { "generation stored without release", { { RELAX, W_BUMP, 0 } } },
	  true,
	  MACHINE_USE_AFTER_FREE },
};

static enum machine_verdict verdict_of(const struct variant *v, enum machine_model model)
{
	struct machine_result r;
	unsigned int i;

	for (i = 0; i < QUICK_SHAPES; i++) {
		explore(v, &shapes[i], model, false, &r);
		if (r.verdict)
			break;
	}
	printf("# %s, %s: %s after %llu states\n", v->name, model_names[model],
	       machine_verdict_name(r.verdict), (unsigned long long)r.states);
	return r.verdict;
}

static void every_way_to_weaken_it_is_found(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(broken); i++) {
		if (!broken[i].weak_only)
			assert_int_equal(verdict_of(&broken[i].v, MACHINE_TSO), broken[i].verdict);
		assert_int_equal(verdict_of(&broken[i].v, MACHINE_WEAK), broken[i].verdict);
	}
}

/* The text of a file of the project without white space; freed by the caller. */
static char *squeezed(const char *path)
{
	char name[512], *text;
	size_t n = 0;
	FILE *f;
	int c;

	snprintf(name, sizeof(name), "%s/%.*s", PROJECT_ROOT, (int)strcspn(path, " "), path);
	f = fopen(name, "r");
	if (!f)
		fail_msg("%s: %s", name, strerror(errno));
	text = malloc(1 << 20);
	assert_non_null(text);
	while ((c = getc(f)) != EOF && n < (1 << 20) - 1)
		if (c != ' ' && c != '\t' && c != '\n')
			text[n++] = (char)c;
	text[n] = 0;
	fclose(f);
	return text;
}

static void squeeze(char *out, const char *in)
{
	for (; *in; in++)
		if (*in != ' ')
			*out++ = *in;
	*out = 0;
}

/* Each step's text stands in its file, after the text of the step before it in the same place. */
static void mirror(const struct step *s, unsigned int nr)
{
	char *text = NULL, *at = NULL, want[128];
	const char *file = "";
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (!s[i].file)
			continue;
		if (strcmp(s[i].file, file)) {
			free(text);
			file = s[i].file;
			text = at = squeezed(file);
			/* In marker.c the same texts stand in more than one function. */
			if (strstr(file, " drain"))
				at = strstr(text, "voidviommu__markers_drain(");
			if (strstr(file, " wait"))
				at = strstr(text, "staticvoidmarker_wait(");
			if (strstr(file, " fill"))
				at = strstr(text, "staticintslot_fill(");
			if (strstr(file, " good"))
				at = strstr(text, "staticinlineboolslot_good(");
			assert_non_null(at);
		}
		squeeze(want, s[i].instr.text);
		at = strstr(at, want);
		if (!at)
			fail_msg("%s: not there, or not in this order: %s", file, s[i].instr.text);
	}
	free(text);
}

static void the_steps_explored_are_those_of_the_source(void **state)
{
	struct step waits[ARRAY_SIZE(writer)], drain[ARRAY_SIZE(writer)];
	unsigned int i, nr_waits = 0, nr_drain = 0;

	(void)state;
	mirror(reader, ARRAY_SIZE(reader));
	mirror(hit, ARRAY_SIZE(hit));
	for (i = 0; i < ARRAY_SIZE(writer); i++) {
		if (writer[i].id == W_LOOK || writer[i].id == W_WAIT)
			waits[nr_waits++] = writer[i];
		else
			drain[nr_drain++] = writer[i];
		if (writer[i].id == W_LOOK) {
			drain[nr_drain] = writer[i];
			drain[nr_drain].instr.text = "marker_wait(";
			drain[nr_drain++].file = "src/base/marker.c drain";
		}
	}
	mirror(waits, nr_waits);
	mirror(drain, nr_drain);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(the_steps_explored_are_those_of_the_source),
	cmocka_unit_test(no_reader_uses_what_was_freed),
	cmocka_unit_test(nor_on_a_machine_that_reorders_more),
	cmocka_unit_test(real_fences_do_as_well),
	cmocka_unit_test(streaming_stores_need_the_fence_they_have),
	cmocka_unit_test(every_way_to_weaken_it_is_found),
};
TEST_MAIN(tests)
