/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts to a client: eventfds, one for each vector, in one array over all five indices.
 *
 * INTx is a level that is sent over a counter, so it masks itself: a rise signals once and masks;
 * the client unmasks when its guest has looked, and a level that is still high signals again.
 *
 * Descriptors of the client are kept until it replaces them, disables the index, or goes. Their
 * number is bounded by the function's vectors.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "server/handover.h"
#include "server/closer.h"
#include "server/state.h"

uint32_t viommu__irqs_count(const struct viommu__irqs *irqs, uint32_t index)
{
	return irqs->first[index + 1] - irqs->first[index];
}

int viommu__irqs_new(struct viommu__irqs *irqs, const struct viommu_pci_config *config)
{
	/* ERR and REQ are taken, and never signalled: stock QEMU registers the first. */
	const uint32_t count[VFU_IRQS] = {
		[VFU_INTX] = config->intx ? 1 : 0,
		[VFU_MSI] = config->msi_vectors,
		[VFU_MSIX] = config->msix_vectors,
		[VFU_ERR] = 1,
		[VFU_REQ] = 1,
	};
	uint32_t i;

	memset(irqs, 0, sizeof(*irqs));
	for (i = 0; i < VFU_IRQS; i++)
		irqs->first[i + 1] = irqs->first[i] + count[i];
	irqs->fd = viommu__alloc(irqs->first[VFU_IRQS] * sizeof(*irqs->fd));
	if (!irqs->fd)
		return -ENOMEM;
	for (i = 0; i < irqs->first[VFU_IRQS]; i++)
		irqs->fd[i] = -1;
	return 0;
}

static void assign(int *slot, int fd)
{
	if (*slot >= 0)
		close(*slot);
	*slot = fd;
}

static void disable(struct viommu__irqs *irqs, uint32_t index)
{
	uint32_t i;

	for (i = irqs->first[index]; i < irqs->first[index + 1]; i++)
		assign(&irqs->fd[i], -1);
}

void viommu__irqs_clear(struct viommu__irqs *irqs)
{
	uint32_t i;

	for (i = 0; i < VFU_IRQS; i++)
		disable(irqs, i);
	irqs->masked = false;
}

void viommu__irqs_free(struct viommu__irqs *irqs)
{
	if (irqs->fd)
		viommu__irqs_clear(irqs);
	viommu__free(irqs->fd);
	irqs->fd = NULL;
}

/* Under port.lock. */
static void signal_one(struct viommu__port *port, uint32_t n)
{
	if (port->irqs.fd[n] < 0)
		return;
	fetch_add_relaxed(&port->server->interrupts, 1);
	viommu__signal(&port->server->signaler, port->irqs.fd[n]);
}

/* Under port.lock. */
static void intx_update(struct viommu__port *port)
{
	struct viommu__irqs *irqs = &port->irqs;

	if (!irqs->level || irqs->masked || !viommu__irqs_count(irqs, VFU_INTX) ||
	    irqs->fd[irqs->first[VFU_INTX]] < 0)
		return;
	irqs->masked = true;
	signal_one(port, irqs->first[VFU_INTX]);
}

void viommu__irqs_intx(void *ctx, int level)
{
	struct viommu__port *port = ctx;

	pthread_mutex_lock(&port->lock);
	port->irqs.level = level;
	intx_update(port);
	pthread_mutex_unlock(&port->lock);
}

/* One of MSI-X and MSI has descriptors: a client enables one at a time. */
void viommu__irqs_interrupt(void *ctx, unsigned int vector)
{
	struct viommu__port *port = ctx;
	struct viommu__irqs *irqs = &port->irqs;

	pthread_mutex_lock(&port->lock);
	if (vector < viommu__irqs_count(irqs, VFU_MSIX) &&
	    irqs->fd[irqs->first[VFU_MSIX] + vector] >= 0)
		signal_one(port, irqs->first[VFU_MSIX] + vector);
	else if (vector < viommu__irqs_count(irqs, VFU_MSI))
		signal_one(port, irqs->first[VFU_MSI] + vector);
	pthread_mutex_unlock(&port->lock);
}

void viommu__irqs_unmasked(struct viommu__port *port)
{
	pthread_mutex_lock(&port->lock);
	port->irqs.masked = false;
	intx_update(port);
	pthread_mutex_unlock(&port->lock);
}

/*
 * Edge-triggered, so each write of the client is one event and nothing has to be read: a read could
 * block, and a counter that nobody reads costs nothing.
 */
static void unmask_ready(struct viommu__source *source, uint32_t events)
{
	(void)events;
	viommu__irqs_unmasked(container_of(source, struct viommu__port, unmask));
}

