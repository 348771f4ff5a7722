/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real sockets on loopback, in a network namespace of the test's own where the system lets it make one;
 * what needs that is skipped elsewhere. The kernel's refusals that cannot be had at will come from a
 * sendmmsg of the test's own that stands before the C library's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "udp.h"

#define WAIT_MS 10000
#define SEEN_MAX 512

static bool own_network; /* in a namespace of our own, where devices may be changed */
static int families = 2; /* of AF_INET, AF_INET6: the first so many work here */

/* ---- faults ---- */

struct fault {
	int error;       /* the call fails with it */
	unsigned at_most; /* or takes so many messages */
};

static unsigned kernel_calls, kernel_refusals;
static struct fault faults[8];
static unsigned fault_count, fault_next;
static int segment_error; /* for every message with UDP_SEGMENT at the front */

static void inject(struct fault f)
{
	if (fault_next == fault_count)
		fault_next = fault_count = 0;
	faults[fault_count++] = f;
}

static bool has_segments(struct msghdr *h)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c))
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_SEGMENT)
			return true;
	return false;
}

int sendmmsg(int fd, struct mmsghdr *v, unsigned n, int flags)
{
	struct fault f = { 0, 0 };
	int sent;

	if (fault_next < fault_count)
		f = faults[fault_next++];
	if (f.error == 0 && segment_error != 0 && has_segments(&v[0].msg_hdr))
		f.error = segment_error;
	if (f.error != 0) {
		errno = f.error;
		return -1;
	}
	if (f.at_most > 0 && n > f.at_most)
		n = f.at_most;
	sent = (int)syscall(SYS_sendmmsg, fd, v, n, flags);
	kernel_calls++;
	kernel_refusals += sent < 0;
	return sent;
}

/* ---- one worker's worth of state ---- */

struct seen {
	struct flow flow;
	uint32_t listener;
	size_t len, segment;
	uint8_t first;
};

struct fix {
	struct udp_socket s[4];
	unsigned open;
	struct udp_rx *rx;
	struct txq q;
	struct metrics m;
	bool echo;
	bool requeue; /* too_large queues the two halves */
	unsigned seen_count;
	struct seen seen[SEEN_MAX];
	unsigned too_large_count;
	size_t too_large_mtu;
	uint16_t too_large_len;
};

static void on_too_large(void *ctx, const struct tx_entry *e, size_t mtu)
{
	struct fix *f = ctx;
	size_t half = e->len / 2;
	int i;

	f->too_large_count++;
	f->too_large_mtu = mtu;
	f->too_large_len = e->len;
	for (i = 0; f->requeue && i < 2; i++) {
		uint8_t *p = txq_reserve(&f->q, half);

		assert_non_null(p);
		memset(p, 'h', half);
		txq_commit(&f->q, &e->flow, e->listener, half, true);
	}
}

static int flush_status(struct fix *f, struct udp_socket **blocked)
{
	return udp_send(f->s, &f->q, &f->m, on_too_large, f, blocked);
}

static void on_flush(void *ctx, struct txq *q)
{
	struct fix *f = ctx;
	struct udp_socket *blocked;

	assert_ptr_equal(q, &f->q);
	(void)flush_status(f, &blocked);
}

static int set_up(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));

	if (f == NULL || txq_init(&f->q, on_flush, f) != 0 || (f->rx = udp_rx_new()) == NULL)
		return -1;
	fault_next = fault_count = 0;
	segment_error = 0;
	kernel_calls = kernel_refusals = 0;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fix *f = *state;

	while (f->open > 0)
		udp_close(&f->s[--f->open]);
	udp_rx_free(f->rx);
	txq_destroy(&f->q);
	free(f);
	return 0;
}

static struct addr address(int family, const char *ip, uint16_t port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct addr a;

	if (family == AF_INET) {
		assert_int_equal(inet_pton(AF_INET, ip, &v4.sin_addr), 1);
		assert_int_equal(addr_from_sockaddr(&a, (struct sockaddr *)&v4, sizeof(v4)), 0);
	} else {
		assert_int_equal(inet_pton(AF_INET6, ip, &v6.sin6_addr), 1);
		if (IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr))
			v6.sin6_scope_id = if_nametoindex("lo");
		assert_int_equal(addr_from_sockaddr(&a, (struct sockaddr *)&v6, sizeof(v6)), 0);
	}
	return a;
}

/* Opens one more listener of the fixture; its bound address. */
static struct addr open_at(struct fix *f, int family, const char *ip, int rcvbuf, int sndbuf)
{
	struct addr a = address(family, ip, 0);
	char err[256] = "";
	int status = udp_open(&f->s[f->open], 1, &a, f->open, rcvbuf, sndbuf, err, sizeof(err));

	if (status != 0)
		fail_msg("%s", err);
	return f->s[f->open++].bound;
}

static const char *loopback(int family)
{
	return family == AF_INET ? "127.0.0.1" : "::1";
}

/* A peer: an ordinary socket, connected unless `to` is NULL. */
static int peer_open(int family, const char *from, const struct addr *to, struct addr *own)
{
	struct addr a = address(family, from, 0);
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&a, &ss);
	int fd = socket(family, SOCK_DGRAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
	if (to != NULL) {
		len = addr_to_sockaddr(to, &ss);
		assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
	}
	len = sizeof(ss);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	if (own != NULL)
		assert_int_equal(addr_from_sockaddr(own, (struct sockaddr *)&ss, len), 0);
	return fd;
}

static bool readable(int fd, int wait_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, wait_ms) == 1;
}

/* What a connected peer gets next: it hears only the address that it asked. */
static ssize_t peer_get(int fd, void *buf, size_t size)
{
	assert_true(readable(fd, WAIT_MS));
	return recv(fd, buf, size, 0);
}

static void queue(struct fix *f, uint32_t listener, const struct addr *to, size_t len, int fill,
		  bool handshake)
{
	struct flow flow = { .peer = *to, .local = f->s[listener].bound };
	uint8_t *p = txq_reserve(&f->q, len);

	assert_non_null(p);
	memset(p, fill, len);
	txq_commit(&f->q, &flow, listener, len, handshake);
}

