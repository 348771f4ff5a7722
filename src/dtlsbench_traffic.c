/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The modes that hold sessions. They differ in what an operation is: in echo and latency a record that is to be
 * echoed, in churn a new session in place of the oldest (and one record that it must echo), in mixed both in
 * turn, in idle none at all. With a rate an operation's time begins when it is due, even if it is sent later.
 */
#include "dtlsbench_modes.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "dtlsbench_ledger.h"
#include "dtlsbench_pace.h"
#include "dtlsbench_proc.h"
#include "wire.h"

#define TAG 8 /* the record's number, at the beginning of its payload */
#define SPARE 64             /* clients over twice the handshakes: those that have just left rest a while */
#define IDLE_TURN_NS UINT64_C(10000000)
#define SPIN_NS UINT64_C(100000)  /* sleeping takes so long to end: shorter waits are spent polling */
#define LATE_NS UINT64_C(100000)  /* later than this is the generator's fault */
#define VERIFY_TRIES 3       /* a record may be lost on the way; a session is dead if it answers none */
#define PICK_TRIES 1000
#define MANY 1000

struct traffic {
	struct run *run;
	const struct bench_options *o;
	struct ledger ledger;
	struct pace pace;
	uint64_t goal, issued, done; /* operations of the phase */
	uint64_t handshakes_due;     /* mixed: share that has come together, in (H + R)ths */
	uint64_t random;
	uint64_t cursor;
	uint64_t head, tail;         /* of the ring of sessions that take part: opened and closed so far */
	uint32_t base, slots, active;
	uint64_t late, latest_ns, last_sent;
	uint64_t answered, replaced;
	uint8_t *payload;
	uint8_t *verified;           /* while verifying: by client, that it has echoed */
	uint64_t verified_count;
	bool record_times;
	bool stranded; /* no session was found that is open */
};

static bool replaces_sessions(const struct bench_options *o)
{
	return o->mode == BENCH_CHURN || o->mode == BENCH_MIXED;
}

/* Sessions that never speak: the first ones. */
static uint32_t idle_part(const struct bench_options *o)
{
	return o->mode == BENCH_MIXED ? (uint32_t)((uint64_t)o->sessions * o->mix_idle / 100) : 0;
}

uint32_t traffic_clients(const struct bench_options *o)
{
	return o->sessions + (replaces_sessions(o) ? 2 * o->handshakes + SPARE : 0);
}

/* xorshift64 */
static uint64_t dice(struct traffic *t)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return t->random;
}

/* ---- answers ---- */

static void on_heard(void *mode, uint32_t client, const uint8_t *plain, size_t len, uint64_t now)
{
	struct traffic *t = mode;
	uint64_t since;

	if (len != t->o->size || memcmp(plain + TAG, t->payload + TAG, len - TAG) != 0) {
		t->run->wrong++;
		return;
	}
	since = ledger_answer(&t->ledger, wire_get64(plain));
	if (!since)
		return; /* a copy, or too late: it was given up */
	t->answered++;
	if (t->record_times)
		histogram_record(&t->run->times, now - since);
	if (t->verified && !t->verified[client]) {
		t->verified[client] = 1;
		t->verified_count++;
	}
}

/* --plain: what was sent, without DTLS. */
static void on_raw(void *mode, const struct parcel *p, uint64_t now)
{
	size_t segment = p->segment ? p->segment : p->len;

	for (size_t at = 0; at < p->len; at += segment)
		on_heard(mode, p->peer, p->data + at, p->len - at < segment ? p->len - at : segment, now);
}

/* ---- operations ---- */

static uint32_t ring_client(const struct traffic *t, uint64_t n)
{
	return t->base + (uint32_t)(n % t->slots);
}

/* The next session that is open. false: none was found. */
static bool pick(struct traffic *t, uint32_t *client)
{
	uint64_t live = t->head - t->tail;

	for (unsigned i = 0; i < PICK_TRIES && live > 0; i++) {
		uint64_t n = t->o->order == BENCH_RANDOM ? dice(t) : t->cursor++;

		*client = ring_client(t, t->tail + n % live);
		if (t->o->plain || crowd_state(t->run->crowd, *client) == CLIENT_OPEN)
			return true;
	}
	return false;
}

static void say(struct traffic *t, uint32_t client, uint64_t since, bool run)
{
	wire_put64(t->payload, ledger_ask(&t->ledger, since));
	if (t->o->plain)
		crowd_say_plain(t->run->crowd, client, t->payload, t->o->size, run);
	else
		crowd_say(t->run->crowd, client, t->payload, t->o->size, run);
}

/* The newcomer of churn proves that it is served. */
static void on_opened(void *mode, uint32_t client)
{
	struct traffic *t = mode;

	if (t->o->mode != BENCH_CHURN || !t->goal || ledger_full(&t->ledger))
		return;
	say(t, client, clock_mono_ns(), false);
}

