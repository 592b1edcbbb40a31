/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A board paused, saved and restored: the order of its parts.
 *
 *	BORD	ports with the numbers of their buses, functions by their slots, both in the order in
 *		which they were added (slots to compare)
 *	MEMR	where there was memory (to compare)
 *	FUNC	the unit's function, then each device's; then the buses have their numbers
 *	UNIT...	the unit (guest/state.c): it binds, so functions come before
 *	HDEV	page requests of each device: they need the binds
 *	MODL	each device model: it may look at all of that
 *
 * A state is checked as a whole, by its checksum, before anything is touched; what is refused later
 * ends with everything reset.
 */
#include <stdio.h>
#include <string.h>

#include <viommu/board.h>
#include <viommu/error.h>
#include <viommu/state.h>
#include "base/assert.h"
#include "base/bits.h"
#include "base/state.h"
#include "board/state.h"
#include "dev/state.h"
#include "guest/state.h"
#include "host/state.h"

#define TAG_BOARD  VIOMMU__TAG('B', 'O', 'R', 'D')
#define TAG_MEMORY VIOMMU__TAG('M', 'E', 'M', 'R')

#define PLACE_BYTES  3u /* of a device in BORD */
#define PLACE_BEHIND 0x1u
#define PLACE_KNOWN  0x2u

/* ---- Pausing --------------------------------------------------------------------------------- */

static void sid_text(uint16_t sid, char *text, size_t size)
{
	snprintf(text, size, "%02x:%02x.%u: ", sid >> 8, sid >> 3 & 31, sid & 7u);
}

int viommu_board_pause(struct viommu_board *board, char *why, size_t why_size)
{
	struct viommu_pci *pci;
	char about[32];
	unsigned int i;
	uint16_t sid;

	for (i = 0; (pci = viommu_board_device(board, i, &sid)); i++) {
		const struct viommu_pci_ops *ops = &viommu_pci_config(pci)->ops;

		if (ops->save && ops->load)
			continue;
		sid_text(sid, about, sizeof(about));
		if (why_size)
			snprintf(why, why_size, "%sits device model cannot save its state", about);
		return -ENOTSUP;
	}
	/* Devices first: what they still do may need the unit. */
	for (i = 0; (pci = viommu_board_device(board, i, NULL)); i++)
		VIOMMU_ASSERT(!viommu_pci_pause(pci));
	VIOMMU_ASSERT(!viommu_pci_pause(viommu_board_unit(board)));
	return 0;
}

void viommu_board_resume(struct viommu_board *board)
{
	struct viommu_pci *pci;
	unsigned int i;

	viommu_pci_resume(viommu_board_unit(board));
	for (i = 0; (pci = viommu_board_device(board, i, NULL)); i++)
		viommu_pci_resume(pci);
}

static bool paused(struct viommu_board *board)
{
	struct viommu_pci *pci;
	unsigned int i;

	for (i = 0; (pci = viommu_board_device(board, i, NULL)); i++)
		if (!viommu_pci_pausing(pci))
			return false;
	return viommu_pci_pausing(viommu_board_unit(board));
}

/* ---- PASIDs by the guest's names ------------------------------------------------------------- */

static int to_guest(void *ctx, struct viommu_hp hp, struct viommu_gp *out)
{
	return viommu_guest_pasid_to_guest(ctx, hp, out);
}

static int to_host(void *ctx, struct viommu_gp gp, struct viommu_hp *out)
{
	return viommu_guest_pasid_to_host(ctx, gp, out);
}

static struct viommu__pasid_names names_of(struct viommu_board *board)
{
	return (struct viommu__pasid_names){
		.ctx = viommu_board_guest(board),
		.to_guest = to_guest,
		.to_host = to_host,
	};
}

/* ---- Saving ---------------------------------------------------------------------------------- */

