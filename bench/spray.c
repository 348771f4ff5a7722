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

#include "client.h"
#include "secure.h"
#include "shake.h"
#include "source.h"
#include "util.h"

#define SECOND UINT64_C(1000000000)
#define PROBE_EVERY (SECOND / 1000)
#define CONNECT_PAUSE (SECOND / 50)
#define LOST_NS (2 * SECOND) /* an echo that has not come by then is lost */
#define OTHERS (1u << 20)    /* peers of probe, connect and begin, apart from those of the floods */
#define BURST 16             /* small, for the sake of who shares the processor */
#define JUNK_LONG 60000
#define DATAGRAM_MAX 65507 /* 64 KiB without the headers of UDP and IPv4 */
#define ECHO_LEN 64

struct task {
	struct sockaddr_in6 server;
	struct source *source;
	uint32_t peers;
	uint64_t until;
	uint64_t sent;
};

static void flush_out(struct task *t, struct parcel *p, unsigned *n)
{
	if (*n)
		source_send(t->source, p, *n);
	t->sent += *n;
	*n = 0;
}

static void run_hello(struct task *t)
{
	static struct shake hello;
	struct parcel p[BURST];

	shake_begin(&hello, NULL);
	source_skip_bodies(t->source, true);
	for (uint32_t peer = 0; mono_ns() < t->until;) {
		unsigned n = 0;

		for (; n < BURST; n++, peer = (peer + 1) % t->peers)
			p[n] = (struct parcel){ .peer = peer, .data = hello.flight, .len = hello.flight_len };
		flush_out(t, p, &n);
	}
}

/* A HelloVerifyRequest: a handshake record with message type 3. */
static bool is_challenge(const struct parcel *p)
{
	return p->len > RECORD_HEADER && p->data[0] == CONTENT_HANDSHAKE && p->data[RECORD_HEADER] == 3;
}

static void run_halfopen(struct task *t)
{
	struct shake *peers = xcalloc(t->peers, sizeof(*peers));
	bool *proved = xcalloc(t->peers, sizeof(*proved));
	struct parcel out[BATCH], in[BATCH];

	for (uint32_t peer = 0; mono_ns() < t->until;) {
		unsigned n = 0, got;

		for (; n < BURST; peer = (peer + 1) % t->peers) {
			struct shake *s = &peers[peer];

			shake_begin(s, NULL);
			proved[peer] = false;
			out[n++] = (struct parcel){ .peer = peer, .data = s->flight, .len = s->flight_len };
		}
		flush_out(t, out, &n);
		got = source_receive(t->source, in);
		for (unsigned i = 0; i < got; i++) {
			struct shake *s = &peers[in[i].peer % t->peers];
			bool *done = &proved[in[i].peer % t->peers];

			if (*done || !is_challenge(&in[i]))
				continue;
			*done = true;
			if (shake_feed(s, in[i].data, in[i].segment ? in[i].segment : in[i].len) == SHAKE_SEND)
				out[n++] = (struct parcel){ .peer = in[i].peer, .data = s->flight,
							    .len = s->flight_len };
		}
		flush_out(t, out, &n);
	}
}

static void run_begin(struct task *t)
{
	enum { LOT = 256 };
	static struct secure sessions[LOT];

	for (uint32_t first = 0; mono_ns() < t->until; first += LOT) {
		client_connect(t->source, OTHERS + first, LOT, 64, sessions);
		for (unsigned i = 0; i < LOT; i++)
			secure_free(&sessions[i]);
		t->sent += LOT;
	}
}

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
		put64(p + i, dice());
	if (len < RECORD_HEADER || dice() % 4 == 0)
		return;
	p[0] = types[dice() % sizeof(types)];
	p[1] = 0xfe;
	p[2] = 0xfd;
	put16(p + 3, dice() % 2);
	claimed = len - RECORD_HEADER;
	if (dice() % 2)
		claimed = dice() % 2 ? claimed + dice() % 2000 : dice() % (claimed + 1);
	put16(p + 11, (uint16_t)claimed);
	if (p[0] == CONTENT_HANDSHAKE && len > RECORD_HEADER)
		p[RECORD_HEADER] = (uint8_t)(dice() % 24);
}