static void on_datagram(struct fix *f, const struct datagram *d)
{
	size_t at = 0;

	if (f->seen_count < SEEN_MAX)
		f->seen[f->seen_count++] = (struct seen){ d->flow, d->listener, d->len, d->segment,
							  d->len > 0 ? d->data[0] : 0 };
	while (f->echo) {
		size_t n = d->len - at;
		uint8_t *p;

		if (d->segment > 0 && n > d->segment)
			n = d->segment;
		p = txq_reserve(&f->q, n);
		assert_non_null(p);
		if (n > 0)
			memcpy(p, d->data + at, n);
		txq_commit(&f->q, &d->flow, d->listener, n, false);
		at += n;
		if (at == d->len)
			break;
	}
}

static void on_datagrams(void *ctx, struct datagram *d, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		on_datagram(ctx, &d[i]);
}

/* Receives on listener i until n messages have come. */
static void take(struct fix *f, unsigned i, unsigned n)
{
	int got;

	while (f->seen_count < n) {
		assert_true(readable(f->s[i].fd, WAIT_MS));
		got = udp_recv(&f->s[i], f->rx, &f->m, on_datagrams, f);
		assert_true(got >= 0);
	}
}

static uint64_t count(const struct fix *f, enum metric which)
{
	return metric_get(&f->m, which);
}

/* ---- opening ---- */

static void need_own_network(void)
{
	if (!own_network) {
		print_message("# needs a network namespace, which this system does not give us\n");
		skip();
	}
}

static void need_ipv6(void)
{
	if (families < 2) {
		print_message("# this system has no IPv6\n");
		skip();
	}
}

static void sockets_are_as_promised(void **state)
{
	static const int family[] = { AF_INET, AF_INET6 };
	struct fix *f = *state;
	int i, value;
	socklen_t len;

	for (i = 0; i < families; i++) {
		struct addr a = open_at(f, family[i], loopback(family[i]), 20000, 30000);
		int fd = f->s[i].fd, level = i == 0 ? IPPROTO_IP : IPPROTO_IPV6;

		assert_true(a.port != 0);
		assert_int_equal(f->s[i].listener, i);
		assert_false(f->s[i].wildcard);
		assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		len = sizeof(value);
		assert_int_equal(getsockopt(fd, level, i == 0 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER,
					    &value, &len), 0);
		assert_int_equal(value, IP_PMTUDISC_DO);
		assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &len), 0);
		assert_int_equal(value, 40000);
		assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, &len), 0);
		assert_int_equal(value, 60000);
		assert_int_equal(udp_recv(&f->s[i], f->rx, &f->m, on_datagrams, f), 0);
		assert_int_equal(count(f, METRIC_rx_errors), 0);
	}
}

static void both_wildcards_share_a_port(void **state)
{
	struct fix *f = *state;
	struct addr v4, v6;
	char err[256];

	need_ipv6();
	v6 = open_at(f, AF_INET6, "::", 0, 0);
	v4 = address(AF_INET, "0.0.0.0", v6.port);
	assert_int_equal(udp_open(&f->s[1], 1, &v4, 1, 0, 0, err, sizeof(err)), 0);
	f->open++;
	assert_true(f->s[0].wildcard && f->s[1].wildcard);
	assert_int_equal(f->s[1].bound.port, v6.port);
}

static void busy_port_is_found_even_if_its_owner_shares(void **state)
{
	static const int family[] = { AF_INET, AF_INET6 };
	struct fix *f = *state;
	int i, fd, one = 1, lowest;
	struct sockaddr_storage ss;
	struct addr a;
	socklen_t len;
	char err[256], where[ADDR_TEXT_MAX];

	for (i = 0; i < families; i++) {
		a = address(family[i], loopback(family[i]), 0);
		len = addr_to_sockaddr(&a, &ss);
		fd = socket(family[i], SOCK_DGRAM, 0);
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
		assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
		assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
		assert_int_equal(addr_from_sockaddr(&a, (struct sockaddr *)&ss, len), 0);
		lowest = dup(fd);
		close(lowest);
		assert_int_equal(udp_open(f->s, 3, &a, 0, 0, 0, err, sizeof(err)), -EADDRINUSE);
		assert_non_null(strstr(err, addr_format(&a, where)));
		assert_non_null(strstr(err, "another program"));
		assert_int_equal(dup(fd), lowest); /* nothing was left open */
		close(lowest);
		close(fd);
		assert_int_equal(udp_open(f->s, 3, &a, 0, 0, 0, err, sizeof(err)), 0);
		udp_close(&f->s[0]);
		udp_close(&f->s[1]);
		udp_close(&f->s[2]);
	}
}

static int open_error(struct fix *f, const struct addr *a, char *err, size_t size)
{
	int status = udp_open(f->s, 1, a, 0, 0, 0, err, size);

	if (status == 0)
		udp_close(&f->s[0]);
	return status;
}

static void bad_addresses_are_explained(void **state)
{
	struct fix *f = *state;
	struct addr a = address(AF_INET, "192.0.2.77", 4433);
	char err[256];

	assert_int_equal(open_error(f, &a, err, sizeof(err)), -EADDRNOTAVAIL);
	assert_string_equal(err, "cannot listen on 192.0.2.77:4433: this machine has no such address "
				 "(\"ip address\" shows those it has); 0.0.0.0 and [::] serve all of them");
	a.family = AF_UNSPEC;
	assert_int_equal(open_error(f, &a, err, sizeof(err)), -EAFNOSUPPORT);
	assert_non_null(strstr(err, "address family"));
	need_ipv6();
	a = address(AF_INET6, "fe80::1", 4433);
	a.scope = 0;
	assert_int_equal(open_error(f, &a, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "needs its interface"));
	a.scope = 0x7ffffff0;
	assert_int_equal(open_error(f, &a, err, sizeof(err)), -ENODEV);
	assert_non_null(strstr(err, "no such network interface"));
}

