/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dma/cache.h - the translation caches of one DMA object, and the hit path.
 *
 *	(device serial, PASID) --hash--> slot: { key, generations' sum, tag, what a miss needs }
 *	(page, slot tag)       --hash--> set of 4 entries in a line: { page << 19 | tag } -> { host page | permissions }
 *
 * A slot is good while the sum of the three generations (host, domain id, record) is what it was
 * when the slot was filled; see host/soft.h for why a sum will do. A slot that is filled again gets
 * a new tag, so everything cached under the old one is dead without being touched; when the 19 bits
 * are used up, all caches are swept.
 *
 * Device, PASID and page together do not fit 64 bits; the tag stands for the first two. Addresses
 * whose bits 63:57 do not equal bit 56 are never cached nor looked up here.
 *
 * A miss in a nested slot goes on at the lowest first-stage table that is cached, and asks the
 * cache of guest physical pages before it walks the second stage: most misses read one entry.
 *
 * An entry carries the permissions that need no further walk: write only if the dirty bit is set
 * (or not kept).
 */
#ifndef VIOMMU_DMA_CACHE_H
#define VIOMMU_DMA_CACHE_H

#include <viommu/dma.h>
#include "base/hash.h"
#include "host/soft.h"

#define TAG_BITS  19u
#define TAG_LAST  (BIT64(TAG_BITS) - 1)
#define SLOTS     64u
#define SETS_4K   256u
#define SETS_2M   32u
#define WAYS      4u
#define DOMAINS   8u
#define GPAS_4K   128u
#define GPAS_2M   64u
#define TABLES_1  256u
#define TABLES_2  64u
#define PERM_MASK 0xfu

/* What a slot's misses are walked by. */
enum slot_kind {
	/* one first stage over a domain's second stage: has caches for upper levels */
	SLOT_NESTED = 1,
	SLOT_STACK, /* any other stack that ends in a domain's second stage */
	SLOT_HOST,  /* addresses end as HPAs that must lie in the domain's memory */
};

/* Flag in slot.kind: an entry of the cache of large pages was filled for it. */
#define SLOT_LARGE 0x80u

/*
 * One line. Which PASID entry it was filled from is not read again on a hit. Within one section the
 * generations are read once: who changes one waits for the section's end.
 */
struct slot {
	uint64_t key; /* device serial << 32 | PASID; 0 = empty */
	uint64_t seq; /* the section in which the sum was last found good */
	/*
	 * The host's count of changes before that, CHANGES_NEVER if accesses need a real fence.
	 * While it is the same, dev is alive: its end would have changed it.
	 */
	uint64_t changes;
	const struct viommu_device *dev; /* with key, once more: NULL = empty */
	struct viommu_domain *dom;
	uint64_t fs_root;
	uint32_t pasid;
	uint32_t tag;
	uint16_t fs_flags;
	uint8_t fs_levels;
	uint8_t kind; /* enum slot_kind, SLOT_LARGE */
	uint16_t did;
	uint8_t fpd; /* the PASID entry has FPD */
} __attribute__((aligned(64)));

#define CHANGES_NEVER UINT64_MAX

/* Beside each slot: what hits do not need. */
struct slot_more {
	uint64_t sum; /* of the generations */
	const struct stages *ext;
	uint32_t gpa_tag; /* its domain's tag */
};

/*
 * The tag under which guest physical addresses of a domain are cached: by domain id, good while the
 * sum is the same.
 */
struct domain_slot {
	uint64_t sum; /* of the host's and the domain's generation */
	uint32_t did;
	uint32_t tag;
};

/* Direct-mapped entry of the caches that serve misses. */
struct pair {
	uint64_t tag;
	uint64_t val;
};

struct set {
	uint64_t tag[WAYS];
	uint64_t val[WAYS];
} __attribute__((aligned(64)));

struct viommu_dma {
	struct viommu__marker marker;
	struct viommu_host *host;
	struct slot *last; /* the slot that was used last: most accesses use the same again */
	uint32_t victim;   /* counts fills: who is replaced next */
	bool cold;         /* the batch before missed often */
	uint64_t next_tag;
	struct viommu_dma_stats stats;
	struct viommu_fault fault; /* of the last translation that faulted */
	struct slot slot[SLOTS];
	struct domain_slot domain[DOMAINS];
	struct slot_more more[SLOTS];
	struct set tlb[SETS_4K];
	struct set tlb_2m[SETS_2M];
	/*
	 * For misses: guest physical page -> host page; table of level 1 and 2 that serves a
	 * first-stage address.
	 */
	struct pair gpa_4k[GPAS_4K];
	struct pair gpa_2m[GPAS_2M];
	struct pair table_1[TABLES_1];
	struct pair table_2[TABLES_2];
};

_Static_assert(sizeof(struct slot) == 64, "a slot is a line");
_Static_assert(sizeof(struct set) == 64, "a set is a line");
_Static_assert((int)VIOMMU_PERM_R == VIOMMU_READ && (int)VIOMMU_PERM_W == VIOMMU_WRITE,
	       "dma_translate() asks an entry by the access");
_Static_assert(sizeof(struct viommu_dma) <= 32768, "P9: 32 KiB a thread");

static inline uint64_t slot_key(const struct viommu_device *dev, uint32_t pasid)
{
	/*
	 * The whole 32 bits: VIOMMU_NO_PASID is none of the PASIDs, and a PASID that is too large
	 * hits nothing.
	 */
	return dev->key | pasid;
}

static inline struct slot *slot_of(struct viommu_dma *dma, const struct viommu_device *dev,
				   uint32_t pasid)
{
	return &dma->slot[(pasid ^ dev->mix) % SLOTS];
}

/* The slot that stands for this key, or one that does not. */
static inline __attribute__((always_inline)) struct slot *slot_find(struct viommu_dma *dma,
								    const struct viommu_device *dev,
								    uint32_t pasid)
{
	uint64_t key = slot_key(dev, pasid);
	struct slot *slot = dma->last;

	if (unlikely(slot->key != key)) {
		slot = slot_of(dma, dev, pasid);
		if (slot->key == key)
			dma->last = slot;
	}
	return slot;
}

/* A generation; on x86 one addition from memory, which the compiler does not make of it. */
static inline uint64_t gen_add(uint64_t sum, const uint64_t *gen)
{
#if defined(__x86_64__) && !defined(VIOMMU_MARKER_SEQCST)
	__asm__ __volatile__("addq %[gen], %[sum]" : [sum] "+r"(sum) : [gen] "m"(*gen) : "cc");
	return sum;
#else
	return sum + load_acquire(gen);
#endif
}

/* Of a slot that stands for (dev, pasid), so there is a record. */
static inline uint64_t gen_sum(const struct viommu_host *host, const struct slot *slot,
			       struct viommu_device *dev, uint32_t pasid)
{
	const struct record *rec = viommu__record(dev, viommu__entry_of(dev, pasid));

	return gen_add(gen_add(load_acquire(&host->gen.v), &host->gens[slot->did].v), &rec->gen);
}

/* Before the generations are read: what slot.changes will be if they are found good. */
static inline uint64_t slot_changes(const struct viommu_dma *dma)
{
	return dma->marker.fence ? CHANGES_NEVER : load_acquire(&dma->host->changes);
}

static inline bool cacheable(uint64_t addr)
{
	return (uint64_t)((int64_t)(addr << 7) >> 7) == addr;
}

static inline uint64_t tag_4k(uint64_t addr, uint32_t tag)
{
	return (addr << 7 & ~TAG_LAST) | tag;
}

/* The nine lowest page bits do not count. */
static inline uint64_t tag_2m(uint64_t addr, uint32_t tag)
{
	return (addr << 7 & ~MASK64(TAG_BITS + 8, 0)) | tag;
}

/* The eighteen lowest page bits do not count. */
static inline uint64_t tag_1g(uint64_t addr, uint32_t tag)
{
	return (addr << 7 & ~MASK64(TAG_BITS + 17, 0)) | tag;
}

/*
 * Which set: the product carries the tag and the low 21 bits of the page number into the bits
 * taken. A small odd constant, so that it is part of the instruction.
 */
static inline struct set *set_of(struct set *sets, uint64_t tag, unsigned int nr)
{
	return &sets[(tag * 0x5bd1e995u >> 32) % nr];
}

static inline struct set *set_4k(struct viommu_dma *dma, uint64_t tag)
{
	return set_of(dma->tlb, tag, SETS_4K);
}

/* tag_2m() leaves nine more bits 0. */
static inline struct set *set_2m(struct viommu_dma *dma, uint64_t tag)
{
	return set_of(dma->tlb_2m, tag >> 9 ^ tag, SETS_2M);
}

/*
 * An entry's low byte is what it denies: the permissions it lacks, and all of the upper half, so
 * that an access only the tables can judge is answered by asking for DENY_ALWAYS.
 */
#define DENY_ALWAYS 0xf0u
#define DENY(perm)  ((~(uint64_t)(perm)&PERM_MASK) | DENY_ALWAYS)

/*
 * What an entry must not deny, by VIOMMU_READ ... of the access: PERM_R and _W are the bits of
 * VIOMMU_READ and _WRITE, those of supervisor requests stand two bits up. Nothing to be read or
 * written, an execute request and a zero-length read are for the tables.
 */
#define NEED_MAX 0x3fu
extern const uint8_t viommu__dma_need[NEED_MAX + 1];

/*
 * The value of the entry with this tag, or one that denies everything; no two have the same tag.
 * Without branches, since which way it is cannot be predicted.
 */
static inline uint64_t set_find(const struct set *set, uint64_t tag)
{
	uint64_t v = PERM_MASK | DENY_ALWAYS;

#ifdef __x86_64__
	/* Compilers make branches of this. */
#define WAY(i)                                                                 \
	__asm__("cmpq %[tag], %[t]\n\tcmoveq %[val], %[v]"                     \
		: [v] "+r"(v)                                                  \
		: [tag] "r"(tag), [t] "m"(set->tag[i]), [val] "m"(set->val[i]) \
		: "cc")
	WAY(0);
	WAY(1);
	WAY(2);
	WAY(3);
#undef WAY
#else
	unsigned int i;

	for (i = 0; i < WAYS; i++)
		v = set->tag[i] == tag ? set->val[i] : v;
#endif
	return v;
}

/* The path from device and PASID to stages, and what it was read with. */
struct viommu__path_snapshot {
	struct viommu_path_result path;
	struct record *rec;
	struct viommu_domain *dom;
	const struct stages *ext;
	uint64_t rec_gen;
	uint64_t host_gen;
};

/* dma/miss.c; all of it inside a section. 0, VIOMMU_FAULTED (in out->path.fault), -errno. */
int viommu__dma_path(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
		     uint64_t addr, uint32_t access, uint8_t request,
		     struct viommu__path_snapshot *out);
/* *from as the fault of this request, into dma->fault. Returns VIOMMU_FAULTED. */
int viommu__dma_fault(struct viommu_dma *dma, const struct viommu_fault *from,
		      const struct viommu_device *dev, uint32_t pasid, uint32_t access,
		      uint64_t addr);
/* A slot that is good now; a fault is in dma->fault. */
int viommu__dma_slot(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
		     uint64_t addr, uint32_t access, struct slot **out);
/* Walk what the slot names; the fault has the walker's fields only. */
int viommu__dma_walk(struct viommu_dma *dma, struct slot *slot, uint64_t addr, uint32_t access,
		     struct viommu_walk_result *wr);

/*
 * Operations of a batch at a time whose cache misses of the processor overlap; nr <= BATCH_GROUP.
 * Outside of any section. Nothing but time depends on it.
 */
#define BATCH_GROUP 32u
void viommu__dma_prefetch(struct viommu_dma *dma, const struct viommu_dma_op *ops, size_t nr);

/* Everything but a plain hit in the cache of small pages. */
int viommu__dma_miss(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
		     uint64_t addr, uint32_t access, struct viommu_dma_span *out);

/*
 * Inside a section. 0, VIOMMU_FAULTED, -EINVAL. Written so that a hit needs no register saved and
 * everything else is a jump.
 */
static inline __attribute__((always_inline)) int dma_translate(struct viommu_dma *dma,
							       struct viommu_device *dev,
							       uint32_t pasid, uint64_t addr,
							       uint32_t access,
							       struct viommu_dma_span *out)
{
	struct slot *slot = dma->last;
	uint64_t tag, val;

	if (unlikely(slot->key != slot_key(dev, pasid))) {
		slot = slot_of(dma, dev, pasid);
		if (slot->key != slot_key(dev, pasid))
			goto miss;
		dma->last = slot;
	}
	/* Reads and writes of user requests; the rest is asked for once more. */
	if (unlikely(access - 1 > (VIOMMU_READ | VIOMMU_WRITE) - 1))
		goto miss;
	if (unlikely(slot->seq != dma->marker.seq || !cacheable(addr)))
		goto miss;
	tag = tag_4k(addr, slot->tag);
	val = set_find(set_4k(dma, tag), tag);
	if (unlikely(val & access))
		goto miss;
	out->host = (void *)(uintptr_t)((val & ~MASK64(11, 0)) | (addr & 4095));
	out->bytes = 4096 - (addr & 4095);
	return 0;
miss:
	return viommu__dma_miss(dma, dev, pasid, addr, access, out);
}

#endif /* VIOMMU_DMA_CACHE_H */
