/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a UDP socket costs is mostly the way through the kernel, once per call of it. So a batch is taken and
 * given in one call each, and where the kernel can (UDP_GRO, UDP_SEGMENT) the datagrams of one peer go
 * through its layers as one. All that lives here, with the rest of what only sockets know: which of our
 * addresses was spoken to, what was dropped before we saw it, how large a datagram may be.
 *
 * Datagrams leave with don't-fragment set. That spares the kernel an IP identifier for each, and tells a
 * handshake when its flight is too large for the path, which it can cut smaller. A record of a handler
 * cannot be cut: it is sent again with fragmentation allowed.
 *
 * Invariant of the way out: whatever was not sent is still in the queue. The prepared batch is only a view of
 * it, thrown away and made again after every refusal, so a callback may queue and even flush.
 */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "udp.h"
#include "udp_names.h"

#define UDP_HEADERS_IPV4 28
#define UDP_HEADERS_IPV6 48

/*
 * 64 KiB hold the largest message. Buffers exactly so far apart would start in one and the same set of the
 * processor's caches; an odd number of lines more, about a datagram's worth, spreads them over all sets.
 */
#define RX_BUFFER_SIZE (64 * 1024)
#define RX_BUFFER_STRIDE (RX_BUFFER_SIZE + 21 * 64)

union udp_name {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
};

union rx_control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint32_t)) +
		      CMSG_SPACE(sizeof(int))];
};

struct udp_rx {
	uint8_t *memory;
	unsigned dirty; /* headers that the last recvmmsg wrote to */
	struct mmsghdr msg[UDP_BATCH];
	struct iovec iov[UDP_BATCH];
	union udp_name name[UDP_BATCH];
	union rx_control control[UDP_BATCH];
	struct datagram datagram[UDP_BATCH];
};

union tx_control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
};

/* The front of the queue, prepared for one sendmmsg on one socket. */
struct tx_batch {
	unsigned count;
	uint32_t failed;  /* entries of the message that was refused */
	uint32_t single;  /* so many entries from the front go without UDP_SEGMENT: it was refused for them */
	bool retried;     /* the first message has had its second try */
	uint16_t entries[UDP_BATCH]; /* datagrams in each message */
	struct mmsghdr msg[UDP_BATCH];
	struct iovec iov[UDP_BATCH];
	struct sockaddr_storage name[UDP_BATCH];
	union tx_control control[UDP_BATCH];
};

/* ---- opening ---- */

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) == 0 ? 0 : -errno;
}

_Static_assert((int)IP_PMTUDISC_DO == (int)IPV6_PMTUDISC_DO &&
	       (int)IP_PMTUDISC_WANT == (int)IPV6_PMTUDISC_WANT,
	       "path MTU discovery has the same words in both families");

static int set_mtu_discover(int fd, uint16_t family, int mode)
{
	if (family == AF_INET)
		return set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, mode);
	return set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, mode);
}

static int set_packet_info(int fd, uint16_t family)
{
	if (family == AF_INET)
		return set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
	return set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
}

