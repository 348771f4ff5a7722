/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsbench_source.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "udp_names.h"
#include "wire.h"

#define FIRST_PEER "::ffff:127.64.0.1"
#define PREFIX_BITS_MAX 96     /* the peer's number has the 32 behind them */
#define HEAD 64                /* what is copied when bodies are skipped */
#define BUFFER 65536
#define STRIDE (BUFFER + 3 * 64) /* not a power of two: the heads of all buffers would share cache lines */
#define QUEUE_BYTES (16 << 20)
#define OTHER_DESCRIPTORS 32 /* what a process has open besides one socket for each peer */

#define OUT_CONTROL (CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t)))
#define IN_CONTROL (CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)))

struct source {
	struct sockaddr_storage server;
	socklen_t server_len;
	uint32_t peers;
	bool skip;
	struct in6_addr first; /* by address: peer 0's */
	unsigned number_at;    /* in first: the four bytes to which a peer's number is added */
	int fd;     /* by address: the one socket. By port: the epoll that waits for all of them */
	int *ports; /* by port: each peer's socket, -1 until it speaks. NULL: by address */
	uint8_t *buffers;
	struct mmsghdr out[SOURCE_BATCH], in[SOURCE_BATCH];
	struct iovec out_iov[SOURCE_BATCH], in_iov[SOURCE_BATCH];
	_Alignas(struct cmsghdr) char out_control[SOURCE_BATCH][OUT_CONTROL];
	_Alignas(struct cmsghdr) char in_control[SOURCE_BATCH][IN_CONTROL];
};

/* ---- sockets ---- */

/* Best effort: a smaller queue only loses more, and what is lost is counted. */
static void deepen_queues(int fd)
{
	const int bytes = QUEUE_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static void set_fragment(int fd, bool fragment)
{
	const int four = fragment ? IP_PMTUDISC_DONT : IP_PMTUDISC_DO;
	const int six = fragment ? IPV6_PMTUDISC_DONT : IPV6_PMTUDISC_DO;

	/* a socket has one of them, or both */
	setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &four, sizeof(four));
	setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &six, sizeof(six));
}

/* Don't-fragment, as clients of DTLS set it; GRO where the kernel has it. */
static int open_socket(int family)
{
	const int on = 1;
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	set_fragment(fd, false);
	setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on));
	return fd;
}

/* An IPv6 socket speaks IPv4, too, with mapped addresses (RFC 4291 2.5.5.2). */
static int open_shared(struct source *s)
{
	const struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	const int on = 1, off = 0;

	s->fd = open_socket(AF_INET6);
	if (s->fd < 0)
		return s->fd;
	deepen_queues(s->fd);
	/* IPV6_FREEBIND: from any address that is routed here, though no device has it */
	if (setsockopt(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) ||
	    setsockopt(s->fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on)) ||
	    setsockopt(s->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) ||
	    bind(s->fd, (const struct sockaddr *)&any, sizeof(any)))
		return -errno;
	return 0;
}

static int read_prefix(struct source *s, const char *prefix, char *err, size_t err_size)
{
	char address[INET6_ADDRSTRLEN], rest;
	unsigned bits;

	if (sscanf(prefix, "%45[^/]/%3u%c", address, &bits, &rest) != 2 || bits > PREFIX_BITS_MAX || bits % 8 ||
	    inet_pton(AF_INET6, address, &s->first) != 1) {
		snprintf(err, err_size,
			 "--prefix '%s': give IPV6/BITS with up to %d bits, a multiple of 8, as in fd64::/64", prefix,
			 PREFIX_BITS_MAX);
		return -EINVAL;
	}
	s->number_at = bits / 8;
	return 0;
}

static int open_ports(struct source *s, char *err, size_t err_size)
{
	struct rlimit limit = {0};

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur < (rlim_t)s->peers + OTHER_DESCRIPTORS) {
		snprintf(err, err_size,
			 "%u sessions with this server need as many sockets, and the limit is %lu: fewer "
			 "--sessions, a higher ulimit -n, or a server on 127.0.0.1, for which one socket suffices",
			 s->peers, (unsigned long)limit.rlim_cur);
		return -EMFILE;
	}
	s->ports = malloc(s->peers * sizeof(*s->ports));
	if (!s->ports)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->peers; i++)
		s->ports[i] = -1;
	s->fd = epoll_create1(EPOLL_CLOEXEC);
	return s->fd < 0 ? -errno : 0;
}

