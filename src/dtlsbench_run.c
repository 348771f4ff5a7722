/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsbench_run.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "dtlsbench_pace.h"
#include "dtlsbench_proc.h"

#define TURN_NS UINT64_C(10000000)     /* longest sleep: time-outs and the progress line are looked after */
#define QUIET_US 20000                 /* the server has fallen asleep by then */
#define HANDLES_MAX 16384              /* sessions with AEAD handles: 25 MB */
#define BURST_MAX 64                   /* questions */
#define CLOSE_WINDOW 256               /* goodbyes that wait for an answer */

static volatile sig_atomic_t interrupted;

void run_interrupt(void)
{
	interrupted = 1;
}

bool run_over(const struct run *r)
{
	return interrupted || r->error;
}

/* ---- events of the clients ---- */

static void on_opened(void *ctx, uint32_t client, uint64_t since, uint64_t now)
{
	struct run *r = ctx;

	histogram_record(&r->handshake_times, now - since);
	if (r->hooks.opened)
		r->hooks.opened(r->mode, client);
}

static void on_failed(void *ctx, uint32_t client)
{
	struct run *r = ctx;

	(void)client;
	r->unanswered++;
}

static void on_heard(void *ctx, uint32_t client, const uint8_t *plain, size_t len, uint64_t now)
{
	struct run *r = ctx;

	if (r->hooks.heard)
		r->hooks.heard(r->mode, client, plain, len, now);
}

static void on_closed(void *ctx, uint32_t client, bool answer)
{
	struct run *r = ctx;

	(void)client;
	if (answer)
		r->said_goodbye++;
	else
		r->lost_sessions++;
}

static void on_raw(void *ctx, const struct parcel *p, uint64_t now)
{
	struct run *r = ctx;

	if (r->hooks.raw)
		r->hooks.raw(r->mode, p, now);
}

/* ---- life ---- */

int run_init(struct run *r, const struct bench_options *o, uint32_t clients, const struct tls_setup *tls,
	     const struct shake_setup *lean, char *err, size_t err_size)
{
	const struct crowd_setup setup = {
		.clients = clients,
		.handshakes = o->handshakes < clients ? o->handshakes : clients,
		.handles = clients < HANDLES_MAX ? clients : HANDLES_MAX,
		.tls = tls,
		.lean = lean,
		.retransmit_ns = (uint64_t)(o->retransmit * SECOND_NS),
		.timeout_ns = (uint64_t)(o->handshake_timeout * SECOND_NS),
		.mtu = o->mtu,
	};
	const struct crowd_events events = { r, on_opened, on_failed, on_heard, on_closed, on_raw };

	memset(r, 0, sizeof(*r));
	r->o = o;
	histogram_init(&r->handshake_times);
	histogram_init(&r->times);
	report_init(&r->report, o->mode_name, o->server_text, time(NULL));
	if (!o->quiet)
		progress_init(&r->progress, stderr);
	r->source = source_new(&o->server, clients, o->prefix, err, err_size);
	if (!r->source)
		return -1;
	r->crowd = crowd_new(r->source, &setup, &events);
	if (!r->crowd) {
		snprintf(err, err_size, "out of memory for %u sessions: fewer --sessions or --handshakes", clients);
		return -1;
	}
	if (!run_server_gone(r))
		return 0;
	snprintf(err, err_size, "--server-pid %u: there is no such process; see ps(1)", o->server_pid);
	return -1;
}

void run_free(struct run *r)
{
	crowd_free(r->crowd);
	source_free(r->source);
}

void run_turn(struct run *r, uint64_t wait_ns)
{
	r->error = crowd_turn(r->crowd, wait_ns < TURN_NS ? wait_ns : TURN_NS);
}

/* ---- questions ---- */

int run_ledger_init(const struct run *r, struct ledger *l)
{
	const struct bench_options *o = r->o;
	double room = o->rate > 0 ? o->rate * o->timeout * 2 : 0;

	return ledger_init(l, (uint64_t)room + 2 * o->window + 1024, (uint64_t)(o->timeout * SECOND_NS));
}

unsigned run_burst(uint64_t window)
{
	return window / 2 < BURST_MAX ? (unsigned)(window + 1) / 2 : BURST_MAX;
}

/* ---- what it costs ---- */

static uint64_t server_cpu_ns(const struct run *r)
{
	pid_t pid = (pid_t)r->o->server_pid;

	return proc_cpu_ns(pid) + (r->o->server_children ? proc_children_cpu_ns(pid) : 0);
}

bool run_server_gone(const struct run *r)
{
	return r->o->server_pid && proc_cpu_ns((pid_t)r->o->server_pid) == 0;
}

void meter_start(const struct run *r, struct meter *m)
{
	m->server_from = r->o->server_pid ? server_cpu_ns(r) : 0;
	m->own_from = proc_cpu_ns(getpid());
	m->wall_from = clock_mono_ns();
}

