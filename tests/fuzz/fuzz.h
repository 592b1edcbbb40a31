/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a fuzz target includes. A target defines fuzz_one(), which must accept any bytes, must not
 * keep state between calls and crashes (VIOMMU_ASSERT, a sanitizer) when something is wrong.
 *
 * The input is read as a stream that goes on with zeroes after its end, so that every prefix of an
 * input is an input and the fuzzer can shorten what it finds.
 */
#ifndef VIOMMU_TEST_FUZZ_H
#define VIOMMU_TEST_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

void fuzz_one(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_input {
	const uint8_t *data;
	size_t left;
};

static inline void fuzz_bytes(struct fuzz_input *in, void *buf, size_t size)
{
	size_t n = size < in->left ? size : in->left;

	memcpy(buf, in->data, n);
	memset((char *)buf + n, 0, size - n);
	in->data += n;
	in->left -= n;
}

static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
	uint8_t v;

	fuzz_bytes(in, &v, sizeof(v));
	return v;
}

static inline uint16_t fuzz_u16(struct fuzz_input *in)
{
	uint16_t v;

	fuzz_bytes(in, &v, sizeof(v));
	return v;
}

static inline uint32_t fuzz_u32(struct fuzz_input *in)
{
	uint32_t v;

	fuzz_bytes(in, &v, sizeof(v));
	return v;
}

static inline uint64_t fuzz_u64(struct fuzz_input *in)
{
	uint64_t v;

	fuzz_bytes(in, &v, sizeof(v));
	return v;
}

/* True when the stream gives only zeroes from here: the bound of a loop that input controls. */
static inline bool fuzz_done(const struct fuzz_input *in)
{
	return in->left == 0;
}

/* libFuzzer's entry; the replayer calls fuzz_one() itself. */
#define FUZZ_TARGET                                                  \
	int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) \
	{                                                            \
		fuzz_one(data, size);                                \
		return 0;                                            \
	}

#endif /* VIOMMU_TEST_FUZZ_H */