/* The effective capability to bind to low ports. */
static void low_ports(bool allowed)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];
	uint32_t bit = 1U << CAP_NET_BIND_SERVICE;

	assert_int_equal(syscall(SYS_capget, &h, d), 0);
	d[0].effective = allowed ? d[0].effective | (d[0].permitted & bit) : d[0].effective & ~bit;
	assert_int_equal(syscall(SYS_capset, &h, d), 0);
}

static void privileged_port_is_explained(void **state)
{
	struct fix *f = *state;
	struct addr a = address(AF_INET, "127.0.0.1", 1);
	char err[256] = "";
	int status;

	low_ports(false);
	status = open_error(f, &a, err, sizeof(err));
	low_ports(true);
	if (status != -EACCES) {
		print_message("# this system gives port 1 to anybody\n");
		skip();
	}
	assert_non_null(strstr(err, "CAP_NET_BIND_SERVICE"));
}

static void group_of_sockets_shares_the_peers(void **state)
{
	struct fix *f = *state;
	struct addr a = address(AF_INET, "127.0.0.1", 0);
	unsigned i, k, used = 0, total = 0;
	char err[256];
	int fd[64];

	assert_int_equal(udp_open(f->s, 4, &a, 0, 0, 0, err, sizeof(err)), 0);
	f->open = 4;
	for (i = 1; i < 4; i++)
		assert_true(addr_equal(&f->s[i].bound, &f->s[0].bound));
	for (i = 0; i < 64; i++) {
		fd[i] = peer_open(AF_INET, "127.0.0.1", &f->s[0].bound, NULL);
		for (k = 0; k < 2; k++)
			assert_int_equal(send(fd[i], "x", 1, 0), 1);
	}
	while (total < 128) {
		struct pollfd p[4];

		for (i = 0; i < 4; i++)
			p[i] = (struct pollfd){ .fd = f->s[i].fd, .events = POLLIN };
		assert_true(poll(p, 4, WAIT_MS) > 0);
		for (i = 0; i < 4; i++) {
			f->seen_count = 0;
			assert_true(udp_recv(&f->s[i], f->rx, &f->m, on_datagrams, f) >= 0);
			used |= (f->seen_count > 0) << i;
			total += f->seen_count;
		}
	}
	assert_int_equal(total, 128);
	assert_true((used & (used - 1)) != 0); /* more than one of them */
	for (i = 0; i < 64; i++)
		close(fd[i]);
}

/* ---- the way in and out ---- */

