/* SPDX-License-Identifier: BSD-2-Clause */
/* session: an established peer, with a second record state in the place of the peer. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "handler.h"
#include "log.h"
#include "metrics.h"
#include "service.h"
#include "session.h"
#include "txq.h"
#include "wire.h"

#define EPOCH_1 (UINT64_C(1) << 48)

struct bench {
	struct env env;
	struct txq txq;
	struct metrics metrics;
	struct session s;
	struct record_state peer;
	unsigned records, closes;
	size_t last_len;
	uint8_t scratch[ENV_SCRATCH];
	/* what the peer got */
	unsigned got, got_data, got_alerts;
	uint8_t alert[2];
	uint64_t got_seq;
	bool blocked;
};

static void take(void *ctx, struct txq *q)
{
	struct bench *b = ctx;

	if (b->blocked)
		return;
	for (uint32_t i = q->first; i < q->count; i++) {
		static uint8_t data[TXQ_DATAGRAM_MAX];
		struct record r;
		uint8_t *plain;
		size_t at = 0;
		ssize_t n;

		memcpy(data, txq_data(q, &q->entry[i]), q->entry[i].len);
		b->got++;
		if (classify_record(data, q->entry[i].len, &at, &r) != RECORD_PROTECTED)
			continue;
		n = record_unprotect(&b->peer, b->env.cache, &r, &plain, NULL);
		assert_true(n >= 0);
		b->got_seq = r.seq;
		if (r.type == DTLS_ALERT) {
			assert_int_equal(n, 2);
			memcpy(b->alert, plain, 2);
			b->got_alerts++;
		} else {
			b->got_data++;
			b->last_len = (size_t)n;
		}
	}
	txq_sent(q, q->count - q->first);
}

static struct bench *bench_of(struct session *s)
{
	return (struct bench *)(void *)((char *)s - offsetof(struct bench, s));
}

static void on_record(struct session *s, const uint8_t *data, size_t len)
{
	(void)data;
	bench_of(s)->records++;
	bench_of(s)->last_len = len;
}

static void on_close(struct session *s)
{
	bench_of(s)->closes++;
}

static const struct handler handler = { .name = "test", .help = "", .record = on_record, .close = on_close };

static struct bench *bench_new(void)
{
	const struct record_direction up = { { 1, 2, 3 }, { 4, 5 } }, down = { { 6, 7 }, { 8 } };
	static struct service service;
	static struct service *services[] = { &service };
	struct bench *b = calloc(1, sizeof(*b));
	char err[128];

	assert_non_null(b);
	service.config = (struct service_config){ .name = "test", .handler = &handler, .idle_timeout_ms = 300000 };
	log_open(LOG_TO_STDERR, LOG_ERROR_, "test");
	assert_int_equal(txq_init(&b->txq, take, b), 0);
	b->env = (struct env){ .now = 5000, .txq = &b->txq, .metrics = &b->metrics, .cache = record_cache_new(4),
			       .services = services, .scratch = b->scratch };
	b->env.store = session_store_new();
	assert_true(b->env.cache && b->env.store);
	b->s.env = &b->env;
	b->s.opened = true;
	b->s.opened_at = (uint32_t)(b->env.now / 1000);
	b->s.heard_at = (uint32_t)(b->env.now / SESSION_HEARD_MS);
	b->s.final_mtu = 1200;
	assert_int_equal(addr_parse("192.0.2.9:1", 1, &b->s.node.flow.peer, 1, err, sizeof(err)), 1);
	assert_int_equal(addr_parse("192.0.2.1:4433", 1, &b->s.node.flow.local, 1, err, sizeof(err)), 1);
	record_init(&b->s.record, RECORD_AES_128_GCM, &up, EPOCH_1, &down, EPOCH_1 | 1); /* after its Finished */
	record_init(&b->peer, RECORD_AES_128_GCM, &down, EPOCH_1 | 1, &up, EPOCH_1);
	return b;
}

static void bench_free(struct bench *b)
{
	session_release(&b->s);
	assert_int_equal(b->closes, b->s.opened);
	record_wipe(&b->peer, b->env.cache);
	record_cache_free(b->env.cache);
	session_store_free(b->env.store);
	txq_destroy(&b->txq);
	free(b);
}

