/* SPDX-License-Identifier: BSD-2-Clause */
#include "backend.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define NOTE_MS 100 /* so exact is what is known of who was heard when */
#define ACCEPTED "write 192.0.2.1:5683, [2001:db8::1]:5683, name:5683 or unix:/path, with a comma between " \
		 "several and *WEIGHT behind one that is to get more than its share"

enum health { UP, REFUSES, SILENT };

struct backend {
	struct backend_addr addr;
	unsigned weight;
	/* ms; 0: never, or not at present */
	_Atomic uint64_t heard_at;
	_Atomic uint64_t asked_at;   /* the first datagram since it was heard of */
	_Atomic uint64_t trial_at;   /* while it is down: the next one */
	_Atomic uint64_t tried_at;   /* the first trial since it refused last */
	_Atomic uint32_t unanswered; /* since asked_at */
	_Atomic uint8_t health;      /* enum health */
};

struct backends {
	atomic_uint refs;
	uint64_t silence_ms;
	bool named;
	unsigned count, turns;
	atomic_uint turn, spare_turn; /* the latter among those that are up, while others are not */
	struct backend backend[BACKEND_MOST];
	uint8_t order[BACKEND_MOST * BACKEND_WEIGHT_MOST]; /* whose turn each is */
	char text[]; /* what the operator wrote */
};

#define get(field) atomic_load_explicit(&(field), memory_order_relaxed)
#define set(field, value) atomic_store_explicit(&(field), value, memory_order_relaxed)

/* NULL: it is not among them. */
static const struct backend *find(const struct backends *b, const struct backend_addr *a)
{
	for (unsigned i = 0; i < b->count; i++)
		if (memcmp(&b->backend[i].addr, a, sizeof(*a)) == 0)
			return &b->backend[i];
	return NULL;
}

/* ---- what the operator wrote ---- */

struct parse {
	struct backends *out;
	char *err;
	size_t err_size;
};

__attribute__((format(printf, 2, 3)))
static bool fail(const struct parse *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->err, p->err_size, fmt, ap);
	va_end(ap);
	return false;
}

static bool add(const struct parse *p, const struct backend_addr *a, unsigned weight)
{
	struct backends *b = p->out;
	char text[BACKEND_TEXT_MAX];

	if (find(b, a))
		return fail(p, "backend %s is given twice: leave one of them out, and give the other a weight",
			    backend_format(a, text));
	if (b->count == BACKEND_MOST)
		return fail(p, "more than %d backends: leave some out", BACKEND_MOST);
	b->backend[b->count].addr = *a;
	b->backend[b->count++].weight = weight;
	return true;
}

static bool parse_unix(const struct parse *p, const char *path, unsigned weight)
{
	struct backend_addr a = { .addr = { .family = 0 } };
	char why[300];

	if (unix_name_check(path, why, sizeof(why)) < 0)
		return fail(p, "backend %s", why);
	strcpy(a.path, path);
	return add(p, &a, weight);
}

static bool parse_udp(const struct parse *p, const char *text, unsigned weight)
{
	struct backend_addr a = { .addr = { .family = 0 } };
	struct addr found[BACKEND_MOST];
	char why[200];
	int n;

	if (text[0] != '[' && text[strspn(text, "0123456789.:")])
		p->out->named = true;
	n = addr_parse(text, 0, found, BACKEND_MOST, why, sizeof(why));
	if (n < 0)
		return fail(p, "backend %s", why);
	for (int i = 0; i < n; i++) {
		a.addr = found[i];
		if (addr_is_wildcard(&a.addr))
			return fail(p, "backend \"%.120s\" is every address: name one", text);
		if (a.addr.port == 0)
			return fail(p, "backend \"%.120s\": its port is missing; " ACCEPTED, text);
		if (!add(p, &a, weight))
			return false;
	}
	return true;
}

/* text is cut off before its weight. */
static bool parse_weight(const struct parse *p, char *text, unsigned *weight)
{
	char *star = strrchr(text, '*'), *digits;
	size_t len;

	*weight = 1;
	if (!star || star == text || strchr(star, ':'))
		return true;
	digits = star + 1;
	len = strlen(digits);
	*weight = len < 1 || len > 3 || strspn(digits, "0123456789") != len ? 0 : (unsigned)atoi(digits);
	if (*weight < 1 || *weight > BACKEND_WEIGHT_MOST)
		return fail(p, "backend \"%.120s\": its weight is not a whole number from 1 to %d", text,
			    BACKEND_WEIGHT_MOST);
	*star = '\0';
	return true;
}

