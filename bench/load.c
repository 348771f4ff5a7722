/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load: drives one server with one kind of work and tells what a unit of it cost the server: its CPU time
 * (all threads) over the datagrams, records or handshakes that it answered. The server is drained before and
 * after the window, so that every unit counted was paid for inside it.
 *
 *	hello      ClientHellos without a cookie, answered by a HelloVerifyRequest or anything of --answer bytes
 *	handshake  full handshakes, in lots of --sessions
 *	echo       records of --size bytes, echoed; with --plain datagrams as long, without DTLS; with
 *	           --gso N in runs of N that travel as one message
 *	idle       memory: --sessions that echo one record each and then sit there, and after they have left
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client.h"
#include "secure.h"
#include "shake.h"
#include "source.h"
#include "util.h"

#define LOST_NS UINT64_C(2000000000) /* no answer for so long: what is outstanding was lost */
#define QUIET_US 20000              /* lets the server fall asleep */

struct options {
	const char *mode;
	struct sockaddr_in6 server;
	pid_t pid;
	uint32_t sessions, size, gso, window, count, warmup, lanes, settle_s, answer;
	bool plain, no_tickets;
};

/* Messages of equal length, round-robin over peers; message i lies at i * bytes. */
struct plan {
	struct source *source;
	uint8_t *memory;
	size_t memory_len;
	bool same;          /* all messages are the one at memory */
	size_t bytes;       /* of a message */
	uint32_t units;     /* datagrams in a message */
	uint32_t first_peer, peers;
	uint32_t window;    /* messages outstanding at most */
	size_t answer;      /* bytes of the answer to one datagram */
	uint8_t answer_type; /* its first byte; 0: any */
	struct secure *secure; /* where not NULL: answers are opened and compared with plain */
	const uint8_t *plain;
};

struct outcome {
	uint64_t units, lost, cpu_ns, wall_ns;
};

static void answer_check(const struct plan *p, const struct parcel *got)
{
	size_t segment = got->segment ? got->segment : got->len;
	uint8_t opened[SOURCE_BUFFER];

	if (got->peer >= p->peers)
		die("an answer for a peer that asked nothing");
	for (size_t at = 0; at < got->len; at += segment) {
		ssize_t n = secure_open(&p->secure[got->peer], got->data + at, segment, opened);

		if (n != (ssize_t)(p->answer - RECORD_OVERHEAD) || memcmp(opened, p->plain, (size_t)n) != 0)
			die("an answer is not the record that was sent");
	}
}

/* A flight of the handshake that was sent once more. */
static bool late(const struct plan *p, const struct parcel *got)
{
	return p->answer_type && p->answer_type != CONTENT_HANDSHAKE &&
	       (got->data[0] == CONTENT_HANDSHAKE || got->data[0] == CONTENT_CCS);
}

/* The number of datagrams answered by what has arrived. */
static uint64_t plan_collect(struct plan *p)
{
	struct parcel parcels[BATCH];
	unsigned n = source_receive(p->source, parcels);
	uint64_t units = 0;

	for (unsigned i = 0; i < n; i++) {
		if (late(p, &parcels[i]))
			continue;
		if (parcels[i].len % p->answer || (p->answer_type && parcels[i].data[0] != p->answer_type))
			die("an answer of %zu bytes and type %u: expected %zu and %u", parcels[i].len,
			    parcels[i].data[0], p->answer, p->answer_type);
		units += parcels[i].len / p->answer;
		if (p->secure)
			answer_check(p, &parcels[i]);
	}
	return units;
}

static void plan_send(struct plan *p, uint64_t first, unsigned n)
{
	struct parcel parcels[BATCH];

	for (unsigned i = 0; i < n; i++) {
		uint64_t at = first + i;

		parcels[i] = (struct parcel){
			.peer = p->first_peer + (uint32_t)(at % p->peers),
			.segment = p->units > 1 ? (uint16_t)(p->bytes / p->units) : 0,
			.data = p->memory + (p->same ? 0 : at * p->bytes),
			.len = p->bytes,
		};
	}
	source_send(p->source, parcels, n);
}

