/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsbench_ledger.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int ledger_init(struct ledger *l, uint64_t room, uint64_t timeout_ns)
{
	uint64_t size = 1;

	while (size < room)
		size *= 2;
	*l = (struct ledger){ .mask = size - 1, .timeout_ns = timeout_ns };
	l->since = calloc(size, sizeof(*l->since));
	return l->since ? 0 : -ENOMEM;
}

void ledger_free(struct ledger *l)
{
	free(l->since);
	*l = (struct ledger){ .since = NULL };
}

bool ledger_full(const struct ledger *l)
{
	return l->next - l->first > l->mask;
}

uint64_t ledger_ask(struct ledger *l, uint64_t since)
{
	assert(!ledger_full(l) && since > 0);
	l->since[l->next & l->mask] = since;
	l->open++;
	return l->next++;
}

/* Moves past what is answered. */
static void settle(struct ledger *l)
{
	while (l->first < l->next && l->since[l->first & l->mask] == 0)
		l->first++;
}

uint64_t ledger_answer(struct ledger *l, uint64_t number)
{
	uint64_t since;

	if (number < l->first || number >= l->next)
		return 0;
	since = l->since[number & l->mask];
	if (since == 0)
		return 0;
	l->since[number & l->mask] = 0;
	l->open--;
	if (number == l->first)
		settle(l);
	return since;
}

static void lose_first(struct ledger *l)
{
	l->since[l->first & l->mask] = 0;
	l->open--;
	l->lost++;
	settle(l);
}

void ledger_expire(struct ledger *l, uint64_t now)
{
	while (l->first < l->next && l->since[l->first & l->mask] + l->timeout_ns <= now)
		lose_first(l);
}

void ledger_abandon(struct ledger *l)
{
	while (l->first < l->next)
		lose_first(l);
}
