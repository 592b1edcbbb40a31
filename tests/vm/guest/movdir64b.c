/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A library to preload, so that programs that use MOVDIR64B run where the processor lacks it, as
 * QEMU's TCG does. The handler of the illegal instruction stores the 64 bytes as eight words in
 * ascending order; a device that sees the stores puts them together. See movdir64b.h.
 */
#include <asm/prctl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "movdir64b.h"

#define MAX_LENGTH 15

enum {
	REX_B = 1,
	REX_X = 2,
	REX_R = 4,
};

/* An instruction being read; beyond its longest possible length all bytes are 0. */
struct reader {
	const uint8_t *code;
	unsigned int at;
};

static uint8_t next(struct reader *reader)
{
	return reader->at < MAX_LENGTH ? reader->code[reader->at++] : 0;
}

/* n bytes, sign-extended */
static int64_t next_signed(struct reader *reader, unsigned int n)
{
	uint32_t value = 0;
	unsigned int i;

	for (i = 0; i < n; i++)
		value |= (uint32_t)next(reader) << 8 * i;
	return n == 1 ? (int8_t)value : (int32_t)value;
}

struct prefixes {
	bool operand, address, repeat;
	uint8_t segment; /* the byte of FS or GS, else 0 */
	uint8_t rex;
};

/* Returns the first byte that is none. */
static uint8_t read_prefixes(struct reader *reader, struct prefixes *p)
{
	for (;;) {
		uint8_t byte = next(reader);

		if (byte >> 4 == 4) {
			p->rex = byte;
			continue;
		}
		switch (byte) {
		case 0x66:
			p->operand = true;
			break;
		case 0x67:
			p->address = true;
			break;
		case 0x64:
		case 0x65:
			p->segment = byte;
			break;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
			/* No base in 64-bit mode, and no effect on an FS or GS given before. */
			break;
		case 0xf2:
		case 0xf3:
			p->repeat = true;
			break;
		default:
			return byte;
		}
		/* Only right before the opcode does a REX count. */
		p->rex = 0;
	}
}

bool movdir64b_decode(struct movdir64b *out, const uint8_t *code,
		      const struct movdir64b_registers *registers)
{
	struct reader reader = { .code = code };
	struct prefixes p = { 0 };
	uint8_t modrm, mod, rm, reg;
	uint64_t address = 0;
	bool relative = false;
	int64_t displacement = 0;

	/* F2 and F3 in place of 66 are ENQCMD and ENQCMDS. */
	if (read_prefixes(&reader, &p) != 0x0f || !p.operand || p.repeat || next(&reader) != 0x38 ||
	    next(&reader) != 0xf8)
		return false;
	modrm = next(&reader);
	mod = modrm >> 6;
	reg = (modrm >> 3 & 7) | (p.rex & REX_R ? 8 : 0);
	rm = modrm & 7;
	if (mod == 3)
		return false;
	if (rm == 4) {
		uint8_t sib = next(&reader);
		uint8_t index = (sib >> 3 & 7) | (p.rex & REX_X ? 8 : 0);
		uint8_t base = sib & 7;

		/* Only index 4 without REX.X is none: r12 is an index like others. */
		if (index != 4)
			address = registers->r[index] << (sib >> 6);
		if (base == 5 && mod == 0)
			displacement = next_signed(&reader, 4);
		else
			address += registers->r[base | (p.rex & REX_B ? 8 : 0)];
	} else if (rm == 5 && mod == 0) {
		displacement = next_signed(&reader, 4);
		relative = true;
	} else {
		address = registers->r[rm | (p.rex & REX_B ? 8 : 0)];
	}
	if (mod == 1)
		displacement = next_signed(&reader, 1);
	else if (mod == 2)
		displacement = next_signed(&reader, 4);
	if (relative)
		address = registers->rip + reader.at;
	address += displacement;
	out->destination = registers->r[reg];
	if (p.address) {
		address = (uint32_t)address;
		out->destination = (uint32_t)out->destination;
	}
	if (p.segment == 0x64)
		address += registers->fs_base;
	else if (p.segment == 0x65)
		address += registers->gs_base;
	out->source = address;
	out->length = reader.at;
	return true;
}

/* The kernel's context has the registers in an order of its own. */
static const int context_index[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

static void on_illegal(int signal_number, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	struct movdir64b_registers registers;
	struct movdir64b found;
	volatile uint64_t *to;
	uint64_t words[8];
	int i;

	(void)info;
	for (i = 0; i < 16; i++)
		registers.r[i] = uc->uc_mcontext.gregs[context_index[i]];
	registers.rip = uc->uc_mcontext.gregs[REG_RIP];
	syscall(SYS_arch_prctl, ARCH_GET_FS, &registers.fs_base);
	syscall(SYS_arch_prctl, ARCH_GET_GS, &registers.gs_base);
	if (!movdir64b_decode(&found, (const uint8_t *)registers.rip, &registers) ||
	    found.destination % 64) {
		/* The same instruction once more, and now it ends the process. */
		signal(signal_number, SIG_DFL);
		return;
	}
	/* All 64 bytes are read before the first is stored. */
	memcpy(words, (const void *)found.source, sizeof(words));
	to = (volatile uint64_t *)found.destination;
	for (i = 0; i < 8; i++)
		to[i] = words[i];
	uc->uc_mcontext.gregs[REG_RIP] += found.length;
}

void movdir64b_install(void)
{
	struct sigaction action = {
		.sa_sigaction = on_illegal,
		/* A fault in the copy is the program's own, whose handler may use it again. */
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	sigemptyset(&action.sa_mask);
	sigaction(SIGILL, &action, NULL);
}

#ifdef MOVDIR64B_PRELOAD
static void __attribute__((constructor)) preloaded(void)
{
	movdir64b_install();
}
#endif
