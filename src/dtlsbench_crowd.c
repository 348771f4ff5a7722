/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsbench_crowd.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classify.h"
#include "clock.h"
#include "dtlsbench_outbox.h"
#include "record.h"
#include "wire.h"

#define MS UINT64_C(1000000)
#define LOOK_NS (10 * MS)   /* how often the time-outs of handshakes are looked at */
#define ENCORES 4096
#define ENCORE_MAX 256

/* What a session keeps while nothing happens. */
struct client {
	struct record_state record;
	uint32_t lane; /* of the handshake, while CLIENT_SHAKING */
	uint8_t state; /* enum client_state */
};

/* A place for one handshake under way. */
struct lane {
	struct crowd *crowd;
	bool busy, heard; /* heard: something came back */
	uint32_t client;
	uint64_t since, deadline, repeat_at, patience;
	struct shake lean;
	struct tls_client tls;
	uint8_t flight[ENCORE_MAX]; /* what GnuTLS said last, if it is short */
	size_t flight_len;          /* of all it said, even if it is not */
};

/*
 * In a resumption the client's Finished goes last, and if it is lost the server repeats its own: then the
 * client's has to be said again. So the last flights of those who resumed lately are kept.
 */
struct encore {
	uint32_t client;
	uint32_t len; /* 0: empty */
	uint8_t flight[ENCORE_MAX];
};

struct crowd {
	struct source *source;
	struct crowd_setup setup;
	struct crowd_events events;
	bool raw;
	struct client *clients;
	struct lane *lanes;
	uint32_t *idle; /* lanes: a stack of those that are not busy */
	uint32_t idle_count;
	struct encore *encores; /* NULL until a session is resumed */
	struct record_cache *cache;
	struct crowd_counts counts;
	uint64_t now, next_look;
	gnutls_datum_t *keep; /* where the next session is to be left, or NULL */
	char why[TLS_WHY_MAX];
	struct outbox out;
};

/* ---- life ---- */

struct crowd *crowd_new(struct source *source, const struct crowd_setup *setup,
			const struct crowd_events *events)
{
	struct crowd *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->source = source;
	c->setup = *setup;
	c->events = *events;
	c->clients = calloc(setup->clients, sizeof(*c->clients));
	c->lanes = calloc(setup->handshakes, sizeof(*c->lanes));
	c->idle = calloc(setup->handshakes, sizeof(*c->idle));
	c->cache = record_cache_new(setup->handles);
	if (!c->clients || !c->lanes || !c->idle || !c->cache) {
		crowd_free(c);
		return NULL;
	}
	outbox_init(&c->out, source, setup->mtu);
	for (uint32_t i = 0; i < setup->handshakes; i++) {
		c->lanes[i].crowd = c;
		c->idle[c->idle_count++] = setup->handshakes - 1 - i;
	}
	return c;
}

static void lane_clear(struct lane *l)
{
	if (l->crowd->setup.lean)
		shake_end(&l->lean);
	else
		tls_end(&l->tls);
	l->busy = false;
}

void crowd_free(struct crowd *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; c->lanes && i < c->setup.handshakes; i++) {
		if (c->lanes[i].busy)
			lane_clear(&c->lanes[i]);
	}
	if (c->cache)
		record_cache_free(c->cache);
	free(c->encores);
	free(c->clients);
	free(c->lanes);
	free(c->idle);
	free(c);
}

void crowd_keep_session(struct crowd *c, gnutls_datum_t *session)
{
	c->keep = session;
}

enum client_state crowd_state(const struct crowd *c, uint32_t client)
{
	return (enum client_state)c->clients[client].state;
}

const struct crowd_counts *crowd_counts(const struct crowd *c)
{
	return &c->counts;
}

const char *crowd_why(const struct crowd *c)
{
	return c->why;
}

uint32_t crowd_shaking(const struct crowd *c)
{
	return c->setup.handshakes - c->idle_count;
}

