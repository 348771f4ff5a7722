/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keeper: the process that starts the processes of the handler exec, and ends them. It is forked from dtlsd at the
 * very beginning, with nothing open and no keys in memory, so that a start costs the same however many sessions
 * there are, and no worker waits for it.
 *
 * It holds the far end of each process's socket as well. When dtlsd closes the near one, be it because it was
 * killed, the process reads the end of its input, gets SIGTERM when it is still there after the grace time, and
 * SIGKILL after another. When the process ends, so does its group, and the socket is shut down: dtlsd reads its end.
 * A job that is kept is started again on the same socket, after a pause that grows: what was sent meanwhile waits there.
 */
#ifndef DTLSD_KEEPER_H
#define DTLSD_KEEPER_H

#include "job.h"

/*
 * Serves until channel, a SOCK_SEQPACKET socket on which jobs come, is closed and all processes are gone. Its
 * standard streams are left as they are; all other descriptors are closed first.
 */
_Noreturn void keeper_run(int channel, struct keeper_page *page);

#endif
