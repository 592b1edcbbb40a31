/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Data integrity fields: check, insert, strip, update. Behind each block of data stand eight bytes:
 *
 *	0  guard             CRC T10-DIF of the block     (all of them big-endian)
 *	2  application tag
 *	4  reference tag
 *
 * What the tags of block n are follows from the seeds and n, so a part that is not done leaves no
 * trace in them.
 */
#include "dev/dsa/dsa.h"

#define TAG 8u

/* Half of a descriptor: the tags of the source, or of the destination. */
struct tags {
	uint8_t flags;
	uint32_t ref;
	uint16_t mask;
	uint16_t app;
};

struct dif {
	uint32_t block; /* bytes of data */
	uint8_t flags;
	struct tags src, dst;
	uint32_t in, out; /* bytes of one block with what stands behind it; out 0: none */
};

static void parse(const struct dsa_job *job, struct dif *d)
{
	static const uint16_t sizes[] = { 512, 520, 4096, 4104 };
	const uint64_t *w = job->w;

	*d = (struct dif){
		.flags = (uint8_t)DSA_GET(w, DSA_D_DIF),
		.block = sizes[DSA_GET(w, DSA_D_DIF) & DSA_DIF_BLOCK],
		.src = { .flags = (uint8_t)DSA_GET(w, DSA_D_DIF_SRC),
			 .ref = (uint32_t)DSA_GET(w, DSA_D_DIF_SRC_REF),
			 .mask = (uint16_t)DSA_GET(w, DSA_D_DIF_SRC_MASK),
			 .app = (uint16_t)DSA_GET(w, DSA_D_DIF_SRC_APP) },
		.dst = { .flags = (uint8_t)DSA_GET(w, DSA_D_DIF_DST),
			 .ref = (uint32_t)DSA_GET(w, DSA_D_DIF_DST_REF),
			 .mask = (uint16_t)DSA_GET(w, DSA_D_DIF_DST_MASK),
			 .app = (uint16_t)DSA_GET(w, DSA_D_DIF_DST_APP) },
	};
	d->in = d->block + (job->op == DSA_OP_DIF_INSERT ? 0 : TAG);
	if (job->op == DSA_OP_DIF_STRIP)
		d->out = d->block;
	else if (job->op != DSA_OP_DIF_CHECK)
		d->out = d->block + TAG;
}

unsigned int viommu__dsa_dif_operands(struct dsa_job *job)
{
	uint64_t src = DSA_GET(job->w, DSA_D_A), dst = DSA_GET(job->w, DSA_D_B), bytes;
	uint32_t size = dsa_size(job);
	struct dif d;

	parse(job, &d);
	if (d.flags & 0xf0)
		return DSA_ST_RESERVED;
	if (size % d.in)
		return DSA_ST_SIZE;
	bytes = (uint64_t)(size / d.in) * d.out;
	return bytes && (dst - src < size || src - dst < bytes) ? DSA_ST_OVERLAP : 0;
}

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

/* Tags of block n. The bits that say so are the same for source and destination. */
static uint32_t ref_of(const struct tags *t, uint32_t n)
{
	return t->ref + (t->flags & DSA_DIF_SRC_REF_FIXED ? 0 : n);
}

static uint16_t app_of(const struct tags *t, uint32_t n)
{
	return (uint16_t)(t->app + (t->flags & DSA_DIF_SRC_APP_INC ? n : 0));
}

static uint16_t guard_of(const struct dsa_job *job, const struct dif *d, const uint8_t *data)
{
	uint16_t seed = d->flags & DSA_DIF_SEED_ONES ? 0xffff : 0;
	uint16_t crc = viommu__dsa_t10(&job->dsa->tables, seed, data, d->block);

	return d->flags & DSA_DIF_INVERT ? (uint16_t)~crc : crc;
}

/* Bits of DSA_DIF_ERROR_*: what is wrong with block n at data. */
static uint8_t wrong(const struct dsa_job *job, const struct dif *d, const uint8_t *data,
		     uint32_t n)
{
	const uint8_t *tag = data + d->block, s = d->src.flags;
	bool app_f = be16(tag + 2) == 0xffff, ref_f = app_f && be32(tag + 4) == 0xffffffff;
	bool all_f = ref_f && be16(tag) == 0xffff;
	uint8_t bits = 0;

	if (all_f && s & DSA_DIF_SRC_ALL_F_ERROR)
		return DSA_DIF_ERROR_ALL_F;
	/* Tags of only ones may say that the block is not protected. */
	if ((app_f && s & DSA_DIF_SRC_APP_F) || (ref_f && s & DSA_DIF_SRC_APP_REF_F) ||
	    (all_f && s & DSA_DIF_SRC_ALL_F))
		return 0;
	if (!(s & DSA_DIF_SRC_NO_GUARD) && be16(tag) != guard_of(job, d, data))
		bits |= DSA_DIF_ERROR_GUARD;
	if ((be16(tag + 2) ^ app_of(&d->src, n)) & (uint16_t)~d->src.mask)
		bits |= DSA_DIF_ERROR_APP;
	if (!(s & DSA_DIF_SRC_NO_REF) && be32(tag + 4) != ref_of(&d->src, n))
		bits |= DSA_DIF_ERROR_REF;
	return bits;
}

