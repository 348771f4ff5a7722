/* SPDX-License-Identifier: BSD-2-Clause */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "dtlsbench_options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dtlsbench_source.h"
#include "record.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "(unversioned build)"
#endif

#define DEFAULT_PORT 4433
#define DEFAULT_SECONDS 10
#define HELP_COLUMN 32
#define SECONDS_MAX 604800.0
#define COUNT_MAX 1e15
#define RATE_MAX 1e8

enum kind { KIND_TEXT, KIND_NUMBER, KIND_COUNT, KIND_REAL, KIND_FLAG, KIND_SPECIAL };

enum special {
	SPECIAL_PSKKEY,
	SPECIAL_VERIFY,
	SPECIAL_ORDER,
	SPECIAL_MIX,
	SPECIAL_HELP,
	SPECIAL_VERSION
};

struct entry {
	const char *name;
	enum kind kind;
	size_t offset; /* KIND_SPECIAL: enum special */
	double least, most;
	const char *argument; /* NULL: none */
	const char *help;
};

#define AT(field) offsetof(struct bench_options, field)

static const struct entry entries[] = {
	{ "sessions", KIND_NUMBER, AT(sessions), 1, SOURCE_PEERS_MAX / 2, "N",
	  "clients that take part, or sessions held" },
	{ "count", KIND_COUNT, AT(count), 1, COUNT_MAX, "N", "end after so many operations" },
	{ "duration", KIND_REAL, AT(duration), 0.001, SECONDS_MAX, "SECONDS", "end after so long (10)" },
	{ "rate", KIND_REAL, AT(rate), 0.001, RATE_MAX, "N", "operations a second, whether answers come or not" },
	{ "window", KIND_NUMBER, AT(window), 1, 1000000, "N", "without --rate: questions out at a time (64)" },
	{ "handshakes", KIND_NUMBER, AT(handshakes), 1, 100000, "N", "handshakes under way at a time (64)" },
	{ "size", KIND_NUMBER, AT(size), 8, DTLS_PLAINTEXT_MAX, "BYTES", "payload of a record (64)" },
	{ "run", KIND_NUMBER, AT(run), 1, SOURCE_RUN_MAX, "N",
	  "records that leave in one message, with UDP_SEGMENT (1)" },
	{ "order", KIND_SPECIAL, SPECIAL_ORDER, 0, 0, "turn|random", "which session is next (turn)" },
	{ "mix", KIND_SPECIAL, SPECIAL_MIX, 0, 0, "H:R:I",
	  "mixed: H handshakes to R records, I percent of sessions idle (1:98:50)" },
	{ "verify", KIND_SPECIAL, SPECIAL_VERIFY, 0, 0, "N|all", "sessions that must echo at the end (100)" },
	{ "warmup", KIND_NUMBER, AT(warmup), 0, 1e9, "N", "operations before the measurement (0)" },
	{ "resume", KIND_FLAG, AT(resume), 0, 0, NULL, "resume one session in all handshakes" },
	{ "lean", KIND_FLAG, AT(lean), 0, 0, NULL, "cheapest client: X25519 or PSK, AES-128-GCM, nothing verified" },
	{ "ahead", KIND_FLAG, AT(ahead), 0, 0, NULL, "echo: seal all records before, count answers unopened" },
	{ "plain", KIND_FLAG, AT(plain), 0, 0, NULL, "echo, latency: without DTLS, against any UDP echo server" },
	{ "flood", KIND_FLAG, AT(flood), 0, 0, NULL, "hello: as fast as possible, wait for no answer" },
	{ "stay", KIND_FLAG, AT(stay), 0, 0, NULL, "leave without close_notify" },
	{ "prefix", KIND_TEXT, AT(prefix), 0, 0, "IPV6/BITS",
	  "clients have addresses of this prefix, which is routed here" },
	{ "timeout", KIND_REAL, AT(timeout), 0.001, 3600, "SECONDS", "a question unanswered so long is lost (2)" },
	{ "handshake-timeout", KIND_REAL, AT(handshake_timeout), 0.01, 3600, "SECONDS",
	  "a handshake unfinished so long has failed (10)" },
	{ "retransmit", KIND_REAL, AT(retransmit), 0.001, 60, "SECONDS",
	  "a flight unanswered so long goes out again, then after twice as long (0.5)" },
	{ "server-pid", KIND_NUMBER, AT(server_pid), 1, 4194304, "PID", "measure this process's CPU time and memory" },
	{ "server-children", KIND_FLAG, AT(server_children), 0, 0, NULL, "and the CPU time of its child processes" },
	{ "settle", KIND_REAL, AT(settle), 0, 3600, "SECONDS", "wait before its memory is read (1)" },
	{ "seed", KIND_NUMBER, AT(seed), 0, UINT32_MAX, "N", "of --order random and payloads (1)" },
	{ "mtu", KIND_NUMBER, AT(mtu), 256, 16384, "BYTES", "largest datagram of a handshake (1200)" },
	{ "x509cafile", KIND_TEXT, AT(who.cafile), 0, 0, "FILE", "CA certificates (PEM) to verify the server with" },
	{ "x509certfile", KIND_TEXT, AT(who.certfile), 0, 0, "FILE", "client certificate chain (PEM)" },
	{ "x509keyfile", KIND_TEXT, AT(who.keyfile), 0, 0, "FILE", "its private key (PEM)" },
	{ "pskusername", KIND_TEXT, AT(who.pskusername), 0, 0, "NAME", "pre-shared key: the identity" },
	{ "pskkey", KIND_SPECIAL, SPECIAL_PSKKEY, 0, 0, "HEX", "pre-shared key: the key in hexadecimal" },
	{ "sni", KIND_TEXT, AT(who.sni), 0, 0, "NAME", "name to ask for and to verify; default: HOST" },
	{ "insecure", KIND_FLAG, AT(who.insecure), 0, 0, NULL, "do not verify the server's certificate" },
	{ "priority", KIND_TEXT, AT(who.priority), 0, 0, "STRING", "GnuTLS priority string" },
	{ "no-tickets", KIND_FLAG, AT(no_tickets), 0, 0, NULL, "take no session tickets" },
	{ "json", KIND_TEXT, AT(json), 0, 0, "FILE", "write the results there as JSON; - is standard output" },
	{ "csv", KIND_TEXT, AT(csv), 0, 0, "FILE", "the same as CSV" },
	{ "svg", KIND_TEXT, AT(svg), 0, 0, "FILE", "the same as a picture of the latencies" },
	{ "quiet", KIND_FLAG, AT(quiet), 0, 0, NULL, "no progress, no table" },
	{ "help", KIND_SPECIAL, SPECIAL_HELP, 0, 0, NULL, "this text" },
	{ "version", KIND_SPECIAL, SPECIAL_VERSION, 0, 0, NULL, "version" },
};
#define ENTRIES (sizeof(entries) / sizeof(entries[0]))