/* A connected peer hears an answer only if it comes from the very address that it asked. */
static void ask(struct fix *f, int family, const char *ip)
{
	struct addr to = address(family, ip, f->s[0].bound.port), own;
	int fd = peer_open(family, ip, &to, &own);
	char buf[16];

	f->echo = true;
	f->seen_count = 0;
	assert_int_equal(send(fd, "hello", 5, 0), 5);
	take(f, 0, 1);
	txq_flush(&f->q);
	assert_true(txq_empty(&f->q));
	assert_int_equal(peer_get(fd, buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "hello", 5);
	assert_true(addr_equal(&f->seen[0].flow.local, &to));
	assert_true(addr_equal(&f->seen[0].flow.peer, &own));
	assert_int_equal(f->seen[0].segment, 0);
	close(fd);
}

static void wildcard_answers_from_the_ipv4_address_asked(void **state)
{
	static const char *const ip[] = { "127.0.0.1", "127.0.0.2", "127.1.2.3", "127.255.255.254" };
	size_t i;

	open_at(*state, AF_INET, "0.0.0.0", 0, 0);
	for (i = 0; i < sizeof(ip) / sizeof(ip[0]); i++)
		ask(*state, AF_INET, ip[i]);
}

static void wildcard_answers_from_the_ipv6_address_asked(void **state)
{
	need_ipv6();
	open_at(*state, AF_INET6, "::", 0, 0);
	ask(*state, AF_INET6, "::1");
	need_own_network();
	ask(*state, AF_INET6, "fd00::1");
	ask(*state, AF_INET6, "fd00::2");
	ask(*state, AF_INET6, "fe80::1"); /* with the scope both ways */
}

static void link_local_listener_keeps_the_scope(void **state)
{
	struct fix *f = *state;

	need_ipv6();
	need_own_network();
	open_at(f, AF_INET6, "fe80::1", 0, 0);
	ask(f, AF_INET6, "fe80::1");
	assert_int_equal(f->seen[0].flow.local.scope, if_nametoindex("lo"));
	assert_int_equal(f->seen[0].flow.peer.scope, if_nametoindex("lo"));
}

/* The peer sends one UDP_SEGMENT message; the same datagrams must come back, each with its length. */
static void run_comes_back(struct fix *f, int fd, size_t segment, size_t total)
{
	static uint8_t out[65536], in[65536];
	int size = (int)segment;
	unsigned i;
	size_t at, n;

	for (at = 0; at < total; at++)
		out[at] = (uint8_t)(at * 7 + at / 251);
	assert_int_equal(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
	assert_int_equal(send(fd, out, total, 0), total);
	f->seen_count = 0;
	for (at = 0, i = 0; at < total; at += f->seen[i++].len)
		take(f, 0, i + 1);
	assert_int_equal(at, total);
	txq_flush(&f->q);
	for (at = 0; at < total; at += n) {
		n = total - at < segment ? total - at : segment;
		assert_int_equal(peer_get(fd, in, sizeof(in)), n);
		assert_memory_equal(in, out + at, n);
	}
}

static void runs_come_and_go_as_they_were(void **state)
{
	static const int family[] = { AF_INET, AF_INET6 };
	static const struct { size_t segment, total; } run[] = {
		{ 1200, 1200 * 8 }, { 1200, 1200 * 7 + 1 }, { 1200, 1201 }, { 1, 64 }, { 100, 99 },
		{ 64, 64 * 64 }, { 1023, 1023 * 64 }, { 16000, 16000 * 4 + 1507 }, { 30000, 65507 },
	};
	struct fix *f = *state;
	uint64_t datagrams = 0, bytes = 0;
	struct addr to;
	size_t k;
	int i, fd;

	f->echo = true;
	for (i = 0; i < families; i++) {
		to = open_at(f, family[i], loopback(family[i]), 0, 0);
		fd = peer_open(family[i], loopback(family[i]), &to, NULL);
		if (!f->s[0].gro || !f->s[0].gso)
			print_message("# this kernel has no UDP_GRO or UDP_SEGMENT\n");
		for (k = 0; k < sizeof(run) / sizeof(run[0]); k++) {
			run_comes_back(f, fd, run[k].segment, run[k].total);
			datagrams += (run[k].total + run[k].segment - 1) / run[k].segment;
			bytes += run[k].total;
			/* with its headers the longest is over what devices gather: the kernel cuts it up */
			if (f->s[0].gro && run[k].total > run[k].segment && run[k].total < 65507) {
				assert_int_equal(f->seen_count, 1);
				assert_int_equal(f->seen[0].segment, run[k].segment);
			}
		}
		close(fd);
		udp_close(&f->s[--f->open]);
	}
	assert_int_equal(count(f, METRIC_rx_datagrams), datagrams);
	assert_int_equal(count(f, METRIC_tx_datagrams), datagrams);
	assert_int_equal(count(f, METRIC_rx_bytes), bytes);
	assert_int_equal(count(f, METRIC_tx_bytes), bytes);
	assert_int_equal(count(f, METRIC_tx_errors), 0);
}

/* Lengths and flows that must not be gathered, mixed with ones that may. */
static void mixed_queue_arrives_datagram_by_datagram(void **state)
{
	static const size_t len[] = { 100, 100, 100, 0, 100, 9, 50, 100, 100, 9,
				      200, 200, 0, 0, 9, 7, 7, 7, 3, 7 };
	struct fix *f = *state;
	struct addr a = open_at(f, AF_INET, "127.0.0.1", 0, 0), own[2];
	int fd[2] = { peer_open(AF_INET, "127.0.0.1", &a, &own[0]),
		      peer_open(AF_INET, "127.0.0.1", &a, &own[1]) };
	size_t i, k, n = sizeof(len) / sizeof(len[0]);
	uint8_t buf[256];

	for (i = 0; i < n; i++) {
		queue(f, 0, &own[0], len[i], 'a' + (int)i, false);
		if (i % 5 == 4)
			queue(f, 0, &own[1], len[i], 'A' + (int)i, false);
	}
	txq_flush(&f->q);
	for (i = 0; i < n; i++)
		for (k = 0; k < (i % 5 == 4 ? 2 : 1); k++) {
			assert_int_equal(peer_get(fd[k], buf, sizeof(buf)), len[i]);
			if (len[i] > 0)
				assert_int_equal(buf[len[i] - 1], (k == 0 ? 'a' : 'A') + i);
		}
	assert_int_equal(kernel_refusals, 0);
	close(fd[0]);
	close(fd[1]);
}

/* No message is more than the kernel takes: the queue leaves without a refusal, in as few as can be. */
static void long_runs_are_cut_where_the_kernel_wants_it(void **state)
{
	static const struct { size_t len; int count; } run[] = { { 1200, 100 }, { 10, 200 }, { 40000, 4 } };
	static uint8_t buf[65536];
	struct fix *f = *state;
	struct addr own;
	size_t k;
	int i, fd = peer_open(AF_INET, "127.0.0.1", NULL, &own);

	open_at(f, AF_INET, "127.0.0.1", 0, 0);
	for (k = 0; k < sizeof(run) / sizeof(run[0]); k++) {
		kernel_calls = 0;
		for (i = 0; i < run[k].count; i++)
			queue(f, 0, &own, run[k].len, i, false);
		txq_flush(&f->q);
		if (f->s[0].gso)
			assert_int_equal(kernel_calls, 1);
		for (i = 0; i < run[k].count; i++) {
			assert_int_equal(peer_get(fd, buf, sizeof(buf)), run[k].len);
			assert_int_equal(buf[0], i);
		}
	}
	assert_int_equal(kernel_refusals, 0);
	close(fd);
}

static void largest_and_smallest_datagram_pass(void **state)
{
	static const int family[] = { AF_INET, AF_INET6 };
	static uint8_t out[TXQ_DATAGRAM_MAX], in[65536];
	struct fix *f = *state;
	int i, fd;

	memset(out, 0x5a, sizeof(out));
	f->echo = true;
	for (i = 0; i < families; i++) {
		struct addr to = open_at(f, family[i], loopback(family[i]), 0, 0);

		fd = peer_open(family[i], loopback(family[i]), &to, NULL);
		f->seen_count = 0;
		assert_int_equal(send(fd, out, sizeof(out), 0), sizeof(out));
		take(f, (unsigned)i, 1);
		assert_int_equal(send(fd, out, 0, 0), 0);
		take(f, (unsigned)i, 2);
		assert_int_equal(f->seen[0].len, sizeof(out));
		assert_int_equal(f->seen[1].len, 0);
		assert_int_equal(f->seen[1].listener, i);
		txq_flush(&f->q);
		assert_int_equal(peer_get(fd, in, sizeof(in)), sizeof(out));
		assert_memory_equal(in, out, sizeof(out));
		assert_int_equal(peer_get(fd, in, sizeof(in)), 0);
		close(fd);
	}
	assert_int_equal(count(f, METRIC_rx_datagrams), 2 * families);
	assert_int_equal(count(f, METRIC_tx_datagrams), 2 * families);
	assert_int_equal(count(f, METRIC_rx_bytes), (size_t)families * sizeof(out));
}

static void entries_of_several_listeners_leave_in_order(void **state)
{
	struct fix *f = *state;
	struct addr own4, own6;
	int i, fd, fd4, fd6;
	struct udp_socket *blocked = NULL;
	uint8_t buf[16];
	struct sockaddr_storage ss;
	struct addr from;
	socklen_t len;

	need_ipv6();
	fd4 = peer_open(AF_INET, "127.0.0.1", NULL, &own4);
	fd6 = peer_open(AF_INET6, "::1", NULL, &own6);
	open_at(f, AF_INET, "127.0.0.1", 0, 0);
	open_at(f, AF_INET6, "::1", 0, 0);
	open_at(f, AF_INET, "0.0.0.0", 0, 0);
	f->s[2].bound = address(AF_INET, "127.0.0.9", f->s[2].bound.port); /* the flow's local address */
	queue(f, 1, &own6, 10, 0, false); /* two that differ in nothing but the listener */
	queue(f, 0, &own6, 10, 0, false);
	f->q.entry[1].listener = 2;
	f->q.entry[1].flow = f->q.entry[0].flow;
	assert_int_equal(flush_status(f, &blocked), 0);
	assert_int_equal(count(f, METRIC_tx_datagrams), 1); /* an IPv4 socket takes no IPv6 datagram */
	assert_int_equal(count(f, METRIC_tx_errors), 1);
	assert_int_equal(peer_get(fd6, buf, sizeof(buf)), 10);
	for (i = 0; i < 200; i++)
		queue(f, (uint32_t)(i / 3 % 3), i / 3 % 3 == 1 ? &own6 : &own4, 10, i, false);
	txq_flush(&f->q);
	assert_true(txq_empty(&f->q));
	for (i = 0; i < 200; i++) {
		fd = i / 3 % 3 == 1 ? fd6 : fd4;
		assert_true(readable(fd, WAIT_MS));
		len = sizeof(ss);
		assert_int_equal(recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&ss, &len), 10);
		assert_int_equal(buf[9], i);
		assert_int_equal(addr_from_sockaddr(&from, (struct sockaddr *)&ss, len), 0);
		assert_true(addr_equal(&from, &f->s[i / 3 % 3].bound));
	}
	close(fd4);
	close(fd6);
}

/* ---- refusals ---- */

/* n datagrams of 100 bytes, the first byte tells which. */
static void queue_run(struct fix *f, const struct addr *to, int n)
{
	int i;

	for (i = 0; i < n; i++)
		queue(f, 0, to, 100, i, false);
}

/* Exactly the datagrams from first to last - 1 arrive, in order. */
static void expect_run(int fd, int first, int last)
{
	uint8_t buf[256];

	for (; first < last; first++) {
		assert_int_equal(peer_get(fd, buf, sizeof(buf)), 100);
		assert_int_equal(buf[0], first);
	}
	assert_false(readable(fd, 0));
}

static struct fix *with_peer(void **state, int *fd, struct addr *own)
{
	struct fix *f = *state;

	open_at(f, AF_INET, "127.0.0.1", 0, 0);
	*fd = peer_open(AF_INET, "127.0.0.1", NULL, own);
	return f;
}

static void short_and_interrupted_sends_go_on(void **state)
{
	struct udp_socket *blocked = NULL;
	struct addr own;
	int i, fd;
	struct fix *f = with_peer(state, &fd, &own);

	f->s[0].gso = false;
	queue_run(f, &own, 100);
	inject((struct fault){ EINTR, 0 });
	for (i = 0; i < 5; i++)
		inject((struct fault){ 0, 1 + (unsigned)i });
	inject((struct fault){ EINTR, 0 });
	assert_int_equal(flush_status(f, &blocked), 0);
	expect_run(fd, 0, 100);
	assert_int_equal(count(f, METRIC_tx_datagrams), 100);
	assert_int_equal(count(f, METRIC_tx_errors), 0);
	close(fd);
}

static void full_socket_keeps_the_rest(void **state)
{
	struct udp_socket *blocked = NULL;
	struct addr own;
	int fd;
	struct fix *f = with_peer(state, &fd, &own);

	f->s[0].gso = false;
	queue_run(f, &own, 10);
	inject((struct fault){ 0, 4 });
	inject((struct fault){ EAGAIN, 0 });
	assert_int_equal(flush_status(f, &blocked), -EAGAIN);
	assert_ptr_equal(blocked, &f->s[0]);
	expect_run(fd, 0, 4);
	assert_int_equal(flush_status(f, &blocked), 0);
	expect_run(fd, 4, 10);
	assert_int_equal(count(f, METRIC_tx_datagrams), 10);
	assert_int_equal(count(f, METRIC_tx_errors), 0);
	close(fd);
}

static void lack_of_memory_costs_one_datagram_and_stops(void **state)
{
	struct udp_socket *blocked = NULL;
	struct addr own;
	int fd;
	struct fix *f = with_peer(state, &fd, &own);

	f->s[0].gso = false;
	queue_run(f, &own, 3);
	inject((struct fault){ ENOBUFS, 0 });
	assert_int_equal(flush_status(f, &blocked), -EAGAIN);
	assert_ptr_equal(blocked, &f->s[0]);
	assert_int_equal(flush_status(f, &blocked), 0);
	expect_run(fd, 1, 3);
	queue_run(f, &own, 1);
	inject((struct fault){ ENOBUFS, 0 });
	assert_int_equal(flush_status(f, &blocked), 0); /* nothing is left to wait with */
	assert_int_equal(count(f, METRIC_tx_errors), 2);
	close(fd);
}

static void refused_datagram_is_passed_over(void **state)
{
	static const int error[] = { EPERM, EACCES, ENETUNREACH, EHOSTUNREACH, EINVAL, EADDRNOTAVAIL };
	struct udp_socket *blocked = NULL;
	struct addr own;
	size_t i;
	int fd;
	struct fix *f = with_peer(state, &fd, &own);

	f->s[0].gso = false;
	for (i = 0; i < sizeof(error) / sizeof(error[0]); i++) {
		queue_run(f, &own, 5);
		inject((struct fault){ error[i], 0 });
		assert_int_equal(flush_status(f, &blocked), 0);
		expect_run(fd, 1, 5);
		assert_int_equal(count(f, METRIC_tx_errors), i + 1);
	}
	close(fd);
}

static void leftover_of_an_earlier_datagram_is_tried_again_once(void **state)
{
	struct udp_socket *blocked = NULL;
	struct addr own;
	int fd;
	struct fix *f = with_peer(state, &fd, &own);

	queue_run(f, &own, 5);
	inject((struct fault){ ECONNREFUSED, 0 });
	assert_int_equal(flush_status(f, &blocked), 0);
	expect_run(fd, 0, 5);
	assert_int_equal(count(f, METRIC_tx_errors), 0);
	f->s[0].gso = false;
	queue_run(f, &own, 5);
	inject((struct fault){ ECONNREFUSED, 0 });
	inject((struct fault){ ECONNREFUSED, 0 });
	assert_int_equal(flush_status(f, &blocked), 0);
	expect_run(fd, 1, 5);
	assert_int_equal(count(f, METRIC_tx_errors), 1);
	close(fd);
}

static void refused_segmentation_sends_one_by_one(void **state)
{
	static const struct { int error; bool stays; } refusal[] = {
		{ EINVAL, true }, { EMSGSIZE, true }, { EIO, false }, { ENOPROTOOPT, false },
	};
	struct udp_socket *blocked = NULL;
	struct addr own;
	size_t i;
	int fd;
	struct fix *f = with_peer(state, &fd, &own);

	if (!f->s[0].gso) {
		print_message("# this kernel has no UDP_SEGMENT\n");
		skip();
	}
	for (i = 0; i < sizeof(refusal) / sizeof(refusal[0]); i++) {
		f->s[0].gso = true;
		segment_error = refusal[i].error;
		queue_run(f, &own, 150);
		assert_int_equal(flush_status(f, &blocked), 0);
		assert_int_equal(f->s[0].gso, refusal[i].stays);
		segment_error = 0;
		expect_run(fd, 0, 150);
	}
	assert_int_equal(count(f, METRIC_tx_datagrams), 600);
	assert_int_equal(count(f, METRIC_tx_errors), 0);
	close(fd);
}

static void unreachable_peers_do_not_hold_up_others(void **state)
{
	struct udp_socket *blocked = NULL;
	struct addr own, nowhere = address(AF_INET, "192.0.2.1", 9);
	int i, fd;
	struct fix *f;

	need_own_network();
	f = with_peer(state, &fd, &own);
	for (i = 0; i < 20; i++) {
		queue(f, 0, &nowhere, 100, 0, false);
		queue(f, 0, &nowhere, 100, 0, true);
		queue(f, 0, &own, 100, i, false);
	}
	assert_int_equal(flush_status(f, &blocked), 0);
	expect_run(fd, 0, 20);
	assert_int_equal(count(f, METRIC_tx_errors), 40);
	assert_int_equal(count(f, METRIC_tx_datagrams), 20);
	assert_int_equal(f->too_large_count, 0);
	close(fd);
}

static void drops_in_the_kernel_are_counted(void **state)
{
	struct fix *f = *state;
	struct addr to = open_at(f, AF_INET, "127.0.0.1", 1, 0);
	int i, round, fd = peer_open(AF_INET, "127.0.0.1", &to, NULL);
	char buf[500] = { 0 };
	unsigned sent = 0;

	for (round = 1; round <= 2; round++) {
		buf[0] = 0;
		for (i = 0; i < 100; i++, sent++)
			assert_int_equal(send(fd, buf, sizeof(buf), 0), sizeof(buf));
		/* the drop count comes with the next datagram that finds room */
		buf[0] = (char)round;
		do {
			while (readable(f->s[0].fd, 0))
				assert_true(udp_recv(&f->s[0], f->rx, &f->m, on_datagrams, f) >= 0);
			assert_int_equal(send(fd, buf, sizeof(buf), 0), sizeof(buf));
			sent++;
			assert_true(sent < 10000);
			if (readable(f->s[0].fd, 100))
				assert_true(udp_recv(&f->s[0], f->rx, &f->m, on_datagrams, f) >= 0);
		} while (f->seen_count == 0 || f->seen[f->seen_count - 1].first != round);
		assert_true(count(f, METRIC_rx_kernel_drops) > 0);
		assert_int_equal(count(f, METRIC_rx_kernel_drops) + f->seen_count, sent);
		assert_int_equal(count(f, METRIC_rx_datagrams), f->seen_count);
	}
	close(fd);
}

/* ---- a path that is too small, a link that is too slow ---- */

static void set_loopback_mtu(int mtu)
{
	struct ifreq r = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	r.ifr_mtu = mtu;
	assert_int_equal(ioctl(fd, SIOCSIFMTU, &r), 0);
	close(fd);
}

static int restore_network(void **state)
{
	if (own_network)
		set_loopback_mtu(65536);
	return tear_down(state);
}

static int mtu_mode(const struct fix *f)
{
	bool v4 = f->s[0].bound.family == AF_INET;
	socklen_t len = sizeof(int);
	int value = -1;

	assert_int_equal(getsockopt(f->s[0].fd, v4 ? IPPROTO_IP : IPPROTO_IPV6,
				    v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, &value, &len), 0);
	return value;
}

static void over_the_path_mtu(struct fix *f, int family, const char *bind_to, size_t fits)
{
	struct udp_socket *blocked = NULL;
	struct addr own, to = address(family, loopback(family), 0);
	uint8_t buf[4096];
	int i, fd = peer_open(family, loopback(family), NULL, &own);

	memset(&f->m, 0, sizeof(f->m));
	f->too_large_count = 0;
	open_at(f, family, bind_to, 0, 0);
	f->s[0].bound.family = to.family;
	memcpy(f->s[0].bound.ip, to.ip, 16); /* the flow's local address */
	queue(f, 0, &own, fits, 'a', true);
	queue(f, 0, &own, fits + 1, 'b', true);
	queue(f, 0, &own, fits, 'c', false);
	for (i = 0; i < 3; i++) /* a run whose segments are too large */
		queue(f, 0, &own, fits + 1, 'd' + i, false);
	queue(f, 0, &own, 4000, 'g', false);
	queue(f, 0, &own, 10, 'h', false);
	assert_int_equal(flush_status(f, &blocked), 0);
	assert_int_equal(f->too_large_count, 1);
	assert_int_equal(f->too_large_len, fits + 1);
	assert_int_equal(f->too_large_mtu, fits);
	assert_int_equal(count(f, METRIC_tx_fragmented), 4);
	assert_int_equal(count(f, METRIC_tx_errors), 1);
	assert_int_equal(count(f, METRIC_tx_datagrams), 7);
	assert_int_equal(count(f, METRIC_tx_bytes), 2 * fits + 3 * (fits + 1) + 4000 + 10);
	for (i = 0; i < 8; i++) {
		if (i == 1)
			continue;
		assert_true(peer_get(fd, buf, sizeof(buf)) > 0);
		assert_int_equal(buf[0], 'a' + i);
	}
	assert_int_equal(mtu_mode(f), IP_PMTUDISC_DO);
	assert_true(f->s[0].gso || !f->s[0].gro);
	close(fd);
	udp_close(&f->s[--f->open]);
}

static void datagrams_over_the_path_mtu_are_told_or_fragmented(void **state)
{
	need_own_network();
	set_loopback_mtu(1300);
	over_the_path_mtu(*state, AF_INET, "127.0.0.1", 1300 - 28);
	over_the_path_mtu(*state, AF_INET, "0.0.0.0", 1300 - 28);
	if (families == 2) {
		over_the_path_mtu(*state, AF_INET6, "::1", 1300 - 48);
		over_the_path_mtu(*state, AF_INET6, "::", 1300 - 48);
	}
	set_loopback_mtu(576); /* no IPv6 below 1280 */
	over_the_path_mtu(*state, AF_INET, "127.0.0.1", 576 - 28);
}

/* A run over the path MTU is tried as a run once, not again for each of its datagrams. */
static void run_over_the_path_mtu_is_refused_once(void **state)
{
	struct udp_socket *blocked = NULL;
	uint8_t buf[2048];
	struct addr own;
	int i, fd;
	struct fix *f;

	need_own_network();
	set_loopback_mtu(600);
	f = with_peer(state, &fd, &own);
	for (i = 0; i < 50; i++)
		queue(f, 0, &own, 1000, i, false);
	assert_int_equal(flush_status(f, &blocked), 0);
	assert_true(kernel_calls <= 51);
	for (i = 0; i < 50; i++) {
		assert_int_equal(peer_get(fd, buf, sizeof(buf)), 1000);
		assert_int_equal(buf[0], i);
	}
	assert_int_equal(count(f, METRIC_tx_fragmented), 50);
	close(fd);
}

static void too_large_may_queue_smaller_ones(void **state)
{
	struct udp_socket *blocked = NULL;
	uint8_t buf[2048];
	struct addr own;
	int i, fd;
	struct fix *f;

	need_own_network();
	set_loopback_mtu(600);
	f = with_peer(state, &fd, &own);
	f->requeue = true;
	queue(f, 0, &own, 100, 'a', false);
	queue(f, 0, &own, 2000, 'h', true); /* too large twice: 2000, 1000, 1000 */
	queue(f, 0, &own, 100, 'b', false);
	assert_int_equal(flush_status(f, &blocked), 0);
	assert_int_equal(f->too_large_count, 3);
	assert_int_equal(peer_get(fd, buf, sizeof(buf)), 100);
	assert_int_equal(peer_get(fd, buf, sizeof(buf)), 100);
	assert_int_equal(buf[0], 'b');
	for (i = 0; i < 4; i++)
		assert_int_equal(peer_get(fd, buf, sizeof(buf)), 500);
	assert_int_equal(count(f, METRIC_tx_fragmented), 0);
	close(fd);
}

/* The same while the table is full, so that the callback's reservation flushes inside the flush. */
#define SHARE 16 /* peers: the buffer of one need not have room for a queue */

static void too_large_may_flush_inside_the_flush(void **state)
{
	struct udp_socket *blocked = NULL;
	uint8_t buf[2048];
	struct addr own[SHARE];
	int i, fd[SHARE];
	struct fix *f;

	need_own_network();
	set_loopback_mtu(600);
	f = with_peer(state, &fd[0], &own[0]);
	for (i = 1; i < SHARE; i++)
		fd[i] = peer_open(AF_INET, "127.0.0.1", NULL, &own[i]);
	f->requeue = true;
	queue(f, 0, &own[0], 1000, 'h', true);
	for (i = 1; i < TXQ_ENTRIES; i++)
		queue(f, 0, &own[i % SHARE], 100, i, false);
	assert_int_equal(flush_status(f, &blocked), 0);
	assert_int_equal(f->too_large_count, 1);
	for (i = 1; i < TXQ_ENTRIES; i++) {
		assert_int_equal(peer_get(fd[i % SHARE], buf, sizeof(buf)), 100);
		assert_int_equal(buf[0], i & 0xff);
	}
	assert_int_equal(peer_get(fd[0], buf, sizeof(buf)), 500);
	assert_int_equal(peer_get(fd[0], buf, sizeof(buf)), 500);
	for (i = 0; i < SHARE; i++) {
		assert_false(readable(fd[i], 0));
		close(fd[i]);
	}
}

/*
 * A link whose far end does not answer to ARP: datagrams wait in the kernel, charged to their socket, until
 * its small buffer is full. Once the neighbour is known everything must come out at the far end, in order.
 */
static int slow_link_open(void)
{
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP) };
	int fd;

	if (system("ip link add dtls0 type veth peer name dtls1 2>/dev/null && "
		   "ip addr add 198.51.100.1/24 dev dtls0 && ip link set dtls0 up && ip link set dtls1 up && "
		   "ip ntable change name arp_cache dev dtls0 mcast_probes 1000") != 0)
		return -1;
	ll.sll_ifindex = (int)if_nametoindex("dtls1");
	fd = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&ll, sizeof(ll)), 0);
	return fd;
}