/* All but bind. What a kernel may lack without harm is tried and noted; the rest has to work. */
static int socket_prepare(struct udp_socket *s, const struct addr *a, int rcvbuf, int sndbuf)
{
	socklen_t len = sizeof(int);
	int err = 0, segment;

	s->fd = socket(a->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
	if (s->fd < 0)
		return -errno;
	if (a->family == AF_INET6)
		err = set_int(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (err == 0)
		err = set_mtu_discover(s->fd, a->family, IP_PMTUDISC_DO);
	s->wildcard = addr_is_wildcard(a);
	if (err == 0 && s->wildcard)
		err = set_packet_info(s->fd, a->family);
	if (err == 0 && rcvbuf > 0)
		err = set_int(s->fd, SOL_SOCKET, SO_RCVBUF, rcvbuf);
	if (err == 0 && sndbuf > 0)
		err = set_int(s->fd, SOL_SOCKET, SO_SNDBUF, sndbuf);
	s->gro = set_int(s->fd, IPPROTO_UDP, UDP_GRO, 1) == 0;
	s->gso = getsockopt(s->fd, IPPROTO_UDP, UDP_SEGMENT, &segment, &len) == 0;
	(void)set_int(s->fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
	return err;
}

/*
 * The first socket of a group is bound while it still demands the port for itself, so it finds out when
 * anybody else has it, and the kernel picks a port of nobody's for port 0. After that it lets the others in.
 */
static int socket_bind(struct udp_socket *s, const struct addr *a, bool first)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(a, &ss);
	int err;

	if (!first) {
		err = set_int(s->fd, SOL_SOCKET, SO_REUSEPORT, 1);
		if (err != 0)
			return err;
	}
	if (bind(s->fd, (struct sockaddr *)&ss, len) != 0)
		return -errno;
	if (first) {
		err = set_int(s->fd, SOL_SOCKET, SO_REUSEPORT, 1);
		if (err != 0)
			return err;
	}
	len = sizeof(ss);
	if (getsockname(s->fd, (struct sockaddr *)&ss, &len) != 0)
		return -errno;
	return addr_from_sockaddr(&s->bound, (struct sockaddr *)&ss, len);
}

static const struct {
	int error;
	const char *advice;
} open_advice[] = {
	{ EADDRINUSE, "another program serves this UDP port (\"ss -lunp\" shows which); "
		      "stop it, or choose another port or address" },
	{ EACCES, "not permitted, as for ports below 1024; choose a higher port, start as root, "
		  "or grant CAP_NET_BIND_SERVICE" },
	{ EPERM, "not permitted; is a security policy (seccomp, SELinux, AppArmor) in the way?" },
	{ EADDRNOTAVAIL, "this machine has no such address (\"ip address\" shows those it has); "
			 "0.0.0.0 and [::] serve all of them" },
	{ EAFNOSUPPORT, "this machine does not have that address family (is IPv6 switched off?); "
			"leave the address out" },
	{ EINVAL, "the kernel does not take this address; a link-local one needs its interface, "
		  "as in [fe80::1%eth0]:4433" },
	{ ENODEV, "there is no such network interface (\"ip link\" shows those that there are)" },
	{ EMFILE, "too many open files; raise LimitNOFILE or \"ulimit -n\", "
		  "or use fewer workers or addresses" },
	{ ENFILE, "the system has too many open files; raise the sysctl fs.file-max" },
	{ ENOBUFS, "the system has no memory for another socket" },
	{ ENOMEM, "the system has no memory for another socket" },
};

static void open_explain(int error, const struct addr *a, char *err, size_t err_size)
{
	char where[ADDR_TEXT_MAX];
	const char *why = strerror(error);
	size_t i;

	for (i = 0; i < sizeof(open_advice) / sizeof(open_advice[0]); i++)
		if (open_advice[i].error == error)
			why = open_advice[i].advice;
	snprintf(err, err_size, "cannot listen on %s: %s", addr_format(a, where), why);
}

int udp_open(struct udp_socket *out, unsigned count, const struct addr *a, uint32_t listener,
	     int rcvbuf, int sndbuf, char *err, size_t err_size)
{
	struct addr at = *a;
	unsigned i;
	int status;

	assert(count > 0);
	for (i = 0; i < count; i++) {
		memset(&out[i], 0, sizeof(out[i]));
		out[i].listener = listener;
		status = socket_prepare(&out[i], &at, rcvbuf, sndbuf);
		if (status == 0)
			status = socket_bind(&out[i], &at, i == 0);
		if (status != 0) {
			open_explain(-status, &at, err, err_size);
			do
				udp_close(&out[i]);
			while (i-- > 0);
			return status;
		}
		at.port = out[i].bound.port;
	}
	return 0;
}

void udp_close(struct udp_socket *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

/* ---- receiving ---- */

struct udp_rx *udp_rx_new(void)
{
	struct udp_rx *rx = calloc(1, sizeof(*rx));
	size_t size = (size_t)UDP_BATCH * RX_BUFFER_STRIDE;
	unsigned i;

	if (rx == NULL)
		return NULL;
	rx->memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (rx->memory == MAP_FAILED) {
		free(rx);
		return NULL;
	}
	/* A huge page would fill all buffers at the first touch; kernels without them refuse, rightly. */
	(void)madvise(rx->memory, size, MADV_NOHUGEPAGE);
	for (i = 0; i < UDP_BATCH; i++) {
		struct msghdr *h = &rx->msg[i].msg_hdr;

		rx->iov[i].iov_base = rx->memory + (size_t)i * RX_BUFFER_STRIDE;
		rx->iov[i].iov_len = RX_BUFFER_SIZE;
		h->msg_iov = &rx->iov[i];
		h->msg_iovlen = 1;
		h->msg_name = &rx->name[i];
		h->msg_control = &rx->control[i];
	}
	rx->dirty = UDP_BATCH;
	return rx;
}

void udp_rx_free(struct udp_rx *rx)
{
	if (rx == NULL)
		return;
	munmap(rx->memory, (size_t)UDP_BATCH * RX_BUFFER_STRIDE);
	free(rx);
}

/* The kernel leaves in these two what it used; everything else in a header it only reads. */
static void rx_reset(struct udp_rx *rx)
{
	unsigned i;

	for (i = 0; i < rx->dirty; i++) {
		rx->msg[i].msg_hdr.msg_namelen = sizeof(rx->name[i]);
		rx->msg[i].msg_hdr.msg_controllen = sizeof(rx->control[i]);
	}
	rx->dirty = 0;
}

/* The interface is part of an IPv6 address only where the address means nothing without it. */
static void rx_local_ipv6(struct addr *local, const struct in6_pktinfo *info)
{
	memcpy(local->ip, &info->ipi6_addr, 16);
	local->scope = IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr) ? (uint32_t)info->ipi6_ifindex : 0;
}

/* What the kernel says beside the datagram: the address spoken to, segment size, drops so far. */
static void rx_read_control(struct udp_socket *s, struct msghdr *h, struct metrics *m, struct addr *local,
			    size_t *segment)
{
	struct cmsghdr *c;
	uint32_t drops;
	int size;

	for (c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			memcpy(&size, CMSG_DATA(c), sizeof(size));
			*segment = size > 0 ? (size_t)size : 0;
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			/* the address in the datagram: a broadcast is never answered from a unicast one */
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			memcpy(local->ip + 12, &info.ipi_addr, 4);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			rx_local_ipv6(local, &info);
		} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
			memcpy(&drops, CMSG_DATA(c), sizeof(drops));
			/* a running total that may wrap */
			metric_add(m, s->hellos ? METRIC_rx_hello_drops : METRIC_rx_kernel_drops,
				   (uint32_t)(drops - s->kernel_drops));
			s->kernel_drops = drops;
		}
	}
}

