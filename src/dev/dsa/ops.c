/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Operations on plain bytes: move, fill, compare, delta records, dualcast, cache flush; and the
 * checks of every operation's operands. Each goes in pieces and looks in between whether it was
 * told to stop. At a fault `completed` says how much of it is done.
 */
#include "dev/dsa/dsa.h"

#define DELTA_MIN   80u      /* the least that a new record has room for */
#define DELTA_BYTES 0x80000u /* what 16-bit indices reach */

/* Source bytes whose record fits a buffer although every word differs. */
#define DELTA_PIECE 16384u
VIOMMU_STATIC_ASSERT(DELTA_PIECE / 8 * DSA_DELTA_ENTRY <= DSA_BUFFER_BYTES,
		     "a record fits its buffer");

/* ---- Operands -------------------------------------------------------------------------------- */

/* Two ranges of bytes, neither empty. */
static bool overlap(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
	return b - a < a_bytes || a - b < b_bytes;
}

static unsigned int operands_batch(const struct dsa_job *job)
{
	uint32_t count = dsa_size(job);

	if (DSA_GET(job->w, DSA_D_A) & 63)
		return DSA_ST_LIST_ALIGN;
	return count < 2 || count > job->max_batch ? DSA_ST_COUNT : 0;
}

static unsigned int operands_delta(const struct dsa_job *job)
{
	uint64_t a = DSA_GET(job->w, DSA_D_A), b = DSA_GET(job->w, DSA_D_B);
	uint32_t size = dsa_size(job), record;

	if (size > DELTA_BYTES)
		return DSA_ST_SIZE;
	if ((a | b | size) & 7)
		return DSA_ST_ALIGN;
	if (job->op == DSA_OP_CR_DELTA) {
		uint64_t delta = DSA_GET(job->w, DSA_D_DELTA);

		record = (uint32_t)DSA_GET(job->w, DSA_D_DELTA_MAX);
		if (delta & 7)
			return DSA_ST_ALIGN;
		if (record < DELTA_MIN)
			return DSA_ST_VALUE;
		return overlap(a, size, delta, record) || overlap(b, size, delta, record)
			       ? DSA_ST_OVERLAP
			       : 0;
	}
	record = (uint32_t)DSA_GET(job->w, DSA_D_DELTA_SIZE);
	if (record < DSA_DELTA_ENTRY || record % DSA_DELTA_ENTRY)
		return DSA_ST_VALUE;
	return overlap(a, record, b, size) ? DSA_ST_OVERLAP : 0;
}

static unsigned int operands_dualcast(const struct dsa_job *job)
{
	uint64_t src = DSA_GET(job->w, DSA_D_A), dst1 = DSA_GET(job->w, DSA_D_B);
	uint64_t dst2 = DSA_GET(job->w, DSA_D_DST2);
	uint32_t size = dsa_size(job);

	if ((dst1 ^ dst2) & 0xfff)
		return DSA_ST_DUALCAST;
	return overlap(src, size, dst1, size) || overlap(src, size, dst2, size) ||
			       overlap(dst1, size, dst2, size)
		       ? DSA_ST_OVERLAP
		       : 0;
}

unsigned int viommu__dsa_operands(struct dsa_job *job)
{
	uint32_t size = dsa_size(job);

	switch (job->op) {
	case DSA_OP_NOOP:
	case DSA_OP_DRAIN:
		return 0;
	case DSA_OP_BATCH:
		return operands_batch(job);
	default:
		break;
	}
	if (!size || size > job->max_transfer)
		return DSA_ST_SIZE;
	switch (job->op) {
	case DSA_OP_CR_DELTA:
	case DSA_OP_AP_DELTA:
		return operands_delta(job);
	case DSA_OP_DUALCAST:
		return operands_dualcast(job);
	case DSA_OP_COPY_CRC:
		return overlap(DSA_GET(job->w, DSA_D_A), size, DSA_GET(job->w, DSA_D_B), size)
			       ? DSA_ST_OVERLAP
			       : 0;
	case DSA_OP_DIF_CHECK:
	case DSA_OP_DIF_INSERT:
	case DSA_OP_DIF_STRIP:
	case DSA_OP_DIF_UPDATE:
		return viommu__dsa_dif_operands(job);
	default:
		return 0;
	}
}

