/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keeper: the process that starts the processes of the handler exec, and ends them. It is dtlsd's own program, run
 * anew (spawner.h), with no keys in memory and nothing of dtlsd's open, so that a start costs the same however many
 * sessions there are, and no worker waits for it.
 *
 * It holds the far end of each process's socket as well. When dtlsd closes the near one, be it because it was
 * killed, the process reads the end of its input, gets SIGTERM when it is still there after the grace time, and
 * SIGKILL after another. When the process ends, so does its group, and the socket is shut down: dtlsd reads its end.
 * A job that is kept is started again on the same socket, after a pause that grows: what was sent meanwhile waits there.
 */
#ifndef DTLSD_KEEPER_H
#define DTLSD_KEEPER_H

/* What it is run with. All signals are blocked. */
#define KEEPER_NAME "dtlsd-keeper"
#define KEEPER_ARGUMENT "--keeper"
#define KEEPER_CHANNEL 0 /* a SOCK_SEQPACKET socket on which jobs come (job.h) */
#define KEEPER_PAGE 1    /* memory, a struct keeper_page */

/*
 * The first thing in main. Returns in all processes but in one that is run so: there it serves until the channel is
 * closed and all processes are gone.
 */
void keeper_main(int argc, char *argv[]);

#endif
