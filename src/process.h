/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process: what makes a daemon of a process: standard streams, the background, the PID file. Main thread.
 */
#ifndef DTLSD_PROCESS_H
#define DTLSD_PROCESS_H

#include <stdbool.h>

/* Whoever starts us with closed standard streams must not find a socket or the log of another in their place. */
void process_fill_streams(void);

/*
 * Goes into the background; the parent stays until process_leave_terminal, and then ends with status 0, or with 1 when
 * the child is gone before. What process_leave_terminal wants; does not return when it fails.
 */
int process_background(void);
/* We serve: the parent may go. Standard streams are /dev/null from now on. -1: not in the background, no-op. */
void process_leave_terminal(int ready_fd);

/* The file, open and locked, -1: it cannot be written or another process has it, which is in the log. */
int process_write_pid(const char *path);
void process_remove_pid(const char *path, int fd);

/*
 * Memory that was freed goes back to the system. Before the first thread. The limit from which free gives back the end
 * of an arena grows with the largest block that was ever freed, unless it is set.
 */
void process_limit_heaps(void);

/* As many open files as we may have; how many that are. */
unsigned process_raise_files(void);

#endif
