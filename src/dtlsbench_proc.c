/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsbench_proc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t proc_cpu_ns(pid_t pid)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t))
		return 0;
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* In stat utime, stime, cutime and cstime follow the name, which may hold anything, and eleven other fields. */
static uint64_t waited_for_ns(pid_t pid)
{
	static const char format[] = "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu";
	unsigned long user = 0, system = 0;
	char path[40], line[1024];
	const char *behind = NULL;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fgets(line, sizeof(line), f))
		behind = strrchr(line, ')');
	fclose(f);
	if (!behind || sscanf(behind + 1, format, &user, &system) != 2)
		return 0;
	return (user + system) * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

uint64_t proc_children_cpu_ns(pid_t pid)
{
	uint64_t sum = waited_for_ns(pid);
	char path[60];
	int child;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	f = fopen(path, "re");
	if (!f)
		return sum;
	while (fscanf(f, "%d", &child) == 1)
		sum += proc_cpu_ns(child);
	fclose(f);
	return sum;
}

int64_t proc_rss(pid_t pid)
{
	char path[40], line[200];
	int64_t kb = -ENODATA;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (kb < 0 && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "VmRSS:", 6) == 0)
			kb = strtol(line + 6, NULL, 10);
	}
	fclose(f);
	return kb < 0 ? kb : kb * 1024;
}
