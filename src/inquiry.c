/* SPDX-License-Identifier: BSD-2-Clause */
#include "inquiry.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "metrics.h"
#include "service.h"

#define VISITS_A_RUN 256

/* About one session, which may end meanwhile. */
struct question {
	struct place place;  /* among all of them; first */
	struct place waiter; /* for the answer */
	struct flow flow;
	uint32_t serial;
	unsigned listener;
	uint64_t since;
	bool silent;         /* the program, about this one */
};

static struct question *question_of(struct place *place)
{
	return (struct question *)(void *)place;
}

static struct question *question_waiting(struct place *waiter)
{
	return (struct question *)(void *)((char *)waiter - offsetof(struct question, waiter));
}

static const struct tls *tls_of(const struct inquiry *q, unsigned listener)
{
	return q->env->services[listener]->config.tls;
}

static void drop(struct inquiry *q, struct question *of)
{
	struct inquiry_walk *w = &q->walks[of->listener];

	w->questions--;
	w->silent -= of->silent;
	place_leave(&of->place);
	place_leave(&of->waiter);
	free(of);
}

/* NULL: it is over, or needs no answer any more. */
static struct session *find_session(const struct inquiry *q, const struct question *of)
{
	struct table_node *n = table_find(q->sessions, &of->flow);
	struct session *s = n ? session_of_node(n) : NULL;

	return s && s->serial == of->serial && session_check_grant(s) == TLS_GRANT_ASK ? s : NULL;
}

static void take_answer(struct inquiry *q, struct question *of, struct session *s, const struct psk_key *key)
{
	uint32_t now = key->len > 0 ? tls_grant_key(tls_grants(tls_of(q, of->listener)), key->data, key->len) : 0;

	drop(q, of);
	if (now == s->psk_grant)
		return;
	session_close(s, SESSION_END_REVOKED);
	q->settle(q->settle_ctx, s);
}

/* It makes room for others: the program may say nothing about this one only. */
static void take_silence(struct inquiry *q, struct question *of)
{
	struct inquiry_walk *w = &q->walks[of->listener];

	if (q->env->now - of->since < INQUIRY_SILENT_MS)
		return;
	metric_inc(q->env->metrics, METRIC_psk_recheck_unanswered);
	log_limited(LOG_WARNING_, &of->flow, "psk-socket %s: no answer in 5 seconds about a session of before the reload, "
		    "which goes on: see to the program", tls_psk(tls_of(q, of->listener))->source.at.path);
	of->since = q->env->now;
	w->silent += !of->silent;
	of->silent = true;
}

static void put(struct inquiry *q, struct question *of)
{
	struct session *s = find_session(q, of);
	uint8_t identity[PSK_IDENTITY_MAX];
	struct psk_key key = { .len = 0 };
	size_t len;

	if (!s) {
		drop(q, of);
		return;
	}
	len = tls_peer_psk_identity(session_identity(s), identity, sizeof(identity));
	switch (psk_ask(q->asks, &tls_psk(tls_of(q, of->listener))->source, identity, len, &of->waiter, &key)) {
	case PSK_ANSWER_KEY:
	case PSK_ANSWER_UNKNOWN:
		take_answer(q, of, s, &key);
		break;
	case PSK_ANSWER_WAIT:
		q->put++; /* what is remembered costs the program nothing */
		take_silence(q, of);
		break;
	case PSK_ANSWER_DOWN:
		take_silence(q, of);
		break;
	}
	explicit_bzero(&key, sizeof(key));
}

/* NULL: out of memory. */
static struct question *add(struct inquiry *q, const struct session *s)
{
	struct question *of;

	if (!q->asks)
		q->asks = psk_asks_new(q->env->upstream, q->env->metrics, &q->env->now);
	of = q->asks ? malloc(sizeof(*of)) : NULL;
	if (!of) {
		metric_inc(q->env->metrics, METRIC_limited_memory);
		return NULL;
	}
	*of = (struct question){ .flow = s->node.flow, .serial = s->serial, .listener = s->listener,
				 .since = q->env->now };
	place_init(&of->place);
	place_init(&of->waiter);
	if (place_alone(&q->questions))
		q->again_at = q->env->now + INQUIRY_AGAIN_MS;
	place_append(&q->questions, &of->place);
	q->walks[of->listener].questions++;
	return of;
}

