/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gate.h"
#include "wire.h"

static struct cookie_ring keys;
static struct flow flow;
static uint8_t buffer[256];

/* A ClientHello of a given cookie, record and message sequence. Its length. */
static size_t make_hello(const uint8_t *cookie, uint8_t cookie_len, uint64_t seq, uint16_t message_seq, uint8_t seed)
{
	uint8_t *p = buffer + DTLS_RECORD_HEADER + DTLS_HANDSHAKE_HEADER;
	size_t body;

	memset(buffer, 0, sizeof(buffer));
	wire_put16(p, DTLS_VERSION_1_2);
	memset(p + 2, seed, DTLS_RANDOM_SIZE);
	p[34] = 0; /* session ID */
	p[35] = cookie_len;
	if (cookie_len)
		memcpy(p + 36, cookie, cookie_len);
	body = 36U + cookie_len;
	wire_put16(p + body, 2);          /* one cipher suite */
	wire_put16(p + body + 2, 0xc02b);
	p[body + 4] = 1;                  /* one compression method, null */
	body += 6;
	buffer[0] = DTLS_HANDSHAKE;
	wire_put16(buffer + 1, DTLS_VERSION_1_0);
	wire_put48(buffer + 5, seq);
	wire_put16(buffer + 11, (uint16_t)(DTLS_HANDSHAKE_HEADER + body));
	buffer[13] = DTLS_CLIENT_HELLO;
	wire_put24(buffer + 14, (uint32_t)body);
	wire_put16(buffer + 17, message_seq);
	wire_put24(buffer + 22, (uint32_t)body);
	return DTLS_RECORD_HEADER + DTLS_HANDSHAKE_HEADER + body;
}

static enum gate_verdict ask(const uint8_t *cookie, uint8_t cookie_len, uint64_t seq, uint16_t message_seq,
			     uint8_t seed, struct gate_result *g)
{
	size_t at = 0, len = make_hello(cookie, cookie_len, seq, message_seq, seed);
	struct hello hello;
	struct record r;

	assert_int_equal(classify_record(buffer, len, &at, &r), RECORD_HELLO);
	assert_true(classify_hello(&r, &hello));
	return gate_check(&keys, &flow, &hello, g);
}

/* The cookie in a HelloVerifyRequest: after both headers, the version and its length. */
static const uint8_t *cookie_in(const struct gate_result *g)
{
	return g->answer + DTLS_RECORD_HEADER + DTLS_HANDSHAKE_HEADER + 3;
}

static int set_up(void **state)
{
	static const uint8_t master[COOKIE_MASTER_SIZE] = { 1, 2, 3 };
	char err[100];

	(void)state;
	memset(&flow, 0, sizeof(flow));
	assert_int_equal(addr_parse("192.0.2.1:40000", 0, &flow.peer, 1, err, sizeof(err)), 1);
	assert_int_equal(addr_parse("192.0.2.2:4433", 0, &flow.local, 1, err, sizeof(err)), 1);
	cookie_init(&keys, master, 60);
	cookie_turn(&keys, 6000);
	return 0;
}

static void a_hello_without_a_cookie_is_challenged_with_its_own_numbers(void **state)
{
	const uint64_t seq = UINT64_C(0x0102030405ff);
	struct gate_result g;

	(void)state;
	assert_int_equal(ask(NULL, 0, seq, 0, 9, &g), GATE_CHALLENGE);
	assert_int_equal(g.answer_len, DTLS_HELLO_VERIFY_SIZE);
	assert_int_equal(g.answer[0], DTLS_HANDSHAKE);
	assert_int_equal(g.answer[DTLS_RECORD_HEADER], DTLS_HELLO_VERIFY_REQUEST);
	assert_true(wire_get48(g.answer + 5) == seq);
	assert_int_equal(wire_get16(g.answer + 17), 0);
	assert_false(g.stale);
}

static void the_answer_is_shorter_than_any_question(void **state)
{
	struct gate_result g;

	(void)state;
	assert_int_equal(ask(NULL, 0, 0, 0, 9, &g), GATE_CHALLENGE);
	assert_true(g.answer_len < make_hello(NULL, 0, 0, 0, 9));
}

static void its_cookie_admits_it_with_a_prestate_that_continues(void **state)
{
	uint8_t cookie[32];
	struct gate_result g;

	(void)state;
	ask(NULL, 0, 0, 0, 9, &g);
	memcpy(cookie, cookie_in(&g), 16);
	assert_int_equal(ask(cookie, 16, 300, 1, 9, &g), GATE_ADMIT);
	assert_int_equal(g.prestate.record_seq, 300);
	assert_int_equal(g.prestate.hsk_read_seq, 1);
	assert_int_equal(g.prestate.hsk_write_seq, 0);
}

static void a_cookie_is_bound_to_random_peer_and_local_address(void **state)
{
	struct flow right = flow;
	uint8_t cookie[32];
	struct gate_result g;

	(void)state;
	ask(NULL, 0, 0, 0, 9, &g);
	memcpy(cookie, cookie_in(&g), 16);
	assert_int_equal(ask(cookie, 16, 1, 1, 10, &g), GATE_CHALLENGE);
	assert_true(g.stale);
	flow.peer.port++;
	assert_int_equal(ask(cookie, 16, 1, 1, 9, &g), GATE_CHALLENGE);
	flow = right;
	flow.local.port++;
	assert_int_equal(ask(cookie, 16, 1, 1, 9, &g), GATE_CHALLENGE);
	flow = right;
	flow.local.ip[15]++;
	assert_int_equal(ask(cookie, 16, 1, 1, 9, &g), GATE_CHALLENGE);
	flow = right;
	for (int i = 0; i < 16; i++) {
		cookie[i] ^= 1;
		assert_int_equal(ask(cookie, 16, 1, 1, 9, &g), GATE_CHALLENGE);
		cookie[i] ^= 1;
	}
	assert_int_equal(ask(cookie, 15, 1, 1, 9, &g), GATE_CHALLENGE);
	assert_int_equal(ask(cookie, 17, 1, 1, 9, &g), GATE_CHALLENGE);
	assert_int_equal(ask(cookie, 16, 1, 1, 9, &g), GATE_ADMIT);
}

