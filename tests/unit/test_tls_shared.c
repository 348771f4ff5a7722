/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_shared: who resumes, who does not, and threads that do so at a time. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tls_world.h"

/* A full handshake, then one that brings its session; the caller forgets both. */
static void twice(struct tls *first, struct tls *second, struct talk *t, struct talk *u)
{
	assert_true(talk(first, t));
	assert_false(t->resumed);
	u->resume = &t->session_data;
	assert_true(talk(second, u));
}

static void assert_resumes(struct tls *first, struct tls *second, struct talk like, bool resumes)
{
	struct talk t = like, u = like;

	twice(first, second, &t, &u);
	assert_int_equal(u.resumed, resumes);
	if (t.identity != NULL)
		assert_string_equal(u.identity, t.identity);
	else
		assert_null(u.identity);
	forget(&t);
	forget(&u);
}

static const struct talk TICKET_CERT = { .cert = &client };
static const struct talk TICKET_PSK = { .priority = GNUTLS_12 "+PSK",
					.psk_user = "alice",
					.psk_key = ALICE_KEY };
static const struct talk ID_CERT = { .cert = &client, .flags = GNUTLS_NO_TICKETS };
static const struct talk ID_PSK = { .priority = GNUTLS_12 "+PSK", .psk_user = "alice", .psk_key = ALICE_KEY,
				    .flags = GNUTLS_NO_TICKETS };
static const struct talk *const RESUMABLE[] = { &TICKET_CERT, &TICKET_PSK, &ID_CERT, &ID_PSK };

static void ticket_and_session_id_resume_with_the_identity(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_REQUIRED);

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_resumes(f.tls, f.tls, *RESUMABLE[i], true);
	stop(&f);
}

static void nothing_resumes_across_unrelated_servers(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_REQUIRED), g = start_usual(VERIFY_CLIENT_REQUIRED);

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_resumes(f.tls, g.tls, *RESUMABLE[i], false);
	stop(&f);
	stop(&g);
}

static void without_a_cache_session_ids_do_not_resume_but_tickets_do(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_REQUIRED);
	struct fixture f = { .shared = tls_shared_new(0, 3600) }, g = { .shared = tls_shared_new(100, 0) };

	(void)state;
	f.tls = load(&o, f.shared);
	g.tls = load(&o, g.shared);
	assert_resumes(f.tls, f.tls, TICKET_CERT, true);
	assert_resumes(f.tls, f.tls, ID_CERT, false);
	assert_resumes(g.tls, g.tls, TICKET_CERT, false);
	assert_resumes(g.tls, g.tls, ID_CERT, false);
	stop(&f);
	stop(&g);
}

static void resumption_survives_a_reload_that_leaves_trust_alone(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_REQUIRED);
	struct fixture f = start(&o);
	struct tls *again;

	(void)state;
	o.x509certfile = path("chain.pem");
	o.x509keyfile = path("leaf.key");
	again = load(&o, f.shared);
	for (size_t i = 0; i < 4; i++)
		assert_resumes(f.tls, again, *RESUMABLE[i], true);
	tls_unref(again);
	stop(&f);
}

static void a_reload_that_fails_later_takes_nothing_away(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_REQUIRED), changed = o;
	struct fixture f = start(&o);

	(void)state;
	changed.pskpasswd = write_text("psk-failed", "alice:" ALICE_KEY "\ncarol:01\n");
	for (size_t i = 0; i < 4; i++) {
		struct talk t = *RESUMABLE[i], u = t;

		assert_true(talk(f.tls, &t));
		tls_unref(load(i % 2 ? &changed : &o, f.shared));
		u.resume = &t.session_data;
		assert_true(talk(f.tls, &u));
		assert_true(u.resumed);
		forget(&t);
		forget(&u);
	}
	stop(&f);
}

