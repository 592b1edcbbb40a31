/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One VM, wired: memory, software host with one domain, the unit that the guest programs, the PCI
 * function that carries its registers, and the functions of device models.
 *
 *	  DMA thread: miss, fault, page request, interrupt                register accesses
 *	                     |                                                  |
 *	host ---- ops ---> board ---> guest unit <--- BAR 0 --- unit's PCI function
 *	 ^                   |            |
 *	 | viommu_device     |            +-- message, kick --> unit's PCI function --> VMM
 *	 +---- entry --------+-- interrupt of a device by DMA --> that device's function --> VMM
 *
 * No translation and no queue here: whatever decides something lives in the parts.
 *
 * Ports. A function behind a root port has the requester id (bus behind the port, 00.0), and the
 * guest's firmware numbers buses. Until the guest says which number it chose (an SSDT method writes
 * it into the unit's function, src/acpi), the ports count as numbered in the order of their slots,
 * which is what firmware does where there is no other bridge. Only the unit goes by that id; the
 * host's device has one of its own, which nobody sees, so that it need not end when the bus gets
 * another number.
 *
 * Synchronisation
 *	field                        guard
 *	entries (list, pci, dev)     lock, and plug to write
 *	ports                        lock, and plug to write
 *	everything else              constant between viommu_board_new() and _free()
 * plug is held by who adds or removes, and while functions get another requester id; it comes
 * before the unit's lock and before lock. lock is held while a function is looked up and told of a
 * message; the VMM's callbacks of viommu/pci.h run under it and must not call the board.
 */
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include <viommu/acpi.h>
#include <viommu/board.h>
#include <viommu/error.h>
#include <viommu/vtd.h>
#include "base/alloc.h"
#include "base/assert.h"
#include "base/bits.h"
#include "board/state.h"
#include "dev/pci.h"

#define UNIT_SID_DEFAULT VIOMMU_SID(0, 4, 0)
/* A 32-bit BAR stays below 4 GiB, whatever memory the guest has. */
#define UNIT_BAR_BYTES 0x10000u

/*
 * The function that carries the registers: Intel's own name for such a function is "Memory
 * Map/VT-d", and no driver binds to it.
 */
#define UNIT_VENDOR     0x8086
#define UNIT_DEVICE     0x09a2
#define UNIT_CLASS_CODE 0x080600u /* base system peripheral, IOMMU */

/*
 * Requester ids that are tried for the host's device of a function behind a port, from the top; the
 * host may have several VMs.
 */
#define HOST_SIDS 1024u

struct port {
	uint16_t sid;
	uint8_t bus;
	bool told; /* by the guest */
};

struct entry {
	struct viommu_pci *pci;
	struct viommu_device *dev;
	struct viommu_device *parent;
	uint16_t sid;
	uint16_t port; /* its requester id; 0: the function is on bus 0 */
	bool linked;   /* the unit has it under sid */
};

struct viommu_board {
	struct viommu_mem *mem;
	struct viommu_host *host;
	struct viommu_host_ops ops; /* of its devices on that host */
	bool shared;                /* the host is others', too */
	uint32_t max_requests;
	struct viommu_domain *dom;
	struct viommu_guest *guest;
	struct viommu_pci *unit;
	struct viommu_guest_ops trap; /* ctx, trap and interrupts of whoever made the board */
	void *placed_ctx;
	void (*placed)(void *ctx, uint64_t registers);
	uint16_t unit_sid;
	uint8_t haw;
	pthread_mutex_t plug;
	pthread_mutex_t lock;
	unsigned int nr_ports;
	struct port port[VIOMMU_BOARD_MAX_PORTS];
	unsigned int nr;
	struct entry entry[VIOMMU_BOARD_MAX_DEVICES];
};

/* ---- Up from the host, on DMA threads ---- */

static int board_miss(void *ctx, struct viommu_device *dev, uint32_t pasid,
		      struct viommu_fault *fault)
{
	struct viommu_board *board = ctx;

	return viommu_guest_miss(board->guest, dev, pasid, fault);
}

static void board_fault(void *ctx, struct viommu_device *dev, const struct viommu_fault *fault)
{
	struct viommu_board *board = ctx;

	viommu_guest_fault(board->guest, dev, fault);
}

