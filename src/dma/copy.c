/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The copy that leaves the caches alone. On processors without streaming stores it is memcpy().
 */
#include "base/bits.h"
#include "dma/copy.h"

#ifdef __SSE2__
#include <emmintrin.h>

void viommu__copy_no_allocate(void *dst, const void *src, size_t bytes)
{
	uint8_t *d = dst;
	const uint8_t *s = src;
	size_t head = (size_t)(-(uintptr_t)d & 63);

	if (head > bytes)
		head = bytes;
	memcpy(d, s, head);
	d += head;
	s += head;
	bytes -= head;
	for (; bytes >= 64; d += 64, s += 64, bytes -= 64) {
		__m128i a = _mm_loadu_si128((const __m128i *)(const void *)s);
		__m128i b = _mm_loadu_si128((const __m128i *)(const void *)(s + 16));
		__m128i c = _mm_loadu_si128((const __m128i *)(const void *)(s + 32));
		__m128i e = _mm_loadu_si128((const __m128i *)(const void *)(s + 48));

		_mm_prefetch((const char *)s + 512, _MM_HINT_NTA);
		_mm_stream_si128((__m128i *)(void *)d, a);
		_mm_stream_si128((__m128i *)(void *)(d + 16), b);
		_mm_stream_si128((__m128i *)(void *)(d + 32), c);
		_mm_stream_si128((__m128i *)(void *)(d + 48), e);
	}
	/*
	 * Streaming stores are not ordered with others: the section's end must not be seen before
	 * them.
	 */
	_mm_sfence();
	memcpy(d, s, bytes);
}
#else
void viommu__copy_no_allocate(void *dst, const void *src, size_t bytes)
{
	memcpy(dst, src, bytes);
}
#endif
