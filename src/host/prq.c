/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Page requests (VT-d 5.10 page requests, PCIe PRI): a missing page opens a group, the access waits
 * outside of any in-flight section, an answer lets it go on.
 *
 *	FREE --request--> OPEN --response, unbind, expire, unplug--> ANSWERED --last waiter--> FREE
 *
 * A group without waiters (no_wait) that was answered with SUCCESS is freed at once: the repeated
 * access walks. A failure stays until the repeated access takes it, its slot is needed, the bind
 * ends or the page request interface is reset. One group is one page: who misses the same page
 * joins it.
 */
#include "host/soft.h"

int viommu__requests_init(struct viommu_device *dev)
{
	int err;

	dev->requests = viommu__calloc(dev->max_requests, sizeof(*dev->requests));
	if (!dev->requests)
		return -ENOMEM;
	err = pthread_mutex_init(&dev->request_lock, NULL);
	if (err)
		goto fail_mutex;
	err = pthread_cond_init(&dev->request_cond, NULL);
	if (err)
		goto fail_cond;
	return 0;

fail_cond:
	pthread_mutex_destroy(&dev->request_lock);
fail_mutex:
	viommu__free(dev->requests);
	return -err;
}

void viommu__requests_destroy(struct viommu_device *dev)
{
	pthread_cond_destroy(&dev->request_cond);
	pthread_mutex_destroy(&dev->request_lock);
	viommu__free(dev->requests);
}

static uint8_t code_known(uint16_t code)
{
	return code == VIOMMU_RESPONSE_SUCCESS || code == VIOMMU_RESPONSE_INVALID
		       ? (uint8_t)code
		       : VIOMMU_RESPONSE_FAILURE;
}

/* request_lock held. */
static void answer(struct viommu_device *dev, struct request *r, uint8_t code)
{
	r->state = REQUEST_ANSWERED;
	r->code = code;
	dev->open_requests--;
	if (code == VIOMMU_RESPONSE_FAILURE)
		dev->pri_off = 1;
	if (!r->waiters && code == VIOMMU_RESPONSE_SUCCESS)
		r->state = REQUEST_FREE;
	else if (!r->waiters)
		dev->unclaimed++;
	pthread_cond_broadcast(&dev->request_cond);
}

/*
 * Nobody comes any more for these answers; the next bind of the PASID must not find them.
 * request_lock held.
 */
static void unclaimed_drop(struct viommu_device *dev, uint32_t pasid)
{
	int all = pasid == VIOMMU_ALL_PASIDS;
	uint32_t i;

	for (i = 0; i < dev->max_requests && dev->unclaimed; i++) {
		struct request *r = &dev->requests[i];

		if (r->state == REQUEST_ANSWERED && !r->waiters && (all || r->pasid == pasid)) {
			r->state = REQUEST_FREE;
			dev->unclaimed--;
		}
	}
}

/* request_lock held. */
static int answer_all(struct viommu_device *dev, uint32_t pasid, uint8_t code)
{
	int all = pasid == VIOMMU_ALL_PASIDS, n = 0;
	uint32_t i;

	for (i = 0; i < dev->max_requests && dev->open_requests; i++) {
		struct request *r = &dev->requests[i];

		if (r->state == REQUEST_OPEN && (all || r->pasid == pasid)) {
			answer(dev, r, code);
			n++;
		}
	}
	return n;
}

void viommu__requests_end(struct viommu_device *dev, uint32_t pasid, uint8_t code)
{
	pthread_mutex_lock(&dev->request_lock);
	answer_all(dev, pasid, code);
	unclaimed_drop(dev, pasid);
	/*
	 * Also who waits for a free group, with none of this PASID's open, has to see that it is
	 * over.
	 */
	pthread_cond_broadcast(&dev->request_cond);
	pthread_mutex_unlock(&dev->request_lock);
}

/*
 * The group of this page, or a free one (state FREE), or one that nobody wants any more; NULL if
 * all are in use.
 */