/* The peer's socket, made when it first speaks. */
static int port_of(struct source *s, uint32_t peer)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = peer };
	int fd = s->ports[peer];

	if (fd >= 0)
		return fd;
	fd = open_socket(s->server.ss_family);
	if (fd < 0)
		return fd;
	if (connect(fd, (const struct sockaddr *)&s->server, s->server_len) ||
	    epoll_ctl(s->fd, EPOLL_CTL_ADD, fd, &event)) {
		int reason = errno;

		close(fd);
		return -reason;
	}
	s->ports[peer] = fd;
	return fd;
}

/* ---- life ---- */

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

static void messages_init(struct source *s)
{
	for (unsigned i = 0; i < SOURCE_BATCH; i++) {
		struct msghdr *out = &s->out[i].msg_hdr, *in = &s->in[i].msg_hdr;

		s->in_iov[i].iov_base = s->buffers + (size_t)i * STRIDE;
		in->msg_iov = &s->in_iov[i];
		in->msg_iovlen = 1;
		in->msg_control = s->in_control[i];
		out->msg_iov = &s->out_iov[i];
		out->msg_iovlen = 1;
		out->msg_control = s->out_control[i];
		out->msg_controllen = OUT_CONTROL;
		if (!s->ports) {
			out->msg_name = &s->server;
			out->msg_namelen = s->server_len;
		}
		control_init(out);
	}
}

/* A socket for each peer, or one for all, which knows IPv4 addresses as mapped ones. */
static int open_all(struct source *s, const struct addr *server, const char *prefix, char *err, size_t err_size)
{
	struct addr mapped = *server;

	s->server_len = addr_to_sockaddr(server, &s->server);
	if (!prefix && (server->family != AF_INET || !addr_is_loopback(server)))
		return open_ports(s, err, err_size);
	if (prefix && server->family != AF_INET6) {
		snprintf(err, err_size, "--prefix is for servers with an IPv6 address");
		return -EINVAL;
	}
	if (prefix && read_prefix(s, prefix, err, err_size) != 0)
		return -EINVAL;
	if (!prefix) {
		inet_pton(AF_INET6, FIRST_PEER, &s->first);
		s->number_at = 12;
	}
	mapped.family = AF_INET6; /* its bytes are those of the mapped address already */
	s->server_len = addr_to_sockaddr(&mapped, &s->server);
	return open_shared(s);
}

struct source *source_new(const struct addr *server, uint32_t peers, const char *prefix, char *err, size_t err_size)
{
	struct source *s = calloc(1, sizeof(*s));
	int rc = -ENOMEM;

	assert(peers > 0 && peers <= SOURCE_PEERS_MAX);
	err[0] = '\0';
	if (s) {
		s->fd = -1;
		s->peers = peers;
		s->buffers = malloc((size_t)SOURCE_BATCH * STRIDE);
	}
	if (s && s->buffers)
		rc = open_all(s, server, prefix, err, err_size);
	if (rc == 0) {
		messages_init(s);
		return s;
	}
	if (!err[0])
		snprintf(err, err_size, "no sockets for %u sessions: %s", peers, strerror(-rc));
	source_free(s);
	return NULL;
}

void source_free(struct source *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; s->ports && i < s->peers; i++) {
		if (s->ports[i] >= 0)
			close(s->ports[i]);
	}
	if (s->fd >= 0)
		close(s->fd);
	free(s->ports);
	free(s->buffers);
	free(s);
}

void source_fragment(struct source *s, bool fragment)
{
	for (uint32_t i = 0; s->ports && i < s->peers; i++) {
		if (s->ports[i] >= 0)
			set_fragment(s->ports[i], fragment);
	}
	if (!s->ports)
		set_fragment(s->fd, fragment);
}

void source_skip_bodies(struct source *s, bool skip)
{
	s->skip = skip;
}

/* ---- out ---- */

static uint32_t get_number(const uint8_t *p)
{
	return (uint32_t)wire_get16(p) << 16 | wire_get16(p + 2);
}

static void put_number(uint8_t *p, uint32_t v)
{
	wire_put16(p, (uint16_t)(v >> 16));
	wire_put16(p + 2, (uint16_t)v);
}

