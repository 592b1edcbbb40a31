/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One VM's IOMMU and devices as `viommu serve` and `viommu vm` run them: options, a board with its
 * devices, sockets and ACPI tables in a folder, and the arguments QEMU needs.
 */
#ifndef VIOMMU_CMD_MACHINE_H
#define VIOMMU_CMD_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <viommu-server/server.h>
#include <viommu/board.h>
#include <viommu/dsa.h>

#define MACHINE_MAX_DEVICES 16u
#define MACHINE_MAX_SHARED  4u
#define MACHINE_MAX_VMS     16u
/*
 * The first PASID that the host chooses: a guest's own begin at 1, so that one mistaken for the
 * other is seen at once.
 */
#define MACHINE_PASID_FIRST 0x1000u

struct machine_device {
	struct viommu_dsa_config config;
	uint16_t sid;  /* 0: the next free slot */
	uint16_t port; /* 0: on bus 0; else the root port that it can be plugged in behind */
};

struct machine;

/* What the server's callbacks about the client of one device get. */
struct machine_seat {
	struct machine *m;
	unsigned int n; /* of m->dsa[] */
	uint16_t port;  /* 0: on bus 0 */
};

/* One for all VMs. */
struct machine_shared_device {
	struct viommu_dsa_hw_config config;
	bool no_pri;
	uint16_t sid; /* in each of them; 0: the next free slot */
};

struct replace;

struct machine_options {
	const char *command; /* for messages */
	const char *dir;     /* NULL: a folder of its own that goes away at the end */
	const char *user;
	uint32_t profile;
	uint32_t guest_flags;
	uint32_t pasid_first; /* with pasid_last, inclusive; 0: by guest_flags */
	uint32_t pasid_last;
	uint16_t unit_sid;
	uint16_t first_sid; /* of the devices without a slot of their own */
	uint64_t registers; /* 0: where SeaBIOS puts them in the plainest machine */
	unsigned int nr;    /* devices; 0: one DSA, if none is shared */
	struct machine_device device[MACHINE_MAX_DEVICES];
	bool fleet;       /* the command takes --vms and --shared-device */
	unsigned int vms; /* 0: one, without a host that others are on */
	unsigned int nr_shared;
	struct machine_shared_device shared[MACHINE_MAX_SHARED];
	uint32_t pasid_quota; /* of each VM; 0: not given */
	bool pasids_said;     /* --pasids was given */
	enum viommu_server_level level;
	/*
	 * Takes another process's place (cmd/replace.c): its folder, its sockets. NULL: it does not
	 */
	const struct replace *replace;
};

void machine_options_init(struct machine_options *o, const char *command);

/* The lines of --help for what machine_option() takes. */
extern const char machine_options_help[];

/*
 * Takes argv[*i], and its value if it has one, when it is an option of this file; then moves *i on
 * to the last word taken. 0: taken; 1: not one of ours; else an exit status, after a message.
 */
int machine_option(struct machine_options *o, int argc, char **argv, int *i);

struct fleet;

struct machine {
	const struct machine_options *options;
	struct fleet *fleet; /* NULL: the only one, with a host and a server of its own */
	unsigned int vm;     /* its number there */
	bool borrowed;       /* folder and files are another process's */
	bool taking;         /* another one's place: its clients were there before */
	char *dir;
	bool own_dir;
	uint64_t registers; /* the DMAR table says */
	uint64_t placed;    /* the firmware said, 0: not yet */
	bool warned;
	struct viommu_board *board;
	struct viommu_server *server;
	unsigned int nr;
	struct viommu_dsa *dsa[MACHINE_MAX_DEVICES + MACHINE_MAX_SHARED];
	uint16_t sid[MACHINE_MAX_DEVICES + MACHINE_MAX_SHARED]; /* 0: behind a port */
	struct machine_seat seat[MACHINE_MAX_DEVICES + MACHINE_MAX_SHARED];
	unsigned int nr_ports;
	uint16_t port[VIOMMU_BOARD_MAX_PORTS];
	uint64_t faults;       /* of the unit that look_for_misplaced() has looked at */
	bool misplaced;        /* it has said so */
	uint32_t plug_lines;   /* of the log that devices behind ports may still have */
	uint32_t trap_lines;   /* of the log that binds may still have; atomic */
	uint32_t traps_hidden; /* that had none left; atomic */
	/* Called instead of a warning when the firmware has placed the registers. */
	void (*placed_call)(struct machine *m);
};

/* Folder, board, devices, server, sockets. CMD_OK or an exit status after a message. */
int machine_init(struct machine *m, const struct machine_options *options);
int machine_init_in(struct machine *m, const struct machine_options *options, struct fleet *fleet,
		    unsigned int vm);
/* Everything gone; sockets and tables too. In a fleet: after its server. */
void machine_fini(struct machine *m);
/* Its log, and what is to be done once a second, but for the host's part. */
void machine_log(void *ctx, enum viommu_server_level level, const char *line);
void machine_second(struct machine *m);
/* *sid, if it is 0, becomes *next, which moves on; both on the unit's bus. */
void machine_slot(const struct machine_options *o, uint16_t *next, uint16_t *sid);
/* A path of the folder dir, from malloc(); a folder, made if it is not there (own: it was). */
char *machine_path_in(const char *dir, const char *name);
int machine_folder(const struct machine_options *o, char **dir, bool *own);
/* Writes DMAR and SSDT for registers at this address. CMD_OK or after a message. */
int machine_tables(struct machine *m, uint64_t registers);
/*
 * What QEMU has to be told besides its memory: a NULL-terminated vector of one string each, free
 * with machine_args_free(); NULL: out of memory.
 */
char **machine_args(const struct machine *m);
void machine_args_free(char **args);
/*
 * What plugs the n-th device in: arguments of QMP's device_add, as JSON from malloc(). NULL: it is
 * not behind a port, or out of memory.
 */
char *machine_plug(const struct machine *m, unsigned int n);
/* The requester id of the n-th device now, 0: it is not plugged in. */
uint16_t machine_sid(const struct machine *m, unsigned int n);
/* Path of a file in the machine's folder, from malloc(). */
char *machine_path(const struct machine *m, const char *name);

/* Signals that end it make the server stop; who asks finds out which one came. */
int machine_signals(struct machine *m);
int machine_signal_seen(void);

/* viommu_server_drop_privileges(); CMD_OK or after a message. */
int machine_drop_privileges(const struct machine_options *options, const char *user);

/* The answer of the control socket: the running machine as JSON (cmd/report.c). From malloc(). */
char *machine_report(struct machine *m);

/*
 * Several machines on one host, in one process (cmd/fleet.c): devices of theirs that are shared
 * have one requester id there, and each VM has a function.
 */
struct fleet {
	const struct machine_options *options;
	char *dir;
	bool own_dir;
	bool borrowed; /* the folder is another process's */
	struct viommu_host *host;
	struct viommu_server *server;
	unsigned int nr_shared;
	struct {
		struct viommu_device *dev;
		struct viommu_dsa_hw *hw;
		uint16_t sid;
	} shared[MACHINE_MAX_SHARED];
	uint16_t next;        /* where the next slot without a choice is */
	uint32_t pasid_quota; /* of each VM */
	unsigned int nr;
	struct machine machine[MACHINE_MAX_VMS];
};

int fleet_init(struct fleet *f, const struct machine_options *options);
void fleet_fini(struct fleet *f);
/* What the machines are to each other, as JSON. From malloc(). */
char *fleet_report(struct fleet *f);

#endif /* VIOMMU_CMD_MACHINE_H */
