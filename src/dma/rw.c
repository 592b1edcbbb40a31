/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads, writes, fills, copies, scatter lists, atomics and batches.
 *
 * Each is a loop over runs: translate as many pages as lie next to each other, move the bytes, look
 * whether a truncated file took them away meanwhile. A section ends after SECTION_BYTES at most, so
 * that an invalidation waits for a bounded copy.
 */
#include "dma/access.h"
#include "dma/copy.h"

static int check(const struct viommu_device *dev, uint32_t pasid, uint64_t addr, uint64_t bytes,
		 uint32_t flags)
{
	uint64_t last;

	if (flags & ~ACCESS_FLAGS)
		return -EINVAL;
	if (pasid == VIOMMU_NO_PASID && (flags & VIOMMU_PRIV))
		return -EINVAL;
	if ((flags & VIOMMU_DMA_ATS) && !(dev->flags & VIOMMU_DEVICE_ATS))
		return -EINVAL;
	/*
	 * Two's complement: a range that wraps leaves the canonical addresses at its first end
	 * anyway.
	 */
	if (bytes && !range_last(addr, bytes, &last))
		return -EINVAL;
	return 0;
}

/* A zero-length read asks for permission only. */
static int zero_length(struct access *a, uint64_t addr)
{
	struct viommu_dma_span span;

	return access_span(a, addr, VIOMMU_READ | VIOMMU_ZERO_LENGTH, &span);
}

/* 4 bytes written by a request without PASID at FEEx_xxxxh. */
static void interrupt(struct access *a, uint64_t addr, const void *buf)
{
	const struct viommu_host_ops *ops = a->dev->ops;
	uint32_t data;

	memcpy(&data, buf, 4);
	if (!ops->interrupt)
		return;
	viommu__marker_leave(&a->dma->marker);
	ops->interrupt(ops->ctx, a->dev, addr, data);
	viommu__marker_enter(&a->dma->marker);
}

/* Anything else there is blocked: 29h (VT-d 5.10, interrupt address range). */
static int window_fault(struct access *a, uint64_t addr, uint32_t want)
{
	const struct viommu_fault blocked = { .reason = VTD_FR_IR_WINDOW,
					      .stage = VIOMMU_STAGE_PATH,
					      .stage_addr = addr };

	int ret;

	do {
		viommu__dma_fault(a->dma, &blocked, a->dev, a->pasid, want, addr);
		a->fault = a->dma->fault;
		ret = viommu__access_recover(a);
	} while (!ret); /* only a file that was truncated meanwhile is looked after first */
	return ret;
}

/* A section that has moved enough ends, and the next begins. */
static inline void breathe(struct viommu_dma *dma, uint64_t *moved, uint64_t bytes)
{
	*moved += bytes;
	if (unlikely(*moved >= SECTION_BYTES)) {
		*moved = 0;
		viommu__marker_leave(&dma->marker);
		viommu__marker_enter(&dma->marker);
	}
}

enum direction {
	FROM_MEMORY,
	TO_MEMORY
};

/* Inside a section. *done grows. */
static inline __attribute__((always_inline)) int transfer(struct access *a, uint64_t addr,
							  uint8_t *buf, uint64_t bytes,
							  enum direction dir, uint64_t *done,
							  uint64_t *moved)
{
	const uint32_t want = dir == TO_MEMORY ? VIOMMU_WRITE : VIOMMU_READ;
	struct viommu_dma_span span;
	int ret;

	while (bytes) {
		ret = access_run(a, addr, bytes < SECTION_BYTES ? bytes : SECTION_BYTES, want,
				 &span);
		if (unlikely(ret))
			return ret;
		if (unlikely(!span.host)) {
			/* Reads ended in 29h already; of writes only a dword is a message. */
			if (bytes != 4 || addr & 3)
				return window_fault(a, addr, want);
			interrupt(a, addr, buf);
			*done += 4;
			return 0;
		}
		if (dir == TO_MEMORY)
			copy_bytes(span.host, buf, span.bytes, a->flags & VIOMMU_DMA_NO_ALLOCATE);
		else
			copy_bytes(buf, span.host, span.bytes, a->flags & VIOMMU_DMA_NO_ALLOCATE);
		if (unlikely(!access_whole(a))) {
			viommu__access_lost(a);
			continue;
		}
		addr += span.bytes;
		buf += span.bytes;
		bytes -= span.bytes;
		*done += span.bytes;
		access_progress(a);
		breathe(a->dma, moved, span.bytes);
	}
	return 0;
}