/* What a mode does where the command line says nothing. */
static const struct mode {
	const char *name, *help;
	enum bench_mode mode;
	uint32_t sessions;
	double rate;
} modes[] = {
	{ "hello", "ClientHellos without a cookie", BENCH_HELLO, 1000, 0 },
	{ "handshake", "handshakes, full or --resume, in lots of --sessions", BENCH_HANDSHAKE, 250, 0 },
	{ "echo", "records, as fast as a window of them is echoed", BENCH_ECHO, 64, 0 },
	{ "latency", "records at a fixed --rate, and how long their echo takes", BENCH_LATENCY, 64, 1000 },
	{ "idle", "sessions that sit there", BENCH_IDLE, 1000, 0 },
	{ "churn", "sessions that come and go at a --rate", BENCH_CHURN, 1000, 100 },
	{ "mixed", "all of that at once: see --mix", BENCH_MIXED, 1000, 0 },
};
#define MODES (sizeof(modes) / sizeof(modes[0]))

/* What is of use in some modes only. */
#define IN(mode) (1U << BENCH_##mode)
#define RECORDS (IN(ECHO) | IN(LATENCY) | IN(MIXED))

static const struct {
	const char *option;
	unsigned modes;
} limited[] = {
	{ "count", ~IN(IDLE) },
	{ "warmup", ~IN(IDLE) },
	{ "size", ~(IN(HELLO) | IN(HANDSHAKE)) },
	{ "run", RECORDS },
	{ "order", RECORDS },
	{ "mix", IN(MIXED) },
	{ "verify", IN(IDLE) | IN(CHURN) | IN(MIXED) },
	{ "resume", ~IN(HELLO) },
	{ "stay", ~IN(HELLO) },
	{ "ahead", IN(ECHO) },
	{ "plain", IN(ECHO) | IN(LATENCY) },
	{ "flood", IN(HELLO) },
	{ "settle", IN(IDLE) },
};
#define LIMITED (sizeof(limited) / sizeof(limited[0]))