/* Sends messages first..first+count-1 and waits for all answers. Adds to o->units and o->lost. */
static void plan_run(struct plan *p, uint64_t first, uint64_t count, struct outcome *o)
{
	uint64_t total = count * p->units, sent = 0, got = 0, lost = 0, alive = mono_ns();
	unsigned burst = p->window / 2 < BATCH ? (p->window + 1) / 2 : BATCH;

	while (got + lost < total) {
		uint64_t out = (sent - got - lost + p->units - 1) / p->units;
		uint64_t left = count - sent / p->units, n;

		if (left && out + burst <= p->window) {
			unsigned k = left < burst ? (unsigned)left : burst;

			plan_send(p, first + sent / p->units, k);
			sent += (uint64_t)k * p->units;
		}
		n = plan_collect(p);
		got += n;
		if (got + lost > sent)
			die("more answers than questions");
		if (n)
			alive = mono_ns();
		else if (mono_ns() - alive > LOST_NS) {
			lost = sent - got;
			alive = mono_ns();
		}
	}
	o->units += got;
	o->lost += lost;
}

/* Runs a part to warm up, then the rest under the clock. */
static struct outcome plan_measure(const struct options *o, struct plan *p)
{
	struct outcome warm = {0}, r = {0};
	uint64_t cpu, wall;

	source_skip_bodies(p->source, !p->secure);
	plan_run(p, 0, o->warmup, &warm);
	if (warm.units == 0)
		die("no answer from the server");
	p->secure = NULL;
	source_skip_bodies(p->source, true);
	usleep(QUIET_US);
	cpu = process_cpu_ns(o->pid);
	wall = mono_ns();
	plan_run(p, o->warmup, o->count, &r);
	r.wall_ns = mono_ns() - wall;
	usleep(QUIET_US);
	r.cpu_ns = process_cpu_ns(o->pid) - cpu;
	source_skip_bodies(p->source, false);
	return r;
}

static void outcome_print(const struct outcome *r)
{
	printf("{\"units\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"cpu_ns\": %" PRIu64
	       ", \"wall_ns\": %" PRIu64 ", \"ns_per_unit\": %.1f, \"busy\": %.3f}\n",
	       r->units, r->lost, r->cpu_ns, r->wall_ns, (double)r->cpu_ns / (double)r->units,
	       (double)r->cpu_ns / (double)r->wall_ns);
}

