/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tests the decoder of MOVDIR64B that dsa_test is run with in a guest. The assembler makes the
 * encodings, and the processor says what their operand's address is: the same operand in a LEA,
 * with the same registers. Needs no processor that has the instruction, and none that lacks it.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/test.h"
#include "vm/guest/movdir64b.h"

/* Registers of the LEA. Not on the stack: that is not there while all are loaded. */
struct movdir64b_registers form_registers;
uint64_t form_stack;

/* What a row of the table says besides the number of the destination's register. */
#define IN_FS     0x100
#define IN_GS     0x200
#define ADDRESS32 0x400

struct form {
	const uint8_t *start, *end; /* the instruction */
	uint64_t (*lea)(void);
	uint64_t destination;
};

extern const struct form forms_start[], forms_end[];

/* clang-format off */
/*
 * The LEA's function loads all registers and restores what a function has to keep. The stack
 * pointer is a register like the others; no signal is expected meanwhile.
 */
#define LOAD_ALL \
	"push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n" \
	"mov %rsp, form_stack(%rip)\n" \
	"lea form_registers(%rip), %rax\n" \
	"mov 0x08(%rax), %rcx\n mov 0x10(%rax), %rdx\n mov 0x18(%rax), %rbx\n" \
	"mov 0x20(%rax), %rsp\n mov 0x28(%rax), %rbp\n mov 0x30(%rax), %rsi\n" \
	"mov 0x38(%rax), %rdi\n mov 0x40(%rax), %r8\n mov 0x48(%rax), %r9\n" \
	"mov 0x50(%rax), %r10\n mov 0x58(%rax), %r11\n mov 0x60(%rax), %r12\n" \
	"mov 0x68(%rax), %r13\n mov 0x70(%rax), %r14\n mov 0x78(%rax), %r15\n" \
	"mov 0x00(%rax), %rax\n"

#define RESTORE \
	"mov form_stack(%rip), %rsp\n" \
	"pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n"

#define FORM_AS(operand, lea, to, number) \
	".text\n" \
	"1: movdir64b " operand ", %" to "\n" \
	"2: nop\n" \
	"3:\n" LOAD_ALL "lea " lea ", %rax\n" RESTORE \
	".section .data.rel.ro.forms, \"aw\"\n" \
	".quad 1b, 2b, 3b, " #number "\n"

#define FORM(operand, to, number) FORM_AS(operand, operand, to, number)

#define ALL(before, after, to, number) \
	FORM(before "%rax" after, to, number) FORM(before "%rcx" after, to, number) \
	FORM(before "%rdx" after, to, number) FORM(before "%rbx" after, to, number) \
	FORM(before "%rbp" after, to, number) FORM(before "%rsi" after, to, number) \
	FORM(before "%rdi" after, to, number) FORM(before "%r8" after, to, number) \
	FORM(before "%r9" after, to, number)  FORM(before "%r10" after, to, number) \
	FORM(before "%r11" after, to, number) FORM(before "%r12" after, to, number) \
	FORM(before "%r13" after, to, number) FORM(before "%r14" after, to, number) \
	FORM(before "%r15" after, to, number)

#define SOME_32(before, after, to, number) \
	FORM(before "%eax" after, to, ADDRESS_32 + number) \
	FORM(before "%ebp" after, to, ADDRESS_32 + number) \
	FORM(before "%edi" after, to, ADDRESS_32 + number) \
	FORM(before "%r8d" after, to, ADDRESS_32 + number) \
	FORM(before "%r12d" after, to, ADDRESS_32 + number) \
	FORM(before "%r13d" after, to, ADDRESS_32 + number)

__asm__(".set ADDRESS_32, 0x400\n"
	".pushsection .data.rel.ro.forms, \"aw\"\n .balign 8\n .globl forms_start\nforms_start:\n"
	ALL("(", ")", "rax", 0)
	ALL("0x7f(", ")", "rcx", 1)
	ALL("-0x80(", ")", "rdx", 2)
	ALL("0x12345678(", ")", "rbx", 3)
	ALL("-0x7edcba98(", ")", "rsp", 4)
	ALL("(%rax, ", ")", "rbp", 5)
	ALL("(%rbp, ", ", 2)", "rsi", 6)
	ALL("(%r13, ", ", 4)", "rdi", 7)
	ALL("0x40(%rsp, ", ", 8)", "r8", 8)
	ALL("-0x12345(%r12, ", ", 8)", "r9", 9)
	ALL("0x1000(, ", ", 8)", "r10", 10)
	ALL("-1(", ", %r15, 4)", "r11", 11)
	ALL("(", ", %r12, 2)", "r12", 12)
	FORM("(%rsp)", "r13", 13)
	FORM("8(%rsp)", "r14", 14)
	FORM("-0x12345678(%rsp)", "r15", 15)
	FORM("0x12345678", "rax", 0)
	FORM("-0x12345678", "r9", 9)
	FORM("form_stack(%rip)", "rcx", 1)
	FORM("form_registers+16(%rip)", "r14", 14)
	SOME_32("(", ")", "eax", 0)
	SOME_32("-5(", ", %r15d, 8)", "r15d", 15)
	SOME_32("0x7fffffff(%esp, ", ", 4)", "ecx", 1)
	FORM_AS("%fs:(%rbx)", "(%rbx)", "rdi", 0x107)
	FORM_AS("%fs:0x28", "0x28", "r8", 0x108)
	FORM_AS("%gs:-8(%r13, %rcx, 2)", "-8(%r13, %rcx, 2)", "rax", 0x200)
	FORM_AS("%es:(%rbx)", "(%rbx)", "rdi", 7)
	".globl forms_end\nforms_end:\n .popsection\n");
