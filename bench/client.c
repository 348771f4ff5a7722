/* SPDX-License-Identifier: BSD-2-Clause */
#include "client.h"

#include <stdlib.h>

#include "shake.h"
#include "util.h"

#define RETRANSMIT_NS UINT64_C(200000000)
#define TRIES 100

/* A place for one handshake under way. */
struct lane {
	struct shake shake;
	uint32_t peer;
	unsigned tries; /* of the current flight; 0: the lane is empty */
	uint64_t sent_at;
};

struct connector {
	struct source *source;
	struct lane *lanes;
	struct lane **lane_of; /* by peer - first; NULL: not begun or done */
	unsigned lane_count;
	uint32_t first, count, begun, done;
	bool refused; /* one of them: the end of all */
	struct secure *out;
	struct parcel outbox[BATCH]; /* flights that leave together */
	unsigned queued;
};

static void flush(struct connector *c)
{
	if (c->queued)
		source_send(c->source, c->outbox, c->queued);
	c->queued = 0;
}

static void lane_send(struct connector *c, struct lane *l)
{
	if (c->queued == BATCH)
		flush(c);
	c->outbox[c->queued++] = (struct parcel){
		.peer = l->peer, .data = l->shake.flight, .len = l->shake.flight_len};
	l->tries++;
	l->sent_at = mono_ns();
	if (l->tries > TRIES)
		die("%u of %u handshakes done, then the server fell silent", c->done, c->count);
}

static void lane_begin(struct connector *c, struct lane *l)
{
	uint32_t i = c->begun;

	l->tries = 0;
	if (i == c->count)
		return;
	c->begun++;
	l->peer = c->first + i;
	c->lane_of[i] = l;
	shake_begin(&l->shake, &c->out[i]);
	lane_send(c, l);
}

static void lane_feed(struct connector *c, struct lane *l, const uint8_t *data, size_t len)
{
	switch (shake_feed(&l->shake, data, len)) {
	case SHAKE_WAIT:
		break;
	case SHAKE_SEND:
		l->tries = 0;
		lane_send(c, l);
		break;
	case SHAKE_REFUSED:
		c->refused = true;
		break;
	case SHAKE_DONE:
		c->lane_of[l->peer - c->first] = NULL;
		c->done++;
		lane_begin(c, l);
		break;
	}
}

static void connector_feed(struct connector *c, const struct parcel *p)
{
	size_t segment = p->segment ? p->segment : p->len;
	uint32_t i = p->peer - c->first;

	for (size_t at = 0; at < p->len && i < c->count && c->lane_of[i]; at += segment)
		lane_feed(c, c->lane_of[i], p->data + at, p->len - at < segment ? p->len - at : segment);
}

static void connector_retransmit(struct connector *c)
{
	uint64_t now = mono_ns();

	for (unsigned k = 0; k < c->lane_count; k++) {
		struct lane *l = &c->lanes[k];

		if (l->tries && now - l->sent_at > RETRANSMIT_NS) {
			shake_again(&l->shake);
			lane_send(c, l);
		}
	}
}

static uint32_t connect_until(struct source *s, uint32_t first, uint32_t count, unsigned lanes,
			      struct secure *out, uint64_t until)
{
	struct connector c = {.source = s, .first = first, .count = count, .out = out, .lane_count = lanes};
	struct parcel parcels[BATCH];

	c.lanes = xcalloc(lanes, sizeof(*c.lanes));
	c.lane_of = xcalloc(count, sizeof(struct lane *));
	for (unsigned k = 0; k < lanes; k++)
		lane_begin(&c, &c.lanes[k]);
	flush(&c);
	while (c.done < count && !c.refused && mono_ns() < until) {
		unsigned n = source_receive(s, parcels);

		for (unsigned i = 0; i < n; i++)
			connector_feed(&c, &parcels[i]);
		if (n == 0)
			connector_retransmit(&c);
		flush(&c);
	}
	free(c.lane_of);
	free(c.lanes);
	return c.done;
}

void client_connect(struct source *s, uint32_t first, uint32_t count, unsigned lanes, struct secure *out)
{
	if (connect_until(s, first, count, lanes, out, UINT64_MAX) < count)
		die("the server sends an alert during the handshake");
}

bool client_try(struct source *s, uint32_t peer, uint64_t until, struct secure *out)
{
	return connect_until(s, peer, 1, 1, out, until) == 1;
}
