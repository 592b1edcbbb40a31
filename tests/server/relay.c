/* SPDX-License-Identifier: BSD-3-Clause */
/* Rigs that replace each other: see relay.h. */
#include "server/relay.h"

#include "base/atomic.h"
#include "dev/pci.h"

/* What a toy is, as its application saves it. */
struct toy_state {
	uint64_t reg[512];
	uint64_t bar2[1024];
	uint64_t work;
	uint32_t config[VIOMMU_PCI_CONFIG_BYTES / 4];
};

static char *control(void *ctx, const char *line)
{
	struct relay *relay = ctx;

	if (!strncmp(line, "replace ", 8))
		return relay->elsewhere ? strdup("refused ask elsewhere\n") : NULL;
	return relay->deaf ? NULL : strdup(line);
}

static int save(void *ctx, void **data, size_t *bytes, char *why, size_t why_size)
{
	struct relay *relay = ctx;
	struct rig *rig = relay->now;
	struct toy_state *state;
	unsigned int i;

	if (relay->refuses) {
		snprintf(why, why_size, "%s", relay->refuses);
		return -EBUSY;
	}
	state = calloc(rig->ports, sizeof(*state));
	*data = state;
	*bytes = rig->ports * sizeof(*state);
	if (!state)
		return -ENOMEM;
	relay->saved++;
	for (i = 0; i < rig->ports; i++) {
		struct toy *toy = &rig->toy[i];

		viommu__pci_stop(toy->pci);
		memcpy(state[i].reg, toy->reg, sizeof(toy->reg));
		memcpy(state[i].bar2, toy->bar2, sizeof(toy->bar2));
		state[i].work = load_seqcst(&toy->work);
		viommu_pci_config_read(toy->pci, 0, state[i].config, sizeof(state[i].config));
	}
	return 0;
}

static void resume(void *ctx)
{
	struct relay *relay = ctx;
	unsigned int i;

	relay->resumed++;
	for (i = 0; i < relay->now->ports; i++) {
		viommu__pci_go(relay->now->toy[i].pci);
		viommu_pci_kick(relay->now->toy[i].pci);
	}
}

static void load(struct rig *rig, const struct toy_state *state)
{
	unsigned int i, n;

	for (i = 0; i < rig->ports; i++) {
		struct toy *toy = &rig->toy[i];

		for (n = 0; n < VIOMMU_PCI_CONFIG_BYTES / 4; n++)
			viommu_pci_config_write(toy->pci, n * 4, &state[i].config[n], 4);
		/* Nothing runs before it is the one that serves. */
		viommu__pci_stop(toy->pci);
		memcpy(toy->reg, state[i].reg, sizeof(toy->reg));
		memcpy(toy->bar2, state[i].bar2, sizeof(toy->bar2));
		viommu_pci_intx(toy->pci, (int)toy->reg[TOY_INTX / 8]);
		store_seqcst(&toy->work, state[i].work);
	}
}

static void allow(struct relay *relay, struct rig *rig)
{
	const struct viommu_server_handover_ops ops = {
		.size = sizeof(ops),
		.ctx = relay,
		.save = save,
		.resume = resume,
	};

	assert_int_equal(viommu_server_allow_handover(rig->server, &ops), 0);
}

void relay_open(struct relay *relay, const struct rig_config *config)
{
	memset(relay, 0, sizeof(*relay));
	if (config)
		relay->config = *config;
	relay->now = &relay->rig[0];
	relay->heir = &relay->rig[1];
	rig_open(relay->now, &relay->config);
	rig_path(relay->now, "control", relay->path, sizeof(relay->path));
	assert_int_equal(viommu_server_add_control(relay->now->server, relay->path, control, relay),
			 0);
	allow(relay, relay->now);
}

void relay_close(struct relay *relay)
{
	rig_close(relay->now);
}

static void *serve(void *arg)
{
	struct relay *relay = arg;

	while (!load_acquire(&relay->done) && !viommu_server_handed_over(relay->now->server))
		viommu__server_step(relay->now->server, -1);
	return NULL;
}

void relay_start(struct relay *relay)
{
	store_release(&relay->done, 0);
	assert_int_equal(pthread_create(&relay->thread, NULL, serve, relay), 0);
}

void relay_stop(struct relay *relay)
{
	store_release(&relay->done, 1);
	viommu__server_wake(relay->now->server);
	pthread_join(relay->thread, NULL);
}

int relay_ask(struct relay *relay)
{
	return viommu_server_handover_new(relay->path, &relay->h, relay->why, sizeof(relay->why));
}

int relay_add(struct relay *relay)
{
	struct rig_config config = relay->config;
	const void *state;
	size_t bytes;
	int err;

	err = viommu_server_handover_data(relay->h, &state, &bytes, relay->why, sizeof(relay->why));
	if (err)
		return err;
	assert_int_equal(bytes, relay->now->ports * sizeof(struct toy_state));
	config.server.handover = relay->h;
	config.heir_of = relay->now;
	err = rig_try(relay->heir, &config);
	if (!err) {
		err = viommu_server_add_control(relay->heir->server, relay->path, control, relay);
		if (err)
			rig_close(relay->heir);
	}
	if (err) {
		memset(relay->heir, 0, sizeof(*relay->heir));
		return err;
	}
	allow(relay, relay->heir);
	load(relay->heir, state);
	return 0;
}

int relay_take(struct relay *relay)
{
	int err = viommu_server_take(relay->heir->server, relay->why, sizeof(relay->why));
	unsigned int i;

	if (err) {
		rig_close(relay->heir);
		memset(relay->heir, 0, sizeof(*relay->heir));
		return err;
	}
	for (i = 0; i < relay->heir->ports; i++) {
		viommu__pci_go(relay->heir->toy[i].pci);
		viommu_pci_kick(relay->heir->toy[i].pci);
	}
	return 0;
}

void relay_give_up(struct relay *relay)
{
	if (relay->heir->server)
		rig_close(relay->heir);
	memset(relay->heir, 0, sizeof(*relay->heir));
	viommu_server_handover_free(relay->h);
	relay->h = NULL;
}

void relay_replace(struct relay *relay, struct peer *peer)
{
	struct rig *old = relay->now;

	relay_start(relay);
	assert_int_equal(relay_ask(relay), 0);
	assert_int_equal(relay_add(relay), 0);
	assert_int_equal(relay_take(relay), 0);
	relay_stop(relay);
	assert_int_equal(viommu_server_handed_over(old->server), 1);
	viommu_server_handover_free(relay->h);
	relay->h = NULL;
	rig_inherit(relay->heir, old);
	rig_close(old);
	memset(old, 0, sizeof(*old));
	relay->now = relay->heir;
	relay->heir = old;
	if (peer)
		peer->rig = relay->now;
}