static void board_page_request(void *ctx, struct viommu_device *dev,
			       const struct viommu_page_request *req)
{
	struct viommu_board *board = ctx;

	viommu_guest_page_request(board->guest, dev, req);
}

/* A device wrote an interrupt message by DMA. It goes out where that device's own interrupts do. */
static void board_interrupt(void *ctx, struct viommu_device *dev, uint64_t addr, uint32_t data)
{
	struct viommu_board *board = ctx;
	unsigned int i;

	pthread_mutex_lock(&board->lock);
	for (i = 0; i < board->nr; i++)
		if (board->entry[i].dev == dev)
			viommu_pci_message(board->entry[i].pci, addr, data);
	pthread_mutex_unlock(&board->lock);
}

/* ---- Up from the unit ---- */

static void board_message(void *ctx, uint64_t addr, uint32_t data)
{
	struct viommu_board *board = ctx;

	viommu_pci_message(board->unit, addr, data);
}

static void board_kick(void *ctx)
{
	struct viommu_board *board = ctx;

	viommu_pci_kick(board->unit);
}

static void board_trap(void *ctx, const struct viommu_guest_trap *trap)
{
	struct viommu_board *board = ctx;

	board->trap.trap(board->trap.ctx, trap);
}

static void board_interrupts(void *ctx, uint32_t first, uint32_t nr)
{
	struct viommu_board *board = ctx;

	board->trap.interrupts(board->trap.ctx, first, nr);
}

static int board_hpasid(void *ctx, struct viommu_gp gp, struct viommu_hp *out)
{
	struct viommu_board *board = ctx;

	return viommu_guest_pasid_to_host(board->guest, gp, out);
}

/* ---- Ports: plug held ---- */

static struct port *port_find(struct viommu_board *board, uint16_t sid)
{
	unsigned int i;

	for (i = 0; i < board->nr_ports; i++)
		if (board->port[i].sid == sid)
			return &board->port[i];
	return NULL;
}

static void ports_guess(struct viommu_board *board)
{
	unsigned int i, j;

	for (i = 0; i < board->nr_ports; i++) {
		uint8_t bus = 1;

		for (j = 0; j < board->nr_ports; j++)
			bus = (uint8_t)(bus + (board->port[j].sid < board->port[i].sid));
		if (!board->port[i].told)
			board->port[i].bus = bus;
	}
}

static bool sid_used(struct viommu_board *board, uint16_t sid)
{
	unsigned int i;

	if (sid == board->unit_sid || port_find(board, sid))
		return true;
	for (i = 0; i < board->nr; i++)
		if (board->entry[i].linked && board->entry[i].sid == sid)
			return true;
	return false;
}

/* The unit knows the function by this requester id from now on. -EEXIST, -ENOMEM: by none. */
static int entry_link(struct viommu_board *board, struct entry *e, uint16_t sid)
{
	int ret = -EEXIST;

	if (!sid_used(board, sid))
		ret = viommu_guest_add_device(board->guest, e->dev, sid);
	pthread_mutex_lock(&board->lock);
	e->sid = sid;
	e->linked = !ret;
	pthread_mutex_unlock(&board->lock);
	return ret;
}

static void entry_unlink(struct viommu_board *board, struct entry *e)
{
	if (e->linked)
		viommu_guest_remove_device(board->guest, e->dev);
	e->linked = false;
}

/*
 * Functions whose bus has another number get their new requester id. All leave before any comes:
 * the guest may say that two buses have each other's number, one after the other. What finds no
 * place waits for the next word.
 */
static void ports_settle(struct viommu_board *board)
{
	unsigned int i;

	for (i = 0; i < board->nr; i++) {
		struct entry *e = &board->entry[i];

		if (e->port && e->sid != VIOMMU_SID(port_find(board, e->port)->bus, 0, 0))
			entry_unlink(board, e);
	}
	for (i = 0; i < board->nr; i++) {
		struct entry *e = &board->entry[i];

		if (!e->linked)
			entry_link(board, e, VIOMMU_SID(port_find(board, e->port)->bus, 0, 0));
	}
}

