/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vfio-user protocol as data: header, commands, payloads, and the functions that turn bytes of
 * a peer into checked structures. No I/O, no state: everything here is a function of its arguments
 * (and the fuzz target "vfio-user").
 *
 *	0       2         4      8       12      16
 *	| id    | command | size | flags | errno | payload ...		host byte order
 *
 * size counts the header. A reply repeats id and command; one with an error is the header alone.
 *
 * A message is judged twice. viommu__vfu_header(): can the stream be followed at all? If not, the
 * connection ends. viommu__vfu_parse(): is it a message that this server serves? If not, its sender
 * gets the errno, and the next message is looked at.
 */
#ifndef VIOMMU_SERVER_WIRE_H
#define VIOMMU_SERVER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VFU_HEADER 16u

/* Our side of the negotiation. */
#define VFU_MAX_FDS  16u         /* max_msg_fds: what stock QEMU offers as well */
#define VFU_MAX_XFER (64u << 10) /* max_data_xfer_size: of one region access */
#define VFU_PAGE     4096u       /* pgsizes */
/* Longest text of capabilities that is looked at, and the longest that stock QEMU takes. */
#define VFU_MAX_JSON       4096u
#define VFU_MAX_JSON_REPLY 194u

/* flags of the header */
#define VFU_TYPE     0x0fu
#define VFU_COMMAND  0x0u
#define VFU_REPLY    0x1u
#define VFU_NO_REPLY 0x10u
#define VFU_ERROR    0x20u

/* What happens to a command. */
enum viommu__vfu_use {
	VFU_SERVED,
	VFU_REFUSED, /* known, but not what this server can do: ENOTSUP */
	VFU_OURS,    /* only a server sends it */
};

/* clang-format off */
/*
 * symbol, number, name, shortest and longest message of a client (header included), use, whether
 * descriptors may come with it
 */
#define VFU_COMMANDS(C)                                                                           \
	C(VERSION,         1, "VERSION",         20, 20 + VFU_MAX_JSON,  VFU_SERVED,  0)          \
	C(DMA_MAP,         2, "DMA_MAP",         48, 48,                 VFU_SERVED,  1)          \
	C(DMA_UNMAP,       3, "DMA_UNMAP",       40, 64,                 VFU_SERVED,  0)          \
	C(GET_INFO,        4, "GET_INFO",        32, 32,                 VFU_SERVED,  0)          \
	C(REGION_INFO,     5, "REGION_INFO",     48, 1024,               VFU_SERVED,  0)          \
	C(REGION_IO_FDS,   6, "REGION_IO_FDS",   32, 1024,               VFU_SERVED,  0)          \
	C(IRQ_INFO,        7, "IRQ_INFO",        32, 32,                 VFU_SERVED,  0)          \
	C(SET_IRQS,        8, "SET_IRQS",        36, 36 + VFU_MAX_IRQS,  VFU_SERVED,  1)          \
	C(REGION_READ,     9, "REGION_READ",     32, 32,                 VFU_SERVED,  0)          \
	C(REGION_WRITE,   10, "REGION_WRITE",    32, 32 + VFU_MAX_XFER,  VFU_SERVED,  0)          \
	C(DMA_READ,       11, "DMA_READ",        16, VFU_MAX_MESSAGE,    VFU_OURS,    0)          \
	C(DMA_WRITE,      12, "DMA_WRITE",       16, VFU_MAX_MESSAGE,    VFU_OURS,    0)          \
	C(RESET,          13, "RESET",           16, 16,                 VFU_SERVED,  0)          \
	C(DIRTY_PAGES,    14, "DIRTY_PAGES",     16, VFU_MAX_MESSAGE,    VFU_REFUSED, 0)          \
	C(WRITE_MULTI,    15, "WRITE_MULTI",     24, VFU_MAX_MESSAGE,    VFU_SERVED,  0)          \
	C(FEATURE,        16, "FEATURE",         24, VFU_MAX_MESSAGE,    VFU_SERVED,  0)          \
	C(MIG_DATA_READ,  17, "MIG_DATA_READ",   16, VFU_MAX_MESSAGE,    VFU_REFUSED, 0)          \
	C(MIG_DATA_WRITE, 18, "MIG_DATA_WRITE",  16, VFU_MAX_MESSAGE,    VFU_REFUSED, 0)
/* clang-format on */

/* Most interrupts of one index that one message can name, one byte each (MSI-X has 2,048). */
#define VFU_MAX_IRQS 2048u
/* The longest message of all; a longer one ends the connection. */
#define VFU_MAX_MESSAGE (32u + VFU_MAX_XFER)

enum {
#define VFU_NUMBER(symbol, number, name, min, max, use, fds) VFU_##symbol = (number),
	VFU_COMMANDS(VFU_NUMBER)
#undef VFU_NUMBER
};

struct viommu__vfu_header {
	uint16_t id;
	uint16_t command;
	uint32_t size;
	uint32_t flags;
	uint32_t error;
};

/* VERSION: what the peer can take. */
struct viommu__vfu_caps {
	uint32_t max_msg_fds;
	uint32_t max_data_xfer_size;
	uint32_t max_dma_maps;
	uint32_t write_multiple;
};

/* flags of DMA_MAP */
#define VFU_MAP_READ  0x1u
#define VFU_MAP_WRITE 0x2u
#define VFU_MAP_MMAP  0x4u
#define VFU_MAP_IO    0x8u

/* flags of DMA_UNMAP */
#define VFU_UNMAP_DIRTY 0x1u
#define VFU_UNMAP_ALL   0x2u

