/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spawner: dtlsd's side of its keeper (keeper.h). One a process. All functions but spawner_start, spawner_group and
 * what goes with a group are the main thread's. Without a keeper no process is started, and that is all.
 */
#ifndef DTLSD_SPAWNER_H
#define DTLSD_SPAWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "job.h"
#include "metrics.h"

/*
 * Runs a keeper, where there is none, from /proc/self/exe; main begins with keeper_main. quiet: it gives up standard
 * error. 0 or -errno; -ENOENT: /proc is not mounted.
 */
int spawner_begin(bool quiet);
/* Readable: spawner_read has something to do. -1: there is no keeper. */
int spawner_fd(void);
pid_t spawner_pid(void);
/* Logs what the keeper has to say. false: that was all, it is about to be gone. */
bool spawner_read(void);
/* The log takes other levels now. */
void spawner_follow_log(void);
/* It is gone, and was waited for: what it had started is killed. */
void spawner_lost(void);
/* Tells it that all is to be over by then and waits for that, but not much longer. All sockets of processes are closed. */
void spawner_end(uint32_t most_ms);
void spawner_add_counts(struct metrics *sum);

struct spawner_text {
	const char *text;
	size_t len;
};

/*
 * Starts what head, fixed and more say together (job.h), with that socket, which stays the caller's. The process is
 * counted from here on. Thread-safe. 0; -EAGAIN: the keeper has more to do than it can take; -ENOTCONN: there is none;
 * -E2BIG; -errno.
 */
int spawner_start(const struct job_head *head, struct spawner_text fixed, struct spawner_text more, int socket);

/* A count of processes. Thread-safe. 0: there is none left. */
unsigned spawner_group(void);
void spawner_leave_group(unsigned group); /* processes in it may live on */
unsigned spawner_live(unsigned group);

#endif