/* The guest wrote what bus numbers its firmware gave; 0 is none. */
static void ports_told(struct viommu_board *board)
{
	uint8_t bus[VIOMMU_PCI_VENDOR_BYTES];
	unsigned int i;

	_Static_assert(VIOMMU_BOARD_MAX_PORTS == VIOMMU_PCI_VENDOR_BYTES, "a byte a port");
	_Static_assert(VIOMMU_BOARD_MAX_PORTS == VIOMMU_ACPI_MAX_PORTS, "a field a port");
	if (viommu_pci_config_read(board->unit, VIOMMU_PCI_VENDOR_AT, bus, sizeof(bus)))
		return;
	pthread_mutex_lock(&board->plug);
	pthread_mutex_lock(&board->lock);
	for (i = 0; i < board->nr_ports; i++) {
		board->port[i].told = bus[i] != 0;
		if (bus[i])
			board->port[i].bus = bus[i];
	}
	pthread_mutex_unlock(&board->lock);
	ports_settle(board);
	pthread_mutex_unlock(&board->plug);
}

/* ---- Ports in a saved state ---- */

bool viommu__board_place(struct viommu_board *board, unsigned int n, struct viommu__place *out)
{
	const struct entry *e = &board->entry[n];
	bool found;

	pthread_mutex_lock(&board->plug);
	found = n < board->nr;
	if (found)
		*out = (struct viommu__place){ e->port ? e->port : e->sid, e->port, e->linked };
	pthread_mutex_unlock(&board->plug);
	return found;
}

bool viommu__board_bus(struct viommu_board *board, unsigned int n, uint16_t *port, uint8_t *bus)
{
	bool found;

	pthread_mutex_lock(&board->plug);
	found = n < board->nr_ports;
	if (found) {
		*port = board->port[n].sid;
		*bus = board->port[n].bus;
	}
	pthread_mutex_unlock(&board->plug);
	return found;
}

void viommu__board_buses_guess(struct viommu_board *board)
{
	pthread_mutex_lock(&board->plug);
	pthread_mutex_lock(&board->lock);
	ports_guess(board);
	pthread_mutex_unlock(&board->lock);
	ports_settle(board);
	pthread_mutex_unlock(&board->plug);
}

/* Who was not known had another one's requester id, and waits for the next word. */
static int entries_load(struct viommu_board *board, const bool *known)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < board->nr; i++)
		if (board->entry[i].port)
			entry_unlink(board, &board->entry[i]);
	for (i = 0; i < board->nr && !ret; i++) {
		struct entry *e = &board->entry[i];
		uint16_t sid = e->sid;

		if (e->port)
			sid = VIOMMU_SID(port_find(board, e->port)->bus, 0, 0);
		if (e->port && known[i])
			ret = entry_link(board, e, sid);
		pthread_mutex_lock(&board->lock);
		e->sid = sid;
		pthread_mutex_unlock(&board->lock);
	}
	return ret;
}

int viommu__board_buses_load(struct viommu_board *board, const uint8_t *bus, const bool *known)
{
	uint8_t told[VIOMMU_PCI_VENDOR_BYTES];
	unsigned int i;
	int ret = 0;

	if (viommu_pci_config_read(board->unit, VIOMMU_PCI_VENDOR_AT, told, sizeof(told)))
		return -EINVAL;
	pthread_mutex_lock(&board->plug);
	for (i = 0; i < board->nr_ports; i++)
		if (!bus[i] || (told[i] && told[i] != bus[i]))
			ret = -EINVAL;
	pthread_mutex_lock(&board->lock);
	for (i = 0; i < board->nr_ports && !ret; i++) {
		board->port[i].bus = bus[i];
		board->port[i].told = told[i] != 0;
	}
	pthread_mutex_unlock(&board->lock);
	if (!ret)
		ret = entries_load(board, known);
	pthread_mutex_unlock(&board->plug);
	return ret;
}

/* ---- The unit's PCI function ---- */

static uint64_t unit_read(void *ctx, unsigned int bar, uint64_t offset, unsigned int bytes)
{
	struct viommu_board *board = ctx;

	(void)bar;
	return viommu_guest_read(board->guest, offset, bytes);
}

static void unit_write(void *ctx, unsigned int bar, uint64_t offset, unsigned int bytes,
		       uint64_t value)
{
	struct viommu_board *board = ctx;

	(void)bar;
	viommu_guest_write(board->guest, offset, bytes, value);
}

