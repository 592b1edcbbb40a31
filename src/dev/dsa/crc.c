/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CRC generation, alone or while copying; and the two CRCs, eight bytes a step by tables.
 *
 * CRC-32C (polynomial 1EDC6F41h) as iSCSI has it: bytes enter lowest bit first, the state begins
 * and ends inverted. T10-DIF (8BB7h): highest bit first, nothing inverted.
 */
#include "dev/dsa/dsa.h"

#define CRC32C_REFLECTED UINT32_C(0x82f63b78)
#define T10_POLY         0x8bb7u

void viommu__dsa_crc_tables(struct dsa_tables *t)
{
	unsigned int i, k;

	for (i = 0; i < 256; i++) {
		uint16_t t10 = (uint16_t)(i << 8);
		uint32_t crc = i;

		for (k = 0; k < 8; k++) {
			crc = crc >> 1 ^ (crc & 1 ? CRC32C_REFLECTED : 0);
			t10 = (uint16_t)(t10 << 1 ^ (t10 & 0x8000 ? T10_POLY : 0));
			t->reverse[i] = (uint8_t)(t->reverse[i] << 1 | (i >> k & 1));
		}
		t->crc32c[0][i] = crc;
		t->t10[0][i] = t10;
	}
	/* Row k: the same byte with k zero bytes behind it. */
	for (k = 1; k < 8; k++) {
		for (i = 0; i < 256; i++) {
			uint32_t crc = t->crc32c[k - 1][i];
			uint16_t t10 = t->t10[k - 1][i];

			t->crc32c[k][i] = crc >> 8 ^ t->crc32c[0][crc & 0xff];
			t->t10[k][i] = (uint16_t)(t10 << 8 ^ t->t10[0][t10 >> 8]);
		}
	}
}

uint32_t viommu__dsa_crc32c(const struct dsa_tables *t, uint32_t state, const uint8_t *p, size_t n)
{
	for (; n >= 8; n -= 8, p += 8) {
		state = t->crc32c[7][p[0] ^ (state & 0xff)] ^
			t->crc32c[6][p[1] ^ (state >> 8 & 0xff)] ^
			t->crc32c[5][p[2] ^ (state >> 16 & 0xff)] ^
			t->crc32c[4][p[3] ^ state >> 24] ^ t->crc32c[3][p[4]] ^ t->crc32c[2][p[5]] ^
			t->crc32c[1][p[6]] ^ t->crc32c[0][p[7]];
	}
	for (; n; n--, p++)
		state = state >> 8 ^ t->crc32c[0][(state ^ *p) & 0xff];
	return state;
}

/* n is a multiple of 8, as every block of data is. */
uint16_t viommu__dsa_t10(const struct dsa_tables *t, uint16_t crc, const uint8_t *p, size_t n)
{
	for (; n >= 8; n -= 8, p += 8) {
		crc = t->t10[7][p[0] ^ crc >> 8] ^ t->t10[6][p[1] ^ (crc & 0xff)] ^
		      t->t10[5][p[2]] ^ t->t10[4][p[3]] ^ t->t10[3][p[4]] ^ t->t10[2][p[5]] ^
		      t->t10[1][p[6]] ^ t->t10[0][p[7]];
	}
	return crc;
}

static uint32_t reverse32(const struct dsa_tables *t, uint32_t v)
{
	return (uint32_t)t->reverse[v & 0xff] << 24 | (uint32_t)t->reverse[v >> 8 & 0xff] << 16 |
	       (uint32_t)t->reverse[v >> 16 & 0xff] << 8 | t->reverse[v >> 24];
}

/* Between the value that software sees and the state of the calculation, both ways. */
static uint32_t convert(const struct dsa_job *job, uint32_t v)
{
	if (job->flags & DSA_FLAG_CRC_NO_INVERT)
		return reverse32(&job->dsa->tables, v);
	return ~v;
}

unsigned int viommu__dsa_crc_operate(struct dsa_job *job)
{
	uint64_t src = DSA_GET(job->w, DSA_D_A), dst = DSA_GET(job->w, DSA_D_B);
	uint32_t seed = (uint32_t)DSA_GET(job->w, DSA_D_CRC_SEED), state, got, i;
	const struct dsa_tables *t = &job->dsa->tables;
	uint8_t *buf = job->engine->buf[0], bytes[4];
	uint32_t size = dsa_size(job);
	unsigned int status, wstatus;

	if (job->completed) {
		seed = (uint32_t)DSA_FIELD(job->tail[0], DSA_CR_CRC);
	} else if (job->flags & DSA_FLAG_CRC_READ_SEED) {
		status = viommu__dsa_read(job, DSA_GET(job->w, DSA_D_CRC_SEED_ADDR), bytes, 4, 0,
					  &got);
		if (status)
			return status;
		seed = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
		       (uint32_t)bytes[3] << 24;
	}
	/* The record has the CRC of what is done at any time: a seed to go on with. */
	job->tail[0] = DSA_VAL(DSA_CR_CRC, seed);
	state = convert(job, seed);
	while (job->completed < size) {
		status = dsa_look(job);
		if (status)
			return status;
		status =
			viommu__dsa_read(job, src + job->completed, buf,
					 (uint32_t)min_u64(size - job->completed, DSA_BUFFER_BYTES),
					 0, &got);
		if (job->op == DSA_OP_COPY_CRC && got) {
			wstatus = viommu__dsa_write(job, dst + job->completed, buf, got, 0, &got);
			if (wstatus)
				status = wstatus;
		}
		if (job->flags & DSA_FLAG_CRC_NO_REFLECT)
			for (i = 0; i < got; i++)
				buf[i] = t->reverse[buf[i]];
		state = viommu__dsa_crc32c(t, state, buf, got);
		job->tail[0] = DSA_VAL(DSA_CR_CRC, convert(job, state));
		job->completed += got;
		job->moved += got;
		if (status)
			return status;
	}
	return 0;
}