void meter_stop(const struct run *r, struct meter *m)
{
	m->wall_ns += clock_mono_ns() - m->wall_from;
	m->own_ns += proc_cpu_ns(getpid()) - m->own_from;
	if (!r->o->server_pid)
		return;
	usleep(QUIET_US);
	m->server_gone = run_server_gone(r);
	m->server_ns += m->server_gone ? 0 : server_cpu_ns(r) - m->server_from;
}

double meter_seconds(const struct meter *m)
{
	return (double)m->wall_ns / SECOND_NS;
}

/* ---- many sessions at once ---- */

static void show_opening(struct run *r, uint32_t done, uint32_t count)
{
	progress_show(&r->progress, clock_mono_ms(), "opening sessions: %u of %u, %llu failed", done, count,
		      (unsigned long long)crowd_counts(r->crowd)->failed);
}

uint32_t run_open(struct run *r, uint32_t first, uint32_t count, bool paced)
{
	const struct crowd_counts *counts = crowd_counts(r->crowd);
	const struct pace pace = { .start_ns = clock_mono_ns(), .rate = paced ? r->o->rate : 0 };
	uint64_t opened = counts->opened, failed = counts->failed;
	uint32_t begun = 0;

	while (!run_over(r) && counts->opened + counts->failed - opened - failed < count) {
		uint64_t now = clock_mono_ns();
		uint64_t due = pace.rate > 0 ? pace_count(&pace, now) : count;

		for (; begun < count && begun < due && crowd_can_open(r->crowd); begun++)
			crowd_open(r->crowd, first + begun, pace.rate > 0 ? pace_due(&pace, begun) : now);
		run_turn(r, pace.rate > 0 && begun < count && begun >= due ? pace_due(&pace, begun) - now : TURN_NS);
		show_opening(r, (uint32_t)(counts->opened - opened), count);
	}
	return (uint32_t)(counts->opened - opened);
}

void run_close(struct run *r, uint32_t first, uint32_t count)
{
	uint64_t before = r->said_goodbye, asked = 0, heard = before, alive = clock_mono_ns();
	uint64_t patience = (uint64_t)(r->o->timeout * SECOND_NS);
	uint32_t at = 0;

	while (!r->error && (at < count || heard - before < asked) && clock_mono_ns() - alive < patience) {
		for (; at < count && asked - (r->said_goodbye - before) < CLOSE_WINDOW; at++) {
			if (r->o->stay || crowd_state(r->crowd, first + at) != CLIENT_OPEN) {
				crowd_drop(r->crowd, first + at);
				continue;
			}
			crowd_close(r->crowd, first + at);
			asked++;
		}
		run_turn(r, TURN_NS);
		if (r->said_goodbye != heard)
			alive = clock_mono_ns();
		heard = r->said_goodbye;
	}
	for (at = 0; at < count; at++)
		crowd_drop(r->crowd, first + at);
}

int run_prepare_resumption(struct run *r, struct tls_setup *tls, char *err, size_t err_size)
{
	crowd_keep_session(r->crowd, &tls->resume);
	if (run_open(r, 0, 1, false) == 1 && tls->resume.size == 0) {
		snprintf(err, err_size, "the server gives neither a session ticket nor an ID to resume by");
		return -1;
	}
	run_close(r, 0, 1);
	return 0;
}

/* ---- figures ---- */

void run_report_rate(struct run *r, const struct meter *m, const char *name, uint64_t count)
{
	double seconds = meter_seconds(m), each = count ? 1 / (double)count / 1000 : NAN;
	double server_ns = m->server_gone ? NAN : (double)m->server_ns;
	char text[48];

	snprintf(text, sizeof(text), "%ss", name);
	report_add_figure(&r->report, text, "", (double)count);
	snprintf(text, sizeof(text), "%ss_per_second", name);
	report_add_figure(&r->report, text, "/s", (double)count / seconds);
	if (r->o->server_pid) {
		snprintf(text, sizeof(text), "server_cpu_per_%s", name);
		report_add_figure(&r->report, text, "us", server_ns * each);
		snprintf(text, sizeof(text), "server_busy_%ss", name);
		report_add_figure(&r->report, text, "", server_ns / (double)m->wall_ns);
	}
	snprintf(text, sizeof(text), "own_cpu_per_%s", name);
	report_add_figure(&r->report, text, "us", (double)m->own_ns * each);
}

void run_report_handshakes(struct run *r)
{
	const struct crowd_counts *counts = crowd_counts(r->crowd);

	report_add_figure(&r->report, "failed_handshakes", "", (double)counts->failed);
	report_add_figure(&r->report, "resumed_handshakes", "", (double)counts->resumed);
	report_add_figure(&r->report, "repeated_flights", "", (double)counts->repeated);
	run_report_times(r, "handshake", &r->handshake_times);
}

void run_report_times(struct run *r, const char *name, const struct histogram *times)
{
	if (times->count)
		report_add_histogram(&r->report, name, times);
}
