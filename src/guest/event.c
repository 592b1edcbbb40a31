/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupt messages of the unit: fault, invalidation completion, page request (VT-d 5.10, event
 * registers). A condition sets IP; unless IM is set the message goes out and IP clears (VTD-EVT-07,
 * VTD-EVT-08). They are memory writes of data to an address and are never remapped (VTD-EVT-06).
 */
#include "guest/unit.h"

/* Offsets of CTL; DATA, ADDR and UADDR follow it, 4 bytes each. */
static const uint16_t control[EVENTS] = {
	[EVENT_FAULT] = VTD_REG_FECTL,
	[EVENT_INVALIDATION] = VTD_REG_IECTL,
	[EVENT_PAGE] = VTD_REG_PECTL,
};

#define IM ((uint32_t)VTD_MASK(VTD_EVCTL_IM))
#define IP ((uint32_t)VTD_MASK(VTD_EVCTL_IP))

static void send(struct viommu_guest *g, enum unit_event event, struct unit_out *out)
{
	const uint32_t *r = &g->reg[control[event] / 4];
	unsigned int n = out->messages;

	/* VTD-EVT-03, VTD-EVT-04, VTD-EVT-05 */
	if (n < ARRAY_SIZE(out->message)) {
		out->message[n].data = r[1];
		out->message[n].addr = r[2] | (uint64_t)r[3] << 32;
		out->messages = n + 1;
		g->stats.messages++;
	}
}

void viommu__event_control(struct viommu_guest *g, enum unit_event event, struct unit_out *out)
{
	uint32_t *ctl = &g->reg[control[event] / 4];

	if ((*ctl & IP) && !(*ctl & IM)) {
		send(g, event, out);
		*ctl &= ~IP;
	}
}

void viommu__event_raise(struct viommu_guest *g, enum unit_event event, struct unit_out *out)
{
	g->reg[control[event] / 4] |= IP;
	viommu__event_control(g, event, out);
}

void viommu__event_clear(struct viommu_guest *g, enum unit_event event)
{
	g->reg[control[event] / 4] &= ~IP; /* VTD-EVT-09 */
}

void viommu__fsts_set(struct viommu_guest *g, uint32_t bits, struct unit_out *out)
{
	uint32_t *fsts = &REG32(g, FSTS);
	bool quiet = *fsts & VTD_FSTS_EVENTS;

	*fsts |= bits;
	/* VTD-FEVT-01, VTD-FEVT-02: only the first of the bits raises the event. */
	if (!quiet)
		viommu__event_raise(g, EVENT_FAULT, out);
}
