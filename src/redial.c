/* SPDX-License-Identifier: BSD-2-Clause */
#include "redial.h"

/* NULL: it has not failed. */
static struct redial_server *find(struct redial *r, const struct addr *a)
{
	for (unsigned i = 0; i < REDIAL_SERVERS; i++)
		if (r->server[i].addr.family && addr_equal(&r->server[i].addr, a))
			return &r->server[i];
	return NULL;
}

/* A free place, or that of the one which may be tried first. */
static struct redial_server *find_room(struct redial *r)
{
	struct redial_server *best = &r->server[0];

	for (unsigned i = 0; i < REDIAL_SERVERS; i++) {
		if (!r->server[i].addr.family)
			return &r->server[i];
		if (r->server[i].due < best->due)
			best = &r->server[i];
	}
	return best;
}

static uint64_t wait_of(uint32_t failures)
{
	uint64_t wait = REDIAL_FIRST_MS;

	while (--failures > 0 && wait < REDIAL_MOST_MS)
		wait *= 2;
	return wait < REDIAL_MOST_MS ? wait : REDIAL_MOST_MS;
}

bool redial_may(struct redial *r, const struct addr *a, uint64_t now_ms)
{
	struct redial_server *s = find(r, a);

	if (!s)
		return true;
	if (now_ms < s->due)
		return false;
	s->due = now_ms + wait_of(s->failures);
	return true;
}

void redial_failed(struct redial *r, const struct addr *a, uint64_t began_ms, uint64_t now_ms, uint32_t chance)
{
	struct redial_server *s = find(r, a);
	uint64_t wait;

	if (!s) {
		s = find_room(r);
		*s = (struct redial_server){ .addr = *a };
	}
	if (s->failures > 0 && began_ms <= s->failed_at)
		return;
	s->failures++;
	s->failed_at = now_ms;
	wait = wait_of(s->failures);
	s->due = now_ms + wait - chance % (wait / 4 + 1);
}

bool redial_succeeded(struct redial *r, const struct addr *a)
{
	struct redial_server *s = find(r, a);

	if (s)
		*s = (struct redial_server){ .failures = 0 };
	return s != NULL;
}