/*
 * The access that one small page serves, on a hit, in a section of its own: the same as transfer()
 * without what it may need. True: *at is where the bytes lie, inside the section. False: outside.
 * Addresses of the lower half only.
 */
static inline __attribute__((always_inline)) bool page_enter(struct viommu_dma *dma,
							     struct viommu_device *dev,
							     uint32_t pasid, uint64_t addr,
							     size_t bytes, uint64_t need,
							     uint8_t **at)
{
	struct slot *slot = dma->last;
	uint64_t tag, val;

	if (unlikely(slot->dev != dev || slot->pasid != pasid || (addr & 4095) + bytes > 4096 ||
		     addr >> 57))
		return false;
	/* Where that is not enough, slot->changes says so, and nothing has been touched. */
	viommu__marker_enter_light(&dma->marker);
	tag = tag_4k(addr, slot->tag);
	val = set_find(set_4k(dma, tag), tag);
	if (unlikely(load_acquire(&dma->host->changes) != slot->changes || (val & need))) {
		viommu__marker_leave(&dma->marker);
		return false;
	}
	*at = (uint8_t *)(uintptr_t)((val & ~MASK64(11, 0)) | (addr & 4095));
	return true;
}

/* The end of it. False: a file lost pages meanwhile, so the bytes may not have been there. */
static inline __attribute__((always_inline)) bool page_leave(struct viommu_dma *dma)
{
	/* lost_seen cannot change in a section: who changes it drains first. */
	bool whole = viommu__mem_lost_count() == load_acquire(&dma->host->lost_seen);

	viommu__marker_leave(&dma->marker);
	return likely(whole);
}

static inline __attribute__((always_inline)) int linear(struct viommu_dma *dma,
							struct viommu_device *dev, uint32_t pasid,
							uint64_t addr, void *buf, size_t bytes,
							uint32_t flags, enum direction dir,
							struct viommu_dma_result *res)
{
	uint64_t done = 0, moved = 0;
	struct access a;
	int ret;

	ret = check(dev, pasid, addr, bytes, flags);
	if (ret)
		return ret;
	access_init(&a, dma, dev, pasid, flags);
	viommu__marker_enter(&dma->marker);
	if (unlikely(!bytes && dir == FROM_MEMORY))
		ret = zero_length(&a, addr);
	else
		ret = transfer(&a, addr, buf, bytes, dir, &done, &moved);
	viommu__marker_leave(&dma->marker);
	access_done(res, done, ret, &a);
	return ret;
}

/*
 * What is no hit goes on in a function of the same parameters, so that going on is a jump and a hit
 * keeps nothing for it.
 */
static __attribute__((noinline)) int linear_read(struct viommu_dma *dma, struct viommu_device *dev,
						 uint32_t pasid, uint64_t addr, void *buf,
						 size_t bytes, uint32_t flags,
						 struct viommu_dma_result *res)
{
	return linear(dma, dev, pasid, addr, buf, bytes, flags, FROM_MEMORY, res);
}

static __attribute__((noinline)) int linear_write(struct viommu_dma *dma, struct viommu_device *dev,
						  uint32_t pasid, uint64_t addr, const void *buf,
						  size_t bytes, uint32_t flags,
						  struct viommu_dma_result *res)
{
	/* Only read. */
	return linear(dma, dev, pasid, addr, (void *)(uintptr_t)buf, bytes, flags, TO_MEMORY, res);
}

/* Longer than COPY_SMALL_MAX, up to a page: apart, since a call of memcpy() wants a frame. */
static __attribute__((noinline)) int page_read(struct viommu_dma *dma, struct viommu_device *dev,
					       uint32_t pasid, uint64_t addr, void *buf,
					       size_t bytes, uint32_t flags,
					       struct viommu_dma_result *res)
{
	uint8_t *at;

	if (unlikely(!page_enter(dma, dev, pasid, addr, bytes, VIOMMU_PERM_R, &at)))
		return linear_read(dma, dev, pasid, addr, buf, bytes, flags, res);
	memcpy(buf, at, bytes);
	if (!page_leave(dma))
		return linear_read(dma, dev, pasid, addr, buf, bytes, flags, res);
	if (res)
		res->done = bytes;
	return 0;
}

