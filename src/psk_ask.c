/* SPDX-License-Identifier: BSD-2-Clause */
#include "psk_ask.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "hex.h"
#include "log.h"
#include "siphash.h"

#define BUCKETS 1024
#define PROGRAMS_MOST 128 /* of reloads before, too */
#define FORGET_MS 60000   /* after what was remembered has run out */

#define LOOKS_MOST 64     /* for a question that nobody waits for any more */

enum state { ASKED, KNOWN, UNKNOWN, STATES };

/* An identity that is asked for, or was. */
struct entry {
	struct entry *next;    /* in the bucket */
	struct place age;
	struct place waiters;  /* a head; only while it is asked for */
	uint64_t at;           /* ms: when it was asked for, or until when the answer is good */
	enum state state;
	uint8_t identity[PSK_IDENTITY_MAX];
	size_t identity_len;
	struct psk_key key;
};

struct program {
	struct upstream_socket socket; /* first */
	struct psk_asks *asks;
	struct program *next;
	struct psk_source source;
	bool open;
	uint64_t used_at;
	uint64_t down_until;   /* 0: it is there, as far as is known */
	uint32_t down_ms;      /* the next time that it is not tried for */
	struct place ages[STATES]; /* of the entries in each, oldest first */
	unsigned count;
	struct entry *buckets[BUCKETS];
};

struct psk_asks {
	struct upstream *upstream;
	struct metrics *metrics;
	const uint64_t *now;
	struct siphash_key hash_key;
	struct program *programs;
	unsigned count;
	struct place news;     /* of waiters who may ask again */
	struct place crowd;    /* of those whose question had no room */
};

void psk_source_init(struct psk_source *s, const char *path, uint32_t remember_ms)
{
	static atomic_uint_least64_t ids;

	assert(strlen(path) <= UNIX_NAME_MOST);
	*s = (struct psk_source){ .id = atomic_fetch_add(&ids, 1) + 1, .remember_ms = remember_ms };
	strcpy(s->at.path, path);
}

/* ---- entries ---- */

static struct entry *entry_of(struct place *age)
{
	return (struct entry *)(void *)((char *)age - offsetof(struct entry, age));
}

/* Where the link to the entry is, or would be. */
static struct entry **find(struct program *p, const void *identity, size_t len)
{
	struct entry **at = &p->buckets[siphash(&p->asks->hash_key, identity, len) % BUCKETS];

	while (*at && ((*at)->identity_len != len || memcmp((*at)->identity, identity, len) != 0))
		at = &(*at)->next;
	return at;
}

/* Who waits for it may ask again. */
static void tell_waiters(struct psk_asks *a, struct entry *e)
{
	while (!place_alone(&e->waiters)) {
		struct place *waiter = e->waiters.next;

		place_leave(waiter);
		place_append(&a->news, waiter);
	}
}

static void drop(struct program *p, struct entry *e)
{
	struct entry **at = find(p, e->identity, e->identity_len);

	assert(*at == e);
	*at = e->next;
	place_leave(&e->age);
	tell_waiters(p->asks, e);
	p->count--;
	explicit_bzero(e, sizeof(*e));
	free(e);
}

static void set_state(struct program *p, struct entry *e, enum state state)
{
	place_leave(&e->age);
	place_append(&p->ages[state], &e->age);
	e->state = state;
}

/* False: none is in that state. */
static bool drop_oldest(struct program *p, enum state state)
{
	if (place_alone(&p->ages[state]))
		return false;
	drop(p, entry_of(p->ages[state].next));
	return true;
}

/* Names that strangers make up first: they push out no key, nor a question that somebody waits for. */
static bool make_room(struct program *p)
{
	if (drop_oldest(p, UNKNOWN) || drop_oldest(p, KNOWN))
		return true;
	for (unsigned i = 0; i < LOOKS_MOST; i++) {
		struct entry *e = entry_of(p->ages[ASKED].next);

		if (place_alone(&e->waiters))
			return drop_oldest(p, ASKED);
		set_state(p, e, ASKED); /* to the end: the next look begins behind it */
	}
	return false;
}

/* One that is not there yet. NULL: there is no room or no memory. */
static struct entry *add(struct program *p, const void *identity, size_t len)
{
	struct entry *e = p->count < PSK_ASK_KNOWN || make_room(p) ? calloc(1, sizeof(*e)) : NULL, **at;

	if (!e)
		return NULL;
	place_init(&e->age);
	place_init(&e->waiters);
	memcpy(e->identity, identity, len);
	e->identity_len = len;
	at = find(p, identity, len);
	e->next = *at;
	*at = e;
	set_state(p, e, ASKED);
	p->count++;
	return e;
}

/* ---- the program ---- */

