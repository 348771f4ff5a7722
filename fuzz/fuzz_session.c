/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session: whole conversations between GnuTLS clients and the engine, over a network that the input is the
 * program of. Three clients: the subject, whose datagrams wait until the program says what becomes of them;
 * the witness, with a session of its own, whom strangers may send whatever they like in its name; and
 * at the end a newcomer.
 *
 * Whatever happened: no message arrives changed or twice, the witness is still served, the newcomer gets in,
 * and when all have gone nothing is left. If the network only lost, delayed, repeated and reordered, the
 * subject gets in and is served, too.
 *
 * What does not follow from the input: GnuTLS's random numbers and keys (and with them the length of ECDSA
 * signatures, by a byte or two) and the keys of the hash tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fuzz.h"
#include "metrics.h"
#include "world.h"

#define WITNESS_PORT 1000
#define SUBJECT_PORT 2000
#define NEWCOMER_PORT 3000
#define IDLE_MS 100000
#define HANDSHAKE_MS 60000
#define STEPS_MAX 300
#define TIME_MAX 80000   /* virtual ms that a program may take: HANDSHAKE_MS, but not IDLE_MS, can pass */
#define PROMPT_MS 10000  /* a subject that had to wait no longer than this gets in */
#define CAPTURED 64
#define HELD 64
#define MESSAGES 1000    /* of a program; those after them are for the checks */
#define PACKET_MAX 2048

struct packet {
	bool to_server;
	bool old; /* of a subject that is no more */
	uint16_t port;
	size_t len;
	uint8_t data[PACKET_MAX];
};

struct run {
	struct world w;
	struct client *witness, *subject;
	struct packet captured[CAPTURED]; /* the latest, whoever's */
	unsigned captured_count;
	struct packet held[HELD];         /* the subject's, in the order of sending */
	unsigned held_count;
	uint64_t began, subject_began;
	unsigned said, checks; /* numbers of messages used up */
	bool rsa;
	bool fair;   /* all that was done in the subject's name is its own */
	bool parted; /* the subject said goodbye */
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
const char *__lsan_default_suppressions(void);

/* A GnuTLS client that is sent nonsense loses buffers. For the server's sessions other tests look. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libgnutls.so\n";
}

static void remove_files(void)
{
	world_tear_down(NULL);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	/* the simulator asserts with cmocka; outside of its runner a failure should be a crash */
	setenv("CMOCKA_TEST_ABORT", "1", 1);
	world_set_up(NULL);
	atexit(remove_files);
	return 0;
}

/* ---- the network ---- */

static bool tap(void *ctx, const struct flow *flow, bool to_server, const uint8_t *data, size_t len)
{
	struct run *r = ctx;
	struct packet *p = &r->captured[r->captured_count % CAPTURED];

	if (len > PACKET_MAX)
		return false;
	p->to_server = to_server;
	p->old = false;
	p->port = flow->peer.port;
	p->len = len;
	memcpy(p->data, data, len);
	r->captured_count++;
	if (flow->peer.port != SUBJECT_PORT)
		return false;
	if (r->held_count < HELD)
		r->held[r->held_count++] = *p;
	return true;
}

static void deliver(struct run *r, const struct packet *p)
{
	struct flow flow = r->witness->flow;

	flow.peer.port = p->port;
	if (p->old)
		r->fair = false;
	r->w.net.tap = NULL;
	net_send(&r->w.net, &flow, p->to_server, p->data, p->len);
	r->w.net.tap = tap;
}

static void drop_held(struct run *r, unsigned i)
{
	r->held_count--;
	memmove(&r->held[i], &r->held[i + 1], (r->held_count - i) * sizeof(r->held[0]));
}

static void deliver_held(struct run *r, unsigned i)
{
	struct packet p;

	if (i >= r->held_count)
		return;
	p = r->held[i];
	drop_held(r, i);
	deliver(r, &p);
}

/* One of those captured, the latest is 0. NULL: there is none. */
static struct packet *pick(struct run *r, struct fuzz_input *in)
{
	unsigned known = r->captured_count < CAPTURED ? r->captured_count : CAPTURED;
	uint8_t i = fuzz_u8(in);
	struct packet *p;

	if (known == 0)
		return NULL;
	p = &r->captured[(r->captured_count - 1 - i % known) % CAPTURED];
	return p->len ? p : NULL;
}

static uint16_t pick_port(struct fuzz_input *in)
{
	static const uint16_t ports[] = { SUBJECT_PORT, WITNESS_PORT, NEWCOMER_PORT, 4000 };

	return ports[fuzz_u8(in) % 4];
}