static void slow_link_loses_nothing(void **state)
{
	struct fix *f = *state;
	struct udp_socket *blocked = NULL;
	struct addr to = address(AF_INET, "198.51.100.2", 9);
	uint8_t buf[2048];
	uint64_t before;
	int i, fd;

	need_own_network();
	fd = slow_link_open();
	if (fd < 0) {
		print_message("# cannot make a veth pair with ip(8)\n");
		skip();
	}
	open_at(f, AF_INET, "198.51.100.1", 0, 1);
	for (i = 0; i < 100; i++) /* never two of one length: each is a message */
		queue(f, 0, &to, 200 + (size_t)i, i, false);
	assert_int_equal(flush_status(f, &blocked), -EAGAIN);
	assert_ptr_equal(blocked, &f->s[0]);
	before = count(f, METRIC_tx_datagrams);
	assert_true(before > 0 && before < 100);
	assert_int_equal(flush_status(f, &blocked), -EAGAIN);
	assert_int_equal(count(f, METRIC_tx_datagrams), before);
	assert_int_equal(system("ip neigh replace 198.51.100.2 lladdr 02:00:00:00:00:02 "
				"dev dtls0 nud permanent"), 0);
	for (i = 0; flush_status(f, &blocked) == -EAGAIN; i++) {
		struct pollfd p = { .fd = f->s[0].fd, .events = POLLOUT };

		assert_true(i < 1000);
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	}
	for (i = 0; i < 100; i++) {
		assert_int_equal(peer_get(fd, buf, sizeof(buf)), 20 + 8 + 200 + i);
		assert_int_equal(buf[28], i);
	}
	assert_int_equal(count(f, METRIC_tx_datagrams), 100);
	assert_int_equal(count(f, METRIC_tx_errors), 0);
	close(fd);
}

