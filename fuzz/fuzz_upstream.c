/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upstream: sessions' sockets to a backend, over UDP or unix sockets of the loopback. Whatever is sent, answered, opened and
 * closed in whatever order, also while a backend is away or reads nothing: a datagram comes whole, unchanged, in
 * the order of its session and to nobody else, and each that went in has left or is counted as lost.
 * The input is what happens.
 */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuzz.h"
#include "upstream.h"

#define ENDS 6
#define HEAD 9 /* whose it is, its number, its length */
#define TELLS_MOST 300 /* of a program: what is said takes time */

enum step { OPEN, CLOSE, TELL, FLUSH, HEAR, ANSWER, RUN, GO_AWAY, COME_BACK, STEPS };

struct end {
	struct upstream_socket socket; /* first */
	bool open, closes;             /* at its next reply */
	uint32_t told, heard, answered, got;
	struct sockaddr_storage from;  /* as the backend sees it */
	socklen_t from_len;
};

/* What one input is about. */
struct world {
	struct upstream *u;
	struct metrics metrics;
	struct upstream_limit limit;
	struct backend_addr to;
	int backend; /* -1: it is away */
	unsigned tells; /* and answers */
	uint64_t told;
	struct end end[ENDS];
	uint8_t number; /* sessions so far: a new one in the place of another is another */
	uint8_t whose[ENDS];
};

static struct world w;
static uint8_t buffer[70000];

/* ---- what is in a datagram ---- */

static size_t compose(uint8_t *out, uint8_t whose, uint32_t number, uint32_t len)
{
	out[0] = whose;
	memcpy(out + 1, &number, 4);
	memcpy(out + 5, &len, 4);
	for (size_t i = HEAD; i < len; i++)
		out[i] = (uint8_t)(whose + 31 * number + i);
	return len;
}

/* Its number; whose it is is looked at, and that it is whole. */
static uint32_t check(const uint8_t *data, size_t len, uint8_t whose)
{
	static uint8_t same[sizeof(buffer)];
	uint32_t number;

	assert(len >= HEAD && data[0] == whose);
	memcpy(&number, data + 1, 4);
	compose(same, whose, number, (uint32_t)len);
	assert(memcmp(data, same, len) == 0);
	return number;
}

/* ---- the sessions ---- */

static void on_reply(struct upstream_socket *s, uint8_t *data, size_t len)
{
	struct end *e = (struct end *)(void *)s;
	uint32_t number = check(data, len, w.whose[e - w.end]);

	assert(e->open && number >= e->got && number < e->answered);
	e->got = number + 1;
	if (e->closes) {
		e->open = false;
		upstream_close(w.u, s);
	}
}

static void on_refused(struct upstream_socket *s, int err)
{
	assert(s->to == &w.to && err > 0);
}

static const struct upstream_owner owner = { .reply = on_reply, .refused = on_refused };

static void open_end(struct end *e, bool closes)
{
	if (e->open)
		return;
	memset(e, 0, sizeof(*e));
	e->closes = closes;
	w.whose[e - w.end] = ++w.number;
	e->open = upstream_open(w.u, &e->socket, &w.to, NULL, &owner) == 0;
}

static void close_end(struct end *e)
{
	if (e->open)
		upstream_close(w.u, &e->socket);
	e->open = false;
}

static void tell(struct end *e, size_t len, size_t head)
{
	if (!e->open || w.tells == TELLS_MOST)
		return;
	w.tells++;
	w.told++;
	len = HEAD + len % (sizeof(buffer) - 5000 - HEAD);
	head %= len + 1;
	compose(buffer, w.whose[e - w.end], e->told++, (uint32_t)len);
	upstream_send(w.u, &e->socket, buffer, head, buffer + head, len - head);
}

/* ---- the backend ---- */

static void come_back(void)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (w.backend >= 0)
		return;
	w.backend = socket(w.to.addr.family ? AF_INET : AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert(w.backend >= 0);
	if (w.to.addr.family) {
		len = addr_to_sockaddr(&w.to.addr, &ss);
	} else {
		struct sockaddr_un un = { .sun_family = AF_UNIX };

		len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(w.to.path));
		memcpy(un.sun_path + 1, w.to.path + 1, strlen(w.to.path) - 1);
		memcpy(&ss, &un, sizeof(un));
	}
	if (bind(w.backend, (struct sockaddr *)&ss, len) == 0)
		return;
	close(w.backend); /* somebody else has the port now */
	w.backend = -1;
}

