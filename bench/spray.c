/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spray: floods a server from thousands of addresses, of 127.0.0.0/8 or of an IPv6 prefix that is routed to
 * this machine, and tells how those fare who have to live with the flood.
 *
 *	hello      ClientHellos without a cookie, PEERS of them in turn
 *	halfopen   the same, and a second hello with the cookie that comes back; no peer ever goes on
 *	begin      handshakes of real clients, as many as it can make; the sessions stay
 *	junk       what is not DTLS, or not now: random bytes, lying lengths, stray records, nothing, 60 KB; seeded
 *	large      the same, each of the 65507 bytes that UDP can carry: fragments, where the path's MTU is smaller
 *	pieces     first fragments of IPv4 datagrams whose rest never comes; needs a raw socket
 *	probe      one session that sends a record each millisecond; how long the echo takes, and how many are lost
 *	connect    one client after another connects and says goodbye; how long each takes
 *
 * The last two print a line of JSON and take precedence over everything else on their processor where they may.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/ip.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "addr.h"
#include "classify.h"
#include "dtlsbench_crowd.h"
#include "dtlsbench_shake.h"
#include "dtlsbench_source.h"
#include "util.h"
#include "wire.h"

#define SECOND UINT64_C(1000000000)
#define PROBE_EVERY (SECOND / 1000)
#define CONNECT_PAUSE (SECOND / 50)
#define LOST_NS (2 * SECOND) /* an echo that has not come by then is lost */
#define OTHERS (1u << 20)    /* peers of probe, connect and begin, apart from those of the floods */
#define BURST 16             /* small, for the sake of who shares the processor */
#define JUNK_LONG 60000
#define ECHO_LEN 64
#define HALFOPEN 8192 /* peers whose answer to the first hello is still waited for */
#define HANDSHAKES 64
#define NOBODY UINT32_MAX

struct task {
	struct addr server;
	struct source *source;
	struct shake_setup setup;
	uint32_t peers;
	uint64_t until;
	uint64_t sent;
};

static void send_all(struct task *t, struct parcel *p, unsigned *n)
{
	int error = *n ? source_send(t->source, p, *n) : 0;

	if (error)
		die("sending: %s", strerror(-error));
	t->sent += *n;
	*n = 0;
}

static void run_hello(struct task *t)
{
	static struct shake hello;
	struct parcel p[BURST];

	shake_begin(&hello, &t->setup, NULL);
	source_skip_bodies(t->source, true);
	for (uint32_t peer = 0; mono_ns() < t->until;) {
		unsigned n = 0;

		for (; n < BURST; n++, peer = (peer + 1) % t->peers)
			p[n] = (struct parcel){ .peer = peer, .data = hello.flight, .len = hello.flight_len };
		send_all(t, p, &n);
	}
	shake_end(&hello);
}

struct halfopen {
	struct shake shake;
	uint32_t peer; /* NOBODY: none waits here */
};

/* The peer begins; whoever waited in its place is forgotten. */
static struct parcel halfopen_begin(struct halfopen *h, uint32_t peer, const struct shake_setup *setup)
{
	shake_end(&h->shake);
	shake_begin(&h->shake, setup, NULL);
	h->peer = peer;
	return (struct parcel){ .peer = peer, .data = h->shake.flight, .len = h->shake.flight_len };
}

/* The second hello, if this is the HelloVerifyRequest that the peer waits for. */
static bool halfopen_answer(struct halfopen *h, const struct parcel *in, struct parcel *out)
{
	size_t len = in->segment && in->segment < in->len ? in->segment : in->len;

	if (h->peer != in->peer || shake_feed(&h->shake, in->data, len) != SHAKE_SEND)
		return false;
	h->peer = NOBODY;
	*out = (struct parcel){ .peer = in->peer, .data = h->shake.flight, .len = h->shake.flight_len };
	return true;
}

static void run_halfopen(struct task *t)
{
	struct halfopen *waiting = xcalloc(HALFOPEN, sizeof(*waiting));
	struct parcel out[SOURCE_BATCH], in[SOURCE_BATCH];

	for (uint32_t peer = 0; mono_ns() < t->until;) {
		unsigned n = 0, got;

		for (; n < BURST; peer = (peer + 1) % t->peers)
			out[n++] = halfopen_begin(&waiting[peer % HALFOPEN], peer, &t->setup);
		send_all(t, out, &n);
		got = source_receive(t->source, in);
		for (unsigned i = 0; i < got; i++)
			n += halfopen_answer(&waiting[in[i].peer % HALFOPEN], &in[i], &out[n]);
		send_all(t, out, &n);
	}
	for (unsigned i = 0; i < HALFOPEN; i++)
		shake_end(&waiting[i].shake);
	free(waiting);
}

