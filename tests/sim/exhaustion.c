/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory runs out, at every allocation in turn: the whole life of a server is played again and again, and
 * each time another of the allocations that the engine, or GnuTLS for it, makes on the way gets none. The
 * clients and the network are in the same process and never short.
 *
 * "exhaustion" plays a sample, spread evenly; "exhaustion --all" plays every one.
 */
#include <dlfcn.h>
#include <execinfo.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <gnutls/dtls.h>

#include "faults.h"
#include "handlers.h"
#include "log.h"
#include "world.h"

#define SAMPLE 150 /* runs of the short form, each way */

static bool all;
static const struct world_options options = { .seed = 1, .verify = VERIFY_CLIENT_OPTIONAL,
					      .handler = &handler_command, .handshake_timeout_ms = 5000,
					      .idle_timeout_ms = 60 * MINUTE };
static char at[64]; /* the run, for the last words of a crash */

/* ---- only the server is short of memory: the calls into it are wrapped by the linker ---- */

struct engine *__real_engine_new(const struct engine_config *c, uint64_t now_ms, uint64_t wall_s);
struct engine *__wrap_engine_new(const struct engine_config *c, uint64_t now_ms, uint64_t wall_s);
void __real_engine_free(struct engine *e);
void __wrap_engine_free(struct engine *e);
void __real_engine_datagram(struct engine *e, struct datagram *d);
void __wrap_engine_datagram(struct engine *e, struct datagram *d);
void __real_engine_letter(struct engine *e, struct letter *l);
void __wrap_engine_letter(struct engine *e, struct letter *l);
uint64_t __real_engine_run(struct engine *e);
uint64_t __wrap_engine_run(struct engine *e);
struct tls *__real_tls_load(const struct tls_options *o, struct tls_shared *s, char *err, size_t size);
struct tls *__wrap_tls_load(const struct tls_options *o, struct tls_shared *s, char *err, size_t size);
struct standing *__real_standing_new(const struct quota_limits *limits);
struct standing *__wrap_standing_new(const struct quota_limits *limits);
struct service *__real_service_new(const struct service_config *c);
struct service *__wrap_service_new(const struct service_config *c);
struct census *__real_census_new(const struct census_limits *limits);
struct census *__wrap_census_new(const struct census_limits *limits);
void __real_net_send(struct net *n, const struct flow *flow, bool to_server, const void *data, size_t len);
void __wrap_net_send(struct net *n, const struct flow *flow, bool to_server, const void *data, size_t len);

/* What cannot be made is made again, as by whoever starts the daemon once more, until memory suffices. */
#define UNTIL_IT_WORKS(made, call)                                 \
	for (uint64_t hit; !(made);) {                             \
		hit = faults_hit();                                \
		faults_arm();                                      \
		made = call;                                       \
		faults_disarm();                                   \
		assert_true((made) || faults_hit() > hit);         \
	}

struct engine *__wrap_engine_new(const struct engine_config *c, uint64_t now_ms, uint64_t wall_s)
{
	struct engine *e = NULL;

	UNTIL_IT_WORKS(e, __real_engine_new(c, now_ms, wall_s));
	return e;
}

struct tls *__wrap_tls_load(const struct tls_options *o, struct tls_shared *s, char *err, size_t size)
{
	struct tls *t = NULL;

	do {
		uint64_t hit = faults_hit();

		err[0] = '\0';
		faults_arm();
		t = __real_tls_load(o, s, err, size);
		faults_disarm();
		/* it says why, and it has a reason */
		assert_true(t || (err[0] != '\0' && faults_hit() > hit));
	} while (!t);
	return t;
}

struct standing *__wrap_standing_new(const struct quota_limits *limits)
{
	struct standing *s = NULL;

	UNTIL_IT_WORKS(s, __real_standing_new(limits));
	return s;
}

struct service *__wrap_service_new(const struct service_config *c)
{
	struct service *s = NULL;

	UNTIL_IT_WORKS(s, __real_service_new(c));
	return s;
}

struct census *__wrap_census_new(const struct census_limits *limits)
{
	struct census *c = NULL;

	UNTIL_IT_WORKS(c, __real_census_new(limits));
	return c;
}

void __wrap_engine_free(struct engine *e)
{
	faults_arm();
	__real_engine_free(e);
	faults_disarm();
}

void __wrap_engine_datagram(struct engine *e, struct datagram *d)
{
	faults_arm();
	__real_engine_datagram(e, d);
	faults_disarm();
}

void __wrap_engine_letter(struct engine *e, struct letter *l)
{
	faults_arm();
	__real_engine_letter(e, l);
	faults_disarm();
}

uint64_t __wrap_engine_run(struct engine *e)
{
	uint64_t wait;

	faults_arm();
	wait = __real_engine_run(e);
	faults_disarm();
	return wait;
}

