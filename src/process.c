/* SPDX-License-Identifier: BSD-2-Clause */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define HEAP_END_MOST (512 * 1024) /* free bytes at the end of an arena: what a burst of handshakes needs again */

void process_limit_heaps(void)
{
	mallopt(M_TRIM_THRESHOLD, HEAP_END_MOST);
	/*
	 * Where another allocator stands in for glibc's, as a sanitizer's does, its first call sets glibc's own up: two
	 * workers that were the first at once would be counted as one, and the process aborted when they end.
	 */
	malloc_trim(0);
}

void process_fill_streams(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

int process_background(void)
{
	int ends[2], status = 1;
	unsigned char byte;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		log_error("cannot go into the background: %s", strerror(errno));
		exit(1);
	}
	if (pid > 0) {
		close(ends[1]);
		if (read(ends[0], &byte, 1) == 1)
			status = byte;
		_exit(status);
	}
	close(ends[0]);
	setsid();
	return ends[1];
}

/* Files keep their names for a reload, so the working directory stays too. */
void process_leave_terminal(int ready_fd)
{
	static const unsigned char ready = 0;
	int null;

	if (ready_fd < 0)
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	if (write(ready_fd, &ready, 1) != 1)
		log_warning("whoever started dtlsd is gone: %s", strerror(errno));
	close(ready_fd);
}

/* Is what is open and locked still what has that name? The dtlsd before us may just have removed it. */
static bool same_file(int fd, const char *path)
{
	struct stat ours, named;

	return fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_dev == named.st_dev &&
	       ours.st_ino == named.st_ino;
}

int process_write_pid(const char *path)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	int fd;

again:
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0) {
		log_error("PID file %s: %s; name a file in a directory that dtlsd may write", path, strerror(errno));
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		log_error("PID file %s: locked by another dtlsd that is running; stop it or name another file", path);
		close(fd);
		return -1;
	}
	if (!same_file(fd, path)) {
		close(fd);
		goto again;
	}
	if (ftruncate(fd, 0) < 0 || write(fd, text, (size_t)n) != n) {
		log_error("PID file %s: cannot write: %s; is the disk full?", path, strerror(errno));
		process_remove_pid(path, fd);
		return -1;
	}
	return fd;
}

void process_remove_pid(const char *path, int fd)
{
	unlink(path);
	close(fd);
}

unsigned process_raise_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
		(void)getrlimit(RLIMIT_NOFILE, &limit);
	}
	return limit.rlim_cur > UINT_MAX ? UINT_MAX : (unsigned)limit.rlim_cur;
}
