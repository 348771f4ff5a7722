/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsbench: the load generator's beginning and end: credentials, sockets, the mode, and what is told of it.
 */
#include "dtlsbench_options.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gnutls/gnutls.h>

#include "dtlsbench_export.h"
#include "dtlsbench_modes.h"
#include "dtlsbench_plot.h"
#include "dtlsbench_run.h"
#include "dtlsbench_table.h"
#include "dtlsbench_tls.h"
#include "dtlsc_cred.h"

struct bench {
	struct bench_options o;
	struct tls_setup tls;
	struct shake_setup lean;
	struct run run;
};

static const struct mode {
	uint32_t (*clients)(const struct bench_options *o);
	int (*run)(struct run *r);
} modes[] = {
	[BENCH_HELLO] = { hello_clients, hello_run },
	[BENCH_HANDSHAKE] = { handshake_clients, handshake_run },
	[BENCH_ECHO] = { traffic_clients, traffic_run },
	[BENCH_LATENCY] = { traffic_clients, traffic_run },
	[BENCH_IDLE] = { traffic_clients, traffic_run },
	[BENCH_CHURN] = { traffic_clients, traffic_run },
	[BENCH_MIXED] = { traffic_clients, traffic_run },
};
static const struct mode ahead = { ahead_clients, ahead_run };

static int complain(const char *text)
{
	fprintf(stderr, "dtlsbench: %s\n", text);
	return -1;
}

/* ---- beginning ---- */

static int load_lean(struct bench *b)
{
	const struct dtlsc_options *who = &b->o.who;
	size_t len = sizeof(b->lean.psk);
	gnutls_datum_t hex;

	b->lean.tickets = !b->o.no_tickets;
	if (shake_prepare(&b->lean) != 0)
		return complain("no random bytes");
	if (!who->pskkey)
		return 0;
	hex = (gnutls_datum_t){ (unsigned char *)who->pskkey, (unsigned)strlen(who->pskkey) };
	b->lean.identity_len = strlen(who->pskusername);
	if (gnutls_hex_decode(&hex, b->lean.psk, &len) != 0 || b->lean.identity_len > sizeof(b->lean.identity))
		return complain("--lean takes keys of 64 bytes and identities of 128 at most");
	b->lean.psk_len = len;
	memcpy(b->lean.identity, who->pskusername, b->lean.identity_len);
	return 0;
}

static int load_credentials(struct bench *b)
{
	char err[1024];

	b->tls.verify = !b->o.who.insecure;
	b->tls.tickets = !b->o.no_tickets;
	b->tls.mtu = b->o.mtu;
	b->tls.retransmit_ms = (unsigned)(b->o.retransmit * 1000);
	b->tls.timeout_ms = (unsigned)(b->o.handshake_timeout * 1000);
	if (cred_load(&b->tls.cred, &b->o.who, err, sizeof(err)) != DTLSC_OK)
		return complain(err);
	return b->o.lean ? load_lean(b) : 0;
}

static const struct mode *mode_of(const struct bench_options *o)
{
	return o->ahead ? &ahead : &modes[o->mode];
}

/* ---- end ---- */

static void add_parameters(struct report *r, const struct bench_options *o)
{
	report_add_number(r, "sessions", o->sessions);
	report_add_number(r, "size", o->size);
	report_add_number(r, "run", o->run);
	report_add_number(r, "window", o->window);
	report_add_number(r, "rate", o->rate);
	report_add_number(r, "handshakes_at_a_time", o->handshakes);
	report_add_text(r, "order", o->order == BENCH_RANDOM ? "random" : "turn");
	report_add_text(r, "client", o->lean ? "lean" : o->plain ? "plain UDP" : "GnuTLS");
	report_add_text(r, "key", o->who.pskusername ? "psk" : "x509");
	report_add_text(r, "resume", o->resume ? "yes" : "no");
	report_add_number(r, "seed", o->seed);
}

static int write_one(const struct report *r, const char *path, report_writer *writer)
{
	int rc = path ? report_write(r, path, writer) : 0;

	if (rc != 0)
		fprintf(stderr, "dtlsbench: %s: %s\n", path, strerror(-rc));
	return rc;
}

/* Whether a file can be written; if there was none there is none afterwards. */
static bool can_write(const char *path)
{
	bool is_new = access(path, F_OK) != 0;
	FILE *f = is_new ? fopen(path, "w") : NULL;

	if (f) {
		fclose(f);
		unlink(path);
	} else if (is_new || access(path, W_OK) != 0) {
		fprintf(stderr, "dtlsbench: %s: %s\n", path, strerror(errno));
		return false;
	}
	return true;
}

