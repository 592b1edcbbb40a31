/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The seed, the random stream and the start of a test program.
 */
#include "test.h"

#include <pthread.h>
#include <sys/random.h>

static uint64_t seed;
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void seed_choose(void)
{
	const char *env = getenv("VIOMMU_SEED");
	char *end;

	if (env && *env) {
		errno = 0;
		seed = strtoull(env, &end, 0);
		if (errno || *end) {
			fprintf(stderr, "VIOMMU_SEED is not a number: %s\n", env);
			exit(2);
		}
	} else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
		perror("getrandom");
		exit(2);
	}
	printf("# seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
}

uint64_t test_seed(void)
{
	pthread_once(&seed_once, seed_choose);
	return seed;
}

static uint64_t rotate_left(uint64_t x, unsigned int n)
{
	return x << n | x >> (64 - n);
}

/* A counter through a bijective mix: fills a state from one word, never with four zeroes. */
static uint64_t seed_next(uint64_t *counter)
{
	uint64_t z = *counter += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void rng_init_seed(struct rng *rng, uint64_t value)
{
	int i;

	for (i = 0; i < 4; i++)
		rng->s[i] = seed_next(&value);
}

void rng_init(struct rng *rng, const char *label)
{
	uint64_t v = test_seed();

	for (; *label; label++) {
		v ^= (unsigned char)*label;
		v = seed_next(&v);
	}
	rng_init_seed(rng, v);
}

uint64_t rng_u64(struct rng *rng)
{
	uint64_t *s = rng->s, out = rotate_left(s[1] * 5, 7) * 9, shifted = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= shifted;
	s[3] = rotate_left(s[3], 45);
	return out;
}

uint64_t rng_below(struct rng *rng, uint64_t n)
{
	/* The first 2^64 % n values would make small results likelier; draw again. */
	uint64_t skip = -n % n, v;

	do {
		v = rng_u64(rng);
	} while (v < skip);
	return v % n;
}

uint64_t rng_range(struct rng *rng, uint64_t first, uint64_t last)
{
	uint64_t n = last - first + 1;

	return n ? first + rng_below(rng, n) : rng_u64(rng);
}

bool rng_one_in(struct rng *rng, uint64_t n)
{
	return rng_below(rng, n) == 0;
}

void rng_fill(struct rng *rng, void *buf, size_t size)
{
	unsigned char *p = buf;
	uint64_t v;
	size_t n;

	while (size) {
		v = rng_u64(rng);
		n = size < sizeof(v) ? size : sizeof(v);
		memcpy(p, &v, n);
		p += n;
		size -= n;
	}
}

uint64_t test_scale(uint64_t n)
{
	const char *env = getenv("VIOMMU_SCALE");
	double scale, v;
	char *end;

	if (!env || !*env)
		return n;
	scale = strtod(env, &end);
	if (*end || !(scale > 0)) {
		fprintf(stderr, "VIOMMU_SCALE is not a positive number: %s\n", env);
		exit(2);
	}
	v = (double)n * scale;
	return v < 1 ? 1 : (uint64_t)v;
}

int test_main(const char *group, const struct CMUnitTest *tests, size_t n)
{
	const char *only = getenv("VIOMMU_TEST");

	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (only && *only)
		cmocka_set_test_filter(only);
	/* More than 255 failures, or 256 of them, must not look like success. */
	return _cmocka_run_group_tests(group, tests, n, NULL, NULL) ? 1 : 0;
}