/* ---- what may happen ---- */

/* Forged by a stranger: to the server only, clients are not what is tested. */
static void forge(struct run *r, struct packet *p)
{
	if (p->port == SUBJECT_PORT)
		r->fair = false;
	p->to_server = true;
	if (p->len)
		deliver(r, p);
}

static void do_change(struct run *r, struct fuzz_input *in)
{
	struct packet *from = pick(r, in), p;
	uint16_t at;

	if (!from)
		return;
	p = *from;
	at = fuzz_u16(in);
	p.data[at % p.len] ^= fuzz_u8(in);
	forge(r, &p);
}

/* The original arrives changed and nothing else does. */
static void do_corrupt(struct run *r, struct fuzz_input *in)
{
	uint16_t at = fuzz_u16(in);

	if (r->held_count == 0)
		return;
	r->fair = false;
	r->held[0].data[at % r->held[0].len] ^= fuzz_u8(in);
	deliver_held(r, 0);
}

static void do_inject(struct run *r, struct fuzz_input *in)
{
	struct packet p = { .port = pick_port(in) };
	const uint8_t *bytes;

	p.len = fuzz_u8(in);
	bytes = fuzz_bytes(in, &p.len);
	memcpy(p.data, bytes, p.len);
	forge(r, &p);
}

static void do_spoof(struct run *r, struct fuzz_input *in)
{
	struct packet *from = pick(r, in), p;

	if (!from)
		return;
	p = *from;
	p.port = pick_port(in);
	forge(r, &p);
}

static void do_cut(struct run *r, struct fuzz_input *in)
{
	struct packet *from = pick(r, in), p;
	uint16_t at = fuzz_u16(in);

	if (!from)
		return;
	p = *from;
	if (at & 0x8000) { /* the front */
		at = (uint16_t)((at & 0x7fff) % p.len);
		memmove(p.data, p.data + at, p.len - at);
		p.len -= at;
	} else {
		p.len = at % p.len;
	}
	forge(r, &p);
}

static void do_glue(struct run *r, struct fuzz_input *in)
{
	struct packet *first = pick(r, in), *second = pick(r, in), p;

	if (!first || !second || first->len + second->len > PACKET_MAX)
		return;
	p = *first;
	memcpy(p.data + p.len, second->data, second->len);
	p.len += second->len;
	forge(r, &p);
}

static void do_repeat(struct run *r, struct fuzz_input *in)
{
	struct packet *p = pick(r, in);

	if (p)
		deliver(r, p);
}

static enum world_auth pick_auth(const struct run *r, uint8_t n)
{
	enum world_auth auth = n % (AUTH_MUTUAL + 1);

	/* the server has one kind of certificate; a client that wants the other is rightly refused */
	return auth == AUTH_RSA && !r->rsa ? AUTH_ECDSA : auth;
}

static void do_restart(struct run *r, struct fuzz_input *in)
{
	for (unsigned i = 0; i < r->held_count; i++)
		r->held[i].old = true;
	for (unsigned i = 0; i < CAPTURED; i++)
		r->captured[i].old = r->captured[i].port == SUBJECT_PORT;
	/* the server goes on with the old handshake, and a GnuTLS client takes what it sends for its own */
	if (!r->subject->done)
		r->fair = false;
	client_free(r->subject);
	r->subject = client_new(&r->w, pick_auth(r, fuzz_u8(in)), SUBJECT_PORT, NULL);
	r->subject_began = r->w.net.now;
	r->parted = false;
}

static void say(struct run *r, struct client *c)
{
	if (c->done && !c->error && !c->closed && (c == r->witness || !r->parted) && r->said < MESSAGES)
		client_say(c, r->said++);
}

static void do_time(struct run *r, uint64_t ms)
{
	if (r->w.net.now - r->began + ms < TIME_MAX)
		world_run(&r->w, ms, NULL, NULL);
}

