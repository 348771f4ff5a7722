/* SPDX-License-Identifier: BSD-2-Clause */
#include "child.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define MB (UINT64_C(1024) * 1024)

static _Noreturn void fail(const char *what, const char *which, const char *advice)
{
	dprintf(STDERR_FILENO, "dtlsd: %s %s: %s; %s\n", what, which, strerror(errno), advice);
	_exit(CHILD_FAILED);
}

/* What dtlsd ignores or holds back its handlers get as ever. */
static void reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* 0: none. Nobody may raise what is lower already. spare: from where it is told, if it is, to where it is stopped. */
static void set_limit(int which, uint64_t most, uint64_t spare, const char *name)
{
	struct rlimit now, limit = { most, most + spare };

	if (most == 0)
		return;
	if (getrlimit(which, &now) == 0 && now.rlim_max < limit.rlim_max)
		limit.rlim_max = now.rlim_max;
	if (limit.rlim_cur > limit.rlim_max)
		limit.rlim_cur = limit.rlim_max;
	if (setrlimit(which, &limit) < 0)
		fail("cannot set", name, "give another value");
}

static void become_user(const struct job_head *h)
{
	const gid_t group = h->gid;

	if (!h->as_user)
		return;
	if (setgroups(1, &group) < 0 || setresgid(h->gid, h->gid, h->gid) < 0 || setresuid(h->uid, h->uid, h->uid) < 0)
		fail("cannot become", "exec-user", "start dtlsd as root, or leave exec-user and exec-group out");
}

void child_signal(pid_t pid, int number)
{
	if (kill(-pid, number) < 0)
		(void)kill(pid, number); /* it has no group of its own yet */
}

_Noreturn void child_run(const struct job *j, int socket, int errors)
{
	if (dup2(errors, STDERR_FILENO) < 0 || dup2(socket, STDIN_FILENO) < 0 || dup2(socket, STDOUT_FILENO) < 0)
		_exit(CHILD_FAILED);
	setsid(); /* a group of its own, which is ended as one */
	reset_signals();
	umask((mode_t)j->head.umask);
	set_limit(RLIMIT_AS, j->head.memory_mb * MB, 0, "exec-memory");
	set_limit(RLIMIT_CPU, j->head.cpu_s, 1, "exec-cpu"); /* without SIGXCPU it would be killed, and nobody knew why */
	set_limit(RLIMIT_NOFILE, j->head.files, 0, "exec-files");
	set_limit(RLIMIT_NPROC, j->head.tasks, 0, "exec-tasks");
	become_user(&j->head);
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* what dtlsd was given, as for its ports */
	if (chdir(j->directory) < 0)
		fail("cannot enter", j->directory, "exec-directory names where its processes run: make it, or name another");
	execve(j->argv[0], j->argv, j->env);
	fail("cannot run", j->argv[0], "command names a program or script that its user may execute: see that it, and what "
	     "is in its first line, is there");
}