static uint8_t *plan_allocate(struct plan *p, uint64_t messages)
{
	p->memory_len = messages * p->bytes;
	p->memory = mmap(NULL, p->memory_len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (p->memory == MAP_FAILED)
		die("%zu bytes of records: %s", p->memory_len, strerror(errno));
	return p->memory;
}

/* Seals count messages ahead of time: the generator must be cheaper than the server. */
static void plan_seal(struct plan *p, struct secure *sessions, uint64_t count, uint8_t type, size_t size)
{
	uint8_t *out = plan_allocate(p, count);

	for (uint64_t m = 0; m < count; m++) {
		for (uint32_t u = 0; u < p->units; u++, out += size + RECORD_OVERHEAD)
			secure_seal(&sessions[m % p->peers], type, p->plain, size, out);
	}
}

/* Ends all sessions and waits for the answers to close_notify. The number that answered. */
static uint64_t sessions_close(struct source *source, struct secure *sessions, uint32_t first, uint32_t n,
			       uint32_t window)
{
	static const uint8_t close_notify[2] = {1, 0};
	struct plan p = {.source = source, .bytes = 2 + RECORD_OVERHEAD, .units = 1,
			 .first_peer = first, .peers = n, .window = window, .answer = 2 + RECORD_OVERHEAD,
			 .answer_type = CONTENT_ALERT, .plain = close_notify};
	struct outcome r = {0};

	plan_seal(&p, sessions, n, CONTENT_ALERT, 2);
	plan_run(&p, 0, n, &r);
	munmap(p.memory, p.memory_len);
	for (uint32_t i = 0; i < n; i++)
		secure_free(&sessions[i]);
	return r.units;
}

static void run_hello(const struct options *o)
{
	static struct shake hello;
	struct plan p = {.source = source_new(&o->server), .memory = hello.flight, .same = true, .units = 1,
			 .peers = o->sessions, .window = o->window, .answer = o->answer,
			 .answer_type = CONTENT_HANDSHAKE};
	struct outcome r;

	shake_begin(&hello, NULL);
	p.bytes = hello.flight_len;
	r = plan_measure(o, &p);
	outcome_print(&r);
}

/* One lot of handshakes under the clock; its sessions end outside it. */
static void handshake_lot(const struct options *o, struct source *source, uint32_t first, uint32_t n,
			  struct outcome *r)
{
	struct secure *sessions = xcalloc(n, sizeof(*sessions));
	uint64_t cpu = process_cpu_ns(o->pid), wall = mono_ns();

	client_connect(source, first, n, o->lanes, sessions);
	r->wall_ns += mono_ns() - wall;
	usleep(QUIET_US);
	r->cpu_ns += process_cpu_ns(o->pid) - cpu;
	r->units += n;
	sessions_close(source, sessions, first, n, o->window);
	free(sessions);
	usleep(QUIET_US);
}

/* In lots, so that what is measured is a server with some sessions, whatever the count. */
static void run_handshake(const struct options *o)
{
	struct source *source = source_new(&o->server);
	struct outcome warm = {0}, r = {0};

	handshake_lot(o, source, 0, o->warmup, &warm);
	for (uint32_t done = 0, n; done < o->count; done += n) {
		n = o->count - done < o->sessions ? o->count - done : o->sessions;
		handshake_lot(o, source, o->warmup + done, n, &r);
	}
	outcome_print(&r);
}

static void run_echo(const struct options *o)
{
	struct plan p = {.source = source_new(&o->server), .units = o->gso, .peers = o->sessions,
			 .window = o->window, .answer = o->size + RECORD_OVERHEAD};
	uint8_t *plain = xcalloc(1, o->size);
	struct secure *sessions = NULL;
	struct outcome r;

	memset(plain, 'x', o->size);
	p.plain = plain;
	p.bytes = p.answer * p.units;
	if (p.bytes > 65507)
		die("a run of %u records of %u bytes is longer than a UDP message", o->gso, o->size);
	if (o->plain) {
		plan_allocate(&p, o->warmup + o->count);
	} else {
		p.answer_type = CONTENT_DATA;
		sessions = xcalloc(o->sessions, sizeof(*sessions));
		client_connect(p.source, 0, o->sessions, o->lanes, sessions);
		plan_seal(&p, sessions, o->warmup + o->count, CONTENT_DATA, o->size);
		p.secure = sessions;
	}
	r = plan_measure(o, &p);
	if (sessions)
		sessions_close(p.source, sessions, 0, o->sessions, o->window);
	outcome_print(&r);
}

/* A server may give memory back some time after it has become free. */
static long settled_rss_kb(const struct options *o)
{
	sleep(o->settle_s);
	return process_rss_kb(o->pid);
}

static uint64_t echo_once(const struct options *o, struct source *source, struct secure *sessions, uint32_t n)
{
	struct plan p = {.source = source, .bytes = o->size + RECORD_OVERHEAD, .units = 1, .peers = n,
			 .window = o->window, .answer = o->size + RECORD_OVERHEAD,
			 .answer_type = CONTENT_DATA, .secure = sessions};
	uint8_t *plain = xcalloc(1, o->size);
	struct outcome r = {0};

	p.plain = plain;
	plan_seal(&p, sessions, n, CONTENT_DATA, o->size);
	plan_run(&p, 0, n, &r);
	munmap(p.memory, p.memory_len);
	free(plain);
	return r.units;
}

static void run_idle(const struct options *o)
{
	struct source *source = source_new(&o->server);
	struct secure *sessions = xcalloc(o->sessions + 1, sizeof(*sessions));
	uint64_t echoed, closed;
	long before, held, after;

	/* One session first, so that the pages of code that any session needs are not counted to the many. */
	client_connect(source, o->sessions, 1, 1, &sessions[o->sessions]);
	secure_free(&sessions[o->sessions]);
	sleep(1);
	before = process_rss_kb(o->pid);
	client_connect(source, 0, o->sessions, o->lanes, sessions);
	echoed = echo_once(o, source, sessions, o->sessions);
	held = settled_rss_kb(o);
	closed = sessions_close(source, sessions, 0, o->sessions, o->window);
	after = settled_rss_kb(o);
	printf("{\"sessions\": %u, \"echoed\": %" PRIu64 ", \"closed\": %" PRIu64
	       ", \"before_kb\": %ld, \"held_kb\": %ld, \"after_kb\": %ld, \"bytes_per_session\": %.0f}\n",
	       o->sessions, echoed, closed, before, held, after,
	       (double)(held - before) * 1024 / o->sessions);
}

static const struct {
	const char *name;
	void (*run)(const struct options *o);
} modes[] = {
	{"hello", run_hello}, {"handshake", run_handshake}, {"echo", run_echo}, {"idle", run_idle},
};

static uint32_t number(const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*end || end == text || v > UINT32_MAX)
		die("'%s' is not a number", text);
	return (uint32_t)v;
}