/* One session begins, the oldest ends. */
static void replace(struct traffic *t, uint64_t since)
{
	uint32_t client = ring_client(t, t->head++), oldest;

	crowd_drop(t->run->crowd, client); /* where its goodbye was not answered */
	crowd_open(t->run->crowd, client, since);
	t->replaced++;
	for (; t->head - t->tail > t->active; t->tail++) {
		oldest = ring_client(t, t->tail);
		if (crowd_state(t->run->crowd, oldest) == CLIENT_OPEN)
			crowd_close(t->run->crowd, oldest);
		else
			crowd_drop(t->run->crowd, oldest);
	}
}

/* Whether the next operation is a handshake. */
static bool handshake_is_next(const struct traffic *t)
{
	if (t->o->mode != BENCH_MIXED)
		return t->o->mode == BENCH_CHURN;
	return t->handshakes_due + t->o->mix_handshakes >= t->o->mix_handshakes + t->o->mix_records;
}

static void next_in_mix(struct traffic *t)
{
	t->handshakes_due += t->o->mix_handshakes;
	if (t->handshakes_due >= t->o->mix_handshakes + t->o->mix_records)
		t->handshakes_due -= t->o->mix_handshakes + t->o->mix_records;
}

/* A newcomer takes the place of the oldest, but not before that one's handshake is over. */
static bool has_place(const struct traffic *t)
{
	return crowd_can_open(t->run->crowd) &&
	       (t->head - t->tail < t->active ||
		crowd_state(t->run->crowd, ring_client(t, t->tail)) != CLIENT_SHAKING);
}

static bool has_room(const struct traffic *t)
{
	if (handshake_is_next(t))
		return has_place(t);
	if (ledger_full(&t->ledger))
		return false;
	return t->pace.rate > 0 || t->ledger.open < t->o->window;
}

/* Up to n operations, in runs; fewer where there is no room. */
static void issue(struct traffic *t, uint64_t n, uint64_t now)
{
	uint32_t client = 0, run = 0;

	for (; n > 0 && has_room(t); n--) {
		uint64_t since = t->pace.rate > 0 ? pace_due(&t->pace, t->issued) : now;

		if (handshake_is_next(t)) {
			replace(t, since);
			run = 0;
		} else {
			if (run == 0 && !pick(t, &client)) {
				t->stranded = true;
				return;
			}
			say(t, client, since, run > 0 || t->o->run > 1);
			run = (run + 1) % t->o->run;
		}
		next_in_mix(t);
		t->issued++;
		if (now > since + LATE_NS)
			t->late++;
		if (now - since > t->latest_ns && now > since)
			t->latest_ns = now - since;
		t->last_sent = now;
	}
}

/* How many may be issued now: a fixed rate's, or a burst where the window has room for one. */
static uint64_t allowance(const struct traffic *t, uint64_t now)
{
	uint64_t left = t->goal - t->issued, burst = run_burst(t->o->window), n;

	if (t->pace.rate > 0) {
		n = pace_count(&t->pace, now) - t->issued;
		return n < left ? n : left;
	}
	if (handshake_is_next(t))
		return left;
	if (burst < t->o->run)
		burst = t->o->run;
	if (t->ledger.open + (burst < left ? burst : left) > t->o->window)
		return 0;
	return burst < left ? burst : left;
}

/* How long nothing is to be done but for answers; short waits are polled through. */
static uint64_t patience(const struct traffic *t, uint64_t now)
{
	uint64_t due;

	if (t->pace.rate <= 0 || t->issued >= t->goal)
		return now - t->last_sent < SPIN_NS * 10 ? 0 : IDLE_TURN_NS;
	due = pace_due(&t->pace, t->issued);
	if (t->ledger.open && now - t->last_sent < SPIN_NS * 10)
		return 0; /* an echo is expected: do not add our own waking up to its time */
	return due > now + SPIN_NS ? due - now - SPIN_NS : 0;
}

static void progress(struct traffic *t, uint64_t now, uint64_t began, uint64_t before)
{
	double seconds = (double)(now - began) / SECOND_NS;

	progress_show(&t->run->progress, now / 1000000,
		      "%.0f s: %llu records echoed, %.0f/s, %llu sessions replaced, %llu unanswered", seconds,
		      (unsigned long long)(t->answered - before),
		      (double)(t->answered - before) / (seconds + 1e-9), (unsigned long long)t->replaced,
		      (unsigned long long)t->ledger.lost);
}

/* Waits for what is out. */
static void drain(struct traffic *t)
{
	while (!t->run->error && (t->ledger.open || crowd_shaking(t->run->crowd))) {
		uint64_t now = clock_mono_ns();

		ledger_expire(&t->ledger, now);
		run_turn(t->run, patience(t, now));
	}
}

