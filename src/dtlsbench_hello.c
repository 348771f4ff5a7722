/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mode hello: ClientHellos without a cookie, from --sessions clients in turn. An answer is a HelloVerifyRequest;
 * nobody goes on from there. Only lengths and heads of answers are looked at.
 */
#include "dtlsbench_modes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "dtlsbench_ledger.h"
#include "dtlsbench_pace.h"
#include "wire.h"

#define TURN_NS UINT64_C(1000000)

struct hellos {
	struct run *run;
	const struct bench_options *o;
	struct shake shake; /* the hello that all say */
	struct ledger ledger;
	struct pace pace;
	uint64_t *latest;   /* by client: the number of its last hello */
	uint64_t sent, answered, goal;
};

uint32_t hello_clients(const struct bench_options *o)
{
	return o->sessions;
}

static bool is_verify_request(const struct parcel *p)
{
	return p->len > DTLS_RECORD_HEADER && p->data[0] == DTLS_HANDSHAKE &&
	       p->data[DTLS_RECORD_HEADER] == DTLS_HELLO_VERIFY_REQUEST;
}

static void on_raw(void *mode, const struct parcel *p, uint64_t now)
{
	struct hellos *h = mode;
	size_t segment = p->segment ? p->segment : p->len;
	uint64_t since;

	for (size_t at = 0; at < p->len; at += segment) {
		/* behind the first of a run nothing may have been copied */
		if (at == 0 && !is_verify_request(p)) {
			h->run->wrong++;
			return;
		}
		since = ledger_answer(&h->ledger, h->latest[p->peer]);
		/* a copy, or one that comes too late, is no answer; in a flood nobody knows what is */
		if (!since && !h->o->flood)
			continue;
		h->answered++;
		if (since)
			histogram_record(&h->run->times, now - since);
	}
}

static void say(struct hellos *h, uint64_t since)
{
	uint32_t client = (uint32_t)(h->sent % h->o->sessions);

	h->latest[client] = ledger_ask(&h->ledger, since);
	h->sent++;
	crowd_say_borrowed(h->run->crowd, client, h->shake.flight, h->shake.flight_len, 0);
}

/* How many may be said now. */
static uint64_t allowance(const struct hellos *h, uint64_t now)
{
	/* of one client no more than one is out: answers do not say which they answer */
	uint64_t window = h->o->window < h->o->sessions ? h->o->window : h->o->sessions;
	uint64_t left = h->goal - h->sent, burst = run_burst(window), due;

	if (h->pace.rate > 0) {
		due = pace_count(&h->pace, now);
		burst = due > h->sent ? due - h->sent : 0;
	} else if (!h->o->flood && h->ledger.open + burst > window) {
		return 0;
	}
	return burst < left ? burst : left;
}

static void turn(struct hellos *h, uint64_t now)
{
	if (h->o->flood)
		ledger_abandon(&h->ledger);
	for (uint64_t n = allowance(h, now); n > 0 && !ledger_full(&h->ledger); n--)
		say(h, h->pace.rate > 0 ? pace_due(&h->pace, h->sent) : now);
	run_turn(h->run, h->pace.rate > 0 && pace_due(&h->pace, h->sent) > now + TURN_NS ? TURN_NS : 0);
	ledger_expire(&h->ledger, now);
	progress_show(&h->run->progress, now / 1000000, "%llu hellos, %llu answered", (unsigned long long)h->sent,
		      (unsigned long long)h->answered);
}

static void stretch(struct hellos *h, uint64_t goal, double seconds)
{
	uint64_t began = clock_mono_ns(), end = began + (uint64_t)(seconds * SECOND_NS);

	h->pace = (struct pace){ .start_ns = began, .rate = h->o->rate };
	h->goal = goal;
	h->sent = h->answered = 0;
	for (uint64_t now = began; h->sent < goal && now < end && !run_over(h->run); now = clock_mono_ns())
		turn(h, now);
	if (h->o->flood)
		ledger_abandon(&h->ledger);
	for (uint64_t now; h->ledger.open && !h->run->error;) {
		now = clock_mono_ns();
		run_turn(h->run, 0);
		ledger_expire(&h->ledger, now);
	}
}

static void measure(struct hellos *h)
{
	struct run *r = h->run;
	struct meter m = {0};
	uint64_t lost;

	if (h->o->warmup)
		stretch(h, h->o->warmup, h->o->duration);
	histogram_init(&r->times);
	lost = h->ledger.lost;
	meter_start(r, &m);
	stretch(h, h->o->count ? h->o->count : UINT64_MAX, h->o->duration);
	meter_stop(r, &m);
	report_add_figure(&r->report, "seconds", "s", meter_seconds(&m));
	run_report_rate(r, &m, "hello", h->sent);
	run_report_rate(r, &m, "answer", h->answered);
	report_add_figure(&r->report, "wrong_answers", "", (double)r->wrong);
	if (h->o->flood)
		return;
	report_add_figure(&r->report, "unanswered_hellos", "", (double)(h->ledger.lost - lost));
	run_report_times(r, "hello", &r->times);
	r->unanswered += h->ledger.lost - lost;
}

int hello_run(struct run *r)
{
	static const struct shake_setup nobody = { .tickets = true };
	struct hellos h = { .run = r, .o = r->o, .latest = calloc(r->o->sessions, sizeof(uint64_t)) };
	int rc = h.latest ? run_ledger_init(r, &h.ledger) : -ENOMEM;

	if (rc == 0 && shake_begin(&h.shake, &nobody, NULL) != SHAKE_SEND)
		rc = -EIO; /* no random bytes */
	if (rc == 0) {
		r->mode = &h;
		r->hooks = (struct run_hooks){ .raw = on_raw };
		crowd_hear_raw(r->crowd, true, true);
		measure(&h);
	}
	shake_end(&h.shake);
	ledger_free(&h.ledger);
	free(h.latest);
	return rc;
}