static struct request *request_find(struct viommu_device *dev, uint32_t pasid, uint64_t addr,
				    uint32_t access)
{
	struct request *free = NULL, *stale = NULL;
	uint32_t i;

	for (i = 0; i < dev->max_requests; i++) {
		struct request *r = &dev->requests[i];

		if (r->state == REQUEST_FREE) {
			if (!free)
				free = r;
			continue;
		}
		if (r->pasid == pasid && r->addr == addr && r->access == access &&
		    (r->state == REQUEST_OPEN || !r->waiters))
			return r;
		if (r->state == REQUEST_ANSWERED && !r->waiters)
			stale = r;
	}
	if (!free && stale) {
		stale->state = REQUEST_FREE;
		dev->unclaimed--;
		free = stale;
	}
	return free;
}

/*
 * May it ask: 0, -EPERM, -EACCES? A group opened after the bind's end, or after the gate was shut,
 * would wait for ever. request_lock held.
 */
static int request_allowed(struct viommu_device *dev, uint32_t pasid)
{
	struct record *rec = viommu__own_record(dev, viommu__entry_of(dev, pasid));

	if (load_acquire(&dev->gone) || dev->pri_off || dev->pri_shut || !rec ||
	    load_acquire(&rec->state) != RECORD_BOUND)
		return -EPERM;
	return load_acquire(&dev->gates) & VIOMMU_DEVICE_PRI ? 0 : -EACCES;
}

int viommu__request_page(struct viommu_device *dev, uint32_t pasid, uint64_t addr, uint32_t access,
			 int no_wait, uint32_t *response)
{
	const struct viommu_host_ops *ops = dev->ops;
	struct viommu_page_request up;
	struct request *r;
	int err, fresh = 0;

	if (!(dev->flags & VIOMMU_DEVICE_PRI))
		return -EPERM;
	addr = align_down(addr, 4096);
	access &= VIOMMU_READ | VIOMMU_WRITE | VIOMMU_PRIV;
	pthread_mutex_lock(&dev->request_lock);
	for (;;) {
		r = request_find(dev, pasid, addr, access);
		if (r && r->state == REQUEST_ANSWERED) { /* the failure of an earlier no_wait */
			*response = r->code;
			r->state = REQUEST_FREE;
			dev->unclaimed--;
			err = -EPERM;
		} else {
			err = request_allowed(dev, pasid);
			if (!err && ((!r && no_wait) || dev->paused))
				err = -EAGAIN;
		}
		if (err) {
			pthread_mutex_unlock(&dev->request_lock);
			return err;
		}
		if (r)
			break;
		/* With every group in use it waits for one, as a device at its allocation does. */
		pthread_cond_wait(&dev->request_cond, &dev->request_lock);
	}
	if (r->state == REQUEST_FREE) {
		*r = (struct request){
			.addr = addr, .pasid = pasid, .access = access, .state = REQUEST_OPEN
		};
		dev->open_requests++;
		fresh = 1;
	}
	if (!no_wait)
		r->waiters++;
	up = (struct viommu_page_request){
		.sid = dev->sid,
		.prgi = (uint16_t)(r - dev->requests),
		.flags = VIOMMU_PAGE_REQUEST_LAST,
		.pasid = pasid,
		.access = access,
		.addr = addr,
	};
	pthread_mutex_unlock(&dev->request_lock);

	if (fresh) {
		if (pasid != VIOMMU_NO_PASID) {
			struct record *rec = viommu__record(dev, pasid);
			uint32_t gp = load_relaxed(&rec->gp);

			up.flags |= VIOMMU_PAGE_REQUEST_PASID;
			if (gp != VIOMMU_NO_PASID) {
				up.flags |= VIOMMU_PAGE_REQUEST_GP;
				up.gp.v = gp;
			}
		}
		if (ops->page_request)
			ops->page_request(ops->ctx, dev, &up);
		else
			viommu_host_page_response(
				dev, &(struct viommu_page_response){
					     .size = sizeof(struct viommu_page_response),
					     .pasid = pasid,
					     .prgi = up.prgi,
					     .code = VIOMMU_RESPONSE_INVALID });
	}
	if (no_wait)
		return -EAGAIN;

	pthread_mutex_lock(&dev->request_lock);
	while (r->state == REQUEST_OPEN && !dev->paused)
		pthread_cond_wait(&dev->request_cond, &dev->request_lock);
	if (r->state == REQUEST_OPEN) {
		r->waiters--;
		pthread_mutex_unlock(&dev->request_lock);
		return -EAGAIN;
	}
	*response = r->code;
	if (r->code != VIOMMU_RESPONSE_SUCCESS)
		err = -EPERM;
	if (--r->waiters == 0) {
		r->state = REQUEST_FREE;
		pthread_cond_broadcast(&dev->request_cond);
	}
	pthread_mutex_unlock(&dev->request_lock);
	return err;
}

