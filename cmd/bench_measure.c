/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two things measured alternately.
 *
 * The machine's speed changes from minute to minute, so a time alone says little. A round runs
 * slices of subject, base, base, subject, each 0.2 to 2 ms long, with the same fresh random input,
 * and gives one ratio; a drift that is steady over a round cancels out. The figure is the median
 * over the rounds, with the 10th and 90th percentile.
 */
#include <stdlib.h>

#include "bench.h"

#define MAX_ROUNDS 401

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_percentile(double *v, size_t n, double p)
{
	double at = p * (double)(n - 1);
	size_t i = (size_t)at;

	qsort(v, n, sizeof(*v), by_value);
	if (i + 1 >= n)
		return v[n - 1];
	return v[i] + (v[i + 1] - v[i]) * (at - (double)i);
}

/* How many units take a slice: doubled until the clock can see it, the best of three. */
static uint64_t units_for(const struct side *s, uint64_t slice_ns)
{
	uint64_t n = 1, ns = 0, best = UINT64_MAX;
	int i;

	for (;; n *= 2) {
		ns = s->run(s->ctx, n);
		if (ns >= slice_ns / 4 || (s->max_units && n >= s->max_units))
			break;
	}
	if (s->max_units && n > s->max_units)
		n = s->max_units;
	for (i = 0; i < 3; i++) {
		ns = s->run(s->ctx, n);
		best = ns < best ? ns : best;
	}
	n = (uint64_t)((double)n * (double)slice_ns / (double)(best ? best : 1));
	if (s->max_units && n > s->max_units)
		n = s->max_units;
	return n ? n : 1;
}

static double one_slice(const struct side *s, uint64_t n)
{
	double per = s->per_unit > 0 ? s->per_unit : 1;

	return (double)s->run(s->ctx, n) / ((double)n * per);
}

void bench_compare(struct bench *b, const struct comparison *c, struct figures *out)
{
	static double value[MAX_ROUNDS], base[MAX_ROUNDS], ratio[MAX_ROUNDS];
	uint64_t slice = c->slice_ns ? c->slice_ns : b->slice_ns, nv, nb = 0;
	unsigned int rounds = c->rounds ? c->rounds : b->rounds, r;
	double scale = c->scale > 0 ? c->scale : 1;

	if (rounds > MAX_ROUNDS)
		rounds = MAX_ROUNDS;
	if (c->fresh)
		c->fresh(b, c->fresh_ctx);
	nv = units_for(&c->subject, slice);
	if (c->base.run)
		nb = units_for(&c->base, slice);
	for (r = 0; r < rounds; r++) {
		if (c->fresh)
			c->fresh(b, c->fresh_ctx);
		value[r] = one_slice(&c->subject, nv);
		base[r] = 1;
		if (c->base.run) {
			base[r] = one_slice(&c->base, nb);
			base[r] = (base[r] + one_slice(&c->base, nb)) / 2;
		}
		value[r] = (value[r] + one_slice(&c->subject, nv)) / 2;
		ratio[r] = scale * (c->speed ? base[r] / value[r] : value[r] / base[r]);
	}
	out->value = bench_percentile(value, rounds, 0.5);
	out->base = bench_percentile(base, rounds, 0.5);
	out->ratio = bench_percentile(ratio, rounds, 0.5);
	out->p10 = bench_percentile(ratio, rounds, 0.1);
	out->p90 = bench_percentile(ratio, rounds, 0.9);
}