/* ---- real clients ---- */

static struct crowd *crowd_of(struct task *t, const struct crowd_events *events)
{
	const struct crowd_setup setup = {
		.clients = SOURCE_PEERS_MAX,
		.handshakes = HANDSHAKES,
		.handles = HANDSHAKES,
		.lean = &t->setup,
		.retransmit_ns = SECOND / 5,
		.timeout_ns = t->until - mono_ns() + LOST_NS,
		.mtu = 1200,
	};
	struct crowd *c = crowd_new(t->source, &setup, events);

	if (!c)
		die("out of memory");
	return c;
}

static void crowd_turn_or_die(struct crowd *c, uint64_t wait_ns)
{
	int error = crowd_turn(c, wait_ns);

	if (error)
		die("sending: %s", strerror(-error));
}

/* What most of these clients do about what happens to them. */
static void ignore_client(void *ctx, uint32_t client)
{
	(void)ctx;
	(void)client;
}

static void ignore_record(void *ctx, uint32_t client, const uint8_t *plain, size_t len, uint64_t now)
{
	(void)ctx;
	(void)client;
	(void)plain;
	(void)len;
	(void)now;
}

static void ignore_close(void *ctx, uint32_t client, bool answer)
{
	(void)ctx;
	(void)client;
	(void)answer;
}

static void count_opened(void *ctx, uint32_t client, uint64_t since, uint64_t now)
{
	struct task *t = ctx;

	(void)client;
	(void)since;
	(void)now;
	t->sent++;
}

static void run_begin(struct task *t)
{
	const struct crowd_events events = { .ctx = t, .opened = count_opened, .failed = ignore_client,
					     .heard = ignore_record, .closed = ignore_close };
	struct crowd *c = crowd_of(t, &events);
	uint32_t next = OTHERS;

	while (mono_ns() < t->until) {
		for (; crowd_can_open(c); next = next + 1 == SOURCE_PEERS_MAX ? OTHERS : next + 1) {
			crowd_drop(c, next);
			crowd_open(c, next, mono_ns());
		}
		crowd_turn_or_die(c, PROBE_EVERY);
	}
	crowd_free(c);
}

/* ---- junk ---- */

static uint64_t dice(void)
{
	static uint64_t state = 42;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state >> 11;
}

/* One piece of junk, which may begin as records do. */
static void junk(uint8_t *p, size_t len)
{
	static const uint8_t types[] = { 20, 21, 22, 23, 24, 25 };
	size_t claimed;

	for (size_t i = 0; i < len; i += 8)
		wire_put64(p + i, dice());
	if (len < DTLS_RECORD_HEADER || dice() % 4 == 0)
		return;
	p[0] = types[dice() % sizeof(types)];
	p[1] = 0xfe;
	p[2] = 0xfd;
	wire_put16(p + 3, dice() % 2);
	claimed = len - DTLS_RECORD_HEADER;
	if (dice() % 2)
		claimed = dice() % 2 ? claimed + dice() % 2000 : dice() % (claimed + 1);
	wire_put16(p + 11, (uint16_t)claimed);
	if (p[0] == DTLS_HANDSHAKE && len > DTLS_RECORD_HEADER)
		p[DTLS_RECORD_HEADER] = (uint8_t)(dice() % 24);
}

static size_t junk_length(void)
{
	return dice() % 4096 == 0 ? JUNK_LONG : dice() % 1200;
}

static size_t large_length(void)
{
	return SOURCE_MESSAGE_MAX;
}

static void flood_with_junk(struct task *t, size_t (*length)(void))
{
	static uint8_t room[BURST][SOURCE_MESSAGE_MAX + 8];
	struct parcel p[BURST], in[SOURCE_BATCH];

	source_skip_bodies(t->source, true);
	source_fragment(t->source, true);
	while (mono_ns() < t->until) {
		unsigned n = 0;

		for (; n < BURST; n++) {
			p[n] = (struct parcel){ .peer = (uint32_t)(dice() % t->peers), .data = room[n],
						.len = length() };
			junk(p[n].data, p[n].len);
		}
		send_all(t, p, &n);
		(void)source_receive(t->source, in);
	}
}

