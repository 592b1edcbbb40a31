/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine of a few threads, explored exhaustively: every interleaving of short programs, with the
 * stores that wait in buffers and, if so asked, the loads that are satisfied early.
 *
 *	MACHINE_TSO   x86: a thread's stores reach memory in order, but late; its loads see its
 *	              own stores and otherwise memory, in order. Streaming stores are not ordered.
 *	MACHINE_WEAK  stores to different places reach memory in any order (a release store
 *	              after all before it); a load of the round that is running may be satisfied
 *	              early, unless an acquiring load, a fence or what its address depends on
 *	              stands before.
 *
 * An interprocessor barrier (MACHINE_BARRIER) hits the readers one by one, in any order, each at
 * some boundary of its instructions: nothing waits in its buffer then, and what it loaded early for
 * instructions that come after the boundary is loaded again.
 *
 * Objects are what a pointer leads to. To read one that is freed, or to have a store to it reach
 * memory, is what the explorer looks for; besides that, a state from which nothing goes on before
 * every program has ended (deadlock), and a cycle (livelock): to wait is no step, so there is none
 * in a protocol that always goes on.
 *
 * What it does not do: loads are not satisfied across the end of a round; no more than four stores
 * of a thread wait at a time.
 */
#ifndef VIOMMU_TEST_MACHINE_H
#define VIOMMU_TEST_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#define MACHINE_THREADS 4u
#define MACHINE_INSTRS  64u
#define MACHINE_OBJECTS 12u

enum machine_model {
	MACHINE_TSO,
	MACHINE_WEAK,
};

/* Places in memory. Objects lie at MACHINE_OBJECT + number; object 0 is none. */
enum machine_loc {
	MACHINE_ENTRY,
	MACHINE_GEN,
	MACHINE_LOCK_A,
	MACHINE_LOCK_B,
	MACHINE_SEQ, /* one a reader */
	MACHINE_OBJECT = MACHINE_SEQ + MACHINE_THREADS,
	MACHINE_LOCS = MACHINE_OBJECT + MACHINE_OBJECTS,
};

enum machine_op {
	MACHINE_LOAD,     /* reg = [loc] */
	MACHINE_STORE,    /* [loc] = value, or reg + value with MACHINE_ADD */
	MACHINE_SWAP,     /* the same at once, with a full fence */
	MACHINE_FENCE,    /* everything before is done and in memory */
	MACHINE_BARRIER,  /* that, and a fence in every reader */
	MACHINE_LOCK,     /* wait until [loc] is 0, make it 1; a full fence */
	MACHINE_UNLOCK,   /* a releasing store of 0 */
	MACHINE_WAIT,     /* if reg is odd, wait until [loc] differs from reg */
	MACHINE_WAIT_ANY, /* wait until [loc] differs from reg */
	/*
	 * A cache of one entry: PICK = ENTRY as loaded, or the one of before if GEN is as then;
	 * kept.
	 */
	MACHINE_PICK,
	MACHINE_READ,  /* read the object PICK */
	MACHINE_WRITE, /* store to the object PICK */
	MACHINE_FREE,  /* the object reg is freed, for all to see */
};

/* Registers; the readers' loads go to REG_GEN and REG_ENTRY. */
enum machine_reg {
	MACHINE_REG_GEN,
	MACHINE_REG_ENTRY,
	MACHINE_REG_PICK,
	MACHINE_REG_CACHED_GEN,
	MACHINE_REG_CACHED,
	MACHINE_REG_SEQ,
	MACHINE_REGS,
};

#define MACHINE_ACQUIRE 0x01u
#define MACHINE_RELEASE 0x02u
#define MACHINE_STREAM  0x04u /* a store that the stores after it may overtake */
#define MACHINE_ADD     0x08u
#define MACHINE_END     0x10u /* last of its round */
/* No other thread can tell when it is done: explored at once, and not between others' steps. */
#define MACHINE_LOCAL 0x20u

struct machine_instr {
	uint8_t op;
	uint8_t loc;
	uint8_t reg;
	uint8_t value;
	uint8_t flags;
	const char *text;
};

struct machine_program {
	bool reader;
	unsigned int nr;
	struct machine_instr instr[MACHINE_INSTRS];
};

enum machine_verdict {
	MACHINE_GOOD,
	MACHINE_USE_AFTER_FREE,
	MACHINE_DEADLOCK,
	MACHINE_LIVELOCK,
};

struct machine_result {
	enum machine_verdict verdict;
	uint64_t states;
	uint64_t steps; /* from all states together */
	uint64_t ends;  /* different states in which every program had ended */
};

/*
 * ENTRY is object 1 at the start, everything else 0. Stops at the first bug. loud: print how it
 * came about.
 */
void machine_explore(const struct machine_program *programs, unsigned int nr,
		     enum machine_model model, bool loud, struct machine_result *out);

const char *machine_verdict_name(enum machine_verdict verdict);

#endif /* VIOMMU_TEST_MACHINE_H */
