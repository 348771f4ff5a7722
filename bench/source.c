/* SPDX-License-Identifier: BSD-2-Clause */
#include "source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "util.h"

#define FIRST_PEER 0x7f400001u /* 127.64.0.1 */
#define HEAD 64                /* what is copied when bodies are skipped */
#define STRIDE (SOURCE_BUFFER + 3 * 64)

#define OUT_CONTROL (CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(uint16_t)))
#define IN_CONTROL (CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(int)))

struct source {
	int fd;
	bool skip;
	struct sockaddr_in server;
	uint8_t *buffers;
	struct mmsghdr out[BATCH], in[BATCH];
	struct iovec out_iov[BATCH], in_iov[BATCH];
	_Alignas(struct cmsghdr) char out_control[BATCH][OUT_CONTROL];
	_Alignas(struct cmsghdr) char in_control[BATCH][IN_CONTROL];
};

static void control_init(struct msghdr *h)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(h);

	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
	c = CMSG_NXTHDR(h, c);
	c->cmsg_level = SOL_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(uint16_t));
}

struct source *source_new(const struct sockaddr_in *server)
{
	const struct sockaddr_in any = {.sin_family = AF_INET};
	struct source *s = xcalloc(1, sizeof(*s));
	int on = 1;

	s->server = *server;
	s->fd = open_udp(&any, 0);
	deepen_queues(s->fd);
	if (setsockopt(s->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) ||
	    setsockopt(s->fd, SOL_UDP, UDP_GRO, &on, sizeof(on)))
		die("IP_PKTINFO, UDP_GRO: %s", strerror(errno));
	s->buffers = xcalloc(BATCH, STRIDE);
	for (unsigned i = 0; i < BATCH; i++) {
		struct msghdr *out = &s->out[i].msg_hdr, *in = &s->in[i].msg_hdr;

		s->in_iov[i].iov_base = s->buffers + (size_t)i * STRIDE;
		in->msg_iov = &s->in_iov[i];
		in->msg_iovlen = 1;
		in->msg_control = s->in_control[i];
		out->msg_name = &s->server;
		out->msg_namelen = sizeof(s->server);
		out->msg_iov = &s->out_iov[i];
		out->msg_iovlen = 1;
		out->msg_control = s->out_control[i];
		out->msg_controllen = OUT_CONTROL;
		control_init(out);
	}
	return s;
}

void source_skip_bodies(struct source *s, bool skip)
{
	s->skip = skip;
}

static void parcel_pack(struct source *s, unsigned i, const struct parcel *p)
{
	const struct in_pktinfo from = {.ipi_spec_dst.s_addr = htonl(FIRST_PEER + p->peer)};
	struct msghdr *h = &s->out[i].msg_hdr;
	struct cmsghdr *c;

	s->out_iov[i].iov_base = p->data;
	s->out_iov[i].iov_len = p->len;
	h->msg_controllen = OUT_CONTROL;
	c = CMSG_FIRSTHDR(h);
	memcpy(CMSG_DATA(c), &from, sizeof(from));
	if (p->segment && p->segment < p->len)
		memcpy(CMSG_DATA(CMSG_NXTHDR(h, c)), &p->segment, sizeof(p->segment));
	else
		h->msg_controllen = CMSG_SPACE(sizeof(from));
}

void source_send(struct source *s, const struct parcel *p, unsigned n)
{
	unsigned sent = 0;

	for (unsigned i = 0; i < n; i++)
		parcel_pack(s, i, &p[i]);
	while (sent < n) {
		int k = sendmmsg(s->fd, s->out + sent, n - sent, 0);

		/* ECONNREFUSED is left over from a server that has gone. */
		if (k < 0 && errno != EINTR && errno != ENOBUFS && errno != ECONNREFUSED)
			die("sendmmsg: %s", strerror(errno));
		sent += k > 0 ? (unsigned)k : 0;
	}
}

static void parcel_unpack(struct source *s, unsigned i, struct parcel *p)
{
	struct msghdr *h = &s->in[i].msg_hdr;
	struct in_pktinfo to;
	int segment;

	*p = (struct parcel){.data = s->in_iov[i].iov_base, .len = s->in[i].msg_len};
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&to, CMSG_DATA(c), sizeof(to));
			p->peer = ntohl(to.ipi_addr.s_addr) - FIRST_PEER;
		} else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			memcpy(&segment, CMSG_DATA(c), sizeof(segment));
			p->segment = (uint16_t)segment;
		}
	}
}

void source_wait(struct source *s, uint64_t ns)
{
	const struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
	struct pollfd p = {.fd = s->fd, .events = POLLIN};

	ppoll(&p, 1, &t, NULL);
}

unsigned source_receive(struct source *s, struct parcel *p)
{
	int n;

	for (unsigned i = 0; i < BATCH; i++) {
		s->in_iov[i].iov_len = s->skip ? HEAD : SOURCE_BUFFER;
		s->in[i].msg_hdr.msg_controllen = IN_CONTROL;
	}
	n = recvmmsg(s->fd, s->in, BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
	if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED)
		die("recvmmsg: %s", strerror(errno));
	for (int i = 0; i < n; i++)
		parcel_unpack(s, (unsigned)i, &p[i]);
	return n > 0 ? (unsigned)n : 0;
}