static __attribute__((noinline)) int page_write(struct viommu_dma *dma, struct viommu_device *dev,
						uint32_t pasid, uint64_t addr, const void *buf,
						size_t bytes, uint32_t flags,
						struct viommu_dma_result *res)
{
	uint8_t *at;

	if (unlikely(!page_enter(dma, dev, pasid, addr, bytes, VIOMMU_PERM_W, &at)))
		return linear_write(dma, dev, pasid, addr, buf, bytes, flags, res);
	memcpy(at, buf, bytes);
	if (!page_leave(dma))
		return linear_write(dma, dev, pasid, addr, buf, bytes, flags, res);
	if (res)
		res->done = bytes;
	return 0;
}

int viommu_dma_read(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
		    uint64_t addr, void *buf, size_t bytes, uint32_t flags,
		    struct viommu_dma_result *res)
{
	uint8_t *at;

	if (unlikely(bytes - 1 >= COPY_SMALL_MAX || flags)) {
		if (bytes - 1 >= 4096 || flags)
			return linear_read(dma, dev, pasid, addr, buf, bytes, flags, res);
		return page_read(dma, dev, pasid, addr, buf, bytes, flags, res);
	}
	if (unlikely(!page_enter(dma, dev, pasid, addr, bytes, VIOMMU_PERM_R, &at)))
		return linear_read(dma, dev, pasid, addr, buf, bytes, flags, res);
	copy_small(buf, at, bytes);
	if (!page_leave(dma))
		return linear_read(dma, dev, pasid, addr, buf, bytes, flags, res);
	if (res)
		res->done = bytes;
	return 0;
}

int viommu_dma_write(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
		     uint64_t addr, const void *buf, size_t bytes, uint32_t flags,
		     struct viommu_dma_result *res)
{
	uint8_t *at;

	if (unlikely(bytes - 1 >= COPY_SMALL_MAX || flags)) {
		if (bytes - 1 >= 4096 || flags)
			return linear_write(dma, dev, pasid, addr, buf, bytes, flags, res);
		return page_write(dma, dev, pasid, addr, buf, bytes, flags, res);
	}
	if (unlikely(!page_enter(dma, dev, pasid, addr, bytes, VIOMMU_PERM_W, &at)))
		return linear_write(dma, dev, pasid, addr, buf, bytes, flags, res);
	copy_small(at, buf, bytes);
	if (!page_leave(dma))
		return linear_write(dma, dev, pasid, addr, buf, bytes, flags, res);
	if (res)
		res->done = bytes;
	return 0;
}

static int access_vector(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
			 const struct viommu_dma_seg *seg, size_t nr, void *buf, uint32_t flags,
			 enum direction dir, struct viommu_dma_result *res)
{
	uint64_t done = 0, moved = 0;
	struct access a;
	int ret = 0;
	size_t i;

	for (i = 0; i < nr; i++) {
		ret = check(dev, pasid, seg[i].addr, seg[i].bytes, flags);
		if (ret)
			return ret;
	}
	access_init(&a, dma, dev, pasid, flags);
	viommu__marker_enter(&dma->marker);
	for (i = 0; i < nr && !ret; i++) {
		ret = transfer(&a, seg[i].addr, (uint8_t *)buf + done, seg[i].bytes, dir, &done,
			       &moved);
	}
	viommu__marker_leave(&dma->marker);
	access_done(res, done, ret, &a);
	return ret;
}

int viommu_dma_readv(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
		     const struct viommu_dma_seg *seg, size_t nr, void *buf, uint32_t flags,
		     struct viommu_dma_result *res)
{
	return access_vector(dma, dev, pasid, seg, nr, buf, flags, FROM_MEMORY, res);
}

int viommu_dma_writev(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
		      const struct viommu_dma_seg *seg, size_t nr, const void *buf, uint32_t flags,
		      struct viommu_dma_result *res)
{
	return access_vector(dma, dev, pasid, seg, nr, (void *)(uintptr_t)buf, flags, TO_MEMORY,
			     res);
}