/* Requester ids behind ports are the guest's business: a function is named by its slot. */
static void devices_save(struct viommu_board *board, struct viommu_state_out *out)
{
	struct viommu__place place;
	unsigned int i, nr = 0;
	uint16_t port;
	uint8_t bus;

	viommu__section_begin(out, TAG_BOARD, 1, 0);
	while (viommu__board_bus(board, nr, &port, &bus))
		nr++;
	viommu_state_put_u8(out, (uint8_t)nr);
	for (i = 0; viommu__board_bus(board, i, &port, &bus); i++) {
		viommu_state_put_u16(out, port);
		viommu_state_put_u8(out, bus);
	}
	for (i = 0; viommu__board_place(board, i, &place); i++) {
		viommu_state_put_u16(out, place.slot);
		viommu_state_put_u8(out, (uint8_t)(place.behind | place.known << 1));
	}
	viommu__section_end(out);
}

static void memory_save(struct viommu_board *board, struct viommu_state_out *out)
{
	struct viommu_mem_region r;
	uint64_t at;

	viommu__section_begin(out, TAG_MEMORY, 1, 0);
	for (at = 0; !viommu_mem_next(viommu_board_mem(board), at, &r); at = r.gpa + r.bytes) {
		viommu_state_put_u64(out, r.gpa);
		viommu_state_put_u64(out, r.bytes);
	}
	viommu__section_end(out);
}

int viommu_board_save(struct viommu_board *board, void **state, size_t *bytes)
{
	const struct viommu__pasid_names names = names_of(board);
	struct viommu_state_out out;
	struct viommu_pci *pci;
	unsigned int i;

	*state = NULL;
	*bytes = 0;
	if (!paused(board))
		return -EBUSY;
	viommu__state_begin(&out);
	devices_save(board, &out);
	memory_save(board, &out);
	viommu__pci_save(viommu_board_unit(board), &out);
	for (i = 0; (pci = viommu_board_device(board, i, NULL)); i++)
		viommu__pci_save(pci, &out);
	viommu__guest_save(viommu_board_guest(board), &out);
	for (i = 0; (pci = viommu_board_device(board, i, NULL)); i++)
		viommu__device_save(viommu_pci_device(pci), &names, &out);
	for (i = 0; (pci = viommu_board_device(board, i, NULL)); i++)
		viommu__pci_model_save(pci, &out);
	return viommu__state_end(&out, state, bytes);
}

/* ---- Restoring ------------------------------------------------------------------------------- */

static void about_unit(struct viommu_state_in *in)
{
	snprintf(in->why->about, sizeof(in->why->about), "the unit: ");
}

static struct viommu_pci *about_device(struct viommu_board *board, unsigned int n,
				       struct viommu_state_in *in)
{
	struct viommu_pci *pci;
	uint16_t sid;

	pci = viommu_board_device(board, n, &sid);
	if (pci)
		sid_text(sid, in->why->about, sizeof(in->why->about));
	else
		in->why->about[0] = 0;
	return pci;
}

/* What of the ports is the guest's. */
struct buses {
	uint8_t bus[VIOMMU_BOARD_MAX_PORTS];
	bool known[VIOMMU_BOARD_MAX_DEVICES];
};

static void ports_check(struct viommu_board *board, struct viommu_state_in *in, struct buses *out)
{
	unsigned int n = viommu_state_get_u8(in), i;
	uint16_t port, saved;
	char text[32];
	uint8_t bus;

	for (i = 0; viommu__board_bus(board, i, &port, &bus) && i < n; i++) {
		saved = viommu_state_get_u16(in);
		out->bus[i] = viommu_state_get_u8(in);
		sid_text(saved, text, sizeof(text));
		if (saved != port)
			viommu_state_refuse(in, "%sno such port, or not as number %u", text, i);
	}
	if (i < n)
		viommu_state_refuse(in, "saved with %u ports, has %u", n, i);
	else if (viommu__board_bus(board, i, &port, &bus))
		viommu_state_refuse(in, "saved with %u ports, has more", n);
}

static void devices_check(struct viommu_board *board, struct viommu_state_in *in, struct buses *out)
{
	struct viommu__place place;
	unsigned int i, n, flags;
	uint16_t saved;
	char text[32];

	ports_check(board, in, out);
	n = (unsigned int)viommu_state_left(in) / PLACE_BYTES;
	for (i = 0; viommu__state_ok(in) && viommu__board_place(board, i, &place); i++) {
		if (i >= n) {
			viommu_state_refuse(in, "saved with %u devices, has more", n);
			return;
		}
		saved = viommu_state_get_u16(in);
		flags = viommu_state_get_u8(in);
		out->known[i] = flags & PLACE_KNOWN;
		sid_text(saved, text, sizeof(text));
		if (saved != place.slot || (flags & PLACE_BEHIND) != place.behind)
			viommu_state_refuse(in, "%sno device %s, or not as number %u", text,
					    flags & PLACE_BEHIND ? "behind it" : "there", i);
		else if (flags >> 2 || (!place.behind && !out->known[i]))
			viommu_state_refuse(in, "%sa device that the unit does not know", text);
	}
	if (i < n)
		viommu_state_refuse(in, "saved with %u devices, has %u", n, i);
	viommu__section_done(in);
}

