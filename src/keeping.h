/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keeping: sees that there is a keeper (spawner.h) from when a service first needs one, and that another comes when it
 * was killed: after a pause that grows while they do not last. Then their processes are gone, and with them their
 * sessions. The main thread's.
 */
#ifndef DTLSD_KEEPING_H
#define DTLSD_KEEPING_H

#include <stdbool.h>
#include <stdint.h>

#include <ev.h>

#include "services.h"

struct keeping {
	struct ev_loop *loop;
	const struct services *services; /* that are in force */
	bool quiet;
	ev_io said;
	ev_child ended;
	ev_timer again;
	uint64_t since, pause; /* ms */
};

/* loop is the default loop; quiet: standard error is not to be kept open. */
void keeping_init(struct keeping *k, struct ev_loop *loop, const struct services *services, bool quiet);
/* There is a keeper if those services, which may come into force, need one. false: it cannot be; it is in the log. */
bool keeping_provide(struct keeping *k, const struct services *services);

#endif
