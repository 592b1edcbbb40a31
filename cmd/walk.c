/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu walk: translates addresses over images of a machine's memory, without writing to them.
 *
 * Who translates is either named on the command line, a first stage, a second stage, or both (VT-d
 * 5.10, first-stage, second-stage and nested translation), or found as a VT-d unit finds it, from
 * the root table by requester id and PASID. What is checked and reported is the library's; here
 * are the command line and the output.
 *
 * Choices:
 *  - stages named on the command line are what a scalable-mode PASID entry would make of them with
 *    SRE and PWSNP set where the unit has them, and no other option but those asked for;
 *  - the request is an untranslated one; an execute request cannot be asked for;
 *  - an output outside the images is an answer all the same: only tables have to be there.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <viommu/path.h>
#include <viommu/vtd.h>

#include "cmd.h"
#include "image.h"
#include "json.h"
#include "steps.h"

#define PAGE_BYTES  UINT64_C(4096)
#define HAW_DEFAULT 48

/* A CR3 holds flags besides the table: the low 12 bits, and bits 63:61. */
#define CR3_FLAGS (UINT64_C(0xe000000000000000) | (PAGE_BYTES - 1))

/* A unit that has all that the walker and the table path know. */
#define CAP_DEFAULT                                                                         \
	(VTD_VAL(VTD_CAP_ND, 6) | VTD_VAL(VTD_CAP_SAGAW, 0xe) | VTD_VAL(VTD_CAP_MGAW, 56) | \
	 VTD_MASK(VTD_CAP_ZLR) | VTD_VAL(VTD_CAP_SSLPS, 3) | VTD_MASK(VTD_CAP_FS1GP) |      \
	 VTD_MASK(VTD_CAP_FS5LP))
#define ECAP_DEFAULT                                                                      \
	(VTD_MASK(VTD_ECAP_C) | VTD_MASK(VTD_ECAP_QI) | VTD_MASK(VTD_ECAP_DT) |           \
	 VTD_MASK(VTD_ECAP_PT) | VTD_MASK(VTD_ECAP_SC) | VTD_MASK(VTD_ECAP_MTS) |         \
	 VTD_MASK(VTD_ECAP_NEST) | VTD_MASK(VTD_ECAP_PRS) | VTD_MASK(VTD_ECAP_SRS) |      \
	 VTD_MASK(VTD_ECAP_EAFS) | VTD_VAL(VTD_ECAP_PSS, 19) | VTD_MASK(VTD_ECAP_PASID) | \
	 VTD_MASK(VTD_ECAP_SMTS) | VTD_MASK(VTD_ECAP_SSADS) | VTD_MASK(VTD_ECAP_SSTS) |   \
	 VTD_MASK(VTD_ECAP_FSTS) | VTD_MASK(VTD_ECAP_SMPWCS) | VTD_MASK(VTD_ECAP_RPS) |   \
	 VTD_MASK(VTD_ECAP_ADMS) | VTD_MASK(VTD_ECAP_RPRIVS) | VTD_MASK(VTD_ECAP_PTRS) |  \
	 VTD_MASK(VTD_ECAP_SSIRWS))

/* Version 6.0: only execute requests would be judged by it. */
#define VERSION_DEFAULT 0x60

enum option_id {
	OPT_IMAGE = 1,
	OPT_FIRST_STAGE,
	OPT_SECOND_STAGE,
	OPT_ROOT_TABLE,
	OPT_DEVICE,
	OPT_PASID,
	OPT_CR3,
	OPT_LEVELS,
	OPT_SECOND_LEVELS,
	OPT_HAW,
	OPT_CAP,
	OPT_ECAP,
	OPT_ACCESS,
	OPT_PRIVILEGED,
	OPT_WPE,
	OPT_EAFE,
	OPT_SSADE,
	OPT_JSON,
	OPT_HELP,
	OPT_NR,
};