static bool parse_one(const struct parse *p, char *text)
{
	unsigned weight;
	char *end;

	text += strspn(text, " \t");
	end = text + strcspn(text, " \t");
	if (end[strspn(end, " \t")])
		return fail(p, "backend \"%.120s\": there is a blank in it; " ACCEPTED, text);
	*end = '\0';
	if (!*text)
		return fail(p, "a backend is missing; " ACCEPTED);
	if (!parse_weight(p, text, &weight))
		return false;
	if (strncmp(text, UNIX_NAME_PREFIX, strlen(UNIX_NAME_PREFIX)) == 0)
		return parse_unix(p, text + strlen(UNIX_NAME_PREFIX), weight);
	return parse_udp(p, text, weight);
}

/* Spreads the turns of each over the round: who is owed most has the next one, and then owes a round. */
static void make_order(struct backends *b)
{
	int owed[BACKEND_MOST] = { 0 };

	for (unsigned i = 0; i < b->count; i++)
		b->turns += b->backend[i].weight;
	for (unsigned t = 0; t < b->turns; t++) {
		unsigned best = 0;

		for (unsigned i = 0; i < b->count; i++) {
			owed[i] += (int)b->backend[i].weight;
			if (owed[i] > owed[best])
				best = i;
		}
		owed[best] -= (int)b->turns;
		b->order[t] = (uint8_t)best;
	}
}

struct backends *backends_parse(const char *text, uint64_t silence_ms, char *err, size_t err_size)
{
	size_t size = strlen(text) + 1;
	struct parse p = { .out = calloc(1, sizeof(*p.out) + size), .err = err, .err_size = err_size };
	char *copy = strdup(text), *at = copy, *one;
	bool well = p.out && copy;

	if (well)
		memcpy(p.out->text, text, size);
	else
		fail(&p, "out of memory");
	while (well && (one = strsep(&at, ",")))
		well = parse_one(&p, one);
	free(copy);
	if (!well) {
		free(p.out);
		return NULL;
	}
	atomic_init(&p.out->refs, 1);
	p.out->silence_ms = silence_ms;
	make_order(p.out);
	return p.out;
}