static void print_help(void)
{
	printf("Usage: dtlsbench [OPTION]... MODE HOST[:PORT]\n"
	       "Puts load on a DTLS 1.2 server and measures how it bears it. Manual: dtlsbench(1).\n\n");
	for (size_t i = 0; i < MODES; i++)
		printf("  %-*s%s\n", HELP_COLUMN - 2, modes[i].name, modes[i].help);
	printf("\n");
	for (size_t i = 0; i < ENTRIES; i++) {
		const struct entry *e = &entries[i];
		int n = printf("  --%s%s%s", e->name, e->argument ? " " : "", e->argument ? e->argument : "");

		printf("%*s%s\n", n < HELP_COLUMN ? HELP_COLUMN - n : 1, "", e->help);
	}
	printf("\nExit status: 0 all was answered, 1 it could not start, 2 something was not answered.\n");
}

/* err: what was given, and what to give. */
static int bad(char *err, size_t err_size, const char *text, const char *advice)
{
	snprintf(err, err_size, "'%s': %s", text, advice);
	return -EINVAL;
}

/* A number of the range, all of text. Whole ones may be written as 1e6. */
static bool parse_real(const char *text, double least, double most, double *out)
{
	char *end;

	errno = 0;
	*out = strtod(text, &end);
	return end != text && *end == '\0' && errno == 0 && isfinite(*out) && *out >= least && *out <= most;
}

static bool parse_whole(const char *text, double least, double most, double *out)
{
	return parse_real(text, least, most, out) && floor(*out) == *out;
}

static int apply_mix(struct bench_options *o, const char *text)
{
	char rest;

	if (sscanf(text, "%9u:%9u:%3u%c", &o->mix_handshakes, &o->mix_records, &o->mix_idle, &rest) != 3 ||
	    o->mix_idle > 99 || o->mix_handshakes + o->mix_records == 0 || strchr(text, '-'))
		return -EINVAL;
	return 0;
}

static int apply_special(struct bench_options *o, const struct entry *e, char *text, char *err, size_t err_size)
{
	double v;

	switch ((enum special)e->offset) {
	case SPECIAL_PSKKEY:
		return dtlsc_options_take_pskkey(&o->who, text, err, err_size);
	case SPECIAL_VERIFY:
		if (strcmp(text, "all") != 0 && !parse_whole(text, 0, SOURCE_PEERS_MAX, &v))
			break;
		o->verify = strcmp(text, "all") == 0 ? BENCH_ALL : (uint32_t)v;
		return 0;
	case SPECIAL_ORDER:
		if (strcmp(text, "turn") != 0 && strcmp(text, "random") != 0)
			break;
		o->order = text[0] == 'r' ? BENCH_RANDOM : BENCH_IN_TURN;
		return 0;
	case SPECIAL_MIX:
		if (apply_mix(o, text) != 0)
			break;
		return 0;
	case SPECIAL_HELP:
	case SPECIAL_VERSION:
		return 0;
	}
	snprintf(err, err_size, "--%s '%s': give %s: %s", e->name, text, e->argument, e->help);
	return -EINVAL;
}