static const struct option long_options[] = {
	{ "image", required_argument, NULL, OPT_IMAGE },
	{ "first-stage", required_argument, NULL, OPT_FIRST_STAGE },
	{ "second-stage", required_argument, NULL, OPT_SECOND_STAGE },
	{ "root-table", required_argument, NULL, OPT_ROOT_TABLE },
	{ "device", required_argument, NULL, OPT_DEVICE },
	{ "pasid", required_argument, NULL, OPT_PASID },
	{ "cr3", no_argument, NULL, OPT_CR3 },
	{ "levels", required_argument, NULL, OPT_LEVELS },
	{ "second-levels", required_argument, NULL, OPT_SECOND_LEVELS },
	{ "haw", required_argument, NULL, OPT_HAW },
	{ "cap", required_argument, NULL, OPT_CAP },
	{ "ecap", required_argument, NULL, OPT_ECAP },
	{ "access", required_argument, NULL, OPT_ACCESS },
	{ "privileged", no_argument, NULL, OPT_PRIVILEGED },
	{ "wpe", no_argument, NULL, OPT_WPE },
	{ "eafe", no_argument, NULL, OPT_EAFE },
	{ "ssade", no_argument, NULL, OPT_SSADE },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

/* The command line, and what comes of it. */
struct walk {
	bool given[OPT_NR];
	uint64_t number[OPT_NR]; /* of options that take one */
	uint16_t sid;
	bool write;

	struct cmd_image *image;
	size_t nr_images;
	struct cmd_images images;

	uint64_t *address;
	size_t nr_addresses;
	size_t room;

	struct viommu_stack stack; /* unless a root table is given */
	struct viommu_unit unit;
	uint32_t access;
};

/* One address, answered. */
struct answer {
	uint64_t address;
	bool ok;
	bool interrupt; /* an interrupt message: nothing was translated */
	const struct viommu_stack *stack;
	struct viommu_walk_result result;
	struct viommu_path_result path;
};

static void print_help(void)
{
	printf("usage: viommu walk --image FILE@GPA [--image ...] [OPTION...] ADDRESS...\n"
	       "\n"
	       "Translates each ADDRESS over raw images of memory and shows every table entry\n"
	       "that is read. '-' reads more addresses from standard input. Nothing is written.\n"
	       "\n"
	       "  --image FILE@GPA      FILE is the memory from address GPA on\n"
	       "  --image CORE          an ELF core dump, which says itself where its memory is\n"
	       "\n"
	       "Who translates, named here:\n"
	       "  --first-stage ROOT    address of the top first-stage table\n"
	       "  --second-stage ROOT   address of the top second-stage table; both together nest\n"
	       "  --cr3                 ROOT of the first stage is a CR3: ignore its flag bits\n"
	       "  --levels N            first stage 4 or 5; without one, second stage 3, 4 or 5;\n"
	       "                        together, both of them (4)\n"
	       "  --second-levels N     second stage, if it differs: 3, 4 or 5\n"
	       "  --wpe --eafe --ssade  as if this bit were set in the PASID entry\n"
	       "\n"
	       "or found in the tables of a VT-d unit:\n"
	       "  --root-table ADDR     what RTADDR holds; bits 11:10 are the mode\n"
	       "  --device BB:DD.F      who sends the request\n"
	       "  --pasid N             its PASID; without this, it has none\n"
	       "\n"
	       "  --access read|write   what is requested (read)\n"
	       "  --privileged          a supervisor's request\n"
	       "  --haw N               host address width, 32 to 52 (%u)\n"
	       "  --cap X               capability register (%#" PRIx64 ")\n"
	       "  --ecap X              extended capability register (%#" PRIx64 ")\n"
	       "  --json                print an array with an object for each address\n"
	       "  --help\n"
	       "\n"
	       "Numbers are decimal, or hexadecimal after 0x.\n",
	       (unsigned int)HAW_DEFAULT, (uint64_t)CAP_DEFAULT, (uint64_t)ECAP_DEFAULT);
}

/* ---- the command line ------------------------------------------------------------------------ */

static int address_add(struct walk *walk, uint64_t address)
{
	if (walk->nr_addresses == walk->room) {
		size_t room = walk->room ? 2 * walk->room : 64;
		uint64_t *list = reallocarray(walk->address, room, sizeof(*list));

		if (!list)
			return cmd_error("walk", "no memory for so many addresses");
		walk->address = list;
		walk->room = room;
	}
	walk->address[walk->nr_addresses++] = address;
	return CMD_OK;
}

/* Addresses between blanks and ends of lines. */
static int addresses_read(struct walk *walk, FILE *in)
{
	unsigned long nr = 0;
	char *line = NULL;
	size_t room = 0;
	int r = CMD_OK;

	while (r == CMD_OK && getline(&line, &room, in) >= 0) {
		char *save, *word = strtok_r(line, " \t\r\n", &save);

		for (nr++; word && r == CMD_OK; word = strtok_r(NULL, " \t\r\n", &save)) {
			const char *why;
			uint64_t address;

			if (cmd_number(word, &address, &why))
				r = address_add(walk, address);
			else
				r = cmd_usage("walk", "standard input, line %lu: '%s': %s", nr,
					      word, why);
		}
	}
	if (r == CMD_OK && ferror(in))
		r = cmd_error("walk", "standard input: %s", strerror(errno));
	free(line);
	return r;
}

static int option_number(struct walk *walk, enum option_id id, const char *name, const char *text)
{
	const char *why;

	if (!cmd_number(text, &walk->number[id], &why))
		return cmd_usage("walk", "--%s '%s': %s", name, text, why);
	return CMD_OK;
}

static int option_take(struct walk *walk, enum option_id id, const char *name, char *text)
{
	int r;

	walk->given[id] = true;
	switch (id) {
	case OPT_IMAGE:
		r = cmd_image_parse("walk", text, &walk->image[walk->nr_images]);
		if (r == CMD_OK)
			walk->nr_images++;
		return r;
	case OPT_DEVICE:
		if (!cmd_device(text, &walk->sid))
			return cmd_usage("walk",
					 "--device '%s': not BB:DD.F in hexadecimal, such as "
					 "00:1f.7 (bus 0-ff, device 0-1f, function 0-7)",
					 text);
		return CMD_OK;
	case OPT_ACCESS:
		walk->write = !strcmp(text, "write");
		if (!walk->write && strcmp(text, "read") != 0)
			return cmd_usage("walk", "--access '%s': read or write", text);
		return CMD_OK;
	default:
		return text ? option_number(walk, id, name, text) : CMD_OK;
	}
}

/* Options and addresses, one by one. What they mean together is for walk_check(). */
static int walk_parse(struct walk *walk, int argc, char **argv)
{
	bool dash = false;
	int r, i, index;

	opterr = 0;
	for (;;) {
		int at = optind, id;

		index = 0;
		id = getopt_long(argc, argv, ":", long_options, &index);
		if (id < 0)
			break;
		if (id == ':')
			return cmd_usage("walk", "'%s' needs a value", argv[optind - 1]);
		if (id == '?')
			return cmd_usage("walk", "unknown or ambiguous option '%s'",
					 optopt && optopt < OPT_NR        ? argv[optind - 1]
					 : argv[at] && argv[at][0] == '-' ? argv[at]
									  : argv[optind - 1]);
		if (id == OPT_HELP) {
			walk->given[OPT_HELP] = true;
			return CMD_OK;
		}
		r = option_take(walk, (enum option_id)id, long_options[index].name, optarg);
		if (r)
			return r;
	}
	for (i = optind; i < argc; i++) {
		const char *why;
		uint64_t address;

		if (!strcmp(argv[i], "-")) {
			if (!dash)
				r = addresses_read(walk, stdin);
			else
				r = CMD_OK;
			dash = true;
		} else if (cmd_number(argv[i], &address, &why)) {
			r = address_add(walk, address);
		} else {
			r = cmd_usage("walk", "address '%s': %s", argv[i], why);
		}
		if (r)
			return r;
	}
	if (!walk->nr_addresses && !dash)
		return cmd_usage("walk", "no address to translate");
	return CMD_OK;
}

static const char *option_name(enum option_id id)
{
	size_t i;

	for (i = 0; long_options[i].name; i++)
		if (long_options[i].val == (int)id)
			return long_options[i].name;
	return "?";
}

/* Options that make no sense without, or together with, another. */
static int walk_check_together(const struct walk *walk)
{
	static const struct {
		enum option_id id;
		enum option_id needs; /* one of these two */
		enum option_id or ;
	} rules[] = {
		{ OPT_CR3, OPT_FIRST_STAGE, OPT_FIRST_STAGE },
		{ OPT_WPE, OPT_FIRST_STAGE, OPT_FIRST_STAGE },
		{ OPT_EAFE, OPT_FIRST_STAGE, OPT_FIRST_STAGE },
		{ OPT_SSADE, OPT_SECOND_STAGE, OPT_SECOND_STAGE },
		{ OPT_SECOND_LEVELS, OPT_SECOND_STAGE, OPT_SECOND_STAGE },
		{ OPT_LEVELS, OPT_FIRST_STAGE, OPT_SECOND_STAGE },
		{ OPT_DEVICE, OPT_ROOT_TABLE, OPT_ROOT_TABLE },
		{ OPT_PASID, OPT_ROOT_TABLE, OPT_ROOT_TABLE },
		{ OPT_ROOT_TABLE, OPT_DEVICE, OPT_DEVICE },
	};
	size_t i;

	if (!walk->nr_images)
		return cmd_usage("walk", "no memory: --image FILE@GPA is needed");
	if (!walk->given[OPT_FIRST_STAGE] && !walk->given[OPT_SECOND_STAGE] &&
	    !walk->given[OPT_ROOT_TABLE])
		return cmd_usage("walk", "no tables: --first-stage, --second-stage or --root-table "
					 "is needed");
	if (walk->given[OPT_ROOT_TABLE] &&
	    (walk->given[OPT_FIRST_STAGE] || walk->given[OPT_SECOND_STAGE]))
		return cmd_usage("walk", "--root-table finds the stages itself: no --%s with it",
				 walk->given[OPT_FIRST_STAGE] ? "first-stage" : "second-stage");
	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (!walk->given[rules[i].id] || walk->given[rules[i].needs] ||
		    walk->given[rules[i].or ])
			continue;
		if (rules[i].needs == rules[i].or)
			return cmd_usage("walk", "--%s needs --%s", option_name(rules[i].id),
					 option_name(rules[i].needs));
		return cmd_usage("walk", "--%s needs --%s or --%s", option_name(rules[i].id),
				 option_name(rules[i].needs), option_name(rules[i].or));
	}
	if (walk->given[OPT_PRIVILEGED] && walk->given[OPT_ROOT_TABLE] && !walk->given[OPT_PASID])
		return cmd_usage("walk", "--privileged needs --pasid: without a PASID the context "
					 "entry's RID_PRIV decides");
	return CMD_OK;
}