/* Memory has to be where there was some; how many regions it is made of is nobody's business. */
static void memory_check(struct viommu_board *board, struct viommu_state_in *in)
{
	while (viommu__state_ok(in) && viommu_state_left(in) >= 16) {
		uint64_t at = viommu_state_get_u64(in), left = viommu_state_get_u64(in);
		struct viommu_mem_region r;

		while (left) {
			if (viommu_mem_next(viommu_board_mem(board), at, &r) || r.gpa > at) {
				viommu_state_refuse(in, "saved with memory at %llxh, has none",
						    (unsigned long long)at);
				return;
			}
			r.bytes -= at - r.gpa;
			at += min_u64(left, r.bytes);
			left -= min_u64(left, r.bytes);
		}
	}
	viommu__section_done(in);
}

static bool fits(struct viommu_board *board, struct viommu_state_in *in, struct buses *buses)
{
	struct viommu_state_in s;

	if (viommu__section_get(in, TAG_BOARD, 1, &s))
		devices_check(board, &s, buses);
	if (viommu__section_get(in, TAG_MEMORY, 1, &s))
		memory_check(board, &s);
	return viommu__state_ok(in);
}

static void reset(struct viommu_board *board)
{
	struct viommu_pci *pci;
	unsigned int i;

	for (i = 0; (pci = viommu_board_device(board, i, NULL)); i++)
		viommu_pci_reset(pci);
	viommu_pci_reset(viommu_board_unit(board));
}

/* Before the unit: its binds are by requester ids. */
static void buses_load(struct viommu_board *board, const struct buses *buses,
		       struct viommu_state_in *in)
{
	int err = viommu__board_buses_load(board, buses->bus, buses->known);

	if (err == -ENOMEM)
		viommu__state_no_memory(in);
	else if (err)
		viommu_state_refuse(in, "%s",
				    err == -EEXIST
					    ? "two devices behind ports have one requester id"
					    : "the number of a bus is not the one that was told");
}

static void parts_load(struct viommu_board *board, const struct buses *buses,
		       struct viommu_state_in *in)
{
	struct viommu__pasid_names names = names_of(board);
	struct viommu_pci *pci;
	unsigned int i;

	about_unit(in);
	viommu__pci_load(viommu_board_unit(board), in);
	for (i = 0; (pci = about_device(board, i, in)); i++)
		viommu__pci_load(pci, in);
	about_unit(in);
	if (viommu__state_ok(in))
		buses_load(board, buses, in);
	if (!viommu__state_ok(in) || !viommu__guest_load(viommu_board_guest(board), in))
		return;
	for (i = 0; (pci = about_device(board, i, in)); i++)
		viommu__device_load(viommu_pci_device(pci), &names, in);
	for (i = 0; (pci = about_device(board, i, in)) && viommu__state_ok(in); i++)
		viommu__pci_model_load(pci, in);
	viommu__state_done(in);
}

int viommu_board_load(struct viommu_board *board, const void *state, size_t bytes, char *why,
		      size_t why_size)
{
	struct viommu__state_why reason = { .text = why, .size = why_size };
	struct buses buses = { .bus = { 0 } };
	struct viommu_state_in in;
	int err;

	if (why_size)
		why[0] = 0;
	err = viommu_board_pause(board, why, why_size);
	if (err)
		return err;
	if (!viommu__state_open(&in, state, bytes, &reason) && fits(board, &in, &buses)) {
		reset(board);
		parts_load(board, &buses, &in);
	}
	if (!reason.err) {
		viommu__board_restored(board);
		return 0;
	}
	reset(board);
	viommu__board_buses_guess(board);
	viommu_board_resume(board);
	return reason.err;
}