static void step(struct run *r, struct fuzz_input *in)
{
	uint8_t op = fuzz_u8(in), n = op >> 4;

	switch (op & 15) {
	case 0:
		for (unsigned i = 0; i <= n; i++)
			deliver_held(r, 0);
		break;
	case 1:
		if (r->held_count)
			drop_held(r, n % r->held_count);
		break;
	case 2:
		deliver_held(r, n);
		break;
	case 3:
		do_repeat(r, in);
		break;
	case 4:
		do_change(r, in);
		break;
	case 5:
		do_corrupt(r, in);
		break;
	case 6:
		do_inject(r, in);
		break;
	case 7:
		do_spoof(r, in);
		break;
	case 8:
		do_cut(r, in);
		break;
	case 9:
		do_glue(r, in);
		break;
	case 10:
		do_time(r, n * UINT64_C(20));
		break;
	case 11:
		do_time(r, n * UINT64_C(1000));
		break;
	case 12:
		do_restart(r, in);
		break;
	case 13:
		say(r, n & 1 ? r->witness : r->subject);
		break;
	case 14:
		if (n == 0 && r->subject->done && !r->subject->error) {
			client_bye(r->subject);
			r->parted = true;
		} else {
			r->w.net.down.mtu = n < 8 ? 0 : 300U + n * 60U;
		}
		break;
	default:
		engine_apply(r->w.engine, &r->w.settings);
	}
	world_run(&r->w, 6, NULL, NULL);
}

/* ---- what must hold ---- */

struct expected {
	struct client *client;
	unsigned echoes;
};

static bool has_echo(void *ctx)
{
	const struct expected *e = ctx;

	return e->client->echoes >= e->echoes;
}

static void check_served(struct run *r, struct client *c)
{
	struct expected e = { c, c->echoes + 1 };

	assert_int_equal(c->error, 0);
	assert_true(c->done && !c->closed);
	client_say(c, MESSAGES + r->checks++);
	assert_true(world_run(&r->w, 5000, has_echo, &e));
}

static void check_clients(const struct world *w)
{
	for (const struct client *c = w->clients; c; c = c->next) {
		assert_int_equal(c->strange, 0);
		assert_int_equal(c->repeated, 0);
	}
}

static void check_books(struct world *w)
{
	const struct metrics *m = engine_metrics(w->engine);

	assert_int_equal(engine_sessions(w->engine), 0);
	assert_int_equal(engine_handshakes(w->engine), 0);
	assert_int_equal(census_sessions(w->census), 0);
	assert_int_equal(metric_get(m, METRIC_session_opened),
			 metric_get(m, METRIC_session_closed_peer) + metric_get(m, METRIC_session_closed_local) +
			 metric_get(m, METRIC_session_closed_idle) + metric_get(m, METRIC_session_closed_seq) +
			 metric_get(m, METRIC_session_closed_replaced) +
			 metric_get(m, METRIC_session_closed_drain));
}

static void settle(struct run *r)
{
	bool prompt = r->w.net.now - r->subject_began < PROMPT_MS;
	struct client *newcomer;

	while (r->held_count)
		deliver_held(r, 0);
	r->w.net.tap = NULL;
	r->w.net.down.mtu = 0;
	check_served(r, r->witness);
	newcomer = client_new(&r->w, AUTH_PSK, NEWCOMER_PORT, NULL);
	assert_true(world_run(&r->w, 30000, client_is_done, newcomer));
	check_served(r, newcomer);
	if (r->fair && prompt && !r->parted) {
		assert_true(world_run(&r->w, 60000, client_settled, r->subject));
		check_served(r, r->subject);
	}
	check_clients(&r->w);
	while (r->w.clients)
		client_free(r->w.clients);
	world_run(&r->w, HANDSHAKE_MS + 1000, NULL, NULL);
	assert_int_equal(engine_handshakes(r->w.engine), 0);
	assert_int_equal(census_handshakes(r->w.census), 0);
	world_run(&r->w, IDLE_MS + 1000, NULL, NULL);
	check_books(&r->w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	uint8_t auth = fuzz_u8(&in), how = fuzz_u8(&in);
	const struct world_options o = {
		.seed = 1,
		.idle_timeout_ms = IDLE_MS,
		.handshake_timeout_ms = HANDSHAKE_MS,
		.handshake_steps_per_turn = 1,
		.verify = how & 1 ? VERIFY_CLIENT_OPTIONAL : VERIFY_CLIENT_NONE,
		.rsa = how & 2,
	};
	struct run *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	world_init(&r->w, &o);
	r->fair = true;
	r->rsa = o.rsa;
	r->w.net.tap = tap;
	r->w.net.tap_ctx = r;
	r->witness = client_new(&r->w, AUTH_PSK, WITNESS_PORT, NULL);
	assert_true(world_run(&r->w, 10000, client_is_done, r->witness));
	check_served(r, r->witness);
	r->subject = client_new(&r->w, pick_auth(r, auth), SUBJECT_PORT, NULL);
	r->began = r->subject_began = r->w.net.now;
	for (unsigned n = 0; in.left > 0 && n < STEPS_MAX; n++)
		step(r, &in);
	settle(r);
	world_end(&r->w);
	free(r);
	return 0;
}