/* The address of a top table. */
static int root_check(const struct walk *walk, enum option_id id, uint64_t *root)
{
	const char *name = option_name(id);

	*root = walk->number[id];
	if (id == OPT_FIRST_STAGE && walk->given[OPT_CR3])
		*root &= ~CR3_FLAGS;
	if (*root % PAGE_BYTES)
		return cmd_usage("walk", "--%s %#" PRIx64 ": not a multiple of 4096%s", name, *root,
				 id == OPT_FIRST_STAGE ? "; --cr3 ignores the flag bits of a CR3"
						       : "");
	if (*root >> walk->unit.haw)
		return cmd_usage("walk", "--%s %#" PRIx64 ": more than the %u bits of --haw", name,
				 *root, walk->unit.haw);
	return CMD_OK;
}

static int levels_check(const struct walk *walk, enum option_id id, bool first, uint8_t *levels)
{
	uint64_t n = walk->given[id] ? walk->number[id] : 4;
	const char *name = option_name(id);

	if (n < (first ? 4 : 3) || n > 5)
		return cmd_usage("walk", "--%s %" PRIu64 ": %s", name, n,
				 first ? "a first stage has 4 or 5"
				       : "a second stage has 3, 4 or 5");
	if (first && n == 5 && !VTD_FIELD(walk->unit.cap, VTD_CAP_FS5LP))
		return cmd_usage("walk", "--%s 5: --cap %#" PRIx64 " has no FS5LP", name,
				 walk->unit.cap);
	if (!first && !(VTD_FIELD(walk->unit.cap, VTD_CAP_SAGAW) >> (n - 2) & 1))
		return cmd_usage("walk",
				 "--%s %" PRIu64 ": SAGAW of --cap %#" PRIx64
				 " does not have this width",
				 name, n, walk->unit.cap);
	*levels = (uint8_t)n;
	return CMD_OK;
}