void inquiry_ask(struct inquiry *q, const struct session *s)
{
	if (!q->env->upstream || !add(q, s))
		return;
	q->busy = true;
	q->due = q->again_at = q->env->now; /* not here, where it must not be closed */
}

static void put_again(struct inquiry *q)
{
	struct place *at = q->questions.next;

	q->again_at = q->env->now + INQUIRY_AGAIN_MS;
	psk_asks_clean(q->asks); /* each reload has asked by a source of its own */
	while (at != &q->questions) {
		struct question *of = question_of(at);

		at = at->next;
		put(q, of);
	}
}

/* ---- the walk ---- */

void inquiry_begin(struct inquiry *q, unsigned listener)
{
	if (!q->env->upstream)
		return;
	q->walks[listener].under_way = q->busy = true;
	q->walks[listener].cursor = 0;
	q->due = q->env->now;
}

struct visit {
	struct inquiry *inquiry;
	unsigned listener;
};

static void visit_session(void *ctx, struct table_node *n)
{
	const struct visit *v = ctx;
	struct session *s = session_of_node(n);
	struct question *of = NULL;

	if (s->listener == v->listener && session_check_grant(s) == TLS_GRANT_ASK)
		of = add(v->inquiry, s);
	if (of)
		put(v->inquiry, of);
}

static bool wants_more(const struct inquiry_walk *w)
{
	return w->under_way && w->questions - w->silent < INQUIRY_AT_ONCE && w->silent < INQUIRY_SILENT_MOST;
}

/* As far as its questions, those of the spell and the visits allow. */
static void walk(struct inquiry *q, unsigned listener, unsigned *visits)
{
	struct visit v = { q, listener };
	struct inquiry_walk *w = &q->walks[listener];

	for (; wants_more(w) && *visits > 0 && q->put < INQUIRY_A_SPELL; --*visits)
		w->under_way = table_walk(q->sessions, &w->cursor, 1, visit_session, &v);
}

/* True: another visit may follow at once. */
static bool walk_all(struct inquiry *q)
{
	unsigned visits = VISITS_A_RUN;
	bool under_way = false, more = false;

	for (unsigned i = 0; i < LISTENERS_MOST; i++) {
		walk(q, i, &visits);
		under_way |= q->walks[i].under_way;
		more |= wants_more(&q->walks[i]);
	}
	q->busy = under_way || !place_alone(&q->questions);
	q->due = more ? q->spell_at + INQUIRY_SPELL_MS : q->again_at;
	return more && q->put < INQUIRY_A_SPELL;
}

static void forget_asks(struct inquiry *q)
{
	psk_asks_free(q->asks);
	q->asks = NULL;
}

bool inquiry_run(struct inquiry *q)
{
	struct place *news;
	bool more;

	if (!q->busy)
		return false;
	while (q->asks && (news = psk_asks_news(q->asks)))
		put(q, question_waiting(news));
	if (!place_alone(&q->questions) && q->env->now >= q->again_at)
		put_again(q);
	if (q->env->now - q->spell_at >= INQUIRY_SPELL_MS) {
		q->spell_at = q->env->now;
		q->put = 0;
	}
	more = walk_all(q);
	if (!q->busy)
		forget_asks(q);
	return more;
}

uint64_t inquiry_wait(const struct inquiry *q, uint64_t limit_ms)
{
	uint64_t now = q->env->now, wait = q->due > now ? q->due - now : 0;

	return q->busy && wait < limit_ms ? wait : limit_ms;
}

/* ---- life ---- */

void inquiry_init(struct inquiry *q)
{
	place_init(&q->questions);
}

void inquiry_clear(struct inquiry *q)
{
	while (!place_alone(&q->questions))
		drop(q, question_of(q->questions.next));
	forget_asks(q);
}
