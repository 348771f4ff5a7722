/* SPDX-License-Identifier: BSD-2-Clause */
#include "plant.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "process.h"
#include "watched.h"

#define FILES_KEPT 64
#define FILES_KEPT_PER_WORKER 16

/* ---- changes ---- */

static void make_settings(const struct plant *p, const struct change *c, unsigned worker, struct worker_settings *s)
{
	uint32_t rate = c->conf->handshake_rate;

	s->engine.handshake_rate = rate ? rate / p->worker_count + 1 : 0;
	s->engine.handshake_steps_per_turn = c->conf->handshake_steps_per_turn;
	for (unsigned i = 0; i < LISTENERS_MOST; i++)
		s->engine.services[i] = c->service[i] < 0 ? NULL : c->services.service[c->service[i]];
	listeners_sockets(p->listeners, worker, s);
}

static bool prepare_workers(const struct plant *p, struct change *c)
{
	static struct worker_settings s;

	for (unsigned i = 0; i < p->worker_count; i++) {
		make_settings(p, c, i, &s);
		c->of_worker[i] = worker_prepare(&s);
		if (!c->of_worker[i]) {
			log_error("out of memory");
			return false;
		}
	}
	return true;
}

void plant_undo(const struct plant *p, struct change *c)
{
	for (unsigned i = 0; i < p->worker_count; i++)
		worker_forget(c->of_worker[i]);
	listeners_undo(p->listeners);
	services_clear(&c->services);
}

bool plant_plan(const struct plant *p, struct change *c)
{
	char err[600];

	memset(c->of_worker, 0, sizeof(c->of_worker));
	if (listeners_plan(p->listeners, c->conf, c->service, err, sizeof(err)) < 0) {
		log_error("%s", err);
		services_clear(&c->services);
		return false;
	}
	if (prepare_workers(p, c))
		return true;
	plant_undo(p, c);
	return false;
}

bool plant_prepare(const struct plant *p, struct change *c, const struct watch_config *watch)
{
	/* before the files are read, so that no change is missed */
	c->watch = c->conf->watch_files == 0 ? watched_files(c->conf, watch) : NULL;
	if (c->conf->watch_files == 0 && !c->watch)
		log_error("out of memory");
	else if (services_make(&c->services, c->conf, &p->services) && plant_plan(p, c))
		return true;
	watch_free(c->watch);
	return false;
}

static struct census_limits limits_of(const struct conf *c)
{
	return (struct census_limits){
		.sessions = c->max_sessions,
		.handshakes = c->max_handshakes,
		.sessions_per_address = c->max_sessions_per_address,
		.ipv6_prefix = c->ipv6_prefix,
		.handshakes_per_address = c->max_handshakes_per_address,
	};
}

/* Of all open files some stay for what else needs them: loops, listeners that come, a reload. */
static unsigned most_upstreams(const struct plant *p, const struct conf *c)
{
	unsigned others = FILES_KEPT + FILES_KEPT_PER_WORKER * p->worker_count;
	unsigned most = p->files > 2 * others ? p->files - others : p->files / 2;

	return c->forward_sockets && c->forward_sockets < most ? c->forward_sockets : most;
}

void plant_commit(struct plant *p, struct change *c)
{
	struct census_limits limits = limits_of(c->conf);

	services_say_ends(&p->services, &c->services);
	services_limit(&c->services, c->conf); /* before a worker has them: a new one may start no process until then */
	atomic_fetch_add(&p->settling, p->worker_count);
	for (unsigned i = 0; i < p->worker_count; i++)
		worker_apply(p->workers[i], c->of_worker[i]);
	listeners_commit(p->listeners);
	census_set_limits(p->census, &limits);
	atomic_store(&p->upstreams.most, most_upstreams(p, c->conf));
	services_start(&c->services);
	services_clear(&p->services);
	p->services = c->services;
	if (p->conf != p->first && p->conf != c->conf)
		conf_free(p->conf);
	p->conf = c->conf;
}

/* ---- beginning ---- */

static unsigned processors(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		return (unsigned)CPU_COUNT(&set);
	return 1;
}

bool plant_init(struct plant *p)
{
	struct census_limits limits = limits_of(p->conf);

	p->worker_count = p->conf->workers ? p->conf->workers : processors();
	if (p->worker_count > CONF_WORKERS_MOST)
		p->worker_count = CONF_WORKERS_MOST;
	p->files = process_raise_files();
	p->workers = calloc(p->worker_count, sizeof(struct worker *));
	p->census = census_new(&limits);
	p->listeners = listeners_new(p->worker_count, p->conf->hello_lane == 0);
	if (p->workers && p->census && p->listeners)
		return true;
	log_error("out of memory");
	return false;
}