/* The tag of block n for the destination; old: the source's, NULL if it has none. */
static void make_tag(const struct dsa_job *job, const struct dif *d, const uint8_t *data,
		     const uint8_t *old, uint32_t n, uint8_t *tag)
{
	uint8_t f = old ? d->dst.flags : 0;
	uint16_t app = (uint16_t)(app_of(&d->dst, n) & ~d->dst.mask);

	if (old)
		app |= be16(old + 2) & d->dst.mask;
	put16(tag, f & DSA_DIF_DST_GUARD_PASS ? be16(old) : guard_of(job, d, data));
	put16(tag + 2, f & DSA_DIF_DST_APP_PASS ? be16(old + 2) : app);
	put32(tag + 4, f & DSA_DIF_DST_REF_PASS ? be32(old + 4) : ref_of(&d->dst, n));
}

static void emit(const struct dsa_job *job, const struct dif *d, const uint8_t *in, uint32_t n,
		 uint8_t *out)
{
	memcpy(out, in, d->block);
	if (d->out > d->block)
		make_tag(job, d, in, d->in > d->block ? in + d->block : NULL, n, out + d->block);
}

/* What the record says of the tags: those of the first block that is not done. */
static void tell(struct dsa_job *job, const struct dif *d, uint32_t n)
{
	job->completed = n * d->in;
	job->tail[0] = 0;
	job->tail[1] = 0;
	if (job->op != DSA_OP_DIF_INSERT)
		job->tail[0] = ref_of(&d->src, n) | (uint64_t)d->src.mask << 32 |
			       (uint64_t)app_of(&d->src, n) << 48;
	if (job->op == DSA_OP_DIF_INSERT || job->op == DSA_OP_DIF_UPDATE)
		job->tail[1] = ref_of(&d->dst, n) | (uint64_t)d->dst.mask << 32 |
			       (uint64_t)app_of(&d->dst, n) << 48;
}

unsigned int viommu__dsa_dif_operate(struct dsa_job *job)
{
	uint64_t src = DSA_GET(job->w, DSA_D_A), dst = DSA_GET(job->w, DSA_D_B);
	uint8_t *in = job->engine->buf[0], *out = job->engine->buf[1], bad;
	uint32_t blocks, n, most, got, good, wrote;
	unsigned int status, wstatus;
	struct dif d;

	parse(job, &d);
	blocks = dsa_size(job) / d.in;
	most = DSA_BUFFER_BYTES / (d.block + TAG);
	n = job->completed / d.in;
	tell(job, &d, n);
	while (n < blocks) {
		status = dsa_look(job);
		if (status)
			return status;
		status = viommu__dsa_read(job, src + (uint64_t)n * d.in, in,
					  (uint32_t)min_u64(blocks - n, most) * d.in, 0, &got);
		bad = 0;
		for (good = 0; good < got / d.in; good++) {
			const uint8_t *block = in + (size_t)good * d.in;

			if (job->op != DSA_OP_DIF_INSERT)
				bad = wrong(job, &d, block, n + good);
			if (bad)
				break;
			if (d.out)
				emit(job, &d, block, n + good, out + (size_t)good * d.out);
		}
		if (d.out && good) {
			wstatus = viommu__dsa_write(job, dst + (uint64_t)n * d.out, out,
						    good * d.out, 0, &wrote);
			if (wstatus) {
				tell(job, &d, n + wrote / d.out);
				return wstatus;
			}
		}
		n += good;
		job->moved += (uint64_t)good * d.in;
		tell(job, &d, n);
		if (bad) {
			job->result = bad;
			return dsa_no_fault(job, DSA_ST_DIF);
		}
		if (status)
			return status;
	}
	return 0;
}

bool viommu__dsa_dif_resumable(struct dsa_job *job)
{
	struct dif d;

	parse(job, &d);
	return job->completed % d.in == 0;
}
