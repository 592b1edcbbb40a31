/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A scripted guest on a board with an accelerator, whose board can be replaced under it: the guest
 * sees registers, portals, memory and interrupts, and keeps nothing but what it wrote down.
 */
#ifndef VIOMMU_TEST_BOARD_MACHINE_H
#define VIOMMU_TEST_BOARD_MACHINE_H

#include <viommu/board.h>
#include <viommu/dsa.h>
#include <viommu/dsa_spec.h>
#include <viommu/state.h>

#include "board/stores.h"
#include "lib/tables.h"
#include "lib/test.h"

#define MACHINE_RAM   (UINT64_C(16) << 20)
#define MACHINE_VA    UINT64_C(0x7f0000400000)
#define MACHINE_PAGES 1024u /* of the process, from MACHINE_VA on */
#define MACHINE_SID   VIOMMU_SID(0, 5, 0)
#define MACHINE_DID   7u
#define MACHINE_GP    5u
#define MACHINE_BAR   0xfebd0000u
#define MACHINE_LATE  2u /* accelerators that can be plugged in */

/*
 * What memory the next board finds. In the first two ways what it was before is spoilt, so what of
 * the old place is still used is found, and so is what the copy does not have.
 */
enum machine_way {
	MACHINE_COPIED, /* a fresh VM's: copied while the guest stands still */
	MACHINE_LIVE,   /* a fresh VM's: copied in rounds while it runs, by what the logs name */
	MACHINE_SAME,   /* the same: another process takes over */
};

struct machine_config {
	struct viommu_board_config board; /* sizes are set */
	struct viommu_dsa_config dsa;
	unsigned int ports; /* root ports, of 00:02.0, 00:03.0, 00:06.0 */
	enum machine_way way;
};

/* A test in each way; machine_way() says which one it is. */
#define machine_test_way(f, how, way)                                                     \
	{                                                                                 \
		.name = #f ", " how, .test_func = f, .initial_state = &machine_ways[way], \
	}
#define machine_test_each(f)                                  \
	machine_test_way(f, "memory copied", MACHINE_COPIED), \
		machine_test_way(f, "live", MACHINE_LIVE),    \
		machine_test_way(f, "same memory", MACHINE_SAME)

extern enum machine_way machine_ways[3];

static inline enum machine_way machine_way(void *const *state)
{
	return *(const enum machine_way *)*state;
}

struct machine {
	struct machine_config config;
	struct viommu_board *board;
	struct viommu_pci *unit;
	struct viommu_dsa *dsa;
	struct viommu_pci *pci; /* the accelerator's function */
	struct viommu_dma *dma;
	/* With ports: not there yet, and which of them are, in their order. */
	struct viommu_dsa *late[MACHINE_LATE];
	unsigned int nr_plugged;
	struct {
		unsigned int n;
		uint16_t port;
	} plugged[MACHINE_LATE];
	/* Of the guest, whatever board is under it. */
	struct tables ram;
	struct tables old;    /* where it was before, spoilt; no fd: nowhere */
	struct tables next;   /* live: the copy so far */
	struct stores stores; /* live: what processors write */
	struct tables_stage fs;
	uint64_t first; /* guest physical address of MACHINE_VA */
	uint64_t root, queue, pages, status;
	uint32_t tail;
	unsigned int messages[256]; /* of the unit, by data */
	unsigned int interrupts[16];
	unsigned int moves;
	/* live: in the last round; of them, named by the devices' log */
	unsigned int pages_copied[2];
	uint64_t placed;
};

/* A machine with power on, then as its firmware and drivers leave it. */
void machine_open(struct machine *m, const struct machine_config *config);
void machine_start(struct machine *m);
void machine_close(struct machine *m);

/* A board with the same devices over the memory that there is, and nothing else. */
void machine_board_new(struct machine *m);
void machine_board_free(struct machine *m);
/* Pause, save, and the guest goes on with another board, over memory as the configuration says. */
void machine_move(struct machine *m);
/* Live: a round of copying, as machine_move() makes two. */
void machine_round(struct machine *m);
/* Messages and interrupts of the board that there is are counted. */
void machine_listen(struct machine *m);
/* The same in parts. machine_loads() returns as viommu_board_load(), and resumes nothing. */
void *machine_saves(struct machine *m, size_t *bytes);
void machine_fresh(struct machine *m);
int machine_loads(struct machine *m, const void *state, size_t bytes, char *why, size_t why_size);
/* The n-th late one behind a port, as a driver leaves it; and away. */
void machine_plug(struct machine *m, unsigned int n, uint16_t port);
void machine_unplug(struct machine *m, unsigned int n);

/* ---- The guest ---- */

uint64_t unit_rd(struct machine *m, unsigned int offset, unsigned int bytes);
/* And what the event loop does after it. */
void unit_wr(struct machine *m, unsigned int offset, unsigned int bytes, uint64_t v);
/* Only the write. */
void unit_poke(struct machine *m, unsigned int offset, unsigned int bytes, uint64_t v);
void unit_command(struct machine *m, uint64_t bit);
uint64_t *machine_ram(struct machine *m, uint64_t gpa);
/* Puts a descriptor into the queue; the tail is not written. */
void unit_queue(struct machine *m, uint64_t d0, uint64_t d1);
/* Writes the tail and has it carried out. */
void unit_flush(struct machine *m);
void unit_flush_pasid(struct machine *m, uint32_t pasid);
void unit_respond(struct machine *m, const uint64_t *request, unsigned int code);
/* The PASID entry of the accelerator, and one that shares the process. */
uint64_t *machine_entry(struct machine *m, uint32_t pasid);
void machine_present(struct machine *m, uint32_t pasid);

void cfg_wr(struct viommu_pci *pci, unsigned int at, unsigned int bytes, uint32_t v);
uint32_t cfg_rd(struct viommu_pci *pci, unsigned int at, unsigned int bytes);
uint32_t dsa_rd(struct machine *m, unsigned int offset);
void dsa_wr(struct machine *m, unsigned int offset, uint32_t v);
uint32_t dsa_cmd(struct machine *m, unsigned int code, uint32_t operand);
/* Device, group 0 of queue 0 and engine 0, queue 0 dedicated to pasid with block on fault. */
void dsa_enable(struct machine *m, uint32_t pasid);
/* The first `bytes` of a descriptor, by stores of 8. */
void dsa_store(struct machine *m, uint64_t portal, const uint64_t *w, unsigned int bytes);
/* Steps until there is nothing to do; how many did something. */
unsigned int dsa_steps(struct machine *m);

static inline uint8_t *machine_ptr(struct machine *m, uint64_t va)
{
	return (uint8_t *)machine_ram(m, m->first + (va - MACHINE_VA));
}

/* The page is not there, or is again. */
void machine_hide(struct machine *m, uint64_t va);
void machine_show(struct machine *m, uint64_t va);

#endif /* VIOMMU_TEST_BOARD_MACHINE_H */
