/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * listeners: the addresses that the process serves, and their sockets: for each address one socket a worker and,
 * where the kernel takes the program that chooses (steer), as many for hellos; a service that connects gets none, and a unix socket is one worker's. An address keeps its number from
 * the time it is opened until the last worker has left it. The main thread's, but for listeners_left.
 */
#ifndef DTLSD_LISTENERS_H
#define DTLSD_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>

#include "conf.h"
#include "datagram.h"
#include "worker.h"

struct listeners;

struct listeners *listeners_new(unsigned workers, bool hello_lane); /* NULL: out of memory */
void listeners_free(struct listeners *l); /* closes all; after the workers have ended */

/*
 * Which number each address of a configuration has; those that are new are opened. service: by number, the index of
 * the service in c, -1 for none. 0, or -errno with err saying what is wrong and what to do; nothing is changed then.
 */
int listeners_plan(struct listeners *l, const struct conf *c, int service[static LISTENERS_MOST], char *err,
		   size_t err_size);
/* Whether this machine has the addresses of c, without opening a port. 0, or -errno with err as above. */
int listeners_check(const struct conf *c, char *err, size_t err_size);
void listeners_undo(struct listeners *l);   /* closes what the plan opened */
void listeners_commit(struct listeners *l); /* or keeps it, and takes away what was not in it */

/* The sockets of what the plan opened, for one worker. */
void listeners_sockets(const struct listeners *l, unsigned worker, struct worker_settings *s);
/* The address that is served under that number; returns buf. */
const char *listeners_text(const struct listeners *l, unsigned number, char buf[static CONF_LISTENER_TEXT]);

/* A worker does not use it any more. Thread-safe. */
void listeners_left(struct listeners *l, unsigned number);
/* Closes what all workers have left. */
void listeners_reap(struct listeners *l);

#endif