/* ---- Operations ------------------------------------------------------------------------------ */

static uint32_t piece(uint32_t left, uint64_t most)
{
	return (uint32_t)min_u64(left, most);
}

/* Bytes before `end` in the page that ends with it or holds it. */
static uint64_t back_to_page(uint64_t end)
{
	return ((end - 1) & 4095) + 1;
}

/*
 * A destination that begins inside the source is copied from its end, page by page, so that a piece
 * is either done or not: the result then tells software to resume with the same addresses.
 */
static unsigned int move_backwards(struct dsa_job *job, uint64_t src, uint64_t dst, uint32_t size)
{
	unsigned int status;
	uint32_t n, got;

	while (job->completed < size) {
		uint32_t left = size - job->completed;

		status = dsa_look(job);
		if (status)
			return status;
		n = piece(left, min_u64(back_to_page(src + left), back_to_page(dst + left)));
		status = viommu__dsa_copy(job, dst + left - n, src + left - n, n, &got);
		if (status) {
			job->result = status != DSA_SUSPENDED;
			return status;
		}
		job->completed += n;
		job->moved += n;
	}
	return 0;
}

static unsigned int move_forwards(struct dsa_job *job, uint64_t src, uint64_t dst, uint32_t size)
{
	unsigned int status;
	uint32_t got;

	while (job->completed < size) {
		status = dsa_look(job);
		if (status)
			return status;
		status = viommu__dsa_copy(job, dst + job->completed, src + job->completed,
					  piece(size - job->completed, DSA_MOVE_BYTES), &got);
		job->completed += got;
		job->moved += got;
		if (status)
			return status;
	}
	return 0;
}

static unsigned int move(struct dsa_job *job)
{
	uint64_t src = DSA_GET(job->w, DSA_D_A), dst = DSA_GET(job->w, DSA_D_B);
	uint32_t size = dsa_size(job);

	if (dst != src && dst - src < size)
		return move_backwards(job, src, dst, size);
	return move_forwards(job, src, dst, size);
}

static unsigned int fill(struct dsa_job *job)
{
	uint64_t pattern = DSA_GET(job->w, DSA_D_A), dst = DSA_GET(job->w, DSA_D_B);
	uint32_t size = dsa_size(job), got;
	unsigned int status;

	while (job->completed < size) {
		status = dsa_look(job);
		if (status)
			return status;
		status = viommu__dsa_fill(job, dst + job->completed, pattern,
					  piece(size - job->completed, DSA_MOVE_BYTES), &got);
		job->completed += got;
		job->moved += got;
		if (status) {
			/* choice: whole patterns, so that the rest goes on with the same one. */
			job->completed &= ~7u;
			return status;
		}
	}
	return 0;
}

/* The status of a result that may be checked against the one in the descriptor. */
static unsigned int judged(const struct dsa_job *job, bool expected)
{
	return job->flags & DSA_FLAG_CHECK && !expected ? DSA_ST_FALSE : DSA_ST_SUCCESS;
}

static unsigned int compare_end(struct dsa_job *job, bool differ, uint32_t at)
{
	job->result = differ;
	job->completed = differ ? at : 0;
	return judged(job, differ == (DSA_GET(job->w, DSA_D_EXPECTED) & 1));
}

static uint32_t first_difference(const uint8_t *a, const uint8_t *b, uint32_t n)
{
	uint32_t i = 0;

	if (!memcmp(a, b, n))
		return n;
	while (a[i] == b[i])
		i++;
	return i;
}

static void repeat(uint8_t *buf, uint64_t pattern, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i += 8)
		memcpy(buf + i, &pattern, 8);
}

