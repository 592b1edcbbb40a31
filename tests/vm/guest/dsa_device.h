/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A DSA device's registers and portals for a driver of its own, by mapped BARs. Written after the
 * public specification, as dsa.h is.
 */
#ifndef VIOMMU_GUEST_DSA_DEVICE_H
#define VIOMMU_GUEST_DSA_DEVICE_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "guest.h"

#define DSA_WAIT_MS 60000

#define REG_VERSION 0x00
#define REG_GENCAP  0x10
#define REG_WQCAP   0x20
#define REG_OFFSETS 0x60
#define REG_GENCTRL 0x88
#define REG_GENSTS  0x90
#define REG_CMD     0xa0
#define REG_CMDSTS  0xa8
#define REG_SWERROR 0xc0

#define CMD_ENABLE_DEVICE  1
#define CMD_DISABLE_DEVICE 2
#define CMD_RESET_DEVICE   5
#define CMD_ENABLE_QUEUE   6
#define CMD_RESET_QUEUE    10

struct dsa_device {
	volatile uint8_t *registers, *portals;
};

static inline uint32_t dsa_read32(const struct dsa_device *d, uint32_t at)
{
	return *(volatile uint32_t *)(d->registers + at);
}

static inline uint64_t dsa_read64(const struct dsa_device *d, uint32_t at)
{
	return *(volatile uint64_t *)(d->registers + at);
}

static inline void dsa_write32(const struct dsa_device *d, uint32_t at, uint32_t value)
{
	*(volatile uint32_t *)(d->registers + at) = value;
}

static inline void dsa_write64(const struct dsa_device *d, uint32_t at, uint64_t value)
{
	*(volatile uint64_t *)(d->registers + at) = value;
}

/* 0, the command's error, or -1 when the time is over. */
static inline int dsa_command(const struct dsa_device *d, uint32_t code, uint32_t operand)
{
	uint64_t end = now_ms() + DSA_WAIT_MS;
	uint32_t status;

	dsa_write32(d, REG_CMD, code << 20 | operand);
	do
		status = dsa_read32(d, REG_CMDSTS);
	while (status >> 31 && now_ms() < end);
	return status >> 31 ? -1 : (int)(status & 0xff);
}

struct dsa_swerror {
	bool valid;
	uint8_t code, queue;
	uint32_t pasid;
	uint64_t address;
};

/* Waits until the register is valid, takes and clears it; .valid is false when the time is over. */
static inline struct dsa_swerror dsa_swerror_take(const struct dsa_device *d)
{
	uint64_t end = now_ms() + DSA_WAIT_MS, word;
	struct dsa_swerror e = { .valid = false };

	while (!((word = dsa_read64(d, REG_SWERROR)) & 1)) {
		if (now_ms() > end)
			return e;
		sched_yield();
	}
	e = (struct dsa_swerror){
		.valid = true,
		.code = word >> 8,
		.queue = word >> 16,
		.pasid = word >> 40 & 0xfffff,
		.address = dsa_read64(d, REG_SWERROR + 16),
	};
	dsa_write64(d, REG_SWERROR, 3); /* valid and overflow, by writing 1 */
	return e;
}

/* Where the configuration of a group or a queue begins. */
static inline uint32_t dsa_group(const struct dsa_device *d, unsigned int group)
{
	return (dsa_read64(d, REG_OFFSETS) & 0xffff) * 0x100 + group * 64;
}

static inline uint32_t dsa_queue_at(const struct dsa_device *d, unsigned int queue)
{
	unsigned int lg2 = 5 + (dsa_read64(d, REG_WQCAP) >> 24 & 15);

	return (dsa_read64(d, REG_OFFSETS) >> 16 & 0xffff) * 0x100 + (queue << lg2);
}

#endif /* VIOMMU_GUEST_DSA_DEVICE_H */
