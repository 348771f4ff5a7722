/* SPDX-License-Identifier: BSD-2-Clause */
#include "held.h"

#include <stdlib.h>
#include <string.h>

struct held_datagram {
	struct held_datagram *next;
	size_t len;
	uint8_t data[];
};

bool held_add(struct held *h, const uint8_t *data, size_t len)
{
	struct held_datagram *d;

	if (h->count == HELD_DATAGRAMS || h->bytes + len > HELD_BYTES)
		return false;
	d = malloc(sizeof(*d) + len);
	if (!d)
		return false;
	d->next = NULL;
	d->len = len;
	memcpy(d->data, data, len);
	if (h->last)
		h->last->next = d;
	else
		h->first = d;
	h->last = d;
	h->count++;
	h->bytes += len;
	return true;
}

static void drop_one(void *ctx, const uint8_t *data, size_t len)
{
	(void)ctx;
	(void)data;
	(void)len;
}

void held_release(struct held *h, void (*each)(void *ctx, const uint8_t *data, size_t len), void *ctx)
{
	struct held_datagram *next;

	for (struct held_datagram *d = h->first; d; d = next) {
		next = d->next;
		each(ctx, d->data, d->len);
		free(d);
	}
	*h = (struct held){ .first = NULL };
}

unsigned held_drop(struct held *h)
{
	unsigned count = h->count;

	held_release(h, drop_one, NULL);
	return count;
}