static int stage_make_first(const struct walk *walk, struct viommu_stage *s)
{
	int r = levels_check(walk, OPT_LEVELS, true, &s->levels);

	if (r == CMD_OK)
		r = root_check(walk, OPT_FIRST_STAGE, &s->root);
	if (r)
		return r;
	s->format = VIOMMU_FORMAT_VTD_FS;
	s->haw = walk->unit.haw;
	s->flags = VIOMMU_STAGE_2M;
	if (VTD_FIELD(walk->unit.cap, VTD_CAP_FS1GP))
		s->flags |= VIOMMU_STAGE_1G;
	if (VTD_FIELD(walk->unit.ecap, VTD_ECAP_SRS))
		s->flags |= VIOMMU_STAGE_SRE;
	if (VTD_FIELD(walk->unit.ecap, VTD_ECAP_SMPWCS))
		s->flags |= VIOMMU_STAGE_SNOOP;
	if (walk->given[OPT_WPE])
		s->flags |= VIOMMU_STAGE_WPE;
	if (walk->given[OPT_EAFE])
		s->flags |= VIOMMU_STAGE_EAFE;
	return CMD_OK;
}

static int stage_make_second(const struct walk *walk, struct viommu_stage *s)
{
	enum option_id id = walk->given[OPT_SECOND_LEVELS] ? OPT_SECOND_LEVELS : OPT_LEVELS;
	unsigned int mgaw = (unsigned int)VTD_FIELD(walk->unit.cap, VTD_CAP_MGAW) + 1;
	int r = levels_check(walk, id, false, &s->levels);

	if (r == CMD_OK)
		r = root_check(walk, OPT_SECOND_STAGE, &s->root);
	if (r)
		return r;
	s->format = VIOMMU_FORMAT_VTD_SS;
	s->haw = walk->unit.haw;
	s->input_bits = (uint8_t)(12 + 9 * s->levels);
	if (s->input_bits > mgaw)
		s->input_bits = (uint8_t)mgaw;
	if (s->input_bits <= 12)
		return cmd_usage("walk", "--cap %#" PRIx64 ": MGAW of %u bits", walk->unit.cap,
				 mgaw);
	s->flags = 0;
	if (VTD_FIELD(walk->unit.cap, VTD_CAP_SSLPS) & 1)
		s->flags |= VIOMMU_STAGE_2M;
	if (VTD_FIELD(walk->unit.cap, VTD_CAP_SSLPS) & 2)
		s->flags |= VIOMMU_STAGE_1G;
	if (VTD_FIELD(walk->unit.ecap, VTD_ECAP_SC))
		s->flags |= VIOMMU_STAGE_SNP;
	if (VTD_FIELD(walk->unit.ecap, VTD_ECAP_SMPWCS))
		s->flags |= VIOMMU_STAGE_SNOOP;
	if (walk->given[OPT_SSADE])
		s->flags |= VIOMMU_STAGE_AD;
	return CMD_OK;
}