static int remove_link(void **state)
{
	if (own_network && if_nametoindex("dtls0") != 0 && system("ip link del dtls0") != 0)
		return -1;
	return tear_down(state);
}

/* ---- a network of our own ---- */

/* linux/ipv6.h has it, and clashes with netinet/in.h */
union ipv6_ifreq {
	struct {
		struct in6_addr addr;
		uint32_t prefix;
		int ifindex;
	} v6;
	struct ifreq any;
};

/* A new address may take the kernel a moment. */
static bool usable_ipv6(const char *ip)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6 };
	int tries, probe;
	bool usable = false;

	assert_int_equal(inet_pton(AF_INET6, ip, &sa.sin6_addr), 1);
	sa.sin6_scope_id = IN6_IS_ADDR_LINKLOCAL(&sa.sin6_addr) ? if_nametoindex("lo") : 0;
	for (tries = 0; !usable && tries < 1000; tries++) {
		if (tries > 0)
			usleep(2000);
		probe = socket(AF_INET6, SOCK_DGRAM, 0);
		usable = bind(probe, (struct sockaddr *)&sa, sizeof(sa)) == 0;
		close(probe);
	}
	return usable;
}

static bool add_ipv6(int fd, const char *ip)
{
	union ipv6_ifreq r;

	memset(&r, 0, sizeof(r));
	r.v6.prefix = 128;
	r.v6.ifindex = (int)if_nametoindex("lo");
	return inet_pton(AF_INET6, ip, &r.v6.addr) == 1 && ioctl(fd, SIOCSIFADDR, &r) == 0 && usable_ipv6(ip);
}