/* The peer says it; true: the session took it for its own. */
static bool hear_copy(struct bench *b, const uint8_t *data, size_t len)
{
	static uint8_t copy[DTLS_PLAINTEXT_MAX + RECORD_OVERHEAD_MAX];
	struct record r;
	size_t at = 0;
	bool ours;

	memcpy(copy, data, len);
	assert_int_equal(classify_record(copy, len, &at, &r), RECORD_PROTECTED);
	ours = session_record(&b->s, &r, false);
	txq_flush(&b->txq);
	return ours;
}

static bool hear(struct bench *b, uint8_t type, const void *data, size_t len)
{
	static uint8_t out[DTLS_PLAINTEXT_MAX + RECORD_OVERHEAD_MAX];
	ssize_t n = record_protect(&b->peer, b->env.cache, type, data, len, out, sizeof(out));

	assert_true(n > 0);
	return hear_copy(b, out, (size_t)n);
}

static void sequence_numbers_end_with_close_notify_in_time(void **state)
{
	struct bench *b = bench_new();
	unsigned sent = 0;

	(void)state;
	b->s.record.write_seq = EPOCH_1 | (DTLS_SEQ_MAX - 1100);
	while (sent < 2000 && session_send(&b->s, "x", 1) == 0)
		sent++;
	txq_flush(&b->txq);
	assert_in_range(sent, 1, 1100);
	assert_int_equal(b->s.end, SESSION_END_SEQ);
	assert_int_equal(b->got_data, sent);
	assert_int_equal(b->got_alerts, 1);
	assert_int_equal(b->alert[1], DTLS_ALERT_CLOSE_NOTIFY);
	assert_true(b->got_seq < DTLS_SEQ_MAX);
	assert_int_equal(b->s.record.write_seq >> 48, 1);
	assert_int_equal(session_send(&b->s, "x", 1), -ECONNRESET);
	bench_free(b);
}

static void the_highest_number_of_the_peer_is_taken_once(void **state)
{
	struct bench *b = bench_new();

	(void)state;
	b->peer.write_seq = EPOCH_1 | (DTLS_SEQ_MAX - 2);
	assert_true(hear(b, DTLS_APPLICATION_DATA, "x", 1));
	b->peer.write_seq = EPOCH_1 | (DTLS_SEQ_MAX - 2);
	assert_true(hear(b, DTLS_APPLICATION_DATA, "x", 1));
	assert_int_equal(b->records, 1);
	assert_int_equal(metric_get(&b->metrics, METRIC_drop_replay), 1);
	bench_free(b);
}

static void records_of_2_to_the_14_pass_and_larger_ones_are_refused(void **state)
{
	static const uint8_t text[DTLS_PLAINTEXT_MAX + 1];
	struct bench *b = bench_new();

	(void)state;
	assert_true(hear(b, DTLS_APPLICATION_DATA, text, DTLS_PLAINTEXT_MAX));
	assert_int_equal(b->last_len, DTLS_PLAINTEXT_MAX);
	assert_true(hear(b, DTLS_APPLICATION_DATA, text, 0));
	assert_int_equal(b->last_len, 0);
	assert_int_equal(session_send(&b->s, text, DTLS_PLAINTEXT_MAX), 0);
	txq_flush(&b->txq);
	assert_int_equal(b->last_len, DTLS_PLAINTEXT_MAX);
	assert_int_equal(session_send(&b->s, text, DTLS_PLAINTEXT_MAX + 1), -EMSGSIZE);
	assert_int_equal(metric_get(&b->metrics, METRIC_send_too_large), 1);
	assert_int_equal(session_records_out(&b->s), 1);
	assert_int_equal(b->s.end, SESSION_LIVE);
	bench_free(b);
}