static const char *advice_on(int why)
{
	switch (why) {
	case EACCES:
		return "let dtlsd's user write to it";
	case EDQUOT:
		return "sessions with backends have all sockets: raise --forward-sockets";
	case EMFILE:
	case ENFILE:
		return "raise the limit of open files";
	default:
		return "start the program";
	}
}

static void go_down(struct program *p, int why)
{
	if (p->down_until == 0)
		log_limited(LOG_WARNING_, NULL, "psk-socket %s: nobody answers there: %s; %s: until then only keys that are "
			    "remembered let clients in", p->source.at.path, strerror(why), advice_on(why));
	p->down_until = *p->asks->now + p->down_ms;
	p->down_ms = 2 * p->down_ms < PSK_ASK_DOWN_MOST_MS ? 2 * p->down_ms : PSK_ASK_DOWN_MOST_MS;
	while (drop_oldest(p, ASKED))
		;
}

static void on_refused(struct upstream_socket *s, int err)
{
	go_down((struct program *)(void *)s, err);
}

/* "key IDENTITY KEY" or "no IDENTITY", in hexadecimal; a line's end may follow. False: it is neither. */
static bool parse_answer(char *text, uint8_t identity[static PSK_IDENTITY_MAX], size_t *len, struct psk_key *key)
{
	char *word[4] = { NULL }, *rest = text;
	ssize_t n, k = 0;

	for (unsigned i = 0; i < 4 && rest; i++)
		word[i] = strsep(&rest, " ");
	if (!word[1] || word[3] || (strcmp(word[0], "key") == 0) != (word[2] != NULL) ||
	    (!word[2] && strcmp(word[0], "no") != 0))
		return false;
	n = hex_decode(identity, PSK_IDENTITY_MAX, word[1], strlen(word[1]));
	if (word[2])
		k = hex_decode(key->data, sizeof(key->data), word[2], strlen(word[2]));
	*len = n > 0 ? (size_t)n : 0;
	key->len = k > 0 ? (size_t)k : 0;
	return n > 0 && (word[2] ? k > 0 : true);
}

static void take_answer(struct program *p, struct entry *e, const struct psk_key *key)
{
	uint64_t remember = p->source.remember_ms;

	if (key->len == 0 && remember > PSK_ASK_NO_MS)
		remember = PSK_ASK_NO_MS;
	set_state(p, e, key->len > 0 ? KNOWN : UNKNOWN);
	e->key = *key;
	e->at = *p->asks->now + remember;
	tell_waiters(p->asks, e);
}

static void come_up(struct program *p)
{
	if (p->down_until != 0)
		log_notice("psk-socket %s: the program answers again", p->source.at.path);
	p->down_until = 0;
	p->down_ms = PSK_ASK_DOWN_MS;
}

static void on_reply(struct upstream_socket *s, uint8_t *data, size_t len)
{
	char text[2 * (PSK_IDENTITY_MAX + PSK_KEY_MAX) + 16];
	struct program *p = (struct program *)(void *)s;
	uint8_t identity[PSK_IDENTITY_MAX];
	struct psk_key key = { .len = 0 };
	struct entry *e = NULL;
	size_t identity_len;

	come_up(p);
	while (len > 0 && (data[len - 1] == '\n' || data[len - 1] == '\r'))
		len--;
	if (len < sizeof(text) && !memchr(data, '\0', len)) {
		memcpy(text, data, len);
		text[len] = '\0';
		if (parse_answer(text, identity, &identity_len, &key))
			e = *find(p, identity, identity_len);
		else
			len = sizeof(text);
	}
	if (len >= sizeof(text))
		log_limited(LOG_WARNING_, NULL, "psk-socket %s: an answer is neither 'key IDENTITY KEY' nor 'no IDENTITY' in "
			    "hexadecimal: correct the program", p->source.at.path);
	if (e && e->state == ASKED)
		take_answer(p, e, &key);
	explicit_bzero(&key, sizeof(key));
	explicit_bzero(text, sizeof(text));
}

static const struct upstream_owner owner = { .reply = on_reply, .refused = on_refused };

/* False: it is down. */
static bool reach(struct program *p)
{
	int err;

	if (*p->asks->now < p->down_until)
		return false;
	if (p->open)
		return true;
	err = upstream_open(p->asks->upstream, &p->socket, &p->source.at, NULL, &owner);
	p->open = err == 0;
	if (err < 0)
		go_down(p, -err);
	return p->open && *p->asks->now >= p->down_until;
}

static void put_question(struct program *p, struct entry *e)
{
	static const char get[] = "get ";
	char text[2 * PSK_IDENTITY_MAX + 1];

	hex_encode(text, e->identity, e->identity_len);
	e->at = *p->asks->now;
	metric_inc(p->asks->metrics, METRIC_psk_asked);
	upstream_send(p->asks->upstream, &p->socket, get, strlen(get), text, 2 * e->identity_len);
}

