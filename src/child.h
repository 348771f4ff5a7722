/* SPDX-License-Identifier: BSD-2-Clause */
/* child: what a process does between fork and exec to become what its job says. */
#ifndef DTLSD_CHILD_H
#define DTLSD_CHILD_H

#include <sys/types.h>

#include "job.h"

#define CHILD_FAILED 127 /* its exit status when the program cannot be run; why is on its standard error */

/* In the new process: socket becomes its standard input and output, errors its standard error; all else is closed by exec. */
_Noreturn void child_run(const struct job *j, int socket, int errors);
/* To it and its group. */
void child_signal(pid_t pid, int number);

#endif
