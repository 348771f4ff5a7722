/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bare_udp: the least that a batched UDP echo can cost here. Nothing but recvmmsg and sendmmsg on the same
 * buffers; with --gro, runs of datagrams come in and leave as one message each (UDP_GRO, UDP_SEGMENT).
 */
#include <errno.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "util.h"

#define BUFFER (65536 + 3 * 64) /* off a power of two: first lines must not share one cache set */

struct slot {
	struct sockaddr_in peer;
	struct iovec iov;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
};

static struct slot slots[BATCH];
static struct mmsghdr messages[BATCH];

static void slots_init(void)
{
	uint8_t *memory = xcalloc(BATCH, BUFFER);

	for (unsigned i = 0; i < BATCH; i++) {
		slots[i].iov.iov_base = memory + (size_t)i * BUFFER;
		messages[i].msg_hdr.msg_name = &slots[i].peer;
		messages[i].msg_hdr.msg_iov = &slots[i].iov;
		messages[i].msg_hdr.msg_iovlen = 1;
	}
}

static void receive_ready(struct msghdr *h, struct slot *s, bool gro)
{
	s->iov.iov_len = 65536;
	h->msg_namelen = sizeof(s->peer);
	h->msg_control = gro ? s->control : NULL;
	h->msg_controllen = gro ? sizeof(s->control) : 0;
}

/* A run that came in as one message leaves as one: the GRO size becomes the GSO size. */
static void answer_ready(struct msghdr *h, struct slot *s, size_t len)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(h);
	uint16_t segment;
	int size;

	s->iov.iov_len = len;
	if (!c || c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO) {
		h->msg_control = NULL;
		h->msg_controllen = 0;
		return;
	}
	memcpy(&size, CMSG_DATA(c), sizeof(size));
	segment = (uint16_t)size;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(segment));
	memcpy(CMSG_DATA(c), &segment, sizeof(segment));
	h->msg_controllen = CMSG_SPACE(sizeof(segment));
}

int main(int argc, char **argv)
{
	bool gro = argc == 3 && strcmp(argv[1], "--gro") == 0;
	struct sockaddr_in bound;
	int fd, on = 1;

	if (argc != 2 && !gro)
		die("usage: bare_udp [--gro] IPV4:PORT");
	bound = parse_endpoint(argv[argc - 1]);
	fd = open_udp(&bound, 0);
	deepen_queues(fd);
	if (gro && setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on)))
		die("UDP_GRO: %s", strerror(errno));
	slots_init();
	for (;;) {
		int n, sent = 0;

		for (unsigned i = 0; i < BATCH; i++)
			receive_ready(&messages[i].msg_hdr, &slots[i], gro);
		n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < n; i++)
			answer_ready(&messages[i].msg_hdr, &slots[i], messages[i].msg_len);
		while (sent < n) {
			int k = sendmmsg(fd, messages + sent, (unsigned)(n - sent), 0);

			if (k < 0)
				die("sendmmsg: %s", strerror(errno));
			sent += k;
		}
	}
}
