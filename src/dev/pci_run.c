/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs, kicks, and how both end: stopping and resetting a function while its workers run.
 *
 * The gate counts who is inside of viommu_pci_run() and has one bit that lets nobody in. To stop is
 * to close it, tell the model, let no page request wait or begin, and wait until the count is 0.
 *
 * Kicks. A worker that finds nothing sleeps (in the server) until vmm.kick; a kick that came while
 * it looked must not be lost, and a kick while it works should cost nothing:
 *
 *	viommu_pci_kick()                         viommu_pci_run()
 *	kicks++                                   gate++
 *	was it 0?  no: whoever made it 1 has      kicks = 0
 *	  seen to it                              ops.run()
 *	everybody inside the gate?                gate--
 *	  yes: each will look at kicks again      found nothing, and kicks is not 0? "call again"
 *	  no: vmm.kick()
 *
 * All of these are sequentially consistent. A kick that finds the gate full ordered its kicks++
 * before somebody's gate--, which sees it after. kicks is a number so that several kicks wake
 * several workers: who starts with n of them hands n - 1 on.
 */
#include <errno.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "dev/pci.h"
#include "host/soft.h"

int viommu__pci_run_init(struct viommu_pci *pci)
{
	int err;

	pci->gate = PCI_GATE_CLOSED; /* bus mastering is off */
	pci->limit = pci->config.workers ? pci->config.workers : 1;
	err = pthread_mutex_init(&pci->idle_lock, NULL);
	if (err)
		return -err;
	err = pthread_cond_init(&pci->idle, NULL);
	if (err) {
		pthread_mutex_destroy(&pci->idle_lock);
		return -err;
	}
	return 0;
}

void viommu__pci_run_destroy(struct viommu_pci *pci)
{
	pthread_cond_destroy(&pci->idle);
	pthread_mutex_destroy(&pci->idle_lock);
}

/* ---- Runs ------------------------------------------------------------------------------------ */

/*
 * More threads than the model wants stay out: those inside look at kicks before they say that there
 * is nothing. So nobody is counted who does not.
 */
static bool gate_enter(struct viommu_pci *pci, uint32_t *inside)
{
	uint32_t gate = load_seqcst(&pci->gate);

	do {
		if (gate >= pci->limit) /* also if it is closed or paused */
			return false;
	} while (!cmpxchg_weak(&pci->gate, &gate, gate + 1));
	*inside = gate + 1;
	return true;
}

static void gate_leave(struct viommu_pci *pci)
{
	uint32_t was = fetch_sub(&pci->gate, 1);

	if ((was & PCI_GATE_COUNT) != 1 || was == 1)
		return;
	pthread_mutex_lock(&pci->idle_lock);
	pthread_cond_broadcast(&pci->idle);
	pthread_mutex_unlock(&pci->idle_lock);
}

void viommu__pci_vmm_kick(struct viommu_pci *pci)
{
	pthread_rwlock_rdlock(&pci->vmm_lock);
	if (pci->vmm.kick)
		pci->vmm.kick(pci->vmm.ctx);
	pthread_rwlock_unlock(&pci->vmm_lock);
}

int viommu_pci_run(struct viommu_pci *pci, struct viommu_dma *dma)
{
	const struct viommu_pci_ops *ops = &pci->config.ops;
	uint32_t inside;
	uint64_t kicks;
	int more;

	if (!ops->run || !gate_enter(pci, &inside))
		return 0;
	kicks = xchg(&pci->kicks, 0);
	if (kicks > 1 && pci->limit > 1) {
		fetch_add(&pci->kicks, kicks - 1);
		/* With all inside, this one's look at kicks is the last that is needed. */
		if (inside < pci->limit)
			viommu__pci_vmm_kick(pci);
	}
	more = ops->run(ops->ctx, dma);
	gate_leave(pci);
	return more || (load_seqcst(&pci->kicks) &&
			!(load_acquire(&pci->gate) & (PCI_GATE_CLOSED | PCI_GATE_PAUSED)));
}