/* Loopback up, with three more IPv6 addresses. */
static void enter_own_network(void)
{
	struct ifreq r = { .ifr_name = "lo" };
	int fd4, fd6;

	own_network = unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
	if (!own_network) {
		families = usable_ipv6("::1") ? 2 : 1;
		return;
	}
	fd4 = socket(AF_INET, SOCK_DGRAM, 0);
	fd6 = socket(AF_INET6, SOCK_DGRAM, 0);
	r.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
	assert_int_equal(ioctl(fd4, SIOCSIFFLAGS, &r), 0);
	if (!add_ipv6(fd6, "fd00::1") || !add_ipv6(fd6, "fd00::2") || !add_ipv6(fd6, "fe80::1"))
		families = 1;
	close(fd4);
	if (fd6 >= 0)
		close(fd6);
}

/* On one processor loopback keeps the order of what is sent. */
static void stay_on_one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)sched_getcpu(), &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define CASE_MTU(test) cmocka_unit_test_setup_teardown(test, set_up, restore_network)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(sockets_are_as_promised),
		CASE(both_wildcards_share_a_port),
		CASE(busy_port_is_found_even_if_its_owner_shares),
		CASE(bad_addresses_are_explained),
		CASE(privileged_port_is_explained),
		CASE(group_of_sockets_shares_the_peers),
		CASE(wildcard_answers_from_the_ipv4_address_asked),
		CASE(wildcard_answers_from_the_ipv6_address_asked),
		CASE(link_local_listener_keeps_the_scope),
		CASE(runs_come_and_go_as_they_were),
		CASE(mixed_queue_arrives_datagram_by_datagram),
		CASE(long_runs_are_cut_where_the_kernel_wants_it),
		CASE(largest_and_smallest_datagram_pass),
		CASE(entries_of_several_listeners_leave_in_order),
		CASE(short_and_interrupted_sends_go_on),
		CASE(full_socket_keeps_the_rest),
		CASE(lack_of_memory_costs_one_datagram_and_stops),
		CASE(refused_datagram_is_passed_over),
		CASE(leftover_of_an_earlier_datagram_is_tried_again_once),
		CASE(refused_segmentation_sends_one_by_one),
		CASE(unreachable_peers_do_not_hold_up_others),
		CASE(drops_in_the_kernel_are_counted),
		CASE_MTU(datagrams_over_the_path_mtu_are_told_or_fragmented),
		CASE_MTU(run_over_the_path_mtu_is_refused_once),
		CASE_MTU(too_large_may_queue_smaller_ones),
		CASE_MTU(too_large_may_flush_inside_the_flush),
		cmocka_unit_test_setup_teardown(slow_link_loses_nothing, set_up, remove_link),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	stay_on_one_cpu();
	enter_own_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
