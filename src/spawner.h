/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spawner: dtlsd's side of its keeper (keeper.h). One a process. All functions but spawner_start, spawner_group and
 * what goes with a group are the main thread's.
 */
#ifndef DTLSD_SPAWNER_H
#define DTLSD_SPAWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "job.h"
#include "metrics.h"

/* Before there is any thread or secret. quiet: the keeper gives up the standard streams. 0 or -errno. */
int spawner_begin(bool quiet);
/* Readable: spawner_read has something to do. -1: there is no keeper. */
int spawner_fd(void);
/* Logs what the keeper has to say. false: it is gone, for ever. */
bool spawner_read(void);
/* Tells it that all is to be over by then and waits for that, but not much longer. All sockets of processes are closed. */
void spawner_end(uint32_t most_ms);
void spawner_add_counts(struct metrics *sum);

/*
 * Starts what head, fixed and more say together (job.h), with that socket, which stays the caller's. A process of a
 * group is counted from here on. Thread-safe. 0; -EAGAIN: the keeper has more to do than it can take; -ENOTCONN: it is gone;
 * -E2BIG; -errno.
 */
struct spawner_text {
	const char *text;
	size_t len;
};
int spawner_start(const struct job_head *head, struct spawner_text fixed, struct spawner_text more, int socket);

/* A count of processes. Thread-safe. 0: there is none left; it has no place for any. */
unsigned spawner_group(void);
void spawner_leave_group(unsigned group); /* processes in it may live on */
unsigned spawner_live(unsigned group);
/* One more, unless there are that many. */
bool spawner_take_place(unsigned group, unsigned most);
void spawner_give_place(unsigned group); /* instead of spawner_start */

#endif