/* Bytes of the pattern from phase on. */
static void fill_bytes(uint8_t *dst, uint64_t pattern, uint64_t phase, uint64_t bytes)
{
	uint64_t rotated, i;

	phase &= 7;
	rotated = phase ? pattern >> (8 * phase) | pattern << (64 - 8 * phase) : pattern;
	for (i = 0; i + 8 <= bytes; i += 8)
		memcpy(dst + i, &rotated, 8);
	memcpy(dst + i, &rotated, bytes - i);
}

int viommu_dma_fill(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
		    uint64_t addr, uint64_t pattern, size_t bytes, uint32_t flags,
		    struct viommu_dma_result *res)
{
	uint64_t done = 0, moved = 0;
	struct viommu_dma_span span;
	struct access a;
	int ret = check(dev, pasid, addr, bytes, flags);

	if (ret)
		return ret;
	access_init(&a, dma, dev, pasid, flags);
	viommu__marker_enter(&dma->marker);
	while (done < bytes) {
		ret = access_run(&a, addr + done, min_u64(bytes - done, SECTION_BYTES),
				 VIOMMU_WRITE, &span);
		if (ret)
			break;
		if (!span.host) {
			ret = window_fault(&a, addr + done, VIOMMU_WRITE);
			break;
		}
		fill_bytes(span.host, pattern, done, span.bytes);
		if (!access_whole(&a)) {
			viommu__access_lost(&a);
			continue;
		}
		done += span.bytes;
		access_progress(&a);
		breathe(dma, &moved, span.bytes);
	}
	viommu__marker_leave(&dma->marker);
	access_done(res, done, ret, &a);
	return ret;
}

/* Bytes before addr + 1 in addr's page of 4 KiB. */
static uint64_t back_to_page(uint64_t addr)
{
	return (addr & 4095) + 1;
}

/*
 * One step of a copy: at most `bytes` at the low end, or (backwards) at the high end of both
 * ranges. *step: how many were moved. Both spans have to be good in one section, so after a
 * recovery the other one is asked for again. *side: who faulted.
 */
static int copy_step(struct access *src, struct access *dst, uint64_t s, uint64_t d, uint64_t bytes,
		     bool backwards, uint64_t *step, struct access **side)
{
	struct viommu_dma_span from, to;
	uint64_t n = min_u64(bytes, SECTION_BYTES), seq;
	int ret;

	if (backwards) {
		n = min_u64(n, min_u64(back_to_page(s + bytes - 1), back_to_page(d + bytes - 1)));
		s += bytes - n;
		d += bytes - n;
	}
	do {
		*side = src;
		ret = access_run(src, s, n, VIOMMU_READ, &from);
		if (ret)
			return ret;
		seq = src->dma->marker.seq;
		ret = access_run(dst, d, n, VIOMMU_WRITE, &to);
		if (ret) {
			*side = dst;
			return ret;
		}
	} while (src->dma->marker.seq != seq);
	if (!to.host) {
		*side = dst;
		return window_fault(dst, d, VIOMMU_WRITE);
	}
	n = min_u64(from.bytes, to.bytes);
	if (dst->flags & VIOMMU_DMA_NO_ALLOCATE &&
	    ((uint8_t *)to.host + n <= (uint8_t *)from.host ||
	     (uint8_t *)from.host + n <= (uint8_t *)to.host))
		copy_bytes(to.host, from.host, n, 1);
	else
		memmove(to.host, from.host, n);
	*step = n;
	if (!access_whole(src) || !access_whole(dst)) {
		viommu__access_lost(src);
		dst->lost = src->lost;
		*step = 0;
	}
	return 0;
}

int viommu_dma_copy(struct viommu_dma *dma, struct viommu_device *dev, uint32_t dst_pasid,
		    uint64_t dst, uint32_t src_pasid, uint64_t src, size_t bytes, uint32_t flags,
		    struct viommu_dma_result *res)
{
	bool backwards = dst_pasid == src_pasid && dst > src && dst - src < bytes;
	uint64_t done = 0, moved = 0, step = 0;
	struct access from, to, *side = &from;
	int ret;