bool crowd_can_open(const struct crowd *c)
{
	return c->idle_count > 0;
}

/* ---- handshakes ---- */

/* The lane is free from here on, and the client open, absent or about to be told that it failed. */
static void lane_release(struct lane *l)
{
	struct crowd *c = l->crowd;

	lane_clear(l);
	c->idle[c->idle_count++] = (uint32_t)(l - c->lanes);
}

static void lane_failed(struct lane *l, const char *why)
{
	struct crowd *c = l->crowd;
	uint32_t client = l->client;

	if (c->counts.failed++ == 0)
		snprintf(c->why, sizeof(c->why), "%s", why);
	c->clients[client].state = CLIENT_ABSENT;
	lane_release(l);
	c->events.failed(c->events.ctx, client);
}

static void keep_encore(struct crowd *c, const struct lane *l)
{
	struct encore *e;

	if (!c->encores)
		c->encores = calloc(ENCORES, sizeof(*c->encores));
	if (!c->encores || l->flight_len > ENCORE_MAX)
		return;
	e = &c->encores[l->client % ENCORES];
	e->client = l->client;
	e->len = (uint32_t)l->flight_len;
	memcpy(e->flight, l->flight, e->len);
}

static void lane_done(struct lane *l)
{
	struct crowd *c = l->crowd;
	struct client *m = &c->clients[l->client];
	uint32_t client = l->client;
	bool resumed = false;

	if (c->setup.lean) {
		m->record = l->lean.record;
		l->lean.keyed = false; /* the keys have a new owner */
	} else if (!tls_take(&l->tls, &m->record, &resumed)) {
		lane_failed(l, l->tls.why);
		return;
	}
	if (c->keep && !c->setup.lean)
		(void)tls_save(&l->tls, c->keep); /* whoever wants it sees that it is not there */
	c->keep = NULL;
	c->counts.opened++;
	c->counts.resumed += resumed;
	if (resumed)
		keep_encore(c, l);
	m->state = CLIENT_OPEN;
	lane_release(l);
	c->events.opened(c->events.ctx, client, l->since, c->now);
}

static void lean_send(struct lane *l)
{
	struct crowd *c = l->crowd;

	memcpy(outbox_reserve(&c->out, l->lean.flight_len), l->lean.flight, l->lean.flight_len);
	outbox_add(&c->out, l->client, l->lean.flight_len, OUTBOX_APART);
	l->repeat_at = c->now + l->patience;
}

static void lane_follow(struct lane *l, enum shake_verdict v)
{
	switch (v) {
	case SHAKE_WAIT:
		break;
	case SHAKE_SEND:
		l->patience = l->crowd->setup.retransmit_ns;
		lean_send(l);
		break;
	case SHAKE_DONE:
		lane_done(l);
		break;
	case SHAKE_FAILED:
		lane_failed(l, l->crowd->setup.lean ? l->lean.why : l->tls.why);
		break;
	}
}

static void emit(void *ctx, const uint8_t *record, size_t len)
{
	struct lane *l = ctx;
	struct crowd *c = l->crowd;

	memcpy(outbox_reserve(&c->out, len), record, len);
	outbox_add(&c->out, l->client, len, OUTBOX_FLIGHT);
	if (l->flight_len + len <= sizeof(l->flight))
		memcpy(l->flight + l->flight_len, record, len);
	l->flight_len += len;
}

/* How often GnuTLS is asked whether it wants to repeat its flight. */
static uint64_t ask_tls_ns(const struct crowd *c)
{
	return c->setup.retransmit_ns < 100 * MS ? c->setup.retransmit_ns : 100 * MS;
}

