/* SPDX-License-Identifier: BSD-2-Clause */
#include "uplink.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "redial.h"

enum resumption {
	UNKNOWN,  /* whether the server lets sessions be resumed: the first handshake finds out, alone */
	ASKED,    /* and is under way */
	KNOWN
};

struct server {
	struct addr addr;        /* family 0: free */
	enum resumption resumption;
	struct uplink_offer newest; /* what the next handshake is to resume */
	uint64_t saved_at;
	bool proven;             /* it has been resumed: the server keeps what it leaves */
	unsigned dials;          /* under way */
	unsigned forgot;         /* up to this number it seems to know none any more; 0: it knows all */
	unsigned forgot_before;  /* what that was before the last time */
	unsigned agreed;         /* how often the newest was resumed since */
	uint64_t forgot_at;
	uint64_t doubted_until;
};

struct uplink {
	atomic_uint refs;
	atomic_uint forgetful;
	struct tls_client *tls;
	pthread_mutex_t lock;    /* of all below */
	unsigned number;         /* of the last session that was saved */
	struct redial redial;
	struct server server[REDIAL_SERVERS];
};

struct uplink *uplink_new(struct tls_client *tls)
{
	struct uplink *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	atomic_init(&u->refs, 1);
	u->tls = tls_client_ref(tls);
	pthread_mutex_init(&u->lock, NULL);
	return u;
}

struct uplink *uplink_ref(struct uplink *u)
{
	atomic_fetch_add_explicit(&u->refs, 1, memory_order_relaxed);
	return u;
}

void uplink_forget(gnutls_datum_t *saved)
{
	if (saved->size)
		gnutls_memset(saved->data, 0, saved->size);
	gnutls_free(saved->data);
	*saved = (gnutls_datum_t){ NULL, 0 };
}

