/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsbench_proc: what the system knows of a process: the server's, and our own.
 */
#ifndef DTLSD_DTLSBENCH_PROC_H
#define DTLSD_DTLSBENCH_PROC_H

#include <stdint.h>
#include <sys/types.h>

/*
 * User and system time of all its threads, in ns; 0 for a process that is not there. Exact only while it sleeps: the
 * kernel brings a running thread's account up to date at its timer tick.
 */
uint64_t proc_cpu_ns(pid_t pid);
/*
 * The same of the children that its first thread has made, those that run and those that have ended and been waited
 * for; of the latter in ticks of the system's clock only.
 */
uint64_t proc_children_cpu_ns(pid_t pid);
/* Resident memory in bytes (VmRSS); -errno. */
int64_t proc_rss(pid_t pid);

#endif
