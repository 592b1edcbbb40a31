/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Giving up what serving does not need. Everything is undone for the calling thread and those that
 * it starts later; so the workers, which begin with the first client, have nothing either.
 */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <viommu-server/server.h>

#include "base/bits.h"

/* "1000:1000"; false: it is not of that form. */
static bool parse_numbers(const char *text, uid_t *uid, gid_t *gid)
{
	unsigned long long u, g;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	u = strtoull(text, &end, 10);
	if (*end != ':' || end[1] < '0' || end[1] > '9')
		return false;
	g = strtoull(end + 1, &end, 10);
	/* All ones means "leave it" to the system calls. */
	if (*end || errno || u >= UINT32_MAX || g >= UINT32_MAX)
		return false;
	*uid = (uid_t)u;
	*gid = (gid_t)g;
	return true;
}

static int find_user(const char *user, uid_t *uid, gid_t *gid)
{
	struct passwd pw, *found;
	char buf[4096];
	int err;

	if (parse_numbers(user, uid, gid))
		return 0;
	err = getpwnam_r(user, &pw, buf, sizeof(buf), &found);
	if (err)
		return -err;
	if (!found)
		return -ENOENT;
	*uid = found->pw_uid;
	*gid = found->pw_gid;
	return 0;
}

static int become(const char *user)
{
	uid_t uid;
	gid_t gid;
	int err;

	err = find_user(user, &uid, &gid);
	if (err)
		return err;
	if (!uid)
		return -EINVAL;
	/* Groups first: afterwards it is not allowed any more. */
	if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return -errno;
	/* That it really can't go back. */
	return setuid(0) == 0 ? -EPERM : 0;
}

/* To give them up is always allowed. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	return syscall(SYS_capset, &header, none) ? -errno : 0;
}

int viommu_server_drop_privileges(const char *user)
{
	struct rlimit no_core = { 0, 0 };
	int err = 0;

	if (user)
		err = become(user);
	if (!err)
		err = drop_capabilities();
	if (err)
		return err;
	/* A guest's memory does not end in a file, and nobody of the same user reads it here. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ||
	    setrlimit(RLIMIT_CORE, &no_core))
		return -errno;
	return 0;
}