static void a_cookie_lives_through_one_turn_of_the_key_and_not_two(void **state)
{
	uint8_t cookie[32];
	struct gate_result g;

	(void)state;
	ask(NULL, 0, 0, 0, 9, &g);
	memcpy(cookie, cookie_in(&g), 16);
	cookie_turn(&keys, 6060);
	assert_int_equal(ask(cookie, 16, 1, 1, 9, &g), GATE_ADMIT);
	cookie_turn(&keys, 6120);
	assert_int_equal(ask(cookie, 16, 1, 1, 9, &g), GATE_CHALLENGE);
	/* the second HelloVerifyRequest carries on with the client's numbers */
	assert_int_equal(wire_get16(g.answer + 17), 1);
	assert_true(wire_get48(g.answer + 5) == 1);
	memcpy(cookie, cookie_in(&g), 16);
	assert_int_equal(ask(cookie, 16, 2, 2, 9, &g), GATE_ADMIT);
	assert_int_equal(g.prestate.hsk_read_seq, 2);
	assert_int_equal(g.prestate.hsk_write_seq, 1);
}

/* ---- a GnuTLS that does not do as expected: linked with --wrap=gnutls_dtls_cookie_send ---- */

int __wrap_gnutls_dtls_cookie_send(gnutls_datum_t *key, void *client_data, size_t client_data_size,
				   gnutls_dtls_prestate_st *prestate, gnutls_transport_ptr_t ptr,
				   gnutls_push_func push);
int __real_gnutls_dtls_cookie_send(gnutls_datum_t *key, void *client_data, size_t client_data_size,
				   gnutls_dtls_prestate_st *prestate, gnutls_transport_ptr_t ptr,
				   gnutls_push_func push);

static int answer_size; /* 0: as GnuTLS does it; negative: an error */

int __wrap_gnutls_dtls_cookie_send(gnutls_datum_t *key, void *client_data, size_t client_data_size,
				   gnutls_dtls_prestate_st *prestate, gnutls_transport_ptr_t ptr,
				   gnutls_push_func push)
{
	static const uint8_t answer[2 * GATE_ANSWER_MAX];

	if (answer_size == 0)
		return __real_gnutls_dtls_cookie_send(key, client_data, client_data_size, prestate, ptr, push);
	if (answer_size < 0)
		return answer_size;
	return (int)push(ptr, answer, (size_t)answer_size);
}

static void no_answer_is_better_than_a_bad_one(void **state)
{
	static const int sizes[] = {
		GNUTLS_E_MEMORY_ERROR,
		DTLS_RECORD_HEADER + DTLS_HANDSHAKE_HEADER - 1, /* not a whole one */
		GATE_ANSWER_MAX + 1,                            /* does not fit */
	};
	struct gate_result g;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		answer_size = sizes[i];
		assert_int_equal(ask(NULL, 0, 0, 0, 9, &g), GATE_DROP);
	}
	answer_size = 0;
	assert_int_equal(ask(NULL, 0, 0, 0, 9, &g), GATE_CHALLENGE);
}

static void an_answer_longer_than_the_question_is_not_given(void **state)
{
	struct gate_result g;
	struct hello hello;
	struct record r;
	size_t at = 0;

	(void)state;
	/* as short as it passes classify: the compression methods and the suites are cut off */
	make_hello(NULL, 0, 0, 0, 9);
	wire_put16(buffer + 11, DTLS_HANDSHAKE_HEADER + 37);
	wire_put24(buffer + 22, 37);
	assert_int_equal(classify_record(buffer, DTLS_RECORD_HEADER + DTLS_HANDSHAKE_HEADER + 37, &at, &r),
			 RECORD_HELLO);
	assert_true(classify_hello(&r, &hello) && hello.msg_length < GATE_ANSWER_MAX);
	answer_size = (int)hello.msg_length;
	assert_int_equal(gate_check(&keys, &flow, &hello, &g), GATE_CHALLENGE);
	answer_size = (int)hello.msg_length + 1;
	assert_int_equal(gate_check(&keys, &flow, &hello, &g), GATE_DROP);
	answer_size = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_hello_without_a_cookie_is_challenged_with_its_own_numbers, set_up),
		cmocka_unit_test_setup(the_answer_is_shorter_than_any_question, set_up),
		cmocka_unit_test_setup(its_cookie_admits_it_with_a_prestate_that_continues, set_up),
		cmocka_unit_test_setup(a_cookie_is_bound_to_random_peer_and_local_address, set_up),
		cmocka_unit_test_setup(a_cookie_lives_through_one_turn_of_the_key_and_not_two, set_up),
		cmocka_unit_test_setup(no_answer_is_better_than_a_bad_one, set_up),
		cmocka_unit_test_setup(an_answer_longer_than_the_question_is_not_given, set_up),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