/* The value of RTADDR as the unit takes it. */
static int root_table_check(struct walk *walk)
{
	uint64_t value = walk->number[OPT_ROOT_TABLE];
	uint64_t rsvd = viommu_spec_reserved(viommu_spec_table_find("VTD_RTADDR"), 0);

	if (value & rsvd)
		return cmd_usage("walk",
				 "--root-table %#" PRIx64 ": bits %#" PRIx64
				 " of RTADDR are reserved "
				 "(the address is a multiple of 4096, bits 11:10 are the mode)",
				 value, value & rsvd);
	walk->unit.rtaddr = value;
	if (walk->given[OPT_PASID] && walk->number[OPT_PASID] > VIOMMU_PASID_MAX)
		return cmd_usage("walk", "--pasid %#" PRIx64 ": more than 20 bits",
				 walk->number[OPT_PASID]);
	return CMD_OK;
}

/* What the options mean together: fills unit, stack and access. */
static int walk_check(struct walk *walk)
{
	int r = walk_check_together(walk);

	if (r)
		return r;
	if (walk->given[OPT_HAW] && (walk->number[OPT_HAW] < 32 || walk->number[OPT_HAW] > 52))
		return cmd_usage("walk", "--haw %" PRIu64 ": 32 to 52", walk->number[OPT_HAW]);
	walk->unit.haw = walk->given[OPT_HAW] ? (uint8_t)walk->number[OPT_HAW] : HAW_DEFAULT;
	walk->unit.cap = walk->given[OPT_CAP] ? walk->number[OPT_CAP] : CAP_DEFAULT;
	walk->unit.ecap = walk->given[OPT_ECAP] ? walk->number[OPT_ECAP] : ECAP_DEFAULT;
	walk->unit.ver = VERSION_DEFAULT;
	walk->access = walk->write ? VIOMMU_WRITE : VIOMMU_READ;
	if (walk->given[OPT_PRIVILEGED])
		walk->access |= VIOMMU_PRIV;

	if (walk->given[OPT_ROOT_TABLE])
		return root_table_check(walk);
	walk->stack.haw = walk->unit.haw;
	if (walk->given[OPT_FIRST_STAGE])
		r = stage_make_first(walk, &walk->stack.stage[walk->stack.nr++]);
	if (r == CMD_OK && walk->given[OPT_SECOND_STAGE])
		r = stage_make_second(walk, &walk->stack.stage[walk->stack.nr++]);
	return r;
}