static void a_full_queue_costs_the_record_and_not_the_session(void **state)
{
	static const uint8_t text[DTLS_PLAINTEXT_MAX];
	struct bench *b = bench_new();
	unsigned sent = 0;
	int err = 0;

	(void)state;
	b->blocked = true;
	while (sent < 1000 && (err = session_send(&b->s, text, sizeof(text))) == 0)
		sent++;
	assert_int_equal(err, -ENOBUFS);
	assert_int_equal(metric_get(&b->metrics, METRIC_tx_queue_full), 1);
	assert_int_equal(session_records_out(&b->s), sent);
	b->blocked = false;
	txq_flush(&b->txq);
	assert_int_equal(b->got_data, sent);
	assert_int_equal(session_send(&b->s, text, 1), 0);
	bench_free(b);
}

static void alerts_that_are_none_are_counted_and_change_nothing(void **state)
{
	static const uint8_t bad[][3] = { { 2 }, { 2, 40, 0 }, { 0 } };
	static const size_t size[] = { 1, 3, 0 };
	const uint8_t warning[] = { DTLS_ALERT_WARNING, 90 };
	struct bench *b = bench_new();

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_true(hear(b, DTLS_ALERT, bad[i], size[i]));
	assert_int_equal(metric_get(&b->metrics, METRIC_drop_malformed), 3);
	assert_true(hear(b, DTLS_ALERT, warning, 2));
	assert_int_equal(b->s.end, SESSION_LIVE);
	assert_int_equal(b->got, 0);
	bench_free(b);
}

static void a_fatal_alert_is_not_answered_and_close_notify_is_once(void **state)
{
	const uint8_t fatal[] = { DTLS_ALERT_FATAL, 40 }, bye[] = { DTLS_ALERT_WARNING, DTLS_ALERT_CLOSE_NOTIFY };
	struct bench *b = bench_new();

	(void)state;
	assert_true(hear(b, DTLS_ALERT, fatal, 2));
	assert_int_equal(b->s.end, SESSION_END_PEER);
	assert_int_equal(b->got, 0);
	bench_free(b);

	b = bench_new();
	assert_true(hear(b, DTLS_ALERT, bye, 2));
	session_close(&b->s, SESSION_END_LOCAL);
	txq_flush(&b->txq);
	assert_int_equal(b->s.end, SESSION_END_PEER);
	assert_int_equal(b->got_alerts, 1);
	bench_free(b);
}

static void renegotiation_is_refused_now_and_then(void **state)
{
	static const uint8_t hello[60] = { DTLS_CLIENT_HELLO };
	struct bench *b = bench_new();

	(void)state;
	for (unsigned i = 0; i < 100; i++, b->env.now += 4)
		assert_true(hear(b, DTLS_HANDSHAKE, hello, sizeof(hello)));
	assert_in_range(b->got_alerts, 1, 3);
	assert_int_equal(b->alert[0], DTLS_ALERT_WARNING);
	assert_int_equal(b->alert[1], DTLS_ALERT_NO_RENEGOTIATION);
	assert_int_equal(metric_get(&b->metrics, METRIC_renegotiation_refused), 100);
	assert_int_equal(b->s.end, SESSION_LIVE);
	bench_free(b);
}

static const uint8_t ccs[] = { DTLS_CHANGE_CIPHER_SPEC, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 3, 0, 1, 1 };

static void the_final_flight_is_kept_until_data_comes_or_its_time_is_over(void **state)
{
	static const uint8_t finished[24] = { DTLS_FINISHED, 0, 0, 12 };
	static const size_t length[] = { 1, 600 }; /* kept in the store and apart */

	(void)state;
	for (int data = 0; data < 4; data++) {
		struct bench *b = bench_new();
		struct flight *f = flight_new(3);
		uint64_t until;

		for (size_t at = 0; at < length[data / 2]; at += sizeof(ccs))
			assert_int_equal(flight_push(f, ccs, sizeof(ccs)), 0);
		session_keep_final(&b->s, f, 1200);
		assert_non_null(b->s.final);
		until = b->env.now + 1000 + SESSION_FINAL_MS;
		assert_int_equal(session_due(&b->s), until);
		assert_true(hear(b, DTLS_HANDSHAKE, finished, sizeof(finished)));
		assert_int_equal(b->got, 1);
		assert_true(hear(b, DTLS_HANDSHAKE, finished, sizeof(finished)));
		assert_int_equal(b->got, 1);
		b->env.now += 200;
		assert_true(hear(b, DTLS_HANDSHAKE, finished, sizeof(finished)));
		assert_int_equal(b->got, 2);
		if (data % 2) {
			assert_true(hear(b, DTLS_APPLICATION_DATA, "x", 1));
		} else {
			b->env.now = until - 1;
			session_tick(&b->s);
			assert_non_null(b->s.final);
			b->env.now = until;
			session_tick(&b->s);
		}
		assert_null(b->s.final);
		assert_int_equal(b->s.end, SESSION_LIVE);
		b->env.now += 1000;
		assert_true(hear(b, DTLS_HANDSHAKE, finished, sizeof(finished)));
		assert_int_equal(b->got, 2);
		bench_free(b);
	}
}