static void parcel_pack(struct source *s, unsigned i, const struct parcel *p)
{
	struct in6_pktinfo from = { .ipi6_addr = s->first };
	uint8_t *number = from.ipi6_addr.s6_addr + s->number_at;
	bool run = p->segment && p->segment < p->len;
	struct msghdr *h = &s->out[i].msg_hdr;
	struct cmsghdr *c, *segment;

	assert(p->peer < s->peers);
	s->out_iov[i].iov_base = p->data;
	s->out_iov[i].iov_len = p->len;
	h->msg_control = s->out_control[i];
	h->msg_controllen = OUT_CONTROL;
	c = CMSG_FIRSTHDR(h);
	segment = CMSG_NXTHDR(h, c);
	put_number(number, get_number(number) + p->peer);
	memcpy(CMSG_DATA(c), &from, sizeof(from));
	memcpy(CMSG_DATA(segment), &p->segment, sizeof(p->segment));
	if (s->ports) { /* a connected socket has its address: only the segment's length is left to say */
		h->msg_control = segment;
		h->msg_controllen = run ? CMSG_SPACE(sizeof(p->segment)) : 0;
	} else if (!run) {
		h->msg_controllen = CMSG_SPACE(sizeof(from));
	}
}

/* What goes by without our doing; ECONNREFUSED is left over from a server that has gone. */
static bool passes(int reason)
{
	return reason == EINTR || reason == ENOBUFS || reason == ECONNREFUSED || reason == EAGAIN;
}

static int send_by_port(struct source *s, const struct parcel *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		int fd = port_of(s, p[i].peer);

		if (fd < 0)
			return fd;
		while (sendmsg(fd, &s->out[i].msg_hdr, 0) < 0) {
			if (!passes(errno))
				return -errno;
			if (errno == ECONNREFUSED)
				break;
		}
	}
	return 0;
}

int source_send(struct source *s, const struct parcel *p, unsigned n)
{
	unsigned sent = 0;

	assert(n <= SOURCE_BATCH);
	for (unsigned i = 0; i < n; i++)
		parcel_pack(s, i, &p[i]);
	if (s->ports)
		return send_by_port(s, p, n);
	while (sent < n) {
		int k = sendmmsg(s->fd, s->out + sent, n - sent, 0);

		if (k < 0 && !passes(errno))
			return -errno;
		sent += k > 0 ? (unsigned)k : 0;
	}
	return 0;
}

/* ---- in ---- */

static void message_ready(struct source *s, unsigned i)
{
	s->in_iov[i].iov_len = s->skip ? HEAD : BUFFER;
	s->in[i].msg_hdr.msg_control = s->in_control[i];
	s->in[i].msg_hdr.msg_controllen = IN_CONTROL;
}

/* false: it was for none of our peers. */
static bool parcel_unpack(struct source *s, unsigned i, struct parcel *p)
{
	struct msghdr *h = &s->in[i].msg_hdr;
	struct in6_pktinfo to;
	int segment;

	*p = (struct parcel){ .peer = UINT32_MAX, .data = s->in_iov[i].iov_base, .len = s->in[i].msg_len };
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&to, CMSG_DATA(c), sizeof(to));
			p->peer = get_number(to.ipi6_addr.s6_addr + s->number_at) -
				  get_number(s->first.s6_addr + s->number_at);
		} else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			memcpy(&segment, CMSG_DATA(c), sizeof(segment));
			p->segment = (uint16_t)segment;
		}
	}
	return p->peer < s->peers;
}

static unsigned receive_by_port(struct source *s, struct parcel *p)
{
	struct epoll_event ready[SOURCE_BATCH];
	int n = epoll_wait(s->fd, ready, SOURCE_BATCH, 0);
	unsigned got = 0;

	for (int i = 0; i < n; i++) {
		uint32_t peer = ready[i].data.u32;
		ssize_t len;

		message_ready(s, got);
		len = recvmsg(s->ports[peer], &s->in[got].msg_hdr, MSG_DONTWAIT | MSG_TRUNC);
		if (len <= 0)
			continue;
		s->in[got].msg_len = (unsigned)len;
		parcel_unpack(s, got, &p[got]);
		p[got++].peer = peer;
	}
	return got;
}

unsigned source_receive(struct source *s, struct parcel *p)
{
	unsigned got = 0;
	int n;

	if (s->ports)
		return receive_by_port(s, p);
	for (unsigned i = 0; i < SOURCE_BATCH; i++)
		message_ready(s, i);
	n = recvmmsg(s->fd, s->in, SOURCE_BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
	for (int i = 0; i < n; i++)
		got += parcel_unpack(s, (unsigned)i, &p[got]) && p[got].len > 0;
	return got;
}

void source_wait(struct source *s, uint64_t ns)
{
	const struct timespec t = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };
	struct pollfd p = { .fd = s->fd, .events = POLLIN };

	ppoll(&p, 1, &t, NULL);
}