void crowd_open(struct crowd *c, uint32_t client, uint64_t since)
{
	struct client *m = &c->clients[client];
	struct lane *l;

	assert(crowd_can_open(c) && m->state == CLIENT_ABSENT);
	l = &c->lanes[c->idle[--c->idle_count]];
	m->state = CLIENT_SHAKING;
	m->lane = (uint32_t)(l - c->lanes);
	c->now = clock_mono_ns();
	l->busy = true;
	l->heard = false;
	l->client = client;
	l->since = since;
	l->deadline = c->now + c->setup.timeout_ns;
	l->repeat_at = c->now + ask_tls_ns(c);
	l->flight_len = 0;
	if (c->setup.lean)
		lane_follow(l, shake_begin(&l->lean, c->setup.lean, c->cache));
	else
		lane_follow(l, tls_begin(&l->tls, c->setup.tls, emit, l));
}

static void lane_feed(struct lane *l, uint8_t *data, size_t len)
{
	l->heard = true;
	l->flight_len = 0;
	lane_follow(l, l->crowd->setup.lean ? shake_feed(&l->lean, data, len) : tls_feed(&l->tls, data, len));
}

static void lane_again(struct lane *l)
{
	struct crowd *c = l->crowd;

	if (c->setup.lean) {
		c->counts.repeated++;
		l->patience *= 2;
		shake_again(&l->lean);
		lean_send(l);
		return;
	}
	l->repeat_at = c->now + ask_tls_ns(c);
	l->flight_len = 0;
	lane_follow(l, tls_again(&l->tls));
	c->counts.repeated += l->busy && l->flight_len > 0;
}

static void lanes_look(struct crowd *c)
{
	c->next_look = c->now + LOOK_NS;
	if (crowd_shaking(c) == 0)
		return;
	for (uint32_t i = 0; i < c->setup.handshakes; i++) {
		struct lane *l = &c->lanes[i];

		if (l->busy && c->now >= l->deadline)
			lane_failed(l, l->heard ? "time-out: it began, but was not done in time; see --handshake-timeout" :
				    "time-out: no answer at all; is a DTLS server there?");
		else if (l->busy && c->now >= l->repeat_at)
			lane_again(l);
	}
}

/* ---- records ---- */

void crowd_say(struct crowd *c, uint32_t client, const uint8_t *plain, size_t len, bool run)
{
	size_t room = len + RECORD_OVERHEAD_MAX;
	uint8_t *out = outbox_reserve(&c->out, room);
	size_t sealed = crowd_seal(c, client, plain, len, out, room);

	/* without memory it is not said, and its answer will be missed */
	if (sealed)
		outbox_add(&c->out, client, sealed, run ? OUTBOX_RUN : OUTBOX_APART);
}

size_t crowd_seal(struct crowd *c, uint32_t client, const uint8_t *plain, size_t len, uint8_t *out,
		  size_t room)
{
	struct client *m = &c->clients[client];
	ssize_t n;

	assert(m->state == CLIENT_OPEN);
	n = record_protect(&m->record, c->cache, DTLS_APPLICATION_DATA, plain, len, out, room);
	return n > 0 ? (size_t)n : 0;
}

void crowd_say_plain(struct crowd *c, uint32_t client, const uint8_t *data, size_t len, bool run)
{
	memcpy(outbox_reserve(&c->out, len), data, len);
	outbox_add(&c->out, client, len, run ? OUTBOX_RUN : OUTBOX_APART);
}

void crowd_say_borrowed(struct crowd *c, uint32_t client, uint8_t *data, size_t len, uint16_t segment)
{
	const struct parcel p = { .peer = client, .segment = segment, .data = data, .len = len };

	outbox_borrow(&c->out, &p);
}

void crowd_hear_raw(struct crowd *c, bool raw, bool heads_only)
{
	assert(!heads_only || crowd_shaking(c) == 0);
	c->raw = raw;
	source_skip_bodies(c->source, heads_only);
}

