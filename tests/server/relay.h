/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A rig that is replaced by another one, with its clients: the serving one runs on a thread while
 * the test itself is the process that comes, so that it can stop wherever it wants to.
 */
#ifndef VIOMMU_TEST_SERVER_RELAY_H
#define VIOMMU_TEST_SERVER_RELAY_H

#include <pthread.h>

#include "server/handover.h"
#include "server/peer.h"

struct relay {
	struct rig_config config;
	struct rig rig[2];
	struct rig *now; /* who serves */
	struct rig *heir;
	struct viommu_server_handover *h;
	char path[64]; /* of the control socket */
	char why[256];
	bool deaf;           /* its control socket answers nothing */
	bool elsewhere;      /* its control socket may not be asked */
	const char *refuses; /* save() fails, with this */
	unsigned int saved;
	unsigned int resumed;
	uint32_t done; /* atomic: the serving one need not run any more */
	pthread_t thread;
};

/* config may be NULL. The functions' registers, configuration space and work go over. */
void relay_open(struct relay *relay, const struct rig_config *config);
/* All that one rig closes. */
void relay_close(struct relay *relay);
/* The serving one runs from here to here. */
void relay_start(struct relay *relay);
void relay_stop(struct relay *relay);
/* What the process that comes does, step by step; 0 or -errno with .why. */
int relay_ask(struct relay *relay);
int relay_add(struct relay *relay);
int relay_take(struct relay *relay);
/* It ends instead; the serving one goes on. */
void relay_give_up(struct relay *relay);
/* All of it, and peer talks to the new one then. */
void relay_replace(struct relay *relay, struct peer *peer);

#endif /* VIOMMU_TEST_SERVER_RELAY_H */