void __wrap_net_send(struct net *n, const struct flow *flow, bool to_server, const void *data, size_t len)
{
	unsigned depth = faults_suspend();

	__real_net_send(n, flow, to_server, data, len);
	faults_resume(depth);
}

/* ---- the life of a server ---- */

/* The answers that come to a command within a second. */
static unsigned answers(struct world *w, struct client *c, const char *command)
{
	unsigned before = c->strange;

	if (!c->done || c->error || c->closed)
		return 0;
	/* the judge of echoes knows none of these texts: that is what strange counts */
	assert_int_equal(gnutls_record_send(c->session, command, strlen(command)), strlen(command));
	pause_(w, 100);
	return c->strange - before;
}

/* Once there is memory again, a session serves. UDP: a client asks again when no answer comes. */
static void must_answer(struct world *w, struct client *c)
{
	faults_relent();
	for (unsigned i = 0; i < 3; i++)
		if (answers(w, c, "ping") > 0)
			return;
	fail_msg("%s: a session no longer answers", at);
}

static struct client *meet(struct world *w, enum world_auth auth, uint16_t port, const gnutls_datum_t *resume,
			   const char *priority)
{
	struct client *c = client_new(w, auth, port, resume);

	if (priority)
		assert_int_equal(gnutls_priority_set_direct(c->session, priority, NULL), 0);
	world_run(w, MINUTE, client_settled, c);
	answers(w, c, "echo good morning");
	return c;
}

/* A client that comes when there is memory again gets in, whatever happened before. */
static void must_serve(struct world *w, enum world_auth auth)
{
	struct client *c = client_new(w, auth, 0, NULL);

	if (!world_run(w, MINUTE, client_is_done, c))
		fail_msg("%s: no handshake any more: %s", at, gnutls_strerror(c->error));
	must_answer(w, c);
	client_bye(c);
	pause_(w, 50);
	client_free(c);
}

static void resume(struct world *w, const char *priority)
{
	struct client *first = meet(w, AUTH_ECDSA, 0, NULL, priority);
	gnutls_datum_t data;

	if (!first->done || gnutls_session_get_data2(first->session, &data) < 0)
		return;
	client_free(first); /* its session stays at the server */
	meet(w, AUTH_ECDSA, 0, &data, priority);
	gnutls_free(data.data);
}

static void reload(struct world *w)
{
	world_serve(w, 0, world_service(&options, "sim", w->settings.services[0]->config.standing));
}

static void live(struct world *w)
{
	static const char no_tickets[] = "NORMAL:-VERS-ALL:+VERS-DTLS1.2:%NO_TICKETS";
	struct client *witness, *c;
	bool witnessed;

	witness = meet(w, AUTH_PSK, 0, NULL, NULL);
	witnessed = witness->strange > 0; /* it was served once, so it is always */
	meet(w, AUTH_ECDSA, 0, NULL, NULL);
	meet(w, AUTH_MUTUAL, 0, NULL, NULL);
	resume(w, NULL);
	resume(w, no_tickets);
	/* a peer restarts */
	c = meet(w, AUTH_ECDHE_PSK, 777, NULL, NULL);
	client_free(c);
	meet(w, AUTH_ECDHE_PSK, 777, NULL, NULL);
	answers(w, witness, "bc to all");
	answers(w, witness, "stats");
	answers(w, witness, "whoami");
	if (witnessed)
		must_answer(w, witness);
	reload(w);
	meet(w, AUTH_ECDSA, 0, NULL, NULL);
	if (witnessed)
		must_answer(w, witness);
}

static void end(struct world *w)
{
	client_new(w, AUTH_ECDSA, 0, NULL); /* in the middle of its handshake */
	pause_(w, 12);
	engine_drain(w->engine);
	pause_(w, 1000);
	assert_true(engine_drained(w->engine));
	world_end(w); /* which wants the census to be empty */
}

/* One life, in which the allocation number first and those after it fail. The allocations of a life. */
static uint64_t play(uint64_t first, uint64_t count, bool *hit)
{
	uint64_t seen;
	struct world w;

	snprintf(at, sizeof(at), "allocation %llu to %llu", (unsigned long long)first,
		 (unsigned long long)(first + count - 1));
	faults_plan(first, count);
	world_init(&w, &options);
	live(&w);
	seen = faults_seen();
	*hit = faults_hit() > 0;
	faults_relent();
	if (*hit) {
		/* it is over: in the same server everybody is served as ever */
		must_serve(&w, AUTH_ECDSA);
		must_serve(&w, AUTH_MUTUAL);
		must_serve(&w, AUTH_PSK);
	}
	end(&w);
	return seen;
}

/* ---- one life to a process ---- */

