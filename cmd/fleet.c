/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several machines on one host: see struct fleet in machine.h.
 *
 *	DIR/control.sock	what they share, who has which host PASID
 *	DIR/vm0/, DIR/vm1/ ...	each as that of a single machine
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "machine.h"
#include "replace.h"

static void fleet_log(void *ctx, enum viommu_server_level level, const char *line)
{
	struct fleet *f = ctx;

	/* All have the same options. */
	machine_log(&f->machine[0], level, line);
}

static void fleet_tick(void *ctx)
{
	struct fleet *f = ctx;
	unsigned int i;

	for (i = 0; i < f->nr; i++)
		machine_second(&f->machine[i]);
}

static char *control(void *ctx, const char *line)
{
	struct fleet *f = ctx;

	return !strcmp(line, "inspect") ? fleet_report(f) : NULL;
}

/* Its requester id is what the VMs know, since the host has none there yet. */
static int shared_device(struct fleet *f, const struct machine_shared_device *d)
{
	struct viommu_device_config vc = {
		.size = sizeof(vc),
		.flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS |
			 (d->no_pri ? 0 : VIOMMU_DEVICE_PRI),
	};
	struct viommu_dsa_hw_config hc = d->config;
	int ret;

	hc.functions = (uint8_t)f->options->vms;
	ret = viommu_dsa_hw_new(&hc, &f->shared[f->nr_shared].hw);
	if (ret == -EINVAL)
		return cmd_usage(f->options->command,
				 "--shared-device: for %u VMs it needs as many engines, queues and "
				 "entries at least",
				 f->options->vms);
	if (ret)
		return cmd_error(f->options->command, "shared device: %s", strerror(-ret));
	vc.sid = d->sid;
	machine_slot(f->options, &f->next, &vc.sid);
	f->shared[f->nr_shared].sid = vc.sid;
	ret = viommu_device_new(f->host, &vc, &f->shared[f->nr_shared].dev);
	f->nr_shared++;
	if (ret)
		return cmd_error(f->options->command, "slot %02x.%x: %s", vc.sid >> 3, vc.sid & 7,
				 ret == -EEXIST ? "it is taken already" : strerror(-ret));
	return CMD_OK;
}

/*
 * A guest can name as many PASIDs as there are, so without a bound one VM takes those of all the
 * others. Each shared device has one more for each VM, of no quota.
 */
static uint32_t even_share(const struct machine_options *o, uint32_t pasids)
{
	uint32_t own = o->nr_shared * o->vms;

	return pasids > own + o->vms ? (pasids - own) / o->vms : 1;
}

static int start(struct fleet *f)
{
	const struct machine_options *o = f->options;
	const struct viommu_host_config hc = {
		.size = sizeof(hc),
		.pasid_min = o->pasid_first ? o->pasid_first : MACHINE_PASID_FIRST,
		.pasid_max = o->pasid_last ? o->pasid_last : VIOMMU_PASID_MAX,
		.max_devices = MACHINE_MAX_SHARED + MACHINE_MAX_VMS * VIOMMU_BOARD_MAX_DEVICES,
	};
	const struct viommu_server_config sc = {
		.size = sizeof(sc),
		.ctx = f,
		.tick = fleet_tick,
		.log = fleet_log,
		.handover = o->replace ? o->replace->handover : NULL,
	};
	int ret;

	f->machine[0].options = o; /* for the log */
	f->pasid_quota =
		o->pasid_quota ? o->pasid_quota : even_share(o, hc.pasid_max - hc.pasid_min + 1);
	ret = viommu_host_new(&hc, &f->host);
	if (!ret)
		ret = viommu_server_new(&sc, &f->server);
	return ret ? cmd_error(o->command, "start: %s", strerror(-ret)) : CMD_OK;
}

static int add_control(struct fleet *f)
{
	char *path = machine_path_in(f->dir, "control.sock");
	int ret;

	if (!path)
		return cmd_error(f->options->command, "out of memory");
	ret = viommu_server_add_control(f->server, path, control, f);
	if (ret)
		cmd_error(f->options->command, "%s: %s", path,
			  ret == -EADDRINUSE ? "somebody serves there already" : strerror(-ret));
	free(path);
	return ret ? CMD_FAILED : CMD_OK;
}

int fleet_init(struct fleet *f, const struct machine_options *options)
{
	unsigned int i;
	int ret;

	*f = (struct fleet){ .options = options,
			     .next = options->first_sid,
			     .borrowed = options->replace };
	ret = machine_folder(options, &f->dir, &f->own_dir);
	if (ret == CMD_OK)
		ret = start(f);
	for (i = 0; ret == CMD_OK && i < options->nr_shared; i++)
		ret = shared_device(f, &options->shared[i]);
	for (i = 0; ret == CMD_OK && i < options->vms; i++) {
		f->nr++;
		ret = machine_init_in(&f->machine[i], options, f, i);
	}
	if (ret == CMD_OK)
		ret = add_control(f);
	return ret;
}

void fleet_fini(struct fleet *f)
{
	unsigned int i;

	viommu_server_free(f->server);
	for (i = 0; i < f->nr; i++)
		machine_fini(&f->machine[i]);
	for (i = 0; i < f->nr_shared; i++) {
		viommu_dsa_hw_free(f->shared[i].hw);
		viommu_device_free(f->shared[i].dev);
	}
	viommu_host_free(f->host);
	if (f->own_dir && !f->borrowed)
		rmdir(f->dir);
	free(f->dir);
	*f = (struct fleet){ .options = f->options };
}
