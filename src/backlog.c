/* SPDX-License-Identifier: BSD-2-Clause */
#include "backlog.h"

#include <stdlib.h>
#include <string.h>

void backlog_init(struct backlog *b)
{
	b->first = NULL;
	b->last = &b->first;
	b->count = 0;
}

void backlog_clear(struct backlog *b)
{
	struct backlog_entry *e;

	while ((e = backlog_take(b)))
		free(e);
}

static struct backlog_entry *entry_new(const struct datagram *d)
{
	struct backlog_entry *e = malloc(sizeof(*e) + d->len);

	if (!e)
		return NULL;
	e->next = NULL;
	e->datagram = *d;
	e->datagram.data = (uint8_t *)(e + 1);
	memcpy(e->datagram.data, d->data, d->len);
	return e;
}

enum backlog_verdict backlog_add(struct backlog *b, const struct datagram *d)
{
	struct backlog_entry **at = &b->first, *e;

	while (*at && !flow_equal(&(*at)->datagram.flow, &d->flow))
		at = &(*at)->next;
	if (!*at && b->count == BACKLOG_MOST)
		return BACKLOG_FULL;
	e = entry_new(d);
	if (!e)
		return BACKLOG_FULL;
	if (!*at) {
		*b->last = e;
		b->last = &e->next;
		b->count++;
		return BACKLOG_TAKEN;
	}
	e->next = (*at)->next;
	if (!e->next)
		b->last = &e->next;
	free(*at);
	*at = e;
	return BACKLOG_REPEATED;
}

struct backlog_entry *backlog_take(struct backlog *b)
{
	struct backlog_entry *e = b->first;

	if (!e)
		return NULL;
	b->first = e->next;
	if (!b->first)
		b->last = &b->first;
	b->count--;
	return e;
}