/* One stretch of operations: so many, or so long. */
static void phase(struct traffic *t, uint64_t goal, double seconds)
{
	uint64_t began = clock_mono_ns(), end = began + (uint64_t)(seconds * SECOND_NS), before = t->answered;

	t->goal = goal;
	t->issued = 0;
	t->pace = (struct pace){ .start_ns = began, .rate = t->o->mode == BENCH_IDLE ? 0 : t->o->rate };
	while (!run_over(t->run) && t->issued < t->goal) {
		uint64_t now = clock_mono_ns();

		if (now >= end || (t->stranded && !t->ledger.open && !crowd_shaking(t->run->crowd)))
			break;
		t->stranded = false;
		issue(t, allowance(t, now), now);
		run_turn(t->run, patience(t, now));
		ledger_expire(&t->ledger, now);
		progress(t, now, began, before);
	}
	t->goal = t->issued;
	drain(t);
}

/* Idle: nothing is to be done for the time given. */
static void sit(struct traffic *t)
{
	uint64_t end = clock_mono_ns() + (uint64_t)(t->o->duration * SECOND_NS);

	for (uint64_t now = clock_mono_ns(); now < end && !run_over(t->run); now = clock_mono_ns()) {
		progress_show(&t->run->progress, now / 1000000,
			      "%u sessions held, %.0f s to go, %llu closed by the server", t->o->sessions,
			      (double)(end - now) / SECOND_NS, (unsigned long long)t->run->lost_sessions);
		run_turn(t->run, IDLE_TURN_NS);
	}
}

/* ---- whether the sessions still answer ---- */

static void ask_sample(struct traffic *t, uint32_t clients, uint32_t wanted)
{
	for (uint32_t i = 0; i < wanted && !run_over(t->run); i++) {
		uint32_t client = (uint32_t)((uint64_t)i * clients / wanted);

		if (t->verified[client])
			continue;
		while (!t->run->error && (t->ledger.open >= t->o->window || ledger_full(&t->ledger))) {
			run_turn(t->run, IDLE_TURN_NS);
			ledger_expire(&t->ledger, clock_mono_ns());
		}
		/* looked at last: the server may have ended it during the wait */
		if (t->run->error || crowd_state(t->run->crowd, client) != CLIENT_OPEN)
			continue;
		say(t, client, clock_mono_ns(), false);
	}
	drain(t);
}

/* An even sample of all clients that hold a session must echo. Those that do not are unanswered. */
static int verify(struct traffic *t, const char *asked, const char *echoed)
{
	uint32_t clients = traffic_clients(t->o);
	uint32_t wanted = t->o->verify < clients ? t->o->verify : clients;
	uint64_t lost = t->ledger.lost, open = 0;

	if (wanted == 0 || run_over(t->run))
		return 0;
	t->verified = calloc(clients, 1);
	if (!t->verified)
		return -ENOMEM;
	t->verified_count = 0;
	for (uint32_t i = 0; i < wanted; i++)
		open += crowd_state(t->run->crowd, (uint32_t)((uint64_t)i * clients / wanted)) == CLIENT_OPEN;
	for (unsigned i = 0; i < VERIFY_TRIES && t->verified_count < open; i++)
		ask_sample(t, clients, wanted);
	t->ledger.lost = lost;
	report_add_figure(&t->run->report, asked, "", (double)open);
	report_add_figure(&t->run->report, echoed, "", (double)t->verified_count);
	t->run->unanswered += open - t->verified_count;
	free(t->verified);
	t->verified = NULL;
	return 0;
}

/* ---- the mode ---- */

static int traffic_init(struct traffic *t, struct run *r)
{
	const struct bench_options *o = r->o;

	*t = (struct traffic){ .run = r, .o = o, .random = o->seed * UINT64_C(2654435769) + 1 };
	t->base = idle_part(o);
	t->slots = traffic_clients(o) - t->base;
	t->active = o->sessions - t->base;
	t->head = t->active;
	t->payload = malloc(o->size);
	if (!t->payload || run_ledger_init(r, &t->ledger) != 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < o->size; i++)
		t->payload[i] = (uint8_t)('a' + dice(t) % 26);
	r->mode = t;
	r->hooks = (struct run_hooks){ on_opened, on_heard, on_raw };
	if (o->plain)
		crowd_hear_raw(r->crowd, true, false);
	return 0;
}

/* In mixed the account is one for all: nobody can say what of it was for records and what for handshakes. */
static void report_operations(struct traffic *t, const struct meter *m, uint64_t records, uint64_t handshakes)
{
	struct run *r = t->run;

	switch (t->o->mode) {
	case BENCH_CHURN:
		run_report_rate(r, m, "handshake", handshakes);
		break;
	case BENCH_MIXED:
		report_add_figure(&r->report, "records", "", (double)records);
		report_add_figure(&r->report, "handshakes", "", (double)handshakes);
		run_report_rate(r, m, "operation", records + handshakes);
		break;
	default:
		run_report_rate(r, m, "record", records);
		break;
	}
}