/* ---- walking --------------------------------------------------------------------------------- */

/* CMD_OK: answered, by an output or a fault. */
static int address_walk(struct walk *walk, uint64_t address, struct cmd_steps *steps,
			struct answer *answer)
{
	int r;

	memset(answer, 0, sizeof(*answer));
	answer->address = address;
	cmd_steps_clear(steps);
	if (walk->given[OPT_ROOT_TABLE]) {
		struct viommu_path_request req = {
			.sid = walk->sid,
			.request = VIOMMU_REQ_UNTRANSLATED,
			.pasid = walk->given[OPT_PASID] ? (uint32_t)walk->number[OPT_PASID]
							: VIOMMU_NO_PASID,
			.access = walk->access,
			.addr = address,
		};

		r = viommu_path_translate(&walk->unit, &req, VIOMMU_WALK_DRY, &steps->rec,
					  &answer->path, &answer->result);
		answer->stack = &answer->path.stack;
		answer->interrupt = answer->path.interrupt;
	} else {
		r = viommu_walk(&walk->stack, address, walk->access, VIOMMU_WALK_DRY, &steps->rec,
				&answer->result);
		answer->stack = &walk->stack;
	}
	if (r < 0)
		return cmd_error("walk", "%#" PRIx64 ": %s", address, strerror(-r));
	if (steps->failed)
		return cmd_error("walk", "no memory for the steps of a walk");
	cmd_steps_settle(steps, answer->result.reads);
	answer->ok = r == 0;
	return CMD_OK;
}

/* Would the unit write a fault record? */
static bool fault_is_recorded(const struct viommu_fault *f)
{
	enum viommu_outcome outcome = viommu_fault_outcome(f->reason, f->request);

	return !(f->flags & VIOMMU_FAULT_FPD) && viommu_fault_is_logged(f->reason, outcome);
}

/* ---- output ---------------------------------------------------------------------------------- */

static json_t *fault_json(const struct answer *answer)
{
	const struct viommu_fault *f = &answer->result.fault;
	json_t *object = json_object();

	cmd_json_set(object, "reason", json_integer(f->reason));
	cmd_json_set(object, "name", json_string(viommu_fault_name(f->reason)));
	cmd_json_set(object, "stage", json_string(cmd_stage_name(answer->stack, f->stage)));
	cmd_json_set(object, "level", json_integer(f->level));
	cmd_json_set(object, "address", cmd_json_hex(f->stage_addr));
	cmd_json_set(object, "recorded", json_boolean(fault_is_recorded(f)));
	return object;
}

static json_t *answer_json(const struct answer *answer, const struct cmd_steps *steps,
			   const struct cmd_view *view)
{
	json_t *object = json_object();
	uint64_t size = UINT64_C(1) << answer->result.page_lg2;

	cmd_json_set(object, "address", cmd_json_hex(answer->address));
	cmd_json_set(object, "ok", json_boolean(answer->ok));
	if (answer->interrupt) {
		cmd_json_set(object, "output", cmd_json_hex(answer->address));
		cmd_json_set(object, "page_size", json_integer(0));
	} else if (answer->ok) {
		cmd_json_set(object, "output", cmd_json_hex(answer->result.out));
		cmd_json_set(object, "page_size", json_integer((json_int_t)size));
	}
	cmd_json_set(object, "steps", cmd_steps_json(steps, view));
	cmd_json_set(object, "ad_changes", cmd_steps_json_changes(steps));
	if (!answer->ok)
		cmd_json_set(object, "fault", fault_json(answer));
	return object;
}

