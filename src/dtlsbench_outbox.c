/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsbench_outbox.h"

#include <assert.h>

void outbox_init(struct outbox *o, struct source *source, size_t mtu)
{
	o->source = source;
	o->mtu = mtu;
	o->error = 0;
	o->count = 0;
	o->used = 0;
}

void outbox_flush(struct outbox *o)
{
	if (o->count && !o->error)
		o->error = source_send(o->source, o->parcel, o->count);
	o->count = 0;
	o->used = 0;
}

uint8_t *outbox_reserve(struct outbox *o, size_t len)
{
	assert(len <= SOURCE_MESSAGE_MAX);
	if (len > sizeof(o->room) - o->used)
		outbox_flush(o);
	return o->room + o->used;
}

/* Whether len bytes at the end of the room may go with the last parcel, which must lie just before them. */
static bool joins(const struct outbox *o, const struct parcel *last, uint32_t peer, size_t len,
		  enum outbox_join join)
{
	if (last->peer != peer || last->data + last->len != o->room + o->used)
		return false;
	if (join == OUTBOX_FLIGHT)
		return last->segment == 0 && last->len + len <= o->mtu;
	return join == OUTBOX_RUN && last->segment == len && last->len + len <= SOURCE_MESSAGE_MAX &&
	       last->len / len < SOURCE_RUN_MAX;
}

void outbox_add(struct outbox *o, uint32_t peer, size_t len, enum outbox_join join)
{
	struct parcel *last = o->count ? &o->parcel[o->count - 1] : NULL;
	uint8_t *data = o->room + o->used;

	if (last && joins(o, last, peer, len, join)) {
		last->len += len;
	} else {
		if (o->count == SOURCE_BATCH)
			outbox_flush(o); /* all but this one, whose bytes stay where they are */
		o->parcel[o->count++] = (struct parcel){
			.peer = peer,
			.segment = join == OUTBOX_RUN ? (uint16_t)len : 0,
			.data = data,
			.len = len,
		};
	}
	o->used = (size_t)(data - o->room) + len;
}

void outbox_borrow(struct outbox *o, const struct parcel *p)
{
	if (o->count == SOURCE_BATCH)
		outbox_flush(o);
	o->parcel[o->count++] = *p;
}