/* With a time-out that is over sooner its timer would fire in every turn until then. */
static void who_is_refused_lingers_so_long_and_is_never_idle(void **state)
{
	struct bench *b = bench_new();
	struct flight *f = flight_new(3);
	uint64_t until = b->env.now + 1000 + SESSION_REFUSED_MS;

	(void)state;
	b->env.services[0]->config.idle_timeout_ms = 1000;
	assert_int_equal(flight_push(f, ccs, sizeof(ccs)), 0);
	session_keep_final(&b->s, f, 1200);
	b->s.opened = false;
	session_close(&b->s, SESSION_END_DENIED);
	for (; b->env.now < until; b->env.now += 500) {
		session_tick(&b->s);
		assert_true(session_lingers(&b->s));
		assert_int_equal(session_due(&b->s), until);
	}
	session_tick(&b->s);
	assert_false(session_lingers(&b->s));
	assert_int_equal(b->s.end, SESSION_END_DENIED);
	bench_free(b);
}

static void only_authentic_records_keep_a_session_from_being_idle(void **state)
{
	static uint8_t fake[DTLS_RECORD_HEADER + 40];
	struct bench *b = bench_new();
	uint64_t due = session_due(&b->s);

	(void)state;
	b->env.now += 1000;
	fake[0] = DTLS_APPLICATION_DATA;
	wire_put16(fake + 1, DTLS_VERSION_1_2);
	wire_put16(fake + 3, 1);
	wire_put16(fake + 11, 40);
	assert_false(hear_copy(b, fake, sizeof(fake)));
	assert_int_equal(session_due(&b->s), due);
	assert_int_equal(session_send(&b->s, "x", 1), 0);
	assert_int_equal(session_due(&b->s), due);
	assert_true(hear(b, DTLS_APPLICATION_DATA, "x", 1));
	assert_int_equal(session_due(&b->s), due + 1000);
	b->env.now = due + 1000;
	session_tick(&b->s);
	txq_flush(&b->txq);
	assert_int_equal(b->s.end, SESSION_END_IDLE);
	assert_int_equal(b->got_alerts, 1);
	bench_free(b);
}

static void a_replaced_session_says_nothing(void **state)
{
	struct bench *b = bench_new();

	(void)state;
	session_close(&b->s, SESSION_END_REPLACED);
	txq_flush(&b->txq);
	assert_int_equal(b->got, 0);
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sequence_numbers_end_with_close_notify_in_time),
		cmocka_unit_test(the_highest_number_of_the_peer_is_taken_once),
		cmocka_unit_test(records_of_2_to_the_14_pass_and_larger_ones_are_refused),
		cmocka_unit_test(a_full_queue_costs_the_record_and_not_the_session),
		cmocka_unit_test(alerts_that_are_none_are_counted_and_change_nothing),
		cmocka_unit_test(a_fatal_alert_is_not_answered_and_close_notify_is_once),
		cmocka_unit_test(renegotiation_is_refused_now_and_then),
		cmocka_unit_test(the_final_flight_is_kept_until_data_comes_or_its_time_is_over),
		cmocka_unit_test(who_is_refused_lingers_so_long_and_is_never_idle),
		cmocka_unit_test(only_authentic_records_keep_a_session_from_being_idle),
		cmocka_unit_test(a_replaced_session_says_nothing),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