static void run_junk(struct task *t)
{
	flood_with_junk(t, junk_length);
}

static void run_large(struct task *t)
{
	flood_with_junk(t, large_length);
}

/* A fragment of 1480 bytes of UDP from a random address of 127.64.0.0/10, with more to follow. */
static size_t piece(uint8_t *p, const struct addr *server)
{
	const size_t len = sizeof(struct iphdr) + 1480;
	struct iphdr ip = { .version = 4, .ihl = sizeof(ip) / 4, .tot_len = htons((uint16_t)len), .ttl = 64,
			    .id = (uint16_t)dice(), .frag_off = htons(IP_MF), .protocol = IPPROTO_UDP };

	ip.saddr = htonl(0x7f400000 | (uint32_t)(dice() & 0x3fffff));
	memcpy(&ip.daddr, server->ip + 12, sizeof(ip.daddr));
	memcpy(p, &ip, sizeof(ip));
	wire_put16(p + sizeof(ip), 4444);
	wire_put16(p + sizeof(ip) + 2, server->port);
	wire_put16(p + sizeof(ip) + 4, SOURCE_MESSAGE_MAX + 8);
	return len;
}

static void run_pieces(struct task *t)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	uint8_t packet[1500] = {0};

	if (fd < 0 || t->server.family != AF_INET)
		die("pieces needs a raw socket (be root), and an IPv4 address");
	memcpy(&to.sin_addr, t->server.ip + 12, sizeof(to.sin_addr));
	while (mono_ns() < t->until) {
		size_t len = piece(packet, &t->server);

		if (sendto(fd, packet, len, 0, (struct sockaddr *)&to, sizeof(to)) == (ssize_t)len)
			t->sent++;
	}
	close(fd);
}

static bool take_precedence(void)
{
	const struct sched_param p = { .sched_priority = 1 };

	return sched_setscheduler(0, SCHED_FIFO, &p) == 0;
}