static int unit_run(void *ctx, struct viommu_dma *dma)
{
	struct viommu_board *board = ctx;

	(void)dma;
	return viommu_guest_run(board->guest);
}

/* The numbers of before stay: firmware will most likely give them again. */
static void unit_reset(void *ctx)
{
	struct viommu_board *board = ctx;
	unsigned int i;

	pthread_mutex_lock(&board->lock);
	for (i = 0; i < board->nr_ports; i++)
		board->port[i].told = false;
	pthread_mutex_unlock(&board->lock);
	viommu_guest_reset(board->guest);
}

/* What its function stands for is the unit's part of a state (board/state.c). */
static void unit_save(void *ctx, struct viommu_state_out *out)
{
	(void)ctx;
	(void)out;
}

static void unit_load(void *ctx, struct viommu_state_in *in)
{
	(void)ctx;
	(void)in;
}

/* On the thread that writes the configuration, so reading it here is allowed. */
static void unit_control(void *ctx, uint32_t changed)
{
	struct viommu_board *board = ctx;
	uint8_t bar[4];

	if (changed & VIOMMU_PCI_VENDOR)
		ports_told(board);
	if (!board->placed || !(changed & VIOMMU_PCI_MEMORY) ||
	    !(viommu_pci_enabled(board->unit) & VIOMMU_PCI_MEMORY) ||
	    viommu_pci_config_read(board->unit, 0x10, bar, sizeof(bar)))
		return;
	board->placed(board->placed_ctx, ((uint32_t)bar[0] | (uint32_t)bar[1] << 8 |
					  (uint32_t)bar[2] << 16 | (uint32_t)bar[3] << 24) &
						 ~(UNIT_BAR_BYTES - 1));
}

void viommu__board_restored(struct viommu_board *board)
{
	unit_control(board, VIOMMU_PCI_MEMORY);
}

static int unit_new(struct viommu_board *board)
{
	const struct viommu_pci_config config = {
		.size = sizeof(config),
		.vendor = UNIT_VENDOR,
		.device = UNIT_DEVICE,
		.subsystem_vendor = UNIT_VENDOR,
		.class_code = UNIT_CLASS_CODE,
		.flags = VIOMMU_PCI_PIN_BAR0 | VIOMMU_PCI_HAS_VENDOR,
		.bar = { { .bytes = UNIT_BAR_BYTES } },
		/*
		 * On the event loop: threads may all be waiting for what the unit is about to do.
		 */
		.workers = 0,
		.ops = {
			.ctx = board,
			.read = unit_read,
			.write = unit_write,
			.reset = unit_reset,
			.control = unit_control,
			.run = unit_run,
			.save = unit_save,
			.load = unit_load,
		},
	};

	return viommu_pci_new(&config, &board->unit, NULL);
}

/* ---- The board ---- */

static int host_new(struct viommu_board *board, const struct viommu_board_config *config)
{
	const struct viommu_host_config hc = {
		.size = sizeof(hc),
		.max_devices = VIOMMU_BOARD_MAX_DEVICES,
		.max_page_requests = config->max_page_requests,
		.pasid_min = config->pasid_min,
		.pasid_max = config->pasid_max,
		.ops = board->ops,
	};
	const struct viommu_domain_config dc = {
		.size = sizeof(dc),
		.flags = config->domain_flags,
		.pasid_quota = config->pasid_quota,
	};
	int ret;

	board->host = config->host;
	board->shared = config->host;
	ret = board->shared ? 0 : viommu_host_new(&hc, &board->host);
	if (ret)
		return ret;
	return viommu_domain_new(board->host, board->mem, &dc, &board->dom);
}

static int guest_new(struct viommu_board *board, const struct viommu_guest_config *config)
{
	struct viommu_guest_config gc = *config;
	struct viommu_unit unit;
	int ret;

	gc.size = sizeof(gc);
	gc.ops = (struct viommu_guest_ops){
		.ctx = board,
		.message = board_message,
		.kick = board_kick,
	};
	board->trap = config->ops;
	if (config->ops.trap)
		gc.ops.trap = board_trap;
	if (config->ops.interrupts)
		gc.ops.interrupts = board_interrupts;
	ret = viommu_guest_new(&gc, board->dom, board->mem, &board->guest);
	if (ret)
		return ret;
	viommu_guest_unit(board->guest, &unit);
	board->haw = unit.haw;
	return 0;
}

