/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Page requests of a device saved and restored.
 *
 *	HDEV	Response Failure; then of each group: index, state, code, age, access, guest PASID, address
 *
 * Nobody waits for any of them: those who did have been taken out, and come again. Everything else
 * that a device has on the host is made by binds and gates anew.
 */
#include "host/soft.h"
#include "host/state.h"

#define TAG         VIOMMU__TAG('H', 'D', 'E', 'V')
#define GROUP_BYTES 21u
#define ACCESS      (VIOMMU_READ | VIOMMU_WRITE | VIOMMU_PRIV)

void viommu__device_save(struct viommu_device *dev, const struct viommu__pasid_names *names,
			 struct viommu_state_out *out)
{
	uint8_t failed;
	uint32_t i;

	/* Not under the lock: names are the unit's, which has a lock of its own before this one. */
	viommu__section_begin(out, TAG, 1, 0);
	pthread_mutex_lock(&dev->request_lock);
	failed = dev->pri_off;
	pthread_mutex_unlock(&dev->request_lock);
	viommu_state_put_u8(out, failed);
	for (i = 0; i < dev->max_requests; i++) {
		struct viommu_gp gp = { VIOMMU_NO_PASID };
		struct request r;

		pthread_mutex_lock(&dev->request_lock);
		r = dev->requests[i];
		pthread_mutex_unlock(&dev->request_lock);
		if (r.state == REQUEST_FREE)
			continue;
		VIOMMU_ASSERT(!r.waiters);
		/* It is nobody's any more: its bind is about to end. */
		if (r.pasid != VIOMMU_NO_PASID &&
		    names->to_guest(names->ctx, (struct viommu_hp){ r.pasid }, &gp))
			continue;
		viommu_state_put_u16(out, (uint16_t)i);
		viommu_state_put_u8(out, r.state);
		viommu_state_put_u8(out, r.code);
		viommu_state_put_u8(out, r.age);
		viommu_state_put_u32(out, r.access);
		viommu_state_put_u32(out, gp.v);
		viommu_state_put_u64(out, r.addr);
	}
	viommu__section_end(out);
}

/* One group as it may be. */
static bool group_good(const struct viommu_device *dev, uint32_t index, const struct request *r)
{
	return index < dev->max_requests &&
	       (r->state == REQUEST_OPEN || r->state == REQUEST_ANSWERED) &&
	       (r->state == REQUEST_OPEN || r->code == VIOMMU_RESPONSE_INVALID ||
		r->code == VIOMMU_RESPONSE_FAILURE) &&
	       r->access && !(r->access & ~(uint32_t)ACCESS) && is_aligned(r->addr, 4096) &&
	       dev->flags & VIOMMU_DEVICE_PRI;
}

static void group_put(struct viommu_device *dev, uint32_t index, struct request r)
{
	struct record *rec = viommu__own_record(dev, viommu__entry_of(dev, r.pasid));

	if (r.state == REQUEST_OPEN && (!rec || load_acquire(&rec->state) != RECORD_BOUND)) {
		r.state = REQUEST_ANSWERED;
		r.code = VIOMMU_RESPONSE_INVALID;
	}
	pthread_mutex_lock(&dev->request_lock);
	dev->requests[index] = r;
	if (r.state == REQUEST_OPEN)
		dev->open_requests++;
	else
		dev->unclaimed++;
	pthread_mutex_unlock(&dev->request_lock);
}

void viommu__device_load(struct viommu_device *dev, const struct viommu__pasid_names *names,
			 struct viommu_state_in *in)
{
	struct viommu_state_in s;
	int64_t last = -1;
	uint8_t failed;

	if (!viommu__section_get(in, TAG, 1, &s))
		return;
	failed = viommu_state_get_u8(&s) & 1;
	pthread_mutex_lock(&dev->request_lock);
	dev->pri_off = failed;
	pthread_mutex_unlock(&dev->request_lock);
	while (viommu__state_ok(in) && viommu_state_left(&s) >= GROUP_BYTES) {
		uint32_t index = viommu_state_get_u16(&s);
		struct request r = { .state = viommu_state_get_u8(&s) };
		struct viommu_hp hp = { VIOMMU_NO_PASID };
		struct viommu_gp gp;

		r.code = viommu_state_get_u8(&s);
		r.age = viommu_state_get_u8(&s);
		r.access = viommu_state_get_u32(&s);
		gp.v = viommu_state_get_u32(&s);
		r.addr = viommu_state_get_u64(&s);
		if ((int64_t)index <= last || !group_good(dev, index, &r)) {
			viommu_state_refuse(&s, "page request group %u cannot be", index);
			break;
		}
		last = index;
		if (gp.v != VIOMMU_NO_PASID && names->to_host(names->ctx, gp, &hp)) {
			viommu_state_refuse(&s, "page request group %u has no PASID", index);
			break;
		}
		r.pasid = hp.v;
		group_put(dev, index, r);
	}
	viommu__section_done(&s);
}