static void nobody_resumes_after_a_reload_that_changes_trust(void **state)
{
	struct tls_options ca_changed = usual(VERIFY_CLIENT_REQUIRED), psk_changed = ca_changed,
			   verify_changed = ca_changed;
	struct tls_options *changed[] = { &ca_changed, &psk_changed, &verify_changed };

	(void)state;
	save_crt("two-cas.pem", (const struct identity *const[]){ &ca, &foreign_ca }, 2);
	write_text("psk-more", "alice:" ALICE_KEY "\ncarol:01\n");
	ca_changed.x509cafile = path("two-cas.pem");
	psk_changed.pskpasswd = path("psk-more");
	verify_changed.verify_client = VERIFY_CLIENT_OPTIONAL;
	for (size_t i = 0; i < 3; i++)
		for (size_t k = 0; k < 4; k++) {
			struct fixture f = start_usual(VERIFY_CLIENT_REQUIRED);
			struct talk t = *RESUMABLE[k], u = t;
			struct tls *again;

			assert_true(talk(f.tls, &t));
			again = load(changed[i], f.shared);
			u.resume = &t.session_data;
			assert_true(talk(again, &u));
			assert_false(u.resumed);
			forget(&t);
			forget(&u);
			tls_unref(again);
			stop(&f);
		}
}

static void a_handshake_begun_before_trust_changed_leaves_nothing_that_resumes_after(void **state)
{
	struct tls_options without = { .x509certfile = path("server.pem"), .x509keyfile = path("server.key"),
				       .pskpasswd = path("psk-bob") };

	(void)state;
	for (unsigned flags = 0; flags <= GNUTLS_NO_TICKETS; flags += GNUTLS_NO_TICKETS) {
		struct fixture f = start_usual(VERIFY_CLIENT_NONE);
		struct talk t = { .priority = GNUTLS_12 "+PSK", .psk_user = "alice", .psk_key = ALICE_KEY,
				  .flags = flags }, u = t;
		struct tls *again;

		talk_start(f.tls, &t);
		step(&t.client);
		step(&t.server);
		again = load(&without, f.shared);
		assert_true(talk_finish(&t));
		talk_end(&t);
		u.resume = &t.session_data;
		assert_false(talk(again, &u));
		assert_string_equal(u.why, "PSK identity \"alice\" is not in the PSK file");
		forget(&t);
		tls_unref(again);
		stop(&f);
	}
}

static void a_failed_reload_changes_nothing(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_REQUIRED);
	struct fixture f = start(&o);
	struct talk t = TICKET_CERT, u = TICKET_CERT;

	(void)state;
	assert_true(talk(f.tls, &t));
	o.pskpasswd = path("psk-bob");
	o.priority = "NONSENSE";
	assert_null(tls_load(&o, f.shared, world_err, sizeof(world_err)));
	u.resume = &t.session_data;
	assert_true(talk(f.tls, &u));
	assert_true(u.resumed);
	forget(&t);
	forget(&u);
	stop(&f);
}

struct crowd {
	struct tls *tls;
	_Atomic unsigned done;
};

static void *talk_often(void *arg)
{
	struct crowd *c = arg;

	for (unsigned i = 0; i < 12; i++) {
		struct talk t = i % 2 ? TICKET_PSK : ID_PSK, u = t;

		c->done += talk(c->tls, &t);
		u.resume = &t.session_data;
		c->done += talk(c->tls, &u);
		forget(&t);
		forget(&u);
	}
	return NULL;
}

static void threads_share_one_while_others_are_loaded(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);
	struct tls_options other = usual(VERIFY_CLIENT_OPTIONAL);
	struct crowd crowd = { .tls = f.tls };
	pthread_t threads[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, talk_often, &crowd), 0);
	for (int i = 0; i < 10; i++)
		tls_unref(load(&other, f.shared));
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(crowd.done, 3 * 12 * 2);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ticket_and_session_id_resume_with_the_identity),
		cmocka_unit_test(nothing_resumes_across_unrelated_servers),
		cmocka_unit_test(without_a_cache_session_ids_do_not_resume_but_tickets_do),
		cmocka_unit_test(resumption_survives_a_reload_that_leaves_trust_alone),
		cmocka_unit_test(a_reload_that_fails_later_takes_nothing_away),
		cmocka_unit_test(nobody_resumes_after_a_reload_that_changes_trust),
		cmocka_unit_test(a_handshake_begun_before_trust_changed_leaves_nothing_that_resumes_after),
		cmocka_unit_test(a_failed_reload_changes_nothing),
		cmocka_unit_test(threads_share_one_while_others_are_loaded),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, world_set_up, world_tear_down);
}