static bool config_fits(const struct viommu_board_config *config)
{
	const uint32_t own_numbers = VIOMMU_GUEST_HOST_PASIDS | VIOMMU_GUEST_VCMD;

	if (config->size != sizeof(*config) || config->reserved2 ||
	    (config->domain_flags & ~VIOMMU_DOMAIN_DIRTY))
		return false;
	return !config->host ||
	       ((config->guest.flags & own_numbers) && !config->pasid_min && !config->pasid_max);
}

int viommu_board_new(const struct viommu_board_config *config, struct viommu_board **out)
{
	static const struct viommu_board_config defaults = { .size = sizeof(defaults) };
	struct viommu_board *board;
	int ret;

	if (!out)
		return -EINVAL;
	*out = NULL;
	if (!config)
		config = &defaults;
	if (!config_fits(config))
		return -EINVAL;
	board = viommu__calloc(1, sizeof(*board));
	if (!board)
		return -ENOMEM;
	pthread_mutex_init(&board->plug, NULL);
	pthread_mutex_init(&board->lock, NULL);
	board->ops = (struct viommu_host_ops){
		.ctx = board,
		.miss = board_miss,
		.fault = board_fault,
		.interrupt = board_interrupt,
		.page_request = board_page_request,
	};
	board->max_requests = config->max_page_requests;
	board->placed_ctx = config->ctx;
	board->placed = config->placed;
	board->unit_sid = config->unit_sid ? config->unit_sid : UNIT_SID_DEFAULT;
	ret = viommu_mem_new(&board->mem);
	if (!ret)
		ret = host_new(board, config);
	/* Before the unit's registers exist nobody can touch the function, and it sends nothing. */
	if (!ret)
		ret = unit_new(board);
	if (!ret)
		ret = guest_new(board, &config->guest);
	if (ret) {
		viommu_board_free(board);
		return ret;
	}
	*out = board;
	return 0;
}

/*
 * The entry leaves: nothing of the device is bound, and its function knows no requester. What the
 * guest still has queued for it, responses or invalidations, is for a requester id that the unit
 * does not know, and completes.
 */
static void entry_end(struct viommu_board *board, unsigned int n)
{
	struct entry e = board->entry[n];

	/* Its work ends first: what runs there uses the device. */
	viommu_pci_reset(e.pci);
	viommu_pci_attach(e.pci, NULL, NULL, NULL);
	viommu__pci_place(e.pci, false);
	pthread_mutex_lock(&board->lock);
	board->nr--;
	memmove(&board->entry[n], &board->entry[n + 1], (board->nr - n) * sizeof(e));
	pthread_mutex_unlock(&board->lock);
	viommu_guest_remove_device(board->guest, e.dev);
	viommu_device_free(e.dev);
}

void viommu_board_free(struct viommu_board *board)
{
	if (!board)
		return;
	while (board->nr)
		entry_end(board, board->nr - 1);
	viommu_guest_free(board->guest);
	viommu_pci_free(board->unit);
	viommu_domain_free(board->dom);
	if (!board->shared)
		viommu_host_free(board->host);
	viommu_mem_free(board->mem);
	pthread_mutex_destroy(&board->lock);
	pthread_mutex_destroy(&board->plug);
	viommu__free(board);
}

struct viommu_mem *viommu_board_mem(struct viommu_board *board)
{
	return board->mem;
}

struct viommu_host *viommu_board_host(struct viommu_board *board)
{
	return board->host;
}

struct viommu_domain *viommu_board_domain(struct viommu_board *board)
{
	return board->dom;
}

struct viommu_guest *viommu_board_guest(struct viommu_board *board)
{
	return board->guest;
}

struct viommu_pci *viommu_board_unit(struct viommu_board *board)
{
	return board->unit;
}

static uint32_t device_flags(uint32_t pci)
{
	return (pci & VIOMMU_PCI_HAS_PASID ? VIOMMU_DEVICE_PASID : 0) |
	       (pci & VIOMMU_PCI_HAS_ATS ? VIOMMU_DEVICE_ATS : 0) |
	       (pci & VIOMMU_PCI_HAS_PRI ? VIOMMU_DEVICE_PRI : 0);
}