static void rx_tell(const struct udp_socket *s, int err)
{
	char where[ADDR_TEXT_MAX];

	log_limited(LOG_WARNING_, NULL, "cannot receive on %s: %s; what is there is asked for again%s",
		    addr_format(&s->bound, where), strerror(err),
		    err == ENOMEM || err == ENOBUFS ? ": give this machine or service more memory" : "");
}

/* One message as a datagram. 0, or -EAFNOSUPPORT: from nobody that could be answered. */
static int rx_read(struct udp_socket *s, struct udp_rx *rx, unsigned i, struct metrics *m, struct datagram *d)
{
	struct msghdr *h = &rx->msg[i].msg_hdr;

	d->flow.local = s->bound;
	d->listener = s->listener;
	d->data = rx->iov[i].iov_base;
	d->len = rx->msg[i].msg_len;
	d->segment = 0;
	if (addr_from_sockaddr(&d->flow.peer, h->msg_name, h->msg_namelen) != 0)
		return -EAFNOSUPPORT;
	rx_read_control(s, h, m, &d->flow.local, &d->segment);
	if (d->segment >= d->len)
		d->segment = 0;
	return 0;
}

int udp_recv(struct udp_socket *s, struct udp_rx *rx, struct metrics *m,
	     void (*batch)(void *ctx, struct datagram *d, unsigned n), void *ctx)
{
	uint64_t datagrams = 0, bytes = 0;
	unsigned count = 0;
	int i, n;

	rx_reset(rx);
	do
		n = recvmmsg(s->fd, rx->msg, UDP_BATCH, MSG_DONTWAIT, NULL);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		int err = errno;

		if (err == EAGAIN || err == EWOULDBLOCK)
			return 0;
		metric_inc(m, METRIC_rx_errors);
		rx_tell(s, err);
		return -err;
	}
	rx->dirty = (unsigned)n;
	for (i = 0; i < n; i++) {
		struct datagram *d = &rx->datagram[count];

		if (rx_read(s, rx, (unsigned)i, m, d) < 0) {
			metric_inc(m, METRIC_rx_errors);
			continue;
		}
		datagrams += d->segment == 0 ? 1 : (d->len + d->segment - 1) / d->segment;
		bytes += d->len;
		count++;
	}
	metric_add(m, METRIC_rx_datagrams, datagrams);
	metric_add(m, METRIC_rx_bytes, bytes);
	if (count > 0)
		batch(ctx, rx->datagram, count);
	return n;
}

