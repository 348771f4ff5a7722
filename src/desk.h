/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * desk: a worker's end of a process that serves all sessions of a service (exec.h), and its sessions there. All
 * workers write to the process; one of them reads for all, and hands on what is for the sessions of others. Each datagram
 * says whose it is (parcel.h).
 */
#ifndef DTLSD_DESK_H
#define DTLSD_DESK_H

#include <stddef.h>
#include <stdint.h>

#include "env.h"
#include "exec.h"
#include "session.h"

struct desk;
struct member; /* a session at its desk */

/* The process is told of the session. 0, or as exec_channel and upstream_adopt; -ENOMEM, -EMFILE. */
int desk_join(struct exec *x, struct session *s, struct member **out);
/* Tells the process that the session is over. The last one closes the desk, but for that of who reads. */
void desk_leave(struct member *m);
void desk_record(struct member *m, const uint8_t *data, size_t len);

/* All sessions have left. */
void desks_clear(struct env *env);

#endif
