/* SPDX-License-Identifier: BSD-2-Clause */
#include "demux.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "util.h"

#define BUCKETS (1u << 16)
#define TICK_NS UINT64_C(250000000)

static struct {
	int fd;
	const struct library *tls;
	struct peer *buckets[BUCKETS];
	struct peer *stranger; /* the next one; it becomes a peer when it is admitted */
	uint32_t shaking;      /* handshakes under way */
	/* The datagram in hand. */
	uint8_t data[65536];
	size_t len; /* 0: it has been pulled */
} demux;

uint8_t *demux_datagram(size_t *len)
{
	*len = demux.len;
	return demux.data;
}

bool demux_waits(void)
{
	return demux.len != 0;
}

ssize_t demux_pull(void *data, size_t size)
{
	if (demux.len == 0)
		return -1;
	size = demux.len < size ? demux.len : size;
	memcpy(data, demux.data, size);
	demux.len = 0;
	return (ssize_t)size;
}

ssize_t demux_push(const struct peer *to, const void *data, size_t len)
{
	return sendto(demux.fd, data, len, 0, (const struct sockaddr *)&to->address, sizeof(to->address));
}

static struct peer **peer_find(const struct sockaddr_in *a)
{
	uint32_t hash = (a->sin_addr.s_addr ^ (uint32_t)a->sin_port << 16) * 2654435761u;
	struct peer **at = &demux.buckets[hash >> 16];

	while (*at && ((*at)->address.sin_addr.s_addr != a->sin_addr.s_addr ||
		       (*at)->address.sin_port != a->sin_port))
		at = &(*at)->next;
	return at;
}

static void peer_go(struct peer **at)
{
	struct peer *p = *at;
	bool before = p->established, lives = demux.tls->go(p);

	if (!before && (p->established || !lives))
		demux.shaking--;
	if (lives)
		return;
	*at = p->next;
	demux.tls->free(p->session);
	free(p);
}

static void datagram(const struct sockaddr_in *from)
{
	struct peer **at = peer_find(from);

	if (!*at) {
		struct peer *p = demux.stranger;

		p->address = *from;
		p->session = demux.tls->admit(p);
		if (!p->session)
			return;
		demux.stranger = xcalloc(1, sizeof(*p));
		demux.shaking++;
		*at = p;
	}
	peer_go(at);
}

/* Lets the library look at its timers. */
static void retransmit(void)
{
	demux.len = 0;
	for (uint32_t i = 0; i < BUCKETS && demux.shaking; i++) {
		struct peer **at = &demux.buckets[i];

		while (*at) {
			struct peer *p = *at;

			if (!p->established)
				peer_go(at);
			if (*at == p)
				at = &p->next;
		}
	}
}

void demux_serve(const char *endpoint, const struct library *library)
{
	const struct timeval tick = {.tv_usec = TICK_NS / 1000};
	const struct sockaddr_in bound = parse_endpoint(endpoint);
	uint64_t last = mono_ns();

	demux.tls = library;
	demux.stranger = xcalloc(1, sizeof(*demux.stranger));
	demux.fd = open_udp(&bound, 0);
	deepen_queues(demux.fd);
	if (setsockopt(demux.fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof(tick)))
		die("SO_RCVTIMEO: %s", strerror(errno));
	for (;;) {
		struct sockaddr_in from = {0};
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(demux.fd, demux.data, sizeof(demux.data), 0, (struct sockaddr *)&from,
				     &from_len);

		if (n > 0) {
			demux.len = (size_t)n;
			datagram(&from);
		}
		if (demux.shaking && mono_ns() - last > TICK_NS) {
			retransmit();
			last = mono_ns();
		}
	}
}