struct backends *backends_ref(struct backends *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void backends_unref(struct backends *b)
{
	if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		free(b);
}

struct backends *backends_again(const struct backends *b, char *err, size_t err_size)
{
	return backends_parse(b->text, b->silence_ms, err, err_size);
}

bool backends_named(const struct backends *b)
{
	return b->named;
}

bool backends_same(const struct backends *a, const struct backends *b)
{
	for (unsigned i = 0; i < a->count; i++) {
		const struct backend *other = find(b, &a->backend[i].addr);

		if (!other || other->weight != a->backend[i].weight)
			return false;
	}
	return a->count == b->count;
}

static void inherit(struct backend *to, const struct backend *from)
{
	set(to->heard_at, get(from->heard_at));
	set(to->asked_at, get(from->asked_at));
	set(to->trial_at, get(from->trial_at));
	set(to->tried_at, get(from->tried_at));
	set(to->unanswered, get(from->unanswered));
	set(to->health, get(from->health));
}

void backends_inherit(struct backends *b, const struct backends *before)
{
	for (unsigned i = 0; i < b->count; i++) {
		const struct backend *was = find(before, &b->backend[i].addr);

		if (was)
			inherit(&b->backend[i], was);
	}
}

unsigned backends_count(const struct backends *b)
{
	return b->count;
}

const struct backend_addr *backends_addr(const struct backends *b, unsigned i)
{
	assert(i < b->count);
	return &b->backend[i].addr;
}

const char *backend_format(const struct backend_addr *a, char buf[static BACKEND_TEXT_MAX])
{
	static_assert(BACKEND_TEXT_MAX >= ADDR_TEXT_MAX, "an address fits, too");
	if (a->addr.family)
		return addr_format(&a->addr, buf);
	snprintf(buf, BACKEND_TEXT_MAX, UNIX_NAME_PREFIX "%s", a->path);
	return buf;
}

/* ---- health ---- */

/* True for the one of all workers whose word it is. */
static bool change(struct backend *k, enum health from, enum health to)
{
	uint8_t was = (uint8_t)from;

	return atomic_compare_exchange_strong_explicit(&k->health, &was, (uint8_t)to, memory_order_relaxed,
						       memory_order_relaxed);
}

static void come_up(struct backend *k, enum health from, const char *why)
{
	char text[BACKEND_TEXT_MAX];

	set(k->asked_at, 0);
	set(k->unanswered, 0);
	if (change(k, from, UP))
		log_notice("backend %s is up again: %s", backend_format(&k->addr, text), why);
}

/* False: it is down already. */
static bool go_down(struct backend *k, enum health to, uint64_t now)
{
	set(k->trial_at, now + BACKEND_TRIAL_MS);
	set(k->tried_at, 0);
	return change(k, UP, to);
}

static bool others_answer(struct backends *b, const struct backend *k, uint64_t now)
{
	for (unsigned i = 0; i < b->count; i++) {
		uint64_t heard = get(b->backend[i].heard_at);

		if (&b->backend[i] != k && heard && now < heard + b->silence_ms)
			return true;
	}
	return false;
}

static void judge_silence(struct backends *b, struct backend *k, uint64_t now)
{
	uint64_t asked = get(k->asked_at);
	char text[BACKEND_TEXT_MAX];

	if (!asked || !b->silence_ms || now < asked + b->silence_ms || get(k->unanswered) < BACKEND_SILENT ||
	    !others_answer(b, k, now))
		return;
	if (go_down(k, SILENT, now))
		log_warning("backend %s is down: it has been silent for %.1f s while others answer; is it overloaded? "
			    "forward-silence says how long it may be", backend_format(&k->addr, text),
			    (double)(now - asked) / 1000);
}

static bool is_up(struct backends *b, struct backend *k, uint64_t now)
{
	if (get(k->health) == UP)
		judge_silence(b, k, now);
	return get(k->health) == UP;
}

/* k is down: is it this datagram that may try it? */
static bool may_try(struct backend *k, uint64_t now)
{
	uint64_t due = get(k->trial_at), tried = get(k->tried_at);

	if (now < due)
		return false;
	if (!atomic_compare_exchange_strong_explicit(&k->trial_at, &due, now + BACKEND_TRIAL_MS, memory_order_relaxed,
						     memory_order_relaxed))
		return false; /* another worker tries */
	if (get(k->health) == REFUSES && tried && now >= tried + BACKEND_PROBATION_MS)
		come_up(k, REFUSES, "it refuses nothing");
	else if (!tried)
		set(k->tried_at, now);
	return true;
}

bool backends_may_send(struct backends *b, unsigned i, uint64_t now_ms)
{
	struct backend *k = &b->backend[i];

	assert(i < b->count);
	return is_up(b, k, now_ms) || may_try(k, now_ms);
}

void backends_sent(struct backends *b, unsigned i, uint64_t now_ms)
{
	struct backend *k = &b->backend[i];

	if (!get(k->asked_at)) {
		if (now_ms < get(k->heard_at) + NOTE_MS)
			return; /* it is busy answering */
		set(k->asked_at, now_ms);
	}
	if (get(k->unanswered) < BACKEND_SILENT)
		atomic_fetch_add_explicit(&k->unanswered, 1, memory_order_relaxed);
}

void backends_heard(struct backends *b, unsigned i, uint64_t now_ms)
{
	struct backend *k = &b->backend[i];
	enum health health = (enum health)get(k->health);

	if (now_ms >= get(k->heard_at) + NOTE_MS)
		set(k->heard_at, now_ms);
	if (get(k->asked_at)) {
		set(k->asked_at, 0);
		set(k->unanswered, 0);
	}
	if (health != UP)
		come_up(k, health, "it answers");
}

void backends_refused(struct backends *b, unsigned i, int why, uint64_t now_ms)
{
	struct backend *k = &b->backend[i];
	char text[BACKEND_TEXT_MAX];

	if (go_down(k, REFUSES, now_ms))
		log_warning("backend %s is down: %s; %s: is it running, is this its address?",
			    backend_format(&k->addr, text), strerror(why),
			    b->count == 1 ? "datagrams to it are dropped until it is back" :
			    "others get new sessions, and its own with forward-move");
}

/* ---- choice ---- */

/* By weight and turn of those that are up, but for except; -1: none is. */
static int pick_up(struct backends *b, int except, uint64_t now)
{
	unsigned weight[BACKEND_MOST], sum = 0, turn;
	int i = 0;

	for (unsigned k = 0; k < b->count; k++) {
		weight[k] = (int)k != except && is_up(b, &b->backend[k], now) ? b->backend[k].weight : 0;
		sum += weight[k];
	}
	if (sum == 0)
		return -1;
	turn = atomic_fetch_add_explicit(&b->spare_turn, 1, memory_order_relaxed) % sum;
	while (turn >= weight[i])
		turn -= weight[i++];
	return i;
}

unsigned backends_choose(struct backends *b, uint64_t now_ms, bool *trial)
{
	unsigned turn = atomic_fetch_add_explicit(&b->turn, 1, memory_order_relaxed) % b->turns, i = b->order[turn];
	int other;

	*trial = false;
	if (is_up(b, &b->backend[i], now_ms))
		return i;
	*trial = may_try(&b->backend[i], now_ms);
	if (*trial)
		return i;
	other = pick_up(b, -1, now_ms);
	for (unsigned k = 0; other < 0 && !*trial && k < b->count; k++) {
		*trial = may_try(&b->backend[k], now_ms);
		i = *trial ? k : i;
	}
	return other < 0 ? i : (unsigned)other;
}

int backends_other(struct backends *b, unsigned i, uint64_t now_ms)
{
	return pick_up(b, (int)i, now_ms);
}
