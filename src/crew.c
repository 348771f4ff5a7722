/* SPDX-License-Identifier: BSD-2-Clause */
#include "crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ratelimit.h"

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

unsigned crew_live(struct crew *c)
{
	return c->group ? spawner_live(c->group) : 0;
}

/* With a new socket, whose near end, or -errno. */
static int start(const struct job_head *job, struct spawner_text fixed, struct spawner_text more)
{
	int ends[2], err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	err = spawner_start(job, fixed, more, ends[1]);
	close(ends[1]);
	if (err == 0)
		return ends[0];
	close(ends[0]);
	return err;
}

int crew_start(struct crew *c, const struct job_head *job, struct spawner_text fixed, struct spawner_text more,
	       uint64_t now_ms)
{
	struct job_head head = *job;
	int fd;

	pthread_mutex_lock(&c->lock); /* two workers may not both take the last place */
	if (!c->group)
		c->group = spawner_group();
	head.group = c->group;
	if (!c->group || crew_live(c) >= c->most)
		fd = -EDQUOT;
	else if (!ratelimit_take(&c->rate, now_ms))
		fd = -EBUSY;
	else
		fd = start(&head, fixed, more);
	pthread_mutex_unlock(&c->lock);
	return fd;
}