/*
 * A device of the host for the function. Behind a port: under an id that is free. On a host of
 * several VMs another one may have this requester id: then the same device and function on the
 * first bus where it is free. The guest never sees either.
 */
static int device_new(struct viommu_board *board, struct viommu_device_config *dc, uint16_t port,
		      struct viommu_device **out)
{
	unsigned int i, first = dc->sid >> 8;
	int ret;

	if (port)
		dc->sid = UINT16_MAX;
	ret = viommu_device_new(board->host, dc, out);
	for (i = 1; ret == -EEXIST && port && i < HOST_SIDS; i++) {
		dc->sid--;
		ret = viommu_device_new(board->host, dc, out);
	}
	for (i = 1; ret == -EEXIST && !port && board->shared && i < 256; i++) {
		dc->sid = (uint16_t)((first + i) << 8 | (dc->sid & 0xff));
		ret = viommu_device_new(board->host, dc, out);
	}
	return ret == -EEXIST && port ? -ENOSPC : ret;
}

/* plug held. port 0: on bus 0; parent: a part of that device */
static int entry_begin(struct viommu_board *board, struct viommu_pci *pci, uint16_t sid,
		       uint16_t port, struct viommu_device *parent)
{
	struct viommu_device_config dc = {
		.size = sizeof(dc),
		.sid = parent ? viommu_device_sid(parent) : sid,
		.parent = parent,
		.ops = &board->ops,
		.max_page_requests = board->max_requests,
	};
	struct entry e = { .pci = pci, .parent = parent, .sid = sid, .port = port };
	unsigned int i;
	int ret;

	for (i = 0; i < board->nr; i++)
		if (board->entry[i].pci == pci || board->entry[i].sid == sid ||
		    (parent && board->entry[i].parent == parent))
			return -EEXIST;
	if (board->nr == VIOMMU_BOARD_MAX_DEVICES)
		return -ENOSPC;
	dc.flags = device_flags(viommu_pci_config(pci)->flags);
	ret = device_new(board, &dc, port, &e.dev);
	if (ret)
		return ret;
	ret = entry_link(board, &e, sid);
	if (ret) {
		viommu_device_free(e.dev);
		return ret;
	}
	pthread_mutex_lock(&board->lock);
	board->entry[board->nr++] = e;
	pthread_mutex_unlock(&board->lock);
	viommu__pci_place(pci, port != 0);
	viommu_pci_attach(pci, e.dev, board_hpasid, board);
	return 0;
}

int viommu_board_add(struct viommu_board *board, struct viommu_pci *pci, uint16_t sid)
{
	int ret;

	if (!pci || sid == board->unit_sid)
		return -EINVAL;
	pthread_mutex_lock(&board->plug);
	ret = entry_begin(board, pci, sid, 0, NULL);
	pthread_mutex_unlock(&board->plug);
	return ret;
}

int viommu_board_add_sub(struct viommu_board *board, struct viommu_pci *pci, uint16_t sid,
			 struct viommu_device *parent)
{
	int ret;

	if (!pci || !parent || sid == board->unit_sid)
		return -EINVAL;
	pthread_mutex_lock(&board->plug);
	ret = entry_begin(board, pci, sid, 0, parent);
	pthread_mutex_unlock(&board->plug);
	return ret;
}

int viommu_board_add_port(struct viommu_board *board, uint16_t port)
{
	int ret = 0;

	if (!port || port >> 8 || port == board->unit_sid)
		return -EINVAL;
	pthread_mutex_lock(&board->plug);
	if (sid_used(board, port))
		ret = -EEXIST;
	else if (board->nr_ports == VIOMMU_BOARD_MAX_PORTS)
		ret = -ENOSPC;
	if (!ret) {
		pthread_mutex_lock(&board->lock);
		board->port[board->nr_ports++] = (struct port){ .sid = port };
		ports_guess(board);
		pthread_mutex_unlock(&board->lock);
		ports_settle(board);
	}
	pthread_mutex_unlock(&board->plug);
	return ret;
}

int viommu_board_port(struct viommu_board *board, uint16_t port, uint8_t *bus)
{
	struct port *p;
	int ret = -ENOENT;

	pthread_mutex_lock(&board->lock);
	p = port_find(board, port);
	if (p) {
		*bus = p->bus;
		ret = p->told;
	}
	pthread_mutex_unlock(&board->lock);
	return ret;
}

