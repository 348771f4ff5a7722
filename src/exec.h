/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exec: what the handler exec runs for a service or one of its routes, and the socket of the process where one serves
 * all sessions. Immutable but for that socket, counted, thread-safe. With the last reference the process loses
 * its input, and ends.
 */
#ifndef DTLSD_EXEC_H
#define DTLSD_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crew.h"

struct exec;

/* As in the configuration (setting.c); texts may be NULL. */
struct exec_options {
	const char *service;
	const char *command, *environment, *directory, *umask, *user, *group;
	uint32_t memory_mb, cpu_s, files, tasks, grace_s;
	bool shared;        /* one process for all sessions, not one for each */
	const char *dashes; /* before the names of settings in err */
};

/* Looks all of it up. Takes a reference to crew. NULL: err says what is wrong, and what to do. */
struct exec *exec_new(const struct exec_options *o, struct crew *crew, char *err, size_t err_size);
struct exec *exec_ref(struct exec *x);
void exec_unref(struct exec *x); /* NULL is fine */
/* Whoever has the one can go on with it instead of the other. */
bool exec_same(const struct exec *a, const struct exec *b);
bool exec_shared(const struct exec *x);

/*
 * A process for one session, with that environment more (texts, each with a NUL; count of them). The near end of its
 * socket, or as crew_start.
 */
int exec_start(struct exec *x, struct spawner_text environment, unsigned count, uint64_t now_ms);

/*
 * The process for all sessions; it is started when there is none. 0, or as exec_start. *number: of its socket, among
 * all that there ever were; another one later: that one was shut down.
 */
int exec_channel(struct exec *x, uint64_t now_ms, uint64_t *number);
/* A copy of the socket of that number, the caller's. -ESTALE: it is another one by now; -EMFILE, -ENFILE. */
int exec_copy_channel(struct exec *x, uint64_t number);
/* True for the first worker that asks: it is the one that reads the channel of that number. */
bool exec_claim(struct exec *x, uint64_t number);

#endif
