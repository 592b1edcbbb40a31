/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu/state.h - a VM's unit and devices saved and restored: into another process while the guest
 * runs, or into a fresh VM.
 *
 * A state holds everything of a board (viommu/board.h) that its guest could miss: registers, the
 * invalidation queue with what is not carried out, fault records, events that are pending, the
 * page request queue and requests that are open, virtual commands and PASIDs, configuration space,
 * MSI-X with pending bits, and what device models write. It does not hold the guest's memory, nor
 * what can be read from it: binds are made anew from the guest's tables, since a cache may be
 * dropped at any time.
 *
 * Smallest correct use (error checks left out):
 *	viommu_board_pause(old, why, sizeof(why));
 *	viommu_board_save(old, &state, &bytes);
 *	... another process, or a later time; the same configuration, devices and memory, or a
 *	    copy of it as it is by now ...
 *	viommu_board_load(new, state, bytes, why, sizeof(why));
 *	viommu_board_resume(new);
 *	viommu_state_free(state);
 *
 * Who loads makes the board with the configuration that it had, names the same ports, adds the same
 * devices in the same slots and behind the same ports, in the order of viommu_board_device(), and
 * adds the guest's memory, first. The numbers of buses behind ports are the state's. What does not
 * fit is refused with one line that says what: "00:05.0: saved with 9 MSI-X vectors, has 7". A
 * state that was cut, flipped or made up is refused as well, and a refused one leaves a board that
 * is as after viommu_board_new(), its functions as after viommu_pci_reset(), the guest's memory as
 * it was, and no interrupt sent.
 *
 * What is saved is the guest's: nothing of it is more trusted than what a guest writes.
 * docs/state.md has the format and its rules.
 *
 * Synchronisation
 *	viommu_board_pause, _resume, _save, _load   owner; see below
 *	viommu_state_put_*, _get_*                  the callback that was given the object
 * Between pause and resume nobody accesses registers or configuration space, enqueues descriptors,
 * does DMA but by viommu_pci_run(), or lets page requests expire.
 */
#ifndef VIOMMU_STATE_H
#define VIOMMU_STATE_H

#include <viommu/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct viommu_board;

/*
 * Runs of the unit and of every function end at a point from which they can go on elsewhere, and no
 * other begins: viommu_pci_run() returns 0. Work that waits for the answer to a page request is
 * taken out of the wait, and the request stays open. Returns when no run is inside. 0; -ENOTSUP: a
 * device model cannot save its state (*why says which one; nothing is paused). why may be NULL if
 * why_size is 0, here and below. A board that is paused stays so: 0.
 */
VIOMMU_API int viommu_board_pause(struct viommu_board *board, char *why, size_t why_size);
/* Runs may begin again; whoever has work is kicked. */
VIOMMU_API void viommu_board_resume(struct viommu_board *board);

/*
 * The state of a paused board. It changes nothing: resume, and the guest does not notice. 0;
 * -EBUSY: not paused; -ENOTSUP: see _pause(); -ENOMEM. *out is NULL on failure; free it by
 * viommu_state_free().
 */
VIOMMU_API int viommu_board_save(struct viommu_board *board, void **out, size_t *bytes);
/*
 * Restore. Whatever the board had is reset first. On success it is paused: connect who listens to
 * its interrupts (viommu_pci_set_vmm()), then resume; nothing is sent before. 0; -EINVAL: refused,
 * one line of why; -ENOMEM. After a failure the board is reset and not paused.
 */
VIOMMU_API int viommu_board_load(struct viommu_board *board, const void *state, size_t bytes,
				 char *why, size_t why_size);
/* NULL is allowed. */
VIOMMU_API void viommu_state_free(void *state);

/* ---- For device models: struct viommu_pci_ops.save and .load --------------------------------- */

struct viommu_state_out;
struct viommu_state_in;

/* Appended, numbers little-endian. What goes wrong is kept and found by the framework. */
VIOMMU_API void viommu_state_put(struct viommu_state_out *out, const void *bytes, size_t n);
VIOMMU_API void viommu_state_put_u8(struct viommu_state_out *out, uint8_t v);
VIOMMU_API void viommu_state_put_u16(struct viommu_state_out *out, uint16_t v);
VIOMMU_API void viommu_state_put_u32(struct viommu_state_out *out, uint32_t v);
VIOMMU_API void viommu_state_put_u64(struct viommu_state_out *out, uint64_t v);

/*
 * What was put, in the same order. Beyond the end they give zeroes, and the state is refused when
 * .load returns, as it is when .load leaves something.
 */
VIOMMU_API void viommu_state_get(struct viommu_state_in *in, void *bytes, size_t n);
VIOMMU_API uint8_t viommu_state_get_u8(struct viommu_state_in *in);
VIOMMU_API uint16_t viommu_state_get_u16(struct viommu_state_in *in);
VIOMMU_API uint32_t viommu_state_get_u32(struct viommu_state_in *in);
VIOMMU_API uint64_t viommu_state_get_u64(struct viommu_state_in *in);
/* Bytes that are left. */
VIOMMU_API size_t viommu_state_left(const struct viommu_state_in *in);
/* The state is not acceptable: why, as by printf(), without a full stop. The first one counts. */
VIOMMU_API void viommu_state_refuse(struct viommu_state_in *in, const char *why, ...)
	__attribute__((format(printf, 2, 3)));
/* Was it refused, or read beyond its end? */
VIOMMU_API int viommu_state_bad(const struct viommu_state_in *in);

#ifdef __cplusplus
}
#endif
#endif