/* flags of GET_INFO, REGION_INFO, IRQ_INFO */
#define VFU_DEVICE_RESET    0x1u
#define VFU_DEVICE_PCI      0x2u
#define VFU_REGION_READABLE 0x1u
#define VFU_REGION_WRITABLE 0x2u
#define VFU_IRQ_EVENTFD     0x1u
#define VFU_IRQ_MASKABLE    0x2u
#define VFU_IRQ_AUTOMASKED  0x4u

/* A PCI function's regions and interrupts. */
enum {
	VFU_REGION_BAR0,
	VFU_REGION_ROM = 6,
	VFU_REGION_CONFIG = 7,
	VFU_REGION_VGA = 8,
	VFU_REGIONS = 9,
};
enum {
	VFU_INTX,
	VFU_MSI,
	VFU_MSIX,
	VFU_ERR,
	VFU_REQ,
	VFU_IRQS,
};

/* flags of SET_IRQS: one of the first three with one of the others */
#define VFU_SET_NONE    0x01u
#define VFU_SET_BOOL    0x02u
#define VFU_SET_EVENTFD 0x04u
#define VFU_SET_MASK    0x08u
#define VFU_SET_UNMASK  0x10u
#define VFU_SET_TRIGGER 0x20u

/* flags of FEATURE; bits 15:0 are the feature's number */
#define VFU_FEATURE_GET   0x10000u
#define VFU_FEATURE_SET   0x20000u
#define VFU_FEATURE_PROBE 0x40000u

struct viommu__vfu_map {
	uint32_t flags;
	uint64_t offset;
	uint64_t addr;
	uint64_t bytes;
};

struct viommu__vfu_irqs {
	uint32_t data;   /* VFU_SET_NONE, _BOOL, _EVENTFD */
	uint32_t action; /* VFU_SET_MASK, _UNMASK, _TRIGGER */
	uint32_t index;  /* below VFU_IRQS */
	uint32_t start;
	uint32_t count; /* start + count does not wrap */
};

struct viommu__vfu_access {
	uint64_t offset; /* offset + count does not wrap */
	uint32_t region; /* below VFU_REGIONS */
	uint32_t count;  /* 1 to VFU_MAX_XFER */
};

/* A message that this server serves, its payload checked. */
struct viommu__vfu_message {
	struct viommu__vfu_header h;
	union {
		struct viommu__vfu_caps caps; /* VERSION */
		struct viommu__vfu_map map;   /* DMA_MAP, DMA_UNMAP (without offset) */
		uint32_t index;               /* REGION_INFO, REGION_IO_FDS, IRQ_INFO */
		struct viommu__vfu_irqs irqs;
		struct viommu__vfu_access access; /* REGION_READ, REGION_WRITE */
		uint32_t writes;                  /* WRITE_MULTI */
		uint32_t feature;                 /* FEATURE: all of flags */
	} u;
	/* What follows the fixed part: the bytes to write, booleans of SET_IRQS. */
	const uint8_t *data;
	size_t data_bytes;
};

/*
 * The header at the start of bytes. 0; -EAGAIN: more bytes are needed; -EPROTO: its size is none,
 * so what follows can't be found.
 */
int viommu__vfu_header(const uint8_t *p, size_t bytes, struct viommu__vfu_header *out);
void viommu__vfu_put_header(uint8_t p[VFU_HEADER], const struct viommu__vfu_header *h);

/* The reply to a DMA_READ or DMA_WRITE of ours. */
struct viommu__vfu_reply {
	uint64_t addr;
	uint64_t count;
	const uint8_t *data; /* DMA_READ: count bytes; else NULL */
	bool bare;           /* DMA_WRITE: the header alone, as QEMU 10.1.0 sends it */
};
/* h->size bytes at p. 0, or an errno (positive): the client's, or EPROTO. *out is set always. */
int viommu__vfu_parse_reply(const uint8_t *p, const struct viommu__vfu_header *h,
			    struct viommu__vfu_reply *out);

/*
 * The message of that header, h->size bytes at p. 0, or the errno for its sender (positive). out->h
 * is valid always. VERSION: -EPROTO as well, if no common version exists.
 */
int viommu__vfu_parse(const uint8_t *p, const struct viommu__vfu_header *h,
		      struct viommu__vfu_message *out);

/* The n-th of u.writes writes; *value points at its bytes. 0 or errno (positive). */
int viommu__vfu_write(const struct viommu__vfu_message *msg, uint32_t n,
		      struct viommu__vfu_access *out, const uint8_t **value);

/* Name of a command for the log; "?" if it has none. */
const char *viommu__vfu_name(uint16_t command);
/* May descriptors come with it? */
bool viommu__vfu_takes_fds(uint16_t command);

/* ---- version.c */

/*
 * The capabilities of a client: bytes of text, the last of them NUL; 0 bytes are none. 0, or the
 * errno (positive). What is not said has its default.
 */
int viommu__vfu_caps(const char *json, size_t bytes, struct viommu__vfu_caps *out);
/*
 * Our answer to them, in buf of VFU_MAX_JSON_REPLY bytes; the length with its NUL. max_maps as
 * configured.
 */
size_t viommu__vfu_caps_reply(char *buf, const struct viommu__vfu_caps *client, uint32_t max_maps);

/* ---- Fields in host byte order, at any alignment. */

uint16_t viommu__vfu_get16(const uint8_t *p);
uint32_t viommu__vfu_get32(const uint8_t *p);
uint64_t viommu__vfu_get64(const uint8_t *p);
void viommu__vfu_put16(uint8_t *p, uint16_t v);
void viommu__vfu_put32(uint8_t *p, uint32_t v);
void viommu__vfu_put64(uint8_t *p, uint64_t v);

#endif /* VIOMMU_SERVER_WIRE_H */