void crowd_close(struct crowd *c, uint32_t client)
{
	static const uint8_t close_notify[2] = { DTLS_ALERT_WARNING, DTLS_ALERT_CLOSE_NOTIFY };
	struct client *m = &c->clients[client];
	size_t room = sizeof(close_notify) + RECORD_OVERHEAD_MAX;
	uint8_t *out = outbox_reserve(&c->out, room);
	ssize_t n;

	assert(m->state == CLIENT_OPEN);
	n = record_protect(&m->record, c->cache, DTLS_ALERT, close_notify, sizeof(close_notify), out, room);
	if (n > 0)
		outbox_add(&c->out, client, (size_t)n, OUTBOX_APART);
	m->state = CLIENT_CLOSING;
}

void crowd_drop(struct crowd *c, uint32_t client)
{
	struct client *m = &c->clients[client];

	if (m->state == CLIENT_SHAKING)
		lane_release(&c->lanes[m->lane]);
	else if (m->state != CLIENT_ABSENT)
		record_wipe(&m->record, c->cache);
	m->state = CLIENT_ABSENT;
}

/* The server repeats its last flight: it has not got ours. */
static void say_again(struct crowd *c, uint32_t client)
{
	const struct encore *e = c->encores ? &c->encores[client % ENCORES] : NULL;

	if (!e || e->client != client || e->len == 0)
		return;
	memcpy(outbox_reserve(&c->out, e->len), e->flight, e->len);
	outbox_add(&c->out, client, e->len, OUTBOX_APART);
	c->counts.repeated++;
}

static void on_record(struct crowd *c, uint32_t client, const struct record *r)
{
	struct client *m = &c->clients[client];
	uint8_t *plain;
	ssize_t n = record_unprotect(&m->record, c->cache, r, &plain, NULL);

	if (n < 0) {
		c->counts.strays++;
	} else if (r->type == DTLS_APPLICATION_DATA) {
		c->events.heard(c->events.ctx, client, plain, (size_t)n, c->now);
	} else if (r->type == DTLS_HANDSHAKE) {
		say_again(c, client);
	} else if (r->type == DTLS_ALERT && n == 2 &&
		   (plain[0] == DTLS_ALERT_FATAL || plain[1] == DTLS_ALERT_CLOSE_NOTIFY)) {
		bool answer = m->state == CLIENT_CLOSING;

		crowd_drop(c, client);
		c->events.closed(c->events.ctx, client, answer);
	}
}

static void on_datagram(struct crowd *c, uint32_t client, uint8_t *data, size_t len)
{
	struct client *m = &c->clients[client];
	size_t at = 0;
	struct record r;

	if (m->state == CLIENT_SHAKING) {
		lane_feed(&c->lanes[m->lane], data, len);
		return;
	}
	for (;;) {
		enum record_kind kind = classify_record(data, len, &at, &r);

		if (kind == RECORD_END)
			return;
		if (m->state == CLIENT_OPEN || m->state == CLIENT_CLOSING) {
			if (kind == RECORD_PROTECTED)
				on_record(c, client, &r);
		} else {
			c->counts.strays++;
		}
		if (kind == RECORD_MALFORMED)
			return;
	}
}

static void on_parcel(struct crowd *c, const struct parcel *p)
{
	size_t segment = p->segment ? p->segment : p->len;

	if (c->raw && c->clients[p->peer].state != CLIENT_SHAKING) {
		c->events.raw(c->events.ctx, p, c->now);
		return;
	}
	for (size_t at = 0; at < p->len; at += segment)
		on_datagram(c, p->peer, p->data + at, p->len - at < segment ? p->len - at : segment);
}

int crowd_turn(struct crowd *c, uint64_t wait_ns)
{
	struct parcel in[SOURCE_BATCH];
	unsigned n;

	outbox_flush(&c->out);
	n = source_receive(c->source, in);
	if (n == 0 && wait_ns > 0) {
		source_wait(c->source, wait_ns);
		n = source_receive(c->source, in);
	}
	c->now = clock_mono_ns();
	for (unsigned i = 0; i < n; i++)
		on_parcel(c, &in[i]);
	if (c->now >= c->next_look)
		lanes_look(c);
	outbox_flush(&c->out);
	return c->out.error;
}