/* With a second source, or a pattern that stands in the second buffer already. */
static unsigned int compare(struct dsa_job *job)
{
	uint64_t a = DSA_GET(job->w, DSA_D_A), b = DSA_GET(job->w, DSA_D_B);
	uint8_t *pa = job->engine->buf[0], *pb = job->engine->buf[1];
	bool second = job->op == DSA_OP_COMPARE;
	uint32_t size = dsa_size(job), n, got, got2, at;
	unsigned int status, status2;

	if (!second)
		repeat(pb, b, DSA_BUFFER_BYTES);
	while (job->completed < size) {
		status = dsa_look(job);
		if (status)
			return status;
		n = piece(size - job->completed, DSA_BUFFER_BYTES);
		status = viommu__dsa_read(job, a + job->completed, pa, n, 0, &got);
		if (second && got) {
			struct dsa_job before = *job;

			status2 = viommu__dsa_read(job, b + job->completed, pb, got, 0, &got2);
			if (status2)
				status = status2;
			else if (status) /* the first source's fault is the one to tell */
				*job = before;
			got = got2;
		}
		at = first_difference(pa, pb, got);
		if (at < got)
			return compare_end(job, true, job->completed + at);
		job->completed += got;
		job->moved += got;
		if (status)
			return status;
	}
	return compare_end(job, false, 0);
}

static unsigned int dualcast(struct dsa_job *job)
{
	uint64_t src = DSA_GET(job->w, DSA_D_A), dst1 = DSA_GET(job->w, DSA_D_B);
	uint64_t dst2 = DSA_GET(job->w, DSA_D_DST2);
	uint32_t size = dsa_size(job), n, got, got1, got2;
	uint8_t *buf = job->engine->buf[0];
	unsigned int status, status1;

	while (job->completed < size) {
		status = dsa_look(job);
		if (status)
			return status;
		/* A page of both destinations at a time: they end at the same byte. */
		n = piece(size - job->completed, 4096 - ((dst1 + job->completed) & 4095));
		status = viommu__dsa_read(job, src + job->completed, buf, n, 0, &got);
		if (got) {
			status1 = viommu__dsa_write(job, dst1 + job->completed, buf, got, 0, &got1);
			if (!status1)
				status1 = viommu__dsa_write(job, dst2 + job->completed, buf, got1,
							    0, &got2);
			if (status1)
				return status1;
			job->completed += got;
			job->moved += 2 * (uint64_t)got;
		}
		if (status)
			return status;
	}
	return 0;
}

/* ---- Delta records --------------------------------------------------------------------------- */

static void delta_put(uint8_t *out, uint32_t index, const uint8_t *word)
{
	out[0] = (uint8_t)index;
	out[1] = (uint8_t)(index >> 8);
	memcpy(out + 2, word, 8);
}

static uint32_t delta_index(const uint8_t *entry)
{
	return entry[0] | (uint32_t)entry[1] << 8;
}

static void delta_size(struct dsa_job *job, uint32_t bytes)
{
	job->tail[0] = DSA_VAL(DSA_CR_DELTA_SIZE, bytes);
}

static unsigned int create_delta(struct dsa_job *job)
{
	uint64_t a = DSA_GET(job->w, DSA_D_A), b = DSA_GET(job->w, DSA_D_B);
	uint64_t delta = DSA_GET(job->w, DSA_D_DELTA);
	uint32_t room =
		(uint32_t)DSA_GET(job->w, DSA_D_DELTA_MAX) / DSA_DELTA_ENTRY * DSA_DELTA_ENTRY;
	uint8_t *pa = job->engine->buf[0], *pb = job->engine->buf[1], *out = job->engine->buf[2];
	uint32_t size = dsa_size(job), n, got, got2, i, fresh, wrote;
	uint32_t used = (uint32_t)DSA_FIELD(job->tail[0], DSA_CR_DELTA_SIZE);
	unsigned int status, status2, wstatus;
	bool full = false;

	while (job->completed < size) {
		status = dsa_look(job);
		if (status)
			return status;
		n = piece(size - job->completed, DELTA_PIECE);
		status = viommu__dsa_read(job, a + job->completed, pa, n, 0, &got);
		if (got) {
			struct dsa_job before = *job;

			status2 = viommu__dsa_read(job, b + job->completed, pb, got, 0, &got2);
			if (status2)
				status = status2;
			else if (status)
				*job = before;
			got = got2;
		}
		got &= ~7u;
		for (i = 0, fresh = 0; i < got; i += 8) {
			if (!memcmp(pa + i, pb + i, 8))
				continue;
			if (used + fresh + DSA_DELTA_ENTRY > room) {
				full = true;
				break;
			}
			delta_put(out + fresh, (job->completed + i) / 8, pb + i);
			fresh += DSA_DELTA_ENTRY;
		}
		wstatus = fresh ? viommu__dsa_write(job, delta + used, out, fresh, 0, &wrote) : 0;
		if (wstatus) {
			/* Up to the first word whose entry is not whole. */
			wrote -= wrote % DSA_DELTA_ENTRY;
			job->completed = delta_index(out + wrote) * 8;
			used += wrote;
			delta_size(job, used);
			job->result = used != 0;
			return wstatus;
		}
		used += fresh;
		job->completed += i;
		job->moved += i;
		delta_size(job, used);
		if (full)
			break;
		if (status) {
			job->result = used != 0;
			return status;
		}
	}
	job->result = full ? 2 : used != 0;
	if (!full)
		job->completed = 0;
	return judged(job, DSA_GET(job->w, DSA_D_EXPECTED_MASK) >> job->result & 1);
}