/* Asked before the work, so that what it finds is not lost for want of a place. */
static bool can_write_all(const struct bench_options *o)
{
	const char *paths[] = { o->json, o->csv, o->svg };

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (paths[i] && !bench_to_stdout(paths[i]) && !can_write(paths[i]))
			return false;
	}
	return true;
}

/* The table goes where the data does not. */
static int write_all(const struct bench_options *o, const struct report *r)
{
	bool taken = bench_to_stdout(o->json) || bench_to_stdout(o->csv) || bench_to_stdout(o->svg);
	int rc = write_one(r, o->json, export_json);

	rc |= write_one(r, o->csv, export_csv);
	rc |= write_one(r, o->svg, plot_write);
	if (!o->quiet)
		table_write(taken ? stderr : stdout, r);
	return rc;
}

static enum bench_exit verdict(const struct run *r)
{
	const struct crowd_counts *counts = crowd_counts(r->crowd);
	uint64_t missing = r->unanswered + r->wrong + r->lost_sessions;

	if (counts->failed)
		fprintf(stderr, "dtlsbench: %llu handshakes failed; the first: %s\n",
			(unsigned long long)counts->failed, crowd_why(r->crowd));
	if (counts->failed && counts->opened == 0)
		return BENCH_FAILED;
	if (run_server_gone(r))
		fprintf(stderr, "dtlsbench: process %u has ended meanwhile: what it cost is not known\n", r->o->server_pid);
	if (r->o->resume && counts->resumed == 0)
		fprintf(stderr, "dtlsbench: no handshake was resumed: the server does not take back the ticket or ID "
			"that it gave\n");
	if (r->error) {
		fprintf(stderr, "dtlsbench: cannot send to %s: %s\n", r->o->server_text, strerror(-r->error));
		return BENCH_FAILED;
	}
	if (missing == 0)
		return BENCH_OK;
	fprintf(stderr, "dtlsbench: %llu unanswered, %llu answered wrongly, %llu sessions closed by the server\n",
		(unsigned long long)r->unanswered, (unsigned long long)r->wrong,
		(unsigned long long)r->lost_sessions);
	return BENCH_UNANSWERED;
}

/* The first ctrl-c ends the run, the second the program. */
static void on_signal(int number)
{
	(void)number;
	run_interrupt();
}

static void take_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static enum bench_exit run(struct bench *b)
{
	const struct mode *mode = mode_of(&b->o);
	enum bench_exit status = BENCH_FAILED;
	char err[512] = "";
	int rc;

	if (run_init(&b->run, &b->o, mode->clients(&b->o), &b->tls, b->o.lean ? &b->lean : NULL, err,
		     sizeof(err)) != 0) {
		complain(err);
		run_free(&b->run);
		return BENCH_FAILED;
	}
	add_parameters(&b->run.report, &b->o);
	rc = b->o.resume ? run_prepare_resumption(&b->run, &b->tls, err, sizeof(err)) : 0;
	if (rc == 0)
		rc = mode->run(&b->run);
	progress_clear(&b->run.progress);
	if (rc != 0)
		complain(err[0] ? err : strerror(-rc));
	else
		status = verdict(&b->run);
	if (rc == 0 && status != BENCH_FAILED && write_all(&b->o, &b->run.report) != 0)
		status = BENCH_FAILED;
	run_free(&b->run);
	return status;
}

int main(int argc, char **argv)
{
	enum bench_exit status = BENCH_FAILED;
	struct bench *b = calloc(1, sizeof(*b));
	char err[512];

	setlocale(LC_CTYPE, "");
	if (!b) {
		complain("out of memory");
		return BENCH_FAILED;
	}
	switch (bench_options_read(&b->o, argc, argv, err, sizeof(err))) {
	case BENCH_DONE:
		status = fflush(stdout) == 0 ? BENCH_OK : BENCH_FAILED;
		break;
	case BENCH_BAD:
		complain(err);
		break;
	case BENCH_RUN:
		take_signals();
		if (load_credentials(b) == 0 && can_write_all(&b->o))
			status = run(b);
		break;
	}
	gnutls_free(b->tls.resume.data);
	cred_free(&b->tls.cred);
	bench_options_free(&b->o);
	free(b);
	return (int)status;
}