int viommu_host_page_response(struct viommu_device *dev, const struct viommu_page_response *resp)
{
	struct request *r;
	int err = -ENOENT;

	if (resp->size != sizeof(*resp))
		return -EINVAL;
	pthread_mutex_lock(&dev->request_lock);
	if (resp->prgi < dev->max_requests) {
		r = &dev->requests[resp->prgi];
		if (r->state == REQUEST_OPEN && r->pasid == resp->pasid) {
			answer(dev, r, code_known(resp->code));
			err = 0;
		}
	}
	pthread_mutex_unlock(&dev->request_lock);
	return err;
}

int viommu_device_abort_requests(struct viommu_device *dev, uint32_t pasid, uint16_t code)
{
	int n;

	pthread_mutex_lock(&dev->request_lock);
	n = answer_all(dev, pasid, code_known(code));
	pthread_mutex_unlock(&dev->request_lock);
	return n;
}

unsigned viommu_host_expire_page_requests(struct viommu_host *host)
{
	struct list *l;
	unsigned int n = 0;
	uint32_t i;

	pthread_mutex_lock(&host->lock);
	for (l = host->devices.next; l != &host->devices; l = l->next) {
		struct viommu_device *dev = container_of(l, struct viommu_device, link);

		pthread_mutex_lock(&dev->request_lock);
		for (i = 0; i < dev->max_requests && dev->open_requests; i++) {
			struct request *r = &dev->requests[i];

			if (r->state != REQUEST_OPEN || r->age++ == 0)
				continue;
			answer(dev, r, VIOMMU_RESPONSE_INVALID);
			n++;
		}
		pthread_mutex_unlock(&dev->request_lock);
	}
	pthread_mutex_unlock(&host->lock);
	return n;
}

void viommu_device_pri_reset(struct viommu_device *dev)
{
	viommu__requests_end(dev, VIOMMU_ALL_PASIDS, VIOMMU_RESPONSE_INVALID);
	pthread_mutex_lock(&dev->request_lock);
	dev->pri_off = 0;
	unclaimed_drop(dev, VIOMMU_ALL_PASIDS);
	pthread_mutex_unlock(&dev->request_lock);
}

unsigned viommu_device_open_requests(struct viommu_device *dev)
{
	unsigned int n;

	pthread_mutex_lock(&dev->request_lock);
	n = dev->open_requests;
	pthread_mutex_unlock(&dev->request_lock);
	return n;
}

void viommu__device_pri(struct viommu_device *dev, int on)
{
	pthread_mutex_lock(&dev->request_lock);
	dev->pri_shut = !on;
	pthread_mutex_unlock(&dev->request_lock);
	/* After that none can be opened: what this answers is the last. */
	if (!on)
		viommu__requests_end(dev, VIOMMU_ALL_PASIDS, VIOMMU_RESPONSE_INVALID);
}

void viommu__device_pause(struct viommu_device *dev, int on)
{
	pthread_mutex_lock(&dev->request_lock);
	dev->paused = !!on;
	pthread_cond_broadcast(&dev->request_cond);
	pthread_mutex_unlock(&dev->request_lock);
}

int viommu__device_pri_failed(struct viommu_device *dev)
{
	int failed;

	pthread_mutex_lock(&dev->request_lock);
	failed = dev->pri_off;
	pthread_mutex_unlock(&dev->request_lock);
	return failed;
}