static void forget_program(struct psk_asks *a, struct program **at)
{
	struct program *p = *at;

	*at = p->next;
	a->count--;
	for (int state = 0; state < STATES; state++)
		while (drop_oldest(p, (enum state)state))
			;
	if (p->open)
		upstream_close(a->upstream, &p->socket);
	free(p);
}

/* The one that was asked longest ago. */
static struct program **find_oldest(struct psk_asks *a)
{
	struct program **oldest = &a->programs;

	for (struct program **at = &a->programs; *at; at = &(*at)->next)
		if ((*at)->used_at < (*oldest)->used_at)
			oldest = at;
	return oldest;
}

/* NULL: out of memory. */
static struct program *program_of(struct psk_asks *a, const struct psk_source *source)
{
	struct program *p = a->programs;

	while (p && p->source.id != source->id)
		p = p->next;
	if (p)
		return p;
	if (a->count == PROGRAMS_MOST)
		forget_program(a, find_oldest(a));
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->asks = a;
	p->source = *source;
	p->down_ms = PSK_ASK_DOWN_MS;
	for (int state = 0; state < STATES; state++)
		place_init(&p->ages[state]);
	p->next = a->programs;
	a->programs = p;
	a->count++;
	return p;
}

/* ---- asking ---- */

/* What is remembered of it, and still holds. NULL: nothing. */
static struct entry *remembered(struct program *p, const void *identity, size_t len)
{
	struct entry *e = *find(p, identity, len);

	if (!e || e->state == ASKED || *p->asks->now <= e->at)
		return e;
	drop(p, e);
	return NULL;
}

static enum psk_answer ask_program(struct program *p, const void *identity, size_t len, struct entry **entry)
{
	struct entry *e = remembered(p, identity, len);

	*entry = e;
	if (e && e->state != ASKED) {
		metric_inc(p->asks->metrics, METRIC_psk_remembered);
		return e->state == KNOWN ? PSK_ANSWER_KEY : PSK_ANSWER_UNKNOWN;
	}
	if (!reach(p)) { /* and no question stays behind */
		*entry = NULL;
		return PSK_ANSWER_DOWN;
	}
	if (!e)
		*entry = e = add(p, identity, len);
	if (e && (e->at == 0 || *p->asks->now - e->at >= PSK_ASK_AGAIN_MS))
		put_question(p, e);
	if (*p->asks->now >= p->down_until)
		return PSK_ANSWER_WAIT;
	*entry = NULL; /* it was found to be down while the question was sent, and the entry is gone */
	return PSK_ANSWER_DOWN;
}

enum psk_answer psk_ask(struct psk_asks *a, const struct psk_source *from, const void *identity, size_t len,
			struct place *waiter, struct psk_key *out)
{
	struct program *p;
	struct entry *e = NULL;
	enum psk_answer answer;

	assert(len > 0 && len <= PSK_IDENTITY_MAX);
	place_leave(waiter);
	p = program_of(a, from);
	if (!p)
		return PSK_ANSWER_DOWN;
	p->used_at = *a->now;
	answer = ask_program(p, identity, len, &e);
	if (answer == PSK_ANSWER_KEY)
		*out = e->key;
	else if (answer == PSK_ANSWER_WAIT)
		place_append(e ? &e->waiters : &a->crowd, waiter);
	return answer;
}

struct place *psk_asks_news(struct psk_asks *a)
{
	struct place *first = a->news.next;

	if (place_alone(&a->news))
		return NULL;
	place_leave(first);
	return first;
}

void psk_asks_clean(struct psk_asks *a)
{
	struct program **at = &a->programs;

	while (*at)
		if (*a->now - (*at)->used_at > (*at)->source.remember_ms + FORGET_MS)
			forget_program(a, at);
		else
			at = &(*at)->next;
}

/* ---- life ---- */

struct psk_asks *psk_asks_new(struct upstream *u, struct metrics *m, const uint64_t *now)
{
	struct psk_asks *a = calloc(1, sizeof(*a));

	if (!a || getrandom(&a->hash_key, sizeof(a->hash_key), 0) != (ssize_t)sizeof(a->hash_key)) {
		free(a);
		return NULL;
	}
	a->upstream = u;
	a->metrics = m;
	a->now = now;
	place_init(&a->news);
	place_init(&a->crowd);
	return a;
}

void psk_asks_free(struct psk_asks *a)
{
	if (!a)
		return;
	while (a->programs)
		forget_program(a, &a->programs);
	assert(place_alone(&a->news) && place_alone(&a->crowd));
	free(a);
}
