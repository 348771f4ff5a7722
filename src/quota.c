/* SPDX-License-Identifier: BSD-2-Clause */
#include "quota.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "ratelimit.h"

struct part {
	_Atomic uint32_t taken, most;
};

struct quota {
	struct part sessions, handshakes;
	_Atomic uint32_t rate;
	pthread_mutex_t mutex; /* of bucket */
	struct ratelimit bucket;
};

static uint32_t most(uint32_t limit)
{
	return limit ? limit : UINT32_MAX;
}

void quota_set_limits(struct quota *q, const struct quota_limits *l)
{
	atomic_store_explicit(&q->sessions.most, most(l->sessions), memory_order_relaxed);
	atomic_store_explicit(&q->handshakes.most, most(l->handshakes), memory_order_relaxed);
	atomic_store_explicit(&q->rate, l->handshake_rate, memory_order_relaxed);
}

struct quota *quota_new(const struct quota_limits *l)
{
	struct quota *q = calloc(1, sizeof(*q));

	if (!q || pthread_mutex_init(&q->mutex, NULL) != 0) {
		free(q);
		return NULL;
	}
	quota_set_limits(q, l);
	return q;
}

void quota_free(struct quota *q)
{
	if (!q)
		return;
	assert(atomic_load(&q->sessions.taken) == 0 && atomic_load(&q->handshakes.taken) == 0);
	pthread_mutex_destroy(&q->mutex);
	free(q);
}

static bool take(struct part *p)
{
	uint32_t limit = atomic_load_explicit(&p->most, memory_order_relaxed);
	uint32_t old = atomic_load_explicit(&p->taken, memory_order_relaxed);

	do {
		if (old >= limit)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&p->taken, &old, old + 1, memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

static void give(struct part *p)
{
	uint32_t old = atomic_fetch_sub_explicit(&p->taken, 1, memory_order_relaxed);

	assert(old > 0);
	(void)old;
}

enum quota_verdict quota_admit(struct quota *q, bool session_already)
{
	if (!take(&q->handshakes))
		return QUOTA_HANDSHAKES;
	if (session_already || take(&q->sessions))
		return QUOTA_OK;
	give(&q->handshakes);
	return QUOTA_SESSIONS;
}

void quota_handshake_over(struct quota *q)
{
	give(&q->handshakes);
}

void quota_leave(struct quota *q)
{
	give(&q->sessions);
}

uint32_t quota_sessions(const struct quota *q)
{
	return atomic_load_explicit(&q->sessions.taken, memory_order_relaxed);
}

bool quota_rate(struct quota *q, uint64_t now_ms)
{
	uint32_t rate = atomic_load_explicit(&q->rate, memory_order_relaxed);
	bool ok;

	if (rate == 0)
		return true;
	pthread_mutex_lock(&q->mutex);
	if (q->bucket.rate != rate)
		ratelimit_init(&q->bucket, rate, rate, now_ms);
	ok = ratelimit_take(&q->bucket, now_ms);
	pthread_mutex_unlock(&q->mutex);
	return ok;
}
