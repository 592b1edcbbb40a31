/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Assertions: a false one aborts and says where; a true one does nothing.
 */
#include "base/assert.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/test.h"

static void true_assertion_does_nothing(void **state)
{
	int evaluated = 0;

	(void)state;
	VIOMMU_ASSERT(++evaluated == 1);
	assert_int_equal(evaluated, 1);
}

static void false_assertion_aborts_and_says_where(void **state)
{
	char text[512] = "";
	int fds[2], status, line;
	size_t used = 0;
	ssize_t n;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	fflush(stdout);
	line = __LINE__ + 6;
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(fds[1], STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		VIOMMU_ASSERT(line == -1);
		_exit(0);
	}
	close(fds[1]);
	while ((n = read(fds[0], text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)n;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_non_null(strstr(text, "assert.c:"));
	assert_non_null(strstr(text, "line == -1"));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(true_assertion_does_nothing),
	cmocka_unit_test(false_assertion_aborts_and_says_where),
};
TEST_MAIN(tests)