enum outcome { WELL, LEAKED, LEAKED_BY_LIBRARY, CRASHED, CRASHED_IN_LIBRARY, OUTCOMES };

static bool in_c_library(const char *object)
{
	return strstr(object, "libc.so") || strstr(object, "libasan") || strstr(object, "libubsan") ||
	       strstr(object, "vdso");
}

/* Whose fault is it? That of the first caller, from where it happened on, which is not the C library. */
static void last_words(int number)
{
	void *frame[32];
	int n = backtrace(frame, 32);
	Dl_info info;

	for (int i = 2; i < n; i++) /* after this function and the return from the signal */
		if (dladdr(frame[i], &info) && info.dli_fname && !in_c_library(info.dli_fname)) {
			bool foreign = !faults_own(frame[i]) && !strstr(info.dli_fname, "libcmocka");

			if (foreign && !all)
				_exit(CRASHED_IN_LIBRARY);
			dprintf(STDOUT_FILENO, "# %s: signal %d, %s; what failed was asked for by\n", at,
				number, foreign ? info.dli_fname : "in dtlsd");
			faults_tell(STDOUT_FILENO);
			dprintf(STDOUT_FILENO, "# it happened at\n");
			for (i = 2; i < n; i++)
				if (dprintf(STDOUT_FILENO, "# ") > 0)
					backtrace_symbols_fd(&frame[i], 1, STDOUT_FILENO);
			_exit(foreign ? CRASHED_IN_LIBRARY : CRASHED);
		}
	_exit(CRASHED);
}

static void live_once(uint64_t first, uint64_t count)
{
	struct faults_live before, after;
	bool hit;

	setenv("CMOCKA_TEST_ABORT", "1", 1);
	before = faults_live();
	signal(SIGABRT, last_words);
	signal(SIGSEGV, last_words);
	signal(SIGBUS, last_words);
	play(first, count, &hit);
	assert_true(hit);
	after = faults_live();
	if (after.own > before.own) {
		dprintf(STDOUT_FILENO, "# %s: %lld blocks are left; what failed was asked for by\n", at,
			(long long)(after.own - before.own));
		faults_tell(STDOUT_FILENO);
		_exit(LEAKED);
	}
	if (after.foreign > before.foreign) {
		if (all) {
			dprintf(STDOUT_FILENO, "# %s: %lld blocks of libraries are left; "
				"what failed was asked for by\n", at,
				(long long)(after.foreign - before.foreign));
			faults_tell(STDOUT_FILENO);
		}
		_exit(LEAKED_BY_LIBRARY);
	}
	_exit(WELL);
}

static enum outcome live_apart(uint64_t first, uint64_t count)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		live_once(first, count);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) >= OUTCOMES)
		return CRASHED;
	return (enum outcome)WEXITSTATUS(status);
}

/* count: allocations in a row that fail. */
static void at_every_allocation(uint64_t count)
{
	uint64_t total, step, outcomes[OUTCOMES] = { 0 };
	bool hit;

	/* what libraries make once and keep is made in the first lives */
	play(0, 0, &hit);
	total = play(0, 0, &hit);
	step = all ? 1 : total / SAMPLE + 1;
	for (uint64_t k = 1; k <= total; k += step)
		outcomes[live_apart(k, count)]++;
	print_message("# %llu allocations in a life, every %llu. and %llu after it failed: "
		      "%llu lives went well, %llu leaked and %llu crashed in a library, %llu leaked and %llu crashed in dtlsd\n",
		      (unsigned long long)total, (unsigned long long)step, (unsigned long long)(count - 1),
		      (unsigned long long)outcomes[WELL], (unsigned long long)outcomes[LEAKED_BY_LIBRARY],
		      (unsigned long long)outcomes[CRASHED_IN_LIBRARY], (unsigned long long)outcomes[LEAKED],
		      (unsigned long long)outcomes[CRASHED]);
	assert_int_equal(outcomes[LEAKED] + outcomes[CRASHED], 0);
}

static void one_allocation_that_fails_hurts_at_most_one_peer(void **state)
{
	(void)state;
	at_every_allocation(1);
}

static void a_spell_without_memory_is_survived(void **state)
{
	(void)state;
	at_every_allocation(40);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_allocation_that_fails_hurts_at_most_one_peer),
		cmocka_unit_test(a_spell_without_memory_is_survived),
	};

	all = argc > 1 && strcmp(argv[1], "--all") == 0;
	if (argc > 2) { /* just this one, for a look into it */
		world_set_up(NULL);
		live_apart(strtoull(argv[2], NULL, 10), argc > 3 ? strtoull(argv[3], NULL, 10) : 1);
		return world_tear_down(NULL);
	}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, world_set_up, world_tear_down);
}