	ret = check(dev, src_pasid, src, bytes, flags);
	if (!ret)
		ret = check(dev, dst_pasid, dst, bytes, flags);
	if (ret)
		return ret;
	access_init(&from, dma, dev, src_pasid, flags);
	access_init(&to, dma, dev, dst_pasid, flags);
	viommu__marker_enter(&dma->marker);
	while (done < bytes && !ret) {
		uint64_t left = bytes - done;

		ret = backwards ? copy_step(&from, &to, src, dst, left, true, &step, &side)
				: copy_step(&from, &to, src + done, dst + done, left, false, &step,
					    &side);
		if (ret)
			break;
		done += step;
		access_progress(&from);
		access_progress(&to);
		breathe(dma, &moved, step);
	}
	viommu__marker_leave(&dma->marker);
	access_done(res, done, ret, side);
	return ret;
}

static uint64_t atomic_do(void *host, unsigned int bytes, enum viommu_atomic_op op,
			  uint64_t operand, uint64_t compare)
{
	uint64_t *p64 = host;
	uint32_t *p32 = host;
	uint32_t c32 = (uint32_t)compare;

	switch (op) {
	case VIOMMU_ATOMIC_FETCH_ADD:
		return bytes == 8 ? fetch_add(p64, operand) : fetch_add(p32, (uint32_t)operand);
	case VIOMMU_ATOMIC_SWAP:
		return bytes == 8 ? xchg(p64, operand) : xchg(p32, (uint32_t)operand);
	default:
		if (bytes == 8) {
			cmpxchg(p64, &compare, operand);
			return compare;
		}
		cmpxchg(p32, &c32, (uint32_t)operand);
		return c32;
	}
}

int viommu_dma_atomic(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
		      uint64_t addr, unsigned bytes, enum viommu_atomic_op op, uint64_t operand,
		      uint64_t compare, uint32_t flags, uint64_t *old,
		      struct viommu_dma_result *res)
{
	struct viommu_dma_span span;
	struct access a;
	int ret = check(dev, pasid, addr, bytes, flags);

	if (ret)
		return ret;
	if ((bytes != 4 && bytes != 8) || !is_aligned(addr, bytes) ||
	    op < VIOMMU_ATOMIC_FETCH_ADD || op > VIOMMU_ATOMIC_CAS)
		return -EINVAL;
	access_init(&a, dma, dev, pasid, flags);
	viommu__marker_enter(&dma->marker);
	ret = access_span(&a, addr, VIOMMU_READ | VIOMMU_WRITE | VIOMMU_ATOMIC, &span);
	if (!ret) {
		*old = atomic_do(span.host, bytes, op, operand, compare);
		if (!access_whole(&a)) {
			/* What it did went to a page that is no more: the access finds a hole. */
			viommu__access_lost(&a);
			ret = access_span(&a, addr, VIOMMU_READ | VIOMMU_WRITE | VIOMMU_ATOMIC,
					  &span);
			if (!ret)
				*old = atomic_do(span.host, bytes, op, operand, compare);
		}
	}
	viommu__marker_leave(&dma->marker);
	access_done(res, ret ? 0 : bytes, ret, &a);
	return ret;
}

static inline int op_run(struct viommu_dma *dma, struct viommu_dma_op *op)
{
	switch (op->kind) {
	case VIOMMU_DMA_READ:
		return viommu_dma_read(dma, op->dev, op->pasid, op->addr, op->buf, op->bytes,
				       op->flags, &op->res);
	case VIOMMU_DMA_WRITE:
		return viommu_dma_write(dma, op->dev, op->pasid, op->addr, op->buf, op->bytes,
					op->flags, &op->res);
	case VIOMMU_DMA_FILL:
		return viommu_dma_fill(dma, op->dev, op->pasid, op->addr, op->pattern, op->bytes,
				       op->flags, &op->res);
	default:
		return -EINVAL;
	}
}

/*
 * In groups. One that misses often is followed by one whose table entries and data are asked of the
 * memory together, before any of them is used.
 */
size_t viommu_dma_batch(struct viommu_dma *dma, struct viommu_dma_op *ops, size_t nr)
{
	size_t good = 0, n;

	for (; nr; ops += n, nr -= n) {
		uint64_t misses = dma->stats.misses;
		struct viommu_dma_op *op;

		n = min_u64(nr, BATCH_GROUP);
		if (unlikely(dma->cold))
			viommu__dma_prefetch(dma, ops, n);
		for (op = ops; op < ops + n; op++) {
			op->status = op_run(dma, op);
			good += op->status == 0;
		}
		dma->cold = (dma->stats.misses - misses) * 4 > n;
	}
	return good;
}