static void report_lateness(struct traffic *t)
{
	report_add_figure(&t->run->report, "sent_late", "", (double)t->late);
	report_add_figure(&t->run->report, "sent_latest", "us", (double)t->latest_ns / 1000);
}

/* Of few sessions' share in the memory nothing can be said: what else the server does is more. */
static void report_memory(struct run *r, int64_t before, int64_t held, uint32_t sessions)
{
	int64_t own = proc_rss(getpid());

	if (own > 0)
		report_add_figure(&r->report, "own_rss", "bytes", (double)own);
	if (before < 0 || held < 0)
		return;
	report_add_figure(&r->report, "server_rss_before", "bytes", (double)before);
	report_add_figure(&r->report, "server_rss_held", "bytes", (double)held);
	if (sessions >= MANY)
		report_add_figure(&r->report, "server_rss_per_session", "bytes", (double)(held - before) / sessions);
}

static int64_t server_rss(const struct bench_options *o)
{
	if (!o->server_pid)
		return -1;
	if (o->mode == BENCH_IDLE)
		usleep((useconds_t)(o->settle * 1e6));
	return proc_rss((pid_t)o->server_pid);
}

/* Each session, or a sample, speaks at the beginning, so that it is a used one that sits there, and at the end. */
static int idle(struct traffic *t)
{
	int rc = verify(t, "sessions_asked_at_first", "sessions_that_echoed_at_first");

	sit(t);
	return rc;
}

static void work(struct traffic *t)
{
	struct meter m = {0};
	uint64_t answered, lost, opened;

	if (t->o->warmup)
		phase(t, t->o->warmup, t->o->duration);
	answered = t->answered;
	lost = t->ledger.lost;
	opened = crowd_counts(t->run->crowd)->opened;
	t->late = t->latest_ns = 0;
	histogram_init(&t->run->handshake_times);
	t->record_times = true;
	meter_start(t->run, &m);
	phase(t, t->o->count ? t->o->count : UINT64_MAX, t->o->duration);
	meter_stop(t->run, &m);
	t->record_times = false;
	report_add_figure(&t->run->report, "seconds", "s", meter_seconds(&m));
	report_operations(t, &m, t->answered - answered, crowd_counts(t->run->crowd)->opened - opened);
	if (t->o->rate > 0)
		report_lateness(t);
	report_add_figure(&t->run->report, "unanswered_records", "", (double)(t->ledger.lost - lost));
	report_add_figure(&t->run->report, "wrong_answers", "", (double)t->run->wrong);
	t->run->unanswered += t->ledger.lost - lost;
}

/* Opens the sessions, and does with them what the mode says. */
static int hold(struct traffic *t)
{
	const struct bench_options *o = t->o;
	struct run *r = t->run;
	struct meter m = {0};
	int64_t before, after;
	uint32_t opened;
	int rc = 0;

	if (o->server_pid) {
		/* the pages of code that any session needs are not to be counted to the many */
		run_open(r, 0, 1, false);
		run_close(r, 0, 1);
	}
	before = server_rss(o);
	meter_start(r, &m);
	opened = run_open(r, 0, o->sessions, o->mode == BENCH_IDLE && o->rate > 0);
	meter_stop(r, &m);
	report_add_figure(&r->report, "sessions_opened", "", opened);
	run_report_rate(r, &m, "opening", opened);
	if (opened == 0)
		return 0;
	if (o->mode == BENCH_IDLE)
		rc = idle(t);
	report_memory(r, before, server_rss(o), opened);
	if (o->mode != BENCH_IDLE)
		work(t);
	if (rc == 0 && o->mode != BENCH_ECHO && o->mode != BENCH_LATENCY)
		rc = verify(t, "sessions_asked", "sessions_that_echoed");
	run_close(r, 0, traffic_clients(o));
	report_add_figure(&r->report, "closed_by_server", "", (double)r->lost_sessions);
	if (before >= 0) {
		after = server_rss(o);
		report_add_figure(&r->report, "server_rss_after", "bytes", after < 0 ? NAN : (double)after);
	}
	return rc;
}

int traffic_run(struct run *r)
{
	struct traffic t;
	int rc = traffic_init(&t, r);

	if (rc == 0 && r->o->plain)
		work(&t);
	else if (rc == 0)
		rc = hold(&t);
	if (!r->o->plain)
		run_report_handshakes(r);
	run_report_times(r, "echo", &r->times);
	ledger_free(&t.ledger);
	free(t.payload);
	return rc;
}