/* ---- sending ---- */

/*
 * How many entries from e on, of at most max, can leave as one message: one flow, one length, only the last
 * may be shorter.
 */
static uint32_t tx_run(const struct tx_entry *e, uint32_t max)
{
	uint32_t n, bytes = e->len;

	if (max > UDP_SEGMENTS_MAX)
		max = UDP_SEGMENTS_MAX;
	if (e->len == 0)
		return 1;
	for (n = 1; n < max; n++) {
		const struct tx_entry *next = &e[n];

		assert(next->offset == e->offset + bytes);
		if (next->len == 0 || next->len > e->len || bytes + next->len > TXQ_DATAGRAM_MAX ||
		    next->listener != e->listener || !flow_equal(&next->flow, &e->flow))
			break;
		bytes += next->len;
		if (next->len < e->len)
			return n + 1;
	}
	return n;
}

static size_t put_control(uint8_t *at, int level, int type, const void *data, size_t len)
{
	/* the padding goes to the kernel too */
	struct cmsghdr *c = memset(at, 0, CMSG_SPACE(len));

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
	return CMSG_SPACE(len);
}

static size_t put_packet_info(uint8_t *at, const struct addr *local)
{
	struct in_pktinfo ipv4 = { 0 };
	struct in6_pktinfo ipv6 = { 0 };

	if (local->family == AF_INET) {
		memcpy(&ipv4.ipi_spec_dst, local->ip + 12, 4);
		return put_control(at, IPPROTO_IP, IP_PKTINFO, &ipv4, sizeof(ipv4));
	}
	memcpy(&ipv6.ipi6_addr, local->ip, 16);
	ipv6.ipi6_ifindex = local->scope;
	return put_control(at, IPPROTO_IPV6, IPV6_PKTINFO, &ipv6, sizeof(ipv6));
}

/* Puts n entries from e on, a run, into the next message of the batch. */
static void tx_add(struct tx_batch *b, const struct udp_socket *s, const struct txq *q,
		   const struct tx_entry *e, uint32_t n)
{
	const struct tx_entry *last = &e[n - 1];
	struct msghdr *h = &b->msg[b->count].msg_hdr;
	uint8_t *control = b->control[b->count].bytes;
	size_t used = 0;

	if (s->wildcard)
		used = put_packet_info(control, &e->flow.local);
	if (n > 1)
		used += put_control(control + used, IPPROTO_UDP, UDP_SEGMENT, &e->len, sizeof(e->len));
	b->iov[b->count].iov_base = q->arena + e->offset;
	b->iov[b->count].iov_len = last->offset + last->len - e->offset;
	h->msg_name = &b->name[b->count];
	h->msg_namelen = addr_to_sockaddr(&e->flow.peer, &b->name[b->count]);
	h->msg_iov = &b->iov[b->count];
	h->msg_iovlen = 1;
	h->msg_control = used > 0 ? control : NULL;
	h->msg_controllen = used;
	h->msg_flags = 0;
	b->entries[b->count++] = (uint16_t)n;
}