void uplink_unref(struct uplink *u)
{
	if (!u || atomic_fetch_sub_explicit(&u->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < REDIAL_SERVERS; i++)
		uplink_forget(&u->server[i].newest.saved);
	tls_client_unref(u->tls);
	pthread_mutex_destroy(&u->lock);
	free(u);
}

struct tls_client *uplink_tls(const struct uplink *u)
{
	return u->tls;
}

/* Without memory there is none, which costs a full handshake. */
static void copy(gnutls_datum_t *to, const gnutls_datum_t *from)
{
	*to = (gnutls_datum_t){ NULL, 0 };
	if (from->size == 0)
		return;
	to->data = gnutls_malloc(from->size);
	if (!to->data)
		return;
	memcpy(to->data, from->data, from->size);
	to->size = from->size;
}

/* NULL: nothing is known of it. The lock is held, as for all that is static below. */
static struct server *look_up(struct uplink *u, const struct addr *a)
{
	for (unsigned i = 0; i < REDIAL_SERVERS; i++)
		if (u->server[i].addr.family && addr_equal(&u->server[i].addr, a))
			return &u->server[i];
	return NULL;
}

/* NULL: all places are taken by servers that handshakes are under way with. */
static struct server *find(struct uplink *u, const struct addr *a)
{
	struct server *known = look_up(u, a), *room = NULL;

	if (known)
		return known;
	for (unsigned i = 0; i < REDIAL_SERVERS; i++) {
		struct server *s = &u->server[i];

		if (s->dials == 0 && (!room || (room->addr.family && s->saved_at < room->saved_at)))
			room = s;
	}
	if (room) {
		uplink_forget(&room->newest.saved);
		*room = (struct server){ .addr = *a };
	}
	return room;
}

/* The saved session is not offered any more: that a full handshake follows says nothing about the server. */
static void leave(struct server *s)
{
	uplink_forget(&s->newest.saved);
	s->proven = false;
}

static enum uplink_verdict ask(struct uplink *u, struct server *s, uint64_t now)
{
	if (s->newest.saved.size && now >= s->saved_at + UPLINK_SAVED_MS) {
		leave(s);
		s->resumption = UNKNOWN;
	}
	if (s->resumption == ASKED || s->dials == UPLINK_DIALS)
		return UPLINK_WAIT;
	if (!redial_may(&u->redial, &s->addr, now))
		return UPLINK_DOWN;
	if (s->resumption == UNKNOWN)
		s->resumption = ASKED;
	s->dials++;
	return UPLINK_GO;
}

enum uplink_verdict uplink_may_dial(struct uplink *u, const struct addr *server, uint64_t now_ms,
				    struct uplink_offer *offer)
{
	enum uplink_verdict v = UPLINK_WAIT;
	struct server *s;

	pthread_mutex_lock(&u->lock);
	s = find(u, server);
	if (s)
		v = ask(u, s, now_ms);
	if (v == UPLINK_GO) {
		copy(&offer->saved, &s->newest.saved);
		offer->number = s->newest.number;
	}
	pthread_mutex_unlock(&u->lock);
	return v;
}

/* Did it seem to forget another session just now, and few have agreed? Then it is not one server that was restarted. */
static bool is_contradicted(const struct server *s, uint64_t now)
{
	return s->forgot && s->agreed < UPLINK_AGREE && now < s->forgot_at + UPLINK_AGREE_MS;
}

/* It does not know the newest session any more, which it has resumed before. */
static void note_forgotten(struct uplink *u, struct server *s, uint64_t now)
{
	if (is_contradicted(s, now)) {
		s->forgot = s->forgot_before;
		s->doubted_until = now + UPLINK_DOUBT_MS;
	}
	if (now < s->doubted_until)
		return;
	s->forgot_before = s->forgot;
	s->forgot = s->newest.number;
	s->forgot_at = now;
	s->agreed = 0;
	atomic_fetch_add_explicit(&u->forgetful, 1, memory_order_relaxed);
}

/* A full handshake has left another session, though that one was offered. */
static void replace(struct uplink *u, struct server *s, unsigned offered, const gnutls_datum_t *saved, uint64_t now)
{
	if (offered != s->newest.number && s->newest.saved.size)
		return; /* another handshake has found out the same before */
	if (s->proven)
		note_forgotten(u, s, now);
	leave(s);
	copy(&s->newest.saved, saved);
	s->newest.number = ++u->number;
	s->saved_at = now;
}

/* The newest may have left a newer ticket, but its verification is as old as before. */
static void note_resumed(struct server *s, unsigned offered)
{
	if (offered != s->newest.number)
		return;
	s->proven = true;
	s->agreed++;
}

bool uplink_dialed(struct uplink *u, const struct addr *server, unsigned offered, const gnutls_datum_t *saved,
		   bool resumed, uint64_t now_ms)
{
	struct server *s;
	bool again;

	pthread_mutex_lock(&u->lock);
	again = redial_succeeded(&u->redial, server);
	s = find(u, server);
	assert(s && s->dials > 0);
	s->dials--;
	s->resumption = KNOWN;
	if (resumed)
		note_resumed(s, offered);
	else
		replace(u, s, offered, saved, now_ms);
	pthread_mutex_unlock(&u->lock);
	return again;
}

static void note_failure(struct uplink *u, const struct addr *server, uint64_t began_ms, uint64_t now_ms)
{
	uint32_t chance = 0;

	(void)!getrandom(&chance, sizeof(chance), GRND_NONBLOCK);
	redial_failed(&u->redial, server, began_ms, now_ms, chance);
}

void uplink_turned_away(struct uplink *u, const struct addr *server, uint64_t began_ms, uint64_t now_ms)
{
	pthread_mutex_lock(&u->lock);
	note_failure(u, server, began_ms, now_ms);
	pthread_mutex_unlock(&u->lock);
}

void uplink_failed(struct uplink *u, const struct addr *server, enum uplink_failure why, uint64_t began_ms,
		   uint64_t now_ms)
{
	struct server *s;

	pthread_mutex_lock(&u->lock);
	if (why != UPLINK_OURS)
		note_failure(u, server, began_ms, now_ms);
	s = find(u, server);
	assert(s && s->dials > 0);
	s->dials--;
	if (why == UPLINK_ANSWERED) /* the next one does not offer what may be the cause */
		leave(s);
	if (s->resumption == ASKED || why == UPLINK_ANSWERED)
		s->resumption = UNKNOWN;
	pthread_mutex_unlock(&u->lock);
}

unsigned uplink_forgetful(const struct uplink *u)
{
	return atomic_load_explicit(&u->forgetful, memory_order_relaxed);
}

unsigned uplink_newest(struct uplink *u, const struct addr *server)
{
	const struct server *s;
	unsigned n;

	pthread_mutex_lock(&u->lock);
	s = look_up(u, server);
	n = s ? s->newest.number : u->number;
	pthread_mutex_unlock(&u->lock);
	return n;
}

bool uplink_has_forgotten(struct uplink *u, const struct addr *server, unsigned number)
{
	const struct server *s;
	bool yes;

	pthread_mutex_lock(&u->lock);
	s = look_up(u, server);
	yes = s && number <= s->forgot;
	pthread_mutex_unlock(&u->lock);
	return yes;
}