void viommu_pci_kick(struct viommu_pci *pci)
{
	if (fetch_add(&pci->kicks, 1))
		return;
	/* Behind a closed gate it waits for viommu__pci_go(). */
	if (load_seqcst(&pci->gate) >= pci->limit)
		return;
	viommu__pci_vmm_kick(pci);
}

int viommu_pci_stopping(const struct viommu_pci *pci)
{
	return !!(load_acquire(&pci->gate) & PCI_GATE_CLOSED);
}

/* ---- Stopping -------------------------------------------------------------------------------- */

void viommu__pci_wait_idle(struct viommu_pci *pci)
{
	pthread_mutex_lock(&pci->idle_lock);
	while (load_seqcst(&pci->gate) & PCI_GATE_COUNT)
		pthread_cond_wait(&pci->idle, &pci->idle_lock);
	pthread_mutex_unlock(&pci->idle_lock);
}

/*
 * Page requests are shut before waiting, not only answered: an access that begins a new one after
 * the answers would wait for a guest that waits for us.
 */
void viommu__pci_stop(struct viommu_pci *pci)
{
	const struct viommu_pci_ops *ops = &pci->config.ops;

	if (fetch_or(&pci->gate, PCI_GATE_CLOSED) & PCI_GATE_CLOSED)
		return;
	if (ops->abort)
		ops->abort(ops->ctx);
	if (pci->dev)
		viommu__device_pri(pci->dev, 0);
	viommu__pci_wait_idle(pci);
}

void viommu__pci_go(struct viommu_pci *pci)
{
	fetch_and(&pci->gate, ~PCI_GATE_CLOSED);
	/* Kicks of the time when it was closed told nobody. */
	if (load_seqcst(&pci->kicks))
		viommu__pci_vmm_kick(pci);
}

void viommu__pci_enable(struct viommu_pci *pci)
{
	const struct viommu_pci_ops *ops = &pci->config.ops;
	uint32_t was = load_relaxed(&pci->enabled), now = viommu__pci_caps_enabled(pci);
	uint32_t changed = was ^ now;

	if (changed & was & VIOMMU_PCI_BUS_MASTER)
		viommu__pci_stop(pci);
	store_release(&pci->enabled, now);
	/* Stopping shut page requests, too. */
	if (pci->dev && (changed & (VIOMMU_PCI_PRI | VIOMMU_PCI_BUS_MASTER)))
		viommu__device_pri(pci->dev,
				   (now & VIOMMU_PCI_PRI) && (now & VIOMMU_PCI_BUS_MASTER));
	viommu__pci_irq_update(pci);
	if (changed && ops->control)
		ops->control(ops->ctx, changed);
	if (changed & now & VIOMMU_PCI_BUS_MASTER)
		viommu__pci_go(pci);
}

void viommu__pci_restored(struct viommu_pci *pci)
{
	uint32_t now = viommu__pci_caps_enabled(pci);

	store_release(&pci->enabled, now);
	if (pci->dev)
		viommu__device_pri(pci->dev,
				   (now & VIOMMU_PCI_PRI) && (now & VIOMMU_PCI_BUS_MASTER));
	viommu__pci_irq_follow(pci);
	/* It is paused, so nobody begins before the rest is restored. */
	if (now & VIOMMU_PCI_BUS_MASTER)
		fetch_and(&pci->gate, ~PCI_GATE_CLOSED);
}

void viommu__pci_reset(struct viommu_pci *pci, bool flr)
{
	const struct viommu_pci_ops *ops = &pci->config.ops;

	viommu__pci_stop(pci);
	viommu__pci_caps_reset(pci, flr);
	VIOMMU_ASSERT(!viommu__pci_caps_enabled(pci)); /* so the gate stays closed */
	store_release(&pci->enabled, 0);
	if (pci->dev) {
		viommu__device_pri(pci->dev, 0);
		viommu_device_pri_reset(pci->dev);
	}
	viommu__pci_irq_reset(pci);
	xchg(&pci->kicks, 0);
	if (ops->reset)
		ops->reset(ops->ctx);
}

void viommu_pci_reset(struct viommu_pci *pci)
{
	viommu__pci_reset(pci, false);
}