/* Prepares what waits for the socket of the first entry, up to the first entry of another one. */
static void tx_fill(struct tx_batch *b, const struct udp_socket *s, const struct txq *q)
{
	bool gather = s->gso && b->single == 0;
	uint32_t i = q->first, end = q->count, n;

	if (b->single > 0)
		end = i + b->single;
	b->count = 0;
	while (i < end && b->count < UDP_BATCH && q->entry[i].listener == s->listener) {
		n = gather ? tx_run(&q->entry[i], end - i) : 1;
		tx_add(b, s, q, &q->entry[i], n);
		i += n;
	}
	assert(b->count > 0);
}

/* n entries have left or were given up. */
static void tx_done(struct tx_batch *b, struct txq *q, uint32_t n)
{
	b->single -= n < b->single ? n : b->single;
	b->retried = false;
	txq_sent(q, n);
}

/* Sends the batch. 0, or -errno of the message that is now at the front of the queue, b->failed entries. */
static int tx_transmit(struct tx_batch *b, const struct udp_socket *s, struct txq *q,
		       struct metrics *m)
{
	unsigned i = 0;

	while (i < b->count) {
		uint64_t datagrams = 0, bytes = 0;
		int n = sendmmsg(s->fd, b->msg + i, b->count - i, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			b->failed = b->entries[i];
			return -errno;
		}
		for (; n > 0; n--, i++) {
			datagrams += b->entries[i];
			bytes += b->iov[i].iov_len;
		}
		metric_add(m, METRIC_tx_datagrams, datagrams);
		metric_add(m, METRIC_tx_bytes, bytes);
		tx_done(b, q, (uint32_t)datagrams);
	}
	return 0;
}

static void tx_give_up(struct tx_batch *b, struct txq *q, struct metrics *m, uint32_t n)
{
	metric_add(m, METRIC_tx_errors, n);
	tx_done(b, q, n);
}

