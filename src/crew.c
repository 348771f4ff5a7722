/* SPDX-License-Identifier: BSD-2-Clause */
#include "crew.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "ratelimit.h"
#include "spawner.h"

struct crew {
	atomic_uint refs;
	pthread_mutex_t lock;
	uint32_t most;
	struct ratelimit rate;
	atomic_uint group; /* 0: nothing was started yet */
};

struct crew *crew_new(void)
{
	struct crew *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	atomic_init(&c->refs, 1);
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

struct crew *crew_ref(struct crew *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void crew_unref(struct crew *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (c->group)
		spawner_leave_group(c->group);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void crew_set_limits(struct crew *c, uint32_t processes, uint32_t rate)
{
	pthread_mutex_lock(&c->lock);
	c->most = processes;
	if (c->rate.rate != rate)
		ratelimit_init(&c->rate, rate, rate, 0);
	pthread_mutex_unlock(&c->lock);
}

enum crew_verdict crew_admit(struct crew *c, uint64_t now_ms)
{
	enum crew_verdict v = CREW_OK;

	pthread_mutex_lock(&c->lock);
	if (!c->group)
		c->group = spawner_group();
	if (!spawner_take_place(c->group, c->most))
		v = CREW_FULL;
	else if (!ratelimit_take(&c->rate, now_ms))
		v = CREW_RATE;
	pthread_mutex_unlock(&c->lock);
	if (v == CREW_RATE)
		crew_give_back(c);
	return v;
}

void crew_give_back(struct crew *c)
{
	spawner_give_place(c->group);
}

unsigned crew_group(const struct crew *c)
{
	return c->group;
}