static void go_away(void)
{
	if (w.backend >= 0)
		close(w.backend);
	w.backend = -1;
}

static void hear(void)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	ssize_t n = w.backend < 0 ? -1 : recvfrom(w.backend, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &len);

	for (int i = 0; n > 0 && i < ENDS; i++) {
		struct end *e = &w.end[i];

		if (w.whose[i] != buffer[0] || !e->open)
			continue; /* of one that is closed by now */
		uint32_t number = check(buffer, (size_t)n, w.whose[i]);

		assert(number >= e->heard && number < e->told);
		e->heard = number + 1;
		e->from = from;
		e->from_len = len;
	}
}

static void answer(struct end *e, size_t len)
{
	if (!e->open || e->from_len == 0 || w.backend < 0 || w.tells == TELLS_MOST)
		return;
	w.tells++;
	len = HEAD + len % (sizeof(buffer) - 5000 - HEAD);
	compose(buffer, w.whose[e - w.end], e->answered++, (uint32_t)len);
	(void)sendto(w.backend, buffer, len, 0, (struct sockaddr *)&e->from, e->from_len);
}

/* ---- one input ---- */

static void begin(bool udp)
{
	struct sockaddr_storage ss = { .ss_family = udp ? AF_INET : AF_UNIX };
	socklen_t len = udp ? sizeof(struct sockaddr_in) : sizeof(ss.ss_family);

	memset(&w, 0, sizeof(w));
	w.limit.most = ENDS;
	w.u = upstream_new(&w.limit);
	assert(w.u);
	upstream_count(w.u, &w.metrics);
	if (udp) /* not 127.0.0.1, where strangers may send to who had the port before */
		((struct sockaddr_in *)(void *)&ss)->sin_addr.s_addr = htonl(INADDR_LOOPBACK + (78 << 16));
	w.backend = socket(udp ? AF_INET : AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert(w.backend >= 0 && bind(w.backend, (struct sockaddr *)&ss, len) == 0);
	len = sizeof(ss);
	assert(getsockname(w.backend, (struct sockaddr *)&ss, &len) == 0);
	if (udp) {
		assert(addr_from_sockaddr(&w.to.addr, (struct sockaddr *)&ss, len) == 0);
	} else {
		w.to.path[0] = '@';
		memcpy(w.to.path + 1, ((struct sockaddr_un *)(void *)&ss)->sun_path + 1,
		       len - offsetof(struct sockaddr_un, sun_path) - 1);
	}
}

static void end(void)
{
	for (int i = 0; i < ENDS; i++)
		close_end(&w.end[i]);
	assert(metric_get(&w.metrics, METRIC_backend_out) + metric_get(&w.metrics, METRIC_backend_lost) == w.told);
	assert(atomic_load(&w.limit.open) == 0);
	upstream_free(w.u);
	go_away();
}

static void step(struct fuzz_input *in)
{
	enum step s = fuzz_u8(in) % STEPS;
	struct end *e = &w.end[fuzz_u8(in) % ENDS];

	switch (s) {
	case OPEN:
		open_end(e, fuzz_u8(in) & 1);
		break;
	case CLOSE:
		close_end(e);
		break;
	case TELL:
		tell(e, fuzz_u16(in), fuzz_u8(in));
		break;
	case FLUSH:
		upstream_flush(w.u);
		break;
	case HEAR:
		for (unsigned n = 1 + fuzz_u8(in) % 16; n > 0; n--)
			hear();
		break;
	case ANSWER:
		answer(e, fuzz_u16(in));
		break;
	case RUN:
		upstream_run(w.u);
		break;
	case GO_AWAY:
		go_away();
		break;
	default:
		come_back();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };

	begin(fuzz_u8(&in) & 1);
	while (in.left > 0)
		step(&in);
	end();
	return 0;
}