static void fault_print(const struct answer *answer, const struct cmd_colour *c)
{
	const struct viommu_fault *f = &answer->result.fault;

	printf("%s%s fault %02Xh %s: %s%s\n", c->bad, "  =>", f->reason,
	       viommu_fault_name(f->reason), viommu_fault_text(f->reason), c->off);
	printf("      ");
	if (f->stage == VIOMMU_STAGE_PATH)
		printf("root, context and PASID tables");
	else if (answer->stack->nr)
		printf("%s stage", cmd_stage_name(answer->stack, f->stage));
	else
		printf("pass-through");
	if (f->level)
		printf(", level %u", f->level);
	printf(", address %#" PRIx64, f->stage_addr);
	if (f->entry_addr)
		printf(", entry at %#" PRIx64, f->entry_addr);
	printf("%s\n", fault_is_recorded(f) ? "" : "; not recorded (FPD)");
}

static void answer_print(const struct walk *walk, const struct answer *answer,
			 const struct cmd_steps *steps, const struct cmd_view *view)
{
	const struct cmd_colour *c = &view->colour;

	printf("%s%#" PRIx64 "%s  %s%s", c->head, answer->address, c->off,
	       walk->write ? "write" : "read", walk->given[OPT_PRIVILEGED] ? ", privileged" : "");
	if (walk->given[OPT_ROOT_TABLE])
		printf(", device %02x:%02x.%x", walk->sid >> 8, walk->sid >> 3 & 0x1f,
		       walk->sid & 7);
	if (walk->given[OPT_PASID])
		printf(", PASID %#" PRIx64, walk->number[OPT_PASID]);
	printf("\n");
	cmd_steps_print(stdout, steps, view);
	if (!answer->ok)
		fault_print(answer, c);
	else if (answer->interrupt)
		printf("%s  => interrupt message%s, not translated\n", c->good, c->off);
	else if (!answer->stack->nr)
		printf("%s  => %#" PRIx64 "%s, pass-through%s\n", c->good, answer->result.out,
		       c->off, answer->result.host ? "" : "; outside the images");
	else
		printf("%s  => %#" PRIx64 "%s, %s page%s\n", c->good, answer->result.out, c->off,
		       cmd_page_name(answer->result.page_lg2),
		       answer->result.host ? "" : "; outside the images");
}

static int walk_run(struct walk *walk)
{
	struct cmd_view view = {
		.mem = walk->images.mem,
		.cap = walk->unit.cap,
		.ecap = walk->unit.ecap,
		.haw = walk->unit.haw,
		.colour = cmd_colour(stdout),
	};
	bool json = walk->given[OPT_JSON];
	struct cmd_json_list list;
	struct cmd_steps steps;
	struct answer answer;
	int r = CMD_OK;
	size_t i;

	walk->unit.mem = walk->images.mem;
	walk->stack.mem = walk->images.mem;
	cmd_steps_init(&steps);
	if (json)
		cmd_json_list_begin(&list, stdout);
	for (i = 0; i < walk->nr_addresses; i++) {
		r = address_walk(walk, walk->address[i], &steps, &answer);
		if (r)
			break;
		view.stack = answer.stack;
		view.legacy = answer.path.legacy;
		if (json) {
			cmd_json_list_add(&list, answer_json(&answer, &steps, &view));
		} else {
			if (i)
				printf("\n");
			answer_print(walk, &answer, &steps, &view);
		}
		if (ferror(stdout))
			break;
	}
	if (json)
		cmd_json_list_end(&list);
	cmd_steps_free(&steps);
	if (r == CMD_OK && (fflush(stdout) || ferror(stdout)))
		r = cmd_error("walk", "standard output: %s", strerror(errno));
	return r;
}

int cmd_walk(int argc, char **argv)
{
	struct walk walk = { 0 };
	int r;

	walk.image = calloc((size_t)argc, sizeof(*walk.image));
	if (!walk.image)
		return cmd_error("walk", "%s", strerror(errno));
	r = walk_parse(&walk, argc, argv);
	if (r == CMD_OK && walk.given[OPT_HELP]) {
		print_help();
	} else if (r == CMD_OK) {
		r = walk_check(&walk);
		if (r == CMD_OK)
			r = cmd_images_open("walk", &walk.images, walk.image, walk.nr_images);
		if (r == CMD_OK)
			r = walk_run(&walk);
		cmd_images_close(&walk.images);
	}
	free(walk.address);
	free(walk.image);
	return r;
}