static int apply(struct bench_options *o, const struct entry *e, char *text, char *err, size_t err_size)
{
	char *field = (char *)o + e->offset;
	double v;

	switch (e->kind) {
	case KIND_TEXT:
		*(const char **)(void *)field = text;
		return 0;
	case KIND_FLAG:
		*(bool *)field = true;
		return 0;
	case KIND_REAL:
		if (parse_real(text, e->least, e->most, (double *)(void *)field))
			return 0;
		break;
	case KIND_NUMBER:
		if (!parse_whole(text, e->least, e->most, &v))
			break;
		*(uint32_t *)(void *)field = (uint32_t)v;
		return 0;
	case KIND_COUNT:
		if (!parse_whole(text, e->least, e->most, &v))
			break;
		*(uint64_t *)(void *)field = (uint64_t)v;
		return 0;
	case KIND_SPECIAL:
		return apply_special(o, e, text, err, err_size);
	}
	snprintf(err, err_size, "--%s '%s': give a %snumber from %.10g to %.10g", e->name, text,
		 e->kind == KIND_REAL ? "" : "whole ", e->least, e->most);
	return -EINVAL;
}

/* The server's address, and its name as the certificate should have it. */
static int take_server(struct bench_options *o, const char *text, char *err, size_t err_size)
{
	const char *host = text[0] == '[' ? text + 1 : text;
	size_t len = strcspn(host, text[0] == '[' ? "]" : ":");

	if (len == 0 || len >= sizeof(o->who.host) || text[0] == '*')
		return bad(err, err_size, text, "give HOST:PORT, as in 127.0.0.1:4433 or [::1]:4433");
	if (addr_parse(text, DEFAULT_PORT, &o->server, 1, err, err_size) < 1)
		return -EINVAL;
	if (addr_is_wildcard(&o->server) || o->server.port == 0)
		return bad(err, err_size, text, "nothing can be sent there: give an address and a port");
	memcpy(o->who.host, host, len);
	o->who.host[len] = '\0';
	o->server_text = text;
	return 0;
}

static int take_mode(struct bench_options *o, const char *text, char *err, size_t err_size)
{
	for (size_t i = 0; i < MODES; i++) {
		if (strcmp(text, modes[i].name) != 0)
			continue;
		o->mode = modes[i].mode;
		o->mode_name = modes[i].name;
		if (o->sessions == 0)
			o->sessions = modes[i].sessions;
		if (o->rate == 0)
			o->rate = modes[i].rate;
		return 0;
	}
	return bad(err, err_size, text, "not a mode: give hello, handshake, echo, latency, idle, churn or mixed");
}

static unsigned modes_of(const char *option)
{
	for (size_t i = 0; i < LIMITED; i++) {
		if (strcmp(limited[i].option, option) == 0)
			return limited[i].modes;
	}
	return ~0U;
}

/* given: by entry, what the command line has. */
static int check_modes(const struct bench_options *o, const bool *given, char *err, size_t err_size)
{
	char list[64] = "";

	for (size_t i = 0; i < ENTRIES; i++) {
		unsigned fit = modes_of(entries[i].name);

		if (!given[i] || fit & 1U << o->mode)
			continue;
		for (size_t m = 0; m < MODES; m++) {
			if (fit & 1U << modes[m].mode)
				snprintf(list + strlen(list), sizeof(list) - strlen(list), " %s", modes[m].name);
		}
		snprintf(err, err_size, "--%s is of no use in the mode %s, only in:%s; leave it out", entries[i].name,
			 o->mode_name, list);
		return -EINVAL;
	}
	return 0;
}

bool bench_to_stdout(const char *path)
{
	return path && strcmp(path, "-") == 0;
}

