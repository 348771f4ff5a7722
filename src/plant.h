/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plant: what serves, by a configuration: services, their listeners, the workers, the limits; and how it changes over to
 * another one, all of it or nothing. The main thread's.
 */
#ifndef DTLSD_PLANT_H
#define DTLSD_PLANT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "census.h"
#include "conf.h"
#include "listeners.h"
#include "services.h"
#include "upstream.h"
#include "watch.h"
#include "worker.h"

struct plant {
	struct conf *conf;  /* in force */
	struct conf *first; /* of the start, kept until the end */
	struct services services;
	struct listeners *listeners;
	struct census *census;
	unsigned files;     /* that may be open */
	struct upstream_limit upstreams;
	unsigned worker_count;
	struct worker **workers;
	atomic_uint settling; /* changes that have not had all their effects yet, of all workers */
};

/* By its first configuration, with room for the workers. false: out of memory, which is in the log. */
bool plant_init(struct plant *p);

/* All that a change needs, made before anything is changed. */
struct change {
	struct conf *conf;
	struct services services;
	struct watch *watch; /* of its files, NULL: none */
	int service[LISTENERS_MOST]; /* by listener, its place in services; -1: none */
	struct worker_change *of_worker[CONF_WORKERS_MOST];
};

/* By conf. false: nothing is changed, and the log says why. */
bool plant_prepare(const struct plant *p, struct change *c, const struct watch_config *watch);
/* With services that were made. false: nothing is changed, they are gone, and the log says why. */
bool plant_plan(const struct plant *p, struct change *c);
/* One of these follows. A change that is committed has given away all but its watch. */
void plant_undo(const struct plant *p, struct change *c);
void plant_commit(struct plant *p, struct change *c); /* cannot fail */

#endif
