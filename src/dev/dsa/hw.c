/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One accelerator divided into functions: how many queues and entries there are to be given out,
 * and the engines that all of them run on.
 */
#include "dev/dsa/dsa.h"

struct viommu_dsa_hw {
	pthread_mutex_t lock;
	unsigned int functions, queues, entries; /* constant */
	unsigned int queues_left, entries_left;  /* lock */
	struct viommu_pci_engines *engines;
};

int viommu_dsa_hw_new(const struct viommu_dsa_hw_config *config, struct viommu_dsa_hw **out)
{
	const struct viommu_dsa_hw_config *c = config;
	unsigned int engines = c->engines ? c->engines : VIOMMU_DSA_MAX_ENGINES;
	struct viommu_dsa_hw *hw;
	int err;

	*out = NULL;
	if (c->size != sizeof(*c) || c->reserved || c->reserved2)
		return -EINVAL;
	hw = viommu__calloc(1, sizeof(*hw));
	if (!hw)
		return -ENOMEM;
	hw->functions = c->functions;
	hw->queues = hw->queues_left = c->queues ? c->queues : VIOMMU_DSA_MAX_QUEUES;
	hw->entries = hw->entries_left = c->entries ? c->entries : 128;
	if (hw->queues < hw->functions || hw->queues > VIOMMU_DSA_HW_MAX_QUEUES ||
	    hw->entries < hw->functions || hw->entries > 1024) {
		viommu__free(hw);
		return -EINVAL;
	}
	/* Checks their number and that of the functions. */
	err = viommu_pci_engines_new(engines, c->functions, &hw->engines);
	if (err) {
		viommu__free(hw);
		return err;
	}
	pthread_mutex_init(&hw->lock, NULL);
	*out = hw;
	return 0;
}

void viommu_dsa_hw_free(struct viommu_dsa_hw *hw)
{
	if (!hw)
		return;
	viommu_pci_engines_free(hw->engines);
	pthread_mutex_destroy(&hw->lock);
	viommu__free(hw);
}

struct viommu_pci_engines *viommu_dsa_hw_engines(struct viommu_dsa_hw *hw)
{
	return hw->engines;
}

void viommu__dsa_hw_share(const struct viommu_dsa_hw *hw, struct viommu_dsa_config *c)
{
	unsigned int most = viommu_pci_engines_most(hw->engines);

	if (!c->queues)
		c->queues = (uint8_t)min_u64(hw->queues / hw->functions, VIOMMU_DSA_MAX_QUEUES);
	if (!c->engines)
		c->engines = (uint8_t)min_u64(most, VIOMMU_DSA_MAX_ENGINES);
	if (!c->entries)
		c->entries = (uint16_t)(hw->entries / hw->functions);
}

int viommu__dsa_hw_take(struct viommu_dsa_hw *hw, const struct viommu_dsa *dsa)
{
	int ret = 0;

	if (dsa->engines > viommu_pci_engines_most(hw->engines))
		return -EINVAL;
	pthread_mutex_lock(&hw->lock);
	if (dsa->queues > hw->queues_left || dsa->entries_nr > hw->entries_left)
		ret = -ENOSPC;
	else
		ret = viommu_pci_engines_add(hw->engines, dsa->pci);
	if (!ret) {
		hw->queues_left -= dsa->queues;
		hw->entries_left -= dsa->entries_nr;
	}
	pthread_mutex_unlock(&hw->lock);
	return ret;
}

void viommu__dsa_hw_give(struct viommu_dsa_hw *hw, const struct viommu_dsa *dsa)
{
	VIOMMU_ASSERT(viommu_pci_engines_remove(hw->engines, dsa->pci) == 0);
	pthread_mutex_lock(&hw->lock);
	hw->queues_left += dsa->queues;
	hw->entries_left += dsa->entries_nr;
	pthread_mutex_unlock(&hw->lock);
}