static int set_unmask_fd(struct viommu__port *port, int *fds, unsigned int nr)
{
	int err;

	if (port->unmask.fd >= 0) {
		viommu__server_unwatch(port->server, &port->unmask);
		close(port->unmask.fd);
		port->unmask.fd = -1;
	}
	if (!nr)
		return 0;
	if (viommu__eventfd_check(fds[0]))
		return EINVAL;
	port->unmask.fd = fds[0];
	port->unmask.ready = unmask_ready;
	err = viommu__server_watch(port->server, &port->unmask, EPOLLIN | EPOLLET);
	if (err)
		port->unmask.fd = -1;
	else
		fds[0] = -1;
	return -err;
}

/* All of them or none. */
static int set_fds(struct viommu__port *port, const struct viommu__vfu_irqs *set, int *fds,
		   unsigned int nr)
{
	struct viommu__irqs *irqs = &port->irqs;
	uint32_t first = irqs->first[set->index] + set->start, i;

	for (i = 0; i < nr; i++) {
		if (viommu__eventfd_check(fds[i]))
			return EINVAL;
	}
	pthread_mutex_lock(&port->lock);
	for (i = 0; i < set->count; i++) {
		assign(&irqs->fd[first + i], nr ? fds[i] : -1);
		if (nr)
			fds[i] = -1;
	}
	if (set->index == VFU_INTX) {
		irqs->masked = false;
		intx_update(port);
	}
	pthread_mutex_unlock(&port->lock);
	return 0;
}

/* The client has some of them signalled: a test of its wiring. */
static void trigger(struct viommu__port *port, const struct viommu__vfu_irqs *set,
		    const uint8_t *bools)
{
	uint32_t i;

	pthread_mutex_lock(&port->lock);
	for (i = 0; i < set->count; i++) {
		if (!bools || bools[i])
			signal_one(port, port->irqs.first[set->index] + set->start + i);
	}
	pthread_mutex_unlock(&port->lock);
}

static int set_mask(struct viommu__port *port, const struct viommu__vfu_irqs *set,
		    const uint8_t *bools, int *fds, unsigned int nr)
{
	/* Vectors are masked in the client's own table. */
	if (set->index != VFU_INTX)
		return ENOTSUP;
	if (set->data == VFU_SET_EVENTFD)
		return set->action == VFU_SET_UNMASK ? set_unmask_fd(port, fds, nr) : ENOTSUP;
	if (bools && !bools[0])
		return 0;
	if (set->action == VFU_SET_UNMASK) {
		viommu__irqs_unmasked(port);
		return 0;
	}
	pthread_mutex_lock(&port->lock);
	port->irqs.masked = true;
	pthread_mutex_unlock(&port->lock);
	return 0;
}

int viommu__irqs_set(struct viommu__port *port, const struct viommu__vfu_message *msg, int *fds,
		     unsigned int nr_fds)
{
	const struct viommu__vfu_irqs *set = &msg->u.irqs;
	const uint8_t *bools = set->data == VFU_SET_BOOL ? msg->data : NULL;

	/* The sum does not wrap: the parser's check. */
	if (set->start + set->count > viommu__irqs_count(&port->irqs, set->index))
		return EINVAL;
	if (nr_fds && (set->data != VFU_SET_EVENTFD || nr_fds != set->count))
		return EINVAL;
	if (set->action != VFU_SET_TRIGGER)
		return set_mask(port, set, bools, fds, nr_fds);
	if (set->data == VFU_SET_EVENTFD)
		return set_fds(port, set, fds, nr_fds);
	if (set->count) {
		trigger(port, set, bools);
		return 0;
	}
	pthread_mutex_lock(&port->lock);
	disable(&port->irqs, set->index);
	if (set->index == VFU_INTX)
		port->irqs.masked = false;
	pthread_mutex_unlock(&port->lock);
	return 0;
}

int viommu__irqs_adopt(struct viommu__port *port, const struct viommu__saved_port *saved)
{
	struct viommu_server_handover *h = port->server->config.handover;
	struct viommu__irqs *irqs = &port->irqs;
	int fds[1], err = 0;
	uint32_t i;

	irqs->masked = saved->masked;
	for (i = 0; i < saved->irq.nr && !err; i++) {
		irqs->fd[i] = viommu__handover_fd(h, viommu__saved_number(&saved->irq, i));
		if (irqs->fd[i] < 0)
			continue;
		err = viommu__eventfd_check(irqs->fd[i]);
		if (err) {
			viommu__fd_close(irqs->fd[i]);
			irqs->fd[i] = -1;
		}
	}
	fds[0] = err ? -1 : viommu__handover_fd(h, saved->unmask);
	if (fds[0] < 0)
		return err;
	/* It counts already, so it is an event at once: who unmasks twice does no harm. */
	err = -set_unmask_fd(port, fds, 1);
	if (fds[0] >= 0)
		viommu__fd_close(fds[0]);
	return err;
}
