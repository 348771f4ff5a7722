/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * command: the command handler in a session of its own, beside another session that only listens. Every line
 * has one answer, the right one where that is known; nothing a peer says ends its session or reaches the
 * other one, but for what it broadcasts.
 * The input is a list of records, each after its length.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include "bus.h"
#include "fuzz.h"
#include "handlers.h"
#include "log.h"
#include "metrics.h"
#include "service.h"
#include "session.h"
#include "txq.h"
#include "wire.h"

#define EPOCH_1 (UINT64_C(1) << 48)
#define RECORDS_MAX 200
#define BROADCAST_MAX 1200 /* the longest line of one */

enum who { ASKER, LISTENER, PEERS };

struct peer {
	struct session s;
	struct record_state far; /* the other end */
	unsigned got;
	size_t len; /* of the last answer */
	uint8_t text[DTLS_PLAINTEXT_MAX];
};

struct bench {
	struct env env;
	struct txq txq;
	struct metrics metrics;
	struct bus bus;
	struct peer peer[PEERS];
	struct letter *letters;
	uint8_t scratch[ENV_SCRATCH];
};

static void take(void *ctx, struct txq *q)
{
	static uint8_t wire[TXQ_DATAGRAM_MAX];
	struct bench *b = ctx;

	for (uint32_t i = q->first; i < q->count; i++) {
		const struct tx_entry *e = &q->entry[i];
		struct peer *p = &b->peer[e->flow.peer.port];
		uint8_t *plain;
		struct record r;
		size_t at = 0;
		ssize_t n;

		memcpy(wire, txq_data(q, e), e->len);
		assert(classify_record(wire, e->len, &at, &r) == RECORD_PROTECTED && at == e->len);
		n = record_unprotect(&p->far, b->env.cache, &r, &plain, NULL);
		assert(n > 0 && r.type == DTLS_APPLICATION_DATA);
		memcpy(p->text, plain, (size_t)n);
		p->len = (size_t)n;
		p->got++;
	}
	txq_sent(q, q->count - q->first);
}

static bool post(void *ctx, unsigned worker, struct letter *l)
{
	struct bench *b = ctx;

	assert(worker == 0);
	l->next = b->letters;
	b->letters = l;
	return true;
}

static void settle(void *ctx, struct session *s)
{
	(void)ctx;
	assert(s->end == SESSION_LIVE);
}

static void peer_init(struct bench *b, enum who who)
{
	const struct record_direction up = { { 1, (uint8_t)who }, { 2 } }, down = { { 3, (uint8_t)who }, { 4 } };
	struct peer *p = &b->peer[who];

	p->s = (struct session){ .env = &b->env, .opened = true, .final_mtu = 1200 };
	p->s.serial = who + 1U;
	p->s.node.flow.peer = (struct addr){ .family = AF_INET, .port = (uint16_t)who };
	p->s.node.flow.local = (struct addr){ .family = AF_INET, .port = 4433 };
	record_init(&p->s.record, RECORD_AES_128_GCM, &up, EPOCH_1, &down, EPOCH_1);
	record_init(&p->far, RECORD_AES_128_GCM, &down, EPOCH_1, &up, EPOCH_1);
	if (who == ASKER)
		p->s.names = "CN=the \xc3\xa4sker";
	table_insert(b->bus.sessions, &p->s.node);
}

static struct bench *bench_new(void)
{
	static struct service service = { .config = { .name = "fuzz", .handler = &handler_command } };
	static struct service *services[] = { &service };
	static const struct siphash_key key = { 1, 2 };
	struct bench *b = calloc(1, sizeof(*b));

	assert(b && txq_init(&b->txq, take, b) == 0);
	b->env = (struct env){ .now = 5000, .txq = &b->txq, .metrics = &b->metrics, .scratch = b->scratch,
			       .bus = &b->bus, .services = services };
	b->env.cache = record_cache_new(8);
	b->bus = (struct bus){ .count = 1, .post = post, .post_ctx = b, .settle = settle, .settle_ctx = b };
	b->bus.sessions = table_new(&key);
	assert(b->env.cache && b->bus.sessions);
	peer_init(b, ASKER);
	peer_init(b, LISTENER);
	return b;
}