int viommu_board_plug(struct viommu_board *board, struct viommu_pci *pci, uint16_t port)
{
	struct port *p;
	int ret = -ENOENT;

	if (!pci)
		return -EINVAL;
	pthread_mutex_lock(&board->plug);
	p = port_find(board, port);
	if (p)
		ret = entry_begin(board, pci, VIOMMU_SID(p->bus, 0, 0), port, NULL);
	pthread_mutex_unlock(&board->plug);
	return ret;
}

int viommu_board_remove(struct viommu_board *board, struct viommu_pci *pci)
{
	int ret = -ENOENT;
	unsigned int i;

	pthread_mutex_lock(&board->plug);
	for (i = 0; ret && i < board->nr; i++) {
		if (board->entry[i].pci == pci) {
			entry_end(board, i);
			ret = 0;
		}
	}
	pthread_mutex_unlock(&board->plug);
	return ret;
}

struct viommu_pci *viommu_board_device(struct viommu_board *board, unsigned int n, uint16_t *sid)
{
	struct viommu_pci *pci = NULL;

	pthread_mutex_lock(&board->lock);
	if (n < board->nr) {
		pci = board->entry[n].pci;
		if (sid)
			*sid = board->entry[n].sid;
	}
	pthread_mutex_unlock(&board->lock);
	return pci;
}

void viommu_board_vm_gone(struct viommu_board *board)
{
	struct viommu_mem_region r;
	struct viommu_pci *pci;
	unsigned int i;

	for (i = 0; (pci = viommu_board_device(board, i, NULL)); i++)
		viommu_pci_reset(pci);
	viommu_pci_reset(board->unit);
	while (!viommu_mem_next(board->mem, 0, &r))
		if (viommu_mem_remove(board->mem, r.gpa, r.bytes))
			break; /* somebody else removed it meanwhile: never twice the same */
}

/* ---- ACPI ---- */

/* A bridge covers what is behind it, so a port names what will be plugged in there. */
static struct viommu_acpi_scope port_scope(const struct port *port)
{
	return (struct viommu_acpi_scope){ .type = VIOMMU_SCOPE_BRIDGE, .sid = port->sid };
}

size_t viommu_board_dmar(struct viommu_board *board, uint64_t registers, void *buf, size_t size)
{
	struct viommu_acpi_scope scope[VIOMMU_BOARD_MAX_DEVICES + VIOMMU_BOARD_MAX_PORTS];
	struct viommu_acpi_scope port[VIOMMU_BOARD_MAX_PORTS];
	struct viommu_acpi_structure s[] = {
		{ .kind = VIOMMU_ACPI_DRHD, .base = registers, .scope = scope },
		/* A guest lets nothing behind a port use ATS if the port is not named here. */
		{ .kind = VIOMMU_ACPI_ATSR, .scope = port },
	};
	struct viommu_acpi_dmar dmar = { .size = sizeof(dmar), .haw = board->haw, .structure = s };
	unsigned int i;

	memset(scope, 0, sizeof(scope));
	pthread_mutex_lock(&board->lock);
	for (i = 0; i < board->nr; i++) {
		if (board->entry[i].port)
			continue;
		scope[s[0].nr].type = VIOMMU_SCOPE_ENDPOINT;
		scope[s[0].nr++].sid = board->entry[i].sid;
	}
	for (i = 0; i < board->nr_ports; i++)
		scope[s[0].nr++] = port[s[1].nr++] = port_scope(&board->port[i]);
	pthread_mutex_unlock(&board->lock);
	dmar.nr = s[1].nr ? 2 : 1;
	return viommu_acpi_dmar(&dmar, buf, size);
}

size_t viommu_board_ssdt(struct viommu_board *board, void *buf, size_t size)
{
	uint16_t port[VIOMMU_BOARD_MAX_PORTS];
	unsigned int i, nr;

	pthread_mutex_lock(&board->lock);
	nr = board->nr_ports;
	for (i = 0; i < nr; i++)
		port[i] = board->port[i].sid;
	pthread_mutex_unlock(&board->lock);
	return viommu_acpi_ssdt_ports(board->unit_sid, port, nr, VIOMMU_PCI_VENDOR_AT, buf, size);
}