/* What contradicts what; NULL: nothing. */
static const char *contradiction(const struct bench_options *o)
{
	if (o->who.keyfile && !o->who.certfile)
		return "--x509keyfile without --x509certfile: give both";
	if (!o->who.pskkey != !o->who.pskusername)
		return "--pskusername and --pskkey go together: give both";
	if (o->lean && !o->who.insecure && !o->who.pskkey)
		return "--lean verifies no certificate: add --insecure to say that you know";
	if (o->lean && (o->resume || o->who.certfile || o->who.priority))
		return "--lean has no --resume, --x509certfile or --priority: leave it out";
	if (o->plain && o->resume)
		return "--plain has no handshakes: leave --resume out";
	if (o->ahead && (o->plain || !o->count))
		return "--ahead needs --count, and has no --plain";
	if (o->server_children && !o->server_pid)
		return "--server-children without --server-pid: say which process's children";
	if (bench_to_stdout(o->json) + bench_to_stdout(o->csv) + bench_to_stdout(o->svg) > 1)
		return "only one of --json, --csv and --svg can be '-', standard output: give the others a file";
	if ((size_t)o->run * (o->size + RECORD_OVERHEAD_MAX) > SOURCE_MESSAGE_MAX)
		return "--run times --size is more than one UDP message holds: make one of them smaller";
	if (o->run > o->window)
		return "--run is larger than --window: nothing could be sent";
	return NULL;
}

static int check_together(struct bench_options *o, char *err, size_t err_size)
{
	const char *wrong = contradiction(o);

	if (wrong) {
		snprintf(err, err_size, "%s", wrong);
		return -EINVAL;
	}
	/* an end there must be: without --count it is a time */
	if (o->duration == 0)
		o->duration = o->count ? SECONDS_MAX : DEFAULT_SECONDS;
	return 0;
}

static int take_words(struct bench_options *o, int argc, char **argv, const bool *given, char *err, size_t err_size)
{
	if (argc - optind != 2) {
		snprintf(err, err_size,
			 "give a mode and a server, as in dtlsbench echo 127.0.0.1:4433; see dtlsbench --help");
		return -EINVAL;
	}
	if (take_mode(o, argv[optind], err, err_size) || check_modes(o, given, err, err_size) ||
	    take_server(o, argv[optind + 1], err, err_size))
		return -EINVAL;
	return check_together(o, err, err_size);
}

enum bench_verdict bench_options_read(struct bench_options *o, int argc, char **argv, char *err, size_t err_size)
{
	struct option table[ENTRIES + 1] = {{0}};
	bool given[ENTRIES] = {false};
	int c;

	*o = (struct bench_options){ .handshakes = 64, .window = 64, .size = 64, .run = 1, .verify = 100,
				     .mtu = 1200, .seed = 1, .timeout = 2, .handshake_timeout = 10,
				     .retransmit = 0.5, .settle = 1,
				     .mix_handshakes = 1, .mix_records = 98, .mix_idle = 50 };
	for (size_t i = 0; i < ENTRIES; i++)
		table[i] = (struct option){ entries[i].name, entries[i].argument ? required_argument : no_argument,
					    NULL, (int)(256 + i) };
	opterr = 0;
	optind = 0; /* glibc: begin anew */
	while ((c = getopt_long(argc, argv, ":h", table, NULL)) != -1) {
		const struct entry *e = c >= 256 ? &entries[c - 256] : NULL;

		if (c == 'h' || (e && e->kind == KIND_SPECIAL && e->offset == SPECIAL_HELP)) {
			print_help();
			return BENCH_DONE;
		}
		if (!e) {
			snprintf(err, err_size,
				 "option '%s' is unknown, ambiguous or lacks its argument: see dtlsbench --help",
				 argv[optind - 1]);
			return BENCH_BAD;
		}
		if (e->kind == KIND_SPECIAL && e->offset == SPECIAL_VERSION) {
			printf("dtlsbench %s\n", PACKAGE_VERSION);
			return BENCH_DONE;
		}
		if (apply(o, e, optarg, err, err_size) != 0)
			return BENCH_BAD;
		given[e - entries] = true;
	}
	return take_words(o, argc, argv, given, err, err_size) == 0 ? BENCH_RUN : BENCH_BAD;
}

void bench_options_free(struct bench_options *o)
{
	dtlsc_options_free(&o->who);
}
