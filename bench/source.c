/* SPDX-License-Identifier: BSD-2-Clause */
#include "source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "util.h"

#define HEAD 64                /* what is copied when bodies are skipped */
#define STRIDE (SOURCE_BUFFER + 3 * 64)

#define OUT_CONTROL (CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t)))
#define IN_CONTROL (CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)))
#define BITS_MAX 96 /* of a prefix: the peer's number has the 32 behind it */

struct source {
	int fd;
	bool skip;
	struct sockaddr_in6 server;
	struct in6_addr first; /* peer 0 */
	unsigned number_at;    /* in first: the four bytes to which a peer's number is added */
	uint8_t *buffers;
	struct mmsghdr out[BATCH], in[BATCH];
	struct iovec out_iov[BATCH], in_iov[BATCH];
	_Alignas(struct cmsghdr) char out_control[BATCH][OUT_CONTROL];
	_Alignas(struct cmsghdr) char in_control[BATCH][IN_CONTROL];
};

static void control_init(struct msghdr *h)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(h);

	c->cmsg_level = IPPROTO_IPV6;
	c->cmsg_type = IPV6_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(struct in6_pktinfo));
	c = CMSG_NXTHDR(h, c);
	c->cmsg_level = SOL_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(uint16_t));
}

/* An IPv6 socket speaks IPv4, too, with mapped addresses (RFC 4291 2.5.5.2). */
static int open_both(void)
{
	const struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int on = 1, off = 0;

	if (fd < 0)
		die("socket: %s", strerror(errno));
	/* IPV6_FREEBIND: from any address that is routed here, though no device has it */
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on)) ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on)))
		die("IPV6_FREEBIND, IPV6_RECVPKTINFO, UDP_GRO: %s", strerror(errno));
	if (bind(fd, (const struct sockaddr *)&any, sizeof(any)))
		die("bind: %s", strerror(errno));
	deepen_queues(fd);
	return fd;
}

struct source *source_new(const struct sockaddr_in6 *server)
{
	struct source *s = xcalloc(1, sizeof(*s));

	s->server = *server;
	s->fd = open_both();
	source_fragment(s, false);
	inet_pton(AF_INET6, "::ffff:127.64.0.1", &s->first);
	s->number_at = 12;
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

void source_prefix(struct source *s, const char *prefix)
{
	const char *slash = strchr(prefix, '/');
	char address[INET6_ADDRSTRLEN] = "";
	unsigned bits = slash ? (unsigned)strtoul(slash + 1, NULL, 10) : BITS_MAX + 1;

	if (slash && (size_t)(slash - prefix) < sizeof(address))
		memcpy(address, prefix, (size_t)(slash - prefix));
	if (bits > BITS_MAX || bits % 8 || inet_pton(AF_INET6, address, &s->first) != 1)
		die("'%s' is not IPV6/BITS with up to %d bits, a multiple of 8", prefix, BITS_MAX);
	s->number_at = bits / 8;
}

void source_fragment(struct source *s, bool fragment)
{
	int four = fragment ? IP_PMTUDISC_DONT : IP_PMTUDISC_DO;
	int six = fragment ? IPV6_PMTUDISC_DONT : IPV6_PMTUDISC_DO;

	if (setsockopt(s->fd, IPPROTO_IP, IP_MTU_DISCOVER, &four, sizeof(four)) ||
	    setsockopt(s->fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &six, sizeof(six)))
		die("IP_MTU_DISCOVER: %s", strerror(errno));
}

void source_skip_bodies(struct source *s, bool skip)
{
	s->skip = skip;
}

static void parcel_pack(struct source *s, unsigned i, const struct parcel *p)
{
	struct in6_pktinfo from = {.ipi6_addr = s->first};
	uint8_t *number = from.ipi6_addr.s6_addr + s->number_at;
	struct msghdr *h = &s->out[i].msg_hdr;
	struct cmsghdr *c;

	put32(number, get32(number) + p->peer);
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
	struct in6_pktinfo to;
	int segment;

	*p = (struct parcel){.data = s->in_iov[i].iov_base, .len = s->in[i].msg_len};
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&to, CMSG_DATA(c), sizeof(to));
			p->peer = get32(to.ipi6_addr.s6_addr + s->number_at) -
				  get32(s->first.s6_addr + s->number_at);
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