static int ascending(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void print_times(uint64_t *ns, size_t count, size_t lost, bool precedence)
{
	qsort(ns, count, sizeof(*ns), ascending);
	printf("{\"count\": %zu, \"lost\": %zu, \"realtime\": %s", count, lost, precedence ? "true" : "false");
	if (count)
		printf(", \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f", (double)ns[count / 2] / 1000,
		       (double)ns[count * 99 / 100] / 1000, (double)ns[count - 1] / 1000);
	printf("}\n");
}

struct probe {
	struct crowd *crowd;
	bool open, failed;
	uint64_t *sent_at; /* 0: answered */
	uint64_t *took;
	size_t sent, answered;
};

static void probe_opened(void *ctx, uint32_t client, uint64_t since, uint64_t now)
{
	struct probe *b = ctx;

	(void)client;
	(void)since;
	(void)now;
	b->open = true;
}

static void probe_failed(void *ctx, uint32_t client)
{
	struct probe *b = ctx;

	(void)client;
	b->failed = true;
}

/* A server that echoes lines may put two into one record. */
static void probe_heard(void *ctx, uint32_t client, const uint8_t *plain, size_t len, uint64_t now)
{
	struct probe *b = ctx;

	(void)client;
	for (; len >= ECHO_LEN; len -= ECHO_LEN, plain += ECHO_LEN) {
		size_t which = 0;

		for (unsigned i = 0; i < 10; i++)
			which = 10 * which + (plain[i] - (size_t)'0');
		if (which >= b->sent || !b->sent_at[which])
			continue;
		b->took[b->answered++] = now - b->sent_at[which];
		b->sent_at[which] = 0;
	}
}

/* A line of text with its number, since some servers echo lines. */
static void probe_say(struct probe *b, uint32_t client)
{
	char text[ECHO_LEN + 1];

	snprintf(text, sizeof(text), "%010zu%*s", b->sent, ECHO_LEN - 10, "\n");
	b->sent_at[b->sent++] = mono_ns();
	crowd_say(b->crowd, client, (const uint8_t *)text, ECHO_LEN, false);
}

/* Opens one client's session. false: refused, or not done by then. */
static bool connect_one(struct probe *b, uint32_t client, uint64_t until)
{
	b->open = b->failed = false;
	crowd_open(b->crowd, client, mono_ns());
	while (!b->open && !b->failed && mono_ns() < until)
		crowd_turn_or_die(b->crowd, PROBE_EVERY);
	return b->open;
}

static const struct crowd_events probe_events = { .opened = probe_opened, .failed = probe_failed,
						  .heard = probe_heard, .closed = ignore_close };

static struct probe probe_new(size_t most)
{
	return (struct probe){ .sent_at = xcalloc(most, sizeof(uint64_t)), .took = xcalloc(most, sizeof(uint64_t)) };
}

static void run_probe(struct task *t)
{
	size_t most = (size_t)((t->until - mono_ns()) / PROBE_EVERY) + 1;
	struct probe b = probe_new(most);
	struct crowd_events events = probe_events;
	uint32_t client = OTHERS + t->peers;
	bool precedence;
	uint64_t next;

	events.ctx = &b;
	b.crowd = crowd_of(t, &events);
	if (!connect_one(&b, client, t->until))
		die("no session: %s", crowd_why(b.crowd));
	precedence = take_precedence();
	next = mono_ns();
	while (next < t->until && b.sent < most && crowd_state(b.crowd, client) == CLIENT_OPEN) {
		uint64_t now = mono_ns();

		if (now >= next) {
			probe_say(&b, client);
			next = now + PROBE_EVERY;
		}
		crowd_turn_or_die(b.crowd, next > now ? next - now : 0);
	}
	for (uint64_t end = mono_ns() + LOST_NS; b.answered < b.sent && mono_ns() < end;)
		crowd_turn_or_die(b.crowd, PROBE_EVERY);
	print_times(b.took, b.answered, b.sent - b.answered, precedence);
	t->sent = b.sent;
	crowd_free(b.crowd);
}

static void pause_for(struct crowd *c, uint64_t ns)
{
	const uint64_t end = mono_ns() + ns;

	for (uint64_t now = mono_ns(); now < end; now = mono_ns())
		crowd_turn_or_die(c, end - now);
}

static void run_connect(struct task *t)
{
	enum { MOST = 100000 };
	struct probe b = probe_new(MOST);
	struct crowd_events events = probe_events;
	uint32_t n = 0, lost = 0;

	events.ctx = &b;
	b.crowd = crowd_of(t, &events);
	while (n + lost < MOST && mono_ns() < t->until) {
		uint32_t client = OTHERS + t->peers + n + lost;
		uint64_t begun = mono_ns();

		if (connect_one(&b, client, t->until + LOST_NS)) {
			b.took[n++] = mono_ns() - begun;
			/* servers that serve one peer at a time would wait for it for ever */
			crowd_close(b.crowd, client);
		} else {
			crowd_drop(b.crowd, client);
			lost++;
		}
		pause_for(b.crowd, CONNECT_PAUSE);
	}
	print_times(b.took, n, lost, false);
	t->sent = n + lost;
	crowd_free(b.crowd);
}

static const struct {
	const char *name;
	void (*run)(struct task *t);
} modes[] = {
	{ "hello", run_hello }, { "halfopen", run_halfopen }, { "begin", run_begin }, { "junk", run_junk },
	{ "large", run_large }, { "pieces", run_pieces }, { "probe", run_probe }, { "connect", run_connect },
};

int main(int argc, char **argv)
{
	struct task t = {0};
	char err[256];

	if (argc != 5 && argc != 6)
		die("usage: spray hello|halfopen|begin|junk|large|pieces|probe|connect ADDRESS:PORT PEERS "
		    "SECONDS [PREFIX/BITS]");
	if (addr_parse(argv[2], 0, &t.server, 1, err, sizeof(err)) < 1)
		die("%s", err);
	t.peers = (uint32_t)strtoul(argv[3], NULL, 10);
	if (t.peers < 1 || t.peers > OTHERS / 2)
		die("PEERS is 1 to %u; for probe, connect and begin the number of the first", OTHERS / 2);
	if (shake_prepare(&t.setup) != 0)
		die("no random bytes");
	t.source = source_new(&t.server, SOURCE_PEERS_MAX, argc == 6 ? argv[5] : NULL, err, sizeof(err));
	if (!t.source)
		die("%s", err);
	t.until = mono_ns() + strtoul(argv[4], NULL, 10) * SECOND;
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		if (strcmp(modes[i].name, argv[1]) == 0) {
			modes[i].run(&t);
			fprintf(stderr, "%s: %" PRIu64 "\n", argv[1], t.sent);
			return 0;
		}
	}
	die("'%s' is not a mode", argv[1]);
}
