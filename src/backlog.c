/* SPDX-License-Identifier: BSD-2-Clause */
#include "backlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int backlog_init(struct backlog *b, const struct siphash_key *key)
{
	b->first = NULL;
	b->last = &b->first;
	b->table = table_new(key);
	return b->table ? 0 : -ENOMEM;
}

void backlog_destroy(struct backlog *b)
{
	struct backlog_entry *e;

	if (!b->table)
		return;
	while ((e = backlog_take(b)))
		free(e);
	table_free(b->table);
	b->table = NULL;
}

enum backlog_verdict backlog_add(struct backlog *b, const struct datagram *d)
{
	struct backlog_entry *e;

	if (table_find(b->table, &d->flow))
		return BACKLOG_REPEATED;
	if (table_count(b->table) == BACKLOG_MOST)
		return BACKLOG_FULL;
	e = malloc(sizeof(*e) + d->len);
	if (!e)
		return BACKLOG_FULL;
	e->next = NULL;
	e->datagram = *d;
	e->datagram.data = (uint8_t *)(e + 1);
	memcpy(e->datagram.data, d->data, d->len);
	e->node.flow = d->flow;
	table_insert(b->table, &e->node);
	*b->last = e;
	b->last = &e->next;
	return BACKLOG_TAKEN;
}

struct backlog_entry *backlog_take(struct backlog *b)
{
	struct backlog_entry *e = b->first;

	if (!e)
		return NULL;
	b->first = e->next;
	if (!b->first)
		b->last = &b->first;
	table_remove(b->table, &e->node);
	return e;
}