static struct options options_read(int argc, char **argv)
{
	struct options o = {.sessions = 64, .size = 64, .gso = 1, .window = 64, .count = 200000,
			    .warmup = 20000, .lanes = 16, .settle_s = 15, .answer = 44};
	const struct {
		const char *name;
		uint32_t *value;
	} numbers[] = {
		{"sessions", &o.sessions}, {"size", &o.size}, {"gso", &o.gso}, {"window", &o.window},
		{"count", &o.count}, {"warmup", &o.warmup}, {"lanes", &o.lanes}, {"settle", &o.settle_s},
		{"answer", &o.answer},
	};
	enum { NUMBERS = sizeof(numbers) / sizeof(*numbers) };
	struct option longs[NUMBERS + 4] = {{0}};
	int c;

	for (int i = 0; i < NUMBERS; i++)
		longs[i] = (struct option){numbers[i].name, required_argument, NULL, 'N' + i};
	longs[NUMBERS] = (struct option){"pid", required_argument, NULL, 'A'};
	longs[NUMBERS + 1] = (struct option){"plain", no_argument, NULL, 'B'};
	longs[NUMBERS + 2] = (struct option){"no-tickets", no_argument, NULL, 'C'};
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c >= 'N' && c < 'N' + NUMBERS)
			*numbers[c - 'N'].value = number(optarg);
		else if (c == 'A')
			o.pid = (pid_t)number(optarg);
		else if (c == 'B')
			o.plain = true;
		else if (c == 'C')
			o.no_tickets = true;
		else
			exit(2);
	}
	if (argc - optind != 2 || o.pid == 0)
		die("usage: load --pid PID [--sessions N] [--size BYTES] [--gso N] [--plain] [--window N]\n"
		    "            [--count N] [--warmup N] [--lanes N] [--settle SECONDS] [--no-tickets]\n"
		    "            [--answer BYTES]\n"
		    "            hello|handshake|echo|idle IPV4:PORT");
	if (!o.sessions || !o.size || !o.answer || o.size > 16384 || !o.gso || o.gso > 64 || !o.window || !o.lanes ||
	    !o.count || !o.warmup || o.sessions + (uint64_t)o.count > SOURCE_PEERS_MAX)
		die("a number is out of range");
	o.mode = argv[optind];
	o.server = parse_server(argv[optind + 1]);
	return o;
}

int main(int argc, char **argv)
{
	struct options o = options_read(argc, argv);

	shake_setup(!o.no_tickets);
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		if (strcmp(modes[i].name, o.mode) == 0) {
			modes[i].run(&o);
			return 0;
		}
	}
	die("'%s' is not a mode: hello, handshake, echo, idle", o.mode);
}