/* clang-format on */

static void every_encoding_has_the_address_that_lea_has(void **state)
{
	const struct form *form;
	struct rng rng;
	unsigned int tries, i;

	(void)state;
	rng_init(&rng, "movdir64b");
	assert_true(forms_end - forms_start > 200);
	for (form = forms_start; form < forms_end; form++) {
		for (tries = 0; tries < 20; tries++) {
			struct movdir64b found = { 0 };
			uint64_t source, destination;

			for (i = 0; i < 16; i++)
				form_registers.r[i] = rng_u64(&rng);
			form_registers.rip = (uintptr_t)form->start;
			form_registers.fs_base = rng_u64(&rng);
			form_registers.gs_base = rng_u64(&rng);
			source = form->lea();
			destination = form_registers.r[form->destination & 15];
			if (form->destination & IN_FS)
				source += form_registers.fs_base;
			if (form->destination & IN_GS)
				source += form_registers.gs_base;
			if (form->destination & ADDRESS32)
				destination = (uint32_t)destination;
			if (!movdir64b_decode(&found, form->start, &form_registers))
				fail_msg("form %td is not decoded", form - forms_start);
			assert_int_equal(found.length, form->end - form->start);
			if (found.source != source || found.destination != destination)
				fail_msg("form %td: %#lx to %#lx instead of %#lx to %#lx",
					 form - forms_start, (unsigned long)found.source,
					 (unsigned long)found.destination, (unsigned long)source,
					 (unsigned long)destination);
		}
	}
}

static void other_instructions_are_left_alone(void **state)
{
	static const uint8_t others[][16] = {
		{ 0x0f, 0x0b },                         /* ud2 */
		{ 0x0f, 0x38, 0xf8, 0x00 },             /* without 66 */
		{ 0xf2, 0x0f, 0x38, 0xf8, 0x00 },       /* enqcmd */
		{ 0xf3, 0x0f, 0x38, 0xf8, 0x00 },       /* enqcmds */
		{ 0x66, 0xf2, 0x0f, 0x38, 0xf8, 0x00 }, /* enqcmd, with a 66 too many */
		{ 0x66, 0x0f, 0x38, 0xf9, 0x00 },       /* the next opcode */
		{ 0x66, 0x0f, 0x3a, 0xf8, 0x00 },       /* another map */
		{ 0x66, 0x0f, 0x38, 0xf8, 0xc1 },       /* no memory operand */
		{ 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
		  0x66, 0x66, 0x66 }, /* longer than any instruction */
	};
	struct movdir64b_registers registers = { 0 };
	struct movdir64b found;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(movdir64b_decode(&found, others[i], &registers));
}

static void a_rex_counts_only_before_the_opcode(void **state)
{
	static const uint8_t before[] = { 0x66, 0x41, 0x0f, 0x38, 0xf8, 0x08 };
	static const uint8_t early[] = { 0x41, 0x66, 0x0f, 0x38, 0xf8, 0x08 };
	struct movdir64b_registers registers = { .r = { [0] = 100, [1] = 200, [8] = 300 } };
	struct movdir64b found;

	(void)state;
	assert_true(movdir64b_decode(&found, before, &registers));
	assert_int_equal(found.source, 300);
	assert_int_equal(found.destination, 200);
	assert_true(movdir64b_decode(&found, early, &registers));
	assert_int_equal(found.source, 100);
}

static void nothing_behind_the_instruction_is_read(void **state)
{
	const size_t page = 4096;
	struct movdir64b_registers registers = { 0 };
	const struct form *form;
	struct movdir64b found;
	uint8_t *p;

	(void)state;
	p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(mprotect(p + page, page, PROT_NONE), 0);
	for (form = forms_start; form < forms_end; form++) {
		size_t length = form->end - form->start;

		memcpy(p + page - length, form->start, length);
		assert_true(movdir64b_decode(&found, p + page - length, &registers));
		assert_int_equal(found.length, length);
	}
	munmap(p, 2 * page);
}

/* By the handler or by the processor: the program sees the same. */
static void the_instruction_stores_64_bytes(void **state)
{
	static uint8_t from[128], to[192] __attribute__((aligned(64)));
	uint8_t want[192] = { 0 };
	struct rng rng;

	(void)state;
	rng_init(&rng, "stores");
	rng_fill(&rng, from, sizeof(from));
	memset(to, 0, sizeof(to));
	movdir64b_install();
	__asm__ volatile("movdir64b 3(%0,%1,4), %2"
			 :
			 : "r"(from), "r"(7UL), "r"(to + 64)
			 : "memory");
	memcpy(want + 64, from + 31, 64);
	assert_memory_equal(to, want, sizeof(to));
	signal(SIGILL, SIG_DFL);
}

static void another_illegal_instruction_still_kills(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		movdir64b_install();
		__asm__ volatile("ud2");
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGILL);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(every_encoding_has_the_address_that_lea_has),
	cmocka_unit_test(other_instructions_are_left_alone),
	cmocka_unit_test(a_rex_counts_only_before_the_opcode),
	cmocka_unit_test(nothing_behind_the_instruction_is_read),
	cmocka_unit_test(the_instruction_stores_64_bytes),
	cmocka_unit_test(another_illegal_instruction_still_kills),
};
TEST_MAIN(tests)