static void bench_free(struct bench *b)
{
	bus_clear(&b->bus);
	for (int i = 0; i < PEERS; i++) {
		table_remove(b->bus.sessions, &b->peer[i].s.node);
		session_release(&b->peer[i].s);
		record_wipe(&b->peer[i].far, b->env.cache);
	}
	table_free(b->bus.sessions);
	record_cache_free(b->env.cache);
	txq_destroy(&b->txq);
	free(b);
}

static void hear(struct bench *b, const uint8_t *text, size_t len)
{
	struct peer *p = &b->peer[ASKER];
	size_t size = len + record_overhead(RECORD_AES_128_GCM), at = 0;
	uint8_t *wire = malloc(size);
	struct record r;

	assert(wire);
	assert(record_protect(&p->far, b->env.cache, DTLS_APPLICATION_DATA, text, len, wire, size) ==
	       (ssize_t)size);
	assert(classify_record(wire, size, &at, &r) == RECORD_PROTECTED);
	assert(session_record(&p->s, &r, false));
	while (b->letters) {
		struct letter *l = b->letters;

		b->letters = l->next;
		bus_letter(&b->bus, l);
		while (bus_run(&b->bus))
			continue;
	}
	txq_flush(&b->txq);
	free(wire);
}

static bool begins(const uint8_t *text, size_t len, const char *with)
{
	return len >= strlen(with) && memcmp(text, with, strlen(with)) == 0;
}

static bool is(const uint8_t *text, size_t len, const char *what)
{
	return len == strlen(what) && begins(text, len, what);
}

static bool is_broadcast(const uint8_t *line, size_t len, const struct peer *asker)
{
	return len > 3 && begins(line, len, "bc ") && !begins(asker->text, asker->len, "error:");
}

/* line has no newline at its end and is not empty. */
static void check_answer(struct bench *b, const uint8_t *line, size_t len)
{
	const struct peer *asker = &b->peer[ASKER], *other = &b->peer[LISTENER];

	assert(asker->got == 1);
	if (is(line, len, "ping"))
		assert(is(asker->text, asker->len, "pong\n"));
	if (begins(line, len, "echo ") && len > 5) {
		assert(asker->len >= len - 5 && asker->len <= len - 4);
		assert(memcmp(asker->text, line + 5, len - 5) == 0);
	} else {
		assert(asker->text[asker->len - 1] == '\n' && asker->len <= BROADCAST_MAX);
	}
	if (is(line, len, "stats"))
		assert(begins(asker->text, asker->len, "2 sessions\n"));
	if (is(line, len, "whoami"))
		assert(is(asker->text, asker->len, "0.0.0.0:0 CN=the \xc3\xa4sker\n"));
	assert(other->got == is_broadcast(line, len, asker));
	if (other->got)
		assert(other->len == asker->len && memcmp(other->text, asker->text, asker->len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct bench *b = bench_new();

	log_open(LOG_TO_STDERR, LOG_ERROR_, "fuzz");
	for (unsigned n = 0; in.left && n < RECORDS_MAX; n++) {
		size_t len = fuzz_u16(&in) % (DTLS_PLAINTEXT_MAX + 1);
		const uint8_t *line = fuzz_bytes(&in, &len);

		b->peer[ASKER].got = b->peer[LISTENER].got = 0;
		hear(b, line, len);
		assert(b->peer[ASKER].s.end == SESSION_LIVE && b->bus.rosters == 0);
		while (len && (line[len - 1] == '\n' || line[len - 1] == '\r' || line[len - 1] == '\0'))
			len--;
		if (len)
			check_answer(b, line, len);
		else
			assert(b->peer[ASKER].got == 0 && b->peer[LISTENER].got == 0);
	}
	bench_free(b);
	return 0;
}