/* The UDP payload that fits the path of a flow, as far as the kernel knows it; 0 when it does not say. */
static size_t path_payload(const struct flow *flow)
{
	bool ipv4 = flow->peer.family == AF_INET;
	int headers = ipv4 ? UDP_HEADERS_IPV4 : UDP_HEADERS_IPV6;
	struct addr from = flow->local;
	struct sockaddr_storage local, peer;
	socklen_t local_len, peer_len, len = sizeof(int);
	int fd, mtu = 0;

	from.port = 0;
	local_len = addr_to_sockaddr(&from, &local);
	peer_len = addr_to_sockaddr(&flow->peer, &peer);
	fd = socket(flow->peer.family, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
	if (fd < 0)
		return 0;
	if (bind(fd, (struct sockaddr *)&local, local_len) != 0 ||
	    connect(fd, (struct sockaddr *)&peer, peer_len) != 0 ||
	    getsockopt(fd, ipv4 ? IPPROTO_IP : IPPROTO_IPV6, ipv4 ? IP_MTU : IPV6_MTU, &mtu, &len) != 0)
		mtu = 0;
	close(fd);
	return mtu > headers ? (size_t)(mtu - headers) : 0;
}

/* The first entry again, alone, and this once without don't-fragment. */
static int tx_fragmented(struct tx_batch *b, const struct udp_socket *s, struct txq *q,
			 struct metrics *m)
{
	uint16_t family = s->bound.family;
	int err = 0;

	b->count = 0;
	tx_add(b, s, q, &q->entry[q->first], 1);
	(void)set_mtu_discover(s->fd, family, IP_PMTUDISC_WANT);
	while (sendmsg(s->fd, &b->msg[0].msg_hdr, MSG_DONTWAIT) < 0) {
		err = -errno;
		if (err != -EINTR)
			break;
		err = 0;
	}
	(void)set_mtu_discover(s->fd, family, IP_PMTUDISC_DO);
	if (err != 0)
		return err;
	metric_inc(m, METRIC_tx_fragmented);
	metric_inc(m, METRIC_tx_datagrams);
	metric_add(m, METRIC_tx_bytes, b->iov[0].iov_len);
	tx_done(b, q, 1);
	return 0;
}

/* Errors that an earlier datagram may have left on the socket; reported once, and not about this one. */
static bool tx_is_leftover(int err)
{
	switch (err) {
	case -ECONNREFUSED:
	case -EHOSTDOWN:
	case -ENONET:
	case -ENOPROTOOPT:
	case -EPROTO:
		return true;
	default:
		return false;
	}
}

/* Errors of a run that its datagrams may not meet when they go one by one. */
static bool tx_is_about_segments(int err)
{
	switch (err) {
	case -EINVAL:
	case -EMSGSIZE:
	case -ENOBUFS:
	case -EIO:
	case -ENOPROTOOPT:
	case -EOPNOTSUPP:
		return true;
	default:
		return false;
	}
}

static void tx_one_by_one(struct tx_batch *b, struct udp_socket *s, int err)
{
	char where[ADDR_TEXT_MAX];

	b->single = b->failed;
	if (err != -EIO && err != -ENOPROTOOPT && err != -EOPNOTSUPP)
		return;
	s->gso = false;
	log_info("the kernel refuses segmentation on %s (%s): datagrams leave one by one",
		 addr_format(&s->bound, where), strerror(-err));
}

static void tx_tell(const struct tx_entry *first, uint32_t n, int err)
{
	const char *advice = "";

	switch (err) {
	case -ENOBUFS:
	case -ENOMEM:
		advice = ": this machine is short of buffers: raise net.core.wmem_max, the interface's queue, or its memory";
		break;
	case -EPERM:
	case -EACCES:
		advice = ": a firewall rule of this machine forbids it, or it is a broadcast address";
		break;
	case -ENETUNREACH:
	case -EHOSTUNREACH:
		advice = ": there is no route to it: check this machine's routes; forged addresses do that, too";
		break;
	case -EMSGSIZE:
		advice = ": have the handler send shorter messages";
		break;
	default:
		break;
	}
	log_limited(LOG_NOTICE_, &first->flow, "%u datagram%s lost: %s%s", n, n == 1 ? " is" : "s are", strerror(-err),
		    advice);
}

/* Deals with the message at the front that the kernel did not take. 0: go on; -EAGAIN: stop for now. */
static int tx_refused(struct tx_batch *b, struct udp_socket *s, struct txq *q, struct metrics *m,
		      int err)
{
	if (b->failed > 1 && tx_is_about_segments(err)) {
		tx_one_by_one(b, s, err);
		return 0;
	}
	if (err == -EMSGSIZE) {
		err = tx_fragmented(b, s, q, m);
		if (err == 0)
			return 0;
	}
	if (err == -EAGAIN || err == -EWOULDBLOCK)
		return -EAGAIN;
	if (tx_is_leftover(err) && !b->retried) {
		b->retried = true;
		return 0;
	}
	tx_tell(&q->entry[q->first], b->failed, err);
	tx_give_up(b, q, m, b->failed);
	/* Short of memory: this datagram is lost, the others wait for better times. */
	return err == -ENOBUFS ? -EAGAIN : 0;
}

int udp_send(struct udp_socket *sockets, struct txq *q, struct metrics *m,
	     void (*too_large)(void *ctx, const struct tx_entry *e, size_t mtu), void *ctx,
	     struct udp_socket **blocked)
{
	struct tx_batch b; /* 20 KB, written only as far as it is used */
	int err;

	b.single = 0;
	b.retried = false;
	while (!txq_empty(q)) {
		struct udp_socket *s = &sockets[q->entry[q->first].listener];
		struct tx_entry first;

		tx_fill(&b, s, q);
		err = tx_transmit(&b, s, q, m);
		if (err == 0)
			continue;
		first = q->entry[q->first];
		if (err == -EMSGSIZE && b.failed == 1 && first.handshake) {
			/* told after it has left the queue: the callback may queue its smaller pieces */
			tx_give_up(&b, q, m, 1);
			too_large(ctx, &first, path_payload(&first.flow));
			continue;
		}
		if (tx_refused(&b, s, q, m, err) != 0 && !txq_empty(q)) {
			*blocked = s;
			return -EAGAIN;
		}
	}
	return 0;
}
