/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The log: lines to the owner's callback, no more than a few a second, since a guest causes most of
 * them. What was left out is counted and said once there is room again.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/bits.h"
#include "server/state.h"

static void refill(struct viommu_server *server)
{
	struct viommu__log *log = &server->log;
	struct timespec now;
	uint64_t credit;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec == log->second)
		return;
	credit = log->credit + (uint64_t)(now.tv_sec - log->second) * SERVER_LOG_RATE;
	log->credit = (uint32_t)min_u64(credit, SERVER_LOG_BURST);
	log->second = now.tv_sec;
}

void viommu__server_log(struct viommu_server *server, enum viommu_server_level level,
			const char *format, ...)
{
	struct viommu__log *log = &server->log;
	char line[512];
	va_list args;

	if (!server->config.log)
		return;
	refill(server);
	if (!log->credit) {
		log->dropped++;
		return;
	}
	log->credit--;
	if (log->dropped) {
		snprintf(line, sizeof(line), "%u lines were left out", log->dropped);
		log->dropped = 0;
		server->config.log(server->config.ctx, VIOMMU_SERVER_WARNING, line);
	}
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	server->config.log(server->config.ctx, level, line);
}