static unsigned int apply_delta(struct dsa_job *job)
{
	uint64_t delta = DSA_GET(job->w, DSA_D_A), dst = DSA_GET(job->w, DSA_D_B);
	uint32_t record = (uint32_t)DSA_GET(job->w, DSA_D_DELTA_SIZE), size = dsa_size(job);
	const uint32_t most = DSA_BUFFER_BYTES / DSA_DELTA_ENTRY * DSA_DELTA_ENTRY;
	uint8_t *buf = job->engine->buf[0];
	unsigned int status, wstatus;
	uint32_t got, wrote, i;

	while (job->completed < record) {
		status = dsa_look(job);
		if (status)
			return status;
		status = viommu__dsa_read(job, delta + job->completed, buf,
					  piece(record - job->completed, most), 0, &got);
		for (i = 0; i + DSA_DELTA_ENTRY <= got; i += DSA_DELTA_ENTRY) {
			uint32_t index = delta_index(buf + i);

			if (index <= job->last)
				return dsa_no_fault(job, DSA_ST_DELTA_ORDER);
			if (index >= size / 8)
				return dsa_no_fault(job, DSA_ST_DELTA_RANGE);
			wstatus = viommu__dsa_write(job, dst + (uint64_t)index * 8, buf + i + 2, 8,
						    0, &wrote);
			if (wstatus)
				return wstatus;
			job->last = index;
			job->completed += DSA_DELTA_ENTRY;
			job->moved += 8;
		}
		if (status)
			return status;
	}
	return 0;
}

/* Host memory is coherent: what is left of a flush is that its addresses are looked up. */
static unsigned int flush(struct dsa_job *job)
{
	uint64_t dst = DSA_GET(job->w, DSA_D_B);
	uint32_t size = dsa_size(job), n, got;
	unsigned int status;
	uint8_t byte;

	while (job->completed < size) {
		status = dsa_look(job);
		if (status)
			return status;
		n = piece(size - job->completed, 4096 - ((dst + job->completed) & 4095));
		status = viommu__dsa_read(job, dst + job->completed, &byte, 1, 0, &got);
		if (status)
			return status;
		job->completed += n;
	}
	return 0;
}

/* Of those that have no status of their own for success: all bytes are done. */
static unsigned int whole(struct dsa_job *job, unsigned int status)
{
	if (status)
		return status;
	job->completed = 0;
	return DSA_ST_SUCCESS;
}

unsigned int viommu__dsa_operate(struct dsa_job *job)
{
	switch (job->op) {
	case DSA_OP_MOVE:
		return whole(job, move(job));
	case DSA_OP_FILL:
		return whole(job, fill(job));
	case DSA_OP_COMPARE:
	case DSA_OP_COMPVAL:
		return compare(job);
	case DSA_OP_CR_DELTA:
		return create_delta(job);
	case DSA_OP_AP_DELTA:
		return whole(job, apply_delta(job));
	case DSA_OP_DUALCAST:
		return whole(job, dualcast(job));
	case DSA_OP_CRC:
	case DSA_OP_COPY_CRC:
		return whole(job, viommu__dsa_crc_operate(job));
	case DSA_OP_DIF_CHECK:
	case DSA_OP_DIF_INSERT:
	case DSA_OP_DIF_STRIP:
	case DSA_OP_DIF_UPDATE:
		return whole(job, viommu__dsa_dif_operate(job));
	case DSA_OP_CFLUSH:
		return whole(job, flush(job));
	default: /* no operation, and drain, whose turn comes when it has nothing to wait for */
		return DSA_ST_SUCCESS;
	}
}