static size_t junk_length(void)
{
	return dice() % 4096 == 0 ? JUNK_LONG : dice() % 1200;
}

static size_t large_length(void)
{
	return DATAGRAM_MAX;
}

static void flood_with_junk(struct task *t, size_t (*length)(void))
{
	static uint8_t room[BURST][DATAGRAM_MAX + 8];
	struct parcel p[BURST];

	source_skip_bodies(t->source, true);
	source_fragment(t->source, true);
	while (mono_ns() < t->until) {
		unsigned n = 0;

		for (; n < BURST; n++) {
			p[n] = (struct parcel){ .peer = (uint32_t)(dice() % t->peers), .data = room[n],
						.len = length() };
			junk(p[n].data, p[n].len);
		}
		flush_out(t, p, &n);
		(void)source_receive(t->source, p);
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
static size_t piece(uint8_t *p, const struct sockaddr_in6 *server)
{
	const size_t len = sizeof(struct iphdr) + 1480;
	struct iphdr ip = { .version = 4, .ihl = sizeof(ip) / 4, .tot_len = htons((uint16_t)len), .ttl = 64,
			    .id = (uint16_t)dice(), .frag_off = htons(IP_MF), .protocol = IPPROTO_UDP };

	ip.saddr = htonl(0x7f400000 | (uint32_t)(dice() & 0x3fffff));
	memcpy(&ip.daddr, server->sin6_addr.s6_addr + 12, sizeof(ip.daddr));
	memcpy(p, &ip, sizeof(ip));
	put16(p + sizeof(ip), 4444);
	put16(p + sizeof(ip) + 2, ntohs(server->sin6_port));
	put16(p + sizeof(ip) + 4, DATAGRAM_MAX + 8);
	return len;
}

static void run_pieces(struct task *t)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	uint8_t packet[1500] = {0};

	if (fd < 0 || !IN6_IS_ADDR_V4MAPPED(&t->server.sin6_addr))
		die("pieces needs a raw socket (be root), and an IPv4 address");
	memcpy(&to.sin_addr, t->server.sin6_addr.s6_addr + 12, sizeof(to.sin_addr));
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
	struct secure secure;
	uint64_t *sent_at; /* 0: answered */
	uint64_t *took;
	size_t sent, answered;
};

/* A line of text with its number, since some servers echo lines. */
static void probe_say(struct probe *b, uint8_t record[static ECHO_LEN + RECORD_OVERHEAD])
{
	char text[ECHO_LEN + 1];

	snprintf(text, sizeof(text), "%010zu%*s", b->sent, ECHO_LEN - 10, "\n");
	secure_seal(&b->secure, CONTENT_DATA, (const uint8_t *)text, ECHO_LEN, record);
}

static void probe_hear(struct probe *b, const uint8_t *line, uint64_t now)
{
	size_t which = 0;

	for (unsigned i = 0; i < 10; i++)
		which = 10 * which + (line[i] - (size_t)'0');
	if (which >= b->sent || !b->sent_at[which])
		return; /* a flight of the handshake once more */
	b->took[b->answered++] = now - b->sent_at[which];
	b->sent_at[which] = 0;
}

static void probe_collect(struct probe *b, struct source *source)
{
	uint8_t plain[SOURCE_BUFFER];
	struct parcel in[BATCH];
	unsigned n = source_receive(source, in);
	uint64_t now = mono_ns();

	for (unsigned i = 0; i < n; i++) {
		size_t segment = in[i].segment ? in[i].segment : in[i].len;

		for (size_t at = 0; at < in[i].len; at += segment) {
			ssize_t len = secure_open(&b->secure, in[i].data + at, segment, plain);

			/* a server that echoes lines may put two into one record */
			for (ssize_t line = 0; line + ECHO_LEN <= len; line += ECHO_LEN)
				probe_hear(b, plain + line, now);
		}
	}
}

static void run_probe(struct task *t)
{
	size_t most = (size_t)((t->until - mono_ns()) / PROBE_EVERY) + 1;
	struct probe b = { .sent_at = xcalloc(most, sizeof(uint64_t)), .took = xcalloc(most, sizeof(uint64_t)) };
	uint8_t record[ECHO_LEN + RECORD_OVERHEAD];
	bool precedence;
	uint64_t next;

	client_connect(t->source, OTHERS + t->peers, 1, 1, &b.secure);
	precedence = take_precedence();
	next = mono_ns();
	while (next < t->until && b.sent < most) {
		const struct parcel p = { .peer = OTHERS + t->peers, .data = record, .len = sizeof(record) };
		uint64_t now = mono_ns();

		if (now < next) {
			source_wait(t->source, next - now);
			probe_collect(&b, t->source);
			continue;
		}
		probe_say(&b, record);
		b.sent_at[b.sent++] = mono_ns();
		source_send(t->source, &p, 1);
		next = now + PROBE_EVERY;
	}
	for (uint64_t end = mono_ns() + LOST_NS; b.answered < b.sent && mono_ns() < end;) {
		source_wait(t->source, PROBE_EVERY);
		probe_collect(&b, t->source);
	}
	print_times(b.took, b.answered, b.sent - b.answered, precedence);
	t->sent = b.sent;
}

/* Servers that serve one peer at a time would wait for it for ever. */
static void say_goodbye(struct task *t, uint32_t peer, struct secure *s)
{
	static const uint8_t close_notify[] = { 1, 0 };
	uint8_t record[sizeof(close_notify) + RECORD_OVERHEAD];
	const struct parcel p = { .peer = peer, .data = record, .len = sizeof(record) };

	secure_seal(s, CONTENT_ALERT, close_notify, sizeof(close_notify), record);
	source_send(t->source, &p, 1);
	secure_free(s);
}

static void pause_for(struct task *t, uint64_t ns)
{
	const uint64_t end = mono_ns() + ns;
	struct parcel p[BATCH];

	for (uint64_t now = mono_ns(); now < end; now = mono_ns()) {
		source_wait(t->source, end - now);
		(void)source_receive(t->source, p); /* the server's farewell */
	}
}

static void run_connect(struct task *t)
{
	enum { MOST = 100000 };
	uint64_t *took = xcalloc(MOST, sizeof(*took));
	uint32_t n = 0, lost = 0;

	while (n + lost < MOST && mono_ns() < t->until) {
		uint32_t peer = OTHERS + t->peers + n + lost;
		uint64_t begun = mono_ns();
		struct secure s;

		if (client_try(t->source, peer, t->until + LOST_NS, &s)) {
			took[n++] = mono_ns() - begun;
			say_goodbye(t, peer, &s);
		} else {
			lost++;
		}
		pause_for(t, CONNECT_PAUSE);
	}
	print_times(took, n, lost, false);
	t->sent = n + lost;
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

	if (argc != 5 && argc != 6)
		die("usage: spray hello|halfopen|begin|junk|large|pieces|probe|connect ADDRESS:PORT PEERS "
		    "SECONDS [PREFIX/BITS]");
	t.server = parse_server(argv[2]);
	t.peers = (uint32_t)strtoul(argv[3], NULL, 10);
	if (t.peers < 1 || t.peers > OTHERS / 2)
		die("PEERS is 1 to %u; for probe, connect and begin the number of the first", OTHERS / 2);
	shake_setup(false);
	t.source = source_new(&t.server);
	if (argc == 6)
		source_prefix(t.source, argv[5]);
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
